"""Unique values planted in every column that can hold one, found in the catalogue, and looked for everywhere."""

from __future__ import annotations

import re
import secrets
from uuid import UUID

from tests.actors import Actor

# Every column of such a type in a table that has a user_id: schema.table.column to its type.
COLUMNS = """
    SELECT n.nspname || '.' || c.relname, a.attname::text, a.atttypid::regtype::text
    FROM pg_class AS c INNER JOIN pg_namespace AS n ON n.oid = c.relnamespace
    INNER JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    INNER JOIN pg_type AS t ON t.oid = a.atttypid
    WHERE n.nspname IN ('auth', 'pulsex', 'ops', 'gdpr', 'audit') AND c.relkind IN ('r', 'p') AND NOT c.relispartition
        AND (t.typname IN ('text', 'varchar', 'jsonb', 'json', 'inet', 'tsvector') OR t.typcategory = 'A')
        AND EXISTS (SELECT FROM pg_attribute AS u WHERE u.attrelid = c.oid AND u.attname = 'user_id')
        AND c.oid <> 'audit.events'::regclass  -- append-only: it gets an event of its own
    ORDER BY 1, a.attnum
"""
CHECKS = """
    SELECT format('ALTER TABLE %%s DROP CONSTRAINT %%I', conrelid::regclass, conname) FROM pg_constraint
    WHERE contype = 'c' AND conrelid = %s::regclass
"""
KEYS = """
    SELECT array(
        SELECT a.attname::text FROM pg_attribute AS a WHERE a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
    )
    FROM pg_index AS i WHERE i.indisprimary AND i.indrelid = %s::regclass
"""
RELATIONS = """
    SELECT c.oid::regclass::text FROM pg_class AS c
    WHERE c.relkind IN ('r', 'm') AND c.relnamespace::regnamespace::text IN ('auth', 'pulsex', 'ops', 'gdpr', 'audit')
    ORDER BY 1
"""


def canary(number: int, kind: str, flock: str) -> tuple[str, str]:
    """Return a canary, as it is found in text, and as a literal of a type."""
    word = f"canary{flock}{number:04}"
    if kind == "inet":
        address = f"10.66.{number // 100}.{number % 100}"
        return address, address
    if kind in ("json", "jsonb"):
        return word, f'{{"{word}": "{word}"}}'
    if kind.endswith("[]"):
        found = word if kind == "text[]" else str(20000 + number)
        return found, f"{{{found}}}"
    return word, word


def plant(dba: Actor, user_id: UUID) -> dict[str, str]:
    """Put a canary into each column of each row of a person; return table.column to what to look for.

    Constraints and triggers would stand in the way; the former go, the latter rest while it is done. Where a canary is
    part of the key there can be one row.
    """
    planted: dict[str, str] = {}
    flock = secrets.token_hex(4)  # files of the cluster have those of other tests
    columns = dba.rows(COLUMNS)
    for table in dict.fromkeys(table for table, _, _ in columns):
        for (statement,) in dba.rows(CHECKS, table):
            dba.rows(statement)
        assignments = []
        for number, (owner, column, kind) in enumerate(columns, 1):
            if owner == table:
                planted[f"{table}.{column}"], literal = canary(number, kind, flock)
                assignments.append(f"{column} = '{literal}'")
        one = ""
        if {f"{table}.{column}" for column in dba.value(KEYS, table)} & planted.keys():
            one = f"""DELETE FROM {table} AS r USING {table} AS o
                WHERE r.user_id = '{user_id}' AND o.user_id = r.user_id AND o.ctid < r.ctid;"""
        dba.rows(
            f"""DO $$ BEGIN SET LOCAL session_replication_role = replica; {one}
            UPDATE {table} SET {", ".join(assignments)} WHERE user_id = '{user_id}';
            SET LOCAL session_replication_role = origin; END $$"""
        )
    planted["audit.events.payload"], details = canary(len(columns) + 1, "jsonb", flock)
    dba.rows("SELECT audit.record('read', %s, %s)", user_id, details)
    return planted


def found(dba: Actor, planted: dict[str, str]) -> dict[str, list[str]]:
    """Return the relations of the database that hold a canary, each with those it holds."""
    pattern = "|".join(rf"\m{re.escape(value)}\M" for value in planted.values())
    holding = {}
    for (relation,) in dba.rows(RELATIONS):
        if dba.value(f"SELECT EXISTS (SELECT FROM {relation} AS r WHERE r::text ~ %s)", pattern):
            text = "\n".join(row for (row,) in dba.rows(f"SELECT r::text FROM {relation} AS r"))
            holding[relation] = sorted(name for name, value in planted.items() if re.search(rf"\b{value}\b", text))
    return holding
