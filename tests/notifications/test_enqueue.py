"""Whether and when a person is told something is decided when it is enqueued, with the reason."""

from datetime import timedelta

import pytest

from tests.notifications.desk import HOUR, NOON, call

NOBODY = "00000000-0000-7000-8000-000000000000"
ENQUEUE = "SELECT pulsex.enqueue_notification"


def test_what_is_enqueued_waits_until_it_is_due(desk, alice):
    """Not a second earlier, and then with what was said."""
    told = desk.enqueue(alice, payload={"title": "Good morning"})
    assert desk.claim(NOON - timedelta(seconds=1)) == []
    claimed = desk.lease()
    assert (claimed.notification_id, claimed.user_id, claimed.payload) == (
        told,
        alice.user_id,
        {"title": "Good morning"},
    )


def test_by_default_it_is_due_at_once(desk, worker, alice):
    """With an empty payload, priority 0, eight attempts and no key."""
    told = worker.value("SELECT pulsex.enqueue_notification(%s, 'push', 'welcome')", alice.user_id)
    claimed = desk.lease(worker.value("SELECT now()"))
    assert (claimed.notification_id, claimed.payload) == (told, {})
    desk.service.results_eq(
        """SELECT priority, max_attempts, dedup_key FROM pulsex.notification_queue
        JOIN pulsex.notifications USING (user_id, notification_id)""",
        [(0, 8, None)],
    )


def test_a_key_is_enqueued_once_while_it_waits(desk, alice):
    """The second gets the first one's id, and changes nothing of it."""
    first = desk.enqueue(alice, dedup_key="today", payload={"n": 1})
    assert desk.enqueue(alice, dedup_key="today", payload={"n": 2}, scheduled_for=NOON - HOUR, priority=9) == first
    claimed = desk.lease()
    assert (claimed.payload, desk.due_at(first)) == ({"n": 1}, claimed.lease_until)
    assert desk.enqueue(alice, dedup_key="today") == first


def test_a_key_is_of_one_person(desk, alice, bob):
    """Bob's 'today' isn't Alice's."""
    assert desk.enqueue(alice, dedup_key="today") != desk.enqueue(bob, dedup_key="today")
    assert len(desk.claim()) == 2


def test_no_key_is_no_key(desk, alice):
    """Two without one are two."""
    assert desk.enqueue(alice) != desk.enqueue(alice)


@pytest.mark.parametrize("settle", ["complete", "fail", "cancel"])
def test_a_key_is_free_again_when_it_is_settled(desk, alice, settle):
    """Sent, dead or cancelled: the next one with it is another one."""
    first = desk.enqueue(alice, dedup_key="today")
    if settle == "complete":
        desk.complete(desk.lease())
    elif settle == "fail":
        desk.fail(desk.lease(), permanent=True)
    else:
        desk.cancel(alice, first)
    assert desk.enqueue(alice, dedup_key="today") != first
    assert len(desk.claim()) == 1


def test_a_key_that_waits_is_found_by_who_may_not_be_told_any_more(desk, alice):
    """The one that waits is returned, whatever would become of another: no second is stored as cancelled."""
    first = desk.enqueue(alice, dedup_key="today")
    desk.prefer(alice, channels=[])
    assert desk.enqueue(alice, dedup_key="today") == first
    alice.results_eq("SELECT count(*) FROM pulsex.notifications WHERE dedup_key = 'today'", [(1,)])


def test_a_channel_that_is_off(desk, alice):
    """Is stored as cancelled, and why, and not queued."""
    desk.prefer(alice, channels=["in_app"])
    told = desk.enqueue(alice)
    assert (desk.state(told), desk.due_at(told)) == (("cancelled", "channel_off"), None)


