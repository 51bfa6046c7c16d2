-- How long data is kept: rows that the data map gives a time to live, and accounts that nobody uses (GDPR Art.
-- 5(1)(e)).
--
-- What lies in partitions expires with its month, by ops.partitioned_tables. A restricted person's rows and those under
-- a legal hold are passed over here: that they stay is what the restriction or the hold is for.

-- Settings: what the controller decides. A deploy adds what is missing and changes nothing.
SET LOCAL ROLE pulsex_owner;

INSERT INTO gdpr.settings (name, value, reason) VALUES
('inactive_after', '24 months', 'Nobody who is away for a long illness or a year abroad loses anything.'),
('inactive_grace', '30 days', 'Long enough to read the warning after a holiday.'),
(
    'backup_horizon', NULL,
    'For how long backups and archived WAL are kept; the controller states it. Certificates of erasure say it.'
),
('controller', NULL, 'Art. 30(1)(a): name and address; the controller states it.'),
('data_protection_officer', NULL, 'Art. 30(1)(a): name and contact; the controller states it.'),
('transfers', NULL, 'Art. 30(1)(e): where push and e-mail services send it; the controller states it.'),
(
    'security_measures',
    'Row level security enabled and forced on every table of a person; no role above it; access by routine alone for'
    ' background jobs; signed sessions; Argon2id password hashes; tokens stored as SHA-256; every change of personal'
    ' data and every look of the officer''s logged, tamper-evident; erasure replayed after a restore.',
    'Art. 30(1)(g): what the database does. The controller adds what surrounds it.'
)
ON CONFLICT ON CONSTRAINT settings_pk DO NOTHING;

SET LOCAL ROLE pulsex_service;

CREATE OR REPLACE FUNCTION gdpr.change_setting(p_name text, p_value text, p_reason text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
BEGIN
    PERFORM gdpr.require_reason(p_reason);
    UPDATE gdpr.settings AS s SET value = p_value, reason = p_reason, changed_at = now() WHERE s.name = p_name;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such setting' USING ERRCODE = 'PT404';
    END IF;
    PERFORM audit.record('change_setting', NULL, jsonb_build_object('name', p_name, 'value', p_value));
END
$$;
COMMENT ON FUNCTION gdpr.change_setting IS
'Changes a setting of gdpr.settings, and remembers why; the change is logged. Null takes the value back.
Errors: PT404 no such setting; PT422 no reason, or one over 500 characters; 23514 a period that is none or out of its
bounds, or a text of no or over 2000 characters.';

-- Rows with a time to live -------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION gdpr.expire_rows(p_schema text, p_table text, p_limit integer, p_at timestamptz)
RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = ''
AS $$
DECLARE
    v_map record;
    v_key text;
    v_kept text;
    v_expired bigint;
BEGIN
    SELECT m.retention, m.retention_from, m.category, c.oid AS relation INTO v_map
    FROM gdpr.data_map_tables AS m
    INNER JOIN pg_catalog.pg_class AS c ON c.oid = to_regclass(format('%I.%I', m.schema_name, m.table_name))
    WHERE m.schema_name = p_schema AND m.table_name = p_table;
    -- By the key: a physical address would mean another row on another shard.
    SELECT string_agg(format('t.%I', a.attname), ', ' ORDER BY a.attnum) INTO v_key
    FROM pg_catalog.pg_index AS i
    INNER JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
    WHERE i.indrelid = v_map.relation AND i.indisprimary;
    IF EXISTS (
        SELECT FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = v_map.relation AND a.attname = 'user_id'
    ) THEN
        v_kept := 'AND NOT EXISTS (
                SELECT FROM pulsex.users AS u WHERE u.user_id = t.user_id AND u.status = ''restricted''
            ) AND NOT EXISTS (
                SELECT FROM gdpr.holds AS h
                WHERE h.user_id = t.user_id AND h.category = $2 AND h.released_at IS NULL
                    AND coalesce(h.held_until, ''infinity'') > $3
            )';
    END IF;
    EXECUTE format(
        'DELETE FROM %1$I.%2$I AS t WHERE (%3$s) IN (
            SELECT %3$s FROM %1$I.%2$I AS t WHERE t.%4$I < $1 %5$s LIMIT $4 FOR UPDATE SKIP LOCKED
        )', p_schema, p_table, v_key, v_map.retention_from, v_kept
    ) USING p_at - v_map.retention, v_map.category, p_at, p_limit;
    GET DIAGNOSTICS v_expired = ROW_COUNT;
    RETURN v_expired;
END
$$;
COMMENT ON FUNCTION gdpr.expire_rows IS
'Deletes up to p_limit rows of a table that have outlived what the data map gives them at p_at, and returns how many.
Rows that somebody holds locked, or whose person is restricted or under a hold of their category, are left.';

