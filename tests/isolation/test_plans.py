"""What plans, statistics and activity views tell about other people."""

import uuid

import pytest

from tests.actors import Actor
from tests.isolation import matrix

# The rows of gdpr.current_consents come from a routine about each person one may see: no plan reads a table.
READABLE = [
    name for name, cells in matrix.MATRIX.items() if cells["bob"].startswith(".") and name != "gdpr.current_consents"
]
ANALYZE = "EXPLAIN (ANALYZE, FORMAT JSON, TIMING OFF, BUFFERS OFF, COSTS OFF)"
NO_INDEXES = "SET LOCAL enable_indexscan = off; SET LOCAL enable_indexonlyscan = off; SET LOCAL enable_bitmapscan = off"


def read(actor: Actor, query: str, *args: object) -> float:
    """Return how many rows a query read: those its scans returned and those they threw away."""

    def scanned(plan: dict) -> float:
        own = plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0) if "Relation Name" in plan else 0
        return own + sum(scanned(child) for child in plan.get("Plans", ()) if child.get("Actual Loops"))

    [plan] = actor.value(f"{ANALYZE} {query}", *args)
    return scanned(plan["Plan"])


@pytest.mark.parametrize("relation", READABLE)
def test_looking_for_another_person_reads_no_row(relation, alice, bob):
    """EXPLAIN ANALYZE with Bob's id reads nothing: the plan compares the ids first."""
    assert read(alice, f"SELECT FROM {relation} WHERE user_id = %s", bob.user_id) == 0
    assert read(alice, f"SELECT FROM {relation} WHERE user_id = %s", alice.user_id) > 0


@pytest.mark.parametrize("relation", READABLE)
def test_even_a_scan_of_everything_counts_the_same_for_anybody(relation, alice, bob):
    """With every index off, the rows thrown away are the whole table's, whether the person sought is in it or not."""
    alice.rows(NO_INDEXES)
    sought = f"SELECT FROM {relation} WHERE user_id BETWEEN %s AND %s"
    assert read(alice, sought, bob.user_id, bob.user_id) == read(alice, sought, *[uuid.uuid4()] * 2) > 0


@pytest.mark.commits
def test_column_statistics_are_hidden(alice, dba):
    """pg_stats has nothing of a table with policies for Alice, and her own name and Bob's for a superuser."""
    dba.rows("ANALYZE pulsex.users")
    stats = "SELECT 1 FROM pg_stats WHERE tablename = 'users' AND attname = 'display_name'"
    alice.is_empty(stats)
    dba.results_eq(stats, [(1,)])


@pytest.mark.commits
def test_column_statistics_would_be_shown_without_row_security(alice, dba):
    """It is row level security that hides them."""
    dba.rows("ANALYZE pulsex.users")
    dba.rows("ALTER TABLE pulsex.users DISABLE ROW LEVEL SECURITY")
    alice.results_eq("SELECT 1 FROM pg_stats WHERE tablename = 'users' AND attname = 'display_name'", [(1,)])


@pytest.mark.parametrize("catalogue", ["pg_statistic", "pg_statistic_ext_data", "pg_authid", "pg_user_mapping"])
def test_the_catalogues_behind_the_views_are_closed(catalogue, alice):
    """The tables that pg_stats and pg_roles are made from can't be read."""
    alice.throws_ok(f"SELECT 1 FROM {catalogue}", "42501")


@pytest.mark.parametrize("role", ["stranger", "sign_in", "worker", "privacy", "analyst"])
def test_statements_of_other_connections_are_hidden(request, role):
    """What other connections run, one's own role's too, tokens in the text and all, is not shown."""
    request.getfixturevalue(role).throws_ok("SELECT query FROM pg_stat_activity", "42501")


def test_other_connections_are_not_ended(alice, bob):
    """A request can neither end another of its role nor cancel what it runs."""
    for how in ("pg_terminate_backend", "pg_cancel_backend"):
        alice.throws_ok(f"SELECT {how}(%s)", "42501", bob.connection.info.backend_pid)


@pytest.mark.parametrize("making", ["lo_creat(-1)", "lo_create(0)", "lo_from_bytea(0, 'x')"])
def test_large_objects_are_not_made(alice, making):
    """Large objects, which everybody could share, can't be made."""
    alice.throws_ok(f"SELECT {making}", "42501")


@pytest.mark.commits
@pytest.mark.xfail(strict=True, reason="open: the planner's estimate is made from statistics over everybody's rows")
def test_an_estimate_does_not_tell_what_others_wrote(alice, bob, dba):
    """EXPLAIN estimates the same number of rows for what Bob wrote as for what nobody did."""
    events = """INSERT INTO pulsex.engagement_events (user_id, occurred_at, event_id, event_type, item_id)
        SELECT %s, now(), uuidv7(), 'opened', %s FROM generate_series(1, %s)"""
    dba.rows(events, alice.user_id, "seen by Alice", 900)
    dba.rows(events, bob.user_id, "seen by Bob", 300)
    dba.rows("ANALYZE pulsex.engagement_events")

    def estimate(item_id: str) -> float:
        [plan] = alice.value("EXPLAIN (FORMAT JSON) SELECT FROM pulsex.engagement_events WHERE item_id = %s", item_id)
        return plan["Plan"]["Plan Rows"]

    assert estimate("seen by Bob") == estimate("seen by nobody")


def test_there_is_no_sequence_to_ask(alice, dba):
    """No currval, no last_value: nobody counts the others by a sequence; one that could be read would be found."""
    readable = """SELECT relname FROM pg_class
        WHERE CASE relkind WHEN 'S' THEN has_sequence_privilege('pulsex_app', oid, 'SELECT') END"""
    alice.is_empty(readable)
    dba.rows("CREATE SEQUENCE pulsex.number; GRANT SELECT ON pulsex.number TO pulsex_app")
    dba.results_eq(readable, [("number",)])
