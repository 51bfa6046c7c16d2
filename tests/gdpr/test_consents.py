"""Consent: db/gdpr/consents.sql."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

ANSWER = "SELECT gdpr.record_consent(%s, %s, %s, '2026-11')"
HAS = "SELECT gdpr.has_consent(%s, %s)"
WITHDRAWN = "SELECT gdpr.has_withdrawn(%s, %s)"
CURRENT = "SELECT purpose, is_granted FROM gdpr.current_consents WHERE user_id = %s ORDER BY purpose"
HISTORY = "SELECT is_granted, policy_version, recorded_by FROM gdpr.consent_history(%s) WHERE purpose = %s"
NOBODY = "00000000-0000-0000-0000-000000000000"


def forget(service, user_id) -> None:
    """As if the person had never been asked: past the trigger, as only a superuser could."""
    service.rows("RESET ROLE")
    service.rows("SET LOCAL session_replication_role = replica")
    service.rows("DELETE FROM gdpr.consents WHERE user_id = %s", user_id)
    service.rows("SET LOCAL session_replication_role = origin")
    service.rows("SET LOCAL ROLE pulsex_service")


def test_silence_is_not_consent(service, published):
    """Of who was never asked has_consent is false, where it is true of the cast's Alice."""
    service.results_eq(HAS, [(True,)], published.user_id, "analytics")
    forget(service, published.user_id)
    service.results_eq(HAS, [(False,)], published.user_id, "analytics")


def test_each_purpose_is_answered_for_itself(dba, published):
    """Alice's later no to advertising takes nothing from her yes to analytics."""
    dba.rows(ANSWER, published.user_id, "marketing", False)
    dba.results_eq(HAS, [(True,)], published.user_id, "analytics")
    dba.results_eq(HAS, [(False,)], published.user_id, "marketing")


def test_who_declines_one_purpose_has_withdrawn_no_other(dba, published):
    """Asked about advertising alone, Alice says no: of analytics there is no no of hers."""
    forget(dba, published.user_id)
    dba.rows("RESET ROLE")
    dba.rows(ANSWER, published.user_id, "marketing", False)
    dba.results_eq(WITHDRAWN, [(True,)], published.user_id, "marketing")
    dba.results_eq(WITHDRAWN, [(False,)], published.user_id, "analytics")


@pytest.mark.parametrize("purpose", ["analytics", "marketing"])
def test_withdrawing_is_the_same_call_as_giving(alice, purpose):
    """A person withdraws and gives again with one statement each (Art. 7(3))."""
    alice.lives_ok(ANSWER, alice.user_id, purpose, False)
    assert (purpose, False) in alice.rows(CURRENT, alice.user_id)
    alice.lives_ok(ANSWER, alice.user_id, purpose, True)
    assert (purpose, True) in alice.rows(CURRENT, alice.user_id)


@pytest.mark.commits
def test_a_withdrawal_holds_for_the_next_statement_of_anybody(alice, database):
    """Another transaction, under way, sees it as soon as it is committed."""
    other = database.actor("other", "postgres")
    with other.connection.transaction():
        other.connection.execute("SET LOCAL ROLE pulsex_service")
        assert other.connection.execute(HAS, [alice.user_id, "analytics"]).fetchone() == (True,)
        alice.rows(ANSWER, alice.user_id, "analytics", False)
        assert other.connection.execute(HAS, [alice.user_id, "analytics"]).fetchone() == (False,)


EVENTS = """SELECT pulsex.record_events(%s, jsonb_build_array(jsonb_build_object(
    'event_id', gen_random_uuid(), 'event_type', 'opened', 'occurred_at', now())))"""
TELL = "SELECT pulsex.enqueue_notification(%s, 'in_app', %s)"
STATE = "SELECT state, reason FROM pulsex.notifications WHERE notification_id = %s"
CLAIMED = "SELECT notification_id FROM pulsex.claim_notifications('w', 100, p_channel => 'in_app')"


def test_reading_is_recorded_while_consent_holds_and_no_longer(alice):
    """Withdrawn, the next batch raises PT403 and nothing is recorded; given again, it is."""
    count = "SELECT count(*) FROM pulsex.engagement_events"
    before = alice.value(count)
    alice.rows(ANSWER, alice.user_id, "analytics", False)
    alice.throws_ok(EVENTS, "PT403", alice.user_id)
    alice.results_eq(count, [(before,)])
    alice.rows(ANSWER, alice.user_id, "analytics", True)
    alice.lives_ok(EVENTS, alice.user_id)


