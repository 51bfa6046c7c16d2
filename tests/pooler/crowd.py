"""A crowd of clients that act at random through the pooler, and what each of them saw that wasn't theirs to see."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from uuid import UUID

import psycopg
from psycopg import errors

from tests.actors import Actor
from tests.cast import CONTENT, PASSWORD_HASH
from tests.pooler.pooler import Pooler

# Which server connection this is, whom the database takes the client for, and all that the client can see.
LOOK = """
SELECT pg_backend_pid(), auth.current_user_id(), ARRAY(
    SELECT concat_ws(' ', 'briefing', user_id, briefing_date, title) FROM pulsex.briefings
    UNION ALL SELECT concat_ws(' ', 'rating', user_id, briefing_date, comment) FROM pulsex.briefing_feedback
    UNION ALL SELECT concat_ws(' ', 'user', user_id, display_name) FROM pulsex.users
    UNION ALL SELECT concat_ws(' ', 'preferences', user_id) FROM pulsex.user_preferences
    ORDER BY 1
)
"""
PROVE = "SELECT auth.use_session(%s)"
RATE = "SELECT pulsex.record_feedback(%s, %s, %s::smallint, %s)"
KEEP_CONTEXT = "SELECT set_config('pulsex.context', current_setting('pulsex.context'), false)"
RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: on, for 0 s


@dataclass(frozen=True)
class Reader:
    """A person with briefings, and all the rows they can see, as LOOK spells them."""

    name: str
    user_id: UUID
    token: str
    dates: tuple[date, ...]
    rows: list[str]


def register(name: str, briefings: int, today: date, sign_in: Actor, worker: Actor, app: Actor) -> Reader:
    """Register a person with a session and so many rated briefings up to today, their name in each."""
    user_id = sign_in.value("SELECT auth.register_user(%s, %s, %s)", f"{name}@example.com", PASSWORD_HASH, name)
    token = sign_in.value("SELECT auth.start_session(%s)", user_id)
    person = Actor(app.connection, token=token, user_id=user_id, commits=True)
    person.rows("SELECT gdpr.record_consent(%s, 'analytics', true, '2026-01')", user_id)
    dates = tuple(today - timedelta(days=days) for days in range(briefings))
    rows = [f"user {user_id} {name}", f"preferences {user_id}"]
    for day in dates:
        worker.rows("SELECT pulsex.publish_briefing(%s, %s, %s, %s)", user_id, day, CONTENT, f"For {name}")
        person.rows(RATE, user_id, day, 3, f"by {name}")
        rows += [f"briefing {user_id} {day} For {name}", f"rating {user_id} {day} by {name}"]
    return Reader(name, user_id, token, dates, sorted(rows))


@dataclass
class Record:
    """What the crowd did, over which server connections, and what anybody saw that wasn't theirs to see, or missed."""

    acts: Counter[str] = field(default_factory=Counter)
    transactions: int = 0
    servers: set[int] = field(default_factory=set)
    leaks: list[str] = field(default_factory=list)


