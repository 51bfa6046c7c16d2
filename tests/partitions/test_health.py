"""ops.partition_health and ops.health: each fault is seen when it is there, and only then."""

from __future__ import annotations

import pytest

from pulsex.deploy import DB, OWNER, psql
from tests.partitions.calendar import TABLES, months_before, named

CHECKS = "SELECT name FROM ops.health WHERE NOT ok"
FAULTS = "SELECT unnest(faults) FROM ops.partition_health ORDER BY 1"


@pytest.fixture
def next_month(today) -> str:
    """The partition of briefings of the next month."""
    return named("briefings", months_before(today, -1))


@pytest.fixture
def look(dba):
    """Asks as the worker, in the transaction of whoever broke something; what the cast waits for isn't late in it."""
    dba.rows("DELETE FROM pulsex.notification_queue")

    def rows(sql: str) -> list[tuple]:
        dba.rows("SET LOCAL ROLE pulsex_worker")
        found = dba.rows(sql)
        dba.rows("RESET ROLE")
        return found

    return rows


def test_a_maintained_database_is_healthy(worker, look):
    """Every check is ok, and there are some."""
    assert look(CHECKS) == []
    worker.results_eq("SELECT count(*) > 5, count(*) = count(DISTINCT name) FROM ops.health", [(True, True)])


def test_it_is_told_how_far_ahead_each_table_is(worker):
    """Three months of three, five partitions with the last month's and this one's."""
    worker.results_eq(
        "SELECT table_name, months_wanted, months_ahead, partitions FROM ops.partition_health ORDER BY 1",
        [(table, 3, 3, 5) for table in (*TABLES, "events")],
    )


@pytest.mark.commits
def test_rows_and_bytes_are_told_per_partition(dba, worker, published):
    """The estimate is the planner's: null before, one of Alice's and one of Bob's after ANALYZE."""
    partition = named("briefings", published.briefing_date).partition(".")[2]
    told = "SELECT sizes -> %s -> 'rows', (sizes -> %s ->> 'bytes')::bigint > 8192 FROM ops.partition_health"
    told += " WHERE table_name = 'briefings'"
    worker.results_eq(told, [(None, True)], partition, partition)
    dba.rows(f"ANALYZE pulsex.{partition}")
    have = worker.value(
        "SELECT sizes -> %s -> 'rows' FROM ops.partition_health WHERE table_name = 'briefings'", partition
    )
    assert have == dba.value(f"SELECT count(*) FROM pulsex.{partition}") > 0


@pytest.mark.parametrize(
    ("gone", "ahead", "ok"), [(3, 2, True), (2, 1, False), (1, 0, False), (0, -1, False)], ids=str
)  # fmt: skip
def test_a_missing_month_is_told(dba, look, today, gone, ahead, ok):
    """Months count up to the first hole; the last one may be missing on the first of a month, more may not."""
    dba.rows("DELETE FROM pulsex.engagement_events")
    dba.rows(f"DROP TABLE {named('engagement_events', months_before(today, -gone))}")
    assert look("SELECT months_ahead FROM ops.partition_health WHERE table_name = 'engagement_events'") == [(ahead,)]
    assert look(CHECKS) == ([] if ok else [("partitions ahead",)])


def test_a_partition_that_should_be_gone_is_told(dba, look, today):
    """Made for a month that is older than its table's retention."""
    dba.rows("SELECT ops.make_next_partition('pulsex', 'briefings', 0, %s)", months_before(today, 30))
    name = named("briefings", months_before(today, 30)).partition(".")[2]
    assert look("SELECT expired FROM ops.partition_health WHERE table_name = 'briefings'") == [([name],)]
    assert look(CHECKS) == [("partitions expired",)]


def test_a_detached_partition_is_told(dba, look, next_month):
    """By its name, until it is dropped or renamed; the hole that it leaves is told too."""
    dba.rows(f"ALTER TABLE pulsex.briefings DETACH PARTITION {next_month}")
    told = "SELECT detached FROM ops.partition_health WHERE table_name = 'briefings'"
    assert look(told) == [([next_month.partition(".")[2]],)]
    assert look(CHECKS) == [("partitions ahead",), ("partitions detached",)]
    dba.rows(f"ALTER TABLE {next_month} RENAME TO archived")
    assert look(told) == [([],)]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ("ALTER TABLE {} DISABLE ROW LEVEL SECURITY", "row level security is off"),
        ("ALTER TABLE {} NO FORCE ROW LEVEL SECURITY", "row level security is not forced"),
        ("CREATE POLICY select_own ON {} FOR SELECT TO pulsex_app USING (true)", "has a policy of its own"),
        ("GRANT SELECT ON {} TO pulsex_app", "is granted to somebody"),
        ("GRANT UPDATE (title) ON {} TO pulsex_app", "is granted to somebody"),
        ("GRANT SELECT ON {} TO PUBLIC", "is granted to somebody"),
    ],
)
def test_an_unguarded_partition_is_told(dba, look, next_month, change, fault):
    """Whatever lets somebody at a partition by its own name."""
    assert look(FAULTS) == []
    dba.rows(change.format(next_month))
    assert look(FAULTS) == [(f"{next_month.partition('.')[2]}: {fault}",)]
    assert look(CHECKS) == [("partitions guarded",)]


