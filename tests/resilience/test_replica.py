"""A streaming standby: who reads there sees their own rows, nobody writes, lag is seen, a failover loses nothing."""

from __future__ import annotations

import contextlib
import re
import subprocess
import threading
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import errors
from psycopg.conninfo import make_conninfo

from pulsex.cluster import find_bin
from pulsex.deploy import ROOT
from tests import harness
from tests.harness import until
from tests.resilience.standby import SLOT, Pair, pair

pytestmark = pytest.mark.xdist_group("replica")

PROVE = "SELECT auth.use_session(%s)"
RATE = "SELECT pulsex.record_feedback(%s, %s, 5::smallint, p_item_id => %s)"
RATED = "SELECT item_id FROM pulsex.briefing_feedback WHERE item_id LIKE 'w%'"
HEALTH = "SELECT ok, detail FROM ops.health WHERE name = 'replication'"
READS = {
    "todays_briefing": "SELECT title FROM pulsex.todays_briefing(%(me)s)",
    "briefing_history": "SELECT title FROM pulsex.briefing_history(%(me)s)",
    "search_briefings": "SELECT title FROM pulsex.search_briefings(%(me)s, 'comet')",
    "find_briefings": 'SELECT title FROM pulsex.find_briefings(%(me)s, \'{"sections": [{"topic": "science"}]}\')',
    "unread_notifications": "SELECT kind FROM pulsex.unread_notifications(%(me)s)",
    "briefing_feedback": "SELECT rating FROM pulsex.briefing_feedback",
}
WRITES = {
    "record_feedback": "SELECT pulsex.record_feedback(%(me)s, %(day)s, 5::smallint)",
    "mark_briefing_read": "SELECT pulsex.mark_briefing_read(%(me)s, %(day)s)",
    "record_events": """SELECT pulsex.record_events(%(me)s, jsonb_build_array(jsonb_build_object(
        'event_id', uuidv7(), 'event_type', 'opened', 'occurred_at', now())))""",
    "touch_session": "SELECT auth.touch_session(%(token)s)",
    "rotate_session": "SELECT auth.rotate_session(%(token)s)",
    "users": "UPDATE pulsex.users SET display_name = 'Alice' WHERE user_id = %(me)s",
}
CONNECTIONS = re.findall(r"^host=.*target_session_attrs=.*$", (ROOT / "README.md").read_text(), re.MULTILINE)


@pytest.fixture(scope="module")
def servers(scratch_place, server) -> Iterator[Pair]:
    """A primary and its standby, for tests that leave both as they are; what is changed elsewhere is changed there."""
    with pair(scratch_place) as servers:
        if server.change:
            with servers.on_primary() as dba:
                dba.execute(server.change)
        yield servers


@pytest.fixture(scope="module")
def cast(server):
    """Who is in their databases."""
    return server.cast


@pytest.fixture
def reader(servers, cast) -> Iterator[psycopg.Connection]:
    """Alice, in her session on the standby."""
    with servers.on_standby("pulsex_app") as connection, connection.transaction(force_rollback=True):
        connection.execute(PROVE, [cast["alice"].token])
        yield connection


@pytest.fixture
def known(cast) -> dict[str, object]:
    """What Alice's statements need to know."""
    alice = cast["alice"]
    return {"me": alice.user_id, "day": alice.briefing_date, "token": alice.token}


# Who reads there, and who would write ---------------------------------------------------------------------------------


@pytest.mark.parametrize("person", ["alice", "bob"])
def test_a_session_proves_itself_on_a_standby(servers, cast, person):
    """Row level security shows whoever signed in on the primary their own rows, and nobody else's."""
    with servers.on_standby("pulsex_app") as app, app.transaction():
        assert app.execute(PROVE, [cast[person].token]).fetchone() == (cast[person].user_id,)
        assert app.execute("SELECT user_id FROM pulsex.briefings").fetchall() == [(cast[person].user_id,)]


def test_without_a_session_a_standby_shows_nothing(servers):
    """There is something to see, and the application sees none of it without a token, or with a wrong one: PT401."""
    with servers.on_standby("pulsex_app") as app:
        assert app.execute("SELECT FROM pulsex.briefings").rowcount == 0
        with pytest.raises(psycopg.Error) as raised:
            app.execute(PROVE, ["x" * 101])
    assert raised.value.sqlstate == "PT401"
    with servers.on_standby() as dba:
        assert dba.execute("SELECT FROM pulsex.briefings").rowcount == 2


