"""A server whose tables and whose write-ahead log are on small file systems, which a balloon fills."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg

from pulsex import cluster, throwaway
from tests.harness import CAST
from tests.resilience.durable import Durable, configured

TABLES, LOG = 40, 16  # mebibytes
# In a mount namespace of its own, which ends with the shell, and the file systems with it, however we end.
MOUNT = """
for disk in tables:$1 log:$2; do
    mkdir "$3/${disk%:*}"; mount -t tmpfs -o "size=${disk#*:}m,mode=777" tmpfs "$3/${disk%:*}"
done
echo mounted; cat
"""
MOVE = "CREATE TABLESPACE small LOCATION '{place}/tables'; ALTER DATABASE {database} SET TABLESPACE small"


class Elsewhere(throwaway.Throwaway):
    """A cluster whose server sees what only a mount namespace has."""

    def get_server_commandline(self) -> list[str]:
        """Start the server there."""
        return ["nsenter", f"--mount={self.settings['namespace']}", *super().get_server_commandline()]


@dataclass
class Disk:
    """A small file system."""

    root: Path

    def fill(self) -> None:
        """Leave no room."""
        with (self.root / "balloon").open("wb", buffering=0) as balloon, contextlib.suppress(OSError):
            while True:
                balloon.write(bytes(4096))

    def clear(self) -> None:
        """Give the room back."""
        (self.root / "balloon").unlink()


def mountable() -> bool:
    """Tell whether we may mount a file system: in most containers root may not."""
    try_it = ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/tmp"]  # noqa: S108  # nobody else sees it
    return shutil.which("unshare") is not None and subprocess.run(try_it, capture_output=True).returncode == 0


@contextlib.contextmanager
def serving(data: Path, place: Path) -> Iterator[tuple[Durable, Disk, Disk]]:
    """Run a copy of a prepared data directory; yield it, and the disks of its tables and of its log."""
    command = ["unshare", "--mount", "sh", "-euc", MOUNT, "sh", str(TABLES), str(LOG), str(place)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as shell:
        assert shell.stdout.readline() == "mounted\n"
        inside = Path(f"/proc/{shell.pid}/root", *place.parts[1:])
        how = configured(place, max_wal_size="4MB", min_wal_size="2MB") | {"namespace": f"/proc/{shell.pid}/ns/mnt"}
        server = Elsewhere(**how, copy_data_from=str(data), auto_start=0)
        server.setup()
        log = Path(server.get_data_directory(), "pg_wal")
        shutil.copytree(log, inside / "log" / "pg_wal")
        cluster.give_to_server_user(inside / "log")
        cluster.give_to_server_user(inside / "tables")
        shutil.rmtree(log)
        log.symlink_to(place / "log" / "pg_wal")
        server.start()
        try:
            with psycopg.connect(server.url(database="postgres"), autocommit=True) as dba:
                for statement in MOVE.format(place=place, database=psycopg.sql.Identifier(CAST).as_string()).split(";"):
                    dba.execute(statement)
            yield Durable(server), Disk(inside / "tables"), Disk(inside / "log")
        finally:
            server.stop(signal.SIGQUIT)
