"""Whoever gets a server connection next is nobody, however the one before left it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import date
from pathlib import Path

import psycopg
import pytest
from psycopg import errors

from tests.actors import Actor
from tests.cast import Person
from tests.pooler.crowd import KEEP_CONTEXT, PROVE, RATE, kill
from tests.pooler.pooler import Pooler, version

pytestmark = pytest.mark.commits

WHO = "SELECT pg_backend_pid(), auth.current_user_id(), (SELECT count(*) FROM pulsex.briefings)"


def _sees(client: psycopg.Connection) -> tuple[int, object, int]:
    return client.execute(WHO).fetchone()


def _acts(client: psycopg.Connection, person: Person) -> int:
    """Begin the person's transaction, in which they see and write; return the server connection it is on."""
    client.execute("BEGIN")
    client.execute(PROVE, [person.token])
    client.execute(RATE, [person.user_id, person.briefing_date, 1, "half done"])
    pid, user_id, briefings = _sees(client)
    assert (user_id, briefings) == (person.user_id, 1)
    return pid


def _commit(client: psycopg.Connection) -> None:
    client.execute("COMMIT")


def _roll_back(client: psycopg.Connection) -> None:
    client.execute("ROLLBACK")


def _fail(client: psycopg.Connection) -> None:
    with pytest.raises(errors.DivisionByZero):
        client.execute("SELECT 1 / 0")
    client.execute("ROLLBACK")


def _time_out(client: psycopg.Connection) -> None:
    client.execute("SET LOCAL statement_timeout = '5ms'")
    with pytest.raises(errors.QueryCanceled):
        client.execute("SELECT pg_sleep(10)")
    client.execute("ROLLBACK")


def _cancel(client: psycopg.Connection) -> None:
    done = threading.Event()

    def ask_to_stop() -> None:
        while not done.wait(0.01):
            client.cancel_safe()

    asking = threading.Thread(target=ask_to_stop)
    asking.start()
    try:
        with pytest.raises(errors.QueryCanceled):
            client.execute("SELECT pg_sleep(10)")
    finally:
        done.set()
        asking.join()
    client.execute("ROLLBACK")


def _commit_and_chain(client: psycopg.Connection) -> None:
    client.execute("COMMIT AND CHAIN")
    client.execute("COMMIT")


def _keep_context(client: psycopg.Connection) -> None:
    client.execute(KEEP_CONTEXT)
    client.execute("COMMIT")


@pytest.mark.parametrize("leave", [_commit, _roll_back, _fail, _time_out, _cancel, _commit_and_chain, _keep_context])
def test_the_next_client_on_the_server_connection_is_nobody(
    narrow_pooler: Pooler, published: Person, leave: Callable[[psycopg.Connection], None]
):
    """Alice's transaction ends, and on the very same server connection the next client is nobody and sees nothing."""
    with narrow_pooler.connect() as first, narrow_pooler.connect() as second:
        pid = _acts(first, published)
        leave(first)
        assert _sees(second) == (pid, None, 0)


def test_a_session_left_on_the_server_connection_is_not_the_next_persons(
    narrow_pooler: Pooler, alice: Actor, bob: Actor
):
    """After Alice copied her context to session level, Bob on the same server connection is Bob."""
    with narrow_pooler.connect() as first, narrow_pooler.connect() as second:
        first.execute("BEGIN")
        first.execute(PROVE, [alice.token])
        first.execute(KEEP_CONTEXT)
        first.execute("COMMIT")
        second.execute("BEGIN")
        second.execute(PROVE, [bob.token])
        assert second.execute("SELECT user_id FROM pulsex.briefings").fetchall() == [(bob.user_id,)]


def _disconnect(client: psycopg.Connection, _: int, __: Actor) -> None:
    client.close()


def _die(client: psycopg.Connection, _: int, __: Actor) -> None:
    kill(client)


def _die_asking(client: psycopg.Connection, _: int, __: Actor) -> None:
    client.pgconn.send_query(b"SELECT pg_sleep(0.05)")
    kill(client)


def _lose_server(_: psycopg.Connection, pid: int, dba: Actor) -> None:
    dba.rows("SELECT pg_terminate_backend(%s, 5000)", pid)


@pytest.mark.parametrize("lose", [_disconnect, _die, _die_asking, _lose_server])
def test_a_lost_client_leaves_neither_its_name_nor_half_a_transaction(
    narrow_pooler: Pooler, published: Person, alice: Actor, dba: Actor, lose: Callable[..., None]
):
    """Alice's connection is lost in mid-transaction: the next client is nobody, and what she had begun never was."""
    with narrow_pooler.connect() as first, narrow_pooler.connect() as second:
        pid = _acts(first, published)
        lose(first, pid, dba)
        first.close()
        assert _sees(second)[1:] == (None, 0)
        alice.results_eq("SELECT rating, comment FROM pulsex.briefing_feedback", [(4, None)])


