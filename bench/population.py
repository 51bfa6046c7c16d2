"""A server with people and their briefings in it, loaded fast and then run as in production."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo
from rich.progress import track

from bench import people, report, stories
from pulsex import deploy, throwaway

LOADERS = 2
# Nothing is kept if the machine fails while loading: then it is loaded again.
LOADING = (
    "-h 127.0.0.1 -F -c logging_collector=off -c autovacuum=off -c full_page_writes=off -c wal_level=minimal"
    " -c max_wal_senders=0 -c max_wal_size=8GB -c checkpoint_timeout=1h -c shared_buffers=2GB"
    " -c maintenance_work_mem=1GB -c max_parallel_maintenance_workers=2 -c max_locks_per_transaction=256"
)
# What db/connection_config.sql leaves to the server's command line.
RUNNING = "-h 127.0.0.1 -c logging_collector=off"
# What would be kept up to date row by row, and is made when all rows are there.
DEFERRED = """
SELECT format('ALTER TABLE %1$s DROP CONSTRAINT %2$I', conrelid::regclass, conname),
    format('ALTER TABLE %1$s ADD CONSTRAINT %2$I %3$s', conrelid::regclass, conname, pg_get_constraintdef(oid))
FROM pg_constraint WHERE confrelid = 'pulsex.briefings'::regclass AND conparentid = 0
UNION ALL
SELECT format('DROP INDEX %s', indexrelid::regclass), replace(pg_get_indexdef(indexrelid), ' ON ONLY ', ' ON ')
FROM pg_index WHERE indrelid = 'pulsex.briefings'::regclass AND NOT indisprimary
"""


@dataclass(frozen=True)
class Population:
    """A running server with so many people in it, who all have a briefing of ``today``."""

    url: str
    place: Path
    people: int
    today: date
    briefings: int
    octets: int


@contextlib.contextmanager
def populated(count: int) -> Iterator[Population]:
    """Yield a server on disk with so many people, and ten times as many briefings, that is gone afterwards."""
    with throwaway.scratch(on_disk=True) as place:
        settings = throwaway.settings(place) | {"initdb_args": "--auth=trust", "postgres_args": LOADING}
        with throwaway.Throwaway(**settings) as server:
            url = throwaway.create_database(server.url(database="postgres"), "pulsex")
            deploy.deploy(url)
            today = datetime.now(UTC).date()
            load(url, count, today)
            octets = run_as_in_production(server, url)
            socket = make_conninfo(url, host=str(Path(server.base_dir) / "tmp"))
            yield Population(socket, place, count, today, briefings(url), octets)


def briefings(url: str) -> int:
    """Return how many there are."""
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT count(*) FROM pulsex.briefings").fetchone()[0]


def load(url: str, count: int, today: date) -> None:
    """Load everything, several tables at a time, and make what makes it fast to read; say how long each took."""
    steps: list[tuple[str, int, float]] = []
    months = stories.by_month(today)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT ops.ensure_partitions(p_since => %s)", [min(e.day for m in months.values() for e in m)]
        )
        deferred = connection.execute(DEFERRED).fetchall()
        for drop, _ in deferred:
            connection.execute(drop)
    rendered = stories.render(url, min(stories.DOCUMENTS, count))
    jobs: dict[str, Callable[[], None]] = {
        month: partial(stories.copy, url, month, batch, count, rendered)
        for month, batch in sorted(months.items(), key=lambda entry: -len(entry[1]))
    }
    jobs |= {table: partial(people.load, url, table, count, str(today)) for table in people.TABLES}
    rows_took = report.seconds(lambda: _all(jobs))
    steps.append(("rows", rows_took))
    with psycopg.connect(url, autocommit=True) as connection:
        more = {re.search(r"briefing_feedback_briefing_fk|briefings\w+", create)[0]: create for _, create in deferred}
        for name, statement in track(
            [*more.items(), ("VACUUM ANALYZE", "VACUUM (ANALYZE, PARALLEL 2)"), ("CHECKPOINT", "CHECKPOINT")],
            description="indexes", console=report.console, transient=True,
        ):  # fmt: skip
            steps.append((name, report.seconds(lambda statement=statement: connection.execute(statement))))
    report.rows("Loading", ("step", "seconds"), steps)


def _all(jobs: dict[str, Callable[[], None]]) -> None:
    """Do all of them, some at a time."""
    with ThreadPoolExecutor(LOADERS) as pool:
        running = [pool.submit(job) for job in jobs.values()]
        for done in track(as_completed(running), "loading", total=len(running), console=report.console, transient=True):
            done.result()


def run_as_in_production(server: throwaway.Throwaway, url: str) -> int:
    """Start the server again as db/connection_config.sql sets it for two cores; return the octets of the database."""
    deploy.psql(url, deploy.DB / "connection_config.sql", size="small")
    server.terminate()
    os.sync()  # what was loaded without fsync
    server.settings["postgres_args"] = RUNNING
    server.start()
    report.server(url)
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT pg_database_size(current_database())").fetchone()[0]
