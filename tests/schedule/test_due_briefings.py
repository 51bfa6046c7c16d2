"""Who is due: leases, attempts, lateness, and what is given up."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import pytest

pytestmark = pytest.mark.commits

DUE = "SELECT user_id, briefing_date, edition FROM pulsex.due_briefings(%s, %s, %s)"
LISBON = ("Europe/Lisbon", "2012-01-10 12:00Z")  # UTC in winter
FIRST = "2012-01-11 morning"


@pytest.fixture
def ines(lives):
    """Somebody in Lisbon who has a briefing at seven each morning, the first on 11 January."""
    return lives(*LISBON)


# When ----------------------------------------------------------------------------------------------------------------


def test_a_briefing_is_due_at_its_local_time(lives):
    """Seven in the morning in New York is noon, UTC, and not a second before."""
    person = lives("America/New_York", "2012-01-10 13:00Z")
    assert person.due("2012-01-11 11:59:59Z") == []
    assert person.due("2012-01-11 12:00Z") == [FIRST]


def test_the_weekday_is_the_local_dates(lives):
    """Monday morning in Auckland is Sunday evening, UTC."""
    person = lives("Pacific/Auckland", "2012-01-10 12:00Z", delivery_days=[1])
    assert person.schedule() == [("2012-01-16 morning", "2012-01-15 18:00")]


def test_each_edition_has_its_time(lives):
    """The evening's briefing is another, of the same date."""
    person = lives(*LISBON, evening_delivery_time="19:30")
    assert person.due("2012-01-10 19:30Z") == ["2012-01-10 evening"]
    assert person.due("2012-01-11 07:00Z") == [FIRST]


@pytest.mark.parametrize("preference", [{"delivery_days": []}, {"status": "restricted"}], ids=str)
def test_who_wants_none_is_never_due(lives, preference):
    """No days, or a restriction of processing: nothing is scheduled."""
    person = lives(*LISBON, evening_delivery_time="19:30", **preference)
    assert person.schedule() == []
    assert person.due("2012-03-01 00:00Z") == []


def test_quiet_hours_hold_no_briefing_back(lives):
    """It is made at its time in the quiet hours, and waits for the person."""
    person = lives(*LISBON, quiet_hours_start="22:00", quiet_hours_end="09:00")
    assert person.due("2012-01-11 07:00Z") == [FIRST]


@pytest.mark.parametrize(
    ("since", "briefings"),
    [
        ("2012-02-27 12:00Z", ["2012-02-28 morning", "2012-02-29 morning", "2012-03-01 morning"]),
        ("2011-12-30 12:00Z", ["2011-12-31 morning", "2012-01-01 morning", "2012-01-02 morning"]),
    ],
    ids=["leap day", "new year"],
)
def test_the_calendar_goes_on(lives, since, briefings):
    """No date is left out or repeated at the end of February or of the year."""
    person = lives(LISBON[0], since)
    for briefing in briefings:
        assert person.due(f"{briefing.split()[0]} 07:00Z") == [briefing]
        person.publish(briefing)


@pytest.mark.parametrize("time", ["00:00", "07:00", "23:30"])
def test_a_date_that_was_left_out_is_not_owed(lives, time):
    """Samoa had no 30 December 2011: after the 29th's briefing comes the 31st's."""
    person = lives("Pacific/Apia", "2011-12-29 09:59Z", delivery_time=time)
    person.publish("2011-12-29 morning")
    [(briefing, _)] = person.schedule()
    assert briefing == "2011-12-31 morning"


def test_a_time_that_falls_into_the_next_date_is_still_its_own_dates(lives):
    """Nuuk's clocks go from 23:00 on Saturday to Sunday: Saturday's 23:30 is midnight, and is sent."""
    person = lives("America/Nuuk", "2028-03-25 12:00Z", delivery_time="23:30")
    assert person.schedule() == [("2028-03-25 morning", "2028-03-26 01:00")]
    assert person.due("2028-03-26 01:00Z") == ["2028-03-25 morning"]


# Leases --------------------------------------------------------------------------------------------------------------


