"""How long data is kept: db/gdpr/retention.sql."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

APPLY = "SELECT gdpr.apply_retention()"
INACTIVE = "SELECT user_id FROM gdpr.inactive_accounts(now())"
WARN = "SELECT gdpr.warn_inactive()"
ERASE = "SELECT gdpr.erase_inactive(10, now())"
SET = "SELECT gdpr.change_setting(%s, %s, %s)"


def send_away(dba, user_id) -> None:
    """Have the last sign of life of a person be three years old."""
    dba.rows("SET session_replication_role = replica")
    for table, column in {
        "pulsex.users": "created_at",
        "pulsex.user_preferences": "updated_at",
        "pulsex.briefing_feedback": "updated_at",
        "gdpr.consents": "recorded_at",
    }.items():
        dba.rows(f"UPDATE {table} SET {column} = now() - interval '3 years' WHERE user_id = %s", user_id)
    dba.rows(
        """UPDATE auth.sessions SET created_at = now() - interval '3 years', last_used_at = now() - interval '3 years'
        WHERE user_id = %s""",
        user_id,
    )
    dba.rows("DELETE FROM gdpr.requests WHERE user_id = %s", user_id)
    dba.rows("SET session_replication_role = origin")


@pytest.fixture
def away(dba, published):
    """Alice, of whom the last sign of life is three years old, and who was warned of nothing yet."""
    dba.rows("DELETE FROM gdpr.inactivity_warnings")
    send_away(dba, published.user_id)
    return published


def expire(dba, user_id, kind="verify_email") -> None:
    """Have a one-time token of the person's end 31 days ago."""
    dba.rows(
        """UPDATE auth.one_time_tokens
        SET created_at = now() - interval '40 days', expires_at = now() - interval '31 days'
        WHERE user_id = %s AND purpose = %s""",
        user_id, kind,
    )  # fmt: skip


def tokens(dba, user_id) -> object:
    """Return how many one-time tokens a person has."""
    return dba.value("SELECT count(*) FROM auth.one_time_tokens WHERE user_id = %s", user_id)


def test_what_outlived_its_time_goes(dba, published):
    """A token that ended 31 days ago is deleted, 30 being its time; Bob's, which is good, stays."""
    expire(dba, published.user_id)
    dba.results_eq(APPLY, [(1,)])
    assert tokens(dba, published.user_id) == 0
    dba.results_eq(APPLY, [(0,)])
    dba.results_eq("SELECT count(*) FROM auth.one_time_tokens", [(1,)])


def test_the_time_is_the_data_maps(dba, published):
    """With a longer time in the map the same token stays."""
    expire(dba, published.user_id)
    dba.rows("UPDATE gdpr.data_map_tables SET retention = '40 days' WHERE table_name = 'one_time_tokens'")
    dba.results_eq(APPLY, [(0,)])


@pytest.mark.usefixtures("namesake")
def test_tables_of_one_name_have_a_time_each(dba, published):
    """Of another schema's table of the same name, which are kept for longer, nothing goes."""
    expire(dba, published.user_id)
    dba.rows("INSERT INTO other.one_time_tokens SELECT * FROM auth.one_time_tokens")
    dba.results_eq(APPLY, [(1,)])
    dba.results_eq("SELECT count(*) FROM other.one_time_tokens", [(2,)])


def test_a_row_goes_though_something_in_it_is_null(dba, published):
    """It is found by its primary key, and by no other index that there may be."""
    expire(dba, published.user_id)
    dba.rows("CREATE INDEX ON auth.one_time_tokens (user_id, used_at)")
    dba.results_eq(APPLY, [(1,)])


def test_a_batch_is_no_longer_than_asked(dba, published, database):
    """With a limit of one, one of two goes at a time."""
    for person in database.cast.values():
        expire(dba, person.user_id)
    for deleted in (1, 1, 0):
        dba.results_eq("SELECT gdpr.apply_retention(1)", [(deleted,)])


def test_answered_requests_are_kept_three_years(dba, published):
    """An open request never expires, an answered one three years after its answer."""
    dba.rows("UPDATE gdpr.requests SET received_at = '2020-01-01'")
    dba.results_eq(APPLY, [(0,)])
    dba.rows(
        "UPDATE gdpr.requests SET completed_at = '2020-02-01', outcome = 'fulfilled' WHERE user_id = %s",
        published.user_id,
    )
    dba.results_eq(APPLY, [(1,)])


def test_a_restricted_persons_rows_stay(dba, published):
    """That they stay is what a restriction is for."""
    expire(dba, published.user_id)
    dba.rows("SELECT gdpr.restrict_user(%s, 'needs them for a claim')", published.user_id)
    dba.results_eq(APPLY, [(0,)])


