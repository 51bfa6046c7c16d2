"""A backup brings the erased back; the ledger, which names nobody, erases them again."""

from __future__ import annotations

import json
import subprocess
import uuid

import pytest
from psycopg.types.json import Jsonb

from pulsex import throwaway
from pulsex.cluster import find_bin
from tests.harness import Database

ERASE = "SELECT gdpr.erase_user(%s, 'asked for')"
LEDGER = "SELECT gdpr.export_erasure_ledger()"
REPLAY = "SELECT gdpr.replay_erasures(%s)"
FIND = "SELECT relation, row_count FROM gdpr.find_personal_data(%s)"
BUT_THE_LOG = f"{FIND} WHERE category <> 'history'"
AS_WHOM = {"superuser": (), "service": ("--role=pulsex_service", "--enable-row-security")}


@pytest.fixture
def ledger(officer):
    """The ledger with Alice in it: of a database that was restored to before, in this transaction, afterwards."""

    def erased(sql: str = ERASE, *args: object) -> dict:
        with officer.connection.transaction(force_rollback=True):
            officer.rows(sql, *args)
            return officer.value(LEDGER)

    return erased


@pytest.mark.commits
@pytest.mark.parametrize("whom", AS_WHOM)
def test_whoever_a_backup_brings_back_is_erased_again(whom, server, privacy, database, published, tmp_path):
    """Dumped, erased, restored: back, with every row; replayed: gone, and the certificate says so."""
    dump = tmp_path / "dump"
    run = [find_bin() / "pg_dump", "-Fc", "-f", dump, *AS_WHOM[whom], "-d", database.url]
    subprocess.run(run, check=True, capture_output=True)
    rows = privacy.rows(FIND, published.user_id)
    first = privacy.value(ERASE, published.user_id)
    ledger = privacy.value(LEDGER)

    url = throwaway.create_database(server.url, f"restored_{whom}")
    subprocess.run([find_bin() / "pg_restore", "-d", url, dump], check=True, capture_output=True)
    restored = Database(url, commits=True, cast={})
    officer = restored.actor("officer", "pulsex_privacy")
    officer.results_eq(FIND, rows, published.user_id)
    [(certificate,)] = officer.rows(REPLAY, Jsonb(ledger))

    officer.is_empty(FIND, published.user_id)
    assert certificate["erasure_id"] == first["erasure_id"]
    assert [step["because"] for step in certificate["continued"]] == ["replay"]
    assert officer.value(ERASE, published.user_id) == certificate
    officer.is_empty(REPLAY, Jsonb(ledger))
    restored.close()
    server.drop(url)


def test_replaying_touches_nobody_else(officer, published, database, ledger):
    """Bob has what he had."""
    taken = ledger(ERASE, published.user_id)
    before = officer.rows(BUT_THE_LOG, database.cast["bob"].user_id)
    assert len(officer.rows(REPLAY, Jsonb(taken))) == 1
    officer.is_empty(FIND, published.user_id)
    officer.results_eq(BUT_THE_LOG, before, database.cast["bob"].user_id)


def test_it_is_replayed_over_a_rotation(officer, look, published):
    """A backup from before a key was made has an older one, under which the erasure was entered too."""
    with officer.connection.transaction(force_rollback=True):
        look.rows("SELECT gdpr.rotate_ledger_key()")
        officer.rows(ERASE, published.user_id)
        taken = officer.value(LEDGER)
    assert len(taken["erasures"][-1]["subject"]) == 2
    assert len(officer.rows(REPLAY, Jsonb(taken))) == 1
    officer.is_empty(FIND, published.user_id)


def test_a_ledger_under_keys_that_are_not_here_is_refused(officer, look, published, ledger):
    """Of another database, or too young a key: PT409, and nothing has changed."""
    taken = ledger(ERASE, published.user_id)
    look.rows("DELETE FROM gdpr.ledger_keys")
    look.rows("SELECT gdpr.rotate_ledger_key()")
    officer.throws_ok(REPLAY, "PT409", Jsonb(taken))
    assert officer.rows(FIND, published.user_id)


def test_what_is_in_the_ledger_already_needs_no_key(officer, look, published):
    """An erasure from before the backup, under a key that was forgotten since, stands in nobody's way."""
    officer.rows(ERASE, published.user_id)
    taken = officer.value(LEDGER)
    look.rows("DELETE FROM gdpr.ledger_keys")
    officer.is_empty(REPLAY, Jsonb(taken))


