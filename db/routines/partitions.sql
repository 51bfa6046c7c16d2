-- The life of partitions: made ahead of time, expired when their time is over. The rows of ops.partitioned_tables say
-- which tables, how far ahead and for how long; ops.run_maintenance() does it, one short transaction a step.
--
-- Attaching or detaching a partition also locks the tables that its parent refers to, and those that refer to it, until
-- commit: attach, SHARE ROW EXCLUSIVE on pulsex.users and pulsex.briefing_feedback, whose writers wait; detach, ACCESS
-- EXCLUSIVE on the parent and on its feedback; the drop afterwards, ACCESS EXCLUSIVE on pulsex.users. So each step
-- makes, detaches or drops one partition, in milliseconds, and waits at most 20 ms for each lock: with four locks to a
-- step, nobody queues behind it for 100 ms.

SET LOCAL ROLE pulsex_owner;

-- The defaults; an operator may UPDATE them, and no deploy changes them back. The audit log's is in migration 004.
INSERT INTO ops.partitioned_tables (schema_name, table_name, months_ahead, retention) VALUES
-- Two years to look back and search in.
('pulsex', 'briefings', 3, '24 months'),
-- A year to compare with, and the month under way; totals are kept in engagement_daily.
('pulsex', 'engagement_events', 3, '13 months')
ON CONFLICT ON CONSTRAINT partitioned_tables_pk DO NOTHING;

CREATE OR REPLACE FUNCTION ops.partition_months(p_relation oid) RETURNS tsrange
LANGUAGE plpgsql STABLE SECURITY INVOKER SET search_path = ''
AS $$
DECLARE
    v_partition pg_catalog.pg_class;
    v_bounds text[];
BEGIN
    SELECT * INTO v_partition FROM pg_catalog.pg_class AS c WHERE c.oid = p_relation;
    IF NOT v_partition.relispartition THEN
        RETURN (
            SELECT tsrange(month, month + interval '1 month')
            FROM to_date(substring(v_partition.relname FROM '_(\d{4}_(?:0[1-9]|1[0-2]))$'), 'YYYY_MM') AS month
        );
    END IF;
    v_bounds := regexp_match(
        pg_get_expr(v_partition.relpartbound, p_relation), '^FOR VALUES FROM \(''(.+)''\) TO \(''(.+)''\)$'
    );
    IF v_bounds[1] LIKE '% %' THEN  -- a time, written in the session's time zone; a date is in none
        RETURN tsrange(v_bounds[1]::timestamptz AT TIME ZONE 'UTC', v_bounds[2]::timestamptz AT TIME ZONE 'UTC');
    END IF;
    RETURN tsrange(v_bounds[1]::timestamp, v_bounds[2]::timestamp);
END
$$;
COMMENT ON FUNCTION ops.partition_months IS
'From when to when a partition''s rows are, in UTC: by its bounds, or where it is detached by the month in its name.
Unbounded where a bound is MINVALUE or MAXVALUE, or the name has no month.';

CREATE OR REPLACE VIEW ops.partitions WITH (security_invoker = TRUE, security_barrier = TRUE) AS
SELECT
    r.schema_name,
    r.table_name,
    c.relname::text AS partition_name,
    lower(ops.partition_months(c.oid)) AS starts_at,
    upper(ops.partition_months(c.oid)) AS ends_at,
    CASE WHEN i.inhrelid IS NULL THEN 'detached' WHEN i.inhdetachpending THEN 'detaching' ELSE 'attached' END AS state,
    coalesce(
        upper(ops.partition_months(c.oid)) <= date_trunc('month', now() AT TIME ZONE 'UTC' - r.retention), FALSE
    ) AS is_expired,
    c.oid AS relation
FROM ops.partitioned_tables AS r
INNER JOIN pg_catalog.pg_namespace AS n ON r.schema_name = n.nspname
INNER JOIN pg_catalog.pg_class AS c ON n.oid = c.relnamespace AND c.relkind = 'r'
LEFT JOIN pg_catalog.pg_inherits AS i
    ON c.oid = i.inhrelid AND i.inhparent = to_regclass(format('%I.%I', r.schema_name, r.table_name))
WHERE
    i.inhrelid IS NOT NULL
    OR (NOT c.relispartition AND c.relname ~ format('^%s_\d{4}_(0[1-9]|1[0-2])$', r.table_name));
