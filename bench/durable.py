"""A server as PostgreSQL comes: what is committed is on disk, and autovacuum runs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from bench import report
from pulsex import deploy, throwaway

# Only where it listens, and where it logs: fsync, synchronous_commit, full_page_writes, autovacuum are what they are.
DEFAULTS = "-h 127.0.0.1 -c logging_collector=off"


@contextlib.contextmanager
def server(arguments: str = DEFAULTS) -> Iterator[throwaway.Throwaway]:
    """Yield a running cluster on disk, with PostgreSQL's default settings but for these, gone afterwards."""
    with throwaway.scratch(on_disk=True) as place:
        settings = throwaway.settings(place) | {"initdb_args": "--auth=trust", "postgres_args": arguments}
        with throwaway.Throwaway(**settings) as running:
            yield running


@contextlib.contextmanager
def deployed() -> Iterator[str]:
    """Yield the superuser's URL of a deployed database on such a server."""
    with server() as running:
        url = throwaway.create_database(running.url(database="postgres"), "pulsex")
        deploy.deploy(url)
        report.server(url)
        yield url
