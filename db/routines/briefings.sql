-- Briefings: published by the worker, read by the person.

-- The worker's side: SECURITY DEFINER --------------------------------------------------------------------------------
SET LOCAL ROLE pulsex_service;

CREATE OR REPLACE FUNCTION pulsex.text_search_config(p_locale text) RETURNS regconfig
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE split_part(p_locale, '-', 1)
    WHEN 'da' THEN 'pg_catalog.danish'::regconfig
    WHEN 'de' THEN 'pg_catalog.german'::regconfig
    WHEN 'en' THEN 'pg_catalog.english'::regconfig
    WHEN 'es' THEN 'pg_catalog.spanish'::regconfig
    WHEN 'fi' THEN 'pg_catalog.finnish'::regconfig
    WHEN 'fr' THEN 'pg_catalog.french'::regconfig
    WHEN 'it' THEN 'pg_catalog.italian'::regconfig
    WHEN 'nl' THEN 'pg_catalog.dutch'::regconfig
    WHEN 'pt' THEN 'pg_catalog.portuguese'::regconfig
    WHEN 'sv' THEN 'pg_catalog.swedish'::regconfig
    ELSE 'pg_catalog.simple'::regconfig
END;
COMMENT ON FUNCTION pulsex.text_search_config IS
'The text search configuration for a locale, by its language; simple for languages without one of their own here.';

CREATE OR REPLACE FUNCTION pulsex.briefing_search(p_title text, p_content jsonb, p_locale text) RETURNS tsvector
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SECURITY INVOKER SET search_path = ''
AS $$
DECLARE
    v_config regconfig := pulsex.text_search_config(p_locale);
    v_headlines text;
    v_titles text;
    v_summaries text;
BEGIN
    IF octet_length(p_content::text) > 262144 THEN
        RETURN '';
    END IF;
    SELECT string_agg(section ->> 'headline', ' ') INTO v_headlines
    FROM jsonb_path_query(p_content, 'lax $.sections[*]') AS section;
    SELECT string_agg(item ->> 'title', ' '), string_agg(item ->> 'summary', ' ') INTO v_titles, v_summaries
    FROM jsonb_path_query(p_content, 'lax $.sections[*].items[*]') AS item;
    RETURN setweight(to_tsvector(v_config, coalesce(p_title, '')), 'A')
        || setweight(to_tsvector(v_config, concat_ws(' ', v_headlines, v_titles)), 'B')
        || setweight(to_tsvector(v_config, coalesce(v_summaries, '')), 'C');
END
$$;
COMMENT ON FUNCTION pulsex.briefing_search IS
'What a briefing is found by: title (weight A), headlines and item titles (B), summaries (C), in the language of
p_locale. Nothing for content larger than a briefing may be: it is refused for its size, and not for its words in
here.';

CREATE OR REPLACE FUNCTION pulsex.briefing_content_error(p_content jsonb) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SECURITY INVOKER SET search_path = ''
AS $$
DECLARE
    v_section record;
    v_item record;
    v_leaf text;
    v_path text;
BEGIN
    IF jsonb_typeof(p_content -> 'sections') IS DISTINCT FROM 'array' THEN
        RETURN '$.sections is not an array';
    END IF;
    FOR v_section IN
        SELECT s.value, s.n - 1 AS n
        FROM jsonb_array_elements(p_content -> 'sections') WITH ORDINALITY AS s (value, n)
    LOOP
        v_path := format('$.sections[%s]', v_section.n);
        IF jsonb_typeof(v_section.value) <> 'object' THEN
            RETURN v_path || ' is not an object';
        END IF;
        FOREACH v_leaf IN ARRAY '{topic,headline}'::text[] LOOP
            IF jsonb_typeof(v_section.value -> v_leaf) IS DISTINCT FROM 'string' THEN
                RETURN format('%s.%s is not a string', v_path, v_leaf);
            END IF;
        END LOOP;
        IF jsonb_typeof(v_section.value -> 'items') IS DISTINCT FROM 'array' THEN
            RETURN v_path || '.items is not an array';
        END IF;
        FOR v_item IN
            SELECT i.value, i.n - 1 AS n
            FROM jsonb_array_elements(v_section.value -> 'items') WITH ORDINALITY AS i (value, n)
        LOOP
            v_path := format('$.sections[%s].items[%s]', v_section.n, v_item.n);
            IF jsonb_typeof(v_item.value) <> 'object' THEN
                RETURN v_path || ' is not an object';
            END IF;
            FOREACH v_leaf IN ARRAY '{id,title,url,source,summary}'::text[] LOOP
                IF jsonb_typeof(v_item.value -> v_leaf) IS DISTINCT FROM 'string' THEN
                    RETURN format('%s.%s is not a string', v_path, v_leaf);
                END IF;
            END LOOP;
            IF char_length(v_item.value ->> 'id') NOT BETWEEN 1 AND 200 THEN
                RETURN v_path || '.id is not of 1 to 200 characters';
            END IF;
        END LOOP;
    END LOOP;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION pulsex.briefing_content_error IS
