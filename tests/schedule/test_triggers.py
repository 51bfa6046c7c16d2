"""The schedule follows what people do, through the front door."""

import threading

import pytest

from tests.cast import CONTENT, PASSWORD_HASH

pytestmark = pytest.mark.commits

SCHEDULE = """SELECT edition, to_char(due_at AT TIME ZONE u.time_zone, 'HH24:MI')
    FROM pulsex.briefing_schedule AS s INNER JOIN pulsex.users AS u USING (user_id)
    WHERE user_id = %s ORDER BY edition DESC"""
ROWS = "SELECT user_id, edition, xmin::text FROM pulsex.briefing_schedule ORDER BY user_id, edition"
MORNING = ("morning", "07:00")
MOVE = "UPDATE pulsex.users SET time_zone = %s"
PREFER = "SELECT pulsex.update_preferences(%s, %s)"


def test_registration_schedules_the_first_briefing(sign_in, dba):
    """At the next seven o'clock in the new person's own zone."""
    register = "SELECT auth.register_user('new@example.com', %s, 'New', 'Asia/Tokyo')"
    user_id = sign_in.value(register, PASSWORD_HASH)
    dba.results_eq(SCHEDULE, [MORNING], user_id)
    dba.is_empty("SELECT FROM pulsex.briefing_schedule WHERE user_id = %s AND due_at <= now()", user_id)


def test_moving_reschedules(alice, dba):
    """Alice changes her zone, and seven is seven there."""
    before = dba.rows("SELECT due_at FROM pulsex.briefing_schedule WHERE user_id = %s", alice.user_id)
    alice.rows(MOVE, "Asia/Tokyo")
    dba.results_eq(SCHEDULE, [MORNING], alice.user_id)
    assert before != dba.rows("SELECT due_at FROM pulsex.briefing_schedule WHERE user_id = %s", alice.user_id)


@pytest.mark.parametrize(
    ("changes", "want"),
    [
        ('{"delivery_time": "06:15"}', [("morning", "06:15")]),
        ('{"evening_delivery_time": "19:30"}', [MORNING, ("evening", "19:30")]),
        ('{"delivery_days": []}', []),
    ],
)
def test_preferences_reschedule(alice, dba, changes, want):
    """Alice's schedule is what she wants."""
    alice.rows(PREFER, alice.user_id, changes)
    dba.results_eq(SCHEDULE, want, alice.user_id)


def test_a_direct_update_reschedules(alice, dba):
    """Under row level security, without the routine."""
    alice.rows("UPDATE pulsex.user_preferences SET delivery_time = '05:45'")
    dba.results_eq(SCHEDULE, [("morning", "05:45")], alice.user_id)


def test_a_restriction_unschedules_and_its_end_reschedules(alice, dba):
    """Whoever sets the status."""
    status = "UPDATE pulsex.users SET status = %s WHERE user_id = %s"
    dba.rows(status, "restricted", alice.user_id)
    alice.is_empty("SELECT * FROM pulsex.briefing_schedule")
    dba.rows(status, "active", alice.user_id)
    dba.results_eq(SCHEDULE, [MORNING], alice.user_id)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE pulsex.users SET display_name = 'Alicia'",
        "UPDATE pulsex.users SET time_zone = time_zone",
        "UPDATE pulsex.user_preferences SET quiet_hours_start = '22:00', quiet_hours_end = '07:00', max_items = 3",
        "UPDATE pulsex.user_preferences SET delivery_time = delivery_time, delivery_days = delivery_days",
    ],
)
def test_nothing_else_touches_the_schedule(alice, dba, change):
    """No row of anybody's is written."""
    before = dba.rows(ROWS)
    alice.rows(change)
    dba.results_eq(ROWS, before)


def test_a_change_touches_nobody_elses_schedule(alice, bob, dba):
    """Bob's row stays as it was when Alice moves."""
    bobs = [row for row in dba.rows(ROWS) if row[0] == bob.user_id]
    alice.rows(MOVE, "Asia/Tokyo")
    assert bobs == [row for row in dba.rows(ROWS) if row[0] == bob.user_id] != []


def test_publishing_moves_the_schedule_on(worker, alice, dba):
    """The worker publishes what is next, and the date after it is next."""
    upcoming = "SELECT briefing_date FROM pulsex.briefing_schedule"
    before = alice.value(upcoming)
    worker.rows("SELECT pulsex.publish_briefing(%s, %s, %s)", alice.user_id, before, CONTENT)
    assert (alice.value(upcoming) - before).days == 1


def test_of_two_changes_at_once_the_schedule_has_both(alice, database, dba):
    """Alice moves on one device and pauses no longer on another: neither is computed from what the other left."""
    alice.rows(PREFER, alice.user_id, '{"delivery_days": []}')
    other = database.actor("other device", "pulsex_app", database.cast["alice"])
    with alice.connection.transaction():
        alice.connection.execute("SELECT auth.use_session(%s)", [alice.token])
        alice.connection.execute(MOVE, ["Asia/Tokyo"])
        resume = threading.Thread(
            target=other.rows, args=(PREFER, alice.user_id, '{"delivery_days": [1, 2, 3, 4, 5, 6, 7]}')
        )
        resume.start()
        while resume.is_alive() and not dba.value("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            pass
    resume.join()
    dba.results_eq(SCHEDULE, [MORNING], alice.user_id)
