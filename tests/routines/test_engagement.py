"""What a person thought of a briefing: db/routines/engagement.sql."""

from __future__ import annotations

from datetime import timedelta

import pytest

RATE = "SELECT pulsex.record_feedback(%s, %s, %s::smallint)"
SAY = "SELECT pulsex.record_feedback(%s, %s, %s::smallint, %s)"
RATINGS = "SELECT item_id, rating, comment FROM pulsex.briefing_feedback ORDER BY item_id"


def test_rating_again_replaces_the_rating(alice, published):
    """record_feedback keeps one rating for a briefing: the last, with its comment."""
    alice.lives_ok(SAY, alice.user_id, published.briefing_date, 2, "Too long")
    alice.results_eq(RATINGS, [("", 2, "Too long")])


def test_a_comment_can_be_added_to_the_same_rating(alice, published):
    """A comment alone is a change too."""
    alice.lives_ok(SAY, alice.user_id, published.briefing_date, 4, "Good")
    alice.results_eq(RATINGS, [("", 4, "Good")])


def test_rating_without_a_comment_takes_the_comment_back(alice, published):
    """The comment belongs to the rating that it came with."""
    alice.rows(SAY, alice.user_id, published.briefing_date, 4, "Good")
    alice.lives_ok(RATE, alice.user_id, published.briefing_date, 4)
    alice.results_eq(RATINGS, [("", 4, None)])


@pytest.mark.parametrize("comment", ["Just right", None])
def test_saying_the_same_again_changes_nothing(alice, published, comment):
    """The same rating and comment leave the row where and as it was."""
    alice.rows(SAY, alice.user_id, published.briefing_date, 5, comment)
    row = "SELECT ctid::text, updated_at FROM pulsex.briefing_feedback"
    before = alice.rows(row)
    alice.lives_ok(SAY, alice.user_id, published.briefing_date, 5, comment)
    alice.results_eq(row, before)


def test_an_item_is_rated_beside_its_briefing(alice, published):
    """A rating of one item stands beside that of the whole."""
    statement = "SELECT pulsex.record_feedback(%s, %s, 1::smallint, p_item_id => 's1')"
    alice.lives_ok(statement, alice.user_id, published.briefing_date)
    alice.results_eq(RATINGS, [("", 4, None), ("s1", 1, None)])


@pytest.mark.parametrize("days", [-1, 1, 100000])
def test_a_briefing_that_is_not_there_is_not_rated(alice, published, days):
    """A date without a briefing raises PT404."""
    alice.throws_ok(RATE, "PT404", alice.user_id, published.briefing_date + timedelta(days=days), 3)


@pytest.mark.parametrize("edition", ["evening", "noon", ""])
def test_an_edition_that_is_not_there_is_not_rated(alice, published, edition):
    """An edition that wasn't published raises PT404."""
    statement = "SELECT pulsex.record_feedback(%s, %s, 3::smallint, p_edition => %s)"
    alice.throws_ok(statement, "PT404", alice.user_id, published.briefing_date, edition)


@pytest.mark.parametrize("rating", [1, 5])
def test_a_rating_is_1_to_5(alice, published, rating):
    """Both bounds are allowed."""
    alice.lives_ok(RATE, alice.user_id, published.briefing_date, rating)


@pytest.mark.parametrize("rating", [0, 6, -1])
def test_a_rating_out_of_bounds_is_refused(alice, published, rating):
    """A rating outside 1 to 5 raises 23514 and leaves the one before."""
    constraint = "briefing_feedback_rating_check"
    alice.throws_ok(RATE, "23514", alice.user_id, published.briefing_date, rating, constraint=constraint)
    alice.results_eq(RATINGS, [("", 4, None)])


def test_a_comment_has_2000_characters_at_most(alice, published):
    """2000 characters are stored, of whatever bytes; one more raises 23514."""
    alice.lives_ok(SAY, alice.user_id, published.briefing_date, 4, "é" * 2000)
    constraint = "briefing_feedback_comment_check"
    alice.throws_ok(SAY, "23514", alice.user_id, published.briefing_date, 4, "a" * 2001, constraint=constraint)


def test_nobody_rates_for_somebody_else(alice, bob, database):
    """Bob's briefing, which is there, raises 42501 to Alice."""
    bobs = database.cast["bob"].briefing_date
    alice.throws_ok(RATE, "42501", bob.user_id, bobs, 1)
    bob.results_eq(RATINGS, [("", 4, None)])


def test_a_stranger_rates_nothing(stranger, published):
    """Without a session Alice's briefing raises 42501."""
    stranger.throws_ok(RATE, "42501", published.user_id, published.briefing_date, 1)
