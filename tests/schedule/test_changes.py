"""What a change of zone, time, days, editions or status does to what is owed."""

import pytest

pytestmark = pytest.mark.commits

LISBON = ("Europe/Lisbon", "2012-01-10 12:00Z")  # UTC in winter
FIRST, SECOND = "2012-01-11 morning", "2012-01-12 morning"


@pytest.fixture
def ines(lives):
    """Somebody in Lisbon who has a briefing at seven each morning, the first on 11 January."""
    return lives(*LISBON)


@pytest.fixture
def read(ines):
    """The same, after the first was published."""
    ines.publish(FIRST)
    return ines


# Zones ---------------------------------------------------------------------------------------------------------------


def test_moving_moves_the_next_briefing(ines):
    """Seven in the morning is then seven in New York."""
    ines.change("2012-01-10 20:00Z", time_zone="America/New_York")
    assert ines.schedule() == [(FIRST, "2012-01-11 12:00")]


def test_moving_west_does_not_repeat_a_date(read):
    """At eight in Lisbon it is three in New York, of the same date, which was delivered."""
    read.change("2012-01-11 08:00Z", time_zone="America/New_York")
    assert read.schedule() == [(SECOND, "2012-01-12 12:00")]


def test_moving_east_does_not_lose_a_date(ines):
    """At two in Lisbon it is eleven in Tokyo: the date's seven o'clock is past and its briefing still owed, at once."""
    ines.change("2012-01-11 02:00Z", time_zone="Asia/Tokyo")
    assert ines.due("2012-01-11 02:00Z") == [FIRST]
    ines.publish(FIRST)
    assert ines.schedule() == [(SECOND, "2012-01-11 22:00")]


def test_moving_to_where_the_date_is_over_begins_with_the_next(ines):
    """At eleven in the evening of the 11th in Honolulu, undelivered there, it is the 12th in Kiritimati, and owed."""
    ines.change("2012-01-11 06:00Z", time_zone="Pacific/Honolulu")
    ines.change("2012-01-12 09:00Z", time_zone="Pacific/Kiritimati")
    assert ines.schedule() == [(SECOND, "2012-01-11 17:00")]


def test_crossing_the_date_line_eastward_repeats_no_date(lives):
    """From Auckland, where the 11th was delivered, to Honolulu, where it is the 10th: the 12th is next."""
    person = lives("Pacific/Auckland", "2012-01-10 12:00Z")
    person.publish("2012-01-10 morning")
    person.publish(FIRST)
    person.change("2012-01-10 19:00Z", time_zone="Pacific/Honolulu")
    assert person.schedule() == [(SECOND, "2012-01-12 17:00")]


def test_crossing_the_date_line_westward_loses_no_date(lives):
    """From Honolulu, in the evening of the 10th, to Auckland, where it is the 11th's evening: it is owed at once."""
    person = lives("Pacific/Honolulu", "2012-01-10 18:00Z")
    person.publish("2012-01-10 morning")
    person.change("2012-01-11 06:00Z", time_zone="Pacific/Auckland")
    assert person.due("2012-01-11 06:00Z") == [FIRST]


def test_moving_there_and_back_changes_nothing(ines):
    """Whoever was abroad for an hour is owed what they were owed."""
    before = ines.schedule()
    ines.change("2012-01-10 20:00Z", time_zone="Pacific/Kiritimati")
    ines.change("2012-01-10 21:00Z", time_zone="Europe/Lisbon")
    assert ines.schedule() == before


# Times ---------------------------------------------------------------------------------------------------------------


def test_an_earlier_time_that_is_past_is_due_at_once(ines):
    """At half past six, seven becomes five: today's is owed still."""
    ines.change("2012-01-11 06:30Z", delivery_time="05:00")
    assert ines.due("2012-01-11 06:30Z") == [FIRST]


def test_a_later_time_moves_todays_briefing(ines):
    """At half past six, seven becomes eight."""
    ines.change("2012-01-11 06:30Z", delivery_time="08:00")
    assert ines.schedule() == [(FIRST, "2012-01-11 08:00")]


def test_a_later_time_does_not_repeat_todays_briefing(read):
    """At half past seven, seven becomes eight: that is tomorrow's."""
    read.change("2012-01-11 07:30Z", delivery_time="08:00")
    assert read.schedule() == [(SECOND, "2012-01-12 08:00")]


def test_a_change_leaves_a_generator_its_lease(ines):
    """What is being made isn't leased a second time, and its attempts count on."""
    ines.due("2012-01-11 07:00Z", "10 minutes")
    ines.change("2012-01-11 07:01Z", delivery_time="06:00")
    assert ines.due("2012-01-11 07:09Z") == []
    assert ines.due("2012-01-11 07:10Z") == [FIRST]
    ines.dba.results_eq("SELECT attempts FROM pulsex.briefing_schedule", [(2,)])


def test_another_date_has_no_lease_and_no_attempts(ines):
    """They were the date's that isn't wanted any more, Wednesday the 11th."""
    ines.due("2012-01-11 07:00Z")
    ines.change("2012-01-11 07:01Z", delivery_days=[4])
    ines.dba.results_eq("SELECT lease_until, attempts FROM pulsex.briefing_schedule", [(None, 0)])


def test_a_change_during_an_outage_takes_nothing_back(ines):
    """The 11th's was never made; on the 12th, at eight, seven becomes half past: the 12th's is owed at once."""
    ines.change("2012-01-12 08:00Z", delivery_time="07:30")
    assert ines.due("2012-01-12 08:00Z") == [SECOND]


