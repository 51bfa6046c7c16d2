-- What people do with their briefings: events as their devices send them, and the daily totals of these.
--
-- Events are only ever inserted, by pulsex.record_events(), which marks their days. Totals are counted from the events
-- themselves, of whole days (ops.roll_up_engagement) or of what is marked (ops.roll_up_marked_engagement). A mark that
-- a counter sees was committed with its events, so it sees these too; one that it doesn't see stays for the next.

-- Recording: SECURITY DEFINER, so that nothing gets past the validation -----------------------------------------------
SET LOCAL ROLE pulsex_service;

CREATE OR REPLACE FUNCTION pulsex.event_shape_error(p_event jsonb) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN jsonb_typeof(p_event) <> 'object' THEN 'is not an object'
    WHEN
        p_event - '{event_id,event_type,occurred_at,briefing_date,edition,item_id,properties}'::text[] <> '{}'
        THEN 'has an unknown key'
    WHEN
        (p_event ->> 'event_id' LIKE '________-____-____-____-____________') IS NOT TRUE
        THEN 'event_id is not a UUID'
    WHEN
        (
            (
                p_event ->> 'occurred_at' LIKE '____-__-__T__:__:__%Z'
                OR p_event ->> 'occurred_at' LIKE '____-__-__T__:__:__%+__:__'
                OR p_event ->> 'occurred_at' LIKE '____-__-__T__:__:__%-__:__'
            )
            -- Where these leave it open stand digits: the type would take 'A8' for eight seconds in the zone A.
            AND p_event ->> 'occurred_at' ~ '^([0-9]+[-T:.+])*[0-9]+Z?$'
        ) IS NOT TRUE
        THEN 'occurred_at is not a time with its offset'
    WHEN
        p_event ->> 'briefing_date' NOT LIKE '____-__-__' OR p_event ->> 'briefing_date' !~ '^([0-9]+-)*[0-9]+$'
        THEN 'briefing_date is not a date'
    WHEN jsonb_typeof(p_event -> 'item_id') NOT IN ('string', 'null') THEN 'item_id is not a string'
END;
COMMENT ON FUNCTION pulsex.event_shape_error IS
'How an event isn''t of the right shape, in words that follow "event N", or null: an object without unknown keys, a UUID
in its canonical form (RFC 9562), a time that carries its offset as a number (RFC 3339: no name of a zone, whose rules
are the server''s), what looks like a date, and an item_id that is a string. One expression, which the planner inlines,
of what neither the types nor the constraints of pulsex.engagement_events would refuse. The regular expressions leave
lengths to LIKE: with bounds in them, they would cost a batch a sixth more.';

CREATE OR REPLACE FUNCTION pulsex.event_value_error(p_event jsonb, p_at timestamptz) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE
    WHEN NOT pg_input_is_valid(p_event ->> 'event_id', 'uuid') THEN 'event_id is not a UUID'
    WHEN
        (
            p_event ->> 'event_type' IN (
                'delivered', 'opened', 'section_viewed', 'item_clicked', 'item_saved', 'shared', 'dismissed', 'dwell'
            )
        ) IS NOT TRUE
        THEN 'event_type is not one of those there are'
    WHEN NOT pg_input_is_valid(p_event ->> 'occurred_at', 'timestamptz') THEN 'occurred_at is not a time'
    WHEN
        (p_event ->> 'occurred_at')::timestamptz
        NOT BETWEEN p_at - interval '168 hours' AND p_at + interval '5 minutes'
        THEN 'occurred_at is more than 7 days ago or 5 minutes ahead'
    WHEN NOT pg_input_is_valid(p_event ->> 'briefing_date', 'date') THEN 'briefing_date is not a date'
    WHEN p_event ->> 'edition' NOT IN ('morning', 'evening') THEN 'edition is neither morning nor evening'
    WHEN char_length(p_event ->> 'item_id') > 200 THEN 'item_id has more than 200 characters'
    WHEN jsonb_typeof(p_event -> 'properties') NOT IN ('object', 'null') THEN 'properties are not an object'
    WHEN octet_length(p_event ->> 'properties') > 4096 THEN 'properties have more than 4096 octets'
    WHEN
        p_event ->> 'event_type' = 'dwell'
        AND jsonb_path_exists(
            p_event -> 'properties', 'strict $.ms ? (@ >= 0 && @ <= 86400000)', '{}', TRUE
        ) IS NOT TRUE
        THEN 'dwell has no properties.ms from 0 to 86400000'
