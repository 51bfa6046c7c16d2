"""What happens to a database while it is used: each once, one after the other, and when."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import psycopg

from bench import people
from bench.population import Population

PAUSE = 2.0  # seconds between two of them, so that what one leaves behind isn't the next one's
NOTHING = "nothing"
AHEAD = 4  # months; a deploy makes three
ATTEMPTS, PAUSE_BETWEEN_ATTEMPTS = 100, 0.1  # seconds


@dataclass(frozen=True)
class Disturbance:
    """What was done, and between which two instants of time.monotonic()."""

    name: str
    began: float
    ended: float


def actions(population: Population) -> dict[str, Callable[[], None]]:
    """Return what to do. The person who is erased is the last one, whom no request is for."""
    month = f"pulsex.briefings_{population.today:%Y_%m}"
    add = f"SELECT ops.make_next_partition('pulsex', 'briefings', {AHEAD})"
    erase = f"SELECT gdpr.erase_user('{people.user_id(population.people)}', 'measured')"
    act = partial(partial, _execute, population.url)
    return {
        NOTHING: lambda: time.sleep(PAUSE),
        "a partition is added": act("pulsex_worker", add),
        "an index is built concurrently": act(
            "postgres", f"CREATE INDEX CONCURRENTLY briefings_measured_idx ON {month} (generated_at)"
        ),
        "the index is dropped concurrently": act("postgres", "DROP INDEX CONCURRENTLY pulsex.briefings_measured_idx"),
        "a person is erased": act("pulsex_privacy", erase),
        "maintenance runs": act("pulsex_worker", "CALL ops.run_maintenance()"),
    }


def disturb(population: Population, after: float) -> list[Disturbance]:
    """Do each, the first ``after`` so many seconds, and return when it was."""
    done = []
    time.sleep(after)
    for name, action in actions(population).items():
        began = time.monotonic()
        action()
        done.append(Disturbance(name, began, time.monotonic()))
        time.sleep(PAUSE)
    return done


def _execute(url: str, role: str, statement: str) -> None:
    """Execute a statement, again where it gave way to others' locks, as ops.run_maintenance() does with its steps."""
    with psycopg.connect(url, user=role, autocommit=True) as connection:
        for _ in range(ATTEMPTS):
            try:
                connection.execute(statement)
            except psycopg.errors.LockNotAvailable:
                time.sleep(PAUSE_BETWEEN_ATTEMPTS)
            else:
                return
    raise RuntimeError(f"no lock was to be had: {statement}")
