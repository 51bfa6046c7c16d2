"""Routines called by who may not, or with somebody else's id."""

import pytest

from tests.isolation import matrix
from tests.isolation.measure import OURS

# A call of every routine, with nulls for arguments: whoever may not call it is refused before it looks at them.
CALLS = f"""
    SELECT p.oid::regprocedure::text, format(
        '%%s %%I.%%I(%%s)', CASE p.prokind WHEN 'p' THEN 'CALL' ELSE 'SELECT' END, n.nspname, p.proname, (
            SELECT string_agg(format('NULL::%%s', a.type::regtype), ', ' ORDER BY a.place)
            FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY AS a (type, place)
        )
    )
    FROM pg_proc AS p INNER JOIN pg_namespace AS n ON n.oid = p.pronamespace
    WHERE n.oid IN {OURS} AND p.prokind IN ('f', 'p') AND (%s, format('%%I.%%I', n.nspname, p.proname)) NOT IN (
        SELECT * FROM unnest(%s::text[], %s::text[])
    )
"""
EMPTY = "no rows"
# Every routine that a person calls with an id: with Bob's, Alice finds nothing or is refused.
SOMEBODY_ELSES = {
    "gdpr.consent_history": ("SELECT gdpr.consent_history(%s)", "PT403"),
    "gdpr.open_request": ("SELECT gdpr.open_request(%s, 'access')", "PT403"),
    "gdpr.record_consent": ("SELECT gdpr.record_consent(%s, 'analytics', false, '2026-01')", "PT403"),
    "gdpr.export_user_data": ("SELECT gdpr.export_user_data(%s)", "PT403"),
    "gdpr.export_user_data_rows": ("SELECT gdpr.export_user_data_rows(%s)", "PT403"),
    "auth.end_all_sessions": ("SELECT auth.end_all_sessions(%s)", "PT403"),
    "pulsex.briefing_history": ("SELECT pulsex.briefing_history(%s)", EMPTY),
    "pulsex.engagement_summary": (
        "SELECT pulsex.engagement_summary(%s, current_date - 1, current_date + 1)",
        EMPTY,
    ),
    "pulsex.find_briefings": ("SELECT pulsex.find_briefings(%s, '{}')", "PT403"),
    "pulsex.search_briefings": ("SELECT pulsex.search_briefings(%s, 'comet')", "PT403"),
    "pulsex.mark_briefing_read": (
        "SELECT pulsex.mark_briefing_read(%s, (SELECT max(briefing_date) FROM pulsex.briefings))",
        "PT404",
    ),
    "pulsex.forget_device": (
        "SELECT pulsex.forget_device(%s, (SELECT device_id FROM pulsex.devices))",
        "PT403",
    ),
    "pulsex.mark_notifications_read": (
        """SELECT marked FROM pulsex.mark_notifications_read(
            %s, array(SELECT notification_id FROM pulsex.unread_notifications(auth.current_user_id()))
        ) AS marked WHERE marked > 0""",
        EMPTY,
    ),
    "pulsex.record_events": ("SELECT pulsex.record_events(%s, '[]')", "PT403"),
    "pulsex.register_device": ("SELECT pulsex.register_device(%s, 'web', 'another token')", "PT403"),
    "pulsex.unread_notifications": ("SELECT pulsex.unread_notifications(%s)", EMPTY),
    "pulsex.follow_topics": ("SELECT pulsex.follow_topics(%s, '{cities}')", "42501"),
    "pulsex.record_feedback": (
        "SELECT pulsex.record_feedback(%s, (SELECT max(briefing_date) FROM pulsex.briefings), 1::smallint)",
        "42501",
    ),
    "pulsex.todays_briefing": (
        """SELECT pulsex.todays_briefing(%s, p_at => (SELECT max(briefing_date) + time '12:00' FROM pulsex.briefings)
            AT TIME ZONE 'Europe/Lisbon')""",
        EMPTY,
    ),
    "pulsex.update_preferences": ("SELECT pulsex.update_preferences(%s, '{\"max_items\": 1}')", "PT404"),
}
FOR_A_PERSON = f"""
    SELECT format('%I.%I', n.nspname, p.proname)
    FROM pg_proc AS p INNER JOIN pg_namespace AS n ON n.oid = p.pronamespace
    WHERE n.oid IN {OURS} AND 'p_user_id' = ANY (p.proargnames)
        AND has_function_privilege('pulsex_app', p.oid, 'EXECUTE')
    ORDER BY 1
"""


@pytest.mark.parametrize("name", ["alice", "stranger", "sign_in", "worker", "privacy", "analyst"])
def test_every_routine_of_others_is_refused(name, request, dba):
    """Each role really calls each routine that isn't declared to be its, and is refused."""
    actor = request.getfixturevalue(name)
    roles, routines = zip(*sorted(matrix.callers()), strict=True)
    calls = dba.rows(CALLS, actor.connection.info.user, list(roles), list(routines))
    assert calls
    for _, call in calls:
        actor.throws_ok(call, "42501")


def test_every_routine_about_a_person_is_tried_with_somebody_elses_id(dba):
    """The declaration above has each routine with a p_user_id that the application may call."""
    dba.results_eq(FOR_A_PERSON, [(name,) for name in sorted(SOMEBODY_ELSES)])


@pytest.mark.parametrize("routine", SOMEBODY_ELSES)
def test_somebody_elses_id_is_of_no_use(routine, alice, bob):
    """With Bob's id Alice gets nothing done and nothing back."""
    call, ends = SOMEBODY_ELSES[routine]
    if ends == EMPTY:
        alice.is_empty(call, bob.user_id)
    else:
        alice.throws_ok(call, ends, bob.user_id)


@pytest.mark.parametrize("routine", SOMEBODY_ELSES)
def test_ones_own_id_is(routine, alice):
    """The same call with Alice's own id does what it is for: it was Bob's id that was refused."""
    call, ends = SOMEBODY_ELSES[routine]
    rows = alice.rows(call, alice.user_id)
    assert ends != EMPTY or rows


def test_no_routine_of_the_application_signs_anything(dba):
    """Only a rotation returns a secret to the application, a token of its own; there is no signature to be had."""
    dba.results_eq(
        f"""SELECT format('%I.%I', n.nspname, p.proname)
        FROM pg_proc AS p INNER JOIN pg_namespace AS n ON n.oid = p.pronamespace
        WHERE n.oid IN {OURS} AND has_function_privilege('pulsex_app', p.oid, 'EXECUTE')
            AND p.prorettype IN ('text'::regtype, 'bytea'::regtype)""",
        [("auth.rotate_session",)],
    )
