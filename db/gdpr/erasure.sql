-- Erasure (GDPR Art. 17): every row of a person in every table, partition and detached partition, in one transaction.
--
-- The row in pulsex.users is locked first. Whoever is inserting a row of the person holds it FOR KEY SHARE through a
-- foreign key, and is waited for, so that their row is found; whoever comes later waits, and then fails, because what
-- their row refers to has gone. So no row of the person appears afterwards, from a transaction that has already proved
-- a session neither. And all partitions are held where they are: one that is detached after the plan was made would
-- keep its rows. Rows that others have locked are waited for one by one; the audit log, which they may have written to
-- before they let go, is scrubbed last.

SET LOCAL ROLE pulsex_service;

CREATE OR REPLACE FUNCTION gdpr.plan_erasure(p_user_id uuid, p_categories text[])
RETURNS TABLE (relation regclass, table_name text, category text, found_by text, erased_by text, fate text)
LANGUAGE plpgsql STABLE SECURITY INVOKER SET search_path = ''
AS $$
BEGIN
    RETURN QUERY
    WITH RECURSIVE tables AS MATERIALIZED (
        SELECT t.* FROM gdpr.personal_relations AS t
    ),
    held AS MATERIALIZED (
        SELECT t.mapped_relation FROM tables AS t
        INNER JOIN gdpr.active_holds(p_user_id) AS h ON h.category = t.category
        UNION
        SELECT 'gdpr.holds'::regclass::oid FROM gdpr.active_holds(p_user_id)
    ),
    kept (mapped_relation) AS (
        SELECT h.mapped_relation FROM held AS h
        UNION
        SELECT parent FROM kept AS k INNER JOIN tables AS t ON t.mapped_relation = k.mapped_relation
        CROSS JOIN unnest(t.parents) AS parent
    ),
    wanted (mapped_relation) AS (
        SELECT t.mapped_relation FROM tables AS t WHERE p_categories IS NULL OR t.category = ANY (p_categories)
        UNION
        SELECT t.mapped_relation FROM wanted AS w INNER JOIN tables AS t ON w.mapped_relation = ANY (t.parents)
    )
    SELECT
        t.relation::regclass, format('%s.%s', t.schema_name, t.table_name), t.category, t.found_by, t.erased_by,
        CASE
            WHEN t.mapped_relation IN (SELECT h.mapped_relation FROM held AS h) THEN 'held'
            WHEN t.mapped_relation IN (SELECT k.mapped_relation FROM kept AS k) THEN 'needed'
            ELSE 'erased'
        END
    FROM tables AS t
    WHERE t.mapped_relation IN (SELECT w.mapped_relation FROM wanted AS w)
    ORDER BY t.is_erased_first DESC, t.depth DESC, t.place, t.starts_at;
END
$$;
COMMENT ON FUNCTION gdpr.plan_erasure IS
'What becomes of each relation in which a person has rows, in the order to do it: erased; held, of a category under a
legal hold; needed, since held rows refer to it. p_categories: null for all; what refers to rows of a category goes with
them. Holds themselves are held while there is one.';

CREATE OR REPLACE FUNCTION gdpr.delete_rows(p_user_id uuid, p_relation regclass, p_found_by text) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = ''
AS $$
DECLARE
    v_deleted jsonb;
BEGIN
    EXECUTE format(
        'WITH gone AS (DELETE FROM %s AS r WHERE %s RETURNING r.tableoid)
         SELECT jsonb_object_agg(g.name, g.deleted)
         FROM (SELECT tableoid::regclass::text AS name, count(*) AS deleted FROM gone GROUP BY tableoid) AS g',
        p_relation, p_found_by
    ) USING p_user_id INTO v_deleted;
    RETURN coalesce(v_deleted, '{}');
END
$$;
COMMENT ON FUNCTION gdpr.delete_rows IS
'Deletes a person''s rows from a table; returns how many from each partition, or from the table itself, by name.';

