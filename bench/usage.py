"""Which program took how much of the processor."""

from __future__ import annotations

from collections import Counter

import psutil

PROGRAMS = {"postgres": "PostgreSQL", "pgbouncer": "PgBouncer"}


def processor_seconds() -> Counter[str]:
    """Return the seconds of processor time that this process's descendants have taken, by program."""
    taken: Counter[str] = Counter()
    for process in psutil.Process().children(recursive=True):
        try:
            times = process.cpu_times()
            taken[PROGRAMS.get(process.name(), "the clients")] += times.user + times.system
        except psutil.NoSuchProcess:
            continue
    return taken
