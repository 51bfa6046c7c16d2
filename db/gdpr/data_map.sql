-- The data map: what every column of every table of ours is, and what the law says of it. A new table is a line in the
-- first list and a line for each column in the second or third; the build stops until they are there, and
-- gdpr.unclassified_columns() says what is missing. The rows in the database become equal to these on every deploy.

SET LOCAL ROLE pulsex_owner;

DELETE FROM gdpr.data_map;
DELETE FROM gdpr.data_map_tables;

-- Tables --------------------------------------------------------------------------------------------------------------

-- Of people. Kept while there is an account, unless it says how long after what.
INSERT INTO gdpr.data_map_tables (
    place, schema_name, table_name, category, label, is_audited, audited_because, retention, retention_from
) VALUES
(10, 'pulsex', 'users', 'profile', 'profile', TRUE, 'personal data', NULL, NULL),
(20, 'auth', 'identities', 'access', 'sign-in name', TRUE, 'personal data', NULL, NULL),
(21, 'auth', 'passwords', 'access', 'password', TRUE, 'personal data; the hash never', NULL, NULL),
(22, 'auth', 'sessions', 'access', 'session', TRUE, 'personal data; the hash never', '30 days', 'expires_at'),
(
    23, 'auth', 'one_time_tokens', 'access', 'one-time code', TRUE, 'personal data; the hash never',
    '30 days', 'expires_at'
),
(
    24, 'auth', 'login_decoys', 'access', 'failed sign-in before there was an account', FALSE,
    'counts failures, a log itself', '30 days', 'locked_until'
),
(30, 'pulsex', 'user_preferences', 'preferences', 'preferences', TRUE, 'personal data', NULL, NULL),
(31, 'pulsex', 'user_topics', 'preferences', 'topic', TRUE, 'personal data', NULL, NULL),
(40, 'pulsex', 'briefings', 'briefings', 'briefing', TRUE, 'personal data; content by digest', NULL, NULL),
(
    41, 'pulsex', 'briefing_schedule', 'briefings', 'next briefing', FALSE,
    'worked out from preferences, and leases of a queue', NULL, NULL
),
(50, 'pulsex', 'briefing_feedback', 'ratings', 'rating', TRUE, 'personal data', NULL, NULL),
(60, 'pulsex', 'engagement_events', 'activity', 'event', FALSE, 'a log itself, of high volume', NULL, NULL),
(61, 'pulsex', 'engagement_daily', 'activity', 'total of a day', FALSE, 'computed from a log', NULL, NULL),
(62, 'pulsex', 'engagement_marks', 'activity', 'day to be counted', FALSE, 'internals of a count', NULL, NULL),
(70, 'pulsex', 'devices', 'devices', 'device', TRUE, 'personal data', NULL, NULL),
(71, 'pulsex', 'push_token_owners', 'devices', 'push address', TRUE, 'personal data; token by digest', NULL, NULL),
(80, 'pulsex', 'notifications', 'notifications', 'notification', TRUE, 'personal data', NULL, NULL),
(81, 'pulsex', 'notification_queue', 'notifications', 'delivery under way', FALSE, 'internals of a queue', NULL, NULL),
(82, 'pulsex', 'notification_attempts', 'notifications', 'delivery attempt', FALSE, 'a log itself', NULL, NULL),
(83, 'pulsex', 'unsubscriptions', 'notifications', 'unsubscription', TRUE, 'personal data', NULL, NULL),
(84, 'pulsex', 'unsubscribe_tokens', 'notifications', 'link in a message', FALSE, 'a log', '1 day', 'expires_at'),
(90, 'gdpr', 'holds', 'privacy', 'legal hold', TRUE, 'personal data', NULL, NULL),
(91, 'gdpr', 'consents', 'privacy', 'consent', TRUE, 'personal data', NULL, NULL),
(92, 'gdpr', 'requests', 'privacy', 'request', TRUE, 'personal data', '3 years', 'completed_at'),
(93, 'gdpr', 'inactivity_warnings', 'privacy', 'warning of inactivity', FALSE, 'worked out from last use', NULL, NULL);

