"""A real PgBouncer in front of a test's database."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg

from pulsex import cluster

ROLES = ("pulsex_auth", "pulsex_app", "pulsex_worker")
PATIENCE = 10.0  # seconds for PgBouncer to start, which takes it 20 ms
SETTINGS = {
    "listen_addr": "127.0.0.1",
    "unix_socket_dir": "",
    "auth_type": "trust",
    "auth_file": "users.txt",
    "logfile": "pgbouncer.log",
    "pool_mode": "transaction",
    "default_pool_size": 4,
    "max_client_conn": 400,
}


@dataclass(frozen=True)
class Pooler:
    """A running PgBouncer: the database behind it, and where clients find it."""

    database: str
    port: int

    def conninfo(self, role: str = "pulsex_app", **parameters: object) -> str:
        """Return the connection string of a client."""
        where = {"host": "127.0.0.1", "port": self.port, "dbname": self.database, "user": role}
        return psycopg.conninfo.make_conninfo(**where, **parameters)

    def connect(self, role: str = "pulsex_app", **parameters: object) -> psycopg.Connection:
        """Connect a client, which never prepares a statement unless it is told to."""
        return psycopg.connect(self.conninfo(role, **parameters), autocommit=True, prepare_threshold=None)


def find() -> Path | None:
    """Return the program pgbouncer, which Debian keeps off a person's PATH, or None."""
    found = shutil.which("pgbouncer", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"]))
    return Path(found) if found else None


def version(program: Path) -> tuple[int, ...]:
    """Return the version of PgBouncer, such as (1, 18, 0)."""
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    return tuple(map(int, re.search(r"(\d+)\.(\d+)\.(\d+)", said).groups()))


@contextlib.contextmanager
def pooling(program: Path, url: str, place: Path, **settings: object) -> Iterator[Pooler]:
    """Run PgBouncer before the database of ``url``, from a directory of its own in the scratch directory ``place``.

    ``settings`` add to its configuration file and overrule it. Raises RuntimeError with its log when it doesn't start.
    """
    server = psycopg.conninfo.conninfo_to_dict(url)
    port = cluster.free_port()
    lines = [f"{name} = {value}" for name, value in (SETTINGS | {"listen_port": port} | settings).items()]
    databases = f"[databases]\n* = host={server['host']} port={server['port']}\n"
    files = {
        "pgbouncer.ini": f"{databases}[pgbouncer]\n" + "\n".join(lines) + "\n",
        "users.txt": "".join(f'"{role}" ""\n' for role in ROLES),
    }
    with running(program, place, files, port):
        yield Pooler(server["dbname"], port)


@contextlib.contextmanager
def running(program: Path, place: Path, files: dict[str, str], port: int) -> Iterator[Path]:
    """Run PgBouncer as the server's user in a new directory in ``place`` with these files in it, and yield that.

    It reads ``pgbouncer.ini``, logs to ``pgbouncer.log`` and listens on ``port``.
    Raises RuntimeError with its log when it doesn't.
    """
    home = Path(tempfile.mkdtemp(prefix="pooler-", dir=place))
    for name, text in files.items():
        (home / name).write_text(text)
    cluster.give_to_server_user(home)
    user = cluster.server_user()
    who = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
    process = subprocess.Popen(
        [program, "-q", "pgbouncer.ini"], cwd=home, start_new_session=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **who,
    )  # fmt: skip
    try:
        _await(process, port, home / "pgbouncer.log")
        yield home
    finally:
        process.kill()  # it has nothing to lose, and no gentler signal ends it at once in every version
        process.wait()


def _await(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Return when PgBouncer listens."""
    started = time.monotonic()
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if process.poll() is not None or time.monotonic() - started > PATIENCE:
            raise RuntimeError(f"PgBouncer didn't start: {log.read_text() if log.exists() else 'it wrote no log'}")
        time.sleep(0.01)
