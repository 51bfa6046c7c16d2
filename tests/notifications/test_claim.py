"""Whose turn it is: due, by priority, and still wanted; and nothing that somebody else has."""

from datetime import timedelta

import pytest

from tests.notifications.desk import DAY, HOUR, LEASE, MINUTE, NOON, SECOND, call


def test_the_highest_priority_goes_first(desk, alice):
    """And within one, what has been due for longest."""
    late = desk.enqueue(alice)
    urgent = desk.enqueue(alice, "in_app", priority=5)
    early = desk.enqueue(alice, scheduled_for=NOON - HOUR)
    unimportant = desk.enqueue(alice, priority=-100, scheduled_for=NOON - DAY)
    assert [claimed.notification_id for claimed in desk.claim()] == [urgent, early, late, unimportant]


def test_no_more_are_leased_than_asked_for(desk, alice):
    """And each once."""
    desk.fill(alice, 5)
    first, second, third = (desk.claim(limit=2) for _ in range(3))
    assert [len(batch) for batch in (first, second, third)] == [2, 2, 1]
    assert len({claimed.notification_id for claimed in first + second + third}) == 5


def test_a_channel_is_served_alone(desk, alice):
    """By a worker that asks for it; null is all of them."""
    desk.enqueue(alice, "push")
    told = desk.enqueue(alice, "in_app")
    assert [claimed.notification_id for claimed in desk.claim(channel="in_app")] == [told]
    assert [claimed.channel for claimed in desk.claim()] == ["push"]


def test_a_lease_says_until_when_and_whose(desk, service, alice):
    """From the time of the claim, for as long as was asked for, in the worker's name."""
    desk.enqueue(alice)
    claimed = desk.lease(worker="sender 7", lease=10 * MINUTE)
    assert (claimed.lease_until, claimed.attempt) == (NOON + 10 * MINUTE, 1)
    service.results_eq(
        "SELECT leased_by, leased_at, lease_token FROM pulsex.notification_queue",
        [("sender 7", NOON, claimed.lease_token)],
    )


def test_what_is_leased_is_nobody_elses_until_the_lease_ends(desk, alice):
    """Then it comes back by itself, with another token, and the attempt counts."""
    told = desk.enqueue(alice)
    first = desk.lease()
    assert desk.claim(NOON + LEASE - timedelta(microseconds=1), "two") == []
    second = desk.lease(NOON + LEASE, "two")
    assert (second.notification_id, second.attempt) == (told, 2)
    assert second.lease_token != first.lease_token
    assert desk.history(told) == [(1, "lease_expired")]


def test_a_worker_that_never_comes_back_kills_what_it_leases_in_the_end(desk, alice):
    """After its last attempt it is dead, with every one of them in the history."""
    told = desk.enqueue(alice, max_attempts=3)
    for attempt in (1, 2, 3):
        assert desk.lease(NOON + attempt * HOUR).attempt == attempt
    assert desk.claim(NOON + 4 * HOUR) == []
    assert (desk.state(told), desk.due_at(told)) == (("dead", "out_of_attempts"), None)
    assert desk.history(told) == [(attempt, "lease_expired") for attempt in (1, 2, 3)]


@pytest.mark.parametrize(
    ("channel", "sql", "reason"),
    [
        ("push", "UPDATE pulsex.user_preferences SET channels = '{in_app}' WHERE user_id = %s", "channel_off"),
        (
            "in_app",
            "INSERT INTO pulsex.unsubscriptions (user_id, channel, kind) VALUES (%s, 'in_app', 'briefing_ready')",
            "unsubscribed",
        ),
        ("push", "UPDATE pulsex.devices SET retired_at = now() WHERE user_id = %s", "no_device"),
        ("email", "UPDATE auth.identities SET verified_at = NULL WHERE user_id = %s", "no_address"),
    ],
)
def test_what_is_no_longer_wanted_is_cancelled_when_it_is_its_turn(desk, service, alice, channel, sql, reason):
    """Whatever the person changed since it was enqueued; it costs no attempt, and the next one moves up."""
    service.rows("UPDATE auth.identities SET verified_at = now() WHERE user_id = %s", alice.user_id)
    desk.prefer(alice, channels=["push", "email", "in_app"])
    told = desk.enqueue(alice, channel, scheduled_for=NOON - SECOND)
    service.rows(sql, alice.user_id)
    other = desk.enqueue(alice, "in_app", "tip")
    assert [claimed.notification_id for claimed in desk.claim(limit=1)] == [other]
    assert desk.claim() == []
    assert (desk.state(told), desk.history(told)) == (("cancelled", reason), [])


def test_what_falls_into_quiet_hours_since_is_put_off(desk, alice):
    """Until they end, Lisbon's 14:00 being 13:00 UTC; then it is sent, and the reason for the delay stays."""
    told = desk.enqueue(alice)
    desk.prefer(alice, quiet_hours_start="12:00", quiet_hours_end="14:00")
    assert desk.claim() == []
    assert (desk.state(told), desk.due_at(told)) == (("pending", "quiet_hours"), NOON + HOUR)
    desk.complete(desk.lease(NOON + HOUR), NOON + HOUR)
    assert desk.state(told) == ("sent", "quiet_hours")


