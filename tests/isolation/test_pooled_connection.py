"""Alice's transaction ended, Bob's begins on the same server connection: nothing that she left shows him her rows,
nor anything that he left shows her his.
"""

import psycopg
import pytest

from tests.actors import Actor
from tests.harness import Database

pytestmark = pytest.mark.commits

WHO = "SELECT user_id FROM pulsex.users"


@pytest.fixture
def connection(stranger: Actor):
    """A connection of the application, as a pool hands it from one person to the next."""
    return stranger.connection


@pytest.fixture
def cast(database: Database):
    """Alice and Bob."""
    return database.cast


def transaction(connection: psycopg.Connection, token: str | None, *statements: str) -> list:
    """Run statements as one transaction, in a session if there is a token; return the last one's rows."""
    with connection.transaction():
        if token:
            connection.execute("SELECT auth.use_session(%s)", [token])
        for statement in statements:
            cursor = connection.execute(statement, prepare=False)
        return cursor.fetchall() if cursor.description else []


@pytest.mark.parametrize("plan", ["auto", "force_generic_plan", "force_custom_plan"])
def test_a_prepared_statement_asks_again_who_is_asking(plan, connection, cast):
    """A statement that Alice prepared and ran shows Bob himself, and nobody to a stranger: plans cache no answer."""
    transaction(connection, None, f"SET plan_cache_mode = {plan}")
    run = "EXECUTE who"
    assert transaction(connection, cast["alice"].token, f"PREPARE who AS {WHO}", run) == [(cast["alice"].user_id,)]
    assert transaction(connection, cast["bob"].token, run) == [(cast["bob"].user_id,)]
    assert transaction(connection, None, run) == []


def test_two_sessions_in_one_transaction_are_the_later_one(connection, cast):
    """The second proof replaces the first, in a cached plan too."""
    again = f"SELECT auth.use_session('{cast['bob'].token}')"
    assert transaction(
        connection, cast["alice"].token, f"PREPARE who AS {WHO}", "EXECUTE who", again, "EXECUTE who"
    ) == [(cast["bob"].user_id,)]


def test_a_cursor_ends_with_its_transaction(connection, cast):
    """A cursor that Alice opened is gone before Bob comes."""
    transaction(connection, cast["alice"].token, f"DECLARE mine CURSOR FOR {WHO}")
    with pytest.raises(psycopg.errors.InvalidCursorName):
        transaction(connection, cast["bob"].token, "FETCH mine")


def test_a_held_cursor_never_looks_again(connection, cast):
    """A trap that a stranger leaves, WITH HOLD, was filled when it was set: it has nothing of Bob's to show."""
    transaction(connection, None, f"DECLARE trap CURSOR WITH HOLD FOR {WHO}")
    assert transaction(connection, cast["bob"].token, "FETCH ALL FROM trap") == []


def test_a_held_cursor_goes_when_the_pool_resets_the_connection(connection, cast):
    """What Alice holds herself stays until DISCARD ALL, which a pool runs when it takes a connection back."""
    transaction(connection, cast["alice"].token, f"DECLARE mine CURSOR WITH HOLD FOR {WHO}")
    connection.execute("DISCARD ALL")
    with pytest.raises(psycopg.errors.InvalidCursorName):
        transaction(connection, None, "FETCH mine")


@pytest.mark.parametrize("left", ["SET search_path = public", "SET pulsex.context = 'x'"])
def test_settings_left_behind_show_nobody(left, connection):
    """Whatever was set for the connection, the next to come is nobody."""
    transaction(connection, None, left)
    assert transaction(connection, None, WHO) == []


def test_row_security_left_off_refuses(connection, cast):
    """With row_security left off the next to come gets an error for an answer, with a session or without."""
    transaction(connection, None, "SET row_security = off")
    for token in (None, cast["bob"].token):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            transaction(connection, token, WHO)


def test_a_proof_undone_proves_nothing(connection, cast):
    """Rolled back to before it proved her session, the transaction isn't Alice's any more."""
    back = ["SAVEPOINT before", f"SELECT auth.use_session('{cast['alice'].token}')", "ROLLBACK TO before", WHO]
    assert transaction(connection, None, *back) == []
    assert transaction(connection, None, *back[:2], WHO) == [(cast["alice"].user_id,)]
