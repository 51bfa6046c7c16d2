"""Whether what is done often takes longer the more there is: the same operations beside 10^5, 10^6 and 10^7 briefings.

What grows is the number of people, tenfold each time; each has DAYS mornings behind them, which retention bounds. All
databases stand side by side on one server, and each operation goes through them in turns, for as many people in each:
signed in, as pulsex_app or pulsex_worker, a transaction in one message. Nobody waits for the disk, so what is timed is
work. The first time that somebody is looked at, their rows aren't where the last look left them: that is shown apart.

The largest size is there twice, the second time without partitions, from the same migrations less the one clause: for
the same operations, and for dropping a month. With --large there is 10^8 too, and partitions are compared at 10^7.
A briefing has one section with one item, so that 10^7 of them fit beside 10^7 others.
"""

from __future__ import annotations

import itertools
import shutil
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import psycopg

from bench import documents, fast, report
from bench.options import Options
from pulsex.deploy import DB

DAYS, LOOKED_AT, ROUNDS, MOST = 200, 50, 15, 1.2
SIZES = (10**5, 10**6, 10**7)
LARGE, QUICK = 10**8, (2_000, 20_000)
DOCUMENTS = 1000

PEOPLE = """
SET session_replication_role = replica;
SELECT ops.ensure_partitions(p_since => current_date - {days});
CREATE TABLE bench.person AS
SELECT uuidv7((n - {people}) * interval '1 second') AS user_id, n FROM generate_series(1, {people}) AS n;
INSERT INTO pulsex.users (user_id, display_name) SELECT user_id, 'Somebody' FROM bench.person;
INSERT INTO pulsex.user_preferences (user_id) SELECT user_id FROM bench.person;
INSERT INTO gdpr.consents (user_id, purpose, revision, is_granted, policy_version, recorded_by)
SELECT user_id, 'analytics', 1, TRUE, '1', 'person' FROM bench.person;
INSERT INTO auth.sessions (user_id, token_hash, family_id, expires_at)
SELECT user_id, sha256(uuid_send(user_id)), user_id, now() + interval '1 day' FROM bench.person;
INSERT INTO pulsex.briefing_schedule (user_id, edition, briefing_date, due_at)
SELECT user_id, 'morning', current_date + 1, now() + n % 1440 * interval '1 minute' FROM bench.person;
UPDATE pulsex.briefing_schedule SET briefing_date = current_date, due_at = now() - interval '1 minute'
WHERE user_id IN (SELECT user_id FROM bench.person ORDER BY n LIMIT 100);
INSERT INTO pulsex.briefing_feedback (user_id, briefing_date, edition, rating)
SELECT user_id, current_date - day, 'morning', 3
FROM generate_series(190, 10, -20) AS day CROSS JOIN bench.person ORDER BY day DESC;
INSERT INTO pulsex.engagement_events (user_id, occurred_at, event_id, event_type, item_id)
SELECT user_id, now() - hours * interval '1 hour', uuidv7(), 'opened', 'item-0-0-0'
FROM generate_series(190, 10, -20) AS hours CROSS JOIN bench.person ORDER BY hours DESC;
INSERT INTO pulsex.notifications (user_id, channel, kind, state, sent_at, read_at, created_at)
SELECT user_id, 'in_app', 'briefing_ready', 'sent', at, CASE WHEN day > 3 THEN at END, at
FROM (SELECT user_id, day, now() - day * interval '1 day' AS at
    FROM generate_series(10, 1, -1) AS day CROSS JOIN bench.person ORDER BY day DESC) AS told;
INSERT INTO pulsex.notifications (user_id, channel, kind) SELECT user_id, 'in_app', 'waiting' FROM bench.person;
INSERT INTO pulsex.notification_queue (user_id, notification_id, channel, available_at)
SELECT user_id, notification_id, 'in_app', now() + interval '1 day' FROM pulsex.notifications WHERE state = 'pending';
CREATE TABLE bench.kept AS
SELECT conrelid::regclass::text AS table_name, conname, contype,
    pg_get_constraintdef(oid) || CASE contype WHEN 'c' THEN ' NOT VALID' ELSE '' END AS definition
FROM pg_constraint WHERE conparentid = 0 AND contype IN ('c', 'f', 'p') AND (
    conrelid = 'pulsex.briefings'::regclass AND contype <> 'f' OR confrelid = 'pulsex.briefings'::regclass
);
"""
# The indexes and the checks after the rows: what is measured is there all the same.
WITHOUT = """SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', table_name, conname) FROM bench.kept
    ORDER BY contype = 'f' DESC"""
