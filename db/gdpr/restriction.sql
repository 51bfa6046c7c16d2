-- Restriction of processing (GDPR Art. 18). What a restriction means stands in migration 006: gdpr.refuse_restricted()
-- lets nobody write a restricted person's rows but themself and their erasure. Routines that read for processing ask
-- pulsex.require_unrestricted(), and those that work for everybody pass restricted people over.

SET LOCAL ROLE pulsex_service;

CREATE OR REPLACE FUNCTION gdpr.set_status(p_user_id uuid, p_from text, p_to text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = ''
AS $$
BEGIN
    UPDATE pulsex.users AS u SET status = p_to WHERE u.user_id = p_user_id AND u.status = p_from;
    IF FOUND THEN
        RETURN TRUE;
    ELSIF EXISTS (SELECT FROM pulsex.users AS u WHERE u.user_id = p_user_id) THEN
        RETURN FALSE;
    END IF;
    RAISE EXCEPTION 'no such user' USING ERRCODE = 'PT404';
END
$$;
COMMENT ON FUNCTION gdpr.set_status IS
'Moves a person from one status to another; false, when they have another one already. Errors: PT404 no such user.';

CREATE OR REPLACE FUNCTION gdpr.restrict_user(p_user_id uuid, p_reason text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
BEGIN
    PERFORM gdpr.require_reason(p_reason);
    IF gdpr.set_status(p_user_id, 'active', 'restricted') THEN
        PERFORM audit.record('restrict', p_user_id, jsonb_build_object('reason', p_reason));
    END IF;
END
$$;
COMMENT ON FUNCTION gdpr.restrict_user IS
'Stops the processing of a person''s data (GDPR Art. 18), from the next statement of anybody on: nothing is generated,
handed out, sent or counted, and only they write their rows. They can still sign in, read, and be exported and erased.
The reason is logged. Again changes nothing. Errors: PT404 no such user; PT422 no reason, or over 500 characters.';

CREATE OR REPLACE FUNCTION gdpr.lift_restriction(p_user_id uuid) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
BEGIN
    IF gdpr.set_status(p_user_id, 'restricted', 'active') THEN
        -- What fell due meanwhile was put off.
        UPDATE pulsex.notification_queue AS q SET available_at = least(q.available_at, greatest(n.scheduled_for, now()))
        FROM pulsex.notifications AS n
        WHERE q.user_id = p_user_id AND n.user_id = p_user_id AND n.notification_id = q.notification_id;
        PERFORM pulsex.wake_workers(w.channel, now())
        FROM (SELECT DISTINCT q.channel FROM pulsex.notification_queue AS q WHERE q.user_id = p_user_id) AS w;
        PERFORM audit.record('lift_restriction', p_user_id);
    END IF;
END
$$;
COMMENT ON FUNCTION gdpr.lift_restriction IS
'Lets processing go on: the next briefing is scheduled, and what waits to be sent is handed out at its time, what a
worker had claimed when the restriction began when that lease ends, once more. Tell the person before
(GDPR Art. 18(3)). Again changes nothing. Errors: PT404 no such user.';
