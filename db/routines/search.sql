-- Finding a person's briefings by their words or by their content.
--
-- A person's own rows, by the primary key, are the few to look through, however many other people there are. No index
-- has the words: a GIN index over everybody is worse at a frequent word, one that begins with user_id is better at a
-- rare one alone, and writing a briefing takes half as long again with either (`tox -e bench -- jsonb`). Should an
-- operator make one, OFFSET 0 keeps a planner that guesses how frequent a word is from trying to combine the two.
-- The plan is made once: anew for each call it costs more than the search.
SET LOCAL ROLE pulsex_service;

CREATE OR REPLACE FUNCTION pulsex.require_self(p_user_id uuid) RETURNS void
LANGUAGE plpgsql STABLE SECURITY INVOKER SET search_path = ''
AS $$
BEGIN
    IF p_user_id IS NULL OR p_user_id IS DISTINCT FROM auth.current_user_id() THEN
        RAISE EXCEPTION 'only for oneself' USING ERRCODE = 'PT403';
    END IF;
END
$$;
COMMENT ON FUNCTION pulsex.require_self IS
'What a definer routine for a person asks first. Errors: PT403 unless this transaction is in a session of p_user_id.';

CREATE OR REPLACE FUNCTION pulsex.require_page(p_limit integer) RETURNS void
LANGUAGE plpgsql IMMUTABLE SECURITY INVOKER SET search_path = ''
AS $$
BEGIN
    IF p_limit IS NULL OR p_limit NOT BETWEEN 1 AND 100 THEN
        RAISE EXCEPTION 'a page has 1 to 100 rows' USING ERRCODE = 'PT422';
    END IF;
END
$$;
COMMENT ON FUNCTION pulsex.require_page IS 'Errors: PT422 unless p_limit is 1 to 100.';