AGAIN = """SELECT format('ALTER TABLE %s ADD CONSTRAINT %I %s', table_name, conname, definition) FROM bench.kept
    ORDER BY contype = 'p' DESC, contype = 'c' DESC"""
DATABASE = "SELECT pg_database_size(current_database())"
BRIEFINGS_SIZE = """SELECT coalesce(
        sum(pg_total_relation_size(relid)), pg_total_relation_size('pulsex.briefings')
    )::bigint FROM pg_partition_tree('pulsex.briefings')"""
MONTH = """SELECT (date_trunc('month', current_date - %s::int) + interval '1 month')::date AS month,
    (date_trunc('month', current_date - %s::int) + interval '2 months')::date"""
DELETE = "DELETE FROM pulsex.briefings WHERE briefing_date >= %s AND briefing_date < %s"
# As they are written: everybody's of one day, then of the next.
BRIEFINGS = """INSERT INTO pulsex.briefings (user_id, briefing_date, edition, title, content, search)
    SELECT p.user_id, current_date - %(day)s::int, 'morning', d.title, d.content, d.search
    FROM bench.person AS p INNER JOIN bench.document AS d ON d.n = (p.n * 7 + %(day)s * 31) %% %(documents)s"""


@dataclass
class Place:
    """A database with so many briefings, and some people in it who signed in."""

    name: str
    url: str
    briefings: int
    people: list[tuple[str, str, str]] = field(default_factory=list)  # id, token, content of a briefing

    def fill(self) -> None:
        """Load everything: other rows first, then briefings by two connections, then their indexes and checks."""
        with psycopg.connect(self.url, autocommit=True) as dba:
            documents.store(dba, DOCUMENTS, sections=1, items=1)
            fast.run_script(dba, PEOPLE, people=self.briefings // DAYS, days=DAYS)
            self._each(dba, WITHOUT)
            middle = DAYS // 2
            with ThreadPoolExecutor() as pool:
                list(pool.map(self._briefings, (DAYS - 1, middle - 1), (middle, 0)))
            self._each(dba, AGAIN)
            dba.execute("VACUUM ANALYZE")
            dba.execute("CHECKPOINT")
            some = """SELECT p.user_id::text, auth.start_session(p.user_id), d.content::text
                FROM (SELECT user_id FROM bench.person ORDER BY md5(n::text) LIMIT %s) AS p,
                    (SELECT content FROM bench.document WHERE n = 1) AS d"""
            self.people = dba.execute(some, [LOOKED_AT]).fetchall()

    def _each(self, dba: psycopg.Connection, query: str) -> None:
        for (statement,) in dba.execute(query).fetchall():
            dba.execute(statement)

    def _briefings(self, oldest: int, newest: int) -> None:
        with psycopg.connect(self.url, autocommit=True) as dba:
            dba.execute("SET session_replication_role = replica")
            for day in range(oldest, newest - 1, -1):
                dba.execute(BRIEFINGS, {"day": day, "documents": DOCUMENTS})


# What is done often ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Operation:
    """What is done, by which role, in one transaction; how that ends; the tables to vacuum before each round."""

    role: str
    sql: str
    ends: str = "COMMIT"
    vacuumed: str | None = None


def own(sql: str) -> Operation:
    """Return what a person does."""
    return Operation("pulsex_app", f"SELECT auth.use_session('{{token}}'); {sql}")


READS = {
    "today's briefing": own("SELECT * FROM pulsex.todays_briefing('{user_id}')"),
    "history, first page": own("SELECT * FROM pulsex.briefing_history('{user_id}')"),
    "history, a deep page": own("SELECT * FROM pulsex.briefing_history('{user_id}', current_date - 150)"),
    "search": own(f"SELECT * FROM pulsex.search_briefings('{{user_id}}', '{documents.FREQUENT}')"),
    "find by topic": own(
        """SELECT * FROM pulsex.find_briefings('{user_id}', '{{"sections": [{{"topic": "science"}}]}}')"""
    ),
    "unread notifications": own("SELECT * FROM pulsex.unread_notifications('{user_id}')"),
}
WRITES = {
    "record 20 events": own(
        """SELECT pulsex.record_events('{user_id}', (SELECT jsonb_agg(jsonb_build_object(
            'event_id', gen_random_uuid(), 'event_type', 'opened', 'occurred_at', to_jsonb(now()),
            'briefing_date', current_date, 'edition', 'morning', 'item_id', 'item-0-0-0'
        )) FROM generate_series(1, 20)))"""
    ),
    "rate": own("SELECT pulsex.record_feedback('{user_id}', current_date - {turn} % 100, (1 + {turn} % 5)::smallint)"),
    "publish a new briefing": Operation(
        "pulsex_worker",
        "SELECT pulsex.publish_briefing('{user_id}', current_date - {turn} % 150, '{content}', 'N {turn}', 'evening')",
    ),
    "enqueue, claim and complete 20": Operation(
        "pulsex_worker",
        """SELECT pulsex.enqueue_notifications('{{{twenty}}}', 'in_app', 'bench');
        SELECT pulsex.complete_notifications(array_agg(user_id), array_agg(notification_id), array_agg(lease_token))
        FROM pulsex.claim_notifications('bench', 20)""",
        vacuumed="pulsex.notification_queue, pulsex.notifications, pulsex.notification_attempts",
    ),
    "lease 20 due briefings": Operation(
        "pulsex_worker", "SELECT * FROM pulsex.due_briefings(now(), 20)", "ROLLBACK", "pulsex.briefing_schedule"
    ),
}
OPERATIONS = READS | WRITES


@dataclass(frozen=True)
class Crew:
    """The connections to a place."""

    place: Place
    connections: Mapping[str, psycopg.Connection]
    turns: Counter[str] = field(default_factory=Counter)

    def each(self, what: str) -> float:
        """Do something for each of the place's people; return the median of the seconds it took."""
        operation = OPERATIONS[what]
        connection = self.connections[operation.role]
        self.turns[what] += 1
        twenty = ",".join(user_id for user_id, _, _ in self.place.people[:20])
        template, turn = f"BEGIN; {operation.sql}; {operation.ends}", self.turns[what]
        messages = [
            template.format(user_id=user_id, token=token, content=content, twenty=twenty, turn=turn)
            for user_id, token, content in self.place.people
        ]
        if operation.vacuumed:
            # As autovacuum does, now and then: without it, plans would be those of empty tables for ever.
            self.connections["postgres"].execute(f"VACUUM (ANALYZE) {operation.vacuumed}")
        return statistics.median(report.seconds(partial(connection.execute, message)) for message in messages)


def run(options: Options) -> bool:
    """Measure, print, and tell whether no operation takes more than MOST times as long beside ten times as much."""
    sizes = QUICK if options.quick else SIZES
    with fast.server() as running, ExitStack() as stack:
        places = [Place(f"{size:,}", fast.database(running, f"with_{size}"), size) for size in sizes]
        twin = places[-1]
        one_table = fast.database(running, "one_table", unpartitioned(Path(running.base_dir)))
        plain = Place("not partitioned", one_table, sizes[-1])
        if options.large:
            places.append(Place(f"{LARGE:,}", fast.database(running, "large"), LARGE))
        load([*places, plain])
        crews = {
            place.name: Crew(place, {
                role: stack.enter_context(psycopg.connect(place.url, user=role, autocommit=True))
                for role in ("pulsex_app", "pulsex_worker", "postgres")
            }) for place in [*places, plain]
        }  # fmt: skip
        met = growing(places, crews)
        partitioning(twin, plain, crews)
        dropping(twin, plain)
    return met


def unpartitioned(place: Path) -> Path:
    """Write the migrations and routines into a folder, less what makes pulsex.briefings partitioned; return it."""
    copy = place / "unpartitioned"
    shutil.copytree(DB, copy)
    for file, clause, instead in (
        ("migrations/001_initial_schema.sql", ") PARTITION BY RANGE (briefing_date);", ");"),
        ("routines/partitions.sql", "('pulsex', 'briefings', 3, '24 months'),\n", ""),
    ):
        text = (copy / file).read_text()
        if text.count(clause) != 1:
            raise ValueError(f"{file} doesn't have {clause} once")
        (copy / file).write_text(text.replace(clause, instead))
    return copy


def load(places: list[Place]) -> None:
    """Fill the databases, the smallest first, and say how long it took and how large they are."""
    lines = []
    for place in places:
        with report.console.status(f"loading {place.name}"):
            seconds = report.seconds(place.fill)
        with psycopg.connect(place.url) as dba:
            lines.append((place.name, place.briefings // DAYS, seconds, dba.execute(DATABASE).fetchone()[0] / 2**20))
    report.rows("Databases", ("briefings", "people", "loaded in, s", "MiB"), lines)


def growing(places: list[Place], crews: Mapping[str, Crew]) -> bool:
    """Do everything in all places by turns; tell whether each step to ten times as much stays within MOST."""
    names = [place.name for place in places]
    first: dict[str, dict[str, float]] = {}
    medians: dict[str, dict[str, float]] = {}
    for what in OPERATIONS:
        sides = {name: partial(crews[name].each, what) for name in names}
        first[what] = {name: side() for name, side in sides.items()}
        taken = report.alternate(sides, ROUNDS, what)
        medians[what] = {name: statistics.median(values) for name, values in taken.items()}
    header = ("", *names, *(f"{after} / {before}" for before, after in itertools.pairwise(names)))
    for title, times in (
        (f"A transaction (ms), median of {ROUNDS} rounds of {LOOKED_AT} people", medians),
        ("Reading for the first time, in this order (ms)", {what: first[what] for what in READS}),
    ):
        report.rows(title, header, [
            (what, *(seconds * 1e3 for seconds in of.values()), *ratios(of.values())) for what, of in times.items()
        ])  # fmt: skip
    report.plot(
        "operations", "Time per operation", x=("briefings", True), y=("ms", True),
        series={
            what: [(place.briefings, medians[what][place.name] * 1e3) for place in places] for what in OPERATIONS
        },
    )  # fmt: skip
    met = [
        report.target(
            f"{what}: {max(ratios(of.values())):.2f} times as long beside ten times as many briefings, at most {MOST}",
            met=max(ratios(of.values())) <= MOST,
        )
        for what, of in medians.items()
    ]
    return all(met)


def ratios(values: Iterable[float]) -> list[float]:
    """Return each value over the one before it."""
    return [after / before for before, after in itertools.pairwise(values)]


# Partitioned or not ---------------------------------------------------------------------------------------------------


def partitioning(twin: Place, plain: Place, crews: Mapping[str, Crew]) -> None:
    """Do everything in the two by turns, and print what it takes in the one over the other."""
    lines = []
    for what in OPERATIONS:
        crews[plain.name].each(what)
        sides = {place.name: partial(crews[place.name].each, what) for place in (twin, plain)}
        taken = report.alternate(sides, ROUNDS, f"{what}, partitioned or not")
        medians = [statistics.median(taken[place.name]) * 1e3 for place in (twin, plain)]
        lines.append((what, *medians, medians[0] / medians[1]))
    report.rows(
        f"{twin.name} briefings, partitioned and not (ms)",
        ("", "partitioned", "not partitioned", "ratio"), lines,
    )  # fmt: skip


def dropping(twin: Place, plain: Place) -> None:
    """Drop the oldest whole month: its partition, or its rows."""
    with psycopg.connect(twin.url, autocommit=True) as dba, psycopg.connect(plain.url, autocommit=True) as other:
        [month, month_after] = dba.execute(MONTH, [DAYS, DAYS]).fetchone()
        name = f"pulsex.briefings_{month:%Y_%m}"
        [rows] = dba.execute(f"SELECT count(*) FROM {name}").fetchone()
        before = [connection.execute(BRIEFINGS_SIZE).fetchone()[0] / 2**20 for connection in (dba, other)]
        feedback = "DELETE FROM pulsex.briefing_feedback WHERE briefing_date >= %s AND briefing_date < %s"
        rated = [report.seconds(partial(each.execute, feedback, [month, month_after])) for each in (dba, other)]
        detach = report.seconds(partial(dba.execute, f"ALTER TABLE pulsex.briefings DETACH PARTITION {name}"))
        drop = report.seconds(partial(dba.execute, f"DROP TABLE {name}"))
        other.execute("SET session_replication_role = replica")  # rows alone, without what refers to them or logs it
        delete = report.seconds(partial(other.execute, DELETE, [month, month_after]))
        vacuum = report.seconds(partial(other.execute, "VACUUM pulsex.briefings"))
        after = [connection.execute(BRIEFINGS_SIZE).fetchone()[0] / 2**20 for connection in (dba, other)]
    report.rows(
        f"Dropping {month:%B}, {rows:,} briefings",
        ("", "partition: DETACH, DROP", "rows: DELETE without triggers, VACUUM"),
        [
            ("the feedback on them, s", *rated),
            ("first statement, s", detach, delete),
            ("second statement, s", drop, vacuum),
            ("both, s", detach + drop, delete + vacuum),
            ("MiB before", *before),
            ("MiB after", *after),
        ],
    )  # fmt: skip
    report.note(f"DELETE and VACUUM take {(delete + vacuum) / (detach + drop):,.0f} times as long as DETACH and DROP.")
