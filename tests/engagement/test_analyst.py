"""The analyst sees what ten people did, and never what nine did."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest

from tests.engagement.events import event

VIEW = "SELECT * FROM pulsex.briefing_engagement WHERE briefing_date = %s"
RANGE = "SELECT * FROM pulsex.count_briefing_engagement(%s, %s)"


@pytest.fixture
def crowd(stage):
    """Has as many people do something with the briefing of the stage's day: each twice, unless told otherwise."""

    def act(people, **changes):
        whose = {"briefing_date": str(stage.day), "edition": "morning"} | changes
        at = whose.pop("at", stage.midnight + timedelta(hours=8))
        kind = whose.pop("event_type", "dwell")
        for _ in range(people):
            stage.put(uuid4(), *(event(at, kind, **whose) for _ in range(2)))

    return act


def test_ten_people_are_a_group(stage, crowd):
    """How many people, events and milliseconds."""
    crowd(10)
    stage.analyst().results_eq(VIEW, [(stage.day, "morning", "dwell", 10, 20, 20000)], stage.day)


def test_nine_people_are_not(stage, crowd):
    """They are left out, however much they did; with the tenth they are there."""
    crowd(9)
    stage.analyst().is_empty(VIEW, stage.day)
    stage.analyst().is_empty(RANGE, stage.day, stage.day)
    crowd(1)
    assert len(stage.analyst().rows(VIEW, stage.day)) == 1


@pytest.mark.parametrize("other", [{"edition": "evening"}, {"event_type": "opened"}, {"edition": None}])
def test_people_of_several_groups_are_not_added_up(stage, crowd, other):
    """Nine and nine are no group of eighteen."""
    crowd(9)
    crowd(9, **other)
    stage.analyst().is_empty(VIEW, stage.day)


def test_no_difference_between_two_answers_is_a_smaller_group(stage, crowd):
    """A group is the same whatever range it is asked for in: someone who was far too early is never in it."""
    crowd(10)
    crowd(1, at=stage.midnight - timedelta(days=3))
    answers = [
        [row for row in stage.analyst().rows(RANGE, stage.day - timedelta(days=n), stage.day) if row[0] == stage.day]
        for n in (0, 1, 5, 30)
    ]
    assert answers == [[(stage.day, "morning", "dwell", 10, 20, 20000)]] * 4


def test_who_is_ahead_of_utc_is_counted(stage, crowd):
    """A briefing is read up to 14 hours before its date begins in UTC."""
    crowd(10, at=stage.midnight - timedelta(hours=14))
    assert len(stage.analyst().rows(RANGE, stage.day, stage.day)) == 1


def test_a_range_has_its_own_dates(stage, crowd):
    """Neither the briefing of the day before, nor that of the day after."""
    for days in (-1, 0, 1):
        crowd(10, briefing_date=str(stage.day + timedelta(days=days)))
    dates = "SELECT briefing_date FROM pulsex.count_briefing_engagement(%s, %s)"
    stage.analyst().results_eq(dates, [(stage.day,)], stage.day, stage.day)


def test_only_reading_takes_time(stage, crowd):
    """What another event says of milliseconds is no reading."""
    crowd(10, event_type="opened", properties={"ms": 1000})
    stage.analyst().results_eq(VIEW, [(stage.day, "morning", "opened", 10, 20, 0)], stage.day)


@pytest.mark.parametrize(
    "bounds",
    [
        ("2026-01-02", "2026-01-01"), ("2026-01-01", "2027-01-03"), (None, "2026-01-01"), ("2026-01-01", None),
        ("-infinity", "infinity"), ("2026-01-01", "infinity"),
    ],
)  # fmt: skip
def test_a_range_has_bounds(analyst, bounds):
    """The wrong way round, over 366 days, from or to nowhere: PT422."""
    analyst.throws_ok(RANGE, "PT422", *bounds)


def test_a_range_may_have_366_days(analyst):
    """Its end is at most 366 days later."""
    analyst.lives_ok(RANGE, "2026-01-01", "2027-01-02")


@pytest.mark.parametrize(
    "what",
    [
        "SELECT * FROM pulsex.engagement_events",
        "SELECT * FROM pulsex.engagement_daily",
        "SELECT * FROM pulsex.engagement_marks",
        "SELECT * FROM pulsex.briefing_feedback",
        "SELECT * FROM pulsex.users",
        "SELECT pulsex.engagement_summary(uuidv7(), '2026-01-01', '2026-01-01')",
        "SELECT pulsex.topic_affinity(uuidv7())",
        "SELECT ops.roll_up_engagement('2026-01-01')",
    ],
)
def test_the_analyst_sees_nothing_else(analyst, what):
    """No row of anybody's: 42501."""
    analyst.throws_ok(what, "42501")


@pytest.mark.parametrize(
    "left_out",
    [
        """INSERT INTO gdpr.consents (user_id, purpose, revision, is_granted, policy_version, recorded_by)
        VALUES (%s, 'analytics', 100, FALSE, '2026-01', 'person')""",
        "UPDATE pulsex.users SET status = 'restricted' WHERE user_id = %s",
    ],
    ids=["withdrew", "restricted"],
)
def test_who_may_no_longer_be_counted_is_not(stage, crowd, left_out):
    """Alice is the tenth until she withdraws her consent, or is restricted."""
    crowd(9)
    stage.put(stage.person.user_id, event(stage.midnight, "dwell", briefing_date=str(stage.day), edition="morning"))
    assert len(stage.analyst().rows(VIEW, stage.day)) == 1
    stage.service().rows(left_out, stage.person.user_id)
    stage.analyst().is_empty(VIEW, stage.day)


def test_who_consents_again_is_counted_again(stage, crowd):
    """Alice is the tenth once more."""
    crowd(9)
    stage.put(stage.person.user_id, event(stage.midnight, "dwell", briefing_date=str(stage.day), edition="morning"))
    for revision, is_granted in ((100, False), (101, True)):
        stage.service().rows(
            """INSERT INTO gdpr.consents (user_id, purpose, revision, is_granted, policy_version, recorded_by)
            VALUES (%s, 'analytics', %s, %s, '2026-01', 'person')""",
            stage.person.user_id, revision, is_granted,
        )  # fmt: skip
    assert len(stage.analyst().rows(VIEW, stage.day)) == 1
