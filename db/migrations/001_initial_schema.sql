-- The rooms and everything in them: schemas, tables, constraints, and the functions that constraints and triggers need.
--
-- Every table that belongs to a person starts its primary key with user_id, and every foreign key between such tables
-- carries it. Row level security is enabled and forced from the first day; until migration 003 names who may see what,
-- nobody sees anything.

-- migrate:up
SET LOCAL lock_timeout = '2s';
SET LOCAL statement_timeout = '60s';

ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
ALTER DEFAULT PRIVILEGES REVOKE USAGE ON TYPES FROM PUBLIC;
SET LOCAL ROLE pulsex_service;
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
ALTER DEFAULT PRIVILEGES REVOKE USAGE ON TYPES FROM PUBLIC;
SET LOCAL ROLE pulsex_owner;

CREATE SCHEMA IF NOT EXISTS ops;
CREATE SCHEMA auth;
CREATE SCHEMA pulsex;
COMMENT ON SCHEMA ops IS 'Partition lifecycle, maintenance, health.';
COMMENT ON SCHEMA auth IS
'Credentials, identities, sessions, one-time tokens, the signing key. Only its routines read it.';
COMMENT ON SCHEMA pulsex IS 'The app''s data, each person''s own under row level security.';

-- What constraints and triggers need ---------------------------------------------------------------------------------

CREATE FUNCTION pulsex.is_briefing_content(p_content jsonb) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (
    jsonb_typeof(p_content -> 'sections') = 'array'
    -- Lax paths look into arrays unasked, so arrays in the place of objects are found by strict ones first.
    AND NOT jsonb_path_exists(p_content, 'strict $.sections[*].type() ? (@ != "object")', '{}', TRUE)
    AND NOT jsonb_path_exists(p_content, 'lax $.sections[*] ? (
        !(@.topic.type() == "string" && @.headline.type() == "string" && @.items.type() == "array")
    )')
    AND NOT jsonb_path_exists(p_content, 'strict $.sections[*].items[*].type() ? (@ != "object")', '{}', TRUE)
    AND NOT jsonb_path_exists(p_content, 'lax $.sections[*].items[*] ? (
        !(@.id.type() == "string" && @.title.type() == "string" && @.url.type() == "string"
          && @.source.type() == "string" && @.summary.type() == "string" && @.id like_regex "^.{1,200}$" flag "s")
    )')
) IS TRUE;
COMMENT ON FUNCTION pulsex.is_briefing_content IS
'True when p_content has the shape
{"sections":[{"topic","headline","items":[{"id","title","url","source","summary"}]}]}, every leaf a string and every
item id 1 to 200 characters; further keys are allowed. Never null, never an error.';

CREATE FUNCTION pulsex.set_updated_at() RETURNS trigger
LANGUAGE plpgsql SECURITY INVOKER SET search_path = ''
AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION pulsex.set_updated_at IS 'Trigger: stamps updated_at with the time of the transaction.';

CREATE FUNCTION ops.lock_tables(p_mode text, p_tables text[]) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = '' SET lock_timeout = '2s'
AS $$
DECLARE
    v_patience interval := current_setting('deadlock_timeout')::interval / 2;
    v_attempts integer := 0;
    v_until timestamptz;
    v_table text;
BEGIN
    LOOP
        v_until := clock_timestamp() + v_patience;
        BEGIN
            FOR v_table IN
                SELECT coalesce(p.relid, t.name::regclass)
                FROM unnest(p_tables) WITH ORDINALITY AS t (name, place)
                LEFT JOIN LATERAL pg_partition_tree(t.name::regclass) AS p ON TRUE
                ORDER BY t.place, p.level, p.relid
            LOOP
                EXECUTE format(
                    'SET LOCAL lock_timeout = %s',
                    greatest(ceil(extract(EPOCH FROM v_until - clock_timestamp()) * 1000), 1)
                );
                EXECUTE format('LOCK TABLE ONLY %s IN %s MODE', v_table, p_mode);
            END LOOP;
            RETURN;
        EXCEPTION
            WHEN lock_not_available THEN
                v_attempts := v_attempts + 1;
                IF v_attempts = 40 THEN
                    RAISE;
                END IF;
        END;
        PERFORM pg_sleep(extract(EPOCH FROM v_patience) * random() / 4);
    END LOOP;
