"""What the operator sees of the queue, and the dead letters."""

import pytest

from tests.notifications.desk import DAY, HOUR, LEASE, MINUTE, NOON, SECOND

COUNT = "SELECT {} FROM ops.count_queue(%s) WHERE channel = 'in_app'"
REVIVE = "SELECT ops.revive_notification(%s, %s, %s)"
LATE, DEAD = "notifications on time", "notifications dead"
RED = "SELECT name FROM ops.health WHERE name LIKE 'notifications%%' AND NOT ok"


def count(desk, what: str, at=NOON) -> object:
    """Return some columns of the inbox's line."""
    [row] = desk.worker.rows(COUNT.format(what), at)
    return row[0] if len(row) == 1 else row


def test_every_channel_has_a_line(desk, worker):
    """With nothing in it."""
    worker.results_eq(
        """SELECT channel, due, scheduled, oldest_due, leased, leases_ending, leases_ended, retries, dead, dead_lately,
        per_minute FROM ops.queue_health""",
        [(channel, 0, 0, None, 0, 0, 0, 0, 0, 0, None) for channel in ("email", "in_app", "push")],
    )


def test_what_is_due_and_since_when(desk, alice):
    """Two are, for an hour and for none; one isn't yet."""
    for at in (NOON - HOUR, NOON, NOON + SECOND):
        desk.enqueue(alice, "in_app", scheduled_for=at)
    assert count(desk, "due, scheduled, oldest_due") == (2, 1, HOUR)


def test_what_waits_for_its_time_is_no_retry_and_nothing_is_due(desk, alice):
    """It was never tried; and leased it isn't scheduled, not even before its time."""
    desk.enqueue(alice, "in_app")
    assert count(desk, "scheduled, oldest_due, retries", NOON - HOUR) == (1, None, 0)
    desk.lease()
    assert count(desk, "scheduled", NOON - HOUR) == 0


def test_what_is_leased_is_neither_due_nor_scheduled(desk, alice):
    """It is told when half a minute is left, and due when none is."""
    desk.enqueue(alice, "in_app")
    end = desk.lease().lease_until
    line = "due, scheduled, leased, leases_ending, leases_ended"
    assert count(desk, line) == (0, 0, 1, 0, 0)
    assert count(desk, line, end - 30 * SECOND) == (0, 0, 1, 1, 0)
    assert count(desk, line, end) == (1, 0, 0, 0, 1)
    assert count(desk, "oldest_due", end + MINUTE) == MINUTE


def test_what_failed_is_a_retry(desk, alice):
    """Until it is leased again."""
    desk.enqueue(alice, "in_app")
    again = desk.fail(desk.lease())
    assert count(desk, "scheduled, retries") == (1, 1)
    desk.lease(again)
    assert count(desk, "leased, retries", again) == (1, 0)


def test_dead_letters_are_counted(desk, alice):
    """For ever, and separately for a day since they died, however long ago they were enqueued."""
    desk.kill(alice, channel="in_app")
    assert count(desk, "dead, dead_lately", NOON + DAY - SECOND) == (1, 1)
    assert count(desk, "dead, dead_lately", NOON + DAY) == (1, 0)


def test_the_limit_is_shown(desk, worker):
    """Leases a minute."""
    worker.rows("SELECT ops.limit_channel('in_app', 600)")
    assert count(desk, "per_minute") == 600


def test_a_dead_letter_is_counted_in_its_channel(desk, alice):
    """And in no other."""
    desk.kill(alice)
    assert count(desk, "dead") == 0


def test_what_is_tried_now_makes_no_other_die_lately(desk, alice):
    """Another of the same person's, that died two days ago."""
    desk.kill(alice, NOON - 2 * DAY, channel="in_app", scheduled_for=NOON - 2 * DAY)
    desk.enqueue(alice, "in_app")
    desk.fail(desk.lease())
    assert count(desk, "dead, dead_lately") == (1, 0)


TWIN = """INSERT INTO pulsex.notifications (user_id, notification_id, channel, kind, state)
    SELECT %s, notification_id, channel, kind, state FROM pulsex.notifications WHERE notification_id = %s"""
TWINS_TRY = """INSERT INTO pulsex.notification_attempts
    (user_id, notification_id, attempt, lease_token, started_at, finished_at, outcome, error)
    VALUES (%s, %s, 1, gen_random_uuid(), %s, %s, 'failed', 'another')"""


def test_what_has_the_same_id_is_told_apart_by_whose_it_is(desk, worker, alice, bob):
    """Ids are only a person's: Bob's of the same id died a day before Alice's, and of something else."""
    dead = desk.kill(alice, channel="in_app")
    desk.service.rows(TWIN, bob.user_id, dead)
    desk.service.rows(TWINS_TRY, bob.user_id, dead, NOON - DAY, NOON - DAY)
    assert count(desk, "dead, dead_lately") == (2, 1)
    worker.results_eq(
        "SELECT last_error FROM ops.dead_notifications() WHERE user_id IN (%s, %s) ORDER BY user_id = %s",
        [("410",), ("another",)], alice.user_id, bob.user_id, bob.user_id,
    )  # fmt: skip


def test_one_dead_letter_is_revived_and_no_other(desk, worker, alice):
    """Another of the same person's stays dead, and its attempts are its own."""
    dead, other = desk.kill(alice, channel="in_app"), desk.kill(alice, channel="in_app", kind="tip")
    desk.service.rows("UPDATE pulsex.notification_attempts SET attempt = 7 WHERE notification_id = %s", other)
    worker.rows(REVIVE, alice.user_id, dead, NOON)
    assert desk.state(other)[0] == "dead"
    desk.service.results_eq("SELECT attempts, max_attempts FROM pulsex.notification_queue", [(1, 9)])


