"""Months and the names of their partitions, and the scheduler's call."""

from __future__ import annotations

from datetime import date, timedelta

from tests.actors import Actor

TABLES = ("briefings", "engagement_events")
COPY = """INSERT INTO pulsex.{0} SELECT (jsonb_populate_record(r, %s)).* FROM pulsex.{0} AS r WHERE user_id = %s
    LIMIT 1 RETURNING tableoid::regclass::text"""


def month_after(day: date) -> date:
    """Return the first of the next month."""
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)


def months_before(day: date, months: int) -> date:
    """Return the first of the month so many months before."""
    month = day.year * 12 + day.month - 1 - months
    return date(month // 12, month % 12 + 1, 1)


def named(table: str, month: date) -> str:
    """Return the name of a month's partition."""
    return f"pulsex.{table}_{month:%Y_%m}"


def maintain(worker: Actor, attempts: int = 3) -> list[str]:
    """Call ops.run_maintenance() as a scheduler does, in no transaction; return what it says."""
    said: list[str] = []
    worker.connection.add_notice_handler(lambda notice: said.append(f"{notice.severity}: {notice.message_primary}"))
    worker.connection.execute("CALL ops.run_maintenance(%s::integer)", [attempts])
    return said