END
$$;
COMMENT ON FUNCTION ops.lock_tables IS
'For a migration that touches tables in use, before it does: all of them at once, partitions too, in the mode p_mode
until the end of the transaction. Taken one by one by the statements that need them, such locks deadlock with
whoever writes to two of the tables in another order, and PostgreSQL may end either. Here all are had within half of
deadlock_timeout, or given back, so that whoever waits goes on, and asked for again: so nobody else''s statement can be
ended for a deadlock, nor waits longer (https://www.postgresql.org/docs/18/runtime-config-locks.html).
Errors: 55P03 after forty attempts, less than half a minute.';

-- Shared references: they belong to no person ------------------------------------------------------------------------

CREATE TABLE pulsex.time_zones (
    name text NOT NULL,
    CONSTRAINT time_zones_pk PRIMARY KEY (name)
);
COMMENT ON TABLE pulsex.time_zones IS
'The IANA time zone names that this server knows, kept by ops.refresh_time_zones() on every deploy. A CHECK can''t ask
pg_timezone_names, and AT TIME ZONE also takes abbreviations and POSIX rules, which lose daylight saving.';

CREATE TABLE pulsex.topics (
    topic_id uuid NOT NULL DEFAULT uuidv7(),
    slug text NOT NULL,
    label text NOT NULL,
    CONSTRAINT topics_pk PRIMARY KEY (topic_id),
    CONSTRAINT topics_slug_key UNIQUE (slug),
    CONSTRAINT topics_slug_check CHECK (slug ~ '^[a-z0-9]+(-[a-z0-9]+)*$' AND char_length(slug) <= 60),
    CONSTRAINT topics_label_check CHECK (char_length(label) BETWEEN 1 AND 100)
);
COMMENT ON TABLE pulsex.topics IS 'What can be followed.';
COMMENT ON COLUMN pulsex.topics.slug IS 'The public name, stable, in lower-case words joined by hyphens.';

-- The person ---------------------------------------------------------------------------------------------------------

CREATE TABLE pulsex.users (
    user_id uuid NOT NULL DEFAULT uuidv7(),
    display_name text NOT NULL,
    locale text NOT NULL DEFAULT 'en',
    time_zone text NOT NULL DEFAULT 'UTC',
    status text NOT NULL DEFAULT 'active',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT users_pk PRIMARY KEY (user_id),
    CONSTRAINT users_time_zone_fk FOREIGN KEY (time_zone) REFERENCES pulsex.time_zones (name),
    CONSTRAINT users_display_name_check CHECK (char_length(display_name) BETWEEN 1 AND 100),
    CONSTRAINT users_locale_check CHECK (locale ~ '^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$' AND char_length(locale) <= 35),
    CONSTRAINT users_status_check CHECK (status IN ('active', 'restricted'))
);
ALTER TABLE pulsex.users ENABLE ROW LEVEL SECURITY;
ALTER TABLE pulsex.users FORCE ROW LEVEL SECURITY;
CREATE TRIGGER users_set_updated_at BEFORE UPDATE ON pulsex.users
FOR EACH ROW EXECUTE FUNCTION pulsex.set_updated_at();
COMMENT ON TABLE pulsex.users IS
'The person. No foreign key to it cascades: who erases must have emptied every table first.';
COMMENT ON COLUMN pulsex.users.locale IS 'BCP 47 language tag (RFC 5646), the language subtag in lower case.';
COMMENT ON COLUMN pulsex.users.time_zone IS 'IANA name; the person''s "today" and delivery hours are read in it.';
COMMENT ON COLUMN pulsex.users.status IS
'restricted: stored and readable by the person, processed by nobody (GDPR Art. 18).';

CREATE TABLE pulsex.user_preferences (
    user_id uuid NOT NULL,
    delivery_time time NOT NULL DEFAULT '07:00',
    evening_delivery_time time,
    delivery_days smallint[] NOT NULL DEFAULT '{1,2,3,4,5,6,7}',
    quiet_hours_start time,
    quiet_hours_end time,
    max_items smallint NOT NULL DEFAULT 12,
    channels text[] NOT NULL DEFAULT '{push,in_app}',
    settings jsonb NOT NULL DEFAULT '{}',
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT user_preferences_pk PRIMARY KEY (user_id),
    CONSTRAINT user_preferences_user_fk FOREIGN KEY (user_id) REFERENCES pulsex.users (user_id),
    CONSTRAINT user_preferences_delivery_time_check
    CHECK (extract(SECOND FROM delivery_time) = 0 AND delivery_time < '24:00'),
    CONSTRAINT user_preferences_evening_delivery_time_check
    CHECK (extract(SECOND FROM evening_delivery_time) = 0 AND evening_delivery_time < '24:00'),
    CONSTRAINT user_preferences_delivery_days_check
    CHECK (
        delivery_days <@ '{1,2,3,4,5,6,7}'::smallint[] AND cardinality(delivery_days) <= 7
        AND coalesce(array_ndims(delivery_days), 1) = 1
    ),
    CONSTRAINT user_preferences_quiet_hours_check CHECK (num_nulls(quiet_hours_start, quiet_hours_end) IN (0, 2)),
    CONSTRAINT user_preferences_max_items_check CHECK (max_items BETWEEN 1 AND 50),
    CONSTRAINT user_preferences_channels_check
    CHECK (
        channels <@ '{push,email,in_app}'::text[] AND cardinality(channels) <= 3
        AND coalesce(array_ndims(channels), 1) = 1
    ),
    CONSTRAINT user_preferences_settings_check
    CHECK (jsonb_typeof(settings) = 'object' AND octet_length(settings::text) <= 16384)
);
ALTER TABLE pulsex.user_preferences ENABLE ROW LEVEL SECURITY;
ALTER TABLE pulsex.user_preferences FORCE ROW LEVEL SECURITY;
CREATE TRIGGER user_preferences_set_updated_at BEFORE UPDATE ON pulsex.user_preferences
FOR EACH ROW EXECUTE FUNCTION pulsex.set_updated_at();
COMMENT ON TABLE pulsex.user_preferences IS 'When, how and how much a person wants to be briefed; one row each.';
COMMENT ON COLUMN pulsex.user_preferences.delivery_time IS 'Wall-clock time in the person''s zone, to the minute.';
COMMENT ON COLUMN pulsex.user_preferences.evening_delivery_time IS 'The evening edition''s time; null: none wanted.';
COMMENT ON COLUMN pulsex.user_preferences.delivery_days IS
'ISO 8601 weekdays, 1 Monday to 7 Sunday; empty pauses delivery.';
COMMENT ON COLUMN pulsex.user_preferences.quiet_hours_start IS
'Nothing is pushed from here to quiet_hours_end, over midnight if the end is earlier; in the person''s zone; both or
neither.';
COMMENT ON COLUMN pulsex.user_preferences.max_items IS 'Items in one briefing, at most.';
COMMENT ON COLUMN pulsex.user_preferences.settings IS 'What the clients remember: a JSON object, at most 16 KiB.';

CREATE TABLE pulsex.user_topics (
    user_id uuid NOT NULL,
    topic_id uuid NOT NULL,
    weight real NOT NULL DEFAULT 1,
    CONSTRAINT user_topics_pk PRIMARY KEY (user_id, topic_id),
    CONSTRAINT user_topics_user_fk FOREIGN KEY (user_id) REFERENCES pulsex.users (user_id),
    CONSTRAINT user_topics_topic_fk FOREIGN KEY (topic_id) REFERENCES pulsex.topics (topic_id),
    CONSTRAINT user_topics_weight_check CHECK (weight > 0 AND weight <= 10)
);
ALTER TABLE pulsex.user_topics ENABLE ROW LEVEL SECURITY;
ALTER TABLE pulsex.user_topics FORCE ROW LEVEL SECURITY;
COMMENT ON TABLE pulsex.user_topics IS 'The topics a person follows.';
COMMENT ON COLUMN pulsex.user_topics.weight IS 'Interest relative to the person''s other topics; above 0, at most 10.';

-- Signing in ---------------------------------------------------------------------------------------------------------

CREATE TABLE auth.identities (
    provider text NOT NULL,
    subject text NOT NULL,
    user_id uuid NOT NULL,
    verified_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT identities_pk PRIMARY KEY (provider, subject),
    CONSTRAINT identities_user_fk FOREIGN KEY (user_id) REFERENCES pulsex.users (user_id),
    CONSTRAINT identities_provider_check CHECK (provider ~ '^[a-z][a-z0-9_]{0,39}$'),
    CONSTRAINT identities_subject_check CHECK (char_length(subject) BETWEEN 1 AND 255),
    CONSTRAINT identities_email_check CHECK (
        provider <> 'email'
        OR (
            subject = lower(subject) AND subject ~ '^[^@[:space:][:cntrl:]]+@[^@[:space:][:cntrl:]]+$'
            AND octet_length(subject) <= 254
        )
    )
);
ALTER TABLE auth.identities ENABLE ROW LEVEL SECURITY;
ALTER TABLE auth.identities FORCE ROW LEVEL SECURITY;
COMMENT ON TABLE auth.identities IS 'Global lookup from what a person signs in with to who they are.';
COMMENT ON COLUMN auth.identities.provider IS 'email, or the name of an identity provider.';
COMMENT ON COLUMN auth.identities.subject IS
'The name within the provider; an e-mail address is stored in lower case, at most 254 octets (RFC 5321, 4.5.3.1.3, less
the angle brackets).';