CREATE OR REPLACE FUNCTION gdpr.apply_retention(p_limit integer DEFAULT 1000, p_at timestamptz DEFAULT now())
RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
DECLARE
    v_table record;
    v_expired bigint := 0;
BEGIN
    IF p_limit IS NULL OR p_limit NOT BETWEEN 1 AND 100000 THEN
        RAISE EXCEPTION 'a batch has 1 to 100000 rows' USING ERRCODE = 'PT422';
    ELSIF p_at IS NULL OR p_at > now() THEN
        RAISE EXCEPTION 'only what is past expires' USING ERRCODE = 'PT422';
    END IF;
    FOR v_table IN
        SELECT m.schema_name, m.table_name FROM gdpr.data_map_tables AS m
        WHERE m.retention IS NOT NULL ORDER BY m.place, m.table_name
    LOOP
        EXIT WHEN v_expired >= p_limit;
        v_expired := v_expired + gdpr.expire_rows(
            v_table.schema_name, v_table.table_name, (p_limit - v_expired)::integer, p_at
        );
    END LOOP;
    RETURN v_expired;
END
$$;
COMMENT ON FUNCTION gdpr.apply_retention IS
'Deletes rows of all tables that the data map gives a time to live and that have outlived it at p_at, up to p_limit (1
to 100000) together, and returns how many: 0, when there are no more. One batch a transaction, so that nothing is locked
for long. Errors: PT422 p_limit out of bounds, or p_at null or in the future; 22008 a p_at at the far end of the
calendar.';

-- Accounts that nobody uses ------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION gdpr.last_active_at(p_user_id uuid) RETURNS timestamptz
LANGUAGE plpgsql STABLE SECURITY INVOKER SET search_path = ''
AS $$
BEGIN
    RETURN (
        SELECT greatest(
            u.created_at, p.updated_at,
            (SELECT max(s.last_used_at) FROM auth.sessions AS s WHERE s.user_id = p_user_id),
            (SELECT max(b.read_at) FROM pulsex.briefings AS b WHERE b.user_id = p_user_id),
            (SELECT max(n.read_at) FROM pulsex.notifications AS n WHERE n.user_id = p_user_id),
            (SELECT max(f.updated_at) FROM pulsex.briefing_feedback AS f WHERE f.user_id = p_user_id),
            (
                SELECT max(c.recorded_at) FROM gdpr.consents AS c
                WHERE c.user_id = p_user_id AND c.recorded_by = 'person'
            ),
            (SELECT max(r.received_at) FROM gdpr.requests AS r WHERE r.user_id = p_user_id)
        )
        FROM pulsex.users AS u
        LEFT JOIN pulsex.user_preferences AS p ON p.user_id = u.user_id AND p.user_id = p_user_id
        WHERE u.user_id = p_user_id
    );
END
$$;
COMMENT ON FUNCTION gdpr.last_active_at IS
'When a person last gave a sign of life: registered, used a session, read, rated, set, consented or asked something.
Null for nobody. Sessions are forgotten a month after they end, so of a person who only ever signs in for less than
that, and reads nothing, the last visit may be later than this.';

CREATE OR REPLACE FUNCTION gdpr.inactive_accounts(p_at timestamptz DEFAULT now())
RETURNS TABLE (user_id uuid, last_active_at timestamptz, warned_at timestamptz, erase_after timestamptz)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER ROWS 100 SET search_path = ''
AS $$
DECLARE
    v_before timestamptz := p_at - (SELECT s.value::interval FROM gdpr.settings AS s WHERE s.name = 'inactive_after');
BEGIN
    FOR user_id, last_active_at, warned_at, erase_after IN
        SELECT u.user_id, a.at, w.warned_at, w.erase_after
        FROM pulsex.users AS u
        LEFT JOIN gdpr.inactivity_warnings AS w ON w.user_id = u.user_id
        CROSS JOIN LATERAL gdpr.last_active_at(u.user_id) AS a (at)
        WHERE u.status = 'active' AND u.created_at < v_before AND a.at < v_before
            AND NOT EXISTS (
                SELECT FROM gdpr.holds AS h
                WHERE h.user_id = u.user_id AND h.released_at IS NULL AND coalesce(h.held_until, 'infinity') > p_at
            )
        ORDER BY a.at
    LOOP
        PERFORM gdpr.record_look(user_id, 'inactivity');
        RETURN NEXT;
    END LOOP;
END
$$;
COMMENT ON FUNCTION gdpr.inactive_accounts IS
'Who has given no sign of life for the period of the setting inactive_after, as of p_at, the longest away first; when
they were warned and are to be erased, if they were. Nobody who is restricted or under a legal hold. Nobody, when the
setting is taken back. For each person listed, the officer''s look is logged.
Errors: 22008 a p_at at the far end of the calendar.';

