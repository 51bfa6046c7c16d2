-- Development data: people all over the world, two months of their briefings, and what they made of them.
--
--     psql -X -f db/seed_data.sql -d URL                    fifty people, two months
--     psql -X -v people=100000 -v days=10 -f …              about a million briefings
--
-- Run it as a superuser, on a deployed database with ALTER DATABASE … SET pulsex.environment = 'development'. It is one
-- transaction, goes through the public routines as the roles that may call them, and leaves nothing but rows (and the
-- partitions that they need). Nothing is random: the same people, days and today give the same people, news and habits.
-- Running it again changes nothing.
--
-- Everybody's password is: correct horse battery staple
-- Alice (alice@example.com) lives in Lisbon, Bob (bob@example.com) in New York.
--
--     people   how many (50)
--     days     how many days of briefings, ending yesterday where each person lives (61)
--     today    a date whose noon, UTC, is taken for now (the present moment)

\set ON_ERROR_STOP on
\set QUIET on
\if :{?people}
\else
\set people 50
\endif
\if :{?days}
\else
\set days 61
\endif
\if :{?today}
\else
\set today ''
\endif

DO $$
BEGIN
    IF current_setting('pulsex.environment', true) IS DISTINCT FROM 'development' THEN
        RAISE EXCEPTION 'Seed data is for development: this database has no pulsex.environment = ''development''.'
        USING ERRCODE = 'PT403';
    END IF;
END
$$;

SELECT count(*) > 0 AS seeded
FROM auth.identities
WHERE provider = 'email' AND subject = 'alice@example.com' \gset
\if :seeded
DO $$
BEGIN
    RAISE INFO 'alice@example.com is here already: nothing to seed';
END
$$;
\quit
\endif

BEGIN;
SET LOCAL client_min_messages = warning;
-- Keys of deterministic choices contain dates as text, so their spelling must not depend on who runs this.
SET LOCAL TimeZone = 'UTC';
SET LOCAL DateStyle = 'ISO';

CREATE TEMP TABLE seed_run (
    people integer NOT NULL CHECK (people > 0),
    days integer NOT NULL CHECK (days > 0),
    at timestamptz NOT NULL
);
INSERT INTO seed_run (people, days, at)
VALUES (:people, :days, coalesce((nullif(:'today', '')::date + time '12:00') AT TIME ZONE 'UTC', now()));

\ir seed/stories.sql
\ir seed/news.sql
\ir seed/people.sql
\ir seed/briefings.sql
\ir seed/engagement.sql
\ir seed/notifications.sql

-- The plan is read by whoever carries a part of it out. These tables are this session's, and go at the end.
GRANT SELECT ON seed_run, seed_topic, seed_person, seed_briefing TO pulsex_service, pulsex_worker, pulsex_app;

DO $$
DECLARE
    v_people constant integer := (SELECT people FROM seed_run);
    v_step constant integer := greatest(1, v_people / 50);
    v_last integer;
BEGIN
    -- The oldest briefing may belong to a local date that began in the month before, by UTC.
    PERFORM ops.ensure_partitions(p_since => at::date - days - 2) FROM seed_run;

    SET LOCAL ROLE pulsex_service;
    INSERT INTO pulsex.topics (slug, label) SELECT slug, label FROM seed_topic ORDER BY slug
    ON CONFLICT ON CONSTRAINT topics_slug_key DO NOTHING;
    SET LOCAL ROLE NONE;

    FOR v_first IN 1..v_people BY v_step LOOP
        v_last := least(v_first + v_step - 1, v_people);
        CALL pg_temp.register_people(v_first, v_last);
        CALL pg_temp.publish_briefings(v_first, v_last);
        CALL pg_temp.record_feedback(v_first, v_last);
        CALL pg_temp.record_engagement();
        CALL pg_temp.schedule_next(v_first, v_last);
        CALL pg_temp.add_devices(v_first, v_last);
        CALL pg_temp.notify_people(v_first, v_last);
        RAISE INFO 'seed % of %', v_last, v_people;
    END LOOP;
END
$$;

SET LOCAL ROLE pulsex_service;
-- They have been with us since before their first briefing, and confirmed their address.
UPDATE pulsex.users AS u SET created_at = run.at - make_interval(days => run.days + 2)
FROM seed_run AS run, seed_person AS person
WHERE u.user_id = person.user_id;
UPDATE auth.identities AS i
SET
    created_at = run.at - make_interval(days => run.days + 2),
    verified_at = run.at - make_interval(days => run.days + 1)
FROM seed_run AS run, seed_person AS person
WHERE i.user_id = person.user_id;
-- The first topic somebody chose matters more to them than the others.
UPDATE pulsex.user_topics AS followed SET weight = 2.5
FROM seed_person AS person, pulsex.topics AS topic
WHERE topic.slug = person.slugs[1] AND followed.user_id = person.user_id AND followed.topic_id = topic.topic_id;
-- Nobody is left signed in.
DELETE FROM auth.sessions AS s USING seed_person AS person
WHERE s.user_id = person.user_id;
SET LOCAL ROLE NONE;

-- The plan and the procedures were temporary.
DISCARD TEMP;
COMMIT;
