"""Idle workers sleep until they are needed: no wake-up is lost, and none is sent to who is awake."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import psycopg
import pytest

from tests.notifications.desk import HOUR, LEASE, MINUTE, NOON
from tests.notifications.meeting import PATIENCE, Sleeper, blocked

pytestmark = pytest.mark.commits
ENQUEUE = "SELECT pulsex.enqueue_notification(%s, 'push', 'tip', p_scheduled_for => %s)"
AWAIT = "SELECT pulsex.await_notifications('push', %s)"


@pytest.fixture
def sleeper(database, desk):
    """A worker of the empty queue that isn't asleep yet."""
    sleeper = Sleeper(database)
    yield sleeper
    sleeper.connection.close()


@pytest.fixture
def caller(database):
    """Another worker, who commits when it wants to."""
    with psycopg.connect(database.url, user="pulsex_worker") as connection:
        yield connection


def test_nobody_waits_for_a_channel_that_is_not_there(worker):
    """A misspelt channel is refused, instead of sleeping for ever."""
    worker.throws_ok("SELECT pulsex.await_notifications('sms')", "PT422")


def test_who_sleeps_is_woken_once(desk, sleeper, alice):
    """By the first of many."""
    assert sleeper.sleep() is None
    for _ in range(5):
        desk.enqueue(alice)
    assert sleeper.heard() == ["push"]


def test_who_is_awake_isnt_disturbed(desk, sleeper, alice):
    """Nothing is sent, neither before it slept nor after it was woken."""
    desk.enqueue(alice)
    assert sleeper.heard() == []
    desk.complete(desk.lease())
    sleeper.sleep()
    desk.enqueue(alice)
    assert sleeper.heard() == ["push"]
    desk.enqueue(alice)
    assert sleeper.heard() == []


def test_a_worker_is_told_until_when(desk, sleeper, alice):
    """Null: nothing is scheduled. Then the first that is."""
    assert sleeper.sleep() is None
    desk.enqueue(alice, scheduled_for=NOON + HOUR)
    desk.enqueue(alice, scheduled_for=NOON + MINUTE)
    assert sleeper.sleep() == NOON + MINUTE


def test_who_has_something_to_do_isnt_put_to_sleep(desk, sleeper, alice):
    """It is told that it is due, and no wake-up is sent for more."""
    desk.enqueue(alice, scheduled_for=NOON - HOUR)
    assert sleeper.sleep() == NOON - HOUR
    desk.enqueue(alice)
    assert sleeper.heard() == []


def test_what_comes_before_the_alarm_wakes(desk, sleeper, alice):
    """And what comes after it, or with it, doesn't."""
    desk.enqueue(alice, scheduled_for=NOON + HOUR)
    assert sleeper.sleep() == NOON + HOUR
    desk.enqueue(alice, scheduled_for=NOON + 2 * HOUR)
    desk.enqueue(alice, scheduled_for=NOON + HOUR)
    assert sleeper.heard() == []
    desk.enqueue(alice, scheduled_for=NOON + HOUR - timedelta(microseconds=1))
    assert sleeper.heard() == ["push"]


def test_what_is_undone_wakes_nobody(desk, sleeper, caller, alice):
    """And the next one does, as if nothing had been."""
    sleeper.sleep()
    caller.execute(ENQUEUE, [alice.user_id, NOON])
    caller.rollback()
    assert sleeper.heard() == []
    desk.enqueue(alice)
    assert sleeper.heard() == ["push"]


def test_nobody_goes_to_sleep_while_somebody_enqueues(sleeper, caller, alice):
    """Who enqueues has seen nobody asleep, and will wake nobody: the worker asks again, and then sees it."""
    caller.execute(ENQUEUE, [alice.user_id, NOON])
    assert sleeper.sleep() == NOON
    caller.commit()
    assert sleeper.heard() == []
    assert sleeper.sleep() == NOON


def test_nobody_is_kept_awake_by_what_was_undone(sleeper, caller, alice):
    """There is nothing to do after all."""
    caller.execute(ENQUEUE, [alice.user_id, NOON])
    assert sleeper.sleep() == NOON
    caller.rollback()
    assert sleeper.sleep() is None


def test_who_enqueues_sees_who_has_just_gone_to_sleep(sleeper, caller, alice, database):
    """It waits for a worker that is lying down to have done so, and then wakes it."""
    with psycopg.connect(database.url, user="pulsex_worker") as drowsy, ThreadPoolExecutor() as pool:
        drowsy.execute(AWAIT, [NOON])
        enqueued = pool.submit(lambda: (caller.execute(ENQUEUE, [alice.user_id, NOON]), caller.commit()))
        blocked(database, caller)
        drowsy.commit()
        enqueued.result()
    assert sleeper.heard() == ["push"]


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_an_old_snapshot_loses_no_wake_up(sleeper, caller, alice, level):
    """Who enqueues doesn't see who went to sleep since its transaction began, and so wakes whoever may have."""
    caller.execute(f"SET TRANSACTION ISOLATION LEVEL {level}")
    caller.execute("SELECT")
    sleeper.sleep()
    caller.execute(ENQUEUE, [alice.user_id, NOON])
    caller.commit()
    assert sleeper.heard() == ["push"]


