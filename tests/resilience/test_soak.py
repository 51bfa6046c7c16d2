"""Everything at once for long, `tox -e soak`: memory, bloat, write-ahead log and latency stay as they were.

People, publishing, the queue, sign-ins that rotate, erasures and maintenance, for PULSEX_SOAK_SECONDS (half an hour).
In the first third the server crashes three times, so that the backends of the rest are old ones; then it is looked at
whether the last third has more of anything than the one before. The plots go to PULSEX_SOAK_PLOT.
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import psycopg
import pytest

from conftest import PREPARED
from pulsex import throwaway
from tests.resilience import durable
from tests.resilience.aftermath import everything_holds
from tests.resilience.clients import everybody
from tests.resilience.crowd import Crowd
from tests.resilience.gauges import ALLOWED, Gauges, Sample, growth, plot

SECONDS = float(os.environ.get("PULSEX_SOAK_SECONDS", "1800"))
PLOT = Path(os.environ.get("PULSEX_SOAK_PLOT", "soak.svg"))
CRASHES = (0.08, 0.16, 0.24)  # of the time
# So that several checkpoints and vacuums come into a third of a short run, and the buffers are full in a long one.
SETTINGS = {
    "autovacuum_naptime": "5s", "checkpoint_timeout": "30s", "max_wal_size": "64MB", "shared_buffers": "32MB",
}  # fmt: skip
RETENTION = "UPDATE ops.partitioned_tables SET retention = '24 months' WHERE schema_name = 'pulsex'"


@pytest.mark.soak
@pytest.mark.timeout(600 + 2 * SECONDS)
def test_nothing_grows_while_everybody_is_at_work(request, figures):
    """Samples all along; and at the end, after one more crash, everything that was acknowledged is there."""
    dice = random.Random(18)  # noqa: S311  # repeatable, not unguessable
    data = Path(request.config.stash[PREPARED][1])
    with throwaway.scratch(on_disk=True) as place, durable.serving(data, place, **SETTINGS) as server:
        people = everybody(server.url)
        crowd = Crowd(server.url, people.all(), people.ledger, pause=0.02)
        crashes: list[float] = []
        samples: list[Sample] = []
        with crowd.at_work():
            begun = time.monotonic()
            for number, until in enumerate((*CRASHES, 1)):
                with psycopg.connect(server.url, autocommit=True) as dba:
                    dba.execute(RETENTION)
                    gauges = Gauges(server, crowd, dba, begun, samples)
                    while time.monotonic() - begun < until * SECONDS and not crowd.errors:
                        crowd.stop.wait(max(SECONDS / 300, 0.5))
                        gauges.look()
                crashes.append(time.monotonic() - begun)
                server.crash(dice, postmaster=number % 2 == 0)
                crowd.await_commits(20)
                figures["crashes survived"] += 1
        plot(samples, crashes[:-1], PLOT)
        everything_holds(server, people, figures)
    grown = growth(samples)
    for name, ratio in grown.items():
        figures[f"soak, last third for one of the third before: {name}"] = round(ratio, 2)
    figures["soak, seconds"] += round(SECONDS)
    figures["soak, transactions acknowledged"] += people.ledger.commits
    figures["soak, tried again after a deadlock or a lock not had"] += crowd.again
    assert {name: ratio for name, ratio in grown.items() if ratio > ALLOWED[name]} == {}


@pytest.mark.parametrize("name", ALLOWED)
def test_what_grows_is_noticed(name):
    """Of one thing alone, as much more as time has passed."""
    samples = [Sample(at, dict.fromkeys(ALLOWED, 1.0) | {name: float(at)}) for at in range(1, 31)]
    assert [what for what, ratio in growth(samples).items() if ratio > ALLOWED[what]] == [name]
