"""Deploying: whoever connects, as often as they like, all or nothing."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from pulsex import deploy, throwaway
from pulsex.__main__ import main

OWNERS = """
    SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class
    WHERE relnamespace::regnamespace::text IN ('auth', 'pulsex', 'ops', 'gdpr')
"""
DEFINERS = """
    SELECT DISTINCT pg_get_userbyid(proowner) FROM pg_proc
    WHERE prosecdef AND pronamespace::regnamespace::text IN ('auth', 'pulsex', 'gdpr')
"""


def query(url: str, sql: str) -> list[tuple[object, ...]]:
    """Return the rows of a statement."""
    with psycopg.connect(url) as connection:
        return connection.execute(sql).fetchall()


@pytest.fixture
def release(tmp_path):
    """A copy of db/ to change."""
    return Path(shutil.copytree(deploy.DB, tmp_path / "db"))


def test_deploying_again_changes_nothing(deployed):
    """A second deploy leaves the schema as it was."""
    before = deploy.snapshot(deployed)
    deploy.deploy(deployed)
    assert deploy.snapshot(deployed) == before


def test_a_superuser_deploys_for_the_owner(deployed):
    """Tables belong to pulsex_owner and definer routines to pulsex_service, though a superuser deployed."""
    assert query(deployed, OWNERS) == [("pulsex_owner",)]
    assert query(deployed, DEFINERS) == [("pulsex_service",)]


def test_a_database_owner_deploys_for_the_owner():
    """On a server whose operator is no superuser, as managed ones are, a deploy makes the very same objects."""
    with throwaway.scratch() as place, throwaway.Throwaway(**throwaway.settings(place)) as server:
        admin = server.url(database="postgres")
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute("CREATE ROLE operator LOGIN CREATEROLE")
            connection.execute("CREATE DATABASE managed OWNER operator")
        url = urlsplit(admin)._replace(netloc=f"operator@127.0.0.1:{urlsplit(admin).port}", path="/managed").geturl()
        deploy.deploy(url)
        deploy.deploy(url)
        assert query(url, OWNERS) == [("pulsex_owner",)]
        assert query(url, DEFINERS) == [("pulsex_service",)]
        superusers_view = deploy.snapshot(urlsplit(admin)._replace(path="/managed").geturl())
    assert superusers_view == (deploy.DB / "schema.sql").read_text()


def test_deploys_at_the_same_time_take_turns(server):
    """Three who deploy to a new database at once all succeed."""
    url = throwaway.create_database(server.url, "crowded")
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(deploy.deploy, [url] * 3))
    assert query(url, OWNERS) == [("pulsex_owner",)]
    server.drop(url)


@pytest.mark.parametrize(
    ("command", "lock", "options"),
    [
        ("deploy", deploy.TURN, ""),
        ("deploy", deploy.TURN, "?options=-c%20statement_timeout%3D1"),
        ("deploy", deploy.DBMATE_TURN, ""),
        ("rollback", deploy.TURN, ""),
    ],
    ids=["deploy", "in a hurry", "dbmate", "rollback"],
)
def test_a_lock_that_anybody_holds_is_not_waited_for_without_end(command, lock, options, deployed, capsys):
    """Whoever may connect can hold it for ever: exit code 3 after --wait, the process named, and nothing changed."""
    applied = query(deployed, "SELECT * FROM ops.schema_migrations")
    with psycopg.connect(deployed, user="pulsex_app", autocommit=True) as holder:
        holder.execute(f"SELECT pg_advisory_lock({lock})")
        assert main([command, deployed + options, "--wait", "0.05"]) == 3
        assert f" process {holder.info.backend_pid} of pulsex_app." in capsys.readouterr().err
    assert query(deployed, "SELECT * FROM ops.schema_migrations") == applied


@pytest.mark.parametrize("wait", ["0", "-1", "inf", "a while"])
def test_the_wait_has_an_end(wait, capsys):
    """To the server none would be for ever: exit code 2."""
    with pytest.raises(SystemExit) as ended:
        main(["deploy", "postgresql://nowhere.invalid/x", "--wait", wait])
    assert ended.value.code == 2
    assert "--wait" in capsys.readouterr().err


def test_options_in_the_url_are_kept(server):
    """A URL with session options of its own is deployed to as the owner all the same."""
    url = throwaway.create_database(server.url, "optioned")
    deploy.deploy(f"{url}?options=-c%20statement_timeout%3D60000")
    assert query(url, OWNERS) == [("pulsex_owner",)]
    server.drop(url)


@pytest.mark.parametrize("url", ["nonsense", "postgresql://127.0.0.1:1/nowhere", "postgresql://nowhere.invalid/x"])
def test_a_wrong_url_gets_one_sentence(url, capsys):
    """What isn't a URL, or leads nowhere, is said, with exit code 1."""
    assert main(["deploy", url]) == 1
    assert capsys.readouterr().err.startswith("pulsex: There is no database to be had at this URL: ")


def test_routines_are_replaced_all_or_none(deployed, release):
    """A mistake in one routine leaves every routine as it was."""
    before = deploy.snapshot(deployed)
    (release / "routines" / "identity.sql").write_text("CREATE FUNCTION pulsex.half() RETURNS void RETURN NULL;\nOops;")
    with pytest.raises(deploy.DeployError, match="Oops"):
        deploy.deploy(deployed, release)
    assert deploy.snapshot(deployed) == before


def test_a_migration_is_applied_whole_or_not_at_all(deployed, release):
    """A mistake in the middle of a migration leaves the tables as they were."""
    before = deploy.snapshot(deployed)
    (release / "migrations" / "999_half.sql").write_text(
        "-- migrate:up\nCREATE TABLE pulsex.half (n integer);\nOops;\n-- migrate:down\nDROP TABLE pulsex.half;\n"
    )
    with pytest.raises(deploy.DeployError, match="Oops"):
        deploy.deploy(deployed, release)
    assert deploy.snapshot(deployed) == before


def test_a_grant_that_leaves_the_page_leaves_the_database(deployed):
    """Privileges on routines follow db/routines/privileges.sql, also where they were wider before."""
    before = deploy.snapshot(deployed)
    with psycopg.connect(deployed) as connection:
        connection.execute("GRANT EXECUTE ON FUNCTION auth.start_session TO pulsex_app, PUBLIC")
    assert deploy.snapshot(deployed) != before
    deploy.deploy(deployed)
    assert deploy.snapshot(deployed) == before


def test_a_url_with_awkward_characters_works(server):
    """A database whose name needs quoting, in SQL and in a URL, is deployed to."""
    url = throwaway.create_database(server.url, 'it\'s 100% "odd"/?&#')
    deploy.deploy(url)
    assert query(url, OWNERS) == [("pulsex_owner",)]
    server.drop(url)


def test_rolling_back_undoes_the_latest_migration(deployed, release):
    """Rollback takes one migration back, after replaying the previous release's routines."""
    (release / "migrations" / "999_extra.sql").write_text(
        "-- migrate:up\nCREATE TABLE pulsex.extra (n integer);\n-- migrate:down\nDROP TABLE pulsex.extra;\n"
    )
    before = deploy.snapshot(deployed)
    deploy.deploy(deployed, release)
    assert query(deployed, "SELECT to_regclass('pulsex.extra') IS NOT NULL") == [(True,)]
    deploy.rollback(deployed, release, previous=deploy.DB)
    assert deploy.snapshot(deployed) == before
