-- What a scheduler calls once a day, and what it does besides partitions.

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

CREATE OR REPLACE FUNCTION ops.record_maintenance(p_task text, p_error text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
BEGIN
    IF (char_length(p_task) BETWEEN 1 AND 200) IS NOT TRUE THEN
        RAISE EXCEPTION 'a task has a name of 1 to 200 characters' USING ERRCODE = 'PT422';
    END IF;
    INSERT INTO ops.maintenance_tasks AS t (task, succeeded_at, failed_at, error)
    VALUES (
        p_task, CASE WHEN p_error IS NULL THEN now() END, CASE WHEN p_error IS NOT NULL THEN now() END,
        left(p_error, 2000)
    )
    ON CONFLICT ON CONSTRAINT maintenance_tasks_pk DO UPDATE
    SET succeeded_at = coalesce(excluded.succeeded_at, t.succeeded_at),
        failed_at = excluded.failed_at, error = excluded.error;
END
$$;
COMMENT ON FUNCTION ops.record_maintenance IS
'Remembers for ops.health how a task of ops.run_maintenance() ended: well, where p_error is null.
Errors: PT422 p_task null, empty or over 200 characters.';

CREATE OR REPLACE FUNCTION ops.claim_maintenance() RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
BEGIN
    -- A row and not an advisory lock, whose keys are everybody's: an application that was taken over could hold one for
    -- ever, and with it put an end to sealing, retention and partitions.
    INSERT INTO ops.maintenance_tasks (task) VALUES ('maintenance')
    ON CONFLICT ON CONSTRAINT maintenance_tasks_pk DO NOTHING;
    PERFORM FROM ops.maintenance_tasks AS t WHERE t.task = 'maintenance' FOR UPDATE SKIP LOCKED;
    RETURN FOUND;
END
$$;
COMMENT ON FUNCTION ops.claim_maintenance IS
'True when this transaction is the one that maintains, until it ends: it has the row ''maintenance'' of
ops.maintenance_tasks, which nobody can lock who may not write there. False at once when another one has it.
https://www.postgresql.org/docs/18/explicit-locking.html#LOCKING-ROWS';

-- As the caller: a procedure that commits can be neither SECURITY DEFINER nor have a SET clause -----------------------
SET LOCAL ROLE pulsex_owner;

CREATE OR REPLACE PROCEDURE ops.run_maintenance(p_attempts integer DEFAULT 12)
LANGUAGE plpgsql SECURITY INVOKER
AS $$
DECLARE
    v_began timestamptz := clock_timestamp();
    v_task record;
    v_attempt integer;
    v_done text;
    v_error text;
    v_is_busy boolean;
BEGIN
    -- Each step is a transaction, done again until it returns null.
    FOR v_task IN
        SELECT format('partitions ahead of %s.%s', r.schema_name, r.table_name) AS name,
            format('SELECT ops.make_next_partition(%L, %L)', r.schema_name, r.table_name) AS step
        FROM ops.partitioned_tables AS r
        UNION ALL VALUES
        ('audit sealed', 'SELECT NULL::text FROM audit.seal()'),
        ('feedback on expired briefings', 'SELECT nullif(ops.delete_expired_feedback(1000), 0)::text')
        UNION ALL
        SELECT format('expired partitions of %s.%s', r.schema_name, r.table_name),
            format('SELECT coalesce(ops.drop_next_partition(%1$L, %2$L), ops.detach_next_partition(%1$L, %2$L))',
                r.schema_name, r.table_name)
        FROM ops.partitioned_tables AS r
        UNION ALL VALUES
        ('time zones', 'SELECT nullif(ops.refresh_time_zones(), 0)::text'),
        (
            'engagement totals',
            format('SELECT nullif(ops.roll_up_marked_engagement(1000, %L), 0)::text', v_began)
        ),
        ('expired sessions', 'SELECT nullif(auth.purge_expired(), 0)::text'),
        ('expired unsubscribe tokens', 'SELECT nullif(ops.purge_unsubscribe_tokens(1000), 0)::text'),
        ('expired rows', 'SELECT nullif(gdpr.apply_retention(1000), 0)::text'),
        ('erasures that a hold kept', 'SELECT nullif(gdpr.resume_erasures(), 0)::text'),
        ('inactive accounts erased', 'SELECT nullif(gdpr.erase_inactive(1), 0)::text'),
        ('inactive accounts warned', 'SELECT nullif(gdpr.warn_inactive(100), 0)::text')
    LOOP
        v_attempt := 1;
        LOOP
            -- Of the transaction, not of the session: a run that is cancelled leaves nothing locked behind a pooler.
            IF NOT ops.claim_maintenance() THEN
                RAISE NOTICE 'maintenance is under way elsewhere; left to it before: %', v_task.name;
                RETURN;
            END IF;
            v_error := NULL;
            v_is_busy := false;
            BEGIN
                EXECUTE v_task.step INTO v_done;
            EXCEPTION
                WHEN lock_not_available OR deadlock_detected THEN
                    v_error := format('%s: %s', sqlstate, sqlerrm);
                    v_is_busy := v_attempt < p_attempts;
                WHEN OTHERS THEN
                    v_error := format('%s: %s', sqlstate, sqlerrm);
            END;
            IF v_is_busy THEN
                PERFORM pg_sleep(least(0.1 * 2 ^ (v_attempt - 1), 10) * (0.5 + random()));
                v_attempt := v_attempt + 1;
            ELSIF v_error IS NULL AND v_done IS NOT NULL THEN
                v_attempt := 1;
            ELSE
                PERFORM ops.record_maintenance(v_task.name, v_error);
                IF v_error IS NOT NULL THEN
                    RAISE WARNING 'maintenance failed: %: %', v_task.name, v_error;
                END IF;
                COMMIT;
                EXIT;
            END IF;
            COMMIT;
        END LOOP;
    END LOOP;
    IF ops.claim_maintenance() THEN
        PERFORM ops.record_maintenance('maintenance', NULL);
    END IF;
    COMMIT;
END
$$;
COMMENT ON PROCEDURE ops.run_maintenance IS
'What is to be done once a day, each step in a transaction of its own that holds its locks for milliseconds: partitions
ahead, seals on the audit log, feedback and partitions that are expired, time zones, engagement totals, sessions that
ended long ago, expired unsubscribe tokens, rows that outlived what the data map gives them, erasures whose holds have
ended, accounts that nobody uses. A step that doesn''t get a lock is tried p_attempts times, at first 0.1 s apart, then
twice as long each time, up to 10 s (12 times: about a minute). A task that fails is reported as a WARNING and in
ops.health, and the next one goes on; the row ''maintenance'' of ops.maintenance_tasks says when a run last came to its
end. If maintenance is under way elsewhere, says so in a NOTICE and returns at once.
Call it outside of a transaction. Errors: 2D000 inside one.';