CREATE TABLE auth.passwords (
    user_id uuid NOT NULL,
    password_hash text NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now(),
    failed_attempts integer NOT NULL DEFAULT 0,
    locked_until timestamptz,
    CONSTRAINT passwords_pk PRIMARY KEY (user_id),
    CONSTRAINT passwords_user_fk FOREIGN KEY (user_id) REFERENCES pulsex.users (user_id),
    CONSTRAINT passwords_password_hash_check CHECK (
        password_hash ~ '^\$argon2id\$v=19\$m=\d{4,7},t=\d{1,3},p=\d{1,3}\$[A-Za-z0-9+/]{22,86}\$[A-Za-z0-9+/]{43,86}$'
    ),
    CONSTRAINT passwords_failed_attempts_check CHECK (failed_attempts >= 0)
);
ALTER TABLE auth.passwords ENABLE ROW LEVEL SECURITY;
ALTER TABLE auth.passwords FORCE ROW LEVEL SECURITY;
COMMENT ON TABLE auth.passwords IS 'One password a person, hashed by the application.';
COMMENT ON COLUMN auth.passwords.password_hash IS
'Argon2id (RFC 9106) as a PHC string: a salt of at least 16 and a tag of at least 32 bytes in unpadded Base64. Anything
else, a plain password above all, is refused.';
COMMENT ON COLUMN auth.passwords.failed_attempts IS 'Failures since the last success.';
COMMENT ON COLUMN auth.passwords.locked_until IS
'No attempt counts before this time; the delay doubles with each failure.';

CREATE TABLE auth.login_decoys (
    decoy_id uuid NOT NULL,
    failed_attempts integer NOT NULL,
    locked_until timestamptz NOT NULL,
    CONSTRAINT login_decoys_pk PRIMARY KEY (decoy_id),
    CONSTRAINT login_decoys_failed_attempts_check CHECK (failed_attempts > 0)
);
ALTER TABLE auth.login_decoys ENABLE ROW LEVEL SECURITY;
ALTER TABLE auth.login_decoys FORCE ROW LEVEL SECURITY;
COMMENT ON TABLE auth.login_decoys IS
'Failures of logins that nobody is behind, so that guessing locks an unknown e-mail address exactly as it locks a known
one, and tells nobody which it is. Belongs to no person; auth.purge_expired() empties it.';
COMMENT ON COLUMN auth.login_decoys.decoy_id IS
'Digest of what was tried; auth.login_credential() gives it as the user''s id.';

CREATE TABLE auth.sessions (
    user_id uuid NOT NULL,
    session_id uuid NOT NULL DEFAULT uuidv7(),
    token_hash bytea NOT NULL,
    family_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    ip_address inet,
    user_agent text,
    CONSTRAINT sessions_pk PRIMARY KEY (user_id, session_id),
    CONSTRAINT sessions_user_id_token_hash_key UNIQUE (user_id, token_hash),
    CONSTRAINT sessions_user_fk FOREIGN KEY (user_id) REFERENCES pulsex.users (user_id),
    CONSTRAINT sessions_token_hash_check CHECK (octet_length(token_hash) = 32),
    CONSTRAINT sessions_expires_at_check CHECK (expires_at > created_at),
    CONSTRAINT sessions_user_agent_check CHECK (char_length(user_agent) <= 400)
);
ALTER TABLE auth.sessions ENABLE ROW LEVEL SECURITY;
ALTER TABLE auth.sessions FORCE ROW LEVEL SECURITY;
COMMENT ON TABLE auth.sessions IS 'A row for each session token ever handed out and not yet purged.';
COMMENT ON COLUMN auth.sessions.token_hash IS
'SHA-256 of the whole token; the token itself is shown once and stored nowhere.';
COMMENT ON COLUMN auth.sessions.family_id IS 'The sign-in this token descends from; rotation keeps it.';
COMMENT ON COLUMN auth.sessions.revoked_at IS
'From when the token is refused; in the future while a rotated one''s grace runs.';

CREATE TABLE auth.one_time_tokens (
    user_id uuid NOT NULL,
    purpose text NOT NULL,
    token_hash bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    used_at timestamptz,
    attempts smallint NOT NULL DEFAULT 0,
    CONSTRAINT one_time_tokens_pk PRIMARY KEY (user_id, purpose),
    CONSTRAINT one_time_tokens_user_fk FOREIGN KEY (user_id) REFERENCES pulsex.users (user_id),
    CONSTRAINT one_time_tokens_purpose_check CHECK (purpose IN ('verify_email', 'reset_password')),
    CONSTRAINT one_time_tokens_token_hash_check CHECK (octet_length(token_hash) = 32),
    CONSTRAINT one_time_tokens_expires_at_check CHECK (expires_at > created_at),
    CONSTRAINT one_time_tokens_attempts_check CHECK (attempts BETWEEN 0 AND 5)
);
ALTER TABLE auth.one_time_tokens ENABLE ROW LEVEL SECURITY;
ALTER TABLE auth.one_time_tokens FORCE ROW LEVEL SECURITY;
COMMENT ON TABLE auth.one_time_tokens IS 'The latest token of each purpose; issuing another replaces it.';
COMMENT ON COLUMN auth.one_time_tokens.token_hash IS 'SHA-256 of the token.';
COMMENT ON COLUMN auth.one_time_tokens.attempts IS 'Wrong tokens presented; after five this one is dead.';

