"""Whatever is sent to a routine: it does what it is for, or says no in the words of its comment, and tells nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator

import psycopg
import pytest
from hypothesis import HealthCheck, given, note, settings

from pulsex import fingerprint
from tests.flaws import edited
from tests.resilience import hostile, scene
from tests.resilience.injections import INJECTIONS, PLACES
from tests.resilience.stage import Caller, Routine, Stage

CALLERS = ["alice", "stranger", "sign_in", "worker", "privacy", "analyst"]
SOAK = int(os.environ.get("PULSEX_SOAK_SECONDS", "0"))
EXAMPLES = settings(
    max_examples=max(4, SOAK // 10),  # of each routine: one for each ten seconds of a soak
    derandomize=not SOAK,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
# Calls with sound arguments that are refused all the same, and why; a stranger is refused whatever is a person's.
REFUSED = {"ops.run_maintenance": "2D000"}  # it commits, which a transaction of somebody else's can't have


@pytest.fixture(scope="module")
def stage(server) -> Iterator[Stage]:
    """A database of the module's own, in one transaction."""
    url = server.clone()
    with psycopg.connect(url, autocommit=True) as connection:
        made = scene.set_up(connection, server.cast["alice"], server.cast["bob"])
        with connection.transaction(force_rollback=True):
            yield Stage(connection, made)
    server.drop(url)


@pytest.fixture
def caller(stage, request) -> Caller:
    """Somebody who can log in, let in."""
    caller = stage.callers[request.param]
    stage.enter(caller)
    return caller


def fuzz(stage: Stage, caller: Caller, routine: Routine, kinds: dict) -> list[str]:
    """Call a routine with drawn arguments; return what is wrong, said with the smallest arguments that show it."""

    @EXAMPLES
    @given(arguments=hostile.arguments(stage.scene, routine, kinds))
    def attempt(arguments: dict[str, str | None]) -> None:
        sound = stage.sound(routine)
        changed = {name: value and value[:80] for name, value in arguments.items() if value != sound[name]}
        note(str(changed))
        faults = stage.faults(caller, routine, arguments)
        assert not faults, f"{routine.name} with {changed}: {faults}"

    try:
        attempt()
    except AssertionError as error:
        return [str(error)]
    return []


@pytest.mark.long
@pytest.mark.parametrize("caller", CALLERS, indirect=True)
def test_any_call_is_carried_out_or_refused_as_documented(stage, caller, figures):
    """No other SQLSTATE, nothing of somebody else's told or changed, and within its time."""
    calls, rows, kinds = stage.calls, stage.rows, hostile.hostile(stage.scene)
    routines = [routine for routine in stage.routines(caller) if routine.parameters]
    faults = [fault for routine in routines for fault in fuzz(stage, caller, routine, kinds)]
    figures["routines fuzzed, for each role"] += len(routines)
    figures["calls fuzzed"] += stage.calls - calls
    figures["rows checked after hostile calls"] += stage.rows - rows
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("caller", [name for name in CALLERS if name != "stranger"], indirect=True)
def test_the_sound_arguments_are_sound(stage, caller):
    """With them, which the hostile ones stand beside, each routine does what it is for."""
    outcomes = {r.name: stage.attempt(caller, r, stage.sound(r)) for r in stage.routines(caller)}
    refused = {name: outcome.sqlstate for name, outcome in outcomes.items() if outcome.sqlstate}
    assert refused == {name: state for name, state in REFUSED.items() if name in outcomes}


