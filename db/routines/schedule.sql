-- Who is due: each person's next briefing per edition, kept in pulsex.briefing_schedule with the instant at which it
-- falls due, so that finding what is due is a walk along one index, however many people there are.
--
-- A date is owed to a person who wants its weekday, from the delivery time until the date is over where they live,
-- unless it is published. Whatever they change (zone, times, days) moves the next briefing, and takes back no date that
-- was promised. A date that had to be given up is remembered in parked_date. Quiet hours change nothing here: the
-- briefing is there when the person wakes, and only the notification of it waits.

SET LOCAL ROLE pulsex_service;

-- Wall clocks ---------------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION pulsex.delivery_instant(p_date date, p_time time, p_time_zone text) RETURNS timestamptz
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SECURITY INVOKER SET search_path = ''
AS $$
DECLARE
    -- Instants are timestamps in UTC here: a timestamptz plus an interval of days depends on the session's zone.
    v_wall timestamp := p_date + p_time;
    v_at timestamp := v_wall AT TIME ZONE p_time_zone AT TIME ZONE 'UTC';
    v_offset interval := (v_at AT TIME ZONE 'UTC' AT TIME ZONE p_time_zone) - v_at;
    v_before timestamp := v_at - interval '24 hours';
    v_offset_before interval := (v_before AT TIME ZONE 'UTC' AT TIME ZONE p_time_zone) - v_before;
    v_middle timestamp;
BEGIN
    IF v_at + v_offset <> v_wall THEN
        -- A gap. AT TIME ZONE goes as far beyond it as the time is into it; the clocks changed at some second before.
        WHILE v_at - v_before > interval '1 second' LOOP
            v_middle := date_trunc('second', v_before + (v_at - v_before) / 2);
            IF (v_middle AT TIME ZONE 'UTC' AT TIME ZONE p_time_zone) - v_middle = v_offset THEN
                v_at := v_middle;
            ELSE
                v_before := v_middle;
            END IF;
        END LOOP;
    ELSIF v_offset <> v_offset_before THEN
        -- Perhaps a fold, of which AT TIME ZONE takes the second pass: did the clock show the time before it changed?
        v_middle := v_wall - v_offset_before;
        IF v_middle AT TIME ZONE 'UTC' AT TIME ZONE p_time_zone = v_wall THEN
            v_at := v_middle;
        END IF;
    END IF;
    RETURN v_at AT TIME ZONE 'UTC';
END
$$;
COMMENT ON FUNCTION pulsex.delivery_instant IS
'The instant at which a clock in the zone first shows the time on the date, or, where it skips the time, goes beyond it:
the earliest instant whose local time is p_date + p_time or later. So a time in a gap is the instant at which the clocks
change, and a time that a fold repeats is its first pass. AT TIME ZONE differs in both: it takes 02:30 in a gap of an
hour for 03:30, and of a fold the second pass.';

CREATE OR REPLACE FUNCTION pulsex.owed_until(p_date date, p_due_at timestamptz, p_time_zone text) RETURNS timestamptz
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SECURITY INVOKER SET search_path = ''
AS $$
BEGIN
    RETURN greatest(
        pulsex.delivery_instant(p_date + 1, '00:00', p_time_zone),
        (p_due_at AT TIME ZONE 'UTC' + interval '2 hours') AT TIME ZONE 'UTC'
    );
END
$$;
COMMENT ON FUNCTION pulsex.owed_until IS
'Until when the briefing for p_date, due at p_due_at, is worth sending: until the date is over in the zone, and in any
case two hours long, so that one due at 23:30 outlives an outage of an hour.';

