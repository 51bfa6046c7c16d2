"""Who tests the tests: each guard is taken away, in a transaction that is rolled back, and something must notice."""

from collections.abc import Iterator

import psycopg
import pytest

from tests.actors import Actor
from tests.harness import Database
from tests.isolation import matrix, measure, mutants
from tests.schema.rules_row_security import RULES

POLICIES = """
    SELECT c.oid::regclass::text, p.polname::text FROM pg_policy AS p INNER JOIN pg_class AS c ON c.oid = p.polrelid
    WHERE NOT c.relispartition
"""
UPDATES = sorted(relation for relation, policy in mutants.policies() if policy == "update_own")
CALLS = sorted(routine for _, routine in matrix.callers())
LOGINS = [role for role in dict.fromkeys(matrix.ACTORS.values()) if role not in ("pulsex_owner", "pulsex_service")]


@pytest.fixture
def mutable(dba: Actor) -> Iterator[psycopg.Connection]:
    """The superuser's connection in a transaction that is rolled back at once, so that nobody waits for its locks."""
    with dba.connection.transaction(force_rollback=True):
        dba.connection.execute("SELECT auth.record_login(gen_random_uuid(), false)")
        yield dba.connection


def noticed_by_the_matrix(connection: psycopg.Connection, database: Database, relation: str) -> dict:
    """Return what the matrix shows of a relation that isn't as declared."""
    become = measure.by_authorization(connection, database.cast)
    [(name, have)] = measure.measure(connection, become, database.cast, [relation]).items()
    return matrix.difference(have, matrix.MATRIX.get(name, matrix.PARTITION))


def noticed_by_the_grants(connection: psycopg.Connection, *only: str) -> dict:
    """Return the grants that aren't as declared, or those on the relations named."""
    return matrix.difference(measure.grants(connection, only), matrix.grants(only))


def broken_rules(connection: psycopg.Connection) -> list[str]:
    """Return the rules of row level security that are broken."""
    return [rule.name for rule in RULES if rule.findings(connection)]


def partitions(connection: psycopg.Connection, parent: str) -> list[str]:
    """Return the names of the partitions of a table."""
    children = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s::regclass"
    return [name for (name,) in connection.execute(children, [parent]).fetchall()]


def test_every_policy_has_its_mutants(mutable):
    """The policies that are mutated are the policies there are."""
    assert set(mutable.execute(POLICIES).fetchall()) == mutants.policies()


@pytest.fixture(scope="module")
def noticed_before() -> dict[str, dict]:
    """What the matrix shows of a relation to which nothing was done, for each that was looked at."""
    return {}


@pytest.mark.parametrize(("relation", "sql", "effect"), list(mutants.of_row_security()))
def test_the_matrix_notices(relation, sql, effect, mutable, database, noticed_before):
    """Row level security taken away opens a cell of the matrix; a policy taken away loses one."""
    if relation not in noticed_before:
        noticed_before[relation] = noticed_by_the_matrix(mutable, database, relation)
    assert noticed_before[relation] == {}
    mutable.execute(sql)
    noticed = noticed_by_the_matrix(mutable, database, relation).values()
    effects = {
        mutants.CHANGED: noticed,
        mutants.OPENED: [set(have) - set(want) - set("-.") for have, want in noticed],
        mutants.LOST: [set(want) - set(have) - set("-.") for have, want in noticed],
    }
    assert any(effects[effect]), noticed


@pytest.mark.parametrize("relation", UPDATES)
def test_a_rule_notices_an_update_that_may_end_anywhere(relation, mutable):
    """WITH CHECK (true) stands behind the column grants, where only a rule can see it."""
    mutable.execute(f"ALTER POLICY update_own ON {relation} WITH CHECK (true)")
    assert len(broken_rules(mutable)) == 2


@pytest.mark.parametrize("sql", mutants.of_partitions())
@pytest.mark.parametrize("parent", matrix.PARTITIONED)
def test_whatever_is_done_to_any_partition_is_noticed(parent, sql, mutable):
    """A grant on a partition, or row security that isn't enabled or forced there, is noticed for each."""
    for partition in partitions(mutable, parent):
        with mutable.transaction(force_rollback=True):
            mutable.execute(sql.format(partition=partition))
            assert noticed_by_the_grants(mutable) or broken_rules(mutable), partition


# Into the schema of the audit log the application doesn't even come.
@pytest.mark.parametrize("parent", [parent for parent in matrix.PARTITIONED if parent.startswith("pulsex.")])
def test_the_matrix_notices_a_partition_that_can_be_read_by_name(parent, mutable, database):
    """Granted and without row security, Alice's partition shows her row to Bob and to strangers."""
    [name] = [r.name for r in measure.relations(mutable, database.cast["alice"], partitions(mutable, parent)) if r.row]
    mutable.execute(f"GRANT SELECT ON {name} TO pulsex_app; ALTER TABLE {name} DISABLE ROW LEVEL SECURITY")
    assert {"bob", "stranger"} <= noticed_by_the_matrix(mutable, database, name).keys()


@pytest.mark.parametrize("relation", matrix.MATRIX)
def test_every_grant_too_many_or_too_few_is_noticed(relation, mutable, database):
    """Each verb and column granted where it wasn't, or revoked where it was, is noticed."""
    [found] = measure.relations(mutable, database.cast["alice"], [relation])
    for sql in mutants.of_grants(relation, found.columns, matrix.grants()):
        with mutable.transaction(force_rollback=True):
            mutable.execute(sql)
            assert noticed_by_the_grants(mutable, relation), sql


@pytest.mark.parametrize("routine", CALLS)
def test_every_caller_too_many_or_too_few_is_noticed(routine, mutable):
    """Each routine granted to a role or PUBLIC that may not call it, or revoked from one that may, is noticed."""
    for role in [*LOGINS, "PUBLIC"]:
        verb = "REVOKE {} FROM {}" if (role, routine) in matrix.callers() else "GRANT {} TO {}"
        with mutable.transaction(force_rollback=True):
            mutable.execute(verb.format(f"EXECUTE ON ROUTINE {routine}", role))
            assert measure.callers(mutable) != matrix.callers(), role


@pytest.mark.parametrize("sql", ["REVOKE USAGE ON SCHEMA pulsex", "REVOKE ALL ON ALL TABLES IN SCHEMA pulsex"])
def test_the_matrix_notices_that_nobody_can_work(sql, mutable, database):
    """Alice's own access is declared too: a revoke too many is noticed."""
    mutable.execute(f"{sql} FROM pulsex_app")
    assert noticed_by_the_matrix(mutable, database, "pulsex.briefings")["alice"] == ("-----", "S-U--")


@pytest.mark.parametrize("power", ["BYPASSRLS", "SUPERUSER"])
def test_the_matrix_notices_a_role_above_the_policies(power, mutable, database):
    """With a power that policies don't bind, the application would show Alice's row to Bob."""
    mutable.execute(f"ALTER ROLE pulsex_app {power}")
    assert "bob" in noticed_by_the_matrix(mutable, database, "pulsex.briefings")


def test_the_matrix_notices_whoever_inherits_the_service(mutable, database):
    """A worker who inherits from pulsex_service would read, write and delete everybody's sessions."""
    mutable.execute("GRANT pulsex_service TO pulsex_worker WITH INHERIT TRUE")
    assert noticed_by_the_matrix(mutable, database, "auth.sessions")["worker"] == ("SIUD-", "-----")
