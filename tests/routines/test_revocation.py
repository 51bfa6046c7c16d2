"""Ending sessions while one of them is being rotated: whoever keeps rotating doesn't outlive it."""

import threading

import pytest

from tests.cast import PASSWORD_HASH
from tests.harness import Database

ROTATE = "SELECT auth.rotate_session(%s)"


def end_all(database: Database, old: str) -> None:
    """Sign out everywhere, as Alice."""
    alice = database.actor("alice", "pulsex_app", database.cast["alice"])
    alice.rows("SELECT auth.end_all_sessions(%s)", alice.user_id)


def reset_password(database: Database, old: str) -> None:
    """Set a new password with a one-time token."""
    sign_in = database.actor("sign_in", "pulsex_auth")
    user_id = database.cast["alice"].user_id
    token = sign_in.value("SELECT auth.issue_one_time_token(%s, 'reset_password')", user_id)
    sign_in.rows("SELECT auth.reset_password(%s, %s, %s)", user_id, token, PASSWORD_HASH)


def end_session(database: Database, old: str) -> None:
    """Sign out with the token from before the rotation."""
    database.actor("stranger", "pulsex_app").rows("SELECT auth.end_session(%s)", old)


def reuse(database: Database, old: str) -> None:
    """Rotate a token whose grace is over."""
    database.actor("stranger", "pulsex_app").rows(ROTATE, old)


@pytest.mark.commits
@pytest.mark.parametrize("ending", [end_all, reset_password, end_session, reuse])
def test_a_rotation_under_way_does_not_outlive_the_end(database, dba, ending):
    """The token that a concurrent rotation makes is as dead as the others once the end is committed."""
    first = database.cast["alice"].token
    thief = database.actor("thief", "pulsex_app")
    second = thief.value(ROTATE, first)
    if ending is reuse:
        dba.rows("UPDATE auth.sessions SET revoked_at = now() - interval '1 second' WHERE revoked_at IS NOT NULL")
    elif ending is end_all:
        dba.rows("UPDATE auth.sessions SET revoked_at = NULL")
    thief.connection.execute("BEGIN")
    third = thief.connection.execute(ROTATE, [second]).fetchone()[0]
    end = threading.Thread(target=ending, args=(database, first))
    end.start()
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    while end.is_alive() and not dba.value(waiting):
        pass
    thief.connection.execute("COMMIT")
    end.join()
    thief.throws_ok("SELECT auth.use_session(%s)", "PT401", third)
