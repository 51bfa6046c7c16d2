"""A backup is restored to the last row, in parallel, or there is one sentence that says what to do."""

from __future__ import annotations

import contextlib
import json
import subprocess
from pathlib import Path

import psycopg
import pytest

from pulsex import throwaway
from pulsex.__main__ import main
from pulsex.cluster import find_bin
from pulsex.deploy import DB, psql
from pulsex.fingerprint import ROWS, difference, rows
from pulsex.restore import ROLES, RestoreError, erase_again, require_sound
from tests.migrations.walk import take

pytestmark = pytest.mark.xdist_group("backup")


def dumped(url: str, place: Path, *arguments: str) -> Path:
    """Back a database up, by two connections at once."""
    dump = place / "dump"
    run = [find_bin() / "pg_dump", "-Fd", "-j2", "-f", dump, *arguments, "-d", url]
    subprocess.run(run, check=True, capture_output=True)
    return dump


@pytest.fixture(scope="module")
def original(server):
    """The database that is backed up: the cast's."""
    url = server.clone()
    yield url
    server.drop(url)


@pytest.fixture(scope="module")
def dump(original, tmp_path_factory) -> Path:
    """Its backup."""
    return dumped(original, tmp_path_factory.mktemp("backup"))


@pytest.fixture
def empty(server):
    """A new database to restore into."""
    url = throwaway.create_database(server.url, f"restored_{next(server.numbers)}")
    yield url
    server.drop(url)


@pytest.fixture
def ledger(server, original, tmp_path) -> Path:
    """The ledger's file, written when Alice had been erased after the backup was made."""
    file = tmp_path / "ledger.json"
    with psycopg.connect(original, user="pulsex_privacy") as officer:
        officer.execute("SELECT gdpr.erase_user(%s, 'asked for')", [server.cast["alice"].user_id])
        file.write_text(json.dumps(officer.execute("SELECT gdpr.export_erasure_ledger()").fetchone()[0]))
        officer.rollback()
    return file


def test_a_restored_backup_is_what_was_backed_up(original, dump, empty, capsys, figures):
    """Every object and every row: the fingerprints are equal, and it is said what came back, and who may have."""
    assert main(["restore", str(dump), empty]) == 0
    before, after = take(original), take(empty)
    assert difference(before, after) == []
    count = sum(int(said.partition(",")[0]) for said in rows(after).values())
    tables = sum(name.startswith(f"{ROWS} ") for name in after)
    said = capsys.readouterr().out
    assert said.startswith(f"Restored {count} rows in {tables} tables;")
    assert said.endswith("whoever was erased since the backup was made is back.\n")
    figures["rows restored and compared"] += count
    figures["objects restored and compared"] += len(after) - tables


# One sentence ---------------------------------------------------------------------------------------------------------


