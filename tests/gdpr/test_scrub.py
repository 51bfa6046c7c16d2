"""The scrub: what was erased is gone from the bytes of the data directory, or is said to be due."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from pulsex import scrub
from tests.gdpr import canaries
from tests.gdpr.conftest import Acting
from tests.harness import until

ERASE = "SELECT gdpr.erase_user(%s, 'asked for')"
DUE = "SELECT relation FROM gdpr.relations_to_scrub()"
RECORD = "SELECT gdpr.record_scrub('pulsex.users')"
DATED = "SELECT certificate #> '{files,scrubbed_at}' <> 'null' FROM gdpr.erasures WHERE erasure_id = %s"
SCRUBBED = "SELECT certificate #>> '{files,scrubbed_at}' FROM gdpr.erasures WHERE certificate ? 'reason'"


def on_disk(dba, planted: dict[str, str]) -> set[str]:
    """Return which canaries are in a file of the data directory, the write-ahead log's apart."""
    dba.rows("CHECKPOINT")
    directory = Path(dba.value("SHOW data_directory"))
    files = [path for path in directory.rglob("*") if path.is_file() and "pg_wal" not in path.parts]
    held = set()
    for path in files:
        content = path.read_bytes()
        held |= {name for name, value in planted.items() if value.encode() in content}
    return held


@pytest.mark.commits
def test_nothing_is_left_in_the_bytes_of_the_data_directory(dba, privacy, database, published):
    """Text, JSON and TOAST, rows that were changed before, statistics: there before, none of it after."""
    partition = f"pulsex.briefings_{published.briefing_date:%Y_%m}"
    dba.rows(f"ALTER TABLE {partition} ALTER COLUMN content SET STORAGE EXTERNAL")
    dba.rows("UPDATE pulsex.users SET display_name = 'formercanary' WHERE user_id = %s", published.user_id)
    dba.rows("UPDATE pulsex.notification_queue SET last_error = 'deletedcanary' WHERE user_id = %s", published.user_id)
    dba.rows("DELETE FROM pulsex.notification_queue WHERE user_id = %s", published.user_id)
    planted = canaries.plant(dba, published.user_id)
    planted = {name: value for name, value in planted.items() if value.startswith("canary")}
    toasted = """UPDATE pulsex.briefings SET content = jsonb_build_object('toasted', (
        SELECT string_agg(md5(n::text), '') || 'toastcanary' FROM generate_series(1, 300) AS n)) WHERE user_id = %s"""
    dba.rows(toasted, published.user_id)
    planted = {name: value for name, value in planted.items() if "notification_queue" not in name}
    planted |= {"in TOAST": "toastcanary", "changed long ago": "formercanary", "deleted long ago": "deletedcanary"}
    dba.rows("ANALYZE")
    statistics = (
        "SELECT count(*) FROM pg_stats WHERE histogram_bounds::text ~ 'canary' OR most_common_vals::text ~ 'canary'"
    )
    assert dba.value(statistics) > 0
    assert on_disk(dba, planted) == planted.keys()

    privacy.rows(ERASE, published.user_id)
    outcomes = scrub.scrub(database.url, say=lambda line: None)

    assert [outcome for outcome in outcomes if outcome.problem] == []
    assert on_disk(dba, planted) == set()
    privacy.is_empty(DUE)
    assert dba.value(SCRUBBED) is not None


@pytest.mark.commits
def test_what_somebody_uses_stays_due_and_the_rest_is_done(dba, privacy, database, published):
    """A table that is being read is left for the next run, and the statistics with it; each is said."""
    privacy.rows(ERASE, published.user_id)
    said: list[str] = []
    with psycopg.connect(database.url) as reader:
        reader.execute("LOCK TABLE pulsex.devices IN ACCESS SHARE MODE")
        scrub.scrub(database.url, lock_timeout=10, say=said.append)
    privacy.results_eq(DUE, [("pulsex.devices",), ("pg_statistic",)])
    assert "pulsex.devices: still due: somebody is using it" in said
    assert "pulsex.users: scrubbed" in said
    assert dba.value(SCRUBBED) is None
    assert [o.problem for o in scrub.scrub(database.url, say=said.append)] == [None, None]
    assert scrub.scrub(database.url, say=said.append) == []


@pytest.mark.commits
def test_what_an_old_transaction_still_sees_stays_due(privacy, database, published):
    """VACUUM would keep the row for it; that isn't taken for done."""
    said: list[str] = []
    with psycopg.connect(database.url) as old:
        old.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        old.execute("SELECT FROM pulsex.topics")
        privacy.rows(ERASE, published.user_id)
        scrub.scrub(database.url, say=said.append)
    assert "pulsex.users: still due: an old transaction still sees 1 dead rows" in said
    assert ("pulsex.users",) in privacy.rows(DUE)


@pytest.fixture
def listed(dba, privacy, published) -> str:
    """Alice's partition of events, due since her erasure."""
    partition = dba.value(
        "SELECT tableoid::regclass::text FROM pulsex.engagement_events WHERE user_id = %s", published.user_id
    )
    privacy.rows(ERASE, published.user_id)
    assert (partition,) in privacy.rows(DUE)
    return partition