def _context(alice: Actor) -> str:
    """Return Alice's signed context, as somebody would have stolen it."""
    with alice.connection.transaction():
        alice.connection.execute(PROVE, [alice.token])
        [context] = alice.connection.execute("SELECT current_setting('pulsex.context')").fetchone()
    return context


def test_the_pooler_refuses_a_context_among_the_startup_options(pooler: Pooler, alice: Actor):
    """A client can't hand a server connection a setting that is nobody's business as it connects."""
    with pytest.raises(psycopg.OperationalError):
        pooler.connect(options=f"-c pulsex.context={_context(alice)}")


def test_a_context_among_ignored_startup_options_is_ignored(start_pooler: Callable[..., Pooler], alice: Actor):
    """Where the pooler is told to let options pass, as for some drivers it must be, they prove nothing."""
    pooler = start_pooler(ignore_startup_parameters="options")
    with pooler.connect(options=f"-c pulsex.context={_context(alice)}") as client:
        assert _sees(client)[1:] == (None, 0)


def test_a_plan_prepared_in_alices_name_runs_in_bobs(narrow_pooler: Pooler, alice: Actor, bob: Actor):
    """A generic plan that Alice leaves on the server connection shows Bob his rows, and nobody none."""
    with narrow_pooler.connect() as client:
        client.execute("SET plan_cache_mode = force_generic_plan")
        client.execute("BEGIN")
        client.execute(PROVE, [alice.token])
        client.execute("PREPARE mine AS SELECT user_id FROM pulsex.briefings")
        assert client.execute("EXECUTE mine").fetchall() == [(alice.user_id,)]
        client.execute("COMMIT")
    with narrow_pooler.connect() as client:
        assert client.execute("EXECUTE mine").fetchall() == []
        client.execute("BEGIN")
        client.execute(PROVE, [bob.token])
        assert client.execute("EXECUTE mine").fetchall() == [(bob.user_id,)]


def test_statements_prepared_by_protocol_never_answer_in_anothers_name(
    pgbouncer: Path, start_pooler: Callable[..., Pooler], alice: Actor, bob: Actor
):
    """From PgBouncer 1.21 on two clients' prepared statements are kept apart; before, the second is refused."""
    keeps_apart = version(pgbouncer) >= (1, 21)
    pooler = start_pooler(default_pool_size=1, **({"max_prepared_statements": 10} if keeps_apart else {}))
    mine = "SELECT user_id FROM pulsex.briefings WHERE briefing_date > %s"
    long_ago = date(2000, 1, 1)
    with pooler.connect() as first, pooler.connect() as second:
        first.prepare_threshold = second.prepare_threshold = 5
        for client, person in ((first, alice), (second, bob), (first, alice)):
            client.execute("BEGIN")
            client.execute(PROVE, [person.token])
            if client is second and not keeps_apart:
                with pytest.raises(errors.DuplicatePreparedStatement):
                    client.execute(mine, [long_ago], prepare=True)
            else:
                assert client.execute(mine, [long_ago], prepare=True).fetchall() == [(person.user_id,)]
            client.execute("COMMIT")


def _hold_and_fetch(pooler: Pooler, alice: Actor) -> list[tuple]:
    """Let Alice leave a cursor WITH HOLD; return what the next client fetches from it."""
    with pooler.connect() as first, pooler.connect() as second:
        first.execute("BEGIN")
        first.execute(PROVE, [alice.token])
        first.execute("DECLARE kept CURSOR WITH HOLD FOR SELECT user_id FROM pulsex.briefings")
        first.execute("COMMIT")
        return second.execute("FETCH ALL FROM kept").fetchall()


def test_only_a_reset_after_each_transaction_takes_a_held_cursor_away(
    start_pooler: Callable[..., Pooler], alice: Actor
):
    """What Alice herself copies out of her transaction no policy guards: the limit of what the database can promise."""
    assert _hold_and_fetch(start_pooler(default_pool_size=1), alice) == [(alice.user_id,)]
    with pytest.raises(errors.InvalidCursorName):
        _hold_and_fetch(start_pooler(default_pool_size=1, server_reset_query_always=1), alice)


def test_signing_in_and_serving_requests_never_share_a_server_connection(pooler: Pooler, published: Person):
    """Two roles are two pools: no connection of pulsex_auth is ever handed to pulsex_app, which couldn't use it."""
    role = "SELECT pg_backend_pid(), session_user::text"
    pids = {"pulsex_auth": set(), "pulsex_app": set()}
    with pooler.connect("pulsex_auth") as sign_in, pooler.connect("pulsex_app") as app:
        for client, name in [(sign_in, "pulsex_auth"), (app, "pulsex_app")] * 25:
            pid, user = client.execute(role).fetchone()
            assert user == name
            pids[name].add(pid)
        assert sign_in.execute("SELECT auth.start_session(%s)", [published.user_id]).fetchone()
        with pytest.raises(errors.InsufficientPrivilege):
            app.execute("SELECT auth.start_session(%s)", [published.user_id])
    assert pids["pulsex_auth"].isdisjoint(pids["pulsex_app"])
