-- What the officer looks at, and what an analyst may know.
--
-- The officer's views ask a routine about each person they show, and the routine logs the look. The analyst's views
-- have aggregates alone, and no pseudonyms: whoever follows one person through many days knows who it is soon enough.
-- Their groups are fixed, at least ten people are in each, and a number of people is rounded down to tens, so that
-- somebody who knows everyone in a group of ten but one, or looks before and after somebody joined, sees the same
-- number. Medians stand for the rest, since one person can't move them far. No view has totals of another's groups, so
-- nothing that is left out can be worked out by subtraction. The limit: at the edge of a ten one person makes a
-- difference, and whoever knows nineteen of twenty people can tell that there is a twentieth.

SET LOCAL ROLE pulsex_service;

-- The officer ---------------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION gdpr.record_look(p_user_id uuid, p_what text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = ''
AS $$
BEGIN
    IF gdpr.is_privacy_officer() THEN
        PERFORM gdpr.record_access('read', p_user_id, jsonb_build_object('what', p_what));
    END IF;
END
$$;
COMMENT ON FUNCTION gdpr.record_look IS
'Logs that the data protection officer looked at something of a person''s; nothing, when it is the person who looks.';

CREATE OR REPLACE FUNCTION gdpr.find_user(p_email text) RETURNS uuid
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
DECLARE
    v_user_id uuid := auth.find_user(p_email);
BEGIN
    IF v_user_id IS NULL THEN
        RAISE EXCEPTION 'nobody has this e-mail address' USING ERRCODE = 'PT404';
    END IF;
    PERFORM gdpr.record_look(v_user_id, 'e-mail address');
    RETURN v_user_id;
END
$$;
COMMENT ON FUNCTION gdpr.find_user IS
'The id of the person with this e-mail address, in whatever case; logged. Errors: PT404 nobody has it.';

CREATE OR REPLACE FUNCTION gdpr.count_user_data(p_user_id uuid)
RETURNS TABLE (category text, record text, records bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER ROWS 20 SET search_path = ''
AS $$
DECLARE
    v_relation record;
BEGIN
    PERFORM gdpr.record_look(p_user_id, 'data summary');
    PERFORM ops.hold_partitions();
    FOR v_relation IN SELECT r.* FROM gdpr.personal_relations AS r ORDER BY r.place, r.starts_at NULLS FIRST LOOP
        category := v_relation.category;
        record := v_relation.label;
        EXECUTE format(
            'SELECT count(*) FROM %s AS r WHERE %s', v_relation.relation::regclass, v_relation.found_by
        ) INTO records USING p_user_id;
        IF records > 0 THEN
            RETURN NEXT;
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION gdpr.count_user_data IS
'How many records of what there are of a person, in the order and the words of an export; logged. For
gdpr.user_data_summary.';

SET LOCAL ROLE pulsex_owner;

CREATE OR REPLACE VIEW gdpr.user_data_summary WITH (security_invoker = TRUE, security_barrier = TRUE) AS
SELECT
    p.user_id,
    d.category,
    d.record,
    d.records
FROM gdpr.visible_people() AS p
CROSS JOIN LATERAL gdpr.count_user_data(p.user_id) AS d;
COMMENT ON VIEW gdpr.user_data_summary IS
'How many records of which category there are of each person. Each look at a person is logged, so name the user_id.';

CREATE OR REPLACE VIEW gdpr.records_of_processing WITH (security_invoker = TRUE, security_barrier = TRUE) AS
WITH tables AS (
    SELECT
        m.category,
        t.place,
        t.label,
        string_agg(m.label, ', ' ORDER BY m.label) AS columns,
        coalesce(max(m.retention)::text, 'while there is an account') AS time_limit,
        max(m.purpose) AS purpose,
        max(m.lawful_basis) AS lawful_basis,
        max(m.source) AS source,
        max(m.recipients) AS recipients
    FROM gdpr.data_map AS m
    INNER JOIN gdpr.data_map_tables AS t ON m.schema_name = t.schema_name AND m.table_name = t.table_name
    WHERE m.category IS NOT NULL
    GROUP BY m.category, t.place, t.label
),

stated AS (
    SELECT
        max(s.value) FILTER (WHERE s.name = 'transfers') AS transfers,
        max(s.value) FILTER (WHERE s.name = 'security_measures') AS security_measures
    FROM gdpr.settings AS s
)

SELECT
    t.category,
    string_agg(DISTINCT t.purpose, '; ') AS purposes,
    string_agg(DISTINCT t.lawful_basis, '; ') AS lawful_bases,
    'people who have an account' AS data_subjects,
    string_agg(t.label || ' (' || t.columns || ')', '; ' ORDER BY t.place) AS personal_data,
    string_agg(DISTINCT t.source, '; ') AS sources,
    string_agg(DISTINCT t.recipients, '; ') AS recipients,
    coalesce(max(s.transfers), 'to be stated by the controller') AS transfers,
    string_agg(t.label || ': ' || t.time_limit, '; ' ORDER BY t.place) AS time_limits,
    coalesce(max(s.security_measures), 'to be stated by the controller') AS security_measures
FROM tables AS t
CROSS JOIN stated AS s
GROUP BY t.category
ORDER BY min(t.place);
COMMENT ON VIEW gdpr.records_of_processing IS
'The record of processing activities (GDPR Art. 30(1)), a row for each category of the data map; who the controller and
the officer are stands in gdpr.settings. Of nobody in particular, so looking isn''t logged.';

-- The analyst: ten people or more, who consented if it rests on consent, and aren't restricted ---------
SET LOCAL ROLE pulsex_service;

CREATE OR REPLACE FUNCTION gdpr.count_engagement_by_day()
RETURNS TABLE (day date, event_type text, people bigint, median_events integer, median_dwell_s integer)
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 1000 SET search_path = ''
AS $$
BEGIN
    RETURN QUERY
    WITH counted AS (
        SELECT u.user_id FROM pulsex.users AS u
        WHERE u.status = 'active' AND gdpr.has_consent(u.user_id, 'analytics')
    )
    SELECT
        d.day, d.event_type, count(*) / 10 * 10, percentile_disc(0.5) WITHIN GROUP (ORDER BY d.events),
        (percentile_disc(0.5) WITHIN GROUP (ORDER BY d.dwell_ms) / 10000 * 10)::integer
    FROM pulsex.engagement_daily AS d
    INNER JOIN counted AS c ON c.user_id = d.user_id
    GROUP BY d.day, d.event_type
    HAVING count(*) >= 10
    ORDER BY d.day, d.event_type;
END
$$;
COMMENT ON FUNCTION gdpr.count_engagement_by_day IS 'For gdpr.engagement_by_day.';

CREATE OR REPLACE FUNCTION gdpr.count_ratings_by_month()
RETURNS TABLE (month date, edition text, people bigint, median_rating smallint)
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 100 SET search_path = ''
AS $$
BEGIN
    RETURN QUERY
    WITH rated AS (
        SELECT
            date_trunc('month', f.briefing_date)::date AS month, f.edition, f.user_id,
            percentile_disc(0.5) WITHIN GROUP (ORDER BY f.rating) AS rating
        FROM pulsex.briefing_feedback AS f
        INNER JOIN pulsex.users AS u ON u.user_id = f.user_id
        WHERE u.status = 'active' AND f.item_id = ''
        GROUP BY 1, f.edition, f.user_id
    )
    SELECT r.month, r.edition, count(*) / 10 * 10, percentile_disc(0.5) WITHIN GROUP (ORDER BY r.rating)
    FROM rated AS r
    GROUP BY r.month, r.edition
    HAVING count(*) >= 10
    ORDER BY r.month, r.edition;
END
$$;
COMMENT ON FUNCTION gdpr.count_ratings_by_month IS 'For gdpr.ratings_by_month.';

CREATE OR REPLACE FUNCTION gdpr.count_followers_by_topic() RETURNS TABLE (slug text, label text, people bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 100 SET search_path = ''
AS $$
BEGIN
    RETURN QUERY
    SELECT t.slug, t.label, count(*) / 10 * 10
    FROM pulsex.user_topics AS f
    INNER JOIN pulsex.users AS u ON u.user_id = f.user_id
    INNER JOIN pulsex.topics AS t ON t.topic_id = f.topic_id
    WHERE u.status = 'active'
    GROUP BY t.topic_id, t.slug, t.label
    HAVING count(*) >= 10
    ORDER BY t.slug;
END
$$;
COMMENT ON FUNCTION gdpr.count_followers_by_topic IS 'For gdpr.followers_by_topic.';

SET LOCAL ROLE pulsex_owner;

CREATE OR REPLACE VIEW gdpr.engagement_by_day WITH (security_invoker = TRUE, security_barrier = TRUE) AS
SELECT
    e.day,
    e.event_type,
    e.people,
    e.median_events,
    e.median_dwell_s
FROM gdpr.count_engagement_by_day() AS e;
COMMENT ON VIEW gdpr.engagement_by_day IS
'How many people did what on each day (UTC), in tens, rounded down; what half of them did at least, in events, and in
seconds of reading, in tens. Of people whose consent to analytics holds. Groups of fewer than ten people aren''t
shown.';

CREATE OR REPLACE VIEW gdpr.ratings_by_month WITH (security_invoker = TRUE, security_barrier = TRUE) AS
SELECT
    r.month,
    r.edition,
    r.people,
    r.median_rating
FROM gdpr.count_ratings_by_month() AS r;
COMMENT ON VIEW gdpr.ratings_by_month IS
'How many people rated briefings of each month, in tens, rounded down, and the median of their own medians, 1 to 5.
Groups of fewer than ten people aren''t shown.';

CREATE OR REPLACE VIEW gdpr.followers_by_topic WITH (security_invoker = TRUE, security_barrier = TRUE) AS
SELECT
    f.slug,
    f.label,
    f.people
FROM gdpr.count_followers_by_topic() AS f;
COMMENT ON VIEW gdpr.followers_by_topic IS
'How many people follow each topic, in tens, rounded down. Topics of fewer than ten people aren''t shown.';
