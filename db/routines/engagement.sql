-- What a person thought of a briefing. As the person, under row level security.

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
Errors: PT404 no such briefing; 42501 somebody else''s; 23514 a rating outside 1 to 5 or a comment over 2000
characters.';
