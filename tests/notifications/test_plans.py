"""A claim costs what it claims, however much is scheduled for later."""

import pytest

from tests.notifications.desk import NOON, SECOND

pytestmark = pytest.mark.commits
# Rows of the queue alone, at three priorities: what they are about is never looked at.
SCHEDULE = """
SET session_replication_role = replica;
INSERT INTO pulsex.notification_queue (user_id, notification_id, channel, priority, available_at)
SELECT uuidv7(), uuidv7(), 'push', n % 3, timestamptz '2099-06-16' + n * interval '1 second'
FROM generate_series(1, 200000) AS n;
RESET session_replication_role
"""
CLAIM = """EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON)
    SELECT * FROM pulsex.claim_notifications('one', 20, p_at => '2099-06-15 12:00+00')"""
COMPLETE = """EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON)
    SELECT pulsex.complete_notifications(array_agg(uuidv7()), array_agg(uuidv7()), array_agg(uuidv7()))
    FROM generate_series(1, 20)"""
ATTEMPTS = """
SET session_replication_role = replica;
INSERT INTO pulsex.notification_attempts (
    user_id, notification_id, attempt, lease_token, started_at, finished_at, outcome
)
SELECT uuidv7(), uuidv7(), 1, uuidv7(), now(), now(), 'sent' FROM generate_series(1, 20000);
RESET session_replication_role
"""
AWAIT = "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT pulsex.await_notifications('push', '2099-06-15 12:00+00')"
# Of what grows: notification_channels and notification_waits have three rows.
SCANNED = """SELECT relname FROM pg_stat_xact_user_tables
    WHERE seq_scan > 0 AND relname IN ('notifications', 'notification_queue', 'notification_attempts', 'devices')"""


def pages(connection, sql: str) -> int:
    """Return how many pages a statement reads, when its plans are cached."""
    for _ in range(3):
        [plan] = connection.execute(sql).fetchone()[0]
    return plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"]


def test_what_is_scheduled_for_later_costs_nothing(desk, dba, alice):
    """Before 200,000 are scheduled and after, a claim of 20 of a thousand reads much the same, and scans no table."""
    desk.fill(alice, 1000, "push", at=NOON - SECOND)
    few, asleep = pages(dba.connection, CLAIM), pages(dba.connection, AWAIT)
    for statement in SCHEDULE.split(";"):
        dba.rows(statement)
    with dba.connection.transaction():
        many, deep = pages(dba.connection, CLAIM), pages(dba.connection, AWAIT)
        assert dba.connection.execute(SCANNED).fetchall() == []
    size = dba.value("SELECT pg_relation_size('pulsex.notification_queue') / 8192")
    assert many <= few * 1.5 + 40 < size / 2, (few, many)
    assert deep <= asleep + 40, (asleep, deep)


def test_a_plan_of_settling_is_as_good_when_more_was_tried(desk, dba):
    """The plan is made when no attempt is known of; then there are 20,000, of which it is told nothing."""
    dba.rows("ANALYZE pulsex.notification_attempts")
    few = pages(dba.connection, COMPLETE)
    for statement in ATTEMPTS.split(";"):
        dba.rows(statement)
    many = pages(dba.connection, COMPLETE)
    assert many <= few + 80, (few, many)


def test_a_scan_would_be_seen(desk, dba, alice):
    """The same measure, where there is no index to read."""
    desk.fill(alice, 10, "push")
    dba.rows("DROP INDEX pulsex.notification_queue_claim_idx")
    with dba.connection.transaction():
        pages(dba.connection, CLAIM)
        assert ("notification_queue",) in dba.connection.execute(SCANNED).fetchall()
