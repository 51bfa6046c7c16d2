"""Ten thousand connected clients in a process of their own, which act when they are due, whoever is still waiting.

Why not pgbench: its loop asks the kernel about every client's socket whenever one of them has an answer, which takes
the longer the more there are, and meanwhile it sees and sends nothing; the part ``concurrency`` measures it beside
this. Here the kernel says who has an answer (epoll), so a request costs the same however many others are connected.

Requests become due at random at a rate (a Poisson process), as they do of many people who know nothing of each other,
and latency is counted from then to the end of the answer: waiting for a client's turn, in the pooler and for this
process itself is part of it.
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import random
import select
import socket
import time
from array import array
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection

from bench import wire
from bench.mix import Kind, Mix

PATIENCE = 10.0  # seconds for the last answers after the last request
CHECK = 0.1  # seconds between two looks for whether to stop
CHUNK = 65536  # octets


@dataclass(frozen=True)
class Where:
    """The pooler's address, the database, and how many clients each role has."""

    port: int
    database: str
    clients: Mapping[str, int]


@dataclass(frozen=True)
class Play:
    """So many requests a second of a mix for so many seconds after a warm-up that isn't counted, or until stopped."""

    mix: Mix
    rate: float
    seconds: float = float("inf")
    warm_up: float = 2
    seed: int = 1


@dataclass
class Outcome:
    """What came of it: of each request, in the order in which they ended, its kind, when it was due, how long it took.

    Times are in seconds; ``due`` counts from ``started``, a time.monotonic(). ``lag`` is how late this process was to
    send.
    """

    kinds: list[str]
    kind: array = field(default_factory=lambda: array("B"))
    due: array = field(default_factory=lambda: array("d"))
    latency: array = field(default_factory=lambda: array("d"))
    lag: array = field(default_factory=lambda: array("d"))
    rows: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    started: float = 0.0
    seconds: float = 0.0


class Client:
    """One connection, and the request it is busy with."""

    __slots__ = ("answer", "due", "kind", "role", "sent", "socket", "turns")

    def __init__(self, where: Where, role: str) -> None:
        self.role = role
        self.socket = socket.create_connection(("127.0.0.1", where.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(wire.startup(role, where.database))
        self.answer = wire.Answer()
        while not self.answer.is_complete:
            self.receive()
        if self.answer.error:
            raise RuntimeError(f"a client couldn't connect: {self.answer.error}")
        self.socket.setblocking(False)

    def ask(self, kind: int, turns: Sequence[bytes], due: float, sent: float) -> None:
        """Send a request's first message."""
        self.kind, self.turns, self.due, self.sent = kind, iter(turns), due, sent
        self.answer.rows = 0
        self.go_on()

    def go_on(self) -> bool:
        """Send the request's next message; tell whether there was one."""
        packet = next(self.turns, None)
        if packet is None:
            return False
        self.answer.is_complete = False
        if self.socket.send(packet) < len(packet):
            raise RuntimeError("a message doesn't fit the socket's buffer")
        return True

    def receive(self) -> None:
        """Read what is there."""
        data = self.socket.recv(CHUNK)
        if not data:
            raise ConnectionResetError("the pooler closed the connection")
        self.answer.take(data)


class Crowd:
    """All of them."""

    def __init__(self, where: Where) -> None:
        self.poll = select.epoll()
        self.idle: dict[str, deque[Client]] = {}
        self.clients: dict[int, Client] = {}
        for role, count in where.clients.items():
            self.idle[role] = deque(Client(where, role) for _ in range(count))
            for client in self.idle[role]:
                self.clients[client.socket.fileno()] = client
                self.poll.register(client.socket, select.EPOLLIN)

    def play(self, play: Play, is_stopped: Callable[[], bool]) -> Outcome:
        """Let them act; return what came of it."""
        dice = random.Random(play.seed)  # noqa: S311  # the same requests in every run
        kinds = play.mix.kinds
        choices = _choices(kinds, dice)
        outcome = Outcome([kind.name for kind in kinds])
        started = time.monotonic() + play.warm_up
        due, end, check = time.monotonic(), started + play.seconds, 0.0
        busy = 0
        while True:
            now = time.monotonic()
            if now >= check:
                check = now + CHECK
                if is_stopped():
                    end = min(end, now)
            while due <= now and due < end:
                choice = next(choices)
                kind = kinds[choice]
                waiting = self.idle[kind.role]
                if not waiting:
                    break  # everybody is busy: it stays due
                waiting.popleft().ask(choice, kind.make(dice), due, now)
                busy += 1
                due += dice.expovariate(play.rate)
            if (due >= end and not busy) or now > end + PATIENCE:
                break
            # epoll itself counts in milliseconds, select in microseconds.
            select.select([self.poll], [], [], max(0.0, min(due, now + CHECK) - now) if due < end else CHECK)
            for descriptor, _ in self.poll.poll(0):
                busy -= self._receive(self.clients[descriptor], outcome, started)
        outcome.started, outcome.seconds = started, min(end, now) - started
        if busy:
            outcome.failures["no answer"] += busy
        return outcome

    def _receive(self, client: Client, outcome: Outcome, started: float) -> int:
        """Read what a client got; return 1 when its request has ended, else 0."""
        answer = client.answer
        try:
            client.receive()
        except ConnectionError:
            self.poll.unregister(client.socket)
            outcome.failures["connection lost"] += 1
            return 1
        if not answer.is_complete or (not answer.error and client.go_on()):
            return 0
        if client.due >= started:
            name = outcome.kinds[client.kind]
            outcome.kind.append(client.kind)
            outcome.due.append(client.due - started)
            outcome.latency.append(time.monotonic() - client.due)
            outcome.lag.append(client.sent - client.due)
            outcome.rows[name] += answer.rows
        if answer.error:
            outcome.failures[answer.error] += 1
            answer.error = ""
        self.idle[client.role].append(client)
        return 1


def _choices(kinds: Sequence[Kind], dice: random.Random) -> Iterator[int]:
    """Choose kinds by their weights, without end."""
    while True:
        yield from dice.choices(range(len(kinds)), [kind.weight for kind in kinds], k=1000)


def _serve(where: Where, line: Connection) -> None:
    gc.disable()  # its pauses would be taken for the database's
    crowd = Crowd(where)
    line.send(None)
    while (play := line.recv()) is not None:
        line.send(crowd.play(play, lambda: line.poll() and line.recv() == "stop"))


@dataclass
class Stage:
    """Where a crowd waits to be told what to play, in another process."""

    line: Connection

    def start(self, play: Play) -> None:
        """Have them begin."""
        self.line.send(play)

    def stop(self) -> None:
        """Have them end what was to go on until stopped."""
        self.line.send("stop")

    def outcome(self) -> Outcome:
        """Wait until they have ended; return what came of it."""
        return self.line.recv()

    def play(self, play: Play) -> Outcome:
        """Have them begin, and wait until they have ended."""
        self.start(play)
        return self.outcome()


@contextlib.contextmanager
def gathered(where: Where) -> Iterator[Stage]:
    """Yield the stage when everybody is connected."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(where, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        ours.recv()
        yield Stage(ours)
        ours.send(None)
        process.join(PATIENCE)
    finally:
        process.kill()
        process.join()