-- The log itself: append-only for everybody else, so it has a routine of its own for whoever is erased.
INSERT INTO gdpr.data_map_tables (
    place, schema_name, table_name, category, label, erased_by, is_audited, audited_because
) VALUES
(85, 'audit', 'events', 'history', 'what happened to your data', 'audit.scrub', FALSE, 'the log itself');

-- A decoy is named by a digest of the e-mail address that was tried: somebody's who registers later.
UPDATE gdpr.data_map_tables SET
    is_erased_first = TRUE,
    found_by = 'decoy_id IN (SELECT auth.decoy_id(i.subject) FROM auth.identities AS i WHERE i.user_id = $1)'
WHERE (schema_name, table_name) = ('auth', 'login_decoys');
-- Whoever is being erased is signed out before anything else.
UPDATE gdpr.data_map_tables SET is_erased_first = TRUE
WHERE (schema_name, table_name) = ('auth', 'sessions');

-- Of nobody, and why.
INSERT INTO gdpr.data_map_tables (
    place, schema_name, table_name, not_personal_because, is_audited, audited_because
)
SELECT
    1000 AS place,
    schema_name,
    table_name,
    because,
    FALSE AS is_audited,
    'about nobody' AS audited_because
FROM (
    VALUES
    ('auth', 'signing_key', 'a key of the server''s own'),
    ('pulsex', 'time_zones', 'the world''s time zones, the same for everybody'),
    ('pulsex', 'topics', 'what can be followed, the same for everybody'),
    ('ops', 'partitioned_tables', 'settings of the operator''s'),
    ('ops', 'maintenance_tasks', 'how tasks of the database ended'),
    ('ops', 'schema_migrations', 'which migrations were applied'),
    ('gdpr', 'data_map_tables', 'about tables, not about their rows'),
    ('gdpr', 'data_map', 'about columns, not about their values'),
    ('pulsex', 'promotional_kinds', 'which kinds of message advertise'),
    ('pulsex', 'notification_channels', 'how fast each channel is served'),
    ('pulsex', 'notification_waits', 'which channel''s workers sleep'),
    ('gdpr', 'settings', 'what the controller decided'),
    ('gdpr', 'consent_purposes', 'what everybody is asked'),
    ('gdpr', 'ledger_keys', 'keys of the server''s own'),
    ('gdpr', 'erasures', 'when and how much was erased, and not whose'),
    ('gdpr', 'erasure_ledger', 'keyed hashes of ids: only who has an id and the key can tell whether it was erased'),
    ('audit', 'unsealed_events', 'ids of events, and not whose'),
    ('audit', 'seals', 'digests of many events'),
    ('audit', 'seal_contents', 'ids of events, and not whose'),
    ('gdpr', 'scrubs', 'which files are to be rewritten')
) AS nobodys (schema_name, table_name, because);

-- Columns -------------------------------------------------------------------------------------------------------------

