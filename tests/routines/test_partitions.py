"""Partitions made ahead, and the time zones: db/routines/partitions.sql, maintenance.sql."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date

import pytest

from tests.cast import CONTENT
from tests.partitions.calendar import month_after, named

ENSURE = "SELECT ops.ensure_partitions(%s)"
ENSURE_SINCE = "SELECT ops.ensure_partitions(0, %s)"
REFRESH = "SELECT ops.refresh_time_zones()"
PARENTS = """SELECT count(*) FROM pg_partitioned_table INNER JOIN pg_class ON oid = partrelid
    WHERE relnamespace::regnamespace::text IN ('audit', 'pulsex')"""
PARTITIONS = """SELECT {} FROM pg_inherits INNER JOIN pg_class AS c ON c.oid = inhrelid
    INNER JOIN pg_class AS parent ON parent.oid = inhparent AND parent.relkind = 'p'"""


@pytest.fixture
def parents(worker) -> int:
    """How many tables are partitioned, now that every partition of today is made."""
    worker.rows("SELECT ops.ensure_partitions()")
    return worker.value(PARENTS)


def test_some_tables_are_partitioned(parents):
    """Briefings and events, at least."""
    assert parents >= 2


def test_what_is_there_is_not_made_again(worker, parents):
    """ensure_partitions returns 0 when none is missing, and leaves them as they were."""
    partitions = f"{PARTITIONS.format('c.oid')} ORDER BY c.oid"
    before = worker.rows(partitions)
    worker.results_eq("SELECT ops.ensure_partitions()", [(0,)])
    worker.results_eq(partitions, before)


def test_a_month_further_ahead_is_made(worker, parents):
    """A month more is a partition more for each table, once."""
    worker.results_eq(ENSURE, [(parents,)], 4)
    worker.results_eq(ENSURE, [(0,)], 4)


def test_months_past_are_made(worker, parents):
    """From the month of p_since on, what is missing is made: a year back, eleven months more than by default."""
    worker.results_eq(
        "SELECT ops.ensure_partitions(0, (now() AT TIME ZONE 'UTC' - interval '1 year')::date)", [(11 * parents,)]
    )


def test_a_month_that_is_detached_is_missing(dba, published):
    """42P07: it isn't made again as long as the table of its name is there."""
    name = named("engagement_events", month_after(published.briefing_date))
    dba.rows(f"ALTER TABLE pulsex.engagement_events DETACH PARTITION {name}")
    dba.throws_ok("SELECT ops.ensure_partitions()", "42P07")


def test_a_partition_of_a_table_of_the_same_name_is_another(dba, published):
    """Where another schema has the month, it is still missing here; how many it has ahead is its own affair."""
    month = month_after(published.briefing_date)
    dba.rows(f"DROP TABLE {named('engagement_events', month)}")
    dba.rows("CREATE TABLE audit.engagement_events (at timestamptz) PARTITION BY RANGE (at)")
    dba.rows(
        f"""CREATE TABLE {named("engagement_events", month).replace("pulsex", "audit")}
        PARTITION OF audit.engagement_events FOR VALUES FROM ('{month} 00:00Z') TO ('{month_after(month)} 00:00Z')"""
    )
    dba.rows("INSERT INTO ops.partitioned_tables VALUES ('audit', 'engagement_events', 1, 9)")
    made = named("engagement_events", month).removeprefix("pulsex.")
    for answer in (made, None):
        dba.results_eq("SELECT ops.make_next_partition('pulsex', 'engagement_events')", [(answer,)])


@pytest.mark.commits
def test_a_hole_is_filled(worker, dba, parents, published):
    """A month that is missing among others is made again, and only that."""
    dba.rows(f"DROP TABLE {named('engagement_events', month_after(published.briefing_date))}")
    worker.results_eq("SELECT ops.ensure_partitions()", [(1,)])


def test_making_none_ahead_makes_this_month(worker, parents):
    """0 months ahead is allowed, and needs none that isn't there."""
    worker.results_eq(ENSURE, [(0,)], 0)


def test_two_years_ahead_can_be_made(worker, parents):
    """24 months ahead is allowed: 21 more than by default."""
    worker.results_eq(ENSURE, [(21 * parents,)], 24)


@pytest.fixture
def owner(dba):
    """The superuser as pulsex_owner, who may change the registry, now that every partition of today is made."""
    dba.rows("SET LOCAL ROLE pulsex_owner")
    dba.rows("SELECT ops.ensure_partitions()")
    return dba


def test_without_a_number_the_registry_says_how_far_ahead(owner):
    """Each table's own months_ahead is what ensure_partitions() makes; a number given is for all of them."""
    owner.rows("UPDATE ops.partitioned_tables SET months_ahead = 5 WHERE table_name = 'briefings'")
    owner.results_eq("SELECT ops.ensure_partitions()", [(2,)])
    owner.results_eq("SELECT ops.ensure_partitions(6)", [(1 + 3 + 3,)])
    owner.results_eq("SELECT ops.ensure_partitions()", [(0,)])


