"""What is older than its table's retention goes, with the feedback that refers to it, and nothing else does."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from psycopg.types.json import Jsonb

from pulsex.deploy import DB, OWNER, psql
from tests.partitions.calendar import COPY, TABLES, maintain, month_after, months_before, named

pytestmark = pytest.mark.commits

EXPIRE = "SELECT ops.expire_partitions()"
THERE = "SELECT to_regclass(%s) IS NOT NULL"
OLDEST = """SELECT min(b.briefing_date), min(f.briefing_date),
        (SELECT min(occurred_at)::date FROM pulsex.engagement_events)
    FROM pulsex.briefings AS b LEFT JOIN pulsex.briefing_feedback AS f USING (user_id, briefing_date)"""
# What has gone, by calling it as a function, or by the procedure of the scheduler.
WAYS = {"function": lambda worker: worker.rows(EXPIRE), "procedure": maintain}


@pytest.mark.parametrize("way", WAYS)
def test_what_is_older_than_its_retention_is_gone(worker, dba, past, way):
    """Tables, rows and ratings before the first month that is kept are no more; those of that month are."""
    WAYS[way](worker)
    for table in TABLES:
        for month, there in ((past.ancient, False), (past.expired, False), (past.kept, True)):
            dba.results_eq(THERE, [(there,)], named(table, month))
    dba.results_eq(OLDEST, [(past.kept,) * 3])


@pytest.mark.parametrize("way", WAYS)
def test_nothing_else_is_touched(dba, worker, past, way):
    """Every row of a month that is kept, in any table, is as it was."""
    count = """SELECT (SELECT count(*) FROM pulsex.briefings WHERE briefing_date >= %s),
        (SELECT count(*) FROM pulsex.briefing_feedback WHERE briefing_date >= %s),
        (SELECT count(*) FROM pulsex.engagement_events WHERE occurred_at >= %s),
        (SELECT count(*) FROM pulsex.users), (SELECT count(*) FROM pulsex.engagement_daily)"""
    before = dba.rows(count, *[past.kept] * 3)
    WAYS[way](worker)
    dba.results_eq(count, before, *[past.kept] * 3)


def test_it_says_what_it_dropped_the_oldest_first(worker, past):
    """Every partition from the oldest to the last expired one, by table; the second time none."""
    months = [past.ancient]
    while months[-1] < past.expired:
        months.append(month_after(months[-1]))
    want = [(named(table, month).partition(".")[2],) for table in ("events", *TABLES) for month in months]
    worker.results_eq(EXPIRE, want)
    worker.is_empty(EXPIRE)


def test_each_table_has_a_retention_of_its_own(dba, worker, past):
    """Briefings kept three years stay while events go."""
    dba.rows("UPDATE ops.partitioned_tables SET retention = '3 years' WHERE table_name = 'briefings'")
    worker.rows(EXPIRE)
    dba.results_eq(OLDEST, [(past.ancient, past.ancient, past.kept)])


def test_without_a_retention_everything_is_kept(dba, worker, past):
    """Null is for ever."""
    dba.rows("UPDATE ops.partitioned_tables SET retention = NULL")
    worker.is_empty(EXPIRE)
    assert not maintain(worker)
    dba.results_eq(OLDEST, [(past.ancient,) * 3])


def test_by_default_briefings_are_kept_24_months_and_events_13(dba):
    """The registry as it is deployed, with three months ahead."""
    dba.results_eq(
        "SELECT table_name, months_ahead, extract(YEAR FROM retention) * 12 + extract(MONTH FROM retention)"
        " FROM ops.partitioned_tables ORDER BY 1",
        [("briefings", 3, 24), ("engagement_events", 3, 13), ("events", 3, 13)],
    )


def test_a_deploy_keeps_what_an_operator_set(dba, database):
    """The routines replayed change no row of the registry."""
    dba.rows("UPDATE ops.partitioned_tables SET retention = NULL, months_ahead = 7")
    psql(database.url, DB / "routines.sql", role=OWNER)
    dba.results_eq("SELECT DISTINCT months_ahead, retention FROM ops.partitioned_tables", [(7, None)])


def test_the_shortest_retention_keeps_this_month_and_all_ahead(dba, worker, published):
    """A month: the partitions of this month, the last one and those ahead stay."""
    dba.rows("UPDATE ops.partitioned_tables SET retention = '1 month'")
    before = dba.rows("SELECT partition_name FROM ops.partitions ORDER BY 1")
    worker.is_empty(EXPIRE)
    dba.results_eq("SELECT partition_name FROM ops.partitions ORDER BY 1", before)


def test_an_expired_partition_is_not_made_again(worker, past):
    """After expiry ensure_partitions has nothing to make."""
    worker.rows(EXPIRE)
    worker.results_eq("SELECT ops.ensure_partitions()", [(0,)])


def test_feedback_goes_in_batches_the_oldest_first(worker, dba, past):
    """delete_expired_feedback deletes as many as it is told to, and 0 when none is left."""
    batch = "SELECT ops.delete_expired_feedback(1)"
    worker.results_eq(batch, [(1,)])
    dba.results_eq("SELECT min(briefing_date) FROM pulsex.briefing_feedback", [(past.expired,)])
    assert [worker.value(batch), worker.value(batch)] == [1, 0]


def test_a_batch_of_feedback_is_counted_row_by_row(worker, database, service_rows, published, past):
    """Of some that differ only in item, edition or person, with one to delete, one goes."""
    for other in ({"item_id": "s1"}, {"edition": "evening"}, {"user_id": str(database.cast["bob"].user_id)}):
        change = Jsonb(other | {"briefing_date": str(past.ancient)})
        if "item_id" not in other:
            service_rows(COPY.format("briefings"), change, published.user_id)
        service_rows(COPY.format("briefing_feedback"), change, published.user_id)
    assert [worker.value("SELECT ops.delete_expired_feedback(1)") for _ in range(4)] == [1] * 4


@pytest.mark.usefixtures("past")
def test_a_step_is_of_one_table(worker):
    """Nothing is done to another table, nor to one of that name elsewhere."""
    worker.results_eq("SELECT ops.detach_next_partition('audit', 'briefings')", [(None,)])
    assert worker.value("SELECT ops.detach_next_partition('pulsex', 'briefings')")
    for table in ("'pulsex', 'engagement_events'", "'audit', 'briefings'"):
        worker.results_eq(f"SELECT ops.drop_next_partition({table})", [(None,)])


def test_feedback_is_deleted_before_its_briefings_are_detached(worker, dba, past):
    """A single step of detaching takes along what feedback is left: none refers to what isn't there."""
    worker.results_eq("SELECT ops.detach_next_partition('pulsex', 'briefings')", [(f"briefings_{past.ancient:%Y_%m}",)])
    dba.is_empty(
        """SELECT FROM pulsex.briefing_feedback AS f LEFT JOIN pulsex.briefings AS b
        USING (user_id, briefing_date, edition) WHERE b.user_id IS NULL"""
    )


