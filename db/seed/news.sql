-- The news of each day: five articles per topic, the same for whoever follows it, made from the stories. Sections are
-- put together once here, so that a briefing is only a choice of sections, however many people there are.

CREATE FUNCTION pg_temp.pick(p_key text, p_choices integer) RETURNS integer
LANGUAGE sql IMMUTABLE
-- No chance is involved: the same key always gives the same number from 0 to p_choices - 1.
RETURN (hashtextextended(p_key, 0) & 2147483647) % p_choices;

CREATE FUNCTION pg_temp.tell(p_story text, p_key text) RETURNS text
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    v_slot text;
    v_numbered text [];
    v_words text [];
    v_range integer [];
BEGIN
    FOR v_slot IN SELECT DISTINCT match[1] FROM regexp_matches(p_story, '\{([^}]+)\}', 'g') AS match LOOP
        IF v_slot ~ '^\d+-\d+$' THEN
            v_range := string_to_array(v_slot, '-');
            v_words := ARRAY[v_range[1] + pg_temp.pick(p_key || v_slot, v_range[2] - v_range[1] + 1)];
            v_numbered := '{"",0}';
        ELSIF v_slot ~ '\|' THEN
            v_words := string_to_array(v_slot, '|');
            v_numbered := ARRAY[v_slot, '0'];
        ELSE
            v_numbered := regexp_match(v_slot || '0', '^(\D+)(\d)');
            SELECT words INTO STRICT v_words FROM seed_slot WHERE name = v_numbered[1];
        END IF;
        p_story := replace(p_story, '{' || v_slot || '}', v_words[
            1 + (pg_temp.pick(p_key || v_numbered[1], cardinality(v_words)) + v_numbered[2]::integer)
            % cardinality(v_words)
        ]);
    END LOOP;
    RETURN p_story;
END
$$;

CREATE TEMP TABLE seed_article (
    day date,
    slug text,
    number integer,
    headline text NOT NULL,
    item jsonb NOT NULL,
    PRIMARY KEY (day, slug, number)
);
INSERT INTO seed_article (day, slug, number, headline, item)
SELECT
    a.day,
    a.slug,
    a.number,
    lines[1] AS headline,
    jsonb_build_object(
        'id', concat_ws('-', a.slug, a.day, a.number + 1),
        'title', lines[2],
        'url', format('https://%s.example/%s/%s', source.host, to_char(a.day, 'YYYY/MM/DD'), slugged),
        'source', source.name,
        'summary', array_to_string(lines[3:], ' ')
    ) AS item
FROM (
    SELECT
        day,
        story.slug,
        place AS number,
        concat_ws('-', story.slug, day, place) AS key,
        story.text
    FROM seed_run AS run
    -- A day more at either end: where people live it may already be tomorrow, or still be yesterday.
    CROSS JOIN generate_series(0, run.days + 1) AS days_ago
    CROSS JOIN LATERAL (SELECT run.at::date - days_ago AS day) AS calendar
    CROSS JOIN generate_series(0, 4) AS place
    CROSS JOIN seed_story AS story
    -- The stories come in turn, three on from one day to the next, so that it is a while before one comes back.
    WHERE story.number = ((day - date '2020-01-01') * 3 + place) % 7
) AS a
CROSS JOIN LATERAL string_to_array(pg_temp.tell(a.text, a.key), E'\n') AS lines
CROSS JOIN LATERAL trim('-' FROM regexp_replace(lower(lines[2]), '[^a-z0-9]+', '-', 'g')) AS slugged
INNER JOIN seed_source AS source ON pg_temp.pick(a.key || 'source', 10) = source.number;

-- A morning's section tells two of the first three articles, or (variant 3) all of them; an evening's tells the others.
CREATE TEMP TABLE seed_section (
    edition text,
    day date,
    slug text,
    variant integer,
    content jsonb NOT NULL,
    item_ids text[] NOT NULL,
    PRIMARY KEY (day, slug, edition, variant)
);
INSERT INTO seed_section (edition, day, slug, variant, content, item_ids)
SELECT
    choice.edition,
    article.day,
    article.slug,
    choice.variant,
    jsonb_build_object(
        'topic', article.slug,
        'headline', (array_agg(article.headline ORDER BY ordinality))[1],
        'items', jsonb_agg(article.item ORDER BY ordinality)
    ) AS content,
    array_agg(article.item ->> 'id' ORDER BY ordinality) AS item_ids
FROM (
    VALUES
    ('morning', 0, '{0,1}'::integer[]),
    ('morning', 1, '{1,2}'),
    ('morning', 2, '{2,0}'),
    ('morning', 3, '{0,1,2}'),
    ('evening', 0, '{3,4}')
) AS choice (edition, variant, numbers)
CROSS JOIN LATERAL unnest(choice.numbers) WITH ORDINALITY AS chosen (number, ordinality)
INNER JOIN seed_article AS article ON chosen.number = article.number
GROUP BY choice.edition, choice.variant, article.day, article.slug;
ANALYZE seed_section;
