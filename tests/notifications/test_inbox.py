"""The person's inbox: what they were told and haven't read."""

import pytest

from tests.notifications.desk import NOON, SECOND

UNREAD = "SELECT kind FROM pulsex.unread_notifications(%s)"
MARK = "SELECT pulsex.mark_notifications_read(%s, %s)"


@pytest.fixture
def tip(desk, alice):
    """Something that Alice was told at noon, besides the welcome that she hasn't read either."""
    told = desk.enqueue(alice, "in_app", "tip", payload={"n": 1})
    desk.complete(desk.lease())
    return told


def test_what_was_sent_is_unread(alice, tip):
    """With all that is shown of it."""
    alice.results_eq(
        """SELECT notification_id, channel, kind, payload, created_at = now(), sent_at
        FROM pulsex.unread_notifications(%s) WHERE kind = 'tip'""",
        [(tip, "in_app", "tip", {"n": 1}, True, NOON)], alice.user_id,
    )  # fmt: skip


def test_the_newest_is_first(alice, service, tip):
    """And of more than a page, the older ones wait."""
    alice.results_eq(UNREAD, [("tip",), ("welcome",)], alice.user_id)
    service.rows("UPDATE pulsex.notifications SET created_at = '2000-01-01' WHERE notification_id = %s", tip)
    alice.results_eq(UNREAD, [("welcome",), ("tip",)], alice.user_id)
    alice.results_eq("SELECT kind FROM pulsex.unread_notifications(%s, 1)", [("welcome",)], alice.user_id)


def test_what_wasnt_sent_isnt_there(desk, alice):
    """Pending, dead or cancelled: the person was told nothing."""
    desk.enqueue(alice, "in_app")
    desk.cancel(alice, desk.enqueue(alice, "in_app"))
    desk.kill(alice, channel="in_app", scheduled_for=NOON - SECOND)
    alice.results_eq(UNREAD, [("welcome",)], alice.user_id)


def test_what_was_read_isnt_there_any_more(alice, tip):
    """It counts once."""
    alice.results_eq(MARK, [(1,)], alice.user_id, [tip])
    alice.results_eq(MARK, [(0,)], alice.user_id, [tip])
    alice.results_eq(UNREAD, [("welcome",)], alice.user_id)


def test_what_wasnt_sent_cannot_be_read(desk, alice):
    """Nobody has read what is still on its way."""
    told = desk.enqueue(alice, "in_app")
    alice.results_eq(MARK, [(0,)], alice.user_id, [told])
    desk.complete(desk.lease())
    alice.results_eq(MARK, [(1,)], alice.user_id, [told])


@pytest.mark.parametrize("ids", [[], None])
def test_nothing_marked_is_nothing_read(alice, ids):
    """No ids at all."""
    alice.results_eq("SELECT pulsex.mark_notifications_read(%s, %s::uuid[])", [(0,)], alice.user_id, ids)


def test_somebody_elses_inbox_is_closed(alice, bob, tip):
    """Bob sees nothing of Alice's and marks nothing of hers, by her id or his."""
    for user_id in (alice.user_id, bob.user_id):
        bob.results_eq(MARK, [(0,)], user_id, [tip])
    bob.is_empty(UNREAD, alice.user_id)
    alice.results_eq(UNREAD, [("tip",), ("welcome",)], alice.user_id)


@pytest.mark.parametrize("limit", [0, 101, None])
def test_a_page_has_bounds(alice, limit):
    """One to a hundred."""
    alice.throws_ok("SELECT pulsex.unread_notifications(%s, %s)", "PT422", alice.user_id, limit)