CREATE OR REPLACE FUNCTION pulsex.escape_html(p_text text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN replace(replace(replace(p_text, '&', '&amp;'), '<', '&lt;'), '>', '&gt;');
COMMENT ON FUNCTION pulsex.escape_html IS 'The HTML that shows a text.';

CREATE OR REPLACE FUNCTION pulsex.briefing_text(p_title text, p_content jsonb) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SECURITY INVOKER SET search_path = ''
AS $$
DECLARE
    v_text text;
BEGIN
    SELECT concat_ws(' … ', p_title, string_agg(concat_ws(' … ', item ->> 'title', item ->> 'summary'), ' … '))
    INTO v_text
    FROM jsonb_path_query(p_content, '$.sections[*].items[*]') AS item;
    RETURN pulsex.escape_html(v_text);
END
$$;
COMMENT ON FUNCTION pulsex.briefing_text IS
'Title, item titles and summaries in one text to cite from, escaped for HTML.';

CREATE OR REPLACE FUNCTION pulsex.query_patterns(p_config regconfig, p_query text) RETURNS text[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SECURITY INVOKER SET search_path = ''
AS $$
BEGIN
    RETURN array_agg(DISTINCT '%' || form || '%')
    FROM (SELECT * FROM regexp_split_to_table(lower(p_query), '\W+') AS word LIMIT 10) AS words
    CROSS JOIN LATERAL unnest(to_tsvector(p_config, words.word)) AS stem
    CROSS JOIN LATERAL unnest(ARRAY[words.word, stem.lexeme]) AS form;
END
$$;
COMMENT ON FUNCTION pulsex.query_patterns IS
'What a text in lower case is LIKE if one of a query''s first ten words is likely to be in it: each as it is written,
and its stem; not the stop words. Null when there are no others.';

CREATE OR REPLACE FUNCTION pulsex.briefing_snippet(
    p_title text, p_content jsonb, p_config regconfig, p_query tsquery, p_patterns text[]
) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SECURITY INVOKER SET search_path = ''
AS $$
DECLARE
    c_style constant text := 'StartSel=<mark>, StopSel=</mark>, MaxFragments=2, MaxWords=25, MinWords=10';
    v_sections jsonb := p_content -> 'sections';
    v_items jsonb := jsonb_path_query_array(v_sections, '$[*].items[*]');
    v_parts text[] := CASE WHEN lower(p_title) LIKE ANY (p_patterns) THEN ARRAY[p_title] END;
    v_part text;
    v_snippet text;
BEGIN
    FOR v_n IN 0 .. jsonb_array_length(v_items) - 1 LOOP
        v_part := concat_ws(' … ', v_items -> v_n ->> 'title', v_items -> v_n ->> 'summary');
        IF lower(v_part) LIKE ANY (p_patterns) THEN
            v_parts := array_append(v_parts, v_part);
        END IF;
    END LOOP;
    IF v_parts IS NULL THEN
        FOR v_n IN 0 .. jsonb_array_length(v_sections) - 1 LOOP
            v_part := v_sections -> v_n ->> 'headline';
            IF lower(v_part) LIKE ANY (p_patterns) THEN
                v_parts := array_append(v_parts, v_part);
            END IF;
        END LOOP;
    END IF;
    v_snippet := ts_headline(p_config, pulsex.escape_html(array_to_string(v_parts, ' … ')), p_query, c_style);
    IF v_snippet LIKE '%<mark>%' THEN
        RETURN v_snippet;
    END IF;
    RETURN ts_headline(p_config, pulsex.briefing_text(p_title, p_content), p_query, c_style);
END
$$;
COMMENT ON FUNCTION pulsex.briefing_snippet IS
'What a search cites of a briefing, as HTML, with the words of p_query in <mark>. ts_headline() costs by the word it
reads, so it reads those of title and items that are like one of p_patterns (pulsex.query_patterns), or else such
headlines. Where it marks nothing there (in city for cities; or a word that must be there is in a headline alone), it
reads pulsex.briefing_text. Loops rather than a query, which costs more to begin than the few parts take.';

CREATE OR REPLACE FUNCTION pulsex.search_briefings(p_user_id uuid, p_query text, p_limit integer DEFAULT 20)
RETURNS TABLE (briefing_date date, edition text, title text, snippet text, rank real)
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 20
SET search_path = '' SET plan_cache_mode = force_generic_plan SET client_min_messages = warning
AS $$
DECLARE
    v_config regconfig;
    v_text text;
    v_query tsquery;
BEGIN
    PERFORM pulsex.require_self(p_user_id);
    PERFORM pulsex.require_page(p_limit);
    IF char_length(p_query) > 1000 THEN
        RAISE EXCEPTION 'a query has at most 1000 characters' USING ERRCODE = 'PT422';
    END IF;
    SELECT pulsex.text_search_config(u.locale) INTO v_config FROM pulsex.users AS u WHERE u.user_id = p_user_id;
    -- A hyphen that excludes nothing goes: of some thirty in a row the parser fails.
    v_text := regexp_replace(p_query, '-+(?=[^[:alnum:]"]|$)', ' ', 'g');
    v_query := websearch_to_tsquery(v_config, v_text);
    -- Also as the words are written, since briefings from before a change of language have other stems; but not where a
    -- word is excluded, which would exclude only one of its spellings.
    IF v_query::text !~ '!' THEN
        v_query := v_query || websearch_to_tsquery('pg_catalog.simple', v_text);
    END IF;
    RETURN QUERY
    SELECT
        found.briefing_date, found.edition, found.title,
        pulsex.briefing_snippet(
            found.title, found.content, v_config, v_query,
            (SELECT pulsex.query_patterns(v_config, p_query))  -- once, and only if something is found
        ),
        found.rank
    FROM (
        SELECT b.briefing_date, b.edition, b.title, b.content, ts_rank(b.search, v_query) AS rank
        FROM (SELECT * FROM pulsex.briefings AS own WHERE own.user_id = p_user_id OFFSET 0) AS b
        WHERE b.search @@ v_query
        ORDER BY ts_rank(b.search, v_query) DESC, b.briefing_date DESC, b.edition ASC
        LIMIT p_limit
    ) AS found
    ORDER BY found.rank DESC, found.briefing_date DESC, found.edition ASC;
END
$$;
COMMENT ON FUNCTION pulsex.search_briefings IS
'A person''s briefings in which a query''s words stand, the best first: a word in the title counts more than in a
headline, and there more than in a summary. p_query as one types it into a search box: words, "a phrase", or, -not
(https://www.postgresql.org/docs/18/textsearch-controls.html, websearch_to_tsquery); any text of up to 1000 characters
is one. In the language of the person''s locale. snippet: HTML, the text escaped and the words found in <mark>.
Errors: PT403 somebody else''s; PT422 p_limit outside 1 to 100, or a query over 1000 characters.';

CREATE OR REPLACE FUNCTION pulsex.find_briefings(p_user_id uuid, p_filter jsonb, p_limit integer DEFAULT 20)
RETURNS TABLE (briefing_date date, edition text, version integer, title text, content jsonb)
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 20 SET search_path = '' SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    PERFORM pulsex.require_self(p_user_id);
    PERFORM pulsex.require_page(p_limit);
    IF jsonb_typeof(p_filter) IS DISTINCT FROM 'object' THEN
        RAISE EXCEPTION 'the filter must be a JSON object' USING ERRCODE = 'PT422';
    END IF;
    RETURN QUERY
    SELECT b.briefing_date, b.edition, b.version, b.title, b.content
    FROM (SELECT * FROM pulsex.briefings AS own WHERE own.user_id = p_user_id OFFSET 0) AS b
    WHERE b.content @> p_filter
    ORDER BY b.briefing_date DESC, b.edition ASC
    LIMIT p_limit;
END
$$;
COMMENT ON FUNCTION pulsex.find_briefings IS
'A person''s briefings whose content contains p_filter (jsonb @>), newest first; for example
{"sections": [{"topic": "science"}]} or {"sections": [{"items": [{"id": "s1"}]}]}.
Errors: PT403 somebody else''s; PT422 a filter that isn''t an object, or p_limit outside 1 to 100.';
