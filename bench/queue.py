"""The notification queue beside procrastinate and pgqueuer on the same server, with PostgreSQL's default durability.

What each of them does is said in bench/rivals.py. Workers are processes, as the GIL would hold threads. Claiming
and completing is timed from when all of them are connected until the last job of the last one is done, enqueueing
without connecting, and latency from before enqueueing to when the idle worker, which LISTENs, has the job in hand.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from functools import partial

from bench import durable, notify, report
from bench.options import Options
from bench.processes import drained, latency
from bench.rivals import PgQueuer, Procrastinate, PulseX, Rival
from pulsex import deploy, throwaway

JOBS, SINGLE_JOBS, ROUNDS, WORKERS, SAMPLES = 2000, 300, 3, (1, 4, 8), 60


def run(_: Options) -> bool:
    """Measure, print, and tell whether this queue is ahead on each."""
    with durable.server() as server:
        postgres = server.url(database="postgres")
        sides: dict[str, Rival] = {
            kind.__name__: kind(throwaway.create_database(postgres, kind.__name__.lower()))
            for kind in (PulseX, Procrastinate, PgQueuer)
        }
        deploy.deploy(sides["PulseX"].url)
        report.server(sides["PulseX"].url)
        for side in sides.values():
            side.install()
        met = compare_rates(sides) + compare_latency(sides)
        notify.compare(sides["PulseX"])
    return all(met)


def compare_rates(sides: dict[str, Rival]) -> list[bool]:
    """Measure enqueueing one by one and in batches, and working off with each number of workers."""
    batches: dict[str, list[float]] = {name: [] for name in sides}

    def singly(side: Rival) -> float:
        seconds = side.enqueue_singly(SINGLE_JOBS)
        drained(side, 4)
        return SINGLE_JOBS / seconds

    def worked_off(name: str, workers: int) -> float:
        batches[name].append(JOBS / sides[name].enqueue_batches(JOBS))
        return JOBS / drained(sides[name], workers)

    one = report.alternate({name: partial(singly, side) for name, side in sides.items()}, ROUNDS, "enqueueing")
    met = [ahead("Enqueueing, a transaction each", one)]
    rates = {
        workers: report.alternate(
            {name: partial(worked_off, name, workers) for name in sides}, ROUNDS, f"{workers} workers"
        )
        for workers in WORKERS
    }
    met.append(ahead("Enqueueing, 100 to a transaction", batches))
    met += [ahead(f"Claiming and completing, workers: {workers}", taken) for workers, taken in rates.items()]
    return met


def ahead(title: str, taken: dict[str, list[float]]) -> bool:
    """Print a table of rates, and whether this queue is ahead of the better of the others."""
    medians = report.table(title, "jobs per second", taken)
    ratio = medians["PulseX"] / max(rate for name, rate in medians.items() if name != "PulseX")
    return report.target(f"{title}: {ratio:.2f} of the better of the others, more than 1", met=ratio > 1)


def compare_latency(sides: dict[str, Rival]) -> list[bool]:
    """Measure the latency of each side in turning order; print the median and the 99th percentile."""
    taken: dict[str, list[float]] = {name: [] for name in sides}

    def sample(name: str) -> float:
        latencies = latency(sides[name], SAMPLES)
        taken[name] += latencies
        return statistics.median(latencies)

    report.alternate({name: partial(sample, name) for name in sides}, ROUNDS, "latency")
    measures: dict[str, Callable[[list[float]], float]] = {
        "median": statistics.median,
        "p99": lambda values: statistics.quantiles(values, n=100)[98],
    }
    met = []
    for measure, of in measures.items():
        values = {name: of(latencies) for name, latencies in taken.items()}
        for name, value in values.items():
            report.note(f"{name}: {measure} {value * 1000:.2f} ms from enqueueing to an idle worker")
        best = min(value for name, value in values.items() if name != "PulseX")
        claim = f"latency, {measure}: {values['PulseX'] / best:.2f} of the better of the others, less than 1"
        met.append(report.target(claim, met=values["PulseX"] < best))
    return met