CREATE TABLE auth.signing_key (
    singleton boolean NOT NULL DEFAULT TRUE,
    inner_pad bytea NOT NULL,
    outer_pad bytea NOT NULL,
    previous_inner_pad bytea NOT NULL,
    previous_outer_pad bytea NOT NULL,
    rotated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT signing_key_pk PRIMARY KEY (singleton),
    CONSTRAINT signing_key_singleton_check CHECK (singleton),
    CONSTRAINT signing_key_pads_check CHECK (
        octet_length(inner_pad) = 64 AND octet_length(outer_pad) = 64
        AND octet_length(previous_inner_pad) = 64 AND octet_length(previous_outer_pad) = 64
    )
);
ALTER TABLE auth.signing_key ENABLE ROW LEVEL SECURITY;
ALTER TABLE auth.signing_key FORCE ROW LEVEL SECURITY;
COMMENT ON TABLE auth.signing_key IS
'The key that signs contexts, and the one before it: a transaction that is under way when the key rotates still ends
well. Made at deploy, rotated by auth.rotate_signing_key().';
COMMENT ON COLUMN auth.signing_key.inner_pad IS 'The key XOR ipad, HMAC''s first block, ready to hash (RFC 2104).';
COMMENT ON COLUMN auth.signing_key.outer_pad IS 'The key XOR opad, HMAC''s second block.';

-- Briefings ----------------------------------------------------------------------------------------------------------

CREATE TABLE pulsex.briefing_schedule (
    user_id uuid NOT NULL,
    edition text NOT NULL,
    briefing_date date NOT NULL,
    due_at timestamptz NOT NULL,
    lease_until timestamptz,
    attempts smallint NOT NULL DEFAULT 0,
    parked_date date,
    parked_attempts smallint,
    CONSTRAINT briefing_schedule_pk PRIMARY KEY (user_id, edition),
    CONSTRAINT briefing_schedule_user_fk FOREIGN KEY (user_id) REFERENCES pulsex.users (user_id),
    CONSTRAINT briefing_schedule_edition_check CHECK (edition IN ('morning', 'evening')),
    CONSTRAINT briefing_schedule_attempts_check CHECK (attempts >= 0),
    CONSTRAINT briefing_schedule_parked_check
    CHECK (num_nulls(parked_date, parked_attempts) IN (0, 2) AND parked_attempts >= 0)
);
ALTER TABLE pulsex.briefing_schedule ENABLE ROW LEVEL SECURITY;
ALTER TABLE pulsex.briefing_schedule FORCE ROW LEVEL SECURITY;
COMMENT ON TABLE pulsex.briefing_schedule IS 'The next briefing each person is owed, per edition.';
COMMENT ON COLUMN pulsex.briefing_schedule.briefing_date IS 'The local date the briefing is for.';
COMMENT ON COLUMN pulsex.briefing_schedule.due_at IS
'The date''s delivery time as an instant: pulsex.delivery_instant(), kept by pulsex.schedule_briefings().';
COMMENT ON COLUMN pulsex.briefing_schedule.lease_until IS 'A generator is at work until then; later it is due again.';
COMMENT ON COLUMN pulsex.briefing_schedule.attempts IS 'Leases given for this date.';
COMMENT ON COLUMN pulsex.briefing_schedule.parked_date IS
'The last date that was given up, until one is published again.';
COMMENT ON COLUMN pulsex.briefing_schedule.parked_attempts IS 'How many leases were given for it.';

-- The schedule follows from zone, status, times and days, whoever changes them. People may not write it themselves, so
-- the trigger does it as the service, which is let into the schema to make it, and otherwise only by migration 003.
GRANT CREATE, USAGE ON SCHEMA pulsex TO pulsex_service;
SET LOCAL ROLE pulsex_service;
CREATE FUNCTION pulsex.keep_schedule() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
AS $$
BEGIN
    PERFORM pulsex.schedule_briefings(NEW.user_id);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION pulsex.keep_schedule IS 'Trigger: works the schedule of the row''s person out anew.';
GRANT EXECUTE ON FUNCTION pulsex.keep_schedule TO pulsex_owner;
SET LOCAL ROLE pulsex_owner;
CREATE TRIGGER users_keep_schedule AFTER UPDATE OF time_zone, status ON pulsex.users
FOR EACH ROW WHEN ((old.time_zone, old.status) IS DISTINCT FROM (new.time_zone, new.status))
EXECUTE FUNCTION pulsex.keep_schedule();
CREATE TRIGGER user_preferences_begin_schedule AFTER INSERT ON pulsex.user_preferences
FOR EACH ROW EXECUTE FUNCTION pulsex.keep_schedule();
CREATE TRIGGER user_preferences_keep_schedule
AFTER UPDATE OF delivery_time, evening_delivery_time, delivery_days ON pulsex.user_preferences
FOR EACH ROW WHEN (
    old.delivery_time <> new.delivery_time OR old.delivery_days <> new.delivery_days
    OR old.evening_delivery_time IS DISTINCT FROM new.evening_delivery_time
)
EXECUTE FUNCTION pulsex.keep_schedule();
SET LOCAL ROLE pulsex_service;
REVOKE EXECUTE ON FUNCTION pulsex.keep_schedule FROM pulsex_owner;
SET LOCAL ROLE pulsex_owner;
REVOKE CREATE, USAGE ON SCHEMA pulsex FROM pulsex_service;

