"""Whether each index pays for itself: its advertised query with it and without, what a written row costs, its size.

Every index of the catalogue that no constraint stands on must be in CASES, or the part fails. Without the index means:
dropped in a transaction that is rolled back. The query runs as its role, inside a savepoint. A row's cost is the
difference between inserting rows, chosen at random among those there are, with the index and without, triggers off.
An index pays when what it saves a query is more than what it costs the rows that are written for each such query;
how many these are follows from what the query is for, and stands beside it. What a rule of thumb would have there, and
didn't pay, is in REJECTED: made, measured in the same way and dropped again, and the part fails when one would pay.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import psycopg

from bench import everything, report
from bench.options import Options

PEOPLE, RARE, ROUNDS, CALLS, ROWS = 50_000, 20_000, 9, 5, 5000
LEAST = 1e-7  # seconds; what a row costs at least, where the difference is lost in the noise


@dataclass(frozen=True)
class Case:
    """What an index is for: who runs which query, and how many rows of its table are written for each time it runs."""

    role: str
    query: str
    rows: float
    because: str
    a_day: bool = False  # rows are a person's on one day, and the query runs once a day


# Queries about a person whose id is {user_id} and who has the session {token}.
CASES = {
    "audit.events_occurred_at_idx": Case(
        "pulsex_worker", "SELECT audit.seal()", 2, "seals a day; changes a person and day", a_day=True
    ),
    "auth.identities_user_id_idx": Case(
        "pulsex_service", "SELECT count(*) FROM auth.identities WHERE user_id = '{user_id}' AND provider = 'email'",
        1, "an e-mail for each registration",
    ),
    "gdpr.erasure_ledger_erasure_id_idx": Case(
        "pulsex_privacy", "SELECT gdpr.export_erasure_ledger()", 100, "an export beside each backup; erasures a day"
    ),
    "gdpr.holds_erasure_id_idx": Case("pulsex_worker", "SELECT gdpr.resume_erasures()", 10, "maintenance; holds a day"),
    "gdpr.inactivity_warnings_erase_after_idx": Case(
        "pulsex_worker", "SELECT gdpr.erase_inactive(1)", 100, "maintenance; warnings a day"
    ),
    "gdpr.requests_due_at_idx": Case(
        "pulsex_worker", "SELECT ops.overdue_requests()", 1, "ops.health a minute; requests a minute"
    ),
    "gdpr.scrubs_relation_idx": Case(
        "pulsex_privacy", "SELECT count(*) FROM gdpr.relations_to_scrub()", 40, "a look for each erasure; its relations"
    ),
    "pulsex.briefing_feedback_briefing_date_idx": Case(
        "pulsex_worker", "SELECT ops.delete_expired_feedback(1000)", 0.1, "maintenance; ratings a person and day",
        a_day=True,
    ),
    "pulsex.briefing_schedule_due_at_idx": Case(
        "pulsex_worker", "SELECT count(*) FROM pulsex.due_briefings(p_limit => 20)", 40, "a lease of 20, written twice"
    ),
    "pulsex.briefing_schedule_parked_date_idx": Case(
        "pulsex_worker", "SELECT count(*) FROM ops.parked_briefings(1000)", 2 / 1440,
        "ops.health a minute; leases and their ends a person and day", a_day=True,
    ),
    "pulsex.engagement_daily_day_idx": Case(
        "pulsex_service",
        "SELECT count(*) FROM pulsex.engagement_daily WHERE day = (now() AT TIME ZONE 'UTC')::date - 1",
        2, "a roll-up a day; totals a person and day", a_day=True,
    ),
    "pulsex.engagement_marks_day_idx": Case(
        "pulsex_service", "SELECT day, user_id FROM pulsex.engagement_marks ORDER BY day, user_id LIMIT 1000", 1000,
        "a call for each thousand marks",
    ),
    "pulsex.notification_queue_claim_idx": Case(
        "pulsex_worker", "SELECT count(*) FROM pulsex.claim_notifications('bench', 20)", 40,
        "a claim of 20, written twice",
    ),
    "pulsex.notifications_dead_idx": Case(
        "pulsex_worker", "SELECT count(*) FROM ops.queue_health", 1 / 1440,
        "ops.health a minute; notifications a person and day", a_day=True,
    ),
    "pulsex.notifications_unread_idx": Case(
        "pulsex_app",
        "SELECT auth.use_session('{token}'); SELECT count(*) FROM pulsex.unread_notifications('{user_id}')",
        2, "an inbox opened for each notification, written twice",
    ),
    "pulsex.push_token_owners_user_id_device_id_idx": Case(
        "postgres", "DELETE FROM pulsex.devices WHERE user_id = '{user_id}'", 10, "an erasure for ten devices"
    ),
    "pulsex.unsubscribe_tokens_expires_at_idx": Case(
        "pulsex_worker", "SELECT ops.purge_unsubscribe_tokens(1000)", 1000, "a call for each thousand tokens"
    ),
}  # fmt: skip
REJECTED = {
    "auth.sessions_user_id_family_id_idx": (
        "auth.sessions (user_id, family_id)",
        Case("pulsex_app", "SELECT auth.end_session('{token}')", 3, "a sign-out for three sessions"),
    ),
    "auth.sessions_expires_at_idx": (
        "auth.sessions (expires_at)",
        Case("pulsex_worker", "SELECT auth.purge_expired()", 1, "a purge a day; sessions a person and day", a_day=True),
    ),
    "pulsex.users_time_zone_idx": (
        "pulsex.users (time_zone)",
        Case("postgres", "DELETE FROM pulsex.time_zones WHERE name = 'Zulu'", 1, "a zone that goes; all people",
             a_day=True),
    ),
    "pulsex.user_topics_topic_id_idx": (
        "pulsex.user_topics (topic_id)",
        Case("postgres", "INSERT INTO pulsex.topics (slug, label) VALUES ('unused', 'Unused');"
             " DELETE FROM pulsex.topics WHERE slug = 'unused'", 6, "a topic that goes; what all people follow",
             a_day=True),
    ),
    "gdpr.consents_purpose_idx": (
        "gdpr.consents (purpose)",
        Case("postgres", "INSERT INTO gdpr.consent_purposes (purpose, label, question) VALUES ('unused', '-', '-');"
             " DELETE FROM gdpr.consent_purposes WHERE purpose = 'unused'", 2, "a purpose that goes; all answers",
             a_day=True),
    ),
}  # fmt: skip

INDEXES = """
SELECT n.nspname || '.' || c.relname AS name, i.indrelid::regclass::text AS table_name,
    coalesce(
        (SELECT sum(pg_relation_size(t.relid)) FROM pg_partition_tree(c.oid) AS t), pg_relation_size(c.oid)
    )::bigint AS octets,
    i.indisunique OR EXISTS (SELECT FROM pg_constraint AS k WHERE k.conindid = c.oid) AS is_needed
