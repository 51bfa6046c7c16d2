"""Everybody at work through the pooler while partitions come, go and are vacuumed, and how long anybody waited."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import psycopg

from tests.cast import CONTENT
from tests.pooler.crowd import PROVE, RATE, Reader
from tests.pooler.pooler import Pooler

PEOPLE = 16  # at work at once
LONGEST_WAIT = 100  # milliseconds
# The server itself logs every wait for a lock, of anybody, that lasts as long as deadlock_timeout.
WATCH = f"ALTER DATABASE {{}} SET deadlock_timeout = '{LONGEST_WAIT}ms'; ALTER DATABASE {{}} SET log_lock_waits = on"
WAITS = """SELECT a.usename, l.mode, l.relation::regclass::text,
        extract(EPOCH FROM clock_timestamp() - l.waitstart)::float8 * 1000, left(a.query, 60)
    FROM pg_locks AS l INNER JOIN pg_stat_activity AS a USING (pid)
    WHERE NOT l.granted AND l.waitstart IS NOT NULL AND a.datname = current_database()"""
TABLES = ("briefings", "engagement_events")
MONTHS_AGO = 30  # of the first old partition that is made again and again
MARK_READ = "UPDATE pulsex.briefings SET read_at = now() WHERE user_id = %s AND briefing_date = %s"
RENAME = "UPDATE pulsex.users SET display_name = %s WHERE user_id = %s"
RECORD_EVENT = """SELECT pulsex.record_events(%s, jsonb_build_array(jsonb_build_object(
        'event_id', uuidv7(), 'event_type', 'opened', 'occurred_at', now())))"""
OLD_ROWS = """
INSERT INTO pulsex.briefings (user_id, briefing_date, title, content, search)
SELECT u.user_id, day, 'Old news', '{"sections": []}', '' FROM pulsex.users AS u, generate_series(
    date_trunc('month', now() AT TIME ZONE 'UTC') - make_interval(months => %(months)s),
    date_trunc('month', now() AT TIME ZONE 'UTC') - make_interval(months => %(months)s - 1) - interval '1 day', '1 day'
) AS day ON CONFLICT DO NOTHING;
INSERT INTO pulsex.briefing_feedback (user_id, briefing_date, edition, rating)
SELECT b.user_id, b.briefing_date, b.edition, 3 FROM pulsex.briefings AS b WHERE b.title = 'Old news'
ON CONFLICT DO NOTHING;
INSERT INTO pulsex.engagement_events (user_id, occurred_at, event_id, event_type)
SELECT b.user_id, b.briefing_date, uuidv7(), 'opened' FROM pulsex.briefings AS b WHERE b.title = 'Old news'
"""


# SQL and its parameters.
Statement = tuple[str, *tuple[object, ...]]


@dataclass
class Record:
    """What happened: transactions and the slowest statement of each kind, partitions, vacuums, and waits for locks."""

    seconds: float = 0
    transactions: Counter[str] = field(default_factory=Counter)
    slowest: dict[str, float] = field(default_factory=dict)
    made: int = 0
    expired: int = 0
    vacuums: int = 0
    retries: int = 0
    warnings: list[str] = field(default_factory=list)
    longest_wait: tuple[float, str] = (0.0, "nobody waited")
    samples: int = 0
    too_long: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        slowest = ", ".join(f"{kind} {ms:.0f}" for kind, ms in sorted(self.slowest.items(), key=lambda x: -x[1]))
        return (
            f"{self.seconds:.0f} s: {self.transactions.total()} transactions {dict(self.transactions)};"
            f" {self.made} partitions made and {self.expired} expired in"
            f" {self.transactions['maintaining']} runs, {self.retries} attempts more, {self.vacuums} vacuums;"
            f" slowest statements in ms: {slowest};"
            f" longest wait for a lock seen: {self.longest_wait[0]:.0f} ms, {self.longest_wait[1]},"
            f" in {self.samples} looks; waits over {LONGEST_WAIT} ms in the server's log: {len(self.too_long)}"
        )


@dataclass
class Load:
    """Clients of the pooler, and who looks on past it with the superuser's ``url``."""

    pooler: Pooler
    url: str
    readers: Sequence[Reader]
    record: Record = field(default_factory=Record)
    dice: random.Random = field(default_factory=lambda: random.Random(18))  # noqa: S311  # repeatable, not unguessable

    def _client(self, role: str) -> contextlib.AbstractAsyncContextManager[psycopg.AsyncConnection]:
        return _connection(self.pooler.conninfo(role))

    def _dba(self) -> contextlib.AbstractAsyncContextManager[psycopg.AsyncConnection]:
        return _connection(self.url)

    async def _run(self, kind: str, connection: psycopg.AsyncConnection, sql: str, *args: object) -> list[tuple]:
        started = time.monotonic()
        cursor = await connection.execute(sql, args)
        rows = await cursor.fetchall() if cursor.description else []
        self.record.slowest[kind] = max(self.record.slowest.get(kind, 0), (time.monotonic() - started) * 1000)
        return rows

    async def _as_person(self, app: psycopg.AsyncConnection, reader: Reader, kind: str, *statements: Statement) -> None:
        await app.execute("BEGIN")
        await self._run("proving who one is", app, PROVE, reader.token)
        for sql, *args in statements:
            rows = await self._run(kind, app, sql, *args)
        if kind == "reading":
            assert len(rows) == len(reader.dates), f"{reader.name} has {len(rows)} of {len(reader.dates)} briefings"
        await self._run("committing", app, "COMMIT")
        self.record.transactions[kind] += 1

    def acts(self, reader: Reader, day: date) -> list[tuple[str, *tuple[Statement, ...]]]:
        """Return what a person does, each in a transaction: what it is called, and its statements."""
        me = reader.user_id
        return [
            ("reading", ("SELECT 1 FROM pulsex.briefing_history(%s, NULL, 100) WHERE title <> 'Old news'", me)),
            ("reading today's", ("SELECT title FROM pulsex.todays_briefing(%s)", me)),
            ("rating", (RATE, me, day, self.dice.randint(1, 5), "under load")),
            ("marking read", (MARK_READ, me, day)),
            ("recording", (RECORD_EVENT, me)),
            ("renaming", (RENAME, reader.name, me)),
        ]

    # Who is at work --------------------------------------------------------------------------------------------------

    async def people(self) -> None:
        """Read, rate, mark read, record and change one's name, in turn, as one person and another."""
        async with self._client("pulsex_app") as app:
            while True:
                reader = self.dice.choice(self.readers)
                for kind, *statements in self.acts(reader, self.dice.choice(reader.dates)):
                    await self._as_person(app, reader, kind, *statements)

    async def publishers(self) -> None:
        """Publish briefings again, other than before."""
        async with self._client("pulsex_worker") as worker:
            for number in itertools.count():
                reader = self.dice.choice(self.readers)
                what = (reader.user_id, self.dice.choice(reader.dates), CONTENT, f"Edition {number}")
                await self._run("publishing", worker, "SELECT pulsex.publish_briefing(%s, %s, %s, %s)", *what)
                self.record.transactions["publishing"] += 1

    async def maintainer(self) -> None:
        """Make three old months' partitions of each table, have them filled, and run maintenance: they expire."""
        async with self._client("pulsex_worker") as worker, self._dba() as dba:
            worker.add_notice_handler(lambda notice: self.record.warnings.append(notice.message_primary))
            while True:
                for month, table in itertools.product(range(3), TABLES):
                    while not await self._make(worker, table):
                        await asyncio.sleep(0.05 * self.dice.random())
                    if table == TABLES[-1]:
                        async with dba.transaction():
                            await dba.execute("SET LOCAL ROLE pulsex_service")
                            await psycopg.AsyncClientCursor(dba).execute(OLD_ROWS, {"months": MONTHS_AGO - month})
                await self._run("maintaining", worker, "CALL ops.run_maintenance()")
                self.record.transactions["maintaining"] += 1
                cursor = await dba.execute("SELECT count(*) FROM ops.partitions WHERE is_expired")
                [left] = await cursor.fetchone()
                self.record.expired += 3 * len(TABLES) - left

    async def _make(self, worker: psycopg.AsyncConnection, table: str) -> bool:
        since = f"(now() AT TIME ZONE 'UTC' - interval '{MONTHS_AGO} months')::date"
        try:
            await self._run("making", worker, f"SELECT ops.make_next_partition('pulsex', %s, 0, {since})", table)
        except psycopg.errors.LockNotAvailable:
            self.record.retries += 1
            return False
        self.record.made += 1
        return True

    async def vacuumer(self) -> None:
        """Vacuum and analyse what is written to, the partitions through their parents, as autovacuum would."""
        async with self._dba() as dba:
            while True:
                for table in ("briefings", "briefing_feedback", "engagement_events", "users"):
                    await dba.execute(f"VACUUM (ANALYZE) pulsex.{table}")
                    self.record.vacuums += 1
                    await asyncio.sleep(0.1)

    async def onlooker(self) -> None:
        """Look every few milliseconds who waits for a lock, and how long already."""
        async with self._dba() as dba:
            while True:
                cursor = await dba.execute(WAITS)
                for role, mode, relation, ms, query in await cursor.fetchall():
                    if ms > self.record.longest_wait[0]:
                        self.record.longest_wait = (ms, f"{role} for {mode} on {relation} in {query!r}")
                self.record.samples += 1
                await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def _connection(conninfo: str) -> AsyncIterator[psycopg.AsyncConnection]:
    connection = await psycopg.AsyncConnection.connect(conninfo, autocommit=True, prepare_threshold=None)
    try:
        yield connection
    finally:
        await connection.close()  # at once, in whatever state it is


