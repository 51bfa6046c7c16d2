"""What a person is told they did is what they did, counted or not yet."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from tests.engagement.events import event
from tests.engagement.test_roll_up import ROLL_UP_MARKED, some

SUMMARY = "SELECT * FROM pulsex.engagement_summary(%s, %s, %s)"
WEEK = timedelta(days=6)
RAW = """SELECT event_type, count(DISTINCT (occurred_at AT TIME ZONE 'UTC')::date), count(*),
        coalesce(sum(floor((properties ->> 'ms')::numeric)) FILTER (WHERE event_type = 'dwell'), 0)::bigint
    FROM pulsex.engagement_events WHERE user_id = %s AND (occurred_at AT TIME ZONE 'UTC')::date BETWEEN %s AND %s
    GROUP BY event_type ORDER BY event_type"""


@pytest.fixture
def busy(stage):
    """Alice has done much on the day of the stage, and something on the days around it."""
    around = [event(stage.midnight + timedelta(days=n, hours=5), "dwell") for n in (-5, -3, -1)]
    stage.record(*some(stage, 200), *around)
    return stage


def summary(stage, since, until):
    """Return the summary as Alice sees it."""
    return stage.alice().rows(SUMMARY, stage.person.user_id, since, until)


@pytest.mark.parametrize("counted", [0, 1, 2, 1000])
def test_it_equals_the_raw_events_however_many_of_them_are_counted(busy, counted):
    """Before the roll-up, in the middle of it and after it."""
    since, until = busy.day - WEEK, busy.day
    busy.service().rows("DELETE FROM pulsex.engagement_marks WHERE user_id <> %s", busy.person.user_id)
    if counted:
        busy.worker().rows(ROLL_UP_MARKED, counted)
    have = summary(busy, since, until)
    assert have == busy.alice().rows(RAW, busy.person.user_id, since, until)
    assert len(have) == 8


def test_a_late_event_is_told_at_once(busy):
    """What comes in after the count is there before the next one."""
    busy.worker().rows(ROLL_UP_MARKED, 1000)
    before = {row[0]: row[2] for row in summary(busy, busy.day, busy.day)}
    busy.record(event(busy.midnight, "shared"))
    after = {row[0]: row[2] for row in summary(busy, busy.day, busy.day)}
    assert after == before | {"shared": before["shared"] + 1}


@pytest.mark.parametrize("counted", [False, True])
def test_both_days_are_included_and_no_others(busy, counted):
    """From a day to the same day is that day's; of the days around it only the dwells."""
    if counted:
        busy.worker().rows(ROLL_UP_MARKED, 1000)
    assert summary(busy, busy.day - timedelta(days=3), busy.day - timedelta(days=1)) == [("dwell", 2, 2, 2000)]
    assert summary(busy, busy.day - timedelta(days=3), busy.day - timedelta(days=3)) == [("dwell", 1, 1, 1000)]
    assert summary(busy, busy.day - timedelta(days=2), busy.day - timedelta(days=2)) == []


def test_a_days_bounds_are_those_of_utc(stage):
    """In whatever zone the session is."""
    stage.record(event(stage.midnight), event(stage.midnight - timedelta.resolution, "shared"))
    stage.dba.rows("SET LOCAL timezone = 'Pacific/Kiritimati'")
    assert summary(stage, stage.day, stage.day) == [("opened", 1, 1, 0)]


def test_all_of_time_may_be_asked_for(busy):
    """An infinite date is a date."""
    assert summary(busy, "-infinity", "infinity") == summary(busy, busy.day - WEEK, busy.day)


@pytest.mark.parametrize(
    "bounds", [(date(2026, 1, 2), date(2026, 1, 1)), (None, date(2026, 1, 1)), (date(2026, 1, 1), None), (None, None)]
)
def test_it_goes_from_a_day_to_a_later_one(alice, bounds):
    """The other way round, and from or to nowhere: PT422."""
    alice.throws_ok(SUMMARY, "PT422", alice.user_id, *bounds)


def test_it_is_nobody_elses(alice, bob, stranger):
    """Of Bob, who has done something, Alice and the application see nothing."""
    alice.is_empty(SUMMARY, bob.user_id, "-infinity", "infinity")
    stranger.is_empty(SUMMARY, bob.user_id, "-infinity", "infinity")
    assert bob.rows(SUMMARY, bob.user_id, "-infinity", "infinity") != []
