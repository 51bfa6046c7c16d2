-- Whether the audit log is what was written.

SET LOCAL ROLE pulsex_service;

CREATE OR REPLACE FUNCTION audit.verify(p_expected_digest bytea DEFAULT NULL)
RETURNS TABLE (finding text, seal_id bigint, event_id uuid, detail text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = ''
AS $$
DECLARE
    v_kept_from timestamptz := coalesce(
        (SELECT s.kept_from FROM audit.seals AS s ORDER BY s.seal_id DESC LIMIT 1), '-infinity'
    );
BEGIN
    IF p_expected_digest IS NOT NULL
        AND NOT EXISTS (SELECT FROM audit.seals AS s WHERE s.digest = p_expected_digest)
    THEN
        RETURN QUERY SELECT 'rolled_back', NULL::bigint, NULL::uuid, 'no seal has the expected digest';
    END IF;

    RETURN QUERY
    WITH chain AS (
        SELECT s.seal_id AS number, s.digest, audit.seal_digest(lag(s.digest) OVER w, s) AS wanted,
            lag(s.seal_id, 1, 0::bigint) OVER w AS previous
        FROM audit.seals AS s WINDOW w AS (ORDER BY s.seal_id)
    )
    SELECT CASE WHEN c.previous + 1 = c.number THEN 'seal_changed' ELSE 'seal_missing' END,
        c.previous + 1, NULL::uuid,
        CASE
            WHEN c.previous + 1 = c.number THEN 'its digest doesn''t follow from it and the seal before it'
            ELSE format('there is none from %s to %s', c.previous + 1, c.number - 1)
        END
    FROM chain AS c WHERE c.previous + 1 <> c.number OR c.digest <> c.wanted
    ORDER BY c.number;

    -- One pass over the events beside the ids that the seals and the waiting list have; seal 0 is what waits.
    RETURN QUERY
    WITH listed AS (
        SELECT s.seal_id AS number, c.id, NULL::timestamptz AS occurred_at
        FROM audit.seals AS s
        INNER JOIN audit.seal_contents AS l ON l.seal_id = s.seal_id
        CROSS JOIN unnest(l.event_ids) AS c (id)
        WHERE s.last_at >= v_kept_from
        UNION ALL
        SELECT 0, u.event_id, u.occurred_at FROM audit.unsealed_events AS u
    ), present AS (
        SELECT e.event_id AS id, e.occurred_at,
            audit.event_digest(e.event_id, e.occurred_at, e.role_name, e.table_name, e.action, e.commitment) AS digest,
            sha256(e.salt || convert_to(e.payload::text, 'UTF8')) <> e.commitment AS is_changed,
            e.payload ->> 'user_id' IS DISTINCT FROM e.user_id::text AND e.payload IS NOT NULL AS is_misplaced
        FROM audit.events AS e WHERE e.occurred_at >= v_kept_from
    ), compared AS (
        SELECT l.number, count(p.id) AS events, sha256(string_agg(p.digest, '' ORDER BY p.id)) AS digest,
            array_agg(l.id) FILTER (WHERE p.id IS NULL OR l.occurred_at <> p.occurred_at) AS missing,
            array_agg(p.id) FILTER (WHERE p.is_changed) AS changed,
            array_agg(p.id) FILTER (WHERE p.is_misplaced) AS misplaced,
            array_agg(p.id) FILTER (WHERE l.number IS NULL) AS forged
        FROM listed AS l FULL JOIN present AS p ON p.id = l.id GROUP BY l.number
    )
    SELECT f.finding, nullif(c.number, 0), f.id, f.detail
    FROM compared AS c CROSS JOIN LATERAL (
        SELECT 'event_missing' AS finding, m.id, 'it is listed, and not there or not at its time' AS detail
        FROM unnest(c.missing) AS m (id)
        UNION ALL
        SELECT 'event_changed', m.id, 'its payload isn''t what its commitment says' FROM unnest(c.changed) AS m (id)
        UNION ALL
        SELECT 'event_changed', m.id, 'its payload says that it is somebody else''s' FROM unnest(c.misplaced) AS m (id)
        UNION ALL
        SELECT 'event_forged', m.id, 'no seal covers it, and it doesn''t wait for one' FROM unnest(c.forged) AS m (id)
    ) AS f
    UNION ALL
    SELECT 'contents_changed', s.seal_id, NULL, format('it sealed %s events, of which there are %s, or others',
        s.events, coalesce(c.events, 0))
    FROM audit.seals AS s LEFT JOIN compared AS c ON c.number = s.seal_id
    WHERE s.last_at >= v_kept_from
        AND (s.events, s.contents_digest) IS DISTINCT FROM (coalesce(c.events, 0), c.digest)
    ORDER BY 2, 1, 3;

    RETURN QUERY
    WITH blank AS (
        SELECT to_char(e.occurred_at AT TIME ZONE 'UTC', 'YYYY-MM') AS month, count(*) AS events
        FROM audit.events AS e WHERE e.payload IS NULL AND e.occurred_at >= v_kept_from GROUP BY 1
    ), scrubbed AS (
        SELECT n.month, sum(n.events::bigint) AS events
        FROM audit.events AS e CROSS JOIN jsonb_each_text(e.payload -> 'events') AS n (month, events)
        WHERE e.user_id = '00000000-0000-0000-0000-000000000000' AND e.action = 'scrub'
            AND n.month >= to_char(v_kept_from AT TIME ZONE 'UTC', 'YYYY-MM')
        GROUP BY 1
    )
    SELECT 'payloads_missing', NULL::bigint, NULL::uuid, format('of %s: %s blank events, %s by audit.scrub()',
        month, coalesce(b.events, 0), coalesce(s.events, 0))
    FROM blank AS b FULL JOIN scrubbed AS s USING (month) WHERE b.events IS DISTINCT FROM s.events
    ORDER BY month;

    RETURN QUERY
    SELECT 'unguarded', NULL::bigint, NULL::uuid,
        format('%s has no trigger that refuses %s', g.relation::regclass, g.verbs)
    FROM (
        SELECT 'audit.events'::regclass::oid, 'TRUNCATE', 32
        UNION ALL SELECT 'audit.seals'::regclass, v.verbs, v.bits
        FROM (VALUES ('UPDATE and DELETE', 24), ('TRUNCATE', 32)) AS v (verbs, bits)
        UNION ALL SELECT p.relation, v.verbs, v.bits
        FROM ops.partitions AS p, (VALUES ('UPDATE and DELETE', 24), ('TRUNCATE', 32)) AS v (verbs, bits)
        WHERE p.schema_name = 'audit'
    ) AS g (relation, verbs, bits)
    WHERE NOT EXISTS (
        SELECT FROM pg_catalog.pg_trigger AS t
        WHERE t.tgrelid = g.relation AND t.tgfoid = 'audit.refuse_change'::regproc
            AND t.tgenabled = 'A' AND t.tgtype & g.bits = g.bits
    )
    UNION
    SELECT 'unguarded', NULL, NULL, format('%s doesn''t record its changes', t.tgrelid::regclass)
    FROM pg_catalog.pg_trigger AS t
    WHERE t.tgfoid = 'audit.record_change'::regproc AND t.tgenabled IN ('D', 'R')
    UNION
    SELECT 'unguarded', NULL, NULL, format('%I.%I doesn''t record its changes', m.schema_name, m.table_name)
    FROM gdpr.data_map_tables AS m
    WHERE m.is_audited AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_trigger AS t
        WHERE t.tgrelid = to_regclass(format('%I.%I', m.schema_name, m.table_name))
            AND t.tgfoid = 'audit.record_change'::regproc
    )
    ORDER BY 4;
