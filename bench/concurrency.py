"""Ten thousand connected clients: mixed requests through PgBouncer, at rates and until it is too much, and disturbed.

Each request is a transaction of its own that proves its session. Beside it, in turns, SELECT 1 by the same clients
through the same pooler: the floor.
"""

from __future__ import annotations

import contextlib
import math
import resource
import subprocess
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.progress import track

from bench import disturbances, percentiles, report, stories, usage
from bench.crowd import Outcome, Play, Stage, Where, gathered
from bench.mix import APP, AUTH, App, Floor, Mix
from bench.options import Options
from bench.percentiles import Latencies
from bench.population import Population, populated
from pulsex import cluster
from tests.pooler import pooler

PEOPLE, CLIENTS, SERVER_CONNECTIONS = 100_000, 10_000, 16
SIGNING_IN = 0.02  # of the clients, as of the requests
RATES, GOAL = (500, 1000, 2000, 4000), 2000  # requests a second
ROUNDS, SECONDS, PROBE_SECONDS, WARM_UP = 2, 15, 10, 3
P99, MAX, P99_DISTURBED, P99_BEARABLE = 10, 50, 20, 50  # ms
STEPS, PROBES = 1.25, 4  # how much more is tried while it is bearable; how often the interval is halved then
DESCRIPTORS = 200  # of files, besides the clients'


@dataclass(frozen=True)
class Sizes:
    """How large a run is."""

    people: int
    clients: int
    rounds: int
    seconds: float
    rates: tuple[int, ...]
    goal: int

    @classmethod
    def of(cls, options: Options) -> Sizes:
        """Return the sizes that were asked for."""
        if options.quick:
            return cls(people=2000, clients=500, rounds=1, seconds=2, rates=(100, 200), goal=200)
        return cls(int(PEOPLE * options.scale), CLIENTS, ROUNDS, SECONDS, RATES, GOAL)


def run(options: Options) -> bool:
    """Measure, print, and tell whether every target was met."""
    sizes = Sizes.of(options)
    program = pooler.find()
    if not program:
        raise RuntimeError("PgBouncer isn't installed: apt-get install pgbouncer")
    allow_descriptors(sizes.clients)
    with populated(sizes.people) as population:
        report.note(
            f"{population.people:,} people, {population.briefings:,} briefings, {population.octets / 2**30:.1f} GiB;"
            f" {sizes.clients:,} clients on {SERVER_CONNECTIONS} server connections"
        )
        app = App(population.people - 1, str(population.today), stories.query_words())
        with crowd(program, population, sizes.clients) as (stage, where):
            stage.play(Play(app, sizes.goal, sizes.seconds))  # caches and plans, as of a server that has been up
            met = compare(stage, app, sizes)
            met += disturbed(stage, app, population, sizes)
            most_bearable(stage, app, sizes)
        beside_pgbench(program, population, sizes, where)
    return all(met)


def allow_descriptors(clients: int) -> None:
    """Let this process, and the pooler and the clients that it starts, have a file descriptor for each client.

    Raises RuntimeError where that is more than may be had.
    """
    needed = 2 * clients + DESCRIPTORS
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < clients + DESCRIPTORS:
        raise RuntimeError(f"{clients} clients need as many file descriptors: ulimit -Hn says {most}")
    allowed = needed if most == resource.RLIM_INFINITY else min(needed, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, most))


@contextlib.contextmanager
def crowd(program: Path, population: Population, clients: int) -> Iterator[tuple[Stage, Where]]:
    """Yield the clients, connected to PgBouncer before the population."""
    settings = {"default_pool_size": SERVER_CONNECTIONS, "max_client_conn": clients + 100, "listen_backlog": 4096}
    signing_in = max(int(clients * SIGNING_IN), 1)
    with pooler.pooling(program, population.url, population.place, **settings) as running:
        where = Where(running.port, running.database, {APP: clients - signing_in, AUTH: signing_in})
        with gathered(where) as stage:
            yield stage, where


