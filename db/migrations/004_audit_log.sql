-- The audit log: who did what to whose data, when, and proof that nobody has touched the record of it since.
--
-- A row trigger on every table that holds personal data writes one event per changed row. An event keeps whatever could
-- tell of a person in its payload, and beside it a commitment to that payload: SHA-256 over a random salt and the
-- payload. Seals cover commitments, never payloads, so a person can be erased from the log (payload, salt and id go)
-- and the seals still hold; and whoever changes a payload has a commitment that no longer fits.
--
-- How an event comes under a seal. Its writer leaves its id in audit.unsealed_events, which has no index and no lock to
-- share. audit.seal() takes the ids that it can see, in one statement, and notes them in the seal's contents; an id
-- whose transaction commits later, however early the event, is simply there for the next seal. So no writer waits for
-- the sealer nor the sealer for a writer, and each event is sealed exactly once, under any isolation level. Ranges of
-- time or of event ids would miss whoever commits late; ranges of transaction ids would not, but they mean nothing
-- after a dump is restored elsewhere, and one long transaction anywhere in the cluster would hold sealing back. Ids are
-- plain rows: they survive a restore, an upgrade and replication, and 16 bytes an event is what that costs.

-- migrate:up
SET LOCAL lock_timeout = '2s';
SET LOCAL statement_timeout = '60s';

CREATE SCHEMA audit;
COMMENT ON SCHEMA audit IS 'The append-only log of changes to personal data, and its seals.';

-- Domains, since every statement reads and compiles a table's CHECKs anew, and each event is written by a statement of
-- its own; a domain's constraint is kept ready. What squawk warns of, that adding a constraint to a domain reads every
-- row, doesn't come up: these are bounds of names and of SHA-256, which nothing makes narrower.
-- squawk-ignore ban-create-domain-with-constraint
CREATE DOMAIN audit.action AS text CONSTRAINT action_check CHECK (value ~ '^[a-z_]+$' AND octet_length(value) <= 60);
COMMENT ON DOMAIN audit.action IS 'What happened: 1 to 60 lower-case letters and underscores.';
-- The length apart, since a bound within the expression takes ten times as long to match.
-- squawk-ignore ban-create-domain-with-constraint
CREATE DOMAIN audit.table_name AS text CONSTRAINT table_name_check CHECK (
    value ~ '^[a-z0-9_]+\.[a-z0-9_]+$' AND octet_length(value) <= 127
);
COMMENT ON DOMAIN audit.table_name IS
'A table as schema.table, in lower-case letters, digits and underscores; 127 octets at most.';
-- squawk-ignore ban-create-domain-with-constraint
CREATE DOMAIN audit.digest AS bytea CONSTRAINT digest_check CHECK (octet_length(value) = 32);
COMMENT ON DOMAIN audit.digest IS 'A SHA-256: 32 octets.';

