"""Fixtures: everybody acts in one transaction, or on a clone, on an empty queue."""

from __future__ import annotations

import pytest

from tests.actors import Actor
from tests.harness import Database
from tests.notifications.desk import Acting, Desk


@pytest.fixture
def worker(dba: Actor) -> Actor:
    """The background jobs."""
    return Acting(dba, "pulsex_worker")


@pytest.fixture
def service(dba: Actor) -> Actor:
    """Who sees and arranges what lies behind the routines."""
    return Acting(dba, "pulsex_service")


@pytest.fixture
def alice(dba: Actor, database: Database) -> Actor:
    """Alice, in her session; she can be pushed to, and has one notification that she hasn't read."""
    person = database.cast["alice"]
    return Acting(dba, "pulsex_app", person.token, person.user_id)


@pytest.fixture
def bob(dba: Actor, database: Database) -> Actor:
    """Bob, like Alice."""
    person = database.cast["bob"]
    return Acting(dba, "pulsex_app", person.token, person.user_id)


@pytest.fixture
def stranger(dba: Actor) -> Actor:
    """The application without anybody's session."""
    return Acting(dba, "pulsex_app")


@pytest.fixture
def desk(worker: Actor, service: Actor) -> Desk:
    """The queue, with nothing in it."""
    service.rows("DELETE FROM pulsex.notification_queue")
    service.rows("DELETE FROM pulsex.notifications WHERE state = 'pending'")
    return Desk(worker, service)