-- Of people: its label is what a person would call it. What isn't exported says why; secrets are marked.
WITH categories (category, purpose, lawful_basis, recipients, source) AS (
    VALUES
    (
        'profile', 'to know you, and to write to you in your language and at your time of day',
        'Art. 6(1)(b): the contract with you', 'nobody', 'you'
    ),
    (
        'access', 'to let you in and keep others out',
        'Art. 6(1)(b): the contract with you; for addresses, programs and failures Art. 6(1)(f): security', 'nobody',
        'you, and the device you sign in with'
    ),
    (
        'preferences', 'to brief you of what you want when you want it', 'Art. 6(1)(b): the contract with you',
        'nobody', 'you'
    ),
    (
        'briefings', 'to brief you, and to let you look back', 'Art. 6(1)(b): the contract with you', 'nobody',
        'made for you from your preferences and published news'
    ),
    ('ratings', 'to make your briefings better', 'Art. 6(1)(b): the contract with you', 'nobody', 'you'),
    (
        'activity', 'to learn what is read, and to make your briefings better', 'Art. 6(1)(a): your consent', 'nobody',
        'the device you read with'
    ),
    (
        'devices', 'to reach you by push', 'Art. 6(1)(b): the contract with you',
        'the push service of your device''s maker', 'your device'
    ),
    (
        'notifications', 'to tell you that something is there for you',
        'Art. 6(1)(b): the contract with you; for what promotes Art. 6(1)(a): your consent',
        'the push or e-mail service that delivers it', 'made for you'
    ),
    (
        'history', 'to be able to prove who did what to your data',
        'Art. 6(1)(c): a legal obligation, of Art. 5(2) and 32', 'nobody', 'made when your data change or are read'
    ),
    (
        'privacy', 'to do what you, a court or the law asked for', 'Art. 6(1)(c): a legal obligation', 'nobody',
        'the data protection officer'
    )
),

