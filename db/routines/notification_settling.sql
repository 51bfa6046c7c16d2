-- How a lease on a notification ends: sent, failed and tried again, failed for good, or lost.
--
-- A lease has a token, and whoever settles must show it, so that a worker whose row went to another can't. The row goes
-- when the delivery ends; what it was and how it went stays in pulsex.notifications and pulsex.notification_attempts.

SET LOCAL ROLE pulsex_service;

-- Steps ---------------------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION pulsex.record_attempt(
    p_try pulsex.notification_queue,
    p_outcome text,
    p_error text,
    p_at timestamptz
) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = ''
AS $$
BEGIN
    INSERT INTO pulsex.notification_attempts (
        user_id, notification_id, attempt, lease_token, started_at, finished_at, outcome, error
    )
    VALUES (
        p_try.user_id, p_try.notification_id, p_try.attempts, p_try.lease_token, p_try.leased_at,
        greatest(p_at, p_try.leased_at), p_outcome, left(p_error, 2000)
    );
END
$$;
COMMENT ON FUNCTION pulsex.record_attempt IS
'Writes down how the try ended that a leased row of the queue stands for. p_error is cut at 2000 characters.';

CREATE OR REPLACE FUNCTION pulsex.record_lost_lease(p_try pulsex.notification_queue, p_at timestamptz) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = ''
AS $$
BEGIN
    IF p_try.lease_token IS NOT NULL THEN
        PERFORM pulsex.record_attempt(p_try, 'lease_expired', NULL, p_at);
    END IF;
END
$$;
COMMENT ON FUNCTION pulsex.record_lost_lease IS
'Writes down that a worker didn''t come back, if the row of the queue was leased at all.';

CREATE OR REPLACE FUNCTION pulsex.end_notification(
    p_user_id uuid,
    p_notification_id uuid,
    p_state text,
    p_reason text,
    p_at timestamptz
) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = ''
AS $$
BEGIN
    DELETE FROM pulsex.notification_queue AS q
    WHERE q.user_id = p_user_id AND q.notification_id = p_notification_id;
    UPDATE pulsex.notifications AS n
    SET state = p_state, reason = coalesce(p_reason, n.reason), sent_at = CASE p_state WHEN 'sent' THEN p_at END
    WHERE n.user_id = p_user_id AND n.notification_id = p_notification_id;
END
$$;
COMMENT ON FUNCTION pulsex.end_notification IS
'Settles a notification for good: it leaves the queue, with its state and, where there is one, the reason. The caller
has locked its row in the queue.';

CREATE OR REPLACE FUNCTION pulsex.retry_delay(p_attempt integer, p_jitter double precision DEFAULT random())
RETURNS interval
LANGUAGE sql VOLATILE PARALLEL SAFE
RETURN make_interval(secs => (0.5 + p_jitter / 2) * least(30 * 2 ^ (p_attempt - 1)::double precision, 3600));
COMMENT ON FUNCTION pulsex.retry_delay IS
'How long to wait after a failed attempt: 30 s after the first, doubling with each, at most an hour, of which at least
half and the rest by p_jitter (0 to 1), so that what failed together isn''t tried together: "equal jitter" in
https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/.';

CREATE OR REPLACE FUNCTION pulsex.put_off(
    p_row pulsex.notification_queue, p_until timestamptz, p_reason text, p_error text DEFAULT NULL
) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = ''
AS $$
BEGIN
    UPDATE pulsex.notification_queue AS q
    SET available_at = p_until, leased_by = NULL, leased_at = NULL, lease_until = NULL, lease_token = NULL,
        last_error = coalesce(left(p_error, 2000), q.last_error)
    WHERE q.user_id = p_row.user_id AND q.notification_id = p_row.notification_id;
    IF p_reason IS NOT NULL THEN
        UPDATE pulsex.notifications AS n SET reason = p_reason
        WHERE n.user_id = p_row.user_id AND n.notification_id = p_row.notification_id;
    END IF;
    PERFORM pulsex.wake_workers(p_row.channel, p_until);
END
$$;
COMMENT ON FUNCTION pulsex.put_off IS
'Frees a row of the queue, not to be claimed before p_until; p_reason and p_error, where there is one, say why.';

