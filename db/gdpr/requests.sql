-- What people ask for under GDPR Art. 15 to 21, and by when they are to be answered (Art. 12(3)).
--
-- One month from receipt, three when extended, counted from the day of receipt in the person's own time zone: the date
-- with the same number in the last month, or that month's last day where there is none (Regulation 1182/71, Art.
-- 3(2)(c)). A last day on a weekend or holiday is not moved to the next working day, as Art. 3(4) would allow: holidays
-- differ from place to place, and an answer that comes early is never late.

SET LOCAL ROLE pulsex_service;

CREATE OR REPLACE FUNCTION gdpr.due_date(p_received_on date, p_months integer) RETURNS date
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (p_received_on + make_interval(months => p_months))::date;
COMMENT ON FUNCTION gdpr.due_date IS
'The last day of a period of calendar months that runs from p_received_on: the same date, or the last of the month.';

CREATE OR REPLACE FUNCTION gdpr.open_request(
    p_user_id uuid,
    p_kind text,
    p_details text DEFAULT NULL,
    p_received_at timestamptz DEFAULT now()
) RETURNS uuid
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
DECLARE
    v_is_person boolean := coalesce(auth.current_user_id() = p_user_id, FALSE);
    v_time_zone text;
    v_due_on date;
    v_request_id uuid;
BEGIN
    PERFORM gdpr.require_self_or_privacy(p_user_id);
    -- Locked, so that a person's requests are counted one after the other.
    SELECT u.time_zone INTO v_time_zone FROM pulsex.users AS u WHERE u.user_id = p_user_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such user' USING ERRCODE = 'PT404';
    ELSIF p_kind IS NULL THEN
        RAISE EXCEPTION 'a request asks for something' USING ERRCODE = 'PT422';
    ELSIF p_received_at IS NULL OR NOT isfinite(p_received_at) OR p_received_at > now()
        OR v_is_person AND p_received_at < now()
    THEN
        RAISE EXCEPTION 'a request came now or, by the officer''s word, earlier' USING ERRCODE = 'PT422';
    ELSIF v_is_person AND (
        SELECT count(*) FROM gdpr.requests AS r WHERE r.user_id = p_user_id AND r.completed_at IS NULL
    ) >= 10 THEN
        RAISE EXCEPTION 'ten requests are open already' USING ERRCODE = 'PT409';
    END IF;
    v_due_on := gdpr.due_date((p_received_at AT TIME ZONE v_time_zone)::date, 1);
    INSERT INTO gdpr.requests (user_id, kind, details, opened_by, received_at, time_zone, due_on, due_at)
    VALUES (
        p_user_id, p_kind, p_details, CASE WHEN v_is_person THEN 'person' ELSE 'officer' END, p_received_at,
        v_time_zone, v_due_on, pulsex.delivery_instant(v_due_on + 1, '00:00', v_time_zone)
    )
    RETURNING request_id INTO v_request_id;
    RETURN v_request_id;
END
$$;
COMMENT ON FUNCTION gdpr.open_request IS
'Opens a request: access, rectification, erasure, restriction, portability or objection, and returns its id. A person
opens it for themself, now; the officer for anybody, at p_received_at when it reached the controller by letter or
telephone. Due one calendar month later. Errors: PT403 somebody else''s; PT404 no such user; PT409 ten are open already,
for a person; PT422 no kind, or a time in the future or, from a person, in the past; 23514 an unknown kind, or details
of no or over 4000 characters; 22008 a time at the far end of the calendar.';

CREATE OR REPLACE FUNCTION gdpr.find_request(p_user_id uuid, p_request_id uuid) RETURNS gdpr.requests
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = ''
AS $$
DECLARE
    v_request gdpr.requests;
BEGIN
    SELECT * INTO v_request FROM gdpr.requests AS r
    WHERE r.user_id = p_user_id AND r.request_id = p_request_id FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such request' USING ERRCODE = 'PT404';
    ELSIF v_request.completed_at IS NOT NULL THEN
        RAISE EXCEPTION 'this request is answered' USING ERRCODE = 'PT409';
    END IF;
    RETURN v_request;
END
$$;
COMMENT ON FUNCTION gdpr.find_request IS
'An open request, locked. Errors: PT404 there is none of this id; PT409 it is answered already.';

CREATE OR REPLACE FUNCTION gdpr.extend_request(
    p_user_id uuid,
    p_request_id uuid,
    p_reason text,
    p_at timestamptz DEFAULT now()
) RETURNS date
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
DECLARE
    v_request gdpr.requests := gdpr.find_request(p_user_id, p_request_id);
    v_due_on date := gdpr.due_date((v_request.received_at AT TIME ZONE v_request.time_zone)::date, 3);
