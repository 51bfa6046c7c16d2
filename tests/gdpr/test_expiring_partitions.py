"""Partitions that expire while somebody looks for a person's rows: nothing is missed, and nobody stumbles."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.gdpr.test_races import ERASE, FIND, waiting

__all__ = ["waiting"]
pytestmark = pytest.mark.commits

DETACH = "SELECT ops.detach_next_partition('pulsex', 'engagement_events')"
DROP = "SELECT ops.drop_next_partition('pulsex', 'engagement_events')"
LOOKS = {
    "gdpr.erase_user": ERASE,
    "gdpr.find_personal_data": f"SELECT count(*) FROM ({FIND}) AS f",
    "gdpr.export_user_data": "SELECT gdpr.export_user_data(%s)",
    "gdpr.export_user_data_rows": "SELECT count(*) FROM gdpr.export_user_data_rows(%s)",
    "gdpr.count_user_data": "SELECT count(*) FROM gdpr.count_user_data(%s)",
}


@pytest.fixture
def long_past(dba, worker, published):
    """A partition that has expired, with an event of Alice's in it."""
    month = "(date_trunc('month', now() AT TIME ZONE 'UTC') - interval '30 months')"
    worker.rows(f"SELECT ops.make_next_partition('pulsex', 'engagement_events', 0, {month}::date)")
    with dba.connection.transaction():
        dba.connection.execute("SET LOCAL ROLE pulsex_service")
        dba.connection.execute(
            f"""INSERT INTO pulsex.engagement_events (user_id, occurred_at, event_id, event_type)
            VALUES (%s, {month} AT TIME ZONE 'UTC', uuidv7(), 'opened')""",
            [published.user_id],
        )


@pytest.mark.usefixtures("long_past")
def test_a_partition_that_is_detached_meanwhile_is_erased_from(worker, privacy, published, waiting):
    """The erasure waits for it, and looks where the rows are afterwards."""
    with ThreadPoolExecutor(1) as pool:
        with worker.connection.transaction():
            assert worker.value(DETACH)
            erasing = pool.submit(privacy.value, ERASE, published.user_id)
            waiting(erasing)
        erasing.result()
    privacy.is_empty(FIND, published.user_id)


@pytest.mark.usefixtures("long_past")
@pytest.mark.parametrize("routine", LOOKS)
def test_a_partition_that_is_dropped_meanwhile_is_no_error(routine, worker, privacy, published, waiting):
    """Whoever lists the relations waits for it, and doesn't go where there is nothing any more."""
    assert worker.value(DETACH)
    with ThreadPoolExecutor(1) as pool:
        with worker.connection.transaction():
            assert worker.value(DROP)
            looking = pool.submit(privacy.value, LOOKS[routine], published.user_id)
            waiting(looking)
        looking.result()
