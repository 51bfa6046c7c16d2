"""``python -m bench NAME``: run one part, or all of them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from bench import audit, bloat, erase, harness, ingest, queue, rls

PARTS: dict[str, Callable[[], bool]] = {
    "audit": audit.run,
    "bloat": bloat.run,
    "erase": erase.run,
    "harness": harness.run,
    "ingest": ingest.run,
    "queue": queue.run,
    "rls": rls.run,
}


def main() -> int:
    """Run the parts that were named; return 0 when every target was met, else 1."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], metavar="NAME", help=", ".join(PARTS))
    parts = parser.parse_args().parts or PARTS
    met = [PARTS[part]() for part in parts]
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
