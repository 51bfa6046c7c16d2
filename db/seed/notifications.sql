-- How people are reached, what they were told in the last week, and what waits to be told.

CREATE PROCEDURE pg_temp.add_devices(p_first integer, p_last integer)
LANGUAGE plpgsql
-- A device each; every third person has a second one, and every sixth has retired it. Only live tokens have an owner.
AS $$
BEGIN
    SET LOCAL ROLE pulsex_service;
    WITH device AS (
        INSERT INTO pulsex.devices (user_id, device_id, platform, push_token, last_seen_at, retired_at)
        SELECT
            person.user_id, md5(person.number || '/device/' || n)::uuid,
            ('{ios,android,web}'::text [])[1 + (person.number + n) % 3],
            'seed-' || md5(person.number || '/token/' || n),
            run.at - make_interval(hours => 1 + person.number % 40, days => 20 * n),
            CASE WHEN n = 1 AND person.number % 6 = 0 THEN run.at - interval '15 days' END
        FROM seed_run AS run
        INNER JOIN seed_person AS person ON person.number BETWEEN p_first AND p_last
        CROSS JOIN generate_series(0, CASE WHEN person.number % 3 = 0 THEN 1 ELSE 0 END) AS n
        RETURNING user_id, device_id, push_token, retired_at
    )
    INSERT INTO pulsex.push_token_owners (push_token_hash, user_id, device_id)
    SELECT sha256(convert_to(device.push_token, 'UTF8')), device.user_id, device.device_id
    FROM device WHERE device.retired_at IS NULL;
    SET LOCAL ROLE NONE;
END
$$;

CREATE TEMP TABLE seed_notification (
    LIKE pulsex.notifications INCLUDING DEFAULTS,
    failures smallint NOT NULL,
    leased boolean NOT NULL DEFAULT FALSE
);
GRANT SELECT, INSERT, TRUNCATE ON seed_notification TO pulsex_service;