def test_a_leased_briefing_is_not_due(ines):
    """Until its lease ends, nobody else gets it."""
    assert ines.due("2012-01-11 07:00Z") == [FIRST]
    assert ines.due("2012-01-11 07:04:59Z") == []


def test_a_generator_that_dies_loses_nothing(ines):
    """When its lease ends the briefing is due again, once more tried."""
    ines.due("2012-01-11 07:00Z", "10 minutes")
    assert ines.due("2012-01-11 07:10Z") == [FIRST]
    ines.dba.results_eq("SELECT attempts FROM pulsex.briefing_schedule", [(2,)])


def test_a_published_briefing_is_settled(ines):
    """The lease is over, the attempts are forgotten, and the next date's is what comes."""
    ines.due("2012-01-11 07:00Z")
    ines.publish(FIRST)
    assert ines.due("2012-01-11 23:59Z") == []
    ines.dba.results_eq("SELECT lease_until, attempts FROM pulsex.briefing_schedule", [(None, 0)])
    assert ines.due("2012-01-12 07:00Z") == ["2012-01-12 morning"]


def test_publishing_again_settles_nothing_more(ines):
    """A second version of the same date leaves the next date's schedule alone."""
    ines.publish(FIRST)
    ines.publish(FIRST)
    assert ines.schedule() == [("2012-01-12 morning", "2012-01-12 07:00")]


def test_publishing_an_earlier_date_settles_nothing(ines):
    """Yesterday's, published late, isn't today's."""
    ines.publish("2012-01-10 morning")
    assert ines.due("2012-01-11 07:00Z") == [FIRST]


def test_one_edition_does_not_settle_the_other(lives):
    """The morning's is still due when the evening's is published."""
    person = lives(*LISBON, evening_delivery_time="19:30")
    person.publish("2012-01-10 evening")
    assert person.schedule() == [(FIRST, "2012-01-11 07:00"), ("2012-01-11 evening", "2012-01-11 19:30")]


def test_a_date_published_ahead_settles_only_its_own_edition(lives):
    """The evening of the 11th, published when the morning's is next, leaves the evening of the 10th due."""
    person = lives(*LISBON, evening_delivery_time="19:30")
    person.publish("2012-01-11 evening")
    assert person.due("2012-01-10 19:30Z") == ["2012-01-10 evening"]


def test_what_is_published_ahead_is_not_owed(ines):
    """After the 11th's comes the 14th's, if the 12th's and 13th's are there."""
    for day in (12, 13, 11):
        ines.publish(f"2012-01-{day} morning")
    assert ines.schedule() == [("2012-01-14 morning", "2012-01-14 07:00")]


# Giving up -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def failed(ines):
    """Somebody whose briefing five generators have died of."""
    for minute in range(0, 25, 5):
        assert ines.due(f"2012-01-11 07:{minute:02}Z") == [FIRST]
    assert ines.parked() == []
    assert ines.due("2012-01-11 07:25Z") == []
    return ines


def test_after_five_attempts_a_briefing_is_parked(failed):
    """It isn't due any more, and is shown."""
    assert failed.parked() == [(FIRST, 5)]
    assert failed.due("2012-01-11 23:59Z") == []


def test_the_day_after_is_due_again(failed):
    """What was given up costs nobody the next date's; it is shown until that is published."""
    assert failed.due("2012-01-12 07:00Z") == ["2012-01-12 morning"]
    assert failed.parked() == [(FIRST, 5)]
    failed.publish("2012-01-12 morning")
    assert failed.parked() == []


def test_a_parked_briefing_may_be_published_after_all(failed):
    """Then it is no longer shown, and the next date's keeps its lease."""
    failed.due("2012-01-12 07:00Z")
    failed.publish(FIRST)
    assert failed.parked() == []
    assert failed.due("2012-01-12 07:01Z") == []
    assert failed.due("2012-01-12 07:05Z") == ["2012-01-12 morning"]


