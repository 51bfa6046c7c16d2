-- Notifications: whether and when a person is told something, and their inbox. Delivering is in notification_queue.sql.

-- When: quiet hours ---------------------------------------------------------------------------------------------------
SET LOCAL ROLE pulsex_service;

CREATE OR REPLACE FUNCTION pulsex.quiet_until(
    p_start time, p_end time, p_time_zone text, p_at timestamptz
) RETURNS timestamptz
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SECURITY INVOKER SET search_path = ''
AS $$
DECLARE
    v_wall timestamp := p_at AT TIME ZONE p_time_zone;
    v_time time := v_wall::time;
    v_end timestamptz;
BEGIN
    IF p_start IS NULL OR NOT (
        CASE
            WHEN p_start <= p_end THEN v_time >= p_start AND v_time < p_end
            ELSE v_time >= p_start OR v_time < p_end
        END
    ) THEN
        RETURN NULL;
    END IF;
    v_end := pulsex.delivery_instant(v_wall::date + (v_time >= p_end)::integer, p_end, p_time_zone);
    IF v_end <= p_at THEN  -- the clocks went back, and show the hour for the second time
        v_end := (v_wall::date + p_end) AT TIME ZONE p_time_zone;
    END IF;
    RETURN v_end;
END
$$;
COMMENT ON FUNCTION pulsex.quiet_until IS
'When the quiet hours end that p_at falls into, by the clocks of the zone; null when it falls into none. From p_start to
p_end, which no longer belongs to them; over midnight if the end is earlier; none if they are equal or null. They end at
the first instant after p_at at which the clocks show that next p_end or later: where they skip it, when they do; where
they go back in the middle, not before they get to it.';

-- Whether -------------------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION pulsex.delivery_verdict(
    p_user_id uuid,
    p_channel text,
    p_kind text,
    p_at timestamptz,
    OUT reason text,
    OUT not_before timestamptz,
    OUT targets jsonb
)
LANGUAGE plpgsql STABLE SECURITY INVOKER SET search_path = '' SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    SELECT
        CASE
            WHEN u.status = 'restricted' THEN 'restricted'
            WHEN NOT p_channel = ANY (p.channels) THEN 'channel_off'
            WHEN EXISTS (
                SELECT FROM pulsex.unsubscriptions AS s
                WHERE s.user_id = p_user_id AND s.channel = p_channel AND s.kind = p_kind
            ) THEN 'unsubscribed'
            WHEN EXISTS (SELECT FROM pulsex.promotional_kinds AS k WHERE k.kind = p_kind)
                AND NOT gdpr.has_consent(p_user_id, 'marketing') THEN 'no_consent'
            WHEN p_channel = 'push' AND d.devices IS NULL THEN 'no_device'
            WHEN p_channel = 'email' AND i.addresses IS NULL THEN 'no_address'
        END,
        CASE
            WHEN u.status = 'restricted' THEN p_at + interval '1 hour'
            WHEN p_channel = 'push'
                THEN pulsex.quiet_until(p.quiet_hours_start, p.quiet_hours_end, u.time_zone, p_at)
        END,
        coalesce(d.devices, i.addresses, '[]')
    INTO reason, not_before, targets
    FROM pulsex.users AS u
    INNER JOIN pulsex.user_preferences AS p ON p.user_id = u.user_id
    LEFT JOIN LATERAL (
        SELECT jsonb_agg(jsonb_build_object(
            'device_id', o.device_id, 'platform', o.platform, 'push_token', o.push_token
        )) AS devices
        FROM pulsex.devices AS o
        WHERE p_channel = 'push' AND o.user_id = p_user_id AND o.retired_at IS NULL
    ) AS d ON TRUE
    LEFT JOIN LATERAL (
        SELECT jsonb_agg(jsonb_build_object('address', o.subject)) AS addresses
        FROM auth.identities AS o
        WHERE p_channel = 'email' AND o.user_id = p_user_id AND o.provider = 'email' AND o.verified_at IS NOT NULL
    ) AS i ON TRUE
    WHERE u.user_id = p_user_id;

    IF reason IS NULL AND not_before IS NOT NULL THEN
        reason := 'quiet_hours';
    ELSIF reason <> 'restricted' THEN
        not_before := NULL;
    END IF;
