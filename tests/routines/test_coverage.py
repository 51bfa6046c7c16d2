"""Every routine is named by a test, or called by one that is: what no test reaches may be anything."""

from __future__ import annotations

import functools
import re

from pulsex import deploy
from tests.schema import bodies
from tests.schema.rule import ROUTINES

# They name routines without calling any.
DECLARATIONS = {"tests/isolation/matrix.py", "tests/routines/test_coverage.py"}
NAMES = f"SELECT DISTINCT nspname, proname FROM ({ROUTINES}) AS r ORDER BY 1, 2"
TRIGGERS = "SELECT DISTINCT tgfoid::regproc::text FROM pg_trigger"


@functools.cache
def words() -> frozenset[str]:
    """Return every name that is written in the tests."""
    files = deploy.ROOT.glob("tests/**/*.py")
    texts = [file.read_text() for file in files if str(file.relative_to(deploy.ROOT)) not in DECLARATIONS]
    return frozenset(word for text in texts for word in re.findall(r"[a-z_][a-z0-9_]*", text))


def unnamed(dba) -> list[str]:
    """Return the routines that no test names or reaches through another; a trigger's is called by whatever fires it."""
    calls = {routine.name: bodies.functions(routine.statements) for routine in bodies.routines(dba.connection)}
    routines = {f"{schema}.{name}": name for schema, name in dba.rows(NAMES)}
    reached = {name for (name,) in dba.rows(TRIGGERS)} | {full for full, name in routines.items() if name in words()}
    todo = set(reached)
    while todo:
        todo = set().union(*(calls.get(name, set()) for name in todo)) - reached
        reached |= todo
    return sorted(routines.keys() - reached)


def test_every_routine_is_named_by_a_test(dba):
    """Each routine stands in a test, or in what the tests are made of, or is called by one that does."""
    assert unnamed(dba) == []


def test_a_routine_without_a_test_is_found(dba):
    """A new routine is found until a test names it."""
    name = "_".join(["never", "heard", "of"])
    dba.rows(f"CREATE FUNCTION pulsex.{name}() RETURNS integer RETURN 1")
    assert unnamed(dba) == [f"pulsex.{name}"]