def test_what_is_not_registered_is_left_alone(owner):
    """A table whose row is deleted gets no partitions."""
    owner.rows("DELETE FROM ops.partitioned_tables WHERE table_name = 'briefings'")
    owner.results_eq(ENSURE, [(2,)], 4)


def test_a_step_makes_the_earliest_and_says_which(owner):
    """make_next_partition makes one partition, the first that is missing, and returns null when there is none."""
    month = month_after(owner.value("SELECT max(starts_at)::date FROM ops.partitions"))
    step = "SELECT ops.make_next_partition('pulsex', 'briefings', 5)"
    for want in (f"briefings_{month:%Y_%m}", f"briefings_{month_after(month):%Y_%m}", None):
        owner.results_eq(step, [(want,)])


@pytest.mark.parametrize("months", [-1, 25])
def test_partitions_are_made_0_to_24_months_ahead(worker, months):
    """Any other p_months_ahead raises PT422."""
    worker.throws_ok(ENSURE, "PT422", months)


@pytest.mark.parametrize("since", [None, "-infinity", "1999-12-31"])
def test_partitions_are_made_since_a_date_of_the_last_ten_years(worker, since):
    """A p_since before that, or none, raises PT422."""
    worker.throws_ok(ENSURE_SINCE, "PT422", since)


def test_a_new_partition_is_guarded(worker, parents):
    """Every partition, new ones too, has row level security enabled and forced, and belongs to the owner."""
    worker.rows(ENSURE, 4)
    guard = "bool_and(c.relrowsecurity AND c.relforcerowsecurity AND c.relowner = 'pulsex_owner'::regrole)"
    worker.results_eq(PARTITIONS.format(guard), [(True,)])


def test_a_new_partition_is_granted_to_nobody_but_the_service(worker, parents):
    """By its name the service may read it, to back it up, and delete from it; nobody else but the owner anything."""
    worker.rows(ENSURE, 4)
    grants = """SELECT DISTINCT a.grantee::regrole::text, a.privilege_type FROM pg_class AS c, aclexplode(relacl) AS a
        WHERE relispartition AND a.grantee <> c.relowner ORDER BY 2"""
    worker.results_eq(grants, [("pulsex_service", "DELETE"), ("pulsex_service", "SELECT")])
    policies = """SELECT DISTINCT polname::text, polroles::regrole[]::text
        FROM pg_policy INNER JOIN pg_class AS c ON c.oid = polrelid WHERE relispartition"""
    worker.results_eq(policies, [("service_all", "{pulsex_service}")])


@pytest.mark.parametrize(
    "count",
    [
        "pg_index WHERE indrelid = c.oid",
        "pg_constraint WHERE conrelid = c.oid",
        "pg_attrdef WHERE adrelid = c.oid",
        "pg_description WHERE objoid = c.oid AND classoid = 'pg_class'::regclass AND objsubid > 0",
    ],
    ids=["indexes", "constraints", "defaults", "comments"],
)
def test_a_new_partition_is_like_its_table(worker, parents, count):
    """Every partition, new ones too, has as many indexes, constraints, defaults and comments as the table."""
    worker.rows(ENSURE, 4)
    of_parent = count.replace("c.oid", "parent.oid")
    unlike = f"(SELECT count(*) FROM {count}) <> (SELECT count(*) FROM {of_parent})"
    worker.is_empty(f"{PARTITIONS.format('c.relname')} WHERE {unlike}")


@pytest.mark.parametrize("time_zone", ["UTC", "Pacific/Auckland", "America/Los_Angeles"])
def test_a_partition_is_a_month_of_utc(worker, parents, time_zone):
    """Wherever the scheduler runs, a partition's bounds are the month in its name, in UTC."""
    worker.rows("SELECT set_config('TimeZone', %s, true)", time_zone)
    worker.rows("SELECT ops.ensure_partitions(6, (now() - interval '3 months')::date)")
    worker.rows("SET LOCAL TIME ZONE 'UTC'")
    for name, bounds in worker.rows(PARTITIONS.format("c.relname, pg_get_expr(c.relpartbound, c.oid)")):
        month = date.fromisoformat(name[-7:].replace("_", "-") + "-01")
        time = "" if name.startswith("briefings") else " 00:00:00+00"
        assert bounds == f"FOR VALUES FROM ('{month}{time}') TO ('{month_after(month)}{time}')"


@pytest.mark.commits
def test_several_schedulers_may_run_at_once(database, dba, parents):
    """Of four that start together none fails, and together they make each partition once."""
    dba.rows("ALTER FUNCTION ops.ensure_partitions SET lock_timeout = '1min'")  # a slow machine is no failure
    others = [database.actor(f"scheduler {number}", "pulsex_worker") for number in range(4)]
    with ThreadPoolExecutor(len(others)) as pool:
        made = pool.map(lambda scheduler: scheduler.value(ENSURE, 6), others)
    assert sorted(made) == [0, 0, 0, 3 * parents]