def injected(stage: Stage, caller: Caller) -> tuple[int, list[str]]:
    """Send every injection through every text of every routine and keep what it does; return how many calls it took
    and what changed that nobody but Alice had a hand in: the catalogue, and Bob's rows.
    """
    calls = 0
    with stage.connection.transaction(force_rollback=True):
        before = fingerprint.take(stage.connection)
        # Whoever is erased is not there for the next call, so that comes last.
        for routine in sorted(stage.routines(caller), key=lambda one: "eras" in one.name):
            places = [name for name, kind in routine.parameters.items() if kind in PLACES]
            for name in places:
                for text in INJECTIONS:
                    value = PLACES[routine.parameters[name]](text)
                    stage.attempt(caller, routine, stage.sound(routine) | {name: value}, keep=True)
                    calls += 1
        after = fingerprint.take(stage.connection)
        changed = fingerprint.difference(
            *({name: said for name, said in taken.items() if not name.startswith(fingerprint.ROWS)}
              for taken in (before, after))
        )  # fmt: skip
        name = "SELECT count(*) FROM pulsex.users WHERE user_id = %s AND display_name <> %s"
        if stage.connection.execute(name, [stage.scene.bob, scene.CANARY]).fetchone() != (0,):
            changed.append("Bob's name")
        # A worker's jobs are about everybody, so about Bob.
        if caller.is_served and stage.digest(stage.scene.bob) != stage.before[stage.scene.bob]:
            changed.append("rows of Bob's")
    return calls, changed


@pytest.mark.long
@pytest.mark.parametrize("caller", CALLERS, indirect=True)
def test_sql_in_a_text_is_a_text(stage, caller, figures):
    """Quotes, comments, format's and LIKE's signs, escapes: nothing in the catalogue changes, and nothing of Bob's."""
    calls, changed = injected(stage, caller)
    figures["calls with SQL in a text"] += calls
    assert not changed


def test_nobody_went_down(stage):
    """The server that has been there from the beginning is there still, and takes new connections."""
    with psycopg.connect(stage.connection.info.dsn) as another:
        begun = "SELECT pg_postmaster_start_time()"
        assert another.execute(begun).fetchone() == stage.connection.execute(begun).fetchone()


# Each flaw is found ------------------------------------------------------------------------------------------------


def found(stage: Stage, flaw: str, name: str, routine: str, arguments: dict[str, str | None]) -> str:
    """Return what is found wrong with a call after a flaw was planted, which goes again."""
    caller = stage.callers[name]
    stage.enter(caller)
    with stage.connection.transaction(force_rollback=True):
        stage.connection.execute(flaw)
        [called] = [one for one in stage.routines(caller) if one.name == routine]
        return "; ".join(stage.faults(caller, called, stage.sound(called) | arguments))


CHECK = "PERFORM gdpr.require_self_or_privacy(p_user_id);"
FLAWS = {
    "told canarybob": (edited("gdpr.export_user_data", CHECK, ""), "alice", "gdpr.export_user_data"),
    "changed rows of": (edited("gdpr.record_consent", CHECK, ""), "alice", "gdpr.record_consent"),
    "XX000": (edited("pulsex.require_self", "PT403", "XX000"), "alice", "pulsex.search_briefings"),
    "22000": (edited("pulsex.require_self", "PT403", "22000"), "alice", "pulsex.search_briefings"),
    "57014": (
        "SET LOCAL statement_timeout = '50ms';" + edited("gdpr.consent_history", CHECK, "PERFORM pg_sleep(9);"),
        "alice", "gdpr.consent_history",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FLAWS)
def test_a_flaw_is_found(stage, fault):
    """A routine that tells or changes what is Bob's, breaks down, says what it doesn't document, or takes too long."""
    assert fault in found(stage, *FLAWS[fault], {"p_user_id": str(stage.scene.bob)})


def test_without_a_flaw_nothing_is_found(stage):
    """The same calls as they are."""
    for _, name, routine in FLAWS.values():
        assert found(stage, "SELECT", name, routine, {"p_user_id": str(stage.scene.bob)}) == ""


def test_sql_that_is_carried_out_is_found(stage):
    """A routine that puts its argument into a statement instead of beside it."""
    flaw = edited("auth.start_session", "BEGIN", "BEGIN EXECUTE 'SELECT ''' || p_user_agent || '''';")
    caller = stage.callers["sign_in"]
    stage.enter(caller)
    with stage.connection.transaction(force_rollback=True):
        stage.connection.execute(flaw)
        assert injected(stage, caller)[1]
