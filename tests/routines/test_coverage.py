"""Every routine is named by a test: what no test calls may be anything."""

from __future__ import annotations

import functools
import re

from pulsex import deploy
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
    """Return the routines that no test names; a trigger's is called by whatever fires it."""
    triggers = {name for (name,) in dba.rows(TRIGGERS)}
    routines = [(f"{schema}.{name}", name) for schema, name in dba.rows(NAMES)]
    return [full for full, name in routines if name not in words() and full not in triggers]


def test_every_routine_is_named_by_a_test(dba):
    """Each routine that can be called stands in a test, or in what the tests are made of."""
    assert unnamed(dba) == []


def test_a_routine_without_a_test_is_found(dba):
    """A new routine is found until a test names it."""
    name = "_".join(["never", "heard", "of"])
    dba.rows(f"CREATE FUNCTION pulsex.{name}() RETURNS integer RETURN 1")
    assert unnamed(dba) == [f"pulsex.{name}"]
