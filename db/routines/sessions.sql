-- Sessions and the signed context: how a transaction proves whom it acts for.

SET LOCAL ROLE pulsex_service;

CREATE OR REPLACE FUNCTION auth.random_bytes() RETURNS bytea
LANGUAGE sql VOLATILE PARALLEL SAFE
RETURN sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()));
COMMENT ON FUNCTION auth.random_bytes IS
'32 bytes nobody can guess: SHA-256 over three version 4 uuids, 366 bits from the server''s strong random source.';

CREATE OR REPLACE FUNCTION auth.hmac_pads(p_key bytea, OUT inner_pad bytea, OUT outer_pad bytea) RETURNS record
LANGUAGE plpgsql IMMUTABLE SECURITY INVOKER SET search_path = ''
AS $$
BEGIN
    inner_pad := convert_to(repeat('6', 64), 'UTF8');   -- ipad, 64 times 0x36
    outer_pad := convert_to(repeat('\', 64), 'UTF8');   -- opad, 64 times 0x5C
    FOR i IN 0..31 LOOP
        inner_pad := set_byte(inner_pad, i, get_byte(inner_pad, i) # get_byte(p_key, i));
        outer_pad := set_byte(outer_pad, i, get_byte(outer_pad, i) # get_byte(p_key, i));
    END LOOP;
END
$$;
COMMENT ON FUNCTION auth.hmac_pads IS
'A key of 32 bytes XOR ipad and opad, filled up to 64 bytes: what HMAC-SHA256 hashes first (RFC 2104).';

CREATE OR REPLACE FUNCTION auth.rotate_signing_key() RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
BEGIN
    INSERT INTO auth.signing_key AS k (inner_pad, outer_pad, previous_inner_pad, previous_outer_pad)
    SELECT p.inner_pad, p.outer_pad, p.inner_pad, p.outer_pad FROM auth.hmac_pads(auth.random_bytes()) AS p
    ON CONFLICT ON CONSTRAINT signing_key_pk DO UPDATE
    SET inner_pad = excluded.inner_pad, outer_pad = excluded.outer_pad,
        previous_inner_pad = k.inner_pad, previous_outer_pad = k.outer_pad, rotated_at = excluded.rotated_at;
END
$$;
COMMENT ON FUNCTION auth.rotate_signing_key IS
'Signs contexts with a new key from now on. Transactions under way end well, the key before this one being honoured
until the next rotation; to make a stolen key worthless at once, rotate twice. For operators: no application role may
call it.';

CREATE OR REPLACE FUNCTION auth.expiry(p_lifetime interval, p_longest interval) RETURNS timestamptz
LANGUAGE plpgsql STABLE SECURITY INVOKER SET search_path = ''
AS $$
BEGIN
    -- First roughly, so that nothing overflows; then points in time, since to intervals a year has 360 days.
    IF p_lifetime BETWEEN interval '0' AND p_longest * 2
        AND now() + p_lifetime BETWEEN now() + interval '1 second' AND now() + p_longest
    THEN
        RETURN now() + p_lifetime;
    END IF;
    RAISE EXCEPTION 'a lifetime is between a second and %', p_longest USING ERRCODE = 'PT422';
END
$$;
COMMENT ON FUNCTION auth.expiry IS
'When p_lifetime from now is over. Errors: PT422 null, under a second, or over p_longest.';

CREATE OR REPLACE FUNCTION auth.start_session(
    p_user_id uuid,
    p_lifetime interval DEFAULT '30 days',
    p_ip inet DEFAULT NULL,
    p_user_agent text DEFAULT NULL
) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
DECLARE
    v_token text := p_user_id || '.' || encode(auth.random_bytes(), 'hex');
    v_expires_at timestamptz := auth.expiry(p_lifetime, '1 year');
BEGIN
    INSERT INTO auth.sessions (user_id, token_hash, family_id, expires_at, ip_address, user_agent)
    VALUES (
        p_user_id, sha256(convert_to(v_token, 'UTF8')), uuidv7(), v_expires_at, p_ip, left(p_user_agent, 400)
    );
    RETURN v_token;
EXCEPTION
    WHEN foreign_key_violation OR not_null_violation THEN
        RAISE EXCEPTION 'no such user' USING ERRCODE = 'PT404';
END
$$;
COMMENT ON FUNCTION auth.start_session IS
'Starts a session for a person whose credential the caller has checked. Returns the token, <user_id>.<64 hex>, the only
time it is seen: the table keeps its SHA-256. p_lifetime: one second to one year. p_user_agent: cut at 400 characters.
Errors: PT404 no such user; PT422 a lifetime out of bounds.';

CREATE OR REPLACE FUNCTION auth.use_session(token text) RETURNS uuid
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
DECLARE
    v_user_id uuid;
    v_mac bytea;
BEGIN
    BEGIN
        SELECT
            s.user_id,
            sha256(k.outer_pad || sha256(
                k.inner_pad || convert_to(s.user_id::text, 'UTF8') || timestamptz_send(now())
                || int4send(pg_backend_pid())
            ))
        INTO STRICT v_user_id, v_mac
        FROM auth.sessions AS s CROSS JOIN auth.signing_key AS k
        WHERE s.user_id = left(token, 36)::uuid AND s.token_hash = sha256(convert_to(token, 'UTF8'))
            AND s.expires_at > now() AND (s.revoked_at IS NULL OR s.revoked_at > now());
    EXCEPTION
        WHEN no_data_found OR invalid_text_representation THEN
            RAISE EXCEPTION 'no valid session' USING ERRCODE = 'PT401';
    END;
    -- Neither a uuid nor hex has anything to quote.
    EXECUTE format('SET LOCAL pulsex.context = ''%s.%s''', v_user_id, encode(v_mac, 'hex'));
    RETURN v_user_id;
END
$$;
COMMENT ON FUNCTION auth.use_session IS
'Proves who this transaction acts for: looks the token up and signs the context that auth.current_user_id() reads,
until the transaction ends. Call it once, first in the transaction. Reads only, so it works on a standby. Returns the
user''s id.
Errors: PT401 for a token that is malformed, unknown, expired or revoked, without telling which.';

CREATE OR REPLACE FUNCTION auth.find_session(p_token text) RETURNS auth.sessions
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = ''
AS $$
DECLARE
    v_session auth.sessions;
BEGIN
    IF octet_length(p_token) = 101 AND pg_input_is_valid(left(p_token, 36), 'uuid') THEN
        SELECT * INTO v_session FROM auth.sessions AS s
        WHERE s.user_id = left(p_token, 36)::uuid AND s.token_hash = sha256(convert_to(p_token, 'UTF8'))
        FOR UPDATE;
    END IF;
    IF v_session.user_id IS NULL OR v_session.expires_at <= now() THEN
        RAISE EXCEPTION 'no valid session' USING ERRCODE = 'PT401';
    END IF;
    RETURN v_session;
END
$$;
COMMENT ON FUNCTION auth.find_session IS
'The session of a token, locked, whether revoked or not. Errors: PT401 for one that is malformed, unknown or expired.';

CREATE OR REPLACE FUNCTION auth.revoke_sessions(p_user_id uuid, p_family_id uuid DEFAULT NULL) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = ''
AS $$
DECLARE
    v_ended integer := 0;
    v_pass integer;
BEGIN
    -- A rotation under way holds its old row until it commits the new one; the next pass sees that one too.
    LOOP
        UPDATE auth.sessions AS s SET revoked_at = now()
        WHERE s.user_id = p_user_id AND (p_family_id IS NULL OR s.family_id = p_family_id)
            AND (s.revoked_at IS NULL OR s.revoked_at > now());
        GET DIAGNOSTICS v_pass = ROW_COUNT;
        EXIT WHEN v_pass = 0;
        v_ended := v_ended + v_pass;
    END LOOP;
    IF v_ended > 0 THEN
        PERFORM audit.record('revoke_sessions', p_user_id, jsonb_build_object(
            'sessions', v_ended, 'family_id', p_family_id
        ));
    END IF;
END
$$;
COMMENT ON FUNCTION auth.revoke_sessions IS
'Ends every session of a person, or those that descend from one sign-in, and what a concurrent rotation makes of them.';

CREATE OR REPLACE FUNCTION auth.touch_session(token text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
DECLARE
    v_user_id uuid := auth.use_session(token);
BEGIN
    UPDATE auth.sessions AS s SET last_used_at = now()
    WHERE s.user_id = v_user_id AND s.token_hash = sha256(convert_to(token, 'UTF8'))
        AND s.last_used_at < now() - interval '5 minutes';
END
$$;
COMMENT ON FUNCTION auth.touch_session IS
'auth.use_session(), and remembers when, at most once in five minutes. Errors: PT401 as there.';

CREATE OR REPLACE FUNCTION auth.rotate_session(token text) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
DECLARE
    v_session auth.sessions := auth.find_session(token);
    v_token text := v_session.user_id || '.' || encode(auth.random_bytes(), 'hex');
BEGIN
    IF v_session.revoked_at <= now() THEN
        PERFORM audit.record('token_reused', v_session.user_id, jsonb_build_object(
            'session_id', v_session.session_id, 'family_id', v_session.family_id
        ));
        PERFORM auth.revoke_sessions(v_session.user_id, v_session.family_id);
        RETURN NULL;
    END IF;
    INSERT INTO auth.sessions (user_id, token_hash, family_id, expires_at, ip_address, user_agent)
    VALUES (
        v_session.user_id, sha256(convert_to(v_token, 'UTF8')), v_session.family_id,
        now() + (v_session.expires_at - v_session.created_at), v_session.ip_address, v_session.user_agent
    );
    UPDATE auth.sessions AS s SET revoked_at = now() + interval '30 seconds'
    WHERE s.user_id = v_session.user_id AND s.session_id = v_session.session_id AND s.revoked_at IS NULL;
    RETURN v_token;
END
$$;
COMMENT ON FUNCTION auth.rotate_session IS
'Returns a new token for the same sign-in and lifetime; the old one works for another 30 seconds, so that two tabs
which rotate at once both win. A token rotated longer ago, or ended, is in the wrong hands: the whole family is revoked
(RFC 9700, 4.14.2) and null returned, not an error, since that would undo the revocation: commit it, and treat it as
PT401.
Errors: PT401 a token that is malformed, unknown or expired.';

CREATE OR REPLACE FUNCTION auth.end_session(token text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
DECLARE
    v_session auth.sessions := auth.find_session(token);
BEGIN
    PERFORM auth.revoke_sessions(v_session.user_id, v_session.family_id);
END
$$;
COMMENT ON FUNCTION auth.end_session IS
'Signs out: the token and whatever it was rotated from or to stop at once; again changes nothing.
Errors: PT401 a token that is malformed, unknown or expired.';

CREATE OR REPLACE FUNCTION auth.end_all_sessions(p_user_id uuid) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
BEGIN
    IF p_user_id IS DISTINCT FROM auth.current_user_id() OR p_user_id IS NULL THEN
        RAISE EXCEPTION 'only one''s own sessions' USING ERRCODE = 'PT403';
    END IF;
    PERFORM auth.revoke_sessions(p_user_id);
END
$$;
COMMENT ON FUNCTION auth.end_all_sessions IS
'Signs out everywhere, here too. Errors: PT403 unless this transaction is in a session of p_user_id.';
