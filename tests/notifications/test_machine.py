"""Whatever happens to the queue in any order, it is as the model says; and a flaw in it is found."""

from __future__ import annotations

import os

import psycopg
import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.flaws import edited
from tests.notifications.machine import Queue

pytestmark = pytest.mark.commits
LONG = settings(
    max_examples=20,
    stateful_step_count=25,
    deadline=None,
    database=None,
    derandomize=os.environ.get("CI") == "true",
    print_blob=True,
)
# Stops at the first failure: which steps led there doesn't matter.
SHORT = settings(LONG, max_examples=100, derandomize=True, phases=[Phase.generate], report_multiple_bugs=False)


def test_the_queue_equals_the_model(desk, alice, bob):
    """Whatever workers, providers, people and time do to it."""
    run_state_machine_as_test(lambda: Queue(desk, alice, bob), settings=LONG)


FLAWS = {
    "any token settles": edited("pulsex.leased_notification", "AND q.lease_token = p_lease_token", ""),
    "a verdict is forgotten": edited("pulsex.claim_notifications", "ELSIF v_verdict.reason IS NOT NULL", "ELSIF FALSE"),
    "what is being sent is called off": edited(
        "pulsex.cancel_notification", "AND (v_row.lease_until <= p_at) IS NOT TRUE", "AND FALSE"
    ),
    "a lost lease is forgotten": edited(
        "pulsex.claim_notifications", "PERFORM pulsex.record_lost_lease(v_row, p_at);", ""
    ),
    "what waits for a lost phone stays": edited("pulsex.retire_device", "IF NOT EXISTS (", "IF FALSE AND NOT EXISTS ("),
    "a key is taken for good": edited("pulsex.enqueue_notification", "AND n.state = 'pending';", ";"),
}


@pytest.mark.parametrize("flaw", FLAWS)
def test_the_machine_finds_a_flaw(desk, dba, alice, bob, flaw):
    """With one line of a routine changed, the queue soon isn't as the model has it."""
    dba.rows(FLAWS[flaw])
    with pytest.raises((AssertionError, KeyError, pytest.fail.Exception, psycopg.Error)):
        run_state_machine_as_test(lambda: Queue(desk, alice, bob), settings=SHORT)