-- For the worker ------------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION pulsex.leased_notification(
    p_user_id uuid, p_notification_id uuid, p_lease_token uuid, p_outcome text
) RETURNS pulsex.notification_queue
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = ''
AS $$
DECLARE
    v_row pulsex.notification_queue;
BEGIN
    PERFORM pulsex.require_unrestricted(p_user_id);
    SELECT * INTO v_row FROM pulsex.notification_queue AS q
    WHERE q.user_id = p_user_id AND q.notification_id = p_notification_id AND q.lease_token = p_lease_token
    FOR UPDATE;
    IF FOUND OR EXISTS (
        SELECT FROM pulsex.notification_attempts AS a
        WHERE a.user_id = p_user_id AND a.notification_id = p_notification_id
            AND a.lease_token = p_lease_token AND a.outcome = p_outcome
    ) THEN
        RETURN v_row;
    ELSIF EXISTS (
        SELECT FROM pulsex.notifications AS n WHERE n.user_id = p_user_id AND n.notification_id = p_notification_id
    ) THEN
        RAISE EXCEPTION 'the lease was lost' USING ERRCODE = 'PT409';
    END IF;
    RAISE EXCEPTION 'no such notification' USING ERRCODE = 'PT404';
END
$$;
COMMENT ON FUNCTION pulsex.leased_notification IS
'The row of the queue that a lease is of, locked; null when the lease was settled with p_outcome before, so that
settling again changes nothing. A lease that has run out is good until the row goes to somebody else: what was sent was
sent.
Errors: PT404 no such notification; PT403 processing is restricted; PT409 the lease was lost, or settled otherwise.';

CREATE OR REPLACE FUNCTION pulsex.complete_notification(
    p_user_id uuid,
    p_notification_id uuid,
    p_lease_token uuid,
    p_at timestamptz DEFAULT now()
) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
DECLARE
    v_row pulsex.notification_queue := pulsex.leased_notification(p_user_id, p_notification_id, p_lease_token, 'sent');
BEGIN
    IF p_at IS NULL OR NOT isfinite(p_at) THEN
        RAISE EXCEPTION 'a notification is sent at an instant' USING ERRCODE = 'PT422';
    ELSIF v_row.user_id IS NOT NULL THEN
        PERFORM pulsex.record_attempt(v_row, 'sent', NULL, p_at);
        PERFORM pulsex.end_notification(p_user_id, p_notification_id, 'sent', NULL, p_at);
    END IF;
END
$$;
COMMENT ON FUNCTION pulsex.complete_notification IS
'A worker says that it sent what it had leased; saying it again changes nothing. Errors: PT404 no such notification;
PT403 processing is restricted; PT409 the lease was lost to another worker, or the notification called off: only who
holds it can settle it; PT422 p_at null or infinite.';

CREATE OR REPLACE FUNCTION pulsex.complete_notifications(
    p_user_ids uuid[],
    p_notification_ids uuid[],
    p_lease_tokens uuid[],
    p_at timestamptz DEFAULT now()
) RETURNS SETOF uuid
LANGUAGE plpgsql VOLATILE SECURITY DEFINER ROWS 1
SET search_path = '' SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off
AS $$
BEGIN
    IF p_at IS NULL OR NOT isfinite(p_at) THEN
        RAISE EXCEPTION 'notifications are sent at an instant' USING ERRCODE = 'PT422';
    ELSIF (cardinality(p_user_ids) = cardinality(p_notification_ids)
        AND cardinality(p_user_ids) = cardinality(p_lease_tokens)) IS NOT TRUE
    THEN
        RAISE EXCEPTION 'each notification has a person and a lease' USING ERRCODE = 'PT422';
    END IF;
    WITH held AS MATERIALIZED (
        SELECT q.user_id, q.notification_id, q.attempts, q.lease_token, q.leased_at
        FROM unnest(p_user_ids, p_notification_ids, p_lease_tokens) AS l (user_id, notification_id, lease_token)
        INNER JOIN pulsex.notification_queue AS q
            ON q.user_id = l.user_id AND q.notification_id = l.notification_id AND q.lease_token = l.lease_token
        INNER JOIN pulsex.users AS u ON u.user_id = l.user_id AND u.status <> 'restricted'
        -- In the same order for everybody: two batches with the same ones never hold one each and wait for the other's.
        ORDER BY q.user_id, q.notification_id FOR UPDATE OF q
    ), gone AS (
        DELETE FROM pulsex.notification_queue AS q USING held AS h
        WHERE q.user_id = h.user_id AND q.notification_id = h.notification_id
        RETURNING h.*
    ), tried AS (
        INSERT INTO pulsex.notification_attempts (
            user_id, notification_id, attempt, lease_token, started_at, finished_at, outcome
        )
        SELECT g.user_id, g.notification_id, g.attempts, g.lease_token, g.leased_at, greatest(p_at, g.leased_at), 'sent'
        FROM gone AS g
    )
    UPDATE pulsex.notifications AS n SET state = 'sent', sent_at = p_at
    FROM gone AS g WHERE n.user_id = g.user_id AND n.notification_id = g.notification_id;
    RETURN QUERY
    SELECT l.notification_id
    FROM unnest(p_user_ids, p_notification_ids, p_lease_tokens) AS l (user_id, notification_id, lease_token)
    WHERE NOT EXISTS (
        SELECT FROM pulsex.notification_attempts AS a
        WHERE a.user_id = l.user_id AND a.notification_id = l.notification_id
            AND a.lease_token = l.lease_token AND a.outcome = 'sent'
        OFFSET 0  -- by key for each: a join planned while there were few attempts would read all there are
    );
