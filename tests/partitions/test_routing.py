"""A row lands in the partition of its date, moves with it, and is refused where there is none."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from psycopg.types.json import Jsonb

from tests.cast import CONTENT
from tests.partitions.calendar import COPY, month_after, named

ZONES = ["UTC", "Pacific/Auckland", "America/Los_Angeles", "Asia/Kathmandu"]
WHERE = "SELECT tableoid::regclass::text FROM pulsex.briefings WHERE user_id = %s AND edition = 'evening'"
MOVE = "UPDATE pulsex.briefings SET briefing_date = %s WHERE user_id = %s AND edition = 'evening'"


def leap_day(today: date) -> date:
    """Return the last 29 February, within ten years."""
    year = next(year for year in range(today.year, 0, -1) if year % 4 == 0 and date(year, 2, 29) <= today)
    return date(year, 2, 29)


@pytest.fixture
def days(service, published, today) -> dict[str, date]:
    """Dates at the edges of months and years, each with its partition."""
    month = month_after(published.briefing_date)
    new_year = date(today.year, 1, 1)
    days = {
        "first of the month": month,
        "last of the month": month_after(month) - timedelta(days=1),
        "day before the month": month - timedelta(days=1),
        "leap day": leap_day(today),
        "day after the leap day": leap_day(today) + timedelta(days=1),
        "New Year's Eve": new_year - timedelta(days=1),
        "New Year": new_year,
    }
    service.rows("RESET ROLE")
    for day in days.values():
        for table in ("briefings", "engagement_events"):
            if not service.value("SELECT to_regclass(%s) IS NOT NULL", named(table, day)):
                service.rows("SELECT ops.make_next_partition('pulsex', %s, 0, %s)", table, day)
    service.rows("SET LOCAL ROLE pulsex_service")
    return days


@pytest.fixture
def evening(service, published) -> date:
    """Alice's evening briefing, which nobody has rated, on her date of today."""
    change = Jsonb({"edition": "evening"})
    service.rows(COPY.format("briefings"), change, published.user_id)
    return published.briefing_date


@pytest.mark.parametrize(
    "edge",
    [
        "first of the month", "last of the month", "day before the month", "leap day", "day after the leap day",
        "New Year's Eve", "New Year",
    ],
)  # fmt: skip
def test_a_briefing_is_stored_in_its_month(service, published, days, edge):
    """The partition named after the month of the local date has it."""
    change = Jsonb({"briefing_date": str(days[edge]), "edition": "evening"})
    want = [(named("briefings", days[edge]),)]
    service.results_eq(COPY.format("briefings"), want, change, published.user_id)


@pytest.mark.parametrize("time_zone", ZONES)
@pytest.mark.parametrize("edge", ["first of the month", "leap day", "day after the leap day", "New Year"])
def test_an_event_is_stored_in_its_month_of_utc(service, published, days, edge, time_zone):
    """A day begins and ends at midnight UTC, to the microsecond, whatever the session's time zone."""
    service.rows("SELECT set_config('TimeZone', %s, true)", time_zone)
    before = days[edge] - timedelta(days=1)
    for at, day in ((f"{days[edge]}T00:00:00Z", days[edge]), (f"{before}T23:59:59.999999Z", before)):
        want = [(named("engagement_events", day),)]
        service.results_eq(COPY.format("engagement_events"), want, Jsonb({"occurred_at": at}), published.user_id)


@pytest.mark.parametrize(("offset", "days_later"), [("+13:00", -1), ("-10:00", 0)])
def test_an_events_own_offset_decides_its_instant(service, published, days, offset, days_later):
    """Five past midnight on the first is still last month's in Auckland, and this month's in Honolulu."""
    day = days["first of the month"]
    want = [(named("engagement_events", day + timedelta(days=days_later)),)]
    change = Jsonb({"occurred_at": f"{day}T00:05:00{offset}"})
    service.results_eq(COPY.format("engagement_events"), want, change, published.user_id)


def test_a_briefing_whose_date_changes_moves_to_its_partition(service, published, evening, days):
    """An UPDATE over the edge of the month leaves one row, in the other partition."""
    service.rows(MOVE, days["first of the month"], published.user_id)
    service.results_eq(WHERE, [(named("briefings", days["first of the month"]),)], published.user_id)


def test_a_date_that_changes_within_the_month_moves_nothing(service, published, days):
    """From the last of the month to the first the row stays in its partition."""
    change = Jsonb({"briefing_date": str(days["last of the month"]), "edition": "evening"})
    service.rows(COPY.format("briefings"), change, published.user_id)
    service.rows(MOVE, days["first of the month"], published.user_id)
    service.results_eq(WHERE, [(named("briefings", days["first of the month"]),)], published.user_id)


@pytest.mark.parametrize("to", ["another month", "the same month"])
def test_a_rated_briefing_keeps_its_date(service, published, to):
    """Feedback refers to it by date: moved to another partition, or within its own, it raises 23503 and stays."""
    day = published.briefing_date
    other = month_after(day) if to == "another month" else day.replace(day=15 if day.day == 14 else 14)
    move = "UPDATE pulsex.briefings SET briefing_date = %s WHERE user_id = %s"
    service.throws_ok(move, "23503", other, published.user_id)
    service.results_eq("SELECT briefing_date FROM pulsex.briefings WHERE user_id = %s", [(day,)], published.user_id)


@pytest.mark.parametrize("day", ["1999-12-31", "2999-01-01", "infinity"])
def test_a_briefing_without_a_partition_is_refused(worker, published, day):
    """A date that no partition is for raises 23514, naming the table."""
    publish = "SELECT pulsex.publish_briefing(%s, %s, %s)"
    diag = worker.throws_ok(publish, "23514", published.user_id, day, CONTENT)
    assert diag.table_name == "briefings"


@pytest.mark.parametrize("at", ["1999-12-31T23:59:59Z", "2999-01-01T00:00:00Z", "infinity"])
def test_an_event_without_a_partition_is_refused(service, published, at):
    """A time that no partition is for raises 23514."""
    service.throws_ok(COPY.format("engagement_events"), "23514", Jsonb({"occurred_at": at}), published.user_id)


def test_a_move_to_where_no_partition_is_loses_nothing(service, published, evening):
    """The update raises 23514 and the row is where and what it was."""
    service.throws_ok(MOVE, "23514", "2999-01-01", published.user_id)
    service.results_eq(WHERE, [(named("briefings", evening),)], published.user_id)


def test_one_event_without_a_partition_refuses_its_whole_statement(service, published):
    """Of two rows in a statement neither is stored when one has no partition."""
    both = """INSERT INTO pulsex.engagement_events (user_id, occurred_at, event_id, event_type)
        SELECT %s, at, uuidv7(), 'shared' FROM unnest(ARRAY[now(), '2999-01-01']) AS at"""
    service.throws_ok(both, "23514", published.user_id)
    service.is_empty("SELECT FROM pulsex.engagement_events WHERE event_type = 'shared'")


def test_no_partition_takes_what_has_none(dba):
    """No table has a DEFAULT partition."""
    dba.is_empty("SELECT partrelid::regclass FROM pg_partitioned_table WHERE partdefid <> 0")
