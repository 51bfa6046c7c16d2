-- Who a person is and how they prove it: registration, the password check, one-time tokens. All of it is for the
-- sign-in service (pulsex_auth); a connection that serves requests (pulsex_app) can call none of it.

SET LOCAL ROLE pulsex_service;

CREATE OR REPLACE FUNCTION auth.normalize_email(p_email text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN lower(normalize(btrim(p_email), NFC));
COMMENT ON FUNCTION auth.normalize_email IS
'The spelling under which an e-mail address is stored and looked up: trimmed, NFC, lower case.';

CREATE OR REPLACE FUNCTION auth.register_user(
    p_email text,
    p_password_hash text,
    p_display_name text,
    p_time_zone text DEFAULT 'UTC',
    p_locale text DEFAULT 'en'
) RETURNS uuid
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
DECLARE
    v_user_id uuid := uuidv7();
BEGIN
    INSERT INTO pulsex.users (user_id, display_name, locale, time_zone)
    VALUES (v_user_id, p_display_name, p_locale, p_time_zone);

    INSERT INTO auth.identities (provider, subject, user_id)
    VALUES ('email', auth.normalize_email(p_email), v_user_id)
    ON CONFLICT ON CONSTRAINT identities_pk DO NOTHING;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'this e-mail address is taken' USING ERRCODE = 'PT409';
    END IF;

    INSERT INTO auth.passwords (user_id, password_hash) VALUES (v_user_id, p_password_hash);
    INSERT INTO pulsex.user_preferences (user_id) VALUES (v_user_id);
    RETURN v_user_id;
END
$$;
COMMENT ON FUNCTION auth.register_user IS
'Registers a person: user, e-mail identity (unverified), password and default preferences, all or nothing. Returns the
id.
p_password_hash: Argon2id as a PHC string. p_time_zone: IANA name. p_locale: BCP 47 tag.
Errors: PT409 the e-mail is taken; 23514 an invalid e-mail, hash, name or locale; 23503 an unknown time zone;
23502 a null.';

CREATE OR REPLACE FUNCTION auth.find_user(p_email text) RETURNS uuid
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = ''
AS $$
BEGIN
    RETURN (
        SELECT i.user_id FROM auth.identities AS i
        WHERE i.provider = 'email' AND i.subject = auth.normalize_email(p_email)
    );
END
$$;
COMMENT ON FUNCTION auth.find_user IS
'Whose e-mail address this is, or null. To send a one-time token to; whoever asked for one must not learn the answer.';

-- Signing in with a password ------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION auth.lock_delay(p_failed_attempts integer) RETURNS interval
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN make_interval(secs => 2 ^ least(p_failed_attempts - 1, 12)::double precision);
COMMENT ON FUNCTION auth.lock_delay IS
'How long a login is locked after so many failures in a row: a second after the first, doubling with each, at most 4096
s.';

CREATE OR REPLACE FUNCTION auth.refuse_locked(p_locked_until timestamptz) RETURNS void
LANGUAGE plpgsql STABLE SECURITY INVOKER SET search_path = ''
AS $$
DECLARE
    v_seconds double precision := ceil(extract(EPOCH FROM p_locked_until - clock_timestamp()));
BEGIN
    IF v_seconds > 0 THEN
        RAISE EXCEPTION 'too many failed attempts' USING ERRCODE = 'PT423', DETAIL = v_seconds::text;
    END IF;
END
$$;
COMMENT ON FUNCTION auth.refuse_locked IS
'Errors: PT423 until p_locked_until has passed; DETAIL is the whole seconds left, as in Retry-After (RFC 9110,
10.2.3).';

CREATE OR REPLACE FUNCTION auth.decoy_id(p_email text) RETURNS uuid
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN encode(substr(sha256(convert_to('decoy:' || coalesce(p_email, ''), 'UTF8')), 1, 16), 'hex')::uuid;
COMMENT ON FUNCTION auth.decoy_id IS
'The id under which failures count for a normalised e-mail address that nobody has: a digest of it.';

