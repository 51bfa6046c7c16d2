"""The oracle: what every zone's clocks show, found out by looking at them, and when they first get to a wall time.

It only converts instants to local times, which is never ambiguous; pulsex.delivery_instant() goes the other way.
"""

from __future__ import annotations

import psycopg

PERIOD = ("2026-01-01", "2028-12-31")  # three years of local dates, a leap year among them
DAYS = 1096
TIMES = ("00:00", "00:30", "01:30", "02:30", "07:00", "23:30")


def _shown_around(at: str, step: str) -> str:
    """Return the SQL of a zone's offsets at an instant and a step later."""
    return f"""
        SELECT
            ({at} AT TIME ZONE 'UTC' AT TIME ZONE name) - {at} AS before,
            ({at} + interval '{step}') AT TIME ZONE 'UTC' AT TIME ZONE name - interval '{step}' - {at} AS after"""


# The stretches that a wall time may first be shown in, and when it is.
NEAR = "{wall} - s.shown < s.ends_at AND {wall} - s.shown > s.starts_at - interval '2 days'"
EARLIEST = "min(greatest(s.starts_at, {wall} - s.shown)) AT TIME ZONE 'UTC'"
TABLE = "CREATE TEMP TABLE stretch (zone text, starts_at timestamp, ends_at timestamp, shown interval)"
# Every zone's stretches of one offset, through the period and a week on both sides. Clocks are looked at once a day,
# each hour of days that end with another offset than they began with, and each minute of such hours. Daylight saving
# begins and ends at whole minutes, and never both within a day.
STRETCHES = f"""
WITH zone AS MATERIALIZED (SELECT name FROM pg_timezone_names),
day AS (
    SELECT name, at, lead(at) OVER chronological AS next_at, shown, lead(shown) OVER chronological AS next_shown
    FROM zone
    CROSS JOIN generate_series(
        timestamp '{PERIOD[0]}' - interval '7 days', timestamp '{PERIOD[1]}' + interval '7 days', '1 day'
    ) AS at
    CROSS JOIN LATERAL (SELECT (at AT TIME ZONE 'UTC' AT TIME ZONE name) - at AS shown) AS clock
    WINDOW chronological AS (PARTITION BY name ORDER BY at)
),
hour AS (
    SELECT name, hour AS at, hour + interval '1 hour' AS next_at
    FROM day
    CROSS JOIN generate_series(at, next_at - interval '1 hour', '1 hour') AS hour
    CROSS JOIN LATERAL ({_shown_around("hour", "1 hour")}) AS clock
    WHERE shown <> next_shown AND before <> after
),
change AS (
    SELECT name, minute + interval '1 minute' AS at, after AS shown
    FROM hour
    CROSS JOIN generate_series(at, next_at - interval '1 minute', '1 minute') AS minute
    CROSS JOIN LATERAL ({_shown_around("minute", "1 minute")}) AS clock
    WHERE before <> after
)
SELECT name AS zone, at AS starts_at, lead(at, 1, 'infinity') OVER (PARTITION BY name ORDER BY at) AS ends_at, shown
FROM (
    SELECT name, timestamp '-infinity' AS at, shown FROM day WHERE at = timestamp '{PERIOD[0]}' - interval '7 days'
    UNION ALL
    SELECT name, at, shown FROM change
) AS beginning
"""

# A zone for each way that clocks go in these years: 66 of some 600 names. What a name means is PostgreSQL's affair.
DIFFERENT = """SELECT min(zone) AS name FROM (
    SELECT zone, array_agg(row(starts_at, ends_at, shown)::text ORDER BY starts_at) AS clock FROM stretch GROUP BY zone
) AS known GROUP BY clock"""


def first_shown(zone: str, wall: str) -> str:
    """Return the SQL of the earliest instant at which a zone's clocks show a wall time or a later one."""
    return f"(SELECT {EARLIEST.format(wall=wall)} FROM stretch AS s WHERE s.zone = {zone} AND {NEAR.format(wall=wall)})"


def all_first_shown(clock: str) -> str:
    """Return the SQL of ``first_shown`` for every row of a relation of name, day and wall, all in one join."""
    return f"""
        SELECT name, day, {EARLIEST.format(wall="wall")} AS want
        FROM {clock} INNER JOIN stretch AS s ON s.zone = name AND {NEAR.format(wall="wall")}
        GROUP BY name, day"""


def look(connection: psycopg.Connection) -> bytes:
    """Return every zone's stretches as COPY writes them."""
    with connection.cursor().copy(f"COPY ({STRETCHES}) TO STDOUT") as copied:
        return b"".join(copied)


def remember(connection: psycopg.Connection, stretches: bytes) -> None:
    """Give a session the temporary table ``stretch`` of what ``look`` has seen."""
    cursor = connection.cursor()
    cursor.execute(TABLE)
    with cursor.copy("COPY stretch FROM STDIN") as copied:
        copied.write(stretches)
    cursor.execute("CREATE INDEX ON stretch (zone)")
    cursor.execute("ANALYZE stretch")