'The first place, as a JSON path, where a document isn''t of the shape of pulsex.is_briefing_content, and why; null
when it is. For people: the CHECK is what holds.';

CREATE OR REPLACE FUNCTION pulsex.publish_briefing(
    p_user_id uuid,
    p_briefing_date date,
    p_content jsonb,
    p_title text DEFAULT NULL,
    p_edition text DEFAULT 'morning'
) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
DECLARE
    v_headline text := nullif(p_content #>> '{sections,0,headline}', '');
    v_title text := left(coalesce(p_title, v_headline, p_briefing_date::text), 300);
    v_version integer;
BEGIN
    PERFORM pulsex.require_unrestricted(p_user_id);
    IF NOT pulsex.is_briefing_content(p_content) THEN
        RAISE EXCEPTION 'not a briefing: %', pulsex.briefing_content_error(p_content)
        USING ERRCODE = '23514', SCHEMA = 'pulsex', TABLE = 'briefings', CONSTRAINT = 'briefings_content_shape_check';
    END IF;

    INSERT INTO pulsex.briefings AS b (user_id, briefing_date, edition, title, content, search)
    VALUES (
        p_user_id, p_briefing_date, p_edition, v_title, p_content,
        pulsex.briefing_search(
            v_title, p_content, (SELECT u.locale FROM pulsex.users AS u WHERE u.user_id = p_user_id)
        )
    )
    ON CONFLICT ON CONSTRAINT briefings_pk DO UPDATE
    SET version = b.version + 1, title = excluded.title, content = excluded.content, search = excluded.search,
        generated_at = excluded.generated_at
    WHERE (b.title, b.content) IS DISTINCT FROM (excluded.title, excluded.content)
    RETURNING b.version INTO v_version;
    IF NOT FOUND THEN
        SELECT b.version INTO v_version FROM pulsex.briefings AS b
        WHERE b.user_id = p_user_id AND b.briefing_date = p_briefing_date AND b.edition = p_edition;
    END IF;
    PERFORM pulsex.settle_briefing(p_user_id, p_briefing_date, p_edition);
    RETURN v_version;
END
$$;
COMMENT ON FUNCTION pulsex.publish_briefing IS
'Stores a person''s briefing for one of their local dates and returns its version: 1 when new, the next when title or
content differ from what is there, and the same, with nothing changed, when they don''t. Without p_title the first
section''s headline is the title, or else the date; a title is cut at 300 characters.
Errors: PT404 no such user; PT403 processing is restricted; 23514 content of the wrong shape
(briefings_content_shape_check) or over 256 KiB (briefings_content_size_check), an unknown edition, or a date that no
partition is for; 23502 no edition.';

CREATE OR REPLACE FUNCTION pulsex.mark_briefing_delivered(
    p_user_id uuid,
    p_briefing_date date,
    p_edition text DEFAULT 'morning',
    p_at timestamptz DEFAULT now()
) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
BEGIN
    PERFORM pulsex.require_unrestricted(p_user_id);
    UPDATE pulsex.briefings AS b SET delivered_at = p_at
    WHERE b.user_id = p_user_id AND b.briefing_date = p_briefing_date AND b.edition = p_edition;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no % briefing on %', p_edition, p_briefing_date USING ERRCODE = 'PT404';
    END IF;
END
$$;
COMMENT ON FUNCTION pulsex.mark_briefing_delivered IS
'Remembers when a briefing reached the person; the first time stays. Errors: PT404 no such user or briefing; PT403
processing is restricted.';

-- The person's side: SECURITY INVOKER, under row level security -------------------------------------------------------
SET LOCAL ROLE pulsex_owner;

CREATE OR REPLACE FUNCTION pulsex.todays_briefing(
    p_user_id uuid,
    p_edition text DEFAULT 'morning',
    p_at timestamptz DEFAULT now()
) RETURNS TABLE (
    briefing_date date,
    edition text,
    version integer,
    title text,
    content jsonb,
    generated_at timestamptz,
    delivered_at timestamptz,
    read_at timestamptz
)
LANGUAGE plpgsql STABLE SECURITY INVOKER ROWS 1 SET search_path = '' SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    v_today date := (
        SELECT (p_at AT TIME ZONE u.time_zone)::date FROM pulsex.users AS u WHERE u.user_id = p_user_id
    );
BEGIN
    RETURN QUERY
    SELECT b.briefing_date, b.edition, b.version, b.title, b.content, b.generated_at, b.delivered_at, b.read_at
    FROM pulsex.briefings AS b
    WHERE b.user_id = p_user_id AND b.briefing_date = v_today AND b.edition = p_edition;
END
$$;
COMMENT ON FUNCTION pulsex.todays_briefing IS
'The briefing for the date it is at p_at where the person lives; no row when there is none (yet), or for somebody
else. Errors: 22008 a p_at at the far end of the calendar.';

CREATE OR REPLACE FUNCTION pulsex.briefing_history(
    p_user_id uuid,
    p_before date DEFAULT NULL,
    p_limit integer DEFAULT 20
) RETURNS TABLE (
    briefing_date date,
    edition text,
    version integer,
    title text,
    generated_at timestamptz,
    read_at timestamptz
)
LANGUAGE plpgsql STABLE SECURITY INVOKER ROWS 20 SET search_path = '' SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    v_before date := coalesce(p_before, 'infinity');
    v_since date;
    v_found integer;
BEGIN
    IF p_limit IS NULL OR p_limit NOT BETWEEN 1 AND 100 THEN
        RAISE EXCEPTION 'a page has 1 to 100 briefings' USING ERRCODE = 'PT422';
    END IF;
    -- Most pages end within twice as many days, so the partitions before these aren't even opened: of two years of
    -- them, that was half of the time. Who has gaps is looked for a second time, in all that is older.
    v_since := greatest(least(p_before, current_date), '0001-01-01') - 2 * p_limit;
    LOOP
        RETURN QUERY
        SELECT b.briefing_date, b.edition, b.version, b.title, b.generated_at, b.read_at
        FROM pulsex.briefings AS b
        WHERE b.user_id = p_user_id AND b.briefing_date < v_before AND b.briefing_date >= v_since
        ORDER BY b.briefing_date DESC
        FETCH FIRST p_limit ROWS WITH TIES;
        GET DIAGNOSTICS v_found = ROW_COUNT;
        p_limit := p_limit - v_found;
        EXIT WHEN p_limit <= 0 OR v_since = '-infinity';
        v_before := least(v_before, v_since);
        v_since := '-infinity';
    END LOOP;
END
$$;
COMMENT ON FUNCTION pulsex.briefing_history IS
'A page of a person''s briefings, newest first, without their content: those before p_before, which is the last
briefing_date of the page before (null: from the newest). A date is never split between pages, so a page may exceed
p_limit by an edition. Errors: PT422 p_limit outside 1 to 100.';

CREATE OR REPLACE FUNCTION pulsex.mark_briefing_read(
    p_user_id uuid,
    p_briefing_date date,
    p_edition text DEFAULT 'morning'
) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = ''
AS $$
BEGIN
    UPDATE pulsex.briefings AS b SET read_at = now()
    WHERE b.user_id = p_user_id AND b.briefing_date = p_briefing_date AND b.edition = p_edition;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no % briefing on %', p_edition, p_briefing_date USING ERRCODE = 'PT404';
    END IF;
END
$$;
COMMENT ON FUNCTION pulsex.mark_briefing_read IS
'Remembers when a person read a briefing; the first time stays. Errors: PT404 no such briefing of one''s own.';
