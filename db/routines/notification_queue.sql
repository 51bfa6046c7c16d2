-- The queue of what is still to be delivered: whose turn it is, who has leased it, and who is woken up for it.
--
-- A row lies in the claim index at greatest(available_at, lease_until): what a worker has leased is out of everybody's
-- way until the lease ends, and then due again, whatever became of the worker. How a lease is settled is in
-- notification_settling.sql.

SET LOCAL ROLE pulsex_service;

INSERT INTO pulsex.notification_channels (channel) VALUES ('push'), ('email'), ('in_app')
ON CONFLICT ON CONSTRAINT notification_channels_pk DO NOTHING;
INSERT INTO pulsex.notification_waits (channel) VALUES ('push'), ('email'), ('in_app')
ON CONFLICT ON CONSTRAINT notification_waits_pk DO NOTHING;

-- Whose turn it is ----------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION pulsex.queue_levels(p_channel text)
RETURNS TABLE (channel text, priority smallint, due_at timestamptz)
LANGUAGE plpgsql STABLE SECURITY INVOKER ROWS 5
SET search_path = '' SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off
AS $$
BEGIN
    RETURN QUERY
    WITH RECURSIVE level (channel, priority) AS (
        SELECT
            c.channel,
            (SELECT max(q.priority) FROM pulsex.notification_queue AS q WHERE q.channel = c.channel)
        FROM pulsex.notification_channels AS c WHERE c.channel = p_channel OR p_channel IS NULL
        UNION ALL
        SELECT
            l.channel,
            (
                SELECT max(q.priority) FROM pulsex.notification_queue AS q
                WHERE q.channel = l.channel AND q.priority < l.priority
            )
        FROM level AS l WHERE l.priority IS NOT NULL
    )
    SELECT l.channel, l.priority, first.due_at
    FROM level AS l
    CROSS JOIN LATERAL (
        SELECT greatest(q.available_at, q.lease_until) AS due_at FROM pulsex.notification_queue AS q
        WHERE q.channel = l.channel AND q.priority = l.priority
        ORDER BY greatest(q.available_at, q.lease_until) LIMIT 1
    ) AS first;
