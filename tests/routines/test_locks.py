"""Who looks at a row and then decides holds it first, so that nobody changes it in between.

Somebody else holds the row as a foreign key does (KEY SHARE), or as a reader may (SHARE). An update wouldn't wait for
the one, nor a read for the other; a routine that locks the row before it decides does.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.actors import Actor
from tests.harness import Database


@dataclass(frozen=True)
class Held:
    """A row of Alice's that is held, a call that waits for it, and the error that it ends with when it needn't wait.

    {user_id} and {token} are hers, {due} is the date of the briefing that she is owed next.
    """

    row: str
    who: str
    call: str
    strength: str = "KEY SHARE"
    ends: str | None = None


MINE = "WHERE user_id = '{user_id}'"
HELD = {
    "auth.find_session": Held(f"auth.sessions {MINE}", "stranger", "SELECT auth.rotate_session('{token}')"),
    "auth.record_login": Held(f"auth.passwords {MINE}", "sign_in", "SELECT auth.record_login('{user_id}', false)"),
    "gdpr.erase": Held(
        f"pulsex.users {MINE}", "privacy", "SELECT gdpr.erase_user('{user_id}', 'asked for', '{{activity}}')"
    ),
    "gdpr.find_request": Held(
        f"gdpr.requests {MINE}",
        "privacy",
        f"SELECT gdpr.complete_request(user_id, request_id, 'fulfilled') FROM gdpr.open_requests {MINE}",
    ),
    "gdpr.open_request": Held(
        f"pulsex.users {MINE}", "privacy", "SELECT gdpr.open_request('{user_id}', 'access')", "SHARE"
    ),
    "gdpr.record_consent": Held(
        f"pulsex.users {MINE}",
        "alice",
        "SELECT gdpr.record_consent('{user_id}', 'analytics', true, '2026-02')",
        "SHARE",
    ),
    "gdpr.release_hold": Held(
        f"pulsex.users {MINE}", "privacy", "SELECT gdpr.release_hold('{user_id}', uuidv7())", ends="PT404"
    ),
    "pulsex.record_events": Held(
        f"pulsex.users {MINE}",
        "alice",
        """SELECT pulsex.record_events('{user_id}', jsonb_build_array(jsonb_build_object(
            'event_id', uuidv7(), 'event_type', 'opened', 'occurred_at', now())))""",
        "SHARE",
    ),
    "pulsex.register_device": Held(
        f"pulsex.push_token_owners {MINE}",
        "alice",
        "SELECT pulsex.register_device('{user_id}', 'web', 'push-{user_id}')",
    ),
    "pulsex.schedule_briefings, the person": Held(
        f"pulsex.users {MINE}",
        "alice",
        """SELECT pulsex.update_preferences('{user_id}', '{{"delivery_time": "08:00"}}')""",
        "SHARE",
    ),
    "pulsex.schedule_briefings, the schedule": Held(
        f"pulsex.briefing_schedule {MINE}",
        "alice",
        """SELECT pulsex.update_preferences('{user_id}', '{{"delivery_time": "08:00"}}')""",
    ),
    "pulsex.settle_briefing": Held(
        f"pulsex.briefing_schedule {MINE}",
        "worker",
        """SELECT pulsex.publish_briefing('{user_id}', '{due}', '{{"sections": []}}')""",
    ),
    "pulsex.unsubscribe": Held(
        f"pulsex.unsubscribe_tokens {MINE}", "stranger", f"SELECT pulsex.unsubscribe('{{user_id}}.{'0' * 64}')"
    ),
}


@pytest.fixture
def names(dba, published) -> dict[str, object]:
    """What the rows and calls speak of."""
    due = dba.value("SELECT briefing_date FROM pulsex.briefing_schedule WHERE user_id = %s", published.user_id)
    return {"user_id": published.user_id, "token": published.token, "due": due}


@pytest.mark.parametrize("held", HELD.values(), ids=HELD)
def test_a_row_that_is_decided_on_is_waited_for(held, request, dba, names):
    """While somebody holds it the call waits (55P03, since it waits no longer); once they let go it is done."""
    actor: Actor = request.getfixturevalue(held.who)
    call = held.call.format(**names)
    assert dba.rows(f"SELECT FROM {held.row.format(**names)} FOR {held.strength}")
    actor.rows("SET LOCAL lock_timeout = '5ms'")
    actor.throws_ok(call, "55P03")
    dba.end()
    if held.ends:
        actor.throws_ok(call, held.ends)
    else:
        actor.lives_ok(call)


PASSED_OVER = {
    "pulsex.due_briefings": Held(
        f"pulsex.briefing_schedule {MINE}", "worker", "SELECT pulsex.due_briefings(now() + interval '2 days')", "UPDATE"
    ),
    "pulsex.claim_notifications": Held(
        f"pulsex.notification_queue {MINE}", "worker", "SELECT pulsex.claim_notifications('one')", "UPDATE"
    ),
    "pulsex.claim_notifications, a channel without a limit": Held(
        "pulsex.notification_channels", "worker", "SELECT pulsex.claim_notifications('one')", "UPDATE"
    ),
    "pulsex.settle_briefing, of another date": Held(
        f"pulsex.briefing_schedule {MINE}",
        "worker",
        """SELECT pulsex.publish_briefing('{user_id}', '{due}'::date - 1, '{{"sections": []}}')""",
        "UPDATE",
    ),
}


@pytest.mark.parametrize("held", PASSED_OVER.values(), ids=PASSED_OVER)
def test_a_row_that_somebody_is_at_is_passed_over(held, request, dba, names):
    """A worker takes others instead, or needs none, and waits for nobody: there is something now or later."""
    actor: Actor = request.getfixturevalue(held.who)
    call = held.call.format(**names)
    assert dba.rows(f"SELECT FROM {held.row.format(**names)} FOR {held.strength}")
    actor.rows("SET LOCAL lock_timeout = '5ms'")
    at_once = actor.rows(call)
    dba.end()
    assert at_once + actor.rows(call)


def test_maintenance_is_claimed_by_its_own_row(dba, worker):
    """While somebody has that one nobody else gets the claim, though the rows of the tasks are free."""
    assert worker.value("SELECT count(*) FROM ops.maintenance_tasks") > 1
    dba.rows("SELECT FROM ops.maintenance_tasks WHERE task = 'maintenance' FOR UPDATE")
    worker.results_eq("SELECT ops.claim_maintenance()", [(False,)])


@pytest.mark.commits
def test_a_decoy_that_is_decided_on_is_waited_for(database: Database, sign_in, published):
    """A login that nobody is behind counts its failures one after the other, as a person's does."""
    fail = "SELECT auth.record_login('11111111-1111-1111-1111-111111111111', false)"
    sign_in.rows(fail)
    holder = database.actor("holder", "postgres").connection
    holder.execute("UPDATE auth.login_decoys SET locked_until = now() - interval '1 minute'")
    holder.execute("BEGIN")
    holder.execute("SELECT FROM auth.login_decoys FOR KEY SHARE")
    sign_in.connection.execute("SET lock_timeout = '5ms'")
    sign_in.throws_ok(fail, "55P03")
    holder.execute("COMMIT")
    sign_in.lives_ok(fail)