FROM pg_index AS i
INNER JOIN pg_class AS c ON c.oid = i.indexrelid
INNER JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname IN ('auth', 'pulsex', 'ops', 'audit', 'gdpr') AND NOT c.relispartition
    AND i.indrelid <> 'ops.schema_migrations'::regclass
ORDER BY name
"""
KEY = """
SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum)
FROM pg_index AS i INNER JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
WHERE i.indrelid = %s::regclass AND i.indisprimary
"""


@dataclass(frozen=True)
class Index:
    """An index as the catalogue has it; needed: it holds something to be true, so it isn't there for speed alone."""

    name: str
    table: str
    octets: int
    is_needed: bool


def run(options: Options) -> bool:
    """Measure, print, and tell whether every index that is there for speed is known and pays for itself."""
    people, rare = options.size(PEOPLE, 500), options.size(RARE, 500)
    with everything.database(people, rare) as url, psycopg.connect(url, autocommit=True) as dba:
        measure = Measure(dba, people, everything.person(dba))
        found = [Index(*row) for row in dba.execute(INDEXES).fetchall()]
        optional = {index.name: index for index in found if not index.is_needed}
        verdicts = [measure.verdict(index, CASES[name]) for name, index in optional.items() if name in CASES]
        rejected = [measure.candidate(name, on, case) for name, (on, case) in REJECTED.items()]
    for title, of in (("Indexes for speed", verdicts), ("Indexes that aren't there", rejected)):
        report.rows(
            f"{title}, {people:,} people",
            (
                "index", "KiB", "query with, ms", "without, ms", "times", "a row costs, µs", "rows a query",
                "why so many", "saved over spent",
            ),
            [verdict.row() for verdict in of],
        )  # fmt: skip
    report.rows(
        "Indexes that hold something to be true", ("index", "KiB"),
        [(index.name, index.octets / 1024) for index in found if index.is_needed],
    )  # fmt: skip
    strange = sorted(optional.keys() ^ CASES.keys())
    met = [
        report.target(f"every index for speed is measured, and no other: {strange or len(optional)}", met=not strange)
    ]
    for verdict in verdicts:
        claim = f"{verdict.index.name} saves {verdict.ratio:,.3g} times what it costs"
        met.append(report.target(claim, met=verdict.ratio >= 1))
    for verdict in rejected:
        claim = (
            f"{verdict.index.name}, which isn't there, would save {verdict.ratio:,.3g} of what it costs, less than 1"
        )
        met.append(report.target(claim, met=verdict.ratio < 1))
    return all(met)


