"""The two releases after this one: how a column and a routine's new signature come in, while the old ones work."""

from __future__ import annotations

import shutil
from pathlib import Path

from pulsex import deploy

EXPAND, CONTRACT = "expand", "contract"
STEPS = (EXPAND, CONTRACT)
HERE = Path(__file__).parent


def release(place: Path, step: str) -> Path:
    """Return the ``db`` folder of a release, made in ``place``: this repository's, and what came with it and before."""
    db = Path(shutil.copytree(deploy.DB, place / step))
    for came in STEPS[: STEPS.index(step) + 1]:
        for migration in (HERE / came / "migrations").glob("*.sql"):
            shutil.copy(migration, db / "migrations")
    shutil.copy(HERE / step / "routines.sql", db / "routines" / "follow_topics.sql")
    manifest = db / "routines.sql"
    privileges = "\\ir routines/privileges.sql\n"
    assert privileges in manifest.read_text()
    manifest.write_text(manifest.read_text().replace(privileges, f"{privileges}\\ir routines/follow_topics.sql\n"))
    return db
