"""Everything at once for long, `tox -e soak`: memory, bloat, write-ahead log and latency stay as they were.

People, publishing, the queue, sign-ins that rotate, erasures and maintenance, for PULSEX_SOAK_SECONDS (half an hour).
In the first third the server crashes three times, and once for good, and its synchronous standby is promoted: so the
backends of the rest are old ones, of the standby that was. Then it is looked at whether the last third has more of
anything than the one before. The plots go to PULSEX_SOAK_PLOT.
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
from tests.resilience.standby import SLOT, following

SECONDS = float(os.environ.get("PULSEX_SOAK_SECONDS", "1800"))
PLOT = Path(os.environ.get("PULSEX_SOAK_PLOT", "soak.svg"))
# What happens to whichever server is the primary, and after which part of the time.
BLOWS = {0.06: "postmaster", 0.12: "backend", 0.18: "failover", 0.24: "postmaster", 1: "backend"}
# So that several checkpoints and vacuums come into a third of a short run, and the buffers are full in a long one.
SETTINGS = {
    "autovacuum_naptime": "5s", "checkpoint_timeout": "30s", "max_wal_size": "64MB", "shared_buffers": "32MB",
}  # fmt: skip
RETENTION = "UPDATE ops.partitioned_tables SET retention = '24 months' WHERE schema_name = 'pulsex'"


# The standby's name is what the primary waits for; and it looks for a primary that was away more often than every 5 s.
STANDBY = SETTINGS | {"cluster_name": SLOT, "wal_retrieve_retry_interval": "100ms"}


@pytest.mark.soak
@pytest.mark.timeout(600 + 2 * SECONDS)
def test_nothing_grows_while_everybody_is_at_work(request, figures):
    """Samples all along; and at the end, after one more crash, all that either server acknowledged is on the second."""
    dice = random.Random(18)  # noqa: S311  # repeatable, not unguessable
    data = Path(request.config.stash[PREPARED][1])
    with (
        throwaway.scratch(on_disk=True) as place,
        durable.serving(data, place, **SETTINGS) as server,
        following(server.server, place, durable.configured(place, **STANDBY)) as servers,
    ):
        people = everybody(servers.whichever_writes())
        crowd = Crowd(people.url, people.all(), people.ledger, pause=0.02)
        happened: list[tuple[float, str]] = []
        samples: list[Sample] = []
        with crowd.at_work():
            begun = time.monotonic()
            for until, blow in BLOWS.items():
                with psycopg.connect(server.url, autocommit=True) as dba:
                    dba.execute(RETENTION)
                    gauges = Gauges(server, crowd, dba, begun, samples)
                    while time.monotonic() - begun < until * SECONDS and not crowd.errors:
                        crowd.stop.wait(max(SECONDS / 300, 0.5))
                        gauges.look()
                happened.append((time.monotonic() - begun, blow))
                if blow == "failover":
                    servers.kill_primary()
                    servers.promote()
                    server = durable.Durable(servers.standby)
                    figures["failovers"] += 1
                else:
                    server.crash(dice, postmaster=blow == "postmaster")
                    figures["crashes survived"] += 1
                crowd.await_commits(20)
        plot(samples, happened[:-1], PLOT)
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
