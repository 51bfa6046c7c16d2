"""Restriction of processing (Art. 18): db/gdpr/restriction.sql, and the triggers of migration 006."""

from __future__ import annotations

import pytest

from tests.isolation import matrix

RESTRICT = "SELECT gdpr.restrict_user(%s, 'contests the accuracy')"
LIFT = "SELECT gdpr.lift_restriction(%s)"
STATUS = "SELECT status FROM pulsex.users WHERE user_id = %s"
NOBODY = "00000000-0000-0000-0000-000000000000"

# A write of each kind to Alice's row of each table of processing.
WRITES = {
    "pulsex.user_preferences": [
        "UPDATE pulsex.user_preferences SET max_items = 3 WHERE user_id = %s",
        "DELETE FROM pulsex.user_preferences WHERE user_id = %s",
    ],
    "pulsex.user_topics": [
        """INSERT INTO pulsex.user_topics (user_id, topic_id)
        SELECT %s, topic_id FROM pulsex.topics WHERE slug = 'cities'""",
        "UPDATE pulsex.user_topics SET weight = 2 WHERE user_id = %s",
        "DELETE FROM pulsex.user_topics WHERE user_id = %s",
    ],
    "pulsex.briefing_schedule": [
        """INSERT INTO pulsex.briefing_schedule (user_id, edition, briefing_date, due_at)
        VALUES (%s, 'evening', '2026-01-01', now())""",
    ],
    "pulsex.briefings": [
        """INSERT INTO pulsex.briefings (user_id, briefing_date, edition, title, content, search)
        SELECT user_id, briefing_date, 'evening', title, content, search FROM pulsex.briefings WHERE user_id = %s""",
        "UPDATE pulsex.briefings SET title = 'Changed' WHERE user_id = %s",
        "DELETE FROM pulsex.briefings WHERE user_id = %s",
    ],
    "pulsex.briefing_feedback": [
        """INSERT INTO pulsex.briefing_feedback (user_id, briefing_date, edition, item_id, rating)
        SELECT user_id, briefing_date, edition, 's1', 1 FROM pulsex.briefings WHERE user_id = %s""",
        "UPDATE pulsex.briefing_feedback SET rating = 1 WHERE user_id = %s",
    ],
    "pulsex.engagement_daily": [
        "INSERT INTO pulsex.engagement_daily (user_id, day, event_type, events) VALUES (%s, '2026-01-01', 'opened', 1)",
        "UPDATE pulsex.engagement_daily SET events = 9 WHERE user_id = %s",
        "DELETE FROM pulsex.engagement_daily WHERE user_id = %s",
    ],
    "pulsex.engagement_marks": [
        "INSERT INTO pulsex.engagement_marks (user_id, day) VALUES (%s, '2026-01-01')",
        "DELETE FROM pulsex.engagement_marks WHERE user_id = %s",
    ],
    "pulsex.notification_queue": [
        """UPDATE pulsex.notification_queue SET leased_by = 'w', leased_at = now(), lease_until = now(),
        lease_token = gen_random_uuid() WHERE user_id = %s""",
    ],
    "pulsex.notifications": [
        "INSERT INTO pulsex.notifications (user_id, channel, kind) VALUES (%s, 'push', 'topic_alert')",
        "UPDATE pulsex.notifications SET kind = 'topic_alert' WHERE user_id = %s",
        "DELETE FROM pulsex.notifications WHERE user_id = %s",
    ],
}
# Tables of theirs that a restriction doesn't guard, and why.
UNGUARDED = {
    "pulsex.users": "the status itself is there; name, language and zone are written by the person alone",
    "pulsex.engagement_events": "written by the person alone, with a mark that is guarded",
    "pulsex.notification_attempts": "a log, written with a change of the notification, which is guarded",
    "pulsex.devices": "whoever signs in on a phone gets it from its last owner, restricted or not",
    "pulsex.push_token_owners": "as devices",
    "pulsex.unsubscriptions": "what they don't want to be told, said by the link in a message too",
    "pulsex.unsubscribe_tokens": "as unsubscriptions",
}
GUARDED = """
    SELECT DISTINCT t.tgrelid::regclass::text FROM pg_trigger AS t INNER JOIN pg_class AS c ON c.oid = t.tgrelid
    WHERE t.tgfoid = 'gdpr.refuse_restricted'::regproc AND NOT c.relispartition ORDER BY 1
"""
OF_PEOPLE = """
    SELECT c.oid::regclass::text FROM pg_class AS c INNER JOIN pg_attribute AS a ON a.attrelid = c.oid
    WHERE c.relnamespace = 'pulsex'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
        AND a.attname = 'user_id' ORDER BY 1
"""
# Every routine of the worker's that is about one person: of a restricted one it raises PT403.
ABOUT_ONE = {
    "pulsex.generation_context": "SELECT pulsex.generation_context(%s)",
    "pulsex.publish_briefing": "SELECT pulsex.publish_briefing(%s, current_date, '{\"sections\": []}')",
    "pulsex.mark_briefing_delivered": "SELECT pulsex.mark_briefing_delivered(%s, current_date)",
    "pulsex.topic_affinity": "SELECT pulsex.topic_affinity(%s)",
    "pulsex.enqueue_notification": "SELECT pulsex.enqueue_notification(%s, 'in_app', 'topic_alert')",
    "pulsex.cancel_notification": "SELECT pulsex.cancel_notification(%s, gen_random_uuid())",
    "pulsex.complete_notification": ("SELECT pulsex.complete_notification(%s, gen_random_uuid(), gen_random_uuid())"),
    "pulsex.fail_notification": "SELECT pulsex.fail_notification(%s, gen_random_uuid(), gen_random_uuid(), 'e')",
    "pulsex.issue_unsubscribe_token": "SELECT pulsex.issue_unsubscribe_token(%s, 'email', 'offer')",
    "ops.revive_notification": "SELECT ops.revive_notification(%s, gen_random_uuid())",
}
# But for one, that ends something: where a device is gone, nothing more is sent to it, restricted or not.
ENDS = {"pulsex.retire_device"}
# The cast's attempts are of claims that never were: out of the way of those to come.
ATTEMPTED = "UPDATE pulsex.notification_attempts SET attempt = 100"
CLAIM = "SELECT user_id FROM pulsex.claim_notifications('w', 100, p_at => %s)"