CREATE TABLE pulsex.briefings (
    user_id uuid NOT NULL,
    briefing_date date NOT NULL,
    edition text NOT NULL DEFAULT 'morning',
    version integer NOT NULL DEFAULT 1,
    title text NOT NULL,
    content jsonb NOT NULL,
    search tsvector NOT NULL,
    generated_at timestamptz NOT NULL DEFAULT now(),
    delivered_at timestamptz,
    read_at timestamptz,
    CONSTRAINT briefings_pk PRIMARY KEY (user_id, briefing_date, edition),
    CONSTRAINT briefings_user_fk FOREIGN KEY (user_id) REFERENCES pulsex.users (user_id),
    CONSTRAINT briefings_edition_check CHECK (edition IN ('morning', 'evening')),
    CONSTRAINT briefings_version_check CHECK (version >= 1),
    CONSTRAINT briefings_title_check CHECK (char_length(title) BETWEEN 1 AND 300),
    CONSTRAINT briefings_content_shape_check CHECK (pulsex.is_briefing_content(content)),
    CONSTRAINT briefings_content_size_check CHECK (octet_length(content::text) <= 262144)
) PARTITION BY RANGE (briefing_date);
ALTER TABLE pulsex.briefings ALTER COLUMN search SET STORAGE MAIN;
ALTER TABLE pulsex.briefings ENABLE ROW LEVEL SECURITY;
ALTER TABLE pulsex.briefings FORCE ROW LEVEL SECURITY;
COMMENT ON TABLE pulsex.briefings IS
'What a person was briefed of, by their local date; a partition a month, no default one.';
COMMENT ON COLUMN pulsex.briefings.version IS 'Grows by one each time other content is published.';
COMMENT ON COLUMN pulsex.briefings.content IS
'The document, in the shape of pulsex.is_briefing_content, at most 256 KiB.';
COMMENT ON COLUMN pulsex.briefings.search IS
'Title (A), headlines and item titles (B), summaries (C); set on publishing. In the row, where content makes place for
it (STORAGE MAIN): a search looks through all of a person''s, and what is out of the row is looked up one by one.';

CREATE FUNCTION pulsex.keep_first_times() RETURNS trigger
LANGUAGE plpgsql SECURITY INVOKER SET search_path = ''
AS $$
BEGIN
    NEW.delivered_at := coalesce(OLD.delivered_at, NEW.delivered_at);
    NEW.read_at := coalesce(OLD.read_at, NEW.read_at);
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION pulsex.keep_first_times IS 'Trigger: delivered_at and read_at, once set, stay what they are.';
CREATE TRIGGER briefings_keep_first_times BEFORE UPDATE OF delivered_at, read_at ON pulsex.briefings
FOR EACH ROW EXECUTE FUNCTION pulsex.keep_first_times();

CREATE TABLE pulsex.briefing_feedback (
    user_id uuid NOT NULL,
    briefing_date date NOT NULL,
    edition text NOT NULL,
    item_id text NOT NULL DEFAULT '',
    rating smallint NOT NULL,
    comment text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT briefing_feedback_pk PRIMARY KEY (user_id, briefing_date, edition, item_id),
    CONSTRAINT briefing_feedback_briefing_fk FOREIGN KEY (user_id, briefing_date, edition)
    REFERENCES pulsex.briefings (user_id, briefing_date, edition) ON DELETE CASCADE,
    CONSTRAINT briefing_feedback_item_id_check CHECK (char_length(item_id) <= 200),
    CONSTRAINT briefing_feedback_rating_check CHECK (rating BETWEEN 1 AND 5),
    CONSTRAINT briefing_feedback_comment_check CHECK (char_length(comment) <= 2000)
);
ALTER TABLE pulsex.briefing_feedback ENABLE ROW LEVEL SECURITY;
ALTER TABLE pulsex.briefing_feedback FORCE ROW LEVEL SECURITY;
CREATE TRIGGER briefing_feedback_set_updated_at BEFORE UPDATE ON pulsex.briefing_feedback
FOR EACH ROW EXECUTE FUNCTION pulsex.set_updated_at();
COMMENT ON TABLE pulsex.briefing_feedback IS 'What a person thought of a briefing, or of one item in it.';
COMMENT ON COLUMN pulsex.briefing_feedback.item_id IS 'Item within the briefing; empty rates the whole briefing.';
COMMENT ON COLUMN pulsex.briefing_feedback.rating IS '1 (useless) to 5 (just right).';

-- Engagement ---------------------------------------------------------------------------------------------------------

CREATE TABLE pulsex.engagement_events (
    user_id uuid NOT NULL,
    occurred_at timestamptz NOT NULL,
    event_id uuid NOT NULL,
    event_type text NOT NULL,
    briefing_date date,
    edition text,
    item_id text,
    properties jsonb NOT NULL DEFAULT '{}',
    CONSTRAINT engagement_events_pk PRIMARY KEY (user_id, occurred_at, event_id),
    CONSTRAINT engagement_events_event_type_check CHECK (
        event_type IN (
            'delivered', 'opened', 'section_viewed', 'item_clicked', 'item_saved', 'shared', 'dismissed', 'dwell'
        )
    ),
    CONSTRAINT engagement_events_briefing_date_check CHECK (isfinite(briefing_date)),
    CONSTRAINT engagement_events_edition_check CHECK (edition IN ('morning', 'evening')),
    CONSTRAINT engagement_events_item_id_check CHECK (char_length(item_id) <= 200),
    CONSTRAINT engagement_events_properties_check
    CHECK (jsonb_typeof(properties) = 'object' AND octet_length(properties::text) <= 4096),
    CONSTRAINT engagement_events_dwell_check CHECK (
        event_type <> 'dwell'
        OR jsonb_path_exists(properties, 'strict $.ms ? (@ >= 0 && @ <= 86400000)', '{}', TRUE) IS TRUE
    )
) PARTITION BY RANGE (occurred_at);
ALTER TABLE pulsex.engagement_events ENABLE ROW LEVEL SECURITY;
ALTER TABLE pulsex.engagement_events FORCE ROW LEVEL SECURITY;
COMMENT ON TABLE pulsex.engagement_events IS
'What people did with their briefings. Append-only; a partition a month (UTC). No foreign key to pulsex.users, whose
check of each row would be a quarter of the cost of a batch: the batch''s mark in pulsex.engagement_marks has one.';
COMMENT ON COLUMN pulsex.engagement_events.event_id IS
'Made by the client, so that sending a batch again changes nothing.';
COMMENT ON COLUMN pulsex.engagement_events.properties IS
'A JSON object, at most 4 KiB; dwell carries {"ms": number}, the time spent in milliseconds, a day at most.';

