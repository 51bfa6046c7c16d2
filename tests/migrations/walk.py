"""A walk over the migrations, one step up or down at a time, with a fingerprint of the database at each."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import psycopg

from pulsex import deploy, fingerprint
from pulsex.fingerprint import Fingerprint

MIGRATIONS = sorted((deploy.DB / "migrations").glob("*.sql"))
NAMES = [migration.stem for migration in MIGRATIONS]


@dataclass(frozen=True)
class Step:
    """A database below a migration, above it, below it again after up and down, and above it again."""

    below: Fingerprint
    above: Fingerprint
    below_again: Fingerprint
    above_again: Fingerprint

    @property
    def lost(self) -> set[str]:
        """The tables of which down and up again don't leave every row as it was."""
        before, after = fingerprint.rows(self.above), fingerprint.rows(self.above_again)
        return {name.removeprefix(f"{fingerprint.ROWS} ") for name in before if before[name] != after.get(name)}


@dataclass(frozen=True)
class Walk:
    """Each migration's step, and the database at the end, with no migration left."""

    steps: dict[str, Step]
    bottom: Fingerprint


def take(url: str) -> Fingerprint:
    """Return the fingerprint of the database at a superuser's URL."""
    with psycopg.connect(url) as connection:
        return fingerprint.take(connection)


def declared_loss(migration: Path) -> str | None:
    """Return what the way down of a migration says that it loses."""
    down = migration.read_text().partition("-- migrate:down")[2]
    said = re.search(r"^-- loses: (.+)$", down, re.MULTILINE)
    return said and said[1]


def climb(url: str, place: Path, migrations: list[Path] = MIGRATIONS) -> Walk:
    """Go up from an empty database that has the roles, each migration up, down and up, and then all the way down."""
    steps = {}
    folder = place / "migrations"
    folder.mkdir(parents=True, exist_ok=True)
    for number, migration in enumerate(migrations):
        shutil.copy(migration, folder)
        if number == 0:  # so that dbmate's own table is there from the start
            deploy.dbmate(url, "up", place)
            deploy.dbmate(url, "rollback", place)
            below = take(url)
        deploy.dbmate(url, "up", place)
        above = take(url)
        deploy.dbmate(url, "rollback", place)
        below_again = take(url)
        deploy.dbmate(url, "up", place)
        above_again = take(url)
        steps[migration.stem] = Step(below, above, below_again, above_again)
        below = above_again
    for _ in migrations:
        deploy.dbmate(url, "rollback", place)
    return Walk(steps, take(url))


def descend(url: str, place: Path, migrations: list[Path] = MIGRATIONS) -> Walk:
    """Go down from a database that is deployed and has rows, each migration down, up and down."""
    steps = {}
    folder = place / "migrations"
    folder.mkdir(parents=True, exist_ok=True)
    for migration in migrations:
        shutil.copy(migration, folder)
    above = take(url)
    for migration in reversed(migrations):
        deploy.dbmate(url, "rollback", place)
        below = take(url)
        deploy.dbmate(url, "up", place)
        above_again = take(url)
        deploy.dbmate(url, "rollback", place)
        below_again = take(url)
        steps[migration.stem] = Step(below, above, below_again, above_again)
        (folder / migration.name).unlink()
        above = below_again
    return Walk(steps, above)
