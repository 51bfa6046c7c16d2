"""One occasion, announced by many at once."""

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from tests.notifications.desk import NOON
from tests.notifications.meeting import blocked

pytestmark = pytest.mark.commits
ENQUEUE = "SELECT pulsex.enqueue_notification(%s, 'push', 'tip', p_scheduled_for => %s, p_dedup_key => 'today')"


@pytest.fixture
def caller(database):
    """Another worker, who commits when it wants to."""
    with psycopg.connect(database.url, user="pulsex_worker") as connection:
        yield connection


def test_fifty_at_once_enqueue_one(desk, alice, database):
    """From ten connections, five times each: they all get the same id."""

    def enqueue(_: int) -> set:
        with psycopg.connect(database.url, user="pulsex_worker", autocommit=True) as connection:
            return {connection.execute(ENQUEUE, [alice.user_id, NOON]).fetchone()[0] for _ in range(5)}

    with ThreadPoolExecutor(10) as pool:
        [told] = set.union(*pool.map(enqueue, range(10)))
    assert [claimed.notification_id for claimed in desk.claim()] == [told]


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_the_second_waits_for_the_first_to_decide(desk, alice, caller, database, end):
    """It gets the first one's id, or, where that was undone, enqueues its own."""
    [first] = caller.execute(ENQUEUE, [alice.user_id, NOON]).fetchone()
    with (
        psycopg.connect(database.url, user="pulsex_worker", autocommit=True) as other,
        ThreadPoolExecutor() as pool,
    ):
        second = pool.submit(lambda: other.execute(ENQUEUE, [alice.user_id, NOON]).fetchone()[0])
        blocked(database, other)
        getattr(caller, end)()
        assert (second.result() == first) is (end == "commit")
    assert [claimed.notification_id for claimed in desk.claim()] == [second.result()]


def test_what_is_about_to_be_sent_still_counts(desk, alice, caller):
    """Until its completion is committed; from then on the key is free."""
    told = desk.enqueue(alice, dedup_key="today")
    claimed = desk.lease()
    complete = "SELECT pulsex.complete_notification(%s, %s, %s)"
    caller.execute(complete, [claimed.user_id, claimed.notification_id, claimed.lease_token])
    assert desk.enqueue(alice, dedup_key="today") == told
    caller.commit()
    assert desk.enqueue(alice, dedup_key="today") != told
    assert len(desk.claim()) == 1


def test_enqueueing_while_it_is_sent_again_and_again(desk, alice, database):
    """Each time it was enqueued it was sent afterwards, or was being sent; never is one left over."""

    def enqueue() -> set:
        with psycopg.connect(database.url, user="pulsex_worker", autocommit=True) as connection:
            return {connection.execute(ENQUEUE, [alice.user_id, NOON]).fetchone()[0] for _ in range(150)}

    with ThreadPoolExecutor(2) as pool:
        enqueueing, sent = pool.submit(enqueue), []
        while not enqueueing.done() or len(sent) < len(enqueueing.result()):
            for claimed in desk.claim():
                desk.complete(claimed)
                sent.append(claimed.notification_id)
    assert set(sent) == enqueueing.result()
    assert len(sent) == len(set(sent))


def test_two_who_call_it_off_and_send_it(desk, alice, caller, database):
    """Who comes second is told so: what is being settled can't be called off."""
    told = desk.enqueue(alice)
    claimed = desk.lease()
    caller.execute("SELECT pulsex.complete_notification(%s, %s, %s, %s)", [*claimed[:2], claimed.lease_token, NOON])
    with (
        psycopg.connect(database.url, user="pulsex_worker", autocommit=True) as other,
        ThreadPoolExecutor() as pool,
    ):
        late = "SELECT pulsex.cancel_notification(%s, %s, %s)"
        cancelled = pool.submit(lambda: other.execute(late, [*claimed[:2], claimed.lease_until]).fetchone()[0])
        blocked(database, other)
        caller.commit()
        assert cancelled.result() is False
    assert desk.state(told) == ("sent", None)
