-- Consent (GDPR Art. 7): what is asked, who said what when, and what holds now.

SET LOCAL ROLE pulsex_owner;

INSERT INTO gdpr.consent_purposes (purpose, label, question) VALUES
(
    'analytics', 'Learning from what you read',
    'May we record what you open, click, save and how long you read, to count what is read and to make your briefings
better? Without it your briefings come all the same.'
),
(
    'marketing', 'News about PulseX itself',
    'May we tell you about offers and new features? Without it you are told only what belongs to the service.'
)
ON CONFLICT ON CONSTRAINT consent_purposes_pk DO UPDATE SET label = excluded.label, question = excluded.question;

-- The person's side and the officer's: SECURITY DEFINER, so that these routines alone write the history ------
SET LOCAL ROLE pulsex_service;

CREATE OR REPLACE FUNCTION gdpr.record_consent(
    p_user_id uuid,
    p_purpose text,
    p_granted boolean,
    p_policy_version text
) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
BEGIN
    PERFORM gdpr.require_self_or_privacy(p_user_id);
    IF p_granted IS NULL OR p_policy_version IS NULL THEN
        RAISE EXCEPTION 'a consent is a yes or a no, to some version of a policy' USING ERRCODE = 'PT422';
    END IF;
    -- Of two answers at once, the later counts on from the earlier.
    PERFORM FROM pulsex.users AS u WHERE u.user_id = p_user_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such user' USING ERRCODE = 'PT404';
    ELSIF NOT EXISTS (SELECT FROM gdpr.consent_purposes AS a WHERE a.purpose = p_purpose) THEN
        RAISE EXCEPTION 'nobody is asked for consent to this' USING ERRCODE = 'PT422';
    END IF;
    INSERT INTO gdpr.consents (user_id, purpose, revision, is_granted, policy_version, recorded_by)
    SELECT
        p_user_id, p_purpose, coalesce(max(c.revision), 0) + 1, p_granted, p_policy_version,
        CASE WHEN auth.current_user_id() = p_user_id THEN 'person' ELSE 'officer' END
    FROM gdpr.consents AS c
    WHERE c.user_id = p_user_id AND c.purpose = p_purpose;
END
$$;
COMMENT ON FUNCTION gdpr.record_consent IS
'Remembers that a person gave their consent to a purpose of gdpr.consent_purposes (p_granted true), or withdrew or
declined it (false), with p_policy_version, the text they had before them, before them. Withdrawing is the same call as
giving, and takes effect with the next statement of anybody (GDPR Art. 7(3)).
Errors: PT403 somebody else''s; PT404 no such user; PT422 an unknown purpose or a null; 23514 a version of no or over
100 characters.';

CREATE OR REPLACE FUNCTION gdpr.has_consent(p_user_id uuid, p_purpose text) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY INVOKER SET search_path = ''
AS $$
BEGIN
    RETURN coalesce((
        SELECT c.is_granted FROM gdpr.consents AS c
        WHERE c.user_id = p_user_id AND c.purpose = p_purpose
        ORDER BY c.revision DESC LIMIT 1
    ), FALSE);
END
$$;
COMMENT ON FUNCTION gdpr.has_consent IS
'Whether a person''s consent to a purpose holds now. False when they were never asked: silence is not consent (Recital
32). For the routines that rest on it.';

CREATE OR REPLACE FUNCTION gdpr.has_withdrawn(p_user_id uuid, p_purpose text) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY INVOKER SET search_path = ''
AS $$
BEGIN
    RETURN coalesce((
        SELECT NOT c.is_granted FROM gdpr.consents AS c
        WHERE c.user_id = p_user_id AND c.purpose = p_purpose
        ORDER BY c.revision DESC LIMIT 1
    ), FALSE);
END
$$;
COMMENT ON FUNCTION gdpr.has_withdrawn IS
'Whether a person''s last answer to a purpose is no: what was recorded with their consent isn''t worked on any more.
False when they were never asked.';

CREATE OR REPLACE FUNCTION gdpr.visible_people() RETURNS TABLE (user_id uuid)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER ROWS 10000 SET search_path = ''
AS $$
BEGIN
    IF gdpr.is_privacy_officer() THEN
        PERFORM gdpr.record_look(NULL, 'list of people');
        RETURN QUERY SELECT u.user_id FROM pulsex.users AS u;
    ELSE
        RETURN QUERY SELECT u.user_id FROM pulsex.users AS u WHERE u.user_id = auth.current_user_id();
    END IF;
END
$$;
COMMENT ON FUNCTION gdpr.visible_people IS
'Whom the caller may look at through a view: the data protection officer everybody, a person themself, others nobody. A
view that joins a routine to it LATERAL asks the routine only about those whom a condition on user_id leaves. That the
officer had the list is logged.';

CREATE OR REPLACE FUNCTION gdpr.consent_history(p_user_id uuid)
RETURNS TABLE (
    purpose text,
    revision integer,
    is_granted boolean,
    policy_version text,
    recorded_at timestamptz,
    recorded_by text,
    is_current boolean
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER ROWS 4 SET search_path = ''
AS $$
BEGIN
    PERFORM gdpr.require_self_or_privacy(p_user_id);
    PERFORM gdpr.record_look(p_user_id, 'consents');
    RETURN QUERY
    SELECT
        c.purpose, c.revision, c.is_granted, c.policy_version, c.recorded_at, c.recorded_by,
        c.revision = max(c.revision) OVER (PARTITION BY c.purpose)
    FROM gdpr.consents AS c
    WHERE c.user_id = p_user_id
    ORDER BY c.purpose, c.revision;
END
$$;
COMMENT ON FUNCTION gdpr.consent_history IS
'Every answer of a person to every purpose, and which are the current ones. Logged, when the officer looks.
Errors: PT403 somebody else''s.';

SET LOCAL ROLE pulsex_owner;

CREATE OR REPLACE VIEW gdpr.current_consents WITH (security_invoker = TRUE, security_barrier = TRUE) AS
SELECT
    p.user_id,
    c.purpose,
    c.is_granted,
    c.policy_version,
    c.recorded_at,
    c.recorded_by
FROM gdpr.visible_people() AS p
CROSS JOIN LATERAL gdpr.consent_history(p.user_id) AS c
WHERE c.is_current;
COMMENT ON VIEW gdpr.current_consents IS
'What holds now: one row for each purpose that a person ever answered to. To a person their own; to the data protection
officer everybody''s, each look at a person logged, so name the user_id.';
