"""Who plays in the tests: Alice and Bob, registered through the front door, with a row in every table of theirs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from uuid import UUID

import psycopg

# Argon2id of a password that no test needs to know.
PASSWORD_HASH = (
    "$argon2id$v=19$m=65536,t=3,p=4$" + "c2FsdHNhbHRzYWx0c2FsdA$" + "bm90LWEtcmVhbC10YWctYnV0LW9mLWl0cy1sZW5ndGg"
)
CONTENT = """{"sections": [{"topic": "science", "headline": "What the night sky holds", "items": [
    {"id": "s1", "title": "A comet returns", "url": "https://example.com/comet", "source": "The Meridian Courier",
     "summary": "It will be visible low in the west for an hour after sunset."}]}]}"""

# Rows that no routine makes yet, so that every table of a person has one of theirs. %(user_id)s is whose.
ROWS = {
    "auth.one_time_tokens": """INSERT INTO auth.one_time_tokens (user_id, purpose, token_hash, expires_at)
        VALUES (%(user_id)s, 'verify_email', sha256('token'), now() + interval '1 day')""",
    "pulsex.engagement_events": """INSERT INTO pulsex.engagement_events (user_id, occurred_at, event_id, event_type)
        VALUES (%(user_id)s, now(), uuidv7(), 'opened')""",
    "pulsex.engagement_daily": """INSERT INTO pulsex.engagement_daily (user_id, day, event_type, events)
        VALUES (%(user_id)s, current_date, 'item_clicked', 1)""",
    "pulsex.engagement_marks": """INSERT INTO pulsex.engagement_marks (user_id, day)
        VALUES (%(user_id)s, current_date)""",
    "pulsex.devices": """INSERT INTO pulsex.devices (user_id, platform, push_token)
        VALUES (%(user_id)s, 'web', 'push-' || %(user_id)s)""",
    "pulsex.push_token_owners": """INSERT INTO pulsex.push_token_owners (push_token_hash, user_id, device_id)
        SELECT sha256(convert_to(push_token, 'UTF8')), user_id, device_id FROM pulsex.devices
        WHERE user_id = %(user_id)s""",
    "pulsex.notifications": """INSERT INTO pulsex.notifications (user_id, channel, kind, dedup_key)
        VALUES (%(user_id)s, 'push', 'briefing_ready', 'today')""",
    "pulsex.notification_queue": """INSERT INTO pulsex.notification_queue (user_id, notification_id, channel, attempts)
        SELECT user_id, notification_id, channel, 1 FROM pulsex.notifications WHERE user_id = %(user_id)s""",
    "pulsex.notification_attempts": """INSERT INTO pulsex.notification_attempts
        (user_id, notification_id, attempt, lease_token, started_at, outcome)
        SELECT user_id, notification_id, 1, gen_random_uuid(), now(), 'failed' FROM pulsex.notifications
        WHERE user_id = %(user_id)s""",
    "pulsex.notifications, read by nobody yet": """INSERT INTO pulsex.notifications
        (user_id, channel, kind, state, sent_at) VALUES (%(user_id)s, 'in_app', 'welcome', 'sent', now())""",
    "pulsex.unsubscriptions": """INSERT INTO pulsex.unsubscriptions (user_id, channel, kind)
        VALUES (%(user_id)s, 'email', 'weekly_digest')""",
    "pulsex.unsubscribe_tokens": """INSERT INTO pulsex.unsubscribe_tokens
        (user_id, token_hash, channel, kind, expires_at)
        SELECT %(user_id)s, sha256(convert_to(concat(%(user_id)s, '.', repeat('0', 64)), 'UTF8')), 'email',
            'weekly_digest', now() + interval '1 day'""",
    # Released long since: it keeps nothing.
    "gdpr.holds": """INSERT INTO gdpr.holds (user_id, category, reason, placed_at, released_at)
        VALUES (%(user_id)s, 'ratings', 'a claim', now() - interval '2 days', now() - interval '1 day')""",
    "gdpr.inactivity_warnings": """INSERT INTO gdpr.inactivity_warnings
        (user_id, last_active_at, warned_at, erase_after)
        VALUES (%(user_id)s, now() - interval '3 years', now() - interval '1 day', now() + interval '29 days')""",
}
# Of somebody who was there once, and was erased.
GONE = """
INSERT INTO gdpr.erasures (erasure_id, completed_at, certificate)
VALUES ('00000000-0000-4000-8000-000000000001', now(), '{"format_version": 1, "files": {"scrubbed_at": null}}');
INSERT INTO gdpr.erasure_ledger (subject_hash, erasure_id, key_id)
SELECT sha256('somebody'), '00000000-0000-4000-8000-000000000001', key_id FROM gdpr.ledger_keys;
INSERT INTO gdpr.scrubs (erasure_id, relation, scrubbed_at)
VALUES ('00000000-0000-4000-8000-000000000001', 'pulsex.users', now())
"""


@dataclass(frozen=True)
class Person:
    """A person of the cast: id, e-mail, session token, and the local date of the briefing they have."""

    user_id: UUID
    email: str
    token: str
    briefing_date: date


def enter(connection: psycopg.Connection, email: str, time_zone: str) -> Person:
    """Register a person and give them a session, a topic, consents, a rated briefing for today and a row elsewhere.

    The connection is a superuser's, which becomes each real role in turn.
    """

    def one(role: str, sql: str, *args: object) -> object:
        connection.execute(f"SET ROLE {role}")
        [value] = connection.execute(sql, args).fetchone()
        return value

    name = email.partition("@")[0].capitalize()
    registered = "SELECT auth.register_user(%s, %s, %s, %s)"
    user_id = one("pulsex_auth", registered, email, PASSWORD_HASH, name, time_zone)
    token = one("pulsex_auth", "SELECT auth.start_session(%s)", user_id)
    today = one("postgres", "SELECT (now() AT TIME ZONE %s)::date", time_zone)
    one("pulsex_worker", "SELECT pulsex.publish_briefing(%s, %s, %s)", user_id, today, CONTENT)
    with connection.transaction():
        one("pulsex_app", "SELECT auth.use_session(%s)", token)
        one("pulsex_app", "SELECT pulsex.follow_topics(%s, '{science}')", user_id)
        one("pulsex_app", "SELECT pulsex.record_feedback(%s, %s, 4::smallint)", user_id, today)
        for purpose in ("analytics", "marketing"):
            one("pulsex_app", "SELECT gdpr.record_consent(%s, %s, true, '2026-01')", user_id, purpose)
        one("pulsex_app", "SELECT gdpr.open_request(%s, 'access', 'Everything, please.')", user_id)
    connection.execute("SET ROLE pulsex_service")
    for statement in ROWS.values():
        connection.execute(statement, {"user_id": user_id})
    connection.execute("RESET ROLE")
    return Person(user_id, email, token, today)


def rehearse(url: str) -> dict[str, Person]:
    """Fill a deployed database with the cast, and return who is in it by first name."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET ROLE pulsex_worker")
        connection.execute("CALL ops.run_maintenance()")
        connection.execute("SET ROLE pulsex_service")
        for statement in GONE.split(";"):
            connection.execute(statement)
        connection.execute(
            "INSERT INTO pulsex.topics (slug, label) VALUES ('science', 'Science'), ('cities', 'Cities')"
        )
        connection.execute("INSERT INTO pulsex.promotional_kinds (kind) VALUES ('offer')")
        cast = {
            "alice": enter(connection, "alice@example.com", "Europe/Lisbon"),
            "bob": enter(connection, "bob@example.com", "America/New_York"),
        }
        connection.execute("SET ROLE pulsex_worker")
        connection.execute("SELECT audit.seal()")
        return cast
