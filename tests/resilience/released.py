"""Databases as earlier releases left them, with people in them: dumps, by the last migration that each release has.

``python -m tests.resilience.released`` writes that of this release, and touches no other. Run it when a release is
tagged (``tox -e release`` does), and until the first one is, after each change of its migrations.
"""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

from pulsex import throwaway
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
    with throwaway.deployed() as url:
        rehearse(url)
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(gzip.compress(dump(url), mtime=0))
    print(f"Wrote {file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