END;
COMMENT ON FUNCTION pulsex.event_value_error IS
'Which value of an event of the right shape, that arrives at p_at, can''t be, in words that follow "event N", or null.
For people: the types and constraints of pulsex.engagement_events are what holds.';

CREATE OR REPLACE FUNCTION pulsex.refuse_flawed_events(p_events jsonb) RETURNS void
LANGUAGE plpgsql STABLE SECURITY INVOKER SET search_path = ''
AS $$
DECLARE
    v_flaw record;
BEGIN
    SELECT e.place - 1 AS index, coalesce(e.error, 'differs from an earlier one with its event_id') AS error INTO v_flaw
    FROM (
        SELECT
            a.place, a.event <> first_value(a.event) OVER same_id AS differs,
            coalesce(pulsex.event_shape_error(a.event), pulsex.event_value_error(a.event, now())) AS error
        FROM jsonb_array_elements(p_events) WITH ORDINALITY AS a (event, place)
        WINDOW same_id AS (PARTITION BY lower(a.event ->> 'event_id') ORDER BY a.place)
    ) AS e
    WHERE e.error IS NOT NULL OR e.differs
    ORDER BY e.place LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'event %: %', v_flaw.index, v_flaw.error USING ERRCODE = 'PT422', DETAIL = v_flaw.index::text;
    END IF;
END
$$;
COMMENT ON FUNCTION pulsex.refuse_flawed_events IS
'Errors: PT422 when an event of the batch is flawed; DETAIL is the index, from 0, of the first, and the message says
what is wrong with it.';

CREATE OR REPLACE FUNCTION pulsex.record_events(p_user_id uuid, p_events jsonb) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
-- A plan made while a month is young must not read it whole when it is old. And a date is of year, month and day, in
-- this order, whatever the session says.
SET search_path = '' SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET datestyle = 'ISO, YMD'
AS $$
DECLARE
    v_since timestamptz := now() - interval '168 hours';  -- a day may have 23 or 25 in the session's time zone
    v_until timestamptz := now() + interval '5 minutes';
    v_recorded integer;
