"""Eight workers at one queue: everything is sent by one of them, once, and who is late is refused."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import psycopg
import pytest

from tests.flaws import edited
from tests.harness import Database
from tests.notifications.desk import LEASE, NOON

pytestmark = pytest.mark.commits
WORKERS, LATE = 8, "PT409"
CLAIM = "SELECT user_id, notification_id, lease_token FROM pulsex.claim_notifications(%s, 50, p_at => %s)"
COMPLETE = """SELECT pulsex.complete_notification(u, n, t, %s)
    FROM unnest(%s::uuid[], %s::uuid[], %s::uuid[]) AS leased (u, n, t)"""
# What the database says of every notification: how it ended, and by which token it was sent, each time that it was.
ENDS = """SELECT n.notification_id, n.state, q.notification_id IS NULL, array_agg(a.lease_token)
        FILTER (WHERE a.outcome = 'sent'), max(a.attempt)
    FROM pulsex.notifications AS n
    LEFT JOIN pulsex.notification_queue AS q USING (user_id, notification_id)
    LEFT JOIN pulsex.notification_attempts AS a USING (user_id, notification_id)
    WHERE n.kind = 'tip' GROUP BY n.user_id, n.notification_id, q.notification_id"""


@dataclass
class Crowd:
    """Workers, what each lease was given to, and what they could settle with it."""

    database: Database
    given: list[tuple[UUID, datetime]] = field(default_factory=list)
    sent: list[tuple[UUID, UUID]] = field(default_factory=list)
    refused: list[UUID] = field(default_factory=list)
    errors: list[psycopg.Error] = field(default_factory=list)
    together: threading.Barrier = field(default_factory=lambda: threading.Barrier(WORKERS))

    def work(self, number: int) -> None:
        """Work until there is nothing left to do, or an error that no worker should get."""
        try:
            self.send(number)
        except psycopg.Error as error:
            self.errors.append(error)
            self.together.abort()
        except threading.BrokenBarrierError:
            pass  # because of somebody else's error

    def send(self, number: int) -> None:
        """Send until nothing is due, keeping every tenth batch too long; then send what others kept, and be late."""
        with psycopg.connect(self.database.url, user="pulsex_worker", autocommit=True) as connection:
            self.together.wait()
            kept, batches = [], 0
            while batch := self.claim(connection, number, NOON):
                batches += 1
                kept += batch if batches % 10 == 1 else self.settle(connection, batch)
            self.together.wait()
            while batch := self.claim(connection, number, NOON + LEASE):
                for one in kept[:50]:
                    self.settle(connection, [one])
                kept = kept[50:]
                self.settle(connection, batch)
            for one in kept:
                self.settle(connection, [one])

    def claim(self, connection: psycopg.Connection, number: int, at: datetime) -> list[tuple]:
        """Lease a batch."""
        batch = connection.execute(CLAIM, [f"worker {number}", at]).fetchall()
        self.given += [(notification_id, at) for _, notification_id, _ in batch]
        return batch

    def settle(self, connection: psycopg.Connection, batch: list[tuple]) -> list[tuple]:
        """Say that a batch was sent, in one transaction; return what is left of it: nothing."""
        try:
            connection.execute(COMPLETE, [NOON, *map(list, zip(*batch, strict=True))])
        except psycopg.Error as error:
            if error.sqlstate != LATE:
                raise
            self.refused += [notification_id for _, notification_id, _ in batch]
        else:
            self.sent += [(notification_id, token) for _, notification_id, token in batch]
        return []


def flaws_of(database: Database, desk, alice, count: int) -> list[str]:
    """Have the crowd send so many, and return what isn't as it should be."""
    desk.fill(alice, count)
    crowd = Crowd(database)
    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(crowd.work, range(WORKERS)))
    ends = desk.service.rows(ENDS)
    by_token = dict(crowd.sent)
    facts = {
        "all of them are known": len(ends) == count,
        "none was given to two at a time": max(Counter(crowd.given).values()) == 1,
        "each was sent": all((state, gone) == ("sent", True) for _, state, gone, _, _ in ends),
        "each was sent once": all(len(tokens or []) == 1 for *_, tokens, _ in ends),
        "by whom it says": all(tokens == [by_token[told]] for told, *_, tokens, _ in ends if told in by_token),
        "each was settled once": Counter(told for told, _ in crowd.sent) == Counter({told: 1 for told, *_ in ends}),
        "some came back from a late worker": {attempt for *_, attempt in ends} == {1, 2},
        "and that worker was refused": bool(crowd.refused),
        "nothing else went wrong": not crowd.errors,
    }
    return [fact for fact, holds in facts.items() if not holds]


def test_each_of_ten_thousand_is_sent_once(database, desk, alice):
    """By eight workers, some of whom are too late."""
    assert flaws_of(database, desk, alice, 10_000) == []


FLAWS = {
    "no row is locked": edited("pulsex.claim_notifications", "FOR UPDATE SKIP LOCKED", ""),
    "any token settles": edited("pulsex.leased_notification", "AND q.lease_token = p_lease_token", ""),
}


@pytest.mark.parametrize("flaw", FLAWS)
def test_a_flaw_shows(database, desk, dba, alice, flaw):
    """The same with a thousand, and without what keeps workers apart."""
    dba.rows(FLAWS[flaw])
    assert flaws_of(database, desk, alice, 1_000) != []
