"""``python -m mutants``: run the relevant tests against every mutant, and say which nobody noticed."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import pytest

from mutants import relevant
from mutants.run import Run

# Everything is collected once. What is long is the suite's business: each mutant would wait for it.
PYTEST = [
    "-n", "0", "-s", "-q", "--no-header", "--no-summary", "-p", "no:randomly", "-p", "no:cacheprovider",
    "-m", "not long and not soak", "--timeout", "60",
]  # fmt: skip


def main() -> int:
    """Run all mutants, or those that are asked for; return 1 when the score is under 95 %, or a run was broken."""
    parser = argparse.ArgumentParser(prog="python -m mutants", description=__doc__)
    parser.add_argument("--only", default="", metavar="REGEX", help="mutants whose name matches")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="every Nth of them, for a sample")
    parser.add_argument("--list", action="store_true", help="name them, and run nothing")
    parser.add_argument(
        "--seen", type=Path, metavar="FILE", help="keep there what the tests call; the next run spares itself the look"
    )
    parser.add_argument("--processes", type=int, default=os.cpu_count(), metavar="N", help="as many mutants at once")
    parser.add_argument(
        "--sql", type=Path, nargs="+", default=[], metavar="FILE", help="changes of your own, instead of the mutants"
    )
    parser.add_argument("--tests", nargs="+", default=[], metavar="FILE", help="these tests, instead of all")
    parser.add_argument(
        "--prepared", type=Path, metavar="PLACE", help="where a run which is under way prepared its cluster"
    )
    options = parser.parse_args()
    run = Run(options)
    prepared = ["--prepared", str(options.prepared)] if options.prepared else []
    code = pytest.main([*PYTEST, *prepared, *(options.tests or relevant.files())], plugins=[run])
    return code or run.code


if __name__ == "__main__":
    sys.exit(main())