def compare(stage: Stage, app: App, sizes: Sizes) -> list[bool]:
    """Measure each rate, the app's requests and the floor in turns; return which targets were met."""
    sides: dict[str, Mix] = {"the app": app, "SELECT 1": Floor()}
    outcomes: dict[tuple[int, str], list[Outcome]] = {}
    spent: dict[str, float] = {}
    turns = [
        (number, rate, side)
        for number in range(sizes.rounds)
        for rate in sizes.rates
        for side in (sides if number % 2 == 0 else reversed(sides))
    ]
    for number, rate, side in track(turns, description="rates", console=report.console, transient=True):
        before = usage.processor_seconds()
        outcome = stage.play(Play(sides[side], rate, sizes.seconds, WARM_UP, seed=number * 100_000 + rate))
        outcomes.setdefault((rate, side), []).append(outcome)
        if (rate, side) == (sizes.goal, "the app"):
            spent = {
                program: s / (sizes.seconds + WARM_UP) for program, s in (usage.processor_seconds() - before).items()
            }
    latencies = {key: percentiles.of(taken) for key, taken in outcomes.items()}
    report.rows(
        "Requests a second, latency from when each was due",
        ("rate", "", *percentiles.HEADER, "p99 over SELECT 1's"),
        [
            [rate, side, *taken.row(), taken.at("p99") / latencies[rate, "SELECT 1"].at("p99")]
            for (rate, side), taken in sorted(latencies.items())
        ],
    )
    report.plot(
        "rates", "Latency by rate", x=("requests a second", True), y=("ms", True),
        series={
            f"{side}, {quantile}": [(rate, latencies[rate, side].at(quantile)) for rate in sizes.rates]
            for side in sides for quantile in ("median", "p99", "p99.9")
        },
    )  # fmt: skip
    at_goal = outcomes[sizes.goal, "the app"]
    report.rows(
        f"Each kind of request, at {sizes.goal:,} a second",
        ("", *percentiles.HEADER[:-1], "rows each"),
        [[kind, *taken.row()[:-1], rows] for kind, (taken, rows) in percentiles.by_kind(at_goal).items()],
    )
    report.rows(
        f"Processors in use, at {sizes.goal:,} a second",
        ("", "cores"),
        [[name, cores] for name, cores in sorted(spent.items())],
    )
    late = percentiles.lag(at_goal)
    report.note(f"the clients sent a request {late.at('median'):.2f} ms after it was due, p99 {late.at('p99'):.2f} ms")
    [found] = {rows for kind, (_, rows) in percentiles.by_kind(at_goal).items() if kind == "today's briefing"}
    return [*at_the_goal(latencies[sizes.goal, "the app"], sizes.goal),
            report.target(f"everybody got their briefing: {found:.3f} rows a request", met=found == 1)]  # fmt: skip


def at_the_goal(taken: Latencies, goal: int) -> list[bool]:
    """Tell whether the targets at the goal were met."""
    failures = taken.failures.total()
    return [
        report.target(f"{goal:,} a second: p99 {taken.at('p99'):.1f} ms, at most {P99}", met=taken.at("p99") <= P99),
        report.target(f"{goal:,} a second: max {taken.at('max'):.1f} ms, at most {MAX}", met=taken.at("max") <= MAX),
        report.target(f"{goal:,} a second: {failures} failures{_which(taken)}", met=failures == 0),
    ]


def _which(taken: Latencies) -> str:
    return f" ({', '.join(f'{count} {error}' for error, count in taken.failures.items())})" if taken.failures else ""


def disturbed(stage: Stage, app: App, population: Population, sizes: Sizes) -> list[bool]:
    """Measure the goal's rate while the database is worked on; return which targets were met."""
    with ThreadPoolExecutor(1) as beside, report.console.status("disturbances"):
        stage.start(Play(app, sizes.goal, warm_up=WARM_UP))
        try:
            done = beside.submit(disturbances.disturb, population, WARM_UP).result()
        finally:
            stage.stop()
            outcome = stage.outcome()
    spans = {what.name: [(what.began, what.ended)] for what in done}
    spans["any of these"] = [(what.began, what.ended) for what in done if what.name != disturbances.NOTHING]
    during = {name: percentiles.due_during(outcome, spans[name]) for name in spans}
    lines = [[name, taken.seconds, *taken.row()[:-1]] for name, taken in during.items()]
    report.rows(f"While, at {sizes.goal:,} a second", ("", "seconds", *percentiles.HEADER[:-1]), lines)
    report.plot(
        "disturbed", "Latency while the database is worked on", x=("seconds", False), y=("ms", True),
        series={quantile: percentiles.each_second(outcome, quantile) for quantile in ("median", "p99", "max")},
    )  # fmt: skip
    p99, failed = during["any of these"].at("p99"), percentiles.of([outcome])
    return [
        report.target(f"disturbed: p99 {p99:.1f} ms, at most {P99_DISTURBED}", met=p99 <= P99_DISTURBED),
        report.target(f"disturbed: {failed.failures.total()} failures{_which(failed)}", met=not failed.failures),
    ]


