"""A disk that is full: whoever writes is told, nothing is lost, and when there is room again all go on by themselves.

In every run the disk is a limit on the size of files (RLIMIT_FSIZE), which needs no privilege. `tox -e soak` has file
systems of their own too, where mounting one is allowed: there the SQLSTATE is what a full disk's is, 53100.
"""

from __future__ import annotations

import os
import random

import pytest

from tests.resilience.aftermath import everything_holds
from tests.resilience.clients import Publisher, everybody
from tests.resilience.crowd import Crowd
from tests.resilience.durable import limit_files

# PostgreSQL has a SQLSTATE for ENOSPC, and none for the limit's EFBIG, which only this stand-in meets.
TOO_LARGE = "XX000"
ROOM = 1 << 20  # octets that the largest file may still grow by
WAL_ROOM = 300 << 10  # octets of a segment of write-ahead log, which has a mebibyte
COMMITS = 50


def large_content() -> str:
    """Return a briefing of 100 kB that no compression makes small."""
    return (
        '{"sections": [{"topic": "science", "headline": "A long one", "items": [{"id": "s1", "title": "A",'
        f' "url": "https://example.com", "source": "B", "summary": "{os.urandom(50_000).hex()}"}}]}}]}}'
    )


@pytest.mark.long
def test_a_full_disk_is_an_error_and_no_loss(durable_server, figures):
    """First no table can grow: an error to who wants it, and nobody else. Then no log can be written: a crash."""
    people = everybody(durable_server.url)
    hoarder = Publisher(people.ledger, random.Random(18), people.people[:1], large_content)  # noqa: S311  # repeatable
    crowd = Crowd(durable_server.url, [*people.all(), hoarder], people.ledger, expected=frozenset({TOO_LARGE}))
    largest = max(file.stat().st_size for file in durable_server.data.glob("base/*/*"))
    with crowd.at_work():
        crowd.await_commits(COMMITS)
        limit_files(durable_server.family(), largest + ROOM)
        crowd.await_refusals(5)
        crowd.await_commits(COMMITS)
        limit_files(durable_server.family(), None)
        refused, published = crowd.refused.total(), sum(call.kind == "publish" for call in crowd.calls)
        crowd.await_that(lambda: sum(call.kind == "publish" for call in crowd.calls) > published + 20)
    assert crowd.reconnects == 0
    everything_holds(durable_server, people, figures)

    crowd = Crowd(durable_server.url, people.all(), people.ledger)
    with crowd.at_work():
        limit_files(durable_server.family(), WAL_ROOM)
        durable_server.server.child_process.wait(30)
        durable_server.server.child_process = None
        durable_server.server.start()
        crowd.await_commits(COMMITS)
    everything_holds(durable_server, people, figures)
    figures["writes refused by a full disk"] += refused