def test_only_feedback_refers_to_a_partitioned_table(dba):
    """DETACH as pulsex_owner doesn't see who else would refer to it: another such foreign key needs its own expiry."""
    dba.results_eq(
        """SELECT conrelid::regclass::text FROM pg_constraint INNER JOIN pg_class ON pg_class.oid = confrelid
        WHERE contype = 'f' AND relkind = 'p'""",
        [("pulsex.briefing_feedback",)],
    )


def test_a_rating_that_comes_while_its_briefing_expires_finds_none(database, dba, alice, worker, past):
    """It waits for the detaching transaction, and then raises PT404."""
    rate = "SELECT pulsex.record_feedback(%s, %s, 1::smallint)"
    with ThreadPoolExecutor(1) as pool:
        with worker.connection.transaction():
            worker.rows(EXPIRE)
            rating = pool.submit(alice.throws_ok, rate, "PT404", alice.user_id, past.ancient)
            while not dba.rows("SELECT FROM pg_locks WHERE NOT granted"):
                assert not rating.done()
        rating.result()
    dba.is_empty("SELECT FROM pulsex.briefing_feedback WHERE briefing_date = %s", past.ancient)


def test_a_rating_that_is_under_way_is_waited_for_and_goes_too(dba, alice, worker, past):
    """Uncommitted when its briefing's partition is to be detached, it isn't left behind."""
    dba.rows("ALTER FUNCTION ops.detach_next_partition SET lock_timeout = '1min'")
    dba.rows("DELETE FROM pulsex.briefing_feedback")
    with ThreadPoolExecutor(1) as pool:
        with alice.connection.transaction():
            alice.connection.execute("SELECT auth.use_session(%s)", [alice.token])
            alice.connection.execute(
                "SELECT pulsex.record_feedback(%s, %s, 1::smallint)", [alice.user_id, past.ancient]
            )
            step = pool.submit(worker.rows, "SELECT ops.detach_next_partition('pulsex', 'briefings')")
            while not dba.rows("SELECT FROM pg_locks WHERE NOT granted"):
                assert not step.done()
        step.result()
    dba.is_empty("SELECT FROM pulsex.briefing_feedback")


def test_what_an_operator_detached_before_its_time_stays(dba, worker, today):
    """A table with a partition's name, of a month that isn't expired, is not dropped."""
    name = named("engagement_events", months_before(today, -2))
    dba.rows(f"ALTER TABLE pulsex.engagement_events DETACH PARTITION {name}")
    worker.is_empty(EXPIRE)
    dba.results_eq(THERE, [(True,)], name)


def test_two_who_expire_at_once_drop_each_partition_once(database, dba, past):
    """Neither fails, and together they drop what there is."""
    dba.rows("ALTER FUNCTION ops.expire_partitions SET lock_timeout = '1min'")  # a slow machine is no failure
    others = [database.actor(f"scheduler {number}", "pulsex_worker") for number in range(3)]
    dropped = dba.value("SELECT count(*) FROM ops.partitions WHERE is_expired")
    with ThreadPoolExecutor(len(others)) as pool:
        names = [name for rows in pool.map(lambda other: other.rows(EXPIRE), others) for name in rows]
    assert len(names) == len(set(names)) == dropped


def test_a_lock_that_is_not_had_is_given_up_and_nothing_has_changed(worker, dba, past):
    """Where somebody reads a table for long, expire_partitions raises 55P03 and keeps it all, ratings too."""
    with dba.connection.transaction():
        dba.connection.execute("LOCK TABLE pulsex.engagement_events IN ACCESS SHARE MODE")
        worker.throws_ok(EXPIRE, "55P03")
    dba.results_eq(OLDEST, [(past.ancient,) * 3])


def test_a_time_zone_of_the_session_moves_no_boundary(dba, worker, past):
    """What is expired is the same in Auckland and in Los Angeles."""
    expired = "SELECT partition_name, starts_at, ends_at FROM ops.partitions WHERE is_expired ORDER BY 1"
    before = dba.rows(expired)
    assert before
    for time_zone in ("Pacific/Auckland", "America/Los_Angeles"):
        dba.connection.execute("SELECT set_config('TimeZone', %s, false)", [time_zone])
        dba.results_eq(expired, before)
