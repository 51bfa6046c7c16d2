"""db/connection_config.sql and db/pgbouncer.ini as they stand: a server and a pooler that were set up from them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import errors

from pulsex.deploy import DB, DeployError, psql
from tests.pooler.site import CONFIG, GUIDE, POOLS, SIZES, Site, configured, password, pooled

pytestmark = [pytest.mark.xdist_group("configuration"), pytest.mark.long]  # one server for all of them

LOCK = "LOCK TABLE pulsex.user_topics IN ACCESS EXCLUSIVE MODE"
POOLER = (DB / "pgbouncer.ini").read_text()
NO_LIMIT = "SET statement_timeout = 0; SET transaction_timeout = 0; SET idle_in_transaction_session_timeout = 0"
TIMEOUTS = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "transaction_timeout")
# What each role is given, in the order of TIMEOUTS.
GIVEN = {
    "pulsex_app": ("5s", "2s", "5s", "10s"),
    "pulsex_auth": ("5s", "2s", "5s", "10s"),
    "pulsex_worker": ("0", "10s", "1min", "30min"),
    "pulsex_privacy": ("0", "1min", "5min", "0"),
    "pulsex_analyst": ("5min", "2s", "1min", "10min"),
}


@pytest.fixture(scope="module")
def server(scratch_place: Path) -> Iterator[Site]:
    """The server alone."""
    with configured(scratch_place) as site:
        yield site


@pytest.fixture(scope="module")
def site(server: Site, pgbouncer: Path, scratch_place: Path) -> Iterator[Site]:
    """The server, and the pooler before it."""
    with pooled(pgbouncer, server, scratch_place) as site:
        yield site


@pytest.fixture(scope="module")
def impatient(server: Site, pgbouncer: Path, scratch_place: Path) -> Iterator[Site]:
    """The same with the pooler's timeouts at half a second."""
    with pooled(pgbouncer, server, scratch_place, idle_transaction_timeout=0.5, query_timeout=0.5) as site:
        yield site


@pytest.fixture
def dba(server: Site) -> Iterator[psycopg.Connection]:
    """The superuser, past the pooler."""
    with psycopg.connect(server.url, autocommit=True) as connection:
        yield connection


# The server ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
def test_the_server_accepts_each_size(server: Site, size: str):
    """It would start with the files as each size leaves them: blocks of 8 KiB, connections, libraries."""
    want = {"small": ("262144", "160"), "medium": ("1048576", "320"), "large": ("4194304", "640")}[size]
    assert tuple(server.profiles[size].values()) == (*want, "auto_explain, pg_stat_statements")


def test_everything_is_in_force_after_the_restart(dba: psycopg.Connection):
    """No line of the configuration files has an error or waits for another restart."""
    lines = dba.execute("SELECT name, error, applied FROM pg_file_settings WHERE sourcefile ~ 'auto.conf$'").fetchall()
    assert len(lines) > 40
    assert [line for line in lines if line[1] or not line[2]] == []


def test_doing_it_again_changes_nothing(server: Site, dba: psycopg.Connection):
    """The settings of server, database and roles, and the routines, are what they were."""
    look = """SELECT array_agg(f.name || f.setting ORDER BY f.name) FROM pg_file_settings AS f
        UNION ALL SELECT array_agg(s::text ORDER BY s::text) FROM pg_db_role_setting AS s
        UNION ALL SELECT array_agg(concat(rolname, rolconnlimit) ORDER BY rolname) FROM pg_roles
        UNION ALL SELECT array_agg(concat(proname, proacl) ORDER BY oid) FROM pg_proc"""
    before = dba.execute(look).fetchall()
    psql(server.url, CONFIG, size="small")
    assert dba.execute(look).fetchall() == before


