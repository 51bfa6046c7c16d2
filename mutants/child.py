"""What runs in a process of its own, forked when all tests were collected: some of the tests, on a changed database."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import psycopg
import pytest
from _pytest.main import pytest_runtestloop

from tests import harness

WHY = 200  # characters of what a failed test says in the end
CALLED = "SELECT funcname, calls FROM pg_stat_user_functions"
# What the server counts is calls that return: of one that ends in an error only its log tells.
RAISED = re.compile(r"PL/pgSQL function (?:\w+\.)?(\w+)\(")


@dataclass
class Seen:
    """What a run says of a test: whether it failed and why, how many seconds it took, and the routines it called."""

    failed: bool = False
    why: str = ""
    seconds: float = 0.0
    calls: set[str] = field(default_factory=set)


class Watch:
    """A plugin that notes what becomes of each test."""

    def __init__(self) -> None:
        self.seen: dict[str, Seen] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add up a test's set-up, call and teardown."""
        seen = self.seen.setdefault(report.nodeid, Seen())
        if report.failed and not seen.failed:
            seen.failed, seen.why = True, " ".join(report.longreprtext.split())[-WHY:]
        seen.seconds += report.duration


class WatchCalls(Watch):
    """A plugin that also asks the server, and its log, which routines each test called."""

    def __init__(self, log: Path) -> None:
        super().__init__()
        self.before: dict[str, dict[str, int]] = {}
        self.log = log
        self.read = log.stat().st_size

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> None:
        """Look while the test's database is still there, once everybody in it has told the server what they called."""
        calls = self.seen.setdefault(item.nodeid, Seen()).calls
        urls = [item.funcargs["deployed"]] if "deployed" in item.funcargs else []
        database = item.funcargs.get("database")
        if database:
            database.end()
            for actor in database.actors.values():
                if not actor.connection.closed:
                    with contextlib.suppress(psycopg.Error):
                        actor.connection.execute("SELECT pg_stat_force_next_flush()")
                        actor.connection.rollback()
            urls.append(database.url)
        for url in urls:
            with psycopg.connect(url, autocommit=True) as connection:
                now = dict(connection.execute(CALLED).fetchall())
            before = self.before.get(url, {})
            calls |= {name for name, count in now.items() if count > before.get(name, 0)}
            self.before[url] = now
        with self.log.open("rb") as log:
            log.seek(self.read)
            said = log.read()
        self.read += len(said)
        calls |= set(RAISED.findall(said.decode(errors="replace")))


def run(
    session: pytest.Session, server: harness.Server, items: list[pytest.Item], watch: Watch, *, until_one_fails: bool
) -> None:
    """Run some of the collected tests on this server, in this process."""
    session.config.stash[harness.SERVER] = server
    session.items[:] = items
    session.config.option.maxfail = int(until_one_fails)
    session.config.pluginmanager.register(watch)
    with contextlib.suppress(session.Failed):
        pytest_runtestloop(session)
    session._setupstate.teardown_exact(None)


def reporting(pipe: Connection, work: Callable[[], object]) -> None:
    """Send what the work returns, or the exception that it ends with, through a pipe; be silent otherwise."""
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    try:
        pipe.send(work())
    except BaseException as error:  # whatever it is, the parent says so
        pipe.send(RuntimeError(f"{type(error).__name__}: {error}"))
