"""Erasure among others at work: it waits for who was first, and who comes later finds nobody to write to."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

import psycopg
import pytest

from tests.gdpr import canaries

pytestmark = pytest.mark.commits

ERASE = "SELECT gdpr.erase_user(%s, 'asked for')"
FIND = "SELECT relation, row_count FROM gdpr.find_personal_data(%s)"
WAITING = "SELECT pid FROM pg_locks WHERE NOT granted"
# Of every kind of table: with a foreign key to the person, to a row of theirs, partitioned or not.
RATING = """INSERT INTO pulsex.briefing_feedback (user_id, briefing_date, edition, item_id, rating)
    VALUES (%(user)s, %(date)s, 'morning', 's1', 1)"""
# What is written, and how it is refused to her who is no longer there: her consent went with her.
WRITES = {
    "events": (
        """SELECT pulsex.record_events(%(user)s, jsonb_build_array(jsonb_build_object(
            'event_id', uuidv7(), 'event_type', 'opened', 'occurred_at', now())))""",
        "PT403",
    ),
    "rating": (RATING, "23503"),
    "device": ("SELECT pulsex.register_device(%(user)s, 'web', 'a new token')", "23503"),
    "topic": ("SELECT pulsex.follow_topics(%(user)s, '{cities}')", "23503"),
}
OF_THE_SERVICE = {
    "rating": RATING,
    "events": """WITH event AS (
            INSERT INTO pulsex.engagement_events (user_id, occurred_at, event_id, event_type)
            VALUES (%(user)s, now(), uuidv7(), 'opened')
        ) INSERT INTO pulsex.engagement_marks (user_id, day) VALUES (%(user)s, current_date)""",
    "attempt": """INSERT INTO pulsex.notification_attempts
        (user_id, notification_id, attempt, lease_token, started_at, outcome)
        SELECT user_id, notification_id, 2, gen_random_uuid(), now(), 'failed' FROM pulsex.notifications
        WHERE user_id = %(user)s""",
    "hold": "INSERT INTO gdpr.holds (user_id, category, reason) VALUES (%(user)s, 'ratings', 'a claim')",
    "hash": """INSERT INTO pulsex.push_token_owners
        SELECT sha256('another'), user_id, device_id FROM pulsex.devices WHERE user_id = %(user)s""",
}


@pytest.fixture
def arguments(published):
    """What the writes need."""
    return {"user": published.user_id, "date": published.briefing_date}


@pytest.fixture
def waiting(dba):
    """Returns when somebody waits for a lock, or what was begun has ended."""

    def wait(begun: Future) -> None:
        while not dba.rows(WAITING) and not begun.done():
            pass

    return wait


@pytest.mark.parametrize("write", OF_THE_SERVICE)
def test_a_row_written_before_is_erased(write, dba, privacy, published, arguments, waiting):
    """The erasure waits until the writer commits, and takes the row along; a hold, placed in time, holds."""
    with ThreadPoolExecutor(1) as pool:
        with dba.connection.transaction():
            dba.connection.execute("SET LOCAL ROLE pulsex_service")
            dba.connection.execute(OF_THE_SERVICE[write], arguments)
            erasing = pool.submit(privacy.value, ERASE, published.user_id)
            waiting(erasing)
            assert not erasing.done()
        certificate = erasing.result()
    left = privacy.rows(FIND, published.user_id)
    if write == "hold":
        assert [kept["category"] for kept in certificate["kept"]] == ["ratings"]
    else:
        assert left == []


@pytest.mark.parametrize("write", OF_THE_SERVICE)
def test_a_row_written_meanwhile_is_refused(write, dba, privacy, published, arguments, waiting):
    """Who comes while the erasure is under way waits, and then writes nothing."""
    with ThreadPoolExecutor(1) as pool, psycopg.connect(dba.connection.info.dsn) as late:
        with privacy.connection.transaction():
            privacy.connection.execute(ERASE, [published.user_id])
            late.execute("SET ROLE pulsex_service")
            writing = pool.submit(late.execute, OF_THE_SERVICE[write], arguments)
            waiting(writing)
            assert not writing.done()
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            writing.result()
    privacy.is_empty(FIND, published.user_id)


@pytest.mark.parametrize("write", WRITES)
def test_a_session_proved_before_writes_nothing_after(write, alice, privacy, published, arguments):
    """Alice's transaction began in time, and her session was good; what she writes then is refused."""
    statement, sqlstate = WRITES[write]
    alice.connection.execute("BEGIN")
    alice.connection.execute("SELECT auth.use_session(%s)", [published.token])
    privacy.rows(ERASE, published.user_id)
    with pytest.raises(psycopg.Error) as refused:
        alice.connection.execute(statement, arguments)
    assert refused.value.sqlstate == sqlstate
    privacy.is_empty(FIND, published.user_id)


