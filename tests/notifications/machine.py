"""A queue that anything happens to, in any order, each step followed by the same one on a model that it must equal.

Time is a parameter, so the model's clock is its own. It stands at noon in a summer far away, in which no clock changes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, MultipleResults, RuleBasedStateMachine, initialize, invariant, multiple, rule

from tests.actors import Actor
from tests.notifications.desk import HOUR, LEASE, MINUTE, NOON, Claimed, Desk, settling

ZONES = {"alice": ZoneInfo("Europe/Lisbon"), "bob": ZoneInfo("America/New_York")}
QUIET = (time(7), time(11))  # Alice is over them at noon, Bob in the middle
ASIDE = timedelta(days=1000)  # where the database's own now() is, every lease has long to go
CLEAR = """
    UPDATE pulsex.users SET status = 'active';
    DELETE FROM pulsex.notifications;
    DELETE FROM pulsex.unsubscriptions;
    DELETE FROM pulsex.devices;
    UPDATE pulsex.user_preferences SET channels = '{push,in_app}', quiet_hours_start = NULL, quiet_hours_end = NULL
"""
SEEN = """
    SELECT n.notification_id, n.state, n.reason, greatest(q.available_at, q.lease_until), q.attempts, q.lease_token,
        (
            SELECT array_agg(a.outcome ORDER BY a.attempt) FROM pulsex.notification_attempts AS a
            WHERE a.user_id = n.user_id AND a.notification_id = n.notification_id
        )
    FROM pulsex.notifications AS n LEFT JOIN pulsex.notification_queue AS q USING (user_id, notification_id)
    ORDER BY n.notification_id
"""


@dataclass(eq=False)
class Person:
    """What is known of a person."""

    name: str
    actor: Actor
    channels: set[str] = field(default_factory=lambda: {"push", "in_app"})
    unsubscribed: set[tuple[str, str]] = field(default_factory=set)
    devices: dict[str, UUID] = field(default_factory=dict)  # token to id
    quiet: bool = False
    restricted: bool = False

    def verdict(self, channel: str, kind: str, at: datetime) -> tuple[str | None, datetime | None]:
        """Return why something isn't sent to them, and until when it waits; no time: it never is."""
        local = at.astimezone(ZONES[self.name])
        if self.restricted:
            return "restricted", at + HOUR
        if channel not in self.channels:
            return "channel_off", None
        if (channel, kind) in self.unsubscribed:
            return "unsubscribed", None
        if channel == "push" and not self.devices:
            return "no_device", None
        if channel == "push" and self.quiet and QUIET[0] <= local.time() < QUIET[1]:
            return "quiet_hours", local.replace(hour=QUIET[1].hour, minute=0, second=0, microsecond=0)
        return None, None


@dataclass(eq=False)
class Told:
    """What is known of a notification."""

    told: UUID
    person: Person
    channel: str
    kind: str
    key: str | None
    max_attempts: int
    due: datetime
    state: str = "pending"
    reason: str | None = None
    attempts: int = 0
    token: UUID | None = None
    history: list[tuple[UUID, str]] = field(default_factory=list)

    def end(self, state: str, reason: str | None = None) -> None:
        """It is settled for good."""
        self.state, self.reason, self.token = state, reason or self.reason, None

    def lose(self) -> None:
        """A worker that had it didn't come back."""
        if self.token:
            self.history.append((self.token, "lease_expired"))
            self.token = None

    def seen(self) -> tuple[object, ...]:
        """Return what SEEN shows of it."""
        queued = (self.due, self.attempts, self.token) if self.state == "pending" else (None, None, None)
        return (self.told, self.state, self.reason, *queued, [outcome for _, outcome in self.history] or None)


