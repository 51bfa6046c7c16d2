"""What breaks each constraint: the words that the tests of this directory are driven by.

A change is laid over a row that is there: column to new value, as JSON. The row is Alice's, or the one of ``ROWS``
in a table that belongs to no person. A constraint that the catalogue has and that isn't named here fails the build.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from tests.cast import CONTENT, PASSWORD_HASH

Change = dict[str, object]

NOBODY = "00000000-0000-0000-0000-000000000000"
OTHER = "11111111-1111-1111-1111-111111111111"
LONG_AGO = "2000-01-01T00:00:00Z"

# Which row a change is laid over, where it isn't Alice's only one.
ROWS = {
    "pulsex.notifications": "kind <> 'welcome' AND user_id = '{user_id}'",
    "ops.maintenance_tasks": "task = 'time zones'",
    "pulsex.notification_channels": "channel = 'push'",
    "pulsex.notification_waits": "channel = 'push'",
    "pulsex.promotional_kinds": "true",
    "ops.partitioned_tables": "table_name = 'briefings'",
    "audit.seal_contents": "true",
    "audit.seals": "true",
    "audit.unsealed_events": "true",
    "gdpr.data_map_tables": "table_name = 'users'",
    "gdpr.data_map": "column_name = 'locale'",
    "gdpr.erasure_ledger": "true",
    "gdpr.erasures": "true",
    "gdpr.ledger_keys": "true",
    "gdpr.scrubs": "true",
    "gdpr.settings": "name = 'inactive_after'",
    "gdpr.consent_purposes": "purpose = 'analytics'",
    "gdpr.consents": """purpose = 'analytics' AND user_id = (
        SELECT i.user_id FROM auth.identities AS i WHERE i.subject = 'alice@example.com')""",
    "auth.login_decoys": "true",
    "auth.signing_key": "true",
    "pulsex.time_zones": "name = 'UTC'",
    "pulsex.topics": "topic_id = (SELECT topic_id FROM pulsex.user_topics LIMIT 1)",
}

# Rows that are never changed: a change is laid over a copy instead, which differs in its key.
APPEND_ONLY = {"audit.events": {"event_id": NOBODY}, "audit.seals": {"seal_id": 98}}


@dataclass(frozen=True)
class Check:
    """A CHECK: changes that it refuses, and changes at its edges that it accepts."""

    table: str
    refuses: list[Change]
    accepts: list[Change]


@dataclass(frozen=True)
class Key:
    """A primary key or UNIQUE: a copy that it refuses, and what differs in one that it accepts."""

    table: str
    differs: Change
    apart: Change = field(default_factory=dict)


@dataclass(frozen=True)
class Reference:
    """A foreign key: what a copy refers to that isn't there, without clashing with a key on the way."""

    table: str
    missing: Change


def each(column: str, *values: object) -> list[Change]:
    """Return a change of one column for each value."""
    return [{column: value} for value in values]


def octets(count: int, **rest: object) -> Change:
    """Return a JSON object whose text, as jsonb writes it, is ``count`` octets long."""
    overhead = len(json.dumps({"x": "", **rest}))
    return {"x": "x" * (count - overhead), **rest}


def hashed(octet_count: int) -> str:
    """Return that many octets as bytea writes them."""
    return "\\x" + "ab" * octet_count


def phc(head: str = "$argon2id$v=19$m=65536,t=3,p=4", salt: int = 22, tag: int = 43) -> str:
    """Return an Argon2id PHC string with a salt and a tag of so many Base64 characters."""
    return f"{head}${'s' * salt}${'t' * tag}"


CLASSIFIED = ("category", "label", "purpose", "lawful_basis", "recipients", "source")
MANY_DAYS = [1, 2, 3, 4, 5, 6, 7, 1]
LEASED: Change = {"leased_by": "w", "leased_at": LONG_AGO, "lease_until": LONG_AGO, "lease_token": NOBODY}

