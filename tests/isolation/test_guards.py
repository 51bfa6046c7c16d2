"""The guards inside the routines: each condition is cut out, and what it stood against succeeds."""

import psycopg
import pytest

from tests.actors import Actor
from tests.harness import Database

USE = "SELECT auth.use_session(%s)"
WHO = "SELECT auth.current_user_id()"
NOTHING = "''::bytea"
TIME = {"timestamptz_send(now())": NOTHING}
PROCESS = {"int4send(pg_backend_pid())": NOTHING}

# Of the row that auth.use_session() looks for: what it must be, and a change to Alice's that makes it something else.
CONDITIONS = {
    "it hasn't expired": ("s.expires_at > now()", "created_at = now() - interval '2 days', expires_at = now()"),
    "it isn't revoked": ("(s.revoked_at IS NULL OR s.revoked_at > now())", "revoked_at = now()"),
    "it has this secret": ("s.token_hash = sha256(convert_to(token, 'UTF8'))", "token_hash = sha256('another')"),
}


def cut(dba: Actor, function: str, replacements: dict[str, str]) -> None:
    """Replace parts of a function's text, each of which must be there."""
    text = dba.value("SELECT pg_get_functiondef(%s::regproc)", function)
    for old, new in replacements.items():
        assert old in text
        text = text.replace(old, new)
    dba.rows(text)


def keep(connection: psycopg.Connection, context: str) -> None:
    """Put a context where every transaction of the connection finds it."""
    connection.execute("SELECT set_config('pulsex.context', %s, false)", [context])


@pytest.fixture
def context(stranger: Actor, dba: Actor, database: Database):
    """Give Alice's context of a transaction that has ended, made with a part of what is signed cut out."""

    def sign(replacements: dict[str, str]) -> str:
        for function in ("auth.current_user_id", "auth.use_session"):
            cut(dba, function, replacements)
        with stranger.connection.transaction():
            stranger.rows(USE, database.cast["alice"].token)
            return stranger.value("SELECT current_setting('pulsex.context')")

    return sign


@pytest.mark.parametrize(("condition", "change"), CONDITIONS.values(), ids=CONDITIONS)
def test_a_condition_on_the_session_refuses_something(condition, change, dba, database: Database):
    """Without it, a token that must be refused is taken."""
    alice = database.cast["alice"]
    dba.rows(f"UPDATE auth.sessions SET {change} WHERE user_id = %s", alice.user_id)
    dba.throws_ok(USE, "PT401", alice.token)
    cut(dba, "auth.use_session", {condition: "true"})
    dba.results_eq(USE, [(alice.user_id,)], alice.token)


def test_the_comparison_refuses_a_forgery(dba, database: Database):
    """If a wrong signature were no reason to say no, any would do."""
    alice = database.cast["alice"]
    dba.rows("SELECT set_config('pulsex.context', %s, true)", f"{alice.user_id}.{'0' * 64}")
    dba.results_eq(WHO, [(None,)])
    known = "    RETURN convert_from(substring(v_context, 1, 36), 'UTF8')::uuid;\nEND\n"
    cut(dba, "auth.current_user_id", {"    RETURN NULL;\nEND\n": known})
    dba.results_eq(WHO, [(alice.user_id,)])


@pytest.mark.commits
@pytest.mark.parametrize(("unsigned", "lives"), [(PROCESS, False), (TIME, True)], ids=["with time", "without"])
def test_the_time_refuses_the_next_transaction(unsigned, lives, context, stranger, published):
    """If the start of the transaction weren't signed, a context that is kept would outlive it."""
    keep(stranger.connection, context(unsigned))
    stranger.results_eq(WHO, [(published.user_id if lives else None,)])


@pytest.mark.commits
@pytest.mark.parametrize(
    ("unsigned", "lives"), [(TIME, False), (TIME | PROCESS, True)], ids=["with process", "without"]
)
def test_the_process_refuses_another_connection(unsigned, lives, context, database: Database, published):
    """If the process weren't signed, a context would be good on another connection that began at the same time."""
    other = database.actor("another stranger", "pulsex_app")
    keep(other.connection, context(unsigned))
    other.results_eq(WHO, [(published.user_id if lives else None,)])


@pytest.mark.commits
def test_the_previous_key_carries_a_transaction_over_a_rotation(stranger, dba, published):
    """If only the latest key were honoured, whoever is at work while it rotates would be nobody."""
    cut(dba, "auth.current_user_id", {"k.previous_outer_pad": "k.outer_pad"})
    with stranger.connection.transaction():
        stranger.rows(USE, published.token)
        dba.rows("SELECT auth.rotate_signing_key()")
        stranger.results_eq(WHO, [(None,)])


@pytest.mark.commits
def test_the_check_in_a_routine_refuses_somebody_elses_id(alice, bob, dba):
    """If auth.end_all_sessions() didn't compare, Alice would sign Bob out."""
    end = "SELECT auth.end_all_sessions(%s)"
    alice.throws_ok(end, "PT403", bob.user_id)
    cut(dba, "auth.end_all_sessions", {"p_user_id IS DISTINCT FROM auth.current_user_id()": "false"})
    alice.lives_ok(end, bob.user_id)
    dba.throws_ok(USE, "PT401", bob.token)
