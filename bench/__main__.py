"""``python -m bench NAME``: run one part, or all of them, and write the figures into db/performance_recommendations.md.

Each part leaves ``bench/results/NAME.json`` and its plots there.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from datetime import UTC, datetime

from bench import (
    audit,
    bloat,
    concurrency,
    erase,
    growth,
    harness,
    indexes,
    ingest,
    jsonb,
    machine,
    queue,
    report,
    results,
    rls,
)
from bench.options import Options
from bench.record import Cell

PARTS: dict[str, Callable[[Options], bool]] = {
    "audit": audit.run,
    "bloat": bloat.run,
    "concurrency": concurrency.run,
    "erase": erase.run,
    "growth": growth.run,
    "harness": harness.run,
    "indexes": indexes.run,
    "ingest": ingest.run,
    "jsonb": jsonb.run,
    "queue": queue.run,
    "rls": rls.run,
}


def run(part: str, options: Options, facts: dict[str, Cell]) -> bool:
    """Run a part and, unless it is a smoke test, write what it found; tell whether it met every target."""
    report.console.rule(part)
    results.rewritten(results.GUIDE.read_text(), part, "")  # better told now that it has no place there than afterwards
    measured_at = datetime.now(UTC)
    with report.recording(options) as record:
        met = PARTS[part](options)
    if not options.quick:
        results.Result(part, measured_at, facts, options, record).write()
    return met


def main() -> int:
    """Run the parts that were named; return 0 when every target was met, else 1."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], metavar="NAME", help=", ".join(PARTS))
    parser.add_argument("--scale", type=float, default=1, help="so many times the people, of concurrency")
    parser.add_argument("--large", action="store_true", help="the largest size too, of growth")
    parser.add_argument("--quick", action="store_true", help="a smoke test of some seconds that writes nothing")
    asked = parser.parse_args()
    options = Options(scale=asked.scale, large=asked.large, quick=asked.quick)
    facts = machine.facts()  # before the first part's results change what is committed
    met = [run(part, options, facts) for part in asked.parts or PARTS]
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
