"""Fixtures: old partitions with rows in them, and the pooler's."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import pytest
from psycopg.types.json import Jsonb

from tests.actors import Actor
from tests.cast import Person
from tests.partitions.calendar import COPY, TABLES, month_after, months_before
from tests.pooler.conftest import pgbouncer, pooler, readers, start_pooler

__all__ = ["pgbouncer", "pooler", "readers", "start_pooler"]


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


@pytest.fixture
def past(dba: Actor, worker: Actor, published: Person, today: date, service_rows) -> Past:
    """Both tables kept two years, and a briefing, a rating and an event of Alice's in three months of the past."""
    dba.rows("UPDATE ops.partitioned_tables SET retention = '24 months'")
    kept = months_before(today, 24)
    past = Past(expired=months_before(today, 25), kept=kept, ancient=months_before(today, 30))
    for month in (past.ancient, past.expired, past.kept):
        worker.rows("SELECT ops.ensure_partitions(0, %s)", month)
        for table, change in zip(TABLES, ({"briefing_date": str(month)}, {"occurred_at": f"{month}Z"}), strict=True):
            service_rows(COPY.format(table), Jsonb(change), published.user_id)
        rating = Jsonb({"briefing_date": str(month)})
        service_rows(COPY.format("briefing_feedback"), rating, published.user_id)
    assert month_after(past.expired) == past.kept
    return past
