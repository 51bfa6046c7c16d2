"""Three or four people who do anything in any order: what each of them sees is what the model says."""

from __future__ import annotations

import os

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.actors import Actor
from tests.flaws import edited
from tests.properties.people import People, Town

pytestmark = pytest.mark.commits

# A step takes milliseconds, more on a busy machine; the clone that an example was found in is gone with the test.
LONG = settings(
    max_examples=40,
    stateful_step_count=30,
    deadline=None,
    database=None,
    derandomize=os.environ.get("CI") == "true",
    print_blob=True,
)
# Stops at the first failure: which steps led there doesn't matter.
SHORT = settings(
    LONG,
    max_examples=100,
    stateful_step_count=50,
    derandomize=True,
    phases=[Phase.generate],
    report_multiple_bugs=False,
)


@pytest.mark.long
def test_what_everybody_sees_equals_the_model(town: Town):
    """Whatever people do, with whatever token, everybody sees their own rows as the model has them, and nobody any."""
    run_state_machine_as_test(lambda: People(town), settings=LONG)


FLAWS = {
    "everybody reads every briefing": "ALTER POLICY select_own ON pulsex.briefings USING (true)",
    "everybody marks every briefing read": "ALTER POLICY update_own ON pulsex.briefings USING (true) WITH CHECK (true)",
    "everybody deletes every rating": "ALTER POLICY delete_own ON pulsex.briefing_feedback USING (true)",
    "everybody follows topics for everybody": "ALTER POLICY insert_own ON pulsex.user_topics WITH CHECK (true)",
    "an ended session goes on": edited("auth.use_session", "OR s.revoked_at > now()", "OR true"),
    "a token that was reused ends nothing": edited("auth.rotate_session", "PERFORM auth.revoke_sessions", "-- "),
    "a locked login is open": edited("auth.login_credential", "PERFORM auth.refuse_locked(locked_until);", ""),
    "today is the server's": edited("pulsex.todays_briefing", "AT TIME ZONE u.time_zone", "AT TIME ZONE 'UTC'"),
}


@pytest.mark.parametrize("flaw", FLAWS)
def test_the_machine_notices_a_flaw(town: Town, dba: Actor, flaw: str):
    """With one policy too wide or one rule forgotten, somebody soon sees what the model doesn't have."""
    dba.lives_ok(FLAWS[flaw])
    with pytest.raises(pytest.fail.Exception):
        run_state_machine_as_test(lambda: People(town), settings=SHORT)
