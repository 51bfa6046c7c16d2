-- Nobody calls the old one any more.
SET LOCAL ROLE pulsex_owner;

CREATE OR REPLACE FUNCTION pulsex.follow_weighted_topics(p_user_id uuid, p_slugs text[], p_weight real) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = ''
AS $$
BEGIN
    INSERT INTO pulsex.user_topics (user_id, topic_id, weight)
    SELECT p_user_id, t.topic_id, p_weight FROM pulsex.topics AS t WHERE t.slug = ANY (p_slugs)
    ON CONFLICT ON CONSTRAINT user_topics_pk DO NOTHING;
END
$$;
COMMENT ON FUNCTION pulsex.follow_weighted_topics IS
'Follows the topics with these slugs, with this weight. Errors: 23514 a weight out of bounds; 42501 for somebody else.';
GRANT EXECUTE ON FUNCTION pulsex.follow_weighted_topics TO pulsex_app;

DROP FUNCTION pulsex.follow_topics(uuid, text[]);