CREATE OR REPLACE FUNCTION gdpr.carry_out(p_user_id uuid, p_erasure_id uuid, p_categories text[]) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = ''
AS $$
DECLARE
    v_plan record;
    v_change text;
    v_deleted jsonb;
    v_count bigint;
    v_rows jsonb := '{}';
    v_held jsonb := '{}';
    v_kept jsonb;
    v_erased text[] := '{}';
    v_touched text[] := '{pg_statistic}';
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        -- A snapshot from before the lock wouldn't show what was written or held before it was had.
        RAISE EXCEPTION 'an erasure is READ COMMITTED' USING ERRCODE = '25000';
    END IF;
    -- What is append-only, and what a restriction keeps everybody else from, gives way to this too.
    PERFORM audit.begin_erasure(p_user_id);
    FOR v_plan IN SELECT p.* FROM gdpr.plan_erasure(p_user_id, p_categories) AS p LOOP
        v_count := 0;
        IF v_plan.fate = 'held' THEN
            EXECUTE format('SELECT count(*) FROM %s AS r WHERE %s', v_plan.relation, v_plan.found_by)
            USING p_user_id INTO v_count;
            v_held := v_held || jsonb_build_object(
                v_plan.category, coalesce((v_held ->> v_plan.category)::bigint, 0) + v_count
            );
            CONTINUE;
        ELSIF v_plan.fate = 'needed' THEN
            SELECT string_agg(format('%I = %L', m.column_name, m.erased_value), ', ') INTO v_change
            FROM gdpr.data_map AS m
            WHERE format('%s.%s', m.schema_name, m.table_name) = v_plan.table_name AND m.erased_value IS NOT NULL;
            IF v_change IS NOT NULL THEN
                EXECUTE format('UPDATE %s AS r SET %s WHERE %s', v_plan.relation, v_change, v_plan.found_by)
                USING p_user_id;
            END IF;
            v_erased := v_erased || v_plan.table_name;
        ELSIF v_plan.erased_by IS NOT NULL THEN
            CONTINUE;
        ELSE
            v_deleted := gdpr.delete_rows(p_user_id, v_plan.relation, v_plan.found_by);
            SELECT coalesce(sum(d.value::bigint), 0) INTO v_count FROM jsonb_each_text(v_deleted) AS d;
            v_touched := v_touched || array(SELECT jsonb_object_keys(v_deleted));
            v_erased := v_erased || v_plan.table_name;
        END IF;
        IF v_count > 0 THEN
            v_rows := v_rows || jsonb_build_object(
                v_plan.table_name, coalesce((v_rows ->> v_plan.table_name)::bigint, 0) + v_count
            );
        END IF;
        -- The whole of what isn't partitioned, whether or not there were rows: older ones, deleted or changed long ago,
        -- may still be in its file. And a partitioned table itself, for its statistics.
        v_touched := v_touched || v_plan.relation::text;
    END LOOP;

    -- Whatever is erased leaves traces in a log. Last, since whoever was waited for may have written there until they
    -- let go.
    FOR v_plan IN
        SELECT t.relation, t.schema_name || '.' || t.table_name AS table_name, t.erased_by, t.category
        FROM gdpr.personal_tables AS t WHERE t.erased_by IS NOT NULL AND NOT v_held ? t.category
    LOOP
        PERFORM audit.begin_erasure(p_user_id);
        EXECUTE format('SELECT %s($1, $2)', v_plan.erased_by) INTO v_count USING p_user_id, CASE
            WHEN v_plan.category = ANY (p_categories) OR (p_categories IS NULL AND v_held = '{}') THEN NULL
            ELSE v_erased
        END;
        IF v_count > 0 THEN
            v_rows := v_rows || jsonb_build_object(v_plan.table_name, v_count);
        END IF;
        v_touched := v_touched || array(
            SELECT t.relid::regclass::text FROM pg_partition_tree(v_plan.relation) AS t
            UNION SELECT v_plan.relation::regclass::text
        );
    END LOOP;
    -- A log that is held hasn't ended it: what is done of the person from here on is recorded again.
    SET LOCAL pulsex.erasure = '';

    SELECT coalesce(jsonb_agg(
        jsonb_build_object(
            'hold', h.hold_id, 'category', h.category, 'until', h.held_until,
            'rows', coalesce((v_held ->> h.category)::bigint, 0)
        ) ORDER BY h.placed_at, h.hold_id
    ), '[]') INTO v_kept
    FROM gdpr.active_holds(p_user_id) AS h WHERE v_held ? h.category;
    UPDATE gdpr.holds AS h
    SET erasure_id = CASE WHEN v_kept @> jsonb_build_array(jsonb_build_object('hold', h.hold_id)) THEN p_erasure_id END
    WHERE h.user_id = p_user_id AND (
        h.erasure_id = p_erasure_id OR v_kept @> jsonb_build_array(jsonb_build_object('hold', h.hold_id))
    );
    IF p_categories IS NULL AND v_kept = '[]' THEN
        -- With everything gone, what a part of it waited for has come too.
        UPDATE gdpr.erasures AS e
        SET completed_at = now(), certificate = e.certificate || '{"is_complete": true, "kept": []}'
        WHERE e.erasure_id IN (SELECT o.erasure_id FROM gdpr.erasures_of(p_user_id) AS o WHERE o.completed_at IS NULL);
    END IF;
    RETURN jsonb_build_object(
        'rows', v_rows, 'kept', v_kept,
        'touched', (SELECT jsonb_agg(DISTINCT t.name) FROM unnest(v_touched) AS t (name))
    );
