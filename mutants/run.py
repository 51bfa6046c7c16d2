"""A run of the mutants: the tests without any first, then each mutant in a process and a database of its own."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import multiprocessing
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from multiprocessing import connection as pipes
from pathlib import Path

import psycopg
import pytest

from mutants import child, relevant
from mutants.generate import Mutant, mutants
from mutants.relevant import Killers
from tests import harness

EQUIVALENT = Path(__file__).parent / "equivalent.txt"
KILLED, SURVIVED, BROKEN = "killed", "survived", "broken"
PATIENCE = 300  # seconds: a mutant that is at it for longer would never end, and somebody would notice that
FORK = multiprocessing.get_context("fork")


def equivalent() -> dict[str, str]:
    """Return the mutants that change nothing which anybody could notice: name to the reason."""
    lines = [line for line in EQUIVALENT.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split(" => ", 1) for line in lines)


@dataclass
class Slot:
    """A cluster that one process at a time uses, and the databases that belong there."""

    server: harness.Server
    databases: set[str]
    log: Path
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def changed(self, change: str) -> harness.Server:
        """Return the cluster for a process whose clones are changed, and never named as another process's were."""
        return harness.Server(self.server.url, self.server.cast, change, itertools.count(1000 * next(self.numbers)))

    def tidy(self) -> None:
        """Drop what a process left behind."""
        with psycopg.connect(self.server.url, autocommit=True) as connection:
            there = {name for (name,) in connection.execute("SELECT datname FROM pg_database").fetchall()}
        for name in there - self.databases:
            harness.throwaway.drop_database(self.server.url, name)


def log_of(connection: psycopg.Connection) -> Path:
    """Return where a throwaway cluster logs, which a superuser's connection is to."""
    [data_directory] = connection.execute("SHOW data_directory").fetchone()
    [log] = Path(data_directory).parent.glob("*.log")
    return log


@contextlib.contextmanager
def slots(place: Path, data: Path, count: int) -> Iterator[list[Slot]]:
    """Start a cluster for each of the processes that there are to be at once."""
    with contextlib.ExitStack() as stack:
        found = []
        for _ in range(count):
            server = stack.enter_context(harness.serving(place, data))
            with psycopg.connect(server.url, autocommit=True) as connection:
                connection.execute("ALTER SYSTEM SET track_functions = 'all'")
                connection.execute("SELECT pg_reload_conf()")
                there = connection.execute("SELECT datname FROM pg_database").fetchall()
                found.append(Slot(server, {name for (name,) in there}, log_of(connection)))
        yield found


Work = Callable[[Slot], Callable[[], object]]


def forked(slots: list[Slot], jobs: Iterable[tuple[str, Work]], patience: float | None) -> Iterator[tuple[str, object]]:
    """Do each job in a forked process, as many at once as there are slots; yield its name and what it sent or None."""
    waiting, free = iter(jobs), list(slots)
    busy: dict[pipes.Connection, tuple[str, Slot, multiprocessing.Process, float]] = {}
    while True:
        while free and (job := next(waiting, None)):
            name, work = job
            slot = free.pop()
            mine, theirs = FORK.Pipe(duplex=False)
            process = FORK.Process(target=child.reporting, args=(theirs, work(slot)), daemon=True)
            process.start()
            theirs.close()
            busy[mine] = (name, slot, process, time.monotonic())
        if not busy:
            return
        ready = pipes.wait(busy, timeout=1)
        late = [pipe for pipe, (*_, since) in busy.items() if patience and time.monotonic() - since > patience]
        for pipe in {*ready, *late}:
            name, slot, process, _ = busy.pop(pipe)
            try:
                sent = pipe.recv() if pipe in ready else None
            except EOFError:
                sent = RuntimeError("the process died")
            if sent is None:
                process.kill()
            process.join()
            slot.tidy()
            free.append(slot)
            yield name, sent