-- The next one --------------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION pulsex.next_briefing(
    p_user_id uuid,
    p_edition text,
    p_from date,
    p_promised date,
    p_at timestamptz,
    OUT briefing_date date,
    OUT due_at timestamptz
)
LANGUAGE plpgsql STABLE SECURITY INVOKER SET search_path = '' SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    v_wish record;
BEGIN
    SELECT
        u.time_zone, p.delivery_days,
        CASE p_edition WHEN 'morning' THEN p.delivery_time WHEN 'evening' THEN p.evening_delivery_time END AS local_time
    INTO v_wish
    FROM pulsex.users AS u INNER JOIN pulsex.user_preferences AS p ON p.user_id = u.user_id
    WHERE u.user_id = p_user_id AND u.status = 'active';
    IF v_wish.local_time IS NULL OR v_wish.delivery_days = '{}' THEN
        RETURN;
    END IF;

    -- It ends: every week has a day that is wanted, and what is published lies in a partition, a few months ahead.
    briefing_date := greatest(p_from, (p_at AT TIME ZONE v_wish.time_zone)::date - 1);
    LOOP
        IF extract(ISODOW FROM briefing_date) = ANY (v_wish.delivery_days) THEN
            due_at := pulsex.delivery_instant(briefing_date, v_wish.local_time, v_wish.time_zone);
            EXIT WHEN (
                due_at >= p_at
                OR briefing_date >= p_promised
                AND pulsex.owed_until(briefing_date, due_at, v_wish.time_zone) > p_at
            ) AND (
                -- The date is on the calendar. Samoa had no 30 December 2011; its midnight is also the next date's.
                (due_at AT TIME ZONE v_wish.time_zone)::date = briefing_date
                OR pulsex.delivery_instant(briefing_date, '00:00', v_wish.time_zone)
                    < pulsex.delivery_instant(briefing_date + 1, '00:00', v_wish.time_zone)
            ) AND NOT EXISTS (
                SELECT FROM pulsex.briefings AS b
                WHERE b.user_id = p_user_id AND b.briefing_date = next_briefing.briefing_date AND b.edition = p_edition
            );
        END IF;
        briefing_date := briefing_date + 1;
    END LOOP;
END
$$;
COMMENT ON FUNCTION pulsex.next_briefing IS
'The first briefing that a person is owed, and when it is due: the first date not before p_from that is on their
calendar, that they want and that isn''t published, and that falls due at p_at or later, or, from the date p_promised on
(null: none is promised), is only not over at p_at. Null when they want none: no such edition, no days, restricted.';

CREATE OR REPLACE FUNCTION pulsex.schedule_briefings(p_user_id uuid, p_at timestamptz DEFAULT now()) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = ''
AS $$
DECLARE
    v_edition text;
    v_promised date;
    v_next record;
BEGIN
    -- Of a change to the zone and one to the preferences at once, the later sees what the earlier did.
    PERFORM FROM pulsex.users AS u WHERE u.user_id = p_user_id FOR NO KEY UPDATE;
    FOREACH v_edition IN ARRAY '{morning,evening}'::text[] LOOP
        SELECT s.briefing_date INTO v_promised FROM pulsex.briefing_schedule AS s
        WHERE s.user_id = p_user_id AND s.edition = v_edition FOR UPDATE;
        SELECT n.briefing_date, n.due_at INTO v_next
        FROM pulsex.next_briefing(p_user_id, v_edition, '-infinity', v_promised, p_at) AS n;
        IF v_next.briefing_date IS NULL THEN
            DELETE FROM pulsex.briefing_schedule AS s WHERE s.user_id = p_user_id AND s.edition = v_edition;
        ELSE
            INSERT INTO pulsex.briefing_schedule AS s (user_id, edition, briefing_date, due_at)
            VALUES (p_user_id, v_edition, v_next.briefing_date, v_next.due_at)
            ON CONFLICT ON CONSTRAINT briefing_schedule_pk DO UPDATE
            SET briefing_date = excluded.briefing_date, due_at = excluded.due_at,
                -- A generator at work on the same date goes on, and has had as many tries.
                lease_until = CASE WHEN s.briefing_date = excluded.briefing_date THEN s.lease_until END,
                attempts = CASE WHEN s.briefing_date = excluded.briefing_date THEN s.attempts ELSE 0 END;
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION pulsex.schedule_briefings IS
'Works a person''s schedule out anew, as of p_at; triggers call it when zone, status, times or days change. A date that
was promised and isn''t over stays owed, though its new delivery time has passed: it is then due at once. What is new
(an edition, a day, a lifted restriction) begins with the next delivery time to come.';

