"""A site: a server and a pooler configured by db/connection_config.sql and db/pgbouncer.ini, as an operator does it."""

from __future__ import annotations

import contextlib
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from pulsex import cluster, throwaway
from pulsex.deploy import DB, psql
from tests.harness import CAST
from tests.pooler.pooler import running

CONFIG = DB / "connection_config.sql"
GUIDE = (DB / "performance_recommendations.md").read_text()
POOLS = {  # whose pool each name of db/pgbouncer.ini is
    "pulsex": "pulsex_app",
    "pulsex_auth": "pulsex_auth",
    "pulsex_worker": "pulsex_worker",
    "pulsex_listen": "pulsex_worker",
    "pulsex_privacy": "pulsex_privacy",
    "pulsex_analyst": "pulsex_analyst",
}
SIZES = ("large", "medium", "small")
# The superuser's entrance, for the tests, and everybody else's past the pooler.
ENTRANCES = "host all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n"


@dataclass
class Site:
    """The server, and where its pooler is; ``profiles`` is what the server would start with, for each size."""

    server: throwaway.Throwaway
    secrets: Path
    port: int = 0
    profiles: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """The superuser's URL."""
        return self.server.url(database="pulsex")

    @property
    def sockets(self) -> Path:
        """Where the server's Unix socket is."""
        return Path(self.server.base_dir, "tmp")

    def log(self) -> str:
        """Return what the server has logged since its last start."""
        return Path(self.server.base_dir, "Throwaway.log").read_text()

    def connect(self, pool: str, role: str | None = None, **parameters: object) -> psycopg.Connection:
        """Connect through the pooler as the pool's role, or another one."""
        role = role or POOLS[pool]
        where = {"host": "127.0.0.1", "port": self.port, "dbname": pool, "user": role, "password": password(role)}
        where |= {"sslmode": "verify-full", "sslrootcert": str(self.secrets / "pgbouncer.crt")}
        return psycopg.connect(**(where | parameters), autocommit=True, prepare_threshold=None)

    def direct(self, role: str) -> psycopg.Connection:
        """Connect past the pooler."""
        return psycopg.connect(self.url, user=role, password=password(role), autocommit=True)


def password(role: str) -> str:
    """Return a role's password."""
    return f"secret of {role}"


@contextlib.contextmanager
def configured(place: Path) -> Iterator[Site]:
    """Yield a server in the scratch directory ``place`` that was configured, as small in the end, and restarted."""
    settings = throwaway.settings(place) | {"postgres_args": "-h 127.0.0.1 -F"}
    data = Path((place / "prepared").read_text())
    with throwaway.Throwaway(**settings, copy_data_from=str(data)) as server:
        site = Site(server, Path(server.base_dir, "secrets"))
        throwaway.create_database(server.url(database="postgres"), "pulsex", CAST)
        for size in SIZES:
            psql(site.url, CONFIG, size=size)
            site.profiles[size] = would_start_with(server)
        with psycopg.connect(site.url, autocommit=True) as dba:
            for role in ("postgres", *POOLS.values()):
                dba.execute(f"ALTER ROLE {role} PASSWORD '{password(role)}'")
        _let_in(Path(server.get_data_directory()))
        _certify(site.secrets)
        server.terminate()
        server.start()
        # Where db/pgbouncer.ini looks for it.
        (site.sockets / ".s.PGSQL.5432").symlink_to(f".s.PGSQL.{server.settings['port']}")
        yield site


def would_start_with(server: throwaway.Throwaway) -> dict[str, str]:
    """Ask the server's program what it makes of the configuration files: it refuses to say, if it would not start."""
    names = ("shared_buffers", "max_connections", "shared_preload_libraries")
    command = [server.postgres, "-D", server.get_data_directory(), "-C"]
    return {name: cluster.run_as_server_user([*command, name]).stdout.strip().splitlines()[-1] for name in names}


def _let_in(data: Path) -> None:
    """Write the guide's lines into pg_hba.conf and pg_ident.conf, for the user that the pooler runs as here."""
    access, names = re.findall(r"```conf\n(.*?)```", GUIDE, re.DOTALL)
    user = cluster.server_user()
    me = user.pw_name if user else subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout
    (data / "pg_hba.conf").write_text(access + ENTRANCES)
    (data / "pg_ident.conf").write_text(names.replace(" postgres ", f" {me.strip()} "))


def _certify(secrets: Path) -> None:
    """Make the pooler's key, and a certificate signed with it, as the guide does."""
    secrets.mkdir(mode=0o755)
    [command] = re.findall(r"^openssl .*$", GUIDE, re.MULTILINE)
    subprocess.run(command.split(), cwd=secrets, check=True, capture_output=True)
    (secrets / "pgbouncer.key").chmod(0o600)
    cluster.give_to_server_user(secrets)


@contextlib.contextmanager
def pooled(program: Path, site: Site, place: Path, *, users: str = "", **settings: object) -> Iterator[Site]:
    """Run PgBouncer by db/pgbouncer.ini, read by a site's file with its paths and port, and ``settings`` if any.

    ``users`` is what stands in ``users.txt``, for who names it in auth_file.
    """
    port = cluster.free_port()
    own = {
        "listen_port": port,
        "unix_socket_dir": site.sockets,
        "logfile": "pgbouncer.log",
        "pidfile": "pgbouncer.pid",
        "client_tls_key_file": site.secrets / "pgbouncer.key",
        "client_tls_cert_file": site.secrets / "pgbouncer.crt",
        "server_tls_ca_file": site.secrets / "pgbouncer.crt",
    }
    lines = [f"{name} = {value}" for name, value in (own | settings).items()]
    files = {
        "users.txt": users,
        "db.ini": (DB / "pgbouncer.ini").read_text(),
        "pgbouncer.ini": "%include db.ini\n" + "\n".join(lines) + "\n",
    }
    with running(program, place, files, port):
        yield Site(site.server, site.secrets, port, site.profiles)