BEGIN
    PERFORM pulsex.require_self(p_user_id);
    IF jsonb_typeof(p_events) IS DISTINCT FROM 'array' THEN
        RAISE EXCEPTION 'events come in a JSON array' USING ERRCODE = 'PT422';
    ELSIF jsonb_array_length(p_events) > 1000 THEN
        RAISE EXCEPTION 'a batch has at most 1000 events' USING ERRCODE = 'PT422';
    END IF;
    -- A person's batches one after the other: each sees what the one before recorded. And none while they are erased or
    -- withdraw their consent.
    PERFORM FROM pulsex.users AS u WHERE u.user_id = p_user_id FOR NO KEY UPDATE;
    IF NOT gdpr.has_consent(p_user_id, 'analytics') THEN
        RAISE EXCEPTION 'no consent to record what one reads' USING ERRCODE = 'PT403';
    END IF;
    -- Stored first, looked at closely only if not all of it could be: a flaw takes everything back.
    BEGIN
        WITH sent AS MATERIALIZED (
            SELECT
                (e.event ->> 'occurred_at')::timestamptz AS occurred_at, (e.event ->> 'event_id')::uuid AS event_id,
                e.event ->> 'event_type' AS event_type, (e.event ->> 'briefing_date')::date AS briefing_date,
                e.event ->> 'edition' AS edition, e.event ->> 'item_id' AS item_id,
                coalesce(nullif(e.event -> 'properties', 'null'), '{}') AS properties
            FROM jsonb_array_elements(p_events) AS e (event)
            WHERE pulsex.event_shape_error(e.event) IS NULL
        ), fresh AS MATERIALIZED (
            SELECT DISTINCT ON (s.event_id) s.* FROM sent AS s
            WHERE s.occurred_at BETWEEN v_since AND v_until AND s.event_id NOT IN (
                -- Ids are compared within the index, so of a person's events only those that are sent again are read.
                -- A batch that this one waited for may have begun later, and its events may be further ahead.
                SELECT k.event_id FROM pulsex.engagement_events AS k
                WHERE k.user_id = p_user_id AND k.occurred_at BETWEEN v_since AND v_until + interval '1 day'
                    AND k.event_id = ANY (ARRAY(SELECT i.event_id FROM sent AS i))
            )
        ), marked AS (
            INSERT INTO pulsex.engagement_marks (user_id, day)
            SELECT DISTINCT p_user_id, (f.occurred_at AT TIME ZONE 'UTC')::date FROM fresh AS f
        )
        INSERT INTO pulsex.engagement_events (
            user_id, occurred_at, event_id, event_type, briefing_date, edition, item_id, properties
        )
        SELECT
            p_user_id, f.occurred_at, f.event_id, f.event_type, f.briefing_date, f.edition, f.item_id, f.properties
        FROM fresh AS f;
        GET DIAGNOSTICS v_recorded = ROW_COUNT;
    EXCEPTION
        WHEN data_exception OR check_violation OR not_null_violation OR unique_violation THEN
            PERFORM pulsex.refuse_flawed_events(p_events);
            RAISE;
    END;
    IF v_recorded < jsonb_array_length(p_events) THEN
        PERFORM pulsex.refuse_flawed_events(p_events);
    END IF;
    RETURN v_recorded;
END
$$;
COMMENT ON FUNCTION pulsex.record_events IS
'Records what a person did: p_events is a JSON array of up to 1000 objects with event_id (UUID, made by the client),
event_type (delivered, opened, section_viewed, item_clicked, item_saved, shared, dismissed, dwell), occurred_at (RFC
3339, with its offset, T and Z in upper case), and if they apply briefing_date, edition, item_id and properties (dwell:
{"ms": number}).
Returns how many are new: an event_id of an event that occurred in the last seven days (168 hours), or the same event a
second time in the batch, changes nothing, so a batch may be sent again, and by two connections at once. All or nothing.
A device''s clock may be off: occurred_at is accepted from 7 days ago to 5 minutes ahead.
Errors: PT403 somebody else''s, or no consent to analytics (gdpr.record_consent); PT422 not an array, over 1000 events,
or a bad event, which one that differs from an earlier one with its event_id is too: DETAIL is the index, from 0, of the
first, and the message says what is wrong with it; 23505, and only under REPEATABLE READ, when the batch was sent by a
transaction that this one doesn''t see.';

-- Counting ------------------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION pulsex.day_starts_at(p_day date) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN p_day::timestamp AT TIME ZONE 'UTC';
COMMENT ON FUNCTION pulsex.day_starts_at IS
'The instant at which a day (UTC) begins. Errors: 22008 a day after the year 294276.';

CREATE OR REPLACE FUNCTION ops.has_events_of(p_day date) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY INVOKER SET search_path = ''
AS $$
BEGIN
    RETURN EXISTS (
        SELECT FROM ops.partitions AS p
        WHERE (p.schema_name, p.table_name, p.state) = ('pulsex', 'engagement_events', 'attached')
            AND p.starts_at <= p_day AND p.ends_at > p_day
    );
END
$$;
COMMENT ON FUNCTION ops.has_events_of IS
'Whether there is a partition for the events of a day (UTC): when it has expired, its totals are all that is left.';

CREATE OR REPLACE FUNCTION ops.recount_engagement(p_user_ids uuid[], p_days date[]) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = ''
AS $$
DECLARE
    v_changed integer;