columns (schema_name, table_name, column_name, label, is_secret, not_exported_because) AS (
    VALUES
    ('pulsex', 'users', 'user_id', 'id', FALSE, NULL),
    ('pulsex', 'users', 'display_name', 'name', FALSE, NULL),
    ('pulsex', 'users', 'locale', 'language', FALSE, NULL),
    ('pulsex', 'users', 'time_zone', 'time zone', FALSE, NULL),
    ('pulsex', 'users', 'status', 'status', FALSE, NULL),
    ('pulsex', 'users', 'created_at', 'registered at', FALSE, NULL),
    ('pulsex', 'users', 'updated_at', 'changed at', FALSE, NULL),

    ('auth', 'identities', 'provider', 'kind', FALSE, NULL),
    ('auth', 'identities', 'subject', 'name', FALSE, NULL),
    ('auth', 'identities', 'verified_at', 'verified at', FALSE, NULL),
    ('auth', 'identities', 'created_at', 'given at', FALSE, NULL),
    ('auth', 'passwords', 'password_hash', 'password', TRUE, 'a secret: whoever has it could guess the password'),
    ('auth', 'passwords', 'changed_at', 'changed at', FALSE, NULL),
    ('auth', 'passwords', 'failed_attempts', 'failed attempts', FALSE, NULL),
    ('auth', 'passwords', 'locked_until', 'locked until', FALSE, NULL),
    ('auth', 'sessions', 'session_id', 'id', FALSE, NULL),
    ('auth', 'sessions', 'token_hash', 'token', TRUE, 'a secret'),
    ('auth', 'sessions', 'family_id', 'sign-in', FALSE, NULL),
    ('auth', 'sessions', 'created_at', 'began at', FALSE, NULL),
    ('auth', 'sessions', 'last_used_at', 'last used at', FALSE, NULL),
    ('auth', 'sessions', 'expires_at', 'ends at', FALSE, NULL),
    ('auth', 'sessions', 'revoked_at', 'ended at', FALSE, NULL),
    ('auth', 'sessions', 'ip_address', 'network address', FALSE, NULL),
    ('auth', 'sessions', 'user_agent', 'program', FALSE, NULL),
    ('auth', 'one_time_tokens', 'purpose', 'purpose', FALSE, NULL),
    ('auth', 'one_time_tokens', 'token_hash', 'code', TRUE, 'a secret'),
    ('auth', 'one_time_tokens', 'created_at', 'sent at', FALSE, NULL),
    ('auth', 'one_time_tokens', 'expires_at', 'good until', FALSE, NULL),
    ('auth', 'one_time_tokens', 'used_at', 'used at', FALSE, NULL),
    ('auth', 'one_time_tokens', 'attempts', 'attempts', FALSE, NULL),
    ('auth', 'login_decoys', 'decoy_id', 'digest of the address', FALSE, 'made from an address that is there'),
    ('auth', 'login_decoys', 'failed_attempts', 'failed attempts', FALSE, NULL),
    ('auth', 'login_decoys', 'locked_until', 'locked until', FALSE, NULL),

    ('pulsex', 'user_preferences', 'delivery_time', 'morning briefing at', FALSE, NULL),
    ('pulsex', 'user_preferences', 'evening_delivery_time', 'evening briefing at', FALSE, NULL),
    ('pulsex', 'user_preferences', 'delivery_days', 'days of the week', FALSE, NULL),
    ('pulsex', 'user_preferences', 'quiet_hours_start', 'quiet from', FALSE, NULL),
    ('pulsex', 'user_preferences', 'quiet_hours_end', 'quiet until', FALSE, NULL),
    ('pulsex', 'user_preferences', 'max_items', 'items at most', FALSE, NULL),
    ('pulsex', 'user_preferences', 'channels', 'ways to reach you', FALSE, NULL),
    ('pulsex', 'user_preferences', 'settings', 'settings', FALSE, NULL),
    ('pulsex', 'user_preferences', 'updated_at', 'changed at', FALSE, NULL),
    ('pulsex', 'user_topics', 'topic_id', 'topic', FALSE, NULL),
    ('pulsex', 'user_topics', 'weight', 'how much you care', FALSE, NULL),

    ('pulsex', 'briefings', 'briefing_date', 'date', FALSE, NULL),
    ('pulsex', 'briefings', 'edition', 'edition', FALSE, NULL),
    ('pulsex', 'briefings', 'version', 'version', FALSE, NULL),
    ('pulsex', 'briefings', 'title', 'title', FALSE, NULL),
    ('pulsex', 'briefings', 'content', 'content', FALSE, NULL),
    ('pulsex', 'briefings', 'search', 'words to search by', FALSE, 'made from title and content, which are there'),
    ('pulsex', 'briefings', 'generated_at', 'made at', FALSE, NULL),
    ('pulsex', 'briefings', 'delivered_at', 'delivered at', FALSE, NULL),
    ('pulsex', 'briefings', 'read_at', 'read at', FALSE, NULL),
    ('pulsex', 'briefing_schedule', 'edition', 'edition', FALSE, NULL),
    ('pulsex', 'briefing_schedule', 'briefing_date', 'date', FALSE, NULL),
    ('pulsex', 'briefing_schedule', 'due_at', 'due at', FALSE, NULL),
    ('pulsex', 'briefing_schedule', 'lease_until', 'being made until', FALSE, NULL),
    ('pulsex', 'briefing_schedule', 'attempts', 'attempts', FALSE, NULL),
    ('pulsex', 'briefing_schedule', 'parked_date', 'given up for', FALSE, NULL),
    ('pulsex', 'briefing_schedule', 'parked_attempts', 'attempts before giving up', FALSE, NULL),

    ('pulsex', 'briefing_feedback', 'briefing_date', 'date', FALSE, NULL),
    ('pulsex', 'briefing_feedback', 'edition', 'edition', FALSE, NULL),
    ('pulsex', 'briefing_feedback', 'item_id', 'item', FALSE, NULL),
    ('pulsex', 'briefing_feedback', 'rating', 'rating', FALSE, NULL),
    ('pulsex', 'briefing_feedback', 'comment', 'comment', FALSE, NULL),
    ('pulsex', 'briefing_feedback', 'created_at', 'rated at', FALSE, NULL),
    ('pulsex', 'briefing_feedback', 'updated_at', 'changed at', FALSE, NULL),

    ('pulsex', 'engagement_events', 'occurred_at', 'at', FALSE, NULL),
    ('pulsex', 'engagement_events', 'event_id', 'id', FALSE, NULL),
    ('pulsex', 'engagement_events', 'event_type', 'what happened', FALSE, NULL),
    ('pulsex', 'engagement_events', 'briefing_date', 'briefing of', FALSE, NULL),
    ('pulsex', 'engagement_events', 'edition', 'edition', FALSE, NULL),
    ('pulsex', 'engagement_events', 'item_id', 'item', FALSE, NULL),
    ('pulsex', 'engagement_events', 'properties', 'details', FALSE, NULL),
    ('pulsex', 'engagement_daily', 'day', 'day', FALSE, NULL),
    ('pulsex', 'engagement_daily', 'event_type', 'what happened', FALSE, NULL),
    ('pulsex', 'engagement_daily', 'events', 'how often', FALSE, NULL),
    ('pulsex', 'engagement_daily', 'dwell_ms', 'milliseconds spent reading', FALSE, NULL),

    ('pulsex', 'devices', 'device_id', 'id', FALSE, NULL),
    ('pulsex', 'devices', 'platform', 'platform', FALSE, NULL),
    ('pulsex', 'devices', 'push_token', 'push address', FALSE, NULL),
    ('pulsex', 'devices', 'last_seen_at', 'last seen at', FALSE, NULL),
    ('pulsex', 'devices', 'retired_at', 'retired at', FALSE, NULL),
    (
        'pulsex', 'push_token_owners', 'push_token_hash', 'digest of the address', FALSE,
        'made from the device''s push address, which is there'
    ),
    ('pulsex', 'push_token_owners', 'device_id', 'device', FALSE, NULL),

    ('pulsex', 'notifications', 'notification_id', 'id', FALSE, NULL),
    ('pulsex', 'notifications', 'channel', 'sent by', FALSE, NULL),
    ('pulsex', 'notifications', 'kind', 'about', FALSE, NULL),
    ('pulsex', 'notifications', 'payload', 'content', FALSE, NULL),
    ('pulsex', 'notifications', 'dedup_key', 'occasion', FALSE, NULL),
    ('pulsex', 'notifications', 'state', 'state', FALSE, NULL),
    ('pulsex', 'notifications', 'scheduled_for', 'planned for', FALSE, NULL),
    ('pulsex', 'notifications', 'created_at', 'made at', FALSE, NULL),
    ('pulsex', 'notifications', 'sent_at', 'sent at', FALSE, NULL),
    ('pulsex', 'notifications', 'read_at', 'read at', FALSE, NULL),
    ('pulsex', 'notifications', 'reason', 'reason', FALSE, NULL),
    ('pulsex', 'unsubscriptions', 'channel', 'not by', FALSE, NULL),
    ('pulsex', 'unsubscriptions', 'kind', 'not about', FALSE, NULL),
    ('pulsex', 'unsubscriptions', 'created_at', 'since', FALSE, NULL),
    ('pulsex', 'unsubscribe_tokens', 'token_hash', 'token', TRUE, 'a secret'),
    ('pulsex', 'unsubscribe_tokens', 'channel', 'by', FALSE, NULL),
    ('pulsex', 'unsubscribe_tokens', 'kind', 'about', FALSE, NULL),
    ('pulsex', 'unsubscribe_tokens', 'created_at', 'made at', FALSE, NULL),
    ('pulsex', 'unsubscribe_tokens', 'expires_at', 'good until', FALSE, NULL),
    ('pulsex', 'unsubscribe_tokens', 'used_at', 'used at', FALSE, NULL),
    ('pulsex', 'engagement_marks', 'day', 'day', FALSE, NULL),
    ('pulsex', 'engagement_marks', 'mark_id', 'id', FALSE, NULL),
    ('pulsex', 'notification_queue', 'leased_at', 'being sent since', FALSE, NULL),
    ('pulsex', 'notification_attempts', 'lease_token', 'the sender''s ticket', TRUE, 'a secret of the sender''s'),
    ('pulsex', 'notification_queue', 'notification_id', 'notification', FALSE, NULL),
    ('pulsex', 'notification_queue', 'channel', 'to be sent by', FALSE, NULL),
    ('pulsex', 'notification_queue', 'priority', 'urgency', FALSE, NULL),
    ('pulsex', 'notification_queue', 'available_at', 'not before', FALSE, NULL),
    ('pulsex', 'notification_queue', 'attempts', 'attempts', FALSE, NULL),
    ('pulsex', 'notification_queue', 'max_attempts', 'attempts at most', FALSE, NULL),
    ('pulsex', 'notification_queue', 'leased_by', 'being sent by', FALSE, NULL),
    ('pulsex', 'notification_queue', 'lease_until', 'being sent until', FALSE, NULL),
    ('pulsex', 'notification_queue', 'lease_token', 'the sender''s ticket', TRUE, 'a secret of the sender''s'),
    ('pulsex', 'notification_queue', 'last_error', 'last failure', FALSE, NULL),
    ('pulsex', 'notification_attempts', 'notification_id', 'notification', FALSE, NULL),
    ('pulsex', 'notification_attempts', 'attempt', 'attempt', FALSE, NULL),
    ('pulsex', 'notification_attempts', 'started_at', 'began at', FALSE, NULL),
    ('pulsex', 'notification_attempts', 'finished_at', 'ended at', FALSE, NULL),
    ('pulsex', 'notification_attempts', 'outcome', 'outcome', FALSE, NULL),
    ('pulsex', 'notification_attempts', 'error', 'failure', FALSE, NULL),

    ('audit', 'events', 'occurred_at', 'at', FALSE, NULL),
    ('audit', 'events', 'event_id', 'id', FALSE, NULL),
    ('audit', 'events', 'role_name', 'by', FALSE, NULL),
    ('audit', 'events', 'table_name', 'in', FALSE, NULL),
    ('audit', 'events', 'action', 'what happened', FALSE, NULL),
    ('audit', 'events', 'payload', 'details', FALSE, NULL),
    ('audit', 'events', 'salt', 'salt', TRUE, 'a secret: it keeps the details from being guessed by their digest'),
    ('audit', 'events', 'commitment', 'digest', FALSE, 'made from the details, which are there'),

    ('gdpr', 'holds', 'hold_id', 'id', FALSE, NULL),
    ('gdpr', 'holds', 'category', 'what is held', FALSE, NULL),
    ('gdpr', 'holds', 'reason', 'reason', FALSE, NULL),
    ('gdpr', 'holds', 'erasure_id', 'erasure that waits for it', FALSE, NULL),
    ('gdpr', 'holds', 'placed_at', 'placed at', FALSE, NULL),
    ('gdpr', 'holds', 'held_until', 'held until', FALSE, NULL),
    ('gdpr', 'holds', 'released_at', 'released at', FALSE, NULL),
    ('gdpr', 'consents', 'purpose', 'purpose', FALSE, NULL),
    ('gdpr', 'consents', 'revision', 'number', FALSE, NULL),
    ('gdpr', 'consents', 'is_granted', 'given', FALSE, NULL),
    ('gdpr', 'consents', 'policy_version', 'text that was read', FALSE, NULL),
    ('gdpr', 'consents', 'recorded_at', 'recorded at', FALSE, NULL),
    ('gdpr', 'consents', 'recorded_by', 'recorded by', FALSE, NULL),
    ('gdpr', 'requests', 'request_id', 'id', FALSE, NULL),
    ('gdpr', 'requests', 'kind', 'kind', FALSE, NULL),
    ('gdpr', 'requests', 'details', 'details', FALSE, NULL),
    ('gdpr', 'requests', 'opened_by', 'opened by', FALSE, NULL),
    ('gdpr', 'requests', 'received_at', 'received at', FALSE, NULL),
    ('gdpr', 'requests', 'time_zone', 'time zone', FALSE, NULL),
    ('gdpr', 'requests', 'due_on', 'due on', FALSE, NULL),
    ('gdpr', 'requests', 'due_at', 'due at', FALSE, NULL),
    ('gdpr', 'requests', 'extended_at', 'extended at', FALSE, NULL),
    ('gdpr', 'requests', 'extension_reason', 'reason of the extension', FALSE, NULL),
    ('gdpr', 'requests', 'completed_at', 'answered at', FALSE, NULL),
    ('gdpr', 'requests', 'outcome', 'outcome', FALSE, NULL),
    ('gdpr', 'requests', 'outcome_note', 'what was done or why not', FALSE, NULL),
    ('gdpr', 'inactivity_warnings', 'last_active_at', 'last active at', FALSE, NULL),
    ('gdpr', 'inactivity_warnings', 'warned_at', 'warned at', FALSE, NULL),
    ('gdpr', 'inactivity_warnings', 'erase_after', 'erased after', FALSE, NULL),

    -- Whose row it is, the same in every row of theirs.
    ('auth', 'identities', 'user_id', 'person', FALSE, 'the profile has it'),
    ('auth', 'passwords', 'user_id', 'person', FALSE, 'the profile has it'),
    ('auth', 'sessions', 'user_id', 'person', FALSE, 'the profile has it'),
    ('auth', 'one_time_tokens', 'user_id', 'person', FALSE, 'the profile has it'),
    ('pulsex', 'user_preferences', 'user_id', 'person', FALSE, 'the profile has it'),
    ('pulsex', 'user_topics', 'user_id', 'person', FALSE, 'the profile has it'),
    ('pulsex', 'briefings', 'user_id', 'person', FALSE, 'the profile has it'),
    ('pulsex', 'briefing_schedule', 'user_id', 'person', FALSE, 'the profile has it'),
    ('pulsex', 'briefing_feedback', 'user_id', 'person', FALSE, 'the profile has it'),
    ('pulsex', 'engagement_events', 'user_id', 'person', FALSE, 'the profile has it'),
    ('pulsex', 'engagement_daily', 'user_id', 'person', FALSE, 'the profile has it'),
    ('pulsex', 'devices', 'user_id', 'person', FALSE, 'the profile has it'),
    ('pulsex', 'push_token_owners', 'user_id', 'person', FALSE, 'the profile has it'),
    ('pulsex', 'engagement_marks', 'user_id', 'person', FALSE, 'the profile has it'),
    ('pulsex', 'unsubscriptions', 'user_id', 'person', FALSE, 'the profile has it'),
    ('pulsex', 'unsubscribe_tokens', 'user_id', 'person', FALSE, 'the profile has it'),
    ('pulsex', 'notifications', 'user_id', 'person', FALSE, 'the profile has it'),
    ('pulsex', 'notification_queue', 'user_id', 'person', FALSE, 'the profile has it'),
    ('pulsex', 'notification_attempts', 'user_id', 'person', FALSE, 'the profile has it'),
    ('gdpr', 'holds', 'user_id', 'person', FALSE, 'the profile has it'),
    ('audit', 'events', 'user_id', 'person', FALSE, 'the profile has it'),
    ('gdpr', 'consents', 'user_id', 'person', FALSE, 'the profile has it'),
    ('gdpr', 'requests', 'user_id', 'person', FALSE, 'the profile has it'),
    ('gdpr', 'inactivity_warnings', 'user_id', 'person', FALSE, 'the profile has it')
),