END
$$;
COMMENT ON FUNCTION pulsex.delivery_verdict IS
'Whether a person may be sent a kind of notification by a channel at p_at. reason null: yes, to targets, an array of
{device_id, platform, push_token} for push, of {address} for e-mail, and empty for in_app. A reason with not_before: not
yet (quiet_hours, for push alone; restricted). A reason alone: no (channel_off, unsubscribed, no_consent: it
advertises, and the person''s consent to marketing doesn''t hold; no_device, no_address: an
e-mail goes only to an address that is verified).';

-- For the worker ------------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION pulsex.require_deliverable(p_priority integer, p_max_attempts integer) RETURNS void
LANGUAGE plpgsql IMMUTABLE SECURITY INVOKER SET search_path = ''
AS $$
BEGIN
    IF p_priority IS NULL OR p_priority NOT BETWEEN -100 AND 100 THEN
        RAISE EXCEPTION 'a priority is between -100 and 100' USING ERRCODE = 'PT422';
    ELSIF p_max_attempts IS NULL OR p_max_attempts NOT BETWEEN 1 AND 100 THEN
        RAISE EXCEPTION 'there are 1 to 100 attempts' USING ERRCODE = 'PT422';
    END IF;
END
$$;
COMMENT ON FUNCTION pulsex.require_deliverable IS
'Errors: PT422 unless p_priority is -100 to 100 and p_max_attempts 1 to 100.';

CREATE OR REPLACE FUNCTION pulsex.enqueue_notification(
    p_user_id uuid,
    p_channel text,
    p_kind text,
    p_payload jsonb DEFAULT '{}',
    p_scheduled_for timestamptz DEFAULT now(),
    p_dedup_key text DEFAULT NULL,
    p_priority integer DEFAULT 0,
    p_max_attempts integer DEFAULT 8
) RETURNS uuid
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    v_verdict record;
    v_state text;
    v_notification_id uuid;
    v_available_at timestamptz;
BEGIN
    PERFORM pulsex.require_deliverable(p_priority, p_max_attempts);
    PERFORM pulsex.require_unrestricted(p_user_id);
    SELECT * INTO v_verdict
    FROM pulsex.delivery_verdict(p_user_id, p_channel, p_kind, greatest(p_scheduled_for, now()));
    v_state := CASE WHEN v_verdict.reason IS NULL OR v_verdict.not_before IS NOT NULL THEN 'pending' ELSE 'cancelled' END;
    LOOP
        IF p_dedup_key IS NOT NULL THEN
            SELECT n.notification_id INTO v_notification_id FROM pulsex.notifications AS n
            WHERE n.user_id = p_user_id AND n.dedup_key = p_dedup_key AND n.state = 'pending';
            IF FOUND THEN
                RETURN v_notification_id;
            END IF;
        END IF;
        INSERT INTO pulsex.notifications AS n (
            user_id, channel, kind, payload, dedup_key, state, reason, scheduled_for
        )
        VALUES (
            p_user_id, p_channel, p_kind, p_payload, p_dedup_key, v_state, v_verdict.reason, p_scheduled_for
        )
        ON CONFLICT (user_id, dedup_key) WHERE state = 'pending' DO NOTHING
        RETURNING n.notification_id INTO v_notification_id;
        EXIT WHEN FOUND;
        -- Somebody else enqueued it between the two statements: then theirs is found, unless it is settled already.
    END LOOP;
    IF v_state = 'pending' THEN
        v_available_at := greatest(p_scheduled_for, v_verdict.not_before);
        INSERT INTO pulsex.notification_queue (
            user_id, notification_id, channel, priority, available_at, max_attempts
        )
        VALUES (p_user_id, v_notification_id, p_channel, p_priority, v_available_at, p_max_attempts);
        PERFORM pulsex.wake_workers(p_channel, v_available_at);
    END IF;
    RETURN v_notification_id;
