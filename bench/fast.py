"""A server for measuring work, not the disk: nobody waits for it, and what is asked for often is in memory."""

from __future__ import annotations

import contextlib
from pathlib import Path

import psycopg
import psycopg.sql

from bench import durable, report
from pulsex import deploy, throwaway

# No fsync, no autovacuum that comes between: VACUUM is run where it belongs.
SETTINGS = f"{throwaway.FAST} -c shared_buffers=2GB -c max_wal_size=8GB -c maintenance_work_mem=512MB -c jit=off"


def server() -> contextlib.AbstractContextManager[throwaway.Throwaway]:
    """Run a cluster on disk that is gone afterwards."""
    return durable.server(SETTINGS)


def database(running: throwaway.Throwaway, name: str, db: Path = deploy.DB) -> str:
    """Make a database on the cluster, deployed from ``db``; return the superuser's URL of it."""
    url = throwaway.create_database(running.url(database="postgres"), name)
    deploy.deploy(url, db)
    report.server(url)
    return url


def run_script(dba: psycopg.Connection, script: str, **values: object) -> None:
    """Run statements, each ended by a semicolon at the end of a line, with the values {name} in them."""
    for statement in filter(str.strip, script.split(";\n")):
        dba.execute(psycopg.sql.SQL(statement).format(**values))
