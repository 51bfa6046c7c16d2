"""The oracle: what every zone's clocks show, found out by looking at them, and when they first get to a wall time.

It only converts instants to local times, which is never ambiguous; pulsex.delivery_instant() goes the other way.
"""

PERIOD = ("2026-01-01", "2028-12-31")  # three years of local dates, a leap year among them
DAYS = 1096
TIMES = ("00:00", "00:30", "01:30", "02:30", "07:00", "23:30")

# Every zone's stretches of one offset, through the period and a week on both sides. Clocks are looked at once a day,
# and each minute of days that end with another offset than they began with. Daylight saving begins and ends at whole
# minutes, and never both within a day.
STRETCHES = f"""
CREATE TEMP TABLE stretch AS
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
change AS (
    SELECT name, minute + interval '1 minute' AS at, after AS shown
    FROM day
    CROSS JOIN generate_series(at, next_at - interval '1 minute', '1 minute') AS minute
    CROSS JOIN LATERAL (
        SELECT
            (minute AT TIME ZONE 'UTC' AT TIME ZONE name) - minute AS before,
            (minute + interval '1 minute') AT TIME ZONE 'UTC' AT TIME ZONE name - interval '1 minute' - minute AS after
    ) AS clock
    WHERE shown <> next_shown AND before <> after
)
SELECT name AS zone, at AS starts_at, lead(at, 1, 'infinity') OVER (PARTITION BY name ORDER BY at) AS ends_at, shown
FROM (
    SELECT name, timestamp '-infinity' AS at, shown FROM day WHERE at = timestamp '{PERIOD[0]}' - interval '7 days'
    UNION ALL
    SELECT name, at, shown FROM change
) AS beginning;
CREATE INDEX ON stretch (zone);
ANALYZE stretch;
"""


def first_shown(zone: str, wall: str) -> str:
    """Return the SQL of the earliest instant at which a zone's clocks show a wall time or a later one."""
    return f"""(
        SELECT min(greatest(s.starts_at, {wall} - s.shown)) AT TIME ZONE 'UTC' FROM stretch AS s
        WHERE s.zone = {zone} AND {wall} - s.shown < s.ends_at AND {wall} - s.shown > s.starts_at - interval '2 days'
    )"""