-- What says more to a person than the value itself; and what a row becomes that has to stay without its owner.
in_words (schema_name, table_name, column_name, exported_as, erased_value) AS (
    VALUES
    (
        'pulsex', 'user_topics', 'topic_id',
        '(SELECT t.label FROM pulsex.topics AS t WHERE t.topic_id = r.topic_id)', NULL
    ),
    ('pulsex', 'users', 'display_name', NULL, 'erased'),
    ('pulsex', 'users', 'locale', NULL, 'en'),
    ('pulsex', 'users', 'time_zone', NULL, 'UTC'),
    ('pulsex', 'users', 'status', NULL, 'restricted')
),

-- What becomes of columns of a log, whose rows stay without the person; everything else is deleted.
left_behind (schema_name, table_name, column_name, erasure) AS (
    VALUES
    ('audit', 'events', 'user_id', 'pseudonymise'),
    ('audit', 'events', 'payload', 'null'),
    ('audit', 'events', 'salt', 'null'),
    ('audit', 'events', 'occurred_at', 'keep'),
    ('audit', 'events', 'event_id', 'keep'),
    ('audit', 'events', 'role_name', 'keep'),
    ('audit', 'events', 'table_name', 'keep'),
    ('audit', 'events', 'action', 'keep'),
    ('audit', 'events', 'commitment', 'keep')
)

