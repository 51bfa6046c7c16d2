"""What may be null and what has a default, table by table: whatever isn't named here is NOT NULL and has to be given.

Constraints refuse what is wrong, but a column that lost its NOT NULL refuses nothing, and one that lost its default is
missed only by whoever relied on it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Columns:
    """A table's columns that may be null, and the expressions of those that have a default."""

    nullable: frozenset[str]
    defaults: dict[str, str]


def columns(nullable: str = "", **defaults: str) -> Columns:
    """Return a table's declaration: names with spaces between them, and each default as PostgreSQL prints it."""
    return Columns(frozenset(nullable.split()), defaults)


COLUMNS = {
    "audit.events": columns(
        "table_name payload salt",
        user_id="'00000000-0000-0000-0000-000000000000'::uuid",
        occurred_at="clock_timestamp()",
        event_id="uuidv7()",
        role_name="SESSION_USER",
    ),
    "audit.seal_contents": columns(),
    "audit.seals": columns(sealed_at="clock_timestamp()"),
    "audit.unsealed_events": columns(),
    "auth.identities": columns("verified_at", created_at="now()"),
    "auth.login_decoys": columns(),
    "auth.one_time_tokens": columns("used_at", created_at="now()", attempts="0"),
    "auth.passwords": columns("locked_until", changed_at="now()", failed_attempts="0"),
    "auth.sessions": columns(
        "revoked_at ip_address user_agent",
        session_id="uuidv7()",
        created_at="now()",
        last_used_at="now()",
    ),
    "auth.signing_key": columns(singleton="true", rotated_at="now()"),
    "gdpr.consent_purposes": columns(),
    "gdpr.consents": columns(recorded_at="clock_timestamp()"),
    "gdpr.data_map": columns(
        "category label purpose lawful_basis recipients source retention not_exported_because exported_as erased_value",
        is_secret="false",
    ),
    "gdpr.data_map_tables": columns(
        "category label not_personal_because erased_by retention retention_from",
        found_by="'user_id = $1'::text",
        is_erased_first="false",
    ),
    "gdpr.erasure_ledger": columns(),
    "gdpr.erasures": columns("categories completed_at", erasure_id="uuidv7()", erased_at="now()"),
    "gdpr.holds": columns("erasure_id held_until released_at", hold_id="uuidv7()", placed_at="now()"),
    "gdpr.inactivity_warnings": columns(),
    "gdpr.ledger_keys": columns(key_id="uuidv7()", created_at="now()"),
    "gdpr.requests": columns(
        "details extended_at extension_reason completed_at outcome outcome_note",
        request_id="uuidv7()",
    ),
    "gdpr.scrubs": columns("scrubbed_at"),
    "gdpr.settings": columns("value", changed_at="now()"),
    "ops.maintenance_tasks": columns("succeeded_at failed_at error"),
    "ops.partitioned_tables": columns("retention", months_each="1"),
    "pulsex.briefing_feedback": columns("comment", item_id="''::text", created_at="now()", updated_at="now()"),
    "pulsex.briefing_schedule": columns("lease_until parked_date parked_attempts", attempts="0"),
    "pulsex.briefings": columns("delivered_at read_at", edition="'morning'::text", version="1", generated_at="now()"),
    "pulsex.devices": columns("retired_at", device_id="uuidv7()", last_seen_at="now()"),
    "pulsex.engagement_daily": columns(dwell_ms="0"),
    "pulsex.engagement_events": columns("briefing_date edition item_id", properties="'{}'::jsonb"),
    "pulsex.engagement_marks": columns(mark_id="uuidv7()"),
    "pulsex.notification_attempts": columns("error", finished_at="now()"),
    "pulsex.notification_channels": columns("per_minute", burst="1", free_at="'-infinity'::timestamp with time zone"),
    "pulsex.notification_queue": columns(
        "leased_by leased_at lease_until lease_token last_error",
        priority="0",
        available_at="now()",
        attempts="0",
        max_attempts="8",
    ),
    "pulsex.notification_waits": columns(asleep_until="'-infinity'::timestamp with time zone"),
    "pulsex.notifications": columns(
        "dedup_key reason sent_at read_at",
        notification_id="uuidv7()",
        payload="'{}'::jsonb",
        state="'pending'::text",
        scheduled_for="now()",
        created_at="now()",
    ),
    "pulsex.promotional_kinds": columns(),
    "pulsex.push_token_owners": columns(),
    "pulsex.time_zones": columns(),
    "pulsex.topics": columns(topic_id="uuidv7()"),
    "pulsex.unsubscribe_tokens": columns("used_at", created_at="now()"),
    "pulsex.unsubscriptions": columns(created_at="now()"),
    "pulsex.user_preferences": columns(
        "evening_delivery_time quiet_hours_start quiet_hours_end",
        delivery_time="'07:00:00'::time without time zone",
        delivery_days="'{1,2,3,4,5,6,7}'::smallint[]",
        max_items="12",
        channels="'{push,in_app}'::text[]",
        settings="'{}'::jsonb",
        updated_at="now()",
    ),
    "pulsex.user_topics": columns(weight="1"),
    "pulsex.users": columns(
        user_id="uuidv7()",
        locale="'en'::text",
        time_zone="'UTC'::text",
        status="'active'::text",
        created_at="now()",
        updated_at="now()",
    ),
}
