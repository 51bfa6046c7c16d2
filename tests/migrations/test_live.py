"""Migrations while everybody is at work."""

from __future__ import annotations

from collections import Counter

import psycopg
import pytest

from pulsex import deploy
from pulsex.fingerprint import ROWS, difference
from tests.migrations.early import Early, work
from tests.migrations.releases import CONTRACT, release
from tests.migrations.walk import NAMES, take
from tests.partitions.load import Load
from tests.pooler.conftest import pgbouncer, pooler, readers, start_pooler

__all__ = ["pgbouncer", "pooler", "readers", "start_pooler"]

LOCK_TIMEOUT = 2000  # milliseconds: what each migration sets


@pytest.mark.long
@pytest.mark.commits
def test_nobody_notices_a_migration(pooler, database, readers, tmp_path, figures):
    """Each migration of two further releases goes down and up: no error, no long wait."""
    db = release(tmp_path, CONTRACT)
    names = [name for name in sorted(file.stem for file in (db / "migrations").glob("*.sql")) if name not in NAMES]
    deploy.dbmate(database.url, "up", db)
    load = Load(pooler, database.url, readers)

    def down_and_up() -> None:
        for _ in names:
            deploy.dbmate(database.url, "rollback", db)
        deploy.dbmate(database.url, "up", db)

    work(load, down_and_up)
    assert_unnoticed(load, figures)
    assert len(names) >= 4


@pytest.mark.long
@pytest.mark.commits
def test_nobody_notices_the_migrations_of_this_release(pooler, database, readers, figures):
    """Each migration after 003 goes down, and all come up again with the routines: no error, no long wait.

    At work is what needs none of them: reads, writes and sign-ins on the tables of the first three.
    """
    later = [name for name in NAMES if name > "004"]
    load = Early(pooler, database.url, readers)
    before = take(database.url)

    def down_and_up() -> None:
        for _ in later:
            deploy.rollback(database.url)
        deploy.deploy(database.url)

    work(load, down_and_up)
    assert_unnoticed(load, figures)
    assert len(later) >= 3
    assert [line for line in difference(before, take(database.url)) if not line[2:].startswith(ROWS)] == []


def assert_unnoticed(load: Load, figures: Counter[str]) -> None:
    """Everybody did something of everything, and nobody waited as long as a migration itself would."""
    figures["transactions while migrations ran"] += load.record.transactions.total()
    assert load.record.transactions.total() > 50
    assert min(load.record.transactions.values()) > 0
    assert load.record.longest_wait[0] < LOCK_TIMEOUT


@pytest.mark.commits
def test_an_error_of_a_migration_is_noticed(pooler, database, readers):
    """Were a column taken away that the routines use, somebody at work would be told."""

    def breaks() -> None:
        with psycopg.connect(database.url) as connection:
            connection.execute("ALTER TABLE pulsex.briefing_feedback RENAME comment TO remark")

    with pytest.raises(ExceptionGroup) as raised:
        work(Load(pooler, database.url, readers), breaks)
    assert raised.value.subgroup(psycopg.errors.UndefinedColumn)
