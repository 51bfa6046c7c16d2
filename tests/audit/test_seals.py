"""audit.seal(): every event under exactly one seal, one chain, and nobody waits."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

SEAL = "SELECT audit.seal()"
WAITING = "SELECT count(*) FROM audit.unsealed_events"
RECORD = "SELECT audit.record('read', %s, '{\"n\": 1}')"
# Every event, how often a seal lists it.
LISTED = """SELECT coalesce(l.times, 0), count(*) FROM audit.events AS e LEFT JOIN (
        SELECT id, count(*) AS times FROM audit.seal_contents CROSS JOIN unnest(event_ids) AS id GROUP BY id
    ) AS l ON l.id = e.event_id GROUP BY 1"""
WRITERS = 8


def test_a_seal_covers_what_was_written_and_returns_the_last_digest(worker, dba, published):
    """Nothing waits afterwards; the digest is the last seal's."""
    dba.rows(RECORD, published.user_id)
    digest = dba.value(SEAL)
    dba.results_eq(WAITING, [(0,)])
    dba.results_eq("SELECT digest, events FROM audit.seals ORDER BY seal_id DESC LIMIT 1", [(digest, 1)])


def test_with_nothing_new_sealing_changes_nothing(worker, dba):
    """The same digest, and no seal more."""
    before = dba.rows("SELECT count(*), max(digest) FROM audit.seals")
    assert worker.value(SEAL) == worker.value(SEAL)
    dba.results_eq("SELECT count(*), max(digest) FROM audit.seals", before)


@pytest.mark.parametrize("who", ["worker", "privacy"])
def test_the_worker_and_the_officer_seal_and_verify(who, request):
    """Either gets the last digest, and finds nothing wrong."""
    actor = request.getfixturevalue(who)
    actor.is_empty("SELECT * FROM audit.verify(%s)", actor.value(SEAL))


def test_a_seal_is_of_ten_thousand_events_at_most(dba, findings):
    """What is more goes into the next ones."""
    dba.rows("SELECT count(audit.record('read', NULL)) FROM generate_series(1, 10001)")
    dba.rows(SEAL)
    dba.results_eq("SELECT events FROM audit.seals ORDER BY seal_id DESC LIMIT 2", [(1,), (10000,)])
    assert findings() == set()


def test_each_month_has_seals_of_its_own(dba, findings, published):
    """So that a month can be dropped whole."""
    for months in (0, 1):
        dba.rows(RECORD, published.user_id)
        dba.rows(
            f"""WITH event AS (
                INSERT INTO audit.events (user_id, occurred_at, event_id, action, payload, salt, commitment)
                SELECT user_id, occurred_at + interval '{months} months', uuidv7(), action, payload, salt, commitment
                FROM audit.events ORDER BY event_id DESC LIMIT 1 RETURNING occurred_at, event_id)
            INSERT INTO audit.unsealed_events SELECT occurred_at, event_id FROM event"""
        )
    dba.rows(SEAL)
    dba.results_eq(
        "SELECT events, date_trunc('month', first_at) = month FROM audit.seals ORDER BY seal_id DESC LIMIT 2",
        [(1, True), (3, True)],
    )
    assert findings() == set()


def test_a_seal_says_what_the_retention_of_the_log_itself_keeps(dba, published):
    """Not that of another table of its schema, nor of a table of its name elsewhere."""
    before = dba.rows("SELECT kept_from FROM audit.seals ORDER BY seal_id DESC LIMIT 1")
    dba.rows(
        """INSERT INTO ops.partitioned_tables (schema_name, table_name, months_ahead, retention)
        VALUES ('audit', 'others', 0, '1 month'), ('pulsex', 'events', 0, '1 month')"""
    )
    dba.rows(RECORD, published.user_id)
    dba.rows(SEAL)
    dba.results_eq("SELECT kept_from FROM audit.seals ORDER BY seal_id DESC LIMIT 1", before)


def test_an_event_that_is_not_at_the_time_it_was_announced_is_not_sealed(dba, published):
    """Of three one is moved, though to no time beyond the others': that one waits for ever, by which it is found."""
    for _ in range(3):
        dba.rows(RECORD, published.user_id)
    dba.rows(
        """UPDATE audit.unsealed_events AS u SET occurred_at = o.first
        FROM (SELECT min(occurred_at) AS first, max(occurred_at) AS last FROM audit.unsealed_events) AS o
        WHERE u.occurred_at < o.last"""
    )
    dba.rows(SEAL)
    dba.results_eq(WAITING, [(1,)])


