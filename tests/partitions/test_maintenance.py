"""CALL ops.run_maintenance(): every step on its own, one scheduler at a time, and who fails is named."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from tests.partitions.calendar import maintain, months_before, named

pytestmark = pytest.mark.commits

TASKS = "SELECT task, split_part(error, ':', 1) FROM ops.maintenance_tasks WHERE error IS NOT NULL ORDER BY task"
AHEAD = "SELECT table_name, months_ahead FROM ops.partition_health WHERE schema_name = 'pulsex' ORDER BY 1"
CLAIM = "SELECT ops.claim_maintenance()"


@pytest.fixture
def five_ahead(dba) -> None:
    """Two more months to make for each table."""
    dba.rows("UPDATE ops.partitioned_tables SET months_ahead = 5")


def test_a_deployed_database_has_nothing_to_maintain(worker, dba):
    """No partition comes or goes, nothing is said, and every task is remembered to have succeeded."""
    partitions = "SELECT relation FROM ops.partitions ORDER BY 1"
    before = dba.rows(partitions)
    assert maintain(worker) == []
    dba.results_eq(partitions, before)
    dba.results_eq(
        "SELECT count(*), count(succeeded_at), count(failed_at) FROM ops.maintenance_tasks", [(17, 17, 0)]
    )  # fmt: skip


@pytest.mark.usefixtures("five_ahead")
def test_partitions_are_made_as_the_registry_says(worker):
    """Five months ahead, where there were three."""
    maintain(worker)
    worker.results_eq(AHEAD, [("briefings", 5), ("engagement_events", 5)])


def test_partitions_are_made_and_expired_in_one_run(worker, past, five_ahead):
    """Ahead and behind; a second run changes nothing."""
    assert maintain(worker) == []
    partitions = worker.rows("SELECT relation FROM ops.partitions ORDER BY 1")
    worker.is_empty("SELECT partition_name FROM ops.partitions WHERE is_expired OR state <> 'attached'")
    assert maintain(worker) == []
    worker.results_eq("SELECT relation FROM ops.partitions ORDER BY 1", partitions)


def test_time_zones_are_learnt_and_old_sessions_purged(worker, service_rows, published):
    """The other two things that are to be done once a day."""
    service_rows("DELETE FROM pulsex.time_zones WHERE name = 'Asia/Tokyo'")
    service_rows("UPDATE auth.sessions SET created_at = '2000-01-01', expires_at = '2000-01-02'")
    assert maintain(worker) == []
    assert service_rows("SELECT count(*) FROM pulsex.time_zones WHERE name = 'Asia/Tokyo'") == [(1,)]
    assert service_rows("SELECT count(*) FROM auth.sessions") == [(0,)]


def test_each_step_is_committed(worker, dba, past, five_ahead):
    """What is done before a run is cancelled stays done: here the partitions of the first table."""
    dba.rows("REVOKE EXECUTE ON FUNCTION ops.record_maintenance FROM pulsex_worker")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        maintain(worker)
    worker.results_eq("SELECT months_ahead FROM ops.partition_health ORDER BY 1", [(3,), (3,), (5,)])


def test_it_is_called_outside_of_a_transaction(worker):
    """Inside one it can't commit: 2D000."""
    with pytest.raises(psycopg.errors.InvalidTransactionTermination), worker.connection.transaction():
        maintain(worker)


@pytest.mark.usefixtures("five_ahead")
def test_a_second_scheduler_says_so_and_returns_at_once(worker, dba):
    """While somebody has the claim nothing is done and nothing waited for, and a notice says it."""
    with dba.connection.transaction():
        assert dba.connection.execute(CLAIM).fetchone() == (True,)
        [said] = maintain(worker)
    assert said.startswith("NOTICE")
    worker.results_eq(AHEAD, [("briefings", 3), ("engagement_events", 3)])


def test_schedulers_that_start_together_do_everything_once(database, dba, past, five_ahead):
    """Of four none fails or warns, and the work is done."""
    others = [database.actor(f"scheduler {number}", "pulsex_worker") for number in range(4)]
    with ThreadPoolExecutor(len(others)) as pool:
        said = [line for lines in pool.map(maintain, others) for line in lines]
    assert not [line for line in said if not line.startswith("NOTICE")]
    dba.is_empty("SELECT partition_name FROM ops.partitions WHERE is_expired OR state <> 'attached'")
    dba.results_eq(AHEAD, [("briefings", 5), ("engagement_events", 5)])


def test_a_run_that_is_cancelled_leaves_nothing_locked(worker, dba, five_ahead):
    """The lock is the transaction's: whoever comes next, over any connection, can go on."""
    with dba.connection.transaction():
        dba.connection.execute("LOCK TABLE pulsex.briefings IN SHARE UPDATE EXCLUSIVE MODE")
        worker.connection.execute("SET statement_timeout = '300ms'")
        with pytest.raises(psycopg.errors.QueryCanceled):
            maintain(worker, attempts=12)
    dba.results_eq(CLAIM, [(True,)])


