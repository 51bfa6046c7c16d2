"""People with rows in every table that has an index for speed, written without triggers, in proportions of everyday."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg

from bench import documents, fast

DOCUMENTS = 2000

FILL = """
SET session_replication_role = replica;
SELECT ops.ensure_partitions(p_since => (now() - interval '25 months')::date);
CREATE TABLE bench.person AS
SELECT uuidv7((n - {people}) * interval '1 minute') AS user_id, n FROM generate_series(1, {people}) AS n;
INSERT INTO pulsex.topics (slug, label) SELECT 'topic-' || n, 'Topic' FROM generate_series(1, 40) AS n;
INSERT INTO pulsex.users (user_id, display_name, time_zone)
SELECT p.user_id, 'Somebody', z.name FROM bench.person AS p
INNER JOIN (SELECT name, row_number() OVER (ORDER BY name) AS n FROM pulsex.time_zones) AS z ON z.n = 1 + p.n % 300;
INSERT INTO pulsex.user_preferences (user_id) SELECT user_id FROM bench.person;
INSERT INTO pulsex.user_topics (user_id, topic_id)
SELECT p.user_id, t.topic_id FROM bench.person AS p
INNER JOIN (SELECT topic_id, row_number() OVER (ORDER BY slug) AS n FROM pulsex.topics) AS t
    ON (t.n + p.n) % 7 = 0;
INSERT INTO auth.identities (provider, subject, user_id, verified_at)
SELECT 'email', user_id || '@example.com', user_id, now() FROM bench.person;
INSERT INTO auth.sessions (user_id, token_hash, family_id, created_at, expires_at)
SELECT user_id, sha256(uuid_send(uuidv7())), uuidv7(), now() - random() * interval '29 days',
    now() + random() * interval '29 days'
FROM bench.person, generate_series(1, 3);
INSERT INTO pulsex.devices (user_id, platform, push_token) SELECT user_id, 'ios', user_id::text FROM bench.person;
INSERT INTO pulsex.push_token_owners (push_token_hash, user_id, device_id)
SELECT sha256(uuid_send(user_id)), user_id, device_id FROM pulsex.devices;
INSERT INTO pulsex.briefing_schedule (user_id, edition, briefing_date, due_at, parked_date, parked_attempts)
SELECT user_id, 'morning', current_date + (n % 24 >= 2)::int, now() + (n % 24 - 1.5) * interval '1 hour',
    CASE WHEN n % 1000 = 0 THEN current_date - 1 END, CASE WHEN n % 1000 = 0 THEN 5 END
FROM bench.person;
INSERT INTO pulsex.briefings (user_id, briefing_date, title, content, search)
SELECT p.user_id, current_date - day, d.title, d.content, d.search
FROM generate_series(0, 1) AS day CROSS JOIN bench.person AS p
INNER JOIN bench.document AS d ON d.n = (p.n * 7 + day * 31) % {documents};
INSERT INTO pulsex.briefing_feedback (user_id, briefing_date, edition, rating)
SELECT user_id, current_date - (700 * random())::int - 1, 'morning', 3 FROM bench.person, generate_series(1, 10)
ON CONFLICT DO NOTHING;
INSERT INTO pulsex.engagement_daily (user_id, day, event_type, events)
SELECT user_id, (now() AT TIME ZONE 'UTC')::date - day, event_type, 5
FROM generate_series(30, 1, -1) AS day CROSS JOIN bench.person
CROSS JOIN unnest('{{opened,dwell}}'::text[]) AS event_type ORDER BY day DESC;
INSERT INTO gdpr.consents (user_id, purpose, revision, is_granted, policy_version, recorded_by)
SELECT user_id, purpose, 1, TRUE, '1', 'person'
FROM bench.person, unnest('{{analytics,marketing}}'::text[]) AS purpose;
INSERT INTO pulsex.engagement_marks (user_id, day)
SELECT user_id, (now() AT TIME ZONE 'UTC')::date - n % 3 FROM generate_series(1, 5) CROSS JOIN bench.person;
INSERT INTO pulsex.notifications (user_id, channel, kind, state, sent_at, read_at, created_at)
SELECT user_id, 'in_app', 'briefing_ready', CASE WHEN i % 2000 = 0 THEN 'dead' ELSE 'sent' END,
    CASE WHEN i % 2000 > 0 THEN at END, CASE WHEN n > 3 THEN at END, at
