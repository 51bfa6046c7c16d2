"""PulseX's queue, procrastinate and pgqueuer, each through its own documented API, for bench/queue.py.

A job does nothing, so what is measured is the queue. Each side has a database of its own on the same server.

- ``PulseX``: psycopg. One at a time: ``pulsex.enqueue_notification`` for one of 1,000 people, an in-app message, a
  transaction each. In batches: ``pulsex.enqueue_notifications`` for 100 of them. A worker claims 100,
  in a transaction, and settles them by ``pulsex.complete_notifications`` in another. Idle, it calls
  ``pulsex.await_notifications`` and LISTENs.
- ``procrastinate``: ``PsycopgConnector``; ``defer_async``, and ``batch_defer_async`` of 100 (its documentation: "more
  efficient than deferring them one by one"); ``run_worker_async`` with a concurrency of 10, its way to do more at once
  in a process. Jobs are kept when they are done, as by default.
- ``pgqueuer``: asyncpg, the driver its documentation starts with, and uvloop, which its command line uses;
  ``Queries.enqueue`` of one job and of lists of 100; ``QueueManager.run`` with a batch_size of 100, which also settles
  in batches. Its log is kept, as by default.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator
from typing import Protocol

import asyncpg
import procrastinate
import psycopg
import uvloop
from pgqueuer.core.qm import QueueManager
from pgqueuer.queries import Queries
from pgqueuer.types import QueueExecutionMode

BATCH, PEOPLE = 100, 1000
Done = Callable[[float], None]  # takes what the job carries: when it was enqueued, by time.monotonic()


class Rival(Protocol):
    """A queue: installed once, and then enqueued to by one process and worked off by others."""

    url: str

    def install(self) -> None:
        """Make its tables in its database."""

    def enqueue_singly(self, count: int, pause: float = 0) -> float:
        """Enqueue jobs, a transaction each, with a pause after each; return the seconds it took, without connecting."""

    def enqueue_batches(self, count: int) -> float:
        """Enqueue jobs, a transaction for each hundred; return the seconds it took, without connecting."""

    def drain(self, ready: Callable[[], None], done: Done) -> None:
        """Connect, say so, wait for the others, and work jobs off until there are none; say of each when it's done."""

    def serve(self, done: Done) -> None:
        """Work jobs off for ever, asleep while there are none."""


