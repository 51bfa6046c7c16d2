"""What routines are made of: each helper by itself, called as pulsex_service, which they run as."""

from __future__ import annotations

import uuid

import pytest

BRIEFINGS = "pulsex.briefings"
NEXT = "SELECT briefing_date::text, due_at::text FROM pulsex.next_briefing(%s, %s, '2030-01-01', NULL, '2030-01-01Z')"


@pytest.mark.parametrize("limit", [0, 101, None])
def test_a_page_has_1_to_100_rows(service, limit):
    """require_page raises PT422 outside of that."""
    service.throws_ok("SELECT pulsex.require_page(%s)", "PT422", limit)


@pytest.mark.parametrize("limit", [1, 100])
def test_a_page_within_bounds_passes(service, limit):
    """require_page returns quietly at its edges."""
    service.lives_ok("SELECT pulsex.require_page(%s)", limit)


def test_whoever_is_in_no_session_is_not_oneself(service, published):
    """require_self raises PT403 for somebody, and for nobody."""
    service.throws_ok("SELECT pulsex.require_self(%s)", "PT403", published.user_id)
    service.throws_ok("SELECT pulsex.require_self(NULL)", "PT403")


def test_only_the_active_are_processed(service, published):
    """require_unrestricted passes for Alice, raises PT403 once she is restricted, PT404 for a stranger."""
    require = "SELECT pulsex.require_unrestricted(%s)"
    service.lives_ok(require, published.user_id)
    service.rows("UPDATE pulsex.users SET status = 'restricted' WHERE user_id = %s", published.user_id)
    service.throws_ok(require, "PT403", published.user_id)
    service.throws_ok(require, "PT404", uuid.uuid4())


def test_a_text_to_cite_from_is_escaped(service):
    """briefing_text joins title, item titles and summaries, and no HTML in them is HTML afterwards."""
    content = '{"sections": [{"items": [{"title": "<b>", "summary": "you & me"}, {"title": "t", "summary": "s"}]}]}'
    want = [("Title … &lt;b&gt; … you &amp; me … t … s",)]
    service.results_eq("SELECT pulsex.briefing_text('Title', %s)", want, content)


def test_the_next_briefing_is_at_the_persons_own_time(service, published):
    """next_briefing gives the first date from p_from on, at seven in Lisbon, and none of an edition nobody wants."""
    service.rows("SET LOCAL TimeZone = 'UTC'")
    service.results_eq(NEXT, [("2030-01-01", "2030-01-01 07:00:00+00")], published.user_id, "morning")
    service.results_eq(NEXT, [(None, None)], published.user_id, "evening")


@pytest.mark.parametrize(("due", "until"), [("07:00", "2030-01-02 00:00"), ("23:30", "2030-01-02 01:30")])
def test_a_briefing_is_owed_until_its_date_is_over(service, due, until):
    """owed_until is midnight in the zone, and two hours after it was due where that is later."""
    service.results_eq(
        """SELECT pulsex.owed_until('2030-01-01', %s::timestamp AT TIME ZONE 'Asia/Tokyo', 'Asia/Tokyo')
            = %s::timestamp AT TIME ZONE 'Asia/Tokyo'""",
        [(True,)],
        f"2030-01-01 {due}",
        until,
    )


def test_a_schedule_moves_on_past_a_date(service, published):
    """schedule_after schedules the date after, and keeps what was given up."""
    move = "SELECT pulsex.schedule_after(%s, 'morning', '2030-01-01', '2030-01-01Z', '2030-01-01', 3::smallint)"
    service.rows(move, published.user_id)
    service.results_eq(
        """SELECT briefing_date::text, lease_until, attempts, parked_date::text, parked_attempts
        FROM pulsex.briefing_schedule WHERE user_id = %s AND edition = 'morning'""",
        [("2030-01-02", None, 0, "2030-01-01", 3)],
        published.user_id,
    )


def test_an_edition_that_ends_leaves_the_other(service, published):
    """schedule_after of the evening, which Alice doesn't want, takes nothing from the morning's schedule."""
    service.rows("SELECT pulsex.schedule_after(%s, 'evening', '2030-01-01', '2030-01-01Z')", published.user_id)
    service.results_eq(
        "SELECT edition FROM pulsex.briefing_schedule WHERE user_id = %s", [("morning",)], published.user_id
    )


def test_what_is_settled_of_one_edition_stays_parked_of_the_other(service, published):
    """settle_briefing of a morning that was given up forgets that, and not that the evening was too."""
    service.rows(
        """INSERT INTO pulsex.briefing_schedule (user_id, edition, briefing_date, due_at)
        VALUES (%s, 'evening', '2030-01-02', '2030-01-02Z')""",
        published.user_id,
    )
    service.rows("UPDATE pulsex.briefing_schedule SET parked_date = '2030-01-01', parked_attempts = 5")
    service.rows("SELECT pulsex.settle_briefing(%s, '2030-01-01', 'morning')", published.user_id)
    service.results_eq(
        "SELECT edition FROM pulsex.briefing_schedule WHERE user_id = %s AND parked_date IS NOT NULL",
        [("evening",)],
        published.user_id,
    )


def test_a_missing_partition_is_made_once(dba):
    """make_missing_partition makes the earliest that is missing, by name, and null when none is."""
    dba.rows("SET LOCAL ROLE pulsex_owner")
    make = "SELECT ops.make_missing_partition('pulsex', 'briefings', 0, (now() - interval '3 years')::date)"
    made = dba.value(make)
    assert dba.value("SELECT ops.partition_months(to_regclass('pulsex.' || %s)) IS NOT NULL", made)
    dba.results_eq("SELECT relforcerowsecurity FROM pg_class WHERE relname = %s", [(True,)], made)
    assert dba.value(make) != made
    now = "SELECT ops.make_missing_partition('pulsex', 'briefings', 0, now()::date)"
    dba.results_eq(now, [(None,)])


def test_a_partitions_months_are_its_bounds_in_utc(dba):
    """partition_months reads bounds of dates and of times, wherever the session is, and a name where it is detached."""
    dba.rows("SET LOCAL TimeZone = 'Asia/Kathmandu'")
    dba.rows("CREATE TABLE pulsex.old_2020_02 ()")
    dba.results_eq(
        "SELECT ops.partition_months('pulsex.old_2020_02'::regclass) = tsrange('2020-02-01', '2020-03-01')", [(True,)]
    )
    dba.is_empty(
        """SELECT relname FROM pg_class WHERE relispartition AND relkind = 'r' AND relnamespace = 'pulsex'::regnamespace
        AND lower(ops.partition_months(oid)) <> to_date(right(relname, 7), 'YYYY_MM')"""
    )


@pytest.mark.parametrize(
    "fault",
    [
        "ALTER TABLE pulsex.briefings NO FORCE ROW LEVEL SECURITY",
        "GRANT SELECT ON {partition} TO pulsex_app",
        "CREATE POLICY select_own ON {partition} USING (TRUE)",
    ],
)
def test_a_badly_guarded_partition_has_faults(dba, fault):
    """partition_faults is null for every partition and its table, until one is opened."""
    first = "SELECT min(inhrelid::regclass::text) FROM pg_inherits WHERE inhparent = %s::regclass"
    partition = dba.value(first, BRIEFINGS)
    faults = "SELECT count(ops.partition_faults(oid)) FROM unnest(%s::regclass[]) AS oid"
    dba.results_eq(faults, [(0,)], [BRIEFINGS, partition])
    dba.rows(fault.format(partition=partition))
    dba.results_eq(faults, [(1,)], [BRIEFINGS, partition])
