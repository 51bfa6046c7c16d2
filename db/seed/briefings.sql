-- What people were briefed of, up to yesterday, when they read it, and what they thought of it.

CREATE TEMP TABLE seed_briefing (
    number integer NOT NULL,
    user_id uuid NOT NULL,
    briefing_date date NOT NULL,
    edition text NOT NULL,
    key text NOT NULL,
    title text NOT NULL,
    content jsonb NOT NULL,
    item_ids text[] NOT NULL,
    delivered_at timestamptz NOT NULL,
    read_at timestamptz,
    PRIMARY KEY (number, briefing_date, edition)
);
COMMENT ON TABLE seed_briefing IS 'The briefings of the people at hand; their events and notifications follow from it.';

CREATE PROCEDURE pg_temp.publish_briefings(p_first integer, p_last integer)
LANGUAGE plpgsql
AS $$
DECLARE
    v_briefing record;
BEGIN
    TRUNCATE seed_briefing;
    INSERT INTO seed_briefing
    SELECT
        person.number, person.user_id, briefing_date, wanted.edition, key,
        to_char(briefing_date, 'FMDay, FMDD FMMonth: ') || told.headline, told.content, told.item_ids, delivered_at,
        -- Three briefings in four are read, most of them within the hour.
        CASE WHEN pg_temp.pick(key || 'read', 4) > 0
            THEN delivered_at + make_interval(
                secs => 60 + pg_temp.pick(key || 'wait', 3000 + 4000 * (person.number % 2))
            )
        END
    FROM seed_run AS run
    INNER JOIN seed_person AS person ON person.number BETWEEN p_first AND p_last
    CROSS JOIN generate_series(1, run.days) AS days_ago
    CROSS JOIN LATERAL (
        VALUES ('morning', person.delivery_time), ('evening', person.evening_delivery_time)
    ) AS wanted (edition, local_time)
    CROSS JOIN LATERAL (SELECT (run.at AT TIME ZONE person.time_zone)::date - days_ago AS briefing_date) AS calendar
    CROSS JOIN LATERAL (
        SELECT
            concat_ws('/', person.number, briefing_date, wanted.edition) AS key,
            (briefing_date + wanted.local_time) AT TIME ZONE person.time_zone AS due_at
    ) AS plan
    CROSS JOIN LATERAL (
        SELECT due_at + make_interval(secs => pg_temp.pick(key || 'queue', 45)) AS delivered_at
    ) AS delivery
    CROSS JOIN LATERAL (
        -- The topics take turns, two to four sections a day, and never more items than the person wants.
        SELECT
            jsonb_build_object('sections', jsonb_agg(section.content ORDER BY turn)) AS content,
            (array_agg(section.content ->> 'headline' ORDER BY turn))[1] AS headline,
            string_to_array(string_agg(array_to_string(section.item_ids, ' '), ' ' ORDER BY turn), ' ') AS item_ids
        FROM
            generate_series(
                days_ago,
                days_ago + CASE wanted.edition
                    WHEN 'evening' THEN 1
                    ELSE 1 + pg_temp.pick(key, least(3, cardinality(person.slugs) - 1))
                END
            ) AS turn
        INNER JOIN seed_section AS section
            ON section.day = briefing_date AND section.edition = wanted.edition
            AND section.slug = person.slugs[1 + turn % cardinality(person.slugs)]
            AND section.variant = CASE wanted.edition WHEN 'evening' THEN 0
                ELSE pg_temp.pick(key || turn, CASE WHEN person.max_items < 12 THEN 3 ELSE 4 END) END
    ) AS told
    WHERE wanted.local_time IS NOT NULL AND extract(ISODOW FROM briefing_date) = ANY (person.delivery_days);

    SET LOCAL ROLE pulsex_worker;
    FOR v_briefing IN SELECT * FROM seed_briefing ORDER BY number, briefing_date, edition DESC LOOP
        PERFORM pulsex.publish_briefing(
            v_briefing.user_id, v_briefing.briefing_date, v_briefing.content, v_briefing.title, v_briefing.edition
        );
    END LOOP;

    SET LOCAL ROLE pulsex_service;
    UPDATE pulsex.briefings AS b
    SET
        generated_at = s.delivered_at - make_interval(mins => 5 + pg_temp.pick(s.key, 10)),
        delivered_at = s.delivered_at,
        read_at = s.read_at
    FROM seed_briefing AS s
    WHERE b.user_id = s.user_id AND b.briefing_date = s.briefing_date AND b.edition = s.edition;
    SET LOCAL ROLE NONE;
