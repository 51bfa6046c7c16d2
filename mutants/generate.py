"""The mutants of a deployed database, from its catalogue: every guard that it has, taken away or loosened."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg

from mutants import source

OURS = "(SELECT oid FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'public'))"
TABLE = f"""c.relnamespace IN {OURS} AND c.relkind IN ('r', 'p') AND NOT c.relispartition
    AND c.oid <> 'ops.schema_migrations'::regclass"""
# Each gives a mutant's name, the statement that makes it, and the names by which tests would know what is changed.
CATALOGUE = {
    "policy": f"""
        SELECT format('drop policy %s on %s', polname, c.oid::regclass),
            format('DROP POLICY %I ON %s', polname, c.oid::regclass), ARRAY[polname, relname]
        FROM pg_policy INNER JOIN pg_class AS c ON c.oid = polrelid WHERE {TABLE}
        UNION ALL
        SELECT format('flip policy %s on %s', polname, c.oid::regclass),
            concat(format('ALTER POLICY %I ON %s', polname, c.oid::regclass),
                ' USING (NOT ' || pg_get_expr(polqual, polrelid) || ')',
                ' WITH CHECK (NOT ' || pg_get_expr(polwithcheck, polrelid) || ')'), ARRAY[polname, relname]
        FROM pg_policy INNER JOIN pg_class AS c ON c.oid = polrelid WHERE {TABLE}""",
    "row security": f"""
        SELECT format('%s row security of %s', what, c.oid::regclass),
            format('ALTER TABLE %s %s ROW LEVEL SECURITY', c.oid::regclass, what), ARRAY[relname]
        FROM pg_class AS c, unnest(ARRAY['NO FORCE', 'DISABLE']) AS what WHERE {TABLE} AND relrowsecurity""",
    "constraint": f"""
        SELECT format('drop constraint %s of %s', conname, c.oid::regclass),
            format('ALTER TABLE %s DROP CONSTRAINT %I CASCADE', c.oid::regclass, conname), ARRAY[conname, relname]
        FROM pg_constraint INNER JOIN pg_class AS c ON c.oid = conrelid
        WHERE {TABLE} AND contype IN ('p', 'u', 'f', 'c', 'x')
        UNION ALL
        SELECT format('drop constraint %s of %s', conname, t.oid::regtype),
            format('ALTER DOMAIN %s DROP CONSTRAINT %I', t.oid::regtype, conname), ARRAY[conname, typname]
        FROM pg_constraint INNER JOIN pg_type AS t ON t.oid = contypid WHERE typnamespace IN {OURS}""",
    "unique index": f"""
        SELECT format('drop index %s', indexrelid::regclass), format('DROP INDEX %s', indexrelid::regclass),
            ARRAY[i.relname, c.relname]
        FROM pg_index INNER JOIN pg_class AS c ON c.oid = indrelid INNER JOIN pg_class AS i ON i.oid = indexrelid
        WHERE {TABLE} AND indisunique AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)""",
    "not null": f"""
        SELECT format('drop not null of %s.%s', c.oid::regclass, attname),
            format('ALTER TABLE %s ALTER %I DROP NOT NULL', c.oid::regclass, attname), ARRAY[attname, relname]
        FROM pg_attribute INNER JOIN pg_class AS c ON c.oid = attrelid
        WHERE {TABLE} AND attnum > 0 AND attnotnull AND NOT attisdropped AND NOT EXISTS (
            SELECT FROM pg_constraint WHERE conrelid = attrelid AND contype = 'p' AND attnum = ANY (conkey)
        )""",
    "default": f"""
        SELECT format('drop default of %s.%s', c.oid::regclass, attname),
            format('ALTER TABLE %s ALTER %I DROP DEFAULT', c.oid::regclass, attname), ARRAY[attname, relname]
        FROM pg_attribute INNER JOIN pg_class AS c ON c.oid = attrelid
        WHERE {TABLE} AND atthasdef AND attgenerated = '' AND NOT attisdropped""",
    "trigger": f"""
        SELECT format('drop trigger %s on %s', tgname, c.oid::regclass),
            format('DROP TRIGGER %I ON %s', tgname, c.oid::regclass), ARRAY[tgname, relname, proname]
        FROM pg_trigger INNER JOIN pg_class AS c ON c.oid = tgrelid INNER JOIN pg_proc AS p ON p.oid = tgfoid
        WHERE {TABLE} AND NOT tgisinternal""",
    "revoke": f"""
        SELECT format('let PUBLIC call %s', p.oid::regprocedure),
            format('GRANT EXECUTE ON ROUTINE %s TO PUBLIC', p.oid::regprocedure), ARRAY[proname]
        FROM pg_proc AS p WHERE pronamespace IN {OURS}
        UNION ALL
        SELECT format('let PUBLIC into %s', nspname), format('GRANT USAGE ON SCHEMA %I TO PUBLIC', nspname),
            ARRAY[nspname]
        FROM pg_namespace WHERE oid IN {OURS} OR nspname = 'public'
        UNION ALL
        SELECT format('grant %s on %s back to PUBLIC', x, 'the database'),
            format('DO $$BEGIN EXECUTE format(''GRANT %s ON DATABASE %%I TO PUBLIC'', current_database()); END$$', x),
            ARRAY[lower(x)]
        FROM unnest(ARRAY['CONNECT', 'TEMPORARY']) AS x
        UNION ALL
        SELECT format('default privileges of %s on %s for PUBLIC', r, k),
            format('ALTER DEFAULT PRIVILEGES FOR ROLE %s GRANT %s ON %s TO PUBLIC', r, w, k), ARRAY['default']
        FROM unnest(ARRAY['pulsex_owner', 'pulsex_service']) AS r,
            (VALUES ('EXECUTE', 'FUNCTIONS'), ('USAGE', 'TYPES')) AS v (w, k)""",
}
CHECKS = f"""
    SELECT conname::text, 'TABLE', c.oid::regclass::text, pg_get_constraintdef(k.oid), relname::text
    FROM pg_constraint AS k INNER JOIN pg_class AS c ON c.oid = conrelid WHERE {TABLE} AND contype = 'c'
    UNION ALL
    SELECT conname::text, 'DOMAIN', t.oid::regtype::text, pg_get_constraintdef(k.oid), typname::text
    FROM pg_constraint AS k INNER JOIN pg_type AS t ON t.oid = contypid
    WHERE typnamespace IN {OURS} AND contype = 'c' ORDER BY 1"""
ROUTINES = f"""
    SELECT p.oid::regprocedure::text, proname::text, pg_get_functiondef(p.oid)
    FROM pg_proc AS p INNER JOIN pg_language AS l ON l.oid = prolang
    WHERE pronamespace IN {OURS} AND lanname = 'plpgsql' ORDER BY 1"""
# A bound in a CHECK, and how it is loosened by one.
BOUNDS = [(re.compile(r"(<=?) (-?\d+)\b"), 1), (re.compile(r"(>=?) (-?\d+)\b"), -1)]


@dataclass(frozen=True)
class Mutant:
    """A change of the database: its name, the statement, the names that tests know it by, and how to show it.

    ``routine`` is the one that is changed, or that is called no more; none where that isn't what changes.
    """

    name: str
    sql: str
    names: tuple[str, ...]
    shown: str
    routine: str = ""

    @property
    def in_catalogue(self) -> bool:
        """Tell whether the catalogue alone shows it, without a look into a routine."""
        return self.sql == self.shown or self.name.startswith("widen")


def mutants(connection: psycopg.Connection) -> list[Mutant]:
    """Return every mutant of the deployed database that a superuser's connection is to; all of them can be applied."""
    return [mutant for mutant in _all(connection) if _applies(connection, mutant)]


