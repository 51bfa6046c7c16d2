"""How fast a channel may be served: a burst, then so many a minute, however many workers there are."""

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from tests.notifications.desk import HOUR, MINUTE, NOON, SECOND
from tests.notifications.meeting import blocked

LIMIT = "SELECT ops.limit_channel(%s, %s, %s)"


@pytest.fixture
def full(desk, alice):
    """A hundred for Alice's inbox, with 60 a minute and five at once."""
    desk.fill(alice, 100)
    desk.worker.rows(LIMIT, "in_app", 60, 5)
    return desk


def test_a_burst_and_then_one_by_one(full):
    """Five, none, one a second; after a while five again, and no more."""
    assert [len(full.claim(at)) for at in (NOON, NOON, NOON + SECOND, NOON + 1.9 * SECOND, NOON + 2 * SECOND)] == [
        5, 0, 1, 0, 1,
    ]  # fmt: skip
    assert [len(full.claim(NOON + HOUR)) for _ in range(2)] == [5, 0]


def test_no_more_than_the_limit_in_a_minute(full):
    """Two workers that ask all the time: the burst and the minute's sixty, together."""
    at, leased = NOON, 0
    while at <= NOON + MINUTE:
        leased += len(full.claim(at, "one", limit=2)) + len(full.claim(at, "two"))
        at += SECOND / 4
    assert leased == 65


def test_a_burst_is_spent_on_what_is_urgent(full, alice):
    """The allowance is the channel's, not the priority's."""
    full.fill(alice, 3, priority=7, at=NOON)
    full.service.rows("UPDATE pulsex.notifications SET kind = 'urgent' FROM pulsex.notification_queue AS q"
                      " WHERE q.notification_id = notifications.notification_id AND q.priority = 7")  # fmt: skip
    assert [claimed.kind for claimed in full.claim()] == ["urgent"] * 3 + ["tip"] * 2


def test_what_isnt_sent_costs_nothing(full, alice, bob):
    """What is cancelled when it is its turn leaves the allowance to others."""
    full.prefer(alice, channels=["push"])
    full.fill(bob, 5)
    assert [claimed.user_id for claimed in full.claim()] == [bob.user_id] * 5


def test_other_channels_arent_slowed_down(full, alice):
    """Only the inbox is limited."""
    full.fill(alice, 20, "push")
    assert sorted(claimed.channel for claimed in full.claim(limit=100)) == ["in_app"] * 5 + ["push"] * 20


def test_a_limit_is_lifted(full):
    """By null: everything may go."""
    full.claim()
    full.worker.rows(LIMIT, "in_app", None, None)
    assert len(full.claim(limit=1000)) == 95


def test_a_new_limit_begins_with_a_burst(full):
    """What was leased under the old one is forgotten."""
    full.claim()
    full.worker.rows(LIMIT, "in_app", 60, 3)
    assert len(full.claim()) == 3


@pytest.mark.parametrize(("per_minute", "burst"), [(1, 1), (59, 1), (120, 2), (6000000, 100000)])
def test_a_burst_is_a_second(worker, service, per_minute, burst):
    """By default, and at least one."""
    worker.rows("SELECT ops.limit_channel('push', %s)", per_minute)
    service.results_eq("SELECT burst FROM pulsex.notification_channels WHERE channel = 'push'", [(burst,)])


@pytest.mark.parametrize(
    ("arguments", "sqlstate", "about"),
    [
        (("sms", 60, 1), "PT404", None), ((None, 60, 1), "PT404", None),
        (("push", 0, 1), "23514", "notification_channels_per_minute_check"),
        (("push", 6000001, 1), "23514", "notification_channels_per_minute_check"),
        (("push", 60, 0), "23514", "notification_channels_burst_check"),
        (("push", 60, 100001), "23514", "notification_channels_burst_check"),
    ],
)  # fmt: skip
def test_what_is_refused(worker, arguments, sqlstate, about):
    """No such channel, and limits that are none."""
    worker.throws_ok(LIMIT, sqlstate, *arguments, constraint=about)


def test_a_worker_sleeps_until_there_is_an_allowance(full):
    """Not until it is due, which it is; at that instant there is one."""
    full.claim()
    awakes = full.worker.value("SELECT pulsex.await_notifications('in_app', %s)", NOON)
    assert awakes == NOON + SECOND
    assert len(full.claim(awakes)) == 1


CLAIM = "SELECT count(*) FROM pulsex.claim_notifications(%s, p_limit => 50, p_at => %s)"


@pytest.mark.commits
def test_two_workers_at_once_share_the_allowance(full, database):
    """The second waits for the first to commit, and then there is nothing left."""
    with (
        psycopg.connect(database.url, user="pulsex_worker") as one,
        psycopg.connect(database.url, user="pulsex_worker") as two,
        ThreadPoolExecutor() as pool,
    ):
        assert one.execute(CLAIM, ["one", NOON]).fetchone() == (5,)
        second = pool.submit(lambda: two.execute(CLAIM, ["two", NOON]).fetchone())
        blocked(database, two)
        one.commit()
        assert second.result() == (0,)


@pytest.mark.commits
def test_two_workers_dont_wait_for_each_other(full, alice, database):
    """One finds the push the most urgent, the other the inbox; both are limited, and neither has one of them first."""
    full.worker.rows(LIMIT, "push", 60, 5)
    full.fill(alice, 1, "push", priority=5)
    with (
        psycopg.connect(database.url, user="pulsex_worker") as one,
        psycopg.connect(database.url, user="pulsex_worker") as two,
        psycopg.connect(database.url, user="postgres") as holder,
        ThreadPoolExecutor() as pool,
    ):
        holder.execute("SELECT FROM pulsex.notification_channels FOR UPDATE")
        first = pool.submit(lambda: (one.execute(CLAIM, ["one", NOON]).fetchone(), one.commit()))
        blocked(database, one)
        full.fill(alice, 1, priority=9)
        second = pool.submit(lambda: (two.execute(CLAIM, ["two", NOON]).fetchone(), two.commit()))
        blocked(database, two)
        holder.commit()
        assert first.result()[0][0] + second.result()[0][0] == 6


@pytest.mark.commits
def test_a_worker_of_one_channel_waits_for_nobody_at_another(full, alice, database):
    """Both are limited; who serves the inbox holds its limit, and the pushes go on."""
    full.worker.rows(LIMIT, "push", 60, 5)
    full.fill(alice, 1, "push")
    with (
        psycopg.connect(database.url, user="pulsex_worker") as inbox,
        psycopg.connect(database.url, user="pulsex_worker", options="-c lock_timeout=5s") as pushes,
    ):
        claim = "SELECT count(*) FROM pulsex.claim_notifications('one', p_channel => %s, p_at => %s)"
        assert inbox.execute(claim, ["in_app", NOON]).fetchone() == (5,)
        assert pushes.execute(claim, ["push", NOON]).fetchone() == (1,)
