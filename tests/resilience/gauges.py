"""What is measured while everybody is at work for long, whether it stays as it was, and how that looks."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import psycopg

from tests.resilience.crowd import Call, Crowd
from tests.resilience.durable import Durable

MIB = 1 << 20
# Of tables whose rows are changed and never become more: what they grow by is bloat.
SIZES = """SELECT sum(pg_total_relation_size(t.relid)) FROM (
        SELECT relid FROM pg_partition_tree('pulsex.briefings') WHERE isleaf
        UNION ALL SELECT unnest('{pulsex.users,pulsex.user_preferences,pulsex.user_topics,pulsex.briefing_feedback,
            pulsex.briefing_schedule,pulsex.notification_queue}'::regclass[])
    ) AS t"""
WAL = "SELECT pg_current_wal_insert_lsn() - '0/0', (SELECT sum(size) FROM pg_ls_waldir())"
# How much more the last third of the time may have than the one before it: medians of each.
ALLOWED = {
    "private memory of a backend, MiB": 1.25,
    "memory of the server (PSS), MiB": 1.25,
    "tables that only change, MiB": 1.5,
    "WAL directory, MiB": 1.5,
    "WAL a commit, KiB": 1.3,
    "latency, median, ms": 1.3,
    "latency, p99, ms": 1.5,
    "seconds a hundred commits": 1.3,
}


@dataclass(frozen=True)
class Sample:
    """What was measured at one moment, ``at`` in seconds since the start, by what it is called."""

    at: float
    values: dict[str, float]


@dataclass
class Gauges:
    """Looks at a server and a crowd now and then."""

    server: Durable
    crowd: Crowd
    dba: psycopg.Connection
    started: float = field(default_factory=time.monotonic)
    samples: list[Sample] = field(default_factory=list)
    last: tuple[float, int, float] | None = None  # when, commits, WAL in octets

    def look(self) -> None:
        """Take a sample of now, and of all calls since the last."""
        now = time.monotonic()
        calls = [self.crowd.calls.popleft() for _ in range(len(self.crowd.calls))]
        wal, wal_directory = map(float, self.dba.execute(WAL).fetchone())
        last, self.last = self.last, (now, self.crowd.ledger.commits, wal)
        commits = self.crowd.ledger.commits - last[1] if last else 0
        if len(calls) < 2 or not commits:
            return
        self.samples.append(Sample(now - self.started, memory(self.server) | latency(calls) | {
            "tables that only change, MiB": float(self.dba.execute(SIZES).fetchone()[0]) / MIB,
            "WAL directory, MiB": wal_directory / MIB,
            "WAL a commit, KiB": (wal - last[2]) / commits / 1024,
            "seconds a hundred commits": (now - last[0]) / commits * 100,
        }))  # fmt: skip


def memory(server: Durable) -> dict[str, float]:
    """Return the private memory of a client's backend, in the mean, and what the server has all together."""
    private, all_together, clients = [], 0.0, {process.pid for process in server.clients()}
    for process in server.family():
        with contextlib.suppress(psutil.Error):
            info = process.memory_full_info()
            all_together += info.pss / MIB
            if process.pid in clients:
                private.append(info.uss / MIB)
    return {
        "private memory of a backend, MiB": statistics.fmean(private or [0]),
        "memory of the server (PSS), MiB": all_together,
    }


def latency(calls: Sequence[Call]) -> dict[str, float]:
    """Return the median and the 99th percentile of how long calls took."""
    percentiles = statistics.quantiles((call.seconds * 1000 for call in calls), n=100)
    return {"latency, median, ms": percentiles[49], "latency, p99, ms": percentiles[98]}


def growth(samples: Sequence[Sample]) -> dict[str, float]:
    """Return how much of everything the last third of the time had, for one of what the middle third had."""
    third = samples[-1].at / 3
    middle = [sample.values for sample in samples if third <= sample.at < 2 * third]
    last = [sample.values for sample in samples if sample.at >= 2 * third]
    return {
        name: statistics.median(values[name] for values in last) / statistics.median(values[name] for values in middle)
        for name in ALLOWED
    }


def plot(samples: Sequence[Sample], happened: Sequence[tuple[float, str]], file: Path) -> None:
    """Draw everything over time as SVG, with a line where there was a crash, and another where a failover."""
    from matplotlib.figure import Figure  # only `tox -e soak` has it

    from bench.drawing import save

    figure = Figure(figsize=(12, 12), layout="constrained")
    for axes, name in zip(figure.subplots(4, 2, sharex=True).flat, ALLOWED, strict=True):
        axes.plot([sample.at / 60 for sample in samples], [sample.values[name] for sample in samples], linewidth=0.8)
        axes.set_title(name, fontsize=9)
        axes.set_ylim(bottom=0)
        for at, what in happened:
            axes.axvline(at / 60, color="tab:red", linewidth=0.6, linestyle="-" if what == "failover" else ":")
    figure.supxlabel("minutes; dotted: a crash and a restart; solid: a failover to the standby")
    save(figure, file)
