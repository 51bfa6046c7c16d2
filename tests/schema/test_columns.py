"""Each column is null, or filled in, only where columns.py says so."""

import pytest

from tests.actors import Actor
from tests.schema.columns import COLUMNS
from tests.schema.rule import TABLES

OF = f"""FROM ({TABLES}) AS t INNER JOIN pg_attribute AS a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE NOT t.relispartition"""
NULLABLE = f"SELECT t.name, a.attname::text {OF} AND NOT a.attnotnull"
DEFAULTS = f"""SELECT t.name, a.attname::text,
    (SELECT pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef AS d WHERE (d.adrelid, d.adnum) = (t.oid, a.attnum))
    {OF} AND a.atthasdef AND a.attgenerated = ''"""


def nullable(dba: Actor) -> set[tuple[str, str]]:
    """Return each column that may be null, and isn't declared so, or is declared so and may not."""
    return {*dba.rows(NULLABLE)} ^ {(table, name) for table, its in COLUMNS.items() for name in its.nullable}


def defaults(dba: Actor) -> set[tuple[str, str, str]]:
    """Return each default that isn't declared, or isn't there."""
    declared = {(table, *default) for table, its in COLUMNS.items() for default in its.defaults.items()}
    return {*dba.rows(DEFAULTS)} ^ declared


def test_every_table_is_declared(dba):
    """A table added tomorrow has to say which of its columns may be null."""
    assert {name for (name,) in dba.rows(f"SELECT DISTINCT t.name {OF}")} ^ COLUMNS.keys() == set()


def test_only_what_is_declared_may_be_null(dba):
    """Every other column is NOT NULL."""
    assert nullable(dba) == set()


def test_only_what_is_declared_has_a_default(dba):
    """And the default is the declared one."""
    assert defaults(dba) == set()


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        ("ALTER TABLE pulsex.users ALTER locale DROP NOT NULL", nullable),
        ("ALTER TABLE pulsex.briefings ALTER read_at SET NOT NULL", nullable),
        ("ALTER TABLE pulsex.users ALTER locale DROP DEFAULT", defaults),
        ("ALTER TABLE pulsex.users ALTER locale SET DEFAULT 'de'", defaults),
        ("ALTER TABLE pulsex.users ALTER display_name SET DEFAULT ''", defaults),
    ],
)
def test_a_change_is_seen(dba, change, seen):
    """A column that lost its NOT NULL or its default, or got one, differs from the declaration."""
    dba.rows("UPDATE pulsex.briefings SET read_at = now() WHERE read_at IS NULL")
    dba.rows(change)
    assert seen(dba) != set()
