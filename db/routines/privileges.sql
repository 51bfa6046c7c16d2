-- Who may call what, on one page. Everything is taken away first, so that a grant which leaves this page leaves the database.

DO $$
DECLARE
    v_routine record;
BEGIN
    FOR v_routine IN
        SELECT p.oid::regprocedure AS signature, p.proowner::regrole AS owner FROM pg_catalog.pg_proc AS p
        WHERE p.pronamespace IN ('auth'::regnamespace, 'pulsex'::regnamespace, 'ops'::regnamespace)
    LOOP
        EXECUTE format('SET LOCAL ROLE %s', v_routine.owner);
        EXECUTE format(
            'REVOKE ALL ON FUNCTION %s FROM PUBLIC, pulsex_auth, pulsex_app, pulsex_worker, pulsex_privacy, pulsex_analyst',
            v_routine.signature
        );
    END LOOP;
END
$$;

SET LOCAL ROLE pulsex_service;
GRANT EXECUTE ON FUNCTION
auth.register_user, auth.start_session TO pulsex_auth;
GRANT EXECUTE ON FUNCTION
auth.current_user_id, auth.use_session TO pulsex_app;
GRANT EXECUTE ON FUNCTION
pulsex.publish_briefing, ops.refresh_time_zones TO pulsex_worker;

SET LOCAL ROLE pulsex_owner;
GRANT EXECUTE ON FUNCTION
pulsex.update_preferences, pulsex.follow_topics, pulsex.todays_briefing, pulsex.briefing_history,
pulsex.record_feedback TO pulsex_app;
GRANT EXECUTE ON FUNCTION
ops.ensure_partitions TO pulsex_worker;
