"""What many do at once: for each routine that writes, the call, and what must be true when all of them are through."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

AUDITED = "SELECT count(*) FROM audit.events WHERE user_id = %(user)s AND action = '{}'"
NOTIFY = "SELECT pulsex.enqueue_notification(%(user)s, 'in_app', 'tip', p_dedup_key => %(run)s)"
LEASE = """UPDATE pulsex.notification_queue SET attempts = 1, leased_by = 'w', leased_at = now(),
    lease_until = now() + interval '1 hour', lease_token = %(run)s::uuid
    WHERE user_id = %(user)s AND notification_id = %(made)s"""
DEVICE = """INSERT INTO pulsex.devices (user_id, device_id, platform, push_token)
    VALUES (%(user)s, %(run)s::uuid, 'web', %(run)s) RETURNING device_id"""
REQUEST = """INSERT INTO gdpr.requests (user_id, kind, opened_by, received_at, time_zone, due_on, due_at)
    VALUES (%(user)s, 'access', 'officer', now(), 'UTC', current_date + 30, now() + interval '30 days')
    RETURNING request_id"""
FEW = (
    "UPDATE gdpr.requests SET completed_at = now(), outcome = 'withdrawn' WHERE user_id = %(user)s AND outcome IS NULL"
)
OPEN = "SELECT count(*) FROM gdpr.requests WHERE user_id = %(user)s AND completed_at IS NULL"
EXPIRED = """INSERT INTO auth.sessions (user_id, token_hash, family_id, created_at, expires_at) VALUES (%(user)s,
    sha256(%(run)s::bytea), uuidv7(), now() - interval '90 days', now() - interval '60 days')"""
RETIRED = (
    "SELECT count(*) FROM pulsex.devices WHERE user_id = %(user)s AND device_id = %(run)s::uuid AND retired_at IS NULL"
)
MORNING = "SELECT {} FROM pulsex.briefings WHERE user_id = %(user)s AND edition = 'morning'"
TRIES = "SELECT count(*) FROM pulsex.notification_attempts WHERE user_id = %(user)s AND notification_id = %(made)s"


@dataclass(frozen=True)
class End:
    """How a race ended for one person: what was measured before and after it, and what the calls returned that were
    carried out.
    """

    before: object
    after: object
    returned: Sequence[object]

    @property
    def calls(self) -> int:
        """How many calls were carried out."""
        return len(self.returned)


@dataclass(frozen=True)
class Race:
    """Calls of one routine at once.

    ``call`` has %(user)s, the person; %(run)s, a uuid of this race's own; %(i)s, the number of the caller; %(token)s, a
    session of the person's; %(made)s, what ``prepare`` returned; and %(users)s and %(mades)s, those of both people in
    this caller's order. ``prepare`` are statements, each with the role that makes it. ``measure`` is one value, and
    ``holds`` says whether the end is right. ``ended``: SQLSTATEs by which the session's own end may stop a later call.
    """

    role: str
    call: str
    measure: str
    holds: Callable[[End], bool]
    prepare: tuple[tuple[str, str], ...] = ()
    ended: frozenset[str] = frozenset()
    is_about_everybody: bool = False


def each(end: End) -> bool:
    """Every call counts, none is lost."""
    return end.after == end.before + end.calls and end.calls >= 1


def unchanged(end: End) -> bool:
    """Nothing is there that wasn't."""
    return end.after == end.before and end.calls >= 1


def once(end: End) -> bool:
    """However many called, it is there once."""
    return end.after == 1 and end.calls >= 1


def one_wins(end: End) -> bool:
    """One call is carried out, and all the others are told that they came too late."""
    return end.after == 1 and end.calls == 1


def one_true(end: End) -> bool:
    """One caller is told that it was them."""
    return end.after == 1 and list(end.returned).count(True) == 1