def _all(connection: psycopg.Connection) -> Iterator[Mutant]:
    routines = connection.execute(ROUTINES).fetchall()
    calls = {name: set(re.findall(r"\b[a-z]+\.(\w+)\(", definition)) - {name} for _, name, definition in routines}
    for kind, query in CATALOGUE.items():
        for name, statement, names in connection.execute(f"{query} ORDER BY 1").fetchall():
            callers = [caller for known in names for caller in _callers(known, calls)]
            yield Mutant(name, statement, (*names, *callers), statement, names[2] if kind == "trigger" else "")
    for constraint, kind, whose, definition, name in connection.execute(CHECKS).fetchall():
        for number, loose in enumerate(widened(definition), 1):
            alter = f"ALTER {kind} {whose}"  # a domain's constraints one at a time
            change = f"{alter} DROP CONSTRAINT {constraint}; {alter} ADD CONSTRAINT {constraint} {loose}"
            shown = f"- {definition}\n+ {loose}"
            yield Mutant(f"widen {constraint} of {whose}, {number}", change, (constraint, name), shown)
    for routine, name, definition in routines:
        for number, (what, text) in enumerate(source.changed(definition), 1):
            diff = "\n".join(difflib.unified_diff(definition.splitlines(), text.splitlines(), n=2, lineterm=""))
            yield Mutant(f"{routine}, {number}: {what}", text, (name, *_callers(name, calls)), diff, name)


def _callers(name: str, calls: dict[str, set[str]]) -> list[str]:
    """Return the routines that call a routine, or call one that does."""
    found = [name]
    for called in found:
        found += [caller for caller, their in calls.items() if called in their and caller not in found]
    return found[1:]


def widened(check: str) -> Iterator[str]:
    """Yield a CHECK with each of its bounds loosened by one, and each of its lists with a value more.

    A list of values that something must differ from has one less.
    """
    code = source.outside(check)
    for pattern, step in BOUNDS:
        for found in pattern.finditer(code):
            yield f"{check[: found.start()]}{found[1]} {int(found[2]) + step}{check[found.end() :]}"
    for found in re.finditer(r"(ANY|ALL) \(ARRAY\[('(?:[^']|'')*'|\d+)(::[\w ]+)?(, )?", check):
        start, end = found.start(2), found.end()
        if found[1] == "ALL":
            yield check[:start] + check[end:]
        else:
            # Numbers are counts of nulls, of which one is always too few or too many.
            value = "'mutant'" if found[2].startswith("'") else "1"
            yield f"{check[:start]}{value}{found[3] or ''}, {check[start:]}"


def _applies(connection: psycopg.Connection, mutant: Mutant) -> bool:
    try:
        with connection.transaction(force_rollback=True):
            connection.execute(mutant.sql)
    except psycopg.Error:
        return False
    return True