END
$$;
COMMENT ON FUNCTION pulsex.queue_levels IS
'The priorities that a channel''s queue has (null: every channel''s), and when the first of each is due. It hops from
one priority to the next along the index, so the rows in between, scheduled for later perhaps, cost nothing
(https://wiki.postgresql.org/wiki/Loose_indexscan).';

CREATE OR REPLACE FUNCTION pulsex.require_channel(p_channel text) RETURNS void
LANGUAGE plpgsql STABLE SECURITY INVOKER SET search_path = ''
AS $$
BEGIN
    IF p_channel IS NOT NULL
        AND NOT EXISTS (SELECT FROM pulsex.notification_channels AS c WHERE c.channel = p_channel)
    THEN
        RAISE EXCEPTION 'no channel %', p_channel USING ERRCODE = 'PT422';
    END IF;
END
$$;
COMMENT ON FUNCTION pulsex.require_channel IS 'Errors: PT422 no such channel; null, for all of them, is one.';

CREATE OR REPLACE FUNCTION pulsex.channel_allowance(p_channel text, p_at timestamptz) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = ''
AS $$
DECLARE
    v_limit record;
BEGIN
    SELECT c.per_minute, c.burst, greatest(c.free_at, p_at) AS free_at INTO v_limit
    FROM pulsex.notification_channels AS c WHERE c.channel = p_channel AND c.per_minute IS NOT NULL;
    RETURN CASE
        WHEN FOUND THEN greatest(
            floor(v_limit.burst - extract(EPOCH FROM v_limit.free_at - p_at) * v_limit.per_minute / 60), 0
        )
    END;
END
$$;
COMMENT ON FUNCTION pulsex.channel_allowance IS
'How many may be leased of a channel at p_at; null: there is no limit. The caller has locked a channel with a limit,
until the end of its transaction, so that two workers don''t spend the same allowance.';

CREATE OR REPLACE FUNCTION ops.limit_channel(p_channel text, p_per_minute integer, p_burst integer DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
BEGIN
    UPDATE pulsex.notification_channels AS c
    SET per_minute = p_per_minute, burst = coalesce(p_burst, greatest(p_per_minute / 60, 1)), free_at = '-infinity'
    WHERE c.channel = p_channel;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no channel %', p_channel USING ERRCODE = 'PT404';
    END IF;
    PERFORM pulsex.wake_workers(p_channel, '-infinity');
END
$$;
COMMENT ON FUNCTION ops.limit_channel IS
'Limits how many notifications of a channel are leased a minute (null: no limit), and how many of them at once after a
quiet time (by default a second''s worth). Errors: PT404 no such channel; 23514 p_per_minute outside 1 to 6000000,
p_burst outside 1 to 100000.';

-- Waking up -----------------------------------------------------------------------------------------------------------
--
-- A NOTIFY takes one lock for the whole cluster from before the commit until after it, so it is sent only to a worker
-- that sleeps. Whoever enqueues reads notification_waits, and by that has ACCESS SHARE on it until the commit; a worker
-- goes to sleep only in a moment in which nobody has. So either the worker sees what was enqueued, or who enqueues sees
-- the worker asleep.

CREATE OR REPLACE FUNCTION pulsex.wake_workers(p_channel text, p_available_at timestamptz) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = ''
AS $$
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        -- Its snapshot may be older than somebody's sleep.
        PERFORM pg_notify('pulsex_notifications', p_channel);
    ELSIF EXISTS (
        SELECT FROM pulsex.notification_waits AS w WHERE w.channel = p_channel AND w.asleep_until > p_available_at
    ) THEN
        -- Of many who enqueue at once one takes the mark away; the others needn't wait for its commit.
        UPDATE pulsex.notification_waits AS w SET asleep_until = '-infinity'
        WHERE w.channel IN (
            SELECT f.channel FROM pulsex.notification_waits AS f WHERE f.channel = p_channel FOR UPDATE SKIP LOCKED
        );
        PERFORM pg_notify('pulsex_notifications', p_channel);
    END IF;
END
$$;
COMMENT ON FUNCTION pulsex.wake_workers IS
'Sends NOTIFY pulsex_notifications with the channel if a worker of it sleeps beyond p_available_at.';

CREATE OR REPLACE FUNCTION pulsex.await_notifications(p_channel text, p_at timestamptz DEFAULT now())
RETURNS timestamptz
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
DECLARE
    v_next_at timestamptz;
BEGIN
    PERFORM pulsex.require_channel(p_channel);
    LOCK TABLE pulsex.notification_waits IN ACCESS EXCLUSIVE MODE NOWAIT;
    SELECT min(greatest(
        l.due_at, c.free_at - (c.burst - 1) * interval '1 minute' / c.per_minute
    )) INTO v_next_at
    FROM pulsex.queue_levels(p_channel) AS l
    INNER JOIN pulsex.notification_channels AS c ON c.channel = l.channel;
    IF (v_next_at <= p_at) IS NOT TRUE THEN
        -- Of those asleep on a channel the one that wakes last counts: the others may serve other channels too.
        UPDATE pulsex.notification_waits AS w
        SET asleep_until = greatest(w.asleep_until, coalesce(v_next_at, 'infinity'))
        WHERE w.channel = p_channel OR p_channel IS NULL;
    END IF;
    RETURN v_next_at;
EXCEPTION
    WHEN lock_not_available THEN
        RETURN p_at;
END
$$;
COMMENT ON FUNCTION pulsex.await_notifications IS
'For a worker that was given nothing to do, in a transaction of its own: until when it may sleep, unless a notification
pulsex_notifications comes (LISTEN, which needs a connection that isn''t pooled by transaction); null: nothing is
scheduled. p_at or earlier: there is something, or somebody is enqueueing at this moment (or dumping the database), and
then no notification is promised: claim again in a moment. p_channel: the channel it serves, null for all.
Errors: PT422 no such channel.';

-- Claiming ------------------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION pulsex.claim_notifications(
    p_worker text,
    p_limit integer DEFAULT 20,
    p_lease interval DEFAULT '2 minutes',
    p_channel text DEFAULT NULL,
    p_at timestamptz DEFAULT now()
) RETURNS TABLE (
    user_id uuid,
    notification_id uuid,
    channel text,
    kind text,
    payload jsonb,
    attempt smallint,
    lease_token uuid,
    lease_until timestamptz,
    targets jsonb
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER ROWS 20
SET search_path = '' SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off
AS $$
DECLARE
    c_max_moved constant integer := 10000;
    v_level record;
    v_row pulsex.notification_queue;
    v_verdict record;
    v_user_ids uuid[];
    v_notification_ids uuid[];
    v_allowed integer;
    v_wanted integer;
    v_leased integer;
    v_claimed integer := 0;
    v_moved integer := 0;
    v_moved_before integer;
BEGIN
    IF p_limit IS NULL OR p_limit NOT BETWEEN 1 AND 1000 THEN
        RAISE EXCEPTION 'a batch has 1 to 1000 notifications' USING ERRCODE = 'PT422';
    ELSIF p_lease IS NULL OR p_lease NOT BETWEEN interval '1 second' AND interval '1 day' THEN
        RAISE EXCEPTION 'a lease lasts between a second and a day' USING ERRCODE = 'PT422';
    ELSIF p_worker IS NULL OR char_length(p_worker) NOT BETWEEN 1 AND 200 THEN
        RAISE EXCEPTION 'a worker has a name of 1 to 200 characters' USING ERRCODE = 'PT422';
    ELSIF p_at IS NULL OR NOT isfinite(p_at) THEN
        RAISE EXCEPTION 'notifications are due at an instant' USING ERRCODE = 'PT422';
    END IF;
    PERFORM pulsex.require_channel(p_channel);
    lease_token := gen_random_uuid();
    lease_until := p_at + p_lease;
    -- All that have a limit, in the same order for everybody: two workers never hold one each and wait for the other's.
    PERFORM FROM pulsex.notification_channels AS c
    WHERE c.per_minute IS NOT NULL AND (c.channel = p_channel OR p_channel IS NULL)
    ORDER BY c.channel FOR UPDATE;

    FOR v_level IN
        SELECT l.channel, l.priority FROM pulsex.queue_levels(p_channel) AS l
        WHERE l.due_at <= p_at ORDER BY l.priority DESC, l.due_at
    LOOP
        v_allowed := pulsex.channel_allowance(v_level.channel, p_at);
        v_leased := 0;
        -- What isn't sent after all makes place for the next: then another round finds it.
        LOOP
            v_wanted := least(p_limit - v_claimed, v_allowed - v_leased);
            EXIT WHEN v_wanted <= 0;
            v_moved_before := v_moved;
            v_user_ids := '{}';
            v_notification_ids := '{}';
            FOR v_row IN
                SELECT * FROM pulsex.notification_queue AS q
                WHERE q.channel = v_level.channel AND q.priority = v_level.priority
                    AND greatest(q.available_at, q.lease_until) <= p_at
                ORDER BY greatest(q.available_at, q.lease_until)
                LIMIT v_wanted
                FOR UPDATE SKIP LOCKED
            LOOP
                SELECT n.kind, n.payload INTO kind, payload FROM pulsex.notifications AS n
                WHERE n.user_id = v_row.user_id AND n.notification_id = v_row.notification_id;
                SELECT * INTO v_verdict FROM pulsex.delivery_verdict(v_row.user_id, v_row.channel, kind, p_at);
                IF v_verdict.reason = 'restricted' THEN
                    -- Out of the way, which is all that may be done to it (gdpr.refuse_restricted).
                    PERFORM pulsex.put_off(v_row, v_verdict.not_before, NULL);
                    v_moved := v_moved + 1;
                    CONTINUE;
                END IF;
                PERFORM pulsex.record_lost_lease(v_row, p_at);
                IF v_row.attempts >= v_row.max_attempts THEN
                    PERFORM pulsex.end_notification(
                        v_row.user_id, v_row.notification_id, 'dead', 'out_of_attempts', p_at
                    );
                    v_moved := v_moved + 1;
                ELSIF v_verdict.not_before IS NOT NULL THEN
                    PERFORM pulsex.put_off(v_row, v_verdict.not_before, v_verdict.reason);
                    v_moved := v_moved + 1;
                ELSIF v_verdict.reason IS NOT NULL THEN
                    PERFORM pulsex.end_notification(
                        v_row.user_id, v_row.notification_id, 'cancelled', v_verdict.reason, p_at
                    );
                    v_moved := v_moved + 1;
                ELSE
                    user_id := v_row.user_id;
                    notification_id := v_row.notification_id;
                    channel := v_row.channel;
                    attempt := v_row.attempts + 1;
                    targets := v_verdict.targets;
                    v_user_ids := v_user_ids || user_id;
                    v_notification_ids := v_notification_ids || notification_id;
                    v_leased := v_leased + 1;
                    v_claimed := v_claimed + 1;
                    RETURN NEXT;
                END IF;
            END LOOP;
            -- All at once: getting ready to check the table's constraints costs more than a row.
            UPDATE pulsex.notification_queue AS q
            SET attempts = q.attempts + 1, leased_by = p_worker, leased_at = p_at,
                lease_until = claim_notifications.lease_until, lease_token = claim_notifications.lease_token
            FROM unnest(v_user_ids, v_notification_ids) AS l (user_id, notification_id)
            WHERE q.user_id = l.user_id AND q.notification_id = l.notification_id;
            EXIT WHEN v_moved = v_moved_before OR v_moved >= c_max_moved;
        END LOOP;
        IF v_leased > 0 THEN
            UPDATE pulsex.notification_channels AS c
            SET free_at = greatest(c.free_at, p_at) + v_leased * interval '1 minute' / c.per_minute
            WHERE c.channel = v_level.channel AND c.per_minute IS NOT NULL;
            -- A worker that dies with its leases must not leave another asleep.
            PERFORM pulsex.wake_workers(v_level.channel, lease_until);
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION pulsex.claim_notifications IS
'Leases up to p_limit notifications (1 to 1000) that are due at p_at to a worker, for p_lease (a second to a day): the
highest priority first, within it the longest due, of p_channel or of all, within the channel''s limit. Safe to call
from many workers at once: none is leased to two. Send each to its targets, as in pulsex.delivery_verdict(), and settle
it by pulsex.complete_notification() or pulsex.fail_notification() with its lease_token; what isn''t settled when its
lease ends is due again, and dead after its last attempt. What the person no longer wants or can get is cancelled now,
and what falls into their quiet hours is put off. p_worker: a name to find the worker by, 1 to 200 characters.
Errors: PT422 an argument out of bounds, or no such channel; 22008 a p_at at the far end of the calendar.';
