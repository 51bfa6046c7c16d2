"""Measuring two or more sides fairly, and printing what came out."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Iterator, Mapping

from rich.console import Console
from rich.progress import track
from rich.table import Table

console = Console()


def alternate(sides: Mapping[str, Callable[[], float]], rounds: int, label: str) -> dict[str, list[float]]:
    """Measure every side once a round, in turning order, with a progress bar; return each side's measurements."""
    taken: dict[str, list[float]] = {name: [] for name in sides}
    turns = [(number, name) for number in range(rounds) for name in _turned(list(sides), number)]
    for _, name in track(turns, description=label, console=console, transient=True):
        taken[name].append(sides[name]())
    return taken


def _turned(names: list[str], number: int) -> Iterator[str]:
    start = number % len(names)
    return itertools.chain(names[start:], names[:start])


def seconds(action: Callable[[], object]) -> float:
    """Return how long an action takes, in seconds."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def table(title: str, unit: str, taken: Mapping[str, list[float]], *, scale: float = 1) -> dict[str, float]:
    """Print the median, the least and the most of each side, times ``scale``; return the medians as measured."""
    shown = Table("", "median", "least", "most", title=f"{title} ({unit})", title_justify="left")
    medians = {name: statistics.median(values) for name, values in taken.items()}
    for name, values in taken.items():
        shown.add_row(name, *(f"{value * scale:,.1f}" for value in (medians[name], min(values), max(values))))
    console.print(shown)
    return medians


def target(claim: str, *, met: bool) -> bool:
    """Print a target and whether it was met; return that."""
    console.print(f"{'met ' if met else 'MISSED'}  {claim}")
    return met
