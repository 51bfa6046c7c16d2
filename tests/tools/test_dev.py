"""The main job, end to end, as a newcomer runs it."""

import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from argon2 import PasswordHasher

from pulsex import __main__ as pulsex
from pulsex import cluster, deploy, dev, throwaway

EXAMPLE = (deploy.ROOT / "examples" / "briefing.json").read_text()
pytestmark = pytest.mark.xdist_group("dev")


def run(home: Path, *options: str | Path) -> subprocess.CompletedProcess[str]:
    """Run ``python -m pulsex dev --once`` with its data in a folder."""
    return subprocess.run(
        [sys.executable, "-m", "pulsex", "dev", "--once", *options],
        cwd=deploy.ROOT, env=os.environ | {"PULSEX_HOME": str(home)}, capture_output=True, text=True,
    )  # fmt: skip


def contents(url: str) -> dict[str, str]:
    """Return a hash of each table's rows, system columns too, so that a row written again as it was is seen."""
    tables = """SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r'
        AND relnamespace IN ('auth'::regnamespace, 'pulsex'::regnamespace, 'ops'::regnamespace)"""
    rows = "SELECT md5(string_agg(t.xmin::text || t::text, '' ORDER BY t.ctid)) FROM {} AS t"
    with psycopg.connect(url) as connection:
        names = [name for (name,) in connection.execute(tables)]
        return {name: connection.execute(rows.format(name)).fetchone()[0] for name in names}


@dataclass
class Told:
    """Where the story was told: the folder, the superuser's URL of the running server, and what was printed."""

    home: Path
    url: str
    story: str


@pytest.fixture(scope="module")
def told():
    """The story, told once, and its server, started again."""
    with tempfile.TemporaryDirectory(prefix="px", dir=throwaway.temporary_folder()) as folder:
        Path(folder).chmod(0o755)
        home = Path(folder) / "home"
        done = run(home)
        assert done.returncode == 0, done.stderr
        persistent = cluster.persistent(home)
        assert persistent.start(), "the story has stopped what it started"
        yield Told(home, persistent.url(), done.stdout)
        persistent.stop()


def test_the_story_is_told(told):
    """Alice's briefing is published, read by her in full, rated, and not seen by Bob."""
    for section in json.loads(EXAMPLE)["sections"]:
        assert all(item["title"] in told.story for item in section["items"])
    assert "version 1" in told.story
    assert "rates it 5" in told.story
    assert "in his own session: 0 rows" in told.story
    assert "postgresql://postgres:" in told.story


def test_telling_it_again_changes_nothing(told):
    """A second run writes no row, not even one as it was."""
    before = contents(told.url)
    assert run(told.home).returncode == 0
    assert contents(told.url) == before


def test_the_seed_refuses_any_database_but_a_development_one(deployed):
    """Without pulsex.environment = 'development' the seed loads nothing."""
    with pytest.raises(deploy.DeployError, match="development"):
        deploy.psql(deployed, deploy.DB / "seed_data.sql")
    with psycopg.connect(deployed) as connection:
        assert connection.execute("SELECT FROM pulsex.users").rowcount == 0


def test_the_documented_password_is_everybodys(told):
    """The password in the documentation fits the hash that the seed gives every person."""
    with psycopg.connect(told.url) as connection:
        hashes = connection.execute("SELECT DISTINCT password_hash FROM auth.passwords").fetchall()
    assert all(PasswordHasher().verify(password_hash, dev.PASSWORD) for (password_hash,) in hashes)


BAD = {
    "not JSON": b'{"sections": [',
    "not UTF-8": b'{"sections": ["\xff"]}',
    "empty": b"",
    "null": b"null",
    "an array": b"[]",
    "without sections": b"{}",
    "sections not an array": b'{"sections": {}}',
    "an item without a summary": EXAMPLE.replace('"summary"', '"resume"', 1).encode(),
    "fifty megabytes": b'{"sections": [], "padding": "' + b"x" * 50_000_000 + b'"}',
    "a lone surrogate": EXAMPLE.replace('"headline": "', '"headline": "\\ud800', 1).encode(),
    "a NUL": EXAMPLE.replace('"headline": "', '"headline": "\\u0000', 1).encode(),
    "not a number": b'{"sections": [], "n": NaN}',
    "a number of 5000 digits": b'{"sections": [], "n": ' + b"1" * 5000 + b"}",
    "an id of 201 characters": EXAMPLE.replace('"id": "', '"id": "' + "x" * 201, 1).encode(),
    "nested too deeply": b"[" * 100_000 + b"]" * 100_000,
    "too large once stored": b'{"sections": [], "n": [' + b"1," * 130_000 + b"1]}",
}


@pytest.mark.parametrize("document", BAD.values(), ids=BAD.keys())
def test_a_malformed_document_is_refused(database, tmp_path, document):
    """A document that isn't a briefing is refused in one sentence, by the reader or by the database."""
    file = tmp_path / "briefing.json"
    file.write_bytes(document)
    with pytest.raises(dev.BadDocumentError) as refused:
        dev.check(database.url, dev.read(file))
    assert re.fullmatch(r"[^\n]+\.", str(refused.value))


@pytest.mark.parametrize("name", ["not JSON", "an item without a summary"])
def test_a_refused_document_changes_nothing(told, tmp_path, name, capsys, monkeypatch):
    """Whoever refuses it, the command says so in one sentence, exits with 2, and no row is written."""
    file = tmp_path / "briefing.json"
    file.write_bytes(BAD[name])
    before = contents(told.url)
    monkeypatch.setattr(dev, "HOME", told.home)
    code = pulsex.main(["dev", "--once", "--briefing", str(file)])
    said = capsys.readouterr()
    assert (code, said.out.strip()) == (2, "")
    assert said.err.startswith(f"pulsex: {file} can't be published: ")
    assert said.err.count("\n") == 1
    assert contents(told.url) == before


def test_a_missing_document_is_refused(told, tmp_path):
    """A file that isn't there gets one sentence and exit code 2."""
    done = run(told.home, "--briefing", tmp_path / "nowhere.json")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


def test_nobody_is_there_when_the_first_document_is_malformed(tmp_path):
    """In a new database a malformed document is refused before anything is loaded."""
    (tmp_path / "briefing.json").write_text("null")
    assert run(tmp_path / "home", "--briefing", tmp_path / "briefing.json").returncode == 2
    persistent = cluster.persistent(tmp_path / "home")
    assert persistent.start(), "what it started, it has stopped"
    with psycopg.connect(persistent.url()) as connection:
        assert connection.execute("SELECT 1 FROM pulsex.users").fetchall() == []
    persistent.stop()