CREATE OR REPLACE FUNCTION pulsex.schedule_after(
    p_user_id uuid,
    p_edition text,
    p_date date,
    p_at timestamptz,
    p_parked_date date DEFAULT NULL,
    p_parked_attempts smallint DEFAULT NULL
) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = ''
AS $$
DECLARE
    v_next record;
BEGIN
    SELECT n.briefing_date, n.due_at INTO v_next
    FROM pulsex.next_briefing(p_user_id, p_edition, p_date + 1, p_date + 1, p_at) AS n;
    IF v_next.briefing_date IS NULL THEN
        DELETE FROM pulsex.briefing_schedule AS s WHERE s.user_id = p_user_id AND s.edition = p_edition;
    ELSE
        UPDATE pulsex.briefing_schedule AS s
        SET briefing_date = v_next.briefing_date, due_at = v_next.due_at, lease_until = NULL, attempts = 0,
            parked_date = p_parked_date, parked_attempts = p_parked_attempts
        WHERE s.user_id = p_user_id AND s.edition = p_edition;
    END IF;
END
$$;
COMMENT ON FUNCTION pulsex.schedule_after IS
'Moves a person''s schedule on, past p_date, to the next date that isn''t over at p_at. p_parked_date and
p_parked_attempts: what was given up and after how many tries, if anything was. The caller has locked the row.';