def test_a_session_proved_before_changes_nothing_after(alice, privacy, published, database):
    """What she would change isn't there."""
    with alice.connection.transaction():
        alice.connection.execute("SELECT auth.use_session(%s)", [published.token])
        privacy.rows(ERASE, published.user_id)
        for table, change in {"users": "display_name = 'A'", "user_preferences": "max_items = 1"}.items():
            assert alice.connection.execute(f"UPDATE pulsex.{table} SET {change}").rowcount == 0
    database.actor("stranger", "pulsex_app").throws_ok("SELECT auth.use_session(%s)", "PT401", published.token)


def test_two_at_once_are_one_erasure(database, dba, published):
    """Four officers get the same certificate, and the ledger has one."""
    officers = [database.actor(f"officer {number}", "pulsex_privacy") for number in range(4)]
    with ThreadPoolExecutor(4) as pool:
        certificates = list(pool.map(lambda officer: officer.value(ERASE, published.user_id), officers))
    assert all(certificate == certificates[0] for certificate in certificates)
    dba.results_eq("SELECT count(*) FROM gdpr.erasures WHERE certificate ? 'reason'", [(1,)])


def test_killed_half_way_leaves_everything(dba, privacy, published, waiting):
    """Its sessions deleted already, it waits for an event that somebody changes, and is killed there."""
    before = {name: dba.value(f"SELECT count(*) FROM {name}") for (name,) in dba.rows(canaries.RELATIONS)}
    victim = privacy.connection.info.backend_pid
    with ThreadPoolExecutor(1) as pool, psycopg.connect(dba.connection.info.dsn) as other:
        other.execute("SELECT FROM pulsex.engagement_events WHERE user_id = %s FOR UPDATE", [published.user_id])
        erasing = pool.submit(privacy.value, ERASE, published.user_id)
        waiting(erasing)
        dba.rows("SELECT pg_terminate_backend(%s, 5000)", victim)
        with pytest.raises(psycopg.OperationalError):
            erasing.result()
    assert before == {name: dba.value(f"SELECT count(*) FROM {name}") for (name,) in dba.rows(canaries.RELATIONS)}
    dba.lives_ok("SELECT auth.use_session(%s)", published.token)


def test_an_export_under_way_is_waited_for(dba, privacy, published, waiting, database):
    """What it writes to the audit log is there before the log is scrubbed."""
    other = database.actor("another officer", "pulsex_privacy")
    with ThreadPoolExecutor(1) as pool:
        with other.connection.transaction():
            other.connection.execute("SELECT gdpr.export_user_data(%s)", [published.user_id])
            erasing = pool.submit(privacy.value, ERASE, published.user_id)
            waiting(erasing)
            assert not erasing.done()
        assert erasing.result()["is_complete"]


@pytest.mark.parametrize(
    "look", ["SELECT gdpr.consent_history(%s)", "SELECT audit.trail(%s)", "SELECT gdpr.find_personal_data(%s)"]
)
def test_a_look_under_way_is_waited_for(look, dba, privacy, published, waiting, database):
    """What says that the officer looked is there before the log is scrubbed; a look afterwards writes no id down."""
    other = database.actor("another officer", "pulsex_privacy")
    with ThreadPoolExecutor(1) as pool:
        with other.connection.transaction():
            other.connection.execute(look, [published.user_id])
            erasing = pool.submit(privacy.value, ERASE, published.user_id)
            waiting(erasing)
            assert not erasing.done()
        erasing.result()
    other.rows(look, published.user_id)
    dba.is_empty("SELECT FROM audit.events WHERE user_id = %s OR payload::text ~ %s", *[str(published.user_id)] * 2)


def test_an_erasure_of_what_is_held_leaves_the_log_awake(privacy, dba, published):
    """Nothing of the history may be erased; what the same transaction does then is recorded."""
    privacy.rows("SELECT gdpr.place_hold(%s, 'history', 'a claim')", published.user_id)
    with privacy.connection.transaction():
        privacy.connection.execute("SELECT gdpr.erase_user(%s, 'x', '{history}')", [published.user_id])
        privacy.connection.execute("SELECT gdpr.restrict_user(%s, 'opposes')", [published.user_id])
    sql = "SELECT count(*) FROM audit.events WHERE user_id = %s AND action = 'restrict'"
    dba.results_eq(sql, [(1,)], published.user_id)


def test_an_erasure_that_goes_on_is_read_committed_too(privacy, published):
    """As gdpr.erase_user(): 25000."""
    hold = privacy.value("SELECT gdpr.place_hold(%s, 'ratings', 'a claim')", published.user_id)
    privacy.rows(ERASE, published.user_id)
    privacy.connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    with pytest.raises(psycopg.errors.InvalidTransactionState):
        privacy.connection.execute("SELECT gdpr.release_hold(%s, %s)", [published.user_id, hold])
    privacy.connection.rollback()
