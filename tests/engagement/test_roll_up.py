"""Totals are exactly what there is to count, however often and in whichever order it is counted."""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import timedelta
from uuid import UUID

import pytest

from tests.engagement.events import TYPES, event

ROLL_UP = "SELECT ops.roll_up_engagement(%s)"
ROLL_UP_MARKED = "SELECT ops.roll_up_marked_engagement(%s)"
MARKS = "SELECT count(*) FROM pulsex.engagement_marks"
TICK = timedelta(microseconds=1)
WHOLE = timedelta(days=1)


def some(stage, count, seed=1):
    """Return events of the day of the stage, of any type, at any time of it."""
    chance = random.Random(seed)  # noqa: S311  # the same ones each time
    made = []
    for _ in range(count):
        at, kind = stage.midnight + TICK * chance.randrange(WHOLE // TICK), chance.choice(TYPES)
        dwell = {"properties": {"ms": round(chance.uniform(0, 90000), 2)}} if kind == "dwell" else {}
        made.append(event(at, kind, **dwell))
    return made


def counted(day, events):
    """Count in Python what a day's totals are."""
    totals = defaultdict(lambda: [0, 0])
    for one in events:
        totals[one["event_type"]][0] += 1
        totals[one["event_type"]][1] += int(one["properties"]["ms"]) if one["event_type"] == "dwell" else 0
    return [(day, kind, *totals[kind]) for kind in sorted(totals)]


def test_totals_equal_a_count_in_python(stage):
    """Types, events and whole milliseconds of a day."""
    events = some(stage, 300)
    stage.record(*events)
    assert stage.worker().value(ROLL_UP, stage.day) == len(TYPES)
    assert stage.totals() == counted(stage.day, events)


def test_marked_totals_equal_a_count_in_python(stage):
    """The incremental way comes to the same."""
    events = some(stage, 300)
    stage.record(*events)
    stage.worker().rows(ROLL_UP_MARKED, 1000)
    assert stage.totals() == counted(stage.day, events)


def test_counting_again_changes_nothing(stage):
    """The second run writes no row: each total stays where it was."""
    where = "SELECT ctid::text, xmin::text FROM pulsex.engagement_daily WHERE user_id = %s ORDER BY event_type"
    stage.record(*some(stage, 50))
    stage.worker().rows(ROLL_UP, stage.day)
    before = stage.service().rows(where, stage.person.user_id)
    assert stage.worker().value(ROLL_UP, stage.day) == 0
    stage.service().results_eq(where, before, stage.person.user_id)


def test_a_late_event_is_counted_with_its_day(stage):
    """What comes in after the count marks its day, and only what changed is written."""
    events = some(stage, 50)
    stage.record(*events)
    stage.worker().rows(ROLL_UP, stage.day)
    late = event(stage.midnight, "shared")
    stage.record(late)
    stage.service().results_eq(f"{MARKS} WHERE user_id = %s", [(1,)], stage.person.user_id)
    assert stage.worker().value(ROLL_UP, stage.day) == 1
    assert stage.totals() == counted(stage.day, [*events, late])
    stage.service().results_eq(f"{MARKS} WHERE user_id = %s", [(0,)], stage.person.user_id)


@pytest.mark.parametrize(
    ("whose", "left"),
    [("person", [(True,)]), ("other", [(False,)])],
)
@pytest.mark.parametrize(
    "keeps",
    [
        "UPDATE pulsex.users SET status = 'restricted' WHERE user_id = %s",
        """INSERT INTO gdpr.consents (user_id, purpose, revision, is_granted, policy_version, recorded_by)
        VALUES (%s, 'analytics', 9, false, '2026-01', 'person')""",
    ],
    ids=["restricted", "withdrew"],
)
@pytest.mark.parametrize("marked", [False, True])
def test_only_who_is_not_counted_keeps_the_mark_of_the_day(stage, database, whose, left, keeps, marked):
    """Of Alice and Bob, who both did something, the one who is restricted or withdrew; the other is counted."""
    other = database.cast["bob"].user_id
    stage.service().rows("DELETE FROM pulsex.engagement_marks")
    stage.record(event(stage.midnight))
    stage.service().rows("INSERT INTO pulsex.engagement_marks (user_id, day) VALUES (%s, %s)", other, stage.day)
    stage.service().rows(keeps, stage.person.user_id if whose == "person" else other)
    stage.worker().rows(*((ROLL_UP_MARKED, 1000) if marked else (ROLL_UP, stage.day)))
    stage.service().results_eq("SELECT user_id = %s FROM pulsex.engagement_marks", left, stage.person.user_id)
    assert bool(stage.totals()) == (whose == "other")


def test_a_month_of_briefings_alone_has_no_events(dba):
    """PT422: nothing is there to count, though another table has the month."""
    day = dba.value("SELECT (date_trunc('month', now() AT TIME ZONE 'UTC') - interval '8 months')::date")
    dba.rows("SELECT ops.make_next_partition('pulsex', 'briefings', 0, %s)", day)
    dba.throws_ok(ROLL_UP, "PT422", day)


@pytest.mark.parametrize("other", ["day", "person", "id"])
def test_marks_are_told_apart_by_person_day_and_id(stage, database, other):
    """Of two that differ only in one of them, with one to count, one is and the other stays."""
    one = (stage.person.user_id, stage.day, UUID(int=1))
    day, person = stage.day - WHOLE, database.cast["bob"].user_id
    two = {"day": (one[0], day, one[2]), "person": (person, *one[1:]), "id": (*one[:2], UUID(int=2))}[other]
    stage.service().rows("DELETE FROM pulsex.engagement_marks")
    for mark in (one, two):
        stage.service().rows("INSERT INTO pulsex.engagement_marks VALUES (%s, %s, %s)", *mark)
    assert stage.worker().value(ROLL_UP_MARKED, 1) == 1
    stage.service().results_eq(MARKS, [(1,)])


def test_a_day_is_one_of_utc(stage):
    """Midnight belongs to the day it begins, and the microsecond before to the one before, in any session's zone."""
    stage.record(event(stage.midnight - TICK), event(stage.midnight), event(stage.midnight + WHOLE - TICK))
    stage.dba.rows("SET LOCAL timezone = 'Pacific/Kiritimati'")
    stage.worker().rows(ROLL_UP_MARKED, 1000)
    assert stage.totals() == [(stage.day - WHOLE, "opened", 1, 0), (stage.day, "opened", 2, 0)]


def test_a_whole_day_leaves_other_days_alone(stage):
    """Neither their totals nor their marks change."""
    stage.record(event(stage.midnight - TICK), event(stage.midnight), event(stage.midnight + WHOLE))
    stage.worker().rows(ROLL_UP, stage.day)
    assert [row[0] for row in stage.totals()] == [stage.day]
    left = "SELECT day FROM pulsex.engagement_marks WHERE user_id = %s ORDER BY day"
    stage.service().results_eq(left, [(stage.day - WHOLE,), (stage.day + WHOLE,)], stage.person.user_id)


def test_totals_without_events_go(stage):
    """A total that nothing stands behind isn't one."""
    wrong = "INSERT INTO pulsex.engagement_daily VALUES (%s, %s, 'shared', 5, 0), (%s, %s, 'opened', 7, 9)"
    stage.service().rows(wrong, *[stage.person.user_id, stage.day] * 2)
    stage.record(event(stage.midnight))
    assert stage.worker().value(ROLL_UP, stage.day) == 2
    assert stage.totals() == [(stage.day, "opened", 1, 0)]


def test_only_a_dwell_has_milliseconds(stage):
    """What another event calls ms isn't counted, and needn't be a number."""
    stage.record(event(stage.midnight, properties={"ms": 5}), event(stage.midnight, "shared", properties={"ms": "x"}))
    stage.worker().rows(ROLL_UP, stage.day)
    assert stage.totals() == [(stage.day, "opened", 1, 0), (stage.day, "shared", 1, 0)]


@pytest.mark.parametrize("day", ["1999-01-01", "infinity", None])
def test_a_day_without_a_partition_is_not_counted(worker, day):
    """Its events are gone, or never were: PT422."""
    worker.throws_ok(ROLL_UP, "PT422", day)


@pytest.mark.parametrize("way", [ROLL_UP_MARKED, ROLL_UP])
def test_totals_stay_when_their_events_have_expired(stage, way):
    """Once the partition is gone its totals are all that is left, and no mark that was late takes them away."""
    stage.service().rows(
        "INSERT INTO pulsex.engagement_marks (user_id, day) VALUES (%s, '1999-01-01')", stage.person.user_id
    )
    old = "INSERT INTO pulsex.engagement_daily VALUES (%s, '1999-01-01', 'shared', 5, 0)"
    stage.service().rows(old, stage.person.user_id)
    if way == ROLL_UP:
        stage.worker().throws_ok(way, "PT422", "1999-01-01")
    else:
        assert stage.worker().value(way, 1000) >= 1
    assert [row[1:] for row in stage.totals()] == [("shared", 5, 0)]


def test_marks_are_taken_in_batches_the_oldest_days_first(stage):
    """Each call takes as many marks as it may, and says how many people and days they were; in the end 0."""
    stage.service().rows("DELETE FROM pulsex.engagement_marks")
    days = [stage.midnight - timedelta(days=n) for n in range(5)]
    stage.record(*(event(day) for day in days))
    assert [stage.worker().value(ROLL_UP_MARKED, 2) for _ in range(2)] == [2, 2]
    assert [row[0] for row in stage.totals()] == [day.date() for day in reversed(days[1:])]
    assert [stage.worker().value(ROLL_UP_MARKED, 2) for _ in range(2)] == [1, 0]
    assert len(stage.totals()) == 5


def test_many_marks_of_a_day_are_one_count(stage):
    """A person who sends often is counted once."""
    stage.service().rows("DELETE FROM pulsex.engagement_marks")
    for _ in range(3):
        stage.record(event(stage.midnight))
    assert stage.worker().value(ROLL_UP_MARKED, 1000) == 1
    assert stage.totals() == [(stage.day, "opened", 3, 0)]


@pytest.mark.parametrize("limit", [0, -1, 100001, None])
def test_a_batch_of_marks_has_bounds(worker, limit):
    """Outside of 1 to 100000: PT422."""
    worker.throws_ok(ROLL_UP_MARKED, "PT422", limit)


def test_marks_are_made_before_an_instant(worker):
    """An instant that is null is none: PT422."""
    worker.throws_ok("SELECT ops.roll_up_marked_engagement(100, NULL)", "PT422")


def test_what_was_marked_since_waits(stage):
    """A mark of this moment is not of before, and is of before the next."""
    stage.worker().rows(ROLL_UP_MARKED, 1000)
    stage.record(event(stage.midnight, "opened"))
    before = "SELECT ops.roll_up_marked_engagement(100, now() + %s::interval)"
    assert [stage.worker().value(before, since) for since in ("-1 hour", "1 hour")] == [0, 1]


@pytest.mark.commits
def test_maintenance_ends_while_people_are_at_it(worker, dba, published):
    """What is marked after it began, here in an hour, is left to the next run: it doesn't run as long as people do."""
    dba.rows(
        "INSERT INTO pulsex.engagement_marks (user_id, day, mark_id) VALUES (%s, current_date, uuidv7('1 hour'))",
        published.user_id,
    )
    worker.connection.execute("CALL ops.run_maintenance()")
    dba.results_eq(MARKS, [(1,)])


@pytest.mark.commits
def test_maintenance_counts_what_is_marked(worker, dba, alice, published):
    """After ops.run_maintenance() no mark is left, and the totals have what was sent before."""
    worker.rows("SELECT ops.roll_up_marked_engagement()")
    dba.rows("DELETE FROM pulsex.engagement_daily")
    alice.rows(
        """SELECT pulsex.record_events(%s, jsonb_build_array(jsonb_build_object(
            'event_id', uuidv7(), 'event_type', 'shared', 'occurred_at', now())))""",
        published.user_id,
    )
    worker.connection.execute("CALL ops.run_maintenance()")
    dba.results_eq(MARKS, [(0,)])
    dba.results_eq("SELECT sum(events) FROM pulsex.engagement_daily WHERE event_type = 'shared'", [(1,)])


@pytest.mark.parametrize("roll_up", [ROLL_UP, ROLL_UP_MARKED], ids=["the day", "what is marked"])
def test_who_withdrew_is_not_counted_until_they_consent_again(stage, roll_up):
    """What Alice did before stays marked, and nobody works on it meanwhile (GDPR Art. 7(3))."""
    counted = "SELECT events FROM pulsex.engagement_daily WHERE user_id = %s"
    answer = "SELECT gdpr.record_consent(%s, 'analytics', %s, '2026-01')"
    given = stage.day if roll_up == ROLL_UP else 100
    stage.record(event(stage.midnight, "opened"))
    stage.alice().rows(answer, stage.person.user_id, False)
    stage.worker().rows(roll_up, given)
    stage.service().is_empty(counted, stage.person.user_id)
    stage.alice().rows(answer, stage.person.user_id, True)
    stage.worker().rows(roll_up, given)
    stage.service().results_eq(counted, [(1,)], stage.person.user_id)