END
$$;

CREATE PROCEDURE pg_temp.record_feedback(p_first integer, p_last integer)
LANGUAGE plpgsql
-- Of the briefings that were read, one in five is rated, and one in eight has an item that somebody has a word for.
AS $$
DECLARE
    c_comments constant text [] := '{
        {Not for me today.,Nothing here that I follow.,Too long for a weekday.},
        {I had read most of this elsewhere.,"Fewer numbers, please.",A bit thin.},
        {"Fine, if a little dry.",Good but late.,I skimmed it on the tram.},
        {More like this one.,Clear and short.,The second section was the best.},
        {Read it aloud at breakfast.,Exactly the right length.,"Lovely, thank you."}
    }';
    v_verdict record;
    v_person integer;
BEGIN
    SET LOCAL ROLE pulsex_app;
    FOR v_verdict IN
        SELECT
            s.number, s.user_id, person.token, s.briefing_date, s.edition, what.item_id,
            (5 - abs(pg_temp.pick(s.key || what.item_id || 'rating', 7) - 2))::smallint AS rating,
            pg_temp.pick(s.key || what.item_id || 'comment', 9) AS remark
        FROM seed_briefing AS s
        INNER JOIN seed_person AS person ON person.number = s.number
        CROSS JOIN LATERAL (
            SELECT '' AS item_id WHERE pg_temp.pick(s.key || 'rates', 5) = 0
            UNION ALL
            SELECT s.item_ids[1 + pg_temp.pick(s.key, cardinality(s.item_ids))]
            WHERE pg_temp.pick(s.key || 'item', 8) = 0
        ) AS what
        WHERE s.read_at IS NOT NULL
        ORDER BY s.number, s.briefing_date, s.edition DESC, what.item_id
    LOOP
        IF v_person IS DISTINCT FROM v_verdict.number THEN
            PERFORM auth.use_session(v_verdict.token);
            v_person := v_verdict.number;
        END IF;
        PERFORM pulsex.record_feedback(
            v_verdict.user_id, v_verdict.briefing_date, v_verdict.rating,
            CASE WHEN v_verdict.remark < 3 THEN c_comments[v_verdict.rating][1 + v_verdict.remark] END,
            v_verdict.edition, v_verdict.item_id
        );
    END LOOP;

    SET LOCAL ROLE pulsex_service;
    -- Rated a minute after reading, not at the time of the seed. The trigger says when the row was last written.
    UPDATE pulsex.briefing_feedback AS f SET created_at = s.read_at + interval '1 minute'
    FROM seed_briefing AS s
    WHERE f.user_id = s.user_id AND f.briefing_date = s.briefing_date AND f.edition = s.edition;
    SET LOCAL ROLE NONE;
END
$$;

CREATE PROCEDURE pg_temp.schedule_next(p_first integer, p_last integer)
LANGUAGE plpgsql
-- As of the run's own now, whatever was scheduled as they registered.
AS $$
BEGIN
    SET LOCAL ROLE pulsex_service;
    DELETE FROM pulsex.briefing_schedule AS s USING seed_person AS person
    WHERE person.number BETWEEN p_first AND p_last AND s.user_id = person.user_id;
    PERFORM pulsex.schedule_briefings(person.user_id, run.at)
    FROM seed_run AS run
    INNER JOIN seed_person AS person ON person.number BETWEEN p_first AND p_last;
    SET LOCAL ROLE NONE;
END
$$;