END
$$;
COMMENT ON FUNCTION gdpr.carry_out IS
'Erases what may be erased of a person; the caller holds the partitions, and has locked their row in pulsex.users.
Returns rows, how many from each table; kept, the holds that kept something and how much; touched, the relations whose
files are to be rewritten.';

CREATE OR REPLACE FUNCTION gdpr.continue_erasure(p_user_id uuid, p_erasure_id uuid, p_because text) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = ''
AS $$
DECLARE
    v_erasure gdpr.erasures;
    v_result jsonb;
BEGIN
    PERFORM ops.hold_partitions();
    PERFORM FROM pulsex.users AS u WHERE u.user_id = p_user_id FOR UPDATE;
    SELECT e.* INTO v_erasure FROM gdpr.erasures AS e WHERE e.erasure_id = p_erasure_id;
    v_result := gdpr.carry_out(p_user_id, p_erasure_id, v_erasure.categories);
    IF v_result -> 'rows' = '{}' AND v_result -> 'kept' = v_erasure.certificate -> 'kept' THEN
        RETURN v_erasure.certificate;
    END IF;
    RETURN gdpr.certify(p_erasure_id, v_result, p_because);
END
$$;
COMMENT ON FUNCTION gdpr.continue_erasure IS
'Goes on with an erasure that there is: after a hold, or because the person has come back. Returns its certificate,
which is as it was where there was nothing left to do.';

CREATE OR REPLACE FUNCTION gdpr.leave_out_person(p_text text, p_user_id uuid) RETURNS text
LANGUAGE plpgsql STABLE SECURITY INVOKER SET search_path = ''
AS $$
DECLARE
    v_name text;
    v_text text := p_text;
BEGIN
    FOR v_name IN
        SELECT p_user_id::text
        UNION ALL SELECT i.subject FROM auth.identities AS i WHERE i.user_id = p_user_id
        UNION ALL SELECT u.display_name FROM pulsex.users AS u WHERE u.user_id = p_user_id
    LOOP
        v_text := regexp_replace(
            v_text, '(?<!\w)' || regexp_replace(v_name, '([^[:alnum:][:space:]])', '\\\1', 'g') || '(?!\w)', '…', 'gi'
        );
    END LOOP;
    RETURN v_text;
END
$$;
COMMENT ON FUNCTION gdpr.leave_out_person IS
'A text with the person''s id, name, e-mail address and other sign-in names, as whole words, replaced by an ellipsis.';