END
$$;
COMMENT ON FUNCTION pulsex.enqueue_notification IS
'Has a person told something by a channel (push, email, in_app), not before p_scheduled_for, and returns its id. While
one with the same p_dedup_key waits for the person, returns that one''s id and changes nothing. p_kind: what it is
about, a name such as briefing_ready; p_payload: an object, at most 16 KiB; p_priority: -100 to 100, higher goes first;
p_max_attempts: 1 to 100 tries before it is dead. What the person doesn''t want or can''t get is stored as cancelled,
and what falls into their quiet hours waits for their end; pulsex.notifications.reason says why. Both are asked again
when it is claimed.
Errors: PT404 no such user; PT403 processing is restricted; PT422 p_priority or p_max_attempts out of bounds; 23514 an
unknown channel, or another value out of bounds; 23502 another null; 22008 a p_scheduled_for at the far end of the
calendar.';

CREATE OR REPLACE FUNCTION pulsex.enqueue_notifications(
    p_user_ids uuid[],
    p_channel text,
    p_kind text,
    p_payload jsonb DEFAULT '{}',
    p_scheduled_for timestamptz DEFAULT now(),
    p_dedup_key text DEFAULT NULL,
    p_priority integer DEFAULT 0,
    p_max_attempts integer DEFAULT 8
) RETURNS TABLE (user_id uuid, notification_id uuid)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    v_told uuid[];
    v_ids uuid[];
    v_available_at timestamptz;
BEGIN
    PERFORM pulsex.require_deliverable(p_priority, p_max_attempts);
    WITH verdict AS MATERIALIZED (
        SELECT u.user_id, v.reason, v.not_before,
            CASE WHEN v.reason IS NULL OR v.not_before IS NOT NULL THEN 'pending' ELSE 'cancelled' END AS state
        FROM (SELECT DISTINCT unnest(p_user_ids) AS user_id) AS l
        INNER JOIN pulsex.users AS u ON u.user_id = l.user_id AND u.status <> 'restricted'
        CROSS JOIN LATERAL pulsex.delivery_verdict(
            u.user_id, p_channel, p_kind, greatest(p_scheduled_for, now())
        ) AS v
    ), told AS (
        INSERT INTO pulsex.notifications AS n (
            user_id, channel, kind, payload, dedup_key, state, reason, scheduled_for
        )
        SELECT v.user_id, p_channel, p_kind, p_payload, p_dedup_key, v.state, v.reason, p_scheduled_for
        FROM verdict AS v ORDER BY v.user_id
        ON CONFLICT (user_id, dedup_key) WHERE state = 'pending' DO NOTHING
        RETURNING n.user_id, n.notification_id
    ), queued AS (
        INSERT INTO pulsex.notification_queue AS q (
            user_id, notification_id, channel, priority, available_at, max_attempts
        )
        SELECT
            t.user_id, t.notification_id, p_channel, p_priority, greatest(p_scheduled_for, v.not_before), p_max_attempts
        FROM told AS t INNER JOIN verdict AS v ON v.user_id = t.user_id WHERE v.state = 'pending'
        RETURNING q.available_at
    )
    SELECT array_agg(t.user_id), array_agg(t.notification_id), (SELECT min(q.available_at) FROM queued AS q)
    INTO v_told, v_ids, v_available_at FROM told AS t;
    IF v_available_at IS NOT NULL THEN
        PERFORM pulsex.wake_workers(p_channel, v_available_at);
    END IF;
    RETURN QUERY SELECT l.user_id, l.notification_id FROM unnest(v_told, v_ids) AS l (user_id, notification_id);
