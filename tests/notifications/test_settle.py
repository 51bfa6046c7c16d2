"""How a lease ends: sent, failed, lost; and that only who holds it can settle it."""

from datetime import timedelta
from uuid import uuid4

import pytest

from tests.notifications.desk import DAY, HOUR, LEASE, MINUTE, NOON, SECOND, settling

COMPLETE, FAIL = "pulsex.complete_notification", "pulsex.fail_notification"


@pytest.fixture
def leased(desk, alice):
    """Something that a worker has leased at noon."""
    desk.enqueue(alice)
    return desk.lease()


def refused(desk, routine: str, claimed, sqlstate: str, **options: object) -> None:
    """Settling so is refused."""
    sql, values = settling(routine, claimed, **({"error": "503"} if routine == FAIL else {}) | options)
    desk.worker.throws_ok(sql, sqlstate, *values)


def test_what_was_sent_is_out_of_the_queue(desk, service, leased):
    """With when, and the attempt in the history."""
    desk.complete(leased, NOON + SECOND)
    assert (desk.state(leased.notification_id), desk.due_at(leased.notification_id)) == (("sent", None), None)
    service.results_eq(
        """SELECT sent_at, attempt, started_at, finished_at, outcome, error, lease_token FROM pulsex.notifications
        JOIN pulsex.notification_attempts USING (user_id, notification_id)""",
        [(NOON + SECOND, 1, NOON, NOON + SECOND, "sent", None, leased.lease_token)],
    )


def test_who_says_again_that_it_was_sent_had_the_lease(desk, leased):
    """With another lease's token, of the same notification: PT409."""
    desk.complete(leased)
    refused(desk, COMPLETE, leased._replace(lease_token=uuid4()), "PT409")


def test_what_is_no_notification_is_settled_by_nobody(desk, leased):
    """PT404, of somebody who has others."""
    refused(desk, COMPLETE, leased._replace(notification_id=uuid4()), "PT404")


def test_what_fails_frees_itself_alone(desk, alice, leased):
    """Another that is leased by the same worker stays leased."""
    other = desk.enqueue(alice, "in_app")
    desk.lease()
    desk.fail(leased)
    assert desk.due_at(other) == NOON + LEASE


def test_what_is_put_off_gives_its_reason_alone(desk, alice):
    """In quiet hours, of two that are due, the one that it is the turn of."""
    first = desk.enqueue(alice, priority=1)
    second = desk.enqueue(alice, kind="tip")
    desk.prefer(alice, quiet_hours_start="00:00", quiet_hours_end="23:59")
    desk.service.rows("UPDATE pulsex.notification_queue SET available_at = %s WHERE priority = 0", NOON + HOUR)
    assert desk.claim() == []
    assert (desk.state(first)[1], desk.state(second)[1]) == ("quiet_hours", None)


def test_saying_again_that_it_was_sent_changes_nothing(desk, service, leased):
    """A worker that doesn't know whether it was heard says it once more."""
    desk.complete(leased)
    desk.complete(leased, NOON + HOUR)
    assert desk.history(leased.notification_id) == [(1, "sent")]
    service.results_eq(
        "SELECT sent_at FROM pulsex.notifications WHERE notification_id = %s", [(NOON,)], leased.notification_id
    )


def test_a_worker_that_lost_its_lease_is_refused(desk, leased):
    """Another one took over: it alone settles, and the late answer leaves no trace."""
    second = desk.lease(NOON + LEASE, "two")
    refused(desk, COMPLETE, leased, "PT409")
    refused(desk, FAIL, leased, "PT409")
    desk.complete(second, NOON + LEASE)
    refused(desk, COMPLETE, leased, "PT409")
    assert desk.history(leased.notification_id) == [(1, "lease_expired"), (2, "sent")]


def test_a_late_answer_counts_while_nobody_took_over(desk, leased):
    """What was sent was sent, even if the lease has run out."""
    desk.complete(leased, NOON + DAY)
    assert desk.state(leased.notification_id) == ("sent", None)
    assert desk.claim(NOON + DAY) == []


