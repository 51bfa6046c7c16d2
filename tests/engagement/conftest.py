"""Fixtures: the instant of the test's transaction, and one transaction in which every role acts in turn."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import pytest
from psycopg.types.json import Jsonb

from tests.actors import Actor
from tests.cast import Person
from tests.engagement.events import RECORD, Stage


@pytest.fixture
def now(alice: Actor) -> datetime:
    """The instant at which Alice's batches arrive in this test."""
    return alice.value("SELECT now()")


@pytest.fixture
def stage(dba: Actor, published: Person) -> Stage:
    """One transaction in which each role acts in turn and sees what the others did; Alice's page in it is blank."""
    stage = Stage(dba, published, dba.value("SELECT now()"))
    for table in ("engagement_events", "engagement_daily", "engagement_marks"):
        stage.service().rows(f"DELETE FROM pulsex.{table} WHERE user_id = %s", published.user_id)
    return stage


@pytest.fixture
def refused(alice: Actor) -> Callable[[object], str]:
    """Sends a batch of Alice's that is refused with PT422; returns the index that DETAIL names."""

    def send(events: object) -> str:
        diag = alice.throws_ok(RECORD, "PT422", alice.user_id, Jsonb(events))
        return diag.message_detail

    return send
