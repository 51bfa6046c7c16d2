"""Whether the queue stays as it was over a million cycles of enqueueing, claiming and completing, with autovacuum on.

Once autovacuum has been here, so that the sizes are those of a queue at work: a thousand notifications at a time, a
transaction for each of the three steps, beside a thousand that wait all the while. Then the same, a tenth as long,
while a transaction is open whose snapshot keeps every dead row; and as long again after it has ended.
"""

from __future__ import annotations

import itertools
import statistics
from dataclasses import dataclass

import psycopg
from rich.progress import track

from bench import durable, report
from bench.options import Options
from bench.rivals import PulseX

BATCH = 1000
CYCLES, FEW_CYCLES = 1_000_000, 10_000
MOST = 1.5  # the last tenth's median over the first's
SIZES = """SELECT pg_table_size('pulsex.notification_queue'), pg_relation_size('pulsex.notification_queue_claim_idx'),
    pg_relation_size('pulsex.notification_queue_pk')"""


@dataclass(frozen=True)
class Sample:
    """How large the hot table, its claim index and its primary key were, in octets, and how long a claim took, in s."""

    table: int
    claim_index: int
    primary_key: int
    claim: float


class Cycles:
    """One worker that enqueues, claims and completes, and looks at the queue between."""

    def __init__(self, side: PulseX, worker: psycopg.Connection, dba: psycopg.Connection) -> None:
        self.worker, self.dba, self.people = worker, dba, side.people()
        self.enqueue()

    def enqueue(self) -> None:
        """Enqueue a batch."""
        self.worker.execute(PulseX.ENQUEUE_BATCH, [list(itertools.islice(self.people, BATCH))])

    def cycle(self) -> Sample:
        """Send a batch through the queue; return what the queue was like."""
        self.enqueue()
        jobs: list[tuple] = []
        claim = report.seconds(lambda: jobs.extend(self.worker.execute(PulseX.CLAIM, [BATCH]).fetchall()))
        self.worker.execute(PulseX.COMPLETE, [[job[column] for job in jobs] for column in range(3)])
        return Sample(*self.dba.execute(SIZES).fetchone(), claim)

    def warm_up(self) -> None:
        """Go on until autovacuum has been here: what was never vacuumed only grows."""
        been = (
            "SELECT autovacuum_count > 0 FROM pg_stat_user_tables WHERE relid = 'pulsex.notification_queue'::regclass"
        )
        with report.console.status("warming up until autovacuum has been here"):
            while not self.dba.execute(been).fetchone()[0]:
                self.cycle()

    def run(self, cycles: int, label: str) -> list[Sample]:
        """Do so many cycles."""
        batches = range(max(cycles // BATCH, 10))
        return [self.cycle() for _ in track(batches, description=label, console=report.console, transient=True)]


def show(title: str, samples: list[Sample]) -> dict[str, float]:
    """Print the medians of the first and last tenth of the samples; return their ratios."""
    tenth = len(samples) // 10
    ratios, lines = {}, []
    for name, unit, scale in (
        ("table", "KiB", 1024), ("claim_index", "KiB", 1024), ("primary_key", "KiB", 1024), ("claim", "ms", 0.001),
    ):  # fmt: skip
        values = [getattr(sample, name) / scale for sample in samples]
        first, last = statistics.median(values[:tenth]), statistics.median(values[-tenth:])
        ratios[name] = last / first
        lines.append([f"{name.replace('_', ' ')} ({unit})", first, last, last / first, max(values)])
    header = ("", "first tenth, median", "last tenth, median", "ratio", "most")
    report.rows(f"{title}: {len(samples) * BATCH:,} cycles", header, lines)
    return ratios


def run(options: Options) -> bool:
    """Measure, print, and tell whether everything stayed as it was."""
    most = options.size(CYCLES, FEW_CYCLES)
    with durable.deployed() as url:
        side = PulseX(url)
        side.install()
        with side.connect() as worker, psycopg.connect(url, autocommit=True) as dba, psycopg.connect(url) as reader:
            cycles = Cycles(side, worker, dba)
            if not options.quick:
                cycles.warm_up()
            taken: list[list[Sample]] = []
            seconds = report.seconds(lambda: taken.append(cycles.run(most, "cycles")))
            ratios = show(f"With autovacuum on, in {seconds:,.0f} s", taken[0])
            reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            reader.execute("SELECT count(*) FROM pulsex.notification_queue")
            show("While a transaction is open", cycles.run(most // 10, "a long transaction"))
            reader.rollback()
            show("After it has ended", cycles.run(most // 10, "afterwards"))
    met = [
        report.target(f"{name}: the last tenth {ratio:.2f} of the first, at most {MOST}", met=ratio <= MOST)
        for name, ratio in ratios.items()
    ]
    return all(met)