Lease = tuple[Told, Claimed]
Change = Callable[["Queue", str], None]
CHANGES: list[Change] = [
    lambda queue, name: queue.register(name, shared=True),
    lambda queue, name: queue.register(name, shared=True),
    lambda queue, name: queue.unregister(name),
    lambda queue, name: queue.unregister(name),
    lambda queue, name: queue.unsubscribe(name, "push", "tip"),
    lambda queue, name: queue.unsubscribe(name, "in_app", "news"),
    lambda queue, name: queue.prefer_channels(name, ["in_app"]),
    lambda queue, name: queue.keep_quiet(name, quiet=True),
    lambda queue, name: queue.restrict(name, restricted=True),
]
UNDO: list[Change] = [
    lambda queue, name: queue.register(name, shared=False),
    lambda queue, name: queue.subscribe(name),
    lambda queue, name: queue.prefer_channels(name, ["push", "in_app"]),
    lambda queue, name: queue.keep_quiet(name, quiet=False),
    lambda queue, name: queue.restrict(name, restricted=False),
]
people = st.sampled_from(["alice", "bob"])
channels = st.sampled_from(["push", "push", "in_app"])
kinds = st.sampled_from(["tip", "news"])
which = st.integers(0, 7)


class Queue(RuleBasedStateMachine):
    """Two people, their workers and providers, and a phone that both use."""

    leases = Bundle("leases")

    def __init__(self, desk: Desk, alice: Actor, bob: Actor) -> None:
        super().__init__()
        self.desk, self.now, self.instants = desk, NOON, itertools.count()
        self.people = {"alice": Person("alice", alice), "bob": Person("bob", bob)}
        self.everything: dict[UUID, Told] = {}
        for statement in CLEAR.split(";"):
            desk.service.rows(statement)
        for name in self.people:
            self.register(name, shared=False)

    def some(self, number: int, wanted: Callable[[Told], bool] = lambda told: True) -> Told | None:
        """Return one of the latest eight notifications of a sort, if there are any."""
        found = [told for told in self.everything.values() if wanted(told)][-8:]
        return found[number % len(found)] if found else None

    @initialize(target=leases, kind=kinds, key=st.sampled_from([None, "a"]), max_attempts=st.integers(1, 3))
    def begin(self, kind: str, key: str | None, max_attempts: int) -> MultipleResults[Lease]:
        """Something of each person's is leased already, and something waits."""
        for name in self.people:
            self.enqueue(name, "push", kind, key, 0, max_attempts)
        given = self.claim(0, 1000, None, "alice")
        for name in self.people:
            self.enqueue(name, "push", kind, key, 0, max_attempts)
            self.enqueue(name, "in_app", "news", None, 0, max_attempts)
        return given

    # The worker ------------------------------------------------------------------------------------------------------

    @rule(
        name=people, channel=channels, kind=kinds, key=st.sampled_from([None, "a", "b"]),
        minutes=st.sampled_from([0, 0, 0, 30, 120]), max_attempts=st.integers(1, 3),
    )  # fmt: skip
    def enqueue(self, name: str, channel: str, kind: str, key: str | None, minutes: int, max_attempts: int) -> None:
        """Now or for later, each at an instant of its own."""
        person, at = self.people[name], self.now + minutes * MINUTE
        options = {"scheduled_for": at, "dedup_key": key, "max_attempts": max_attempts}
        if person.restricted:
            sql = "SELECT pulsex.enqueue_notification(%s, %s, %s)"
            self.desk.worker.throws_ok(sql, "PT403", person.actor.user_id, channel, kind)
            return
        told = self.desk.enqueue(person.actor, channel, kind, **options)
        for other in self.everything.values():
            if key and (other.person, other.key, other.state) == (person, key, "pending"):
                assert told == other.told
                return
        assert told not in self.everything
        reason, until = person.verdict(channel, kind, at)
        state = "cancelled" if reason and not until else "pending"
        self.everything[told] = Told(
            told, person, channel, kind, key, max_attempts, max(at, until or at), state, reason
        )

    @rule(
        target=leases, minutes=st.sampled_from([0, 0, 3, 120]), limit=st.sampled_from([1, 1000, 1000]),
        change=st.sampled_from([None, *CHANGES]), name=people,
    )  # fmt: skip
    def claim(self, minutes: int, limit: int, change: Change | None, name: str) -> MultipleResults[Lease]:
        """What is due a while later, when somebody has changed their mind perhaps, and may be sent then.

        What may not is put off, cancelled or dead.
        """
        if change:
            change(self, name)
        self.now += minutes * MINUTE
        claimed = {one.notification_id: one for one in self.desk.claim(self.now, limit=limit)}
        after = {row[0]: row for row in self.desk.service.rows(SEEN)}
        given = []
        for told in self.everything.values():
            if told.state != "pending" or told.due > self.now:
                assert told.told not in claimed
                continue
            if limit == 1 and told.told not in claimed and after[told.told] == told.seen():
                continue  # its turn hasn't come, which it hasn't if something else was given
            reason, until = told.person.verdict(told.channel, told.kind, self.now)
            if told.person.restricted:
                told.due, told.token = until, None  # and nothing else of it changes
                continue
            told.lose()
            if told.attempts == told.max_attempts:
                told.end("dead", "out_of_attempts")
            elif until:
                told.due, told.reason = until, reason
            elif reason:
                told.end("cancelled", reason)
            else:
                one = claimed[told.told]
                told.attempts, told.token, told.due = told.attempts + 1, one.lease_token, self.now + LEASE
                tokens = {target.get("push_token") for target in one.targets}
                assert tokens == (set(told.person.devices) if told.channel == "push" else set())
                given.append((told, one))
        assert len(given) == len(claimed) <= limit
        return multiple(*given)

    @rule(lease=leases)
    def complete(self, lease: Lease) -> None:
        """With any lease that ever was: the one that holds, one that was settled, one that was lost."""
        told, claimed = lease
        if told.person.restricted:
            sql, values = settling("pulsex.complete_notification", claimed, at=self.now)
            self.desk.worker.throws_ok(sql, "PT403", *values)
        elif told.token == claimed.lease_token or (claimed.lease_token, "sent") in told.history:
            self.desk.complete(claimed, self.now)
            if told.token == claimed.lease_token:
                told.history.append((claimed.lease_token, "sent"))
                told.end("sent")
        else:
            sql, values = settling("pulsex.complete_notification", claimed, at=self.now)
            self.desk.worker.throws_ok(sql, "PT409", *values)

    @rule(lease=leases, permanent=st.booleans())
    def fail(self, lease: Lease, permanent: bool) -> None:
        """Likewise; it is tried again, unless it is refused or was the last attempt."""
        told, claimed = lease
        if told.person.restricted:
            sql, values = settling("pulsex.fail_notification", claimed, error="503", at=self.now)
            self.desk.worker.throws_ok(sql, "PT403", *values)
        elif told.token == claimed.lease_token:
            again = self.desk.fail(claimed, self.now, permanent=permanent)
            told.history.append((claimed.lease_token, "failed"))
            if permanent or told.attempts == told.max_attempts:
                assert again is None
                told.end("dead", "refused" if permanent else "out_of_attempts")
            else:
                assert timedelta(seconds=15) <= again - self.now <= HOUR
                told.due, told.token = again, None
        elif (claimed.lease_token, "failed") in told.history:
            self.desk.fail(claimed, self.now, permanent=permanent)
        else:
            sql, values = settling("pulsex.fail_notification", claimed, error="503", at=self.now)
            self.desk.worker.throws_ok(sql, "PT409", *values)

    @rule(number=which)
    def cancel(self, number: int) -> None:
        """Unless it is settled, or leased right now."""
        told = self.some(number)
        if told and told.person.restricted:
            sql = "SELECT pulsex.cancel_notification(%s, %s)"
            self.desk.worker.throws_ok(sql, "PT403", told.person.actor.user_id, told.told)
        elif told:
            possible = told.state == "pending" and not (told.token and told.due > self.now)
            assert self.desk.cancel(told.person.actor, told.told, self.now) is possible
            if possible:
                told.lose()
                told.end("cancelled", "called_off")

    @rule(number=which)
    def revive(self, number: int) -> None:
        """A dead letter, unless its occasion is announced by another."""
        if told := self.some(number, lambda told: told.state == "dead"):
            sql, person = "SELECT ops.revive_notification(%s, %s, %s)", told.person
            rival = told.key and any(
                (other.person, other.key, other.state) == (person, told.key, "pending")
                for other in self.everything.values()
            )
            if person.restricted or rival:
                sqlstate = "PT403" if person.restricted else "PT409"
                self.desk.worker.throws_ok(sql, sqlstate, person.actor.user_id, told.told, self.now)
            else:
                self.desk.worker.rows(sql, person.actor.user_id, told.told, self.now)
                told.state, told.reason, told.due = "pending", None, self.now
                told.attempts = len(told.history)
                told.max_attempts = told.attempts + 8

    # The people ------------------------------------------------------------------------------------------------------

    @rule(name=people, change=st.sampled_from(CHANGES))
    def change(self, name: str, change: Change) -> None:
        """A person changes their mind, or something about their phone."""
        change(self, name)

    @rule(name=people)
    def want_everything(self, name: str) -> None:
        """A person undoes whatever keeps them from being told things."""
        for change in UNDO:
            change(self, name)

    def register(self, name: str, shared: bool) -> None:
        """Sign in: on one's own phone, or on the one that both use."""
        token, person = "shared" if shared else f"{name}'s", self.people[name]
        sql = "SELECT pulsex.register_device(%s, 'ios', %s)"
        device_id = person.actor.value(sql, person.actor.user_id, token)
        for other in self.people.values():
            if other is not person and token in other.devices:
                self.lost_a_device(other, token, self.now - ASIDE)
        person.devices[token] = device_id

    def unregister(self, name: str) -> None:
        """The provider doesn't know the token any more."""
        if (person := self.people[name]).devices:
            token = max(person.devices)
            sql = "SELECT pulsex.retire_device(%s, %s, %s)"
            self.desk.worker.rows(sql, person.actor.user_id, person.devices[token], self.now)
            self.lost_a_device(person, token, self.now)

    def lost_a_device(self, person: Person, token: str, at: datetime) -> None:
        """With the last one, what waits to be pushed is cancelled."""
        del person.devices[token]
        for told in self.everything.values():
            leased = told.token and told.due > at
            waits = (told.person, told.channel, told.state) == (person, "push", "pending") and not leased
            if waits and not person.devices and not person.restricted:
                told.lose()
                told.end("cancelled", "no_device")

    def unsubscribe(self, name: str, channel: str, kind: str) -> None:
        """By the link in a message."""
        person = self.people[name]
        issue = "SELECT pulsex.issue_unsubscribe_token(%s, %s, %s)"
        if person.restricted:
            self.desk.worker.throws_ok(issue, "PT403", person.actor.user_id, channel, kind)
            return
        token = self.desk.worker.value(issue, person.actor.user_id, channel, kind)
        assert person.actor.value("SELECT pulsex.unsubscribe(%s)", token)
        person.unsubscribed.add((channel, kind))

    def subscribe(self, name: str) -> None:
        """To everything, signed in."""
        person = self.people[name]
        person.actor.rows("DELETE FROM pulsex.unsubscriptions WHERE user_id = %s", person.actor.user_id)
        person.unsubscribed.clear()

    def prefer_channels(self, name: str, wanted: list[str]) -> None:
        """Some, all or none."""
        self.desk.prefer(self.people[name].actor, channels=wanted)
        self.people[name].channels = set(wanted)

    def keep_quiet(self, name: str, quiet: bool) -> None:
        """In the morning, by one's own clock."""
        start, end = (str(hour) if quiet else None for hour in QUIET)
        self.desk.prefer(self.people[name].actor, quiet_hours_start=start, quiet_hours_end=end)
        self.people[name].quiet = quiet

    def restrict(self, name: str, restricted: bool) -> None:
        """Nobody works on what is theirs, for a while (GDPR, Art. 18)."""
        person = self.people[name]
        status = "restricted" if restricted else "active"
        sql = "UPDATE pulsex.users SET status = %s WHERE user_id = %s"
        self.desk.service.rows(sql, status, person.actor.user_id)
        person.restricted = restricted

    @invariant()
    def everything_is_as_the_model_has_it(self) -> None:
        """Every notification: its state and why, when it is due, who has it, and how each attempt ended."""
        want = [self.everything[told].seen() for told in sorted(self.everything)]
        self.desk.service.results_eq(SEEN, want)