def test_advertising_without_consent_is_stored_as_cancelled(dba, published):
    """What promotes is cancelled with the reason; what belongs to the service waits to be sent."""
    dba.rows(ANSWER, published.user_id, "marketing", False)
    offer, alert = (dba.value(TELL, published.user_id, kind) for kind in ("offer", "topic_alert"))
    dba.results_eq(STATE, [("cancelled", "no_consent")], offer)
    dba.results_eq(STATE, [("pending", None)], alert)


def test_a_withdrawal_reaches_what_is_queued(dba, published):
    """Enqueued with consent, it isn't handed out once that is withdrawn; the service's own is."""
    offer, alert = (dba.value(TELL, published.user_id, kind) for kind in ("offer", "topic_alert"))
    dba.results_eq(STATE, [("pending", None)], offer)
    dba.rows(ANSWER, published.user_id, "marketing", False)
    dba.results_eq(CLAIMED, [(alert,)])
    dba.results_eq(STATE, [("cancelled", "no_consent")], offer)


def test_the_history_keeps_every_answer(alice):
    """What was said stays, in its order, with the text that was read and who recorded it."""
    alice.rows("SELECT gdpr.record_consent(%s, 'marketing', false, '2027-01')", alice.user_id)
    assert alice.rows(HISTORY, alice.user_id, "marketing")[-2:] == [
        (True, "2026-01", "person"),
        (False, "2027-01", "person"),
    ]


def test_the_answers_to_each_purpose_are_counted_by_themselves(alice):
    """After one more to each, both are at the second, whichever was given last."""
    for purpose in ("analytics", "marketing"):
        alice.rows(ANSWER, alice.user_id, purpose, False)
    last = "SELECT purpose, max(revision) FROM gdpr.consent_history(%s) GROUP BY purpose ORDER BY purpose"
    alice.results_eq(last, [("analytics", 2), ("marketing", 2)], alice.user_id)


def test_the_officer_records_what_came_by_letter(privacy, published):
    """For somebody else's answer the history names the officer."""
    privacy.lives_ok(ANSWER, published.user_id, "marketing", False)
    assert privacy.rows(HISTORY, published.user_id, "marketing")[-1] == (False, "2026-11", "officer")


def test_nobody_answers_for_somebody_else(alice, bob, stranger):
    """Bob's consent raises PT403 to Alice and to nobody in particular."""
    alice.throws_ok(ANSWER, "PT403", bob.user_id, "analytics", False)
    stranger.throws_ok(ANSWER, "PT403", bob.user_id, "analytics", False)


def test_nobody_sees_what_somebody_else_answered(alice, bob):
    """The view and the history are about oneself; Bob's own look shows that there is something."""
    assert bob.rows(CURRENT, bob.user_id)
    alice.is_empty(CURRENT, bob.user_id)
    alice.throws_ok("SELECT * FROM gdpr.consent_history(%s)", "PT403", bob.user_id)


def test_the_officer_sees_everybodys(privacy, published, database):
    """current_consents has Alice's and Bob's rows for the officer."""
    people = {user_id for (user_id,) in privacy.rows("SELECT user_id FROM gdpr.current_consents")}
    assert {person.user_id for person in database.cast.values()} <= people


@pytest.mark.parametrize(("purpose", "granted"), [("telepathy", True), (None, True), ("analytics", None)])
def test_an_answer_is_a_yes_or_no_to_something_asked(alice, purpose, granted):
    """An unknown purpose, none, or no answer raises PT422."""
    alice.throws_ok(ANSWER, "PT422", alice.user_id, purpose, granted)


def test_an_answer_names_the_version_of_the_policy(alice):
    """Null raises PT422, an empty one 23514."""
    alice.throws_ok("SELECT gdpr.record_consent(%s, 'analytics', true, NULL)", "PT422", alice.user_id)
    constraint = "consents_policy_version_check"
    alice.throws_ok(
        "SELECT gdpr.record_consent(%s, 'analytics', true, '')", "23514", alice.user_id, constraint=constraint
    )


def test_nobody_who_is_not_there_consents(privacy):
    """An unknown id raises PT404."""
    privacy.throws_ok(ANSWER, "PT404", NOBODY, "analytics", True)


@pytest.mark.parametrize("role", ["pulsex_service", "postgres"])
@pytest.mark.parametrize("change", ["UPDATE gdpr.consents SET is_granted = true", "DELETE FROM gdpr.consents"])
def test_the_history_is_not_rewritten(dba, role, change):
    """Whoever sees the rows is refused, by privilege or by the trigger, a superuser too."""
    dba.rows(f"SET LOCAL ROLE {role}")
    sqlstate = "42501" if (role, change[:6]) == ("pulsex_service", "UPDATE") else "PT403"
    dba.throws_ok(change, sqlstate)


