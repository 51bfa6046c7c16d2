-- How the server, the database and its login roles are set for production. psql runs it after a deploy, as superuser:
--
--     psql -v size=small -f db/connection_config.sql postgresql://postgres@HOST/pulsex
--
-- size is small (2 cores, 8 GB), medium (8 cores, 32 GB) or large (32 cores, 128 GB), of a machine that does nothing
-- else. Doing it again, or with another size, changes only what differs. What ALTER SYSTEM sets is in force after a
-- restart. Who isn't superuser, as on managed PostgreSQL, gets the settings of the database and the roles, and is told
-- what is left to the provider's console. The manual's page is named beside each group of settings; all of them are at
-- https://www.postgresql.org/docs/18/runtime-config.html. How the numbers come about is told in
-- db/performance_recommendations.md.

\set ON_ERROR_STOP on
\set QUIET on
\if :{?size}
\else
\set size ''
\endif
\o /dev/null
SET client_min_messages = warning;
SELECT set_config('config.size', :'size', FALSE);
\o
DO $$
BEGIN
    IF current_setting('config.size') NOT IN ('small', 'medium', 'large') THEN
        RAISE EXCEPTION 'there is no size "%": psql -v size=small, medium or large', current_setting('config.size')
            USING ERRCODE = 'invalid_parameter_value';
    ELSIF NOT EXISTS (SELECT FROM pg_catalog.pg_namespace AS n WHERE n.nspname = 'pulsex') THEN
        RAISE EXCEPTION 'PulseX isn''t deployed in database "%": tox -e deploy -- URL', current_database();
    END IF;
END
$$;

SELECT r.rolsuper AS is_superuser FROM pg_catalog.pg_roles AS r
WHERE r.rolname = current_user \gset

WITH profiles (
    size, shared_buffers, effective_cache_size, work_mem, maintenance_work_mem, max_connections, max_wal_size,
    min_wal_size, io_workers, parallel_workers, worker_processes, vacuum_workers, vacuum_cost_limit,
    app_connections, auth_connections, worker_connections, pooler_connections
) AS (
    VALUES
    ('small', '2GB', '6GB', '16MB', '256MB', 160, '4GB', '1GB', 3, 2, 8, 3, 1000, 40, 10, 30, 50),
    ('medium', '8GB', '24GB', '32MB', '1GB', 320, '16GB', '4GB', 6, 4, 16, 4, 2000, 100, 20, 60, 110),
    ('large', '32GB', '96GB', '32MB', '2GB', 640, '64GB', '16GB', 16, 16, 48, 8, 4000, 240, 40, 100, 220)
)

SELECT p.* FROM profiles AS p
WHERE p.size = :'size' \gset

-- The login roles -----------------------------------------------------------------------------------------------------
-- https://www.postgresql.org/docs/18/runtime-config-client.html#RUNTIME-CONFIG-CLIENT-STATEMENT
--
-- Settings of a role hold for whoever logs in as it: directly, and through a pooler that has a pool for each role, in
-- whatever database. They are defaults: a session may SET them otherwise, so they are a net for what goes wrong, and no
-- wall against somebody who means to. The wall is guard.end_long_transactions() below, and the pooler's own timeouts.
-- Where statement_timeout isn't shorter than transaction_timeout, PostgreSQL ignores it, so it isn't set.

-- What a role's pools may open together, so that no role takes another's connections.
SELECT format('ALTER ROLE %I CONNECTION LIMIT %s', l.role_name, l.connections)
FROM (
    VALUES
    ('pulsex_app', :'app_connections'), ('pulsex_auth', :'auth_connections'), ('pulsex_worker', :'worker_connections'),
    ('pulsex_privacy', '5'), ('pulsex_analyst', '5')
) AS l (role_name, connections) \gexec

-- A request is answered in milliseconds. Whoever waits five seconds has gone, and what they had locked keeps others.
ALTER ROLE pulsex_app SET statement_timeout = '5s';
ALTER ROLE pulsex_app SET lock_timeout = '2s';
ALTER ROLE pulsex_app SET idle_in_transaction_session_timeout = '5s';
ALTER ROLE pulsex_app SET transaction_timeout = '10s';

-- Its SQL qualifies every name. The default path, "$user" and public, has no schema that it may enter, so that
-- PostgreSQL would work it out anew after each call of a routine with a path of its own: 2 % of a request.
ALTER ROLE pulsex_app SET search_path = pg_catalog;

