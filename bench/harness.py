"""How long a test waits for a cluster and for a database: this harness, pytest-postgresql, plain testing.postgresql."""

from __future__ import annotations

import itertools
import os
import shlex
import tempfile
from collections.abc import Callable
from pathlib import Path

from pytest_postgresql.executors import PostgreSQLExecutor
from pytest_postgresql.janitor import DatabaseJanitor
from testing.postgresql import Postgresql

from bench import report
from bench.options import Options
from pulsex import cluster, deploy, throwaway

ROUNDS = 15
MOST_CLUSTER, MOST_CLONE = 0.6, 0.06  # seconds


class Plain(Postgresql):
    """testing.postgresql as it comes, but for giving its folder to the server's user when root runs it."""

    def initialize_database(self) -> None:
        """Make the cluster."""
        cluster.give_to_server_user(Path(self.base_dir))
        super().initialize_database()


def runnable_bin(place: Path) -> Path:
    """Return a bin directory that whoever we are can run: for root, one that becomes the server's user first."""
    bin_dir = cluster.servable_bin(cluster.find_bin(), place)
    user = cluster.server_user()
    if user is None:
        return bin_dir
    wrappers = place / "bin"
    wrappers.mkdir()
    become = f"exec setpriv --reuid={user.pw_uid} --regid={user.pw_gid} --clear-groups --"
    for tool in ("initdb", "postgres", "pg_ctl"):
        (wrappers / tool).write_text(f'#!/bin/sh\n{become} {shlex.quote(str(bin_dir / tool))} "$@"\n')
        (wrappers / tool).chmod(0o755)
    return wrappers


def folder(place: Path) -> Path:
    """Make a folder of the server's user."""
    made = Path(tempfile.mkdtemp(dir=place))
    cluster.give_to_server_user(made)
    return made


def executor(bin_dir: Path, place: Path) -> PostgreSQLExecutor:
    """Return pytest-postgresql's server, with its own defaults, not started yet."""
    home = folder(place)
    return PostgreSQLExecutor(
        executable=str(bin_dir / "pg_ctl"), host="127.0.0.1", port=cluster.free_port(), datadir=str(home / "data"),
        unixsocketdir=str(home), logfile=str(home / "log"), startparams="-w", dbname="tests",
    )  # fmt: skip


def run(_: Options) -> bool:
    """Measure, print, and tell whether this harness is within its bounds and faster than both others."""
    os.environ.setdefault("LC_ALL", "C.UTF-8")
    with throwaway.scratch() as place:
        bin_dir = runnable_bin(place)
        ours = throwaway.factory(place)

        def our_cluster() -> float:
            started: list[throwaway.Throwaway] = []
            taken = report.seconds(lambda: started.append(ours()))
            started[0].stop()
            return taken

        def their_cluster() -> float:
            server = executor(bin_dir, place)
            taken = report.seconds(server.start)
            server.stop()
            return taken

        def plain_cluster() -> float:
            made: list[Plain] = []
            tools = {"initdb": str(bin_dir / "initdb"), "postgres": str(bin_dir / "postgres")}
            taken = report.seconds(lambda: made.append(Plain(base_dir=str(folder(place)), **tools)))
            made[0].stop()
            return taken

        clusters = report.table(
            "A cluster is ready to connect to", "ms", scale=1000,
            taken=report.alternate(
                {
                    "PulseX, cached": our_cluster,
                    "pytest-postgresql": their_cluster,
                    "testing.postgresql": plain_cluster,
                },
                ROUNDS, "clusters",
            ),
        )  # fmt: skip
        clones = databases(place, bin_dir, ours, plain_cluster)
    return all([
        report.target(f"a cluster within {MOST_CLUSTER:.1f} s", met=clusters["PulseX, cached"] < MOST_CLUSTER),
        report.target("a cluster sooner than both others", met=clusters["PulseX, cached"] == min(clusters.values())),
        report.target(f"a database within {MOST_CLONE * 1000:.0f} ms", met=clones["PulseX, clone"] < MOST_CLONE),
        report.target("a database sooner than both others", met=clones["PulseX, clone"] == min(clones.values())),
    ])  # fmt: skip


def databases(
    place: Path, bin_dir: Path, ours: throwaway.ThrowawayFactory, plain_cluster: Callable[[], float]
) -> dict[str, float]:
    """Measure a database with the deployed schema: a clone, or a whole cluster where clones aren't known."""
    numbers = itertools.count()
    with ours() as server, executor(bin_dir, place) as theirs:
        url = server.url(database="postgres")
        template = throwaway.deployed_template(url)
        their_url = f"postgresql://postgres@127.0.0.1:{theirs.port}/postgres"
        deploy.deploy(throwaway.create_database(their_url, "tests_tmpl"))

        def our_clone() -> float:
            name = f"ours_{next(numbers)}"
            taken = report.seconds(lambda: throwaway.create_database(url, name, template))
            throwaway.drop_database(url, name)
            return taken

        def their_clone() -> float:
            janitor = DatabaseJanitor(
                user="postgres", host="127.0.0.1", port=theirs.port,
                dbname=f"theirs_{next(numbers)}", template_dbname="tests_tmpl", connection_timeout=5,
            )  # fmt: skip
            taken = report.seconds(janitor.init)
            janitor.drop()
            return taken

        sides = {
            "PulseX, clone": our_clone,
            "pytest-postgresql, template": their_clone,
            "testing.postgresql, another cluster, nothing deployed": plain_cluster,
        }
        return report.table(
            "A database with the schema in it", "ms", report.alternate(sides, ROUNDS, "databases"), scale=1000
        )
