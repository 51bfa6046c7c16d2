-- What a generator needs to write a person's next briefing.
SET LOCAL ROLE pulsex_service;

CREATE OR REPLACE FUNCTION pulsex.require_unrestricted(p_user_id uuid) RETURNS void
LANGUAGE plpgsql STABLE SECURITY INVOKER SET search_path = ''
AS $$
DECLARE
    v_status text := (SELECT u.status FROM pulsex.users AS u WHERE u.user_id = p_user_id);
BEGIN
    IF v_status IS NULL THEN
        RAISE EXCEPTION 'no such user' USING ERRCODE = 'PT404';
    ELSIF v_status = 'restricted' THEN
        RAISE EXCEPTION 'processing of this user is restricted' USING ERRCODE = 'PT403';
    END IF;
END
$$;
COMMENT ON FUNCTION pulsex.require_unrestricted IS
'What a routine that processes a person''s data asks first (GDPR Art. 18). Errors: PT404 no such user; PT403
restricted.';

CREATE OR REPLACE FUNCTION pulsex.generation_context(p_user_id uuid, p_at timestamptz DEFAULT now()) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = ''
AS $$
DECLARE
    v_lately date := (p_at - interval '14 days')::date;
    v_topics jsonb;
    v_affinity jsonb;
    v_recent jsonb;
BEGIN
    PERFORM pulsex.require_unrestricted(p_user_id);

    SELECT jsonb_agg(followed.topic ORDER BY followed.weight DESC, followed.slug) INTO v_topics
    FROM (
        SELECT f.weight, t.slug, jsonb_build_object('slug', t.slug, 'label', t.label, 'weight', f.weight) AS topic
        FROM pulsex.user_topics AS f
        INNER JOIN pulsex.topics AS t ON t.topic_id = f.topic_id
        WHERE f.user_id = p_user_id
    ) AS followed;

    SELECT jsonb_object_agg(a.topic, a.affinity) INTO v_affinity
    FROM pulsex.topic_affinity(p_user_id, p_at) AS a WHERE a.ratings > 0;

    SELECT jsonb_agg(DISTINCT item) INTO v_recent
    FROM pulsex.briefings AS b
    CROSS JOIN jsonb_path_query(b.content, '$.sections[*].items[*].id') AS item
    WHERE b.user_id = p_user_id AND b.briefing_date >= v_lately;

    RETURN (
        SELECT jsonb_build_object(
            'locale', u.locale, 'time_zone', u.time_zone, 'max_items', p.max_items,
            'topics', coalesce(v_topics, '[]'), 'affinity', coalesce(v_affinity, '{}'),
            'recent_item_ids', coalesce(v_recent, '[]')
        )
        FROM pulsex.users AS u
        INNER JOIN pulsex.user_preferences AS p ON p.user_id = u.user_id
        WHERE u.user_id = p_user_id
    );
END
$$;
COMMENT ON FUNCTION pulsex.generation_context IS
'What a generator needs to write a person''s briefing, and no more, no name and no address (GDPR Art. 5(1)(c)): locale,
time_zone, max_items, topics [{slug, label, weight}] by weight, affinity {topic: -1 to 1} of pulsex.topic_affinity() for
the topics that were rated, recent_item_ids of 14 days, not to be told again.
Errors: PT404 no such user; PT403 processing is restricted; 22008 a p_at at the far end of the calendar.';