@pytest.mark.usefixtures("five_ahead")
def test_an_application_that_was_taken_over_cannot_keep_maintenance_from_running(stranger, worker):
    """It may hold advisory locks, for ever, on whatever key; the row that is locked here is out of its reach."""
    for key in ("hashtextextended('ops.run_maintenance', 0)", "hashtextextended('ops.claim_maintenance', 0)"):
        stranger.rows(f"SELECT pg_advisory_lock({key})")
    stranger.throws_ok("SELECT FROM ops.maintenance_tasks FOR UPDATE", "42501")
    stranger.throws_ok("LOCK TABLE ops.maintenance_tasks IN ACCESS SHARE MODE", "42501")
    stranger.throws_ok(CLAIM, "42501")
    assert maintain(worker) == []
    worker.results_eq(AHEAD, [("briefings", 5), ("engagement_events", 5)])


@pytest.mark.parametrize("how", ["FOR UPDATE", "FOR KEY SHARE"])
def test_the_worker_locks_the_row_by_the_routine_alone(worker, how):
    """What it may read of the tasks it may not lock, so a claim ends with a transaction of maintenance."""
    worker.throws_ok(f"SELECT FROM ops.maintenance_tasks {how}", "42501")


@pytest.mark.usefixtures("five_ahead")
def test_a_lock_that_is_not_had_is_tried_again(worker, dba, database):
    """Who lets go between two attempts is not in the way."""
    holder = database.actor("holder", "postgres").connection
    holder.execute("BEGIN")
    holder.execute("LOCK TABLE pulsex.briefings IN SHARE UPDATE EXCLUSIVE MODE")
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(maintain, worker, 12)
        while not dba.rows("SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep'"):
            assert not run.done()
        holder.execute("ROLLBACK")
        assert run.result() == []
    worker.results_eq(AHEAD, [("briefings", 5), ("engagement_events", 5)])


@pytest.mark.usefixtures("five_ahead")
def test_a_lock_that_is_never_had_is_reported_and_the_others_go_on(worker, dba):
    """55P03 for that table, a warning and a row that names it; the other table gets its partitions."""
    with dba.connection.transaction():
        dba.connection.execute("LOCK TABLE pulsex.briefings IN SHARE UPDATE EXCLUSIVE MODE")
        [said] = maintain(worker)
    assert said.startswith("WARNING")
    worker.results_eq(TASKS, [("partitions ahead of pulsex.briefings", "55P03")])
    worker.results_eq(AHEAD, [("briefings", 3), ("engagement_events", 5)])


@pytest.fixture
def in_the_way(dba, today) -> str:
    """A table with the name of the fourth month's partition of briefings, which is none."""
    name = named("briefings", months_before(today, -4))
    dba.rows(f"CREATE TABLE {name} ()")
    dba.rows(f"ALTER TABLE {name} OWNER TO pulsex_owner")
    return name


def test_one_failing_table_does_not_stop_the_others(worker, past, five_ahead, in_the_way):
    """42P07 for the one; every other task, of that table too, is done."""
    [said] = maintain(worker)
    assert said.startswith("WARNING")
    worker.results_eq(TASKS, [("partitions ahead of pulsex.briefings", "42P07")])
    worker.results_eq(AHEAD, [("briefings", 3), ("engagement_events", 5)])
    worker.is_empty("SELECT partition_name FROM ops.partitions WHERE is_expired")


def test_a_failure_is_forgotten_when_the_task_succeeds(worker, dba, five_ahead, in_the_way):
    """The next run, with nothing in the way, clears it and does what was left."""
    maintain(worker)
    dba.rows(f"DROP TABLE {in_the_way}")
    assert maintain(worker) == []
    worker.is_empty(TASKS)
    worker.results_eq(AHEAD, [("briefings", 5), ("engagement_events", 5)])


def test_a_table_that_is_not_there_fails_alone(worker, dba, five_ahead):
    """A row of the registry for no table is reported, and the real ones are maintained."""
    dba.rows(
        "INSERT INTO ops.partitioned_tables (schema_name, table_name, months_ahead) VALUES ('pulsex', 'absent', 1)"
    )
    [said] = maintain(worker)
    assert said.startswith("WARNING")
    worker.results_eq(TASKS, [("partitions ahead of pulsex.absent", "42P01")])
    worker.results_eq(AHEAD, [("absent", -1), ("briefings", 5), ("engagement_events", 5)])


def test_what_an_interrupted_run_detached_is_dropped_by_the_next(worker, dba, past):
    """Between detaching and dropping a run may die: the table is shown, and goes the next time."""
    name = worker.value("SELECT ops.detach_next_partition('pulsex', 'engagement_events')")
    worker.results_eq("SELECT detached FROM ops.partition_health WHERE detached <> '{}'", [([name],)])
    assert maintain(worker) == []
    dba.results_eq("SELECT to_regclass(format('pulsex.%%I', %s::text))", [(None,)], name)
