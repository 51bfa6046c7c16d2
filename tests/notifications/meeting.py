"""Several connections that meet at known points, without anybody sleeping."""

from __future__ import annotations

import time
from datetime import datetime

import psycopg

from tests.harness import Database
from tests.notifications.desk import NOON

PATIENCE = 20  # seconds


def blocked(database: Database, connection: psycopg.Connection) -> None:
    """Return when a connection's statement, run in another thread, waits for a lock; fail if it never does."""
    watcher = database.actor("watcher", "postgres")
    deadline = time.monotonic() + PATIENCE
    while not watcher.value("SELECT cardinality(pg_blocking_pids(%s))", connection.info.backend_pid):
        assert time.monotonic() < deadline, "nobody waits"


class Sleeper:
    """A worker that listens: what wakes it, in order."""

    def __init__(self, database: Database) -> None:
        self.connection = psycopg.connect(database.url, user="pulsex_worker", autocommit=True)
        self.connection.execute("LISTEN pulsex_notifications; LISTEN fence")
        self.other = database.actor("watcher", "postgres")

    def sleep(self, channel: str | None = "push", at: datetime = NOON) -> datetime | None:
        """Ask until when it may sleep."""
        return self.connection.execute("SELECT pulsex.await_notifications(%s, %s)", [channel, at]).fetchone()[0]

    def heard(self) -> list[str]:
        """Return the channels that it was woken for up to now: what is sent next comes after them."""
        self.other.rows("NOTIFY fence")
        woken = []
        for heard in self.connection.notifies(timeout=PATIENCE):
            if heard.channel == "fence":
                return woken
            woken.append(heard.payload)
        raise AssertionError("nothing is heard at all")