CREATE TABLE audit.events (
    user_id uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    occurred_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    event_id uuid NOT NULL DEFAULT uuidv7(),
    role_name text NOT NULL DEFAULT session_user,
    table_name audit.table_name,
    action audit.action NOT NULL,
    payload jsonb,
    salt bytea,
    commitment audit.digest NOT NULL,
    CONSTRAINT events_pk PRIMARY KEY (user_id, occurred_at, event_id),
    CONSTRAINT events_payload_check CHECK (
        (payload IS NULL) = (salt IS NULL)
        AND (payload IS NOT NULL OR user_id = '00000000-0000-0000-0000-000000000000')
    )
) PARTITION BY RANGE (occurred_at);
ALTER TABLE audit.events ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit.events FORCE ROW LEVEL SECURITY;
CREATE INDEX events_occurred_at_idx ON audit.events USING brin (occurred_at);
COMMENT ON INDEX audit.events_occurred_at_idx IS
'audit.seal: the events of the last hours, among a month''s, which arrive nearly in order of time.';
COMMENT ON TABLE audit.events IS
'What happened to personal data, one row an event; a partition a month (UTC). Append-only for everybody: UPDATE, DELETE
and TRUNCATE raise PT403, but for a person''s erasure, in which audit.scrub() replaces their events by blank ones.';
COMMENT ON COLUMN audit.events.user_id IS
'Whose data; all zeros where it is nobody''s, or was somebody''s who is erased.';
COMMENT ON COLUMN audit.events.occurred_at IS 'By the clock, not the transaction''s time.';
COMMENT ON COLUMN audit.events.role_name IS
'The role that logged in (session_user): inside definer routines current_user would be theirs.';
COMMENT ON COLUMN audit.events.table_name IS 'schema.table of the changed row; null: no row changed.';
COMMENT ON COLUMN audit.events.action IS
'insert, update or delete of a row, or what else happened: login_failed, revoke_sessions, read, export, erase, …';
COMMENT ON COLUMN audit.events.payload IS
'All that may tell of a person: user_id, whose; by, who acted: self, or another person (absent: no person''s session, a
service); of a row its key and its old and new values, those that changed where it was updated, and in withheld the
names of columns that changed but are secret; else the details. Null once the person is erased.';
COMMENT ON COLUMN audit.events.salt IS
'16 random bytes, without which a short payload could be guessed from its commitment; null once the person is erased.';
COMMENT ON COLUMN audit.events.commitment IS 'SHA-256 of salt and payload; it stays for ever, and tells nothing alone.';

CREATE TABLE audit.unsealed_events (
    occurred_at timestamptz NOT NULL,
    event_id uuid NOT NULL
);
ALTER TABLE audit.unsealed_events ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit.unsealed_events FORCE ROW LEVEL SECURITY;
COMMENT ON TABLE audit.unsealed_events IS
'The events that no seal covers yet: each writer adds its own, audit.seal() takes them away. Without a key, since an
index would cost every writer and serve nobody: it is read whole, and short. It names no person. Where events are
distributed each node has its own, with seals of its own.';

CREATE TABLE audit.seals (
    seal_id bigint NOT NULL,
    sealed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    kept_from timestamptz NOT NULL,
    month date NOT NULL,
    first_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    events integer NOT NULL,
    contents_digest audit.digest NOT NULL,
    digest audit.digest NOT NULL,
    CONSTRAINT seals_pk PRIMARY KEY (seal_id),
    CONSTRAINT seals_seal_id_check CHECK (seal_id > 0),
    CONSTRAINT seals_events_check CHECK (events > 0)
);
ALTER TABLE audit.seals ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit.seals FORCE ROW LEVEL SECURITY;
COMMENT ON TABLE audit.seals IS
'The chain: each seal''s digest covers the one before it and the events of one batch, all of one month, so that a month
can be dropped whole. Append-only, for ever, and tells of nobody: UPDATE, DELETE and TRUNCATE raise PT403.';
COMMENT ON COLUMN audit.seals.seal_id IS '1, 2, 3, … without a gap; the key is what keeps the chain from forking.';
COMMENT ON COLUMN audit.seals.kept_from IS
'The retention of audit.events as it was at this seal: what happened before this may be gone. Never earlier than the
seal''s before.';
COMMENT ON COLUMN audit.seals.month IS 'The first day of its events'' month (UTC).';
COMMENT ON COLUMN audit.seals.contents_digest IS
'SHA-256 over audit.event_digest() of each of its events, in the order of event_id.';
COMMENT ON COLUMN audit.seals.digest IS 'audit.seal_digest() of the previous digest and this row.';

CREATE TABLE audit.seal_contents (
    seal_id bigint NOT NULL,
    event_ids uuid[] NOT NULL,
    CONSTRAINT seal_contents_pk PRIMARY KEY (seal_id),
    CONSTRAINT seal_contents_seal_fk FOREIGN KEY (seal_id) REFERENCES audit.seals (seal_id)
);
ALTER TABLE audit.seal_contents ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit.seal_contents FORCE ROW LEVEL SECURITY;
COMMENT ON TABLE audit.seal_contents IS
'Which events a seal covers, until their month expires. It proves nothing by itself and is guarded by nothing: whoever
changes it makes the seal''s contents_digest fail.';

