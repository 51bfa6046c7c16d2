-- Who sees what, on one page.
--
-- A person reaches their own rows and no others: every policy for pulsex_app compares user_id with (SELECT
-- auth.current_user_id()), which is null unless this transaction proved a session. The sub-select makes the planner
-- call it once per statement instead of once per row, and use the index on user_id. Policies say which rows, grants
-- say which columns and verbs; what isn't granted here is granted nowhere. Partitions are reached through their parent;
-- by name only by the service, which nobody logs in as: for backups, and for what an erasure finds detached.

-- migrate:up
SET LOCAL lock_timeout = '2s';
SET LOCAL statement_timeout = '60s';

-- Who is asking -------------------------------------------------------------------------------------------------------

GRANT CREATE, USAGE ON SCHEMA auth TO pulsex_service;
GRANT SELECT ON auth.signing_key TO pulsex_service;
SET LOCAL ROLE pulsex_service;

CREATE FUNCTION auth.current_user_id() RETURNS uuid
LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL RESTRICTED SET search_path = ''
AS $$
DECLARE
    -- As octets, whose places needn't be counted out like those of a text's characters.
    v_context bytea := convert_to(current_setting('pulsex.context', true), 'UTF8');
    v_subject bytea;
    v_inner_pad bytea;
    v_outer_pad bytea;
BEGIN
    IF octet_length(v_context) IS DISTINCT FROM 101 THEN
        RETURN NULL;
    END IF;
    v_subject := substring(v_context, 1, 36) || timestamptz_send(now()) || int4send(pg_backend_pid());
    SELECT k.inner_pad, k.outer_pad INTO v_inner_pad, v_outer_pad FROM auth.signing_key AS k;
    IF convert_to(encode(sha256(v_outer_pad || sha256(v_inner_pad || v_subject)), 'hex'), 'UTF8')
        = substring(v_context, 38)
    THEN
        RETURN convert_from(substring(v_context, 1, 36), 'UTF8')::uuid;
    END IF;
    -- Only who signed before the key was rotated needs the one before, so nobody else waits for it.
    SELECT k.previous_inner_pad, k.previous_outer_pad INTO v_inner_pad, v_outer_pad FROM auth.signing_key AS k;
    IF convert_to(encode(sha256(v_outer_pad || sha256(v_inner_pad || v_subject)), 'hex'), 'UTF8')
        = substring(v_context, 38)
    THEN
        RETURN convert_from(substring(v_context, 1, 36), 'UTF8')::uuid;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION auth.current_user_id IS
'The user that auth.use_session() proved in this very transaction, or null. It trusts nothing but the signature:
HMAC-SHA256 (RFC 2104) over the user id, the start of the transaction and the backend''s pid, under the current or the
previous key. Never an error, whatever stands in pulsex.context.';

SET LOCAL ROLE pulsex_owner;
REVOKE CREATE ON SCHEMA auth FROM pulsex_service;

-- Who may enter, and what they may do there ---------------------------------------------------------------------------

GRANT USAGE ON SCHEMA auth TO pulsex_auth, pulsex_app, pulsex_worker;
GRANT USAGE ON SCHEMA pulsex TO pulsex_service, pulsex_app, pulsex_worker, pulsex_analyst;
GRANT USAGE ON SCHEMA ops TO pulsex_service, pulsex_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA auth, pulsex TO pulsex_service;
GRANT SELECT ON ops.partitioned_tables, ops.maintenance_tasks TO pulsex_service, pulsex_worker;
GRANT INSERT, UPDATE ON ops.maintenance_tasks TO pulsex_service;

GRANT SELECT ON
pulsex.time_zones, pulsex.topics, pulsex.users, pulsex.user_preferences, pulsex.user_topics, pulsex.briefing_schedule,
pulsex.briefings, pulsex.briefing_feedback, pulsex.engagement_events, pulsex.engagement_daily,
pulsex.engagement_marks, pulsex.devices, pulsex.notifications, pulsex.unsubscriptions TO pulsex_app;
GRANT UPDATE (display_name, locale, time_zone) ON pulsex.users TO pulsex_app;
GRANT UPDATE (
    delivery_time, evening_delivery_time, delivery_days, quiet_hours_start, quiet_hours_end, max_items, channels,
    settings
) ON pulsex.user_preferences TO pulsex_app;
GRANT INSERT, DELETE, UPDATE (weight) ON pulsex.user_topics TO pulsex_app;
GRANT UPDATE (read_at) ON pulsex.briefings TO pulsex_app;
GRANT INSERT (user_id, briefing_date, edition, item_id, rating, comment), DELETE, UPDATE (rating, comment)
ON pulsex.briefing_feedback TO pulsex_app;
GRANT UPDATE (read_at) ON pulsex.notifications TO pulsex_app;
GRANT INSERT (user_id, channel, kind), DELETE ON pulsex.unsubscriptions TO pulsex_app;

