-- Legal holds (GDPR Art. 17(3)(e)): what must not be erased for now, and that it is once it may be.

SET LOCAL ROLE pulsex_service;

CREATE OR REPLACE FUNCTION gdpr.active_holds(p_user_id uuid) RETURNS SETOF gdpr.holds
LANGUAGE plpgsql STABLE SECURITY INVOKER SET search_path = ''
AS $$
BEGIN
    RETURN QUERY
    SELECT h.* FROM gdpr.holds AS h
    WHERE h.user_id = p_user_id AND h.released_at IS NULL AND (h.held_until IS NULL OR h.held_until > now());
END
$$;
COMMENT ON FUNCTION gdpr.active_holds IS 'The legal holds on a person''s data that are neither released nor over.';

CREATE OR REPLACE FUNCTION gdpr.place_hold(
    p_user_id uuid, p_category text, p_reason text, p_until timestamptz DEFAULT NULL
) RETURNS uuid
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
DECLARE
    v_hold_id uuid;
BEGIN
    PERFORM gdpr.require_privacy();
    IF NOT EXISTS (SELECT FROM gdpr.data_map_tables AS t WHERE t.category = p_category) THEN
        RAISE EXCEPTION 'no such category: %', coalesce(p_category, 'null') USING ERRCODE = 'PT422';
    ELSIF p_until <= now() THEN
        RAISE EXCEPTION 'a hold ends in the future' USING ERRCODE = 'PT422';
    END IF;
    PERFORM gdpr.require_reason(p_reason);
    PERFORM gdpr.require_person(p_user_id);
    INSERT INTO gdpr.holds (user_id, category, reason, held_until) VALUES (p_user_id, p_category, p_reason, p_until)
    RETURNING hold_id INTO v_hold_id;
    RETURN v_hold_id;
END
$$;
COMMENT ON FUNCTION gdpr.place_hold IS
'Keeps a category of a person''s data, and the rows that it refers to, from being erased, until p_until or, null, until
gdpr.release_hold(); returns the hold''s id. An erasure that has been had is not undone.
Errors: PT403 for anybody but pulsex_privacy; PT404 no such person; PT422 no such category, no reason of 1 to 500
characters, or p_until is past.';

CREATE OR REPLACE FUNCTION gdpr.release_hold(p_user_id uuid, p_hold_id uuid) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
DECLARE
    v_erasure_id uuid;
BEGIN
    PERFORM gdpr.require_privacy();
    PERFORM FROM pulsex.users AS u WHERE u.user_id = p_user_id FOR UPDATE;
    UPDATE gdpr.holds AS h SET released_at = now()
    WHERE h.user_id = p_user_id AND h.hold_id = p_hold_id AND h.released_at IS NULL
    RETURNING h.erasure_id INTO v_erasure_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such hold' USING ERRCODE = 'PT404';
    ELSIF v_erasure_id IS NULL THEN
        RETURN NULL;
    END IF;
    RETURN gdpr.continue_erasure(p_user_id, v_erasure_id, 'release');
END
$$;
COMMENT ON FUNCTION gdpr.release_hold IS
'Ends a legal hold. If an erasure waited for it, goes on with that, and returns its certificate; else null, and nothing
is erased. Errors: PT403 for anybody but pulsex_privacy; PT404 no such hold, or released before; 25000,
40P01 and 55P03 as gdpr.erase_user().';