-- A person's erasure, the only exception ------------------------------------------------------------------------------

GRANT CREATE, USAGE ON SCHEMA audit TO pulsex_service;
SET LOCAL ROLE pulsex_service;

CREATE FUNCTION audit.erasure_mark(p_user_id uuid) RETURNS text
LANGUAGE plpgsql STABLE SECURITY INVOKER SET search_path = ''
AS $$
DECLARE
    v_subject bytea := convert_to('erasure of ' || p_user_id, 'UTF8')
        || timestamptz_send(now()) || int4send(pg_backend_pid());
BEGIN
    RETURN (
        SELECT p_user_id || '.' || encode(sha256(k.outer_pad || sha256(k.inner_pad || v_subject)), 'hex')
        FROM auth.signing_key AS k
    );
END
$$;
COMMENT ON FUNCTION audit.erasure_mark IS
'What stands in pulsex.erasure while a person is being erased: their id, and HMAC-SHA256 (RFC 2104) over it, the start
of this transaction and the backend''s pid, under the key that signs contexts. Anybody may set pulsex.erasure; only the
service can work out what to set it to.';

CREATE FUNCTION audit.is_erasing(p_user_id uuid) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY INVOKER SET search_path = ''
AS $$
BEGIN
    IF current_setting('pulsex.erasure', true) LIKE p_user_id || '.%' THEN
        RETURN current_setting('pulsex.erasure') = audit.erasure_mark(p_user_id);
    END IF;
    RETURN FALSE;
END
$$;
COMMENT ON FUNCTION audit.is_erasing IS
'True while this transaction erases this person: audit.begin_erasure() said so.';

CREATE FUNCTION audit.refuse_change() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
AS $$
BEGIN
    IF TG_ARGV[0] = 'audit.events' AND TG_OP = 'DELETE' THEN
        IF audit.is_erasing(OLD.user_id) THEN
            RETURN OLD;
        END IF;
    END IF;
    RAISE EXCEPTION 'the audit log is append-only' USING ERRCODE = 'PT403';
END
$$;
COMMENT ON FUNCTION audit.refuse_change IS
'Trigger: nobody changes the log, a superuser neither, unless they take the trigger away, which audit.verify() reports.
The one exception are the events of a person who is being erased. Its argument is the table. Errors: PT403.';

-- What is written -----------------------------------------------------------------------------------------------------

CREATE FUNCTION audit.write_event(p_user_id uuid, p_table text, p_action text, p_details jsonb) RETURNS uuid
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = ''
AS $$
DECLARE
    v_occurred_at timestamptz := clock_timestamp();
    v_event_id uuid := uuidv7();
    v_salt bytea := uuid_send(gen_random_uuid());
    v_actor uuid;
    v_payload jsonb;
BEGIN
    IF current_setting('pulsex.erasure', true) <> '' AND audit.is_erasing(p_user_id) THEN
        RETURN NULL;
    END IF;
    -- What workers write has no context, so there is no signature to check.
    IF current_setting('pulsex.context', true) <> '' THEN
        v_actor := auth.current_user_id();
    END IF;
    v_payload := p_details || CASE
        WHEN v_actor = p_user_id THEN jsonb_build_object('user_id', p_user_id, 'by', 'self')
        WHEN v_actor IS NOT NULL THEN jsonb_build_object('user_id', p_user_id, 'by', 'another')
        ELSE jsonb_build_object('user_id', p_user_id)
    END;
    INSERT INTO audit.events (user_id, occurred_at, event_id, table_name, action, payload, salt, commitment)
    VALUES (
        p_user_id, v_occurred_at, v_event_id, p_table, p_action, v_payload, v_salt,
        sha256(v_salt || convert_to(v_payload::text, 'UTF8'))
    );
    INSERT INTO audit.unsealed_events (occurred_at, event_id) VALUES (v_occurred_at, v_event_id);
    RETURN v_event_id;