END
$$;
COMMENT ON FUNCTION audit.verify IS
'What is wrong with the audit log and where: no row when all is well. p_expected_digest: the last one that audit.seal()
gave, kept outside of this server; the chain may have grown since, but it has to be in it. finding is
rolled_back: the log isn''t, or isn''t a continuation of, the one whose digest is expected, so it was replaced by an
older state of itself or made anew;
seal_missing, seal_changed: seal_id is the first, which was deleted, or doesn''t follow from what it says;
contents_changed: an event of this seal isn''t what was sealed, in time, role, table, action or commitment;
event_missing: one that was sealed, or (seal_id is null) waits for it, is gone or has another time;
event_changed: its payload or its owner isn''t what its commitment says;
event_forged: it is in no seal, and doesn''t wait for one: it was put in, or its seal was taken out;
payloads_missing: of one month, more or fewer events are blank than audit.scrub() says that it made so. Which of them
can no longer be told, but the time, role, table and action of each still can;
unguarded: a trigger is missing or off.
What can''t be seen: that an event which no seal covers yet was deleted together with its row in audit.unsealed_events,
or was changed together with its commitment, or was put in with such a row; changes to months that retention has ended
(the last seal''s kept_from); that a superuser changed personal data while record_change was off, or the functions
themselves. One pass over the log; it sees one moment, whoever writes.';