CREATE OR REPLACE FUNCTION gdpr.warn_inactive(p_limit integer DEFAULT 100, p_at timestamptz DEFAULT now())
RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
DECLARE
    v_grace interval := (SELECT s.value::interval FROM gdpr.settings AS s WHERE s.name = 'inactive_grace');
    v_person record;
    v_warned bigint := 0;
BEGIN
    IF p_limit IS NULL OR p_limit NOT BETWEEN 1 AND 100000 THEN
        RAISE EXCEPTION 'a batch has 1 to 100000 people' USING ERRCODE = 'PT422';
    ELSIF p_at IS NULL OR NOT isfinite(p_at) THEN
        RAISE EXCEPTION 'people are warned at an instant' USING ERRCODE = 'PT422';
    END IF;
    DELETE FROM gdpr.inactivity_warnings AS w WHERE gdpr.last_active_at(w.user_id) > w.last_active_at;
    FOR v_person IN
        SELECT i.user_id, i.last_active_at, greatest(p_at, now()) + v_grace AS erase_after FROM gdpr.inactive_accounts(p_at) AS i
        WHERE i.warned_at IS NULL AND v_grace IS NOT NULL
        LIMIT p_limit
    LOOP
        INSERT INTO gdpr.inactivity_warnings (user_id, last_active_at, warned_at, erase_after)
        VALUES (v_person.user_id, v_person.last_active_at, p_at, v_person.erase_after)
        ON CONFLICT ON CONSTRAINT inactivity_warnings_pk DO NOTHING;
        CONTINUE WHEN NOT FOUND;
        -- By every way they can be reached: what they don't want or can't get is stored as cancelled.
        PERFORM pulsex.enqueue_notification(
            v_person.user_id, c.channel, 'account_inactive', jsonb_build_object('erase_after', v_person.erase_after),
            p_at, 'account_inactive:' || c.channel
        )
        FROM unnest('{email,push,in_app}'::text[]) AS c (channel);
        v_warned := v_warned + 1;
    END LOOP;
    RETURN v_warned;
END
$$;
COMMENT ON FUNCTION gdpr.warn_inactive IS
'Tells up to p_limit people whose accounts are inactive at p_at, by every channel they left open (kind
account_inactive), that they will be erased
when the time of the setting inactive_grace is over, and forgets the warning of whoever came back. Returns how many were
told. Errors: PT422 p_limit outside 1 to 100000, or p_at null or infinite; 22008 a p_at at the far end of the
calendar.';

CREATE OR REPLACE FUNCTION gdpr.erase_inactive(p_limit integer DEFAULT 1, p_at timestamptz DEFAULT now())
RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
DECLARE
    v_before timestamptz := p_at - (SELECT s.value::interval FROM gdpr.settings AS s WHERE s.name = 'inactive_after');
    v_person record;
    v_erased bigint := 0;
BEGIN
    IF p_limit IS NULL OR p_limit NOT BETWEEN 1 AND 100000 THEN
        RAISE EXCEPTION 'a batch has 1 to 100000 people' USING ERRCODE = 'PT422';
    ELSIF p_at IS NULL OR p_at > now() THEN
        RAISE EXCEPTION 'nobody is erased ahead of time' USING ERRCODE = 'PT422';
    END IF;
    FOR v_person IN
        SELECT w.user_id FROM gdpr.inactivity_warnings AS w
        INNER JOIN pulsex.users AS u ON u.user_id = w.user_id
        WHERE w.erase_after <= p_at AND w.last_active_at < v_before AND u.status = 'active'
            AND gdpr.last_active_at(w.user_id) = w.last_active_at
            AND NOT EXISTS (
                SELECT FROM gdpr.holds AS h
                WHERE h.user_id = w.user_id AND h.released_at IS NULL AND coalesce(h.held_until, 'infinity') > p_at
            )
        ORDER BY w.erase_after LIMIT p_limit
    LOOP
        -- They may have come back, been restricted or held since they were listed; from here on they can't be.
        PERFORM FROM pulsex.users AS u WHERE u.user_id = v_person.user_id AND u.status = 'active' FOR UPDATE;
        CONTINUE WHEN NOT FOUND OR EXISTS (SELECT FROM gdpr.active_holds(v_person.user_id)) OR NOT EXISTS (
            SELECT FROM gdpr.inactivity_warnings AS w
            WHERE w.user_id = v_person.user_id AND w.last_active_at = gdpr.last_active_at(v_person.user_id)
        );
        PERFORM gdpr.erase(v_person.user_id, 'inactive');
        v_erased := v_erased + 1;
    END LOOP;
    RETURN v_erased;
END
$$;
COMMENT ON FUNCTION gdpr.erase_inactive IS
'Erases up to p_limit people who were warned, whose time of grace is over at p_at and who gave no sign of life since,
and returns how many. Errors: PT422 p_limit outside 1 to 100000, or p_at null or in the future; 22008 a p_at at the far
end of the calendar; 25000, 40P01 and 55P03 as gdpr.erase_user().';
