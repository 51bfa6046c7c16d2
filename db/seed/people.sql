-- Who there is. The first fifty have names and live all over the world; whoever comes after lives like one of them.

CREATE TEMP TABLE seed_name (
    number integer GENERATED ALWAYS AS IDENTITY (MINVALUE 0),
    display_name text,
    locale text,
    time_zone text
);
INSERT INTO seed_name (display_name, locale, time_zone) VALUES
('Alice Moreira', 'en', 'Europe/Lisbon'),
('Bob Whitaker', 'en-US', 'America/New_York'),
('Chiara Bellandi', 'it', 'Europe/Rome'),
('Dev Adhikari', 'ne', 'Asia/Kathmandu'),
('Emi Kurokawa', 'ja', 'Asia/Tokyo'),
('Fergus Drummond', 'en-GB', 'Europe/London'),
('Gabriela Nascimento', 'pt-BR', 'America/Sao_Paulo'),
('Hemi Parata', 'en-NZ', 'Pacific/Auckland'),
('Ishani Deshpande', 'hi', 'Asia/Kolkata'),
('Jonas Reinholt', 'de', 'Europe/Berlin'),
('Kealani Mahoe', 'en-US', 'Pacific/Honolulu'),
('Lucie Marchand', 'fr', 'Europe/Paris'),
('Matilda Harcourt', 'en-AU', 'Australia/Sydney'),
('Nasrin Tehrani', 'fa', 'Asia/Tehran'),
('Oluwaseun Adeyemi', 'en-NG', 'Africa/Lagos'),
('Paige Tuckett', 'en-CA', 'America/St_Johns'),
('Quynh Pham', 'vi', 'Asia/Ho_Chi_Minh'),
('Rua Tamihana', 'en-NZ', 'Pacific/Chatham'),
('Sofía Aravena', 'es-CL', 'America/Santiago'),
('Teuila Faleolo', 'sm', 'Pacific/Apia'),
('Uma Wickramasinghe', 'si', 'Asia/Colombo'),
('Viktor Lindholm', 'sv', 'Europe/Stockholm'),
('Wiremu Stirling', 'en-AU', 'Australia/Adelaide'),
('Ximena Robledo', 'es-MX', 'America/Mexico_City'),
('Yusuf Karadeniz', 'tr', 'Europe/Istanbul'),
('Zanele Mthembu', 'zu', 'Africa/Johannesburg'),
('Anders Fjeldstad', 'nb', 'Europe/Oslo'),
('Bilal Qureshi', 'ur', 'Asia/Karachi'),
('Camille Theriault', 'fr-CA', 'America/Toronto'),
('Daw Khin Myat', 'my', 'Asia/Yangon'),
('Eetu Rantanen', 'fi', 'Europe/Helsinki'),
('Farah Rahimi', 'ps', 'Asia/Kabul'),
('Grzegorz Wilczek', 'pl', 'Europe/Warsaw'),
('Hana Svobodová', 'cs', 'Europe/Prague'),
('Ioane Teariki', 'fr', 'Pacific/Marquesas'),
('Jin-ho Baek', 'ko', 'Asia/Seoul'),
('Kamal Haddad', 'ar', 'Africa/Cairo'),
('Leilani Tebano', 'en', 'Pacific/Kiritimati'),
('Mieke van Doorn', 'nl', 'Europe/Amsterdam'),
('Nour Belkacem', 'ar', 'Africa/Casablanca'),
('Orla Gallagher', 'en-IE', 'Europe/Dublin'),
('Paulo Figueira', 'pt', 'Atlantic/Azores'),
('Rafael Quispe', 'es-PE', 'America/Lima'),
('Søren Kjærgaard', 'da', 'Europe/Copenhagen'),
('Tala Villanueva', 'fil', 'Asia/Manila'),
('Uchenna Eze', 'en-US', 'America/Chicago'),
('Wanjiru Kamau', 'sw', 'Africa/Nairobi'),
('Xiulan Shen', 'zh', 'Asia/Shanghai'),
('Yara Suleiman', 'en-US', 'America/Los_Angeles'),
('Zsófia Halmos', 'hu', 'Europe/Budapest');