def test_the_newest_parked_briefings_are_shown_first(lives, worker):
    """Up to p_limit of them."""
    for day in (10, 11):
        lives("Europe/Lisbon", f"2012-01-{day} 12:00Z")
    worker.rows(DUE, "2012-01-13 12:00Z", 100, "1 second")
    parked = "SELECT briefing_date::text FROM ops.parked_briefings(%s)"
    worker.results_eq(parked, [("2012-01-12",), ("2012-01-11",)], 2)
    worker.results_eq(parked, [("2012-01-12",)], 1)


@pytest.mark.parametrize("limit", [0, 1001, None])
def test_a_page_of_parked_briefings_has_bounds(worker, limit):
    """A p_limit that is out of them raises PT422."""
    worker.throws_ok("SELECT ops.parked_briefings(%s)", "PT422", limit)


# Late ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("time", "back"),
    [
        ("07:00", "2012-01-11 08:00Z"),
        ("07:00", "2012-01-11 23:59Z"),
        ("00:00", "2012-01-11 23:59Z"),
        ("23:30", "2012-01-12 00:30Z"),
        ("23:59", "2012-01-12 01:58Z"),
    ],
)
def test_an_outage_is_caught_up(lives, time, back):
    """As long as the date isn't over, and for two hours in any case, a briefing is late and not lost."""
    assert lives(*LISBON, delivery_time=time).due(back)[-1:] == [FIRST]


@pytest.mark.parametrize(
    ("time", "back", "due"),
    [
        ("07:00", "2012-01-12 00:00Z", []),
        ("07:00", "2012-01-12 06:59Z", []),
        ("07:00", "2012-01-12 07:00Z", ["2012-01-12 morning"]),
        ("07:00", "2012-01-12 20:00Z", ["2012-01-12 morning"]),
        ("23:30", "2012-01-12 01:30Z", []),
        ("00:00", "2012-01-12 00:00Z", ["2012-01-12 morning"]),
        ("07:00", "2012-03-10 20:00Z", ["2012-03-10 morning"]),
    ],
)
def test_yesterdays_is_not_sent(lives, time, back, due):
    """When the date is over, today's is what is owed, if its time has come, and the last one missed is shown."""
    person = lives(LISBON[0], "2012-01-10 23:59:30Z", delivery_time=time)
    assert person.due(back) == due
    assert person.parked() == [("2012-01-11 morning", 0)]


def test_whether_a_date_is_over_is_decided_where_the_person_lives(lives):
    """At noon, UTC, on the 12th the 11th is over in Lisbon, and lasts in Honolulu no longer than till ten, UTC."""
    person = lives("Pacific/Honolulu", "2012-01-11 12:00Z")
    assert person.due("2012-01-12 09:59Z") == [FIRST]
    assert lives("Pacific/Honolulu", "2012-01-11 12:00Z").due("2012-01-12 10:00Z") == []


# Many ----------------------------------------------------------------------------------------------------------------


def test_the_longest_due_come_first(lives, worker):
    """A batch has p_limit of them, in the order in which they fell due."""
    cities = [lives(zone, "2012-01-10 12:00Z") for zone in ("Europe/Lisbon", "Asia/Tokyo", "Europe/Rome")]
    lisbon, tokyo, rome = (person.user_id for person in cities)
    batches = [[user_id for user_id, *_ in worker.rows(DUE, "2012-01-11 07:00Z", 2, "1 hour")] for _ in range(3)]
    assert batches == [[tokyo, rome], [lisbon], []]


def test_a_retry_queues_behind_what_fell_due_before_its_lease_ended(lives, worker):
    """A briefing that kills its generators doesn't hold the others up."""
    tokyo, rome = (lives(zone, "2012-01-10 12:00Z").user_id for zone in ("Asia/Tokyo", "Europe/Rome"))
    worker.rows(DUE, "2012-01-11 05:00Z", 100, "2 hours")
    assert [user_id for user_id, *_ in worker.rows(DUE, "2012-01-11 08:00Z", 2, "1 hour")] == [rome, tokyo]


