"""Throwaway clusters: spun by testing.postgresql, durability off, gone with the process that asked for them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import psycopg
from psycopg import sql
from testing.postgresql import Postgresql, PostgresqlFactory

from pulsex import cluster, guard
from pulsex.deploy import DB, deploy

LONGEST_TEMPORARY_PATH = 50  # characters; a socket's whole path must fit the 104 bytes of the smallest sockaddr_un
MEMORY = Path("/dev/shm")  # noqa: S108  # a private directory is made in it
ROOM = 2 << 30  # bytes; four workers, each with some clones, take a quarter of it
FAST = (
    "-h 127.0.0.1 -F -c synchronous_commit=off -c full_page_writes=off -c wal_level=minimal -c max_wal_senders=0"
    " -c autovacuum=off -c logging_collector=off"
)
# Runs as root's child: leaves the terminal's process group, works in the cluster's folder (which is how the guard knows
# it), becomes the server's user, and then is the server.
LAUNCH = (
    "import os, sys; uid, gid, place, *command = sys.argv[1:]; os.setsid(); os.chdir(place);"
    " uid and (os.setgroups([]), os.setgid(int(gid)), os.setuid(int(uid))); os.execv(command[0], command)"
)


class Throwaway(Postgresql):
    """One cluster of testing.postgresql, in a scratch directory, that root can run too."""

    def __init__(self, *, place: Path, **settings: object) -> None:
        super().__init__(base_dir=tempfile.mkdtemp(prefix="cluster-", dir=place), **settings)

    def initialize_database(self) -> None:
        """Make the cluster unless it was copied, and let the server's user have it."""
        cluster.give_to_server_user(Path(self.base_dir))
        if not Path(self.get_data_directory(), "PG_VERSION").exists():
            arguments = self.settings["initdb_args"].split()
            cluster.initdb(Path(self.initdb).parent, Path(self.get_data_directory()), *arguments)

    def get_server_commandline(self) -> list[str]:
        """Start the server as the server's user."""
        user = cluster.server_user()
        who = [str(user.pw_uid), str(user.pw_gid)] if user else ["", ""]
        return [sys.executable, "-I", "-S", "-c", LAUNCH, *who, self.base_dir, *super().get_server_commandline()]

    def release(self) -> None:
        """Let the server live on without us."""
        self.child_process.returncode = 0  # or Popen would complain of a child that nobody waited for
        self.child_process = None

    def poststart(self) -> None:
        """Make no database ``test``: ours are cloned from a template."""


class ThrowawayFactory(PostgresqlFactory):
    """The factory of such clusters."""

    target_class = Throwaway


def roomy(place: Path) -> bool:
    """Tell whether a folder has room for a run and lets programs be started from it; Docker's /dev/shm does neither."""
    if not os.access(place, os.W_OK | os.X_OK):
        return False
    disk = os.statvfs(place)
    return disk.f_bavail * disk.f_frsize >= ROOM and not disk.f_flag & os.ST_NOEXEC


def temporary_folder(*, on_disk: bool = False) -> Path:
    """Return where scratch directories go: TMPDIR, or memory, where a clone takes a tenth of the time, or /tmp."""
    base = Path(tempfile.gettempdir())
    if "TMPDIR" not in os.environ and not on_disk and roomy(MEMORY):
        base = MEMORY
    if len(str(base)) > LONGEST_TEMPORARY_PATH or not cluster.reachable(base / "entry"):
        base = Path("/tmp")  # noqa: S108  # a private directory is made in it
    return base


@contextlib.contextmanager
def scratch(*, on_disk: bool = False) -> Iterator[Path]:
    """Yield a directory that is gone when this process is, with every server that runs in it, however we end.

    It is in memory where that has room, unless it is asked for on disk: durability costs nothing in memory.
    """
    place = Path(tempfile.mkdtemp(prefix="pulsex-", dir=temporary_folder(on_disk=on_disk))).resolve()
    place.chmod(0o711)
    os.mkfifo(place / "alive", mode=0o600)
    # For reading too, so that opening it doesn't wait for the guard, who may start as late as it likes.
    alive = os.open(place / "alive", os.O_RDWR | os.O_NONBLOCK)
    watcher = None
    try:
        watcher = subprocess.Popen(
            [sys.executable, "-I", guard.__file__, place], stdin=subprocess.DEVNULL, start_new_session=True
        )
        yield place
    finally:
        os.close(alive)
        if watcher:
            watcher.wait()


@contextlib.contextmanager
def holding(place: Path) -> Iterator[None]:
    """Hold a scratch directory that another process made, so that it outlives that process until we end."""
    alive = os.open(place / "alive", os.O_WRONLY | os.O_NONBLOCK)
    try:
        yield
    finally:
        os.close(alive)


def settings(place: Path) -> dict[str, object]:
    """Return what testing.postgresql needs to know to make a cluster in the scratch directory ``place``."""
    bin_dir = cluster.servable_bin(cluster.find_bin(), place)
    return {
        "place": place,
        "initdb": str(bin_dir / "initdb"),
        "initdb_args": "--auth=trust --wal-segsize=1",
        "postgres": str(bin_dir / "postgres"),
        "postgres_args": FAST,
    }


def factory(place: Path, on_initialized: Callable[[Throwaway], None] | None = None) -> ThrowawayFactory:
    """Return a factory of clusters in ``place``, each a copy of one that is initialised now.

    ``on_initialized`` is called with that one while it runs.
    """
    return ThrowawayFactory(cache_initialized_db=True, on_initialized=on_initialized, **settings(place))


def fingerprint(db: Path = DB) -> str:
    """Return a short hash of everything in ``db`` that a deploy reads."""
    digest = hashlib.sha256()
    code = [*db.glob("migrations/*"), *db.glob("routines/*"), *db.glob("gdpr/*"), *db.glob("gdpr_compliance.sql")]
    for file in sorted([db / "roles.sql", db / "routines.sql", *code]):
        digest.update(f"{file.relative_to(db)}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:12]


def create_database(server: str, name: str, template: str = "template0") -> str:
    """Create a database on the server of the superuser's URL ``server``, cloned from ``template``; return its URL.

    CREATE DATABASE leaves a template's privileges behind; a clone has them too.
    """
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))
        connection.execute(
            "UPDATE pg_database SET datacl = t.datacl FROM pg_database AS t"
            " WHERE pg_database.datname = %s AND t.datname = %s AND t.datname <> 'template0'",
            [name, template],
        )
    return urlsplit(server)._replace(path=f"/{quote(name, safe='')}").geturl()


def drop_database(server: str, name: str) -> None:
    """Drop a database and whoever is connected to it."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def deployed_template(server: str, db: Path = DB) -> str:
    """Return the name of a deployed database to clone, made on first use and keyed by the hash of ``db``."""
    name = f"deployed_{fingerprint(db)}"
    with psycopg.connect(server, autocommit=True) as connection:
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
            return name
    deploy(create_database(server, name), db)
    return name


@contextlib.contextmanager
def deployed(db: Path = DB) -> Iterator[str]:
    """Yield the superuser's URL of a freshly deployed database on a cluster of its own, gone afterwards."""
    with scratch() as place, Throwaway(**settings(place)) as server:
        url = create_database(server.url(database="postgres"), "pulsex")
        deploy(url, db)
        yield url
