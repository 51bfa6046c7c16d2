"""Workers and servers that die in the middle of it: everything ends sent or dead, and nothing is sent twice."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from conftest import PREPARED
from pulsex import throwaway
from tests.actors import Actor
from tests.harness import CAST, Database
from tests.notifications.desk import HOUR, LEASE, NOON, Acting, Desk
from tests.notifications.meeting import PATIENCE
from tests.resilience.durable import crash

pytestmark = pytest.mark.commits
CLAIM = "SELECT user_id, notification_id, lease_token FROM pulsex.claim_notifications('dies', 10, p_at => %s)"
COMPLETE = "SELECT pulsex.complete_notification(%s, %s, %s, %s)"
# Commits wait for the log to be written. What was written survives a process, though not the machine: fsync is about
# that, and makes recovery read every file of the cluster first, which takes seconds.
DURABLE = (
    "-h 127.0.0.1 -c synchronous_commit=on -c full_page_writes=on -c fsync=off -c autovacuum=off"
    " -c logging_collector=off -c wal_level=minimal -c max_wal_senders=0"
)
# The worker that is killed, as a process: it dies with its lease, not knowing it.
DYING = """
import sys, psycopg
from tests.notifications.test_crash import lease_and_leave_it
connection = psycopg.connect(sys.argv[1], user="pulsex_worker")
lease_and_leave_it(connection)
print("leased", flush=True)
sys.stdin.read()
"""


def lease_and_leave_it(connection: psycopg.Connection) -> list[tuple]:
    """Lease thirty: ten in full and half sent, ten for good, ten in a transaction that is open, like what it sent.

    Returns the second ten.
    """
    for one in connection.execute(CLAIM, [NOON]).fetchall()[:5]:
        connection.execute(COMPLETE, [*one, NOON])
    connection.commit()
    leased = connection.execute(CLAIM, [NOON]).fetchall()
    connection.commit()
    for one in connection.execute(CLAIM, [NOON]).fetchall() + leased[:5]:
        connection.execute(COMPLETE, [*one, NOON])
    return leased


def fill(desk: Desk, person: Actor) -> None:
    """Enqueue forty, of which the twenty that are leased first have one attempt only."""
    desk.fill(person, 20)
    desk.fill(person, 20, at=NOON - HOUR)
    desk.service.rows("UPDATE pulsex.notification_queue SET max_attempts = 1 WHERE available_at < %s", NOON - HOUR / 2)


def survive(desk: Desk, heard: int = 0) -> None:
    """Send what there is to send, at noon and when the leases of the dead have ended; all is as it must be.

    Five were sent before; of the fifteen others with one attempt all are dead but those that were ``heard`` of since;
    the open transaction never was, so its ten are sent like the ten that nobody had.
    """
    for at in (NOON, NOON + LEASE):
        for claimed in desk.claim(at, "survives", limit=1000):
            desk.complete(claimed, at)
    desk.service.results_eq(
        """SELECT state, reason, tries, count(*) FROM pulsex.notifications AS n
        CROSS JOIN LATERAL (
            SELECT array_agg(a.outcome ORDER BY a.attempt) AS tries FROM pulsex.notification_attempts AS a
            WHERE a.user_id = n.user_id AND a.notification_id = n.notification_id
        ) AS history
        WHERE kind = 'tip' GROUP BY state, reason, tries ORDER BY state""",
        [("dead", "out_of_attempts", ["lease_expired"], 15 - heard), ("sent", None, ["sent"], 25 + heard)],
    )
    desk.service.is_empty("SELECT FROM pulsex.notification_queue")


def gone(watcher: Actor) -> None:
    """Return when no worker is connected any more."""
    deadline = time.monotonic() + PATIENCE
    connected = """SELECT count(*) FROM pg_stat_activity
        WHERE usename = 'pulsex_worker' AND datname = current_database()"""
    while watcher.value(connected):
        assert time.monotonic() < deadline, "it lives"


def test_a_worker_that_is_killed(database, desk, dba, alice):
    """SIGKILL: it says nothing to anybody."""
    fill(desk, alice)
    with subprocess.Popen(
        [sys.executable, "-c", DYING, database.url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as dying:
        assert dying.stdout.readline() == "leased\n"
        dying.kill()
    gone(dba)
    survive(desk)


def test_a_worker_whose_connection_is_terminated(database, desk, dba, alice):
    """pg_terminate_backend: its open transaction is undone, and it can't settle what it had."""
    fill(desk, alice)
    with psycopg.connect(database.url, user="pulsex_worker") as connection:
        lease_and_leave_it(connection)
        dba.rows("SELECT pg_terminate_backend(%s)", connection.info.backend_pid)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT")
    gone(dba)
    survive(desk)


@pytest.fixture
def mortal(request: pytest.FixtureRequest) -> Iterator[throwaway.Throwaway]:
    """A server of the test's own that has written what it says is committed."""
    place, data = map(Path, request.config.stash[PREPARED])
    with throwaway.Throwaway(
        **throwaway.settings(place) | {"postgres_args": DURABLE}, copy_data_from=str(data)
    ) as server:
        yield server


@pytest.fixture
def at_the_desk(mortal, server) -> Iterator[object]:
    """A function that connects to that server anew, and returns Alice and the desk."""
    databases = []

    def connect() -> tuple[Actor, Desk]:
        databases.append(Database(mortal.url(database=CAST), commits=True, cast=server.cast))
        dba = databases[-1].actor("dba", "postgres")
        person = server.cast["alice"]
        desk = Desk(Acting(dba, "pulsex_worker"), Acting(dba, "pulsex_service"))
        return Acting(dba, "pulsex_app", person.token, person.user_id), desk

    yield connect
    for database in databases:
        database.close()


@pytest.mark.parametrize("blow", [signal.SIGQUIT, signal.SIGKILL], ids=lambda blow: blow.name)
def test_a_server_that_crashes(mortal, at_the_desk, blow):
    """It recovers: leases that were committed hold, those that weren't never were; the worker is late, or in time."""
    alice, desk = at_the_desk()
    desk.service.rows("DELETE FROM pulsex.notification_queue")
    fill(desk, alice)
    with psycopg.connect(mortal.url(database=CAST), user="pulsex_worker") as connection:
        leased = lease_and_leave_it(connection)
        crash(mortal, blow)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT")
    mortal.start()
    _, desk = at_the_desk()
    desk.worker.rows(COMPLETE, *leased[0], NOON)  # the worker lives, and wasn't heard: it says so again
    survive(desk, heard=1)
    desk.worker.rows(COMPLETE, *leased[0], NOON)
    desk.worker.throws_ok(COMPLETE, "PT409", *leased[1], NOON)
