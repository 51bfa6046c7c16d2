-- What a person thought of their briefings, and what a generator learns from it.

-- The person's side: SECURITY INVOKER, under row level security -------------------------------------------------------
SET LOCAL ROLE pulsex_owner;

CREATE OR REPLACE FUNCTION pulsex.record_feedback(
    p_user_id uuid,
    p_briefing_date date,
    p_rating smallint,
    p_comment text DEFAULT NULL,
    p_edition text DEFAULT 'morning',
    p_item_id text DEFAULT ''
) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = ''
AS $$
BEGIN
    INSERT INTO pulsex.briefing_feedback AS f (user_id, briefing_date, edition, item_id, rating, comment)
    VALUES (p_user_id, p_briefing_date, p_edition, p_item_id, p_rating, p_comment)
    ON CONFLICT ON CONSTRAINT briefing_feedback_pk DO UPDATE
    SET rating = excluded.rating, comment = excluded.comment
    WHERE (f.rating, f.comment) IS DISTINCT FROM (excluded.rating, excluded.comment);
EXCEPTION
    WHEN foreign_key_violation THEN
        RAISE EXCEPTION 'no % briefing on %', p_edition, p_briefing_date USING ERRCODE = 'PT404';
END
$$;
COMMENT ON FUNCTION pulsex.record_feedback IS
'Rates a briefing, or one item of it; rating again replaces the rating, and saying the same again changes nothing.
Errors: PT404 no such briefing; 42501 somebody else''s; 23514 a rating outside 1 to 5, a comment over 2000
characters or an item_id over 200; 23502 no rating.';

-- The generator's side: SECURITY DEFINER ------------------------------------------------------------------------------
SET LOCAL ROLE pulsex_service;

CREATE OR REPLACE FUNCTION pulsex.topic_affinity(p_user_id uuid, p_at timestamptz DEFAULT now())
RETURNS TABLE (topic text, affinity numeric, ratings bigint, interactions bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 20 SET search_path = ''
AS $$
DECLARE
    v_since date := (p_at AT TIME ZONE 'UTC')::date - 60;
BEGIN
    PERFORM pulsex.require_unrestricted(p_user_id);
    RETURN QUERY
    WITH told AS MATERIALIZED (
        -- A topic once, however many sections it has.
        SELECT
            b.briefing_date, b.edition, section ->> 'topic' AS topic, array_agg(item ->> 'id') AS item_ids
        FROM pulsex.briefings AS b
        CROSS JOIN jsonb_array_elements(b.content -> 'sections') AS section
        LEFT JOIN jsonb_array_elements(section -> 'items') AS item ON TRUE
        WHERE b.user_id = p_user_id AND b.briefing_date >= v_since
        GROUP BY b.briefing_date, b.edition, section ->> 'topic'
    ), rated AS (
        SELECT t.topic, round(avg((f.rating - 3) / 2.0), 2) AS affinity, count(*) AS ratings
        FROM told AS t
        INNER JOIN pulsex.briefing_feedback AS f ON f.briefing_date = t.briefing_date AND f.edition = t.edition
        WHERE f.user_id = p_user_id AND f.briefing_date >= v_since AND (f.item_id = '' OR f.item_id = ANY (t.item_ids))
        GROUP BY t.topic
    ), used AS (
        SELECT t.topic, count(*) AS interactions
        FROM told AS t
        INNER JOIN pulsex.engagement_events AS e ON e.briefing_date = t.briefing_date AND e.edition = t.edition
        WHERE e.user_id = p_user_id AND e.occurred_at >= pulsex.day_starts_at(v_since)
            AND e.item_id = ANY (t.item_ids)
            AND e.event_type IN ('item_clicked', 'item_saved', 'shared')
            -- What was recorded while they consented isn't learnt from after they withdrew (GDPR Art. 7(3)).
            AND gdpr.has_consent(p_user_id, 'analytics')
        GROUP BY t.topic
    )
    SELECT coalesce(r.topic, u.topic), r.affinity, coalesce(r.ratings, 0), coalesce(u.interactions, 0)
    FROM rated AS r FULL JOIN used AS u ON u.topic = r.topic
    ORDER BY r.affinity DESC NULLS LAST, u.interactions DESC NULLS LAST, 1;
END
$$;
COMMENT ON FUNCTION pulsex.topic_affinity IS
'What a person''s last 60 days (UTC) say about each topic: affinity, the mean of its ratings from -1 (rated 1) to 1
(rated 5), null where there is none; how many ratings; and how many items were clicked, saved or shared, 0 without
consent to analytics. A rating of a whole briefing counts once for each of its topics, one of an item for the item''s.
Errors: PT404 no such user; PT403 processing is restricted; 22008 a p_at at the far end of the calendar.';