BEGIN
    WITH counted AS MATERIALIZED (
        SELECT
            e.user_id, d.day, e.event_type, count(*)::integer AS events,
            coalesce(sum(floor((e.properties ->> 'ms')::numeric)) FILTER (WHERE e.event_type = 'dwell'), 0)::bigint
                AS dwell_ms
        FROM unnest(p_user_ids, p_days) AS d (user_id, day)
        INNER JOIN pulsex.engagement_events AS e
            ON e.user_id = d.user_id
            AND e.occurred_at >= pulsex.day_starts_at(d.day) AND e.occurred_at < pulsex.day_starts_at(d.day + 1)
        GROUP BY e.user_id, d.day, e.event_type
    ), gone AS (
        DELETE FROM pulsex.engagement_daily AS t
        USING unnest(p_user_ids, p_days) AS d (user_id, day)
        WHERE t.user_id = d.user_id AND t.day = d.day AND (t.user_id, t.day, t.event_type) NOT IN (
            SELECT c.user_id, c.day, c.event_type FROM counted AS c
        ) AND ops.has_events_of(t.day)
        RETURNING 1
    ), stored AS (
        INSERT INTO pulsex.engagement_daily AS t (user_id, day, event_type, events, dwell_ms)
        SELECT c.user_id, c.day, c.event_type, c.events, c.dwell_ms FROM counted AS c
        ON CONFLICT ON CONSTRAINT engagement_daily_pk DO UPDATE
        SET events = excluded.events, dwell_ms = excluded.dwell_ms
        WHERE (t.events, t.dwell_ms) <> (excluded.events, excluded.dwell_ms)
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM gone) + (SELECT count(*) FROM stored) INTO v_changed;
    RETURN v_changed;
END
$$;
COMMENT ON FUNCTION ops.recount_engagement IS
'Counts the events of each person on the day (UTC) beside them anew, writes the totals that differ, and returns how many
did. A dwell counts in whole milliseconds. Totals of a day whose partition is gone stay what they are.';

CREATE OR REPLACE FUNCTION ops.roll_up_engagement(p_day date) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
DECLARE
    v_user_ids uuid[];
BEGIN
    IF NOT ops.has_events_of(p_day) THEN
        RAISE EXCEPTION 'there is no partition with the events of %', p_day USING ERRCODE = 'PT422';
    END IF;
    -- One at a time, or an older count could be written over a newer one. Whoever records isn't kept waiting.
    LOCK TABLE pulsex.engagement_marks IN SHARE UPDATE EXCLUSIVE MODE;
    -- The days of who is restricted or withdrew stay marked until they are counted again (GDPR Art. 18, 7(3)).
    DELETE FROM pulsex.engagement_marks AS m
    WHERE m.day = p_day AND NOT gdpr.has_withdrawn(m.user_id, 'analytics') AND NOT EXISTS (
        SELECT FROM pulsex.users AS u WHERE u.user_id = m.user_id AND u.status = 'restricted'
    );
    SELECT array_agg(p.user_id) INTO v_user_ids
    FROM (
        SELECT e.user_id FROM pulsex.engagement_events AS e
        WHERE e.occurred_at >= pulsex.day_starts_at(p_day) AND e.occurred_at < pulsex.day_starts_at(p_day + 1)
        UNION
        SELECT t.user_id FROM pulsex.engagement_daily AS t WHERE t.day = p_day
    ) AS p
    WHERE NOT EXISTS (SELECT FROM pulsex.users AS u WHERE u.user_id = p.user_id AND u.status = 'restricted')
        AND NOT gdpr.has_withdrawn(p.user_id, 'analytics');
    RETURN ops.recount_engagement(v_user_ids, array_fill(p_day, ARRAY[coalesce(cardinality(v_user_ids), 0)]));
