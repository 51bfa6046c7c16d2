-- What people did with their briefings, and the daily totals of it.

CREATE PROCEDURE pg_temp.record_engagement()
LANGUAGE plpgsql
-- Of the briefings at hand, each is delivered; one that is read is opened, viewed, perhaps clicked, saved and shared,
-- and dwelt on; half of the others are dismissed. The totals are counted from the events themselves.
AS $$
BEGIN
    SET LOCAL ROLE pulsex_service;
    WITH event AS (
        INSERT INTO pulsex.engagement_events (
            user_id, occurred_at, event_id, event_type, briefing_date, edition, item_id, properties
        )
        SELECT
            s.user_id, event.occurred_at, md5(concat_ws('/', s.key, event.event_type, event.properties))::uuid,
            event.event_type, s.briefing_date, s.edition, event.item_id, event.properties
        FROM seed_briefing AS s
        CROSS JOIN LATERAL (
            SELECT
                s.item_ids[1 + pg_temp.pick(s.key || 'click', cardinality(s.item_ids))] AS item_id,
                pg_temp.pick(s.key || 'habit', 20) AS habit,
                20000 + pg_temp.pick(s.key || 'dwell', 220000) AS dwell_ms
        ) AS reader
        CROSS JOIN LATERAL (
            VALUES
            ('delivered', s.delivered_at, NULL, '{}'::jsonb, TRUE),
            ('dismissed', s.delivered_at + interval '40 seconds', NULL, '{}', s.read_at IS NULL AND habit < 10),
            ('opened', s.read_at, NULL, '{}', TRUE),
            ('section_viewed', s.read_at + interval '2 seconds', NULL, '{"section": 0}', TRUE),
            ('section_viewed', s.read_at + interval '9 seconds', NULL, '{"section": 1}', habit < 14),
            ('item_clicked', s.read_at + interval '12 seconds', reader.item_id, '{}', habit < 11),
            ('item_saved', s.read_at + interval '14 seconds', reader.item_id, '{}', habit < 3),
            ('shared', s.read_at + interval '17 seconds', reader.item_id, '{}', habit IN (2, 12)),
            ('dwell', s.read_at + dwell_ms * interval '1 millisecond', NULL, jsonb_build_object('ms', dwell_ms), TRUE)
        ) AS event (event_type, occurred_at, item_id, properties, happened)
        WHERE event.happened AND event.occurred_at IS NOT NULL
        RETURNING user_id, occurred_at, event_type, properties
    )
    INSERT INTO pulsex.engagement_daily (user_id, day, event_type, events, dwell_ms)
    SELECT
        event.user_id, (event.occurred_at AT TIME ZONE 'UTC')::date, event.event_type, count(*),
        coalesce(sum((event.properties ->> 'ms')::bigint), 0)
    FROM event
    GROUP BY 1, 2, 3;
    SET LOCAL ROLE NONE;
END
$$;
