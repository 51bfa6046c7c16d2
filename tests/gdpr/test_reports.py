"""What the officer and the analyst may look at: db/gdpr/reports.sql."""

from __future__ import annotations

import re

import pytest

SUMMARY = "SELECT category, record, records FROM gdpr.user_data_summary WHERE user_id = %s"
LOOKS = "SELECT count(*) FROM audit.events WHERE action = 'read' AND user_id = %s"
DAY = "SELECT people FROM gdpr.engagement_by_day WHERE day = '2020-02-29' AND event_type = 'opened'"
MONTH = "SELECT people, median_rating FROM gdpr.ratings_by_month WHERE month = '2020-02-01'"
FOLLOWERS = "SELECT people FROM gdpr.followers_by_topic WHERE slug = 'comets'"

# So many people who opened something on a leap day, rated a briefing and follow comets, with their consent.
CROWD = """
    WITH topic AS (
        INSERT INTO pulsex.topics (slug, label) VALUES ('comets', 'Comets') RETURNING topic_id
    ), people AS (
        INSERT INTO pulsex.users (display_name) SELECT 'Reader' FROM generate_series(1, %(people)s) RETURNING user_id
    ), consents AS (
        INSERT INTO gdpr.consents (user_id, purpose, revision, is_granted, policy_version, recorded_by)
        SELECT user_id, 'analytics', 1, true, '2026-01', 'person' FROM people
    ), follow AS (
        INSERT INTO pulsex.user_topics (user_id, topic_id) SELECT user_id, topic_id FROM people CROSS JOIN topic
    ), days AS (
        INSERT INTO pulsex.engagement_daily (user_id, day, event_type, events, dwell_ms)
        SELECT user_id, '2020-02-29', 'opened', 3, 0 FROM people
    )
    SELECT array_agg(user_id) FROM people
"""
RATE = """
    INSERT INTO pulsex.briefings (user_id, briefing_date, title, content, search)
    SELECT unnest(%(people)s), '2020-02-29', 't', '{"sections": []}', '';
    INSERT INTO pulsex.briefing_feedback (user_id, briefing_date, edition, rating)
    SELECT unnest(%(people)s), '2020-02-29', 'morning', 4
"""


def gather(dba, people: int) -> list:
    """Add so many people; return their ids. The superuser is the analyst afterwards."""
    dba.rows("SELECT ops.make_missing_partition('pulsex', 'briefings', 0, '2020-02-01')")
    with dba._statement() as connection:  # named parameters, which no verb takes
        [ids] = connection.execute(CROWD, {"people": people}).fetchone()
        for statement in RATE.split(";"):
            connection.execute(statement, {"people": ids})
    dba.rows("SET LOCAL ROLE pulsex_analyst")
    return ids


def test_the_summary_counts_what_an_export_has(privacy, published):
    """For each kind of record the view's number is that of the export's records, but for the log of looking."""
    export = """SELECT category, record ->> 'record', count(*) FROM gdpr.export_user_data_rows(%s)
        WHERE category <> 'history' GROUP BY 1, 2 ORDER BY 1, 2"""
    summary = [row for row in privacy.rows(SUMMARY, published.user_id) if row[0] != "history"]
    assert sorted(summary) == privacy.rows(export, published.user_id)
    assert ("briefings", "briefing", 1) in summary


def test_a_look_at_a_person_is_logged_of_that_person(dba, published, database):
    """Asking for Alice leaves one event of hers, and none of Bob's."""
    dba.rows("SET LOCAL ROLE pulsex_privacy")
    dba.rows(SUMMARY, published.user_id)
    dba.rows("RESET ROLE")
    dba.results_eq(LOOKS, [(1,)], published.user_id)
    dba.results_eq(LOOKS, [(0,)], database.cast["bob"].user_id)


@pytest.mark.parametrize(
    "look",
    [
        "SELECT * FROM gdpr.current_consents WHERE user_id = %s",
        "SELECT * FROM gdpr.consent_history(%s)",
        "SELECT * FROM gdpr.open_requests WHERE user_id = %s",
        "SELECT gdpr.find_user((SELECT 'alice@example.com' WHERE %s IS NOT NULL))",
    ],
)
def test_every_look_of_the_officers_is_logged(dba, published, look):
    """Consents, requests, and finding somebody by e-mail leave an event each."""
    dba.rows("SET LOCAL ROLE pulsex_privacy")
    dba.rows(look, published.user_id)
    dba.rows("RESET ROLE")
    dba.results_eq(LOOKS, [(1,)], published.user_id)


@pytest.mark.commits
def test_a_list_of_what_is_open_is_no_look_at_who_is_not_on_it(dba, published, database):
    """Alice's request is answered: of Bob, whose isn't, the look is logged, and of her none."""
    dba.rows(
        "UPDATE gdpr.requests SET completed_at = received_at, outcome = 'fulfilled' WHERE user_id = %s",
        published.user_id,
    )
    dba.rows("SELECT * FROM gdpr.open_requests")
    dba.results_eq(LOOKS, [(0,)], published.user_id)
    dba.results_eq(LOOKS, [(1,)], database.cast["bob"].user_id)


def test_ones_own_look_is_not_logged(alice, dba):
    """Alice reading her consents is nobody's business."""
    alice.rows("SELECT * FROM gdpr.current_consents")
    dba.results_eq(LOOKS, [(0,)], alice.user_id)


