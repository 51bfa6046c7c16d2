-- Who may do what to whose data, and that it is remembered.

SET LOCAL ROLE pulsex_service;

CREATE OR REPLACE FUNCTION gdpr.is_privacy_officer() RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY INVOKER SET search_path = ''
AS $$
DECLARE
    -- Inside a definer routine current_user is its owner, but the setting role still is what the caller became.
    v_role text := nullif(current_setting('role'), 'none');
BEGIN
    RETURN pg_has_role(coalesce(v_role, session_user), 'pulsex_privacy', 'USAGE');
END
$$;
COMMENT ON FUNCTION gdpr.is_privacy_officer IS
'Whether the caller of a definer routine acts as pulsex_privacy, having logged in so or by SET ROLE; a superuser may do
anything anyway.';

CREATE OR REPLACE FUNCTION gdpr.require_privacy() RETURNS void
LANGUAGE plpgsql STABLE SECURITY INVOKER SET search_path = ''
AS $$
BEGIN
    IF NOT gdpr.is_privacy_officer() THEN
        RAISE EXCEPTION 'only for the data protection officer' USING ERRCODE = 'PT403';
    END IF;
END
$$;
COMMENT ON FUNCTION gdpr.require_privacy IS 'Errors: PT403 unless the caller acts as pulsex_privacy.';

CREATE OR REPLACE FUNCTION gdpr.require_self_or_privacy(p_user_id uuid) RETURNS void
LANGUAGE plpgsql STABLE SECURITY INVOKER SET search_path = ''
AS $$
BEGIN
    IF NOT gdpr.is_privacy_officer() THEN
        PERFORM pulsex.require_self(p_user_id);
    END IF;
END
$$;
COMMENT ON FUNCTION gdpr.require_self_or_privacy IS
'Errors: PT403 unless the caller acts as pulsex_privacy, or in a session of p_user_id.';

CREATE OR REPLACE FUNCTION gdpr.require_reason(p_reason text) RETURNS void
LANGUAGE plpgsql IMMUTABLE SECURITY INVOKER SET search_path = ''
AS $$
BEGIN
    IF (char_length(p_reason) <= 500 AND btrim(p_reason) <> '') IS NOT TRUE THEN
        RAISE EXCEPTION 'this is done for a reason, of 1 to 500 characters' USING ERRCODE = 'PT422';
    END IF;
END
$$;
COMMENT ON FUNCTION gdpr.require_reason IS
'What a routine of the officer''s that is done for a reason asks first. Errors: PT422 no reason, a blank one, or one
over 500 characters.';

CREATE OR REPLACE FUNCTION gdpr.require_person(p_user_id uuid) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = ''
AS $$
BEGIN
    PERFORM FROM pulsex.users AS u WHERE u.user_id = p_user_id FOR KEY SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such person' USING ERRCODE = 'PT404';
    END IF;
END
$$;
COMMENT ON FUNCTION gdpr.require_person IS
'Makes sure that the person is there and is not erased before this transaction ends: whatever it writes about them, an
erasure waits for and finds. Errors: PT404 nobody has this id, or not any more.';

CREATE OR REPLACE FUNCTION gdpr.record_access(p_action text, p_user_id uuid, p_details jsonb DEFAULT '{}')
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = ''
AS $$
BEGIN
    -- Of who isn't there nothing is written down: not the id of somebody erased. And who is there isn't erased before
    -- what is written is there to be found.
    PERFORM audit.record(
        p_action, (SELECT u.user_id FROM pulsex.users AS u WHERE u.user_id = p_user_id FOR KEY SHARE), p_details
    );
END
$$;
COMMENT ON FUNCTION gdpr.record_access IS
'Writes to the audit log that somebody''s data were exported, read or erased: under their id while they are there, under
nobody''s otherwise.';
