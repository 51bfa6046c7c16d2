-- What a person allowed, asked for, and had stopped: consents, requests, and the restriction of processing.
--
-- A restricted person's rows are written by nobody but themself, in their session, and by their erasure; triggers on
-- the tables of processing see to it, whoever writes and however. A consent is never changed: giving and withdrawing
-- are rows of one history, and only an erasure takes them away.

-- migrate:up
SET LOCAL lock_timeout = '2s';
SET LOCAL statement_timeout = '60s';

-- All that is in use and touched below: by foreign keys, and by the triggers of a restriction.
SELECT ops.lock_tables('SHARE ROW EXCLUSIVE', '{
    pulsex.users,pulsex.user_preferences,pulsex.user_topics,pulsex.briefing_schedule,pulsex.briefings,
    pulsex.briefing_feedback,pulsex.engagement_daily,pulsex.engagement_marks,pulsex.notifications,
    pulsex.notification_queue
}');

-- Settings -----------------------------------------------------------------------------------------------------------

CREATE TABLE gdpr.settings (
    name text NOT NULL,
    value text,
    reason text NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT settings_pk PRIMARY KEY (name),
    CONSTRAINT settings_value_check CHECK (char_length(value) BETWEEN 1 AND 2000),
    CONSTRAINT settings_reason_check CHECK (char_length(reason) BETWEEN 1 AND 500),
    CONSTRAINT settings_period_check CHECK (
        name NOT IN ('inactive_after', 'inactive_grace', 'backup_horizon')
        OR CASE
            WHEN NOT pg_input_is_valid(value, 'interval') THEN FALSE
            WHEN name = 'backup_horizon' THEN value::interval BETWEEN interval '0' AND interval '10 years'
            ELSE value::interval BETWEEN interval '7 days' AND interval '10 years'
        END
    )
);
COMMENT ON TABLE gdpr.settings IS
'What the controller decides and the record of processing says: periods, names, measures. Belongs to no person;
gdpr.change_setting() changes it.';
COMMENT ON COLUMN gdpr.settings.value IS
'Null: to be stated by the controller. inactive_after and inactive_grace are intervals of 7 days to 10 years,
backup_horizon one of up to 10 years.';
COMMENT ON COLUMN gdpr.settings.reason IS 'Why it has this value, for whoever audits it.';

-- Consents (GDPR Art. 7) ---------------------------------------------------------------------------------------------

CREATE TABLE gdpr.consent_purposes (
    purpose text NOT NULL,
    label text NOT NULL,
    question text NOT NULL,
    CONSTRAINT consent_purposes_pk PRIMARY KEY (purpose),
    CONSTRAINT consent_purposes_purpose_check CHECK (purpose ~ '^[a-z][a-z0-9_]{0,39}$'),
    CONSTRAINT consent_purposes_label_check CHECK (char_length(label) BETWEEN 1 AND 100),
    CONSTRAINT consent_purposes_question_check CHECK (char_length(question) BETWEEN 1 AND 1000)
);
COMMENT ON TABLE gdpr.consent_purposes IS
'What a person can be asked to allow, in plain language (GDPR Art. 7(2)). Belongs to no person; rows are CODE, in
db/gdpr/consents.sql.';
COMMENT ON COLUMN gdpr.consent_purposes.question IS 'What is asked, and what rests on the answer.';

CREATE TABLE gdpr.consents (
    user_id uuid NOT NULL,
    purpose text NOT NULL,
    revision integer NOT NULL,
    is_granted boolean NOT NULL,
    policy_version text NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    recorded_by text NOT NULL,
    CONSTRAINT consents_pk PRIMARY KEY (user_id, purpose, revision),
    CONSTRAINT consents_user_fk FOREIGN KEY (user_id) REFERENCES pulsex.users (user_id),
    CONSTRAINT consents_purpose_fk FOREIGN KEY (purpose) REFERENCES gdpr.consent_purposes (purpose),
    CONSTRAINT consents_revision_check CHECK (revision >= 1),
    CONSTRAINT consents_policy_version_check CHECK (char_length(policy_version) BETWEEN 1 AND 100),
    CONSTRAINT consents_recorded_by_check CHECK (recorded_by IN ('person', 'officer'))
);
ALTER TABLE gdpr.consents ENABLE ROW LEVEL SECURITY;
ALTER TABLE gdpr.consents FORCE ROW LEVEL SECURITY;
COMMENT ON TABLE gdpr.consents IS
'Every consent given and withdrawn, for the controller to demonstrate (GDPR Art. 7(1)). Append-only; the highest
revision of a purpose is what holds, and no row means no: silence is not consent (Recital 32).';
COMMENT ON COLUMN gdpr.consents.revision IS 'Counts a person''s answers to a purpose, from 1.';
COMMENT ON COLUMN gdpr.consents.is_granted IS 'True: given. False: withdrawn, or declined.';
COMMENT ON COLUMN gdpr.consents.policy_version IS 'Which text the person had before them.';
COMMENT ON COLUMN gdpr.consents.recorded_by IS
'person: in their own session; officer: by the data protection officer, who was told on paper or by telephone.';

