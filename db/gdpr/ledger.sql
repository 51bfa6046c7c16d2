-- The erasure ledger: who was erased, told to nobody who doesn't have the id and the key already.

SET LOCAL ROLE pulsex_service;

CREATE OR REPLACE FUNCTION gdpr.hash_subject(p_user_id uuid, p_inner_pad bytea, p_outer_pad bytea) RETURNS bytea
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN sha256(p_outer_pad || sha256(p_inner_pad || uuid_send(p_user_id)));
COMMENT ON FUNCTION gdpr.hash_subject IS 'HMAC-SHA256 (RFC 2104) of an id under a key, whose pads these are.';

CREATE OR REPLACE FUNCTION gdpr.rotate_ledger_key(p_forget_before timestamptz DEFAULT '-infinity') RETURNS uuid
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
DECLARE
    v_key_id uuid;
BEGIN
    INSERT INTO gdpr.ledger_keys (inner_pad, outer_pad)
    SELECT p.inner_pad, p.outer_pad FROM auth.hmac_pads(auth.random_bytes()) AS p
    RETURNING key_id INTO v_key_id;
    DELETE FROM gdpr.ledger_keys AS k WHERE k.created_at < p_forget_before;
    RETURN v_key_id;
END
$$;
COMMENT ON FUNCTION gdpr.rotate_ledger_key IS
'Makes a key, under which erasures are entered from now on beside those there are, and forgets those made before
p_forget_before; returns the new one''s id. A backup from a time when only forgotten keys existed can''t be told who was
erased since, so forget none younger than the oldest backup. For operators: no application role may call it.';

CREATE OR REPLACE FUNCTION gdpr.erasures_of(p_user_id uuid) RETURNS SETOF gdpr.erasures
LANGUAGE plpgsql STABLE SECURITY INVOKER SET search_path = ''
AS $$
BEGIN
    RETURN QUERY
    SELECT e.* FROM gdpr.erasures AS e
    WHERE e.erasure_id IN (
        SELECT l.erasure_id FROM gdpr.ledger_keys AS k
        INNER JOIN gdpr.erasure_ledger AS l ON l.subject_hash = gdpr.hash_subject(p_user_id, k.inner_pad, k.outer_pad)
    );
END
$$;
COMMENT ON FUNCTION gdpr.erasures_of IS 'The erasures that an id is entered with, under any key there is.';

CREATE OR REPLACE FUNCTION gdpr.enter_erasure(p_user_id uuid, p_erasure_id uuid) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = ''
AS $$
BEGIN
    INSERT INTO gdpr.erasure_ledger (subject_hash, erasure_id, key_id)
    SELECT gdpr.hash_subject(p_user_id, k.inner_pad, k.outer_pad), p_erasure_id, k.key_id FROM gdpr.ledger_keys AS k
    ON CONFLICT ON CONSTRAINT erasure_ledger_pk DO NOTHING;
END
$$;
COMMENT ON FUNCTION gdpr.enter_erasure IS 'Enters whose an erasure is, hashed under every key there is.';

CREATE OR REPLACE FUNCTION gdpr.backup_horizon() RETURNS interval
LANGUAGE plpgsql STABLE SECURITY INVOKER SET search_path = ''
AS $$
BEGIN
    RETURN (SELECT s.value::interval FROM gdpr.settings AS s WHERE s.name = 'backup_horizon');
END
$$;
COMMENT ON FUNCTION gdpr.backup_horizon IS
'For how long backups and archived WAL are kept, by the setting backup_horizon of gdpr.settings; null: nobody
has said.';

CREATE OR REPLACE FUNCTION gdpr.certify(p_erasure_id uuid, p_result jsonb, p_because text DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = '' SET timezone = 'UTC' SET intervalstyle = 'iso_8601'
AS $$
DECLARE
    v_certificate jsonb;
BEGIN
    INSERT INTO gdpr.scrubs (erasure_id, relation)
    SELECT p_erasure_id, jsonb_array_elements_text(p_result -> 'touched')
    ON CONFLICT ON CONSTRAINT scrubs_pk DO UPDATE SET scrubbed_at = NULL;

    UPDATE gdpr.erasures AS e
    SET completed_at = CASE WHEN p_result -> 'kept' = '[]' THEN coalesce(e.completed_at, now()) END,
        certificate = e.certificate
            || jsonb_build_object(
                'is_complete', p_result -> 'kept' = '[]',
                'kept', p_result -> 'kept',
                'rows', (
                    SELECT coalesce(jsonb_object_agg(n.name, n.total), '{}') FROM (
                        SELECT c.key AS name, sum(c.value::bigint) AS total FROM (
                            SELECT * FROM jsonb_each_text(coalesce(e.certificate -> 'rows', '{}'))
                            UNION ALL SELECT * FROM jsonb_each_text(p_result -> 'rows')
                        ) AS c GROUP BY c.key
                    ) AS n
                ),
                'files', jsonb_build_object('scrubbed_at', NULL, 'relations', (
                    SELECT coalesce(jsonb_agg(s.relation ORDER BY s.relation), '[]') FROM gdpr.scrubs AS s
                    WHERE s.erasure_id = e.erasure_id
                )),
                'wal', jsonb_build_object('written_until', pg_current_wal_insert_lsn()),
                'backups', jsonb_build_object(
                    'horizon', gdpr.backup_horizon(), 'gone_by', now() + gdpr.backup_horizon()
                )
            )
            || CASE
                WHEN p_because IS NULL THEN '{}'
                ELSE jsonb_build_object('continued', coalesce(e.certificate -> 'continued', '[]') || jsonb_build_array(
                    jsonb_build_object('at', now(), 'because', p_because, 'rows', p_result -> 'rows')
                ))
            END
    WHERE e.erasure_id = p_erasure_id
    RETURNING e.certificate INTO v_certificate;
    PERFORM gdpr.record_access('erase', NULL, jsonb_build_object('erasure_id', p_erasure_id, 'because', p_because));
    RETURN v_certificate;
END
$$;
COMMENT ON FUNCTION gdpr.certify IS
'Writes what gdpr.carry_out() did into the erasure''s certificate, and returns it. p_because: why an erasure that there
was already went on: again, release, hold ended, replay.';
