"""People by number, with everything that a person has but briefings; whose token, e-mail and id follow from the number.

A benchmark's tokens needn't be secret: what the database does with one is the same.
"""

from __future__ import annotations

import psycopg

ID = "01900000-0000-7000-8000-{:012d}"
NOTIFICATIONS, RATINGS, EVENTS = 3, 1, 10  # of each person

# The id ends in the number, in decimal digits; like uuidv7() ids they are in the order in which people registered.
USER_ID = "('01900000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid"
NUMBERS = "generate_series(%(first)s::bigint, %(last)s::bigint) AS n"
# Zones in which it is %(today)s now and for the next hours, so that everybody's "today" is one date throughout a run.
ZONES = """
CREATE TEMP TABLE zone ON COMMIT PRESERVE ROWS AS
SELECT row_number() OVER (ORDER BY z.name) - 1 AS number, count(*) OVER () AS zones, z.name
FROM pulsex.time_zones AS z
WHERE z.name LIKE ANY (ARRAY['America/%%', 'Europe/%%', 'Asia/%%', 'Africa/%%', 'Australia/%%', 'Pacific/%%'])
    AND (now() AT TIME ZONE z.name)::date = %(today)s::date
    AND (now() + interval '3 hours') AT TIME ZONE z.name < %(today)s::date + 1
"""
# Without the routines and the triggers; the constraints hold. Sessions and consents as of before, so that none is due.
TABLES = {
    "pulsex.users": f"""
        INSERT INTO pulsex.users (user_id, display_name, locale, time_zone)
        SELECT {USER_ID}, 'Person ' || n, 'en', zone.name
        FROM {NUMBERS} INNER JOIN zone ON zone.number = n %% zone.zones""",
    "pulsex.user_preferences": f"""
        INSERT INTO pulsex.user_preferences (user_id, delivery_time)
        SELECT {USER_ID}, make_time((5 + n %% 5)::integer, (n %% 60)::integer, 0) FROM {NUMBERS}""",
    "pulsex.briefing_schedule": f"""
        INSERT INTO pulsex.briefing_schedule (user_id, edition, briefing_date, due_at)
        SELECT {USER_ID}, 'morning', %(today)s::date + 1, now() + interval '1 day' + (n %% 86400) * interval '1 second'
        FROM {NUMBERS}""",
    "auth.identities": f"""
        INSERT INTO auth.identities (provider, subject, user_id, verified_at)
        SELECT 'email', n || '@example.com', {USER_ID}, now() FROM {NUMBERS}""",
    "auth.passwords": f"""
        INSERT INTO auth.passwords (user_id, password_hash)
        SELECT {USER_ID}, '$argon2id$v=19$m=65536,t=3,p=4$' || rtrim(encode(uuid_send(u), 'base64'), '=')
            || '$' || rtrim(encode(sha256(uuid_send(u)), 'base64'), '=')
        FROM {NUMBERS}, gen_random_uuid() AS u""",
    "auth.sessions": f"""
        INSERT INTO auth.sessions (user_id, token_hash, family_id, expires_at)
        SELECT {USER_ID}, sha256(convert_to({USER_ID} || '.' || lpad(n::text, 64, '0'), 'UTF8')), gen_random_uuid(),
            now() + interval '30 days'
        FROM {NUMBERS}""",
    "gdpr.consents": f"""
        INSERT INTO gdpr.consents (user_id, purpose, revision, is_granted, policy_version, recorded_by)
        SELECT {USER_ID}, 'analytics', 1, TRUE, '1', 'person' FROM {NUMBERS}""",
    "pulsex.notifications": f"""
        INSERT INTO pulsex.notifications (
            user_id, channel, kind, payload, state, scheduled_for, created_at, sent_at, read_at
        )
        SELECT {USER_ID}, 'in_app', 'briefing_ready', jsonb_build_object('briefing_date', at::date), 'sent', at, at, at,
            CASE WHEN i > 2 THEN at END
        FROM {NUMBERS}, generate_series(1, {NOTIFICATIONS}) AS i,
            LATERAL (SELECT now() - i * interval '1 day' AS at)""",
    "pulsex.briefing_feedback": f"""
        INSERT INTO pulsex.briefing_feedback (user_id, briefing_date, edition, item_id, rating)
        SELECT {USER_ID}, %(today)s::date, 'morning', 's' || i, 1 + n %% 5
        FROM {NUMBERS}, generate_series(1, {RATINGS}) AS i""",
    "pulsex.engagement_events": f"""
        INSERT INTO pulsex.engagement_events (
            user_id, occurred_at, event_id, event_type, briefing_date, edition, item_id
        )
        SELECT {USER_ID}, now() - i * interval '20 hours' - n %% 3600 * interval '1 second', gen_random_uuid(),
            'item_clicked', %(today)s::date, 'morning', 's' || i
        FROM generate_series(1, {EVENTS}) AS i, {NUMBERS}""",
}


def user_id(number: int) -> str:
    """Return a person's id."""
    return ID.format(number)


def email(number: int) -> str:
    """Return a person's e-mail address."""
    return f"{number}@example.com"


def token(number: int) -> str:
    """Return the token of a person's session."""
    return f"{ID.format(number)}.{number:064d}"


def load(url: str, table: str, count: int, today: str) -> None:
    """Fill a table for people 1 to ``count``; their briefings are to be loaded beside it."""
    with psycopg.connect(url) as connection:
        connection.execute("SET session_replication_role = replica")
        parameters = {"first": 1, "last": count, "today": today}
        connection.execute(ZONES, parameters)
        connection.execute(TABLES[table], parameters)