def test_an_attempt_that_was_lost_before_quiet_hours_is_remembered(desk, alice):
    """The lease ends within them: it is in the history, the row is free, and the next attempt is the second."""
    told = desk.enqueue(alice)
    desk.lease()
    desk.prefer(alice, quiet_hours_start="12:00", quiet_hours_end="14:00")
    assert desk.claim(NOON + LEASE) == []
    assert desk.history(told) == [(1, "lease_expired")]
    assert desk.lease(NOON + HOUR).attempt == 2


def test_what_is_put_off_makes_place_for_others(desk, alice, bob):
    """A batch is filled with what can be sent, however much can't be."""
    desk.prefer(alice, quiet_hours_start="00:00", quiet_hours_end="24:00")
    desk.prefer(bob, quiet_hours_start=None, quiet_hours_end=None)
    desk.fill(alice, 30, "push", at=NOON - SECOND)
    desk.fill(bob, 3, "push")
    assert [claimed.user_id for claimed in desk.claim(limit=2)] == [bob.user_id] * 2


def test_a_restricted_persons_are_kept_until_they_may_be_sent(desk, service, alice):
    """No worker is given them (GDPR, Art. 18); they are asked about every hour, and sent when it is over."""
    told = desk.enqueue(alice)
    service.rows("UPDATE pulsex.users SET status = 'restricted' WHERE user_id = %s", alice.user_id)
    assert desk.claim() == []
    assert (desk.state(told), desk.due_at(told)) == (("pending", None), NOON + HOUR)
    service.rows("UPDATE pulsex.users SET status = 'active' WHERE user_id = %s", alice.user_id)
    assert desk.lease(NOON + HOUR).notification_id == told


@pytest.mark.parametrize(
    "wrong",
    [
        {"limit": 0}, {"limit": 1001}, {"limit": None}, {"lease": timedelta(seconds=0.999)}, {"lease": 25 * HOUR},
        {"lease": None}, {"worker": ""}, {"worker": "w" * 201}, {"worker": None}, {"at": None}, {"at": "infinity"},
        {"at": "-infinity"}, {"channel": "sms"},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_refused(worker, wrong):
    """Each argument out of bounds."""
    sql, values = call("SELECT * FROM pulsex.claim_notifications", {"worker": "one", "at": NOON} | wrong)
    worker.throws_ok(sql, "PT422", *values)


@pytest.mark.parametrize(
    "bound",
    [{"limit": 1}, {"limit": 1000}, {"lease": SECOND}, {"lease": DAY}, {"worker": "w"}, {"worker": "é" * 200}],
    ids=str,
)
def test_what_is_just_allowed(desk, alice, bound):
    """Each argument at its bound."""
    desk.enqueue(alice)
    assert len(desk.claim(**bound)) == 1


def test_the_levels_of_a_queue_are_its_priorities(desk, service, alice):
    """With when the first of each is due: of what is leased, when the lease ends."""
    desk.enqueue(alice, scheduled_for=NOON + HOUR)
    desk.enqueue(alice, scheduled_for=NOON + MINUTE)
    desk.enqueue(alice, priority=3)
    desk.lease()
    levels = [("push", 0, NOON + MINUTE), ("push", 3, NOON + LEASE)]
    service.results_eq("SELECT * FROM pulsex.queue_levels('push') ORDER BY priority", levels)
    service.results_eq("SELECT * FROM pulsex.queue_levels(NULL) ORDER BY priority", levels)
    service.is_empty("SELECT * FROM pulsex.queue_levels('email')")


def test_the_verdict_on_somebody_who_may_be_told(service, alice):
    """No reason, no delay, and where to."""
    service.results_eq(
        "SELECT * FROM pulsex.delivery_verdict(%s, 'in_app', 'tip', %s)", [(None, None, [])], alice.user_id, NOON
    )


@pytest.mark.parametrize(
    ("broken", "reason"),
    [(("off", "unsubscribed", "restricted"), "restricted"), (("off", "unsubscribed", "quiet"), "channel_off"),
     (("unsubscribed", "device", "quiet"), "unsubscribed"), (("device", "quiet"), "no_device"),
     (("quiet",), "quiet_hours")],
)  # fmt: skip
def test_one_reason_is_given(desk, service, alice, broken, reason):
    """Of many the first, and what will never be sent isn't put off."""
    told = desk.enqueue(alice)
    changes = {
        "restricted": "UPDATE pulsex.users SET status = 'restricted' WHERE user_id = %s",
        "off": "UPDATE pulsex.user_preferences SET channels = '{}' WHERE user_id = %s",
        "unsubscribed": """INSERT INTO pulsex.unsubscriptions (user_id, channel, kind)
            VALUES (%s, 'push', 'briefing_ready')""",
        "device": "UPDATE pulsex.devices SET retired_at = now() WHERE user_id = %s",
        "quiet": """UPDATE pulsex.user_preferences SET quiet_hours_start = '12:00', quiet_hours_end = '14:00'
            WHERE user_id = %s""",
    }
    for name in broken:
        service.rows(changes[name], alice.user_id)
    sql = "SELECT reason, not_before FROM pulsex.delivery_verdict(%s, 'push', 'briefing_ready', %s)"
    waits = reason in ("restricted", "quiet_hours")
    service.results_eq(sql, [(reason, NOON + HOUR if waits else None)], alice.user_id, NOON)
    assert desk.claim() == []
    # Of a restricted person's nothing changes, not even the reason.
    assert desk.state(told) == ("pending" if waits else "cancelled", None if reason == "restricted" else reason)
