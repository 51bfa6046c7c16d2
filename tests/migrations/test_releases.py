"""Two further releases: each release's code works on the next one's schema, and a release is rolled back in order."""

from __future__ import annotations

import psycopg
import pytest

from pulsex import deploy
from pulsex.fingerprint import ROWS, difference
from tests.cast import enter
from tests.migrations.releases import CONTRACT, EXPAND, release
from tests.migrations.walk import MIGRATIONS, declared_loss, descend, take

FOLLOW = "SELECT pulsex.follow_topics(%s, '{cities}')"
FOLLOW_WEIGHTED = "SELECT pulsex.follow_weighted_topics(%s, '{cities}', 3)"
pytestmark = pytest.mark.xdist_group("releases")


@pytest.fixture
def url(server):
    """A deployed database with the cast in it."""
    url = server.clone()
    yield url
    server.drop(url)


@pytest.fixture
def expand(tmp_path):
    """The release that adds a column, fills it, and gives a routine a second signature."""
    return release(tmp_path, EXPAND)


@pytest.fixture
def contract(tmp_path):
    """The release after that, which requires the column and takes the old signature away."""
    return release(tmp_path, CONTRACT)


def as_alice(url: str, server, sql: str) -> None:
    """Run a statement in Alice's session, on her id, and undo it."""
    alice = server.cast["alice"]
    with psycopg.connect(url, user="pulsex_app") as connection:
        connection.execute("SELECT auth.use_session(%s)", [alice.token])
        connection.execute(sql, [alice.user_id])
        connection.rollback()


def newcomer(url: str, email: str) -> None:
    """Let somebody register and do everything that the cast has done: it takes most of the routines."""
    with psycopg.connect(url, autocommit=True) as connection:
        enter(connection, email, "Europe/Lisbon")


def test_this_releases_code_works_on_the_next_schema(url, server, expand):
    """Between the migrations of a deploy and its routines, requests go on being served by the old ones."""
    deploy.dbmate(url, "up", expand)
    newcomer(url, "carol@example.com")
    as_alice(url, server, FOLLOW)


def unlogged(difference: list[str]) -> list[str]:
    """Return what differs but for the audit log, which says what the migrations did and is never undone."""
    return [line for line in difference if not line.startswith(f"~ {ROWS} audit.")]


def test_both_signatures_work_while_callers_change_over(url, server, expand):
    """After expand the old one calls the new one."""
    deploy.deploy(url, expand)
    as_alice(url, server, FOLLOW)
    as_alice(url, server, FOLLOW_WEIGHTED)


def test_what_was_there_is_filled(url, expand):
    """Each row of before has the day its person joined, in batches; each new one has its own."""
    with psycopg.connect(url) as connection:
        connection.execute(
            """INSERT INTO pulsex.topics (slug, label)
            SELECT 'topic-' || n, 'Topic' FROM generate_series(1, 250) AS n"""
        )
        connection.execute(
            """INSERT INTO pulsex.user_topics (user_id, topic_id) SELECT user_id, topic_id
            FROM pulsex.users CROSS JOIN pulsex.topics ON CONFLICT DO NOTHING"""
        )
    deploy.deploy(url, expand)
    with psycopg.connect(url) as connection:
        [(rows, transactions, wrong)] = connection.execute(
            """SELECT count(*), count(DISTINCT t.xmin::text), count(*) FILTER (WHERE t.followed_at <> u.created_at)
            FROM pulsex.user_topics AS t INNER JOIN pulsex.users AS u USING (user_id) WHERE followed_at IS NOT NULL"""
        ).fetchall()
    assert (rows, wrong) == (504, 0)
    assert transactions > 5


def test_the_code_of_expand_works_on_the_contracted_schema(url, server, expand, contract):
    """Required or not, the column is filled by its default."""
    deploy.deploy(url, expand)
    deploy.dbmate(url, "up", contract)
    newcomer(url, "carol@example.com")
    as_alice(url, server, FOLLOW)


def test_contract_takes_the_old_signature_away(url, server, expand, contract):
    """Whoever still calls it gets an error; the new one works."""
    deploy.deploy(url, expand)
    deploy.deploy(url, contract)
    as_alice(url, server, FOLLOW_WEIGHTED)
    with pytest.raises(psycopg.errors.UndefinedFunction):
        as_alice(url, server, FOLLOW)


def test_a_release_is_rolled_back_in_order(url, server, expand, contract):
    """The previous release's routines first, then the migrations: each release is again what it was, rows included."""
    first = take(url)
    deploy.deploy(url, expand)
    second = take(url)
    deploy.deploy(url, contract)
    deploy.rollback(url, contract, previous=expand)
    deploy.rollback(url, contract)
    assert unlogged(difference(second, take(url))) == []
    as_alice(url, server, FOLLOW)
    deploy.rollback(url, expand, previous=deploy.DB)
    deploy.rollback(url, expand)
    assert unlogged(difference(first, take(url))) == []


def test_migrations_rolled_back_first_would_break_the_code(url, server, expand, contract):
    """In the other order there is a time in which the old signature's callers, or the new one's, find nothing."""
    deploy.deploy(url, expand)
    deploy.rollback(url, expand)
    deploy.rollback(url, expand)
    with pytest.raises(psycopg.errors.UndefinedFunction):
        as_alice(url, server, FOLLOW)


def test_their_migrations_are_undone_exactly(url, tmp_path, expand, contract):
    """The example keeps the rules for migrations: down undoes up, and what is lost is declared."""
    deploy.dbmate(url, "up", contract)
    newcomer(url, "carol@example.com")
    migrations = sorted((contract / "migrations").glob("*.sql"))
    walk = descend(url, tmp_path / "walk", migrations[len(MIGRATIONS) :])
    for migration in migrations[len(MIGRATIONS) :]:
        step = walk.steps[migration.stem]
        assert unlogged(difference(step.below, step.below_again)) == []
        assert bool(declared_loss(migration)) == any(not table.startswith("audit.") for table in step.lost)