def none_left(end: End) -> bool:
    """Of what was there for one nothing is left, and all calls together count it once."""
    return end.after == 0 and sum(end.returned) == end.before >= 1


def gone(end: End) -> bool:
    """Nothing is left."""
    return end.after == 0 and end.calls >= 1


def as_service(*statements: str) -> tuple[tuple[str, str], ...]:
    """Return statements to be made by the definer routines' owner."""
    return tuple(("pulsex_service", statement) for statement in statements)


APP, SIGN_IN, WORKER, PRIVACY = "pulsex_app", "pulsex_auth", "pulsex_worker", "pulsex_privacy"
SESSION_OVER = frozenset({"PT401"})

RACES = {
    # Sessions -------------------------------------------------------------------------------------------------------
    "auth.touch_session": Race(
        APP, "SELECT auth.touch_session(%(token)s)",
        """SELECT count(*) FROM auth.sessions WHERE user_id = %(user)s AND last_used_at < now() - interval '5 minutes'
        AND token_hash = sha256(%(token)s::bytea)""",
        gone,
        as_service("""UPDATE auth.sessions SET last_used_at = now() - interval '1 hour' WHERE user_id = %(user)s
            AND token_hash = sha256(%(token)s::bytea)"""),
    ),
    "auth.rotate_session": Race(
        APP, "SELECT auth.rotate_session(%(token)s)",
        "SELECT count(*) FROM auth.sessions WHERE user_id = %(user)s", each,
    ),
    "auth.end_session": Race(
        APP, "SELECT auth.end_session(%(token)s)",
        """SELECT count(*) FROM auth.sessions WHERE user_id = %(user)s AND token_hash = sha256(%(token)s::bytea)
        AND revoked_at IS NULL""",
        gone, ended=SESSION_OVER,
    ),
    "auth.end_all_sessions": Race(
        APP, "SELECT auth.end_all_sessions(%(user)s)",
        "SELECT count(*) FROM auth.sessions WHERE user_id = %(user)s AND revoked_at IS NULL", gone, ended=SESSION_OVER,
    ),
    "auth.start_session": Race(
        SIGN_IN, "SELECT auth.start_session(%(user)s)",
        "SELECT count(*) FROM auth.sessions WHERE user_id = %(user)s", each,
    ),
    "auth.purge_expired": Race(
        WORKER, "SELECT auth.purge_expired()",
        "SELECT count(*) FROM auth.sessions WHERE expires_at < now() - interval '30 days'", none_left,
        as_service(EXPIRED), is_about_everybody=True,
    ),
    # Who somebody is ------------------------------------------------------------------------------------------------
    "auth.register_user": Race(
        SIGN_IN, "SELECT auth.register_user(%(user)s || %(run)s || '@example.com', %(hash)s, 'Alice')",
        "SELECT count(*) FROM auth.identities WHERE subject = %(user)s || %(run)s || '@example.com'", one_wins,
    ),
    "auth.record_login": Race(
        SIGN_IN, "SELECT auth.record_login(%(user)s, false)",
        "SELECT failed_attempts FROM auth.passwords WHERE user_id = %(user)s", each,
        as_service("UPDATE auth.passwords SET failed_attempts = 0, locked_until = NULL WHERE user_id = %(user)s"),
    ),
    "auth.issue_one_time_token": Race(
        SIGN_IN, "SELECT auth.issue_one_time_token(%(user)s, 'reset_password')",
        "SELECT count(*) FROM auth.one_time_tokens WHERE user_id = %(user)s AND purpose = 'reset_password'", once,
    ),
    "auth.redeem_one_time_token": Race(
        SIGN_IN, "SELECT auth.redeem_one_time_token(%(user)s, 'verify_email', %(made)s)",
        """SELECT count(*) FROM auth.one_time_tokens WHERE user_id = %(user)s AND purpose = 'verify_email'
        AND used_at IS NOT NULL""",
        one_true, ((SIGN_IN, "SELECT auth.issue_one_time_token(%(user)s, 'verify_email')"),),
    ),
    "auth.reset_password": Race(
        SIGN_IN, "SELECT auth.reset_password(%(user)s, %(made)s, %(hash)s)",
        """SELECT count(*) FROM auth.one_time_tokens WHERE user_id = %(user)s AND purpose = 'reset_password'
        AND used_at IS NOT NULL""",
        one_true, ((SIGN_IN, "SELECT auth.issue_one_time_token(%(user)s, 'reset_password')"),),
    ),
    # What a person wants --------------------------------------------------------------------------------------------
    "pulsex.update_preferences": Race(
        APP, """SELECT pulsex.update_preferences(%(user)s, CASE %(i)s %% 2 WHEN 0 THEN '{"max_items": 7}'::jsonb
            ELSE '{"evening_delivery_time": "18:00"}' END)""",
        """SELECT count(*) FROM pulsex.user_preferences
        WHERE user_id = %(user)s AND max_items = 7 AND evening_delivery_time = '18:00'""",
        once,
        as_service("""UPDATE pulsex.user_preferences SET max_items = 9, evening_delivery_time = NULL
            WHERE user_id = %(user)s"""),
    ),
    "pulsex.follow_topics": Race(
        APP, """SELECT pulsex.follow_topics(%(user)s, CASE %(i)s %% 2 WHEN 0 THEN '{science,cities}'::text[]
            ELSE '{cities,science}' END)""",
        "SELECT count(*) - 1 FROM pulsex.user_topics WHERE user_id = %(user)s", once,
        as_service("DELETE FROM pulsex.user_topics WHERE user_id = %(user)s"),
    ),
    "pulsex.register_device": Race(
        APP, "SELECT pulsex.register_device(%(user)s, 'web', %(run)s)",
        """SELECT count(*) FROM pulsex.devices AS d
        INNER JOIN pulsex.push_token_owners AS o ON o.user_id = d.user_id AND o.device_id = d.device_id
        WHERE d.push_token = %(run)s AND d.retired_at IS NULL""",
        once,
    ),
    "pulsex.forget_device": Race(
        APP, "SELECT pulsex.forget_device(%(user)s, %(run)s::uuid)", RETIRED, gone, as_service(DEVICE)
    ),
    "pulsex.retire_device": Race(
        WORKER, "SELECT pulsex.retire_device(%(user)s, %(run)s::uuid)", RETIRED, gone, as_service(DEVICE)
    ),
    "pulsex.issue_unsubscribe_token": Race(
        WORKER, "SELECT pulsex.issue_unsubscribe_token(%(user)s, 'email', 'tip')",
        "SELECT count(*) FROM pulsex.unsubscribe_tokens WHERE user_id = %(user)s", each,
    ),
    "pulsex.unsubscribe": Race(
        APP, "SELECT pulsex.unsubscribe(%(made)s)",
        "SELECT count(*) FROM pulsex.unsubscriptions WHERE user_id = %(user)s AND kind = 'tip'", once,
        (
            ("pulsex_service", "DELETE FROM pulsex.unsubscriptions WHERE user_id = %(user)s AND kind = 'tip'"),
            (WORKER, "SELECT pulsex.issue_unsubscribe_token(%(user)s, 'email', 'tip')"),
        ),
    ),
    "ops.purge_unsubscribe_tokens": Race(
        WORKER, "SELECT ops.purge_unsubscribe_tokens()",
        "SELECT count(*) FROM pulsex.unsubscribe_tokens WHERE expires_at < now()", none_left,
        as_service("""UPDATE pulsex.unsubscribe_tokens SET created_at = now() - interval '2 days',
            expires_at = now() - interval '1 day' WHERE user_id = %(user)s"""),
        is_about_everybody=True,
    ),
    # Briefings ------------------------------------------------------------------------------------------------------
    "pulsex.publish_briefing": Race(
        WORKER, """SELECT pulsex.publish_briefing(%(user)s, current_date,
            jsonb_build_object('sections', '[]'::jsonb, 'n', %(run)s || %(i)s), 'Title', 'evening')""",
        """SELECT coalesce(max(version), 0) FROM pulsex.briefings
        WHERE user_id = %(user)s AND edition = 'evening' AND briefing_date = current_date""",
        each,
    ),
    "pulsex.mark_briefing_delivered": Race(
        WORKER, "SELECT pulsex.mark_briefing_delivered(%(user)s, %(made)s)",
        f"{MORNING.format('count(*)')} AND delivered_at IS NULL", gone, as_service(MORNING.format("briefing_date")),
    ),
    "pulsex.mark_briefing_read": Race(
        APP, "SELECT pulsex.mark_briefing_read(%(user)s, %(made)s)",
        f"{MORNING.format('count(*)')} AND read_at IS NULL", gone, as_service(MORNING.format("briefing_date")),
    ),
    "pulsex.record_feedback": Race(
        APP, "SELECT pulsex.record_feedback(%(user)s, %(made)s, 3::smallint, 'n' || %(i)s, p_item_id => %(run)s)",
        "SELECT count(*) FROM pulsex.briefing_feedback WHERE user_id = %(user)s AND item_id = %(run)s AND rating = 3",
        once, as_service(MORNING.format("briefing_date")),
    ),
    # Notifications --------------------------------------------------------------------------------------------------
    "pulsex.enqueue_notifications": Race(
        WORKER, """SELECT count(*) FROM pulsex.enqueue_notifications(%(users)s::uuid[], 'in_app', 'tip',
            p_dedup_key => %(run)s)""",
        "SELECT count(*) FROM pulsex.notifications WHERE user_id = %(user)s AND dedup_key = %(run)s", once,
    ),
    "pulsex.cancel_notification": Race(
        WORKER, "SELECT pulsex.cancel_notification(%(user)s, %(made)s)",
        "SELECT count(*) FROM pulsex.notifications WHERE notification_id = %(made)s AND state = 'cancelled'", one_true,
        ((WORKER, NOTIFY),),
    ),
    "pulsex.complete_notification": Race(
        WORKER, "SELECT pulsex.complete_notification(%(user)s, %(made)s, %(run)s::uuid)", TRIES, once,
        ((WORKER, NOTIFY), ("pulsex_service", LEASE)),
    ),
    "pulsex.complete_notifications": Race(
        WORKER, """SELECT count(*) FROM pulsex.complete_notifications(%(users)s::uuid[], %(mades)s::uuid[],
            ARRAY[%(run)s, %(run)s]::uuid[])""",
        TRIES, lambda end: once(end) and set(end.returned) == {0}, ((WORKER, NOTIFY), ("pulsex_service", LEASE)),
    ),
    "pulsex.fail_notification": Race(
        WORKER, "SELECT pulsex.fail_notification(%(user)s, %(made)s, %(run)s::uuid, '503')", TRIES,
        lambda end: once(end) and len(set(end.returned)) == 1, ((WORKER, NOTIFY), ("pulsex_service", LEASE)),
    ),
    "ops.revive_notification": Race(
        WORKER, "SELECT ops.revive_notification(%(user)s, %(made)s)",
        "SELECT count(*) FROM pulsex.notification_queue WHERE user_id = %(user)s AND notification_id = %(made)s",
        one_wins,
        as_service("""INSERT INTO pulsex.notifications (user_id, channel, kind, state)
            VALUES (%(user)s, 'in_app', 'tip', 'dead') RETURNING notification_id"""),
    ),
    "pulsex.mark_notifications_read": Race(
        APP, """SELECT pulsex.mark_notifications_read(%(user)s, array(
            SELECT u.id FROM unnest(%(made)s::uuid[]) AS u (id) ORDER BY CASE %(i)s %% 2 WHEN 0 THEN u.id::text END,
            u.id DESC))""",
        "SELECT count(*) FROM pulsex.notifications WHERE notification_id = ANY (%(made)s) AND read_at IS NULL",
        none_left,
        as_service("""WITH told AS (INSERT INTO pulsex.notifications (user_id, channel, kind, state, sent_at)
            SELECT %(user)s, 'in_app', 'tip', 'sent', now() FROM generate_series(1, 5) RETURNING notification_id)
            SELECT array_agg(notification_id) FROM told"""),
    ),
    "ops.limit_channel": Race(
        WORKER, "SELECT ops.limit_channel('email', 60 + %(i)s, 5 + %(i)s)",
        "SELECT per_minute - burst FROM pulsex.notification_channels WHERE channel = 'email'",
        lambda end: end.after == 55, is_about_everybody=True,
    ),
    # The law --------------------------------------------------------------------------------------------------------
    "gdpr.record_consent": Race(
        APP, "SELECT gdpr.record_consent(%(user)s, 'marketing', %(i)s %% 2 = 0, '2026-01')",
        "SELECT max(revision) FROM gdpr.consents WHERE user_id = %(user)s AND purpose = 'marketing'", each,
    ),
    "gdpr.open_request": Race(
        APP, "SELECT gdpr.open_request(%(user)s, 'access')", OPEN,
        lambda end: end.after == end.before + end.calls <= 10 and (end.after == 10 or end.calls <= 2),
        as_service(FEW, REQUEST, REQUEST, REQUEST, REQUEST, REQUEST),
    ),
    "gdpr.extend_request": Race(
        PRIVACY, "SELECT gdpr.extend_request(%(user)s, %(made)s, 'complex')",
        "SELECT count(*) FROM gdpr.requests WHERE request_id = %(made)s AND extended_at IS NOT NULL", one_wins,
        as_service(REQUEST),
    ),
    "gdpr.complete_request": Race(
        PRIVACY, "SELECT gdpr.complete_request(%(user)s, %(made)s, 'fulfilled')",
        "SELECT count(*) FROM gdpr.requests WHERE request_id = %(made)s AND completed_at IS NOT NULL", one_wins,
        as_service(REQUEST),
    ),
    "gdpr.restrict_user": Race(
        PRIVACY, "SELECT gdpr.restrict_user(%(user)s, 'opposes')", AUDITED.format("restrict"),
        lambda end: end.after == end.before + 1, ((PRIVACY, "SELECT gdpr.lift_restriction(%(user)s)"),),
    ),
    "gdpr.lift_restriction": Race(
        PRIVACY, "SELECT gdpr.lift_restriction(%(user)s)", AUDITED.format("lift_restriction"),
        lambda end: end.after == end.before + 1, ((PRIVACY, "SELECT gdpr.restrict_user(%(user)s, 'opposes')"),),
    ),
    "gdpr.place_hold": Race(
        PRIVACY, "SELECT gdpr.place_hold(%(user)s, 'ratings', 'a claim')",
        "SELECT count(*) FROM gdpr.holds WHERE user_id = %(user)s AND released_at IS NULL", each,
    ),
    "gdpr.release_hold": Race(
        PRIVACY, "SELECT gdpr.release_hold(%(user)s, %(made)s)",
        "SELECT count(*) FROM gdpr.holds WHERE hold_id = %(made)s AND released_at IS NOT NULL", one_wins,
        ((PRIVACY, "SELECT gdpr.place_hold(%(user)s, 'ratings', 'a claim')"),),
    ),
    "gdpr.change_setting": Race(
        PRIVACY, "SELECT gdpr.change_setting('controller', 'n' || %(i)s, 'n' || %(i)s)",
        "SELECT count(*) FROM gdpr.settings WHERE name = 'controller' AND value = reason", once,
        is_about_everybody=True,
    ),
    "gdpr.replay_erasures": Race(
        PRIVACY, "SELECT count(*) FROM gdpr.replay_erasures(%(made)s::jsonb)", "SELECT count(*) FROM gdpr.erasures",
        unchanged, ((PRIVACY, "SELECT gdpr.export_erasure_ledger()::text"),), is_about_everybody=True,
    ),
    # Upkeep ---------------------------------------------------------------------------------------------------------
    "gdpr.warn_inactive": Race(
        WORKER, "SELECT gdpr.warn_inactive(100, now() + interval '9 years')",
        "SELECT count(*) FROM gdpr.inactivity_warnings", lambda end: end.after == sum(end.returned) >= 1,
        as_service(
            "DELETE FROM gdpr.inactivity_warnings",
            "UPDATE gdpr.holds SET released_at = now() WHERE released_at IS NULL",
        ),
        is_about_everybody=True,
    ),
    "ops.make_next_partition": Race(
        WORKER, "SELECT ops.make_next_partition('pulsex', 'briefings', 24)",
        "SELECT count(*) FROM pg_inherits WHERE inhparent = 'pulsex.briefings'::regclass",
        lambda end: end.after == end.before + len([made for made in end.returned if made]), is_about_everybody=True,
    ),
    "ops.refresh_time_zones": Race(
        WORKER, "SELECT ops.refresh_time_zones()",
        "SELECT 1 - count(*) FROM pulsex.time_zones WHERE name = 'Etc/GMT+9'", none_left,
        as_service("DELETE FROM pulsex.time_zones WHERE name = 'Etc/GMT+9'"), is_about_everybody=True,
    ),
    "ops.record_maintenance": Race(
        WORKER, "SELECT ops.record_maintenance(%(run)s, CASE %(i)s %% 2 WHEN 0 THEN 'failed' END)",
        "SELECT count(*) FROM ops.maintenance_tasks WHERE task = %(run)s AND succeeded_at IS NOT NULL", once,
        is_about_everybody=True,
    ),
    "gdpr.apply_retention": Race(
        WORKER, "SELECT gdpr.apply_retention()",
        "SELECT count(*) FROM auth.one_time_tokens WHERE expires_at < now() - interval '30 days'", none_left,
        as_service(
            "DELETE FROM auth.one_time_tokens WHERE user_id = %(user)s",
            """INSERT INTO auth.one_time_tokens (user_id, purpose, token_hash, created_at, expires_at) VALUES (%(user)s,
            'verify_email', sha256(%(run)s::bytea), now() - interval '50 days', now() - interval '40 days')""",
        ),
        is_about_everybody=True,
    ),
    "audit.seal": Race(
        WORKER, "SELECT audit.seal()", """SELECT (SELECT count(*) FROM audit.verify())
            + (SELECT count(*) FROM audit.unsealed_events)""", gone, is_about_everybody=True,
    ),
}  # fmt: skip

# What the officer reads, and a person exports, is logged: that event is all that is written, and each counts.
LOOKS = {
    "gdpr.export_user_data": (APP, "export", "(%(user)s)"),
    "gdpr.export_user_data_rows": (APP, "export", "(%(user)s)"),
    "gdpr.consent_history": (PRIVACY, "read", "(%(user)s)"),
    "gdpr.count_user_data": (PRIVACY, "read", "(%(user)s)"),
    "gdpr.find_personal_data": (PRIVACY, "read", "(%(user)s)"),
    "audit.trail": (PRIVACY, "read", "(%(user)s)"),
    "gdpr.list_open_requests": (PRIVACY, "read", "()"),
}
RACES |= {
    name: Race(
        role, f"SELECT count(*) FROM {name}{arguments}", AUDITED.format(action),
        each, as_service(REQUEST) if "requests" in name else (), is_about_everybody=arguments == "()",
    )
    for name, (role, action, arguments) in LOOKS.items()
}  # fmt: skip
