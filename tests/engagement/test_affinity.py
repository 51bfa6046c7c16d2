"""What a generator learns from ratings and events, topic by topic."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from psycopg.types.json import Jsonb

from tests.engagement.events import event

AFFINITY = "SELECT * FROM pulsex.topic_affinity(%s)"
CONTEXT = "SELECT pulsex.generation_context(%s) -> 'affinity'"
RATE = "SELECT pulsex.record_feedback(%s, %s, %s::smallint, p_item_id => %s)"
PUBLISH = "SELECT pulsex.publish_briefing(%s, %s, %s)"


def section(topic, *ids):
    """Return a section of a briefing with items of these ids."""
    leaves = dict.fromkeys(("title", "url", "source", "summary"), "x")
    return {"topic": topic, "headline": "x", "items": [{"id": item, **leaves} for item in ids]}


@pytest.fixture
def briefed(stage):
    """Alice's briefing is about science (two items), cities (one of these too) and, in two sections, sport."""
    stage.service().rows("DELETE FROM pulsex.briefing_feedback WHERE user_id = %s", stage.person.user_id)
    sections = [
        section("science", "s1", "s2"), section("cities", "c1", "s2"), section("sport", "p1"), section("sport", "p2"),
        section("art"),
    ]  # fmt: skip
    document = Jsonb({"sections": sections})
    stage.worker().rows(PUBLISH, stage.person.user_id, stage.person.briefing_date, document)

    def rate(rating, item=""):
        stage.alice().rows(RATE, stage.person.user_id, stage.person.briefing_date, rating, item)

    stage.rate = rate
    return stage


def affinity(stage):
    """Return what the worker learns of Alice."""
    return stage.worker().rows(AFFINITY, stage.person.user_id)


def use(stage, *events):
    """Alice does something with her briefing."""
    whose = {"briefing_date": str(stage.person.briefing_date), "edition": "morning"}
    stage.record(*(event(stage.now, kind, item_id=item, **whose) for kind, item in events))


def test_nothing_is_learnt_from_nothing(briefed):
    """A briefing alone says nothing."""
    assert affinity(briefed) == []


@pytest.mark.parametrize(("rating", "want"), [(1, -1), (2, Decimal("-0.5")), (3, 0), (4, Decimal("0.5")), (5, 1)])
def test_an_item_counts_for_its_topic(briefed, rating, want):
    """From -1 to 1."""
    briefed.rate(rating, "s1")
    assert affinity(briefed) == [("science", want, 1, 0)]


def test_a_whole_briefing_counts_once_for_each_of_its_topics(briefed):
    """Also where a topic has two sections, or no item."""
    briefed.rate(5)
    assert affinity(briefed) == [(topic, 1, 1, 0) for topic in ("art", "cities", "science", "sport")]


def test_affinity_is_the_mean_of_all_ratings(briefed):
    """Of the whole and of items, and an item of two topics counts for both."""
    briefed.rate(5)
    briefed.rate(1, "s1")
    briefed.rate(2, "s2")
    want = {
        "science": (Decimal("-0.17"), 3), "cities": (Decimal("0.25"), 2), "sport": (1, 1), "art": (1, 1),
    }  # fmt: skip
    assert {row[0]: row[1:3] for row in affinity(briefed)} == want


def test_an_item_of_either_section_counts(briefed):
    """A topic's items are those of all its sections."""
    briefed.rate(1, "p1")
    briefed.rate(5, "p2")
    assert affinity(briefed) == [("sport", 0, 2, 0)]


def test_a_rating_of_what_is_not_in_the_briefing_counts_for_nothing(briefed):
    """It was in an earlier version, perhaps."""
    briefed.rate(5, "gone")
    assert affinity(briefed) == []