def test_rows_under_a_hold_stay_until_it_ends(dba, published):
    """A hold of their category keeps them; released, they go."""
    expire(dba, published.user_id)
    dba.rows("INSERT INTO gdpr.holds (user_id, category, reason) VALUES (%s, 'access', 'a lawsuit')", published.user_id)
    dba.results_eq(APPLY, [(0,)])
    dba.rows("UPDATE gdpr.holds SET released_at = now() WHERE category = 'access'")
    dba.results_eq(APPLY, [(1,)])


@pytest.mark.commits
def test_a_row_that_somebody_holds_is_left_for_the_next_time(dba, published, database, worker):
    """Nothing waits for a lock: what is locked is skipped."""
    expire(dba, published.user_id)
    with dba.connection.transaction():
        dba.connection.execute("SELECT * FROM auth.one_time_tokens FOR UPDATE")
        worker.results_eq(APPLY, [(0,)])
    worker.results_eq(APPLY, [(1,)])


@pytest.mark.parametrize("arguments", ["0", "100001", "NULL", "1, NULL", "1, now() + interval '1 second'"])
def test_a_batch_has_bounds(worker, arguments):
    """A limit out of bounds, or a time that isn't past, raises PT422."""
    worker.throws_ok(f"SELECT gdpr.apply_retention({arguments})", "PT422")


def test_every_time_to_live_is_of_a_column_that_is_there(dba):
    """The map's retention_from names a time of its table."""
    dba.is_empty(
        """SELECT m.table_name FROM gdpr.data_map_tables AS m
        LEFT JOIN information_schema.columns AS c ON (c.table_schema, c.table_name, c.column_name)
            = (m.schema_name, m.table_name, m.retention_from) AND c.data_type ~ 'timestamp with'
        WHERE m.retention IS NOT NULL AND c.column_name IS NULL"""
    )


def test_who_gave_no_sign_of_life_is_inactive(dba, away):
    """Alice is listed, and Bob, who registered a moment ago, isn't."""
    dba.results_eq(INACTIVE, [(away.user_id,)])


@pytest.mark.parametrize(
    "sign",
    [
        "UPDATE auth.sessions SET last_used_at = now() WHERE user_id = %s",
        "UPDATE pulsex.briefings SET read_at = now() WHERE user_id = %s",
        "UPDATE pulsex.notifications SET read_at = now() WHERE user_id = %s",
        "UPDATE pulsex.user_preferences SET max_items = 3 WHERE user_id = %s",
        "UPDATE pulsex.briefing_feedback SET rating = 1 WHERE user_id = %s",
        """INSERT INTO gdpr.consents (user_id, purpose, revision, is_granted, policy_version, recorded_by)
        VALUES (%s, 'analytics', 9, true, '2026-01', 'person')""",
    ],
)
def test_any_sign_of_life_counts(dba, away, sign):
    """A session used, something read, set, rated or consented to: nobody is inactive."""
    dba.rows(sign, away.user_id)
    dba.is_empty(INACTIVE)


def test_what_the_officer_records_is_no_sign_of_life(dba, away):
    """A letter says what Alice wants, not that she was here."""
    dba.rows(
        """INSERT INTO gdpr.consents (user_id, purpose, revision, is_granted, policy_version, recorded_by)
        VALUES (%s, 'analytics', 9, true, '2026-01', 'officer')""",
        away.user_id,
    )
    dba.results_eq(INACTIVE, [(away.user_id,)])


def test_the_period_is_the_controllers(dba, away):
    """With four years in the settings nobody is inactive; taken back, nobody ever is."""
    dba.rows(SET, "inactive_after", "4 years", "a wish of the works council")
    dba.is_empty(INACTIVE)
    dba.rows(SET, "inactive_after", None, "not decided")
    dba.is_empty(INACTIVE)


@pytest.mark.parametrize(
    "keeps",
    [
        "SELECT gdpr.restrict_user(%s, 'a claim')",
        "INSERT INTO gdpr.holds (user_id, category, reason) VALUES (%s, 'ratings', 'a lawsuit')",
    ],
)
def test_who_is_restricted_or_held_is_not_inactive(dba, away, keeps):
    """Neither is erased for not being there."""
    dba.rows(keeps, away.user_id)
    dba.is_empty(INACTIVE)


def test_a_hold_of_somebody_elses_keeps_nobody(dba, away, database):
    """Bob's data is held, and Alice is inactive as before."""
    hold = "INSERT INTO gdpr.holds (user_id, category, reason) VALUES (%s, 'ratings', 'a lawsuit')"
    dba.rows(hold, database.cast["bob"].user_id)
    dba.results_eq(INACTIVE, [(away.user_id,)])


