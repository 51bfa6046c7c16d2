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

CREATE OR REPLACE FUNCTION ops.replication()
RETURNS TABLE (standby text, state text, bytes_behind bigint, behind interval)
LANGUAGE plpgsql STABLE SECURITY INVOKER ROWS 2 SET search_path = ''
AS $$
BEGIN
    IF pg_is_in_recovery() THEN
        RETURN QUERY
        SELECT
            'this one',
            CASE WHEN r.pid IS NULL THEN 'not connected' ELSE 'streaming' END,
            pg_wal_lsn_diff(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())::bigint,
            CASE
                WHEN r.pid IS NOT NULL AND pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN interval '0'
                ELSE now() - pg_last_xact_replay_timestamp()
            END
        FROM pg_stat_get_wal_receiver() AS r;
        RETURN;
    END IF;
    RETURN QUERY
    SELECT
        coalesce(s.slot_name::text, 'process ' || w.pid),
        CASE WHEN w.pid IS NULL THEN 'not connected' ELSE coalesce(w.state, 'connected') END,
        pg_wal_lsn_diff(pg_current_wal_lsn(), coalesce(w.replay_lsn, s.restart_lsn))::bigint,
        w.replay_lag
    FROM (SELECT * FROM pg_catalog.pg_replication_slots AS p WHERE p.slot_type = 'physical') AS s
    FULL JOIN pg_stat_get_wal_senders() AS w ON s.active_pid = w.pid
    WHERE s.temporary IS NOT TRUE AND w.state IS DISTINCT FROM 'backup'
    UNION ALL
    SELECT 'the synchronous one', 'not connected', NULL, NULL
    WHERE current_setting('synchronous_standby_names') <> '' AND NOT EXISTS (
        SELECT FROM pg_stat_get_wal_senders() AS w WHERE coalesce(w.sync_state, 'sync') IN ('sync', 'quorum')
    );
END
$$;
COMMENT ON FUNCTION ops.replication IS
'How far behind each standby is, asked on the primary; asked on a standby, how far that one is behind. On the primary: a
row for each connected standby, and for each slot whose standby isn''t connected; bytes_behind: of WAL, written here and
not yet replayed there (without the rights of pg_read_all_stats, which no role of ours has since it reads other
people''s statements: not yet flushed there, and only where the standby has a slot; else null); behind: how long the last
commit took to be replayed there, null while nothing is to be replayed, and without those rights. On a standby:
bytes_behind: received and not yet replayed; behind: how old the last commit replayed is, 0 when all that was received is
replayed, null when none has been since it started (https://www.postgresql.org/docs/18/monitoring-stats.html#MONITORING-PG-STAT-REPLICATION-VIEW).';

CREATE OR REPLACE VIEW ops.health WITH (security_invoker = TRUE, security_barrier = TRUE) AS
SELECT
    'maintenance' AS name,
    coalesce(max(t.succeeded_at) FILTER (WHERE t.task = 'maintenance') > now() - interval '2 days', FALSE)
    AND NOT coalesce(bool_or(t.failed_at > now() - interval '2 days'), FALSE) AS ok,
    coalesce(
        string_agg(t.task || ': ' || t.error, '; ' ORDER BY t.task),
        'last ended ' || max(t.succeeded_at) FILTER (WHERE t.task = 'maintenance'), 'has never come to its end'
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
FROM ops.parked_briefings(1000) AS g
UNION ALL
SELECT
    'notifications on time' AS name,
    coalesce(max(q.oldest_due) < interval '15 minutes', TRUE) AS ok,
    string_agg(format('%s: %s due, the oldest for %s', q.channel, q.due, q.oldest_due), '; ' ORDER BY q.channel)
    FILTER (WHERE q.due > 0) AS detail
FROM ops.queue_health AS q
UNION ALL
SELECT
    'notifications dead' AS name,
    sum(q.dead_lately) = 0 AS ok,
    string_agg(format('%s: %s of a day', q.channel, q.dead_lately), '; ' ORDER BY q.channel)
    FILTER (WHERE q.dead_lately > 0) AS detail
FROM ops.queue_health AS q
UNION ALL
SELECT
    'replication' AS name,
    coalesce(bool_and(
        r.state <> 'not connected' AND coalesce(r.bytes_behind <= 64 * 1024 * 1024, TRUE)
        AND coalesce(r.behind <= interval '1 minute', TRUE)
    ), TRUE) AS ok,
    coalesce(
        string_agg(
            format(
                '%s: %s, %s bytes, %s behind', r.standby, r.state, coalesce(r.bytes_behind::text, 'unknown'),
                coalesce(r.behind::text, 'unknown')
            ), '; ' ORDER BY r.standby
        ), 'no standby'
    ) AS detail
FROM ops.replication() AS r
UNION ALL
SELECT
    'requests overdue' AS name,
    r.overdue = 0 AS ok,
    format('%s of GDPR Art. 15 to 21, not answered in time', r.overdue) AS detail
FROM ops.overdue_requests() AS r (overdue);
COMMENT ON VIEW ops.health IS
'One row for each check of the database: its name, whether it is ok, and what it found. Alert on NOT ok.';