BEGIN
    IF p_reason IS NULL THEN
        RAISE EXCEPTION 'an extension has a reason' USING ERRCODE = 'PT422';
    ELSIF v_request.extended_at IS NOT NULL OR (p_at < v_request.due_at) IS NOT TRUE THEN
        RAISE EXCEPTION 'a request is extended once, and before it is due' USING ERRCODE = 'PT409';
    END IF;
    UPDATE gdpr.requests AS r
    SET extended_at = p_at, extension_reason = p_reason, due_on = v_due_on,
        due_at = pulsex.delivery_instant(v_due_on + 1, '00:00', v_request.time_zone)
    WHERE r.user_id = p_user_id AND r.request_id = p_request_id;
    RETURN v_due_on;
END
$$;
COMMENT ON FUNCTION gdpr.extend_request IS
'Gives two further months, three from receipt in all, and returns the new last day (GDPR Art. 12(3): for complex or many
requests; tell the person, with p_reason, within the first month).
Errors: PT404 no such request; PT409 answered, extended before, or due already; PT422 no reason; 23514 one of no or over
1000 characters.';

CREATE OR REPLACE FUNCTION gdpr.complete_request(
    p_user_id uuid,
    p_request_id uuid,
    p_outcome text,
    p_note text DEFAULT NULL,
    p_at timestamptz DEFAULT now()
) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
BEGIN
    PERFORM gdpr.find_request(p_user_id, p_request_id);
    IF p_outcome IS NULL OR p_at IS NULL OR p_outcome IN ('partly_fulfilled', 'refused') AND p_note IS NULL THEN
        RAISE EXCEPTION 'an answer has an outcome, and a reason unless all was done' USING ERRCODE = 'PT422';
    END IF;
    UPDATE gdpr.requests AS r SET completed_at = p_at, outcome = p_outcome, outcome_note = p_note
    WHERE r.user_id = p_user_id AND r.request_id = p_request_id;
END
$$;
COMMENT ON FUNCTION gdpr.complete_request IS
'Remembers that a request was answered, at p_at: fulfilled, partly_fulfilled, refused or withdrawn; p_note says what was
done, or why not (GDPR Art. 12(4)). An erasure takes its own request away with everything else: its certificate stays.
Errors: PT404 no such request; PT409 answered already; PT422 no outcome, or no reason where not all was done; 23514 an
unknown outcome or a note of over 4000 characters.';

CREATE OR REPLACE FUNCTION gdpr.list_open_requests(p_at timestamptz DEFAULT now())
RETURNS TABLE (
    user_id uuid,
    request_id uuid,
    kind text,
    details text,
    opened_by text,
    received_at timestamptz,
    due_on date,
    due_at timestamptz,
    is_extended boolean,
    is_overdue boolean
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER ROWS 100 SET search_path = ''
AS $$
BEGIN
    PERFORM gdpr.record_look(o.user_id, 'open requests')
    FROM (SELECT DISTINCT r.user_id FROM gdpr.requests AS r WHERE r.completed_at IS NULL) AS o;
    RETURN QUERY
    SELECT
        r.user_id, r.request_id, r.kind, r.details, r.opened_by, r.received_at, r.due_on, r.due_at,
        r.extended_at IS NOT NULL, r.due_at <= p_at
    FROM gdpr.requests AS r
    WHERE r.completed_at IS NULL
    ORDER BY r.due_at;
END
$$;
COMMENT ON FUNCTION gdpr.list_open_requests IS
'What is to be answered as of p_at, the next due first; for each person listed, the look is logged.';

CREATE OR REPLACE FUNCTION ops.overdue_requests(p_at timestamptz DEFAULT now()) RETURNS bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = ''
AS $$
BEGIN
    RETURN (SELECT count(*) FROM gdpr.requests AS r WHERE r.completed_at IS NULL AND r.due_at <= p_at);
END
$$;
COMMENT ON FUNCTION ops.overdue_requests IS
'How many requests were due before p_at and aren''t answered, for ops.health.';

SET LOCAL ROLE pulsex_owner;

CREATE OR REPLACE VIEW gdpr.open_requests WITH (security_invoker = TRUE, security_barrier = TRUE) AS
SELECT
    r.user_id,
    r.request_id,
    r.kind,
    r.details,
    r.opened_by,
    r.received_at,
    r.due_on,
    r.due_at,
    r.is_extended,
    r.is_overdue
FROM gdpr.list_open_requests() AS r;
COMMENT ON VIEW gdpr.open_requests IS
'The officer''s list: what people ask for and by when it is to be answered, the next due first. Looking is logged.';