def test_what_was_called_off_cannot_be_settled(desk, alice, leased):
    """Its lease had ended, so it was lost."""
    assert desk.cancel(alice, leased.notification_id, NOON + LEASE)
    refused(desk, COMPLETE, leased, "PT409")
    refused(desk, FAIL, leased, "PT409")


def test_one_lease_has_one_outcome(desk, alice, leased):
    """Who said it failed can't say it was sent, nor the other way round."""
    desk.fail(leased)
    refused(desk, COMPLETE, leased, "PT409")
    again = desk.lease(NOON + HOUR)
    desk.complete(again, NOON + HOUR)
    refused(desk, FAIL, again, "PT409")


def test_a_revived_letter_is_not_settled_by_who_had_it_before(desk, worker, alice, leased):
    """Its lease is over for good."""
    desk.fail(leased, permanent=True)
    worker.rows("SELECT ops.revive_notification(%s, %s, %s)", alice.user_id, leased.notification_id, NOON)
    refused(desk, COMPLETE, leased, "PT409")


@pytest.mark.parametrize("routine", [COMPLETE, FAIL])
def test_what_isnt_leased_cannot_be_settled(desk, alice, leased, routine):
    """By no token that somebody made up, nor by none."""
    refused(desk, routine, leased._replace(lease_token=leased.user_id), "PT409")
    refused(desk, routine, leased._replace(lease_token=None), "PT409")


@pytest.mark.parametrize("routine", [COMPLETE, FAIL])
def test_what_isnt_there_cannot_be_settled(desk, bob, leased, routine):
    """No such notification, or not this person's."""
    refused(desk, routine, leased._replace(notification_id=leased.user_id), "PT404")
    refused(desk, routine, leased._replace(user_id=bob.user_id), "PT404")


def test_what_failed_is_tried_again_later(desk, service, leased):
    """After the delay of its attempt, by whoever comes first; the error is kept with both."""
    again = desk.fail(leased, error="503 Service Unavailable")
    assert NOON + 15 * SECOND <= again <= NOON + 30 * SECOND
    assert desk.claim(again - timedelta(microseconds=1)) == []
    service.results_eq("SELECT last_error FROM pulsex.notification_queue", [("503 Service Unavailable",)])
    assert desk.lease(again).attempt == 2
    service.results_eq(
        "SELECT outcome, error FROM pulsex.notification_attempts WHERE notification_id = %s",
        [("failed", "503 Service Unavailable")], leased.notification_id,
    )  # fmt: skip


def test_saying_again_that_it_failed_changes_nothing(desk, leased):
    """The same time is the answer, and there is one attempt in the history."""
    again = desk.fail(leased)
    assert desk.fail(leased, NOON + HOUR, "another", permanent=True) == again
    assert desk.history(leased.notification_id) == [(1, "failed")]
    assert desk.state(leased.notification_id) == ("pending", None)


def test_saying_again_that_it_is_dead_changes_nothing(desk, leased):
    """There is still no next time."""
    assert desk.fail(leased, permanent=True) is None
    assert desk.fail(leased) is None
    assert desk.history(leased.notification_id) == [(1, "failed")]


def test_the_delay_doubles_up_to_an_hour(service):
    """30 seconds, a minute, two: exactly, without jitter; at most half of it is jitter."""
    want = [30, 60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]
    sql = "SELECT pulsex.retry_delay(n, %s) FROM generate_series(1, 10) AS n"
    service.results_eq(sql, [(timedelta(seconds=seconds),) for seconds in want], 1.0)
    service.results_eq(sql, [(timedelta(seconds=seconds / 2),) for seconds in want], 0.0)
    service.results_eq("SELECT pulsex.retry_delay(100, 1)", [(HOUR,)])


