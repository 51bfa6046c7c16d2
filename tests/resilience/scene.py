"""A database in which every routine has something to do, and in which everything of Bob's can be recognised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

import psycopg

from tests.cast import CONTENT, PASSWORD_HASH, Person

CANARY = "canarybob"
# What Bob has written or is called: wherever one of these turns up, it is Bob's.
PLANTED = f"""
    UPDATE pulsex.users SET display_name = '{CANARY}' WHERE user_id = %(bob)s;
    UPDATE auth.identities SET subject = '{CANARY}@example.com' WHERE user_id = %(bob)s;
    UPDATE auth.sessions SET user_agent = '{CANARY}' WHERE user_id = %(bob)s;
    UPDATE pulsex.user_preferences SET settings = '{{"note": "{CANARY}"}}' WHERE user_id = %(bob)s;
    UPDATE pulsex.briefings SET title = '{CANARY}', search = to_tsvector('simple', '{CANARY}'),
        content = replace(content::text, 'A comet returns', '{CANARY}')::jsonb WHERE user_id = %(bob)s;
    UPDATE pulsex.briefing_feedback SET comment = '{CANARY}' WHERE user_id = %(bob)s;
    UPDATE pulsex.devices SET push_token = '{CANARY}' WHERE user_id = %(bob)s;
    UPDATE pulsex.notifications SET payload = '{{"note": "{CANARY}"}}', dedup_key = '{CANARY}' || notification_id
    WHERE user_id = %(bob)s;
    UPDATE pulsex.notification_attempts SET error = '{CANARY}' WHERE user_id = %(bob)s;
    UPDATE pulsex.notification_queue SET last_error = '{CANARY}' WHERE user_id = %(bob)s;
    UPDATE gdpr.requests SET details = '{CANARY}' WHERE user_id = %(bob)s;
    UPDATE gdpr.holds SET reason = '{CANARY}' WHERE user_id = %(bob)s;
"""
# Of Alice's: a notification that is leased, one that is dead, a second device's token, a hold.
LEASED = """
    UPDATE pulsex.notification_queue SET attempts = 2, leased_by = 'w', leased_at = now(),
        lease_until = now() + interval '1 minute', lease_token = '11111111-1111-4111-8111-111111111111'
    WHERE user_id = %(alice)s;
    INSERT INTO pulsex.notifications (user_id, notification_id, channel, kind, state)
    VALUES (%(alice)s, '22222222-2222-4222-8222-222222222222', 'email', 'tip', 'dead');
    INSERT INTO gdpr.holds (user_id, hold_id, category, reason)
    VALUES (%(alice)s, '33333333-3333-4333-8333-333333333333', 'ratings', 'a claim');
