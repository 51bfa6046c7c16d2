"""Fixtures: old partitions with rows in them, and the pooler's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import psycopg
import pytest
from psycopg.types.json import Jsonb

from pulsex import throwaway
from tests.actors import Actor
from tests.harness import CAST, Server
from tests.partitions.calendar import COPY, month_after, months_before
from tests.pooler.conftest import pgbouncer, pooler, readers, start_pooler

__all__ = ["pgbouncer", "pooler", "readers", "start_pooler"]

# What is copied into the past, and how a row of it says when.
DATED = {
    "briefings": {"briefing_date": "{}"},
    "engagement_events": {"occurred_at": "{}Z"},
    "briefing_feedback": {"briefing_date": "{}"},
}


@dataclass(frozen=True)
class Past:
    """Months whose partitions are there: the last one that has expired, the first that hasn't, and one long gone."""

    expired: date
    kept: date
    ancient: date


@pytest.fixture
def today(dba: Actor) -> date:
    """Today by UTC."""
    return dba.value("SELECT (now() AT TIME ZONE 'UTC')::date")


@pytest.fixture
def service_rows(dba: Actor):
    """Runs a statement as pulsex_service, committed where the test commits."""

    def run(sql: str, *args: object) -> list[tuple]:
        with dba.connection.transaction():
            dba.connection.execute("SET LOCAL ROLE pulsex_service")
            cursor = dba.connection.execute(sql, args or None)
            return cursor.fetchall() if cursor.description else []

    return run


@pytest.fixture(scope="session")
def lived_in(server: Server) -> Iterator[tuple[str, Past]]:
    """A template with the cast in it, and a briefing, a rating and an event of Alice's in three months of the past."""
    url = throwaway.create_database(server.url, "lived_in", CAST)
    with psycopg.connect(url) as connection:
        [today] = connection.execute("SELECT (now() AT TIME ZONE 'UTC')::date").fetchone()
        past = Past(*(months_before(today, ago) for ago in (25, 24, 30)))
        for month in (past.ancient, past.expired, past.kept):
            connection.execute("SET LOCAL ROLE pulsex_worker")
            connection.execute("SELECT ops.ensure_partitions(0, %s)", [month])
            connection.execute("SET LOCAL ROLE pulsex_service")
            for table, change in DATED.items():
                dated = Jsonb({column: text.format(month) for column, text in change.items()})
                connection.execute(COPY.format(table), [dated, server.cast["alice"].user_id])
    yield "lived_in", past
    server.drop(url)


@pytest.fixture
def template(request: pytest.FixtureRequest, template: str) -> str:
    """For who asks for the past, the database that has one."""
    return request.getfixturevalue("lived_in")[0] if "past" in request.fixturenames else template


@pytest.fixture
def past(dba: Actor, lived_in: tuple[str, Past]) -> Past:
    """Those months, of which both tables keep two years."""
    dba.rows("UPDATE ops.partitioned_tables SET retention = '24 months'")
    _, past = lived_in
    assert month_after(past.expired) == past.kept
    return past
