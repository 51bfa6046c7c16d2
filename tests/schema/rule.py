"""What a rule over the catalogue is made of."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg

from tests.isolation.measure import OURS

# Of dbmate's table we only say who may touch it: its shape and names are dbmate's.
TABLES = f"""
    SELECT c.oid, c.oid::regclass::text AS name, c.relname, c.relnamespace, c.relkind, c.relispartition, c.relowner,
        c.relrowsecurity, c.relforcerowsecurity, c.relacl, c.reloptions,
        EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attname = 'user_id') AS owned_by_a_person
    FROM pg_class AS c
    WHERE c.relnamespace IN {OURS} AND c.relkind IN ('r', 'p') AND c.oid <> 'ops.schema_migrations'::regclass
"""
ROUTINES = f"""
    SELECT p.*, format('%I.%I', n.nspname, p.proname) AS name, n.nspname
    FROM pg_proc AS p INNER JOIN pg_namespace AS n ON n.oid = p.pronamespace WHERE n.oid IN {OURS}
"""


@dataclass(frozen=True)
class Rule:
    """A rule: a query for the objects that break it, and statements that each break it once.

    ``breaches`` maps such a statement to the offender that it makes, as a regular expression. {partition} in either
    stands for a partition of pulsex.briefings.
    """

    name: str
    offenders: str
    breaches: dict[str, str]

    def __str__(self) -> str:
        return self.name

    def findings(self, connection: psycopg.Connection) -> list[str]:
        """Return who breaks the rule."""
        return [offender for (offender,) in connection.execute(f"{self.offenders} ORDER BY 1").fetchall()]