def test_an_unsubscribed_kind(desk, alice):
    """Is cancelled on that channel, and no other kind and no other channel is."""
    alice.rows("INSERT INTO pulsex.unsubscriptions (user_id, channel, kind) VALUES (%s, 'push', 'tip')", alice.user_id)
    assert desk.state(desk.enqueue(alice, kind="tip")) == ("cancelled", "unsubscribed")
    assert desk.state(desk.enqueue(alice, kind="tips")) == ("pending", None)
    assert desk.state(desk.enqueue(alice, "in_app", kind="tip")) == ("pending", None)


def test_nobody_is_pushed_to_without_a_device(desk, alice, worker):
    """A person whose devices are retired."""
    device_id = alice.value("SELECT device_id FROM pulsex.devices")
    worker.rows("SELECT pulsex.retire_device(%s, %s)", alice.user_id, device_id)
    assert desk.state(desk.enqueue(alice)) == ("cancelled", "no_device")


@pytest.mark.parametrize(("verified", "ends"), [(None, ("cancelled", "no_address")), (NOON, ("pending", None))])
def test_mail_goes_only_to_a_verified_address(desk, alice, service, verified, ends):
    """To no other, even if there is one."""
    desk.prefer(alice, channels=["email"])
    service.rows("UPDATE auth.identities SET verified_at = %s WHERE user_id = %s", verified, alice.user_id)
    assert desk.state(desk.enqueue(alice, "email")) == ends


def test_mail_is_given_its_address(desk, alice, service):
    """The worker gets where to send to from the claim: hers alone, though Bob's is verified too."""
    desk.prefer(alice, channels=["email"])
    service.rows("UPDATE auth.identities SET verified_at = now()")
    desk.enqueue(alice, "email")
    assert desk.lease().targets == [{"address": "alice@example.com"}]


def test_a_push_is_given_its_devices(desk, alice):
    """All that aren't retired."""
    other = alice.value("SELECT pulsex.register_device(%s, 'ios', 'another')", alice.user_id)
    first = alice.value("SELECT device_id FROM pulsex.devices WHERE platform = 'web'")
    desk.enqueue(alice)
    targets = sorted(desk.lease().targets, key=lambda target: target["platform"])
    assert targets == [
        {"device_id": str(other), "platform": "ios", "push_token": "another"},
        {"device_id": str(first), "platform": "web", "push_token": f"push-{alice.user_id}"},
    ]


def test_the_inbox_needs_no_target(desk, alice):
    """Nothing is sent anywhere for it."""
    desk.enqueue(alice, "in_app")
    assert desk.lease().targets == []


def test_quiet_hours_put_a_push_off(desk, alice):
    """Until they end in the person's zone, Lisbon's summer: 14:00 is 13:00 UTC; the reason is stored."""
    desk.prefer(alice, quiet_hours_start="12:00", quiet_hours_end="14:00")
    told = desk.enqueue(alice)
    assert (desk.state(told), desk.due_at(told)) == (("pending", "quiet_hours"), NOON + HOUR)


def test_quiet_hours_are_only_for_what_makes_a_noise(desk, alice):
    """The inbox is filled silently."""
    desk.prefer(alice, quiet_hours_start="12:00", quiet_hours_end="14:00")
    told = desk.enqueue(alice, "in_app")
    assert (desk.state(told), desk.due_at(told)) == (("pending", None), NOON)


def test_quiet_hours_put_nothing_off_that_is_scheduled_after_them(desk, alice):
    """They are asked about when it is due, not when it is enqueued."""
    desk.prefer(alice, quiet_hours_start="12:00", quiet_hours_end="14:00")
    told = desk.enqueue(alice, scheduled_for=NOON + HOUR)
    assert (desk.state(told), desk.due_at(told)) == (("pending", None), NOON + HOUR)


