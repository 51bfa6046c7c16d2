"""Queries by date touch one partition, by range only those: as the application, in Alice's session, under RLS."""

from __future__ import annotations

from datetime import date

import pytest

from tests.partitions.calendar import months_before, named

MINE = "SELECT * FROM pulsex.briefings WHERE user_id = (SELECT auth.current_user_id())"
EVENTS = "SELECT * FROM pulsex.engagement_events WHERE user_id = (SELECT auth.current_user_id())"


def touched(actor, query: str, *args: object) -> list[str]:
    """Return the tables that the plan of a query scans, after pruning at the start of execution."""

    def scans(plan: dict) -> list[str]:
        reads = "Relation Name" in plan and plan["Node Type"] != "ModifyTable"
        own = [f"{plan['Schema']}.{plan['Relation Name']}"] if reads else []
        return own + [name for child in plan.get("Plans", ()) for name in scans(child)]

    explain = "EXPLAIN (ANALYZE, VERBOSE, FORMAT JSON, COSTS OFF, TIMING OFF, BUFFERS OFF)"
    [plan] = actor.value(f"{explain} {query}", *args)
    return sorted(set(scans(plan["Plan"])))


@pytest.fixture
def year(today) -> list[date]:
    """Twelve months with partitions, up to this one, and three more ahead."""
    return [months_before(today, ago) for ago in range(11, -1, -1)]


@pytest.fixture
def reader(dba, year, alice):
    """Alice, in a database with these partitions."""
    dba.rows("SELECT ops.ensure_partitions(3, %s)", year[0])
    return alice


pytestmark = pytest.mark.commits


def test_a_query_without_a_date_touches_every_partition(reader):
    """The same query without its date shows that there was something to prune."""
    assert len(touched(reader, MINE)) == 15


def test_a_query_by_date_touches_one_partition(reader, year):
    """Its own, of fifteen."""
    assert touched(reader, f"{MINE} AND briefing_date = %s", year[5].replace(day=17)) == [named("briefings", year[5])]


@pytest.mark.parametrize(("first", "last"), [(3, 3), (3, 5), (0, 11)])
def test_a_query_by_range_touches_only_the_partitions_of_the_range(reader, year, first, last):
    """From the first of one month to the first of another, exclusive."""
    upto = months_before(year[last], -1)
    query = f"{MINE} AND briefing_date >= %s AND briefing_date < %s"
    assert touched(reader, query, year[first], upto) == [named("briefings", month) for month in year[first : last + 1]]


def test_the_last_day_of_a_month_is_not_the_next_months(reader, year):
    """A range that ends with the month, inclusive, touches one partition."""
    query = f"{MINE} AND briefing_date BETWEEN %s AND %s::date - 1"
    assert touched(reader, query, year[4], year[5]) == [named("briefings", year[4])]


def test_a_date_that_no_partition_is_for_touches_none(reader):
    """Nothing is scanned."""
    assert touched(reader, f"{MINE} AND briefing_date = '1999-01-01'") == []


@pytest.mark.parametrize("time_zone", ["UTC", "Pacific/Auckland", "America/Los_Angeles"])
def test_a_query_by_time_touches_one_partition(reader, year, time_zone):
    """A day of events, by its bounds in UTC, wherever the session is."""
    reader.connection.execute("SELECT set_config('TimeZone', %s, false)", [time_zone])
    query = f"{EVENTS} AND occurred_at >= %s::timestamptz AND occurred_at < %s::timestamptz"
    day = year[7].replace(day=28)
    assert touched(reader, query, f"{day}T00:00Z", f"{day}T23:59:59Z") == [named("engagement_events", year[7])]


def test_a_date_known_only_at_execution_prunes_too(reader, published):
    """A parameter of a generic plan is compared when the plan starts, as in todays_briefing."""
    reader.connection.execute("SET plan_cache_mode = force_generic_plan")
    reader.connection.execute(f"PREPARE by_date (date) AS {MINE} AND briefing_date = $1")
    have = touched(reader, f"EXECUTE by_date ('{published.briefing_date}')")
    assert have == [named("briefings", published.briefing_date)]


def test_a_policy_does_not_keep_partitions_from_being_pruned(reader, stranger, year):
    """Nobody's query prunes as a person's does: row level security adds its condition, and takes none away."""
    query = f"{MINE} AND briefing_date = %s"
    assert touched(stranger, query, year[5]) == touched(reader, query, year[5]) == [named("briefings", year[5])]


def test_marking_a_briefing_read_touches_one_partition(reader, published):
    """An UPDATE by date prunes as a SELECT does."""
    mark = f"UPDATE pulsex.briefings SET read_at = now() {MINE[MINE.index('WHERE') :]} AND briefing_date = %s"
    assert touched(reader, mark, published.briefing_date) == [named("briefings", published.briefing_date)]
