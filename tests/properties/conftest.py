"""Fixtures: where the people of the state machine live."""

from __future__ import annotations

import pytest

from tests.actors import Actor
from tests.properties.people import Town


@pytest.fixture
def town(stranger: Actor, sign_in: Actor, worker: Actor, dba: Actor) -> Town:
    """The test's database, as each of its roles reaches it. Every example has people of its own in it."""
    return Town(stranger, sign_in, worker, dba, dba.value("SELECT current_date"))
