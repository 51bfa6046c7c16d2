"""People and services at work all at once, through the app's routines as the real roles, each keeping the ledger."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import psycopg
from psycopg import errors

from tests.resilience.ledger import Ledger, broke

PATIENCE = 60  # seconds for anything to go on
# What a client does again, as its driver would: somebody else had what it wanted.
AGAIN = (errors.DeadlockDetected, errors.LockNotAvailable, errors.SerializationFailure)


class Call(NamedTuple):
    """A transaction that was committed: when (by the monotonic clock), of what kind, and how many seconds it took."""

    at: float
    kind: str
    seconds: float


class Client(Protocol):
    """Who acts, again and again, through a connection for each of its roles."""

    roles: Sequence[str]
    pace: float  # how many times as long as others it thinks

    def act(self, *lines: psycopg.Connection) -> str:
        """Do one thing; return what kind of thing it was."""


@dataclass
class Crowd:
    """All who are at work in the database of the superuser's ``url``, what they were told, and how long it took."""

    url: str
    clients: Sequence[Client]
    ledger: Ledger
    pause: float = 0.0  # seconds that each thinks between two transactions
    expected: frozenset[str] = frozenset()  # SQLSTATEs that a client takes for an answer, and goes on
    refused: Counter[str] = field(default_factory=Counter)
    calls: deque[Call] = field(default_factory=deque)
    again: int = 0
    reconnects: int = 0
    errors: list[Exception] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """Have everybody at work while the block runs; raise what anybody was told that they shouldn't be."""
        self.stop.clear()
        threads = [threading.Thread(target=self._run, args=(client,), daemon=True) for client in self.clients]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.stop.set()
            for thread in threads:
                thread.join(PATIENCE)
            if self.errors:
                raise ExceptionGroup("what clients were told", self.errors)
        assert not any(thread.is_alive() for thread in threads), "somebody still waits"

    def await_commits(self, count: int) -> None:
        """Return when so many more transactions were committed."""
        wanted = self.ledger.commits + count
        self.await_that(lambda: self.ledger.commits >= wanted)

    def await_that(self, come_true: Callable[[], bool]) -> None:
        """Return when something has come true, or somebody was told what they shouldn't be."""
        deadline = time.monotonic() + PATIENCE
        while not come_true() and not self.errors:
            assert time.monotonic() < deadline, f"{self.ledger.commits} commits, {self.refused} refused, and no more"
            self.stop.wait(0.01)

    def _run(self, client: Client) -> None:
        """Have a client act until all stop, connected anew whenever its server is gone."""
        try:
            while not self.stop.is_set():
                self._act_while_connected(client)
        except Exception as error:  # at_work() raises it
            self.errors.append(error)

    def _act_while_connected(self, client: Client) -> None:
        lines: list[psycopg.Connection] = []
        try:
            for role in client.roles:
                lines.append(psycopg.connect(self.url, user=role, autocommit=True))
            while not self.stop.wait(self.pause * client.pace):
                self._act(client, lines)
        except psycopg.Error as error:
            if len(lines) == len(client.roles) and not any(broke(line, error) for line in lines):
                raise
            self.reconnects += 1
            self.stop.wait(0.02)
        finally:
            for line in lines:
                line.close()

    def _act(self, client: Client, lines: list[psycopg.Connection]) -> None:
        started = time.monotonic()
        try:
            kind = client.act(*lines)
        except AGAIN:
            self.again += 1
        except psycopg.Error as error:
            if error.sqlstate not in self.expected or any(broke(line, error) for line in lines):
                raise
            self.refused[error.sqlstate] += 1
        else:
            ended = time.monotonic()
            self.calls.append(Call(ended, kind, ended - started))