@pytest.mark.parametrize("role", ["pulsex_owner", "pulsex_service", "postgres"])
@pytest.mark.parametrize(
    "change", ["UPDATE gdpr.consents SET is_granted = NOT is_granted", "DELETE FROM gdpr.consents"]
)
def test_what_refuses_to_rewrite_the_history_is_its_trigger(dba, role, change):
    """PT403 for whoever has the privilege and sees the rows, given both; the same changes every row without it."""
    dba.rows("GRANT UPDATE ON gdpr.consents TO pulsex_service")
    dba.rows("CREATE POLICY worker_unrestricted ON gdpr.consents TO pulsex_owner USING (true)")
    dba.rows(f"SET LOCAL ROLE {role}")
    history = dba.value("SELECT count(*) FROM gdpr.consents")
    dba.throws_ok(change, "PT403")
    dba.rows("RESET ROLE")
    dba.rows("DROP TRIGGER consents_refuse_rewriting ON gdpr.consents")
    dba.rows(f"SET LOCAL ROLE {role}")
    assert len(dba.rows(f"{change} RETURNING user_id")) == history > 0


def test_an_erasure_takes_a_persons_own_history_alone(service, published, bob):
    """While Alice is being erased hers can be deleted, not changed, and Bob's is as closed as ever."""
    service.rows("SELECT audit.begin_erasure(%s)", published.user_id)
    service.throws_ok("DELETE FROM gdpr.consents WHERE user_id = %s", "PT403", bob.user_id)
    service.rows("RESET ROLE")
    service.throws_ok("UPDATE gdpr.consents SET is_granted = true WHERE user_id = %s", "PT403", published.user_id)
    service.lives_ok("DELETE FROM gdpr.consents WHERE user_id = %s", published.user_id)


@pytest.mark.parametrize("role", ["pulsex_owner", "postgres"])
def test_the_history_is_not_emptied(dba, role):
    """TRUNCATE, which row level security doesn't bind, raises PT403 to the owner too."""
    dba.rows(f"SET LOCAL ROLE {role}")
    dba.throws_ok("TRUNCATE gdpr.consents", "PT403")


@pytest.mark.commits
def test_two_answers_at_once_are_both_kept_in_order(alice, database):
    """The second waits for the first, and counts on from it."""
    other = database.actor("again", "pulsex_app", database.cast["alice"])
    with alice.connection.transaction():
        alice.connection.execute("SELECT auth.use_session(%s)", [alice.token])
        alice.connection.execute(ANSWER, [alice.user_id, "analytics", False])
        other.throws_ok("SET lock_timeout = '20ms'; " + ANSWER.replace("%s", "'{}'").format(
            alice.user_id, "analytics", True), "55P03")  # fmt: skip
    other.rows("RESET lock_timeout")
    other.rows(ANSWER, alice.user_id, "analytics", True)
    assert [row[0] for row in alice.rows(HISTORY, alice.user_id, "analytics")] == [True, False, True]


def test_what_is_asked_is_said_in_words(alice):
    """Each purpose has a label and a question that the application can show."""
    alice.results_eq("SELECT purpose FROM gdpr.consent_purposes ORDER BY purpose", [("analytics",), ("marketing",)])


@pytest.mark.commits
def test_what_waits_for_a_withdrawal_is_not_recorded(dba, alice, published):
    """The batch comes while Alice withdraws: it waits for her answer, and is refused."""
    batch = """SELECT pulsex.record_events(%s, jsonb_build_array(jsonb_build_object(
        'event_id', uuidv7(), 'event_type', 'opened', 'occurred_at', now())))"""
    with ThreadPoolExecutor(1) as pool:
        with dba.connection.transaction():
            dba.connection.execute("SET LOCAL ROLE pulsex_privacy")
            withdraw = "SELECT gdpr.record_consent(%s, 'analytics', false, '2026-01')"
            dba.connection.execute(withdraw, [published.user_id])
            sending = pool.submit(alice.rows, batch, published.user_id)
            while not dba.connection.execute("SELECT pid FROM pg_locks WHERE NOT granted").fetchall():
                assert not sending.done()
        with pytest.raises(psycopg.Error) as refused:
            sending.result()
    assert refused.value.sqlstate == "PT403"