def most_bearable(stage: Stage, app: App, sizes: Sizes) -> None:
    """Find the highest rate whose p99 stays bearable."""
    lines = []

    def is_bearable(rate: int) -> bool:
        outcome = stage.play(Play(app, rate, min(sizes.seconds, PROBE_SECONDS), WARM_UP, seed=rate))
        taken = percentiles.of([outcome])
        bearable = taken.at("p99") < P99_BEARABLE and not taken.failures
        lines.append([rate, *taken.row(), "yes" if bearable else "no"])
        return bearable

    with report.console.status("the highest bearable rate"):
        low, high = 0, max(sizes.rates)
        while is_bearable(high):
            low, high = high, int(high * STEPS)
        for _ in range(PROBES):
            middle = (low + high) // 2
            low, high = (middle, high) if is_bearable(middle) else (low, middle)
    title = f"Is p99 under {P99_BEARABLE} ms?"
    report.rows(title, ("rate", *percentiles.HEADER, "bearable"), sorted(lines))
    report.note(f"the highest rate with p99 under {P99_BEARABLE} ms: {low:,} a second, and not {high:,}")


def beside_pgbench(program: Path, population: Population, sizes: Sizes, where: Where) -> None:
    """Measure the floor at the goal's rate by pgbench, and by these clients, in turns."""

    def ours() -> float:
        with crowd(program, population, sizes.clients) as (stage, _):
            outcome = stage.play(Play(Floor(), sizes.goal, sizes.seconds, WARM_UP))
        return percentiles.of([outcome]).at("p99")

    def pgbenchs() -> float:
        script = population.place / "one.sql"
        script.write_text("SELECT 1;\n")
        settings = {"default_pool_size": SERVER_CONNECTIONS, "max_client_conn": sizes.clients + 100}
        with pooler.pooling(program, population.url, population.place, **settings) as running:
            return pgbench_p99(script, running.port, sizes, population.place / "log")

    sides = {"these clients": ours, "pgbench": pgbenchs}
    title = f"SELECT 1 at {sizes.goal:,} a second by {sizes.clients:,} clients, p99"
    report.table(title, "ms", report.alternate(sides, ROUNDS, "pgbench"))


def pgbench_p99(script: Path, port: int, sizes: Sizes, log: Path) -> float:
    """Have pgbench ask; return the 99th percentile of the latency from when each was due, in ms, after the warm-up.

    So many transactions of each client, since pgbench counts connecting as part of a time.
    """
    each = math.ceil((sizes.seconds + WARM_UP) * sizes.goal / sizes.clients)
    command = [
        cluster.find_bin() / "pgbench", "-n", "-M", "simple", "-t", str(each), "-c", str(sizes.clients), "-R",
        str(sizes.goal), "-h", "127.0.0.1", "-p", str(port), "-U", APP, "-f", script, "-l", "--log-prefix", log,
        "pulsex",
    ]  # fmt: skip
    for old in log.parent.glob(f"{log.name}.*"):
        old.unlink()
    subprocess.run(command, capture_output=True, check=True)
    # Of each transaction: client, number, latency in us with the lag, script, when it ended in s and us, lag in us.
    lines = [line.split() for file in log.parent.glob(f"{log.name}.*") for line in file.read_text().splitlines()]
    times = [(int(line[4]) + int(line[5]) / 1e6, int(line[2]) / 1000) for line in lines]
    begin = min(at for at, _ in times) + WARM_UP
    return Latencies(np.array([taken for at, taken in times if at >= begin]), Counter(), sizes.seconds).at("p99")
