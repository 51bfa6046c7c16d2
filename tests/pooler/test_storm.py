"""Two hundred clients of twenty people share four server connections: everybody sees their own rows, all of them."""

from __future__ import annotations

import pytest

from tests.actors import Actor
from tests.harness import Database
from tests.pooler.crowd import Reader, Record, storm
from tests.pooler.pooler import Pooler

pytestmark = pytest.mark.commits

CALM = {
    "read_in_one_message": 10,
    "read_step_by_step": 4,
    "ask_as_nobody": 4,
    "leave_own_context": 2,
    "leave_forged_context": 2,
    "roll_back": 2,
    "fail": 2,
    "time_out": 1,
    "cancel": 1,
}
ROUGH = CALM | {"disconnect": 1, "die": 1, "die_asking": 1, "lose_server": 1}

# What a design could get wrong: a function, what it says, and what it would say.
BELIEVES = ("auth.current_user_id", "= substring(v_context, 38)", "IS NOT NULL")
FLAWS = {
    "the context is set for the whole session": [
        ("auth.use_session", "SET LOCAL", "SET"),
        BELIEVES,
    ],
    "the signature isn't checked": [BELIEVES],
    "the signature isn't bound to the transaction": [
        ("auth.use_session", "timestamptz_send(now())", "timestamptz_send('epoch')"),
        ("auth.current_user_id", "timestamptz_send(now())", "timestamptz_send('epoch')"),
    ],
}


def _report(record: Record, record_property) -> None:
    record_property("transactions", record.transactions)
    print(record.transactions, "transactions over", len(record.servers), "server connections:", dict(record.acts))


@pytest.mark.long
def test_a_crowd_that_shares_four_connections_sees_nobody_elses_rows(
    pooler: Pooler, database: Database, readers: list[Reader], record_property
):
    """200 clients that commit, abort, fail, time out, cancel and leave contexts behind all see their own rows alone."""
    record = storm(pooler, database.url, readers, CALM, seconds=5)
    _report(record, record_property)
    assert record.leaks == []
    assert len(record.servers) <= 4
    assert record.acts.keys() == CALM.keys()
    assert record.transactions > 200


@pytest.mark.long
def test_a_crowd_that_is_killed_at_random_sees_nobody_elses_rows(
    pooler: Pooler, database: Database, readers: list[Reader], record_property
):
    """Clients that vanish, and backends that are terminated, in mid-transaction leave nothing to whoever comes next."""
    record = storm(pooler, database.url, readers, ROUGH, seconds=5)
    _report(record, record_property)
    assert record.leaks == []
    assert record.acts.keys() == ROUGH.keys()
    assert record.transactions > 100


@pytest.mark.parametrize("flaw", FLAWS)
def test_the_crowd_notices_a_context_that_outlives_its_transaction(
    pooler: Pooler, database: Database, readers: list[Reader], dba: Actor, flaw: str
):
    """The same crowd finds the leak at once where contexts are trusted as the usual designs trust theirs."""
    for function, old, new in FLAWS[flaw]:
        definition = dba.value("SELECT pg_get_functiondef(%s::regproc)", function)
        assert old in definition
        dba.rows(definition.replace(old, new))
    assert storm(pooler, database.url, readers, CALM, clients=40, seconds=10).leaks
