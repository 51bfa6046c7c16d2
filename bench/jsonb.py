"""How content is best searched and stored: which index, if any; which compression; in the row or apart.

A few people have two editions a day for two years, as long as briefings are kept; the others 60 mornings. Rows lie as
they are written, day by day, so that a person's are scattered.

Indexes: all candidates are built, and a side is measured in a transaction that drops the others and is rolled back. The
queries are those of pulsex.find_briefings and pulsex.search_briefings, which run as pulsex_service; what they do with
the few rows found is left out. Writing a row includes what a GIN index puts off (its pending list).

Storage: the same rows in tables that differ in one thing.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import psycopg

from bench import documents, fast, report
from bench.options import Options

OLD, NEW, DOCUMENTS, ROUNDS, WRITTEN = 20, 2000, 3000, 5, 200
MOST = 1.5  # what was chosen may take, times the best, at each thing that is done often

FILL = """
CREATE EXTENSION btree_gin SCHEMA public;
SET session_replication_role = replica;
SELECT ops.ensure_partitions(p_since => current_date - 730);
CREATE TABLE bench.person AS
SELECT uuidv7((n - {people}) * interval '1 minute') AS user_id, n FROM generate_series(1, {people}) AS n;
INSERT INTO pulsex.users (user_id, display_name) SELECT user_id, 'Somebody' FROM bench.person;
CREATE TABLE bench.briefing AS
SELECT p.user_id, current_date - day AS briefing_date, e.edition, d.n
FROM generate_series(729, 0, -1) AS day
CROSS JOIN unnest('{{morning,evening}}'::text[]) WITH ORDINALITY AS e (edition, place)
INNER JOIN bench.person AS p ON p.n <= {old} OR (day < 60 AND e.edition = 'morning')
INNER JOIN bench.document AS d ON d.n = (p.n * 7 + day * 31 + e.place * 13) % {documents}
ORDER BY day DESC, e.place, p.n;
INSERT INTO pulsex.briefings (user_id, briefing_date, edition, title, content, search)
SELECT b.user_id, b.briefing_date, b.edition, d.title, d.content, d.search
FROM bench.briefing AS b INNER JOIN bench.document AS d ON d.n = b.n;
VACUUM ANALYZE;
"""
WRITE = """
INSERT INTO pulsex.briefings (user_id, briefing_date, edition, title, content, search)
SELECT p.user_id, current_date + 1, 'evening', d.title, d.content, d.search
FROM bench.person AS p INNER JOIN bench.document AS d ON d.n = p.n %% (SELECT count(*) FROM bench.document)
ORDER BY p.n DESC LIMIT %s
"""


@dataclass(frozen=True)
class Filter:
    """A condition on a briefing, and the value in it."""

    name: str
    where: str
    value: str


CONTAINS, MATCHES = "content @> %s::jsonb", "search @@ %s::tsquery"
IDS = "jsonb_path_query_array(content, '$.sections[*].items[*].id')"
ITEM = Filter("an item", CONTAINS, '{"sections": [{"items": [{"id": "item-7-0-0"}]}]}')
TOPIC = Filter("a topic", CONTAINS, '{"sections": [{"topic": "science"}]}')
ITEM_ID = Filter("an item by its id", f"{IDS} ? %s", "item-7-0-0")
RARE = Filter("a rare word", MATCHES, documents.RARE)
FREQUENT = Filter("a frequent word", MATCHES, documents.FREQUENT)
CONTAINED, WORDS = (ITEM, TOPIC), (RARE, FREQUENT)


@dataclass(frozen=True)
class Index:
    """A candidate: what is said after USING, and the conditions that it may serve."""

    using: str
    filters: tuple[Filter, ...]


NONE = "none: the primary key, then a filter"
INDEXES = {
    "content jsonb_path_ops": Index("gin (content jsonb_path_ops)", CONTAINED),
    "content jsonb_ops": Index("gin (content)", CONTAINED),
    "user_id, content jsonb_path_ops": Index("gin (user_id, content jsonb_path_ops)", CONTAINED),
    "user_id, item ids": Index(f"gin (user_id, ({IDS}))", (ITEM_ID,)),
    "search": Index("gin (search)", WORDS),
    "user_id, search": Index("gin (user_id, search)", WORDS),
}
NAMES = {name: f"briefings_{place}_idx" for place, name in enumerate(INDEXES)}
SIZE = "SELECT sum(pg_total_relation_size(relid))::bigint FROM pg_partition_tree(%s)"
INDEX_SIZE = "SELECT sum(pg_relation_size(relid))::bigint FROM pg_partition_tree(%s)"
CLEAN = "SELECT gin_clean_pending_list(relid) FROM pg_partition_tree(%s) WHERE isleaf"


def run(options: Options) -> bool:
    """Measure, print, and tell whether what was chosen is no worse than what wasn't."""
    old, new = options.size(OLD, 2), options.size(NEW, 20)
    count = options.size(DOCUMENTS, 50)
    with fast.server() as running:
        url = fast.database(running, "pulsex")
        with psycopg.connect(url, autocommit=True) as dba:
            documents.store(dba, count, sections=3, items=3)
            fast.run_script(dba, FILL, people=old + new, old=old, documents=count)
            whose = "SELECT user_id::text FROM bench.person WHERE n = %s"
            heavy, light = (dba.execute(whose, [n]).fetchone()[0] for n in (1, old + 1))
            searching(dba, {"24 months, twice a day": heavy, "60 mornings": light, "everybody": None})
            return storing(dba, heavy)