def test_clicks_saves_and_shares_are_interactions(briefed):
    """Other events aren't, and none of them is a rating."""
    use(briefed, ("item_clicked", "s1"), ("item_saved", "s1"), ("shared", "s2"), ("dismissed", "s1"), ("opened", None))
    assert affinity(briefed) == [("science", None, 0, 3), ("cities", None, 0, 1)]


def test_what_was_done_is_not_learnt_from_after_consent_is_withdrawn(briefed):
    """It was recorded with consent to analytics, which holds no longer (GDPR Art. 7(3)); ratings need none."""
    briefed.rate(5, "s1")
    use(briefed, ("item_clicked", "s1"))
    withdraw = "SELECT gdpr.record_consent(%s, 'analytics', false, '2026-01')"
    briefed.alice().rows(withdraw, briefed.person.user_id)
    assert affinity(briefed) == [("science", 1, 1, 0)]


def test_what_is_liked_comes_first_and_what_is_used_next(briefed):
    """Then what is used more; what wasn't rated comes last."""
    briefed.rate(2, "s1")
    briefed.rate(5, "p1")
    use(briefed, ("item_clicked", "c1"), ("item_clicked", "s1"))
    assert [row[0] for row in affinity(briefed)] == ["sport", "science", "cities"]


def test_sixty_days_count(briefed):
    """As of the day on which the ratings were 61 days old they are forgotten; a day before they aren't."""
    briefed.rate(5, "s1")
    at = "SELECT topic FROM pulsex.topic_affinity(%s, %s::date::timestamptz AT TIME ZONE 'UTC' AT TIME ZONE 'UTC')"
    day, who = briefed.person.briefing_date, briefed.person.user_id
    briefed.worker().results_eq(at, [("science",)], who, day + timedelta(days=60))
    briefed.worker().is_empty(at, who, day + timedelta(days=61))


@pytest.mark.parametrize(("told", "done"), [(0, 1), (1, 0)], ids=["an old briefing", "an old event"])
def test_sixty_days_count_of_both_briefings_and_events(stage, told, done):
    """What is done with a briefing is forgotten with the older of the two days."""
    day, who = stage.day + timedelta(days=told), stage.person.user_id
    stage.worker().rows(PUBLISH, who, day, Jsonb({"sections": [section("science", "s1")]}))
    at = stage.midnight + timedelta(days=done)
    stage.put(who, event(at, "item_clicked", item_id="s1", briefing_date=str(day), edition="morning"))
    learnt = "SELECT sum(interactions) FROM pulsex.topic_affinity(%s, %s) HAVING sum(interactions) > 0"
    last = stage.midnight + timedelta(days=60)
    stage.worker().results_eq(learnt, [(1,)], who, last)
    stage.worker().is_empty(learnt, who, last + timedelta(days=1))


def test_the_generator_is_told_the_same(briefed):
    """generation_context has the affinity of the topics that were rated."""
    briefed.rate(2, "s1")
    briefed.rate(5, "p1")
    use(briefed, ("item_clicked", "c1"))
    rated = {topic: float(value) for topic, value, ratings, _ in affinity(briefed) if ratings}
    assert rated == {"science": -0.5, "sport": 1}
    assert briefed.worker().value(CONTEXT, briefed.person.user_id) == rated


def test_bobs_ratings_are_not_alices(briefed, bob):
    """Each person's own count alone."""
    bob_has = "SELECT count(*) FROM pulsex.briefing_feedback WHERE user_id = %s"
    briefed.service().results_eq(bob_has, [(1,)], bob.user_id)
    assert affinity(briefed) == []


def test_nothing_is_learnt_of_nobody_or_of_who_is_restricted(briefed):
    """PT404 and PT403."""
    briefed.worker().throws_ok(AFFINITY, "PT404", "00000000-0000-0000-0000-000000000000")
    briefed.service().rows("UPDATE pulsex.users SET status = 'restricted' WHERE user_id = %s", briefed.person.user_id)
    briefed.worker().throws_ok(AFFINITY, "PT403", briefed.person.user_id)
