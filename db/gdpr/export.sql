-- Access and portability (GDPR Art. 15 and 20): everything there is of a person, in their words, in a stable order.
-- The document and the stream are made from one source, and that from the data map.

SET LOCAL ROLE pulsex_service;

CREATE OR REPLACE FUNCTION gdpr.export_query(p_schema text, p_table text, p_relation regclass) RETURNS text
LANGUAGE plpgsql STABLE SECURITY INVOKER SET search_path = ''
AS $$
DECLARE
    v_pairs text;
    v_order text;
    v_found_by text;
    v_label text;
BEGIN
    SELECT t.found_by, t.label INTO v_found_by, v_label FROM gdpr.data_map_tables AS t
    WHERE t.schema_name = p_schema AND t.table_name = p_table;
    SELECT string_agg(
        format('%L, %s', m.label, coalesce(m.exported_as, format('r.%I', m.column_name))), ', ' ORDER BY a.attnum
    ) INTO v_pairs
    FROM gdpr.data_map AS m
    INNER JOIN pg_catalog.pg_attribute AS a ON a.attrelid = p_relation AND a.attname = m.column_name
    WHERE m.schema_name = p_schema AND m.table_name = p_table AND m.not_exported_because IS NULL AND NOT m.is_secret;
    -- By primary key, text by its bytes, so that the order is the same on every server.
    SELECT string_agg(
        format('r.%I', a.attname) || CASE WHEN a.attcollation <> 0 THEN ' COLLATE "C"' ELSE '' END, ', '
        ORDER BY k.place
    ) INTO v_order
    FROM pg_catalog.pg_index AS i
    CROSS JOIN unnest(i.indkey::smallint[]) WITH ORDINALITY AS k (attnum, place)
    INNER JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
    WHERE i.indrelid = p_relation AND i.indisprimary;
    RETURN format(
        'SELECT jsonb_build_object(''record'', %L%s) AS record, row_number() OVER (ORDER BY %s) AS number
         FROM %s AS r WHERE %s',
        v_label, ', ' || v_pairs, coalesce(v_order, 'r'), p_relation, v_found_by
    );
END
$$;
COMMENT ON FUNCTION gdpr.export_query IS
'The query, $1 a person''s id, that gives their rows of a relation as records in the person''s words, numbered by
primary key. p_relation: the table that p_schema and p_table name in the data map, or a partition detached from it.';

CREATE OR REPLACE FUNCTION gdpr.export_rows(p_user_id uuid)
RETURNS TABLE (category text, ordinal bigint, record jsonb)
LANGUAGE plpgsql STABLE SECURITY INVOKER SET search_path = '' SET timezone = 'UTC' SET intervalstyle = 'iso_8601'
AS $$
DECLARE
    v_relation record;
    v_category text;
    v_before bigint;
    v_count bigint;
BEGIN
    FOR v_relation IN SELECT r.* FROM gdpr.personal_relations AS r ORDER BY r.place, r.starts_at LOOP
        v_before := CASE WHEN v_relation.category = v_category THEN v_before + v_count ELSE 0 END;
        v_category := v_relation.category;
        RETURN QUERY EXECUTE format(
            'SELECT %L, $2 + q.number, q.record FROM (%s) AS q ORDER BY q.number', v_category,
            gdpr.export_query(v_relation.schema_name, v_relation.table_name, v_relation.relation)
        ) USING p_user_id, v_before;
        GET DIAGNOSTICS v_count = ROW_COUNT;
    END LOOP;
END
$$;
COMMENT ON FUNCTION gdpr.export_rows IS
'Every record of a person, for gdpr.export_user_data() and gdpr.export_user_data_rows(), which check who asks and hold
the partitions.';

CREATE OR REPLACE FUNCTION gdpr.export_user_data_rows(p_user_id uuid)
RETURNS TABLE (category text, ordinal bigint, record jsonb)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
BEGIN
    PERFORM gdpr.require_self_or_privacy(p_user_id);
    PERFORM gdpr.require_person(p_user_id);
    PERFORM gdpr.record_access('export', p_user_id, '{"form": "rows"}');
    PERFORM ops.hold_partitions();
    RETURN QUERY SELECT r.category, r.ordinal, r.record FROM gdpr.export_rows(p_user_id) AS r;