@dataclass
class Client:
    """One client of the pooler: a reader's, who now and then forgets to say so."""

    reader: Reader
    pooler: Pooler
    dba: psycopg.AsyncConnection
    record: Record
    dice: random.Random
    connection: psycopg.AsyncConnection | None = None

    async def connect(self) -> None:
        """Connect, for the first time or again."""
        self.connection = await psycopg.AsyncConnection.connect(
            self.pooler.conninfo(), autocommit=True, prepare_threshold=None
        )

    async def act(self, acts: Mapping[str, int]) -> None:
        """Do one of the acts, at random by weight, with a new connection where the last act lost it."""
        if self.connection.closed:
            await self.connect()
        [act] = self.dice.choices(list(acts), list(acts.values()))
        await getattr(self, act)()
        self.record.acts[act] += 1

    async def close(self) -> None:
        """Disconnect."""
        if self.connection:
            await self.connection.close()

    # What clients do ---------------------------------------------------------------------------------------------

    async def read_in_one_message(self) -> None:
        """A whole transaction, sent at once."""
        cursor = psycopg.AsyncClientCursor(self.connection)
        await cursor.execute(f"BEGIN; {PROVE}; {LOOK}; COMMIT", [self.reader.token])
        cursor.nextset()
        cursor.nextset()
        self._check(self.reader, await cursor.fetchone())
        self.record.transactions += 1

    async def read_step_by_step(self) -> None:
        """A transaction over several messages, between which the other server connections are busy."""
        await self._begin()
        await self._rate()
        await self._look(self.reader)
        await self._end("COMMIT")

    async def ask_as_nobody(self) -> None:
        """A client that doesn't prove its session, right after whoever used the server connection before."""
        await self._look(None)
        self.record.transactions += 1

    async def leave_own_context(self) -> None:
        """Copies the signed context to session level, where the server connection keeps it."""
        await self._begin()
        await self.connection.execute(KEEP_CONTEXT)
        await self._look(self.reader)
        await self._end("COMMIT")
        await self.ask_as_nobody()

    async def leave_forged_context(self) -> None:
        """Sets the context by hand at session level."""
        forged = self.dice.choice([f"{self.reader.user_id}.{'0' * 64}", str(self.reader.user_id)])
        await self.connection.execute("SELECT set_config('pulsex.context', %s, false)", [forged])
        self.record.transactions += 1
        await self.ask_as_nobody()

    async def roll_back(self) -> None:
        """Thinks better of it."""
        await self._begin()
        await self._rate()
        await self._end("ROLLBACK")

    async def fail(self) -> None:
        """Makes a mistake, and leaves the failed transaction."""
        await self._begin()
        with expecting(errors.DivisionByZero):
            await self.connection.execute("SELECT 1 / 0")
        await self._end("ROLLBACK")

    async def time_out(self) -> None:
        """Asks for more than it has time for."""
        await self._begin()
        await self.connection.execute("SET LOCAL statement_timeout = '5ms'")
        with expecting(errors.QueryCanceled):
            await self.connection.execute("SELECT pg_sleep(10)")
        await self._end("ROLLBACK")

    async def cancel(self) -> None:
        """Asks for more than it cares to wait for."""
        await self._begin()
        asked = asyncio.create_task(self.connection.execute("SELECT pg_sleep(10)"))
        while not asked.done():  # a cancel request that arrives before the statement does nothing
            await self.connection.cancel_safe()
            await asyncio.wait([asked], timeout=0.01)
        with expecting(errors.QueryCanceled):
            await asked
        await self._end("ROLLBACK")

    async def disconnect(self) -> None:
        """Says goodbye in the middle of a transaction."""
        await self._begin()
        await self._rate()
        await self.connection.close()

    async def die(self) -> None:
        """Is killed in the middle of a transaction."""
        await self._begin()
        await self._rate()
        kill(self.connection)
        await self.connection.close()

    async def die_asking(self) -> None:
        """Is killed in the middle of a statement."""
        await self._begin()
        asked = asyncio.create_task(self.connection.execute("SELECT pg_sleep(0.05)"))
        await asyncio.sleep(0)
        kill(self.connection)
        with expecting(psycopg.OperationalError):
            await asked
        await self.connection.close()

    async def lose_server(self) -> None:
        """The backend is terminated in the middle of a transaction."""
        await self._begin()
        await self._rate()
        pid = await self._look(self.reader)
        await self.dba.execute("SELECT pg_terminate_backend(%s)", [pid])
        with expecting(psycopg.OperationalError):
            while True:
                await self._look(self.reader)
        await self.connection.close()

    # Which they do with --------------------------------------------------------------------------------------------

    async def _begin(self) -> None:
        await self.connection.execute("BEGIN")
        await self.connection.execute(PROVE, [self.reader.token])
        await self._look(self.reader)

    async def _end(self, how: str) -> None:
        await self.connection.execute(how)
        self.record.transactions += 1

    async def _rate(self) -> None:
        """One row in a transaction, so that nobody waits in a circle."""
        day, rating = self.dice.choice(self.reader.dates), self.dice.randint(1, 5)
        await self.connection.execute(RATE, [self.reader.user_id, day, rating, f"by {self.reader.name}"])

    async def _look(self, whose: Reader | None) -> int:
        cursor = await self.connection.execute(LOOK)
        return self._check(whose, await cursor.fetchone())

    def _check(self, whose: Reader | None, saw: tuple[int, UUID | None, list[str]]) -> int:
        pid, user_id, rows = saw
        self.record.servers.add(pid)
        if (user_id, rows) != ((whose.user_id, whose.rows) if whose else (None, [])):
            self.record.leaks.append(f"{whose.name if whose else 'nobody'} on {pid} was {user_id} and saw {rows}")
        return pid


@contextlib.contextmanager
def expecting(error: type[psycopg.Error]) -> Iterator[None]:
    """Let an error pass, and nothing else."""
    try:
        yield
    except error:
        return
    raise AssertionError(f"no {error.__name__}")


def kill(connection: psycopg.Connection | psycopg.AsyncConnection) -> None:
    """Break a client's connection off without a word, as when its process or its machine dies."""
    with socket.socket(fileno=socket.dup(connection.fileno())) as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        line.shutdown(socket.SHUT_RDWR)


def storm(
    pooler: Pooler,
    url: str,
    readers: Sequence[Reader],
    acts: Mapping[str, int],
    *,
    clients: int = 200,
    seconds: float,
    seed: int = 18,
) -> Record:
    """Let clients of the readers act at random for some seconds, or until one sees what it shouldn't.

    ``url`` is the superuser's, past the pooler. ``acts`` are methods of Client and how often each is done.
    """
    record = Record()
    dice = [random.Random(seed + number) for number in range(clients)]  # noqa: S311  # repeatable, not unguessable

    async def play(client: Client, until: float) -> None:
        while time.monotonic() < until and not record.leaks:
            await client.act(acts)

    async def play_all() -> None:
        async with contextlib.AsyncExitStack() as stack:
            dba = await stack.enter_async_context(await psycopg.AsyncConnection.connect(url, autocommit=True))
            crowd = [Client(readers[n % len(readers)], pooler, dba, record, dice[n]) for n in range(clients)]
            for client in crowd:
                stack.push_async_callback(client.close)
                await client.connect()
            until = time.monotonic() + seconds
            async with asyncio.TaskGroup() as group:
                for client in crowd:
                    group.create_task(play(client, until))

    asyncio.run(play_all())
    return record
