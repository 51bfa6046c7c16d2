"""People who live by a calendar of the test's own: 2012, a leap year, and the December before it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

import psycopg
import pytest

from tests.actors import Actor
from tests.cast import CONTENT
from tests.harness import Server
from tests.schedule import clocks

DUE = "SELECT user_id, concat_ws(' ', briefing_date, edition) FROM pulsex.due_briefings(%s, p_lease => %s)"
USERS = {"time_zone", "status"}  # what is changed here of pulsex.users; the rest is of pulsex.user_preferences


@dataclass(frozen=True)
class Resident:
    """Somebody for whom it is whatever time the test says."""

    user_id: UUID
    dba: Actor
    worker: Actor

    def due(self, at: str, lease: str = "5 minutes") -> list[str]:
        """Return which of this person's briefings a scheduler leases at that instant: date and edition."""
        return [briefing for user_id, briefing in self.worker.rows(DUE, at, lease) if user_id == self.user_id]

    def publish(self, briefing: str) -> None:
        """Publish the briefing of this date and edition."""
        day, edition = briefing.split()
        publish = "SELECT pulsex.publish_briefing(%s, %s, %s, p_edition => %s)"
        self.worker.rows(publish, self.user_id, day, CONTENT, edition)

    def change(self, at: str, **columns: object) -> None:
        """Change the person's row or preferences at that instant; the triggers would do it at the database's now."""
        for table, names in (("users", USERS & {*columns}), ("user_preferences", {*columns} - USERS)):
            if names:
                sets = ", ".join(f"{name} = %s" for name in names)
                update = f"UPDATE pulsex.{table} SET {sets} WHERE user_id = %s"
                self.dba.rows(update, *(columns[name] for name in names), self.user_id)
        self.dba.rows("SELECT pulsex.schedule_briefings(%s, %s)", self.user_id, at)

    def schedule(self) -> list[tuple[str, str]]:
        """Return what is scheduled, each briefing and its UTC time."""
        return self.dba.rows(
            """SELECT concat_ws(' ', briefing_date, edition), to_char(due_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI')
            FROM pulsex.briefing_schedule WHERE user_id = %s ORDER BY edition DESC""",
            self.user_id,
        )

    def parked(self) -> list[tuple[str, int]]:
        """Return what was given up, and after how many attempts."""
        return self.worker.rows(
            "SELECT concat_ws(' ', briefing_date, edition), attempts FROM ops.parked_briefings() WHERE user_id = %s",
            self.user_id,
        )


@pytest.fixture
def lives(dba: Actor, worker: Actor) -> Callable[..., Resident]:
    """Let somebody live in a zone since an instant, with preferences; for tests that commit."""
    dba.rows("SET session_replication_role = replica")
    dba.rows("DELETE FROM pulsex.briefing_schedule")
    dba.rows(
        """CREATE TABLE pulsex.briefings_2012 PARTITION OF pulsex.briefings
        FOR VALUES FROM ('2011-12-01') TO ('2013-01-01')"""
    )

    def lives(zone: str, since: str, **preferences: object) -> Resident:
        add = "INSERT INTO pulsex.users (display_name, time_zone) VALUES ('Resident', %s) RETURNING user_id"
        resident = Resident(dba.value(add, zone), dba, worker)
        dba.rows("INSERT INTO pulsex.user_preferences (user_id) VALUES (%s)", resident.user_id)
        resident.change(since, **preferences)
        return resident

    return lives


@pytest.fixture
def scheduler(database) -> Callable[[str], psycopg.Connection]:
    """Give a further scheduler's connection, by name."""
    return lambda name: database.actor(name, "pulsex_worker").connection


@pytest.fixture(scope="session")
def stretches(server: Server) -> bytes:
    """What every zone's clocks show, which takes seconds to find out, and is the same for every test."""
    with psycopg.connect(server.url) as connection:
        return clocks.look(connection)


@pytest.fixture
def clockwork(dba: Actor, stretches: bytes) -> Actor:
    """The superuser, who has the temporary table ``stretch`` of what every zone's clocks show."""
    dba.rows("SELECT")
    clocks.remember(dba.connection, stretches)
    return dba
