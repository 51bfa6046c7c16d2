-- The roles of PulseX, cluster-wide, and what they may do with this database. Idempotent: every deploy runs it first,
-- as whoever connects (a superuser, or on managed PostgreSQL the database's owner with CREATEROLE).
--
-- No role here is a superuser or has BYPASSRLS, so the same file works where nobody can be one.
-- The five that log in have no password until an operator sets one, with \password.

DO $$
DECLARE
    v_role text;
BEGIN
    FOREACH v_role IN ARRAY '{pulsex_owner,pulsex_service}'::text[] LOOP
        IF to_regrole(v_role) IS NULL THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', v_role);
        END IF;
        -- A deploy creates objects as these two. A superuser may become anybody; everyone else needs leave.
        IF NOT pg_has_role(v_role, 'SET') THEN
            EXECUTE format('GRANT %I TO CURRENT_USER WITH SET TRUE, INHERIT FALSE', v_role);
        END IF;
    END LOOP;
    FOREACH v_role IN ARRAY '{pulsex_auth,pulsex_app,pulsex_worker,pulsex_privacy,pulsex_analyst}'::text[] LOOP
        IF to_regrole(v_role) IS NULL THEN
            EXECUTE format('CREATE ROLE %I LOGIN NOINHERIT', v_role);
        END IF;
    END LOOP;
END
$$;

COMMENT ON ROLE pulsex_owner IS
'Owns every table. FORCE ROW LEVEL SECURITY keeps even it from the rows.';
COMMENT ON ROLE pulsex_service IS
'Owns every SECURITY DEFINER routine that touches rows, and reads and writes through explicit policies.';
COMMENT ON ROLE pulsex_auth IS
'The sign-in service: registers, checks credentials, starts sessions, issues one-time tokens. Serves no requests.';
COMMENT ON ROLE pulsex_app IS
'The application''s requests, one person at a time: without that person''s session token it is nobody.';
COMMENT ON ROLE pulsex_worker IS
'Background jobs, by routine alone: generating, sending, maintaining.';
COMMENT ON ROLE pulsex_privacy IS
'The data protection officer: requests, export, erasure, audit.';
COMMENT ON ROLE pulsex_analyst IS
'Aggregates and pseudonymised views only.';

-- What PostgreSQL lets everybody do and no application needs: read the statements that other connections of one's role
-- run, end those connections, make large objects. Only a superuser can take it back; elsewhere, send tokens as
-- parameters and never in the text of a statement.
DO $$
BEGIN
    IF NOT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) THEN
        RETURN;
    END IF;
    REVOKE EXECUTE ON FUNCTION pg_stat_get_activity(integer), pg_stat_get_backend_activity(integer) FROM PUBLIC;
    GRANT EXECUTE ON FUNCTION pg_stat_get_activity(integer), pg_stat_get_backend_activity(integer) TO pg_read_all_stats;
    REVOKE EXECUTE ON FUNCTION pg_terminate_backend(integer, bigint), pg_cancel_backend(integer) FROM PUBLIC;
    GRANT EXECUTE ON FUNCTION pg_terminate_backend(integer, bigint), pg_cancel_backend(integer) TO pg_signal_backend;
    REVOKE EXECUTE ON FUNCTION lo_creat(integer), lo_create(oid), lo_from_bytea(oid, bytea) FROM PUBLIC;
END
$$;

-- PUBLIC can do nothing here: not connect, not make temporary objects, not look into the schema public.
REVOKE ALL ON SCHEMA public FROM PUBLIC;
DO $$
BEGIN
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT, CREATE ON DATABASE %I TO pulsex_owner', current_database());
    EXECUTE format(
        'GRANT CONNECT ON DATABASE %I TO pulsex_auth, pulsex_app, pulsex_worker, pulsex_privacy, pulsex_analyst',
        current_database()
    );
END
$$;
