"""Two and eight callers at once, of each routine that writes: nothing is lost, and nobody is left with a deadlock."""

from __future__ import annotations

import itertools
import os
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from uuid import uuid4

import psycopg
import pytest

from pulsex import deploy
from tests.cast import PASSWORD_HASH, Person
from tests.flaws import edited
from tests.resilience.races import RACES, End, Race
from tests.resilience.stage import documented

CROWD = 8
READ_COMMITTED, SERIALIZABLE = "READ COMMITTED", "SERIALIZABLE"
# How many call, at which level, and whether each calls for two people, half of them the other way round.
WAYS = [(CROWD, READ_COMMITTED, False), (2, SERIALIZABLE, True)]
if os.environ.get("PULSEX_SOAK_SECONDS"):
    WAYS = list(itertools.product([2, CROWD], [READ_COMMITTED, SERIALIZABLE], [False, True]))
TRIES = 200
WRITING = """
    SELECT format('%I.%I', n.nspname, p.proname), coalesce(obj_description(p.oid, 'pg_proc'), '')
    FROM pg_proc AS p INNER JOIN pg_namespace AS n ON n.oid = p.pronamespace
    CROSS JOIN unnest('{pulsex_app,pulsex_auth,pulsex_worker,pulsex_privacy,pulsex_analyst}'::text[]) AS role
    WHERE n.nspname IN ('auth', 'pulsex', 'ops', 'audit', 'gdpr') AND p.provolatile = 'v'
        AND has_function_privilege(role, p.oid, 'EXECUTE')
    GROUP BY p.oid, n.nspname
"""
# Where it is shown elsewhere what they do at once, or why there is nothing to show.
ELSEWHERE = {
    "auth.use_session": "sets the context of its own transaction, and writes no row",
    "gdpr.export_erasure_ledger": "reads; volatile so that it sees what was committed before the call",
    "gdpr.find_user": "logs a look, by gdpr.record_look() as gdpr.consent_history() does",
    "gdpr.visible_people": "logs a look, by gdpr.record_look() as gdpr.consent_history() does",
    "gdpr.inactive_accounts": "logs looks, by gdpr.record_look() as gdpr.consent_history() does",
    "pulsex.record_events": "tests/engagement/test_races.py",
    "ops.roll_up_engagement": "tests/engagement/test_races.py",
    "ops.roll_up_marked_engagement": "tests/engagement/test_races.py",
    "pulsex.enqueue_notification": "tests/notifications/test_races.py",
    "pulsex.claim_notifications": "tests/notifications/test_crowd.py",
    "pulsex.await_notifications": "tests/notifications/test_wakeup.py",
    "pulsex.due_briefings": "tests/schedule/test_due_briefings.py",
    "gdpr.erase_user": "tests/gdpr/test_races.py",
    "gdpr.resume_erasures": "goes on with an erasure, one at a time: tests/gdpr/test_races.py",
    "gdpr.erase_inactive": "tests/gdpr/test_retention.py",
    "ops.ensure_partitions": "tests/routines/test_partitions.py",
    "ops.detach_next_partition": "a step of ops.expire_partitions(): tests/partitions/test_expiry.py",
    "ops.drop_next_partition": "a step of ops.expire_partitions(): tests/partitions/test_expiry.py",
    "ops.expire_partitions": "tests/partitions/test_expiry.py",
    "ops.delete_expired_feedback": "tests/partitions/test_expiry.py",
    "ops.claim_maintenance": "tests/partitions/test_maintenance.py",
    "ops.run_maintenance": "tests/partitions/test_maintenance.py",
}