END
$$;
COMMENT ON FUNCTION audit.write_event IS
'Writes one event about the data of p_user_id, and that no seal covers it yet; returns its id. by is the person whose
session this transaction proved: self, or another, who isn''t named: their id would be their personal data in somebody
else''s record, out of reach of their erasure. About a person who is being erased nothing is written: null.
Errors: 23514 no partition is for the present month, or an action that is none.';

CREATE FUNCTION audit.record_change() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
-- A session that rounds numbers must not make two of them look alike.
SET search_path = '' SET extra_float_digits = 1 SET bytea_output = 'hex'
AS $$
DECLARE
    v_old jsonb;
    v_new jsonb;
    v_is_update boolean := OLD.user_id = NEW.user_id;  -- null where nothing is old, or nothing new
    v_same text[] := '{}';
    v_key jsonb := '{}';
    v_withheld text[];
    v_argument text;
    v_column text;
    v_details jsonb;
    v_event_id uuid;  -- unread: an assignment just calls a function, while PERFORM runs a query
BEGIN
    IF TG_OP = 'DELETE' THEN
        -- Nothing is written about who is being erased, so nothing is worked out.
        IF audit.is_erasing(OLD.user_id) THEN
            RETURN NULL;
        END IF;
    END IF;
    v_old := to_jsonb(OLD);
    v_new := to_jsonb(NEW);
    IF v_is_update THEN
        v_same := ARRAY(
            SELECT n.key FROM jsonb_each(v_new) AS n WHERE n.value = v_old -> n.key OR n.key = 'updated_at'
        );
    END IF;
    FOREACH v_argument IN ARRAY TG_ARGV[1:] LOOP
        v_column := substr(v_argument, 2);
        IF v_argument LIKE '=%' THEN
            CONTINUE WHEN v_is_update IS NOT TRUE;
            v_key := v_key || jsonb_build_object(v_column, v_new -> v_column);
        ELSIF v_column = ANY (v_same) THEN
            CONTINUE;
        ELSIF v_argument LIKE '#%' THEN
            v_old := v_old
                || jsonb_build_object(v_column, encode(sha256(convert_to(v_old ->> v_column, 'UTF8')), 'hex'));
            v_new := v_new
                || jsonb_build_object(v_column, encode(sha256(convert_to(v_new ->> v_column, 'UTF8')), 'hex'));
        ELSE
            v_withheld := v_withheld || v_column;
        END IF;
    END LOOP;
    v_old := v_old - (v_same || v_withheld);
    v_new := v_new - (v_same || v_withheld);

    IF v_is_update THEN
        IF v_new <> '{}' OR v_withheld IS NOT NULL THEN
            v_details := jsonb_build_object('key', v_key, 'old', v_old, 'new', v_new);
            IF v_withheld IS NOT NULL THEN
                v_details := v_details || jsonb_build_object('withheld', v_withheld);
            END IF;
            v_event_id := audit.write_event(NEW.user_id, TG_ARGV[0], 'update', v_details);
        END IF;
        RETURN NULL;
    END IF;
    -- A row that passes to another person is gone from the one and new to the other; neither's record names both.
    IF v_old IS NOT NULL THEN
        v_event_id := audit.write_event(OLD.user_id, TG_ARGV[0], 'delete', jsonb_build_object('old', v_old));
    END IF;
    IF v_new IS NOT NULL THEN
        v_event_id := audit.write_event(NEW.user_id, TG_ARGV[0], 'insert', jsonb_build_object('new', v_new));
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION audit.record_change IS
'Trigger, after a row is inserted, updated or deleted: writes the event. Its arguments are the table as schema.table,
then =column for each column of the key but user_id, -column for a secret, whose value is never recorded, and #column
for what is recorded by its SHA-256 in hexadecimal, of the text of a JSON document as it is of text. An insert is
recorded with the whole row, so that every later state follows from the log; a delete with what was there; an update
with its key and what changed, old and new, and nothing when nothing did. updated_at is left out of updates: the event
has a time.';

