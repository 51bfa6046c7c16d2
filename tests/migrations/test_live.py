"""Migrations while everybody is at work, and migrations that are interrupted."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import psycopg
import pytest

from pulsex import deploy, throwaway
from pulsex.fingerprint import difference
from tests import harness
from tests.migrations.releases import CONTRACT, EXPAND, release
from tests.migrations.walk import NAMES, take
from tests.partitions.load import Load
from tests.pooler.conftest import pgbouncer, pooler, readers, start_pooler

__all__ = ["pgbouncer", "pooler", "readers", "start_pooler"]

LOCK_TIMEOUT = 2000  # milliseconds: what each migration sets
WAITING = """SELECT pid FROM pg_stat_activity
    WHERE datname = current_database() AND usename = 'postgres' AND wait_event_type = 'Lock'
        AND pid IN (SELECT pid FROM pg_locks WHERE NOT granted AND relation = 'pulsex.user_topics'::regclass)"""


def work(load: Load, change: Callable[[], None], people: int = 6) -> None:
    """Let people and publishers work through the pooler until a change is made; raises what anybody was told."""

    async def everybody() -> None:
        async with asyncio.TaskGroup() as group:
            at = [load.people] * people + [load.publishers] * 2 + [load.onlooker]
            tasks = [group.create_task(what()) for what in at]
            try:
                await asyncio.to_thread(change)
                await asyncio.sleep(0.2)  # afterwards too
            finally:
                for task in tasks:
                    task.cancel()

    asyncio.run(everybody())


@pytest.mark.long
@pytest.mark.commits
def test_nobody_notices_a_migration(pooler, database, readers, tmp_path):
    """Each migration of two further releases goes down and up: no error, no long wait.

    Those of this release don't meet anybody: its routines use what all of them make, so nobody works before the last.
    """
    db = release(tmp_path, CONTRACT)
    names = [name for name in sorted(file.stem for file in (db / "migrations").glob("*.sql")) if name not in NAMES]
    deploy.dbmate(database.url, "up", db)
    load = Load(pooler, database.url, readers)

    def down_and_up() -> None:
        for _ in names:
            deploy.dbmate(database.url, "rollback", db)
        deploy.dbmate(database.url, "up", db)

    work(load, down_and_up)
    assert load.record.transactions.total() > 50
    assert min(load.record.transactions.values()) > 0
    assert load.record.longest_wait[0] < LOCK_TIMEOUT
    assert len(names) >= 4


@pytest.mark.commits
def test_an_error_of_a_migration_is_noticed(pooler, database, readers):
    """Were a column taken away that the routines use, somebody at work would be told."""

    def breaks() -> None:
        with psycopg.connect(database.url) as connection:
            connection.execute("ALTER TABLE pulsex.briefing_feedback RENAME comment TO remark")

    with pytest.raises(ExceptionGroup) as raised:
        work(Load(pooler, database.url, readers), breaks)
    assert raised.value.subgroup(psycopg.errors.UndefinedColumn)


@pytest.fixture
def interrupted(tmp_path, scratch_place):
    """A cluster of the test's own, since the server is crashed, with a database before a release's migrations."""
    data = Path((scratch_place / "prepared").read_text())
    with throwaway.Throwaway(**throwaway.settings(scratch_place), copy_data_from=str(data)) as server:
        yield server.url(database=harness.CAST), release(tmp_path, EXPAND)


def stopped_halfway(url: str, db: Path) -> tuple[subprocess.Popen[bytes], psycopg.Connection, int]:
    """Start dbmate, and return it with whoever makes it wait for a lock, and the process that waits, half way."""
    holder = psycopg.connect(url)
    holder.execute("LOCK TABLE pulsex.user_topics IN ACCESS SHARE MODE")
    line, environment = deploy.dbmate_command(url, "up", db)
    process = subprocess.Popen(line, env=os.environ | environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 20
    with psycopg.connect(url, autocommit=True) as watcher:
        while time.monotonic() < deadline:
            if waiting := watcher.execute(WAITING).fetchone():
                return process, holder, waiting[0]
    raise AssertionError("dbmate never waited")


def completes(url: str, db: Path, before: dict) -> None:
    """The interrupted migration has changed nothing, and applied again makes what it makes without interruption."""
    assert difference(before, take(url)) == []
    deploy.dbmate(url, "up", db)
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT FROM pulsex.user_topics WHERE followed_at IS NULL").rowcount == 0
        assert connection.execute("SELECT FROM ops.schema_migrations WHERE version >= '901'").rowcount == 2


def test_a_migration_survives_the_death_of_dbmate(interrupted):
    """SIGKILL half way: the migration isn't applied, and applying it again completes it."""
    url, db = interrupted
    before = take(url)
    process, holder, pid = stopped_halfway(url, db)
    process.kill()
    process.wait()
    holder.close()
    psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], timeout=10)
    completes(url, db, before)


def test_a_migration_survives_a_crash_of_the_server(interrupted):
    """The server's process is killed half way and recovers: so it is."""
    url, db = interrupted
    before = take(url)
    process, holder, pid = stopped_halfway(url, db)
    psutil.Process(pid).kill()  # the postmaster ends everybody else and recovers from its log
    assert process.wait(20) != 0
    holder.close()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            psycopg.connect(url).close()
            break
        except psycopg.OperationalError:
            time.sleep(0.05)
    completes(url, db, before)


def test_a_batch_that_is_interrupted_is_completed(interrupted):
    """Of the migration that fills in batches, what was committed stays, and the rest is filled when it runs again."""
    url, db = interrupted
    deploy.dbmate(url, "up", db)
    with psycopg.connect(url) as connection:
        connection.execute("DELETE FROM ops.schema_migrations WHERE version = '902'")
        connection.execute(
            """UPDATE pulsex.user_topics SET followed_at = NULL
            WHERE user_id = (SELECT user_id FROM pulsex.users ORDER BY user_id LIMIT 1)"""
        )
    deploy.dbmate(url, "up", db)
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT FROM pulsex.user_topics WHERE followed_at IS NULL").rowcount == 0
