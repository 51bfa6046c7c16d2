"""``python -m mutants``: run the relevant tests against every mutant, and say which nobody noticed."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg

from mutants.generate import Mutant, mutants
from mutants.relevant import tests
from pulsex import throwaway
from pulsex.deploy import ROOT
from tests import harness

EQUIVALENT = Path(__file__).parent / "equivalent.txt"
KILLED, SURVIVED, BROKEN = "killed", "survived", "broken"
TESTS_FAILED = 1  # pytest's exit codes
ALL_PASSED = 0


def equivalent() -> dict[str, str]:
    """Return the mutants that change nothing which anybody could notice: name to the reason."""
    lines = [line for line in EQUIVALENT.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split(" => ", 1) for line in lines)


def run(mutant: Mutant, place: Path) -> tuple[str, str]:
    """Run the relevant tests against a mutant; return what became of it, and what pytest said last."""
    with tempfile.NamedTemporaryFile("w", suffix=".sql", dir=place) as file:
        file.write(mutant.sql)
        file.flush()
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-n", "0", "-x", "-q", "--no-header", "--tb=no", "-p", "no:randomly",
             "-p", "no:cacheprovider", "-m", "not long", "--prepared", place, "--mutant", file.name,
             *tests(mutant.names)],
            cwd=ROOT, env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}, capture_output=True, text=True,
        )  # fmt: skip
    outcome = {TESTS_FAILED: KILLED, ALL_PASSED: SURVIVED}.get(done.returncode, BROKEN)
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return outcome, failed[0] if failed else (done.stdout + done.stderr).strip()[-300:]


def main() -> int:
    """Run all mutants, or those that are asked for; return 1 when the score is under 95 %, or a run was broken."""
    parser = argparse.ArgumentParser(prog="python -m mutants", description=__doc__)
    parser.add_argument("--only", default="", metavar="TEXT", help="mutants with this in their name")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="every Nth of them, for a sample")
    parser.add_argument("--list", action="store_true", help="name them, and run nothing")
    options = parser.parse_args()
    started = time.monotonic()
    with throwaway.scratch() as place:
        data = harness.prepare(place)
        with harness.serving(place, data) as server, psycopg.connect(server.clone(), autocommit=True) as connection:
            every = mutants(connection)
        chosen = [mutant for mutant in every if options.only in mutant.name][:: options.every]
        if options.list:
            print(*(mutant.name for mutant in chosen), sep="\n")
            return 0
        known = equivalent()
        tried = [mutant for mutant in chosen if mutant.name not in known]
        outcomes: dict[str, list[Mutant]] = {KILLED: [], SURVIVED: [], BROKEN: []}
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for mutant, (outcome, said) in zip(tried, pool.map(lambda each: run(each, place), tried), strict=True):
                outcomes[outcome].append(mutant)
                print(f"{outcome:8} {mutant.name}   {said}", flush=True)
    killed, survived, broken = (len(outcomes[outcome]) for outcome in (KILLED, SURVIVED, BROKEN))
    for mutant in outcomes[SURVIVED]:
        print(f"\nsurvived: {mutant.name}\n{mutant.shown}")
    score = 100 * killed / max(1, killed + survived)
    minutes = (time.monotonic() - started) / 60
    print(
        f"\n{len(every)} mutants, {len(chosen)} chosen, {len(chosen) - len(tried)} of them equivalent;"
        f" {killed} killed, {survived} survived, {broken} broken: score {score:.1f} %, in {minutes:.1f} minutes"
    )
    return int(score < 95 or broken > 0)


if __name__ == "__main__":
    sys.exit(main())
