-- Seals: what is in the audit log can't be changed without breaking one.
--
-- What proves what. A payload that was changed no longer fits its commitment. An event whose time, role, table, action
-- or commitment was changed, or that was deleted, no longer fits the digest of its seal; a seal that was changed no
-- longer fits its own digest, nor the next seal's; a seal that was deleted leaves a gap. An event that was put in is in
-- no seal. So a forger has to make anew every seal from the first one touched to the last, which a superuser can, and
-- then the last digest isn't what it was: keep the one that audit.seal() returns outside of this server, and give it to
-- audit.verify(). What no seal covers yet is protected only by commitments: whoever can write past the triggers may
-- still make an event of the last minutes disappear without a trace, id and all, so seal as often as that matters.

SET LOCAL ROLE pulsex_service;

CREATE OR REPLACE FUNCTION audit.event_digest(
    p_event_id uuid, p_occurred_at timestamptz, p_role_name text, p_table_name text, p_action text, p_commitment bytea
) RETURNS bytea
LANGUAGE sql STABLE PARALLEL SAFE
RETURN sha256(
    uuid_send(p_event_id) || timestamptz_send(p_occurred_at) || p_commitment
    || convert_to(p_action || ' ' || coalesce(p_table_name, '-') || ' ' || p_role_name, 'UTF8')
);
COMMENT ON FUNCTION audit.event_digest IS
'SHA-256 over what of an event stays for ever: all but its owner, payload and salt, to which the commitment commits. No
two events spell the same, since neither action nor table has a space in it. STABLE as convert_to() is, or it would not
be inlined.';

CREATE OR REPLACE FUNCTION audit.seal_digest(p_previous bytea, p_seal audit.seals) RETURNS bytea
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN sha256(
    coalesce(p_previous, '') || int8send(p_seal.seal_id) || timestamptz_send(p_seal.sealed_at)
    || timestamptz_send(p_seal.kept_from) || date_send(p_seal.month) || timestamptz_send(p_seal.first_at)
    || timestamptz_send(p_seal.last_at) || int4send(p_seal.events) || p_seal.contents_digest
);
COMMENT ON FUNCTION audit.seal_digest IS
'SHA-256 over the digest of the previous seal (nothing before the first) and every column of this one but its digest.';

CREATE OR REPLACE FUNCTION audit.seal() RETURNS bytea
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
DECLARE
    v_first timestamptz;
    v_last timestamptz;
    v_batch record;
    v_seal audit.seals;
    v_previous bytea;
BEGIN
    -- Sealers take turns; writers never come near this table.
    LOCK TABLE audit.seal_contents IN SHARE UPDATE EXCLUSIVE MODE;
    SELECT s.* INTO v_seal FROM audit.seals AS s ORDER BY s.seal_id DESC LIMIT 1;
    v_previous := v_seal.digest;
    v_seal.kept_from := greatest(v_seal.kept_from, (
        SELECT coalesce(date_trunc('month', now() AT TIME ZONE 'UTC' - r.retention) AT TIME ZONE 'UTC', '-infinity')
        FROM ops.partitioned_tables AS r WHERE r.schema_name = 'audit' AND r.table_name = 'events'
    ), '-infinity');
    SELECT min(u.occurred_at), max(u.occurred_at) INTO v_first, v_last FROM audit.unsealed_events AS u;

    FOR v_batch IN
        WITH taken AS (
            DELETE FROM audit.unsealed_events AS u USING audit.events AS e
            WHERE u.occurred_at = e.occurred_at AND u.event_id = e.event_id AND e.occurred_at BETWEEN v_first AND v_last
            RETURNING e.event_id, e.occurred_at, date_trunc('month', e.occurred_at AT TIME ZONE 'UTC')::date AS month,
                audit.event_digest(e.event_id, e.occurred_at, e.role_name, e.table_name, e.action, e.commitment)
                    AS digest
        ), numbered AS (
            SELECT t.*, (row_number() OVER (PARTITION BY t.month ORDER BY t.event_id) - 1) / 10000 AS batch
            FROM taken AS t
        )
        SELECT n.month, n.batch, min(n.occurred_at) AS first_at, max(n.occurred_at) AS last_at,
            array_agg(n.event_id ORDER BY n.event_id) AS event_ids,
            sha256(string_agg(n.digest, '' ORDER BY n.event_id)) AS contents_digest
        FROM numbered AS n GROUP BY n.month, n.batch ORDER BY n.month, n.batch
    LOOP
        v_seal.seal_id := coalesce(v_seal.seal_id, 0) + 1;
        v_seal.sealed_at := clock_timestamp();
        v_seal.month := v_batch.month;
        v_seal.first_at := v_batch.first_at;
        v_seal.last_at := v_batch.last_at;
        v_seal.events := cardinality(v_batch.event_ids);
        v_seal.contents_digest := v_batch.contents_digest;
        v_seal.digest := audit.seal_digest(v_previous, v_seal);
        INSERT INTO audit.seals SELECT v_seal.*;
        INSERT INTO audit.seal_contents (seal_id, event_ids) VALUES (v_seal.seal_id, v_batch.event_ids);
        v_previous := v_seal.digest;
    END LOOP;
    RETURN v_previous;
END
$$;
COMMENT ON FUNCTION audit.seal IS
'Seals every event that it can see and no seal covers yet, at most 10000 to a seal and each month''s apart, and returns
the last digest of the chain: keep it outside of this server, for audit.verify(). Null: nothing was ever sealed. With
nothing new it changes nothing. Writers don''t wait for it; another sealer does, until this transaction ends.
Errors: 40001 or 23505 in a REPEATABLE READ transaction that began before another sealer''s ended.';

CREATE OR REPLACE FUNCTION audit.oldest_unsealed() RETURNS timestamptz
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = ''
AS $$
BEGIN
    RETURN (SELECT min(u.occurred_at) FROM audit.unsealed_events AS u);
END
$$;
COMMENT ON FUNCTION audit.oldest_unsealed IS
'When the oldest event happened that no seal covers, or null: for ops.health. It grows old when nobody seals, or when an
event was deleted before it was sealed.';

CREATE OR REPLACE FUNCTION audit.release_month(p_from timestamptz, p_to timestamptz) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
BEGIN
    IF EXISTS (SELECT FROM audit.unsealed_events AS u WHERE u.occurred_at >= p_from AND u.occurred_at < p_to)
        OR EXISTS (
            SELECT FROM audit.seal_contents AS c INNER JOIN audit.seals AS s ON s.seal_id = c.seal_id
            WHERE s.first_at >= p_from AND s.last_at < p_to
        )
    THEN
        PERFORM audit.record('expire', NULL, jsonb_build_object('from', p_from, 'to', p_to));
        PERFORM audit.seal();
    END IF;
    IF EXISTS (SELECT FROM audit.unsealed_events AS u WHERE u.occurred_at >= p_from AND u.occurred_at < p_to) THEN
        RAISE EXCEPTION 'events from % to % can''t be sealed', p_from, p_to USING ERRCODE = '55000';
    END IF;
    DELETE FROM audit.seal_contents AS c USING audit.seals AS s
    WHERE c.seal_id = s.seal_id AND s.first_at >= p_from AND s.last_at < p_to;
END
$$;
COMMENT ON FUNCTION audit.release_month IS
'Before a month of the log is detached or dropped, from p_from to before p_to: records that it expires, seals all there
is, so that the chain says from when on the log is kept, and forgets which events the month''s seals were of. The seals
stay. Again changes nothing. Errors: 55000 an event of that month can''t be sealed, since it is gone.';
