"""Whether what a database promises of its rows still holds: every constraint, asked again of every row."""

from __future__ import annotations

import psycopg

from tests.isolation.measure import OURS

# A statement for each constraint, that counts the rows which violate it. Unique constraints are pg_amcheck's.
STATEMENTS = f"""
    SELECT
        format('%s of %s', c.conname, c.conrelid::regclass),
        CASE c.contype
            WHEN 'c' THEN format('SELECT count(*) FROM %s WHERE NOT (%s)',
                c.conrelid::regclass, pg_get_expr(c.conbin, c.conrelid))
            WHEN 'n' THEN format('SELECT count(*) FROM %s WHERE %I IS NULL', c.conrelid::regclass, (
                SELECT a.attname FROM pg_attribute AS a WHERE a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
            ))
            WHEN 'f' THEN format(
                'SELECT count(*) FROM %s AS child WHERE NOT EXISTS (SELECT FROM %s AS parent WHERE %s) AND %s',
                c.conrelid::regclass, c.confrelid::regclass, k.equal, k.present
            )
        END
    FROM pg_constraint AS c
    CROSS JOIN LATERAL (
        SELECT
            string_agg(format('parent.%I = child.%I', p.attname, a.attname), ' AND ') AS equal,
            string_agg(format('child.%I IS NOT NULL', a.attname), ' AND ') AS present
        FROM unnest(c.conkey, c.confkey) AS k (child, parent)
        INNER JOIN pg_attribute AS a ON a.attrelid = c.conrelid AND a.attnum = k.child
        INNER JOIN pg_attribute AS p ON p.attrelid = c.confrelid AND p.attnum = k.parent
    ) AS k
    WHERE c.connamespace IN {OURS} AND c.conrelid <> 0 AND c.contype IN ('c', 'n', 'f') AND c.coninhcount = 0
    UNION ALL
    SELECT
        format('bounds of %s', p.oid::regclass),
        format('SELECT count(*) FROM %s WHERE NOT (%s)', p.oid::regclass, pg_get_partition_constraintdef(p.oid))
    FROM pg_class AS p WHERE p.relispartition AND p.relkind = 'r' AND p.relnamespace IN {OURS}
"""
ROWS = f"""
    SELECT format('SELECT count(*) FROM %s', c.oid::regclass) FROM pg_class AS c
    WHERE c.relkind = 'r' AND c.relnamespace IN {OURS}
"""


def violations(connection: psycopg.Connection) -> tuple[int, list[tuple[str, int]]]:
    """Return how many constraints were asked, and those that are violated, with the number of rows that do."""
    statements = connection.execute(STATEMENTS).fetchall()
    counts = " UNION ALL ".join(f"SELECT {number}, ({sql})" for number, (_, sql) in enumerate(statements))
    violated = connection.execute(f"SELECT * FROM ({counts}) AS v (number, rows) WHERE rows > 0").fetchall()
    return len(statements), [(statements[number][0], rows) for number, rows in violated]


def count_rows(connection: psycopg.Connection) -> int:
    """Return how many rows our tables have together."""
    counts = [sql for (sql,) in connection.execute(ROWS)]
    return connection.execute("SELECT " + " + ".join(f"({sql})" for sql in counts)).fetchone()[0]


def audit_findings(connection: psycopg.Connection, expected_digest: bytes | None = None) -> list[tuple]:
    """Return what audit.verify() finds wrong, given the last digest that somebody was told."""
    with connection.transaction():
        connection.execute("SET LOCAL ROLE pulsex_privacy")
        return connection.execute("SELECT * FROM audit.verify(%s)", [expected_digest]).fetchall()