@dataclass
class Arena:
    """A database of the module's own, and the callers in it: superusers who become whom the race is about."""

    watcher: psycopg.Connection
    callers: list[psycopg.Connection]
    people: list[Person]
    pool: ThreadPoolExecutor
    documented: dict[str, frozenset[str]]
    retried: Counter[str] = field(default_factory=Counter)

    def value(self, role: str, sql: str, arguments: dict) -> object:
        """Run a statement as a role; return the first column of its row, if it has one."""
        with self.watcher.transaction():
            self.watcher.execute(f"SET LOCAL SESSION AUTHORIZATION {role}")
            cursor = self.watcher.execute(sql, arguments)
            row = cursor.fetchone() if cursor.description else None
            return row and row[0]

    def prepare(self, race: Race, people: int) -> list[dict[str, object]]:
        """Get everything ready; return for each of so many people what the calls about them need."""
        run = str(uuid4())
        keys = []
        for person in self.people[:people]:
            key = {"user": str(person.user_id), "run": run, "hash": PASSWORD_HASH, "i": 0, "made": None}
            key["token"] = self.value("pulsex_auth", "SELECT auth.start_session(%(user)s)", key)
            for role, statement in race.prepare:
                made = self.value(role, statement, key)
                key["made"] = key["made"] if made is None or made == "" else made
            keys.append(key)
        return keys

    def run(self, name: str, callers: int, level: str, crossing: bool) -> list[str]:
        """Have a race run; return what is wrong with its end."""
        race = RACES[name]
        keys = self.prepare(race, 2 if crossing else 1)
        before = [self.value("postgres", race.measure, key) for key in keys]
        barrier = threading.Barrier(callers)
        racing = [
            self.pool.submit(self.race, race, name, number, keys[:: -1 if number % 2 else 1], level, barrier)
            for number in range(callers)
        ]
        returned, faults = [[] for _ in keys], []
        for one in racing:
            ended, wrong = one.result()
            faults += wrong
            for user, value in ended:
                returned[[key["user"] for key in keys].index(user)].append(value)
        for key, was, values in zip(keys, before, returned, strict=True):
            end = End(was, self.value("postgres", race.measure, key), values)
            if not race.holds(end):
                faults.append(f"{end}")
        return [f"{name}, {callers} at once, {level}{', crossing' * crossing}: {fault}" for fault in faults]

    def race(
        self, race: Race, name: str, number: int, keys: list[dict], level: str, barrier: threading.Barrier
    ) -> tuple[list[tuple[str, object]], list[str]]:
        """Call for each key in one transaction, again where it may be tried again; return whom for and with what."""
        connection = self.callers[number]
        both = {"users": [key["user"] for key in keys], "mades": [key["made"] for key in keys]}
        # A batch takes both people in one call; alone, it takes one twice.
        pairs = {one: two * (2 // len(two)) for one, two in both.items()}
        retry = {"40001"} if level == SERIALIZABLE else set()
        # Who holds one person's rows and wants another's, and meets who does it the other way round, tries again.
        retry |= {"40P01"} if len(keys) > 1 and "users" not in race.call else set()
        retry |= self.documented[name] & {"40001", "40P01", "55P03"}
        barrier.wait()
        for _ in range(TRIES):
            ended: list[tuple[str, object]] = []
            try:
                with connection.transaction():
                    connection.execute(f"SET LOCAL TRANSACTION ISOLATION LEVEL {level}")
                    connection.execute(f"SET LOCAL SESSION AUTHORIZATION {race.role}")
                    for key in keys[:1] if "users" in race.call else keys:
                        if race.role == "pulsex_app":
                            connection.execute("SELECT auth.use_session(%(token)s)", key)
                        cursor = connection.execute(race.call, key | pairs | {"i": number})
                        value = cursor.fetchone()[0]
                        ended += [(user, value) for user in (both["users"] if "users" in race.call else [key["user"]])]
            except psycopg.Error as error:
                if error.sqlstate in retry:
                    self.retried[error.sqlstate] += 1
                    continue
                if error.sqlstate in self.documented[name] | race.ended:
                    return [], []
                return [], [f"{error.sqlstate}: {error}"]
            return ended, []
        return [], ["it never came through"]


@pytest.fixture(scope="module")
def arena(server) -> Iterator[Arena]:
    """A database where deadlocks are noticed soon, and eight callers."""
    url = server.clone()
    with psycopg.connect(url, autocommit=True) as watcher:
        watcher.execute(f"ALTER DATABASE {watcher.info.dbname} SET deadlock_timeout = '5ms'")
        comments = {name: documented(comment) for name, comment in watcher.execute(WRITING)}
    watcher = psycopg.connect(url, autocommit=True)
    callers = [psycopg.connect(url, autocommit=True) for _ in range(CROWD)]
    people = [server.cast["alice"], server.cast["bob"]]
    with ThreadPoolExecutor(CROWD) as pool:
        yield Arena(watcher, callers, people, pool, comments)
    for connection in [watcher, *callers]:
        connection.close()
    server.drop(url)


@pytest.mark.long
@pytest.mark.parametrize("way", WAYS, ids=lambda way: f"{way[0]}-{way[1]}{'-crossing' * way[2]}".replace(" ", "-"))
def test_what_many_do_at_once_is_all_done(arena, way, figures):
    """Each routine keeps its promise, whoever else calls it; what is to be done again comes through."""
    callers, level, crossing = way
    races = [name for name, race in RACES.items() if not (crossing and race.is_about_everybody)]
    faults = [fault for name in races for fault in arena.run(name, callers, level, crossing)]
    figures["races"] += len(races)
    figures["calls made at once"] += len(races) * callers
    figures["calls made again after 40001 or 40P01"] += arena.retried.total()
    arena.retried.clear()
    assert not faults, "\n".join(faults)


def test_every_routine_that_writes_is_raced(dba):
    """Here or elsewhere, or it is said why it needn't be."""
    assert {name for name, _ in dba.rows(WRITING)} == {*RACES, *ELSEWHERE}
    assert not RACES.keys() & ELSEWHERE.keys()


def test_where_it_is_raced_elsewhere_that_is_there():
    """The tests that the declaration names."""
    named = [reason.split()[-1] for reason in ELSEWHERE.values() if ".py" in reason]
    assert [name for name in named if not (deploy.ROOT / name).exists()] == []


@pytest.fixture
def flawed(arena) -> Iterator[object]:
    """Plants a flaw for the test."""
    undo = []

    def plant(function: str, old: str, new: str) -> None:
        [sound] = arena.watcher.execute("SELECT pg_get_functiondef(%s::regproc)", [function]).fetchone()
        undo.append(sound)
        arena.watcher.execute(edited(function, old, new))

    yield plant
    for sound in undo:
        arena.watcher.execute(sound)


def test_a_token_that_many_could_redeem_is_found(arena, flawed):
    """Without the look at whether it is used."""
    flawed("auth.redeem_one_time_token", "AND t.used_at IS NULL ", "")
    assert arena.run("auth.redeem_one_time_token", CROWD, READ_COMMITTED, False)


def test_a_lost_update_is_found(arena, flawed):
    """A total that is read first and written afterwards, from which others' additions are missing."""
    flawed("auth.record_login", "FOR UPDATE", "")
    flawed("auth.record_login", "PERFORM auth.refuse_locked(v_login.locked_until);", "PERFORM pg_sleep(0.01);")
    assert arena.run("auth.record_login", CROWD, READ_COMMITTED, False)


def test_a_deadlock_that_reaches_the_caller_is_found(arena, flawed):
    """Two batches that lock the same rows, each in its own order; sooner or later they meet."""
    flawed("pulsex.complete_notifications", "ORDER BY q.user_id, q.notification_id FOR UPDATE", "FOR UPDATE")
    meetings = (arena.run("pulsex.complete_notifications", CROWD, READ_COMMITTED, True) for _ in range(100))
    assert "40P01" in str(next(filter(None, meetings), None))


def test_an_error_that_is_not_documented_is_found(arena, flawed):
    """Two answers that count on from the same one."""
    flawed("gdpr.record_consent", "FOR NO KEY UPDATE", "")
    flawed("gdpr.record_consent", "INSERT INTO", "PERFORM pg_sleep(0.01); INSERT INTO")
    assert "23505" in str(arena.run("gdpr.record_consent", CROWD, READ_COMMITTED, False))
