"""Requests of Art. 15 to 21, and by when they are due: db/gdpr/requests.sql."""

from __future__ import annotations

from datetime import date

import pytest

OPEN = "SELECT gdpr.open_request(%s, %s)"
DUE = "SELECT gdpr.due_date(%s, %s)"
BY_LETTER = "SELECT gdpr.open_request(%s, 'access', 'a letter', %s)"
DUE_OF = "SELECT due_on, due_at::text FROM gdpr.open_requests WHERE request_id = %s"
EXTEND = "SELECT gdpr.extend_request(%s, %s, %s, %s)"
COMPLETE = "SELECT gdpr.complete_request(%s, %s, %s, %s)"
OVERDUE = "SELECT ok FROM ops.health WHERE name = 'requests overdue'"
NOBODY = "00000000-0000-0000-0000-000000000000"
KINDS = ["access", "rectification", "erasure", "restriction", "portability", "objection"]


@pytest.fixture
def request_id(privacy, published):
    """A request of Alice's, who lives in Lisbon, that came at noon on 31 January 2024, a leap year."""
    return privacy.value(BY_LETTER, published.user_id, "2024-01-31 12:00+00")


@pytest.mark.parametrize(
    ("received", "months", "due"),
    [
        (date(2026, 3, 5), 1, date(2026, 4, 5)),
        (date(2025, 1, 31), 1, date(2025, 2, 28)),
        (date(2024, 1, 31), 1, date(2024, 2, 29)),
        (date(2024, 1, 29), 1, date(2024, 2, 29)),
        (date(2025, 1, 29), 1, date(2025, 2, 28)),
        (date(2024, 2, 29), 1, date(2024, 3, 29)),
        (date(2025, 8, 31), 1, date(2025, 9, 30)),
        (date(2025, 12, 31), 1, date(2026, 1, 31)),
        (date(2025, 11, 30), 3, date(2026, 2, 28)),
        (date(2023, 11, 30), 3, date(2024, 2, 29)),
        (date(2024, 1, 31), 3, date(2024, 4, 30)),
    ],
)
def test_a_period_of_months_ends_on_the_same_date_or_the_last(service, received, months, due):
    """Regulation 1182/71, Art. 3(2)(c), leap days included; counted from receipt, not from a shortened month."""
    service.results_eq(DUE, [(due,)], received, months)


@pytest.mark.parametrize("kind", KINDS)
def test_a_person_opens_a_request_of_any_kind(alice, kind):
    """Each kind can be opened in one's own session."""
    alice.lives_ok(OPEN, alice.user_id, kind)


def test_the_officer_sees_what_a_person_asked(privacy, published):
    """The request that the cast's Alice opened in her session is on the list, with her words."""
    query = "SELECT kind, details, opened_by, is_overdue FROM gdpr.open_requests WHERE user_id = %s"
    privacy.results_eq(query, [("access", "Everything, please.", "person", False)], published.user_id)


@pytest.mark.parametrize(
    ("zone", "due_on", "due_at"),
    [
        ("Europe/Lisbon", date(2024, 2, 29), "2024-03-01 00:00:00+00"),
        ("Asia/Tokyo", date(2024, 3, 1), "2024-03-01 15:00:00+00"),
        ("America/New_York", date(2024, 2, 29), "2024-03-01 05:00:00+00"),
    ],
)
def test_the_calendar_is_the_persons(dba, zone, due_on, due_at):
    """23:30 UTC on 31 January is the 1st in Tokyo already; the last day ends at midnight where the person lives."""
    dba.rows("SET LOCAL timezone = 'UTC'")
    alice = dba.value("UPDATE pulsex.users SET time_zone = %s WHERE display_name = 'Alice' RETURNING user_id", zone)
    request_id = dba.value(BY_LETTER, alice, "2024-01-31 23:30+00")
    dba.results_eq(
        "SELECT due_on, due_at::text FROM gdpr.requests WHERE request_id = %s", [(due_on, due_at)], request_id
    )


def test_a_request_is_extended_by_two_months_from_receipt(privacy, published, request_id):
    """31 January and three months is 30 April, though the first month ended on the 29th."""
    privacy.results_eq(
        EXTEND, [(date(2024, 4, 30),)], published.user_id, request_id, "forty of them", "2024-02-29 23:59:59+00"
    )


def test_a_request_is_not_extended_once_it_is_due(privacy, published, request_id):
    """At the midnight that ends its last day it is too late: PT409."""
    privacy.throws_ok(EXTEND, "PT409", published.user_id, request_id, "forty of them", "2024-03-01 00:00+00")


def test_a_request_is_extended_once(privacy, published, request_id):
    """A second time raises PT409, though the extended time isn't over."""
    privacy.rows(EXTEND, published.user_id, request_id, "forty of them", "2024-02-10")
    privacy.throws_ok(EXTEND, "PT409", published.user_id, request_id, "and more", "2024-03-10")


def test_an_extension_has_a_reason(privacy, published, request_id):
    """Null raises PT422, an empty one 23514."""
    privacy.throws_ok(EXTEND, "PT422", published.user_id, request_id, None, "2024-02-10")
    privacy.throws_ok(
        EXTEND, "23514", published.user_id, request_id, "", "2024-02-10", constraint="requests_extension_check"
    )


