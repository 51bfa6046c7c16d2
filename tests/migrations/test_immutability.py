"""A released migration is never edited, never goes, and gets no other put before it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from pulsex import deploy, release


@pytest.fixture
def migrations(tmp_path) -> Path:
    """A copy of the migrations, all but the last of them released."""
    folder = Path(shutil.copytree(deploy.DB / "migrations", tmp_path / "migrations"))
    *_, last = sorted(folder.glob("*.sql"))
    kept = last.rename(tmp_path / last.name)
    release.record(folder)
    kept.rename(last)
    return folder


def test_the_released_migrations_are_what_they_were():
    """The record agrees with the folder."""
    assert release.faults() == []


def test_what_is_not_released_may_change(migrations):
    """The last migration, which isn't released, is edited and found in order."""
    *_, last = sorted(migrations.glob("*.sql"))
    last.write_text("-- migrate:up\n-- migrate:down\n")
    assert release.faults(migrations) == []


def test_an_edited_migration_is_found(migrations):
    """A comment at its end is enough."""
    first = min(migrations.glob("*.sql"))
    first.write_text(first.read_text() + "-- edited\n")
    assert release.faults(migrations) == [f"{first.name} was released and has been edited"]


def test_a_removed_migration_is_found(migrations):
    """So is one that is gone."""
    first = min(migrations.glob("*.sql"))
    first.unlink()
    assert release.faults(migrations) == [f"{first.name} was released and is gone"]


def test_a_migration_put_before_a_released_one_is_found(migrations):
    """It would never be applied where the released one was applied already, or after it."""
    (migrations / "000_late.sql").write_text("-- migrate:up\n-- migrate:down\n")
    latest = max(release.recorded(migrations))
    assert release.faults(migrations) == [f"000_late.sql comes before {latest}, which was released without it"]


def test_a_release_adds_what_is_new(migrations):
    """Recording adds the last migration's checksum and leaves the others' as they were; again adds nothing."""
    before = release.recorded(migrations)
    *_, last = sorted(migrations.glob("*.sql"))
    assert release.record(migrations) == [last.name]
    assert release.recorded(migrations) == before | {last.name: release.present(migrations)[last.name]}
    assert release.record(migrations) == []


def test_nothing_is_released_over_an_edited_migration(migrations):
    """Recording raises, and records nothing."""
    first = min(migrations.glob("*.sql"))
    first.write_text("")
    before = (migrations / release.NAME).read_bytes()
    with pytest.raises(release.ReleaseError, match="has been edited"):
        release.record(migrations)
    assert (migrations / release.NAME).read_bytes() == before


def test_sha256sum_agrees(migrations):
    """The record is one that sha256sum can check."""
    release.record(migrations)
    subprocess.run(["sha256sum", "--check", "--quiet", "--strict", release.NAME], cwd=migrations, check=True)