@pytest.mark.parametrize("variables", [{}, {"size": "huge"}, {"size": ""}])
def test_another_size_is_refused_and_named(server: Site, variables: dict[str, str]):
    """Before anything is changed, and the message has the sizes that there are."""
    with pytest.raises(DeployError, match="size=small, medium or large"):
        psql(server.url, CONFIG, **variables)


def test_a_database_without_pulsex_is_refused(server: Site):
    """It isn't deployed here: the roles' settings would be set beside nothing."""
    with pytest.raises(DeployError, match="isn't deployed"):
        psql(server.server.url(database="postgres"), CONFIG, size="small")


def test_who_is_no_superuser_sets_the_roles_and_leaves_the_server(server: Site, dba: psycopg.Connection):
    """As on managed PostgreSQL: the database's owner, who may administer the roles, is told what is left."""
    dba.execute("CREATE ROLE provider LOGIN CREATEROLE PASSWORD 'secret of provider'")
    dba.execute("ALTER DATABASE pulsex OWNER TO provider")
    for role in GIVEN:
        dba.execute(f"GRANT {role} TO provider WITH ADMIN OPTION, INHERIT FALSE, SET FALSE")
    dba.execute("ALTER ROLE pulsex_app SET statement_timeout = '1min'")
    url = psycopg.conninfo.make_conninfo(server.url, user="provider", password=password("provider"))
    psql(url, CONFIG, size="small")
    with server.direct("pulsex_app") as app:
        assert app.execute("SHOW statement_timeout").fetchone() == ("5s",)


def test_the_app_has_no_path_to_be_worked_out(server: Site):
    """Its bare names are looked for in pg_catalog and nowhere else."""
    with server.direct("pulsex_app") as app:
        assert app.execute("SHOW search_path").fetchone() == ("pg_catalog",)


def test_the_log_quotes_no_row(server: Site, dba: psycopg.Connection):
    """Of an e-mail address that is taken, the log of the server has the constraint and not the address."""
    with pytest.raises(errors.UniqueViolation):
        dba.execute(
            "INSERT INTO auth.identities SELECT * FROM auth.identities WHERE subject = %s", ["alice@example.com"]
        )
    assert "identities_pk" in server.log()
    assert "alice@example.com" not in server.log()


def test_no_pool_outgrows_its_roles_limit_nor_all_limits_the_server(dba: psycopg.Connection):
    """What the pools of a role may open together it may, with the reserve; and all roles together the server bears."""
    limits = dict(dba.execute("SELECT rolname, rolconnlimit FROM pg_roles WHERE rolname ~ '^pulsex_' AND rolcanlogin"))
    wanted = dict.fromkeys(GIVEN, 0)
    for name, size, reserve in re.findall(
        r"^(pulsex\w*) = .*pool_size=(\d+)(?: reserve_pool=(\d+))?", POOLER, re.MULTILINE
    ):
        wanted[POOLS[name]] += int(size) + int(reserve or 0)
    wanted["pulsex_pooler"] = sum(map(int, re.findall(r"pool_size=(\d+)", POOLER)))  # a login storm in every pool
    assert [role for role in wanted if not 0 < wanted[role] <= limits[role]] == []
    assert sum(limits.values()) < int(dba.execute("SHOW max_connections").fetchone()[0]) - 10


# Who comes in --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pool", POOLS)
def test_each_role_finds_its_settings_through_its_pool(site: Site, pool: str):
    """It logs in with its password over TLS, is itself, and has the timeouts that it was given."""
    look = "SELECT session_user::text, ARRAY(SELECT current_setting(name) FROM unnest(%s::text[]) AS name)"
    with site.connect(pool) as client:
        assert client.execute(look, [list(TIMEOUTS)]).fetchone() == (POOLS[pool], list(GIVEN[POOLS[pool]]))