def test_a_dead_letter_tells_why(desk, worker, alice):
    """What it was, how often it was tried, and the last error; none where the worker was lost."""
    refused = desk.kill(alice, channel="in_app", kind="tip")
    lost = desk.enqueue(alice, max_attempts=1)
    desk.lease()
    desk.claim(NOON + LEASE)
    worker.results_eq(
        """SELECT notification_id, user_id, channel, kind, reason, attempts, last_error, created_at = now()
        FROM ops.dead_notifications() ORDER BY kind""",
        [
            (lost, alice.user_id, "push", "briefing_ready", "out_of_attempts", 1, None, True),
            (refused, alice.user_id, "in_app", "tip", "refused", 1, "410", True),
        ],
    )


def test_the_newest_dead_letters_are_first(desk, worker, service, alice):
    """As many as asked for."""
    first, second = (desk.kill(alice, kind=kind, scheduled_for=NOON - SECOND) for kind in ("a", "b"))
    worker.results_eq("SELECT notification_id FROM ops.dead_notifications(1)", [(second,)])
    service.rows("UPDATE pulsex.notifications SET created_at = '2000-01-01' WHERE notification_id = %s", second)
    worker.results_eq("SELECT notification_id FROM ops.dead_notifications()", [(first,), (second,)])


@pytest.mark.parametrize("limit", [0, 1001, None])
def test_a_page_of_dead_letters_has_bounds(worker, limit):
    """One to a thousand."""
    worker.throws_ok("SELECT ops.dead_notifications(%s)", "PT422", limit)


def test_a_dead_letter_is_revived(desk, worker, alice):
    """With eight attempts more, numbered on; and is sent at last."""
    told = desk.kill(alice)
    worker.rows(REVIVE, alice.user_id, told, NOON + HOUR)
    assert (desk.state(told), desk.due_at(told)) == (("pending", None), NOON + HOUR)
    at = NOON + HOUR
    for _ in range(7):
        at = desk.fail(desk.lease(at), at)
    last = desk.lease(at)
    assert last.attempt == 9
    assert desk.fail(last, at) is None
    assert desk.state(told) == ("dead", "out_of_attempts")


def test_what_isnt_dead_cannot_be_revived(desk, worker, alice, bob):
    """Pending, revived already, somebody else's, nobody's."""
    told = desk.enqueue(alice, "in_app")
    worker.throws_ok(REVIVE, "PT404", alice.user_id, told, NOON)
    dead = desk.kill(alice)
    worker.throws_ok(REVIVE, "PT404", bob.user_id, dead, NOON)
    worker.throws_ok(REVIVE, "PT404", dead, dead, NOON)
    worker.rows(REVIVE, alice.user_id, dead, NOON)
    worker.throws_ok(REVIVE, "PT404", alice.user_id, dead, NOON)


def test_a_restricted_persons_dead_stay_dead(desk, worker, service, alice):
    """No worker processes what is theirs."""
    told = desk.kill(alice)
    service.rows("UPDATE pulsex.users SET status = 'restricted' WHERE user_id = %s", alice.user_id)
    worker.throws_ok(REVIVE, "PT403", alice.user_id, told, NOON)


def test_an_occasion_is_not_announced_twice(desk, worker, alice):
    """Another one with its key waits: the dead one stays dead."""
    told = desk.kill(alice, dedup_key="today")
    desk.enqueue(alice, dedup_key="today")
    worker.throws_ok(REVIVE, "PT409", alice.user_id, told, NOON)
    assert desk.state(told) == ("dead", "refused")


def test_a_letter_dies_for_good(desk, worker, service, alice):
    """After 93 attempts there is no room for eight more."""
    told = desk.kill(alice)
    service.rows("UPDATE pulsex.notification_attempts SET attempt = 93 WHERE notification_id = %s", told)
    worker.throws_ok(REVIVE, "23514", alice.user_id, told, NOON, constraint="notification_queue_max_attempts_check")


@pytest.mark.parametrize(("minutes", "red"), [(14, []), (15, [(LATE,)])])
def test_an_alert_when_nobody_sends(desk, worker, alice, minutes, red):
    """What is due for a quarter of an hour is told; when it is gone, no more."""
    worker.is_empty(RED)
    told = desk.enqueue(alice, scheduled_for=worker.value("SELECT now()") - minutes * MINUTE)
    worker.results_eq(RED, red)
    worker.results_eq("SELECT detail ~ '^push: 1 due' FROM ops.health WHERE name = %s", [(True,)], LATE)
    desk.cancel(alice, told)
    worker.is_empty(RED)


def test_an_alert_when_something_died(desk, worker, service, alice):
    """Of the last day, though it was enqueued long before; older ones are a matter of ops.dead_notifications."""
    told = desk.kill(alice)
    service.rows("UPDATE pulsex.notifications SET created_at = now() - interval '1 week'")
    worker.results_eq(RED, [(DEAD,)])
    service.rows(
        """UPDATE pulsex.notification_attempts SET started_at = '2000-01-01', finished_at = now() - interval '1 day'
        WHERE notification_id = %s""",
        told,
    )
    worker.is_empty(RED)
    worker.results_eq("SELECT count(*) FROM ops.dead_notifications()", [(1,)])


def test_the_alert_ends_when_it_is_revived(desk, worker, alice):
    """0, red, 0."""
    told = desk.kill(alice)
    worker.results_eq(RED, [(DEAD,)])
    worker.rows(REVIVE, alice.user_id, told, NOON)
    worker.is_empty(RED)