CREATE TABLE pulsex.engagement_daily (
    user_id uuid NOT NULL,
    day date NOT NULL,
    event_type text NOT NULL,
    events integer NOT NULL,
    dwell_ms bigint NOT NULL DEFAULT 0,
    CONSTRAINT engagement_daily_pk PRIMARY KEY (user_id, day, event_type),
    CONSTRAINT engagement_daily_user_fk FOREIGN KEY (user_id) REFERENCES pulsex.users (user_id),
    CONSTRAINT engagement_daily_counts_check CHECK (events > 0 AND dwell_ms >= 0)
);
ALTER TABLE pulsex.engagement_daily ENABLE ROW LEVEL SECURITY;
ALTER TABLE pulsex.engagement_daily FORCE ROW LEVEL SECURITY;
COMMENT ON TABLE pulsex.engagement_daily IS 'Events per person, day (UTC) and type; recomputed from engagement_events.';
COMMENT ON COLUMN pulsex.engagement_daily.dwell_ms IS 'Time spent reading, in milliseconds.';

CREATE TABLE pulsex.engagement_marks (
    user_id uuid NOT NULL,
    day date NOT NULL,
    mark_id uuid NOT NULL DEFAULT uuidv7(),
    CONSTRAINT engagement_marks_pk PRIMARY KEY (user_id, day, mark_id),
    CONSTRAINT engagement_marks_user_fk FOREIGN KEY (user_id) REFERENCES pulsex.users (user_id)
);
ALTER TABLE pulsex.engagement_marks ENABLE ROW LEVEL SECURITY;
ALTER TABLE pulsex.engagement_marks FORCE ROW LEVEL SECURITY;
COMMENT ON TABLE pulsex.engagement_marks IS
'Days (UTC) of which a person sent events that their totals lack so far. A mark is committed with its events and only
ever inserted, so that neither who sends nor who counts waits for the other, and no late event is missed.';

-- Devices and notifications ------------------------------------------------------------------------------------------

CREATE TABLE pulsex.devices (
    user_id uuid NOT NULL,
    device_id uuid NOT NULL DEFAULT uuidv7(),
    platform text NOT NULL,
    push_token text NOT NULL,
    last_seen_at timestamptz NOT NULL DEFAULT now(),
    retired_at timestamptz,
    CONSTRAINT devices_pk PRIMARY KEY (user_id, device_id),
    CONSTRAINT devices_user_fk FOREIGN KEY (user_id) REFERENCES pulsex.users (user_id),
    CONSTRAINT devices_platform_check CHECK (platform IN ('ios', 'android', 'web')),
    CONSTRAINT devices_push_token_check CHECK (char_length(push_token) BETWEEN 1 AND 4096)
);
ALTER TABLE pulsex.devices ENABLE ROW LEVEL SECURITY;
ALTER TABLE pulsex.devices FORCE ROW LEVEL SECURITY;
COMMENT ON TABLE pulsex.devices IS 'Where a person can be reached by push.';
COMMENT ON COLUMN pulsex.devices.push_token IS
'The address the push provider gave; it authorises nobody to read anything.';
COMMENT ON COLUMN pulsex.devices.retired_at IS 'Signed out, moved to another account, or unregistered at the provider.';

CREATE TABLE pulsex.push_token_owners (
    push_token_hash bytea NOT NULL,
    user_id uuid NOT NULL,
    device_id uuid NOT NULL,
    CONSTRAINT push_token_owners_pk PRIMARY KEY (push_token_hash),
    CONSTRAINT push_token_owners_device_fk FOREIGN KEY (user_id, device_id)
    REFERENCES pulsex.devices (user_id, device_id) ON DELETE CASCADE,
    CONSTRAINT push_token_owners_push_token_hash_check CHECK (octet_length(push_token_hash) = 32)
);
ALTER TABLE pulsex.push_token_owners ENABLE ROW LEVEL SECURITY;
ALTER TABLE pulsex.push_token_owners FORCE ROW LEVEL SECURITY;
COMMENT ON TABLE pulsex.push_token_owners IS
'Global lookup: a push token has one live owner, so no message reaches the wrong person.';
COMMENT ON COLUMN pulsex.push_token_owners.push_token_hash IS 'SHA-256 of the token.';

CREATE TABLE pulsex.notifications (
    user_id uuid NOT NULL,
    notification_id uuid NOT NULL DEFAULT uuidv7(),
    channel text NOT NULL,
    kind text NOT NULL,
    payload jsonb NOT NULL DEFAULT '{}',
    dedup_key text,
    state text NOT NULL DEFAULT 'pending',
    reason text,
    scheduled_for timestamptz NOT NULL DEFAULT now(),
    created_at timestamptz NOT NULL DEFAULT now(),
    sent_at timestamptz,
    read_at timestamptz,
    CONSTRAINT notifications_pk PRIMARY KEY (user_id, notification_id),
    CONSTRAINT notifications_user_fk FOREIGN KEY (user_id) REFERENCES pulsex.users (user_id),
    CONSTRAINT notifications_channel_check CHECK (channel IN ('push', 'email', 'in_app')),
    -- Two conditions, since a bound within the expression takes three times as long to match.
    CONSTRAINT notifications_kind_check CHECK (kind ~ '^[a-z][a-z0-9_]*$' AND octet_length(kind) <= 60),
    CONSTRAINT notifications_payload_check
    CHECK (jsonb_typeof(payload) = 'object' AND octet_length(payload::text) <= 16384),
    CONSTRAINT notifications_dedup_key_check CHECK (char_length(dedup_key) BETWEEN 1 AND 200),
    CONSTRAINT notifications_state_check CHECK (state IN ('pending', 'sent', 'dead', 'cancelled')),
    CONSTRAINT notifications_reason_check CHECK (
        reason IN (
            'channel_off', 'unsubscribed', 'no_consent', 'no_device', 'no_address', 'called_off', 'refused',
            'out_of_attempts', 'quiet_hours'
        )
    ),
    CONSTRAINT notifications_scheduled_for_check CHECK (isfinite(scheduled_for)),
    CONSTRAINT notifications_sent_at_check CHECK ((state = 'sent') = (sent_at IS NOT NULL))
);
ALTER TABLE pulsex.notifications ENABLE ROW LEVEL SECURITY;
ALTER TABLE pulsex.notifications FORCE ROW LEVEL SECURITY;
CREATE UNIQUE INDEX notifications_user_id_dedup_key_idx ON pulsex.notifications (user_id, dedup_key)
WHERE state = 'pending';
COMMENT ON INDEX pulsex.notifications_user_id_dedup_key_idx IS
'While one waits, a second with its key is not enqueued.';
COMMENT ON TABLE pulsex.notifications IS 'What a person was or will be told: their inbox.';
COMMENT ON COLUMN pulsex.notifications.kind IS 'What it is about, for example briefing_ready.';
COMMENT ON COLUMN pulsex.notifications.dedup_key IS
'The caller''s name for the occasion; unique per person while pending.';
COMMENT ON COLUMN pulsex.notifications.reason IS
'Why it wasn''t sent, or not when it was scheduled. Cancelled: channel_off, unsubscribed, no_consent, no_device,
no_address, called_off. Dead: refused (by the provider, for good), out_of_attempts. Put off: quiet_hours.';

