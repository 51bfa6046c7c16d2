"""What the rules of sharding stand on: bodies are really read, and what is declared an exception is one."""

import pytest

from tests.schema import bodies
from tests.schema.rules_shardable import ACROSS_PEOPLE, OWNED, reaches


@pytest.fixture
def routines(dba) -> dict[str, bodies.Routine]:
    """Every routine that is written in SQL or plpgsql, by name."""
    dba.rows("SELECT")
    return {routine.name: routine for routine in bodies.routines(dba.connection)}


def test_every_body_is_read(routines):
    """Each has at least a statement or an expression, and the tables in them are names with a schema."""
    assert all(routine.statements for routine in routines.values() if not routine.trigger)
    assert len(routines) > 50


def test_the_exceptions_are_exceptions(routines, dba):
    """Each routine that may reach beyond a person does so."""
    owned = frozenset(name for (name,) in dba.rows(OWNED))
    assert [name for name in ACROSS_PEOPLE if not any(reaches(routines[name], owned))] == []


def test_every_relation_in_a_body_is_there(routines, dba):
    """A typo in a table's name, which PostgreSQL finds only when the statement runs, is found here."""
    there = {name for (name,) in dba.rows("SELECT relnamespace::regnamespace || '.' || relname FROM pg_class")}
    missing = {
        (routine.name, bodies.name_of(relation))
        for routine in routines.values()
        for statement in routine.statements
        for relation in bodies.tables(statement)
        if relation.schemaname and bodies.name_of(relation) not in there
    }
    assert missing == set()


def test_every_function_in_a_body_is_there(routines, dba):
    """So is one in a function's name."""
    there = {name for (name,) in dba.rows("SELECT pronamespace::regnamespace || '.' || proname FROM pg_proc")}
    missing = {
        (routine.name, name)
        for routine in routines.values()
        for name in bodies.functions(routine.statements)
        if name not in there
    }
    assert missing == set()


@pytest.mark.parametrize(
    ("body", "name"),
    [("PERFORM FROM pulsex.brefings", "pulsex.brefings"), ("PERFORM pulsex.requir_self(NULL)", "pulsex.requir_self")],
)
def test_a_name_that_is_not_there_is_seen(dba, body, name):
    """PostgreSQL takes the function; its body has the name."""
    dba.rows(f"CREATE FUNCTION pulsex.f() RETURNS void LANGUAGE plpgsql AS $$BEGIN {body}; END$$")
    [f] = [routine for routine in bodies.routines(dba.connection) if routine.name == "pulsex.f"]
    relations = {bodies.name_of(relation) for statement in f.statements for relation in bodies.tables(statement)}
    assert name in {*relations, *bodies.functions(f.statements)}
