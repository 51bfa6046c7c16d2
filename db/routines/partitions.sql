-- The life of partitions, and what else a deploy or the maintenance job keeps up to date.

-- DDL: SECURITY DEFINER as the owner of the tables --------------------------------------------------------------------
SET LOCAL ROLE pulsex_owner;

CREATE OR REPLACE FUNCTION ops.ensure_partitions(
    p_months_ahead integer DEFAULT 3,
    p_since date DEFAULT (now() AT TIME ZONE 'UTC' - interval '1 month')::date
) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' SET lock_timeout = '2s'
AS $$
DECLARE
    v_parent record;
    v_month timestamp;
    v_name text;
    v_made integer := 0;
BEGIN
    IF p_months_ahead IS NULL OR p_months_ahead NOT BETWEEN 0 AND 24 THEN
        RAISE EXCEPTION 'partitions are made 0 to 24 months ahead' USING ERRCODE = 'PT422';
    ELSIF p_since IS NULL OR p_since < now() - interval '10 years' THEN
        RAISE EXCEPTION 'partitions are made since a date of the last ten years' USING ERRCODE = 'PT422';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('ops.ensure_partitions', 0));
    FOR v_parent IN
        SELECT n.nspname, c.relname FROM pg_catalog.pg_partitioned_table AS p
        INNER JOIN pg_catalog.pg_class AS c ON c.oid = p.partrelid
        INNER JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        WHERE n.nspname = 'pulsex' ORDER BY c.relname
    LOOP
        FOR v_month IN
            SELECT generate_series(
                date_trunc('month', p_since::timestamp),
                date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => p_months_ahead),
                interval '1 month'
            )
        LOOP
            v_name := v_parent.relname || to_char(v_month, '_YYYY_MM');
            CONTINUE WHEN to_regclass(format('%I.%I', v_parent.nspname, v_name)) IS NOT NULL;
            EXECUTE format(
                'CREATE TABLE %1$I.%2$I (LIKE %1$I.%3$I INCLUDING ALL);
                 ALTER TABLE %1$I.%2$I ENABLE ROW LEVEL SECURITY;
                 ALTER TABLE %1$I.%2$I FORCE ROW LEVEL SECURITY;
                 ALTER TABLE %1$I.%3$I ATTACH PARTITION %1$I.%2$I FOR VALUES FROM (%4$L) TO (%5$L)',
                v_parent.nspname, v_name, v_parent.relname,
                to_char(v_month, 'YYYY-MM-DD 00:00:00+00'),
                to_char(v_month + interval '1 month', 'YYYY-MM-DD 00:00:00+00')
            );
            v_made := v_made + 1;
        END LOOP;
    END LOOP;
    RETURN v_made;
END
$$;
COMMENT ON FUNCTION ops.ensure_partitions IS
'Makes the monthly partitions that are missing, from the month of p_since (default: the last one) to p_months_ahead
after this one, and returns how many it made. Each is built apart, with row level security forced and no grants, and
then attached, which locks the parent only SHARE UPDATE EXCLUSIVE
(https://www.postgresql.org/docs/18/ddl-partitioning.html). Safe to call from several schedulers at once. Errors: PT422
an argument out of bounds; 55P03 a lock not had within 2 s.';

-- Rows: SECURITY DEFINER as the service -------------------------------------------------------------------------------
SET LOCAL ROLE pulsex_service;

CREATE OR REPLACE FUNCTION ops.refresh_time_zones() RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
DECLARE
    v_learnt integer;
BEGIN
    INSERT INTO pulsex.time_zones (name)
    SELECT z.name FROM pg_catalog.pg_timezone_names AS z
    WHERE z.name !~ '^(posix|right)/' AND z.name NOT IN ('localtime', 'posixrules', 'Factory')
    ON CONFLICT ON CONSTRAINT time_zones_pk DO NOTHING;
    GET DIAGNOSTICS v_learnt = ROW_COUNT;
    RETURN v_learnt;
END
$$;
COMMENT ON FUNCTION ops.refresh_time_zones IS
'Adds the IANA time zones that the server''s time zone data has and pulsex.time_zones has not; returns how many.';