def refused(capsys, *arguments: object) -> str:
    """Return what is said by a restore that fails: one message, with exit code 1."""
    assert main(["restore", *map(str, arguments)]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("pulsex: ")
    assert "Traceback" not in said.err
    return said.err.removeprefix("pulsex: ").strip()


def test_a_server_without_the_roles_gets_one_instruction(server, scratch_place, original, ledger, tmp_path, capsys):
    """It names them and the command that makes them, and nothing has happened; after the command everybody comes back.

    But for Alice, who was erased since. The backup is one of pulsex_service's, under row level security, as where
    nobody is superuser.
    """
    dump = dumped(original, tmp_path, "--role=pulsex_service", "--enable-row-security")
    with throwaway.Throwaway(**throwaway.settings(scratch_place)) as stranger:
        url = throwaway.create_database(stranger.url(database="postgres"), "restored")
        said = refused(capsys, dump, url)
        assert said.count("\n") == 0
        assert said.startswith(f"This server lacks the roles {', '.join(ROLES)}: ")
        assert f"psql -f {DB / 'roles.sql'} -d '" in said
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT FROM pg_namespace WHERE nspname = 'pulsex'").rowcount == 0
        psql(url, DB / "roles.sql")
        assert main(["restore", str(dump), url, "--ledger", str(ledger)]) == 0
        assert capsys.readouterr().out.endswith("Erased again: 1.\n")
        with psycopg.connect(url, user="pulsex_privacy") as officer:
            found = "SELECT FROM gdpr.find_personal_data(%s)"
            assert officer.execute(found, [server.cast["alice"].user_id]).rowcount == 0
            assert officer.execute(found, [server.cast["bob"].user_id]).rowcount > 10


def test_a_database_that_is_not_empty_is_left_alone(original, dump, capsys):
    """It isn't restored over."""
    before = take(original)
    assert refused(capsys, dump, original).startswith("The database at this URL has schemas of ours: ")
    assert difference(before, take(original)) == []


def test_what_is_no_backup_is_refused(tmp_path, empty, capsys):
    """A file of something else, and one that isn't there, by what pg_restore says first."""
    (tmp_path / "text").write_text("SELECT 1;")
    assert "pg_restore: error: " in refused(capsys, tmp_path / "text", empty)
    assert "pg_restore: error: " in refused(capsys, tmp_path / "nothing", empty)


def test_what_is_no_ledger_is_refused_before_anything_is_restored(dump, tmp_path, empty, capsys):
    """A typing mistake doesn't leave a restored database in which the erased are back."""
    assert "is no erasure ledger" in refused(capsys, dump, empty, "--ledger", tmp_path / "nothing")
    (tmp_path / "ledger").write_text("{")
    assert "is no erasure ledger" in refused(capsys, dump, empty, "--ledger", tmp_path / "ledger")
    with psycopg.connect(empty) as connection:
        assert connection.execute("SELECT FROM pg_namespace WHERE nspname = 'pulsex'").rowcount == 0


def test_a_backup_that_lost_a_file_is_told(dump, tmp_path, empty, capsys):
    """What comes of half a backup is said to be half a database, which nobody but a superuser gets into."""
    (tmp_path / "half").mkdir()
    largest = max(dump.iterdir(), key=lambda file: file.stat().st_size)
    for file in dump.iterdir():
        if file == largest and file.name != "toc.dat":
            continue
        (tmp_path / "half" / file.name).write_bytes(file.read_bytes())
    if largest.name == "toc.dat":
        next((tmp_path / "half").glob("*.dat.gz")).unlink()
    assert refused(capsys, tmp_path / "half", empty).endswith(
        "The database is half restored: drop it, and begin again."
    )
    with psycopg.connect(empty) as connection:
        enters = "SELECT has_database_privilege('pulsex_app', current_database(), 'CONNECT')"
        assert connection.execute(enters).fetchone() == (False,)


# What it looks at when all is restored --------------------------------------------------------------------------------


def test_a_ledger_that_cannot_be_replayed_lets_nobody_in(original):
    """It is said that nobody was erased."""
    with pytest.raises(RestoreError, match=r"^Restored, but nobody was erased again, so nobody is let in: "):
        erase_again(original, {"format_version": 2})


@pytest.mark.parametrize(
    ("flaw", "said"),
    [
        ("SELECT TRUE", ""),
        (
            "ALTER TABLE audit.seals DISABLE TRIGGER ALL; UPDATE audit.seals SET events = events + 1",
            "audit log: seal_changed",
        ),
        ("UPDATE pg_index SET indisvalid = FALSE WHERE indexrelid = 'pulsex.users_pk'::regclass",
         "pulsex.users_pk is not valid"),
        ("ALTER TABLE pulsex.topics ADD CONSTRAINT topics_n_check CHECK (slug <> '') NOT VALID",
         "topics_n_check is not validated"),
    ],
)  # fmt: skip
def test_what_is_not_sound_is_told(dba, flaw, said):
    """A log that doesn't verify, an index or a constraint that doesn't hold."""
    dba.rows(flaw)
    with contextlib.suppress(RestoreError) if not said else pytest.raises(RestoreError, match=said):
        assert require_sound(dba.connection) is None