def test_an_erasure_of_who_never_came_back_is_taken_over(officer, look, published, ledger):
    """Registered after the backup, erased: the restored ledger knows it, and asked again gives the certificate."""
    taken = ledger(ERASE, published.user_id)
    gone = look.value("SELECT gdpr.hash_subject(%s, inner_pad, outer_pad) FROM gdpr.ledger_keys", uuid.UUID(int=7))
    taken["erasures"][-1]["subject"] = dict.fromkeys(taken["erasures"][-1]["subject"], gone.hex())
    officer.is_empty(REPLAY, Jsonb(taken))
    certificate = officer.value(ERASE, uuid.UUID(int=7))
    assert certificate["erasure_id"] == taken["erasures"][-1]["erasure_id"]


def test_a_part_is_erased_again_only_if_the_backup_is_older(officer, look, published, ledger):
    """What came after a part was erased stays, where the backup knows of the erasure."""
    part = "SELECT gdpr.erase_user(%s, 'asked for', '{ratings}')"
    taken = ledger(part, published.user_id)
    assert len(officer.rows(REPLAY, Jsonb(taken))) == 1
    look.rows(
        """INSERT INTO pulsex.briefing_feedback (user_id, briefing_date, edition, rating)
        SELECT user_id, briefing_date, edition, 5 FROM pulsex.briefings WHERE user_id = %s""",
        published.user_id,
    )
    officer.is_empty(REPLAY, Jsonb(taken))
    assert ("pulsex.briefing_feedback", 1) in officer.rows(FIND, published.user_id)


def test_what_was_held_is_held_again(officer, published, ledger):
    """A hold younger than the backup comes back with the erasure that it kept from the ratings."""
    with officer.connection.transaction(force_rollback=True):
        officer.rows("SELECT gdpr.place_hold(%s, 'ratings', 'a claim')", published.user_id)
        officer.rows(ERASE, published.user_id)
        taken = officer.value(LEDGER)
    [(certificate,)] = officer.rows(REPLAY, Jsonb(taken))
    assert not certificate["is_complete"]
    left = {relation for relation, _ in officer.rows(FIND, published.user_id)}
    assert "pulsex.briefing_feedback" in left
    assert "auth.sessions" not in left


def test_a_hold_that_the_backup_knows_is_not_placed_twice(officer, published, ledger):
    """Older than the backup, it came with it: it keeps the ratings from the replay as it did before."""
    officer.rows("SELECT gdpr.place_hold(%s, 'ratings', 'a claim')", published.user_id)
    taken = ledger(ERASE, published.user_id)
    [(certificate,)] = officer.rows(REPLAY, Jsonb(taken))
    assert [kept["category"] for kept in certificate["kept"]] == ["ratings"]


def test_a_hold_that_has_ended_is_not_held_again(officer, published, ledger):
    """Its day came between the erasure and the replay: nothing is kept."""
    with officer.connection.transaction(force_rollback=True):
        officer.rows("SELECT gdpr.place_hold(%s, 'ratings', 'a claim', now() + interval '1 day')", published.user_id)
        officer.rows(ERASE, published.user_id)
        taken = officer.value(LEDGER)
    taken["erasures"][-1]["certificate"]["kept"][0]["until"] = "2020-01-01T00:00:00Z"
    [(certificate,)] = officer.rows(REPLAY, Jsonb(taken))
    assert certificate["is_complete"]
    officer.is_empty(FIND, published.user_id)


@pytest.mark.parametrize(
    "ledger",
    [
        None,
        {},
        [],
        {"format_version": 2, "erasures": []},
        {"format_version": 1, "erasures": {}},
        {"format_version": 1, "erasures": [{"erasure_id": "x"}]},
        {"format_version": 1, "erasures": [{"erasure_id": str(uuid.UUID(int=7)), "subject": {"key": "hash"}}]},
    ],
    ids=json.dumps,
)
def test_what_is_no_ledger_is_refused(privacy, ledger):
    """PT422."""
    privacy.throws_ok(REPLAY, "PT422", None if ledger is None else Jsonb(ledger))


def test_only_an_officer_reads_and_replays_it(look):
    """PT403 for a role that may call them and is none."""
    look.rows("GRANT EXECUTE ON FUNCTION gdpr.export_erasure_ledger, gdpr.replay_erasures TO pulsex_worker")
    look.role = "pulsex_worker"
    look.throws_ok(LEDGER, "PT403")
    look.throws_ok(REPLAY, "PT403", Jsonb({"format_version": 1, "erasures": []}))