CREATE OR REPLACE FUNCTION pulsex.settle_briefing(p_user_id uuid, p_briefing_date date, p_edition text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = ''
AS $$
DECLARE
    v_row record;
BEGIN
    SELECT s.briefing_date, s.parked_date INTO v_row FROM pulsex.briefing_schedule AS s
    WHERE s.user_id = p_user_id AND s.edition = p_edition AND p_briefing_date IN (s.briefing_date, s.parked_date)
    FOR UPDATE;
    IF v_row.briefing_date = p_briefing_date THEN
        -- Without a clock: if the next one is over by now as well, due_briefings will find that.
        PERFORM pulsex.schedule_after(p_user_id, p_edition, p_briefing_date, '-infinity');
    ELSIF v_row.parked_date = p_briefing_date THEN
        UPDATE pulsex.briefing_schedule AS s SET parked_date = NULL, parked_attempts = NULL
        WHERE s.user_id = p_user_id AND s.edition = p_edition;
    END IF;
END
$$;
COMMENT ON FUNCTION pulsex.settle_briefing IS
'Ends what pulsex.due_briefings() began: a briefing that is published is no longer due, and the next one is scheduled.
Changes nothing when another date is next.';

-- For the worker ------------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION pulsex.due_briefings(
    p_at timestamptz DEFAULT now(),
    p_limit integer DEFAULT 100,
    p_lease interval DEFAULT '5 minutes'
) RETURNS TABLE (user_id uuid, briefing_date date, edition text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER ROWS 100 SET search_path = ''
AS $$
DECLARE
    c_max_attempts constant smallint := 5;
    c_max_moved constant integer := 10000;
    v_row record;
    v_time_zone text;
    v_leased integer := 0;
    v_moved integer := 0;
    v_moved_before integer;
BEGIN
    IF p_at IS NULL OR NOT isfinite(p_at) THEN
        RAISE EXCEPTION 'briefings are due at an instant' USING ERRCODE = 'PT422';
    ELSIF p_limit IS NULL OR p_limit NOT BETWEEN 1 AND 1000 THEN
        RAISE EXCEPTION 'a batch has 1 to 1000 briefings' USING ERRCODE = 'PT422';
    ELSIF p_lease IS NULL OR p_lease NOT BETWEEN interval '1 second' AND interval '1 day' THEN
        RAISE EXCEPTION 'a lease lasts between a second and a day' USING ERRCODE = 'PT422';
    END IF;

    -- What is given up makes place for the next, which may be due as well: then another round finds it.
    LOOP
        v_moved_before := v_moved;
        -- Planned anew each time: a plan for any instant and limit might read and sort the whole table.
        FOR v_row IN EXECUTE
            'SELECT s.user_id, s.edition, s.briefing_date, s.due_at, s.attempts
            FROM pulsex.briefing_schedule AS s
            WHERE greatest(s.due_at, s.lease_until) <= $1
            ORDER BY greatest(s.due_at, s.lease_until), s.user_id
            LIMIT $2
            FOR UPDATE SKIP LOCKED'
            USING p_at, p_limit - v_leased
        LOOP
            v_time_zone := (
                SELECT u.time_zone FROM pulsex.users AS u WHERE u.user_id = v_row.user_id AND u.status = 'active'
            );
            IF v_time_zone IS NULL OR v_row.attempts >= c_max_attempts
                OR pulsex.owed_until(v_row.briefing_date, v_row.due_at, v_time_zone) <= p_at
            THEN
                PERFORM pulsex.schedule_after(
                    v_row.user_id, v_row.edition, v_row.briefing_date, p_at, v_row.briefing_date, v_row.attempts
                );
                v_moved := v_moved + 1;
            ELSE
                UPDATE pulsex.briefing_schedule AS s SET lease_until = p_at + p_lease, attempts = s.attempts + 1
                WHERE s.user_id = v_row.user_id AND s.edition = v_row.edition;
                v_leased := v_leased + 1;
                user_id := v_row.user_id;
                briefing_date := v_row.briefing_date;
                edition := v_row.edition;
                RETURN NEXT;
            END IF;
        END LOOP;
        EXIT WHEN v_moved = v_moved_before OR v_leased = p_limit OR v_moved >= c_max_moved;
    END LOOP;
END
$$;
COMMENT ON FUNCTION pulsex.due_briefings IS
'Leases up to p_limit briefings (1 to 1000) that are due at p_at, the longest due first, for p_lease (a second to a
day), and returns whom they are for and the local date they are for. Generate each and call pulsex.publish_briefing(),
which settles it; what isn''t published when its lease ends is due again. After five leases, or when its date is over
where the person lives, a briefing is given up (ops.parked_briefings), and the next one is scheduled. Safe to call from
several schedulers at once: no two get the same briefing. Call it until it returns nothing; after an outage of a day it
moves some ten thousand on per call, and may return nothing because of that, until the next call.
Errors: PT422 p_at null or infinite, p_limit or p_lease out of bounds; 22008 a p_at at the far end of the calendar.';

CREATE OR REPLACE FUNCTION ops.parked_briefings(p_limit integer DEFAULT 100)
RETURNS TABLE (user_id uuid, edition text, briefing_date date, attempts smallint)
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 100 SET search_path = ''
AS $$
BEGIN
    IF p_limit IS NULL OR p_limit NOT BETWEEN 1 AND 1000 THEN
        RAISE EXCEPTION 'a page has 1 to 1000 briefings' USING ERRCODE = 'PT422';
    END IF;
    RETURN QUERY
    SELECT s.user_id, s.edition, s.parked_date, s.parked_attempts
    FROM pulsex.briefing_schedule AS s
    WHERE s.parked_date IS NOT NULL
    ORDER BY s.parked_date DESC, s.user_id
    LIMIT p_limit;
END
$$;
COMMENT ON FUNCTION ops.parked_briefings IS
'Briefings that were given up, newest first, up to p_limit (1 to 1000): after five attempts the generator fails on it;
after fewer nobody came for it before its date was over. Listed until it or the edition''s next one is published.
Errors: PT422 p_limit out of bounds.';
