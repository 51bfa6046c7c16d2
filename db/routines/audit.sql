-- The audit log in use: events that are no row's change, a person's erasure from it, and who reads of whom. What row
-- triggers write is in migration 004; seals and their verification are in audit_seals.sql.

SET LOCAL ROLE pulsex_service;

CREATE OR REPLACE FUNCTION audit.record(p_action text, p_user_id uuid, p_details jsonb DEFAULT '{}') RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = ''
AS $$
BEGIN
    PERFORM audit.write_event(
        coalesce(p_user_id, '00000000-0000-0000-0000-000000000000'), NULL, p_action, coalesce(p_details, '{}')
    );
END
$$;
COMMENT ON FUNCTION audit.record IS
'Writes an event that is no row''s change: read, export, erase, restrict, revoke_sessions, login_failed, … about the
data of p_user_id; null: nobody''s. p_details is a JSON object without secrets. For definer routines alone: nobody else
may call it. It belongs to the transaction, and is rolled back with it. Errors: 23514 an action that isn''t 1 to 60
lower-case letters and underscores.';

-- Erasure -------------------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION audit.begin_erasure(p_user_id uuid) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = ''
AS $$
BEGIN
    EXECUTE format('SET LOCAL pulsex.erasure = %L', audit.erasure_mark(p_user_id));
END
$$;
COMMENT ON FUNCTION audit.begin_erasure IS
'From here to audit.scrub(), or the end of the transaction, nothing is written about this person, since it would only
have to be blotted out again: gdpr.erase_user() says so before it deletes their rows.';

CREATE OR REPLACE FUNCTION audit.scrub(p_user_id uuid, p_tables text[] DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = ''
AS $$
DECLARE
    v_nobody uuid := '00000000-0000-0000-0000-000000000000';
    v_months jsonb;
    v_scrubbed bigint;
BEGIN
    IF p_user_id IS NULL OR p_user_id = v_nobody THEN
        RAISE EXCEPTION 'nobody is no person to erase' USING ERRCODE = 'PT422';
    END IF;
    PERFORM audit.begin_erasure(p_user_id);
    WITH gone AS (
        DELETE FROM audit.events AS e
        WHERE e.user_id = p_user_id AND (p_tables IS NULL OR e.table_name = ANY (p_tables))
        RETURNING e.occurred_at, e.event_id, e.role_name, e.table_name, e.action, e.commitment
    ), blank AS (
        INSERT INTO audit.events (user_id, occurred_at, event_id, role_name, table_name, action, commitment)
        SELECT v_nobody, g.occurred_at, g.event_id, g.role_name, g.table_name, g.action, g.commitment FROM gone AS g
        RETURNING occurred_at
    ), months AS (
        SELECT to_char(b.occurred_at AT TIME ZONE 'UTC', 'YYYY-MM') AS month, count(*) AS events
        FROM blank AS b GROUP BY month
    )
    SELECT jsonb_object_agg(m.month, m.events), coalesce(sum(m.events), 0) INTO v_months, v_scrubbed FROM months AS m;
    SET LOCAL pulsex.erasure = '';
    IF v_scrubbed > 0 THEN
        PERFORM audit.record('scrub', NULL, jsonb_build_object('events', v_months));
    END IF;
    RETURN v_scrubbed;
END
$$;
COMMENT ON FUNCTION audit.scrub IS
'Erases a person from the log, or from its events of p_tables (schema.table; null: all events): payload and salt go, and
the id becomes all zeros; time, role, table, action and commitment stay, so every seal still holds. Returns how many.
How many of which month is recorded as an event, scrub, that is nobody''s: audit.verify() compares it with the blank
events there are. For gdpr.erase_user() alone: nobody else may call it. Ends what audit.begin_erasure() began.
Errors: PT422 no person.';

-- Reading -------------------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION audit.trail(
    p_user_id uuid,
    p_from timestamptz DEFAULT '-infinity',
    p_to timestamptz DEFAULT 'infinity',
    p_limit integer DEFAULT 100
) RETURNS TABLE (
    occurred_at timestamptz,
    event_id uuid,
    role_name text,
    table_name text,
    action text,
    payload jsonb
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
DECLARE
    v_read bigint;
BEGIN
    IF p_user_id IS NULL OR p_limit IS NULL OR p_limit NOT BETWEEN 1 AND 10000 THEN
        RAISE EXCEPTION 'a page of one person''s trail has 1 to 10000 events' USING ERRCODE = 'PT422';
    END IF;
    RETURN QUERY
    SELECT e.occurred_at, e.event_id, e.role_name, e.table_name::text, e.action::text, e.payload FROM audit.events AS e
    WHERE e.user_id = p_user_id AND e.occurred_at >= p_from AND e.occurred_at < p_to
    ORDER BY e.occurred_at DESC, e.event_id DESC LIMIT p_limit;
    GET DIAGNOSTICS v_read = ROW_COUNT;
    PERFORM gdpr.record_access('read', p_user_id, jsonb_build_object(
        'what', 'audit.trail', 'from', p_from, 'to', p_to, 'events', v_read
    ));
END
$$;
COMMENT ON FUNCTION audit.trail IS
'What happened to a person''s data from p_from to before p_to, the newest first; the next page is up to the last
occurred_at of this one. That it was read is an event itself: commit it, since rolling back leaves no trace of the read
but in the server''s own log. Errors: PT422 no person, or p_limit outside 1 to 10000.';
