"""Whichever release a database is of, deploying this one makes of it what a fresh deploy makes, and loses nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from pulsex import release, throwaway
from pulsex.deploy import DB, deploy, psql
from pulsex.fingerprint import ROWS, Fingerprint, difference, rows
from tests.migrations.walk import NAMES, take
from tests.resilience import released as released_dumps
from tests.resilience.released import dumps, load

pytestmark = pytest.mark.xdist_group("upgrade")

PARTITION = re.compile(r"_\d{4}_\d{2}")
PERSONAL = """SELECT c.oid::regclass::text FROM pg_class AS c INNER JOIN pg_attribute AS a ON a.attrelid = c.oid
    WHERE c.relkind = 'r' AND a.attname = 'user_id' AND c.relnamespace::regnamespace::text !~ '^pg_'"""


@pytest.fixture(scope="module", params=dumps(), ids=lambda file: file.name.partition(".")[0])
def released(request, server, tmp_path_factory) -> Iterator[str]:
    """A database as an earlier release left it."""
    url = throwaway.create_database(server.url, f"released_{next(server.numbers)}")
    psql(url, DB / "roles.sql")
    psql(url, load(request.param, tmp_path_factory.mktemp("released") / "dump.sql"))
    yield url
    server.drop(url)


@pytest.fixture(scope="module")
def upgraded(released) -> tuple[str, Fingerprint, Fingerprint]:
    """It, with this release deployed, and what it was before and after."""
    before = take(released)
    deploy(released)
    return released, before, take(released)


def lasting(fingerprint: Fingerprint) -> Fingerprint:
    """Return what doesn't follow the calendar, nor is anybody's rows."""
    return {
        name: said
        for name, said in fingerprint.items()
        if not name.startswith(f"{ROWS} ") and not PARTITION.search(name)
    }


def test_an_upgraded_database_equals_a_fresh_one(upgraded, deployed):
    """Every object, to the last comment, privilege and policy, but for the months that there are partitions of."""
    _, _, after = upgraded
    have, want = lasting(after), lasting(take(deployed))
    assert difference(have, want) == []
    assert len(want) > 2000


def test_an_upgrade_loses_nobodys_rows(upgraded, figures):
    """Each person's rows are all there; unless the table has changed, each as it was."""
    url, before, after = upgraded
    with psycopg.connect(url) as connection:
        personal = {f"{ROWS} {table}" for (table,) in connection.execute(PERSONAL).fetchall()}
    kept = {name: said for name, said in rows(before).items() if name in personal}
    for name, said in kept.items():
        columns = f"column {name.removeprefix(f'{ROWS} ')}."
        unchanged = [line for line in difference(before, after) if line[2:].startswith(columns)] == []
        assert int(after[name].partition(",")[0]) >= int(said.partition(",")[0])
        assert after[name] == said or not unchanged
    assert len(kept) > 20
    figures["people's rows kept by an upgrade"] += sum(int(said.partition(",")[0]) for said in kept.values())


def test_who_was_there_before_an_upgrade_signs_in_after_it(upgraded):
    """Alice of that release has her password, a new session, and her briefing; and the log verifies."""
    url, *_ = upgraded
    with psycopg.connect(url, user="pulsex_auth") as sign_in:
        [user_id] = sign_in.execute("SELECT user_id FROM auth.login_credential('alice@example.com')").fetchone()
        [token] = sign_in.execute("SELECT auth.start_session(%s)", [user_id]).fetchone()
    with psycopg.connect(url, user="pulsex_app") as app:
        assert app.execute("SELECT auth.use_session(%s)", [token]).fetchone() == (user_id,)
        assert app.execute("SELECT title FROM pulsex.briefing_history(%s)", [user_id]).rowcount == 1
    with psycopg.connect(url, user="pulsex_privacy") as officer:
        assert officer.execute("SELECT FROM audit.verify()").rowcount == 0


def test_there_is_a_dump_of_each_release():
    """The first release's is there, and none is of a migration that isn't."""
    names = [file.name.partition(".")[0] for file in dumps()]
    assert names
    assert set(names) <= set(NAMES)


def test_the_dump_of_what_is_released_is_kept(tmp_path, monkeypatch):
    """Whatever the code has become since, it is what people upgrade from."""
    kept = tmp_path / f"{NAMES[-1]}{released_dumps.SUFFIX}"
    kept.write_bytes(b"as it was")
    monkeypatch.setattr(released_dumps, "FOLDER", tmp_path)
    monkeypatch.setattr(release, "recorded", lambda folder: {f"{NAMES[-1]}.sql": ""})
    assert released_dumps.main() == 0
    assert kept.read_bytes() == b"as it was"


def test_a_dump_is_small():
    """Each is a file that a clone of the repository doesn't notice."""
    assert all(Path(file).stat().st_size < 300_000 for file in dumps())