CREATE TEMP TABLE seed_person (
    number integer PRIMARY KEY,
    user_id uuid,
    token text,
    display_name text NOT NULL,
    email text NOT NULL,
    locale text NOT NULL,
    time_zone text NOT NULL,
    slugs text[] NOT NULL,
    delivery_time time NOT NULL,
    evening_delivery_time time,
    delivery_days smallint[] NOT NULL,
    quiet_hours_start time,
    max_items smallint NOT NULL,
    channels text[] NOT NULL
);
INSERT INTO seed_person (
    number, display_name, email, locale, time_zone, slugs, delivery_time, evening_delivery_time, delivery_days,
    quiet_hours_start, max_items, channels
)
SELECT
    n,
    CASE WHEN n <= 50 THEN who.display_name ELSE 'Person ' || n END AS display_name,
    CASE
        WHEN n <= 2 THEN split_part(lower(who.display_name), ' ', 1)
        WHEN n <= 50 THEN replace(translate(replace(lower(who.display_name), 'æ', 'ae'), 'áíóø-', 'aioo'), ' ', '.')
        ELSE 'person' || n
    END || '@example.com' AS email,
    who.locale,
    who.time_zone,
    (
        SELECT array_agg(slug ORDER BY pg_temp.pick(slug || n, 1000000), slug)
        FROM seed_topic
    )[:3 + n % 4] AS slugs,
    ('{05:30,07:00,06:15,06:45,07:30,08:00,06:00}'::time[])[1 + n % 7] AS delivery_time,
    CASE WHEN n % 4 = 2 THEN ('{18:00,19:30,20:15}'::time[])[1 + n % 3] END AS evening_delivery_time,
    CASE
        WHEN n % 10 = 6 THEN '{1,3,5}'
        WHEN n % 5 = 0 THEN '{1,2,3,4,5}'
        ELSE '{1,2,3,4,5,6,7}'
    END::smallint[] AS delivery_days,
    CASE WHEN n % 3 = 1 THEN time '22:00' END AS quiet_hours_start,
    CASE WHEN n % 4 = 3 THEN 8 ELSE 12 END AS max_items,
    CASE n % 5
        WHEN 0 THEN '{in_app}'
        WHEN 2 THEN '{push,email,in_app}'
        WHEN 4 THEN '{email}'
        ELSE '{push,in_app}'
    END::text[] AS channels
FROM seed_run AS run
CROSS JOIN generate_series(1, run.people) AS n
INNER JOIN seed_name AS who ON (n - 1) % 50 = who.number;
ANALYZE seed_person;

CREATE PROCEDURE pg_temp.register_people(p_first integer, p_last integer)
LANGUAGE plpgsql
-- Each registers, signs in, says what they want and consent to, and follows topics, as the application would have them
-- do.
AS $$
DECLARE
    -- Argon2id, with argon2-cffi's defaults, of the password of everybody here: correct horse battery staple
    c_password_hash constant text :=
        '$argon2id$v=19$m=65536,t=3,p=4$WHg1of2jj1ICzAXB/rhWjw$h3xTsu36wxMPzKmt2iwiv76x3seE01hFzs9NYwyd8oM';
    v_person record;
    v_user_id uuid;
    v_token text;
BEGIN
    FOR v_person IN SELECT * FROM seed_person WHERE number BETWEEN p_first AND p_last ORDER BY number LOOP
        SET LOCAL ROLE pulsex_auth;
        v_user_id := auth.register_user(
            v_person.email, c_password_hash, v_person.display_name, v_person.time_zone, v_person.locale
        );
        v_token := auth.start_session(v_user_id, '1 hour', '192.0.2.1', 'PulseX seed data');

        SET LOCAL ROLE pulsex_app;
        PERFORM auth.use_session(v_token);
        PERFORM pulsex.update_preferences(v_user_id, jsonb_build_object(
            'delivery_time', v_person.delivery_time,
            'evening_delivery_time', v_person.evening_delivery_time,
            'delivery_days', v_person.delivery_days,
            'quiet_hours_start', v_person.quiet_hours_start,
            'quiet_hours_end', CASE WHEN v_person.quiet_hours_start IS NOT NULL THEN v_person.delivery_time END,
            'max_items', v_person.max_items,
            'channels', v_person.channels,
            'settings', jsonb_build_object(
                'theme', CASE v_person.number % 3 WHEN 0 THEN 'dark' WHEN 1 THEN 'light' ELSE 'system' END
            )
        ));
        PERFORM pulsex.follow_topics(v_user_id, v_person.slugs);
        -- What follows records what everybody reads, so all have agreed to that; every third wants no advertising.
        PERFORM gdpr.record_consent(v_user_id, 'analytics', TRUE, '2026-01');
        PERFORM gdpr.record_consent(v_user_id, 'marketing', v_person.number % 3 <> 0, '2026-01');

        SET LOCAL ROLE NONE;
        UPDATE seed_person SET user_id = v_user_id, token = v_token WHERE number = v_person.number;
    END LOOP;
END
$$;