@pytest.fixture
def restricted(dba, published):
    """Alice, restricted in the superuser's transaction, who then is the service."""
    dba.rows(ATTEMPTED)
    dba.rows(RESTRICT, published.user_id)
    dba.rows("SET LOCAL ROLE pulsex_service")
    return published


@pytest.mark.parametrize("write", [write for writes in WRITES.values() for write in writes])
def test_a_restricted_persons_rows_are_not_written(dba, restricted, write):
    """Whatever writes, as the service that owns every definer routine, raises PT403; Bob's rows may be written."""
    dba.throws_ok(write, "PT403", restricted.user_id)


@pytest.mark.parametrize("write", [write for writes in WRITES.values() for write in writes])
def test_the_same_write_is_fine_before(dba, database, write):
    """Of Bob, who isn't restricted, the same statement is refused by no PT403: it was the restriction."""
    dba.rows("SET LOCAL ROLE pulsex_service")
    dba.rows(RESTRICT, database.cast["alice"].user_id)
    dba.lives_ok(write, database.cast["bob"].user_id)


def test_a_superuser_is_refused_too(dba, restricted):
    """The trigger asks who the row is about, not who writes."""
    dba.rows("RESET ROLE")
    dba.throws_ok(WRITES["pulsex.user_topics"][1], "PT403", restricted.user_id)


def test_no_setting_opens_a_restricted_persons_rows(dba, restricted):
    """What marks an erasure and a session is signed: set by hand it is worth nothing."""
    for setting in ("erasure", "context"):
        dba.rows(f"SET LOCAL pulsex.{setting} = '{restricted.user_id}.{'0' * 64}'")
    dba.throws_ok(WRITES["pulsex.user_topics"][1], "PT403", restricted.user_id)


def test_every_table_of_processing_is_guarded(dba):
    """A table of a person's is guarded, or named here with the reason why not."""
    guarded = {name for (name,) in dba.rows(GUARDED)}
    assert {name for (name,) in dba.rows(OF_PEOPLE)} == guarded | UNGUARDED.keys()
    assert guarded == WRITES.keys()


@pytest.mark.commits
def test_they_themself_may_read_and_write(alice, privacy, worker):
    """In her session a restricted Alice still reads, rates and sets; the worker may do nothing of it."""
    privacy.rows(RESTRICT, alice.user_id)
    alice.results_eq("SELECT count(*) FROM pulsex.briefings", [(1,)])
    alice.lives_ok("SELECT pulsex.record_feedback(user_id, briefing_date, 2::smallint) FROM pulsex.briefings")
    alice.lives_ok('SELECT pulsex.update_preferences(%s, \'{"delivery_time": "06:00"}\')', alice.user_id)
    alice.lives_ok("SELECT pulsex.mark_briefing_read(user_id, briefing_date) FROM pulsex.briefings")
    worker.throws_ok(ABOUT_ONE["pulsex.generation_context"], "PT403", alice.user_id)


def test_every_routine_of_the_workers_about_a_person_is_tried(dba):
    """The declaration above has each routine with a p_user_id that the worker may call."""
    names = """SELECT format('%I.%I', n.nspname, p.proname) FROM pg_proc AS p
        INNER JOIN pg_namespace AS n ON n.oid = p.pronamespace
        WHERE 'p_user_id' = ANY (p.proargnames) AND has_function_privilege('pulsex_worker', p.oid, 'EXECUTE')
            AND n.nspname IN ('auth', 'pulsex', 'ops', 'gdpr', 'audit') ORDER BY 1"""
    dba.results_eq(names, [(name,) for name in sorted(ABOUT_ONE.keys() | ENDS)])


