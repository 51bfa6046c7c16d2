"""Alice tries to reach Bob's rows with SQL; each attack fails, and succeeds once its guard is taken away."""

import psycopg
import pytest

from tests.actors import Actor
from tests.harness import Database
from tests.isolation import attacks, measure

PARTITION = """
    SELECT tableoid::regclass::text FROM pulsex.briefings WHERE user_id = %s
"""


@pytest.fixture
def target(dba: Actor, database: Database):
    """Who attacks whom, and where the rows are."""
    alice, bob = database.cast["alice"], database.cast["bob"]
    partition = dba.value(PARTITION, bob.user_id)
    return {"me": alice.user_id, "bob": bob.user_id, "date": bob.briefing_date, "partition": partition}


def how_it_ends(connection: psycopg.Connection, sql: str) -> str:
    """Run an attack; return the SQLSTATE, or whether it touched any row."""
    try:
        with connection.transaction(force_rollback=True):
            rows = connection.execute(sql).rowcount
    except psycopg.Error as error:
        return error.sqlstate
    return attacks.DONE if rows else attacks.NO_ROWS


@pytest.mark.parametrize("attack", attacks.ATTACKS, ids=str)
def test_the_attack_fails(attack, alice, target):
    """The attack ends in an error or finds nothing."""
    alice.rows("SELECT")
    assert how_it_ends(alice.connection, attack.sql.format(**target)) == attack.ends


@pytest.mark.parametrize("attack", attacks.ATTACKS, ids=str)
def test_the_attack_succeeds_without_its_guard(attack, dba, database, target):
    """With the guard gone there is a row to reach, so that the guard is what stood in the way."""
    become = measure.by_authorization(dba.connection, database.cast)
    with dba.connection.transaction(force_rollback=True):
        dba.connection.execute(attack.guard.format(**target))
        with become("alice") as connection:
            assert how_it_ends(connection, attack.sql.format(**target)) == attack.then


def test_a_row_can_not_be_moved_though_its_column_is_granted(dba, database, target):
    """Behind the column grants stands WITH CHECK: user_id granted by mistake still can't be another's."""
    become = measure.by_authorization(dba.connection, database.cast)
    dba.rows("GRANT UPDATE (user_id) ON pulsex.user_topics TO pulsex_app")
    with become("alice") as connection:
        assert how_it_ends(connection, f"UPDATE pulsex.user_topics SET user_id = '{target['bob']}'") == "42501"


def test_copy_shows_ones_own_rows_alone(alice, published):
    """COPY reads through the policies too."""
    alice.rows("SELECT")
    with alice.connection.cursor().copy("COPY pulsex.users (user_id) TO STDOUT") as copy:
        assert list(copy.rows()) == [(str(published.user_id),)]


def test_copy_puts_nothing_in(alice, bob):
    """COPY FROM, which policies can't check, is refused where there are policies."""
    alice.rows("SELECT")
    copying = alice.connection.cursor().copy("COPY pulsex.user_topics FROM STDIN")
    with pytest.raises(psycopg.errors.FeatureNotSupported), alice.connection.transaction(), copying as copy:
        copy.write_row((bob.user_id, bob.user_id, 1))


@pytest.mark.parametrize(
    ("options", "seen"),
    [("security_invoker = true, security_barrier = true", 1), ("security_barrier = true", 2)],
)
def test_a_view_shows_ones_own_rows_if_it_asks_as_its_caller(options, seen, dba, database):
    """A security_invoker view shows Alice herself; one that asks as the service would show her Bob as well."""
    dba.rows(f"CREATE VIEW pulsex.people WITH ({options}) AS SELECT * FROM pulsex.users")
    dba.rows("GRANT SELECT ON pulsex.people TO pulsex_app; ALTER VIEW pulsex.people OWNER TO pulsex_service")
    with measure.by_authorization(dba.connection, database.cast)("alice") as connection:
        assert connection.execute("SELECT count(*) FROM pulsex.people").fetchone() == (seen,)
