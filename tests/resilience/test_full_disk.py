"""A disk that is full: whoever writes is told, nothing is lost, and when there is room again all go on by themselves.

In every run the disk is a limit on the size of files (RLIMIT_FSIZE), which needs no privilege. `tox -e soak` has file
systems of their own too, where mounting one is allowed: there the SQLSTATE is what a full disk's is, 53100.
"""

from __future__ import annotations

import contextlib
import os
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from conftest import PREPARED
from pulsex import throwaway
from tests.resilience import small_disks
from tests.resilience.aftermath import everything_holds
from tests.resilience.clients import Everybody, Publisher, everybody
from tests.resilience.crowd import Crowd
from tests.resilience.durable import Durable, limit_files
from tests.resilience.small_disks import Disk

# PostgreSQL has a SQLSTATE for ENOSPC, and none for the limit's EFBIG, which only this stand-in meets.
TOO_LARGE = "XX000"
ROOM = 1 << 20  # octets that the largest file may still grow by
LOG_ROOM = 300 << 10  # octets of a segment of write-ahead log, which has a mebibyte
COMMITS = 50
PAUSE = 0.005  # seconds


def large_content() -> str:
    """Return a briefing of 100 kB that no compression makes small."""
    return (
        '{"sections": [{"topic": "science", "headline": "A long one", "items": [{"id": "s1", "title": "A",'
        f' "url": "https://example.com", "source": "B", "summary": "{os.urandom(50_000).hex()}"}}]}}]}}'
    )


def crowd_with_hoarder(server: Durable, people: Everybody, refusal: str) -> Crowd:
    """Return everybody, and a publisher of large briefings, who take this SQLSTATE for an answer."""
    hoarder = Publisher(people.ledger, random.Random(18), people.people[:1], large_content)  # noqa: S311  # repeatable
    clients = [*people.all(), hoarder]
    return Crowd(server.url, clients, people.ledger, pause=PAUSE, expected=frozenset({refusal}))


@contextlib.contextmanager
def full_for_tables(crowd: Crowd, figures: Counter[str]) -> Iterator[None]:
    """Have everybody at work; while the block runs, which fills the disk, and when it has ended."""
    with crowd.at_work():
        crowd.await_commits(COMMITS)
        yield
        figures["writes refused by a full disk"] += crowd.refused.total()
        crowd.await_commits(COMMITS)
    assert crowd.reconnects == 0


def await_refusals(crowd: Crowd) -> None:
    """Return when some were refused, and others have gone on."""
    crowd.await_that(lambda: crowd.refused.total() >= 5)
    crowd.await_commits(COMMITS // 2)


@pytest.mark.long
def test_tables_that_cannot_grow_are_an_error_and_no_loss(durable_server, figures):
    """Whoever wants more room is told so, the others go on; when there is room, nobody is told so any more."""
    people = everybody(durable_server.url)
    crowd = crowd_with_hoarder(durable_server, people, TOO_LARGE)
    largest = max(file.stat().st_size for file in durable_server.data.glob("base/*/*"))
    with full_for_tables(crowd, figures):
        limit_files(durable_server.family(), largest + ROOM)
        await_refusals(crowd)
        limit_files(durable_server.family(), None)
    everything_holds(durable_server, people, figures)


@pytest.mark.soak
def test_a_log_that_cannot_be_written_is_a_crash_and_no_loss(durable_server, figures):
    """What can't be made durable isn't acknowledged: the server stops, and recovers when there is room again."""
    people = everybody(durable_server.url)
    crowd = Crowd(durable_server.url, people.all(), people.ledger, pause=PAUSE)
    with crowd.at_work():
        limit_files(durable_server.family(), LOG_ROOM)
        durable_server.await_end()
        durable_server.revive()
        crowd.await_commits(COMMITS)
    figures["crashes survived"] += 1
    everything_holds(durable_server, people, figures)


@pytest.fixture
def on_small_disks(request: pytest.FixtureRequest) -> Iterator[tuple[Durable, Disk, Disk]]:
    """A server with file systems of its own for its tables and its log."""
    if not small_disks.mountable():
        pytest.skip("we may not mount a file system here: the limit on the size of files has to do")
    data = Path(request.config.stash[PREPARED][1])
    with throwaway.scratch(on_disk=True) as place, small_disks.serving(data, place) as found:
        yield found


@pytest.mark.soak
def test_a_file_system_without_room_for_tables(on_small_disks, figures):
    """As above, with a disk that is full indeed, for everybody: 53100 (disk_full)."""
    server, disk, _ = on_small_disks
    people = everybody(server.url)
    crowd = crowd_with_hoarder(server, people, "53100")
    with full_for_tables(crowd, figures):
        disk.fill()
        await_refusals(crowd)
        disk.clear()
    everything_holds(server, people, figures)


@pytest.mark.soak
def test_a_file_system_without_room_for_the_log(on_small_disks, figures):
    """As above: PANIC, and whatever the server can't do by itself, a start does when there is room.

    Segments that are used again need no room, and a full disk is nothing to them; an abandoned slot forbids that.
    """
    server, _, disk = on_small_disks
    people = everybody(server.url)
    crowd = Crowd(server.url, people.all(), people.ledger, pause=PAUSE)
    with psycopg.connect(server.url, autocommit=True) as dba:
        dba.execute("SELECT pg_create_physical_replication_slot('abandoned', TRUE)")
    with crowd.at_work():
        disk.fill()
        crowd.await_that(lambda: crowd.reconnects > 0)
        disk.clear()
        server.revive()
        with psycopg.connect(server.url, autocommit=True) as dba:
            dba.execute("SELECT pg_drop_replication_slot('abandoned')")
        crowd.await_commits(COMMITS)
    figures["crashes survived"] += 1
    everything_holds(server, people, figures)