@pytest.mark.parametrize("routine", ABOUT_ONE)
def test_no_routine_of_the_workers_processes_a_restricted_person(dba, restricted, routine):
    """Called as the worker, each raises PT403; the one about Bob doesn't."""
    dba.rows("SET LOCAL ROLE pulsex_worker")
    dba.throws_ok(ABOUT_ONE[routine], "PT403", restricted.user_id)


def test_a_restricted_persons_briefing_is_not_due(dba, restricted, database):
    """Due before, it is handed out no more, where Bob's is."""
    dba.rows("SET LOCAL ROLE pulsex_worker")
    due = {user_id for (user_id,) in dba.rows("SELECT user_id FROM pulsex.due_briefings(now() + interval '2 days')")}
    assert due == {database.cast["bob"].user_id}


def claimed(dba, at: str) -> set:
    """Return who is handed out to a worker at a time."""
    dba.rows("SET LOCAL ROLE pulsex_worker")
    people = {user_id for (user_id,) in dba.rows(CLAIM, at)}
    dba.rows("RESET ROLE")
    return people


def test_a_restricted_persons_notifications_are_not_handed_out(dba, restricted, database):
    """Queued before, Alice's is put off, where Bob's is claimed; claiming goes on around it, today and tomorrow."""
    bob = database.cast["bob"].user_id
    assert claimed(dba, "now") == {bob}
    assert restricted.user_id not in claimed(dba, "tomorrow")
    dba.rows("SET LOCAL ROLE pulsex_worker")
    asleep = "SELECT pulsex.await_notifications('push', now() + interval '1 second') > now() + interval '1 minute'"
    dba.results_eq(asleep, [(True,)])


def test_lifting_hands_out_what_waited(dba, restricted):
    """Put off for an hour, it is claimed at once when the restriction is lifted."""
    assert restricted.user_id not in claimed(dba, "now")
    dba.rows(LIFT, restricted.user_id)
    assert claimed(dba, "now") == {restricted.user_id}


def test_lifting_hands_out_each_at_its_own_time(dba, published):
    """Of two that were put off, one that was due meanwhile is due now, and tomorrow's is tomorrow."""
    dba.rows("DELETE FROM pulsex.notification_queue")
    tell = "SELECT pulsex.enqueue_notification(%s, 'in_app', 'topic_alert', p_scheduled_for => %s)"
    told = {at: dba.value(tell, published.user_id, at) for at in ("now", "tomorrow")}
    dba.rows(RESTRICT, published.user_id)
    dba.rows("UPDATE pulsex.notification_queue SET available_at = available_at + interval '1 hour'")
    dba.rows(LIFT, published.user_id)
    due = "SELECT notification_id FROM pulsex.notification_queue WHERE available_at = %s::timestamptz"
    for at, notification_id in told.items():
        dba.results_eq(due, [(notification_id,)], at)


def test_what_was_claimed_before_can_not_be_settled(dba, published):
    """A worker that holds a lease when the restriction begins is refused; lifted, the lease's end brings it back."""
    dba.rows(ATTEMPTED)
    assert published.user_id in claimed(dba, "now")
    lease = """SELECT notification_id, lease_token FROM pulsex.notification_queue
        WHERE user_id = %s AND lease_token IS NOT NULL"""
    [(notification_id, token)] = dba.rows(lease, published.user_id)
    dba.rows(RESTRICT, published.user_id)
    complete = "SELECT pulsex.complete_notification(%s, %s, %s)"
    dba.throws_ok(complete, "PT403", published.user_id, notification_id, token)
    assert published.user_id not in claimed(dba, "tomorrow")
    dba.rows(LIFT, published.user_id)
    assert published.user_id in claimed(dba, "tomorrow")


def test_totals_are_counted_without_a_restricted_person_and_later_with(dba, restricted):
    """Their mark stays while it lasts, whichever count goes by; lifted, their day is counted."""
    dba.rows("RESET ROLE")
    dba.rows("SET LOCAL session_replication_role = replica")
    dba.rows("DELETE FROM pulsex.engagement_daily WHERE user_id = %s", restricted.user_id)
    mark = "INSERT INTO pulsex.engagement_marks (user_id, day) VALUES (%s, (now() AT TIME ZONE 'UTC')::date)"
    dba.rows(mark, restricted.user_id)
    dba.rows("SET LOCAL session_replication_role = origin")
    totals = "SELECT count(*) FROM pulsex.engagement_daily WHERE user_id = %s"
    dba.rows("SELECT ops.roll_up_engagement((now() AT TIME ZONE 'UTC')::date), ops.roll_up_marked_engagement()")
    dba.results_eq(totals, [(0,)], restricted.user_id)
    dba.rows(LIFT, restricted.user_id)
    dba.rows("SELECT ops.roll_up_marked_engagement()")
    dba.results_eq(totals, [(1,)], restricted.user_id)