CREATE OR REPLACE FUNCTION gdpr.erase(p_user_id uuid, p_reason text, p_categories text[] DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = '' SET timezone = 'UTC'
AS $$
DECLARE
    v_erasure gdpr.erasures;
    v_unknown text;
    v_is_there boolean;
BEGIN
    PERFORM gdpr.require_reason(p_reason);
    IF p_categories = '{}' THEN
        RAISE EXCEPTION 'there is no category to erase' USING ERRCODE = 'PT422';
    END IF;
    SELECT string_agg(coalesce(c.name, 'null'), ', ') INTO v_unknown FROM unnest(p_categories) AS c (name)
    WHERE NOT EXISTS (SELECT FROM gdpr.data_map_tables AS t WHERE t.category = c.name);
    IF v_unknown IS NOT NULL THEN
        RAISE EXCEPTION 'no such category: %', v_unknown USING ERRCODE = 'PT422';
    ELSIF p_categories IS NOT NULL AND EXISTS (
        SELECT FROM gdpr.plan_erasure(p_user_id, p_categories) AS p WHERE p.relation = 'pulsex.users'::regclass
    ) THEN
        RAISE EXCEPTION 'everything refers to the profile: erase all' USING ERRCODE = 'PT422';
    END IF;

    PERFORM ops.hold_partitions();
    PERFORM FROM pulsex.users AS u WHERE u.user_id = p_user_id FOR UPDATE;
    v_is_there := FOUND;
    SELECT e.* INTO v_erasure FROM gdpr.erasures_of(p_user_id) AS e WHERE e.categories IS NULL;
    IF v_is_there AND v_erasure.erasure_id IS NOT NULL THEN
        RETURN gdpr.continue_erasure(p_user_id, v_erasure.erasure_id, 'again');
    ELSIF v_erasure.erasure_id IS NOT NULL THEN
        RETURN v_erasure.certificate;
    ELSIF NOT v_is_there THEN
        RAISE EXCEPTION 'no such person' USING ERRCODE = 'PT404';
    END IF;

    INSERT INTO gdpr.erasures (categories, certificate) VALUES (p_categories, '{}')
    RETURNING * INTO v_erasure;
    UPDATE gdpr.erasures AS e SET certificate = jsonb_build_object(
        'format_version', 1, 'erasure_id', v_erasure.erasure_id, 'erased_at', v_erasure.erased_at,
        'reason', gdpr.leave_out_person(p_reason, p_user_id), 'categories', p_categories
    ) WHERE e.erasure_id = v_erasure.erasure_id;
    PERFORM gdpr.enter_erasure(p_user_id, v_erasure.erasure_id);
    RETURN gdpr.certify(v_erasure.erasure_id, gdpr.carry_out(p_user_id, v_erasure.erasure_id, p_categories));
END
$$;
COMMENT ON FUNCTION gdpr.erase IS
'gdpr.erase_user(), for routines of the service that have checked who asks.';

CREATE OR REPLACE FUNCTION gdpr.erase_user(p_user_id uuid, p_reason text, p_categories text[] DEFAULT NULL)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
BEGIN
    PERFORM gdpr.require_privacy();
    RETURN gdpr.erase(p_user_id, p_reason, p_categories);
END
$$;
COMMENT ON FUNCTION gdpr.erase_user IS
'Erases a person, or p_categories of theirs and what refers to them, and returns the certificate: erasure_id; erased_at;
reason (1 to 500 characters, the person''s names left out); categories (null: all); is_complete; rows deleted by table;
kept, the legal holds that kept something; files.relations, to be rewritten by the scrub, and when that was done;
wal.written_until, the position up to which the write-ahead log may still hold it; backups.gone_by, when the last
backup that has it expires (null: the setting backup_horizon isn''t made). Nothing in it is about the person. They are
signed out at once, their queued notifications with them. No table holds totals of several people that would have to be
corrected. Again, or at once from two places, is one erasure: the certificate is the stored one. What a hold kept goes
when the hold is released or ends.
Errors: PT403 for anybody but pulsex_privacy; PT404 nobody has or had this id; PT422 no reason, or no such category, or
the profile without the rest; 25000 not READ COMMITTED; 40P01 a deadlock with somebody who changes the same rows, and
55P03: nothing has changed, call it again.';

CREATE OR REPLACE FUNCTION gdpr.resume_erasures() RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
DECLARE
    v_hold record;
    v_resumed bigint := 0;
BEGIN
    FOR v_hold IN
        SELECT DISTINCT h.user_id, h.erasure_id FROM gdpr.holds AS h
        WHERE h.erasure_id IS NOT NULL AND (h.released_at <= now() OR h.held_until <= now())
    LOOP
        PERFORM gdpr.continue_erasure(v_hold.user_id, v_hold.erasure_id, 'hold ended');
        v_resumed := v_resumed + 1;
    END LOOP;
    RETURN v_resumed;
END
$$;
COMMENT ON FUNCTION gdpr.resume_erasures IS
'Goes on with every erasure that waited for a legal hold which has ended by itself; returns how many. For a scheduler.
Errors: 25000, 40P01 and 55P03 as gdpr.erase_user().';