COMMENT ON VIEW ops.partitions IS
'Every partition of the tables in ops.partitioned_tables, and what by its name was one before it was detached. starts_at
and ends_at are UTC, the end exclusive; state is attached, detached, or detaching where a DETACH CONCURRENTLY was
interrupted; is_expired: all of it is older than the table''s retention.';

-- Made ahead ----------------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION ops.make_missing_partition(
    p_schema text, p_table text, p_months_ahead integer, p_since date
) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = ''
AS $$
DECLARE
    v_month timestamp;
    v_name text;
BEGIN
    IF p_months_ahead NOT BETWEEN 0 AND 24 THEN
        RAISE EXCEPTION 'partitions are made 0 to 24 months ahead' USING ERRCODE = 'PT422';
    ELSIF p_since IS NULL OR p_since NOT BETWEEN now() - interval '10 years' AND now() + interval '10 years' THEN
        RAISE EXCEPTION 'partitions are made since a date within ten years' USING ERRCODE = 'PT422';
    END IF;
    LOCK TABLE ops.partitioned_tables IN SHARE UPDATE EXCLUSIVE MODE;
    SELECT month INTO v_month
    FROM ops.partitioned_tables AS r, generate_series(
        date_trunc('month', p_since::timestamp),
        date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => coalesce(p_months_ahead, r.months_ahead)),
        interval '1 month'
    ) AS month
    WHERE r.schema_name = p_schema AND r.table_name = p_table AND NOT EXISTS (
        SELECT FROM ops.partitions AS p
        WHERE p.schema_name = p_schema AND p.table_name = p_table AND p.state <> 'detached' AND p.starts_at = month
    )
    ORDER BY month LIMIT 1;
    IF v_month IS NULL THEN
        RETURN NULL;
    END IF;
    v_name := p_table || to_char(v_month, '_YYYY_MM');
    EXECUTE format(
        'CREATE TABLE %1$I.%2$I (LIKE %1$I.%3$I INCLUDING ALL);
         ALTER TABLE %1$I.%2$I ENABLE ROW LEVEL SECURITY;
         ALTER TABLE %1$I.%2$I FORCE ROW LEVEL SECURITY;
         GRANT SELECT, DELETE ON %1$I.%2$I TO pulsex_service;
         CREATE POLICY service_all ON %1$I.%2$I TO pulsex_service USING (true) WITH CHECK (true);
         COMMENT ON POLICY service_all ON %1$I.%2$I IS %4$L',
        p_schema, v_name, p_table, 'Backups read partitions by name, and erasure reaches one that is detached.'
    );
    IF (p_schema, p_table) = ('audit', 'events') THEN
        -- Of its own, not its parent's, so that it keeps them when it is detached.
        EXECUTE format(
            'CREATE TRIGGER %1$s_refuse_change BEFORE UPDATE OR DELETE ON audit.%1$I
             FOR EACH ROW EXECUTE FUNCTION audit.refuse_change(''audit.events'');
             CREATE TRIGGER %1$s_refuse_truncate BEFORE TRUNCATE ON audit.%1$I
             FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change(''audit.events'');
             ALTER TABLE audit.%1$I ENABLE ALWAYS TRIGGER %1$s_refuse_change;
             ALTER TABLE audit.%1$I ENABLE ALWAYS TRIGGER %1$s_refuse_truncate',
            v_name
        );
    END IF;
    EXECUTE format(
        'ALTER TABLE %1$I.%3$I ATTACH PARTITION %1$I.%2$I FOR VALUES FROM (%4$L) TO (%5$L)',
        p_schema, v_name, p_table,
        to_char(v_month, 'YYYY-MM-DD 00:00:00+00'),
        to_char(v_month + interval '1 month', 'YYYY-MM-DD 00:00:00+00')
    );
    RETURN v_name;
