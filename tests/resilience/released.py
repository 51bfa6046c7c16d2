"""Databases as earlier releases left them, with people in them: dumps, by the last migration that each release has.

``python -m tests.resilience.released`` writes that of this release, unless it has been released: then it is kept for
good. ``tox -e release`` runs it first; until then it is run after each change of what a deploy makes.
"""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

from pulsex import release, throwaway
from pulsex.cluster import find_bin
from pulsex.deploy import DB
from tests.cast import rehearse

FOLDER = Path(__file__).parent / "releases"
SUFFIX = ".sql.gz"


def dumps() -> list[Path]:
    """Return every release's dump, the first release's first."""
    return sorted(FOLDER.glob(f"*{SUFFIX}"))


def dump(url: str) -> bytes:
    """Return a database as SQL, the same text for the same database."""
    run = [find_bin() / "pg_dump", "--restrict-key=pulsex", "-d", url]
    return subprocess.run(run, check=True, capture_output=True).stdout


def load(file: Path, into: Path) -> Path:
    """Unpack a dump, for psql to read; return the file."""
    into.write_bytes(gzip.decompress(file.read_bytes()))
    return into


def main() -> int:
    """Deploy this release to a new database, let the cast do all they do, and write the dump."""
    last = max(migration.stem for migration in (DB / "migrations").glob("*.sql"))
    file = FOLDER / f"{last}{SUFFIX}"
    if file.exists() and f"{last}.sql" in release.recorded(DB / "migrations"):
        print(f"Kept {file.name}: that is released.")
        return 0
    with throwaway.deployed() as url:
        rehearse(url)
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(gzip.compress(dump(url), mtime=0))
    print(f"Wrote {file.name}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