def test_a_retry_wakes(desk, sleeper, alice):
    """It is due before anything else is."""
    desk.enqueue(alice)
    claimed = desk.lease()
    assert sleeper.sleep() == claimed.lease_until
    desk.fail(claimed)
    assert sleeper.heard() == ["push"]


def test_a_lease_wakes(desk, sleeper, alice):
    """A sleeper whose alarm is later than the end of the lease must take over if the worker dies."""
    sleeper.sleep()
    desk.enqueue(alice)
    assert sleeper.heard() == ["push"]
    sleeper.sleep("in_app")
    desk.service.rows("UPDATE pulsex.notification_waits SET asleep_until = 'infinity' WHERE channel = 'push'")
    desk.lease()
    assert sleeper.heard() == ["push"]
    assert sleeper.sleep() == NOON + LEASE


def test_what_is_put_off_wakes(desk, sleeper, alice):
    """Until the quiet hours end, which is before the alarm."""
    desk.enqueue(alice)
    desk.service.rows("UPDATE pulsex.notification_waits SET asleep_until = 'infinity' WHERE channel = 'push'")
    desk.prefer(alice, quiet_hours_start="12:00", quiet_hours_end="14:00")
    assert desk.claim() == []
    assert sleeper.heard() == ["push"]


def test_a_revived_letter_wakes(desk, sleeper, alice):
    """It is due now."""
    told = desk.kill(alice)
    sleeper.sleep()
    desk.worker.rows("SELECT ops.revive_notification(%s, %s, %s)", alice.user_id, told, NOON)
    assert sleeper.heard() == ["push"]


def test_a_limit_that_is_lifted_wakes(desk, sleeper, alice):
    """What waited for its turn needn't any more."""
    desk.worker.rows("SELECT ops.limit_channel('push', 1)")
    desk.fill(alice, 2, "push")
    desk.lease()
    assert sleeper.sleep() == NOON + MINUTE
    desk.worker.rows("SELECT ops.limit_channel('push', NULL)")
    assert sleeper.heard() == ["push"]


def test_who_serves_all_channels_is_woken_by_each(desk, sleeper, alice):
    """And sleeps no longer than until the first of any."""
    assert sleeper.sleep(None) is None
    desk.enqueue(alice, "in_app")
    desk.enqueue(alice, "push")
    assert sleeper.heard() == ["in_app", "push"]
    assert sleeper.sleep(None) == NOON


def test_who_serves_one_channel_isnt_woken_by_another(desk, sleeper, alice):
    """The push is none of its business."""
    assert sleeper.sleep("in_app") is None
    desk.enqueue(alice, "push")
    assert sleeper.heard() == []


def test_who_sleeps_longest_is_woken(desk, sleeper, alice):
    """One sleeps for ever, then another, of all channels, until noon: the first mustn't depend on the second."""
    sleeper.sleep("push")
    desk.enqueue(alice, "in_app", scheduled_for=NOON + MINUTE)
    assert sleeper.sleep(None) == NOON + MINUTE
    desk.enqueue(alice, "push", scheduled_for=NOON + HOUR)
    assert sleeper.heard() == ["push"]


def test_workers_that_only_listen_send_everything(desk, database, alice):
    """Four enqueue, two sleep whenever they may and never look at the clock: nothing is left lying."""
    told, total = [], 120

    def enqueue(_: int) -> None:
        with psycopg.connect(database.url, user="pulsex_worker", autocommit=True) as connection:
            for _ in range(total // 4):
                connection.execute("SELECT pulsex.enqueue_notification(%s, 'push', 'tip')", [alice.user_id])

    def send(_: int) -> None:
        claim = "SELECT user_id, notification_id, lease_token FROM pulsex.claim_notifications('w', 5)"
        with psycopg.connect(database.url, user="pulsex_worker", autocommit=True) as connection:
            connection.execute("LISTEN pulsex_notifications")
            while len(told) < total:
                for claimed in connection.execute(claim).fetchall():
                    connection.execute("SELECT pulsex.complete_notification(%s, %s, %s)", claimed)
                    told.append(claimed[1])
                [until, now] = connection.execute("SELECT pulsex.await_notifications('push'), now()").fetchone()
                if len(told) < total and (until is None or until > now):
                    assert list(connection.notifies(timeout=PATIENCE, stop_after=1)), "nobody woke it"
            connection.execute("NOTIFY pulsex_notifications")

    with ThreadPoolExecutor(6) as pool:
        senders = [pool.submit(send, n) for n in range(2)]
        list(pool.map(enqueue, range(4)))
        [sender.result() for sender in senders]
    assert len(set(told)) == len(told) == total


def test_who_enqueues_waits_for_nobody_who_wakes(dba, worker, caller, alice):
    """While somebody takes the mark away, another needn't, and needn't wait for their commit."""
    dba.rows("UPDATE pulsex.notification_waits SET asleep_until = 'infinity'")
    caller.execute(ENQUEUE, [alice.user_id, NOON])
    with psycopg.connect(caller.info.dsn, user="pulsex_worker") as other:
        other.execute("SET lock_timeout = '5ms'")
        other.execute(ENQUEUE, [alice.user_id, NOON])
