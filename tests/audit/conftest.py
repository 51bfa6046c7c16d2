"""Fixtures: a log with several seals, the last events, and somebody who can write past the guards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

import pytest

from tests.actors import Actor
from tests.cast import Person

GUARDS = """SELECT format('ALTER TABLE %%s %s TRIGGER %%I', tgrelid::regclass, tgname) FROM pg_trigger
    WHERE tgfoid = 'audit.refuse_change'::regproc"""
LAST = """SELECT user_id, table_name, action, payload FROM audit.events WHERE event_id > %s ORDER BY event_id"""
FINDINGS = "SELECT finding, seal_id, event_id FROM audit.verify(%s)"

Event = tuple[UUID, str | None, str, dict]


@pytest.fixture
def since(dba: Actor) -> Callable[[], list[Event]]:
    """Return a function that tells what was written since the test began: whose, table, action, payload."""
    begun = dba.value("SELECT uuidv7()")
    return lambda: dba.rows(LAST, begun)


@pytest.fixture
def findings(dba: Actor) -> Callable[..., set[tuple]]:
    """Return a function that verifies, and returns each finding with the seal and the event it names."""
    return lambda expected=None: set(dba.rows(FINDINGS, expected))


@dataclass(frozen=True)
class Sealed:
    """The batch in the middle of a chain: its seal, its two events, and the first event of the next one."""

    seal: int
    first: UUID
    second: UUID
    later: UUID


@pytest.fixture
def sealed(dba: Actor, published: Person) -> Sealed:
    """Two more batches after the cast's, of two events each: the one in the middle is that to tamper with."""
    for number in range(4):
        dba.rows("SELECT audit.record('read', %s, jsonb_build_object('n', %s::integer))", published.user_id, number)
        if number % 2:
            dba.rows("SELECT audit.seal()")
    middle, last = dba.rows("SELECT seal_id, event_ids FROM audit.seal_contents ORDER BY seal_id DESC LIMIT 2")[::-1]
    return Sealed(middle[0], *middle[1], last[1][0])


@pytest.fixture
def forge(dba: Actor) -> Callable[..., None]:
    """Return a function that runs a statement as a superuser who took the guards away, and put them back."""

    def run(sql: str, *args: object) -> None:
        for (guard,) in dba.rows(GUARDS % "DISABLE"):
            dba.rows(guard)
        dba.rows(sql, *args)
        for (guard,) in dba.rows(GUARDS % "ENABLE ALWAYS"):
            dba.rows(guard)

    return run
