"""SIGKILL under load, with durability on: what was acknowledged is there, and everything still holds.

Twice in every run of the suite; `tox -e soak` does it twenty times, and PULSEX_CRASHES says how often otherwise.
"""

from __future__ import annotations

import os
import random

import pytest

from tests.resilience.aftermath import everything_holds
from tests.resilience.clients import everybody
from tests.resilience.crowd import Crowd

CRASHES = int(os.environ.get("PULSEX_CRASHES", "2"))
COMMITS = 100  # before each crash; a third of them after it


@pytest.mark.long
@pytest.mark.timeout(60 + 30 * CRASHES)
def test_a_crash_loses_nothing_that_was_acknowledged(durable_server, figures):
    """SIGKILL of the postmaster and of somebody's backend in turn; everybody goes on by themselves."""
    dice = random.Random(CRASHES)  # noqa: S311  # repeatable, not unguessable
    people = everybody(durable_server.url)
    crowd = Crowd(durable_server.url, people.all(), people.ledger, pause=0.002)
    for number in range(CRASHES):
        with crowd.at_work():
            crowd.await_commits(COMMITS)
            durable_server.crash(dice, postmaster=number % 2 == 0)
            crowd.await_commits(COMMITS // 3)
        everything_holds(durable_server, people, figures)
        figures["crashes survived"] += 1
    figures["transactions acknowledged around crashes"] += people.ledger.commits
    assert crowd.reconnects > 0