-- Written once -------------------------------------------------------------------------------------------------------

GRANT CREATE ON SCHEMA gdpr TO pulsex_service;
SET LOCAL ROLE pulsex_service;
CREATE FUNCTION gdpr.refuse_rewriting() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF audit.is_erasing(OLD.user_id) THEN
            RETURN OLD;
        END IF;
    END IF;
    RAISE EXCEPTION 'what was recorded in % is not rewritten', TG_ARGV[0] USING ERRCODE = 'PT403';
END
$$;
COMMENT ON FUNCTION gdpr.refuse_rewriting IS
'Trigger of an append-only table, whose name is the argument: only the erasure of a person takes their rows away, and
nobody updates or truncates, the owner and a superuser neither, unless they disable it or replicate
(session_replication_role), as they may. Errors: PT403.';
GRANT EXECUTE ON FUNCTION gdpr.refuse_rewriting TO pulsex_owner;
SET LOCAL ROLE pulsex_owner;
CREATE TRIGGER consents_refuse_rewriting BEFORE UPDATE OR DELETE ON gdpr.consents
FOR EACH ROW EXECUTE FUNCTION gdpr.refuse_rewriting('gdpr.consents');
CREATE TRIGGER consents_refuse_truncation BEFORE TRUNCATE ON gdpr.consents
FOR EACH STATEMENT EXECUTE FUNCTION gdpr.refuse_rewriting('gdpr.consents');

-- Requests (GDPR Art. 12) ---------------------------------------------------------------------------------------------

CREATE TABLE gdpr.requests (
    user_id uuid NOT NULL,
    request_id uuid NOT NULL DEFAULT uuidv7(),
    kind text NOT NULL,
    details text,
    opened_by text NOT NULL,
    received_at timestamptz NOT NULL,
    time_zone text NOT NULL,
    due_on date NOT NULL,
    due_at timestamptz NOT NULL,
    extended_at timestamptz,
    extension_reason text,
    completed_at timestamptz,
    outcome text,
    outcome_note text,
    CONSTRAINT requests_pk PRIMARY KEY (user_id, request_id),
    CONSTRAINT requests_user_fk FOREIGN KEY (user_id) REFERENCES pulsex.users (user_id),
    CONSTRAINT requests_kind_check CHECK (
        kind IN ('access', 'rectification', 'erasure', 'restriction', 'portability', 'objection')
    ),
    CONSTRAINT requests_details_check CHECK (char_length(details) BETWEEN 1 AND 4000),
    CONSTRAINT requests_opened_by_check CHECK (opened_by IN ('person', 'officer')),
    CONSTRAINT requests_due_at_check CHECK (due_at > received_at),
    CONSTRAINT requests_extension_check CHECK (
        num_nulls(extended_at, extension_reason) IN (0, 2) AND char_length(extension_reason) BETWEEN 1 AND 1000
    ),
    CONSTRAINT requests_completion_check CHECK (num_nulls(completed_at, outcome) IN (0, 2)),
    CONSTRAINT requests_outcome_check CHECK (
        outcome IN ('fulfilled', 'partly_fulfilled', 'refused', 'withdrawn')
        AND (outcome NOT IN ('partly_fulfilled', 'refused') OR outcome_note IS NOT NULL)
    ),
    CONSTRAINT requests_outcome_note_check CHECK (char_length(outcome_note) BETWEEN 1 AND 4000)
);
ALTER TABLE gdpr.requests ENABLE ROW LEVEL SECURITY;
ALTER TABLE gdpr.requests FORCE ROW LEVEL SECURITY;
COMMENT ON TABLE gdpr.requests IS 'What people asked for under GDPR Art. 15 to 21, and by when it is to be answered.';
COMMENT ON COLUMN gdpr.requests.opened_by IS 'person: in their own session; officer: it came by another way.';
COMMENT ON COLUMN gdpr.requests.time_zone IS 'The person''s zone when it came: the calendar that the period runs by.';
COMMENT ON COLUMN gdpr.requests.due_on IS 'The last day for an answer: gdpr.due_date().';
COMMENT ON COLUMN gdpr.requests.due_at IS 'When due_on is over in time_zone: from then on it is overdue.';
COMMENT ON COLUMN gdpr.requests.extension_reason IS 'What the person was told (Art. 12(3)).';
COMMENT ON COLUMN gdpr.requests.outcome_note IS
'What was done, or why not: whoever is refused is told the reasons (Art. 12(4)).';
CREATE INDEX requests_due_at_idx ON gdpr.requests (due_at) WHERE completed_at IS NULL;
COMMENT ON INDEX gdpr.requests_due_at_idx IS 'gdpr.open_requests and ops.health: what is open, the next due first.';