def test_the_inactive_are_told_before_they_are_erased(dba, away):
    """Alice is told once, by every channel, and isn't erased while the time of grace lasts."""
    dba.results_eq(WARN, [(1,)])
    dba.results_eq(WARN, [(0,)])
    told = "SELECT count(DISTINCT channel) FROM pulsex.notifications WHERE user_id = %s AND kind = 'account_inactive'"
    dba.results_eq(told, [(3,)], away.user_id)
    dba.results_eq(ERASE, [(0,)])


def test_who_was_told_takes_nobody_elses_turn(dba, away, database):
    """Alice, who is away longest, was warned: the next one is Bob."""
    send_away(dba, database.cast["bob"].user_id)
    dba.rows(
        "UPDATE auth.sessions SET last_used_at = last_used_at + interval '1 day' WHERE user_id <> %s", away.user_id
    )
    for warned in (1, 1, 0):
        dba.results_eq("SELECT gdpr.warn_inactive(1)", [(warned,)])


def test_nobody_is_warned_without_a_time_of_grace(dba, away):
    """The setting taken back, nobody is told when they would be erased, and so nobody is."""
    dba.rows(SET, "inactive_grace", None, "not decided")
    dba.results_eq(WARN, [(0,)])


@pytest.mark.commits
def test_who_is_warned_by_two_at_once_is_told_once(dba, away, worker):
    """The second waits for the first, and has nobody left to tell."""
    with ThreadPoolExecutor(1) as pool:
        with dba.connection.transaction():
            assert dba.connection.execute(WARN).fetchone() == (1,)
            warning = pool.submit(worker.value, WARN)
            while not dba.connection.execute("SELECT pid FROM pg_locks WHERE NOT granted").fetchall():
                assert not warning.done()
        assert warning.result() == 0


def warned_long_ago(dba, user_id) -> None:
    """Warn, and have the time of grace be over."""
    dba.rows(WARN)
    dba.rows(
        """UPDATE gdpr.inactivity_warnings
        SET warned_at = now() - interval '40 days', erase_after = now() - interval '10 days' WHERE user_id = %s""",
        user_id,
    )


def test_the_inactive_are_erased_when_the_time_of_grace_is_over(dba, away):
    """Nothing of Alice is left; the certificate says why, and doesn't say who."""
    warned_long_ago(dba, away.user_id)
    dba.results_eq(ERASE, [(1,)])
    dba.is_empty("SELECT FROM pulsex.users WHERE user_id = %s", away.user_id)
    dba.results_eq("SELECT count(*) FROM gdpr.erasures WHERE certificate ->> 'reason' = 'inactive'", [(1,)])


@pytest.mark.parametrize(
    "keeps",
    [
        "SELECT gdpr.restrict_user(%s, 'a claim')",
        "INSERT INTO gdpr.holds (user_id, category, reason) VALUES (%s, 'ratings', 'a lawsuit')",
        "UPDATE auth.sessions SET last_used_at = now() WHERE user_id = %s",
    ],
)
def test_who_is_kept_takes_nobody_elses_turn(dba, away, database, keeps):
    """Bob, whose time was over first, is restricted, held or back: the one who is erased is Alice."""
    bob = database.cast["bob"].user_id
    send_away(dba, bob)
    warned_long_ago(dba, bob)
    warned_long_ago(dba, away.user_id)
    dba.rows("UPDATE gdpr.inactivity_warnings SET erase_after = now() - interval '11 days' WHERE user_id = %s", bob)
    dba.rows(keeps, bob)
    dba.results_eq("SELECT gdpr.erase_inactive(1, now())", [(1,)])
    dba.is_empty("SELECT FROM pulsex.users WHERE user_id = %s", away.user_id)


def test_a_hold_that_has_ended_keeps_nobody(dba, away):
    """Though nobody released it."""
    warned_long_ago(dba, away.user_id)
    dba.rows(
        """INSERT INTO gdpr.holds (user_id, category, reason, placed_at, held_until)
        VALUES (%s, 'ratings', 'a lawsuit', now() - interval '2 days', now() - interval '1 day')""",
        away.user_id,
    )
    dba.results_eq(INACTIVE, [(away.user_id,)])
    dba.results_eq(ERASE, [(1,)])


def test_a_longer_period_is_of_those_who_were_warned_too(dba, away):
    """With four years nobody is erased who was warned when it was less."""
    warned_long_ago(dba, away.user_id)
    dba.rows(SET, "inactive_after", "4 years", "a wish of the works council")
    dba.results_eq(ERASE, [(0,)])