CREATE OR REPLACE FUNCTION auth.login_credential(p_email text)
RETURNS TABLE (user_id uuid, password_hash text, locked_until timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = ''
AS $$
DECLARE
    v_email text := auth.normalize_email(p_email);
    v_digest bytea := sha256(convert_to('decoy:' || coalesce(v_email, ''), 'UTF8'));
    v_decoy_id uuid := auth.decoy_id(v_email);
BEGIN
    -- Both sides of each coalesce are looked up for everybody: a known e-mail takes the path that an unknown one takes.
    SELECT
        coalesce(p.user_id, v_decoy_id),
        coalesce(p.password_hash, concat(
            -- As costly to check as somebody's: its parameters, a salt, and a tag that no password has.
            '$argon2id$v=19$', coalesce(split_part(example.password_hash, '$', 4), 'm=65536,t=3,p=4'), '$',
            rtrim(encode(substr(v_digest, 17, 16), 'base64'), '='), '$', rtrim(encode(sha256(v_digest), 'base64'), '=')
        )),
        CASE WHEN p.user_id IS NULL THEN d.locked_until ELSE p.locked_until END
    INTO user_id, password_hash, locked_until
    FROM (SELECT) AS always
    LEFT JOIN auth.identities AS i ON i.provider = 'email' AND i.subject = v_email
    LEFT JOIN auth.passwords AS p ON p.user_id = i.user_id
    LEFT JOIN auth.login_decoys AS d ON d.decoy_id = v_decoy_id
    LEFT JOIN (SELECT e.password_hash FROM auth.passwords AS e LIMIT 1) AS example ON TRUE;
    PERFORM auth.refuse_locked(locked_until);
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION auth.login_credential IS
'What the application needs to check a password: always one row. For an e-mail that nobody has, the row is a decoy,
with an id nobody has and a hash no password fits, as costly to check: verify, and call auth.record_login(), in either
case. locked_until is in the past or null. Errors: PT423 locked, the seconds left in DETAIL, for a decoy too.';

CREATE OR REPLACE FUNCTION auth.record_login(p_user_id uuid, p_succeeded boolean) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
DECLARE
    v_login record;
    v_failures integer;
BEGIN
    SELECT TRUE AS known, p.failed_attempts, p.locked_until INTO v_login
    FROM auth.passwords AS p WHERE p.user_id = p_user_id FOR UPDATE;
    IF NOT FOUND THEN
        SELECT FALSE AS known, d.failed_attempts, d.locked_until INTO v_login
        FROM auth.login_decoys AS d WHERE d.decoy_id = p_user_id FOR UPDATE;
    END IF;
    -- Right or wrong, so that of many guesses sent at once the right one doesn't stand out.
    PERFORM auth.refuse_locked(v_login.locked_until);

    IF p_succeeded THEN
        IF v_login.known IS NOT TRUE THEN
            RAISE EXCEPTION 'no such user' USING ERRCODE = 'PT404';
        END IF;
        UPDATE auth.passwords AS p SET failed_attempts = 0, locked_until = NULL
        WHERE p.user_id = p_user_id AND p.failed_attempts > 0;
        RETURN;
    END IF;

    -- Failures of a day ago are forgotten, a person's as a decoy's.
    v_failures := CASE
        WHEN v_login.locked_until > clock_timestamp() - interval '1 day' THEN v_login.failed_attempts + 1
        ELSE 1
    END;
    IF v_login.known THEN
        UPDATE auth.passwords AS p
        SET failed_attempts = v_failures, locked_until = clock_timestamp() + auth.lock_delay(v_failures)
        WHERE p.user_id = p_user_id;
    ELSIF p_user_id IS NOT NULL THEN
        INSERT INTO auth.login_decoys AS d (decoy_id, failed_attempts, locked_until)
        VALUES (p_user_id, v_failures, clock_timestamp() + auth.lock_delay(v_failures))
        ON CONFLICT ON CONSTRAINT login_decoys_pk DO UPDATE
        SET failed_attempts = excluded.failed_attempts, locked_until = excluded.locked_until;
    END IF;
    -- For a decoy at the same cost, as nobody's.
    PERFORM audit.record('login_failed', CASE WHEN v_login.known THEN p_user_id END, jsonb_build_object(
        'failed_attempts', v_failures
    ));
END
$$;
COMMENT ON FUNCTION auth.record_login IS
'Says how the password check went, for the id that auth.login_credential() gave. A failure locks the login, for twice
as long as the failure before it unless that is a day ago; a success forgets them. Commit a failure: it raises nothing,
so that it can be, and a caller who rolls back forgets it. Call it in a transaction of its own, before
auth.start_session().
Errors: PT423 locked by another attempt meanwhile, whether this one was right or wrong, the seconds left in DETAIL: the
password was then not checked; PT404 a success of nobody.';

-- One-time tokens -----------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION auth.issue_one_time_token(
    p_user_id uuid,
    p_purpose text,
    p_lifetime interval DEFAULT '1 hour'
) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
DECLARE
    v_token text := encode(auth.random_bytes(), 'hex');
BEGIN
    IF p_purpose IS NULL THEN
        RAISE EXCEPTION 'a one-time token has a purpose' USING ERRCODE = 'PT422';
    END IF;
    INSERT INTO auth.one_time_tokens (user_id, purpose, token_hash, expires_at)
    VALUES (p_user_id, p_purpose, sha256(convert_to(v_token, 'UTF8')), auth.expiry(p_lifetime, '7 days'))
    ON CONFLICT ON CONSTRAINT one_time_tokens_pk DO UPDATE
    SET token_hash = excluded.token_hash, created_at = excluded.created_at, expires_at = excluded.expires_at,
        used_at = excluded.used_at, attempts = excluded.attempts;
    RETURN v_token;
EXCEPTION
    WHEN foreign_key_violation OR not_null_violation THEN
        RAISE EXCEPTION 'no such user' USING ERRCODE = 'PT404';
END
$$;
COMMENT ON FUNCTION auth.issue_one_time_token IS
'Makes the token for a purpose, verify_email or reset_password, in place of any before it, and returns it: 64 hex
digits, seen only now. p_lifetime: one second to seven days. Errors: PT404 no such user; PT422 no purpose,
or a lifetime out of bounds; 23514 an unknown purpose.';

CREATE OR REPLACE FUNCTION auth.redeem_one_time_token(p_user_id uuid, p_purpose text, p_token text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
DECLARE
    v_right boolean;
BEGIN
    -- The row is locked by the update, so that of two who redeem at once the second sees it used.
    UPDATE auth.one_time_tokens AS t
    SET used_at = CASE WHEN t.token_hash = sha256(convert_to(p_token, 'UTF8')) THEN clock_timestamp() END,
        attempts = t.attempts + 1
    WHERE t.user_id = p_user_id AND t.purpose = p_purpose
        AND t.used_at IS NULL AND t.attempts < 5 AND t.expires_at > clock_timestamp()
    RETURNING t.used_at IS NOT NULL INTO v_right;
    IF v_right AND p_purpose = 'verify_email' THEN
        UPDATE auth.identities AS i SET verified_at = now()
        WHERE i.user_id = p_user_id AND i.provider = 'email' AND i.verified_at IS NULL;
    END IF;
    RETURN coalesce(v_right, FALSE);
END
$$;
COMMENT ON FUNCTION auth.redeem_one_time_token IS
'True once, for the right token in time; verify_email then marks the e-mail verified. False for a wrong, used, expired
or unknown one, or after five attempts: commit it, since rolling back forgets the attempt.';

CREATE OR REPLACE FUNCTION auth.reset_password(p_user_id uuid, p_token text, p_password_hash text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
BEGIN
    IF NOT auth.redeem_one_time_token(p_user_id, 'reset_password', p_token) THEN
        RETURN FALSE;
    END IF;
    INSERT INTO auth.passwords (user_id, password_hash) VALUES (p_user_id, p_password_hash)
    ON CONFLICT ON CONSTRAINT passwords_pk DO UPDATE
    SET password_hash = excluded.password_hash, changed_at = excluded.changed_at,
        failed_attempts = excluded.failed_attempts, locked_until = excluded.locked_until;
    PERFORM auth.revoke_sessions(p_user_id);
    RETURN TRUE;
END
$$;
COMMENT ON FUNCTION auth.reset_password IS
'With the right reset_password token: sets the new hash, lifts any lock, ends every session, and returns true.
Otherwise false: commit that too, as in auth.redeem_one_time_token(). Errors: 23514 not an Argon2id PHC string; the
token is then still good.';

CREATE OR REPLACE FUNCTION auth.purge_expired(p_before timestamptz DEFAULT now() - interval '30 days') RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
DECLARE
    v_purged bigint;
BEGIN
    IF p_before IS NULL OR p_before > now() THEN
        RAISE EXCEPTION 'only what is past can be purged' USING ERRCODE = 'PT422';
    END IF;
    WITH sessions AS (
        DELETE FROM auth.sessions AS s WHERE s.expires_at < p_before RETURNING 1
    ), tokens AS (
        DELETE FROM auth.one_time_tokens AS t WHERE t.expires_at < p_before RETURNING 1
    ), decoys AS (
        DELETE FROM auth.login_decoys AS d WHERE d.locked_until < p_before RETURNING 1
    )
    SELECT (SELECT count(*) FROM sessions) + (SELECT count(*) FROM tokens) + (SELECT count(*) FROM decoys)
    INTO v_purged;
    RETURN v_purged;
END
$$;
COMMENT ON FUNCTION auth.purge_expired IS
'Deletes sessions, one-time tokens and login decoys that ended before p_before; returns how many.
Errors: PT422 p_before null or in the future.';
