"""Quiet hours by the clocks of the person's zone, every minute around changes of them, against Python's zoneinfo."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

DAY = 1440  # minutes; all times here are whole ones
# Clocks that change, and the UTC hour around which: forward and back, by an hour, by half of one, by a whole day; at
# midnight, and back over midnight.
CHANGES = {
    "New York forward": ("America/New_York", datetime(2025, 3, 9, 7, tzinfo=UTC)),
    "New York back": ("America/New_York", datetime(2025, 11, 2, 6, tzinfo=UTC)),
    "Lisbon back": ("Europe/Lisbon", datetime(2025, 10, 26, 1, tzinfo=UTC)),
    "Lord Howe forward, by half an hour": ("Australia/Lord_Howe", datetime(2025, 10, 4, 15, 30, tzinfo=UTC)),
    "Lord Howe back, by half an hour": ("Australia/Lord_Howe", datetime(2025, 4, 5, 15, tzinfo=UTC)),
    "Havana forward, at midnight": ("America/Havana", datetime(2025, 3, 9, 5, tzinfo=UTC)),
    "Santiago back, over midnight": ("America/Santiago", datetime(2025, 4, 6, 3, tzinfo=UTC)),
    "Apia, a day skipped": ("Pacific/Apia", datetime(2011, 12, 30, 10, tzinfo=UTC)),
}
QUIET_UNTIL = """
    SELECT extract(EPOCH FROM pulsex.quiet_until(%s::time, %s::time, %s, to_timestamp(at * 60.0)))::bigint / 60
    FROM unnest(%s::integer[]) WITH ORDINALITY AS asked (at, number) ORDER BY number
"""


def wall(zone: str, minute: int) -> int:
    """Return what the clock shows, in minutes since 1970 of clocks that never change."""
    shown = datetime.fromtimestamp(minute * 60, ZoneInfo(zone)).replace(tzinfo=UTC)
    return int(shown.timestamp()) // 60


def ends(walls: list[int], start: int, end: int) -> list[int | None]:
    """Return for each minute the place of the minute at which its quiet hours end; None where it is in none.

    The clock shows a time in them: from start until before end, both in minutes of the day, over midnight if the end is
    earlier. They end at the first minute after it at which the clock shows their next end, or anything later.
    """
    found: list[int | None] = [None] * len(walls)
    later: dict[int, int] = {}  # an end to the first minute after this one whose clock shows it or more
    deadlines = {day * DAY + end for day in range(walls[0] // DAY - 1, walls[-1] // DAY + 3)}
    for place in reversed(range(len(walls))):
        day, time = divmod(walls[place], DAY)
        if (start <= time < end) if start <= end else (time >= start or time < end):
            found[place] = later.get(day * DAY + end if time < end else (day + 1) * DAY + end)
        later.update({deadline: place for deadline in deadlines if walls[place] >= deadline})
    return found


def clock(minute: int) -> str:
    """Write a minute of the day."""
    return f"{minute // 60:02}:{minute % 60:02}"


@pytest.mark.parametrize("change", CHANGES)
def test_quiet_hours_end_by_the_clock(service, change):
    """Whatever the quiet hours have to do with the change, each minute of the days around is as the definition says."""
    zone, at = CHANGES[change]
    middle = int(at.timestamp()) // 60
    before, after = wall(zone, middle - 1) + 1, wall(zone, middle)
    assert before != after
    low, high = min(before, after) % DAY, max(before, after) % DAY
    inside = (low + (max(before, after) - min(before, after)) // 2) % DAY
    minutes = list(range(middle - 30 * 60, middle + 80 * 60))
    walls = [wall(zone, minute) for minute in minutes]
    asked = [n for n in range(34 * 60) if n % 11 == 0 or abs(minutes[n] - middle) < 150]
    for start, end in [
        (22 * 60, 7 * 60), (low, high), (high, low), (22 * 60, inside), (inside, 7 * 60), (inside - 20, inside + 5),
        ((low - 60) % DAY, inside), (inside, (high + 60) % DAY),
    ]:  # fmt: skip
        have = service.rows(QUIET_UNTIL, clock(start % DAY), clock(end), zone, [minutes[n] for n in asked])
        found = ends(walls, start % DAY, end)
        want = [(None if found[n] is None else minutes[found[n]],) for n in asked]
        assert have == want, (clock(start % DAY), clock(end))


@pytest.mark.parametrize(
    ("start", "end", "at", "until"),
    [
        ("22:00", "07:00", "21:59:59.999999", None),
        ("22:00", "07:00", "22:00", "2025-01-16 07:00"),
        ("22:00", "07:00", "00:00", "2025-01-15 07:00"),
        ("22:00", "07:00", "06:59:59.999999", "2025-01-15 07:00"),
        ("22:00", "07:00", "07:00", None),
        ("12:00", "14:00", "12:00", "2025-01-15 14:00"),
        ("12:00", "14:00", "14:00", None),
        ("22:00", "24:00", "23:00", "2025-01-16 00:00"),
        ("00:00", "24:00", "12:00", "2025-01-16 00:00"),
        ("08:00", "08:00", "08:00", None),
        (None, None, "08:00", None),
    ],
)
def test_where_quiet_hours_begin_and_end(service, start, end, at, until):
    """The beginning is theirs and the end isn't, to the microsecond; the same time twice is none at all."""
    asked = datetime.fromisoformat(f"2025-01-15 {at}").replace(tzinfo=UTC)
    want = until and datetime.fromisoformat(until).replace(tzinfo=UTC)
    service.results_eq("SELECT pulsex.quiet_until(%s, %s, 'UTC', %s)", [(want,)], start, end, asked)


def test_the_definition_is_one(service):
    """The oracle itself, where the answer is known: the second pass through an hour has quiet hours of its own."""
    zone, at = CHANGES["New York back"]  # at 02:00 it is 01:00 again
    minutes = [int(at.timestamp()) // 60 + n for n in range(-120, 240)]
    found = ends([wall(zone, minute) for minute in minutes], 23 * 60, 90)
    assert [found[n] for n in (0, 89, 90, 119, 120, 149, 150)] == [90, 90, None, None, 150, 150, None]
    assert minutes[150] * 60 == (at + timedelta(minutes=30)).timestamp()
