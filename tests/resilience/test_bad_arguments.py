"""What hostile input found, each with the one clear error that it ends in now."""

from __future__ import annotations

import json

import pytest

FAR = "'294276-12-31 23:59:59+00'"
PADDED = "repeat(' ', 1000) || 'x'"
NO_ONE = "'99999999-9999-4999-8999-999999999999'"
# Of the worker, of the officer, of the sign-in service, and of Alice; %(user)s is Alice.
REFUSED = {
    "worker": {
        "SELECT pulsex.enqueue_notifications(ARRAY[%(user)s]::uuid[], 'push', 'tip', p_priority => 40000)": "PT422",
        "SELECT pulsex.enqueue_notifications(ARRAY[%(user)s]::uuid[], 'push', 'tip', p_max_attempts => 40000)": "PT422",
        f"SELECT pulsex.complete_notifications(ARRAY[%(user)s]::uuid[], ARRAY[{NO_ONE}, {NO_ONE}]::uuid[], '{{}}')": (
            "PT422"
        ),
        "SELECT pulsex.complete_notifications('{}', '{}', NULL)": "PT422",
        "SELECT pulsex.complete_notifications('{}', '{}', '{}', NULL)": "PT422",
        f"SELECT ops.revive_notification(%(user)s, {NO_ONE}, NULL)": "PT422",
        f"SELECT ops.revive_notification(%(user)s, {NO_ONE}, 'infinity')": "PT422",
        "SELECT ops.record_maintenance(NULL, 'x')": "PT422",
        "SELECT ops.record_maintenance(repeat('x', 1000000), 'x')": "PT422",
        "SELECT ops.purge_unsubscribe_tokens(-1)": "PT422",
        "SELECT ops.delete_expired_feedback(-1)": "PT422",
        "SELECT ops.make_next_partition('pulsex', 'briefings', 1, '5874897-12-31')": "PT422",
        "SELECT gdpr.warn_inactive(-1)": "PT422",
        "SELECT gdpr.warn_inactive(1, NULL)": "PT422",
        "SELECT gdpr.warn_inactive(1, 'infinity')": "PT422",
        "SELECT gdpr.erase_inactive(-1)": "PT422",
        f"SELECT pulsex.due_briefings({FAR})": "22008",
        f"SELECT pulsex.claim_notifications('w', p_at => {FAR})": "22008",
        f"SELECT ops.count_queue({FAR})": "22008",
        "SELECT pulsex.generation_context(%(user)s, '4714-11-24 00:00:00+00 BC')": "22008",
        "SELECT pulsex.publish_briefing(%(user)s, current_date, '{\"sections\": []}', 'x', NULL)": "23502",
    },
    "privacy": {
        f"SELECT gdpr.restrict_user(%(user)s, {PADDED})": "PT422",
        f"SELECT gdpr.place_hold(%(user)s, 'ratings', {PADDED})": "PT422",
        f"SELECT gdpr.erase_user(%(user)s, {PADDED})": "PT422",
        f"SELECT gdpr.change_setting('controller', 'x', {PADDED})": "PT422",
        "SELECT gdpr.change_setting('controller', 'x', ' ')": "PT422",
        "SELECT gdpr.record_consent(%(user)s, repeat('x', 1000000), true, '2026-01')": "PT422",
        "SELECT gdpr.record_consent(%(user)s, NULL, true, '2026-01')": "PT422",
        "SELECT gdpr.inactive_accounts('4714-11-24 00:00:00+00 BC')": "22008",
    },
    "sign_in": {
        "SELECT auth.start_session(%(user)s, '-178000000 years')": "PT422",
        "SELECT auth.issue_one_time_token(%(user)s, 'verify_email', '-178000000 years')": "PT422",
    },
    "alice": {
        "SELECT pulsex.day_starts_at('294277-01-01')": "22008",
        "SELECT * FROM pulsex.todays_briefing(%(user)s, p_at => '4714-11-24 00:00:00+00 BC')": "22008",
    },
    "analyst": {"SELECT pulsex.count_briefing_engagement('4714-11-24 BC', '4714-11-24 BC')": "22008"},
}


