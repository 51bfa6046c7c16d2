"""A server of a test's own that keeps what it commits, on disk, and what can be done to it."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg

from pulsex import cluster, throwaway
from tests.harness import CAST

PATIENCE = 30  # seconds
# As PostgreSQL comes, but for the ports and the number of connections; syncfs makes recovery ask the file system once
# instead of opening each of two thousand files, and is as durable.
SETTINGS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "autovacuum": "on",
    "wal_level": "replica",
    "recovery_init_sync_method": "syncfs",
    "max_connections": "40",
    "superuser_reserved_connections": "2",
    "reserved_connections": "2",
    "logging_collector": "off",
}
# The kernel lets a process's own user do this, and root only with a capability that containers lack: as the former.
LIMIT = """
import contextlib, os, resource, sys
uid, gid, octets, *pids = sys.argv[1:]
uid and (os.setgroups([]), os.setgid(int(gid)), os.setuid(int(uid)))
for pid in pids:
    with contextlib.suppress(ProcessLookupError):
        _, hard = resource.prlimit(int(pid), resource.RLIMIT_FSIZE)
        resource.prlimit(int(pid), resource.RLIMIT_FSIZE, (int(octets), hard))
"""


@dataclass
class Durable:
    """A running server, and the database with the cast in it."""

    server: throwaway.Throwaway

    @property
    def url(self) -> str:
        """The superuser's URL."""
        return self.server.url(database=CAST)

    @property
    def data(self) -> Path:
        """The data directory."""
        return Path(self.server.get_data_directory())

    def family(self) -> list[psutil.Process]:
        """Return the postmaster and all its children."""
        postmaster = psutil.Process(self.server.server_pid)
        return [postmaster, *postmaster.children(recursive=True)]

    def clients(self) -> list[psutil.Process]:
        """Return the backends that serve a client of the database, but for the superuser's."""
        return [process for process in self.family()[1:] if f" {CAST} 127.0.0.1(" in title(process, "pulsex_")]

    def crash(self, dice: random.Random, *, postmaster: bool) -> None:
        """SIGKILL the postmaster, which tells nobody, or somebody's backend; return when the server is up again."""
        if postmaster:
            crash(self.server, signal.SIGKILL)
        else:
            before = self.clients()
            os.kill(dice.choice(before).pid, signal.SIGKILL)
            psutil.wait_procs(before, PATIENCE)  # the postmaster ends all of them
        self.revive()

    def await_end(self) -> None:
        """Return when the server has stopped by itself."""
        self.server.child_process.wait(PATIENCE)

    def revive(self) -> None:
        """Start the server again if it has stopped by itself; return when it is up."""
        deadline = time.monotonic() + PATIENCE
        while not self.is_up():
            if not self.server.child_process or self.server.child_process.poll() is not None:
                self.server.child_process = None  # or it would think that it runs
                self.server.start()
            assert time.monotonic() < deadline, "it doesn't come up"
            time.sleep(0.02)

    def is_up(self) -> bool:
        """Tell whether the server takes connections."""
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(self.url):
            return True
        return False

    def amcheck(self) -> str:
        """Have pg_amcheck compare every index with its table, and return what it says: nothing when all is well."""
        target = psycopg.conninfo.conninfo_to_dict(self.url)
        program = Path(self.server.postgres).with_name("pg_amcheck")
        where = [f"--host={target['host']}", f"--port={target['port']}", f"--username={target['user']}"]
        how = ["--install-missing", "--heapallindexed", "--checkunique", "--rootdescend"]
        done = subprocess.run([program, *where, *how, target["dbname"]], capture_output=True, text=True)
        return done.stdout + (f"{done.stderr}it ended with {done.returncode}" if done.returncode else "")


def title(process: psutil.Process, holding: str) -> str:
    """Return how a process calls itself if that has this in it, else nothing; it may have ended."""
    with contextlib.suppress(psutil.Error):
        said = " ".join(process.cmdline())
        return said if holding in said else ""
    return ""


def crash(server: throwaway.Throwaway, blow: signal.Signals) -> None:
    """End a server's postmaster so, and return when all its processes are gone."""
    family = psutil.Process(server.server_pid).children(recursive=True)
    os.kill(server.server_pid, blow)
    server.child_process.wait(PATIENCE)
    server.child_process = None
    _, alive = psutil.wait_procs(family, PATIENCE)
    assert not alive


def configured(place: Path, **settings: str) -> dict[str, object]:
    """Return what testing.postgresql needs to know of such a server in ``place``; ``settings`` overrule SETTINGS."""
    arguments = " ".join(f"-c {name}={value}" for name, value in (SETTINGS | settings).items())
    return throwaway.settings(place) | {"postgres_args": f"-h 127.0.0.1 {arguments}"}


@contextlib.contextmanager
def serving(data: Path, place: Path, **settings: str) -> Iterator[Durable]:
    """Run a copy of a prepared data directory in the scratch directory ``place``; ``settings`` overrule SETTINGS."""
    server = throwaway.Throwaway(**configured(place, **settings), copy_data_from=str(data))
    try:
        yield Durable(server)
    finally:
        server.stop(signal.SIGQUIT)  # what it could still write, nobody will read


def limit_files(processes: list[psutil.Process], octets: int | None) -> None:
    """Let these processes write no file beyond so many octets, or (None) as far as the disk has room."""
    user = cluster.server_user()
    who = [str(user.pw_uid), str(user.pw_gid)] if user else ["", ""]
    limit = str(resource.RLIM_INFINITY if octets is None else octets)
    subprocess.run([sys.executable, "-I", "-S", "-c", LIMIT, *who, limit, *(str(p.pid) for p in processes)], check=True)