-- The routines that vouch for themselves see every row ----------------------------------------------------------------

DO $$
DECLARE
    v_table regclass;
BEGIN
    FOR v_table IN
        SELECT oid FROM pg_catalog.pg_class
        WHERE relnamespace IN ('auth'::regnamespace, 'pulsex'::regnamespace) AND relrowsecurity AND NOT relispartition
    LOOP
        EXECUTE format('CREATE POLICY service_all ON %s TO pulsex_service USING (true) WITH CHECK (true)', v_table);
        EXECUTE format('COMMENT ON POLICY service_all ON %s IS %L', v_table,
            'Definer routines see every row, and check for themselves whose they touch.');
    END LOOP;
END
$$;

-- A person's own rows -------------------------------------------------------------------------------------------------

CREATE POLICY select_own ON pulsex.users FOR SELECT TO pulsex_app
USING (user_id = (SELECT auth.current_user_id()));
COMMENT ON POLICY select_own ON pulsex.users IS 'Oneself.';
CREATE POLICY update_own ON pulsex.users FOR UPDATE TO pulsex_app
USING (user_id = (SELECT auth.current_user_id())) WITH CHECK (user_id = (SELECT auth.current_user_id()));
COMMENT ON POLICY update_own ON pulsex.users IS 'One''s name, language and zone; never the status.';

CREATE POLICY select_own ON pulsex.user_preferences FOR SELECT TO pulsex_app
USING (user_id = (SELECT auth.current_user_id()));
COMMENT ON POLICY select_own ON pulsex.user_preferences IS 'One''s own preferences.';
CREATE POLICY update_own ON pulsex.user_preferences FOR UPDATE TO pulsex_app
USING (user_id = (SELECT auth.current_user_id())) WITH CHECK (user_id = (SELECT auth.current_user_id()));
COMMENT ON POLICY update_own ON pulsex.user_preferences IS 'One''s own preferences.';

CREATE POLICY select_own ON pulsex.user_topics FOR SELECT TO pulsex_app
USING (user_id = (SELECT auth.current_user_id()));
COMMENT ON POLICY select_own ON pulsex.user_topics IS 'What one follows.';
CREATE POLICY insert_own ON pulsex.user_topics FOR INSERT TO pulsex_app
WITH CHECK (user_id = (SELECT auth.current_user_id()));
COMMENT ON POLICY insert_own ON pulsex.user_topics IS 'Following, for oneself.';
CREATE POLICY update_own ON pulsex.user_topics FOR UPDATE TO pulsex_app
USING (user_id = (SELECT auth.current_user_id())) WITH CHECK (user_id = (SELECT auth.current_user_id()));
COMMENT ON POLICY update_own ON pulsex.user_topics IS 'How much one cares.';
CREATE POLICY delete_own ON pulsex.user_topics FOR DELETE TO pulsex_app
USING (user_id = (SELECT auth.current_user_id()));
COMMENT ON POLICY delete_own ON pulsex.user_topics IS 'No longer following.';

CREATE POLICY select_own ON pulsex.briefing_schedule FOR SELECT TO pulsex_app
USING (user_id = (SELECT auth.current_user_id()));
COMMENT ON POLICY select_own ON pulsex.briefing_schedule IS 'When one''s next briefing is due.';

CREATE POLICY select_own ON pulsex.briefings FOR SELECT TO pulsex_app
USING (user_id = (SELECT auth.current_user_id()));
COMMENT ON POLICY select_own ON pulsex.briefings IS 'One''s own briefings.';
CREATE POLICY update_own ON pulsex.briefings FOR UPDATE TO pulsex_app
USING (user_id = (SELECT auth.current_user_id())) WITH CHECK (user_id = (SELECT auth.current_user_id()));
COMMENT ON POLICY update_own ON pulsex.briefings IS 'Marking one''s own briefing read.';

