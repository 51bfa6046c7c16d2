"""Nobody changes the log: not the service that writes it, not the owner, not a superuser; by no name, in no mode."""

from __future__ import annotations

import pytest

VERBS = {
    "update": "UPDATE {} SET role_name = 'somebody'",
    "delete": "DELETE FROM {}",
    "truncate": "TRUNCATE {} CASCADE",
}
SEALS = {**VERBS, "update": "UPDATE {} SET events = events + 1"}


@pytest.fixture
def partition(dba) -> str:
    """The partition that the cast's events are in."""
    return dba.value("SELECT DISTINCT tableoid::regclass::text FROM audit.events")


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("role", ["postgres", "pulsex_owner", "pulsex_service"])
def test_the_log_is_append_only_for_everybody(role, verb, dba):
    """PT403 for whoever has the privilege and sees the rows: given both, the owner and the service too."""
    dba.rows("GRANT ALL ON audit.events, audit.seals, audit.seal_contents TO pulsex_service")
    dba.rows("CREATE POLICY worker_unrestricted ON audit.events TO pulsex_owner USING (true)")
    dba.rows("CREATE POLICY worker_unrestricted ON audit.seals TO pulsex_owner USING (true)")
    dba.rows(f"SET LOCAL ROLE {role}")
    dba.throws_ok(VERBS[verb].format("audit.events"), "PT403")
    dba.throws_ok(SEALS[verb].format("audit.seals"), "PT403")


@pytest.mark.parametrize("verb", VERBS)
def test_a_partition_is_append_only_by_its_own_name(verb, dba, partition):
    """Not only through the table."""
    dba.throws_ok(VERBS[verb].format(partition), "PT403")


@pytest.mark.parametrize("verb", VERBS)
def test_a_detached_partition_is_append_only(verb, dba, partition):
    """What guards a partition is its own, and stays with it."""
    dba.rows(f"ALTER TABLE audit.events DETACH PARTITION {partition}")
    dba.throws_ok(VERBS[verb].format(partition), "PT403")


@pytest.mark.parametrize("verb", VERBS)
def test_replication_mode_turns_no_guard_off(verb, dba, partition):
    """session_replication_role = replica, which turns ordinary triggers off, doesn't reach these."""
    dba.rows("SET LOCAL session_replication_role = replica")
    dba.throws_ok(VERBS[verb].format("audit.events"), "PT403")
    dba.throws_ok(VERBS[verb].format(partition), "PT403")


@pytest.mark.parametrize("mark", ["{user_id}", "{user_id}." + "0" * 64, "on", "%"])
def test_a_mark_of_erasure_that_is_made_up_is_of_no_use(mark, dba, published):
    """Anybody may set pulsex.erasure; without the signature it lets nothing be deleted, and changes are recorded."""
    dba.rows("SELECT set_config('pulsex.erasure', %s, true)", mark.format(user_id=published.user_id))
    dba.throws_ok("DELETE FROM audit.events WHERE user_id = %s", "PT403", published.user_id)
    dba.rows("UPDATE pulsex.users SET display_name = 'Alicia' WHERE user_id = %s", published.user_id)
    dba.results_eq("SELECT count(*) FROM audit.unsealed_events", [(1,)])


def test_the_mark_is_one_persons_and_one_transactions(dba, published, bob):
    """While Alice is being erased Bob's events are as closed as ever; in the next transaction hers are again."""
    dba.rows("SELECT audit.begin_erasure(%s)", published.user_id)
    mark = dba.value("SELECT current_setting('pulsex.erasure')")
    dba.throws_ok("DELETE FROM audit.events WHERE user_id = %s", "PT403", bob.user_id)
    dba.lives_ok("DELETE FROM audit.events WHERE user_id = %s", published.user_id)
    dba.end()
    dba.rows("SELECT set_config('pulsex.erasure', %s, true)", mark)
    dba.throws_ok("DELETE FROM audit.events WHERE user_id = %s", "PT403", published.user_id)


def test_the_mark_lets_nothing_be_changed_or_truncated(dba, published):
    """Erasing replaces events by blank ones; it updates none."""
    dba.rows("SELECT audit.begin_erasure(%s)", published.user_id)
    for verb in ("update", "truncate"):
        dba.throws_ok(VERBS[verb].format("audit.events"), "PT403")
    dba.throws_ok(SEALS["delete"].format("audit.seals"), "PT403")