CREATE TABLE pulsex.promotional_kinds (
    kind text NOT NULL,
    CONSTRAINT promotional_kinds_pk PRIMARY KEY (kind),
    CONSTRAINT promotional_kinds_kind_check CHECK (kind ~ '^[a-z][a-z0-9_]{0,59}$')
);
COMMENT ON TABLE pulsex.promotional_kinds IS
'The kinds of notification that advertise, and are sent only with consent. All others are part of the service.';

CREATE TABLE pulsex.notification_queue (
    user_id uuid NOT NULL,
    notification_id uuid NOT NULL,
    channel text NOT NULL,
    priority smallint NOT NULL DEFAULT 0,
    available_at timestamptz NOT NULL DEFAULT now(),
    attempts smallint NOT NULL DEFAULT 0,
    max_attempts smallint NOT NULL DEFAULT 8,
    leased_by text,
    leased_at timestamptz,
    lease_until timestamptz,
    lease_token uuid,
    last_error text,
    CONSTRAINT notification_queue_pk PRIMARY KEY (user_id, notification_id),
    CONSTRAINT notification_queue_notification_fk FOREIGN KEY (user_id, notification_id)
    REFERENCES pulsex.notifications (user_id, notification_id) ON DELETE CASCADE,
    CONSTRAINT notification_queue_channel_check CHECK (channel IN ('push', 'email', 'in_app')),
    CONSTRAINT notification_queue_priority_check CHECK (priority BETWEEN -100 AND 100),
    CONSTRAINT notification_queue_attempts_check CHECK (attempts BETWEEN 0 AND max_attempts),
    CONSTRAINT notification_queue_max_attempts_check CHECK (max_attempts BETWEEN 1 AND 100),
    CONSTRAINT notification_queue_lease_check
    CHECK (num_nulls(leased_by, leased_at, lease_until, lease_token) IN (0, 4)),
    CONSTRAINT notification_queue_leased_by_check CHECK (char_length(leased_by) BETWEEN 1 AND 200),
    CONSTRAINT notification_queue_last_error_check CHECK (char_length(last_error) <= 2000)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000);
ALTER TABLE pulsex.notification_queue ENABLE ROW LEVEL SECURITY;
ALTER TABLE pulsex.notification_queue FORCE ROW LEVEL SECURITY;
COMMENT ON TABLE pulsex.notification_queue IS
'Only what is still to be delivered; the row goes when the delivery ends.';
COMMENT ON COLUMN pulsex.notification_queue.priority IS 'Higher goes first, -100 to 100.';
COMMENT ON COLUMN pulsex.notification_queue.available_at IS 'Not before this time.';
COMMENT ON COLUMN pulsex.notification_queue.attempts IS 'Leases given so far, the present one included.';
COMMENT ON COLUMN pulsex.notification_queue.leased_by IS 'The worker''s name for itself, for people to read.';
COMMENT ON COLUMN pulsex.notification_queue.lease_token IS
'Given to the worker that holds the lease; without it nothing can be settled.';

CREATE TABLE pulsex.notification_attempts (
    user_id uuid NOT NULL,
    notification_id uuid NOT NULL,
    attempt smallint NOT NULL,
    lease_token uuid NOT NULL,
    started_at timestamptz NOT NULL,
    finished_at timestamptz NOT NULL DEFAULT now(),
    outcome text NOT NULL,
    error text,
    CONSTRAINT notification_attempts_pk PRIMARY KEY (user_id, notification_id, attempt),
    CONSTRAINT notification_attempts_notification_fk FOREIGN KEY (user_id, notification_id)
    REFERENCES pulsex.notifications (user_id, notification_id) ON DELETE CASCADE,
    CONSTRAINT notification_attempts_attempt_check CHECK (attempt >= 1),
    CONSTRAINT notification_attempts_finished_at_check CHECK (finished_at >= started_at),
    CONSTRAINT notification_attempts_outcome_check CHECK (outcome IN ('sent', 'failed', 'lease_expired')),
    CONSTRAINT notification_attempts_error_check CHECK (char_length(error) <= 2000)
);
ALTER TABLE pulsex.notification_attempts ENABLE ROW LEVEL SECURITY;
ALTER TABLE pulsex.notification_attempts FORCE ROW LEVEL SECURITY;
COMMENT ON TABLE pulsex.notification_attempts IS 'How each try at delivering went.';
COMMENT ON COLUMN pulsex.notification_attempts.lease_token IS
'Whose try it was: a worker that doesn''t know whether it was heard may settle again, and changes nothing.';

CREATE TABLE pulsex.unsubscriptions (
    user_id uuid NOT NULL,
    channel text NOT NULL,
    kind text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT unsubscriptions_pk PRIMARY KEY (user_id, channel, kind),
    CONSTRAINT unsubscriptions_user_fk FOREIGN KEY (user_id) REFERENCES pulsex.users (user_id),
    CONSTRAINT unsubscriptions_channel_check CHECK (channel IN ('push', 'email', 'in_app')),
    CONSTRAINT unsubscriptions_kind_check CHECK (kind ~ '^[a-z][a-z0-9_]{0,59}$')
);
ALTER TABLE pulsex.unsubscriptions ENABLE ROW LEVEL SECURITY;
ALTER TABLE pulsex.unsubscriptions FORCE ROW LEVEL SECURITY;
COMMENT ON TABLE pulsex.unsubscriptions IS 'What a person doesn''t want to be told by which channel.';