def test_an_index_that_is_not_valid_is_none(dba, look):
    """As a build that was interrupted leaves it."""
    dba.rows(
        """UPDATE pg_index SET indisvalid = false WHERE indexrelid = (
            SELECT min(inhrelid) FROM pg_inherits WHERE inhparent = 'audit.events_occurred_at_idx'::regclass)"""
    )
    assert [fault.partition(": ")[2] for (fault,) in look(FAULTS)] == ["lacks events_occurred_at_idx"]


def test_a_partition_without_an_index_of_its_table_is_told(dba, look):
    """An index made ON ONLY the parent, of which the partitions have none."""
    dba.rows("CREATE INDEX briefings_title_idx ON ONLY pulsex.briefings (title)")
    faults = look(FAULTS)
    assert len(faults) == 5
    assert {fault.partition(": ")[2] for (fault,) in faults} == {"lacks briefings_title_idx"}
    assert look(CHECKS) == [("partitions guarded",)]


def test_a_table_without_policies_is_told(dba, look):
    """Row level security without a policy shows nobody anything."""
    for policy in ("service_all", "select_own", "update_own"):
        dba.rows(f"DROP POLICY {policy} ON pulsex.briefings")
    assert look(FAULTS) == [("has no policy",)]
    assert look(CHECKS) == [("partitions guarded",)]


def test_a_partitioned_table_that_nobody_registered_is_told(dba, look):
    """It would never get a partition."""
    dba.rows("CREATE TABLE pulsex.forgotten (day date) PARTITION BY RANGE (day)")
    assert look("SELECT name, detail FROM ops.health WHERE NOT ok") == [
        ("partitioned tables registered", "pulsex.forgotten")
    ]


@pytest.mark.parametrize(
    ("change", "ok"),
    [
        ("SET failed_at = now(), error = 'e' WHERE task = 'time zones'", False),
        ("SET failed_at = now() - interval '3 days', error = 'e' WHERE task = 'time zones'", True),
        ("SET succeeded_at = succeeded_at - interval '3 days'", False),
        ("SET succeeded_at = succeeded_at - interval '1 day'", True),
        ("SET succeeded_at = succeeded_at - interval '3 days' WHERE task = 'maintenance'", False),
    ],
)
def test_maintenance_that_fails_or_stops_is_told(dba, look, change, ok):
    """A task that failed the last time, or no run that came to its end for two days."""
    dba.rows(f"UPDATE ops.maintenance_tasks {change}")
    assert look(CHECKS) == ([] if ok else [("maintenance",)])


def test_maintenance_that_never_ran_is_told(dba, look):
    """As after the first deploy, until a scheduler is set up."""
    dba.rows("DELETE FROM ops.maintenance_tasks")
    assert look("SELECT name, detail FROM ops.health WHERE NOT ok") == [("maintenance", "has never come to its end")]


@pytest.mark.parametrize("actor", ["alice", "sign_in", "privacy", "analyst"])
def test_only_operators_and_the_worker_may_look(request, actor):
    """Anybody else is refused: 42501."""
    request.getfixturevalue(actor).throws_ok("SELECT * FROM ops.health", "42501")


@pytest.mark.commits
def test_a_deploy_takes_away_who_may_look_by_no_grant_of_ours(database, dba, alice, worker):
    """A grant on a view that isn't on the page of privileges is gone after the routines are replayed."""
    dba.rows("GRANT USAGE ON SCHEMA ops TO pulsex_app; GRANT SELECT ON ops.health TO pulsex_app, PUBLIC")
    psql(database.url, DB / "routines.sql", role=OWNER)
    alice.throws_ok("SELECT * FROM ops.health", "42501")
    dba.results_eq("SELECT has_table_privilege('pulsex_app', 'ops.health', 'SELECT')", [(False,)])
    worker.lives_ok("SELECT * FROM ops.health")


def test_a_briefing_that_was_given_up_is_shown(dba, look, published):
    """A generator that failed on a briefing until it was parked turns its check red."""
    dba.rows("UPDATE pulsex.briefing_schedule SET parked_date = '2026-01-02', parked_attempts = 5 WHERE user_id = %s",
             published.user_id)  # fmt: skip
    assert look(CHECKS) == [("briefings given up",)]
