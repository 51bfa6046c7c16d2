"""Migrations that are interrupted half way are applied or not, and running them again completes them."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from pulsex import deploy, throwaway
from pulsex.fingerprint import ROWS, Fingerprint, difference
from tests import harness
from tests.harness import PATIENCE, until
from tests.migrations.releases import EXPAND, release
from tests.migrations.walk import MIGRATIONS, take

pytestmark = pytest.mark.xdist_group("interrupted")

LATER = [migration for migration in MIGRATIONS if migration.stem > "004"]
WAITING = """SELECT pid FROM pg_locks
    WHERE NOT granted AND relation = %s::regclass AND mode IN ('ShareRowExclusiveLock', 'AccessExclusiveLock')"""
UNFILLED = "SELECT FROM pulsex.user_topics WHERE followed_at IS NULL"
APPLIED = "SELECT version FROM ops.schema_migrations WHERE version >= '901' ORDER BY version"
BATCHES = "SELECT count(DISTINCT xmin::text) FROM pulsex.user_topics WHERE followed_at IS NOT NULL"


@pytest.fixture(scope="module")
def server(scratch_place) -> Iterator[throwaway.Throwaway]:
    """A cluster of the module's own, since it is crashed; what it has committed it keeps."""
    settings = throwaway.settings(scratch_place)
    settings["postgres_args"] += " -c synchronous_commit=on"
    data = (scratch_place / "prepared").read_text()
    with throwaway.Throwaway(**settings, copy_data_from=data) as server:
        yield server


@pytest.fixture
def url(server) -> Iterator[str]:
    """A database of the test's own, with the cast in it."""
    admin = server.url(database="postgres")
    url = throwaway.create_database(admin, "interrupted", harness.CAST)
    yield url
    throwaway.drop_database(admin, "interrupted")


@pytest.fixture
def expand(tmp_path) -> Path:
    """The release whose second migration fills a column in batches."""
    return release(tmp_path, EXPAND)


def waiting(url: str, table: str) -> int:
    """Return the process that waits for a migration's lock on a table, once there is one."""
    with psycopg.connect(url, autocommit=True) as watcher:
        [pid] = until(lambda: watcher.execute(WAITING, [table]).fetchone())
    return pid