# Searching ------------------------------------------------------------------------------------------------------------


def searching(dba: psycopg.Connection, people: dict[str, str | None]) -> None:
    """Build every candidate and compare what they cost and what they save."""
    create = "CREATE INDEX {} ON pulsex.briefings USING {}"
    built = {
        name: report.seconds(partial(dba.execute, create.format(NAMES[name], index.using)))
        for name, index in INDEXES.items()
    }
    dba.execute("ANALYZE pulsex.briefings")
    [briefings] = dba.execute("SELECT count(*) FROM pulsex.briefings").fetchone()
    [table] = dba.execute(SIZE, ["pulsex.briefings"]).fetchone()
    sizes = {name: dba.execute(INDEX_SIZE, [f"pulsex.{NAMES[name]}"]).fetchone()[0] for name in INDEXES}
    table -= sum(sizes.values())
    writes = report.table(
        "Writing a briefing, without what its routine does else", "µs",
        report.alternate({name: partial(only, dba, name, partial(write, dba, name)) for name in (NONE, *INDEXES)},
                         ROUNDS, "writing"), scale=1e6,
    )  # fmt: skip
    report.rows(
        f"Indexes on {briefings:,} briefings",
        ("index", "built in, s", "MiB", "% of the table", "a briefing costs, µs"),
        [
            (name, built[name], sizes[name] / 2**20, 100 * sizes[name] / table, (writes[name] - writes[NONE]) * 1e6)
            for name in INDEXES
        ],
    )  # fmt: skip
    for who, user_id in people.items():
        sides = {
            f"{filter_.name}: {name}": partial(only, dba, name, partial(find, dba, name, filter_, user_id))
            for filter_ in (ITEM, TOPIC, ITEM_ID, *WORDS)
            for name in (NONE, *INDEXES) if name == NONE or filter_ in INDEXES[name].filters
        }  # fmt: skip
        report.table(f"Finding: {who}", "ms", report.alternate(sides, ROUNDS, who), scale=1e3)


def only(dba: psycopg.Connection, name: str, action: Callable[[], float]) -> float:
    """Do something with no candidate but one, in a transaction that is rolled back; return what it returned."""
    with dba.transaction(force_rollback=True):
        for other, index in NAMES.items():
            if other != name:
                dba.execute(f"DROP INDEX pulsex.{index}")
        return action()


def write(dba: psycopg.Connection, name: str) -> float:
    """Return the seconds it takes to insert a briefing, of some; with what the index puts off."""
    dba.execute("SET LOCAL session_replication_role = replica")

    def insert() -> None:
        dba.execute(WRITE, [WRITTEN])
        if name in NAMES:
            dba.execute(CLEAN, [f"pulsex.{NAMES[name]}"])

    return report.seconds(insert) / WRITTEN


def find(dba: psycopg.Connection, name: str, filter_: Filter, user_id: str | None) -> float:
    """Return the seconds that finding a person's newest twenty takes, or everybody's."""
    dba.execute("SET LOCAL ROLE pulsex_service")
    dba.execute("SET LOCAL plan_cache_mode = force_generic_plan")  # as the routines have it
    rows, values = "SELECT * FROM pulsex.briefings", (filter_.value,)
    if user_id:
        rows, values = f"{rows} WHERE user_id = %s::uuid", (user_id, filter_.value)
    if name == NONE:
        rows += " OFFSET 0"  # as the routines have it, so that the planner tries nothing else
    query = f"""SELECT briefing_date, edition FROM ({rows}) AS b WHERE {filter_.where}
        ORDER BY briefing_date DESC, edition LIMIT 20"""
    calls = 7 if user_id else 3  # the first of which plans
    return statistics.median(
        report.seconds(lambda: dba.execute(query, values, prepare=True).fetchall()) for _ in range(calls)
    )