"""
# SQL that finds the sound values of a parameter, where a constant won't do; %(alice)s is who calls.
FOUND = {
    "p_notification_id": "SELECT notification_id::text FROM pulsex.notification_queue WHERE user_id = %(alice)s",
    "p_device_id": "SELECT device_id::text FROM pulsex.devices WHERE user_id = %(alice)s",
    "p_request_id": "SELECT request_id::text FROM gdpr.requests WHERE user_id = %(alice)s",
    "p_ids": "SELECT array_agg(notification_id)::text FROM pulsex.notifications WHERE user_id = %(alice)s",
    "p_briefing_date": "SELECT briefing_date::text FROM pulsex.briefings WHERE user_id = %(alice)s",
    "p_day": "SELECT (now() AT TIME ZONE 'UTC')::date::text",
    "p_from": "SELECT (now() AT TIME ZONE 'UTC')::date::text",
    "p_to": "SELECT (now() AT TIME ZONE 'UTC')::date::text",
    "p_events": """SELECT jsonb_build_array(jsonb_build_object(
        'event_id', uuidv7(), 'event_type', 'opened', 'occurred_at', to_jsonb(now()) #>> '{}'))::text""",
    "p_before": "SELECT (now() - interval '31 days')::text",
    "p_erasures": "SELECT array_agg(erasure_id)::text FROM gdpr.scrubs",
}
# The ids of what is Bob's.
OTHERS = """
    SELECT notification_id::text FROM pulsex.notifications WHERE user_id = %(bob)s
    UNION ALL SELECT device_id::text FROM pulsex.devices WHERE user_id = %(bob)s
    UNION ALL SELECT request_id::text FROM gdpr.requests WHERE user_id = %(bob)s
    UNION ALL SELECT hold_id::text FROM gdpr.holds WHERE user_id = %(bob)s
"""
SOUND = {
    "p_email": "alice@example.com", "p_password_hash": PASSWORD_HASH, "p_display_name": "Alice",
    "p_time_zone": "Europe/Lisbon", "p_locale": "en", "p_succeeded": "true", "p_lifetime": "1 hour", "p_ip": "::1",
    "p_user_agent": "Mozilla/5.0", "p_purpose": "verify_email", "p_changes": '{"max_items": 5}',
    "p_slugs": "{science,cities}", "p_content": CONTENT, "p_title": "The news", "p_edition": "morning",
    "p_query": "comet", "p_filter": '{"sections": [{"topic": "science"}]}', "p_rating": "4", "p_comment": "Well.",
    "p_item_id": "s1", "p_channel": "push", "p_kind": "tip", "p_payload": '{"n": 1}', "p_dedup_key": "today",
    "p_priority": "1", "p_max_attempts": "8", "p_worker": "w", "p_lease": "2 minutes",
    "p_lease_token": "11111111-1111-4111-8111-111111111111",
    "p_lease_tokens": "{11111111-1111-4111-8111-111111111111}", "p_error": "410", "p_permanent": "false",
    "p_retry_after": "1 hour", "p_platform": "web", "p_push_token": "a token", "p_per_minute": "60", "p_burst": "5",
    "p_granted": "true", "p_policy_version": "2026-01", "p_details": "Everything.", "p_reason": "asked for",
    "p_outcome": "fulfilled", "p_note": "done", "p_categories": None, "p_category": "ratings", "p_until": None,
    "p_hold_id": "33333333-3333-4333-8333-333333333333", "p_name": "controller", "p_value": "The Meridian Courier",
    "p_since": "today", "p_schema": "pulsex", "p_table": "briefings", "p_months_ahead": "1", "p_task": "audit sealed",
    "p_relation": "pulsex.users", "p_at": "now", "p_received_at": "now", "p_scheduled_for": "now", "p_attempts": "1",
    "p_expected_digest": None, "p_limit": "10",
}  # fmt: skip
# Where the same name means something else to one routine.
ELSEWHERE = {
    "ops.partition_months": {"p_relation": "0"},
    "ops.partition_faults": {"p_relation": "0"},
    "gdpr.open_request": {"p_kind": "access"},
    "gdpr.record_consent": {"p_purpose": "analytics"},
    "auth.register_user": {"p_email": "new@example.com"},
    "ops.revive_notification": {"p_notification_id": "22222222-2222-4222-8222-222222222222"},
    "audit.trail": {"p_from": "-infinity", "p_to": "infinity"},
}


@dataclass(frozen=True)
class Scene:
    """Who is there, and what a parameter of a routine soundly is."""

    people: tuple[UUID, ...]
    alice: UUID
    bob: UUID
    token: str
    values: Mapping[str, str | None]
    others: tuple[str, ...]

    def sound(self, routine: str, parameter: str) -> str | None:
        """Return a value with which the routine does what it is for, about Alice."""
        return ELSEWHERE.get(routine, {}).get(parameter, self.values[parameter])


def set_up(connection: psycopg.Connection, alice: Person, bob: Person) -> Scene:
    """Make the scene out of the cast, on a superuser's connection."""
    ids = {"alice": alice.user_id, "bob": bob.user_id}
    with connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")
        for statement in [*PLANTED.split(";\n"), *LEASED.split(";\n")]:
            if statement.strip():
                connection.execute(statement, ids)
    values = dict(SOUND)
    for parameter, query in FOUND.items():
        [(values[parameter],)] = connection.execute(query, ids).fetchall()[:1]
    with connection.transaction():
        connection.execute("SET LOCAL ROLE pulsex_worker")
        issue = "SELECT pulsex.issue_unsubscribe_token(%(alice)s, 'email', 'tip')"
        values["p_token"] = connection.execute(issue, ids).fetchone()[0]
        connection.execute("SET LOCAL ROLE pulsex_privacy")
        values["p_ledger"] = connection.execute("SELECT gdpr.export_erasure_ledger()::text").fetchone()[0]
    values |= {
        "p_user_id": str(alice.user_id), "p_user_ids": f"{{{alice.user_id}}}", "token": alice.token,
        "p_notification_ids": f"{{{values['p_notification_id']}}}",
    }  # fmt: skip
    others = tuple(one for (one,) in connection.execute(OTHERS, ids))
    return Scene((alice.user_id, bob.user_id), alice.user_id, bob.user_id, alice.token, values, others)
