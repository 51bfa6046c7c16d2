-- After a restore: whoever was erased since the backup was made is back, and is erased again.
--
-- Keep the ledger beside the backups, exported after each erasure. It names nobody: a restored database finds who it
-- means by hashing everybody's id under the keys it has, which came with the backup.

SET LOCAL ROLE pulsex_service;

CREATE OR REPLACE FUNCTION gdpr.export_erasure_ledger() RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' SET timezone = 'UTC'
AS $$
BEGIN
    PERFORM gdpr.require_privacy();
    RETURN jsonb_build_object('format_version', 1, 'exported_at', now(), 'erasures', (
        SELECT coalesce(jsonb_agg(
            jsonb_build_object(
                'erasure_id', e.erasure_id, 'categories', e.categories, 'erased_at', e.erased_at,
                'completed_at', e.completed_at, 'certificate', e.certificate, 'subject', (
                    SELECT jsonb_object_agg(l.key_id, encode(l.subject_hash, 'hex')) FROM gdpr.erasure_ledger AS l
                    WHERE l.erasure_id = e.erasure_id
                )
            ) ORDER BY e.erasure_id
        ), '[]') FROM gdpr.erasures AS e
    ));
END
$$;
COMMENT ON FUNCTION gdpr.export_erasure_ledger IS
'The erasure ledger, to be kept apart from the database: each erasure with its certificate and, by key, the hash of
whose it was. Without the keys, which are in the database alone, it tells nobody anything. Errors: PT403 for anybody
but pulsex_privacy.';

CREATE OR REPLACE FUNCTION gdpr.replay_erasures(p_ledger jsonb) RETURNS SETOF jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
DECLARE
    v_entry record;
    v_user_id uuid;
BEGIN
    PERFORM gdpr.require_privacy();
    IF p_ledger -> 'format_version' IS DISTINCT FROM '1'
        OR jsonb_typeof(p_ledger -> 'erasures') IS DISTINCT FROM 'array'
    THEN
        RAISE EXCEPTION 'not an erasure ledger' USING ERRCODE = 'PT422';
    END IF;
    FOR v_entry IN
        SELECT r.*, known.erasure_id IS NULL AS is_new, array(
            SELECT decode(h.value, 'hex') FROM jsonb_each_text(r.subject) AS h
            INNER JOIN gdpr.ledger_keys AS k ON k.key_id = h.key::uuid
        ) AS hashes
        FROM jsonb_to_recordset(p_ledger -> 'erasures') AS r (
            erasure_id uuid, categories text[], erased_at timestamptz, completed_at timestamptz, certificate jsonb,
            subject jsonb
        )
        LEFT JOIN gdpr.erasures AS known ON known.erasure_id = r.erasure_id
        ORDER BY r.erased_at, r.erasure_id
    LOOP
        IF v_entry.is_new AND v_entry.hashes = '{}' THEN
            RAISE EXCEPTION 'erasure % is entered under keys that this database does not have', v_entry.erasure_id
            USING ERRCODE = 'PT409',
                HINT = 'The backup is of another database, or older than any key that the ledger''s still had.';
        END IF;
        IF v_entry.is_new THEN
            INSERT INTO gdpr.erasures (erasure_id, categories, erased_at, completed_at, certificate)
            VALUES (
                v_entry.erasure_id, v_entry.categories, v_entry.erased_at, v_entry.completed_at, v_entry.certificate
            );
            INSERT INTO gdpr.erasure_ledger (subject_hash, erasure_id, key_id)
            SELECT decode(h.value, 'hex'), v_entry.erasure_id, h.key::uuid
            FROM jsonb_each_text(v_entry.subject) AS h;
        END IF;
        -- A part that was erased before the backup is not erased again: what is there of it now is of a later day.
        CONTINUE WHEN NOT v_entry.is_new AND v_entry.categories IS NOT NULL;

        SELECT u.user_id INTO v_user_id FROM pulsex.users AS u CROSS JOIN gdpr.ledger_keys AS k
        WHERE gdpr.hash_subject(u.user_id, k.inner_pad, k.outer_pad) = ANY (v_entry.hashes) LIMIT 1;
        CONTINUE WHEN v_user_id IS NULL;
        -- What a hold kept then stays held, though the hold is younger than the backup.
        INSERT INTO gdpr.holds (user_id, hold_id, category, reason, held_until)
        SELECT v_user_id, h.hold, h.category, 'held when the erasure was replayed', h.until
        FROM jsonb_to_recordset(v_entry.certificate -> 'kept') AS h (hold uuid, category text, until timestamptz)
        WHERE h.until IS NULL OR h.until > now()
        ON CONFLICT ON CONSTRAINT holds_pk DO NOTHING;
        PERFORM gdpr.enter_erasure(v_user_id, v_entry.erasure_id);
        RETURN NEXT gdpr.continue_erasure(v_user_id, v_entry.erasure_id, 'replay');
    END LOOP;
EXCEPTION
    WHEN data_exception OR not_null_violation OR check_violation OR unique_violation THEN
        RAISE EXCEPTION 'not an erasure ledger: %', sqlerrm USING ERRCODE = 'PT422';
END
$$;
COMMENT ON FUNCTION gdpr.replay_erasures IS
'Erases again whoever gdpr.export_erasure_ledger() says was erased and a restored backup brought back, all or nothing,
and returns the certificates of those, extended. Entries of others are taken over, so that the ledger is whole again.
What is done is not done twice. Run it before anybody is let in.
Errors: PT403 for anybody but pulsex_privacy; PT409 an entry that this database has no key for; PT422 not a ledger, or
one with an entry twice; 25000, 40P01 and 55P03 as gdpr.erase_user().';