@pytest.mark.parametrize(
    ("role", "secret"),
    [
        ("pulsex_app", "wrong"),
        ("pulsex_app", password("pulsex_auth")),
        ("postgres", password("postgres")),
        ("pulsex_owner", "wrong"),
        ("pulsex_pooler", "wrong"),
        ("nobody", "wrong"),
    ],
)
def test_whoever_is_none_of_them_is_refused(site: Site, role: str, secret: str):
    """A wrong password, another's, the superuser with the right one, the owner, the pooler, somebody unknown."""
    with pytest.raises(psycopg.OperationalError, match=r"FATAL: *(SASL authentication failed|no such user)"):
        site.connect("pulsex", role, password=secret)


def test_a_file_of_verifiers_serves_where_the_guard_cannot(
    server: Site, pgbouncer: Path, scratch_place: Path, dba: psycopg.Connection
):
    """As on managed PostgreSQL: with a role's verifier from a file, the pooler passes on what the client proves."""
    [(verifier,)] = dba.execute("SELECT verifier FROM guard.login_verifier('pulsex_app')").fetchall()
    users = f'"pulsex_app" "{verifier}"\n'
    with pooled(pgbouncer, server, scratch_place, users=users, auth_file="users.txt", auth_query="SELECT 1/0") as site:
        with site.connect("pulsex") as client:
            assert client.execute("SELECT session_user::text").fetchone() == ("pulsex_app",)
        with pytest.raises(psycopg.OperationalError, match="authentication failed"):
            site.connect("pulsex", password="wrong")


def test_a_client_without_tls_is_refused(site: Site):
    """No password crosses the network in the clear, nor anything after it."""
    with pytest.raises(psycopg.OperationalError, match="SSL required"):
        site.connect("pulsex", sslmode="disable")


def test_a_password_that_ran_out_is_refused(site: Site, dba: psycopg.Connection):
    """Where the role's password is valid until yesterday, its verifier isn't given out."""
    dba.execute("ALTER ROLE pulsex_analyst VALID UNTIL '2000-01-01'")
    try:
        assert dba.execute("SELECT * FROM guard.login_verifier('pulsex_analyst')").fetchall() == []
    finally:
        dba.execute("ALTER ROLE pulsex_analyst VALID UNTIL 'infinity'")
    assert dba.execute("SELECT left(verifier, 14) FROM guard.login_verifier('pulsex_analyst')").fetchall() == [
        ("SCRAM-SHA-256$",)
    ]


def test_the_pooler_learns_five_verifiers_and_nothing_else(dba: psycopg.Connection):
    """Whoever took the pooler over has no table, no other routine, and no verifier of a superuser or an owner."""
    with dba.transaction(force_rollback=True):
        dba.execute("SET LOCAL SESSION AUTHORIZATION pulsex_pooler")
        for role in (
            "postgres",
            "pulsex_owner",
            "pulsex_service",
            "pulsex_guard",
            "pulsex_pooler",
            "' OR true --",
            None,
        ):
            assert dba.execute("SELECT * FROM guard.login_verifier(%s)", [role]).fetchall() == []
        for role in GIVEN:
            assert len(dba.execute("SELECT * FROM guard.login_verifier(%s)", [role]).fetchall()) == 1
        for attack in (
            "SELECT FROM pg_authid",
            "SELECT FROM pulsex.users",
            "SELECT guard.end_long_transactions()",
            "SET ROLE pulsex_guard",
            "CREATE FUNCTION guard.f() RETURNS integer LANGUAGE sql RETURN 1",
        ):
            with pytest.raises(errors.InsufficientPrivilege), dba.transaction():
                dba.execute(attack)


@pytest.mark.parametrize("role", GIVEN)
def test_no_login_role_asks_for_verifiers(dba: psycopg.Connection, role: str):
    """Nor may any but the worker end transactions."""
    calls = {"login_verifier('pulsex_worker')", "end_long_transactions()"}
    with dba.transaction(force_rollback=True):
        dba.execute(f"SET LOCAL SESSION AUTHORIZATION {role}")
        for call in calls - ({"end_long_transactions()"} if role == "pulsex_worker" else set()):
            with pytest.raises(errors.InsufficientPrivilege), dba.transaction():
                dba.execute(f"SELECT guard.{call}")


