"""Events that are no row's change: logins that failed, sessions that were ended, and who read of whom."""

from __future__ import annotations

from uuid import UUID

import pytest

from tests.cast import PASSWORD_HASH

NOBODY = UUID(int=0)
ROTATE = "SELECT auth.rotate_session(%s)"


@pytest.fixture
def said(since):
    """Return a function that tells the events since the test began that are no row's change: whose, action, details."""
    return lambda: [(whose, action, payload) for whose, table, action, payload in since() if table is None]


def test_a_failed_login_is_recorded(dba, said, published):
    """Whose it was, and the how many-th in a row."""
    dba.rows("SELECT auth.record_login(%s, false)", published.user_id)
    assert said() == [(published.user_id, "login_failed", {"user_id": str(published.user_id), "failed_attempts": 1})]


def test_a_failed_login_of_nobody_is_nobodys(dba, said):
    """A decoy's id, which is a digest of what was tried, is not in the log."""
    decoy = dba.value("SELECT user_id FROM auth.login_credential('nobody@example.com')")
    dba.rows("SELECT auth.record_login(%s, false)", decoy)
    assert said() == [(NOBODY, "login_failed", {"user_id": str(NOBODY), "failed_attempts": 1})]


def test_a_failed_login_writes_as_much_for_a_decoy_as_for_a_person(dba, since, published):
    """One event each, so that the time it takes tells nothing."""
    for user_id in (published.user_id, dba.value("SELECT user_id FROM auth.login_credential('nobody@example.com')")):
        before = len(since())
        dba.rows("SELECT auth.record_login(%s, false)", user_id)
        assert len(since()) == before + 1


def test_a_successful_login_is_no_event(dba, since, published):
    """The session that it starts is."""
    dba.rows("SELECT auth.record_login(%s, true)", published.user_id)
    assert since() == []
    dba.rows("SELECT auth.start_session(%s)", published.user_id)
    assert [(table, action) for _, table, action, _ in since()] == [("auth.sessions", "insert")]


def end_session(dba, person) -> None:
    """Sign out."""
    dba.rows("SELECT auth.end_session(%s)", person.token)


def end_all_sessions(dba, person) -> None:
    """Sign out everywhere."""
    dba.rows("SELECT auth.use_session(%s)", person.token)
    dba.rows("SELECT auth.end_all_sessions(%s)", person.user_id)


def reset_password(dba, person) -> None:
    """Set a new password."""
    token = dba.value("SELECT auth.issue_one_time_token(%s, 'reset_password')", person.user_id)
    dba.results_eq("SELECT auth.reset_password(%s, %s, %s)", [(True,)], person.user_id, token, PASSWORD_HASH)


def reuse(dba, person) -> None:
    """Rotate a token whose grace is over."""
    dba.rows(ROTATE, person.token)
    dba.rows("UPDATE auth.sessions SET revoked_at = now() - interval '1 second' WHERE revoked_at IS NOT NULL")
    dba.results_eq(ROTATE, [(None,)], person.token)


@pytest.mark.parametrize("ending", [end_session, end_all_sessions, reset_password, reuse])
def test_sessions_that_are_ended_are_recorded(ending, dba, said, published):
    """How many, of which family where it was one; and each session's row besides."""
    ending(dba, published)
    [(whose, _, details)] = [event for event in said() if event[1] == "revoke_sessions"]
    assert (whose, details["sessions"]) == (published.user_id, 1)
    assert (details["family_id"] is None) == (ending in (end_all_sessions, reset_password))


def test_a_token_that_is_used_again_is_recorded_by_itself(dba, said, published):
    """That a token was in the wrong hands is worth an event of its own."""
    reuse(dba, published)
    assert [action for _, action, _ in said()] == ["token_reused", "revoke_sessions"]


def test_ending_what_is_ended_is_no_event(dba, said, published):
    """Again changes nothing, and says nothing."""
    end_session(dba, published)
    before = said()
    end_session(dba, published)
    assert said() == before


def test_the_trail_is_what_happened_the_newest_first(privacy, published):
    """All of Alice's, and nobody else's, by the officer."""
    rows = privacy.rows("SELECT occurred_at, table_name, payload ->> 'user_id' FROM audit.trail(%s)", published.user_id)
    assert len(rows) >= 12
    assert {whose for _, _, whose in rows} == {str(published.user_id)}
    assert [when for when, *_ in rows] == sorted((when for when, *_ in rows), reverse=True)


def test_a_page_of_the_trail_ends_where_the_next_begins(privacy, published):
    """p_to excludes, p_from includes."""
    page = "SELECT occurred_at FROM audit.trail(%s, p_to => %s, p_limit => 2)"
    _, (last,) = privacy.rows(page, published.user_id, "infinity")
    next_page = privacy.rows(page, published.user_id, last)
    assert all(when < last for (when,) in next_page)
    [(first,), *_] = privacy.rows(
        "SELECT occurred_at FROM audit.trail(%s, p_from => %s) ORDER BY 1 LIMIT 1", published.user_id, last
    )
    assert first == last


def test_reading_the_trail_is_recorded(privacy, published):
    """Who read, what, and how many events, in the trail itself."""
    privacy.rows("SELECT * FROM audit.trail(%s, p_limit => 3)", published.user_id)
    [(role, action, payload)] = privacy.rows(
        "SELECT role_name, action, payload FROM audit.trail(%s, p_limit => 1)", published.user_id
    )
    assert (role, action, payload["events"]) == ("pulsex_privacy", "read", 3)


@pytest.mark.parametrize("limit", [None, 0, 10001])
def test_a_page_of_the_trail_is_of_1_to_10000_events(limit, privacy, published):
    """Else PT422."""
    privacy.throws_ok("SELECT * FROM audit.trail(%s, p_limit => %s)", "PT422", published.user_id, limit)


def test_the_trail_is_somebodys(privacy):
    """PT422 without a person."""
    privacy.throws_ok("SELECT * FROM audit.trail(NULL)", "PT422")


@pytest.mark.parametrize("action", ["", "Read", "two words", "a" * 61])
def test_an_action_is_a_name(action, service):
    """23514: what is no name is no action."""
    service.throws_ok("SELECT audit.record(%s, NULL)", "23514", action, constraint="action_check")