def test_a_phone_changes_hands_though_its_last_owner_is_restricted(dba, restricted, database):
    """Bob registers the token that was Alice's: hers is retired, and what waits for her stays."""
    bob = database.cast["bob"]
    dba.rows("RESET ROLE")
    dba.rows("SELECT auth.use_session(%s)", bob.token)
    dba.lives_ok("SELECT pulsex.register_device(%s, 'web', %s)", bob.user_id, f"push-{restricted.user_id}")
    dba.results_eq("SELECT count(*) FROM pulsex.notification_queue WHERE user_id = %s", [(1,)], restricted.user_id)


def test_lifting_schedules_the_next_briefing(dba, restricted):
    """The schedule is gone while it lasts, and back when it is lifted."""
    schedule = "SELECT count(*) FROM pulsex.briefing_schedule WHERE user_id = %s"
    dba.results_eq(schedule, [(0,)], restricted.user_id)
    dba.rows(LIFT, restricted.user_id)
    dba.results_eq(schedule, [(1,)], restricted.user_id)
    dba.lives_ok(WRITES["pulsex.user_topics"][1], restricted.user_id)


def test_maintenance_goes_on_around_a_restricted_person(dba, restricted):
    """Ratings of briefings that expire are deleted of everybody, since a partition goes as a whole."""
    dba.rows("SET LOCAL ROLE pulsex_service")
    deleted = "DELETE FROM pulsex.briefing_feedback WHERE user_id = %s RETURNING 1"
    dba.results_eq(deleted, [(1,)], restricted.user_id)


def test_only_the_officer_restricts(alice, worker, sign_in, published):
    """To everybody else the routines aren't there."""
    for actor in (alice, worker, sign_in):
        actor.throws_ok(RESTRICT, "42501", published.user_id)
        actor.throws_ok(LIFT, "42501", published.user_id)


def test_again_changes_nothing(dba, published):
    """A second restriction, and a second lifting, live and leave one event each."""
    for statement in (RESTRICT, RESTRICT, LIFT, LIFT):
        dba.lives_ok(statement, published.user_id)
    actions = "SELECT action FROM audit.events WHERE user_id = %s AND action ~ 'restrict' ORDER BY event_id"
    dba.results_eq(actions, [("restrict",), ("lift_restriction",)], published.user_id)


@pytest.mark.parametrize("reason", ["NULL", "''", "'  '", "repeat('a', 501)"])
def test_a_restriction_has_a_reason(privacy, published, reason):
    """None, or one too long, raises PT422."""
    privacy.throws_ok(f"SELECT gdpr.restrict_user(%s, {reason})", "PT422", published.user_id)


@pytest.mark.parametrize("statement", [RESTRICT, LIFT])
def test_nobody_who_is_not_there_is_restricted(privacy, statement):
    """An unknown id raises PT404."""
    privacy.throws_ok(statement, "PT404", NOBODY)


@pytest.mark.commits
def test_a_restricted_person_can_be_erased(privacy, published, dba):
    """Erasure is what the triggers let through: nothing of Alice is left, and her consents went too."""
    privacy.rows(RESTRICT, published.user_id)
    privacy.rows("SELECT gdpr.erase_user(%s, 'asked for it')", published.user_id)
    privacy.is_empty("SELECT * FROM gdpr.find_personal_data(%s)", published.user_id)
    dba.results_eq("SELECT count(DISTINCT user_id) FROM gdpr.consents", [(1,)])


def test_the_matrix_gives_the_worker_no_table(dba):
    """What the worker writes it writes through routines: no table of a person's is granted to it."""
    verbs = "".join(cells["worker"] for name, cells in matrix.MATRIX.items() if name.startswith("pulsex."))
    assert not set(verbs) & set("IUDT")


def test_the_triggers_that_refuse_are_the_declared_ones(dba):
    """Though a write may be refused by more than one of them, none may be missing."""
    tables = """briefing_feedback briefing_schedule briefings engagement_daily engagement_marks notifications
        user_preferences user_topics"""
    dba.results_eq(
        """SELECT tgname::text FROM pg_trigger INNER JOIN pg_class AS c ON c.oid = tgrelid
        WHERE tgfoid = 'gdpr.refuse_restricted'::regproc AND NOT c.relispartition ORDER BY tgname COLLATE "C" """,
        sorted([*((f"{table}_refuse_restricted",) for table in tables.split()), ("notification_queue_refuse_lease",)]),
    )
