"""Bring a backup back: into a new database, in order, with the erasures since, and look whether all is sound."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from pulsex.cluster import find_bin
from pulsex.deploy import DB, as_role, connect, psql, without_password

ROLES = (
    "pulsex_owner", "pulsex_service", "pulsex_auth", "pulsex_app", "pulsex_worker", "pulsex_privacy", "pulsex_analyst",
)  # fmt: skip
OFFICER = "pulsex_privacy"
MISSING = "SELECT name FROM unnest(%s::text[]) AS name WHERE to_regrole(name) IS NULL"
INHABITED = "SELECT FROM pg_namespace WHERE nspname IN ('auth', 'pulsex', 'ops', 'audit', 'gdpr')"
UNSOUND = """SELECT indexrelid::regclass || ' is not valid' FROM pg_index WHERE NOT indisvalid
    UNION ALL SELECT conname || ' is not validated' FROM pg_constraint WHERE NOT convalidated
    UNION ALL SELECT concat_ws(' ', 'audit log:', finding, detail) FROM audit.verify()"""
TABLES = """SELECT c.oid::regclass::text FROM pg_class AS c INNER JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND n.nspname IN ('auth', 'pulsex', 'ops', 'audit', 'gdpr')"""


class RestoreError(Exception):
    """The backup can't be restored there; the message says what to do."""


@dataclass(frozen=True)
class Restored:
    """What was restored: tables, partitions too, and rows; and how many people were erased again."""

    tables: int
    rows: int
    erased: int | None

    def __str__(self) -> str:
        erased = (
            "No ledger was given: whoever was erased since the backup was made is back."
            if self.erased is None
            else f"Erased again: {self.erased}."
        )
        return (
            f"Restored {self.rows} rows in {self.tables} tables; indexes, constraints and audit log are sound. {erased}"
        )


def restore(dump: Path, url: str, ledger: Path | None = None, jobs: int = 2, db: Path = DB) -> Restored:
    """Restore ``dump``, which pg_dump made with ``-Fd`` or ``-Fc``, into the empty database at ``url``.

    ``url`` is a superuser's. ``ledger`` is a file of what ``gdpr.export_erasure_ledger()`` returned last: whoever it
    says was erased since the backup is erased again. Nobody but a superuser can connect until all has ended well.
    Raises RestoreError, DeployError when there is no such database.
    """
    _archive(["--list", dump])
    erasures = _read(ledger) if ledger else None
    with connect(url) as connection:
        _check(connection, url, db)
        name = sql.Identifier(connection.info.dbname)
        connection.execute(sql.SQL("REVOKE CONNECT ON DATABASE {} FROM PUBLIC").format(name))
        target, environment = without_password(url)
        try:
            _archive(["--exit-on-error", f"--jobs={jobs}", "-d", target, dump], environment)
        except RestoreError as error:
            raise RestoreError(f"{error}\nThe database is half restored: drop it, and begin again.") from error
        connection.execute("ANALYZE")
        erased = None if erasures is None else erase_again(url, erasures)
        require_sound(connection)
        # Of the database itself a dump has nothing: now those may connect to it who are to.
        psql(url, db / "roles.sql")
        tables = [table for (table,) in connection.execute(TABLES).fetchall()]
        rows = sum(connection.execute(f"SELECT count(*) FROM ONLY {table}").fetchone()[0] for table in tables)
    return Restored(len(tables), rows, erased)


def _archive(arguments: list[str | Path], environment: dict[str, str] | None = None) -> None:
    """Run pg_restore; raises RestoreError with the first thing that it complains of."""
    done = subprocess.run(
        [find_bin() / "pg_restore", *arguments], env=os.environ | (environment or {}), capture_output=True, text=True
    )
    if done.returncode:
        raise RestoreError(done.stderr.strip().splitlines()[0])


def _read(ledger: Path) -> object:
    try:
        return json.loads(ledger.read_text())
    except (OSError, ValueError) as error:
        raise RestoreError(f"{ledger} is no erasure ledger: {error}") from error


def _check(connection: psycopg.Connection, url: str, db: Path) -> None:
    """Raise RestoreError unless the database is empty, and the server has the roles that a dump names and hasn't."""
    if missing := connection.execute(MISSING, [list(ROLES)]).fetchall():
        target, _ = without_password(url)
        raise RestoreError(
            f"This server lacks the roles {', '.join(name for (name,) in missing)}: bring the old server's"
            " (pg_dumpall --roles-only), or make new ones, without passwords:"
            f" psql -f {db / 'roles.sql'} -d '{target}'. Then restore again."
        )
    if connection.execute(INHABITED).rowcount:
        raise RestoreError("The database at this URL has schemas of ours: make a new one (createdb) to restore into.")


def erase_again(url: str, ledger: object) -> int:
    """Replay the ledger as the data protection officer; return how many people were erased again."""
    try:
        with psycopg.connect(as_role(url, OFFICER)) as officer:
            return officer.execute("SELECT gdpr.replay_erasures(%s)", [Jsonb(ledger)]).rowcount
    except psycopg.Error as error:
        raise RestoreError(
            f"Restored, but nobody was erased again, so nobody is let in: {str(error).strip()}"
        ) from error


def require_sound(connection: psycopg.Connection) -> None:
    """Raise RestoreError unless every index and constraint is valid, and the audit log verifies."""
    if unsound := connection.execute(UNSOUND).fetchall():
        raise RestoreError("Restored, but not sound, so nobody is let in:\n" + "\n".join(what for (what,) in unsound))