END
$$;
COMMENT ON FUNCTION ops.make_missing_partition IS
'Makes the earliest partition that a registered table lacks between the month of p_since and p_months_ahead (null: as
many as the registry says) after this one, and returns its name; null when there is none to make. It is built apart,
with row level security forced and nobody let in but pulsex_service, which backs it up and erases from it even when it
is detached; and then attached, which locks the parent only SHARE UPDATE EXCLUSIVE
(https://www.postgresql.org/docs/18/ddl-partitioning.html), but its foreign keys'' other tables SHARE ROW EXCLUSIVE.
Errors: PT422 an argument out of bounds; 42P07 a table of its name is there, detached; 55P03.';

CREATE OR REPLACE FUNCTION ops.make_next_partition(
    p_schema text,
    p_table text,
    p_months_ahead integer DEFAULT NULL,
    p_since date DEFAULT (now() AT TIME ZONE 'UTC' - interval '1 month')::date
) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' SET lock_timeout = '20ms'
AS $$
BEGIN
    RETURN ops.make_missing_partition(p_schema, p_table, p_months_ahead, p_since);
END
$$;
COMMENT ON FUNCTION ops.make_next_partition IS
'One step of making partitions ahead: ops.make_missing_partition(), of a month from the last one on by default. Commit
it before the next. Errors: PT422 an argument out of bounds; 42P07 a detached table has its name; 55P03 a lock not had
within 20 ms.';

CREATE OR REPLACE FUNCTION ops.ensure_partitions(
    p_months_ahead integer DEFAULT NULL,
    p_since date DEFAULT (now() AT TIME ZONE 'UTC' - interval '1 month')::date
) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' SET lock_timeout = '2s'
AS $$
DECLARE
    v_table record;
    v_made integer := 0;
BEGIN
    FOR v_table IN SELECT r.schema_name, r.table_name FROM ops.partitioned_tables AS r ORDER BY 1, 2 LOOP
        WHILE ops.make_missing_partition(v_table.schema_name, v_table.table_name, p_months_ahead, p_since) IS NOT NULL
        LOOP
            v_made := v_made + 1;
        END LOOP;
    END LOOP;
    RETURN v_made;
END
$$;
COMMENT ON FUNCTION ops.ensure_partitions IS
'Makes every monthly partition that is missing, from the month of p_since (default: the last one) to p_months_ahead
(default: as the registry says for each table) after this one, and returns how many it made. All in one transaction,
until whose end nobody can register, change a user or rate a briefing: for a deploy; ops.run_maintenance() makes them
one at a time. Safe to call from several schedulers at once. Errors: PT422 an argument out of bounds; 42P07 a detached
table has a partition''s name; 55P03 a lock not had within 2 s.';

CREATE OR REPLACE FUNCTION ops.hold_partitions() RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
BEGIN
    LOCK TABLE ops.partitioned_tables IN SHARE MODE;
END
$$;
COMMENT ON FUNCTION ops.hold_partitions IS
'Keeps every partition where it is until the end of the transaction, for whoever looks up first where rows are and then
goes there: none is made, detached or dropped meanwhile, and one that is being so is waited for. Many may hold at once.';

-- Expired -------------------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION ops.detach_next_partition(p_schema text, p_table text) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' SET lock_timeout = '20ms'
AS $$
DECLARE
    v_name text;
    v_starts_at timestamp;
    v_ends_at timestamp;
BEGIN
    LOCK TABLE ops.partitioned_tables IN SHARE UPDATE EXCLUSIVE MODE;
    SELECT p.partition_name, p.starts_at, p.ends_at INTO v_name, v_starts_at, v_ends_at FROM ops.partitions AS p
    WHERE p.schema_name = p_schema AND p.table_name = p_table AND p.state = 'attached' AND p.is_expired
    ORDER BY p.ends_at LIMIT 1;
    IF v_name IS NULL THEN
        RETURN NULL;
    END IF;
    IF p_schema = 'audit' THEN  -- before the lock for which every writer waits: none writes into the past
        PERFORM audit.release_month(v_starts_at AT TIME ZONE 'UTC', v_ends_at AT TIME ZONE 'UTC');
    END IF;
    EXECUTE format('LOCK TABLE ONLY %I.%I IN ACCESS EXCLUSIVE MODE', p_schema, p_table);
    IF (p_schema, p_table) = ('pulsex', 'briefings') THEN
        -- DETACH looks for rows that still refer to the partition as pulsex_owner, from whom row level security hides
        -- them: it would leave them behind. None can come between, since who rates a briefing looks it up, and waits.
        PERFORM ops.delete_expired_feedback();
    END IF;
    EXECUTE format('ALTER TABLE %1$I.%2$I DETACH PARTITION %1$I.%3$I', p_schema, p_table, v_name);
    RETURN v_name;
END
$$;
COMMENT ON FUNCTION ops.detach_next_partition IS
'One step of expiry: detaches a registered table''s oldest expired partition, with what feedback on it is left, and
returns its name; null when none is expired. Commit it before the next. Errors: 55P03 a lock not had within 20 ms.';

CREATE OR REPLACE FUNCTION ops.drop_next_partition(p_schema text, p_table text) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' SET lock_timeout = '20ms'
AS $$
DECLARE
    v_name text;
    v_starts_at timestamp;
    v_ends_at timestamp;
BEGIN
    LOCK TABLE ops.partitioned_tables IN SHARE UPDATE EXCLUSIVE MODE;
    SELECT p.partition_name, p.starts_at, p.ends_at INTO v_name, v_starts_at, v_ends_at FROM ops.partitions AS p
    WHERE p.schema_name = p_schema AND p.table_name = p_table AND p.state = 'detached' AND p.is_expired
    ORDER BY p.ends_at LIMIT 1;
    IF v_name IS NOT NULL THEN
        IF p_schema = 'audit' THEN  -- it may have been detached by hand
            PERFORM audit.release_month(v_starts_at AT TIME ZONE 'UTC', v_ends_at AT TIME ZONE 'UTC');
        END IF;
        EXECUTE format('DROP TABLE %I.%I', p_schema, v_name);
    END IF;
    RETURN v_name;
END
$$;
COMMENT ON FUNCTION ops.drop_next_partition IS
'One step of expiry: drops the oldest of a registered table''s expired and detached partitions, and returns its name;
null when there is none. Commit it before the next. Errors: 55P03 a lock not had within 20 ms.';

CREATE OR REPLACE FUNCTION ops.expire_partitions() RETURNS SETOF text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' SET lock_timeout = '2s'
AS $$
DECLARE
    v_table record;
    v_name text;
BEGIN
    LOCK TABLE ops.partitioned_tables IN SHARE UPDATE EXCLUSIVE MODE;
    PERFORM ops.delete_expired_feedback();
    FOR v_table IN SELECT r.schema_name, r.table_name FROM ops.partitioned_tables AS r ORDER BY 1, 2 LOOP
        WHILE ops.detach_next_partition(v_table.schema_name, v_table.table_name) IS NOT NULL LOOP
        END LOOP;
        LOOP
            v_name := ops.drop_next_partition(v_table.schema_name, v_table.table_name);
            EXIT WHEN v_name IS NULL;
            RETURN NEXT v_name;
        END LOOP;
    END LOOP;
END
$$;
COMMENT ON FUNCTION ops.expire_partitions IS
'Detaches and drops every partition that is wholly older than its table''s retention, feedback before the briefings that
it refers to, and returns the names of those dropped. All in one transaction, until whose end nobody can read those
tables or pulsex.users: ops.run_maintenance() does it one at a time. Errors: 55P03 a table not had within 20 ms or
another scheduler at work for 2 s, and then nothing has changed.';

-- Rows: SECURITY DEFINER as the service -------------------------------------------------------------------------------
SET LOCAL ROLE pulsex_service;

CREATE OR REPLACE FUNCTION ops.delete_expired_feedback(p_limit integer DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
DECLARE
    v_before date := (
        SELECT max(p.ends_at)::date FROM ops.partitions AS p
        WHERE (p.schema_name, p.table_name) = ('pulsex', 'briefings') AND p.is_expired
    );
    v_deleted bigint;
BEGIN
    IF p_limit < 1 THEN
        RAISE EXCEPTION 'a batch has at least one row' USING ERRCODE = 'PT422';
    END IF;
    DELETE FROM pulsex.briefing_feedback AS f
    USING (
        SELECT e.user_id, e.briefing_date, e.edition, e.item_id FROM pulsex.briefing_feedback AS e
        WHERE e.briefing_date < v_before ORDER BY e.briefing_date LIMIT p_limit
    ) AS expired
    WHERE f.user_id = expired.user_id AND f.briefing_date = expired.briefing_date
        AND f.edition = expired.edition AND f.item_id = expired.item_id;
    GET DIAGNOSTICS v_deleted = ROW_COUNT;
    RETURN v_deleted;
END
$$;
COMMENT ON FUNCTION ops.delete_expired_feedback IS
'Deletes feedback on briefings whose partitions are expired, the oldest first, p_limit rows at most (null: all), and
returns how many. Once it returns 0 those partitions can be detached. Errors: PT422 p_limit under 1.';
