"""Each advertised query: the indexes it uses, the partitions it touches, the pages it reads, no scan and no spill."""

from dataclasses import dataclass

import pytest

pytestmark = pytest.mark.xdist_group("plans")

# One row each: reading them whole is what the planner should do.
SMALL = {"signing_key", "topics"}


@dataclass(frozen=True)
class Budget:
    """What a query may use: exactly these indexes, so many partitions, so many pages (8 KiB) at most."""

    sql: str
    indexes: frozenset[str]
    partitions: int
    buffers: int


def budget(sql: str, indexes: str, partitions: int, buffers: int) -> Budget:
    """Write a budget in one line."""
    return Budget(sql, frozenset(indexes.split()), partitions, buffers)


BUDGETS = {
    "use_session": budget("SELECT auth.use_session(%(token)s)", "sessions_user_id_token_hash_key", 0, 6),
    "today's briefing": budget(
        "SELECT * FROM pulsex.todays_briefing(%(me)s, p_at => %(today)s::timestamp AT TIME ZONE 'Europe/Lisbon')",
        "users_pk briefings_pkey", 1, 12,
    ),
    "today's briefing by its key": budget(
        "SELECT * FROM pulsex.briefings WHERE user_id = %(me)s AND briefing_date = %(today)s AND edition = 'morning'",
        "briefings_pkey", 1, 12,
    ),
    "a page of history": budget("SELECT * FROM pulsex.briefing_history(%(me)s)", "briefings_pkey", 4, 60),
    "the next page of history": budget(
        "SELECT * FROM pulsex.briefing_history(%(me)s, %(today)s::date - 40)", "briefings_pkey", 4, 60
    ),
    "search": budget("SELECT * FROM pulsex.search_briefings(%(me)s, 'comet')", "users_pk briefings_pkey", 4, 250),
    "find": budget(
        """SELECT * FROM pulsex.find_briefings(%(me)s, '{"sections": [{"topic": "science"}]}')""",
        "briefings_pkey", 4, 150,
    ),
    "rate": budget("SELECT pulsex.record_feedback(%(me)s, %(today)s, 2::smallint)", "users_pk", 0, 40),
    "one event of a person with 600": budget(
        """SELECT pulsex.record_events(%(me)s, jsonb_build_array(jsonb_build_object(
            'event_id', gen_random_uuid(), 'event_type', 'opened', 'occurred_at', now())))""",
        "users_pk consents_pk engagement_events_pkey", 2, 50,
    ),
    "preferences": budget("SELECT * FROM pulsex.user_preferences WHERE user_id = %(me)s", "user_preferences_pk", 0, 6),
    "unread notifications": budget(
        """SELECT * FROM pulsex.notifications WHERE user_id = %(me)s AND read_at IS NULL AND state = 'sent'
        ORDER BY created_at DESC LIMIT 20""",
        "notifications_unread_idx", 0, 12,
    ),
}  # fmt: skip


@pytest.fixture
def spent(request, cost, reader, crowded):
    """The budget of a query, and what it cost."""
    allowed = BUDGETS[request.param]
    alice = crowded.cast["alice"]
    values = {"me": str(alice.user_id), "token": alice.token, "today": str(alice.briefing_date)}
    sql = allowed.sql
    for name, value in values.items():
        sql = sql.replace(f"%({name})s", f"'{value}'")
    return allowed, cost(sql)


@pytest.mark.parametrize("spent", BUDGETS, indirect=True)
def test_a_query_keeps_to_its_budget(spent):
    """The indexes are those named, partitions and pages no more than allowed, nothing is scanned, no sort spills."""
    allowed, cost = spent
    kept = (
        cost.indexes == allowed.indexes
        and cost.scanned <= SMALL
        and len(cost.partitions) <= allowed.partitions
        and cost.buffers <= allowed.buffers
        and not cost.spilled
    )
    if not kept:
        pytest.fail(f"have: {cost!r} {cost.buffers} buffers\nwant: {allowed}\n{cost}", pytrace=False)


def test_a_scan_would_be_seen(reader, cost):
    """Without indexes the same measure shows the scan of every partition, and pages beyond any budget."""
    reader.rows("SET LOCAL enable_indexscan = off")
    reader.rows("SET LOCAL enable_bitmapscan = off")
    scan = cost("SELECT count(*) FROM pulsex.briefings WHERE user_id = %s", reader.user_id)
    assert len(scan.scanned) > 3
    assert scan.buffers > max(allowed.buffers for allowed in BUDGETS.values())


def test_a_spill_would_be_seen(reader, cost):
    """A sort that doesn't fit in memory is noticed."""
    reader.rows("SET LOCAL work_mem = '64kB'")
    spill = cost("SELECT repeat(n::text, 50) FROM generate_series(1, 20000) AS n ORDER BY 1")
    assert spill.spilled
