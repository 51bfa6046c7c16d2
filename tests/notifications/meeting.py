"""Several connections that meet at known points, without anybody sleeping."""

from __future__ import annotations

import time

import psycopg

from tests.harness import Database

PATIENCE = 20  # seconds


def blocked(database: Database, connection: psycopg.Connection) -> None:
    """Return when a connection's statement, run in another thread, waits for a lock; fail if it never does."""
    watcher = database.actor("watcher", "postgres")
    deadline = time.monotonic() + PATIENCE
    while not watcher.value("SELECT cardinality(pg_blocking_pids(%s))", connection.info.backend_pid):
        assert time.monotonic() < deadline, "nobody waits"
