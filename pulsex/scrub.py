"""Rewrite the files in which rows of erased people may still lie: VACUUM (FULL), which no function can run."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

import psycopg
from psycopg import sql

from pulsex.deploy import OWNER

GONE = psycopg.errors.UndefinedTable
UNREMOVED = re.compile(r"^(\d+) dead row versions cannot be removed yet", re.MULTILINE)
REWRITE = {
    # Analysed as well, since statistics keep common values and bounds; a partitioned table has nothing but those.
    "table": "VACUUM (FULL, ANALYZE, VERBOSE) {}",
    "partitioned": "ANALYZE ONLY {}",
    "statistics": "VACUUM (FULL, VERBOSE) {}",
}


@dataclass(frozen=True)
class Outcome:
    """What became of a relation that was due: ``problem`` says why it still is, None that it is clean."""

    relation: str
    problem: str | None = None


def scrub(url: str, *, lock_timeout: int = 2000, say: Callable[[str], None] = print) -> list[Outcome]:
    """Rewrite every relation that erasures have left due, one at a time, and record each; return what became of each.

    ``url`` is the connection string of whoever deploys: a superuser, or the database's owner. While a table is
    rewritten nobody reads it, so its lock is waited for at most ``lock_timeout`` milliseconds; what isn't had, or holds
    rows that some old transaction still sees, stays due for the next run. What is dropped meanwhile, as partitions are,
    is clean: its file went with it. The statistics' own table comes last, and only when nothing else is left. ``say``
    is called with a line for each.
    """
    outcomes: list[Outcome] = []
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT set_config('lock_timeout', %s, false)", [f"{lock_timeout}ms"])
        connection.execute(f"SET ROLE {OWNER}")
        due = connection.execute("SELECT relation, kind, erasures FROM gdpr.relations_to_scrub()").fetchall()
        for relation, kind, erasures in due:
            if kind == "statistics" and any(outcome.problem for outcome in outcomes):
                problem = "its turn comes when nothing else is due"
            else:
                problem = _rewrite(connection, relation, kind)
            if problem is None:
                _record(connection, relation, erasures)
            outcomes.append(Outcome(relation, problem))
            say(f"{relation}: {f'still due: {problem}' if problem else 'scrubbed'}")
    return outcomes


def _rewrite(connection: psycopg.Connection, relation: str, kind: str) -> str | None:
    """Rewrite a relation; return what kept its old rows from going, or None.

    One that was dropped is an error when VACUUM looks its name up, and a warning when it has waited for its lock.
    """
    refusals: list[str] = []
    unremoved: list[int] = []

    def listen(notice: psycopg.errors.Diagnostic) -> None:
        if notice.severity_nonlocalized == "WARNING" and notice.sqlstate != GONE.sqlstate:
            refusals.append(notice.message_primary or "")
        unremoved.extend(map(int, UNREMOVED.findall(notice.message_detail or "")))

    connection.add_notice_handler(listen)
    try:
        if kind == "statistics":
            connection.execute("RESET ROLE")
        connection.execute(sql.SQL(REWRITE[kind]).format(sql.SQL(relation)))
    except psycopg.errors.LockNotAvailable:
        return "somebody is using it"
    except GONE:
        return None
    finally:
        connection.remove_notice_handler(listen)
        connection.execute(f"SET ROLE {OWNER}")
    if refusals:
        return "; ".join(refusals)
    return f"an old transaction still sees {sum(unremoved)} dead rows" if any(unremoved) else None


def _record(connection: psycopg.Connection, relation: str, erasures: list[UUID]) -> None:
    """Record a rewriting, for the erasures that had been committed before it began."""
    connection.execute("SELECT gdpr.record_scrub(%s, %s)", [relation, erasures])
