"""Measuring two or more sides fairly, and printing what came out; the part that is running records it too."""

from __future__ import annotations

import contextlib
import itertools
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

import psycopg
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from bench.options import Options
from bench.record import Axis, Cell, Item, Measured, Note, Plot, Record, Rows, Target

# What the figures of a server depend on.
SETTINGS = """
SELECT name, current_setting(name) FROM pg_settings
WHERE name IN ('autovacuum', 'autovacuum_vacuum_cost_delay', 'autovacuum_vacuum_cost_limit', 'backend_flush_after',
    'bgwriter_delay', 'bgwriter_lru_maxpages', 'checkpoint_completion_target', 'checkpoint_timeout', 'commit_delay',
    'default_toast_compression', 'effective_cache_size', 'effective_io_concurrency', 'fsync', 'full_page_writes',
    'huge_pages_status', 'io_method', 'io_workers', 'jit', 'maintenance_work_mem', 'max_connections', 'max_wal_size',
    'min_wal_size', 'plan_cache_mode', 'random_page_cost', 'shared_buffers', 'synchronous_commit', 'wal_buffers',
    'wal_compression', 'wal_level', 'wal_segment_size', 'wal_writer_delay', 'work_mem')
ORDER BY name
"""

Kind = TypeVar("Kind", bound=Item)

console = Console()
_options = Options()
_record = Record()


@contextlib.contextmanager
def recording(options: Options) -> Iterator[Record]:
    """Yield the record of a part: what is reported while it runs is recorded there."""
    global _options, _record  # one part runs at a time, and its helpers all report to it
    _options, _record = options, Record()
    try:
        yield _record
    finally:
        _options, _record = Options(), Record()


def alternate(sides: Mapping[str, Callable[[], float]], rounds: int, label: str) -> dict[str, list[float]]:
    """Measure every side once a round, in turning order, with a progress bar; return each side's measurements.

    A smoke test has one round.
    """
    taken: dict[str, list[float]] = {name: [] for name in sides}
    turns = [(number, name) for number in range(_options.size(rounds, 1)) for name in _turned(list(sides), number)]
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


def server(url: str) -> None:
    """Record the settings of the server at ``url``."""
    with psycopg.connect(url) as connection:
        _record.settings.update(connection.execute(SETTINGS).fetchall())


def table(title: str, unit: str, taken: Mapping[str, list[float]], *, scale: float = 1) -> dict[str, float]:
    """Print the median, the least and the most of each side, times ``scale``; return the medians as measured."""
    measured = _recorded(Measured(title, unit, scale, taken))
    _print(f"{title} ({unit})", ("", "median", "least", "most"), summary(measured))
    return {name: statistics.median(values) for name, values in taken.items()}


def summary(measured: Measured) -> list[list[Cell]]:
    """Return a line for each side: its name, the median, the least and the most, in the table's unit."""
    return [
        [name, *(value * measured.scale for value in (statistics.median(values), min(values), max(values)))]
        for name, values in measured.taken.items()
    ]


def rows(title: str, header: Sequence[str], lines: Sequence[Sequence[Cell]]) -> None:
    """Print a table of whatever it is."""
    _recorded(Rows(title, header, lines))
    _print(title, header, lines)


def target(claim: str, *, met: bool) -> bool:
    """Print a target and whether it was met; return that."""
    _recorded(Target(claim, bool(met)))
    console.print(f"{'met ' if met else 'MISSED'}  {escape(claim)}")
    return met


def note(text: str) -> None:
    """Print a line."""
    _recorded(Note(text))
    console.print(escape(text))


def plot(
    name: str,
    title: str,
    *,
    x: tuple[str, bool],
    y: tuple[str, bool],
    series: Mapping[str, Sequence[tuple[float, float]]],
) -> None:
    """Record the points of some series, to be drawn as ``PART-name.svg``; an axis is its label and whether it's log."""
    _recorded(Plot(name, title, Axis(*x), Axis(*y), series))


def shown(cell: Cell) -> str:
    """Write a cell as a person reads it."""
    if isinstance(cell, float):
        return f"{cell:,.1f}" if abs(cell) >= 10 or cell == int(cell) else f"{cell:.3g}"
    return f"{cell:,}" if isinstance(cell, int) else cell or ""


def _recorded(item: Kind) -> Kind:
    _record.items.append(item)
    return item


def _print(title: str, header: Sequence[str], lines: Sequence[Sequence[Cell]]) -> None:
    shape = Table(*header, title=escape(title), title_justify="left")
    for line in lines:
        shape.add_row(*(escape(shown(cell)) for cell in line))
    console.print(shape)