@pytest.mark.commits
def test_what_is_dropped_before_its_turn_is_clean(dba, privacy, database, listed):
    """A partition expires while another table is rewritten: the rest is done, and the certificate is dated."""
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        dba.rows(f"DROP TABLE IF EXISTS {listed}")

    outcomes = scrub.scrub(database.url, say=say)
    assert f"{listed}: scrubbed" in said[1:]
    assert [outcome for outcome in outcomes if outcome.problem] == []
    privacy.is_empty(DUE)
    assert dba.value(SCRUBBED) is not None


@pytest.mark.commits
def test_what_is_dropped_while_it_is_waited_for_is_clean(dba, privacy, database, listed):
    """It had been looked up by then, so VACUUM only warns; that isn't a table which is still due."""
    waits = "SELECT FROM pg_locks WHERE relation = %s::regclass AND mode = 'AccessExclusiveLock' AND NOT granted"
    with ThreadPoolExecutor(1) as pool, psycopg.connect(database.url) as expiry:
        expiry.execute(f"LOCK TABLE {listed} IN ACCESS SHARE MODE")
        scrubbing = pool.submit(scrub.scrub, database.url, lock_timeout=60_000, say=lambda line: None)
        until(lambda: scrubbing.done() or dba.rows(waits, listed))
        expiry.execute(f"DROP TABLE {listed}")
        expiry.commit()
    assert [outcome for outcome in scrubbing.result() if outcome.problem] == []
    privacy.is_empty(DUE)


def test_a_scrub_is_recorded_for_the_erasures_it_knew_of(dba, officer, published, database):
    """One that came while the file was being rewritten stays due. It is the tables' owner who says so, not the officer,
    who can rewrite nothing.
    """
    owner = Acting(dba, "pulsex_owner")
    officer.rows(ERASE, published.user_id)
    [(known,)] = officer.rows("SELECT erasures FROM gdpr.relations_to_scrub() WHERE relation = 'pulsex.users'")
    officer.rows(ERASE, database.cast["bob"].user_id)
    officer.throws_ok("SELECT gdpr.record_scrub('pulsex.users', %s)", "42501", known)
    owner.results_eq("SELECT gdpr.record_scrub('pulsex.users', %s)", [(1,)], known)
    officer.results_eq(
        "SELECT cardinality(erasures) FROM gdpr.relations_to_scrub() WHERE relation = 'pulsex.users'", [(1,)]
    )
    owner.results_eq("SELECT gdpr.record_scrub('pulsex.users')", [(1,)])
    owner.results_eq("SELECT gdpr.record_scrub('pulsex.users')", [(0,)])


@pytest.fixture
def entered(look):
    """Enters an erasure of nobody's with these relations due, and returns its id; undated."""

    def enter(*relations: str) -> UUID:
        sql = """WITH new AS (
            INSERT INTO gdpr.erasures (certificate) VALUES ('{"files": {"scrubbed_at": null}}') RETURNING erasure_id
        ), due AS (INSERT INTO gdpr.scrubs (erasure_id, relation) SELECT erasure_id, unnest(%s::text[]) FROM new)
        SELECT erasure_id FROM new"""
        return look.value(sql, list(relations))

    return enter


def test_a_certificate_is_dated_when_nothing_of_its_own_is_due(look, entered):
    """The last relation of one is the first of another, whose certificate says nothing yet."""
    one, other = entered("pulsex.users"), entered("pulsex.users", "pulsex.devices")
    look.rows(RECORD)
    look.results_eq(DATED, [(True,)], one)
    look.results_eq(DATED, [(False,)], other)


def test_a_relation_that_was_dropped_keeps_no_certificate_waiting(look, entered):
    """Its file has gone; what was left to scrub is scrubbed."""
    erasure = entered("pulsex.users", "pulsex.briefings_1999_12")
    look.rows(RECORD)
    look.results_eq(DATED, [(True,)], erasure)


def test_a_certificate_keeps_its_date(look, entered):
    """A later scrub of the same relation, for somebody else, changes nothing in it."""
    erasure = entered("pulsex.users")
    date = "SELECT certificate #>> '{files,scrubbed_at}' FROM gdpr.erasures WHERE erasure_id = %s"
    look.rows(RECORD)
    before = look.rows(date, erasure)
    entered("pulsex.users")
    look.results_eq(RECORD, [(1,)])
    look.results_eq(date, before, erasure)


@pytest.mark.parametrize("relations", [[], ["pulsex.briefings_1999_12"]], ids=["of another database", "dropped"])
def test_a_scrub_dates_no_certificate_that_it_has_no_part_in(look, entered, relations):
    """Nothing of it is due here, but nobody has scrubbed anything of it now."""
    erasure = entered(*relations)
    look.rows(RECORD)
    look.results_eq(DATED, [(False,)], erasure)


def test_a_partition_that_was_dropped_is_due_no_more(officer, look, published):
    """Its file has gone with it."""
    partition = look.value("SELECT tableoid::regclass::text FROM pulsex.engagement_events WHERE user_id = %s",
                           published.user_id)  # fmt: skip
    officer.rows(ERASE, published.user_id)
    assert (partition,) in officer.rows(DUE)
    look.rows(f"DROP TABLE {partition}")
    assert (partition,) not in officer.rows(DUE)