def test_an_answered_request_is_open_no_more(privacy, published, request_id):
    """Completed, it leaves the list; completing or extending it again raises PT409."""
    privacy.lives_ok(COMPLETE, published.user_id, request_id, "fulfilled", None)
    privacy.is_empty(DUE_OF, request_id)
    privacy.throws_ok(COMPLETE, "PT409", published.user_id, request_id, "refused", "manifestly unfounded")
    privacy.throws_ok(EXTEND, "PT409", published.user_id, request_id, "late", "2024-02-10")


def test_an_answer_is_to_one_request(privacy, published, request_id):
    """The other that Alice has is open still."""
    privacy.rows(COMPLETE, published.user_id, request_id, "fulfilled", None)
    query = "SELECT details FROM gdpr.open_requests WHERE user_id = %s"
    privacy.results_eq(query, [("Everything, please.",)], published.user_id)


@pytest.mark.parametrize(
    ("outcome", "note", "sqlstate"),
    [("refused", None, "PT422"), ("partly_fulfilled", None, "PT422"), (None, "n", "PT422"), ("ignored", "n", "23514")],
)
def test_an_answer_says_what_was_done_or_why_not(privacy, published, request_id, outcome, note, sqlstate):
    """No outcome, an unknown one, or a refusal without reasons (Art. 12(4)) is none."""
    privacy.throws_ok(COMPLETE, sqlstate, published.user_id, request_id, outcome, note)


def test_a_request_is_found_under_its_person_alone(privacy, database, request_id):
    """Alice's request under Bob's id, and an id of none, raise PT404."""
    privacy.throws_ok(COMPLETE, "PT404", database.cast["bob"].user_id, request_id, "fulfilled", None)
    privacy.throws_ok(EXTEND, "PT404", database.cast["alice"].user_id, NOBODY, "r", "2024-02-10")


def test_what_is_overdue_shows_in_health(worker, privacy, published, service):
    """A request from 2024 makes the check fail; answered, it passes again."""
    service.results_eq("SELECT ops.overdue_requests('2024-03-01')", [(0,)])
    row = """INSERT INTO gdpr.requests (user_id, kind, opened_by, received_at, time_zone, due_on, due_at)
        VALUES (%s, 'access', 'officer', '2024-01-31', 'UTC', '2024-02-29', '2024-03-01')"""
    service.rows(row, published.user_id)
    service.results_eq("SELECT ops.overdue_requests('2024-02-29 23:59:59+00')", [(0,)])
    service.results_eq("SELECT ops.overdue_requests('2024-03-01 00:00+00')", [(1,)])


def test_what_is_completed_is_never_overdue(service):
    """Alice's and Bob's are, on the last of days, until they are answered."""
    service.results_eq("SELECT ops.overdue_requests('infinity')", [(2,)])
    service.rows("UPDATE gdpr.requests SET completed_at = received_at, outcome = 'fulfilled'")
    service.results_eq("SELECT ops.overdue_requests('infinity')", [(0,)])


def test_health_is_ok_while_nothing_is_overdue(worker):
    """The worker, who watches health, reads the check."""
    worker.results_eq(OVERDUE, [(True,)])


def test_the_officer_sees_what_is_due_first(privacy, published, request_id):
    """The list is by due date, and says what is overdue."""
    rows = privacy.rows("SELECT request_id, is_overdue FROM gdpr.open_requests")
    assert rows[0] == (request_id, True)
    assert len(rows) > 1


def test_nobody_asks_for_somebody_else(alice, bob, stranger):
    """Bob's request opened by Alice, or by nobody in particular, raises PT403."""
    alice.throws_ok(OPEN, "PT403", bob.user_id, "erasure")
    stranger.throws_ok(OPEN, "PT403", bob.user_id, "erasure")


def test_nobody_who_is_not_there_asks(privacy):
    """An unknown id raises PT404."""
    privacy.throws_ok(OPEN, "PT404", NOBODY, "access")


def test_a_request_asks_for_something_there_is(alice):
    """No kind raises PT422, an unknown one 23514."""
    alice.throws_ok(OPEN, "PT422", alice.user_id, None)
    alice.throws_ok(OPEN, "23514", alice.user_id, "money", constraint="requests_kind_check")


@pytest.mark.parametrize("at", ["now() - interval '1 second'", "now() + interval '1 second'", "'infinity'", "NULL"])
def test_a_person_asks_now(alice, at):
    """Any other time raises PT422: who backdated a request could make the officer late."""
    alice.throws_ok(f"SELECT gdpr.open_request(%s, 'access', NULL, {at})", "PT422", alice.user_id)


def test_the_officer_does_not_foresee_requests(privacy, published):
    """A time in the future raises PT422."""
    privacy.throws_ok(BY_LETTER, "PT422", published.user_id, "2999-01-01")


def test_a_person_has_ten_open_requests_at_most(alice):
    """The eleventh raises PT409; the cast's Alice has one."""
    alice.rows("SELECT gdpr.open_request(%s, 'access') FROM generate_series(2, 10)", alice.user_id)
    alice.throws_ok(OPEN, "PT409", alice.user_id, "access")


def test_answered_requests_leave_room_for_others(dba, published):
    """Once her ten are answered, Alice opens another."""
    dba.rows("SELECT auth.use_session(%s)", published.token)
    dba.rows("SELECT gdpr.open_request(%s, 'access') FROM generate_series(2, 10)", published.user_id)
    dba.rows("UPDATE gdpr.requests SET completed_at = received_at, outcome = 'fulfilled'")
    dba.lives_ok(OPEN, published.user_id, "access")