class PulseX:
    """The queue of this repository."""

    ENQUEUE = "SELECT pulsex.enqueue_notification(%s, 'in_app', 'bench', jsonb_build_object('at', %s::float8))"
    ENQUEUE_BATCH = """SELECT pulsex.enqueue_notifications(%s, 'in_app', 'bench', '{"at": 0}')"""
    CLAIM = "SELECT user_id, notification_id, lease_token, payload FROM pulsex.claim_notifications('bench', %s)"
    COMPLETE = "SELECT pulsex.complete_notifications(%s, %s, %s)"

    def __init__(self, url: str) -> None:
        self.url = url

    def install(self) -> None:
        """Register people; the schema is there."""
        with psycopg.connect(self.url, autocommit=True) as dba:
            dba.execute(
                """WITH person AS (INSERT INTO pulsex.users (display_name) SELECT 'Person ' || n
                FROM generate_series(1, %s) AS n RETURNING user_id)
                INSERT INTO pulsex.user_preferences (user_id) SELECT user_id FROM person""",
                [PEOPLE],
            )

    def connect(self) -> psycopg.Connection:
        """Connect as a worker."""
        return psycopg.connect(self.url, user="pulsex_worker", autocommit=True)

    def people(self) -> Iterator[object]:
        """Yield the people, round and round."""
        with psycopg.connect(self.url) as dba:
            found = [row[0] for row in dba.execute("SELECT user_id FROM pulsex.users")]
        return itertools.cycle(found)

    def enqueue_singly(self, count: int, pause: float = 0) -> float:
        """See Rival."""
        people = self.people()
        with self.connect() as worker:
            started = time.monotonic()
            for _ in range(count):
                worker.execute(self.ENQUEUE, [next(people), time.monotonic()])
                time.sleep(pause)
            return time.monotonic() - started

    def enqueue_batches(self, count: int) -> float:
        """See Rival."""
        people = self.people()
        with self.connect() as worker:
            started = time.monotonic()
            for _ in range(count // BATCH):
                worker.execute(self.ENQUEUE_BATCH, [list(itertools.islice(people, BATCH))])
            return time.monotonic() - started

    def claim_and_complete(self, worker: psycopg.Connection, done: Done) -> int:
        """Work a batch off; return how many jobs it had."""
        jobs = worker.execute(self.CLAIM, [BATCH]).fetchall()
        for job in jobs:
            done(job[3]["at"])
        if jobs:
            worker.execute(self.COMPLETE, [[job[column] for job in jobs] for column in range(3)])
        return len(jobs)

    def drain(self, ready: Callable[[], None], done: Done) -> None:
        """See Rival."""
        with self.connect() as worker:
            ready()
            while self.claim_and_complete(worker, done):
                pass
            done(0)

    def serve(self, done: Done) -> None:
        """See Rival."""
        with self.connect() as worker:
            worker.execute("LISTEN pulsex_notifications")
            while True:
                while self.claim_and_complete(worker, done):
                    pass
                sleep = "SELECT coalesce(extract(EPOCH FROM pulsex.await_notifications(NULL) - now()), 60)::float8"
                seconds = worker.execute(sleep).fetchone()[0]
                if seconds > 0:
                    for _ in worker.notifies(timeout=seconds, stop_after=1):
                        pass


class Procrastinate:
    """https://procrastinate.readthedocs.io."""

    CONCURRENCY = 10

    def __init__(self, url: str) -> None:
        self.url = url

    def app(self, done: Done | None = None) -> tuple[procrastinate.App, procrastinate.tasks.Task]:
        """Return the application and its task."""
        app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=self.url))

        @app.task(name="bench")
        async def bench(at: float) -> None:
            done(at)

        return app, bench

    def install(self) -> None:
        """Apply its schema."""

        async def apply() -> None:
            app, _ = self.app()
            async with app.open_async():
                await app.schema_manager.apply_schema_async()

        asyncio.run(apply())

    def enqueue_singly(self, count: int, pause: float = 0) -> float:
        """See Rival."""

        async def enqueue() -> float:
            app, bench = self.app()
            async with app.open_async():
                started = time.monotonic()
                for _ in range(count):
                    await bench.defer_async(at=time.monotonic())
                    await asyncio.sleep(pause)
                return time.monotonic() - started

        return asyncio.run(enqueue())

    def enqueue_batches(self, count: int) -> float:
        """See Rival."""

        async def enqueue() -> float:
            app, bench = self.app()
            async with app.open_async():
                started = time.monotonic()
                for _ in range(count // BATCH):
                    await bench.batch_defer_async(*[{"at": 0.0}] * BATCH)
                return time.monotonic() - started

        return asyncio.run(enqueue())

    def drain(self, ready: Callable[[], None], done: Done) -> None:
        """See Rival."""
        asyncio.run(self.work(ready, done, wait=False))

    def serve(self, done: Done) -> None:
        """See Rival."""
        asyncio.run(self.work(lambda: None, done, wait=True))

    async def work(self, ready: Callable[[], None], done: Done, *, wait: bool) -> None:
        """Run its worker."""
        app, _ = self.app(done)
        async with app.open_async():
            ready()
            await app.run_worker_async(
                wait=wait, concurrency=self.CONCURRENCY, listen_notify=wait, install_signal_handlers=False
            )


class PgQueuer:
    """https://pgqueuer.readthedocs.io."""

    def __init__(self, url: str) -> None:
        self.url = url

    def install(self) -> None:
        """Apply its schema."""

        async def apply() -> None:
            await Queries.from_asyncpg_connection(await asyncpg.connect(self.url)).install()

        uvloop.run(apply())

    def enqueue_singly(self, count: int, pause: float = 0) -> float:
        """See Rival."""

        async def enqueue() -> float:
            queries = Queries.from_asyncpg_connection(await asyncpg.connect(self.url))
            started = time.monotonic()
            for _ in range(count):
                await queries.enqueue("bench", str(time.monotonic()).encode())
                await asyncio.sleep(pause)
            return time.monotonic() - started

        return uvloop.run(enqueue())

    def enqueue_batches(self, count: int) -> float:
        """See Rival."""

        async def enqueue() -> float:
            queries = Queries.from_asyncpg_connection(await asyncpg.connect(self.url))
            started = time.monotonic()
            for _ in range(count // BATCH):
                await queries.enqueue(["bench"] * BATCH, [b"0"] * BATCH, [0] * BATCH)
            return time.monotonic() - started

        return uvloop.run(enqueue())

    def drain(self, ready: Callable[[], None], done: Done) -> None:
        """See Rival."""
        uvloop.run(self.work(ready, done, QueueExecutionMode.drain))

    def serve(self, done: Done) -> None:
        """See Rival."""
        uvloop.run(self.work(lambda: None, done, QueueExecutionMode.continuous))

    async def work(self, ready: Callable[[], None], done: Done, mode: QueueExecutionMode) -> None:
        """Run its queue manager."""
        connection = await asyncpg.connect(self.url)
        manager = QueueManager(Queries.from_asyncpg_connection(connection))

        @manager.entrypoint("bench")
        async def bench(job: object) -> None:
            done(float(job.payload))

        ready()
        await manager.run(batch_size=BATCH, mode=mode)
