"""What else SQL offers somebody who can run any of it: other roles, files, code of one's own, shared places."""

import psycopg
import pytest

ROLES = [
    "postgres", "pulsex_owner", "pulsex_service", "pulsex_auth", "pulsex_app", "pulsex_worker", "pulsex_privacy",
    "pulsex_analyst", "pg_read_all_data", "pg_monitor", "pg_execute_server_program",
]  # fmt: skip
SERVICES = ["stranger", "sign_in", "worker", "privacy", "analyst"]
FUNCTION = "FUNCTION {}() RETURNS integer LANGUAGE sql RETURN 1"
REFUSED = [
    # code and objects of one's own
    "CREATE SCHEMA hostile",
    *(f"CREATE {table} ()" for table in ("TABLE public.t", "TABLE pulsex.t", "TEMPORARY TABLE t")),
    *(f"CREATE {FUNCTION.format(name)}" for name in ("pulsex.f", "auth.current_user_id", "public.f", "pg_catalog.f")),
    f"CREATE {FUNCTION.format('pg_temp.f')}",
    "CREATE VIEW pulsex.everybody AS SELECT * FROM pulsex.users",
    "CREATE OPERATOR public.= (LEFTARG = uuid, RIGHTARG = uuid, FUNCTION = uuid_ne)",
    "CREATE CAST (uuid AS integer) WITH INOUT AS IMPLICIT",
    "CREATE EXTENSION pg_trgm SCHEMA pg_catalog",
    "CREATE EXTENSION postgres_fdw SCHEMA pg_catalog",
    "CREATE EVENT TRIGGER spy ON ddl_command_end EXECUTE FUNCTION pulsex.set_updated_at()",
    "CREATE PUBLICATION everything FOR ALL TABLES",
    "CREATE ROLE accomplice",
    # the rules themselves
    "ALTER TABLE pulsex.users DISABLE ROW LEVEL SECURITY",
    "ALTER POLICY select_own ON pulsex.users USING (true)",
    "CREATE POLICY mine ON pulsex.users USING (true)",
    "DROP POLICY select_own ON pulsex.users",
    "CREATE TRIGGER spy BEFORE UPDATE ON pulsex.users EXECUTE FUNCTION pulsex.set_updated_at()",
    "CREATE RULE spy AS ON UPDATE TO pulsex.users DO INSTEAD NOTHING",
    "ALTER FUNCTION auth.use_session OWNER TO pulsex_app",
    "ALTER ROLE pulsex_app BYPASSRLS",
    "ALTER ROLE pulsex_worker SET search_path = public",
    "ALTER ROLE pulsex_auth PASSWORD 'mine'",
    "GRANT pulsex_service TO pulsex_app",
    "UPDATE pg_class SET relrowsecurity = false",
    "UPDATE pg_policy SET polqual = NULL",
    "SET session_replication_role = replica",
    "SET track_activities = on",
    "LOCK TABLE pulsex.briefings IN ACCESS EXCLUSIVE MODE",
    # files and programs
    "SELECT pg_read_file('PG_VERSION')",
    "SELECT pg_read_binary_file('PG_VERSION')",
    "SELECT pg_ls_dir('.')",
    "SELECT pg_stat_file('PG_VERSION')",
    "SELECT lo_import('/etc/hostname')",
    "SELECT lo_export(1, '/tmp/hostname')",
    "COPY pulsex.users TO '/tmp/users'",
    "COPY pulsex.users TO PROGRAM 'cat'",
    "LOAD 'auto_explain'",
    "SELECT pg_current_logfile()",
    "SELECT * FROM pg_hba_file_rules",
    "SELECT * FROM pg_ls_waldir()",
    # the server
    "SELECT pg_reload_conf()",
    "SELECT pg_stat_reset()",
    "SELECT pg_switch_wal()",
    "SELECT pg_logical_slot_peek_changes('spy', NULL, NULL)",
    "SELECT pg_create_physical_replication_slot('spy')",
]  # fmt: skip


@pytest.mark.parametrize("sql", REFUSED)
def test_it_is_refused(sql, alice):
    """Not for the application's role, session or no session."""
    alice.throws_ok(sql, "42501")


@pytest.mark.commits
def test_the_configuration_is_refused(alice):
    """ALTER SYSTEM, outside a transaction block as it demands, is not for the application."""
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        alice.connection.execute("ALTER SYSTEM SET row_security = off")


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("name", SERVICES)
def test_nobody_becomes_another(name, role, request):
    """SET ROLE and SET SESSION AUTHORIZATION are refused, but for who one is already."""
    actor = request.getfixturevalue(name)
    if actor.connection.info.user != role:
        actor.throws_ok(f"SET ROLE {role}", "42501")
        actor.throws_ok(f"SET SESSION AUTHORIZATION {role}", "42501")


@pytest.mark.parametrize("setting", ["role", "session_authorization"])
def test_nobody_becomes_another_by_setting(setting, alice):
    """set_config() is no way round."""
    alice.throws_ok(f"SELECT set_config('{setting}', 'pulsex_service', true)", "42501")


def test_turning_row_security_off_shows_an_error_and_no_row(alice):
    """row_security = off means refuse rather than filter."""
    alice.rows("SELECT set_config('row_security', 'off', true)")
    alice.throws_ok("SELECT * FROM pulsex.topics, pulsex.users", "42501")


@pytest.mark.parametrize("path", ["pg_temp, public", "pulsex, auth, pg_catalog", "nowhere", ""])
def test_a_search_path_changes_nobodys_mind(path, stranger, published):
    """Whatever the search_path, a session proves its person and policies ask for that person."""
    stranger.rows("SELECT set_config('search_path', %s, true)", path)
    stranger.rows("SELECT auth.use_session(%s)", published.token)
    stranger.results_eq("SELECT user_id FROM pulsex.users", [(published.user_id,)])


def test_there_is_no_schema_to_put_a_trap_in(alice):
    """A search_path attack needs a schema that the attacker can create in, and there is none."""
    alice.is_empty("SELECT 1 FROM pg_namespace WHERE has_schema_privilege(oid, 'CREATE')")
    alice.results_eq("SELECT has_database_privilege(current_database(), 'CREATE, TEMPORARY')", [(False,)])


@pytest.mark.parametrize("function", ["dblink", "dblink_connect", "postgres_fdw_handler", "crypt", "http_get"])
def test_no_function_is_there_that_leaves_the_database(function, dba):
    """No extension that connects elsewhere, or that the context's signature doesn't need, is installed."""
    dba.is_empty("SELECT 1 FROM pg_proc WHERE proname = %s", function)


def test_another_roles_large_object_is_closed(alice, dba):
    """A large object belongs to the role that made it."""
    dba.rows("SELECT lo_from_bytea(4711, 'secret')")
    with dba.connection.transaction(force_rollback=True):
        dba.connection.execute("SET LOCAL SESSION AUTHORIZATION pulsex_app")
        have = dba.connection.execute("SELECT has_largeobject_privilege(4711, 'SELECT')").fetchone()
    assert have == (False,)


def test_one_routine_notifies_and_says_no_more_than_a_channel(dba):
    """Whoever listens learns that something waits, by which channel, and nothing of for whom."""
    dba.results_eq(
        r"""SELECT oid::regproc::text, prosrc ~ 'pg_notify\(''pulsex_notifications'', p_channel\)' FROM pg_proc
        WHERE pronamespace::regnamespace::text IN ('auth', 'pulsex', 'ops', 'audit', 'gdpr')
            AND prosrc ~* 'notify\M'""",
        [("pulsex.wake_workers", True)],
    )
