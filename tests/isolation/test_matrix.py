"""The isolation matrix, as declared and as it is."""

import psycopg
import pytest

from tests.actors import Actor
from tests.harness import Database
from tests.isolation import matrix, measure
from tests.schema.rules_row_security import OWN

POLICIES = """SELECT polrelid::regclass::text, polname::text, polroles::regrole[]::text, polcmd::text,
        pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)
    FROM pg_policy INNER JOIN pg_class AS c ON c.oid = polrelid WHERE NOT c.relispartition"""
EMPTY = "CREATE TABLE pulsex.forgotten (user_id uuid); CREATE SEQUENCE pulsex.forgotten_number"


@pytest.fixture
def transaction(dba: Actor):
    """The superuser's connection in a transaction, with a login decoy there for the owner not to see."""
    dba.rows("SELECT auth.record_login(gen_random_uuid(), false)")
    return dba.connection


@pytest.fixture
def declared(transaction: psycopg.Connection, database: Database):
    """The declared matrix, with the partitions that there are today."""
    found = measure.relations(transaction, database.cast["alice"])
    return matrix.MATRIX | {
        relation.name: matrix.PARTITION if relation.row else matrix.EMPTY_PARTITION
        for relation in found
        if relation.partition
    }


def test_everybody_may_do_what_the_matrix_says_and_no_more(transaction, database, declared):
    """Every relation, verb and actor on real connections is as declared, and no relation is missing or too many."""
    have = measure.measure(transaction, measure.by_connection(database), database.cast)
    assert matrix.difference(have, declared) == {}


def test_impersonated_actors_measure_the_same(transaction, database, declared):
    """SET SESSION AUTHORIZATION, which the mutation tests use, sees what real connections see."""
    have = measure.measure(transaction, measure.by_authorization(transaction, database.cast), database.cast)
    assert matrix.difference(have, declared) == {}


def test_whoever_sees_nothing_had_a_row_to_see(transaction, database):
    """Where the matrix says that somebody finds no row, there is one."""
    rows = {relation.name: relation.row for relation in measure.relations(transaction, database.cast["alice"])}
    assert [name for name, cells in matrix.MATRIX.items() if "." in "".join(cells.values()) and not rows[name]] == []


@pytest.mark.parametrize("parent", matrix.PARTITIONED)
def test_a_partition_that_is_refused_holds_a_row(parent, transaction, database):
    """Alice's row is in one of the partitions that nobody reaches by name."""
    partitions = [r for r in measure.relations(transaction, database.cast["alice"]) if r.partition]
    assert any(relation.row for relation in partitions if relation.name.startswith(f"{parent}_"))


def test_the_grants_are_the_declared_ones(transaction):
    """Every grant on a relation or a column is declared: matrix.COLUMNS says which columns may be written."""
    assert matrix.difference(measure.grants(transaction), matrix.grants()) == {}


def test_the_callers_are_the_declared_ones(transaction):
    """Nobody may call a routine that the declaration doesn't give them."""
    assert measure.callers(transaction) ^ matrix.callers() == set()


def test_the_policies_are_the_declared_ones(transaction):
    """Where the owner finds nothing the service has every row, and the application's verbs their own policy each."""
    forced = {name: cells["alice"] for name, cells in matrix.MATRIX.items() if cells["owner"].startswith(".")}
    want = {(table, "service_all", "{pulsex_service}", "*", "true", "true") for table in forced}
    own = {"S": ("select_own", "r", OWN, None), "I": ("insert_own", "a", None, OWN)}
    own |= {"U": ("update_own", "w", OWN, OWN), "D": ("delete_own", "d", OWN, None)}
    for table, verbs in forced.items():
        for name, command, reads, writes in (own[verb] for verb in verbs if verb in own):
            want.add((table, name, "{pulsex_app}", command, reads, writes))
    assert {*transaction.execute(POLICIES)} ^ want == set()


def test_a_relation_missing_from_the_declaration_is_noticed(transaction, database):
    """A new table and a new sequence are measured, though nobody has declared them."""
    transaction.execute(EMPTY)
    become = measure.by_authorization(transaction, database.cast)
    have = measure.measure(transaction, become, database.cast, ["pulsex.forgotten", "pulsex.forgotten_number"])
    assert {name: cells["alice"] for name, cells in have.items()} == dict.fromkeys(have, "-----")
    assert len(matrix.difference(have, {})) == 2