# Editions ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("at", "day"), [("19:30", "2012-01-10"), ("19:31", "2012-01-11")])
def test_an_edition_begins_with_its_next_time(ines, at, day):
    """Switched on by half past seven it comes today, and after that from tomorrow on."""
    ines.change(f"2012-01-10 {at}Z", evening_delivery_time="19:30")
    assert ines.schedule() == [(FIRST, "2012-01-11 07:00"), (f"{day} evening", f"{day} 19:30")]


def test_an_edition_ends_when_it_is_switched_off(lives):
    """Nothing of it is due, and the morning's is as it was."""
    person = lives(*LISBON, evening_delivery_time="19:30")
    person.change("2012-01-10 19:00Z", evening_delivery_time=None)
    assert person.schedule() == [(FIRST, "2012-01-11 07:00")]


def test_an_edition_switched_off_and_on_is_not_repeated(lives):
    """What was published this evening isn't owed again at a later time of the same evening."""
    person = lives(*LISBON, evening_delivery_time="19:30")
    person.publish("2012-01-10 evening")
    person.change("2012-01-10 19:40Z", evening_delivery_time=None)
    person.change("2012-01-10 19:41Z", evening_delivery_time="20:30")
    assert person.schedule()[1] == ("2012-01-11 evening", "2012-01-11 20:30")


# Days ----------------------------------------------------------------------------------------------------------------


def test_a_day_that_is_taken_away_is_not_owed(ines):
    """Without Wednesdays, Thursday the 12th is next."""
    ines.change("2012-01-11 06:00Z", delivery_days=[1, 2, 4, 5, 6, 7])
    assert ines.schedule() == [(SECOND, "2012-01-12 07:00")]


@pytest.mark.parametrize(("at", "briefing"), [("07:00", "2012-01-11 07:00"), ("07:01", "2012-01-18 07:00")])
def test_a_day_that_is_added_begins_with_its_next_time(lives, at, briefing):
    """Wednesdays, instead of Mondays, from today if it isn't seven yet."""
    person = lives(*LISBON, delivery_days=[1])
    person.change(f"2012-01-11 {at}Z", delivery_days=[3])
    assert [due for _, due in person.schedule()] == [briefing]


def test_a_pause_ends_with_the_next_time(ines):
    """What fell into the pause isn't caught up."""
    ines.change("2012-01-11 06:00Z", delivery_days=[])
    assert ines.schedule() == []
    ines.change("2012-01-11 08:00Z", delivery_days=[1, 2, 3, 4, 5, 6, 7])
    assert ines.schedule() == [(SECOND, "2012-01-12 07:00")]


# Status --------------------------------------------------------------------------------------------------------------


def test_a_restriction_ends_with_the_next_time(ines):
    """What fell into the restriction isn't caught up."""
    ines.change("2012-01-11 06:00Z", status="restricted")
    assert ines.due("2012-01-11 07:00Z") == []
    ines.change("2012-01-11 08:00Z", status="active")
    assert ines.schedule() == [(SECOND, "2012-01-12 07:00")]


def test_a_restriction_ends_a_lease(ines):
    """Whoever is restricted while a briefing is made isn't due when the lease ends."""
    ines.due("2012-01-11 07:00Z")
    ines.change("2012-01-11 07:01Z", status="restricted")
    assert ines.due("2012-01-11 07:05Z") == []
    assert ines.schedule() == []


def test_a_restricted_person_who_is_scheduled_all_the_same_is_not_due(ines):
    """Should a row of theirs be there, nobody gets it, and it goes."""
    ines.dba.rows("UPDATE pulsex.users SET status = 'restricted' WHERE user_id = %s", ines.user_id)
    assert ines.due("2012-01-11 07:00Z") == []
    assert ines.schedule() == []


# Editions at once ----------------------------------------------------------------------------------------------------


def test_what_one_edition_published_the_other_still_owes(lives):
    """The evening's briefing of a date doesn't stand in for the morning's when the times are changed."""
    ines = lives(*LISBON, evening_delivery_time="19:00")
    ines.publish("2012-01-11 evening")
    ines.change("2012-01-10 13:00Z", delivery_time="08:00")
    assert (FIRST, "2012-01-11 08:00") in ines.schedule()


def test_a_lease_is_of_one_edition(lives):
    """While the morning's briefing is being made, the evening's comes due in its time."""
    ines = lives(*LISBON, evening_delivery_time="07:01")
    assert ines.due("2012-01-11 07:00Z") == [FIRST]
    assert ines.due("2012-01-11 07:01Z") == ["2012-01-11 evening"]


def test_what_one_edition_published_moves_the_other_nowhere(lives):
    """The morning's goes on to the next date; the evening's stays."""
    ines = lives(*LISBON, evening_delivery_time="19:00")
    ines.publish(FIRST)
    assert ines.schedule() == [(SECOND, "2012-01-12 07:00"), ("2012-01-10 evening", "2012-01-10 19:00")]


def test_what_one_edition_promised_the_other_did_not(lives):
    """The morning's briefing of the date was given up, and isn't owed again because the evening's still is."""
    ines = lives(*LISBON, evening_delivery_time="19:00")
    for minute in range(6):
        ines.due(f"2012-01-11 07:0{minute}Z", lease="1 second")
    assert (SECOND, "2012-01-12 07:00") in ines.schedule()
    ines.change("2012-01-11 12:00Z", max_items=3)
    assert (SECOND, "2012-01-12 07:00") in ines.schedule()