CHECKS = {
    # Shared references
    "topics_slug_check": Check(
        "pulsex.topics",
        each("slug", "", "Science", "-a", "a-", "a--b", "a b", "a_b", "é", "a\n", "a" * 61),
        each("slug", "a", "az-19", "09", "a" * 60),
    ),
    "topics_label_check": Check("pulsex.topics", each("label", "", "a" * 101), each("label", "a", "é" * 100)),
    # The person
    "users_display_name_check": Check(
        "pulsex.users", each("display_name", "", "a" * 101), each("display_name", "a", "é" * 100)
    ),
    "users_locale_check": Check(
        "pulsex.users",
        each(
            "locale", "", "e", "engl", "EN", "en_GB", "en-", "en-G", "en-abcdefghi", "en" + "-abcdefgh" * 3 + "-abcdef"
        ),
        each("locale", "en", "ast", "pt-BR", "zh-Hant-TW", "en-0189-abcdefgh", "en" + "-abcdefgh" * 3 + "-abcde"),
    ),
    "users_status_check": Check(
        "pulsex.users", each("status", "", "Active", "erased"), each("status", "restricted", "active")
    ),
    "user_preferences_delivery_time_check": Check(
        "pulsex.user_preferences",
        each("delivery_time", "07:00:01", "07:00:00.5", "24:00"),
        each("delivery_time", "00:00", "23:59"),
    ),
    "user_preferences_evening_delivery_time_check": Check(
        "pulsex.user_preferences",
        each("evening_delivery_time", "19:00:01", "19:00:00.5", "24:00"),
        each("evening_delivery_time", "00:00", "23:59", None),
    ),
    "user_preferences_delivery_days_check": Check(
        "pulsex.user_preferences",
        each("delivery_days", [0], [8], [-1], [None], [1, None], [[1, 2]], [[1], [2]], MANY_DAYS),
        each("delivery_days", [], [1], [7], MANY_DAYS[:7]),
    ),
    "user_preferences_quiet_hours_check": Check(
        "pulsex.user_preferences",
        [{"quiet_hours_start": "22:00"}, {"quiet_hours_end": "07:00"}],
        [
            {"quiet_hours_start": "22:00", "quiet_hours_end": "07:00"},
            {"quiet_hours_start": None, "quiet_hours_end": None},
        ],
    ),
    "user_preferences_max_items_check": Check(
        "pulsex.user_preferences", each("max_items", 0, -1, 51), each("max_items", 1, 50)
    ),
    "user_preferences_channels_check": Check(
        "pulsex.user_preferences",
        each(
            "channels", ["sms"], ["Push"], [""], [None], ["push", None], [["push"]],
            ["push", "email", "in_app", "push"],
        ),
        each("channels", [], ["email"], ["push", "email", "in_app"]),
    ),
    "user_preferences_settings_check": Check(
        "pulsex.user_preferences",
        each("settings", [], "a", 1, True, octets(16385)),
        each("settings", {}, octets(16384)),
    ),
    "user_topics_weight_check": Check(
        "pulsex.user_topics", each("weight", 0, -1, 10.01, "NaN", "Infinity"), each("weight", 0.01, 10)
    ),
    # Signing in
    "identities_provider_check": Check(
        "auth.identities",
        each("provider", "", "Email", "1a", "_a", "a-b", "a b", "a\n", "a" * 41),
        each("provider", "a", "a_1", "a" * 40),
    ),
    "identities_subject_check": Check(
        "auth.identities",
        [{"provider": "oidc", "subject": ""}, {"provider": "oidc", "subject": "a" * 256}],
        [{"provider": "oidc", "subject": "a"}, {"provider": "oidc", "subject": "É" * 255}],
    ),
    "identities_email_check": Check(
        "auth.identities",
        each(
            "subject", "alice", "@example.com", "alice@", "a@b@c", "Alice@example.com", "alice@Example.com",
            "al ice@example.com", "alice@exam\tple.com", "alice@example.com\n", "alice@exam\u007fple.com",
            "a" * 243 + "@example.com", "é" * 122 + "@example.com",
        ),
        each("subject", "a@b", "zoë@example.com", "a" * 242 + "@example.com", "é" * 121 + "@example.com"),
    ),
    "passwords_password_hash_check": Check(
        "auth.passwords",
        each(
            "password_hash", "", "correct horse battery staple", "$2b$12$" + "a" * 53, PASSWORD_HASH + "\n",
            PASSWORD_HASH + "=", " " + PASSWORD_HASH, phc("$argon2i$v=19$m=65536,t=3,p=4"),
            phc("$argon2id$v=16$m=65536,t=3,p=4"), phc("$argon2id$v=19$m=999,t=3,p=4"),
            phc("$argon2id$v=19$m=12345678,t=3,p=4"), phc("$argon2id$v=19$m=65536,t=,p=4"),
            phc("$argon2id$v=19$m=65536,t=1234,p=4"), phc("$argon2id$v=19$m=65536,t=3,p="),
            phc("$argon2id$v=19$m=65536,t=3,p=1234"), phc(salt=21), phc(salt=87), phc(tag=42), phc(tag=87),
            phc() + "$more",
        ),
        each(
            "password_hash", PASSWORD_HASH, phc().replace("s" * 9, "AZaz09+/s"), phc("$argon2id$v=19$m=1024,t=1,p=1"),
            phc("$argon2id$v=19$m=1234567,t=123,p=123", 86, 86),
        ),
    ),
    "passwords_failed_attempts_check": Check(
        "auth.passwords", each("failed_attempts", -1), each("failed_attempts", 0, 2147483647)
    ),
    "login_decoys_failed_attempts_check": Check(
        "auth.login_decoys", each("failed_attempts", 0, -1), each("failed_attempts", 1)
    ),
    "sessions_token_hash_check": Check(
        "auth.sessions", each("token_hash", hashed(0), hashed(31), hashed(33)), each("token_hash", hashed(32))
    ),
    "sessions_expires_at_check": Check(
        "auth.sessions",
        [{"created_at": LONG_AGO, "expires_at": at} for at in (LONG_AGO, "1999-12-31T23:59:59.999999Z")],
        [{"created_at": LONG_AGO, "expires_at": "2000-01-01T00:00:00.000001Z"}],
    ),
    "sessions_user_agent_check": Check(
        "auth.sessions", each("user_agent", "a" * 401), each("user_agent", "é" * 400, "", None)
    ),
    "one_time_tokens_purpose_check": Check(
        "auth.one_time_tokens",
        each("purpose", "", "sign_in", "Verify_email"),
        each("purpose", "reset_password", "verify_email"),
    ),
    "one_time_tokens_token_hash_check": Check(
        "auth.one_time_tokens", each("token_hash", hashed(0), hashed(31), hashed(33)), each("token_hash", hashed(32))
    ),
    "one_time_tokens_expires_at_check": Check(
        "auth.one_time_tokens",
        [{"created_at": LONG_AGO, "expires_at": at} for at in (LONG_AGO, "1999-12-31T23:59:59.999999Z")],
        [{"created_at": LONG_AGO, "expires_at": "2000-01-01T00:00:00.000001Z"}],
    ),
    "one_time_tokens_attempts_check": Check("auth.one_time_tokens", each("attempts", -1, 6), each("attempts", 0, 5)),
    "signing_key_singleton_check": Check("auth.signing_key", each("singleton", False), each("singleton", True)),
    "signing_key_pads_check": Check(
        "auth.signing_key",
        [
            {pad: hashed(count)}
            for pad in ("inner_pad", "outer_pad", "previous_inner_pad", "previous_outer_pad")
            for count in (0, 63, 65)
        ],
        each("inner_pad", hashed(64)),
    ),
    # Briefings
    "briefing_schedule_edition_check": Check(
        "pulsex.briefing_schedule", each("edition", "noon", "Morning", ""), each("edition", "evening", "morning")
    ),
    "briefing_schedule_attempts_check": Check(
        "pulsex.briefing_schedule", each("attempts", -1), each("attempts", 0, 32767)
    ),
    "briefing_schedule_parked_check": Check(
        "pulsex.briefing_schedule",
        [{"parked_date": "2000-01-01"}, {"parked_attempts": 0}, {"parked_date": "2000-01-01", "parked_attempts": -1}],
        [{"parked_date": "2000-01-01", "parked_attempts": 0}, {"parked_date": None, "parked_attempts": None}],
    ),
    "briefings_edition_check": Check(
        "pulsex.briefings",
        each("edition", "noon", "Morning", ""),
        each("edition", "morning"),
    ),
    "briefings_version_check": Check("pulsex.briefings", each("version", 0, -1), each("version", 1, 2147483647)),
    "briefings_title_check": Check("pulsex.briefings", each("title", "", "a" * 301), each("title", "a", "é" * 300)),
    "briefings_content_shape_check": Check(
        "pulsex.briefings",
        each("content", {}, {"sections": {}}, {"sections": [{}]}),
        each("content", {"sections": []}, json.loads(CONTENT)),
    ),
    "briefings_content_size_check": Check(
        "pulsex.briefings",
        each("content", octets(262145, sections=[])),
        each("content", octets(262144, sections=[]), {"sections": []}),
    ),
    "briefing_feedback_item_id_check": Check(
        "pulsex.briefing_feedback", each("item_id", "a" * 201), each("item_id", "", "é" * 200)
    ),
    "briefing_feedback_rating_check": Check(
        "pulsex.briefing_feedback", each("rating", 0, 6, -1), each("rating", 1, 5)
    ),
    "briefing_feedback_comment_check": Check(
        "pulsex.briefing_feedback", each("comment", "a" * 2001), each("comment", "é" * 2000, "", None)
    ),
    # Engagement
    "engagement_events_event_type_check": Check(
        "pulsex.engagement_events",
        each("event_type", "", "clicked", "Opened"),
        each(
            "event_type", "delivered", "opened", "section_viewed", "item_clicked", "item_saved", "shared",
            "dismissed",
        ),
    ),
    "engagement_events_briefing_date_check": Check(
        "pulsex.engagement_events",
        each("briefing_date", "infinity", "-infinity"),
        each("briefing_date", "2000-01-01", None),
    ),
    "engagement_events_dwell_check": Check(
        "pulsex.engagement_events",
        [
            {"event_type": "dwell", "properties": {}},
            *({"event_type": "dwell", "properties": {"ms": ms}} for ms in (None, "5", [5], -1, 86400000.5, 1e300)),
        ],
        [
            {"event_type": "dwell", "properties": {"ms": 0}},
            {"event_type": "dwell", "properties": {"ms": 86400000}},
            {"event_type": "opened", "properties": {}},
        ],
    ),
    "engagement_events_edition_check": Check(
        "pulsex.engagement_events",
        each("edition", "noon", "Morning", ""),
        each("edition", "morning", "evening", None),
    ),
    "engagement_events_item_id_check": Check(
        "pulsex.engagement_events", each("item_id", "a" * 201), each("item_id", "é" * 200, "", None)
    ),
    "engagement_events_properties_check": Check(
        "pulsex.engagement_events",
        each("properties", [], "a", 1, True, octets(4097)),
        each("properties", {}, octets(4096)),
    ),
    "engagement_daily_counts_check": Check(
        "pulsex.engagement_daily",
        [{"events": 0}, {"events": -1}, {"dwell_ms": -1}],
        [{"events": 1, "dwell_ms": 0}],
    ),
    # Devices and notifications
    "devices_platform_check": Check(
        "pulsex.devices", each("platform", "", "iOS", "desktop"), each("platform", "ios", "android", "web")
    ),
    "devices_push_token_check": Check(
        "pulsex.devices", each("push_token", "", "a" * 4097), each("push_token", "a", "é" * 4096)
    ),
    "push_token_owners_push_token_hash_check": Check(
        "pulsex.push_token_owners",
        each("push_token_hash", hashed(0), hashed(31), hashed(33)),
        each("push_token_hash", hashed(32)),
    ),
    "notifications_channel_check": Check(
        "pulsex.notifications", each("channel", "", "sms", "Push"), each("channel", "email", "in_app", "push")
    ),
    "notifications_kind_check": Check(
        "pulsex.notifications",
        each("kind", "", "Ready", "1a", "_a", "a-b", "a\n", "a" * 61),
        each("kind", "a", "a_1", "a" * 60),
    ),
    "notifications_payload_check": Check(
        "pulsex.notifications",
        each("payload", [], "a", 1, True, octets(16385)),
        each("payload", {}, octets(16384)),
    ),
    "notifications_dedup_key_check": Check(
        "pulsex.notifications", each("dedup_key", "", "a" * 201), each("dedup_key", "a", "é" * 200, None)
    ),
    "notifications_state_check": Check(
        "pulsex.notifications",
        each("state", "", "Pending", "failed"),
        [*each("state", "dead", "cancelled", "pending"), {"state": "sent", "sent_at": LONG_AGO}],
    ),
    "notifications_reason_check": Check(
        "pulsex.notifications",
        each("reason", "", "Quiet_hours", "because", "restricted"),
        each(
            "reason", "channel_off", "unsubscribed", "no_consent", "no_device", "no_address", "called_off", "refused",
            "out_of_attempts", "quiet_hours", None,
        ),
    ),
    "notifications_scheduled_for_check": Check(
        "pulsex.notifications", each("scheduled_for", "infinity", "-infinity"), each("scheduled_for", LONG_AGO)
    ),
    "notifications_sent_at_check": Check(
        "pulsex.notifications",
        [{"state": "sent"}, *({"state": state, "sent_at": LONG_AGO} for state in ("pending", "dead", "cancelled"))],
        [{"state": "sent", "sent_at": LONG_AGO}, {"state": "pending", "sent_at": None}],
    ),
    "notification_queue_channel_check": Check(
        "pulsex.notification_queue", each("channel", "", "sms", "Push"), each("channel", "email", "in_app", "push")
    ),
    "notification_queue_priority_check": Check(
        "pulsex.notification_queue", each("priority", -101, 101), each("priority", -100, 100)
    ),
    "notification_queue_attempts_check": Check(
        "pulsex.notification_queue",
        [{"attempts": -1}, {"attempts": 9}, {"attempts": 2, "max_attempts": 1}],
        [{"attempts": 0}, {"attempts": 8}],
    ),
    "notification_queue_max_attempts_check": Check(
        "pulsex.notification_queue",
        [{"max_attempts": 0, "attempts": 0}, {"max_attempts": 101}],
        each("max_attempts", 1, 100),
    ),
    "notification_queue_lease_check": Check(
        "pulsex.notification_queue",
        [
            {"leased_by": "w"},
            {"leased_at": LONG_AGO},
            {"lease_until": LONG_AGO},
            {"lease_token": NOBODY},
            {"leased_by": "w", "lease_until": LONG_AGO, "lease_token": NOBODY},
        ],
        [LEASED, dict.fromkeys(LEASED)],
    ),
    "notification_queue_leased_by_check": Check(
        "pulsex.notification_queue",
        [{**LEASED, "leased_by": name} for name in ("", "a" * 201)],
        [{**LEASED, "leased_by": name} for name in ("a", "é" * 200)],
    ),
    "notification_queue_last_error_check": Check(
        "pulsex.notification_queue", each("last_error", "a" * 2001), each("last_error", "é" * 2000, "", None)
    ),
    "notification_attempts_attempt_check": Check(
        "pulsex.notification_attempts", each("attempt", 0, -1), each("attempt", 1, 32767)
    ),
    "notification_attempts_finished_at_check": Check(
        "pulsex.notification_attempts",
        [{"started_at": LONG_AGO, "finished_at": "1999-12-31T23:59:59.999999Z"}],
        [{"started_at": LONG_AGO, "finished_at": LONG_AGO}],
    ),
    "notification_attempts_outcome_check": Check(
        "pulsex.notification_attempts",
        each("outcome", "", "Sent", "lost"),
        each("outcome", "sent", "lease_expired", "failed"),
    ),
    "notification_attempts_error_check": Check(
        "pulsex.notification_attempts", each("error", "a" * 2001), each("error", "é" * 2000, "", None)
    ),
    "promotional_kinds_kind_check": Check(
        "pulsex.promotional_kinds", each("kind", "", "Offer", "1a", "a-b", "a" * 61), each("kind", "a", "a_1", "a" * 60)
    ),
    "unsubscriptions_channel_check": Check(
        "pulsex.unsubscriptions", each("channel", "", "sms", "Push"), each("channel", "email", "in_app", "push")
    ),
    "unsubscriptions_kind_check": Check(
        "pulsex.unsubscriptions", each("kind", "", "Ready", "1a", "a-b", "a" * 61), each("kind", "a", "a_1", "a" * 60)
    ),
    "unsubscribe_tokens_token_hash_check": Check(
        "pulsex.unsubscribe_tokens",
        each("token_hash", hashed(0), hashed(31), hashed(33)),
        each("token_hash", hashed(32)),
    ),
    "unsubscribe_tokens_channel_check": Check(
        "pulsex.unsubscribe_tokens", each("channel", "", "sms", "Push"), each("channel", "email", "in_app", "push")
    ),
    "unsubscribe_tokens_kind_check": Check(
        "pulsex.unsubscribe_tokens",
        each("kind", "", "Ready", "1a", "a-b", "a" * 61),
        each("kind", "a", "a_1", "a" * 60),
    ),
    "unsubscribe_tokens_expires_at_check": Check(
        "pulsex.unsubscribe_tokens",
        [{"created_at": LONG_AGO, "expires_at": at} for at in (LONG_AGO, "1999-12-31T23:59:59.999999Z")],
        [{"created_at": LONG_AGO, "expires_at": "2000-01-01T00:00:00.000001Z"}],
    ),
    "notification_channels_channel_check": Check(
        "pulsex.notification_channels", each("channel", "", "sms", "Push"), each("channel", "push")
    ),
    "notification_channels_per_minute_check": Check(
        "pulsex.notification_channels", each("per_minute", 0, -1, 6000001), each("per_minute", 1, 6000000, None)
    ),
    "notification_channels_burst_check": Check(
        "pulsex.notification_channels", each("burst", 0, -1, 100001), each("burst", 1, 100000)
    ),
    "notification_waits_channel_check": Check(
        "pulsex.notification_waits", each("channel", "", "sms", "Push"), each("channel", "push")
    ),
    # The audit log
    "action_check": Check(
        "audit.events",
        each("action", "", "Read", "a b", "a\n", "a" * 61),
        [{"action": "a" * 60}, {"action": "a", "event_id": OTHER}],
    ),
    "table_name_check": Check(
        "audit.events",
        each("table_name", "", "users", "pulsex.Users", "pulsex. users", "a.b.c", "a" * 126 + ".b"),
        [{"table_name": None}, {"table_name": "a.b_1" + "c" * 122, "event_id": OTHER}],
    ),
    "events_payload_check": Check(
        "audit.events",
        [{"payload": None}, {"salt": None}, {"payload": None, "salt": None}],
        [{"payload": None, "salt": None, "user_id": NOBODY}],
    ),
    "digest_check": Check(
        "audit.events",
        each("commitment", hashed(0), hashed(31), hashed(33)),
        each("commitment", hashed(32)),
    ),
    "seals_seal_id_check": Check("audit.seals", each("seal_id", 0, -1), each("seal_id", 98)),
    "seals_events_check": Check("audit.seals", each("events", 0, -1), each("events", 1)),
    # Partitions and maintenance
    "partitioned_tables_months_each_check": Check(
        "ops.partitioned_tables", each("months_each", 0, 2, 12), each("months_each", 1)
    ),
    "partitioned_tables_months_ahead_check": Check(
        "ops.partitioned_tables", each("months_ahead", -1, 25), each("months_ahead", 0, 24)
    ),
    "partitioned_tables_retention_check": Check(
        "ops.partitioned_tables",
        each("retention", "29 days", "0", "-2 years"),
        each("retention", "1 month", "30 days", "10 years", None),
    ),
    "maintenance_tasks_error_check": Check(
        "ops.maintenance_tasks",
        [{"failed_at": LONG_AGO}, {"error": "e"}, {"failed_at": LONG_AGO, "error": "e" * 2001}],
        [{"failed_at": LONG_AGO, "error": "é" * 2000}, {"failed_at": None, "error": None}],
    ),
    # The data map, holds, erasures
    "data_map_tables_category_check": Check(
        "gdpr.data_map_tables", each("category", "", "Profile", "a_", "a b", "a1"), each("category", "a", "a_b")
    ),
    "data_map_tables_personal_check": Check(
        "gdpr.data_map_tables",
        [{"category": None}, {"label": None}, {"not_personal_because": "r"}],
        [{"category": None, "label": None, "not_personal_because": "r"}],
    ),
    "data_map_tables_retention_check": Check(
        "gdpr.data_map_tables",
        [{"retention": "1 day"}, {"retention_from": "created_at"}],
        [{"retention": "1 day", "retention_from": "created_at"}],
    ),
    "data_map_erasure_check": Check(
        "gdpr.data_map", each("erasure", "", "Delete", "drop"), each("erasure", "null", "pseudonymise", "keep")
    ),
    "data_map_personal_check": Check(
        "gdpr.data_map",
        [*({column: None} for column in CLASSIFIED), dict.fromkeys(CLASSIFIED)],
        [dict.fromkeys(CLASSIFIED) | {"erasure": "keep"}],
    ),
    "data_map_secret_check": Check(
        "gdpr.data_map", [{"is_secret": True}], [{"is_secret": True, "not_exported_because": "r"}]
    ),
    "holds_category_check": Check("gdpr.holds", each("category", "", "A", "a_"), each("category", "a", "a_b")),
    "holds_reason_check": Check("gdpr.holds", each("reason", "", "a" * 501), each("reason", "a", "é" * 500)),
    "holds_held_until_check": Check(
        "gdpr.holds",
        [{"placed_at": LONG_AGO, "held_until": LONG_AGO}],
        [{"placed_at": LONG_AGO, "held_until": "2000-01-01T00:00:00.000001Z"}, {"held_until": None}],
    ),
    "ledger_keys_pads_check": Check(
        "gdpr.ledger_keys",
        [{pad: hashed(count)} for pad in ("inner_pad", "outer_pad") for count in (63, 65)],
        [{"inner_pad": hashed(64), "outer_pad": hashed(64)}],
    ),
    "erasures_categories_check": Check("gdpr.erasures", each("categories", []), each("categories", ["a"], None)),
    "erasures_certificate_check": Check("gdpr.erasures", each("certificate", [], "a", 1), each("certificate", {})),
    "erasure_ledger_subject_hash_check": Check(
        "gdpr.erasure_ledger", each("subject_hash", hashed(31), hashed(33)), each("subject_hash", hashed(32))
    ),
    # Consents, requests, settings
    "settings_value_check": Check(
        "gdpr.settings",
        [{"name": "other", "value": value} for value in ("", "a" * 2001)],
        each("value", "7 days".ljust(2000), None),
    ),
    "settings_reason_check": Check("gdpr.settings", each("reason", "", "a" * 501), each("reason", "a", "é" * 500)),
    "settings_period_check": Check(
        "gdpr.settings",
        each("value", "soon", "6 days", "11 years", "-2 years"),
        [*each("value", "7 days", "10 years", None), {"name": "other", "value": "soon"}],
    ),
    "consent_purposes_purpose_check": Check(
        "gdpr.consent_purposes",
        each("purpose", "", "Analytics", "1a", "a-b", "a\n", "a" * 41),
        each("purpose", "analytics"),
    ),
    "consent_purposes_label_check": Check(
        "gdpr.consent_purposes", each("label", "", "a" * 101), each("label", "a", "é" * 100)
    ),
    "consent_purposes_question_check": Check(
        "gdpr.consent_purposes", each("question", "", "a" * 1001), each("question", "a", "é" * 1000)
    ),
    "consents_revision_check": Check("gdpr.consents", each("revision", 0, -1), each("revision", 1, 2147483647)),
    "consents_policy_version_check": Check(
        "gdpr.consents", each("policy_version", "", "a" * 101), each("policy_version", "a", "é" * 100)
    ),
    "consents_recorded_by_check": Check(
        "gdpr.consents", each("recorded_by", "", "app"), each("recorded_by", "officer", "person")
    ),
    "requests_kind_check": Check(
        "gdpr.requests",
        each("kind", "", "Access", "money"),
        each("kind", "rectification", "erasure", "restriction", "portability", "objection", "access"),
    ),
    "requests_details_check": Check(
        "gdpr.requests", each("details", "", "a" * 4001), each("details", "a", "é" * 4000, None)
    ),
    "requests_opened_by_check": Check("gdpr.requests", each("opened_by", "", "app"), each("opened_by", "officer")),
    "requests_due_at_check": Check(
        "gdpr.requests",
        [{"received_at": LONG_AGO, "due_at": LONG_AGO}],
        [{"received_at": LONG_AGO, "due_at": "2000-01-01T00:00:00.000001Z"}],
    ),
    "requests_extension_check": Check(
        "gdpr.requests",
        [
            {"extended_at": LONG_AGO},
            {"extension_reason": "r"},
            *({"extended_at": LONG_AGO, "extension_reason": reason} for reason in ("", "a" * 1001)),
        ],
        [{"extended_at": LONG_AGO, "extension_reason": "é" * 1000}],
    ),
    "requests_completion_check": Check(
        "gdpr.requests",
        [{"completed_at": LONG_AGO}, {"outcome": "fulfilled"}],
        [{"completed_at": LONG_AGO, "outcome": "fulfilled"}],
    ),
    "requests_outcome_check": Check(
        "gdpr.requests",
        [{"completed_at": LONG_AGO, "outcome": outcome} for outcome in ("", "ignored", "refused", "partly_fulfilled")],
        [
            {"completed_at": LONG_AGO, "outcome": "withdrawn"},
            {"completed_at": LONG_AGO, "outcome": "refused", "outcome_note": "n"},
        ],
    ),
    "requests_outcome_note_check": Check(
        "gdpr.requests", each("outcome_note", "", "a" * 4001), each("outcome_note", "a", "é" * 4000)
    ),
    "inactivity_warnings_order_check": Check(
        "gdpr.inactivity_warnings",
        [{"warned_at": LONG_AGO}, {"erase_after": LONG_AGO}],
        [{"last_active_at": LONG_AGO, "warned_at": "2001-01-01T00:00:00Z", "erase_after": "2001-02-01T00:00:00Z"}],
    ),
}  # fmt: skip

