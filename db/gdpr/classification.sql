-- What the data map rests on and what can be asked of it.

SET LOCAL ROLE pulsex_owner;

CREATE OR REPLACE FUNCTION gdpr.retention_of(p_schema text, p_table text) RETURNS interval
LANGUAGE plpgsql STABLE SECURITY INVOKER SET search_path = ''
AS $$
DECLARE
    v_retention interval;
BEGIN
    SELECT m.retention INTO v_retention FROM gdpr.data_map_tables AS m
    WHERE m.schema_name = p_schema AND m.table_name = p_table;
    IF v_retention IS NULL THEN
        SELECT min(r.retention) INTO v_retention FROM ops.partitioned_tables AS r
        WHERE to_regclass(format('%I.%I', r.schema_name, r.table_name)) IN (
            SELECT to_regclass(format('%I.%I', p_schema, p_table))
            UNION ALL
            SELECT f.confrelid FROM pg_catalog.pg_constraint AS f
            WHERE f.conrelid = to_regclass(format('%I.%I', p_schema, p_table))
                AND f.contype = 'f' AND f.confdeltype = 'c'
        );
    END IF;
    RETURN v_retention;
END
$$;
COMMENT ON FUNCTION gdpr.retention_of IS
'How long a row of a table is kept: as the data map says; else as ops.partitioned_tables says now, of the table or of
the one that it is deleted with. Null: while there is an account.';

CREATE OR REPLACE VIEW gdpr.personal_tables WITH (security_invoker = TRUE, security_barrier = TRUE) AS
WITH RECURSIVE mapped AS (
    SELECT
        m.*,
        c.oid AS relation
    FROM gdpr.data_map_tables AS m
    INNER JOIN pg_catalog.pg_namespace AS n ON m.schema_name = n.nspname
    INNER JOIN pg_catalog.pg_class AS c ON n.oid = c.relnamespace AND m.table_name = c.relname
    WHERE m.category IS NOT NULL AND c.relkind IN ('r', 'p')
),

refers AS (
    SELECT DISTINCT
        f.conrelid AS child,
        f.confrelid AS parent
    FROM pg_catalog.pg_constraint AS f
    WHERE
        f.contype = 'f' AND f.conrelid <> f.confrelid
        AND f.conrelid IN (SELECT relation FROM mapped) AND f.confrelid IN (SELECT relation FROM mapped)
),

reached (relation, depth) AS (
    SELECT
        relation,
        0
    FROM mapped
    UNION
    SELECT
        refers.child,
        reached.depth + 1
    FROM reached INNER JOIN refers ON reached.relation = refers.parent
    WHERE reached.depth < 32
)

SELECT
    m.schema_name,
    m.table_name,
    m.relation,
    m.category,
    m.label,
    m.place,
    m.found_by,
    m.erased_by,
    m.is_erased_first,
    (
        SELECT max(r.depth) FROM reached AS r
        WHERE r.relation = m.relation
    ) AS depth,
    array(
        SELECT r.parent FROM refers AS r
        WHERE r.child = m.relation
    ) AS parents
FROM mapped AS m;
COMMENT ON VIEW gdpr.personal_tables IS
'The tables that are about people. depth: how many foreign keys it is away from one that refers to none of them, so that
deleting goes from deep to shallow; parents: those it refers to. Both from the catalogue.';

CREATE OR REPLACE VIEW gdpr.personal_relations WITH (security_invoker = TRUE, security_barrier = TRUE) AS
SELECT
    t.schema_name,
    t.table_name,
    r.relation,
    t.relation AS mapped_relation,
    t.category,
    t.label,
    t.place,
    t.found_by,
    t.erased_by,
    t.is_erased_first,
    t.depth,
    t.parents,
    r.starts_at
FROM gdpr.personal_tables AS t
CROSS JOIN LATERAL (
    SELECT
        t.relation,
        NULL::timestamp AS starts_at
    UNION ALL
    SELECT
        p.relation,
        p.starts_at
    FROM ops.partitions AS p
    WHERE p.schema_name = t.schema_name AND p.table_name = t.table_name AND p.state <> 'attached'
) AS r;
COMMENT ON VIEW gdpr.personal_relations IS
'gdpr.personal_tables, and beside each the partitions that were detached from it and are still there: relation is where
the rows are, mapped_relation the table whose map applies, starts_at a detached partition''s month.';

SET LOCAL ROLE pulsex_service;

CREATE OR REPLACE FUNCTION gdpr.unclassified_columns()
RETURNS TABLE (schema_name text, table_name text, column_name text, fault text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = ''
AS $$
BEGIN
    RETURN QUERY
    WITH existing AS (
        SELECT n.nspname::text AS s, c.relname::text AS t, a.attname::text AS c
        FROM pg_catalog.pg_class AS c
        INNER JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        INNER JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        -- Every schema but the server's own; a partition, attached or not, is classified with its table.
        WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND c.relkind IN ('r', 'p', 'm', 'f')
            AND NOT c.relispartition
            AND NOT EXISTS (SELECT FROM ops.partitions AS p WHERE p.relation = c.oid)
    ),
    mapped AS (
        SELECT m.schema_name AS s, m.table_name AS t, m.column_name AS c FROM gdpr.data_map AS m
    )
    SELECT e.s, e.t, e.c, 'is not in the data map' FROM existing AS e
    WHERE NOT EXISTS (SELECT FROM mapped AS m WHERE (m.s, m.t, m.c) = (e.s, e.t, e.c))
    UNION ALL
    SELECT m.s, m.t, m.c, 'is in the data map alone' FROM mapped AS m
    WHERE NOT EXISTS (SELECT FROM existing AS e WHERE (e.s, e.t, e.c) = (m.s, m.t, m.c))
    UNION ALL
    SELECT d.schema_name, d.table_name, NULL, 'has no column in the data map' FROM gdpr.data_map_tables AS d
    WHERE NOT EXISTS (SELECT FROM mapped AS m WHERE (m.s, m.t) = (d.schema_name, d.table_name))
    UNION ALL
    SELECT m.schema_name, m.table_name, m.column_name, 'is personal in one list and not in the other'
    FROM gdpr.data_map AS m INNER JOIN gdpr.data_map_tables AS d USING (schema_name, table_name)
    WHERE m.category IS DISTINCT FROM d.category
    UNION ALL
    SELECT d.schema_name, d.table_name, 'user_id', 'names a person in a table that is about nobody'
    FROM gdpr.data_map_tables AS d INNER JOIN mapped AS m ON (m.s, m.t, m.c) = (d.schema_name, d.table_name, 'user_id')
    WHERE d.category IS NULL
    UNION ALL
    SELECT m.schema_name, m.table_name, m.column_name, 'outlives the person without a routine that sees to it'
    FROM gdpr.data_map AS m INNER JOIN gdpr.data_map_tables AS d USING (schema_name, table_name)
    WHERE m.category IS NOT NULL AND m.erasure <> 'delete' AND d.erased_by IS NULL
    ORDER BY 1, 2, 3, 4;
END
$$;
COMMENT ON FUNCTION gdpr.unclassified_columns IS
'Every column of the database that the data map doesn''t know, every one it knows and that isn''t there, and what
contradicts itself in it. No row: the map is the territory. For the build, and for monitoring after a deploy.';
