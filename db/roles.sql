-- The roles of PulseX, cluster-wide, and what they may do with this database. Idempotent: every deploy runs it first,
-- as whoever connects (a superuser, or on managed PostgreSQL the database's owner with CREATEROLE).
--
-- No role here is a superuser or has BYPASSRLS, so the same file works where nobody can be one.
-- The five that log in have no password until an operator sets one, with \password.

SELECT format('CREATE ROLE %I NOLOGIN', wanted.name)
FROM (VALUES ('pulsex_owner'), ('pulsex_service')) AS wanted (name)
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = wanted.name)
\gexec

SELECT format('CREATE ROLE %I LOGIN NOINHERIT', wanted.name)
FROM (
    VALUES ('pulsex_auth'), ('pulsex_app'), ('pulsex_worker'), ('pulsex_privacy'), ('pulsex_analyst')
) AS wanted (name)
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = wanted.name)
\gexec

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

-- A deploy creates objects as the owner and the service role. A superuser may become anybody; everyone else needs leave.
SELECT format('GRANT %I TO CURRENT_USER WITH SET TRUE, INHERIT FALSE', wanted.name)
FROM (VALUES ('pulsex_owner'), ('pulsex_service')) AS wanted (name)
WHERE NOT pg_catalog.pg_has_role(wanted.name, 'SET')
\gexec

-- PUBLIC can do nothing here: not connect, not make temporary objects, not look into the schema public.
REVOKE ALL ON DATABASE :"DBNAME" FROM PUBLIC;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT CONNECT ON DATABASE :"DBNAME"
TO pulsex_owner, pulsex_auth, pulsex_app, pulsex_worker, pulsex_privacy, pulsex_analyst;
GRANT CREATE ON DATABASE :"DBNAME" TO pulsex_owner;