@pytest.mark.parametrize("what", READS)
def test_what_only_reads_works_on_a_standby(servers, cast, known, reader, what):
    """Each gives there what it gives on the primary."""
    rows = reader.execute(READS[what], known).fetchall()
    with servers.on_primary("pulsex_app") as app, app.transaction():
        app.execute(PROVE, [cast["alice"].token])
        assert app.execute(READS[what], known).fetchall() == rows
    assert rows


@pytest.mark.parametrize("what", WRITES)
def test_what_writes_is_refused_on_a_standby(reader, known, what):
    """25006: a driver knows from the SQLSTATE that it is on the wrong server."""
    with pytest.raises(errors.ReadOnlySqlTransaction):
        reader.execute(WRITES[what], known)


def test_nobody_signs_in_on_a_standby(servers, cast):
    """25006: a session is a row, and is started on the primary."""
    with servers.on_standby("pulsex_auth") as sign_in, pytest.raises(errors.ReadOnlySqlTransaction):
        sign_in.execute("SELECT auth.start_session(%s)", [cast["alice"].user_id])


def test_a_session_ended_on_the_primary_is_ended_on_the_standby(servers, cast):
    """Once the commit is acknowledged, PT401 there too: it is waited for (synchronous_commit = remote_apply)."""
    with servers.on_primary("pulsex_auth") as sign_in:
        [token] = sign_in.execute("SELECT auth.start_session(%s)", [cast["bob"].user_id]).fetchone()
    with servers.on_standby("pulsex_app") as standby, servers.on_primary("pulsex_app") as app:
        standby.execute(PROVE, [token])
        app.execute("SELECT auth.end_session(%s)", [token])
        with pytest.raises(psycopg.Error) as raised:
            standby.execute(PROVE, [token])
    assert raised.value.sqlstate == "PT401"


# How far behind it is -------------------------------------------------------------------------------------------------


def test_health_is_told_on_both(servers):
    """To the worker, on the primary and on the standby: no check fails to run, and replication is in order."""
    for connect in (servers.on_primary, servers.on_standby):
        with connect("pulsex_worker") as worker:
            until(lambda worker=worker: worker.execute(HEALTH).fetchone()[0])
            assert worker.execute("SELECT FROM ops.health").rowcount > 10


@pytest.fixture
def paused(servers) -> Iterator[Pair]:
    """The pair while the standby receives and doesn't replay, with a commit of the primary's that nobody waited for."""
    with servers.on_standby() as standby, servers.on_primary() as dba:
        dba.execute("SELECT pg_logical_emit_message(TRUE, 'test', 'the last commit that is replayed')")
        standby.execute("SELECT pg_wal_replay_pause()")
        until(lambda: standby.execute("SELECT pg_get_wal_replay_pause_state()").fetchone() == ("paused",))
        dba.execute("SET synchronous_commit = local")
        dba.execute("SELECT pg_logical_emit_message(TRUE, 'test', repeat('x', 100000))")
        received = "SELECT pg_last_wal_receive_lsn() >= %s::pg_lsn"
        [lsn] = dba.execute("SELECT pg_current_wal_flush_lsn()::text").fetchone()
        until(lambda: standby.execute(received, [lsn]).fetchone() == (True,))
        yield servers
        standby.execute("SELECT pg_wal_replay_resume()")


def test_a_standby_that_does_not_replay_says_how_far_it_is_behind(paused):
    """In bytes received and not replayed, and by the age of the last commit that it shows."""
    with paused.on_standby("pulsex_worker") as worker:
        [row] = worker.execute("SELECT standby, state, bytes_behind >= 100000, behind > '0' FROM ops.replication()")
    assert row == ("this one", "streaming", True, True)


def test_the_primary_says_how_far_a_standby_is_behind(paused):
    """To whoever may read statistics, in bytes not replayed; the worker sees the slot, and what isn't flushed there."""
    with paused.on_primary() as dba, paused.on_primary("pulsex_worker") as worker:
        asked = "SELECT standby, state, bytes_behind >= 100000 FROM ops.replication()"
        assert dba.execute(asked).fetchall() == [(SLOT, "streaming", True)]
        until(lambda: worker.execute(asked).fetchall() == [(SLOT, "connected", False)])