INSERT INTO gdpr.data_map (
    schema_name, table_name, column_name, category, label, purpose, lawful_basis, recipients, source, retention,
    erasure, is_secret, not_exported_because, exported_as, erased_value
)
SELECT
    c.schema_name,
    c.table_name,
    c.column_name,
    t.category,
    c.label,
    k.purpose,
    k.lawful_basis,
    k.recipients,
    k.source,
    gdpr.retention_of(c.schema_name, c.table_name) AS retention,
    coalesce(l.erasure, 'delete') AS erasure,
    c.is_secret,
    c.not_exported_because,
    w.exported_as,
    w.erased_value
FROM columns AS c
INNER JOIN gdpr.data_map_tables AS t ON c.schema_name = t.schema_name AND c.table_name = t.table_name
INNER JOIN categories AS k ON t.category = k.category
LEFT JOIN in_words AS w
    ON c.schema_name = w.schema_name AND c.table_name = w.table_name AND c.column_name = w.column_name
LEFT JOIN left_behind AS l
    ON c.schema_name = l.schema_name AND c.table_name = l.table_name AND c.column_name = l.column_name;

-- Of nobody, for the reason that the table has.
INSERT INTO gdpr.data_map (schema_name, table_name, column_name, is_secret, erasure)
SELECT
    schema_name,
    table_name,
    column_name,
    column_name ~ '_pad$' AS is_secret,
    'keep' AS erasure