END
$$;
COMMENT ON FUNCTION pulsex.complete_notifications IS
'pulsex.complete_notification() of many at once, at a fraction of the cost: the arrays say, in the same order, whose,
which and by which lease. Returns the ids of those it could not settle, because there is no such notification, its
processing is restricted, or the lease was lost (what is PT404, PT403 and PT409 there); the others are settled all the
same, and settling again changes nothing.
Errors: PT422 p_at null or infinite, or arrays null or of different lengths; PT403 somebody was restricted at that very
moment: nothing has changed, call it again.';

CREATE OR REPLACE FUNCTION pulsex.fail_notification(
    p_user_id uuid,
    p_notification_id uuid,
    p_lease_token uuid,
    p_error text,
    p_permanent boolean DEFAULT FALSE,
    p_retry_after interval DEFAULT NULL,
    p_at timestamptz DEFAULT now()
) RETURNS timestamptz
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
DECLARE
    v_row pulsex.notification_queue
        := pulsex.leased_notification(p_user_id, p_notification_id, p_lease_token, 'failed');
    v_next_at timestamptz;
BEGIN
    IF p_at IS NULL OR NOT isfinite(p_at) THEN
        RAISE EXCEPTION 'a notification fails at an instant' USING ERRCODE = 'PT422';
    ELSIF p_retry_after NOT BETWEEN interval '0' AND interval '7 days' THEN
        RAISE EXCEPTION 'a retry is at most 7 days away' USING ERRCODE = 'PT422';
    ELSIF v_row.user_id IS NULL THEN
        RETURN (
            SELECT q.available_at FROM pulsex.notification_queue AS q
            WHERE q.user_id = p_user_id AND q.notification_id = p_notification_id
        );
    END IF;
    PERFORM pulsex.record_attempt(v_row, 'failed', p_error, p_at);
    IF p_permanent OR v_row.attempts >= v_row.max_attempts THEN
        PERFORM pulsex.end_notification(
            p_user_id, p_notification_id, 'dead', CASE WHEN p_permanent THEN 'refused' ELSE 'out_of_attempts' END, p_at
        );
        RETURN NULL;
    END IF;
    v_next_at := p_at + greatest(pulsex.retry_delay(v_row.attempts), p_retry_after);
    PERFORM pulsex.put_off(v_row, v_next_at, NULL, p_error);
    RETURN v_next_at;
END
$$;
COMMENT ON FUNCTION pulsex.fail_notification IS
'A worker says that it couldn''t send what it had leased, and why; saying it again changes nothing. Returns when it is
tried again: after pulsex.retry_delay(), and not before p_retry_after (at most 7 days; a provider''s Retry-After) is
over; null when it never is: p_permanent, or it was the last attempt. Then it is dead: ops.dead_notifications().
Errors: PT404 no such notification; PT403 processing is restricted; PT409 the lease was lost; PT422 p_retry_after out of
bounds, or p_at null or infinite; 22008 a p_at at the far end of the calendar.';