@pytest.mark.parametrize(
    ("arguments", "sqlstate", "about"),
    [
        ({"user_id": NOBODY}, "PT404", None),
        ({"user_id": None}, "PT404", None),
        ({"channel": "sms"}, "23514", "notifications_channel_check"),
        ({"kind": "Not a name"}, "23514", "notifications_kind_check"),
        ({"payload": {"a": "a" * 16384}}, "23514", "notifications_payload_check"),
        ({"dedup_key": ""}, "23514", "notifications_dedup_key_check"),
        ({"scheduled_for": "infinity"}, "23514", "notifications_scheduled_for_check"),
        ({"priority": 101}, "PT422", None),
        ({"priority": 40000}, "PT422", None),
        ({"priority": None}, "PT422", None),
        ({"max_attempts": 0}, "PT422", None),
        ({"max_attempts": 2_000_000_000}, "PT422", None),
        ({"max_attempts": None}, "PT422", None),
        ({"channel": None}, "23502", None),
        ({"kind": None}, "23502", None),
        ({"payload": None}, "23502", None),
        ({"scheduled_for": None}, "23502", None),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_refused(desk, worker, alice, arguments, sqlstate, about):
    """Each argument out of bounds, even of a person with quiet hours, by the error that is documented."""
    desk.prefer(alice, quiet_hours_start="12:00", quiet_hours_end="14:00")
    fine = {"user_id": alice.user_id, "channel": "push", "kind": "welcome"}
    sql, values = call(ENQUEUE, fine | arguments)
    worker.throws_ok(sql, sqlstate, *values, constraint=about)


def test_a_restricted_person_is_told_nothing(desk, alice, service, worker):
    """Nothing of theirs is processed (GDPR, Art. 18)."""
    service.rows("UPDATE pulsex.users SET status = 'restricted' WHERE user_id = %s", alice.user_id)
    worker.throws_ok("SELECT pulsex.enqueue_notification(%s, 'push', 'welcome')", "PT403", alice.user_id)


def test_what_is_called_off_is_not_sent(desk, alice):
    """It is true once, and too late the second time."""
    told = desk.enqueue(alice)
    assert (desk.cancel(alice, told), desk.cancel(alice, told)) == (True, False)
    assert (desk.state(told), desk.claim()) == (("cancelled", "called_off"), [])


def test_it_is_too_late_to_call_off_what_is_being_sent(desk, alice):
    """Until the lease ends; then it is not, and the attempt is remembered."""
    told = desk.enqueue(alice)
    claimed = desk.lease()
    assert desk.cancel(alice, told, claimed.lease_until - timedelta(microseconds=1)) is False
    assert desk.cancel(alice, told, claimed.lease_until) is True
    assert (desk.state(told), desk.history(told)) == (("cancelled", "called_off"), [(1, "lease_expired")])


def test_somebody_elses_cannot_be_called_off(desk, worker, alice, bob):
    """With Alice's id, Bob's isn't found."""
    told = desk.enqueue(bob)
    worker.throws_ok("SELECT pulsex.cancel_notification(%s, %s)", "PT404", alice.user_id, told)
    assert desk.state(told) == ("pending", None)


def test_what_another_provider_calls_a_person_is_no_address(desk, alice):
    """Only an e-mail address that was verified is one."""
    desk.service.rows(
        "INSERT INTO auth.identities (provider, subject, user_id, verified_at) VALUES ('company', 'alice', %s, now())",
        alice.user_id,
    )
    desk.prefer(alice, channels=["email"])
    assert desk.state(desk.enqueue(alice, "email")) == ("cancelled", "no_address")


def test_who_sleeps_for_another_channel_sleeps_on(desk, alice):
    """Only the mark of the channel that there is something for is taken away."""
    desk.service.rows("UPDATE pulsex.notification_waits SET asleep_until = 'infinity'")
    desk.enqueue(alice, "in_app")
    desk.service.results_eq(
        "SELECT channel FROM pulsex.notification_waits WHERE asleep_until = 'infinity' ORDER BY channel",
        [("email",), ("push",)],
    )


def test_what_is_for_the_inbox_goes_to_no_address(desk, alice):
    """Though there is one that was verified."""
    desk.service.rows("UPDATE auth.identities SET verified_at = now()")
    desk.enqueue(alice, "in_app")
    assert desk.lease().targets == []
