-- How the database is: for the operator to look at, and for monitoring to ask.

SET LOCAL ROLE pulsex_owner;

CREATE OR REPLACE FUNCTION ops.partition_faults(p_relation oid) RETURNS text
LANGUAGE plpgsql STABLE SECURITY INVOKER SET search_path = ''
AS $$
DECLARE
    v_relation pg_catalog.pg_class;
    v_is_parent boolean;
    v_service oid := 'pulsex_service'::regrole;
    v_has_policy boolean;
BEGIN
    SELECT * INTO v_relation FROM pg_catalog.pg_class AS c WHERE c.oid = p_relation;
    v_is_parent := v_relation.relkind = 'p';
    v_has_policy := EXISTS (
        SELECT FROM pg_catalog.pg_policy AS p
        WHERE p.polrelid = p_relation AND (v_is_parent OR p.polroles <> ARRAY[v_service])
    );
    RETURN nullif(concat_ws(', ',
        CASE WHEN NOT v_relation.relrowsecurity THEN 'row level security is off' END,
        CASE WHEN NOT v_relation.relforcerowsecurity THEN 'row level security is not forced' END,
        CASE
            WHEN v_is_parent AND NOT v_has_policy THEN 'has no policy'
            WHEN NOT v_is_parent AND v_has_policy THEN 'has a policy of its own'
        END,
        CASE
            WHEN v_is_parent THEN NULL
            WHEN EXISTS (
                SELECT FROM (
                    SELECT v_relation.relacl UNION ALL
                    SELECT t.attacl FROM pg_catalog.pg_attribute AS t WHERE t.attrelid = p_relation
                ) AS given (acl), aclexplode(given.acl) AS a
                WHERE a.grantee NOT IN (v_relation.relowner, v_service)
            ) THEN 'is granted to somebody'
        END,
        (
            SELECT 'lacks ' || string_agg(c.relname, ' and ' ORDER BY c.relname)
            FROM pg_catalog.pg_inherits AS h
            INNER JOIN pg_catalog.pg_index AS wanted ON wanted.indrelid = h.inhparent
            INNER JOIN pg_catalog.pg_class AS c ON c.oid = wanted.indexrelid
            WHERE h.inhrelid = p_relation AND NOT EXISTS (
                SELECT FROM pg_catalog.pg_inherits AS ih
                INNER JOIN pg_catalog.pg_index AS own ON own.indexrelid = ih.inhrelid
                WHERE ih.inhparent = wanted.indexrelid AND own.indrelid = p_relation AND own.indisvalid
            )
        )
    ), '');
END
$$;
COMMENT ON FUNCTION ops.partition_faults IS
'What is wrong with how a partitioned table or a partition is guarded, or null: each has row level security forced; the
table has policies; a partition has no policy and no grant but the service''s, and every index of its table.';

CREATE OR REPLACE VIEW ops.partition_health WITH (security_invoker = TRUE, security_barrier = TRUE) AS
SELECT
    r.schema_name,
    r.table_name,
    r.months_ahead AS months_wanted,
    (
        SELECT min(gap.months)::integer - 1
        FROM generate_series(0, 120) AS gap (months)
        WHERE array_position(
            array_agg(p.starts_at) FILTER (WHERE p.state = 'attached'),
            date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => gap.months)
        ) IS NULL
    ) AS months_ahead,
    count(*) FILTER (WHERE p.state = 'attached') AS partitions,
    sum(nullif(c.reltuples, -1))::bigint AS estimated_rows,
    sum(pg_total_relation_size(p.relation))::bigint AS bytes,
    jsonb_object_agg(p.partition_name, jsonb_build_object(
        'rows', nullif(c.reltuples, -1)::bigint, 'bytes', pg_total_relation_size(p.relation)
    )) FILTER (WHERE p.relation IS NOT NULL) AS sizes,
    array_remove(
        array_agg(CASE WHEN p.is_expired AND p.state = 'attached' THEN p.partition_name END ORDER BY p.starts_at), NULL
    ) AS expired,
    array_remove(array_agg(CASE WHEN p.state <> 'attached' THEN p.partition_name END ORDER BY p.starts_at), NULL)
        AS detached,
    array_remove(
        array_agg(p.partition_name || ': ' || ops.partition_faults(p.relation) ORDER BY p.starts_at)
        || CASE
            WHEN to_regclass(format('%I.%I', r.schema_name, r.table_name)) IS NULL THEN 'there is no such table'
            ELSE ops.partition_faults(to_regclass(format('%I.%I', r.schema_name, r.table_name)))
        END,
        NULL
    ) AS faults