@dataclass(frozen=True)
class Verdict:
    """What was measured: a query with the index and without, and a row inserted with it and without, in seconds."""

    index: Index
    case: Case
    queries: dict[str, float]
    inserts: dict[str, float]
    rows: float

    @property
    def cost(self) -> float:
        """What a written row costs more, in seconds."""
        return max(self.inserts["with"] - self.inserts["without"], LEAST)

    @property
    def ratio(self) -> float:
        """What a query saves, over what the rows cost that are written for each query."""
        return (self.queries["without"] - self.queries["with"]) / (self.cost * self.rows)

    def row(self) -> tuple[str | float, ...]:
        """Return the line of the table."""
        with_it, without = self.queries["with"], self.queries["without"]
        return (
            self.index.name, self.index.octets / 1024, with_it * 1e3, without * 1e3, without / with_it, self.cost * 1e6,
            self.rows, self.case.because, self.ratio,
        )  # fmt: skip


@dataclass(frozen=True)
class Measure:
    """Measures an index in a database with so many people, its queries about one of them."""

    dba: psycopg.Connection
    people: int
    person: everything.Person

    def verdict(self, index: Index, case: Case) -> Verdict:
        """Measure an index, alternating with it and without."""
        key = self.sample(index.table)
        query = case.query.format(user_id=self.person.user_id, token=self.person.token)
        queries = self.alternate(index, partial(self.query, case.role, query))
        inserts = self.alternate(index, partial(self.insert, index.table, key))
        self.dba.execute("DROP TABLE bench.sample")
        self.dba.execute(f"VACUUM {index.table}")  # of what was rolled back
        return Verdict(index, case, queries, inserts, case.rows * (self.people if case.a_day else 1))

    def candidate(self, name: str, on: str, case: Case) -> Verdict:
        """Measure an index that isn't there, which is made on a table's columns and dropped again."""
        schema, index = name.split(".")
        self.dba.execute(f"CREATE INDEX {index} ON {on}")
        try:
            found = {row[0]: Index(*row) for row in self.dba.execute(INDEXES).fetchall()}
            return self.verdict(found[name], case)
        finally:
            self.dba.execute(f"DROP INDEX {schema}.{index}")

    def alternate(self, index: Index, action: Callable[[], float]) -> dict[str, float]:
        """Return the median of an action with the index and without it."""

        def without() -> float:
            self.dba.execute(f"DROP INDEX {index.name}")
            return action()

        sides = {"with": partial(self.undone, action), "without": partial(self.undone, without)}
        taken = report.alternate(sides, ROUNDS, index.name)
        return {side: statistics.median(values) for side, values in taken.items()}

    def undone(self, action: Callable[[], float]) -> float:
        """Do something in a transaction that is rolled back; return what it returned."""
        with self.dba.transaction(force_rollback=True):
            return action()

    def query(self, role: str, query: str) -> float:
        """Return how many seconds a query takes as a role; what one call changes is undone before the next."""
        self.dba.execute(f"SET LOCAL ROLE {role}")
        taken = []
        for _ in range(CALLS):
            with self.dba.transaction(force_rollback=True):
                taken.append(report.seconds(lambda: self.dba.execute(query)))
        return statistics.median(taken)

    def sample(self, table: str) -> str:
        """Keep some rows of a table, at random, to insert them again; return its key."""
        self.dba.execute(
            f"CREATE TABLE bench.sample AS SELECT * FROM (SELECT * FROM {table} ORDER BY random() LIMIT {ROWS}) AS s"
            f" ORDER BY random()"
        )
        if table == "audit.events":  # append-only, so what is inserted again is another event
            self.dba.execute("UPDATE bench.sample SET event_id = uuidv7()")
        [key] = self.dba.execute(KEY, [table]).fetchone()
        return key

    def insert(self, table: str, key: str) -> float:
        """Return how many seconds a row takes to insert, of some that were there."""
        self.dba.execute("SET LOCAL session_replication_role = replica")
        if table != "audit.events":
            self.dba.execute(f"DELETE FROM {table} WHERE ({key}) IN (SELECT {key} FROM bench.sample)")
        taken = report.seconds(lambda: self.dba.execute(f"INSERT INTO {table} SELECT * FROM bench.sample"))
        [rows] = self.dba.execute("SELECT count(*) FROM bench.sample").fetchone()
        return taken / rows