FROM (
    SELECT user_id, day AS n, row_number() OVER () AS i, now() - day * interval '1 day' AS at
    FROM generate_series(30, 1, -1) AS day CROSS JOIN bench.person ORDER BY day DESC
) AS told;
INSERT INTO pulsex.notifications (user_id, channel, kind, state) SELECT user_id, 'in_app', 'waiting', 'pending'
FROM bench.person WHERE n % 5 = 0;
INSERT INTO pulsex.notification_queue (user_id, notification_id, channel, available_at)
SELECT user_id, notification_id, 'in_app', now() + (random() - 0.1) * interval '1 hour'
FROM pulsex.notifications WHERE state = 'pending';
INSERT INTO pulsex.notification_attempts (
    user_id, notification_id, attempt, lease_token, started_at, finished_at, outcome
)
SELECT user_id, notification_id, 1, uuidv7(), created_at, created_at, 'failed'
FROM pulsex.notifications WHERE state = 'dead';
INSERT INTO pulsex.unsubscribe_tokens (user_id, token_hash, channel, kind, created_at, expires_at)
SELECT user_id, sha256(uuid_send(uuidv7())), 'email', 'digest', now() - interval '61 days',
    now() + day * interval '1 day'
FROM bench.person, generate_series(0, 59, 3) AS day;
INSERT INTO audit.events (user_id, occurred_at, table_name, action, payload, salt, commitment)
SELECT user_id, now() - day * interval '1 day' + interval '1 minute', 'pulsex.user_preferences', 'update',
    '{{"old": {{"max_items": 10}}, "new": {{"max_items": 12}}}}', sha256(uuid_send(user_id)), sha256(uuid_send(user_id))
FROM generate_series(20, 1, -1) AS day CROSS JOIN bench.person ORDER BY day DESC;
INSERT INTO audit.unsealed_events SELECT occurred_at, event_id FROM audit.events
WHERE occurred_at > now() - interval '1 day';
INSERT INTO gdpr.requests (user_id, kind, opened_by, received_at, time_zone, due_on, due_at, completed_at, outcome)
SELECT uuidv7(), 'access', 'person', now() - interval '60 days', 'UTC', current_date, now() + n * interval '1 minute',
    CASE WHEN n % 50 > 0 THEN now() END, CASE WHEN n % 50 > 0 THEN 'fulfilled' END
FROM generate_series(1, {rare}) AS n;
INSERT INTO gdpr.inactivity_warnings (user_id, last_active_at, warned_at, erase_after)
SELECT uuidv7(), now() - interval '3 years', now() - interval '1 day', now() + interval '29 days'
FROM generate_series(1, {rare}) AS n;
INSERT INTO gdpr.holds (user_id, category, reason, placed_at, released_at)
SELECT uuidv7(), 'profile', 'A claim.', now() - interval '9 days', CASE WHEN n % 10 > 0 THEN now() END
FROM generate_series(1, {rare} / 5) AS n;
INSERT INTO gdpr.erasures (certificate) SELECT '{{}}' FROM generate_series(1, {rare} / 20);
INSERT INTO gdpr.erasure_ledger (subject_hash, erasure_id, key_id)
SELECT sha256(uuid_send(erasure_id)), erasure_id, erasure_id FROM gdpr.erasures;
INSERT INTO gdpr.scrubs (erasure_id, relation, scrubbed_at)
SELECT e.erasure_id, t.name, CASE WHEN e.n > 5 THEN now() END
FROM (SELECT erasure_id, row_number() OVER (ORDER BY erasure_id) AS n FROM gdpr.erasures) AS e
CROSS JOIN (SELECT oid::regclass::text AS name FROM pg_class WHERE relnamespace = 'pulsex'::regnamespace
    AND relkind = 'r' AND NOT relispartition) AS t;
RESET session_replication_role;
VACUUM ANALYZE;
"""


@dataclass(frozen=True)
class Person:
    """Somebody in the middle of the crowd, and a session token of theirs."""

    user_id: str
    token: str


@contextmanager
def database(people: int, rare: int) -> Iterator[str]:
    """Yield the superuser's URL of a database with so many people, on a server of its own.

    ``rare``: how many there are of what few people have, such as requests to the data protection officer.
    """
    with fast.server() as running:
        url = fast.database(running, "pulsex")
        with psycopg.connect(url, autocommit=True) as dba:
            documents.store(dba, DOCUMENTS, sections=3, items=3)
            fast.run_script(dba, FILL, people=people, rare=rare, documents=DOCUMENTS)
        yield url


def person(dba: psycopg.Connection) -> Person:
    """Sign in somebody from the middle of the crowd."""
    chosen = """SELECT user_id::text, auth.start_session(user_id) FROM bench.person
        WHERE n = (SELECT max(n) / 2 FROM bench.person)"""
    return Person(*dba.execute(chosen).fetchone())