def test_everybody_is_in_the_summary(privacy, database):
    """Without a condition it has Alice and Bob."""
    people = {user_id for (user_id,) in privacy.rows("SELECT DISTINCT user_id FROM gdpr.user_data_summary")}
    assert {person.user_id for person in database.cast.values()} <= people


def test_a_person_is_found_by_e_mail_in_any_case(privacy, published):
    """find_user normalises as signing in does; an unknown address raises PT404."""
    privacy.results_eq("SELECT gdpr.find_user(' Alice@Example.com')", [(published.user_id,)])
    privacy.throws_ok("SELECT gdpr.find_user('nobody@example.com')", "PT404")
    privacy.throws_ok("SELECT gdpr.find_user(NULL)", "PT404")


def test_the_record_of_processing_has_every_category_and_column(privacy):
    """Each personal column of the data map is told of, under its category, and nothing is left blank."""
    told = dict(privacy.rows("SELECT category, personal_data FROM gdpr.records_of_processing"))
    mapped = privacy.rows(
        """SELECT m.category, t.label, m.label FROM gdpr.data_map AS m
        INNER JOIN gdpr.data_map_tables AS t USING (schema_name, table_name) WHERE m.category IS NOT NULL"""
    )
    for category, record, label in mapped:
        [columns] = re.findall(rf"(?:^|; ){re.escape(record)} \(([^()]*)\)", told[category])
        assert label in columns.split(", ")
    assert told.keys() == {category for category, _, _ in mapped}
    privacy.is_empty("SELECT FROM gdpr.records_of_processing AS r WHERE num_nulls(VARIADIC array[r.purposes,"
        " r.lawful_bases, r.sources, r.recipients, r.transfers, r.time_limits, r.security_measures]) > 0")  # fmt: skip


def test_what_the_controller_states_is_in_the_record(privacy):
    """Transfers are theirs to state; until then the record says so."""
    transfers = "SELECT DISTINCT transfers FROM gdpr.records_of_processing"
    privacy.results_eq(transfers, [("to be stated by the controller",)])
    privacy.rows("SELECT gdpr.change_setting('transfers', 'None outside the EEA.', 'stated by the controller')")
    privacy.results_eq(transfers, [("None outside the EEA.",)])


@pytest.mark.parametrize("view", [DAY, MONTH, FOLLOWERS])
def test_a_group_of_nine_is_not_shown(dba, view):
    """K is ten."""
    gather(dba, 9)
    dba.is_empty(view)


@pytest.mark.parametrize(("people", "shown"), [(10, 10), (11, 10), (19, 10), (20, 20)])
def test_who_joins_a_group_makes_no_difference_but_at_a_ten(dba, people, shown):
    """Ten and eleven are shown alike, so knowing ten of eleven tells nothing of the last; the twentieth shows."""
    gather(dba, people)
    dba.results_eq(DAY, [(shown,)])
    dba.results_eq(MONTH, [(shown, 4)])
    dba.results_eq(FOLLOWERS, [(shown,)])


def test_what_is_said_of_an_item_is_no_rating_of_a_briefing(dba):
    """Ten people gave their briefing a 4; that they gave two of its items a 1 changes nothing."""
    ids = gather(dba, 10)
    dba.rows("RESET ROLE")
    dba.rows(
        """INSERT INTO pulsex.briefing_feedback (user_id, briefing_date, edition, item_id, rating)
        SELECT user_id, '2020-02-29', 'morning', item_id, 1
        FROM unnest(%s::uuid[]) AS user_id CROSS JOIN unnest('{s1,s2}'::text[]) AS item_id""",
        ids,
    )
    dba.results_eq(MONTH, [(10, 4)])


def test_who_withdrew_is_not_counted(dba):
    """Of ten, one withdraws: the day rests on consent and isn't shown; what people follow doesn't."""
    ids = gather(dba, 10)
    dba.rows("RESET ROLE")
    dba.rows("SELECT gdpr.record_consent(%s, 'analytics', false, '2026-01')", ids[0])
    dba.rows("SET LOCAL ROLE pulsex_analyst")
    dba.is_empty(DAY)
    dba.results_eq(FOLLOWERS, [(10,)])


def test_who_is_restricted_is_not_counted(dba):
    """Of ten, one is restricted: nine are left of everything."""
    ids = gather(dba, 10)
    dba.rows("RESET ROLE")
    dba.rows("SELECT gdpr.restrict_user(%s, 'a claim')", ids[0])
    dba.rows("SET LOCAL ROLE pulsex_analyst")
    for view in (DAY, MONTH, FOLLOWERS):
        dba.is_empty(view)


def test_nobody_can_be_followed_through_the_analysts_views(dba):
    """No view of the analyst's has an id, a pseudonym or a name: only groups, counts and medians."""
    columns = dba.rows(
        """SELECT DISTINCT a.attname::text FROM pg_class AS c
        INNER JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0
        WHERE c.relnamespace = 'gdpr'::regnamespace AND has_table_privilege('pulsex_analyst', c.oid, 'SELECT')
        ORDER BY 1"""
    )
    assert [name for (name,) in columns] == [
        "day", "edition", "event_type", "label", "median_dwell_s", "median_events", "median_rating", "month", "people",
        "slug",
    ]  # fmt: skip