FROM ops.partitioned_tables AS r
LEFT JOIN ops.partitions AS p ON r.schema_name = p.schema_name AND r.table_name = p.table_name
LEFT JOIN pg_catalog.pg_class AS c ON p.relation = c.oid
GROUP BY r.schema_name, r.table_name;
COMMENT ON VIEW ops.partition_health IS
'One row for each table in ops.partitioned_tables: how many whole months after this one have a partition, without a hole
(-1: not even this month has); how many partitions there are, their rows by the planner''s estimate (null: never
analysed) and bytes with indexes, together and in sizes each; those that should be gone (expired); those detached but
not dropped; and what is wrong with how the table or a partition is guarded (faults).';

CREATE OR REPLACE VIEW ops.health WITH (security_invoker = TRUE, security_barrier = TRUE) AS
SELECT
    'maintenance' AS name,
    coalesce(max(t.succeeded_at) > now() - interval '2 days', FALSE)
    AND NOT coalesce(bool_or(t.failed_at > now() - interval '2 days'), FALSE) AS ok,
    coalesce(
        string_agg(t.task || ': ' || t.error, '; ' ORDER BY t.task), 'last ran ' || max(t.succeeded_at), 'has never run'
    ) AS detail
FROM ops.maintenance_tasks AS t
UNION ALL
-- One less than wanted is what there is on the first of a month, until maintenance has run.
SELECT
    'partitions ahead' AS name,
    coalesce(bool_and(h.months_ahead >= greatest(h.months_wanted - 1, 0)), FALSE) AS ok,
    string_agg(format('%s.%s: %s months', h.schema_name, h.table_name, h.months_ahead), '; ' ORDER BY h.table_name)
        AS detail
FROM ops.partition_health AS h
UNION ALL
SELECT
    'partitions expired' AS name,
    count(*) FILTER (WHERE h.expired <> '{}') = 0 AS ok,
    string_agg(array_to_string(h.expired, ', '), ', ') FILTER (WHERE h.expired <> '{}') AS detail
FROM ops.partition_health AS h
UNION ALL
SELECT
    'partitions detached' AS name,
    count(*) FILTER (WHERE h.detached <> '{}') = 0 AS ok,
    string_agg(array_to_string(h.detached, ', '), ', ') FILTER (WHERE h.detached <> '{}') AS detail
FROM ops.partition_health AS h
UNION ALL
SELECT
    'partitions guarded' AS name,
    count(*) FILTER (WHERE h.faults <> '{}') = 0 AS ok,
    string_agg(format('%s.%s: %s', h.schema_name, h.table_name, array_to_string(h.faults, '; ')), '; ')
    FILTER (WHERE h.faults <> '{}') AS detail
FROM ops.partition_health AS h
UNION ALL
SELECT
    'partitioned tables registered' AS name,
    count(*) = 0 AS ok,
    string_agg(c.oid::regclass::text, ', ') AS detail
FROM pg_catalog.pg_class AS c
INNER JOIN pg_catalog.pg_namespace AS n ON c.relnamespace = n.oid
LEFT JOIN ops.partitioned_tables AS r ON n.nspname = r.schema_name AND c.relname = r.table_name
WHERE c.relkind = 'p' AND r.table_name IS NULL
UNION ALL
-- Sealed once a day at least, by ops.run_maintenance().
SELECT
    'audit sealed' AS name,
    coalesce(audit.oldest_unsealed() > now() - interval '2 days', TRUE) AS ok,
    'unsealed since ' || audit.oldest_unsealed() AS detail
UNION ALL
SELECT
    'briefings given up' AS name,
    count(*) = 0 AS ok,
    format('%s, the last for %s', count(*), max(g.briefing_date)) AS detail
FROM ops.parked_briefings(1000) AS g;
COMMENT ON VIEW ops.health IS
'One row for each check of the database: its name, whether it is ok, and what it found. Alert on NOT ok.';
