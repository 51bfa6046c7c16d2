"""The log's months: made guarded, sealed before they go, and gone without breaking the chain."""

from __future__ import annotations

import pytest

from tests.partitions.calendar import maintain, months_before

LAST = "SELECT seal_id FROM audit.seals ORDER BY seal_id DESC LIMIT 1"
BACKDATED = """WITH event AS (
        INSERT INTO audit.events (user_id, occurred_at, event_id, action, payload, salt, commitment)
        SELECT user_id, %s::timestamp AT TIME ZONE 'UTC', uuidv7(), action, payload, salt, commitment FROM audit.events
        ORDER BY event_id LIMIT 1 RETURNING occurred_at, event_id)
    INSERT INTO audit.unsealed_events SELECT occurred_at, event_id FROM event"""


@pytest.fixture
def today(dba):
    """Today by UTC."""
    return dba.value("SELECT (now() AT TIME ZONE 'UTC')::date")


@pytest.fixture
def old(dba, today) -> str:
    """A partition that has expired, with an event in it that waits for a seal; its name."""
    month = months_before(today, 15)
    name = dba.value("SELECT ops.make_next_partition('audit', 'events', 0, %s)", month)
    assert name == f"events_{month:%Y_%m}"
    dba.rows(BACKDATED, month)
    return name


def test_a_new_partition_records_as_its_table_does(dba, since, published):
    """A partition of an audited table, attached after the trigger was made, has it too."""
    month = dba.value("SELECT max(ends_at)::date FROM ops.partitions WHERE table_name = 'briefings'")
    dba.rows("SELECT ops.make_next_partition('pulsex', 'briefings', 4)")
    dba.rows("SELECT pulsex.publish_briefing(%s, %s, '{\"sections\": []}')", published.user_id, month)
    assert [(table, action) for _, table, action, _ in since()] == [("pulsex.briefings", "insert")]


def test_a_detached_partition_no_longer_records(dba, published):
    """Its triggers were its parent's; what is detached is about to go."""
    name = dba.value("SELECT tableoid::regclass::text FROM pulsex.briefings WHERE user_id = %s", published.user_id)
    dba.rows("DELETE FROM pulsex.briefing_feedback")
    dba.rows(f"ALTER TABLE pulsex.briefings DETACH PARTITION {name}")
    dba.is_empty("SELECT FROM pg_trigger WHERE tgrelid = %s::regclass AND tgname LIKE '%%record_change'", name)


def test_a_month_that_expires_is_sealed_first(dba, old, findings):
    """What waited in it is under a seal, and that it expires is on record."""
    dba.results_eq("SELECT ops.detach_next_partition('audit', 'events')", [(old,)])
    dba.is_empty("SELECT FROM audit.unsealed_events")
    dba.results_eq("SELECT count(*) FROM audit.events WHERE action = 'expire'", [(1,)])
    assert findings() == set()


def test_a_month_that_is_dropped_breaks_no_chain(dba, old, findings):
    """The seals of it stay, without the list of their events; the log verifies, and against a digest from before."""
    kept = dba.value("SELECT audit.seal()")
    dba.rows("SELECT ops.detach_next_partition('audit', 'events')")
    dba.results_eq("SELECT ops.drop_next_partition('audit', 'events')", [(old,)])
    dba.results_eq("SELECT count(*) FROM audit.seals WHERE last_at < kept_from", [(1,)])
    dba.is_empty("SELECT FROM audit.seal_contents INNER JOIN audit.seals USING (seal_id) WHERE last_at < kept_from")
    assert findings(kept) == set()


def test_a_month_in_which_nothing_happened_leaves_nothing(dba, today, old):
    """What waits or is sealed before it or after it is of other months: it neither goes nor puts it on record."""
    month = months_before(today, 10)
    dba.rows("SELECT audit.seal()")
    dba.rows("INSERT INTO audit.unsealed_events VALUES (%s, uuidv7()), (now(), uuidv7())", months_before(today, 12))
    before = dba.rows("SELECT seal_id FROM audit.seal_contents ORDER BY seal_id")
    dba.rows("SELECT audit.release_month(%s, %s)", month, months_before(today, 9))
    dba.results_eq("SELECT seal_id FROM audit.seal_contents ORDER BY seal_id", before)
    dba.is_empty("SELECT FROM audit.events WHERE action = 'expire'")


@pytest.mark.usefixtures("old")
@pytest.mark.parametrize("scrub", [False, True])
def test_a_month_that_expired_and_is_still_there_is_not_verified(dba, findings, scrub):
    """Neither its events nor the list of its seal nor what was scrubbed in it."""
    dba.rows("SELECT audit.seal()")
    if scrub:
        dba.rows("SELECT audit.scrub(user_id) FROM audit.events ORDER BY occurred_at LIMIT 1")
    assert findings() == set()


def test_a_seal_of_a_month_that_expired_is_still_guarded(dba, old, forge, findings):
    """Its own digest is checked for ever."""
    dba.rows("SELECT ops.detach_next_partition('audit', 'events')")
    number = dba.value("SELECT seal_id FROM audit.seals ORDER BY last_at LIMIT 1")
    forge("UPDATE audit.seals SET events = events + 1 WHERE seal_id = %s", number)
    assert findings() == {("seal_changed", number, None)}


def test_a_month_that_is_dropped_before_its_time_is_missed(dba, findings):
    """Whoever drops a partition that retention keeps is found out: each event of it is missing."""
    dba.rows("SELECT audit.seal()")
    events = {event for (event,) in dba.rows("SELECT event_id FROM audit.events")}
    dba.rows("DROP TABLE " + dba.value("SELECT DISTINCT tableoid::regclass::text FROM audit.events"))
    assert {event for finding, _, event in findings() if finding == "event_missing"} == events


def test_a_month_with_an_event_that_cannot_be_sealed_is_not_dropped(dba, old):
    """55000: it was detached by hand, with an event that waits."""
    dba.rows(f"ALTER TABLE audit.events DETACH PARTITION audit.{old}")
    dba.throws_ok("SELECT ops.drop_next_partition('audit', 'events')", "55000")


@pytest.mark.commits
def test_maintenance_seals_and_expires(worker, dba, old, findings):
    """One run does all of it, and the next has nothing to do."""
    assert maintain(worker) == []
    dba.is_empty("SELECT FROM audit.unsealed_events WHERE occurred_at < now() - interval '1 minute'")
    dba.results_eq("SELECT to_regclass(%s)", [(None,)], f"audit.{old}")
    assert findings() == set()
    before = dba.rows(LAST)
    assert maintain(worker) == []
    dba.results_eq("SELECT count(*) FROM ops.maintenance_tasks WHERE task = 'audit sealed' AND error IS NULL", [(1,)])
    assert dba.rows(LAST)[0][0] <= before[0][0] + 1


@pytest.mark.parametrize(("age", "ok"), [("1 day", True), ("3 days", False)])
def test_health_tells_when_nobody_seals(dba, age, ok):
    """An event that waits for more than two days, or one that is gone and can't be sealed."""
    dba.rows("INSERT INTO audit.unsealed_events VALUES (now() - %s::interval, uuidv7())", age)
    dba.rows("SET LOCAL ROLE pulsex_worker")
    dba.results_eq("SELECT ok FROM ops.health WHERE name = 'audit sealed'", [(ok,)])
