"""Clusters that keep what they commit, their base backups and standbys: throwaway ones, on scratch directories."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg

from pulsex import cluster, throwaway
from tests import harness
from tests.harness import until

# Unlike a cluster of the other tests: it flushes, and writes what a standby or a recovery needs.
DURABLE = (
    "-h 127.0.0.1 -c wal_level=replica -c max_wal_senders=4 -c autovacuum=off -c logging_collector=off"
    " -c cluster_name=standby -c wal_receiver_status_interval=1s -c wal_retrieve_retry_interval=100ms"
)
SLOT = "standby"


class Copied(throwaway.Throwaway):
    """A server on a copy of another's files: what a base backup brought, with settings of its own."""

    def initialize_database(self) -> None:
        """Move the base backup in, and let the server's user have it."""
        data = Path(self.get_data_directory())
        self.settings["backup"].rename(data)
        with (data / "postgresql.auto.conf").open("a") as conf:
            conf.writelines(f"{name} = '{value}'\n" for name, value in self.settings["conf"].items())
        for name in self.settings["signals"]:
            (data / name).touch()
        super().initialize_database()


def primary(place: Path, options: str = "") -> throwaway.Throwaway:
    """Start a copy of the run's prepared cluster that can be backed up and followed."""
    settings = throwaway.settings(place) | {"postgres_args": f"{DURABLE} {options}"}
    return throwaway.Throwaway(**settings, copy_data_from=(place / "prepared").read_text())


def base_backup(server: throwaway.Throwaway, place: Path, *arguments: str) -> Path:
    """Take a base backup of a server; return its folder."""
    home = Path(tempfile.mkdtemp(prefix="backup-", dir=place))
    cluster.give_to_server_user(home)
    program = Path(throwaway.settings(place)["initdb"]).parent / "pg_basebackup"
    source = server.url(database="postgres")
    cluster.run_as_server_user(
        [program, "-d", source, "-D", home / "data", "-X", "stream", "-c", "fast", "--no-sync", *arguments]
    )
    return home / "data"


def copied(place: Path, backup: Path, signals: tuple[str, ...] = (), **conf: str) -> throwaway.Throwaway:
    """Start a server on a base backup, with the signal files and settings of a recovery."""
    settings = throwaway.settings(place) | {"postgres_args": DURABLE}
    return Copied(**settings, backup=backup, signals=signals, conf=conf)


@dataclass(frozen=True)
class Pair:
    """A primary, and the standby that streams from it, by a slot, and is waited for."""

    primary: throwaway.Throwaway
    standby: throwaway.Throwaway

    def on_primary(self, role: str = "postgres", **options: object) -> psycopg.Connection:
        """Connect to the primary's database of the cast."""
        return psycopg.connect(self.primary.url(database=harness.CAST), user=role, autocommit=True, **options)

    def on_standby(self, role: str = "postgres", **options: object) -> psycopg.Connection:
        """Connect to the standby's."""
        return psycopg.connect(self.standby.url(database=harness.CAST), user=role, autocommit=True, **options)

    def ports(self) -> list[int]:
        """Return where the two listen: the primary, the standby."""
        return [server.settings["port"] for server in (self.primary, self.standby)]

    def whichever_writes(self) -> str:
        """Return the superuser's connection string that finds the primary, and the standby once that is promoted."""
        host, port = "127.0.0.1,127.0.0.1", ",".join(map(str, self.ports()))
        return psycopg.conninfo.make_conninfo(
            host=host, port=port, dbname=harness.CAST, user="postgres", target_session_attrs="read-write"
        )

    def walsender(self) -> psutil.Process:
        """Return the primary's process that sends to the standby."""
        with self.on_primary() as dba:
            [pid] = dba.execute("SELECT pid FROM pg_stat_replication WHERE state = 'streaming'").fetchone()
        return psutil.Process(pid)

    def kill_primary(self) -> None:
        """End every process of the primary at once, as a power cut does."""
        postmaster = psutil.Process(self.primary.server_pid)
        postmaster.suspend()  # it starts nothing new meanwhile
        processes = [*postmaster.children(recursive=True), postmaster]
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.primary.child_process.wait()

    def promote(self) -> None:
        """Make the standby the primary."""
        with self.on_standby() as dba:
            assert dba.execute("SELECT pg_promote()").fetchone() == (True,)


@contextlib.contextmanager
def following(first: throwaway.Throwaway, place: Path, settings: dict[str, object], **conf: str) -> Iterator[Pair]:
    """Start a synchronous standby with ``settings``; ``conf`` is what the primary has, from then on, and it has not."""
    backup = base_backup(first, place, "-R", "-C", "-S", SLOT)
    with Copied(**settings, backup=backup, signals=(), conf={}) as second:
        with psycopg.connect(first.url(database="postgres"), autocommit=True) as dba:
            for name, value in ({"synchronous_standby_names": SLOT} | conf).items():
                dba.execute(f"ALTER SYSTEM SET {name} = '{value}'")
            dba.execute("SELECT pg_reload_conf()")
            until(lambda: dba.execute("SELECT FROM pg_stat_replication WHERE sync_state = 'sync'").rowcount)
        yield Pair(first, second)


@contextlib.contextmanager
def pair(place: Path) -> Iterator[Pair]:
    """Start a primary and its synchronous standby: a commit is acknowledged when it can be read on both.

    The primary's log can be decoded too.
    """
    settings = throwaway.settings(place) | {"postgres_args": DURABLE}
    with (
        primary(place, "-c wal_level=logical") as first,
        following(first, place, settings, synchronous_commit="remote_apply") as servers,
    ):
        yield servers