def test_the_jitter_is_everywhere_between(service):
    """Of a thousand delays after the first attempt none is out of bounds, and both ends are approached."""
    service.results_eq(
        """SELECT min(delay) >= interval '15 seconds', min(delay) < interval '16 seconds',
            max(delay) <= interval '30 seconds', max(delay) > interval '29 seconds', count(DISTINCT delay) > 900
        FROM (SELECT pulsex.retry_delay(1) AS delay FROM generate_series(1, 1000)) AS tried""",
        [(True,) * 5],
    )


def test_each_failure_waits_longer(desk, alice):
    """The schedule as a worker lives it: attempt by attempt, within its bounds, until it is dead."""
    told, at = desk.enqueue(alice, max_attempts=9), NOON
    for longest in (30, 60, 120, 240, 480, 960, 1920, 3600):
        again = desk.fail(desk.lease(at), at)
        assert timedelta(seconds=longest / 2) <= again - at <= timedelta(seconds=longest)
        at = again
    assert desk.fail(desk.lease(at), at) is None
    assert (desk.state(told), desk.due_at(told)) == (("dead", "out_of_attempts"), None)
    assert desk.history(told) == [(n, "failed") for n in range(1, 10)]


def test_lost_leases_and_failures_are_attempts_alike(desk, alice):
    """Three attempts: one lost, one failed, one lost."""
    told = desk.enqueue(alice, max_attempts=3)
    desk.lease()
    desk.fail(desk.lease(NOON + LEASE), NOON + LEASE)
    desk.lease(NOON + HOUR)
    assert desk.claim(NOON + 2 * HOUR) == []
    assert desk.state(told) == ("dead", "out_of_attempts")
    assert desk.history(told) == [(1, "lease_expired"), (2, "failed"), (3, "lease_expired")]


def test_what_the_provider_refuses_for_good_is_dead_at_once(desk, leased):
    """With attempts to spare."""
    assert desk.fail(leased, error="410", permanent=True) is None
    assert desk.state(leased.notification_id) == ("dead", "refused")


@pytest.mark.parametrize(("after", "waits"), [(HOUR, HOUR), (7 * DAY, 7 * DAY)])
def test_a_provider_says_when_to_come_back(desk, leased, after, waits):
    """Its Retry-After is kept to, up to a week."""
    assert desk.fail(leased, retry_after=after) == NOON + waits


def test_a_short_retry_after_doesnt_shorten_the_delay(desk, leased):
    """It is a lower bound."""
    assert desk.fail(leased, retry_after=timedelta(0)) >= NOON + 15 * SECOND


@pytest.mark.parametrize("after", [timedelta(seconds=-1), 7 * DAY + SECOND])
def test_a_retry_after_out_of_bounds_is_refused(desk, leased, after):
    """Nothing is settled by it."""
    refused(desk, FAIL, leased, "PT422", retry_after=after)
    assert desk.due_at(leased.notification_id) == leased.lease_until


def test_a_long_error_is_cut(desk, service, leased):
    """A provider's page of HTML fits in."""
    desk.fail(leased, error="é" * 5000)
    service.results_eq("SELECT char_length(last_error) FROM pulsex.notification_queue", [(2000,)])
    service.results_eq(
        "SELECT char_length(error) FROM pulsex.notification_attempts WHERE notification_id = %s",
        [(2000,)], leased.notification_id,
    )  # fmt: skip


def test_a_clock_that_is_behind_ends_no_attempt_before_it_began(desk, service, leased):
    """A worker whose now() is older than the claim's: the attempt took no time."""
    desk.complete(leased, NOON - MINUTE)
    service.results_eq(
        "SELECT finished_at - started_at FROM pulsex.notification_attempts WHERE notification_id = %s",
        [(timedelta(0),)], leased.notification_id,
    )  # fmt: skip


def test_what_is_being_sent_is_not_called_off_at_no_time(desk, leased):
    """Without an instant nobody can tell that the lease is over."""
    sql = "SELECT pulsex.cancel_notification(%s, %s, NULL)"
    desk.worker.results_eq(sql, [(False,)], leased.user_id, leased.notification_id)
