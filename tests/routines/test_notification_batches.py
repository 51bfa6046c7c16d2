"""Enqueueing and settling many at once does what doing it one by one does."""

from __future__ import annotations

from uuid import uuid4

import pytest

ENQUEUE = "SELECT * FROM pulsex.enqueue_notifications(%s, 'in_app', 'news', p_dedup_key => 'news')"
ONE = "SELECT pulsex.enqueue_notification(%s, 'in_app', 'news', p_dedup_key => 'news')"
CLAIM = "SELECT user_id, notification_id, lease_token FROM pulsex.claim_notifications('w', p_channel => 'in_app')"
COMPLETE = "SELECT pulsex.complete_notifications(%s, %s, %s)"
COMPLETE_ONE = "SELECT pulsex.complete_notification(%s, %s, %s)"


@pytest.fixture
def people(database):
    """Alice and Bob."""
    return [database.cast[name].user_id for name in ("alice", "bob")]


@pytest.fixture
def leased(worker, people):
    """One of Alice's and one of Bob's, as a worker has them: whose, which, by which lease."""
    worker.rows(ENQUEUE, people)
    rows = worker.rows(CLAIM)
    assert {row[0] for row in rows} == set(people)
    return [list(column) for column in zip(*rows, strict=True)]


def test_everybody_is_told_once(worker, people):
    """However often an id stands in the array; and who is told is returned."""
    rows = worker.rows(ENQUEUE, [*people, *people])
    assert sorted(row[0] for row in rows) == sorted(people)
    assert {row[:2] for row in worker.rows(CLAIM)} == set(rows)


def test_what_waits_for_somebody_is_not_enqueued_again(worker, people):
    """The dedup key is the person's: Bob has one, so only Alice is new; and one by one it's the same notification."""
    bobs = worker.value(ONE, people[1])
    assert [row[0] for row in worker.rows(ENQUEUE, people)] == [people[0]]
    assert worker.value(ONE, people[1]) == bobs


def test_who_is_not_there_or_restricted_is_left_out(worker, service, people):
    """Where one by one there would be PT404 or PT403."""
    worker.is_empty(ENQUEUE, [uuid4()])
    service.rows("UPDATE pulsex.users SET status = 'restricted' WHERE user_id = %s", people[0])
    service.rows("SET LOCAL ROLE pulsex_worker")
    assert [row[0] for row in service.rows(ENQUEUE, people)] == [people[1]]


def test_what_somebody_does_not_want_is_stored_as_cancelled(service, people):
    """With its reason, and it isn't queued."""
    service.rows("UPDATE pulsex.user_preferences SET channels = '{email}' WHERE user_id = %s", people[0])
    service.rows("SET LOCAL ROLE pulsex_worker")
    [row] = service.rows(ENQUEUE, people[:1])
    service.rows("SET LOCAL ROLE pulsex_service")
    state = "SELECT state, reason FROM pulsex.notifications WHERE user_id = %s AND notification_id = %s"
    service.results_eq(state, [("cancelled", "channel_off")], *row)
    service.is_empty("SELECT FROM pulsex.notification_queue WHERE notification_id = %s", row[1])


@pytest.mark.parametrize(("argument", "sqlstate"), [("'fax', 'news'", "23514"), ("NULL, 'news'", "23502")])
def test_a_batch_keeps_the_constraints(worker, people, argument, sqlstate):
    """As one by one."""
    worker.throws_ok(f"SELECT pulsex.enqueue_notifications(%s, {argument})", sqlstate, people)


def test_all_that_is_held_is_settled(worker, leased):
    """Nothing is left, and settling again, in either way, changes nothing."""
    worker.is_empty(COMPLETE, *leased)
    worker.is_empty(COMPLETE, *leased)
    worker.lives_ok(COMPLETE_ONE, *[column[0] for column in leased])


def test_a_lost_lease_is_returned_and_the_others_are_settled(worker, leased):
    """One by one it would be PT409; and what isn't there, PT404."""
    users, ids, tokens = leased
    stranger = uuid4()
    lost = ([*users, users[0]], [*ids, stranger], [uuid4(), tokens[1], tokens[0]])
    assert {row[0] for row in worker.rows(COMPLETE, *lost)} == {ids[0], stranger}
    worker.lives_ok(COMPLETE_ONE, users[0], ids[0], tokens[0])
    worker.throws_ok(COMPLETE_ONE, "PT409", users[0], ids[0], uuid4())


def test_what_was_settled_is_written_down(service, worker, people):
    """State, time and attempt are those of settling one by one."""
    service.rows("SET LOCAL ROLE pulsex_worker")
    service.rows(ENQUEUE, people)
    rows = service.rows(CLAIM)
    service.rows(COMPLETE_ONE, *rows[0])
    service.rows(COMPLETE, *[[value] for value in rows[1]])
    service.rows("SET LOCAL ROLE pulsex_service")
    written = """SELECT n.state, n.sent_at, n.reason, a.attempt, a.outcome, a.error, a.started_at, a.finished_at
        FROM pulsex.notifications AS n INNER JOIN pulsex.notification_attempts AS a USING (user_id, notification_id)
        WHERE n.notification_id = %s"""
    one = service.rows(written, rows[0][1])
    assert len(one) == 1
    service.results_eq(written, one, rows[1][1])
    service.is_empty("SELECT FROM pulsex.notification_queue WHERE notification_id = ANY (%s)", [row[1] for row in rows])


def test_a_restricted_persons_are_not_settled_and_the_others_are(service, people):
    """Alice is restricted meanwhile: hers comes back, Bob's is sent (GDPR, Art. 18)."""
    service.rows("SET LOCAL ROLE pulsex_worker")
    service.rows(ENQUEUE, people)
    leased = {row[0]: row for row in service.rows(CLAIM)}
    service.rows("SET LOCAL ROLE pulsex_service")
    service.rows("UPDATE pulsex.users SET status = 'restricted' WHERE user_id = %s", people[0])
    service.rows("SET LOCAL ROLE pulsex_worker")
    lists = [list(column) for column in zip(*leased.values(), strict=True)]
    service.results_eq(COMPLETE, [(leased[people[0]][1],)], *lists)
