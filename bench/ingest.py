"""What recording events costs beside the least that storing them can cost, COPY, in batches of 100 per transaction.

Both sides store the same events over one connection, and each batch is built before the clock starts:

- ``record_events``: ``SELECT pulsex.record_events(auth.use_session(token), events)`` as ``pulsex_app``, a transaction
  by itself: a proved session, consent, validation, idempotency, the mark, constraints, partitions.
- ``COPY``: one COPY of the same 100 rows, a transaction by itself, into one unpartitioned table with the same columns
  and primary key, without constraints or row level security, as the superuser.

The server has PostgreSQL's default durability. With synchronous_commit off nobody waits for the disk, so what is left
is the processor's work.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import psycopg

from bench import durable, report
from bench.options import Options

PEOPLE, SIZE, BATCHES, ROUNDS = 1000, 100, 250, 7
LEAST = 0.5
TYPES = ("delivered", "opened", "section_viewed", "item_clicked", "item_saved", "shared", "dismissed", "dwell")
PERSON = """WITH person AS (INSERT INTO pulsex.users (display_name) SELECT 'Person ' || n
    FROM generate_series(1, %s) AS n RETURNING user_id), consent AS (
        INSERT INTO gdpr.consents (user_id, purpose, revision, is_granted, policy_version, recorded_by)
        SELECT user_id, 'analytics', 1, TRUE, '1', 'person' FROM person)
    SELECT user_id, auth.start_session(user_id) FROM person"""
PLAIN = """CREATE TABLE public.plain (
    user_id uuid, occurred_at timestamptz, event_id uuid, event_type text NOT NULL, briefing_date date, edition text,
    item_id text, properties jsonb NOT NULL, PRIMARY KEY (user_id, occurred_at, event_id))"""


@dataclass(frozen=True)
class Batch:
    """The same events as record_events and as COPY take them."""

    token: str
    document: str
    lines: bytes


def batches(people: list[tuple[UUID, str]]) -> Iterator[Batch]:
    """Make batches without end, of one person after the other, of the last hour."""
    chance = random.Random(1)  # noqa: S311  # the same events in every run
    for user_id, token in itertools.cycle(people):
        now = datetime.now(UTC)
        events = []
        for _ in range(SIZE):
            kind = chance.choice(TYPES)
            events.append({
                "event_id": str(uuid4()),
                "event_type": kind,
                "occurred_at": (now - timedelta(seconds=chance.uniform(0, 3600))).isoformat(),
                "briefing_date": str(now.date()),
                "edition": "morning",
                "item_id": f"item-{chance.randrange(20)}",
                "properties": {"ms": chance.randrange(60000)} if kind == "dwell" else {},
            })  # fmt: skip
        rows = (
            (str(user_id), e["occurred_at"], e["event_id"], e["event_type"], e["briefing_date"], e["edition"],
             e["item_id"], json.dumps(e["properties"]))
            for e in events
        )  # fmt: skip
        yield Batch(token, json.dumps(events), "".join("\t".join(row) + "\n" for row in rows).encode())


def record(app: psycopg.Connection, batch: Batch) -> None:
    """Record a batch as the application does."""
    app.execute("SELECT pulsex.record_events(auth.use_session(%s), %s::jsonb)", [batch.token, batch.document])


def copy(plain: psycopg.Connection, batch: Batch) -> None:
    """Copy a batch into the plain table."""
    with plain.cursor().copy("COPY public.plain FROM STDIN") as into:
        into.write(batch.lines)


def run(_: Options) -> bool:
    """Measure, print, and tell whether record_events reaches the ratio, as the server comes."""
    with durable.deployed() as url:
        with psycopg.connect(url, autocommit=True) as dba:
            dba.execute("SELECT ops.ensure_partitions()")
            people = dba.execute(PERSON, [PEOPLE]).fetchall()
            dba.execute(PLAIN)
            dba.execute("VACUUM ANALYZE")
        more = batches(people)
        ratios = {commit: compare(url, more, commit) for commit in ("on", "off")}
        with psycopg.connect(url) as dba:
            counts = "SELECT (SELECT count(*) FROM pulsex.engagement_events), (SELECT count(*) FROM public.plain)"
            stored = dba.execute(counts).fetchone()
    report.note(f"synchronous_commit off: {ratios['off']:.2f} of COPY, which is the processor's work alone")
    return all([
        report.target(f"record_events {ratios['on']:.2f} of COPY, at least {LEAST:.2f}", met=ratios["on"] >= LEAST),
        report.target(f"both stored every event: {stored[0]:,} and {stored[1]:,}", met=stored[0] == stored[1]),
    ])  # fmt: skip


def compare(url: str, more: Iterator[Batch], synchronous_commit: str) -> float:
    """Measure both sides with a setting of synchronous_commit; return record_events' rate over COPY's."""
    with (
        psycopg.connect(url, user="pulsex_app", autocommit=True) as app,
        psycopg.connect(url, autocommit=True) as plain,
    ):
        for connection in (app, plain):
            connection.execute(f"SET synchronous_commit = {synchronous_commit}")

        def rate(act: Callable[[psycopg.Connection, Batch], None], connection: psycopg.Connection) -> float:
            made = list(itertools.islice(more, BATCHES))
            return BATCHES * SIZE / report.seconds(lambda: [act(connection, batch) for batch in made])

        medians = report.table(
            f"Events, synchronous_commit {synchronous_commit}", "per second",
            report.alternate(
                {"record_events": lambda: rate(record, app), "COPY": lambda: rate(copy, plain)}, ROUNDS, "events"
            ),
        )  # fmt: skip
    return medians["record_events"] / medians["COPY"]
