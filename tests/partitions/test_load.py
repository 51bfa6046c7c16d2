"""Maintenance under load: nobody gets an error, and nobody waits.

Six seconds of it in every run of the suite; `tox -e soak` is a minute, or a thirtieth of PULSEX_SOAK_SECONDS.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.partitions import load

pytestmark = pytest.mark.commits

SECONDS = float(os.environ.get("PULSEX_SOAK_SECONDS", "180")) / 30


@pytest.fixture
def log(dba) -> Path:
    """The server's log."""
    [log] = Path(dba.value("SHOW data_directory")).parent.glob("*.log")
    return log


@pytest.mark.long
@pytest.mark.timeout(60 + 2 * SECONDS)
def test_nobody_waits_while_partitions_are_made_expired_and_vacuumed(
    start_pooler, database, readers, dba, log, record_property
):
    """Readers and writers through the pooler: no error, and no wait for a lock, of anybody, over 100 ms."""
    record = load.run(start_pooler(default_pool_size=8), database.url, readers, log, SECONDS)
    record_property("load", str(record))
    print(record)
    assert record.too_long == []
    assert record.warnings == []
    assert record.made >= record.expired > 0
    assert record.vacuums > 0
    assert min(record.transactions.values()) > 0
    assert record.transactions.total() > 100 * SECONDS


@pytest.mark.long
def test_a_step_that_holds_its_locks_too_long_would_be_noticed(start_pooler, database, readers, dba, log):
    """Were partitions dropped in a transaction of 200 ms, the server's log would say who waited."""
    definition = dba.value("SELECT pg_get_functiondef('ops.drop_next_partition'::regproc)")
    dba.rows(definition.replace("RETURN v_name", "PERFORM pg_sleep(0.2) WHERE v_name <> ''; RETURN v_name"))
    # On a busy machine it may take maintenance a while to come to dropping one.
    assert load.run(start_pooler(default_pool_size=8), database.url, readers, log, 20, until_one_waits=True).too_long