@pytest.mark.commits
def test_a_lock_that_is_not_had_is_given_up(worker, dba):
    """Where somebody holds a table, ensure_partitions raises 55P03 when its lock_timeout is over."""
    dba.results_eq(
        "SELECT 'lock_timeout=2s' = ANY (proconfig) FROM pg_proc WHERE proname = 'ensure_partitions'", [(True,)]
    )
    dba.rows("ALTER FUNCTION ops.ensure_partitions SET lock_timeout = '10ms'")
    with dba.connection.transaction():
        dba.connection.execute("LOCK TABLE pulsex.briefings IN SHARE UPDATE EXCLUSIVE MODE")
        worker.throws_ok(ENSURE, "55P03", 4)
    worker.lives_ok(ENSURE, 4)


TRAFFIC = {
    "reading": ("alice", "SELECT title FROM pulsex.briefings WHERE user_id = %s"),
    "marking read": ("alice", "UPDATE pulsex.briefings SET read_at = now() WHERE user_id = %s"),
    "recording an event": (
        "alice",
        """SELECT pulsex.record_events(%s, jsonb_build_array(jsonb_build_object(
            'event_id', uuidv7(), 'event_type', 'opened', 'occurred_at', now())))""",
    ),
    "publishing": ("worker 2", f"SELECT pulsex.publish_briefing(%s, current_date, '{CONTENT}')"),
    "rating": ("alice", "UPDATE pulsex.briefing_feedback SET rating = 5 WHERE user_id = %s"),
    "changing one's name": ("alice", "UPDATE pulsex.users SET display_name = 'Al' WHERE user_id = %s"),
}
# A foreign key from or to a new partition locks the other table SHARE ROW EXCLUSIVE until the transaction ends.
WAITING = {"rating", "changing one's name"}


def _act(doing, database, alice):
    who, statement = TRAFFIC[doing]
    actor = alice if who == "alice" else database.actor(who, "pulsex_worker")
    actor.rows("SET lock_timeout = '200ms'")
    return actor, statement


@pytest.mark.commits
@pytest.mark.parametrize("doing", sorted(TRAFFIC.keys() - WAITING))
def test_making_partitions_does_not_block_traffic(database, alice, worker, doing):
    """While a scheduler's transaction is open, nobody has to wait for it."""
    actor, statement = _act(doing, database, alice)
    with worker.connection.transaction():
        worker.rows(ENSURE, 4)
        actor.lives_ok(statement, alice.user_id)


@pytest.mark.commits
@pytest.mark.parametrize("doing", sorted(WAITING))
def test_who_writes_what_a_partition_refers_to_waits_until_the_commit(database, alice, worker, doing):
    """So ensure_partitions, which makes all in one transaction, is for deploys, and maintenance commits each."""
    actor, statement = _act(doing, database, alice)
    with worker.connection.transaction():
        worker.rows(ENSURE, 4)
        actor.throws_ok(statement, "55P03", alice.user_id)
    actor.lives_ok(statement, alice.user_id)


# Time zones -----------------------------------------------------------------------------------------------------------


def test_a_deploy_leaves_no_zone_to_learn(worker):
    """refresh_time_zones returns 0 when every zone is known."""
    worker.results_eq(REFRESH, [(0,)])


def test_a_new_zone_is_learnt(service):
    """A zone of the server that the table hasn't is added, and counted."""
    service.rows("DELETE FROM pulsex.time_zones WHERE name = ANY (%s)", ["Europe/Paris", "Asia/Tokyo"])
    service.results_eq(REFRESH, [(2,)])
    service.results_eq("SELECT count(*) FROM pulsex.time_zones WHERE name = 'Europe/Paris'", [(1,)])


def test_a_zone_that_the_server_no_longer_has_stays(service):
    """People may live by it: refresh_time_zones only adds."""
    service.rows("INSERT INTO pulsex.time_zones VALUES ('Pulse/Meridian')")
    service.results_eq(REFRESH, [(0,)])
    service.results_eq("SELECT count(*) FROM pulsex.time_zones WHERE name = 'Pulse/Meridian'", [(1,)])


@pytest.mark.parametrize("name", ["localtime", "posixrules", "Factory", "posix/Europe/Paris", "right/Europe/Paris"])
def test_what_is_no_place_is_no_zone(service, name):
    """The files of the time zone data that aren't IANA names aren't learnt."""
    service.is_empty("SELECT * FROM pulsex.time_zones WHERE name = %s", name)


def test_every_zone_can_be_computed_with(service):
    """The server knows each name in the table."""
    service.lives_ok("SELECT now() AT TIME ZONE name FROM pulsex.time_zones")
