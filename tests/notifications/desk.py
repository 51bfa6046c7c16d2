"""The queue of notifications as a worker handles it, and what is known of each notification afterwards."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb

from tests.actors import Actor

# When the tests take place, long after the database's own now(): nothing that it dates is in their way.
NOON = datetime(2099, 6, 15, 12, tzinfo=UTC)
SECOND, MINUTE, HOUR, DAY = (timedelta(seconds=n) for n in (1, 60, 3600, 86400))
LEASE = 2 * MINUTE


class Acting(Actor):
    """Somebody who acts in a transaction that others act in too, so that they see what isn't committed."""

    def __init__(self, stage: Actor, role: str, token: str | None = None, user_id: UUID | None = None) -> None:
        super().__init__(stage.connection, user_id=user_id, commits=stage.commits)
        self.role, self.proof = role, token

    def __repr__(self) -> str:
        return f"{self.role} on {self.connection.info.dbname}"

    @contextlib.contextmanager
    def _statement(self) -> Iterator[psycopg.Connection]:
        with super()._statement() as connection:
            connection.execute(f"SET LOCAL ROLE {self.role}; SET LOCAL pulsex.context = ''")
            if self.proof:
                connection.execute("SELECT auth.use_session(%s)", [self.proof])
            yield connection


class Claimed(NamedTuple):
    """What a worker is given."""

    user_id: UUID
    notification_id: UUID
    channel: str
    kind: str
    payload: dict
    attempt: int
    lease_token: UUID
    lease_until: datetime
    targets: list[dict]


def call(routine: str, arguments: dict[str, object]) -> tuple[str, list[object]]:
    """Return the SQL that calls a routine by the names of its parameters, and the arguments."""
    named = ", ".join(f"p_{name} => %s" for name in arguments)
    values = [Jsonb(value) if isinstance(value, dict) else value for value in arguments.values()]
    return f"{routine}({named})", values


@dataclass
class Desk:
    """A worker's calls, and a look behind them. Unless they say otherwise it is noon."""

    worker: Actor
    service: Actor

    def enqueue(self, person: Actor, channel: str = "push", kind: str = "briefing_ready", **options: object) -> UUID:
        """Have a person told something at noon; return its id."""
        options = {"scheduled_for": NOON} | options
        sql, values = call(
            "SELECT pulsex.enqueue_notification",
            {"user_id": person.user_id, "channel": channel, "kind": kind} | options,
        )
        return self.worker.value(sql, *values)

    def claim(self, at: datetime = NOON, worker: str = "one", **options: object) -> list[Claimed]:
        """Lease what is due."""
        sql, values = call("SELECT * FROM pulsex.claim_notifications", {"worker": worker, "at": at} | options)
        return [Claimed(*row) for row in self.worker.rows(sql, *values)]

    def lease(self, at: datetime = NOON, worker: str = "one", **options: object) -> Claimed:
        """Lease the only one that is due."""
        [claimed] = self.claim(at, worker, **options)
        return claimed

    def complete(self, claimed: Claimed, at: datetime = NOON) -> None:
        """Say that it was sent."""
        sql, values = settling("pulsex.complete_notification", claimed, at=at)
        self.worker.rows(sql, *values)

    def fail(self, claimed: Claimed, at: datetime = NOON, error: str = "503", **options: object) -> datetime | None:
        """Say that it couldn't be sent; return when it is tried again."""
        sql, values = settling("pulsex.fail_notification", claimed, at=at, error=error, **options)
        return self.worker.value(sql, *values)

    def cancel(self, person: Actor, notification_id: UUID, at: datetime = NOON) -> bool:
        """Call it off."""
        return self.worker.value("SELECT pulsex.cancel_notification(%s, %s, %s)", person.user_id, notification_id, at)

    def kill(self, person: Actor, at: datetime = NOON, **options: object) -> UUID:
        """Enqueue something that the provider refuses for good; return its id."""
        notification_id = self.enqueue(person, **options)
        [claimed] = [c for c in self.claim(at) if c.notification_id == notification_id]
        self.fail(claimed, at, "410", permanent=True)
        return notification_id

    def fill(self, person: Actor, count: int, channel: str = "in_app", priority: int = 0, at: datetime = NOON) -> None:
        """Enqueue many at once, due one microsecond after the other, up to ``at``."""
        self.service.rows(
            """WITH told AS (
                INSERT INTO pulsex.notifications (user_id, channel, kind)
                SELECT %s, %s, 'tip' FROM generate_series(1, %s) RETURNING user_id, notification_id, channel
            )
            INSERT INTO pulsex.notification_queue (user_id, notification_id, channel, priority, available_at)
            SELECT user_id, notification_id, channel, %s, %s - row_number() OVER () * interval '1 microsecond'
            FROM told""",
            person.user_id, channel, count, priority, at,
        )  # fmt: skip

    def prefer(self, person: Actor, **changes: object) -> None:
        """Have a person change their preferences."""
        person.rows("SELECT pulsex.update_preferences(%s, %s)", person.user_id, Jsonb(changes))

    def state(self, notification_id: UUID) -> tuple[str, str | None]:
        """Return its state, and the reason."""
        sql = "SELECT state, reason FROM pulsex.notifications WHERE notification_id = %s"
        [found] = self.service.rows(sql, notification_id)
        return found

    def history(self, notification_id: UUID) -> list[tuple[int, str]]:
        """Return how each attempt ended."""
        sql = "SELECT attempt, outcome FROM pulsex.notification_attempts WHERE notification_id = %s ORDER BY 1"
        return self.service.rows(sql, notification_id)

    def due_at(self, notification_id: UUID) -> datetime | None:
        """Return when it can be claimed; None when it is out of the queue."""
        sql = "SELECT greatest(available_at, lease_until) FROM pulsex.notification_queue WHERE notification_id = %s"
        return next((due for (due,) in self.service.rows(sql, notification_id)), None)


def settling(routine: str, claimed: Claimed, **options: object) -> tuple[str, list[object]]:
    """Return the SQL by which a worker settles what it leased, and the arguments."""
    key = {"user_id": claimed.user_id, "notification_id": claimed.notification_id, "lease_token": claimed.lease_token}
    return call(f"SELECT {routine}", key | options)