-- pulsex_owner makes the triggers below and those of partitions to come. Nobody can call a trigger function otherwise.
GRANT EXECUTE ON FUNCTION audit.record_change, audit.refuse_change TO pulsex_owner;
SET LOCAL ROLE pulsex_owner;
REVOKE CREATE ON SCHEMA audit FROM pulsex_service;

CREATE TRIGGER events_refuse_truncate BEFORE TRUNCATE ON audit.events
FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change('audit.events');
COMMENT ON TRIGGER events_refuse_truncate ON audit.events IS
'Each partition has this and events_refuse_change of its own, made with it: so they guard it by its own name too, and
after it is detached.';
CREATE TRIGGER seals_refuse_change BEFORE UPDATE OR DELETE ON audit.seals
FOR EACH ROW EXECUTE FUNCTION audit.refuse_change('audit.seals');
CREATE TRIGGER seals_refuse_truncate BEFORE TRUNCATE ON audit.seals
FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change('audit.seals');
-- In a session_replication_role of replica too.
ALTER TABLE audit.events ENABLE ALWAYS TRIGGER events_refuse_truncate;
ALTER TABLE audit.seals ENABLE ALWAYS TRIGGER seals_refuse_change;
ALTER TABLE audit.seals ENABLE ALWAYS TRIGGER seals_refuse_truncate;

-- Who may do what with the log ----------------------------------------------------------------------------------------

GRANT USAGE ON SCHEMA audit TO pulsex_worker, pulsex_privacy;
GRANT SELECT, INSERT, DELETE ON audit.events, audit.unsealed_events, audit.seal_contents TO pulsex_service;
GRANT SELECT, INSERT ON audit.seals TO pulsex_service;
DO $$
DECLARE
    v_table text;
BEGIN
    FOREACH v_table IN ARRAY '{events,unsealed_events,seals,seal_contents}'::text[] LOOP
        EXECUTE format(
            'CREATE POLICY service_all ON audit.%I TO pulsex_service USING (true) WITH CHECK (true)', v_table
        );
        EXECUTE format('COMMENT ON POLICY service_all ON audit.%I IS %L', v_table,
            'Definer routines see every row, and check for themselves whose they touch.');
    END LOOP;
END
$$;

-- Its partitions ------------------------------------------------------------------------------------------------------

-- A year, which PCI DSS 4.0 (10.5.1) asks for and beyond which CNIL (2021-122) sees no need, and the month under way.
INSERT INTO ops.partitioned_tables (schema_name, table_name, months_ahead, retention)
VALUES ('audit', 'events', 3, '13 months');
-- The next change is recorded when this commits. Where people are at work already, that is before this release's
-- routines come; the routine that makes partitions is there, since the last release brought it.
DO $$
BEGIN
    IF to_regproc('ops.ensure_partitions') IS NOT NULL THEN
        PERFORM ops.ensure_partitions();
    END IF;
END
$$;

-- What is audited -----------------------------------------------------------------------------------------------------
-- Every table with personal data, but for high-volume streams that are logs themselves, and the insides of queues:
-- engagement_events, engagement_daily, briefing_schedule, notification_queue, notification_attempts.

SELECT ops.lock_tables('SHARE ROW EXCLUSIVE', '{
    pulsex.users,pulsex.user_preferences,pulsex.user_topics,auth.identities,auth.passwords,auth.sessions,
    auth.one_time_tokens,pulsex.briefings,pulsex.briefing_feedback,pulsex.devices,pulsex.push_token_owners,
    pulsex.notifications,pulsex.unsubscriptions
}');
CREATE TRIGGER users_record_change AFTER INSERT OR UPDATE OR DELETE ON pulsex.users
FOR EACH ROW EXECUTE FUNCTION audit.record_change('pulsex.users');
CREATE TRIGGER user_preferences_record_change AFTER INSERT OR UPDATE OR DELETE ON pulsex.user_preferences
FOR EACH ROW EXECUTE FUNCTION audit.record_change('pulsex.user_preferences');
CREATE TRIGGER user_topics_record_change AFTER INSERT OR UPDATE OR DELETE ON pulsex.user_topics
FOR EACH ROW EXECUTE FUNCTION audit.record_change('pulsex.user_topics', '=topic_id');
CREATE TRIGGER identities_record_change AFTER INSERT OR UPDATE OR DELETE ON auth.identities
FOR EACH ROW EXECUTE FUNCTION audit.record_change('auth.identities', '=provider', '=subject');

