-- The manifest of the CODE: every function, procedure and view, replayed on every deploy in one transaction.
-- Applying it twice equals applying it once. psql runs it, connected with role=pulsex_owner:
-- each file switches to pulsex_service for its SECURITY DEFINER routines and back.
\set ON_ERROR_STOP on
BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL lock_timeout = '2s';
GRANT CREATE ON SCHEMA auth, pulsex, ops, audit, gdpr TO pulsex_service;

\ir routines/identity.sql
\ir routines/sessions.sql
\ir routines/preferences.sql
\ir routines/generation.sql
\ir routines/schedule.sql
\ir routines/briefings.sql
\ir routines/search.sql
\ir routines/engagement.sql
\ir routines/audit.sql
\ir routines/audit_seals.sql
\ir routines/audit_verify.sql
\ir routines/partitions.sql
\ir routines/maintenance.sql
\ir routines/health.sql
\ir gdpr_compliance.sql
\ir routines/privileges.sql

REVOKE CREATE ON SCHEMA auth, pulsex, ops, audit, gdpr FROM pulsex_service;

-- What a database must have before its first request: partitions, zones, keys, and a whole data map.
SET LOCAL ROLE pulsex_service;
DO $$
BEGIN
    PERFORM ops.ensure_partitions();
    PERFORM ops.refresh_time_zones();
    IF NOT EXISTS (SELECT FROM auth.signing_key) THEN
        PERFORM auth.rotate_signing_key();
    END IF;
    IF NOT EXISTS (SELECT FROM gdpr.ledger_keys) THEN
        PERFORM gdpr.rotate_ledger_key();
    END IF;
    IF EXISTS (SELECT FROM gdpr.unclassified_columns()) THEN
        RAISE WARNING 'the data map is not whole: SELECT * FROM gdpr.unclassified_columns()';
    END IF;
END
$$;
COMMIT;
