"""Fixtures: a server that may crash, and the pooler's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import PREPARED
from pulsex import throwaway
from tests.pooler.conftest import pgbouncer, start_pooler
from tests.resilience import durable

__all__ = ["pgbouncer", "start_pooler"]


@pytest.fixture
def durable_server(request: pytest.FixtureRequest) -> Iterator[durable.Durable]:
    """A server of the test's own with the cast in it, on disk, that has written what it says is committed."""
    data = Path(request.config.stash[PREPARED][1])
    with throwaway.scratch(on_disk=True) as place, durable.serving(data, place) as server:
        yield server