ALTER ROLE pulsex_auth SET statement_timeout = '5s';
ALTER ROLE pulsex_auth SET lock_timeout = '2s';
ALTER ROLE pulsex_auth SET idle_in_transaction_session_timeout = '5s';
ALTER ROLE pulsex_auth SET transaction_timeout = '10s';

-- Its CALL ops.run_maintenance() may take an hour, and statement_timeout would count all of it; transaction_timeout
-- begins anew with each step that it commits. The longest step seals a day of the audit log.
ALTER ROLE pulsex_worker SET statement_timeout = 0;
ALTER ROLE pulsex_worker SET lock_timeout = '10s';
ALTER ROLE pulsex_worker SET idle_in_transaction_session_timeout = '1min';
ALTER ROLE pulsex_worker SET transaction_timeout = '30min';

-- One export or erasure is one transaction, however much there is of a person, and replaying a ledger after a restore
-- erases everybody who had come back: neither is cut short. What may not be: waiting for locks, and idling.
ALTER ROLE pulsex_privacy SET statement_timeout = 0;
ALTER ROLE pulsex_privacy SET lock_timeout = '1min';
ALTER ROLE pulsex_privacy SET idle_in_transaction_session_timeout = '5min';
ALTER ROLE pulsex_privacy SET transaction_timeout = 0;

-- Reads, and reads much: more memory, and no end of a query that nobody waits for any more.
ALTER ROLE pulsex_analyst SET statement_timeout = '5min';
ALTER ROLE pulsex_analyst SET lock_timeout = '2s';
ALTER ROLE pulsex_analyst SET idle_in_transaction_session_timeout = '1min';
ALTER ROLE pulsex_analyst SET transaction_timeout = '10min';
ALTER ROLE pulsex_analyst SET idle_session_timeout = '1h';
ALTER ROLE pulsex_analyst SET default_transaction_read_only = on;
ALTER ROLE pulsex_analyst SET work_mem = '64MB';

-- The database: for whoever else comes, migrations and people with psql -----------------------------------------------
-- A transaction that is forgotten keeps VACUUM from every table. pg_dump turns this off for itself.
SELECT format('ALTER DATABASE %I SET idle_in_transaction_session_timeout = %L', current_database(), '15min') \gexec

\if :is_superuser
\else
\warn 'The database and the login roles are set; the settings of the server are left to the provider. There is no'
\warn 'schema guard, which takes a superuser: the pooler gets the roles and their SCRAM verifiers from an auth_file.'
\quit
\endif

-- The server ----------------------------------------------------------------------------------------------------------

-- A server whose libraries are missing doesn't start again: fail here, before anything of it is changed.
LOAD 'pg_stat_statements';
LOAD 'auto_explain';

-- Connections: https://www.postgresql.org/docs/18/runtime-config-connection.html
-- What the roles may open, and some for the superuser, replicas and backups. Clients beyond that wait in the pooler,
-- where a connection costs kilobytes, not a process.
ALTER SYSTEM SET max_connections = :'max_connections';
ALTER SYSTEM SET password_encryption = 'scram-sha-256';
-- Whoever has gone is noticed in the middle of a statement too, and not when it has an answer to send.
ALTER SYSTEM SET client_connection_check_interval = '10s';
ALTER SYSTEM SET tcp_keepalives_idle = '60s';
ALTER SYSTEM SET tcp_keepalives_interval = '10s';
ALTER SYSTEM SET tcp_keepalives_count = 6;
-- TLS, where this PostgreSQL has it and there is a certificate: without one, a server with ssl on doesn't start.
SELECT
    current_setting('ssl_library') <> '' AS has_tls,
    f.size IS NOT NULL AS has_certificate
FROM pg_stat_file(current_setting('ssl_cert_file'), TRUE) AS f \gset
\if :has_tls
\if :has_certificate
ALTER SYSTEM SET ssl = on;
ALTER SYSTEM SET ssl_min_protocol_version = 'TLSv1.2';
\else
\warn 'TLS stays off: put server.crt and server.key into the data directory, and run this again.'
\endif
\else
\warn 'TLS stays off: this PostgreSQL is built without it. Let clients come by Unix socket or by a pooler that has it.'
\endif