@pytest.mark.commits
def test_an_event_that_commits_late_is_sealed_by_the_next_seal(database, dba, findings, published):
    """An event older than everything sealed, whose transaction was under way meanwhile, is not lost."""
    late = database.actor("late", "postgres").connection
    late.execute("BEGIN")
    late.execute(RECORD, [published.user_id])
    dba.rows(RECORD, published.user_id)
    first = dba.value(SEAL)
    late.execute("COMMIT")
    dba.results_eq(WAITING, [(1,)])
    assert dba.value(SEAL) != first
    dba.results_eq(
        "SELECT last_at < lag(first_at) OVER (ORDER BY seal_id) FROM audit.seals ORDER BY seal_id DESC LIMIT 1",
        [(True,)],
    )
    dba.results_eq(LISTED, [(1, dba.value("SELECT count(*) FROM audit.events"))])
    assert findings(first) == set()


@pytest.mark.commits
def test_a_writer_does_not_wait_for_a_sealer_nor_a_sealer_for_a_writer(database, dba, published):
    """With a seal under way, uncommitted, an event is written, and with that uncommitted too, another is sealed."""
    sealer, writer = (database.actor(name, "postgres").connection for name in ("sealer", "writer"))
    dba.rows(RECORD, published.user_id)
    for connection in (sealer, writer):
        connection.execute("SET lock_timeout = '1ms'")
        connection.execute("BEGIN")
    writer.execute(RECORD, [published.user_id])
    sealer.execute(SEAL)
    writer.execute(RECORD, [published.user_id])
    writer.execute("COMMIT")
    sealer.execute("COMMIT")
    dba.results_eq(WAITING, [(2,)])


@pytest.mark.commits
def test_sealers_take_turns_and_the_chain_does_not_fork(database, dba, findings, published):
    """The second waits for the first, and goes on from its seal."""
    first, second = (database.actor(name, "pulsex_worker").connection for name in ("first", "second"))
    dba.rows(RECORD, published.user_id)
    first.execute("BEGIN")
    first.execute(SEAL)
    dba.rows(RECORD, published.user_id)
    with ThreadPoolExecutor(1) as pool:
        waits = pool.submit(lambda: second.execute(SEAL).fetchone()[0])
        while not dba.value("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            assert not waits.done()
        first.execute("COMMIT")
        last = waits.result()
    dba.results_eq("SELECT seal_id, digest FROM audit.seals ORDER BY 1 DESC LIMIT 1", [(3, last)])
    assert findings() == set()


@pytest.mark.commits
def test_a_sealer_with_an_old_snapshot_fails_and_forks_nothing(database, dba, findings, published):
    """In a transaction that began before another seal, the same events or the same number are refused."""
    old = database.actor("old", "pulsex_worker").connection
    dba.rows(RECORD, published.user_id)
    old.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    old.execute("SELECT")
    old.execute("SELECT audit.oldest_unsealed()")
    dba.rows(SEAL)
    with pytest.raises((psycopg.errors.SerializationFailure, psycopg.errors.UniqueViolation)):
        old.execute(SEAL)
    old.execute("ROLLBACK")
    assert findings() == set()


@pytest.mark.commits
def test_eight_writers_while_sealing_lose_nothing(database, dba, findings, published):
    """For a second, with transactions of some length: every event in one seal, one chain, and no wait for a lock."""
    end = time.monotonic() + 1
    writers = [database.actor(f"writer {number}", "postgres").connection for number in range(WRITERS)]
    sealers = [database.actor(f"sealer {number}", "pulsex_worker").connection for number in range(2)]

    def write(connection: psycopg.Connection) -> int:
        connection.execute("SET lock_timeout = '1s'")
        written = 0
        while time.monotonic() < end:
            with connection.transaction():
                for _ in range(3):
                    connection.execute(RECORD, [published.user_id])
            written += 3
            with connection.transaction(force_rollback=True):
                connection.execute(RECORD, [published.user_id])
        return written

    def seal(connection: psycopg.Connection) -> int:
        sealed = 0
        while time.monotonic() < end:
            connection.execute(SEAL)
            sealed += 1
        return sealed

    before = dba.value("SELECT count(*) FROM audit.events")
    with ThreadPoolExecutor(WRITERS + 3) as pool:
        written = [pool.submit(write, connection) for connection in writers]
        sealed = [pool.submit(seal, connection) for connection in sealers]
        waits = pool.submit(_waits, dba, end)
    total = sum(future.result() for future in written)
    assert total > 0
    assert min(future.result() for future in sealed) > 1
    assert waits.result() == set()
    last = dba.value(SEAL)
    dba.results_eq(LISTED, [(1, before + total)])
    assert findings(last) == set()


def _waits(dba, end: float) -> set[str]:
    """Return the roles of those who were seen waiting for a lock on a relation, a row or a transaction, but sealers."""
    seen: set[str] = set()
    while time.monotonic() < end:
        seen |= {
            role
            for (role,) in dba.rows(
                """SELECT usename::text FROM pg_locks INNER JOIN pg_stat_activity USING (pid)
                WHERE NOT granted AND locktype IN ('relation', 'tuple', 'transactionid')
                    AND usename <> 'pulsex_worker'"""
            )
        }
    return seen
