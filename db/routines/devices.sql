-- Where a person can be reached, and where they no longer want to be: devices, and unsubscribing with one click.

SET LOCAL ROLE pulsex_service;

-- Devices -------------------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION pulsex.retire_device(
    p_user_id uuid, p_device_id uuid, p_at timestamptz DEFAULT now()
) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
DECLARE
    v_row pulsex.notification_queue;
BEGIN
    UPDATE pulsex.devices AS d SET retired_at = coalesce(d.retired_at, p_at)
    WHERE d.user_id = p_user_id AND d.device_id = p_device_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such device' USING ERRCODE = 'PT404';
    END IF;
    DELETE FROM pulsex.push_token_owners AS o WHERE o.user_id = p_user_id AND o.device_id = p_device_id;
    -- What waits for a restricted person stays as it is; when it may be claimed again, there is no device.
    IF NOT EXISTS (SELECT FROM pulsex.devices AS d WHERE d.user_id = p_user_id AND d.retired_at IS NULL)
        AND EXISTS (SELECT FROM pulsex.users AS u WHERE u.user_id = p_user_id AND u.status = 'active')
    THEN
        FOR v_row IN
            SELECT * FROM pulsex.notification_queue AS q
            WHERE q.user_id = p_user_id AND q.channel = 'push' AND (q.lease_until > p_at) IS NOT TRUE
            FOR UPDATE
        LOOP
            PERFORM pulsex.record_lost_lease(v_row, p_at);
            PERFORM pulsex.end_notification(p_user_id, v_row.notification_id, 'cancelled', 'no_device', p_at);
        END LOOP;
    END IF;
END
$$;
COMMENT ON FUNCTION pulsex.retire_device IS
'Sends no more to a device: the push provider says that its token is unregistered (HTTP 410 of APNs, UNREGISTERED of
FCM). With a person''s last device, what waits to be pushed to them is cancelled (no_device), but for what a worker is
sending right now. Again changes nothing. Errors: PT404 no such device.';

CREATE OR REPLACE FUNCTION pulsex.register_device(p_user_id uuid, p_platform text, p_push_token text) RETURNS uuid
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
DECLARE
    v_hash bytea := sha256(convert_to(p_push_token, 'UTF8'));
    v_owner record;
    v_device_id uuid;
BEGIN
    PERFORM pulsex.require_self(p_user_id);
    LOOP
        SELECT o.user_id, o.device_id INTO v_owner FROM pulsex.push_token_owners AS o
        WHERE o.push_token_hash = v_hash FOR UPDATE;
        IF v_owner.user_id = p_user_id THEN
            UPDATE pulsex.devices AS d SET last_seen_at = now(), platform = p_platform
            WHERE d.user_id = p_user_id AND d.device_id = v_owner.device_id;
            RETURN v_owner.device_id;
        ELSIF v_owner.user_id IS NOT NULL THEN
            PERFORM pulsex.retire_device(v_owner.user_id, v_owner.device_id);
        END IF;
        INSERT INTO pulsex.devices (user_id, platform, push_token) VALUES (p_user_id, p_platform, p_push_token)
        RETURNING device_id INTO v_device_id;
        INSERT INTO pulsex.push_token_owners (push_token_hash, user_id, device_id)
        VALUES (v_hash, p_user_id, v_device_id)
        ON CONFLICT ON CONSTRAINT push_token_owners_pk DO NOTHING;
        IF FOUND THEN
            RETURN v_device_id;
        END IF;
        -- Somebody else registered it at the same moment: then it is theirs to lose.
        DELETE FROM pulsex.devices AS d WHERE d.user_id = p_user_id AND d.device_id = v_device_id;
    END LOOP;
END
$$;
COMMENT ON FUNCTION pulsex.register_device IS
'Pushes to a device from now on, and returns its id; the app calls it at each start. A token that another account had is
this one''s now, and the other''s device retired: whoever signs in on a phone gets their own messages there and nobody
else''s. Errors: PT403 for somebody else; 23514 an unknown platform or an empty token; 23502 a null; 23503 oneself has
been erased since the session was proved.';

CREATE OR REPLACE FUNCTION pulsex.forget_device(p_user_id uuid, p_device_id uuid) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
BEGIN
    PERFORM pulsex.require_self(p_user_id);
    PERFORM pulsex.retire_device(p_user_id, p_device_id);