# Storing --------------------------------------------------------------------------------------------------------------

ROOMY = "not compressed"
CHOSEN = "as chosen: pglz, words in the row (search STORAGE MAIN)"
HEAD = """user_id uuid, briefing_date date, edition text, version integer DEFAULT 1, title text,
    generated_at timestamptz DEFAULT now(), delivered_at timestamptz DEFAULT now(), read_at timestamptz DEFAULT now()"""
KEY = "user_id uuid, briefing_date date, edition text"
BODY = "content jsonb, search tsvector"
PRIMARY = "PRIMARY KEY (user_id, briefing_date, edition)"
FROM = "FROM bench.briefing AS b INNER JOIN bench.document AS d ON d.n = b.n"
COLUMNS = "user_id, briefing_date, edition"
BODIES = "c.user_id = b.user_id AND c.briefing_date = b.briefing_date AND c.edition = b.edition"


@dataclass(frozen=True)
class Store:
    """A way to keep briefings: its tables, where the head is and where the content, and how it is set up."""

    setup: tuple[str, ...]
    head: str
    body: str

    @property
    def tables(self) -> tuple[str, ...]:
        """Its tables."""
        return tuple(dict.fromkeys((self.head, self.body)))


def in_row(name: str, *settings: str) -> Store:
    """Return a store of one table."""
    create = f"CREATE TABLE bench.{name} ({HEAD}, {BODY}, {PRIMARY})"
    return Store((create, *(setting.format(table=f"bench.{name}") for setting in settings)), *[f"bench.{name}"] * 2)


def stores(dba: psycopg.Connection) -> Iterator[tuple[str, Store]]:
    """Yield the ways to keep briefings that this server has."""
    words_in_row = "ALTER TABLE {table} ALTER search SET STORAGE MAIN"
    yield CHOSEN, in_row("as_it_is", words_in_row)
    compress = "ALTER TABLE {table} ALTER content SET COMPRESSION lz4, ALTER search SET COMPRESSION lz4"
    lz4 = in_row("lz4", words_in_row, compress)
    try:
        with dba.transaction(force_rollback=True):
            for statement in lz4.setup:
                dba.execute(statement)
        yield "the same by lz4", lz4
    except psycopg.errors.FeatureNotSupported:
        report.note("This server is built without lz4, so it is not among these.")
    external = "ALTER TABLE {table} ALTER content SET STORAGE EXTERNAL, ALTER search SET STORAGE EXTERNAL"
    yield ROOMY, in_row("external", external)
    yield "pglz, what is longer goes first (EXTENDED both, the default)", in_row("extended")
    yield (
        "pglz, moved out of the row (toast_tuple_target 128)",
        in_row("moved_out", "ALTER TABLE {table} SET (toast_tuple_target = 128)"),
    )
    yield "pglz, in a table of its own", Store(
        (f"CREATE TABLE bench.head ({HEAD}, {PRIMARY})", f"CREATE TABLE bench.body ({KEY}, {BODY}, {PRIMARY})"),
        "bench.head", "bench.body",
    )  # fmt: skip


def storing(dba: psycopg.Connection, user_id: str) -> bool:
    """Fill each store with the same rows and compare them."""
    built = dict(stores(dba))
    for store in built.values():
        for statement in store.setup:
            dba.execute(statement)
    loads = {}
    for name, store in built.items():
        loads[name] = report.seconds(partial(insert, dba, store, ""))
        for table in store.tables:
            dba.execute(f"VACUUM ANALYZE {table}")
    sizes = {
        name: (
            sum(dba.execute("SELECT pg_total_relation_size(%s)", [table]).fetchone()[0] for table in store.tables),
            dba.execute("SELECT pg_relation_size(%s)", [store.head]).fetchone()[0],
        ) for name, store in built.items()
    }  # fmt: skip
    report.rows(
        "Stores",
        ("", "filled in, s", "MiB in all", "MiB of rows with a title"),
        [(name, loads[name], whole / 2**20, head / 2**20) for name, (whole, head) in sizes.items()],
    )
    medians: dict[str, dict[str, float]] = {}
    for what, action in ACTIONS.items():
        sides = {name: partial(action, dba, store, user_id) for name, store in built.items()}
        medians[what] = report.table(what, "ms", report.alternate(sides, ROUNDS, what), scale=1e3)
    met = []
    for what, taken in medians.items():
        if what != SELDOM:
            ratio = taken[CHOSEN] / min(seconds for name, seconds in taken.items() if name != ROOMY)
            met.append(
                report.target(
                    f"{what}: as chosen {ratio:.2f} of the best that compresses, at most {MOST}", met=ratio <= MOST
                )
            )
    return all(met)


