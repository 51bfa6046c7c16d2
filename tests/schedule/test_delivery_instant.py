"""Wall clocks: pulsex.delivery_instant(), against known days and against each zone's own clocks for three years."""

from __future__ import annotations

import pytest

from tests.schedule import clocks

INSTANT = "SELECT pulsex.delivery_instant(%s, %s, %s) AT TIME ZONE 'UTC' = %s::timestamp"
DAYS = {
    "an ordinary morning": ("2026-07-01", "07:00", "Asia/Kathmandu", "2026-07-01 01:15"),
    "a gap of an hour": ("2026-03-08", "02:30", "America/New_York", "2026-03-08 07:00"),
    "a gap's first minute": ("2026-03-08", "02:00", "America/New_York", "2026-03-08 07:00"),
    "the minute before a gap": ("2026-03-08", "01:59", "America/New_York", "2026-03-08 06:59"),
    "the minute after a gap": ("2026-03-08", "03:00", "America/New_York", "2026-03-08 07:00"),
    "a fold of an hour": ("2026-11-01", "01:30", "America/New_York", "2026-11-01 05:30"),
    "a fold's first minute": ("2026-11-01", "01:00", "America/New_York", "2026-11-01 05:00"),
    "the minute after a fold": ("2026-11-01", "02:00", "America/New_York", "2026-11-01 07:00"),
    "the morning after a gap": ("2026-03-08", "07:00", "America/New_York", "2026-03-08 11:00"),
    "the morning after a fold": ("2026-11-01", "07:00", "America/New_York", "2026-11-01 12:00"),
    "a gap of half an hour": ("2026-10-04", "02:15", "Australia/Lord_Howe", "2026-10-03 15:30"),
    "a fold of half an hour": ("2026-04-05", "01:45", "Australia/Lord_Howe", "2026-04-04 14:45"),
    "a gap of two hours": ("2026-03-29", "02:30", "Antarctica/Troll", "2026-03-29 01:00"),
    "a fold of two hours": ("2026-10-25", "01:30", "Antarctica/Troll", "2026-10-24 23:30"),
    "a gap at midnight, Cairo": ("2026-04-24", "00:00", "Africa/Cairo", "2026-04-23 22:00"),
    "a gap at midnight, Havana": ("2026-03-08", "00:30", "America/Havana", "2026-03-08 05:00"),
    "a gap at midnight, Beirut": ("2026-03-29", "00:30", "Asia/Beirut", "2026-03-28 22:00"),
    "a gap at midnight, Asunción": ("2023-10-01", "00:00", "America/Asuncion", "2023-10-01 04:00"),
    "a gap before midnight": ("2026-03-28", "23:30", "America/Nuuk", "2026-03-29 01:00"),
    "a fold before midnight": ("2026-10-24", "23:30", "America/Nuuk", "2026-10-25 00:30"),
    "a fold of the day before": ("2026-10-30", "00:00", "Africa/Cairo", "2026-10-29 22:00"),
    "a fold over midnight, its day": ("2010-11-07", "00:00", "America/St_Johns", "2010-11-07 02:30"),
    "a fold over midnight, the day before": ("2010-11-06", "23:30", "America/St_Johns", "2010-11-07 02:00"),
    "daylight saving in winter": ("2026-10-25", "01:30", "Europe/Dublin", "2026-10-25 00:30"),
    "Ramadan": ("2026-02-15", "02:30", "Africa/Casablanca", "2026-02-15 01:30"),
    "a date that was left out": ("2011-12-30", "07:00", "Pacific/Apia", "2011-12-30 10:00"),
    "the date after it": ("2011-12-31", "00:00", "Pacific/Apia", "2011-12-30 10:00"),
    "a date that came twice": ("1969-09-30", "07:00", "Pacific/Kwajalein", "1969-09-29 20:00"),
    "a clock set to the second": ("1971-06-01", "00:00", "Africa/Monrovia", "1971-06-01 00:44:30"),
    "a gap to the second": ("1972-01-07", "00:10", "Africa/Monrovia", "1972-01-07 00:44:30"),
    "a leap day": ("2028-02-29", "07:00", "America/Los_Angeles", "2028-02-29 15:00"),
    "a new year": ("2027-01-01", "00:00", "Pacific/Kiritimati", "2026-12-31 10:00"),
}

# Of every date in every zone whose clocks differ: how many there are, how many are wrong, and how many don't come
# after the day before's.
COMPARE = f"""
WITH zone AS MATERIALIZED ({clocks.DIFFERENT}),
clock AS MATERIALIZED (
    SELECT name, day::date AS day, day + %s::time AS wall
    FROM zone CROSS JOIN generate_series(timestamp '{clocks.PERIOD[0]}', '{clocks.PERIOD[1]}', '1 day') AS day
),
delivery AS MATERIALIZED (SELECT name, day, {{instant}} AS have FROM clock),
wanted AS MATERIALIZED ({clocks.all_first_shown("clock")})
SELECT count(*), count(*) FILTER (WHERE have IS DISTINCT FROM want), count(*) FILTER (WHERE have <= days_before)
FROM (
    SELECT have, want, lag(have) OVER (PARTITION BY name ORDER BY day) AS days_before
    FROM delivery LEFT JOIN wanted USING (name, day)
) AS compared
"""


@pytest.mark.parametrize(("day", "time", "zone", "utc"), DAYS.values(), ids=DAYS)
def test_a_known_day_has_its_known_instant(service, day, time, zone, utc):
    """A gap's time is the instant at which the clocks change; a fold's time its first pass."""
    service.results_eq(INSTANT, [(True,)], day, time, zone, utc)


@pytest.mark.parametrize("session_zone", ["UTC", "America/New_York", "Pacific/Apia"])
def test_the_instant_does_not_depend_on_the_session(service, session_zone):
    """Whatever TimeZone the scheduler's connection has, the person's counts."""
    service.rows(f"SET LOCAL TimeZone = '{session_zone}'")
    service.results_eq(INSTANT, [(True,)], *DAYS["a gap of an hour"])
    service.results_eq(INSTANT, [(True,)], *DAYS["a date that was left out"])


@pytest.mark.parametrize("time", clocks.TIMES)
def test_every_date_of_every_zone_has_one_instant(clockwork, time):
    """In zones that differ, for three years: the first at which the clock gets there, and before the next date's."""
    zones = clockwork.value(f"SELECT count(*) FROM ({clocks.DIFFERENT}) AS zone")
    compare = COMPARE.format(instant="pulsex.delivery_instant(day, wall::time, name)")
    assert zones > 50
    clockwork.results_eq(compare, [(zones * clocks.DAYS, 0, 0)], time)


def test_at_time_zone_alone_would_be_found_wrong(clockwork):
    """The comparison sees that AT TIME ZONE goes beyond gaps and takes a fold's second pass."""
    [(_, wrong, _)] = clockwork.rows(COMPARE.format(instant="wall AT TIME ZONE name"), "01:30")
    assert wrong > 0
