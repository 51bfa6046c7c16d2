"""Recording and counting at once, from several connections."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests.engagement.events import RECORD, event

BLOCKED = "SELECT cardinality(pg_blocking_pids(%s)) > 0"


@pytest.fixture
def devices(database, published) -> Iterator[list[psycopg.Connection]]:
    """Two devices of Alice's, each in a transaction of its own, in her session."""
    with contextlib.ExitStack() as stack:
        made = [stack.enter_context(psycopg.connect(database.url, user="pulsex_app")) for _ in range(2)]
        for device in made:
            device.execute("SELECT auth.use_session(%s)", [published.token])
        yield made


def both(dba, devices, person, first, second) -> tuple[int, int]:
    """Send a batch by each device, the second while the first one's isn't committed; return how many were new."""
    one, two = devices
    new = one.execute(RECORD, [person.user_id, Jsonb(first)]).fetchone()[0]
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lambda: two.execute(RECORD, [person.user_id, Jsonb(second)]).fetchone()[0])
        while not (waiting.done() or dba.value(BLOCKED, two.info.backend_pid)):
            pass
        one.commit()
        also_new = waiting.result()
    two.commit()
    return new, also_new


@pytest.mark.commits
def test_a_batch_that_two_connections_send_at_once_is_stored_once(dba, devices, published):
    """Whatever the order of its events, and with what the other one lacks: each event is new to one of them."""
    now = dba.value("SELECT now()")
    batch, more = [event(now) for _ in range(3)], event(now)
    assert both(dba, devices, published, batch, [more, *reversed(batch)]) == (3, 1)
    ids = [one["event_id"] for one in [*batch, more]]
    dba.results_eq("SELECT count(*) FROM pulsex.engagement_events WHERE event_id = ANY (%s::uuid[])", [(4,)], ids)


@pytest.mark.commits
def test_an_event_that_two_connections_send_at_once_with_other_times_is_stored_once(dba, devices, published):
    """The one that is first stays; its id is known to the other, though no constraint holds it."""
    now = dba.value("SELECT now()")
    sent = event(now)
    again = sent | {"occurred_at": dba.value("SELECT to_jsonb(now() - interval '1 hour') #>> '{}'")}
    assert both(dba, devices, published, [sent], [again]) == (1, 0)
    times = "SELECT occurred_at FROM pulsex.engagement_events WHERE event_id = %s"
    dba.results_eq(times, [(now,)], sent["event_id"])


@pytest.mark.commits
def test_under_repeatable_read_a_batch_that_was_sent_meanwhile_raises_23505(dba, database, alice, published):
    """A transaction that can't see the other's events is told so, and may be done again."""
    batch = Jsonb([event(dba.value("SELECT now()"))])
    with psycopg.connect(database.url, user="pulsex_app") as late:
        late.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        late.execute("SELECT auth.use_session(%s)", [published.token])
        assert alice.value(RECORD, published.user_id, batch) == 1
        with pytest.raises(psycopg.errors.UniqueViolation):
            late.execute(RECORD, [published.user_id, batch])
        late.rollback()
        late.execute("SELECT auth.use_session(%s)", [published.token])
        assert late.execute(RECORD, [published.user_id, batch]).fetchone() == (0,)


@pytest.mark.commits
@pytest.mark.parametrize("roll_up", ["ops.roll_up_marked_engagement()", "ops.roll_up_engagement(%(day)s)"])
def test_what_is_recorded_while_totals_are_counted_is_not_lost(dba, database, devices, alice, published, roll_up):
    """Neither waits for the other, and the mark of what came in meanwhile stays for the next count."""
    now, day = dba.rows("SELECT now(), (now() AT TIME ZONE 'UTC')::date")[0]
    shared = "SELECT events FROM pulsex.engagement_daily WHERE user_id = %s AND day = %s AND event_type = 'shared'"
    told = "SELECT events FROM pulsex.engagement_summary(%s, %s, %s) WHERE event_type = 'shared'"
    early, late = devices
    early.execute(RECORD, [published.user_id, Jsonb([event(now, "shared")])])
    with psycopg.connect(database.url, user="pulsex_worker") as worker:
        worker.execute(f"SELECT {roll_up}", {"day": day})
        early.commit()
        late.execute("SET lock_timeout = '1s'")
        late.execute(RECORD, [published.user_id, Jsonb([event(now, "shared")])])
        late.commit()
    dba.is_empty(shared, published.user_id, day)
    alice.results_eq(told, [(2,)], published.user_id, day, day)
    database.actor("worker", "pulsex_worker").rows("SELECT ops.roll_up_marked_engagement()")
    dba.results_eq(shared, [(2,)], published.user_id, day)


@pytest.mark.commits
def test_two_counts_at_once_are_one_after_the_other(dba, database, alice, published):
    """The second waits, and then counts what the first one's snapshot lacked."""
    now = dba.value("SELECT now()")
    with psycopg.connect(database.url, user="pulsex_worker") as first, ThreadPoolExecutor(1) as pool:
        first.execute("SELECT ops.roll_up_marked_engagement()")
        alice.rows(RECORD, published.user_id, Jsonb([event(now, "shared")]))
        second = database.actor("worker", "pulsex_worker")
        waiting = pool.submit(second.value, "SELECT ops.roll_up_marked_engagement()")
        while not dba.value(BLOCKED, second.connection.info.backend_pid):
            pass
        first.commit()
        assert waiting.result() == 1