FROM (
    VALUES
    (
        'auth', 'signing_key',
        '{singleton,inner_pad,outer_pad,previous_inner_pad,previous_outer_pad,rotated_at}'::text[]
    ),
    ('pulsex', 'time_zones', '{name}'),
    ('pulsex', 'topics', '{topic_id,slug,label}'),
    ('ops', 'partitioned_tables', '{schema_name,table_name,months_each,months_ahead,retention}'),
    ('ops', 'maintenance_tasks', '{task,succeeded_at,failed_at,error}'),
    ('ops', 'schema_migrations', '{version}'),
    ('gdpr', 'data_map_tables', '{schema_name,table_name,place,category,label,not_personal_because,found_by,erased_by,
        is_erased_first,is_audited,audited_because,retention,retention_from}'),
    ('gdpr', 'data_map', '{schema_name,table_name,column_name,category,label,purpose,lawful_basis,recipients,source,
        retention,erasure,is_secret,not_exported_because,exported_as,erased_value}'),
    ('pulsex', 'promotional_kinds', '{kind}'),
    ('pulsex', 'notification_channels', '{channel,per_minute,burst,free_at}'),
    ('pulsex', 'notification_waits', '{channel,asleep_until}'),
    ('gdpr', 'settings', '{name,value,reason,changed_at}'),
    ('gdpr', 'consent_purposes', '{purpose,label,question}'),
    ('gdpr', 'ledger_keys', '{key_id,inner_pad,outer_pad,created_at}'),
    ('gdpr', 'erasures', '{erasure_id,categories,erased_at,completed_at,certificate}'),
    ('gdpr', 'erasure_ledger', '{subject_hash,erasure_id,key_id}'),
    ('audit', 'unsealed_events', '{occurred_at,event_id}'),
    ('audit', 'seals', '{seal_id,sealed_at,kept_from,month,first_at,last_at,events,contents_digest,digest}'),
    ('audit', 'seal_contents', '{seal_id,event_ids}'),
    ('gdpr', 'scrubs', '{erasure_id,relation,scrubbed_at}')
) AS nobodys (schema_name, table_name, names), unnest(names) AS column_name;