END
$$;
COMMENT ON FUNCTION ops.roll_up_engagement IS
'Counts a whole day (UTC) of everybody''s events anew, writes the totals that differ, and returns how many did: after it
engagement_daily is exact, but for people who are restricted or withdrew their consent, and doing it again changes
nothing. Errors: PT422 no partition has that day''s events (any more): their totals stay what they are.';

CREATE OR REPLACE FUNCTION ops.roll_up_marked_engagement(
    p_limit integer DEFAULT 1000, p_before timestamptz DEFAULT 'infinity'
) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
DECLARE
    v_user_ids uuid[];
    v_days date[];
BEGIN
    IF p_limit IS NULL OR p_limit NOT BETWEEN 1 AND 100000 THEN
        RAISE EXCEPTION 'a batch has 1 to 100000 marks' USING ERRCODE = 'PT422';
    ELSIF p_before IS NULL THEN
        RAISE EXCEPTION 'marks are made before an instant' USING ERRCODE = 'PT422';
    END IF;
    LOCK TABLE pulsex.engagement_marks IN SHARE UPDATE EXCLUSIVE MODE;
    WITH taken AS (
        DELETE FROM pulsex.engagement_marks AS m
        USING (
            SELECT o.* FROM pulsex.engagement_marks AS o
            WHERE NOT EXISTS (SELECT FROM pulsex.users AS u WHERE u.user_id = o.user_id AND u.status = 'restricted')
                AND NOT gdpr.has_withdrawn(o.user_id, 'analytics')
                AND (uuid_extract_timestamp(o.mark_id) >= p_before) IS NOT TRUE
            ORDER BY o.day, o.user_id LIMIT p_limit
        ) AS oldest
        WHERE m.user_id = oldest.user_id AND m.day = oldest.day AND m.mark_id = oldest.mark_id
        RETURNING m.user_id, m.day
    )
    SELECT array_agg(t.user_id), array_agg(t.day) INTO v_user_ids, v_days
    FROM (SELECT DISTINCT taken.user_id, taken.day FROM taken) AS t;
    PERFORM ops.recount_engagement(v_user_ids, v_days);
    RETURN coalesce(cardinality(v_user_ids), 0);
END
$$;
COMMENT ON FUNCTION ops.roll_up_marked_engagement IS
'Brings the totals of the days of which new events came in before p_before up to date, the oldest first, p_limit marks
(1 to 100000) at most, and returns of how many people and days; 0 when these totals are exact, but for people who are
restricted or withdrew their consent. Who calls it until it returns 0 says before when, or would go on for as long as
people do. Totals of a day whose partition is gone stay what they are. What comes in meanwhile is left to the next call.
Errors: PT422 p_limit out of bounds, or p_before null.';