def test_a_worker_that_listens_keeps_its_connection(site: Site):
    """In the pool by session LISTEN hears; in the pool by transaction the connection is the next client's."""
    with site.connect("pulsex_listen") as listener, site.connect("pulsex_worker") as worker:
        listener.execute("LISTEN pulsex_notifications")
        worker.execute("SELECT pg_notify('pulsex_notifications', 'push')")
        assert [heard.payload for heard in listener.notifies(timeout=5, stop_after=1)] == ["push"]
        with site.connect("pulsex_worker") as other:
            pids = {client.execute("SELECT pg_backend_pid()").fetchone() for client in (worker, other, worker)}
    assert len(pids) == 1


def test_maintenance_runs_through_the_workers_pool(site: Site):
    """A procedure that commits goes through a pool by transaction, within the worker's timeouts."""
    with site.connect("pulsex_worker") as worker:
        worker.execute("CALL ops.run_maintenance()")
        ended = (
            "SELECT succeeded_at > now() - interval '1 minute' FROM ops.maintenance_tasks WHERE task = 'maintenance'"
        )
        assert worker.execute(ended).fetchone() == (True,)


def test_an_analyst_reads_under_their_settings(site: Site):
    """Every view is there for a transaction that can't write."""
    with site.connect("pulsex_analyst") as analyst:
        for view in ("pulsex.briefing_engagement", "gdpr.engagement_by_day", "gdpr.ratings_by_month"):
            analyst.execute(f"SELECT * FROM {view}")
        assert analyst.execute("SHOW transaction_read_only").fetchone() == ("on",)


# How long it lasts ---------------------------------------------------------------------------------------------------


def test_the_workers_limit_is_of_a_transaction_and_not_of_a_call(server: Site):
    """What commits as it goes may take longer than transaction_timeout; what doesn't is ended."""
    sleeps = "DO $$ BEGIN FOR i IN 1..5 LOOP PERFORM pg_sleep(0.1); {} END LOOP; END $$"
    with server.direct("pulsex_worker") as worker:
        worker.execute("SET transaction_timeout = '400ms'")
        worker.execute(sleeps.format("COMMIT;"))
        with pytest.raises(errors.TransactionTimeout):
            worker.execute(sleeps.format(""))


def free(dba: psycopg.Connection) -> bool:
    """Tell whether the table is nobody's."""
    held = "SELECT NOT EXISTS (SELECT FROM pg_locks WHERE relation = 'pulsex.user_topics'::regclass AND granted)"
    return dba.execute(held).fetchone()[0]


def await_free(dba: psycopg.Connection) -> None:
    """Return when others can have the table; fail when that takes them five seconds."""
    with dba.transaction():
        dba.execute("SET LOCAL lock_timeout = '5s'")
        dba.execute(LOCK)


def test_a_lock_that_is_kept_idly_is_given_back(server: Site, dba: psycopg.Connection):
    """transaction_timeout, here of 0.2 s, ends the transaction of an application that forgot it."""
    with server.direct("pulsex_app") as app:
        app.execute("SET transaction_timeout = '200ms'")
        app.execute("BEGIN")
        app.execute(LOCK)
        assert not free(dba)
        with pytest.raises(errors.TransactionTimeout):
            app.execute("SELECT pg_sleep(10)")
    await_free(dba)


def test_no_client_escapes_the_poolers_limit_of_idling(impatient: Site, dba: psycopg.Connection):
    """It locks a table, has turned off all timeouts of its session, and is silent: the pooler ends it."""
    with impatient.connect("pulsex") as app:
        app.execute(f"BEGIN; {NO_LIMIT}; {LOCK}")
        assert not free(dba)
        with pytest.raises(psycopg.OperationalError):
            list(app.notifies(timeout=30))
    await_free(dba)