def test_two_schedulers_never_lease_the_same(lives, scheduler):
    """While the first's transaction is open, the second gets the rest at once, and nothing of the first's after it."""
    for _ in range(3):
        lives(*LISBON)
    first, second = scheduler("first"), scheduler("second")
    second.execute("SET lock_timeout = '5s'")
    args = ("2012-01-11 07:00Z", 2, "5 minutes")
    with first.transaction():
        theirs = first.execute(DUE, args).fetchall()
        others = second.execute(DUE, args).fetchall()
        assert (len(theirs), len(others)) == (2, 1)
    assert not {*theirs} & {*others}
    assert second.execute(DUE, args).fetchall() == []


def test_a_scheduler_that_rolls_back_leased_nothing(lives, scheduler):
    """What it had is due to the next."""
    person = lives(*LISBON)
    with scheduler("first").transaction(force_rollback=True):
        scheduler("first").execute(DUE, ("2012-01-11 07:00Z", 2, "5 minutes"))
    assert person.due("2012-01-11 07:00Z") == [FIRST]


def test_many_schedulers_share_the_work(lives, scheduler, dba):
    """Four at once, until there is nothing left: each briefing once."""
    lives(*LISBON)
    dba.rows("INSERT INTO pulsex.users (display_name) SELECT 'Person ' || n FROM generate_series(1, 299) AS n")
    dba.rows(
        """INSERT INTO pulsex.briefing_schedule (user_id, edition, briefing_date, due_at)
        SELECT user_id, 'morning', '2012-01-11', '2012-01-11 07:00Z' FROM pulsex.users WHERE display_name ~ '^Person'"""
    )
    connections = [scheduler(f"scheduler {number}") for number in range(4)]

    def work(connection) -> list[tuple]:
        args = ("2012-01-11 07:00Z", 7, "5 minutes")
        return list(chain.from_iterable(iter(lambda: connection.execute(DUE, args).fetchall(), [])))

    with ThreadPoolExecutor(4) as pool:
        leased = [row for rows in pool.map(work, connections) for row in rows]
    assert len(leased) == len({*leased}) == 300


# Arguments -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "args",
    [
        (None, 100, "5 minutes"), ("infinity", 100, "5 minutes"), ("-infinity", 100, "5 minutes"),
        ("2012-01-11", 0, "5 minutes"), ("2012-01-11", 1001, "5 minutes"), ("2012-01-11", None, "5 minutes"),
        ("2012-01-11", 100, "0"), ("2012-01-11", 100, "-1 minute"), ("2012-01-11", 100, "25 hours"),
        ("2012-01-11", 100, None),
    ],
    ids=str,
)  # fmt: skip
def test_arguments_have_bounds(worker, args):
    """An instant, a limit or a lease that is out of them raises PT422."""
    worker.throws_ok(DUE, "PT422", *args)


@pytest.mark.parametrize("args", [("2012-01-11", 1, "1 second"), ("2012-01-11", 1000, "1 day")], ids=str)
def test_arguments_may_be_at_their_bounds(worker, args):
    """One to a thousand briefings, for a second to a day."""
    worker.lives_ok(DUE, *args)


def test_the_defaults_are_now_and_a_hundred_and_five_minutes(worker, dba):
    """Of a hundred and one who are due now, a hundred are leased for five minutes."""
    dba.rows("SET session_replication_role = replica")
    dba.rows("INSERT INTO pulsex.users (display_name) SELECT 'Person ' || n FROM generate_series(1, 101) AS n")
    dba.rows(
        """INSERT INTO pulsex.briefing_schedule (user_id, edition, briefing_date, due_at)
        SELECT user_id, 'morning', (now() AT TIME ZONE 'UTC')::date, now() - interval '1 second'
        FROM pulsex.users WHERE display_name ~ '^Person'"""
    )
    worker.results_eq("SELECT count(*) FROM pulsex.due_briefings()", [(100,)])
    dba.results_eq(
        """SELECT count(*) FROM pulsex.briefing_schedule
        WHERE lease_until BETWEEN now() + interval '3 minutes' AND now() + interval '5 minutes'""",
        [(100,)],
    )