@pytest.mark.parametrize(
    "slot",
    [
        "pg_create_physical_replication_slot('other', TRUE, TRUE)",
        "pg_create_logical_replication_slot('other', 'pgoutput')",
    ],
    ids=["of a base backup", "of logical decoding"],
)
def test_a_slot_that_no_standby_has_is_not_told_of(servers, slot):
    """A temporary one is its session's, such as a base backup's; by a logical one others learn of changes."""
    with servers.on_primary() as dba:
        dba.execute(f"SELECT {slot}")
        told = dba.execute("SELECT standby FROM ops.replication()").fetchall()
        dba.execute("SELECT pg_drop_replication_slot('other')")
    assert told == [(SLOT,)]


@contextlib.contextmanager
def backing_up(servers: Pair) -> Iterator[psycopg.Connection]:
    """Connect to the primary while a base backup is taken, of which nobody reads the files."""
    with servers.on_primary() as dba:
        taker = psycopg.pq.PGconn.connect(make_conninfo(dba.info.dsn, replication="true").encode())
        taker.send_query(b"BASE_BACKUP (CHECKPOINT 'fast')")
        under_way = "SELECT FROM pg_stat_replication WHERE state = 'backup'"
        until(lambda: dba.execute(under_way).rowcount)
        try:
            yield dba
        finally:
            taker.finish()
            until(lambda: not dba.execute(under_way).rowcount)


def test_a_base_backup_is_no_standby(servers):
    """To whoever may read statistics: the server sends to it as to a standby."""
    with backing_up(servers) as dba:
        assert dba.execute("SELECT standby FROM ops.replication()").fetchall() == [(SLOT,)]


@pytest.fixture
def disconnected(servers) -> Iterator[Pair]:
    """The pair while the standby doesn't know where its primary is."""
    follow = psycopg.sql.SQL("ALTER SYSTEM SET primary_conninfo = {}")
    connected = "SELECT FROM pg_stat_get_wal_receiver() WHERE pid IS NOT NULL"
    with servers.on_standby() as standby, servers.on_primary() as dba:
        [conninfo] = standby.execute("SHOW primary_conninfo").fetchone()
        standby.execute(follow.format(""))
        standby.execute("SELECT pg_reload_conf()")
        until(lambda: not standby.execute(connected).rowcount)
        until(lambda: not dba.execute("SELECT FROM pg_stat_replication").rowcount)
        yield servers
        standby.execute(follow.format(conninfo))
        standby.execute("SELECT pg_reload_conf()")
        until(lambda: dba.execute("SELECT FROM pg_stat_replication WHERE sync_state = 'sync'").rowcount)


def test_a_standby_that_is_gone_is_told_on_both(disconnected):
    """The primary knows it by its slot, and that nobody is left to wait for; the standby knows that nobody sends."""
    with disconnected.on_standby("pulsex_worker") as standby, disconnected.on_primary("pulsex_worker") as worker:
        gone = worker.execute("SELECT standby, state FROM ops.replication() ORDER BY 1").fetchall()
        assert gone == [(SLOT, "not connected"), ("the synchronous one", "not connected")]
        assert worker.execute(HEALTH).fetchone()[0] is False
        ok, detail = standby.execute(HEALTH).fetchone()
    assert not ok
    assert detail.startswith("this one: not connected")


def test_a_base_backup_is_not_the_synchronous_one(disconnected):
    """Nobody waits for it: the standby is missed all the same."""
    with backing_up(disconnected) as dba:
        missed = dba.execute("SELECT standby FROM ops.replication() WHERE state = 'not connected' ORDER BY 1")
        assert missed.fetchall() == [(SLOT,), ("the synchronous one",)]


@pytest.mark.parametrize(
    ("row", "ok"),
    [
        ("'a', 'streaming', 64 * 1024 * 1024::bigint, interval '1 minute'", True),
        ("'a', 'streaming', 64 * 1024 * 1024::bigint + 1, interval '0'", False),
        ("'a', 'streaming', 0::bigint, interval '61 seconds'", False),
        ("'a', 'not connected', 0::bigint, interval '0'", False),
        ("'a', 'connected', NULL::bigint, NULL::interval", True),
    ],
)
def test_the_check_fails_from_64_mib_or_a_minute_on(dba, row, ok):
    """Whatever is told of the standbys, in the place of ops.replication()."""
    dba.rows(
        f"""CREATE OR REPLACE FUNCTION ops.replication()
            RETURNS TABLE (standby text, state text, bytes_behind bigint, behind interval)
            LANGUAGE sql AS $$ SELECT {row} $$"""
    )
    dba.results_eq("SELECT ok FROM ops.health WHERE name = 'replication'", [(ok,)])


