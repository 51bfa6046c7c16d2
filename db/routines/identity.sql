-- Who a person is and how they prove it: registration, the password check, one-time tokens. All of it is for the sign-in
-- service (pulsex_auth); a connection that serves requests (pulsex_app) can call none of it.

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
    v_user_id uuid;
BEGIN
    INSERT INTO pulsex.users (display_name, locale, time_zone)
    VALUES (p_display_name, p_locale, p_time_zone)
    RETURNING user_id INTO v_user_id;

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
'Registers a person: user, e-mail identity (unverified), password and default preferences, all or nothing. Returns the id.
p_password_hash: Argon2id as a PHC string. p_time_zone: IANA name. p_locale: BCP 47 tag.
Errors: PT409 the e-mail is taken; 23514 an invalid e-mail, hash, name or locale; 23503 an unknown time zone.';