CREATE OR REPLACE FUNCTION pulsex.count_briefing_engagement(p_from date, p_to date)
RETURNS TABLE (briefing_date date, edition text, event_type text, people bigint, events bigint, dwell_ms bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = ''
AS $$
BEGIN
    IF (CASE WHEN isfinite(p_from) AND isfinite(p_to) THEN p_to - p_from BETWEEN 0 AND 366 END) IS NOT TRUE THEN
        RAISE EXCEPTION 'from one date to another, at most 366 days later' USING ERRCODE = 'PT422';
    END IF;
    RETURN QUERY
    WITH left_out AS MATERIALIZED (
        SELECT u.user_id FROM pulsex.users AS u WHERE u.status = 'restricted'
        UNION
        SELECT c.user_id FROM gdpr.consents AS c
        WHERE c.purpose = 'analytics' AND NOT c.is_granted AND gdpr.has_withdrawn(c.user_id, 'analytics')
    )
    SELECT
        e.briefing_date, e.edition, e.event_type, count(DISTINCT e.user_id), count(*),
        coalesce(sum(floor((e.properties ->> 'ms')::numeric)) FILTER (WHERE e.event_type = 'dwell'), 0)::bigint
    FROM pulsex.engagement_events AS e
    WHERE e.briefing_date BETWEEN p_from AND p_to
        -- The earliest zone is 14 hours ahead of UTC. By each date, or a group would depend on p_from, which prunes.
        AND e.occurred_at >= pulsex.day_starts_at(e.briefing_date - 1)
        AND e.occurred_at >= pulsex.day_starts_at(p_from - 1)
        AND e.user_id NOT IN (SELECT l.user_id FROM left_out AS l)
    GROUP BY e.briefing_date, e.edition, e.event_type
    HAVING count(DISTINCT e.user_id) >= 10
    ORDER BY e.briefing_date, e.edition, e.event_type;
END
$$;
COMMENT ON FUNCTION pulsex.count_briefing_engagement IS
'What people did with the briefings of p_from to p_to, at most 366 days later: for each date, edition and type of event,
how many people, events, and milliseconds of reading, since the day before the date (UTC). Groups of fewer than 10
people are left out, and the groups are always the same, so that no difference between two answers is a smaller group.
Nobody is counted who withdrew their consent or is restricted (GDPR Art. 7(3), 18).
Errors: PT422 no such range of dates; 22008 one at the far end of the calendar.';

-- The person's side, and the analyst's: as the caller -----------------------------------------------------------------
SET LOCAL ROLE pulsex_owner;

CREATE OR REPLACE FUNCTION pulsex.engagement_summary(p_user_id uuid, p_from date, p_to date)
RETURNS TABLE (event_type text, days bigint, events bigint, dwell_ms bigint)
LANGUAGE plpgsql STABLE SECURITY INVOKER ROWS 8 SET search_path = '' SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    IF (p_from <= p_to) IS NOT TRUE THEN
        RAISE EXCEPTION 'from one date to another, not before it' USING ERRCODE = 'PT422';
    END IF;
    RETURN QUERY
    WITH marked AS MATERIALIZED (
        SELECT DISTINCT m.day FROM pulsex.engagement_marks AS m
        WHERE m.user_id = p_user_id AND m.day BETWEEN p_from AND p_to
    )
    SELECT d.event_type, count(DISTINCT d.day), sum(d.events)::bigint, sum(d.dwell_ms)::bigint
    FROM (
        SELECT t.day, t.event_type, t.events, t.dwell_ms
        FROM pulsex.engagement_daily AS t
        WHERE t.user_id = p_user_id AND t.day BETWEEN p_from AND p_to
            AND t.day NOT IN (SELECT m.day FROM marked AS m)
        UNION ALL
        SELECT
            m.day, e.event_type, 1,
            CASE WHEN e.event_type = 'dwell' THEN floor((e.properties ->> 'ms')::numeric) ELSE 0 END
        FROM marked AS m
        INNER JOIN pulsex.engagement_events AS e
            ON e.user_id = p_user_id
            AND e.occurred_at >= pulsex.day_starts_at(m.day) AND e.occurred_at < pulsex.day_starts_at(m.day + 1)
    ) AS d
    GROUP BY d.event_type
    ORDER BY d.event_type;
END
$$;
COMMENT ON FUNCTION pulsex.engagement_summary IS
'What a person did from p_from to p_to (UTC days, both included): for each type of event, on how many days, how often,
and for how many milliseconds. Up to date to the last event: days whose totals lack some are counted from the events.
No row for somebody else. Errors: PT422 p_to before p_from, or a null.';

CREATE OR REPLACE VIEW pulsex.briefing_engagement WITH (security_invoker = TRUE, security_barrier = TRUE) AS
SELECT
    e.briefing_date,
    e.edition,
    e.event_type,
    e.people,
    e.events,
    e.dwell_ms
FROM
    pulsex.count_briefing_engagement(
        (now() AT TIME ZONE 'UTC')::date - 90, (now() AT TIME ZONE 'UTC')::date + 1
    ) AS e;
COMMENT ON VIEW pulsex.briefing_engagement IS
'For the analyst: what people did with the briefings of the last 90 days, in aggregates of at least 10 people.
pulsex.count_briefing_engagement() has other dates.';
