"""Who may call what: db/routines/privileges.sql, against the one table below."""

from __future__ import annotations

import pytest
from psycopg import connect

from pulsex.deploy import DB, OWNER, psql

AUTH, APP, WORKER, SERVICE = "pulsex_auth", "pulsex_app", "pulsex_worker", "pulsex_service"

# Routine -> who may call it besides its owner. What isn't here isn't in the database.
MAY_CALL = {
    "auth.current_user_id()": {APP},
    "auth.end_all_sessions(uuid)": {APP},
    "auth.end_session(text)": {APP},
    "auth.find_session(text)": set(),
    "auth.find_user(text)": {AUTH},
    "auth.issue_one_time_token(uuid,text,interval)": {AUTH},
    "auth.lock_delay(integer)": set(),
    "auth.login_credential(text)": {AUTH},
    "auth.normalize_email(text)": set(),
    "auth.purge_expired(timestamp with time zone)": {WORKER},
    "auth.random_bytes()": set(),
    "auth.record_login(uuid,boolean)": {AUTH},
    "auth.redeem_one_time_token(uuid,text,text)": {AUTH},
    "auth.refuse_locked(timestamp with time zone)": set(),
    "auth.register_user(text,text,text,text,text)": {AUTH},
    "auth.reset_password(uuid,text,text)": {AUTH},
    "auth.revoke_family(uuid,uuid)": set(),
    "auth.rotate_session(text)": {APP},
    "auth.rotate_signing_key()": set(),
    "auth.start_session(uuid,interval,inet,text)": {AUTH},
    "auth.touch_session(text)": {APP},
    "auth.use_session(text)": {APP},
    "ops.ensure_partitions(integer,date)": {SERVICE, WORKER},
    "ops.refresh_time_zones()": {WORKER},
    "pulsex.briefing_history(uuid,date,integer)": {APP},
    "pulsex.briefing_search(text,jsonb,text)": set(),
    "pulsex.follow_topics(uuid,text[])": {APP},
    "pulsex.is_briefing_content(jsonb)": {SERVICE, APP},
    "pulsex.publish_briefing(uuid,date,jsonb,text,text)": {WORKER},
    "pulsex.record_feedback(uuid,date,smallint,text,text,text)": {APP},
    "pulsex.set_updated_at()": set(),
    "pulsex.text_search_config(text)": set(),
    "pulsex.todays_briefing(uuid,text,timestamp with time zone)": {APP},
    "pulsex.update_preferences(uuid,jsonb)": {APP},
}
# Definer routines that do DDL instead of touching rows.
DDL = {"ops.ensure_partitions(integer,date)"}

SCHEMAS = "pronamespace::regnamespace::text IN ('auth', 'pulsex', 'ops')"
GRANTS = f"""SELECT p.oid::regprocedure::text,
        array(SELECT coalesce(nullif(grantee, 0)::regrole::text, 'PUBLIC')
            FROM aclexplode(coalesce(proacl, acldefault('f', proowner)))
            WHERE grantee <> proowner AND privilege_type = 'EXECUTE' AND NOT is_grantable)
    FROM pg_proc AS p WHERE {SCHEMAS}"""  # fmt: skip


def test_each_routine_may_be_called_by_those_named(dba):
    """The catalogue's grants are the table above: every routine of ours, and for each every role."""
    assert {routine: set(roles) for routine, roles in dba.rows(GRANTS)} == MAY_CALL


def test_nobody_may_pass_a_grant_on(dba):
    """No grant of ours carries the grant option."""
    dba.is_empty(f"SELECT oid::regprocedure FROM pg_proc, aclexplode(proacl) WHERE {SCHEMAS} AND is_grantable")


def test_public_may_call_nothing_of_ours(dba):
    """No routine outside PostgreSQL's own schemas is open to PUBLIC."""
    dba.is_empty(
        """SELECT p.oid::regprocedure FROM pg_proc AS p, aclexplode(coalesce(proacl, acldefault('f', proowner)))
        WHERE grantee = 0 AND pronamespace::regnamespace::text NOT IN ('pg_catalog', 'information_schema')"""
    )


def test_a_definer_routine_belongs_to_the_service(dba):
    """SECURITY DEFINER routines act as pulsex_service; those that do DDL, as the owner of the tables."""
    owners = f"SELECT oid::regprocedure::text, proowner::regrole::text FROM pg_proc WHERE {SCHEMAS} AND prosecdef"
    assert {routine for routine, owner in dba.rows(owners) if owner != SERVICE} == DDL
    assert {owner for routine, owner in dba.rows(owners) if routine in DDL} == {OWNER}


def test_a_definer_routine_pins_its_search_path(dba):
    """None can be led to another schema's objects by its caller's search_path."""
    dba.is_empty(
        f"""SELECT oid::regprocedure FROM pg_proc
        WHERE {SCHEMAS} AND prosecdef AND NOT 'search_path=""' = ANY (coalesce(proconfig, '{{}}'))"""
    )


@pytest.mark.parametrize("owner", [OWNER, SERVICE])
def test_a_new_routine_is_open_to_nobody(dba, owner):
    """What a migration or a routine file makes, without a word of privileges, only its owner may call."""
    dba.rows("GRANT CREATE ON SCHEMA ops TO pulsex_service")
    dba.rows(f"SET LOCAL ROLE {owner}")
    dba.rows("CREATE FUNCTION ops.unheard_of() RETURNS integer LANGUAGE sql RETURN 1")
    dba.results_eq(GRANTS + " AND proname = 'unheard_of'", [("ops.unheard_of()", [])])


@pytest.mark.parametrize("actor", ["sign_in", "alice", "worker", "privacy", "analyst"])
def test_the_key_is_rotated_by_no_application(request, actor):
    """rotate_signing_key raises 42501 to every role that logs in."""
    request.getfixturevalue(actor).throws_ok("SELECT auth.rotate_signing_key()", "42501")


@pytest.mark.parametrize("routine", ["register_user", "start_session", "issue_one_time_token", "login_credential"])
def test_an_application_request_cannot_make_itself_a_session(dba, routine):
    """A connection that serves requests may call none of what the sign-in service does, by no way at all."""
    dba.results_eq(
        """SELECT has_function_privilege('pulsex_app', oid, 'EXECUTE') FROM pg_proc
        WHERE pronamespace = 'auth'::regnamespace AND proname = %s""",
        [(False,)],
        routine,
    )


def test_a_deploy_takes_away_what_is_granted_nowhere(deployed):
    """A grant that isn't on the page is gone after the routines are replayed, and those that are stay."""
    with connect(deployed, autocommit=True) as connection:
        connection.execute("GRANT EXECUTE ON FUNCTION auth.start_session TO pulsex_app, PUBLIC")
        psql(deployed, DB / "routines.sql", role=OWNER)
        have = {routine: set(roles) for routine, roles in connection.execute(GRANTS)}
    assert have == MAY_CALL
