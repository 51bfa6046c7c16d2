"""Fixtures: PgBouncer before the test's own database, and people with briefings in it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.actors import Actor
from tests.harness import Database
from tests.pooler.crowd import Reader, register
from tests.pooler.pooler import Pooler, find, pooling

PEOPLE = 20


@pytest.fixture(scope="session")
def pgbouncer() -> Path:
    """The program; without it the test is skipped, or fails where that would go unnoticed."""
    program = find()
    if not program:
        missing = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        missing("PgBouncer isn't installed: apt-get install pgbouncer")
    return program


@pytest.fixture
def start_pooler(pgbouncer: Path, database: Database, dba: Actor) -> Iterator[Callable[..., Pooler]]:
    """Starts PgBouncer with the settings it is given, in the run's scratch directory, which the cluster lies in too."""
    place = Path(dba.value("SHOW data_directory")).parents[1]
    with contextlib.ExitStack() as running:

        def start(**settings: object) -> Pooler:
            return running.enter_context(pooling(pgbouncer, database.url, place, **settings))

        yield start


@pytest.fixture
def pooler(start_pooler: Callable[..., Pooler]) -> Pooler:
    """PgBouncer with four server connections a role."""
    return start_pooler()


@pytest.fixture
def narrow_pooler(start_pooler: Callable[..., Pooler]) -> Pooler:
    """PgBouncer with one server connection a role: whoever comes next gets the one that was used before."""
    return start_pooler(default_pool_size=1)


@pytest.fixture
def readers(sign_in: Actor, worker: Actor, stranger: Actor, dba: Actor) -> list[Reader]:
    """Twenty people, each with a session and briefings of their own, every one rated."""
    today = dba.value("SELECT current_date")
    return [register(f"reader{number}", 1 + number % 5, today, sign_in, worker, stranger) for number in range(PEOPLE)]