class Run:
    """A pytest plugin that runs what was collected again and again."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.code = 0
        self.killers: Killers = Counter()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Take the place of pytest's own loop."""
        place, data = map(Path, session.config.stash[harness.PREPARED])
        with slots(place, data, self.options.processes) as clusters:
            every = self._every(clusters[0])
            chosen = [mutant for mutant in every if re.search(self.options.only, mutant.name)][:: self.options.every]
            if self.options.list:
                print(*(mutant.name for mutant in chosen), sep="\n")
            else:
                self._run(session, clusters, every, chosen)
        return True

    def _every(self, slot: Slot) -> list[Mutant]:
        if self.options.sql:
            return [Mutant(file.stem, file.read_text(), (), file.read_text()) for file in self.options.sql]
        with psycopg.connect(slot.server.clone(), autocommit=True) as connection:
            every = mutants(connection)
        slot.tidy()
        return every

    def _run(self, session: pytest.Session, clusters: list[Slot], every: list[Mutant], chosen: list[Mutant]) -> None:
        started = time.monotonic()
        seen = self._unchanged(session, clusters)
        failing = [test for test, its in seen.items() if its.failed]
        for test in failing:
            print(f"fails without any mutant: {test}")
        print(f"{len(seen)} tests without any mutant took {time.monotonic() - started:.0f} seconds", flush=True)
        known = equivalent()
        tried = {mutant.name: mutant for mutant in chosen if mutant.name not in known}
        outcomes: dict[str, list[Mutant]] = {KILLED: [], SURVIVED: [], BROKEN: []}
        jobs = ((name, self._job(session, mutant, seen)) for name, mutant in tried.items())
        for name, sent in forked(clusters, jobs, PATIENCE):
            outcome, said = self._judge(tried[name], sent)
            outcomes[outcome].append(tried[name])
            print(f"{outcome:8} {name}   {said}", flush=True)
            done = sum(map(len, outcomes.values()))
            if done % 100 == 0:
                minutes = (time.monotonic() - started) / 60
                print(f"--- {done} of {len(tried)} in {minutes:.1f} minutes, {len(outcomes[SURVIVED])} survived")
        killed, survived, broken = (len(outcomes[outcome]) for outcome in (KILLED, SURVIVED, BROKEN))
        for mutant in outcomes[SURVIVED]:
            print(f"\nsurvived: {mutant.name}\n{mutant.shown}")
        score = 100 * killed / max(1, killed + survived)
        minutes = (time.monotonic() - started) / 60
        print(
            f"\n{len(every)} mutants, {len(chosen)} chosen, {len(chosen) - len(tried)} of them equivalent;"
            f" {killed} killed, {survived} survived, {broken} broken: score {score:.1f} %, in {minutes:.1f} minutes"
        )
        self.code = int(score < 95 or broken > 0 or bool(failing))

    def _unchanged(self, session: pytest.Session, clusters: list[Slot]) -> dict[str, child.Seen]:
        """Run every test without a mutant; return what is seen of each. One that fails now could tell nothing."""
        file = self.options.seen
        seen: dict[str, child.Seen] = {}
        if file and file.exists():
            kept = json.loads(file.read_text())
            there = {item.nodeid for item in session.items}
            seen = {
                test: child.Seen(failed=failed, seconds=took, calls={*its})
                for test, (failed, took, its) in kept
                if test in there
            }
        new = [item for item in session.items if item.nodeid not in seen]
        by_file = [list(its) for _, its in itertools.groupby(new, lambda item: item.path)]

        def look(slot: Slot, items: list[pytest.Item]) -> Callable[[], object]:
            def work() -> object:
                watch = child.WatchCalls(slot.log)
                child.run(session, slot.changed(""), items, watch, until_one_fails=False)
                return watch.seen

            return work

        jobs = [(str(items[0].path), lambda slot, items=items: look(slot, items)) for items in by_file]
        for name, sent in forked(clusters, jobs, None):
            if isinstance(sent, RuntimeError):
                message = f"{name}: {sent}"
                raise RuntimeError(message)
            seen |= sent
        if file:
            file.write_text(json.dumps([(t, (its.failed, its.seconds, sorted(its.calls))) for t, its in seen.items()]))
        return seen

    def _job(self, session: pytest.Session, mutant: Mutant, seen: dict[str, child.Seen]) -> Work:
        def prepare(slot: Slot) -> Callable[[], object]:
            items = {item.nodeid: item for item in session.items}
            share = 1 if self.options.tests else relevant.ENOUGH
            tests = relevant.tests(mutant, seen, self.killers, share)

            def work() -> object:
                watch = child.Watch()
                server = slot.changed(mutant.sql)
                child.run(session, server, [items[test] for test in tests], watch, until_one_fails=True)
                return next(((test, its.why) for test, its in watch.seen.items() if its.failed), len(watch.seen))

            return work

        return prepare

    def _judge(self, mutant: Mutant, sent: object) -> tuple[str, str]:
        """Return what became of a mutant, and which test noticed or what happened."""
        if sent is None:
            return KILLED, "it never ended"
        if isinstance(sent, RuntimeError):
            return BROKEN, str(sent)
        if isinstance(sent, int):
            return SURVIVED, f"{sent} tests"
        test, why = sent
        self.killers[mutant.names[:1], test] += 1
        return KILLED, f"{test}   {why}"