def run(
    pooler: Pooler, url: str, readers: Sequence[Reader], log: Path, seconds: float, *, until_one_waits: bool = False
) -> Record:
    """Let everybody work for some seconds, or until somebody has waited too long; return what happened.

    ``log`` is the server's. Raises what anybody was told by the database that wasn't expected.
    """
    load = Load(pooler, url, readers)
    at = [load.people] * PEOPLE + [load.publishers] * 2 + [load.maintainer, load.vacuumer, load.onlooker]

    async def work(until: float, what: Callable[[], Awaitable[None]]) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                await what()

    async def work_all() -> None:
        until = asyncio.get_running_loop().time() + seconds
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work(until, what)) for what in at]
            while until_one_waits and not waits() and not all(task.done() for task in tasks):
                await asyncio.sleep(0.1)
            if until_one_waits:
                for task in tasks:
                    task.cancel()

    def waits() -> list[str]:
        said = log.read_bytes()[begin:].decode()
        return [line for line in said.splitlines() if "still waiting for" in line]

    with psycopg.connect(url, autocommit=True) as dba:
        name = psycopg.sql.Identifier(dba.info.dbname).as_string(dba)
        dba.execute(WATCH.format(name, name))
    begin = log.stat().st_size
    started = time.monotonic()
    asyncio.run(work_all())
    load.record.seconds = time.monotonic() - started
    load.record.too_long = waits()
    return load.record