-- Each failed login is an event of its own (auth.record_login), a decoy's as a person's: so these don't add another,
-- which would take time that tells the two apart.
CREATE TRIGGER passwords_record_change
AFTER INSERT OR UPDATE OF user_id, password_hash, changed_at OR DELETE ON auth.passwords
FOR EACH ROW EXECUTE FUNCTION audit.record_change('auth.passwords', '-password_hash');

-- That a session was used (last_used_at, every five minutes) is no change that an auditor asks for.
CREATE TRIGGER sessions_record_change
AFTER INSERT OR DELETE OR UPDATE OF
user_id, session_id, token_hash, family_id, created_at, expires_at, revoked_at, ip_address, user_agent ON auth.sessions
FOR EACH ROW EXECUTE FUNCTION audit.record_change('auth.sessions', '=session_id', '-token_hash');
CREATE TRIGGER one_time_tokens_record_change AFTER INSERT OR UPDATE OR DELETE ON auth.one_time_tokens
FOR EACH ROW EXECUTE FUNCTION audit.record_change('auth.one_time_tokens', '=purpose', '-token_hash');

-- The document by its digest, since it is large and versioned; what it is found by follows from it.
CREATE TRIGGER briefings_record_change AFTER INSERT OR UPDATE OR DELETE ON pulsex.briefings
FOR EACH ROW EXECUTE FUNCTION audit.record_change(
    'pulsex.briefings', '=briefing_date', '=edition', '#content', '-search'
);
CREATE TRIGGER briefing_feedback_record_change AFTER INSERT OR UPDATE OR DELETE ON pulsex.briefing_feedback
FOR EACH ROW EXECUTE FUNCTION audit.record_change(
    'pulsex.briefing_feedback', '=briefing_date', '=edition', '=item_id'
);

-- A push token authorises nobody to read anything, but it is an address. That it is the same one, or another, is what
-- an auditor asks: its digest says so, and is the key of push_token_owners, so that the two records can be joined.
CREATE TRIGGER devices_record_change AFTER INSERT OR DELETE OR UPDATE OF
user_id, device_id, platform, push_token, retired_at ON pulsex.devices
FOR EACH ROW EXECUTE FUNCTION audit.record_change('pulsex.devices', '=device_id', '#push_token');
CREATE TRIGGER push_token_owners_record_change AFTER INSERT OR UPDATE OR DELETE ON pulsex.push_token_owners
FOR EACH ROW EXECUTE FUNCTION audit.record_change('pulsex.push_token_owners', '=push_token_hash');
CREATE TRIGGER notifications_record_change AFTER INSERT OR UPDATE OR DELETE ON pulsex.notifications
FOR EACH ROW EXECUTE FUNCTION audit.record_change('pulsex.notifications', '=notification_id');
CREATE TRIGGER unsubscriptions_record_change AFTER INSERT OR UPDATE OR DELETE ON pulsex.unsubscriptions
FOR EACH ROW EXECUTE FUNCTION audit.record_change('pulsex.unsubscriptions', '=channel', '=kind');

-- migrate:down
-- loses: every event of the audit log and every seal; the triggers go with their function
SET LOCAL lock_timeout = '2s';
SET LOCAL statement_timeout = '60s';
SELECT ops.lock_tables('ACCESS EXCLUSIVE', array(
    SELECT DISTINCT tgrelid::regclass::text FROM pg_catalog.pg_trigger
    WHERE tgfoid = 'audit.record_change'::regproc AND tgparentid = 0
    ORDER BY 1
));
DROP SCHEMA audit CASCADE;
DELETE FROM ops.partitioned_tables
WHERE schema_name = 'audit';
