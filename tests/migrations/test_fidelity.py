"""Every migration can be undone, exactly: on an empty database and on one with rows, and all the way down."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path

import psycopg
import pytest

from pulsex import deploy, fingerprint, throwaway
from pulsex.fingerprint import difference
from tests.migrations.walk import MIGRATIONS, NAMES, Step, Walk, climb, declared_loss, descend, take

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("fidelity")]

# A failed login of nobody's: a decoy and an event that waits for its seal, of which the cast leaves none.
DECOY = "SELECT auth.record_login(gen_random_uuid(), FALSE)"
# What a deploy makes anew: keys of its own, and when it made the settings.
NEW = {f"{fingerprint.ROWS} {table}" for table in ("auth.signing_key", "gdpr.ledger_keys", "gdpr.settings")}


@pytest.fixture(scope="module")
def roles_alone(server):
    """The fingerprint of a database that has the roles and nothing else."""
    url = throwaway.create_database(server.url, "roles_alone")
    deploy.psql(url, deploy.DB / "roles.sql")
    yield take(url)
    server.drop(url)


@pytest.fixture(scope="module")
def empty(server, tmp_path_factory) -> Walk:
    """The walk up from a database that has the roles and nothing else."""
    url = throwaway.create_database(server.url, "climbed")
    deploy.psql(url, deploy.DB / "roles.sql")
    yield climb(url, tmp_path_factory.mktemp("climb"))
    server.drop(url)


@pytest.fixture(scope="module")
def populated(server, tmp_path_factory) -> Walk:
    """The walk down from a deployed database with the cast in it."""
    url = server.clone()
    with psycopg.connect(url) as connection:
        connection.execute(DECOY)
    yield descend(url, tmp_path_factory.mktemp("descend"))
    server.drop(url)


@pytest.fixture(params=["empty", "populated"])
def walk(request) -> Walk:
    """Each of both walks."""
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("name", NAMES)
def test_down_undoes_up(walk, name):
    """Before up N, and after up N and down N, the database is the same, rows included."""
    step = walk.steps[name]
    assert difference(step.below, step.below_again) == []


@pytest.mark.parametrize("name", NAMES)
def test_up_again_equals_the_first_time(empty, name):
    """Up N makes the same whether N was there before or not, and makes something."""
    step = empty.steps[name]
    assert difference(step.above, step.above_again) == []
    assert step.below != step.above


@pytest.mark.parametrize("migration", MIGRATIONS, ids=NAMES)
def test_a_migration_says_whether_it_loses_rows(populated, migration):
    """Its way down says `-- loses:` if down and up again change any table's rows, and only then."""
    assert bool(declared_loss(migration)) == bool(populated.steps[migration.stem].lost)


def test_every_table_has_rows_to_lose(populated):
    """The walk starts with a row in every table, so that no loss goes unseen."""
    start = populated.steps[NAMES[-1]].above
    tables = {name.removeprefix("relation ") for name, said in start.items() if '"relkind": "r"' in said}
    partitions = {name for name in tables if '"relispartition": true' in start[f"relation {name}"]}
    filled = {name.removeprefix(f"{fingerprint.ROWS} ") for name in fingerprint.rows(start)}
    assert tables - partitions - filled == set()
    assert partitions & filled


def test_all_the_way_down_leaves_an_empty_database(walk, roles_alone):
    """Only dbmate's own table is left, empty, in its schema."""
    left = difference(roles_alone, walk.bottom)
    assert walk.bottom[f"{fingerprint.ROWS} ops.schema_migrations"].startswith("0,")
    assert [line for line in left if "ops.schema_migrations" not in line] == [
        f"+ schema ops: {walk.bottom['schema ops']}"
    ]


def test_all_the_way_down_and_up_equals_the_first_time(deployed):
    """Deployed, undone and deployed again, the database is the same but for its signing key."""
    before = take(deployed)
    for _ in MIGRATIONS:
        deploy.rollback(deployed)
    deploy.deploy(deployed)
    after = take(deployed)
    assert {name for name in {*before, *after} if before.get(name) != after.get(name)} == NEW


def test_loading_the_snapshot_equals_deploying(server, deployed):
    """The snapshot makes every object that a deploy makes, to the last comment, but for partitions and rows."""
    url = throwaway.create_database(server.url, "snapshot")
    deploy.psql(url, deploy.DB / "roles.sql")
    deploy.psql(url, deploy.DB / "schema.sql")
    made, loaded = take(deployed), take(url)
    server.drop(url)
    assert set(loaded) - set(made) == set()
    differing = {name for name in loaded if loaded[name] != made[name]}
    assert {name for name in differing if not name.startswith(fingerprint.ROWS)} == set()


GROUND = "CREATE SCHEMA s; CREATE TABLE s.t (n integer); INSERT INTO s.t VALUES (1);", "DROP SCHEMA s CASCADE;"
# What a way down leaves as the way up made it.
FORGOTTEN = {
    "comment schema s": "COMMENT ON SCHEMA s IS 'x';",
    "schema s": "GRANT USAGE ON SCHEMA s TO pulsex_app;",
    "column s.t.n": "ALTER TABLE s.t ALTER n SET DEFAULT 1;",
    "rows of s.t": "UPDATE s.t SET n = 2;",
    "relation s.t": "ALTER TABLE s.t ENABLE ROW LEVEL SECURITY;",
}


def write(server, folder: Path, up: str, down: str) -> tuple[str, Path, list[Path]]:
    """Write two migrations, the first of which makes a table with a row, and return them with a new database."""
    url = throwaway.create_database(server.url, f"sketched_{uuid.uuid4().hex}")
    deploy.psql(url, deploy.DB / "roles.sql")
    (folder / "db").mkdir()
    migrations = [folder / "001_ground.sql", folder / "002_sketch.sql"]
    for migration, ways in zip(migrations, (GROUND, (up, down)), strict=True):
        migration.write_text("-- migrate:up\n{}\n-- migrate:down\n{}\n".format(*ways))
    return url, folder / "db", migrations


@pytest.fixture(scope="module")
def forgetful(server, tmp_path_factory) -> Step:
    """The step of a migration that forgets everything on its way down."""
    url, place, migrations = write(server, tmp_path_factory.mktemp("forget"), " ".join(FORGOTTEN.values()), "SELECT 1;")
    yield climb(url, place, migrations).steps["002_sketch"]
    server.drop(url)


@pytest.mark.parametrize("name", FORGOTTEN)
def test_a_way_down_that_forgets_something_is_found(forgetful, name):
    """The step shows each thing that up and down leave different."""
    assert [line for line in difference(forgetful.below, forgetful.below_again) if line[2:].startswith(f"{name}:")]


def test_nothing_else_is_found_forgotten(forgetful):
    """The step shows no thing that was not forgotten."""
    found = {line[2:].partition(":")[0] for line in difference(forgetful.below, forgetful.below_again)}
    assert found == set(FORGOTTEN)


def test_a_way_down_that_loses_a_value_is_found(server, tmp_path):
    """A column that comes back with its default has lost what was in it."""
    ways = "ALTER TABLE s.t ADD m integer DEFAULT 1;", "ALTER TABLE s.t DROP m;"
    url, place, migrations = write(server, tmp_path, *ways)
    (place / "migrations").mkdir()
    for migration in migrations:
        shutil.copy(migration, place / "migrations")
    deploy.dbmate(url, "up", place)
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE s.t SET m = 2")
    assert descend(url, place, migrations).steps["002_sketch"].lost == {"s.t"}
    server.drop(url)
