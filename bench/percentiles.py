"""Outcomes of a crowd, counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from bench.crowd import Outcome

QUANTILES = {"median": 0.5, "p95": 0.95, "p99": 0.99, "p99.9": 0.999, "max": 1.0}
HEADER = ("requests", *(f"{name} (ms)" for name in QUANTILES), "failures")


@dataclass(frozen=True)
class Latencies:
    """Latencies in ms, how many requests failed by SQLSTATE, and over how many seconds they came."""

    values: np.ndarray
    failures: Counter[str]
    seconds: float

    def at(self, quantile: str) -> float:
        """Return a quantile in ms: the latency within which that share of the requests was answered; 0 of none."""
        if not len(self.values):
            return 0.0
        return float(np.quantile(self.values, QUANTILES[quantile], method="inverted_cdf"))

    def row(self) -> list[int | float]:
        """Return what stands under HEADER."""
        return [len(self.values), *(self.at(name) for name in QUANTILES), self.failures.total()]


def of(outcomes: Sequence[Outcome]) -> Latencies:
    """Return the latencies of all requests of several runs."""
    values = np.concatenate([np.array(outcome.latency) for outcome in outcomes]) * 1000
    failures = sum((outcome.failures for outcome in outcomes), Counter())
    return Latencies(values, failures, sum(outcome.seconds for outcome in outcomes))


def by_kind(outcomes: Sequence[Outcome]) -> dict[str, tuple[Latencies, float]]:
    """Return the latencies of each kind of request, and the rows it got on average."""
    kinds = {}
    for number, name in enumerate(outcomes[0].kinds):
        values = np.concatenate([np.array(o.latency)[np.array(o.kind) == number] for o in outcomes]) * 1000
        rows = sum(outcome.rows[name] for outcome in outcomes)
        kinds[name] = Latencies(values, Counter(), 0), rows / max(len(values), 1)
    return kinds


def due_during(outcome: Outcome, spans: Sequence[tuple[float, float]]) -> Latencies:
    """Return the latencies of those requests that became due in one of some spans of time.monotonic()."""
    due = np.array(outcome.due) + outcome.started
    chosen = np.any([(due >= began) & (due <= ended) for began, ended in spans], axis=0)
    return Latencies(np.array(outcome.latency)[chosen] * 1000, Counter(), sum(ended - began for began, ended in spans))


def each_second(outcome: Outcome, quantile: str) -> list[tuple[float, float]]:
    """Return a quantile in ms of the requests that became due in each second."""
    second = np.array(outcome.due).astype(int)
    values = np.array(outcome.latency) * 1000
    return [(float(s), Latencies(values[second == s], Counter(), 1).at(quantile)) for s in np.unique(second)]


def lag(outcomes: Iterable[Outcome]) -> Latencies:
    """Return how late requests were sent, which is the load's own doing, in ms."""
    outcomes = list(outcomes)
    return Latencies(np.concatenate([np.array(o.lag) for o in outcomes]) * 1000, Counter(), 0)