-- Inactive accounts --------------------------------------------------------------------------------------------------

CREATE TABLE gdpr.inactivity_warnings (
    user_id uuid NOT NULL,
    last_active_at timestamptz NOT NULL,
    warned_at timestamptz NOT NULL,
    erase_after timestamptz NOT NULL,
    CONSTRAINT inactivity_warnings_pk PRIMARY KEY (user_id),
    CONSTRAINT inactivity_warnings_user_fk FOREIGN KEY (user_id) REFERENCES pulsex.users (user_id),
    CONSTRAINT inactivity_warnings_order_check CHECK (last_active_at < warned_at AND warned_at < erase_after)
);
ALTER TABLE gdpr.inactivity_warnings ENABLE ROW LEVEL SECURITY;
ALTER TABLE gdpr.inactivity_warnings FORCE ROW LEVEL SECURITY;
COMMENT ON TABLE gdpr.inactivity_warnings IS
'Who was told that their account will be erased, because it isn''t used; the row goes when they come back.';
CREATE INDEX inactivity_warnings_erase_after_idx ON gdpr.inactivity_warnings (erase_after);
COMMENT ON INDEX gdpr.inactivity_warnings_erase_after_idx IS 'gdpr.erase_inactive: whose time of grace is over.';

-- What of it is audited; warnings are worked out from other rows.
CREATE TRIGGER consents_record_change AFTER INSERT OR UPDATE OR DELETE ON gdpr.consents
FOR EACH ROW EXECUTE FUNCTION audit.record_change('gdpr.consents', '=purpose', '=revision');
CREATE TRIGGER requests_record_change AFTER INSERT OR UPDATE OR DELETE ON gdpr.requests
FOR EACH ROW EXECUTE FUNCTION audit.record_change('gdpr.requests', '=request_id');

-- Who sees what ------------------------------------------------------------------------------------------------------

GRANT USAGE ON SCHEMA gdpr TO pulsex_analyst;
GRANT SELECT ON gdpr.consent_purposes TO pulsex_service, pulsex_app, pulsex_privacy;
GRANT SELECT ON gdpr.settings TO pulsex_privacy;
GRANT SELECT, UPDATE ON gdpr.settings TO pulsex_service;
GRANT SELECT, INSERT, DELETE ON gdpr.consents TO pulsex_service;
GRANT SELECT, INSERT, UPDATE, DELETE ON gdpr.requests, gdpr.inactivity_warnings TO pulsex_service;

DO $$
DECLARE
    v_table text;
BEGIN
    FOREACH v_table IN ARRAY '{consents,requests,inactivity_warnings}'::text[] LOOP
        EXECUTE format(
            'CREATE POLICY service_all ON gdpr.%I TO pulsex_service USING (true) WITH CHECK (true)', v_table
        );
        EXECUTE format('COMMENT ON POLICY service_all ON gdpr.%I IS %L', v_table,
            'Definer routines see every row, and check for themselves whose they touch.');
    END LOOP;
END
$$;

-- Restriction of processing (GDPR Art. 18) ---------------------------------------------------------------------------