KEYS = {
    "settings_pk": Key("gdpr.settings", {"name": "other"}),
    "consent_purposes_pk": Key("gdpr.consent_purposes", {"purpose": "other"}),
    "consents_pk": Key("gdpr.consents", {"revision": 2}),
    "requests_pk": Key("gdpr.requests", {"request_id": NOBODY}),
    "inactivity_warnings_pk": Key("gdpr.inactivity_warnings", {"user_id": OTHER}),
    "partitioned_tables_pk": Key("ops.partitioned_tables", {"table_name": "other"}),
    "maintenance_tasks_pk": Key("ops.maintenance_tasks", {"task": "other"}),
    "data_map_tables_pk": Key("gdpr.data_map_tables", {"table_name": "other"}),
    "data_map_pk": Key("gdpr.data_map", {"column_name": "other"}),
    "holds_pk": Key("gdpr.holds", {"hold_id": NOBODY}),
    "ledger_keys_pk": Key("gdpr.ledger_keys", {"key_id": NOBODY}),
    "erasures_pk": Key("gdpr.erasures", {"erasure_id": NOBODY}),
    "erasure_ledger_pk": Key("gdpr.erasure_ledger", {"subject_hash": hashed(32)}),
    "scrubs_pk": Key("gdpr.scrubs", {"relation": "pulsex.topics"}),
    "time_zones_pk": Key("pulsex.time_zones", {"name": "Pulse/Meridian"}),
    "topics_pk": Key("pulsex.topics", {"topic_id": NOBODY}, apart={"slug": "apart"}),
    "topics_slug_key": Key("pulsex.topics", {"slug": "apart"}, apart={"topic_id": NOBODY}),
    "users_pk": Key("pulsex.users", {"user_id": NOBODY}),
    "user_preferences_pk": Key("pulsex.user_preferences", {"user_id": OTHER}),
    "user_topics_pk": Key("pulsex.user_topics", {"topic_id": OTHER}),
    "identities_pk": Key("auth.identities", {"subject": "apart@example.com"}),
    "passwords_pk": Key("auth.passwords", {"user_id": OTHER}),
    "login_decoys_pk": Key("auth.login_decoys", {"decoy_id": NOBODY}),
    "sessions_pk": Key("auth.sessions", {"session_id": NOBODY}, apart={"token_hash": hashed(32)}),
    "sessions_user_id_token_hash_key": Key("auth.sessions", {"token_hash": hashed(32)}, apart={"session_id": NOBODY}),
    "one_time_tokens_pk": Key("auth.one_time_tokens", {"purpose": "reset_password"}),
    "signing_key_pk": Key("auth.signing_key", None),  # one row, and by signing_key_singleton_check room for no other
    "briefing_schedule_pk": Key("pulsex.briefing_schedule", {"edition": "evening"}),
    "briefings_pk": Key("pulsex.briefings", {"edition": "evening"}),
    "briefing_feedback_pk": Key("pulsex.briefing_feedback", {"item_id": "s1"}),
    "engagement_events_pk": Key("pulsex.engagement_events", {"event_id": NOBODY}),
    "engagement_daily_pk": Key("pulsex.engagement_daily", {"event_type": "opened"}),
    "devices_pk": Key("pulsex.devices", {"device_id": NOBODY}),
    "push_token_owners_pk": Key("pulsex.push_token_owners", {"push_token_hash": hashed(32)}),
    "notifications_pk": Key("pulsex.notifications", {"notification_id": NOBODY}, apart={"dedup_key": "apart"}),
    "notification_queue_pk": Key("pulsex.notification_queue", {"notification_id": OTHER}),
    "events_pk": Key("audit.events", {"event_id": NOBODY}),
    "seals_pk": Key("audit.seals", {"seal_id": 98}),
    "seal_contents_pk": Key("audit.seal_contents", {"seal_id": 99}),
    "notification_attempts_pk": Key("pulsex.notification_attempts", {"attempt": 2}),
    "engagement_marks_pk": Key("pulsex.engagement_marks", {"mark_id": NOBODY}),
    "promotional_kinds_pk": Key("pulsex.promotional_kinds", {"kind": "other"}),
    "unsubscriptions_pk": Key("pulsex.unsubscriptions", {"kind": "other"}),
    "unsubscribe_tokens_pk": Key("pulsex.unsubscribe_tokens", {"token_hash": hashed(32)}),
    # One row a channel, and by the CHECK on channel room for no other.
    "notification_channels_pk": Key("pulsex.notification_channels", None),
    "notification_waits_pk": Key("pulsex.notification_waits", None),
}