END
$$;
COMMENT ON FUNCTION gdpr.export_user_data_rows IS
'A person''s data, one record a row, in the order of the document: category, ordinal within it from 1, and the record
with keys in their words, times in ISO 8601 with their offset. For large accounts: read it through a cursor. The rows
are collected on the server, beyond work_mem in a temporary file that goes with the cursor, so a client holds no more
than it fetches. For pulsex_privacy about anybody, and for pulsex_app about whose session it is. The audit log
remembers it.
Errors: PT403 somebody else''s; PT404 no such person.';

CREATE OR REPLACE FUNCTION gdpr.export_user_data(p_user_id uuid) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' SET timezone = 'UTC' SET intervalstyle = 'iso_8601'
AS $$
DECLARE
    v_categories jsonb;
BEGIN
    PERFORM gdpr.require_self_or_privacy(p_user_id);
    PERFORM gdpr.require_person(p_user_id);
    PERFORM gdpr.record_access('export', p_user_id, '{"form": "document"}');
    PERFORM ops.hold_partitions();

    WITH records AS (
        SELECT r.category, jsonb_agg(r.record ORDER BY r.ordinal) AS records
        FROM gdpr.export_rows(p_user_id) AS r GROUP BY r.category
    ),
    kept AS (
        SELECT t.category, min(t.place) AS place, jsonb_agg(
            jsonb_build_object(
                'record', t.label, 'period', gdpr.retention_of(t.schema_name, t.table_name), 'from', (
                    SELECT m.label FROM gdpr.data_map AS m
                    WHERE m.schema_name = t.schema_name AND m.table_name = t.table_name
                        AND m.column_name = t.retention_from
                )
            ) ORDER BY t.place
        ) AS retention
        FROM gdpr.data_map_tables AS t WHERE t.category IS NOT NULL GROUP BY t.category
    ),
    told AS (
        SELECT m.category, jsonb_agg(DISTINCT m.purpose) AS purposes,
            jsonb_agg(DISTINCT m.lawful_basis) AS lawful_bases, jsonb_agg(DISTINCT m.recipients) AS recipients,
            jsonb_agg(DISTINCT m.source) AS sources
        FROM gdpr.data_map AS m GROUP BY m.category
    )
    SELECT jsonb_agg(
        jsonb_build_object(
            'category', k.category, 'purposes', t.purposes, 'lawful_bases', t.lawful_bases,
            'recipients', t.recipients, 'sources', t.sources, 'retention', k.retention,
            'records', coalesce(r.records, '[]')
        ) ORDER BY k.place
    ) INTO v_categories
    FROM kept AS k INNER JOIN told AS t ON t.category = k.category LEFT JOIN records AS r ON r.category = k.category;

    RETURN jsonb_build_object(
        'format_version', 1, 'generated_at', now(), 'subject', jsonb_build_object('id', p_user_id),
        'categories', v_categories
    );
END
$$;
COMMENT ON FUNCTION gdpr.export_user_data IS
'Everything there is of a person as one document (GDPR Art. 15 and 20), in the shape of examples/export.schema.json: for
each category its purposes, lawful bases, recipients, sources and retention (an ISO 8601 duration; null: while there is
an account), and its records with keys in the person''s words. Secrets, and what only repeats other values, are left
out; the data map says why. For pulsex_privacy about anybody, and for pulsex_app about whose session it is. The audit
log remembers it.
Errors: PT403 somebody else''s; PT404 no such person; 54000 more than a jsonb value holds (256 MB):
gdpr.export_user_data_rows().';

CREATE OR REPLACE FUNCTION gdpr.find_personal_data(p_user_id uuid)
RETURNS TABLE (relation text, category text, row_count bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
DECLARE
    v_relation record;
BEGIN
    PERFORM gdpr.require_privacy();
    PERFORM gdpr.record_access('read', p_user_id, '{"form": "find_personal_data"}');
    PERFORM ops.hold_partitions();
    FOR v_relation IN SELECT r.* FROM gdpr.personal_relations AS r ORDER BY r.place, r.starts_at LOOP
        RETURN QUERY EXECUTE format(
            'SELECT r.tableoid::regclass::text, %L, count(*) FROM %s AS r WHERE %s GROUP BY r.tableoid ORDER BY 1',
            v_relation.category, v_relation.relation::regclass, v_relation.found_by
        ) USING p_user_id;
    END LOOP;
END
$$;
COMMENT ON FUNCTION gdpr.find_personal_data IS
'Where there are rows of a person, whether or not the person is there any more: relation (a partition by its own name,
detached ones too), category, how many. No row: nothing is left. The audit log remembers it. Errors: PT403 for anybody
but pulsex_privacy.';
