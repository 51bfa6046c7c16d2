"""Two people's notifications of one id, and two of one person's under one lease: each is settled by itself."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from tests.notifications.desk import MINUTE, NOON, SECOND, Claimed, settling

COMPLETE = "SELECT pulsex.complete_notifications(%s, %s, %s)"
LEFT = "SELECT user_id FROM pulsex.notification_queue WHERE lease_token IS NULL"


@pytest.fixture
def twins(desk, alice, bob) -> UUID:
    """The id of a tip for Alice, and of news for Bob, which are due a second later."""
    tip = desk.enqueue(alice, "in_app", "tip")
    desk.service.rows(
        "INSERT INTO pulsex.notifications (user_id, notification_id, channel, kind) VALUES (%s, %s, 'in_app', 'news')",
        bob.user_id, tip,
    )  # fmt: skip
    desk.service.rows(
        """INSERT INTO pulsex.notification_queue (user_id, notification_id, channel, available_at)
        VALUES (%s, %s, 'in_app', %s)""",
        bob.user_id, tip, NOON + SECOND,
    )  # fmt: skip
    return tip


@pytest.fixture
def pair(desk, alice) -> list[Claimed]:
    """Two of Alice's that a worker leased at once."""
    for kind in ("tip", "news"):
        desk.enqueue(alice, "in_app", kind)
    pair = desk.claim()
    assert pair[0].lease_token == pair[1].lease_token
    return pair


def complete(desk, claimed: Claimed, lease: UUID | None = None) -> list[tuple]:
    """Say that it was sent, among many; return what couldn't be settled."""
    lease = lease or claimed.lease_token
    return desk.worker.rows(COMPLETE, [claimed.user_id], [claimed.notification_id], [lease])


@pytest.mark.usefixtures("twins")
def test_one_of_two_peoples_is_leased(desk, bob):
    """With one to lease, Bob's waits."""
    desk.claim(NOON + MINUTE, limit=1)
    desk.service.results_eq(LEFT, [(bob.user_id,)])


@pytest.mark.usefixtures("twins")
def test_each_of_two_peoples_is_what_it_is(desk, alice, bob):
    """Alice is told a tip, and Bob news."""
    kinds = {claimed.user_id: claimed.kind for claimed in desk.claim(NOON + MINUTE)}
    assert kinds == {alice.user_id: "tip", bob.user_id: "news"}


@pytest.mark.usefixtures("twins")
def test_one_of_two_peoples_is_settled(desk, bob):
    """When Alice's was sent, Bob's is still to be."""
    [hers] = desk.claim(NOON, limit=1)
    assert complete(desk, hers) == []
    desk.service.results_eq(LEFT, [(bob.user_id,)])


def test_one_of_two_is_sent(desk, pair):
    """The other is still pending."""
    complete(desk, pair[0])
    assert desk.state(pair[1].notification_id) == ("pending", None)


def test_what_was_called_off_is_not_settled_by_the_other(desk, alice, pair):
    """It is told to be lost, though the other was sent under the same lease."""
    complete(desk, pair[0])
    desk.service.rows("DELETE FROM pulsex.notification_queue")
    assert complete(desk, pair[1]) == [(pair[1].notification_id,)]


def test_what_was_sent_under_another_lease_is_told(desk, pair):
    """Who asks had it no longer."""
    complete(desk, pair[0])
    assert complete(desk, pair[0], uuid4()) == [(pair[0].notification_id,)]


def test_what_failed_is_not_settled_as_sent(desk, pair):
    """By the same lease."""
    desk.fail(pair[0])
    assert complete(desk, pair[0]) == [(pair[0].notification_id,)]


def test_what_was_called_off_is_not_settled_alone_either(desk, pair):
    """PT409, though the other was sent under the same lease."""
    complete(desk, pair[0])
    desk.service.rows("DELETE FROM pulsex.notification_queue")
    sql, values = settling("pulsex.complete_notification", pair[1])
    desk.worker.throws_ok(sql, "PT409", *values)


@pytest.mark.usefixtures("twins")
def test_the_other_persons_is_pending_still(desk, bob):
    """Settled among many, Alice's is sent and Bob's isn't, nor by her lease."""
    [hers] = desk.claim(NOON, limit=1)
    complete(desk, hers)
    pending = "SELECT user_id FROM pulsex.notifications WHERE state = 'pending'"
    desk.service.results_eq(pending, [(bob.user_id,)])
    assert complete(desk, hers._replace(user_id=bob.user_id)) == [(hers.notification_id,)]


@pytest.mark.usefixtures("twins")
def test_the_other_persons_lease_is_kept_when_one_fails(desk, alice):
    """Alice's is free again, and Bob's isn't."""
    [hers] = [claimed for claimed in desk.claim(NOON + MINUTE) if claimed.user_id == alice.user_id]
    desk.fail(hers)
    desk.service.results_eq(LEFT, [(alice.user_id,)])