SET LOCAL ROLE pulsex_service;
CREATE FUNCTION gdpr.refuse_restricted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
AS $$
DECLARE
    v_user_id uuid := CASE TG_OP WHEN 'DELETE' THEN OLD.user_id ELSE NEW.user_id END;
BEGIN
    IF EXISTS (SELECT FROM pulsex.users AS u WHERE u.user_id = v_user_id AND u.status = 'restricted')
        AND auth.current_user_id() IS DISTINCT FROM v_user_id
        AND NOT audit.is_erasing(v_user_id)
    THEN
        PERFORM pulsex.require_unrestricted(v_user_id);
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END
$$;
COMMENT ON FUNCTION gdpr.refuse_restricted IS
'Trigger: a restricted person''s row is written by themself, in their session, or by their erasure, and by nobody else,
whatever their role. Both prove it by a signature under a key that the service alone can read (auth.current_user_id,
audit.is_erasing), so there is no setting by which anybody could open it. Errors: PT403.';
-- For good: pulsex_owner makes the triggers of partitions to come as well.
GRANT EXECUTE ON FUNCTION gdpr.refuse_restricted TO pulsex_owner;
SET LOCAL ROLE pulsex_owner;
DO $$
DECLARE
    v_table text;
BEGIN
    FOREACH v_table IN ARRAY '{
        user_preferences,user_topics,briefings,engagement_daily,engagement_marks,notifications
    }'::text[] LOOP
        EXECUTE format(
            'CREATE TRIGGER %1$s_refuse_restricted BEFORE INSERT OR UPDATE OR DELETE ON pulsex.%1$I
            FOR EACH ROW EXECUTE FUNCTION gdpr.refuse_restricted()', v_table
        );
    END LOOP;
END
$$;
-- Events are only ever inserted, by pulsex.record_events() in the person's session, and a batch has a mark, which is
-- guarded: with a check of each, 20,000 rows were measured to take 0.70 s instead of 0.43 s.
-- A schedule is deleted when a restriction begins, which ends processing and isn't any; ratings expire with the month
-- of the briefings they are about, as these do, since a partition goes for everybody or for nobody.
CREATE TRIGGER briefing_schedule_refuse_restricted BEFORE INSERT OR UPDATE ON pulsex.briefing_schedule
FOR EACH ROW EXECUTE FUNCTION gdpr.refuse_restricted();
CREATE TRIGGER briefing_feedback_refuse_restricted BEFORE INSERT OR UPDATE ON pulsex.briefing_feedback
FOR EACH ROW EXECUTE FUNCTION gdpr.refuse_restricted();
-- Whatever comes into the queue or leaves it comes with a change of its notification, which is guarded; and to put a
-- delivery off is not to hand it out. So of the queue only a lease is refused, and attempts are a log of what happened.
CREATE TRIGGER notification_queue_refuse_lease BEFORE UPDATE ON pulsex.notification_queue
FOR EACH ROW WHEN (new.lease_token IS NOT NULL) EXECUTE FUNCTION gdpr.refuse_restricted();

SET LOCAL ROLE pulsex_service;
REVOKE EXECUTE ON FUNCTION gdpr.refuse_rewriting FROM pulsex_owner;
SET LOCAL ROLE pulsex_owner;
REVOKE CREATE ON SCHEMA gdpr FROM pulsex_service;

-- migrate:down
-- loses: consents, requests, warnings of inactivity, and settings
SET LOCAL lock_timeout = '2s';
SET LOCAL statement_timeout = '60s';
SELECT ops.lock_tables(
    'ACCESS EXCLUSIVE',
    '{pulsex.users}' || array(
        SELECT DISTINCT tgrelid::regclass::text FROM pg_catalog.pg_trigger
        WHERE tgfoid = 'gdpr.refuse_restricted'::regproc AND tgparentid = 0
        ORDER BY 1
    ) || '{gdpr.inactivity_warnings,gdpr.requests,gdpr.consents,gdpr.consent_purposes,gdpr.settings}'
);
DROP FUNCTION gdpr.refuse_restricted() CASCADE;
DROP TABLE gdpr.inactivity_warnings, gdpr.requests, gdpr.consents, gdpr.consent_purposes, gdpr.settings CASCADE;
DROP FUNCTION gdpr.refuse_rewriting();
REVOKE USAGE ON SCHEMA gdpr FROM pulsex_analyst;