CREATE PROCEDURE pg_temp.notify_people(p_first integer, p_last integer)
LANGUAGE plpgsql
AS $$
BEGIN
    SET LOCAL ROLE pulsex_service;
    TRUNCATE seed_notification;

    -- What is settled: last week's briefings were announced, one in twenty in vain, and one in twenty was called off.
    INSERT INTO seed_notification (
        user_id, notification_id, channel, kind, payload, dedup_key, state, scheduled_for, created_at, sent_at, read_at,
        failures
    )
    SELECT
        s.user_id, md5(s.key || '/ready')::uuid, person.channels[1], 'briefing_ready',
        jsonb_build_object('briefing_date', s.briefing_date, 'edition', s.edition, 'title', s.title),
        'briefing:' || s.briefing_date || ':' || s.edition, outcome.state,
        s.delivered_at, s.delivered_at - interval '5 minutes',
        CASE outcome.state WHEN 'sent' THEN s.delivered_at + interval '3 seconds' END,
        CASE outcome.state WHEN 'sent' THEN s.read_at END,
        CASE outcome.state
            WHEN 'dead' THEN 8
            WHEN 'sent' THEN (pg_temp.pick(s.key || 'network', 15) = 0)::integer
            ELSE 0
        END
    FROM seed_run AS run
    CROSS JOIN seed_briefing AS s
    INNER JOIN seed_person AS person ON person.number = s.number
    CROSS JOIN LATERAL (SELECT (run.at AT TIME ZONE person.time_zone)::date - s.briefing_date AS days_ago) AS calendar
    CROSS JOIN LATERAL (
        SELECT CASE (s.number + days_ago) % 20 WHEN 4 THEN 'dead' WHEN 5 THEN 'cancelled' ELSE 'sent' END AS state
    ) AS outcome
    WHERE days_ago <= 7;

    -- What waits: everybody's next briefing; a digest that a worker is sending right now; an alert that is tried again.
    INSERT INTO seed_notification (
        user_id, notification_id, channel, kind, payload, dedup_key, scheduled_for, created_at, failures, leased
    )
    SELECT
        person.user_id, md5(person.number || '/' || waiting.kind)::uuid, waiting.channel, waiting.kind, waiting.payload,
        waiting.dedup_key, waiting.scheduled_for, least(waiting.scheduled_for, run.at) - interval '1 minute',
        waiting.failures, waiting.leased
    FROM seed_run AS run
    INNER JOIN seed_person AS person ON person.number BETWEEN p_first AND p_last
    INNER JOIN pulsex.briefing_schedule AS next ON next.user_id = person.user_id AND next.edition = 'morning'
    CROSS JOIN LATERAL (
        VALUES
        ('briefing_ready', person.channels[1], next.due_at, 'briefing:' || next.briefing_date || ':morning',
            jsonb_build_object('briefing_date', next.briefing_date, 'edition', next.edition), 0, FALSE, TRUE),
        ('weekly_digest', 'email', run.at - interval '1 minute', 'digest:' || run.at::date,
            jsonb_build_object('week_ending', run.at::date), 0, TRUE, person.number % 25 = 2),
        ('topic_alert', 'push', run.at - interval '10 minutes', 'topic:' || person.slugs[1],
            jsonb_build_object('topic', person.slugs[1]), 2, FALSE, person.number % 10 = 3)
    ) AS waiting (kind, channel, scheduled_for, dedup_key, payload, failures, leased, applies)
    WHERE waiting.applies;

    INSERT INTO pulsex.notifications (
        user_id, notification_id, channel, kind, payload, dedup_key, state, reason, scheduled_for, created_at, sent_at,
        read_at
    )
    SELECT
        n.user_id, n.notification_id, n.channel, n.kind, n.payload, n.dedup_key, n.state,
        CASE n.state WHEN 'dead' THEN 'out_of_attempts' WHEN 'cancelled' THEN 'called_off' END,
        n.scheduled_for, n.created_at, n.sent_at, n.read_at
    FROM seed_notification AS n;

    -- Failed attempts, a minute apart, up to the one that was sent or to the last that is allowed.
    INSERT INTO pulsex.notification_attempts (
        user_id, notification_id, attempt, lease_token, started_at, finished_at, outcome, error
    )
    SELECT
        n.user_id, n.notification_id, attempt, md5(n.notification_id || '/' || attempt)::uuid,
        started_at, started_at + interval '2 seconds',
        CASE WHEN attempt <= n.failures THEN 'failed' ELSE 'sent' END,
        CASE WHEN attempt <= n.failures THEN '503 the provider is busy' END
    FROM seed_notification AS n
    CROSS JOIN generate_series(1, n.failures + (n.state = 'sent')::integer) AS attempt
    CROSS JOIN LATERAL (
        SELECT coalesce(n.sent_at, n.scheduled_for + interval '8 minutes')
            - make_interval(secs => 2, mins => n.failures + (n.state = 'sent')::integer - attempt) AS started_at
    ) AS trial;

    INSERT INTO pulsex.notification_queue (
        user_id, notification_id, channel, available_at, attempts, leased_by, leased_at, lease_until, lease_token,
        last_error
    )
    SELECT
        n.user_id, n.notification_id, n.channel,
        CASE WHEN n.failures > 0 THEN run.at + interval '4 minutes' ELSE n.scheduled_for END,
        n.failures + n.leased::integer,
        CASE WHEN n.leased THEN 'seed-worker' END,
        CASE WHEN n.leased THEN run.at END,
        CASE WHEN n.leased THEN run.at + interval '5 minutes' END,
        CASE WHEN n.leased THEN md5(n.notification_id || 'lease')::uuid END,
        CASE WHEN n.failures > 0 THEN '503 the provider is busy' END
    FROM seed_run AS run
    CROSS JOIN seed_notification AS n
    WHERE n.state = 'pending';
    SET LOCAL ROLE NONE;
END
$$;
