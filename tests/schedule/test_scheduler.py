"""A scheduler that calls pulsex.due_briefings() every fifteen minutes, in every zone of the world."""

from __future__ import annotations

import pytest

from tests.schedule import clocks

YEARS = (2026, 2027, 2028)
WEEK = ("2026-06-08", "2026-06-15")  # no clock changes anywhere

# A person for each zone. Zones whose clocks change alike share the six delivery times between them, and if there are
# fewer than three of them, somebody lives there twice.
PEOPLE = """
CREATE TABLE pattern AS
SELECT changes, array_agg(zone ORDER BY zone) AS zones
FROM (
    SELECT zone, array_agg(concat_ws(' ', starts_at, shown) ORDER BY starts_at) AS changes
    FROM stretch INNER JOIN pulsex.time_zones ON name = zone GROUP BY zone
) AS each GROUP BY changes;
CREATE TABLE person AS
SELECT uuidv7() AS user_id, zones[1 + n % cardinality(zones)] AS zone, wanted.*
FROM pattern
CROSS JOIN generate_series(0, greatest(3, cardinality(zones)) - 1) AS n
INNER JOIN (
    VALUES (0, time '00:00', time '23:30'), (1, '00:30', '07:00'), (2, '01:30', '02:30')
) AS wanted (turn, morning, evening) ON turn = n % 3;
INSERT INTO pulsex.users (user_id, display_name, time_zone) SELECT user_id, zone, zone FROM person;
INSERT INTO pulsex.user_preferences (user_id, delivery_time, evening_delivery_time)
SELECT user_id, morning, evening FROM person;
CREATE TABLE run (zone text, starts_at timestamptz, ends_at timestamptz);
CREATE TABLE claim (at timestamptz, user_id uuid, briefing_date date, edition text);
"""
# Three days on both sides of each change of clocks in the year; changes that lie close together share a run.
CHANGES = """
WITH change AS (
    SELECT zone, starts_at - interval '3 days' AS starts_at, starts_at + interval '3 days' AS ends_at
    FROM stretch INNER JOIN pulsex.time_zones ON name = zone WHERE extract(YEAR FROM starts_at) = %s
),
island AS (
    SELECT *, count(*) FILTER (WHERE is_first) OVER chronological AS number
    FROM (
        SELECT *, coalesce(starts_at > max(ends_at) OVER before, TRUE) AS is_first FROM change
        WINDOW before AS (ORDER BY starts_at, zone ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
    ) AS gap
    WINDOW chronological AS (ORDER BY starts_at, zone)
)
INSERT INTO run
SELECT DISTINCT
    zone, (min(starts_at) OVER run) AT TIME ZONE 'UTC', (max(ends_at) OVER run) AT TIME ZONE 'UTC'
FROM island WINDOW run AS (PARTITION BY number)
"""
DRIVE = """
DO $$
DECLARE
    v_run record;
    v_due record;
    v_at timestamptz;
BEGIN
    FOR v_run IN SELECT starts_at, ends_at, array_agg(zone) AS zones FROM run GROUP BY 1, 2 ORDER BY 1 LOOP
        DELETE FROM pulsex.briefing_schedule;
        PERFORM pulsex.schedule_briefings(user_id, v_run.starts_at) FROM person WHERE zone = ANY (v_run.zones);
        -- At seven minutes past, so that what is due has to wait for it.
        v_at := v_run.starts_at + interval '7 minutes';
        WHILE v_at < v_run.ends_at LOOP
            FOR v_due IN SELECT * FROM pulsex.due_briefings(v_at, 1000) LOOP
                INSERT INTO claim VALUES (v_at, v_due.user_id, v_due.briefing_date, v_due.edition);
                PERFORM pulsex.settle_briefing(v_due.user_id, v_due.briefing_date, v_due.edition);
            END LOOP;
            COMMIT;
            v_at := v_at + interval '15 minutes';
        END LOOP;
    END LOOP;
END
$$
"""
# Each date whose clock gets to the delivery time during the run, claimed at the first call after that.
WANTED = f"""
CREATE TABLE wanted AS
SELECT date_bin('15 minutes', due_at - interval '1 microsecond', starts_at + interval '7 minutes')
    + interval '15 minutes' AS at, user_id, day::date AS briefing_date, edition
FROM run INNER JOIN person ON person.zone = run.zone
CROSS JOIN LATERAL (VALUES ('morning', morning), ('evening', evening)) AS edition (edition, local_time)
CROSS JOIN LATERAL generate_series(starts_at::date - 1, ends_at::date + 1, interval '1 day') AS day
CROSS JOIN LATERAL (SELECT {clocks.first_shown("run.zone", "(day + local_time)")} AS due_at) AS clock
WHERE due_at BETWEEN starts_at AND ends_at - interval '8 minutes'
"""
EACH_ONCE = """
SELECT zone, coalesce(c.briefing_date, w.briefing_date), coalesce(c.edition, w.edition), c.at, w.at
FROM claim AS c FULL JOIN wanted AS w USING (user_id, at, briefing_date, edition)
LEFT JOIN person USING (user_id)
WHERE c.user_id IS NULL OR w.user_id IS NULL
LIMIT 5
"""
TWICE = "SELECT user_id, briefing_date, edition FROM claim GROUP BY 1, 2, 3 HAVING count(*) > 1"


@pytest.fixture
def world(clockwork):
    """Everybody, in a database of their own."""
    clockwork.rows(PEOPLE)
    return clockwork


def drive(world) -> None:
    """Let the scheduler run, and find each date that was wanted claimed once and in time, and no other."""
    world.connection.execute("SET TimeZone = 'UTC'")
    world.connection.execute(DRIVE)
    world.rows(WANTED)
    world.is_empty(EACH_ONCE)
    world.is_empty(TWICE)


@pytest.mark.long
@pytest.mark.commits
def test_everybody_is_somewhere(world):
    """Every zone has somebody, and of each way in which clocks change somebody has each of the six times."""
    world.is_empty("SELECT name FROM pulsex.time_zones WHERE name NOT IN (SELECT zone FROM person)")
    world.is_empty(
        """SELECT zones FROM pattern WHERE 6 <> (
            SELECT count(DISTINCT morning) + count(DISTINCT evening) FROM person WHERE zone = ANY (zones)
        )"""
    )


@pytest.mark.long
@pytest.mark.commits
@pytest.mark.parametrize("year", YEARS)
def test_around_every_change_of_clocks_each_date_is_claimed_once(world, year):
    """Three days before and after, at six delivery times, in each zone whose clocks change in the year."""
    world.rows(CHANGES, year)
    drive(world)
    world.results_eq(
        "SELECT count(DISTINCT zone) FROM claim INNER JOIN person USING (user_id)",
        world.rows("SELECT count(DISTINCT zone) FROM stretch WHERE extract(YEAR FROM starts_at) = %s", year),
    )


@pytest.mark.long
@pytest.mark.commits
def test_in_an_ordinary_week_each_date_is_claimed_once(world):
    """Seven dates and two editions for everybody in the world."""
    world.rows("INSERT INTO run SELECT name, %s, %s FROM pulsex.time_zones", *WEEK)
    drive(world)
    world.results_eq("SELECT count(*) FROM claim", world.rows("SELECT 14 * count(*) FROM person"))