def test_a_statement_that_the_pooler_gave_up_ends_when_the_server_looks(impatient: Site, dba: psycopg.Connection):
    """query_timeout drops the connection; the statement goes on until the server has looked for its client.

    Here every 50 ms, by client_connection_check_interval.
    """
    dba.execute("ALTER ROLE pulsex_app SET client_connection_check_interval = '50ms'")
    try:
        dba.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'pulsex_app'")
        with impatient.connect("pulsex") as app:
            app.execute(f"BEGIN; {NO_LIMIT}; {LOCK}")
            with pytest.raises(errors.ProtocolViolation):
                app.execute("SELECT pg_sleep(60)")
        await_free(dba)
    finally:
        dba.execute("ALTER ROLE pulsex_app RESET client_connection_check_interval")


def test_a_statement_that_nobody_waits_for_is_ended_by_the_supervisor(impatient: Site, dba: psycopg.Connection):
    """A session that turned that look off too goes on without its client, lock and all, until it is ended from here."""
    with impatient.connect("pulsex") as app, impatient.connect("pulsex_worker") as worker:
        app.execute(f"BEGIN; {NO_LIMIT}; {LOCK}; SET client_connection_check_interval = 0")
        with pytest.raises(errors.ProtocolViolation):
            app.execute("SELECT pg_sleep(60)")
        while not worker.execute("SELECT guard.end_long_transactions('1 second')").fetchone()[0]:
            assert not free(dba)
    await_free(dba)


def test_a_client_that_keeps_busy_is_ended_by_the_supervisor(site: Site, dba: psycopg.Connection):
    """A lock that ever new statements keep is beyond the pooler; guard.end_long_transactions() ends it."""
    with site.connect("pulsex") as app, site.connect("pulsex_worker") as worker:
        app.execute(f"BEGIN; {NO_LIMIT}; {LOCK}")
        ended = 0
        while not ended:
            app.execute("SELECT 1")
            [ended] = worker.execute("SELECT guard.end_long_transactions('1 second')").fetchone()
        with pytest.raises(psycopg.OperationalError):
            app.execute("SELECT 1")
    assert ended == 1
    await_free(dba)


def test_the_supervisor_ends_nothing_that_is_young_or_another_roles(site: Site):
    """A transaction of a moment ago, and one of the worker itself, go on; under a second is PT422."""
    with site.connect("pulsex") as app, site.connect("pulsex_listen") as old, site.connect("pulsex_worker") as worker:
        old.execute("BEGIN; SELECT pg_sleep(1.1)")
        app.execute("BEGIN")
        assert worker.execute("SELECT guard.end_long_transactions('1 second')").fetchone() == (0,)
        for interval in ("0.9 seconds", None):
            with pytest.raises(psycopg.Error) as refused:
                worker.execute("SELECT guard.end_long_transactions(%s)", [interval])
            assert refused.value.sqlstate == "PT422"
        assert (old.execute("SELECT 1").fetchone(), app.execute("SELECT 1").fetchone()) == ((1,), (1,))


# The guide -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", re.findall(r"```sql\n(.*?)```", GUIDE, re.DOTALL))
def test_the_guides_queries_run(dba: psycopg.Connection, block: str):
    """Each as it stands, by an operator, on a server that is set up as the guide says."""
    with dba.transaction(force_rollback=True):
        dba.execute(block)


def test_the_guides_table_of_the_pooler_is_its_file():
    """The numbers that the guide gives reasons for are the numbers in force."""
    for name, value in (
        ("max_client_conn", "12,000"), ("query_wait_timeout", "5 s"), ("idle_transaction_timeout", "10 s"),
        ("query_timeout", "900 s"),
    ):  # fmt: skip
        assert re.search(rf"^{name} = {value.removesuffix(' s').replace(',', '')}$", POOLER, re.MULTILINE)
        assert re.search(rf"`{name}`[ ,|]+{value}", GUIDE)
