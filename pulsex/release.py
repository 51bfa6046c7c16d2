"""What has been released is never edited: the checksums of released migrations, recorded and compared.

The record is ``db/migrations/checksums.sha256``, in the format of sha256sum, which can check it too.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from pulsex.deploy import DB

NAME = "checksums.sha256"


class ReleaseError(Exception):
    """A released migration isn't what it was; the message is a line for each fault."""


def recorded(migrations: Path) -> dict[str, str]:
    """Return the released migrations in a folder: file name to SHA-256."""
    lines = (migrations / NAME).read_text().splitlines()
    pairs = [line.split(maxsplit=1) for line in lines if line and not line.startswith("#")]
    return {name: digest for digest, name in pairs}


def present(migrations: Path) -> dict[str, str]:
    """Return the migrations that are there: file name to SHA-256."""
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(migrations.glob("*.sql"))}


def faults(migrations: Path = DB / "migrations") -> list[str]:
    """Return what has happened to released migrations that must not: edited, gone, or put among them afterwards."""
    released, here = recorded(migrations), present(migrations)
    latest = max(released, default="")
    changed = [name for name in released if here.get(name) != released[name]]
    found = [f"{name} was released and {'has been edited' if name in here else 'is gone'}" for name in changed]
    return found + [
        f"{name} comes before {latest}, which was released without it"
        for name in here
        if name < latest and name not in released
    ]


def record(migrations: Path = DB / "migrations") -> list[str]:
    """Record every migration that isn't yet as released, and return their names; raises ReleaseError."""
    if found := faults(migrations):
        raise ReleaseError("\n".join(found))
    new = {name: digest for name, digest in present(migrations).items() if name not in recorded(migrations)}
    with (migrations / NAME).open("a") as file:
        file.writelines(f"{digest}  {name}\n" for name, digest in new.items())
    return list(new)
