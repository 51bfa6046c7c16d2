"""More clients than there are connections: a clear error or a place in the queue, and nothing left behind."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from tests.harness import until
from tests.pooler.crowd import PROVE
from tests.pooler.pooler import Pooler

pytestmark = pytest.mark.commits
PATIENCE = 20  # seconds
WHO = "SELECT auth.current_user_id()"
BACKENDS = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'pulsex_app'"


def answer(conninfo: str) -> str:
    """Return the SQLSTATE that a client is refused with before it is connected, which libpq doesn't tell, or ''."""
    target = psycopg.conninfo.conninfo_to_dict(conninfo)
    startup = f"user\0{target['user']}\0database\0{target['dbname']}\0\0".encode()
    with socket.create_connection((target["host"], target["port"])) as line, line.makefile("rb") as said:
        line.sendall(struct.pack("!ii", len(startup) + 8, 3 << 16) + startup)
        kind = b""
        while kind not in {b"E", b"Z"}:  # refused, or ready for a query
            kind, length = struct.unpack("!ci", said.read(5))
            fields = said.read(length - 4).decode(errors="replace").split("\0")
    return next(field[1:] for field in fields if field[:1] == "C") if kind == b"E" else ""


def test_a_full_server_says_so_and_keeps_a_place_for_the_superuser(database, dba, figures):
    """The next client is told 53300 (too_many_connections); when the others leave, nothing of them stays."""
    conninfo = psycopg.conninfo.make_conninfo(database.url, user="pulsex_app")
    before = dba.value(BACKENDS)
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(psycopg.OperationalError):
            while True:
                stack.enter_context(psycopg.connect(conninfo))
                figures["connections until the server was full"] += 1
        assert answer(conninfo) == "53300"
        with psycopg.connect(database.url) as superuser:
            superuser.execute("SELECT")
    until(lambda: dba.value(BACKENDS) == before)
    assert answer(conninfo) == ""


@contextlib.contextmanager
def held(pooler: Pooler, token: str, count: int) -> Iterator[None]:
    """Hold so many of the pooler's server connections, each in a transaction."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            client = stack.enter_context(pooler.connect())
            stack.enter_context(client.transaction())
            client.execute(PROVE, [token])
        yield


def ask(pooler: Pooler, token: str) -> object:
    """Ask, as a client of its own, whom one acts for."""
    with pooler.connect() as client, client.transaction():
        client.execute(PROVE, [token])
        return client.execute(WHO).fetchone()[0]


def waiting(pooler: Pooler) -> int:
    """Return how many clients wait for a server connection."""
    conninfo = psycopg.conninfo.make_conninfo(pooler.conninfo("pulsex_worker"), dbname="pgbouncer")
    with psycopg.connect(conninfo, autocommit=True) as console:
        cursor = psycopg.ClientCursor(console).execute("SHOW POOLS")
        column = [description.name for description in cursor.description].index("cl_waiting")
        return sum(row[column] for row in cursor)


@pytest.fixture
def small_pool(start_pooler) -> Callable[..., Pooler]:
    """Starts PgBouncer with two server connections."""

    def start(**settings: object) -> Pooler:
        return start_pooler(default_pool_size=2, stats_users="pulsex_worker", **settings)

    return start


def test_who_waits_too_long_for_the_pool_is_told_so(small_pool, alice, dba):
    """After query_wait_timeout the pooler's error, 08P01; the pool is as large as before, and serves the next."""
    pooler = small_pool(query_wait_timeout=1)
    with held(pooler, alice.token, 2):
        before = dba.value(BACKENDS)
        with pytest.raises(psycopg.OperationalError) as refused:
            ask(pooler, alice.token)
        assert refused.value.sqlstate == "08P01"
        assert dba.value(BACKENDS) == before
    assert ask(pooler, alice.token) == alice.user_id
    assert dba.value(BACKENDS) == before


def test_who_waits_for_the_pool_is_served_when_it_is_free(small_pool, alice, dba):
    """Twenty clients of two server connections that are held: all wait, and then all are served, by the same two."""
    pooler = small_pool()
    with ThreadPoolExecutor(20) as threads:
        with held(pooler, alice.token, 2):
            before = dba.value(BACKENDS)
            asked = [threads.submit(ask, pooler, alice.token) for _ in range(20)]
            until(lambda: waiting(pooler) == 20)
        assert [client.result(PATIENCE) for client in asked] == [alice.user_id] * 20
    assert dba.value(BACKENDS) == before


def test_more_clients_than_the_pooler_takes_are_told_so(small_pool, alice):
    """Beyond max_client_conn the pooler refuses at once, and takes the next when one has left."""
    pooler = small_pool(max_client_conn=2)
    with held(pooler, alice.token, 2):
        assert answer(pooler.conninfo()) in {"08P01", "53300"}  # before and since PgBouncer 1.21
    until(lambda: answer(pooler.conninfo()) == "")


def test_who_hangs_up_while_waiting_keeps_nothing(small_pool, alice, dba):
    """The pooler notices when it is their turn, and ends the server connection that was about to work for nobody."""
    pooler = small_pool()
    with held(pooler, alice.token, 2):
        before = dba.value(BACKENDS)
        client = pooler.connect()
        client.pgconn.send_query(b"SELECT 1")
        until(lambda: waiting(pooler) == 1)
        client.close()
    assert ask(pooler, alice.token) == alice.user_id
    assert waiting(pooler) == 0
    assert dba.value(BACKENDS) <= before