@contextlib.contextmanager
def stopped(
    url: str, db: Path, command: str, hold: str
) -> Iterator[tuple[subprocess.Popen[bytes], psycopg.Connection]]:
    """Run dbmate while a transaction that has done ``hold`` keeps something from it; yield both."""
    with psycopg.connect(url) as holder:
        holder.execute(hold)
        line, environment = deploy.dbmate_command(url, command, db)
        process = subprocess.Popen(
            line, env=os.environ | environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        yield process, holder
        with contextlib.suppress(psycopg.OperationalError):  # where the server was crashed
            holder.rollback()


def kill_dbmate(url: str, db: Path, command: str, hold: str, table: str) -> None:
    """Let dbmate die half way, and wait until the server has noticed."""
    with stopped(url, db, command, hold) as (process, _):
        pid = waiting(url, table)
        process.kill()
        process.wait()
    until(lambda: not psutil.pid_exists(pid))


def crash(url: str, db: Path, command: str, hold: str, table: str) -> None:
    """Kill the server's process half way: the postmaster ends everybody else, and recovers from its log."""
    with stopped(url, db, command, hold) as (process, holder):
        psutil.Process(waiting(url, table)).kill()
        assert process.wait(PATIENCE) != 0
        recovered(url, holder)


def recovered(url: str, witness: psycopg.Connection) -> None:
    """Wait until the server has ended everybody, a witness too, and is back."""

    def answers(connection: psycopg.Connection) -> bool:
        try:
            return connection.execute("SELECT TRUE").fetchone()[0]
        except psycopg.OperationalError:
            return False

    def connects() -> bool:
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(url) as connection:
            return answers(connection)
        return False

    until(lambda: not answers(witness))
    until(connects)


INTERRUPTIONS = [kill_dbmate, crash]


@pytest.mark.long
def test_each_later_migration_is_applied_or_not(url, tmp_path, figures):
    """Each after 003, down and up, dies with dbmate, and up with the server: nothing has changed, then it completes."""
    db = Path(shutil.copytree(deploy.DB, tmp_path / "db"))

    def interrupted(command: str, hold: str, *interruptions: Callable[..., None]) -> Fingerprint:
        before = take(url)
        for interrupt in interruptions:
            interrupt(url, db, command, hold, "pulsex.users")
            figures["migrations interrupted"] += 1
        assert difference(before, take(url)) == []
        deploy.dbmate(url, command, db)
        return before

    for _ in LATER:  # what the routines made of it doesn't come back
        deploy.dbmate(url, "rollback", db)
    deploy.dbmate(url, "up", db)
    above = []
    for migration in reversed(LATER):
        above.append(interrupted("rollback", "LOCK TABLE pulsex.users IN ACCESS SHARE MODE", kill_dbmate))
        (db / "migrations" / migration.name).unlink()
    for migration in LATER:
        shutil.copy(migration, db / "migrations")
        interrupted("up", "LOCK TABLE pulsex.users IN ROW EXCLUSIVE MODE", kill_dbmate, crash)
        changed = difference(above.pop(), take(url))
        assert [line for line in changed if not line[2:].startswith(ROWS)] == []


@pytest.mark.parametrize("interrupt", INTERRUPTIONS)
def test_a_migration_of_the_next_release_is_applied_or_not(url, expand, interrupt):
    """So is the one that adds a column, of the worked example."""
    before = take(url)
    interrupt(url, expand, "up", "LOCK TABLE pulsex.user_topics IN ACCESS SHARE MODE", "pulsex.user_topics")
    assert difference(before, take(url)) == []
    deploy.dbmate(url, "up", expand)
    with psycopg.connect(url) as connection:
        assert connection.execute(UNFILLED).rowcount == 0
        assert connection.execute(APPLIED).fetchall() == [("901",), ("902",)]


@pytest.mark.parametrize("victim", ["dbmate", "server"])
def test_a_batch_that_is_killed_is_completed(url, expand, victim):
    """The migration that fills in batches is killed between two: what was committed stays, the rest is filled later."""
    with psycopg.connect(url) as connection:
        connection.execute(
            """INSERT INTO pulsex.topics (slug, label)
            SELECT 'topic-' || n, 'Topic' FROM generate_series(1, 250) AS n"""
        )
        connection.execute(
            """INSERT INTO pulsex.user_topics (user_id, topic_id) SELECT user_id, topic_id
            FROM pulsex.users CROSS JOIN pulsex.topics ON CONFLICT DO NOTHING"""
        )
    last = """SELECT FROM pulsex.user_topics WHERE (user_id, topic_id) = (
            SELECT user_id, topic_id FROM pulsex.user_topics ORDER BY user_id DESC, topic_id DESC LIMIT 1
        ) FOR UPDATE"""
    (kept,) = (expand / "migrations").glob("902*")
    later = kept.rename(kept.with_suffix(".later"))
    deploy.dbmate(url, "up", expand)
    later.rename(kept)

    with stopped(url, expand, "up", last) as (process, holder), psycopg.connect(url, autocommit=True) as watcher:
        until(lambda: watcher.execute(UNFILLED).rowcount == 1)
        assert watcher.execute(BATCHES).fetchone()[0] > 3
        [pid] = watcher.execute(
            "SELECT pid FROM pg_stat_activity WHERE query LIKE '%SKIP LOCKED%' AND pid <> pg_backend_pid()"
        ).fetchone()
        (process if victim == "dbmate" else psutil.Process(pid)).kill()
        process.wait(PATIENCE)
        if victim == "server":
            recovered(url, holder)
    until(lambda: not psutil.pid_exists(pid))
    with psycopg.connect(url, autocommit=True) as connection:
        assert connection.execute(APPLIED).fetchall() == [("901",)]
        assert connection.execute(UNFILLED).rowcount == (victim == "server")
        assert connection.execute(BATCHES).fetchone()[0] > 3
    deploy.dbmate(url, "up", expand)
    with psycopg.connect(url) as connection:
        assert connection.execute(APPLIED).fetchall() == [("901",), ("902",)]
        assert connection.execute(UNFILLED).rowcount == 0
