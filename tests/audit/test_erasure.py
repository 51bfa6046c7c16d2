"""audit.scrub(): a person leaves the log, and the log still holds."""

from __future__ import annotations

import pytest

SCRUB = "SELECT audit.scrub(%s)"
NOBODY = "00000000-0000-0000-0000-000000000000"
TRACES = "SELECT event_id FROM audit.events AS e WHERE to_jsonb(e)::text ~* %s"


def test_a_scrubbed_person_is_nowhere_in_the_log(service, published):
    """Neither their id nor anything that they wrote; the events there were are there, nobody's."""
    count = "SELECT count(*) FROM audit.events WHERE user_id = %s"
    mine = service.value(count, published.user_id)
    assert mine >= 12
    assert service.rows(TRACES, f"{published.user_id}|alice")
    service.results_eq(SCRUB, [(mine,)], published.user_id)
    service.is_empty(TRACES, f"{published.user_id}|alice")
    service.results_eq(count, [(mine + 1,)], NOBODY)  # and that it was done


@pytest.mark.parametrize("sealed", [True, False])
def test_seals_hold_when_a_person_is_scrubbed(sealed, dba, findings, published):
    """Before they are sealed or after: the commitments are what counts."""
    dba.rows("UPDATE pulsex.users SET display_name = 'Alicia' WHERE user_id = %s", published.user_id)
    kept = dba.value("SELECT audit.seal()") if sealed else None
    dba.rows(SCRUB, published.user_id)
    assert findings(kept) == set()
    dba.rows("SELECT audit.seal()")
    assert findings(kept) == set()


def test_other_people_are_untouched(service, published, bob):
    """Every event of Bob's is as it was."""
    his = "SELECT md5(string_agg(e::text, '' ORDER BY event_id)) FROM audit.events AS e WHERE user_id = %s"
    before = service.value(his, bob.user_id)
    service.rows(SCRUB, published.user_id)
    service.results_eq(his, [(before,)], bob.user_id)


def test_a_scrub_may_be_of_some_tables(service, findings, published):
    """Only what happened to those is blank; the rest stays the person's."""
    service.results_eq("SELECT audit.scrub(%s, '{pulsex.users,pulsex.devices}')", [(2,)], published.user_id)
    service.is_empty(
        "SELECT FROM audit.events WHERE user_id = %s AND table_name IN ('pulsex.users', 'pulsex.devices')",
        published.user_id,
    )
    assert service.value("SELECT count(*) FROM audit.events WHERE user_id = %s", published.user_id) > 5


def test_scrubbing_again_changes_nothing(service, published):
    """There is nothing left, and so nothing to record."""
    service.rows(SCRUB, published.user_id)
    waiting = "SELECT count(*) FROM audit.unsealed_events"
    before = service.rows(waiting)
    service.results_eq(SCRUB, [(0,)], published.user_id)
    service.results_eq(waiting, before)


def test_the_scrub_is_recorded_without_saying_whose(service, since, published):
    """As nobody's event, with how many of which month."""
    scrubbed = service.value(SCRUB, published.user_id)
    [(user_id, table, action, payload)] = since()
    assert (str(user_id), table, action) == (NOBODY, None, "scrub")
    assert sum(payload["events"].values()) == scrubbed


def test_a_person_who_is_being_erased_is_written_about_no_more(service, since, published):
    """Rows deleted on the way leave no event that would have to be blotted out again; nobody's events are written."""
    service.rows("SELECT audit.begin_erasure(%s)", published.user_id)
    service.rows("DELETE FROM pulsex.user_topics WHERE user_id = %s", published.user_id)
    service.rows("SELECT audit.record('erase', NULL)")
    assert [action for _, _, action, _ in since()] == ["erase"]


def test_what_happens_after_the_scrub_is_written_again(service, since, published):
    """The mark ends with it, not only with the transaction."""
    service.rows(SCRUB, published.user_id)
    service.rows("DELETE FROM pulsex.user_topics WHERE user_id = %s", published.user_id)
    assert [action for _, _, action, _ in since()] == ["scrub", "delete"]
    service.throws_ok("DELETE FROM audit.events WHERE user_id = %s", "PT403", published.user_id)


@pytest.mark.parametrize("whom", [None, NOBODY])
def test_nobody_is_no_person_to_scrub(whom, service):
    """PT422: what is nobody's stays."""
    service.throws_ok(SCRUB, "PT422", whom)