def test_without_standbys_there_is_nothing_to_tell(worker):
    """The check is in order and says so."""
    worker.results_eq(HEALTH, [(True, "no standby")])


# Who finds which ------------------------------------------------------------------------------------------------------


def where(example: str, ports: list[int], role: str = "pulsex_app") -> str:
    """Return one of the README's connection strings, of two servers here."""
    parts = psycopg.conninfo.conninfo_to_dict(example)
    here = {"host": "127.0.0.1,127.0.0.1", "port": ",".join(map(str, ports)), "dbname": harness.CAST, "user": role}
    return make_conninfo(**(parts | here))


def found(conninfo: str) -> tuple[int, int]:
    """Return the port that a connection string leads to, by psycopg and by libpq itself."""
    with psycopg.connect(conninfo) as connection:
        [by_psycopg] = connection.execute("SELECT inet_server_port()").fetchone()
    run = [find_bin() / "psql", "-XAtd", conninfo, "-c", "SELECT inet_server_port()"]
    return by_psycopg, int(subprocess.run(run, check=True, capture_output=True, text=True).stdout)


def test_the_readmes_connection_strings_find_their_server(servers):
    """In whatever order the two are named: that which writes finds the primary, that which reads the standby."""
    writes, reads = CONNECTIONS
    primary, standby = servers.ports()
    for ports in ([primary, standby], [standby, primary]):
        assert found(where(writes, ports)) == (primary, primary)
        assert found(where(reads, ports)) == (standby, standby)


def test_who_reads_goes_to_the_primary_while_there_is_no_standby(servers):
    """prefer-standby: better than nothing."""
    primary, _ = servers.ports()
    assert found(where(CONNECTIONS[1], [primary, primary])) == (primary, primary)


# A failover -----------------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_failover_loses_nothing_that_was_acknowledged(scratch_place, cast, figures):
    """Two people rate, the primary is killed, the standby promoted: each acknowledged rating is there, one by one.

    One that was acknowledged without waiting for the standby isn't: so the ledger would notice.
    """
    ledger: list[str] = []
    people = [cast["alice"], cast["bob"]]

    def rate(conninfo: str, number: int) -> None:
        person = people[number]
        with psycopg.connect(conninfo, autocommit=True) as app:
            for act in range(100_000):
                item = f"w{number}-{act}"
                with app.transaction():
                    app.execute(PROVE, [person.token])
                    app.execute(RATE, [person.user_id, person.briefing_date, item])
                ledger.append(item)

    def writes(conninfo: str, number: int) -> None:
        with pytest.raises(psycopg.OperationalError):
            rate(conninfo, number)

    with pair(scratch_place) as servers:
        conninfo = where(CONNECTIONS[0], servers.ports())
        threads = [threading.Thread(target=writes, args=(conninfo, number)) for number in range(len(people))]
        for thread in threads:
            thread.start()
        until(lambda: len(ledger) >= 200)
        servers.walsender().suspend()
        with servers.on_primary(options="-c synchronous_commit=local") as hasty:
            hasty.execute(
                """INSERT INTO pulsex.briefing_feedback (user_id, briefing_date, edition, item_id, rating)
                VALUES (%s, %s, 'morning', 'w-hasty', 5)""",
                [people[0].user_id, people[0].briefing_date],
            )
        servers.kill_primary()
        for thread in threads:
            thread.join()
        servers.promote()
        with servers.on_standby() as dba:
            there = {item for (item,) in dba.execute(RATED).fetchall()}
            assert dba.execute("SELECT FROM audit.verify()").rowcount == 0
        lost = set(ledger) - there
        figures["commits acknowledged before a failover"] += len(ledger)
        figures["acknowledged commits lost in a failover"] += len(lost)
        assert lost == set()
        assert "w-hasty" not in there
        assert len(there - set(ledger)) <= len(people)

        with psycopg.connect(conninfo) as app, app.transaction():  # the string of before finds who writes now
            app.execute(PROVE, [people[0].token])
            app.execute(RATE, [people[0].user_id, people[0].briefing_date, "w-after"])
