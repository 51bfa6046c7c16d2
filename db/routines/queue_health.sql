-- How the queue of notifications is, and its dead letters.

SET LOCAL ROLE pulsex_service;

CREATE OR REPLACE FUNCTION ops.count_queue(p_at timestamptz DEFAULT now())
RETURNS TABLE (
    channel text,
    due bigint,
    scheduled bigint,
    oldest_due interval,
    leased bigint,
    leases_ending bigint,
    leases_ended bigint,
    retries bigint,
    dead bigint,
    dead_lately bigint,
    per_minute integer
)
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 3 SET search_path = ''
AS $$
BEGIN
    RETURN QUERY
    SELECT
        c.channel, q.due, q.scheduled, q.oldest_due, q.leased, q.leases_ending, q.leases_ended, q.retries,
        d.dead, d.dead_lately, c.per_minute
    FROM pulsex.notification_channels AS c
    CROSS JOIN LATERAL (
        SELECT
            count(*) FILTER (WHERE greatest(w.available_at, w.lease_until) <= p_at) AS due,
            count(*) FILTER (WHERE w.lease_until IS NULL AND w.available_at > p_at) AS scheduled,
            p_at - min(greatest(w.available_at, w.lease_until))
            FILTER (WHERE greatest(w.available_at, w.lease_until) <= p_at) AS oldest_due,
            count(*) FILTER (WHERE w.lease_until > p_at) AS leased,
            count(*) FILTER (WHERE w.lease_until > p_at AND w.lease_until <= p_at + interval '30 seconds')
                AS leases_ending,
            count(*) FILTER (WHERE w.lease_until <= p_at) AS leases_ended,
            count(*) FILTER (WHERE w.lease_until IS NULL AND w.attempts > 0) AS retries
        FROM pulsex.notification_queue AS w WHERE w.channel = c.channel
    ) AS q
    CROSS JOIN LATERAL (
        SELECT count(*) AS dead, count(*) FILTER (WHERE EXISTS (
            SELECT FROM pulsex.notification_attempts AS a
            WHERE a.user_id = n.user_id AND a.notification_id = n.notification_id
                AND a.finished_at > p_at - interval '1 day'
        )) AS dead_lately
        FROM pulsex.notifications AS n WHERE n.channel = c.channel AND n.state = 'dead'
    ) AS d
    ORDER BY c.channel;
END
$$;
COMMENT ON FUNCTION ops.count_queue IS
'What ops.queue_health shows, at p_at. Errors: 22008 a p_at at the far end of the calendar.';

CREATE OR REPLACE FUNCTION ops.dead_notifications(p_limit integer DEFAULT 100)
RETURNS TABLE (
    user_id uuid,
    notification_id uuid,
    channel text,
    kind text,
    reason text,
    attempts bigint,
    last_error text,
    created_at timestamptz
)
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 100 SET search_path = ''
AS $$
BEGIN
    IF p_limit IS NULL OR p_limit NOT BETWEEN 1 AND 1000 THEN
        RAISE EXCEPTION 'a page has 1 to 1000 notifications' USING ERRCODE = 'PT422';
    END IF;
    RETURN QUERY
    SELECT
        n.user_id, n.notification_id, n.channel, n.kind, n.reason, tries.attempts, tries.last_error, n.created_at
    FROM pulsex.notifications AS n
    CROSS JOIN LATERAL (
        SELECT count(*) AS attempts, (array_agg(a.error ORDER BY a.attempt DESC))[1] AS last_error
        FROM pulsex.notification_attempts AS a
        WHERE a.user_id = n.user_id AND a.notification_id = n.notification_id
    ) AS tries
    WHERE n.state = 'dead'
    ORDER BY n.created_at DESC, n.notification_id DESC
    LIMIT p_limit;
END
$$;
COMMENT ON FUNCTION ops.dead_notifications IS
'The dead letters, newest first, up to p_limit (1 to 1000): what a provider refused for good, or what failed at its last
attempt, with its last error (null: the worker didn''t come back). Errors: PT422 p_limit out of bounds.';

CREATE OR REPLACE FUNCTION ops.revive_notification(
    p_user_id uuid, p_notification_id uuid, p_at timestamptz DEFAULT now()
) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
DECLARE
    v_channel text;
    v_attempts integer;
BEGIN
    IF p_at IS NULL OR NOT isfinite(p_at) THEN
        RAISE EXCEPTION 'a notification is due at an instant' USING ERRCODE = 'PT422';
    END IF;
    PERFORM pulsex.require_unrestricted(p_user_id);
    UPDATE pulsex.notifications AS n SET state = 'pending', reason = NULL
    WHERE n.user_id = p_user_id AND n.notification_id = p_notification_id AND n.state = 'dead'
    RETURNING n.channel INTO v_channel;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such dead notification' USING ERRCODE = 'PT404';
    END IF;
    v_attempts := (
        SELECT coalesce(max(a.attempt), 0) FROM pulsex.notification_attempts AS a
        WHERE a.user_id = p_user_id AND a.notification_id = p_notification_id
    );
    INSERT INTO pulsex.notification_queue (
        user_id, notification_id, channel, available_at, attempts, max_attempts
    )
    VALUES (p_user_id, p_notification_id, v_channel, p_at, v_attempts, v_attempts + 8);
    PERFORM pulsex.wake_workers(v_channel, p_at);
EXCEPTION
    WHEN unique_violation THEN
        RAISE EXCEPTION 'another one with its dedup_key is pending' USING ERRCODE = 'PT409';
END
$$;
COMMENT ON FUNCTION ops.revive_notification IS
'Puts a dead letter back into the queue, with eight attempts more. Errors: PT404 no such user, or no such dead
notification; PT403 processing is restricted; PT409 another one for its occasion is pending; PT422 p_at null or
infinite; 23514 it had over 92 attempts.';

SET LOCAL ROLE pulsex_owner;

CREATE OR REPLACE VIEW ops.queue_health WITH (security_invoker = TRUE, security_barrier = TRUE) AS
SELECT
    q.channel,
    q.due,
    q.scheduled,
    q.oldest_due,
    q.leased,
    q.leases_ending,
    q.leases_ended,
    q.retries,
    q.dead,
    q.dead_lately,
    q.per_minute
FROM ops.count_queue() AS q;
COMMENT ON VIEW ops.queue_health IS
'One row for each channel of notifications: due (could be claimed now) and for how long the oldest is; scheduled for
later; leased, leases_ending within 30 seconds, leases_ended without word of the worker; retries (waiting after a failed
attempt); dead letters, and of those the ones that died within a day; and the limit, leases a minute.';