END
$$;
COMMENT ON FUNCTION pulsex.enqueue_notifications IS
'pulsex.enqueue_notification() of the same for many people at once, at a fraction of the cost, each of them once.
Returns whose are new and their ids: not of who isn''t there, whose processing is restricted, or for whom one with the
same p_dedup_key waits. Errors: PT422 p_priority or p_max_attempts out of bounds; 23514 an unknown channel, or another
value out of bounds; 23502 another null; 22008 a p_scheduled_for at the far end of the calendar; PT403 somebody was
restricted at that very moment: nothing has changed, call it again.';

CREATE OR REPLACE FUNCTION pulsex.cancel_notification(
    p_user_id uuid,
    p_notification_id uuid,
    p_at timestamptz DEFAULT now()
) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
DECLARE
    v_row pulsex.notification_queue;
BEGIN
    PERFORM pulsex.require_unrestricted(p_user_id);
    SELECT * INTO v_row FROM pulsex.notification_queue AS q
    WHERE q.user_id = p_user_id AND q.notification_id = p_notification_id FOR UPDATE;
    IF NOT FOUND AND NOT EXISTS (
        SELECT FROM pulsex.notifications AS n WHERE n.user_id = p_user_id AND n.notification_id = p_notification_id
    ) THEN
        RAISE EXCEPTION 'no such notification' USING ERRCODE = 'PT404';
    ELSIF v_row.user_id IS NULL OR (v_row.lease_token IS NOT NULL AND (v_row.lease_until <= p_at) IS NOT TRUE) THEN
        RETURN FALSE;
    END IF;
    PERFORM pulsex.record_lost_lease(v_row, p_at);
    PERFORM pulsex.end_notification(p_user_id, p_notification_id, 'cancelled', 'called_off', p_at);
    RETURN TRUE;
END
$$;
COMMENT ON FUNCTION pulsex.cancel_notification IS
'Calls a notification off and returns true; false when it is too late: it is settled, or a worker is sending it right
now. Errors: PT404 no such notification; PT403 processing is restricted.';

-- The person's inbox: SECURITY INVOKER, under row level security ------------------------------------------------------
SET LOCAL ROLE pulsex_owner;

CREATE OR REPLACE FUNCTION pulsex.unread_notifications(p_user_id uuid, p_limit integer DEFAULT 20)
RETURNS TABLE (
    notification_id uuid, channel text, kind text, payload jsonb, created_at timestamptz, sent_at timestamptz
)
LANGUAGE plpgsql STABLE SECURITY INVOKER ROWS 20 SET search_path = '' SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    PERFORM pulsex.require_page(p_limit);
    RETURN QUERY
    SELECT n.notification_id, n.channel, n.kind, n.payload, n.created_at, n.sent_at
    FROM pulsex.notifications AS n
    WHERE n.user_id = p_user_id AND n.read_at IS NULL AND n.state = 'sent'
    ORDER BY n.created_at DESC, n.notification_id DESC
    LIMIT p_limit;
END
$$;
COMMENT ON FUNCTION pulsex.unread_notifications IS
'What a person was told and hasn''t read, newest first; nothing of somebody else''s. Errors: PT422 p_limit outside 1 to
100.';

CREATE OR REPLACE FUNCTION pulsex.mark_notifications_read(p_user_id uuid, p_ids uuid[]) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = '' SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    v_marked integer;
BEGIN
    UPDATE pulsex.notifications AS n SET read_at = now()
    WHERE n.user_id = p_user_id AND n.notification_id = ANY (p_ids) AND n.read_at IS NULL AND n.state = 'sent';
    GET DIAGNOSTICS v_marked = ROW_COUNT;
    RETURN v_marked;
END
$$;
COMMENT ON FUNCTION pulsex.mark_notifications_read IS
'Remembers that a person read these, and returns how many of them were unread; ids of somebody else''s count for
nothing.';