def insert(dba: psycopg.Connection, store: Store, where: str) -> None:
    """Fill a store with the briefings there are, or some of them."""
    if store.head == store.body:
        dba.execute(f"""INSERT INTO {store.head} ({COLUMNS}, title, content, search)
            SELECT {COLUMNS}, title, content, search {FROM} {where}""")
    else:
        dba.execute(f"INSERT INTO {store.head} ({COLUMNS}, title) SELECT {COLUMNS}, title {FROM} {where}")
        dba.execute(f"INSERT INTO {store.body} SELECT {COLUMNS}, content, search {FROM} {where}")


def median_of(dba: psycopg.Connection, query: str) -> float:
    """Return the median of the seconds that a query takes, its result sent."""
    return statistics.median(report.seconds(lambda: dba.execute(query).fetchall()) for _ in range(9))


def history(dba: psycopg.Connection, store: Store, user_id: str) -> float:
    """A page of titles."""
    return median_of(
        dba,
        f"""SELECT briefing_date, edition, title, generated_at, read_at FROM {store.head}
        WHERE user_id = '{user_id}' ORDER BY briefing_date DESC FETCH FIRST 100 ROWS WITH TIES""",
    )


def today(dba: psycopg.Connection, store: Store, user_id: str) -> float:
    """Ten briefings with content, one by one."""
    source = f"{store.head} AS b"
    if store.head != store.body:
        source += f" INNER JOIN {store.body} AS c ON {BODIES}"
    return median_of(
        dba,
        ";".join(
            f"""SELECT b.*, content FROM {source} WHERE b.user_id = '{user_id}'
        AND b.briefing_date = current_date - {day * 7} AND b.edition = 'morning'"""
            for day in range(10)
        ),
    )


def look_through(dba: psycopg.Connection, store: Store, user_id: str) -> float:
    """What contains a topic, of all of a person's."""
    return median_of(
        dba,
        f"""SELECT count(*) FROM {store.body} WHERE user_id = '{user_id}'
        AND content @> '{TOPIC.value}'""",
    )


def look_for_a_word(dba: psycopg.Connection, store: Store, user_id: str) -> float:
    """What has a word, of all of a person's."""
    return median_of(
        dba,
        f"""SELECT count(*) FROM {store.body} WHERE user_id = '{user_id}'
        AND search @@ '{documents.FREQUENT}'""",
    )


def publish(dba: psycopg.Connection, store: Store, _user_id: str) -> float:
    """Two hundred briefings more."""
    with dba.transaction(force_rollback=True):
        some = f"(SELECT user_id FROM bench.person ORDER BY n DESC LIMIT {WRITTEN})"
        for table in store.tables:
            dba.execute(f"DELETE FROM {table} WHERE briefing_date = current_date - 1 AND user_id IN {some}")
        where = f"WHERE b.briefing_date = current_date - 1 AND b.edition = 'morning' AND b.user_id IN {some}"
        return report.seconds(partial(insert, dba, store, where))


def mark_read(dba: psycopg.Connection, store: Store, _user_id: str) -> float:
    """When everybody read yesterday's."""
    with dba.transaction(force_rollback=True):
        return report.seconds(
            partial(
                dba.execute,
                f"""UPDATE {store.head} SET read_at = now()
            WHERE briefing_date = current_date - 1 AND edition = 'morning'""",
            )
        )


SELDOM = "Looking a person's 1,460 through for a topic"
ACTIONS = {
    "A hundred titles of a person's": history,
    "Ten briefings of a person's": today,
    SELDOM: look_through,
    "Looking a person's 1,460 through for a word": look_for_a_word,
    f"Publishing {WRITTEN}": publish,
    "Marking everybody's read": mark_read,
}