CREATE TABLE pulsex.unsubscribe_tokens (
    user_id uuid NOT NULL,
    token_hash bytea NOT NULL,
    channel text NOT NULL,
    kind text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    used_at timestamptz,
    CONSTRAINT unsubscribe_tokens_pk PRIMARY KEY (user_id, token_hash),
    CONSTRAINT unsubscribe_tokens_user_fk FOREIGN KEY (user_id) REFERENCES pulsex.users (user_id),
    CONSTRAINT unsubscribe_tokens_token_hash_check CHECK (octet_length(token_hash) = 32),
    CONSTRAINT unsubscribe_tokens_channel_check CHECK (channel IN ('push', 'email', 'in_app')),
    CONSTRAINT unsubscribe_tokens_kind_check CHECK (kind ~ '^[a-z][a-z0-9_]{0,59}$'),
    CONSTRAINT unsubscribe_tokens_expires_at_check CHECK (expires_at > created_at)
);
ALTER TABLE pulsex.unsubscribe_tokens ENABLE ROW LEVEL SECURITY;
ALTER TABLE pulsex.unsubscribe_tokens FORCE ROW LEVEL SECURITY;
COMMENT ON TABLE pulsex.unsubscribe_tokens IS
'The links by which a message can be unsubscribed from with one click and without signing in (RFC 8058).';
COMMENT ON COLUMN pulsex.unsubscribe_tokens.token_hash IS 'SHA-256 of the token.';

CREATE TABLE pulsex.notification_channels (
    channel text NOT NULL,
    per_minute integer,
    burst integer NOT NULL DEFAULT 1,
    free_at timestamptz NOT NULL DEFAULT '-infinity',
    CONSTRAINT notification_channels_pk PRIMARY KEY (channel),
    CONSTRAINT notification_channels_channel_check CHECK (channel IN ('push', 'email', 'in_app')),
    CONSTRAINT notification_channels_per_minute_check CHECK (per_minute BETWEEN 1 AND 6000000),
    CONSTRAINT notification_channels_burst_check CHECK (burst BETWEEN 1 AND 100000)
);
COMMENT ON TABLE pulsex.notification_channels IS
'How fast each channel may be served. Belongs to no person; ops.limit_channel() changes it.';
COMMENT ON COLUMN pulsex.notification_channels.per_minute IS 'Leases a minute; null: no limit.';
COMMENT ON COLUMN pulsex.notification_channels.burst IS 'How many may be leased at once after a quiet time.';
COMMENT ON COLUMN pulsex.notification_channels.free_at IS
'When everything leased so far is paid for: the theoretical arrival time of the generic cell rate algorithm (ITU-T
I.371, annex A).';

CREATE TABLE pulsex.notification_waits (
    channel text NOT NULL,
    asleep_until timestamptz NOT NULL DEFAULT '-infinity',
    CONSTRAINT notification_waits_pk PRIMARY KEY (channel),
    CONSTRAINT notification_waits_channel_check CHECK (channel IN ('push', 'email', 'in_app'))
);
COMMENT ON TABLE pulsex.notification_waits IS
'Which channels have a worker asleep that listens for pulsex_notifications. Belongs to no person.';
COMMENT ON COLUMN pulsex.notification_waits.asleep_until IS
'When it wakes by itself; who enqueues something for before then wakes it. -infinity: nobody sleeps.';

-- Partitions and maintenance ----------------------------------------------------------------------------------------

CREATE TABLE ops.partitioned_tables (
    schema_name text NOT NULL,
    table_name text NOT NULL,
    months_each smallint NOT NULL DEFAULT 1,
    months_ahead smallint NOT NULL,
    retention interval,
    CONSTRAINT partitioned_tables_pk PRIMARY KEY (schema_name, table_name),
    CONSTRAINT partitioned_tables_months_each_check CHECK (months_each = 1),
    CONSTRAINT partitioned_tables_months_ahead_check CHECK (months_ahead BETWEEN 0 AND 24),
    CONSTRAINT partitioned_tables_retention_check CHECK (retention >= interval '1 month')
);
COMMENT ON TABLE ops.partitioned_tables IS
'How long the partitions of each partitioned table live. Belongs to no person; operators may change it.';
COMMENT ON COLUMN ops.partitioned_tables.months_each IS 'Months in a partition; so far there are only monthly ones.';
COMMENT ON COLUMN ops.partitioned_tables.months_ahead IS 'Partitions kept ready after this month''s.';
COMMENT ON COLUMN ops.partitioned_tables.retention IS
'A partition is dropped when all of it is older; null: it is kept for ever. At least a month, so that what is being
written never goes.';

CREATE TABLE ops.maintenance_tasks (
    task text NOT NULL,
    succeeded_at timestamptz,
    failed_at timestamptz,
    error text,
    CONSTRAINT maintenance_tasks_pk PRIMARY KEY (task),
    CONSTRAINT maintenance_tasks_error_check
    CHECK (num_nulls(failed_at, error) IN (0, 2) AND char_length(error) <= 2000)
);
COMMENT ON TABLE ops.maintenance_tasks IS
'How each task of ops.run_maintenance() ended the last time. Belongs to no person.';
COMMENT ON COLUMN ops.maintenance_tasks.failed_at IS 'Null when the last time went well.';
COMMENT ON COLUMN ops.maintenance_tasks.error IS 'SQLSTATE and message, at most 2000 characters.';

-- migrate:down
-- loses: every row
DROP SCHEMA pulsex CASCADE;
DROP SCHEMA auth CASCADE;
-- The schema ops stays, since dbmate keeps its record there; what else is in it goes, the latest first.
DO $$
DECLARE
    v_relation record;
    v_routine regprocedure;
BEGIN
    FOR v_relation IN
        SELECT CASE relkind WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END AS kind, oid::regclass AS name
        FROM pg_catalog.pg_class
        WHERE relnamespace = 'ops'::regnamespace AND relkind IN ('r', 'v') AND relname <> 'schema_migrations'
        ORDER BY oid DESC
    LOOP
        EXECUTE format('DROP %s %s', v_relation.kind, v_relation.name);
    END LOOP;
    FOR v_routine IN SELECT oid FROM pg_catalog.pg_proc WHERE pronamespace = 'ops'::regnamespace LOOP
        EXECUTE format('DROP ROUTINE %s', v_routine);
    END LOOP;
END
$$;
COMMENT ON SCHEMA ops IS NULL;
ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON FUNCTIONS TO PUBLIC;
ALTER DEFAULT PRIVILEGES GRANT USAGE ON TYPES TO PUBLIC;
SET LOCAL ROLE pulsex_service;
ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON FUNCTIONS TO PUBLIC;
ALTER DEFAULT PRIVILEGES GRANT USAGE ON TYPES TO PUBLIC;
SET LOCAL ROLE pulsex_owner;