CREATE POLICY select_own ON pulsex.briefing_feedback FOR SELECT TO pulsex_app
USING (user_id = (SELECT auth.current_user_id()));
COMMENT ON POLICY select_own ON pulsex.briefing_feedback IS 'One''s own ratings.';
CREATE POLICY insert_own ON pulsex.briefing_feedback FOR INSERT TO pulsex_app
WITH CHECK (user_id = (SELECT auth.current_user_id()));
COMMENT ON POLICY insert_own ON pulsex.briefing_feedback IS 'Rating, as oneself.';
CREATE POLICY update_own ON pulsex.briefing_feedback FOR UPDATE TO pulsex_app
USING (user_id = (SELECT auth.current_user_id())) WITH CHECK (user_id = (SELECT auth.current_user_id()));
COMMENT ON POLICY update_own ON pulsex.briefing_feedback IS 'Thinking again.';
CREATE POLICY delete_own ON pulsex.briefing_feedback FOR DELETE TO pulsex_app
USING (user_id = (SELECT auth.current_user_id()));
COMMENT ON POLICY delete_own ON pulsex.briefing_feedback IS 'Taking a rating back.';

CREATE POLICY select_own ON pulsex.engagement_events FOR SELECT TO pulsex_app
USING (user_id = (SELECT auth.current_user_id()));
COMMENT ON POLICY select_own ON pulsex.engagement_events IS
'What was recorded of oneself, by pulsex.record_events() alone; never changed after.';

CREATE POLICY select_own ON pulsex.engagement_daily FOR SELECT TO pulsex_app
USING (user_id = (SELECT auth.current_user_id()));
COMMENT ON POLICY select_own ON pulsex.engagement_daily IS 'One''s own totals.';

CREATE POLICY select_own ON pulsex.engagement_marks FOR SELECT TO pulsex_app
USING (user_id = (SELECT auth.current_user_id()));
COMMENT ON POLICY select_own ON pulsex.engagement_marks IS 'Which of one''s own totals lack events so far.';

CREATE POLICY select_own ON pulsex.devices FOR SELECT TO pulsex_app
USING (user_id = (SELECT auth.current_user_id()));
COMMENT ON POLICY select_own ON pulsex.devices IS 'One''s own devices.';

CREATE POLICY select_own ON pulsex.notifications FOR SELECT TO pulsex_app
USING (user_id = (SELECT auth.current_user_id()));
COMMENT ON POLICY select_own ON pulsex.notifications IS 'One''s own inbox.';
CREATE POLICY update_own ON pulsex.notifications FOR UPDATE TO pulsex_app
USING (user_id = (SELECT auth.current_user_id())) WITH CHECK (user_id = (SELECT auth.current_user_id()));
COMMENT ON POLICY update_own ON pulsex.notifications IS 'Marking one''s own notifications read.';

CREATE POLICY select_own ON pulsex.unsubscriptions FOR SELECT TO pulsex_app
USING (user_id = (SELECT auth.current_user_id()));
COMMENT ON POLICY select_own ON pulsex.unsubscriptions IS 'What one has unsubscribed from.';
CREATE POLICY insert_own ON pulsex.unsubscriptions FOR INSERT TO pulsex_app
WITH CHECK (user_id = (SELECT auth.current_user_id()));
COMMENT ON POLICY insert_own ON pulsex.unsubscriptions IS 'Unsubscribing, signed in.';
CREATE POLICY delete_own ON pulsex.unsubscriptions FOR DELETE TO pulsex_app
USING (user_id = (SELECT auth.current_user_id()));
COMMENT ON POLICY delete_own ON pulsex.unsubscriptions IS 'Subscribing again.';

-- migrate:down
DO $$
DECLARE
    v_policy record;
BEGIN
    FOR v_policy IN
        SELECT polname, polrelid::regclass AS relation FROM pg_catalog.pg_policy
        WHERE polrelid IN (
            SELECT oid FROM pg_catalog.pg_class WHERE relnamespace IN ('auth'::regnamespace, 'pulsex'::regnamespace)
        )
    LOOP
        EXECUTE format('DROP POLICY %I ON %s', v_policy.polname, v_policy.relation);
    END LOOP;
END
$$;
DROP FUNCTION auth.current_user_id();
REVOKE ALL ON ALL TABLES IN SCHEMA auth, pulsex FROM pulsex_service, pulsex_app;
REVOKE ALL ON ops.partitioned_tables, ops.maintenance_tasks FROM pulsex_service, pulsex_worker;
REVOKE USAGE ON SCHEMA ops FROM pulsex_service, pulsex_worker;
REVOKE USAGE ON SCHEMA pulsex FROM pulsex_service, pulsex_app, pulsex_worker, pulsex_analyst;
REVOKE USAGE ON SCHEMA auth FROM pulsex_service, pulsex_auth, pulsex_app, pulsex_worker;