def test_who_comes_back_is_not_erased(dba, away):
    """A sign of life after the warning takes it back, before and after its end."""
    warned_long_ago(dba, away.user_id)
    dba.rows("UPDATE auth.sessions SET last_used_at = now() WHERE user_id = %s", away.user_id)
    dba.results_eq(ERASE, [(0,)])
    dba.rows(WARN)
    dba.is_empty("SELECT FROM gdpr.inactivity_warnings WHERE user_id = %s", away.user_id)


def test_nobody_is_erased_ahead_of_time(worker):
    """A time in the future, or none, raises PT422."""
    worker.throws_ok("SELECT gdpr.erase_inactive(1, now() + interval '1 second')", "PT422")
    worker.throws_ok("SELECT gdpr.erase_inactive(1, NULL)", "PT422")


def test_a_setting_is_changed_for_a_reason(privacy):
    """No reason raises PT422, an unknown setting PT404, a period out of bounds 23514."""
    privacy.throws_ok(SET, "PT422", "inactive_after", "3 years", None)
    privacy.throws_ok(SET, "PT404", "colour", "blue", "r")
    privacy.throws_ok(SET, "23514", "inactive_after", "1 day", "r", constraint="settings_period_check")


def test_the_controller_states_who_they_are(privacy):
    """What the database can't know is a setting, and stands there with the reason."""
    privacy.rows(SET, "controller", "Example Ltd, 1 Example Street", "stated by the controller")
    query = "SELECT value, reason FROM gdpr.settings WHERE name = 'controller'"
    privacy.results_eq(query, [("Example Ltd, 1 Example Street", "stated by the controller")])


@pytest.mark.commits
def test_maintenance_does_all_of_it(worker, dba, published):
    """ops.run_maintenance() deletes what expired, and says nothing failed."""
    expire(dba, published.user_id)
    worker.connection.execute("CALL ops.run_maintenance()")
    assert tokens(dba, published.user_id) == 0
    tasks = (
        "SELECT task FROM ops.maintenance_tasks WHERE task ~ 'expired rows|inactive' AND failed_at IS NULL ORDER BY 1"
    )
    dba.results_eq(tasks, [("expired rows",), ("inactive accounts erased",), ("inactive accounts warned",)])


@pytest.mark.commits
@pytest.mark.parametrize(
    "meanwhile",
    [
        "UPDATE pulsex.users SET status = 'restricted' WHERE user_id = %s",
        "INSERT INTO gdpr.holds (user_id, category, reason) VALUES (%s, 'ratings', 'a claim')",
        # As it happens at the very time at which Bob, who is warned too, was last seen.
        """WITH sign AS (
            INSERT INTO gdpr.consents (user_id, purpose, revision, is_granted, policy_version, recorded_by)
            VALUES (%s, 'marketing', 100, TRUE, '2026-01', 'person') RETURNING user_id, recorded_at AS at
        ) INSERT INTO gdpr.inactivity_warnings (user_id, last_active_at, warned_at, erase_after)
        SELECT u.user_id, s.at, s.at + interval '1 day', s.at + interval '2 days'
        FROM pulsex.users AS u CROSS JOIN sign AS s WHERE u.user_id <> s.user_id""",
    ],
    ids=["restricted", "held", "back"],
)
def test_who_must_stay_after_all_is_not_erased(dba, away, worker, meanwhile):
    """It is decided while the erasure waits for her row: she is looked at again."""
    dba.rows("SELECT gdpr.warn_inactive()")
    dba.rows("UPDATE gdpr.inactivity_warnings SET warned_at = warned_at - interval '1 year', erase_after = now()")
    with ThreadPoolExecutor(1) as pool:
        with dba.connection.transaction():
            dba.connection.execute("SELECT FROM pulsex.users WHERE user_id = %s FOR UPDATE", [away.user_id])
            erasing = pool.submit(worker.value, "SELECT gdpr.erase_inactive(10, now())")
            while not dba.connection.execute("SELECT pid FROM pg_locks WHERE NOT granted").fetchall():
                assert not erasing.done()
            dba.connection.execute(meanwhile, [away.user_id])
        assert erasing.result() == 0
    dba.results_eq("SELECT display_name FROM pulsex.users WHERE user_id = %s", [("Alice",)], away.user_id)


def test_a_warning_as_of_the_past_takes_no_grace_away(dba, away):
    """The time of grace begins now at the earliest."""
    dba.rows("SELECT gdpr.warn_inactive(100, now() - interval '40 days')")
    dba.results_eq("SELECT erase_after = now() + interval '30 days' FROM gdpr.inactivity_warnings", [(True,)])
