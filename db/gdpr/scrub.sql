-- Deleted rows stay in a table's file until VACUUM (FULL) rewrites it, which no function can run: pulsex/scrub.py does,
-- and asks here what is due.

SET LOCAL ROLE pulsex_service;

CREATE OR REPLACE FUNCTION gdpr.relations_to_scrub()
RETURNS TABLE (relation text, kind text, due_since timestamptz, erasures uuid[])
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = ''
AS $$
BEGIN
    RETURN QUERY
    SELECT
        s.relation,
        CASE
            WHEN c.relkind = 'p' THEN 'partitioned' WHEN s.relation = 'pg_statistic' THEN 'statistics' ELSE 'table'
        END,
        min(e.erased_at), array_agg(s.erasure_id)
    FROM gdpr.scrubs AS s
    INNER JOIN gdpr.erasures AS e ON e.erasure_id = s.erasure_id
    INNER JOIN pg_catalog.pg_class AS c ON c.oid = to_regclass(s.relation)
    WHERE s.scrubbed_at IS NULL
    GROUP BY s.relation, c.relkind
    -- Statistics hold values of rows: they are made anew with each table, and what they were goes last.
    ORDER BY s.relation = 'pg_statistic', c.relkind = 'p', s.relation;
END
$$;
COMMENT ON FUNCTION gdpr.relations_to_scrub IS
'The relations in whose files there may still be something of somebody erased, in the order to scrub them: relation,
schema-qualified and quoted; kind: table, to be rewritten and analysed; partitioned, which has only statistics of its
own; statistics, pg_statistic itself. due_since: the oldest erasure; erasures: which ones, to be told to
gdpr.record_scrub(). What has been dropped is due no more.';

CREATE OR REPLACE FUNCTION gdpr.record_scrub(p_relation text, p_erasures uuid[] DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' SET timezone = 'UTC'
AS $$
DECLARE
    v_scrubbed bigint;
BEGIN
    UPDATE gdpr.scrubs AS s SET scrubbed_at = clock_timestamp()
    WHERE s.relation = p_relation AND s.scrubbed_at IS NULL AND (p_erasures IS NULL OR s.erasure_id = ANY (p_erasures));
    GET DIAGNOSTICS v_scrubbed = ROW_COUNT;
    UPDATE gdpr.erasures AS e
    SET certificate = jsonb_set(e.certificate, '{files,scrubbed_at}', to_jsonb(clock_timestamp()))
    WHERE e.erasure_id IN (SELECT s.erasure_id FROM gdpr.scrubs AS s WHERE s.relation = p_relation)
        AND e.certificate #> '{files,scrubbed_at}' = 'null'
        AND NOT EXISTS (
            SELECT FROM gdpr.scrubs AS s
            WHERE s.erasure_id = e.erasure_id AND s.scrubbed_at IS NULL AND to_regclass(s.relation) IS NOT NULL
        );
    RETURN v_scrubbed;
END
$$;
COMMENT ON FUNCTION gdpr.record_scrub IS
'Records that a relation''s file was rewritten, for p_erasures, those that gdpr.relations_to_scrub() named before the
rewriting began (null: all that are due); returns for how many. The certificate of an erasure with nothing left to scrub
says when that was.';