@pytest.mark.parametrize(
    ("name", "call", "sqlstate"), [(name, *one) for name, calls in REFUSED.items() for one in calls.items()]
)
def test_a_bad_argument_has_one_clear_error(name, call, sqlstate, request, published):
    """It is told by the routine, or where that would cost, by PostgreSQL in the way that the comment says."""
    call = call.replace("%(user)s", f"'{published.user_id}'")
    request.getfixturevalue(name).throws_ok(call, sqlstate)


@pytest.mark.parametrize("routine", ["complete_notification", "fail_notification"])
@pytest.mark.parametrize("at", [None, "infinity"])
def test_a_notification_is_settled_at_an_instant(routine, at, dba, published):
    """Of a lease that is good: a time that is none is refused, and the lease is still good."""
    dba.rows("SET LOCAL ROLE pulsex_worker")
    enqueue = "SELECT pulsex.enqueue_notification(%s, 'in_app', 'tip', p_priority => 100)"
    told = dba.value(enqueue, published.user_id)
    [(lease,)] = dba.rows("SELECT lease_token FROM pulsex.claim_notifications('w', 1, p_channel => 'in_app')")
    error = ", '503'" if routine == "fail_notification" else ""
    call = f"SELECT pulsex.{routine}(%s, %s, %s{error}, p_at => %s)"
    dba.throws_ok(call, "PT422", published.user_id, told, lease, at)
    dba.lives_ok(call, published.user_id, told, lease, "now")


def test_a_ledger_with_an_entry_twice_is_none(privacy):
    """PT422, where the second would be a duplicate key."""
    [(ledger,)] = privacy.rows("SELECT gdpr.export_erasure_ledger()")
    entry = ledger["erasures"][0] | {"erasure_id": "00000000-0000-4000-8000-000000000009"}
    entry["subject"] = dict.fromkeys(entry["subject"], "00" * 32)
    replay = "SELECT * FROM gdpr.replay_erasures(%s)"
    privacy.is_empty(replay, json.dumps(ledger | {"erasures": [entry]}))
    entry["erasure_id"] = "00000000-0000-4000-8000-000000000008"
    privacy.throws_ok(replay, "PT422", json.dumps(ledger | {"erasures": [entry, entry]}))


def test_that_the_officer_had_the_list_of_people_is_logged(dba):
    """As a look at nobody in particular; a person who looks for themself isn't."""
    looks = "SELECT count(*) FROM audit.events WHERE action = 'read' AND payload ->> 'what' = 'list of people'"
    dba.rows("SET LOCAL ROLE pulsex_privacy")
    dba.rows("SELECT * FROM gdpr.visible_people()")
    dba.rows("SET LOCAL ROLE pulsex_app")
    dba.rows("SELECT * FROM gdpr.visible_people()")
    dba.rows("RESET ROLE")
    dba.results_eq(looks, [(1,)])


def test_that_the_officer_saw_who_is_inactive_is_logged(dba, published):
    """Of each person listed; what the worker goes through to warn them is not."""
    looks = "SELECT count(*) FROM audit.events WHERE action = 'read' AND user_id = %s"
    later = "SELECT count(*) FROM gdpr.inactive_accounts(now() + interval '9 years')"
    dba.rows("SET LOCAL ROLE pulsex_privacy")
    dba.results_eq(later, [(2,)])
    dba.rows("RESET ROLE")
    dba.results_eq(looks, [(1,)], published.user_id)


@pytest.mark.commits
@pytest.mark.parametrize("attempts", [None, -1])
def test_maintenance_is_done_however_often_it_may_be_tried(attempts, worker):
    """It commits, so the calls that are taken back never get to its end: no number of tries makes it fail."""
    worker.connection.execute("CALL ops.run_maintenance(%s)", [attempts])
    worker.is_empty("SELECT task, error FROM ops.maintenance_tasks WHERE error IS NOT NULL")
