"""ops.lock_tables: a migration has all the tables it touches or none, and nobody else is ended for it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from tests.actors import Actor

TABLES = "{pulsex.users,pulsex.briefing_feedback}"
LOCK = "SELECT ops.lock_tables('SHARE ROW EXCLUSIVE', %s)"
ONE_BY_ONE = "LOCK TABLE pulsex.users, pulsex.briefing_feedback IN SHARE ROW EXCLUSIVE MODE"
RATE = "UPDATE pulsex.briefing_feedback SET rating = 5 WHERE user_id = %s"
RENAME = "UPDATE pulsex.users SET display_name = 'Alice' WHERE user_id = %s"
WAITS = "SELECT FROM pg_locks WHERE pid = %s AND NOT granted AND relation = 'pulsex.briefing_feedback'::regclass"
HELD = """SELECT relation::regclass::text FROM pg_locks
    WHERE pid = pg_backend_pid() AND mode = 'ShareRowExclusiveLock' AND relation IS NOT NULL ORDER BY 1"""


@pytest.fixture
def migration(database):
    """A migration's connection, in a transaction that is rolled back; it gives up on a deadlock last of all."""
    with psycopg.connect(database.url) as connection:
        connection.execute("SET LOCAL deadlock_timeout = '20s'")
        yield connection
        connection.rollback()


def cross(alice: Actor, dba: Actor, migration: psycopg.Connection, sql: str, *args: object) -> None:
    """Let Alice write to one table, a migration lock that and another, and Alice then write to the other."""
    alice.rows(RATE, alice.user_id)
    with ThreadPoolExecutor(1) as pool:
        locking = pool.submit(migration.execute, sql, args or None)
        try:
            while not dba.rows(WAITS, migration.info.backend_pid):
                assert not locking.done()
            alice.rows(RENAME, alice.user_id)
        finally:
            alice.end()
        locking.result()


def test_whoever_writes_in_another_order_goes_on(alice, dba, migration):
    """What would be a deadlock isn't one: Alice writes to both tables, and the migration has its locks after her."""
    migration.execute("SET LOCAL deadlock_timeout = '400ms'")
    cross(alice, dba, migration, LOCK, TABLES)
    assert migration.execute(HELD).fetchall() == [("pulsex.briefing_feedback",), ("pulsex.users",)]


def test_locks_taken_one_by_one_would_end_a_persons_statement(alice, dba, migration):
    """The same with LOCK TABLE: the deadlock is Alice's error."""
    with pytest.raises(psycopg.errors.DeadlockDetected):
        cross(alice, dba, migration, ONE_BY_ONE)


def test_it_gives_up_in_the_end_and_holds_nothing(alice, migration):
    """55P03, after forty attempts of half a deadlock_timeout."""
    migration.execute("SET LOCAL deadlock_timeout = '2ms'")
    alice.rows(RATE, alice.user_id)
    with pytest.raises(psycopg.errors.LockNotAvailable), migration.transaction():
        migration.execute(LOCK, [TABLES])
    assert migration.execute(HELD).fetchall() == []


def test_it_locks_partitions_too(dba, migration):
    """All of a partitioned table's, so that nothing is left to wait for."""
    migration.execute(LOCK, ["{pulsex.briefings}"])
    partitions = dba.rows("SELECT relid::text FROM pg_partition_tree('pulsex.briefings') ORDER BY 1")
    assert migration.execute(HELD).fetchall() == partitions
    assert len(partitions) > 3


def test_it_leaves_the_lock_timeout_as_it_was(migration):
    """What it sets while it asks ends with it."""
    migration.execute("SET LOCAL lock_timeout = '3s'")
    migration.execute(LOCK, [TABLES])
    assert migration.execute("SHOW lock_timeout").fetchone() == ("3s",)