# Unique indexes that no constraint stands for; each has tests of its own.
UNIQUE_INDEXES = {"notifications_user_id_dedup_key_idx"}

REFERENCES = {
    "consents_user_fk": Reference("gdpr.consents", {"user_id": NOBODY}),
    "consents_purpose_fk": Reference("gdpr.consents", {"purpose": "telepathy"}),
    "requests_user_fk": Reference("gdpr.requests", {"user_id": NOBODY}),
    "inactivity_warnings_user_fk": Reference("gdpr.inactivity_warnings", {"user_id": NOBODY}),
    "data_map_table_fk": Reference("gdpr.data_map", {"table_name": "other"}),
    "holds_user_fk": Reference("gdpr.holds", {"user_id": NOBODY}),
    "erasure_ledger_erasure_fk": Reference("gdpr.erasure_ledger", {"erasure_id": NOBODY}),
    "scrubs_erasure_fk": Reference("gdpr.scrubs", {"erasure_id": NOBODY}),
    "users_time_zone_fk": Reference("pulsex.users", {"user_id": NOBODY, "time_zone": "Pulse/Meridian"}),
    "user_preferences_user_fk": Reference("pulsex.user_preferences", {"user_id": NOBODY}),
    "user_topics_user_fk": Reference("pulsex.user_topics", {"user_id": NOBODY}),
    "user_topics_topic_fk": Reference("pulsex.user_topics", {"topic_id": NOBODY}),
    "identities_user_fk": Reference("auth.identities", {"user_id": NOBODY, "subject": "apart@example.com"}),
    "passwords_user_fk": Reference("auth.passwords", {"user_id": NOBODY}),
    "sessions_user_fk": Reference("auth.sessions", {"user_id": NOBODY}),
    "one_time_tokens_user_fk": Reference("auth.one_time_tokens", {"user_id": NOBODY}),
    "briefing_schedule_user_fk": Reference("pulsex.briefing_schedule", {"user_id": NOBODY}),
    "briefings_user_fk": Reference("pulsex.briefings", {"user_id": NOBODY}),
    "briefing_feedback_briefing_fk": Reference("pulsex.briefing_feedback", {"edition": "evening"}),
    "engagement_marks_user_fk": Reference("pulsex.engagement_marks", {"user_id": NOBODY}),
    "unsubscriptions_user_fk": Reference("pulsex.unsubscriptions", {"user_id": NOBODY}),
    "unsubscribe_tokens_user_fk": Reference("pulsex.unsubscribe_tokens", {"user_id": NOBODY}),
    "engagement_daily_user_fk": Reference("pulsex.engagement_daily", {"user_id": NOBODY}),
    "devices_user_fk": Reference("pulsex.devices", {"user_id": NOBODY}),
    "push_token_owners_device_fk": Reference(
        "pulsex.push_token_owners", {"push_token_hash": hashed(32), "device_id": NOBODY}
    ),
    "notifications_user_fk": Reference("pulsex.notifications", {"user_id": NOBODY}),
    "notification_queue_notification_fk": Reference("pulsex.notification_queue", {"notification_id": NOBODY}),
    "seal_contents_seal_fk": Reference("audit.seal_contents", {"seal_id": 98}),
    "notification_attempts_notification_fk": Reference("pulsex.notification_attempts", {"notification_id": NOBODY}),
}