-- Memory: https://www.postgresql.org/docs/18/runtime-config-resource.html
-- A quarter of the machine for PostgreSQL's own cache, as that page suggests; the planner counts on the kernel's too.
ALTER SYSTEM SET shared_buffers = :'shared_buffers';
ALTER SYSTEM SET effective_cache_size = :'effective_cache_size';
-- Each sort or hash of each connection: the hot paths need kilobytes, so this is for the few that don't.
ALTER SYSTEM SET work_mem = :'work_mem';
ALTER SYSTEM SET maintenance_work_mem = :'maintenance_work_mem';
-- Fewer pages to map; try, since the kernel must have some: vm.nr_hugepages = what
-- SHOW shared_memory_size_in_huge_pages says (https://www.postgresql.org/docs/18/kernel-resources.html).
ALTER SYSTEM SET huge_pages = 'try';
-- Export and erasure lock each partition and each of its indexes. PostgreSQL 18 also sizes the locks that a backend
-- takes without the shared table by this (https://www.postgresql.org/docs/18/runtime-config-locks.html).
ALTER SYSTEM SET max_locks_per_transaction = 256;

-- Reading: the same page. io_uring needs a kernel and a build that allow it; worker runs everywhere.
ALTER SYSTEM SET io_method = 'worker';
ALTER SYSTEM SET io_workers = :'io_workers';
ALTER SYSTEM SET max_worker_processes = :'worker_processes';
ALTER SYSTEM SET max_parallel_workers = :'parallel_workers';

-- Writing: https://www.postgresql.org/docs/18/runtime-config-wal.html
-- synchronous_commit, fsync and full_page_writes stay on: what was answered is kept.
-- A page is written whole once after each checkpoint, so these are seldom, and spread.
ALTER SYSTEM SET checkpoint_timeout = '15min';
ALTER SYSTEM SET checkpoint_completion_target = 0.9;
ALTER SYSTEM SET max_wal_size = :'max_wal_size';
ALTER SYSTEM SET min_wal_size = :'min_wal_size';
SELECT CASE WHEN s.enumvals @> '{lz4}' THEN 'lz4' ELSE 'pglz' END AS wal_compression
FROM pg_catalog.pg_settings AS s
WHERE s.name = 'wal_compression' \gset
ALTER SYSTEM SET wal_compression = :'wal_compression';

-- Planning: https://www.postgresql.org/docs/18/runtime-config-query.html
-- On flash a page out of order costs what one in order does. Compiling costs more than a short query.
ALTER SYSTEM SET random_page_cost = 1.1;
ALTER SYSTEM SET jit = off;

-- Vacuuming: https://www.postgresql.org/docs/18/runtime-config-vacuum.html
-- Little and often. Rows that are only inserted, as events are, are frozen while they are still in memory.
ALTER SYSTEM SET autovacuum_max_workers = :'vacuum_workers';
ALTER SYSTEM SET autovacuum_naptime = '15s';
ALTER SYSTEM SET autovacuum_vacuum_scale_factor = 0.05;
ALTER SYSTEM SET autovacuum_vacuum_insert_scale_factor = 0.05;
ALTER SYSTEM SET autovacuum_analyze_scale_factor = 0.02;
ALTER SYSTEM SET autovacuum_vacuum_cost_limit = :'vacuum_cost_limit';

-- Watching: https://www.postgresql.org/docs/18/pgstatstatements.html,
-- https://www.postgresql.org/docs/18/auto-explain.html,
-- https://www.postgresql.org/docs/18/runtime-config-statistics.html
-- Beside what is loaded already.
SELECT format('ALTER SYSTEM SET shared_preload_libraries = %s', string_agg(DISTINCT quote_literal(library), ', '))
FROM unnest(
    string_to_array(current_setting('shared_preload_libraries'), ', ') || '{pg_stat_statements,auto_explain}'
) AS library \gexec
-- All, since the statements of this database are in its routines; and the routines' own times.
ALTER SYSTEM SET "pg_stat_statements.track" = 'all';
ALTER SYSTEM SET track_functions = 'pl';
ALTER SYSTEM SET track_io_timing = on;
ALTER SYSTEM SET "auto_explain.log_min_duration" = '1s';
ALTER SYSTEM SET "auto_explain.log_nested_statements" = on;

-- The log: https://www.postgresql.org/docs/18/runtime-config-logging.html
ALTER SYSTEM SET log_line_prefix = '%m [%p] %q%u@%d/%a ';
ALTER SYSTEM SET log_min_duration_statement = '1s';
ALTER SYSTEM SET log_lock_waits = on;
ALTER SYSTEM SET deadlock_timeout = '200ms';  -- also when a wait for a lock is logged
ALTER SYSTEM SET log_temp_files = '10MB';
ALTER SYSTEM SET log_autovacuum_min_duration = '10s';
-- No erasure reaches a log: parameters stay out of it, and the DETAIL of an error, which quotes the row (GDPR Art. 17).
-- That also takes from it who held the lock: ask pg_blocking_pids() while it lasts.
ALTER SYSTEM SET log_parameter_max_length = 0;
ALTER SYSTEM SET log_parameter_max_length_on_error = 0;
ALTER SYSTEM SET "auto_explain.log_parameter_max_length" = 0;
ALTER SYSTEM SET log_error_verbosity = 'terse';

-- The guard: what the pooler and the supervisor need, and no role of the application has ------------------------------
-- Apart from the deployed schemas and roles, since it takes a superuser to grant, and is of no use without a pooler.
BEGIN;
DO $$
BEGIN
    IF to_regrole('pulsex_guard') IS NULL THEN
        CREATE ROLE pulsex_guard NOLOGIN;
    END IF;
    IF to_regrole('pulsex_pooler') IS NULL THEN
        CREATE ROLE pulsex_pooler LOGIN NOINHERIT;
    END IF;
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO pulsex_pooler', current_database());
END
$$;
-- When many clients log in at once, each pool may ask by as many connections as it has itself.
SELECT format('ALTER ROLE pulsex_pooler CONNECTION LIMIT %s', :'pooler_connections') \gexec
COMMENT ON ROLE pulsex_guard IS
'Owns the two routines of the schema guard. Reads password verifiers and ends connections, through them alone.';
COMMENT ON ROLE pulsex_pooler IS
'The pooler itself, which asks for the verifiers of those who log in through it. It has no password: let it in by peer
or by certificate (pg_hba.conf).';
GRANT SELECT (rolname, rolpassword, rolvaliduntil, rolcanlogin, rolsuper) ON pg_catalog.pg_authid TO pulsex_guard;
GRANT pg_read_all_stats TO pulsex_guard;
GRANT pg_signal_backend TO pulsex_guard;
CREATE SCHEMA IF NOT EXISTS guard AUTHORIZATION pulsex_guard;
COMMENT ON SCHEMA guard IS 'For the pooler and the supervisor of the application''s transactions.';

SET LOCAL ROLE pulsex_guard;

CREATE OR REPLACE FUNCTION guard.login_verifier(p_role text) RETURNS TABLE (role_name text, verifier text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = ''
AS $$
BEGIN
    RETURN QUERY
    SELECT a.rolname::text, a.rolpassword FROM pg_catalog.pg_authid AS a
    WHERE a.rolname = p_role
        AND a.rolname IN ('pulsex_app', 'pulsex_auth', 'pulsex_worker', 'pulsex_privacy', 'pulsex_analyst')
        AND a.rolcanlogin AND NOT a.rolsuper AND coalesce(a.rolvaliduntil > now(), TRUE);
END
$$;
COMMENT ON FUNCTION guard.login_verifier IS
'PgBouncer''s auth_query: the SCRAM verifier of one of the five roles that log in, null where no password was set; no
row for anybody else, a superuser above all, nor for a password that is no longer valid. With a verifier alone nobody logs
in, but a weak password can be guessed from it (RFC 5802, 9); the pooler passes on what the client proved.
https://www.pgbouncer.org/config.html#auth_query';

CREATE OR REPLACE FUNCTION guard.end_long_transactions(p_longest interval DEFAULT '30 seconds') RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
BEGIN
    IF (p_longest < interval '1 second') IS NOT FALSE THEN
        RAISE EXCEPTION 'a transaction may take a second at least' USING ERRCODE = 'PT422';
    END IF;
    RETURN (
        SELECT count(*) FILTER (WHERE pg_terminate_backend(a.pid)) FROM pg_catalog.pg_stat_activity AS a
        WHERE a.datname = current_database() AND a.usename IN ('pulsex_app', 'pulsex_auth')
            AND a.xact_start < clock_timestamp() - p_longest
    );
END
$$;
COMMENT ON FUNCTION guard.end_long_transactions IS
'Ends the connections of pulsex_app and pulsex_auth in this database whose transaction is older than p_longest, and
returns how many. A session can set its own timeouts to nothing; it can''t escape this. Call it every few seconds, as
pulsex_worker. Errors: PT422 p_longest is under a second or null.';

REVOKE ALL ON FUNCTION guard.login_verifier, guard.end_long_transactions FROM PUBLIC;
GRANT USAGE ON SCHEMA guard TO pulsex_pooler, pulsex_worker;
GRANT EXECUTE ON FUNCTION guard.login_verifier TO pulsex_pooler;
GRANT EXECUTE ON FUNCTION guard.end_long_transactions TO pulsex_worker;
COMMIT;

CREATE EXTENSION IF NOT EXISTS pg_stat_statements SCHEMA public;

\warn 'Restart the server. Then give the login roles their passwords.'
