"""Every routine is named by a test, or used by what is: what no test reaches may be anything."""

from __future__ import annotations

import functools
import re

from pulsex import deploy
from tests.schema import bodies
from tests.schema.rule import ROUTINES

# They name routines without calling any.
DECLARATIONS = {"tests/isolation/matrix.py", "tests/routines/test_coverage.py"}
NAMES = f"SELECT DISTINCT nspname, proname FROM ({ROUTINES}) AS r ORDER BY 1, 2"
VIEWS = """
    SELECT v.relname::text, d.refobjid::regproc::text FROM pg_depend AS d
    INNER JOIN pg_rewrite AS r ON r.oid = d.objid INNER JOIN pg_class AS v ON v.oid = r.ev_class
    WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_proc'::regclass
"""
TRIGGERS = "SELECT DISTINCT tgfoid::regproc::text FROM pg_trigger"


@functools.cache
def words() -> frozenset[str]:
    """Return every name that is written in the tests."""
    files = deploy.ROOT.glob("tests/**/*.py")
    texts = [file.read_text() for file in files if str(file.relative_to(deploy.ROOT)) not in DECLARATIONS]
    return frozenset(word for text in texts for word in re.findall(r"[a-z_][a-z0-9_]*", text))


def unnamed(dba) -> list[str]:
    """Return the routines that no test names, or reaches through a routine or view; triggers fire by themselves."""
    calls = {routine.name: bodies.functions(routine.statements) for routine in bodies.routines(dba.connection)}
    routines = {f"{schema}.{name}": name for schema, name in dba.rows(NAMES)}
    reached = {name for (name,) in dba.rows(TRIGGERS)} | {full for full, name in routines.items() if name in words()}
    reached |= {routine for view, routine in dba.rows(VIEWS) if view in words()} & routines.keys()
    todo = set(reached)
    while todo:
        todo = set().union(*(calls.get(name, set()) for name in todo)) - reached
        reached |= todo
    return sorted(routines.keys() - reached)


def test_every_routine_is_named_by_a_test(dba):
    """Each routine stands in a test, or in what the tests are made of, or is used by a routine or view that does."""
    assert unnamed(dba) == []


def test_a_routine_without_a_test_is_found(dba):
    """A new routine is found until a test names it."""
    name = "_".join(["never", "heard", "of"])
    dba.rows(f"CREATE FUNCTION pulsex.{name}() RETURNS integer RETURN 1")
    assert unnamed(dba) == [f"pulsex.{name}"]
