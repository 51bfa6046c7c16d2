-- What a person wants: preferences and topics. As the person, under row level security.

SET LOCAL ROLE pulsex_owner;

CREATE OR REPLACE FUNCTION pulsex.update_preferences(p_user_id uuid, p_changes jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = ''
AS $$
DECLARE
    v_unknown jsonb;
BEGIN
    IF jsonb_typeof(p_changes) IS DISTINCT FROM 'object' THEN
        RAISE EXCEPTION 'the changes must be a JSON object' USING ERRCODE = 'PT422';
    END IF;
    v_unknown := p_changes - '{
        delivery_time,evening_delivery_time,delivery_days,quiet_hours_start,quiet_hours_end,max_items,channels,settings
    }'::text[];
    IF v_unknown <> '{}' THEN
        RAISE EXCEPTION 'no such preference: %', (
            SELECT string_agg(key, ', ' ORDER BY key) FROM jsonb_object_keys(v_unknown) AS key
        ) USING ERRCODE = 'PT422';
    END IF;

    UPDATE pulsex.user_preferences AS p
    SET (
        delivery_time, evening_delivery_time, delivery_days, quiet_hours_start, quiet_hours_end, max_items, channels,
        settings
    ) = (
        SELECT
            r.delivery_time, r.evening_delivery_time, r.delivery_days, r.quiet_hours_start, r.quiet_hours_end,
            r.max_items, r.channels, r.settings
        FROM jsonb_populate_record(p, p_changes) AS r
    )
    WHERE p.user_id = p_user_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no preferences of this user' USING ERRCODE = 'PT404';
    END IF;
EXCEPTION
    WHEN data_exception THEN
        RAISE EXCEPTION 'not a preference''s value: %', sqlerrm USING ERRCODE = 'PT422';
END
$$;
COMMENT ON FUNCTION pulsex.update_preferences IS
'Changes the preferences named in p_changes, a JSON object keyed by column of pulsex.user_preferences, and no others.
Errors: PT422 an unknown key or a value of the wrong type; PT404 not one''s own; 23514, 23502 a value out of bounds.';

CREATE OR REPLACE FUNCTION pulsex.follow_topics(p_user_id uuid, p_slugs text[]) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = ''
AS $$
DECLARE
    v_unknown text;
BEGIN
    SELECT string_agg(coalesce(wanted.slug, 'null'), ', ' ORDER BY wanted.slug) INTO v_unknown
    FROM unnest(p_slugs) AS wanted (slug)
    WHERE NOT EXISTS (SELECT FROM pulsex.topics AS t WHERE t.slug = wanted.slug);
    IF v_unknown IS NOT NULL THEN
        RAISE EXCEPTION 'no such topic: %', v_unknown USING ERRCODE = 'PT422';
    END IF;
    INSERT INTO pulsex.user_topics (user_id, topic_id)
    SELECT p_user_id, t.topic_id FROM pulsex.topics AS t WHERE t.slug = ANY (p_slugs)
    ON CONFLICT ON CONSTRAINT user_topics_pk DO NOTHING;
END
$$;
COMMENT ON FUNCTION pulsex.follow_topics IS
'Follows the topics with these slugs; those already followed keep their weight. Unfollow by deleting from
pulsex.user_topics.
Errors: PT422 an unknown slug, and then none is followed; 42501 for somebody else; 23503 oneself has been erased since
the session was proved.';