END
$$;
COMMENT ON FUNCTION pulsex.forget_device IS
'Pushes no more to a device of one''s own, which was signed out. Errors: PT403 somebody else''s; PT404 no such device.';

-- Unsubscribing -------------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION pulsex.issue_unsubscribe_token(
    p_user_id uuid,
    p_channel text,
    p_kind text,
    p_lifetime interval DEFAULT '90 days'
) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
DECLARE
    v_token text := p_user_id || '.' || encode(auth.random_bytes(), 'hex');
BEGIN
    PERFORM pulsex.require_unrestricted(p_user_id);
    INSERT INTO pulsex.unsubscribe_tokens (user_id, token_hash, channel, kind, expires_at)
    VALUES (p_user_id, sha256(convert_to(v_token, 'UTF8')), p_channel, p_kind, auth.expiry(p_lifetime, '1 year'));
    RETURN v_token;
EXCEPTION
    WHEN foreign_key_violation THEN
        RAISE EXCEPTION 'no such user' USING ERRCODE = 'PT404';
END
$$;
COMMENT ON FUNCTION pulsex.issue_unsubscribe_token IS
'The token for the List-Unsubscribe header of a message (RFC 8058): <user_id>.<64 hex>, seen only now, for one kind and
channel. p_lifetime: a second to a year. Errors: PT404 no such user; PT403 processing is restricted; PT422 a lifetime
out of bounds; 23514 an unknown channel or a kind that is none; 23502 a null.';

CREATE OR REPLACE FUNCTION pulsex.unsubscribe(p_token text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
DECLARE
    v_user_id uuid;
    v_hash bytea := sha256(convert_to(p_token, 'UTF8'));
    v_token record;
BEGIN
    IF octet_length(p_token) <> 101 OR NOT pg_input_is_valid(left(p_token, 36), 'uuid') THEN
        RETURN FALSE;
    END IF;
    v_user_id := left(p_token, 36)::uuid;
    SELECT t.channel, t.kind, t.used_at INTO v_token FROM pulsex.unsubscribe_tokens AS t
    WHERE t.user_id = v_user_id AND t.token_hash = v_hash AND t.expires_at > now() FOR UPDATE;
    IF NOT FOUND THEN
        RETURN FALSE;
    ELSIF v_token.used_at IS NULL THEN
        UPDATE pulsex.unsubscribe_tokens AS t SET used_at = now()
        WHERE t.user_id = v_user_id AND t.token_hash = v_hash;
        INSERT INTO pulsex.unsubscriptions (user_id, channel, kind)
        VALUES (v_user_id, v_token.channel, v_token.kind)
        ON CONFLICT ON CONSTRAINT unsubscriptions_pk DO NOTHING;
    END IF;
    RETURN TRUE;
END
$$;
COMMENT ON FUNCTION pulsex.unsubscribe IS
'Unsubscribes from what the token was issued for, with no session (RFC 8058, 3.2): nothing more of that kind is sent by
that channel, what is queued already included. Works once: again, as mail providers do, it is true and changes nothing,
not even that the person has subscribed anew since. False for a token that is malformed, unknown or expired.';

CREATE OR REPLACE FUNCTION ops.purge_unsubscribe_tokens(p_limit integer DEFAULT 1000) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
DECLARE
    v_purged integer;
BEGIN
    IF p_limit < 1 THEN
        RAISE EXCEPTION 'a batch has at least one token' USING ERRCODE = 'PT422';
    END IF;
    DELETE FROM pulsex.unsubscribe_tokens AS t
    USING (
        SELECT e.user_id, e.token_hash FROM pulsex.unsubscribe_tokens AS e
        WHERE e.expires_at < now() ORDER BY e.expires_at LIMIT p_limit
    ) AS expired
    WHERE t.user_id = expired.user_id AND t.token_hash = expired.token_hash;
    GET DIAGNOSTICS v_purged = ROW_COUNT;
    RETURN v_purged;
END
$$;
COMMENT ON FUNCTION ops.purge_unsubscribe_tokens IS
'Deletes unsubscribe tokens that have expired, p_limit at most (null: all), and returns how many.
Errors: PT422 p_limit under 1.';
