"""How what is due is found: by walking its index, whatever else is in the table."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

pytestmark = pytest.mark.commits

# Twenty thousand people. Of a hundred each, the briefing is being made, is due, and was given up; the rest is to come.
CROWD = """
INSERT INTO pulsex.users (display_name) SELECT 'Person ' || n FROM generate_series(1, 20000) AS n;
INSERT INTO pulsex.user_preferences (user_id) SELECT user_id FROM pulsex.users WHERE display_name ~ '^Person';
INSERT INTO pulsex.briefing_schedule (
    user_id, edition, briefing_date, due_at, lease_until, parked_date, parked_attempts
)
SELECT
    user_id, 'morning', '2012-01-11',
    timestamptz '2012-01-11 07:00Z' + make_interval(secs => greatest(n - 200, 0)),
    CASE WHEN n <= 100 THEN timestamptz '2012-01-11 07:10Z' END,
    CASE WHEN n % 200 = 0 THEN date '2012-01-10' END, CASE WHEN n % 200 = 0 THEN 5 END
FROM (
    SELECT user_id, row_number() OVER (ORDER BY user_id) AS n FROM pulsex.users WHERE display_name ~ '^Person'
) AS person;
"""
EXPLAIN = """
LOAD 'auto_explain';
SET auto_explain.log_min_duration = 0;
SET auto_explain.log_nested_statements = on;
SET auto_explain.log_analyze = on;
SET auto_explain.log_buffers = on;
SET auto_explain.log_timing = off;
SET auto_explain.log_format = json;
SET client_min_messages = log;
"""
DUE = "SELECT * FROM pulsex.due_briefings('2012-01-11 07:05Z', 50)"
PARKED = "SELECT * FROM ops.parked_briefings(10)"


@pytest.fixture
def crowd(dba):
    """Everybody's schedule, without whoever else is in the database."""
    dba.rows("SET session_replication_role = replica")
    dba.rows("DELETE FROM pulsex.briefing_schedule")
    dba.rows(CROWD)
    return dba


def nodes(plan: dict) -> Iterator[dict]:
    """Yield a plan's nodes, the topmost first."""
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def explain(dba, call: str) -> list[dict]:
    """Return the plans of the statements on the schedule that a call runs inside."""
    notices = []
    dba.rows(EXPLAIN)
    dba.connection.add_notice_handler(lambda notice: notices.append(notice.message_primary))
    dba.rows(call)
    logged = [json.loads(notice[notice.index("{") :]) for notice in notices if "plan:" in notice]
    plans = [entry["Plan"] for entry in logged if "pulsex.briefing_schedule" in entry["Query Text"]]
    assert plans
    return plans


@pytest.mark.parametrize("analyzed", [True, False], ids=["analyzed", "never analyzed"])
def test_what_is_due_is_an_index_scan(crowd, analyzed):
    """The first fifty of twenty thousand: no sequential scan, no sort, and no more rows read than leased."""
    if analyzed:
        crowd.rows("ANALYZE pulsex.briefing_schedule, pulsex.users")
    [found] = [plan for plan in explain(crowd, DUE) if plan["Node Type"] == "Limit"]
    limit, lock, scan = nodes(found)
    assert (lock["Node Type"], scan["Node Type"], scan["Actual Rows"]) == ("LockRows", "Index Scan", 50)
    assert scan["Index Name"] == "briefing_schedule_due_at_idx"
    assert limit["Shared Hit Blocks"] + limit["Shared Read Blocks"] < 200


def test_every_statement_finds_its_rows_by_an_index(crowd):
    """Neither a lease, nor what is given up, nor its successor reads a table through."""
    crowd.rows("ANALYZE pulsex.briefing_schedule, pulsex.users, pulsex.user_preferences")
    crowd.rows("UPDATE pulsex.briefing_schedule SET attempts = 5 WHERE due_at = '2012-01-11 07:00:01Z'")
    plans = explain(crowd, "SELECT * FROM pulsex.due_briefings('2012-01-11 07:05Z', 150)")
    kinds = {node["Node Type"] for plan in plans for node in nodes(plan)}
    assert kinds == {"Limit", "LockRows", "Index Scan", "ModifyTable"}


def test_what_was_given_up_is_an_index_scan(crowd):
    """The newest ten of a hundred among twenty thousand."""
    crowd.rows("ANALYZE pulsex.briefing_schedule")
    [plan] = explain(crowd, PARKED)
    assert [node.get("Index Name") for node in nodes(plan)][-1] == "briefing_schedule_parked_date_idx"


def test_after_an_outage_what_is_over_is_moved_on_in_batches(crowd):
    """At one in the morning of the 12th everybody's 11th is over: two calls, of some ten thousand each, see to it."""
    moved = "SELECT count(*) FROM pulsex.briefing_schedule WHERE briefing_date = '2012-01-12'"
    for least in (10_000, 20_000, 20_000):
        crowd.is_empty("SELECT * FROM pulsex.due_briefings('2012-01-12 01:00Z', 1000)")
        assert least <= crowd.value(moved) < least + 1000
