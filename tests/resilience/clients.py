"""What each client of the crowd does: people, who publishes, tells, sends, erases and maintains."""

from __future__ import annotations

import hashlib
import itertools
import random
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import psycopg
from psycopg.types.json import Jsonb

from tests.cast import CONTENT, PASSWORD_HASH
from tests.resilience.ledger import Fact, Ledger

DAYS = 5
LENGTH = "12"  # items of a briefing, until a person wants more or fewer
TOPICS = ("science", "cities")
REGISTER = "SELECT auth.register_user(%s, %s, 'Somebody', 'Europe/Lisbon')"
PUBLISH = "SELECT pulsex.publish_briefing(%s, %s, %s, %s)"
CLAIM = "SELECT user_id, notification_id, lease_token FROM pulsex.claim_notifications(%s, %s, p_at => %s)"
OLD_PARTITION = """SELECT ops.make_next_partition(
    'pulsex', %s, 0, (now() AT TIME ZONE 'UTC' - interval '5 years')::date)"""
COMPLETE = "SELECT pulsex.complete_notifications(%s, %s, %s)"


def one(connection: psycopg.Connection, sql: str, *args: object) -> object:
    """Return the only column of the only row."""
    [value] = connection.execute(sql, args).fetchone()
    return value


def session_fact(token: str) -> Fact:
    """Return the key of the fact that a session is there."""
    return "session", token.partition(".")[0], hashlib.sha256(token.encode()).hexdigest()


def register(ledger: Ledger, sign_in: psycopg.Connection) -> str:
    """Register somebody; return their id."""
    with ledger.transaction(sign_in) as facts:
        user_id = str(one(sign_in, REGISTER, f"{uuid.uuid4().hex}@example.com", PASSWORD_HASH))
        facts["person", user_id] = "here"
        facts["length", user_id] = LENGTH
    return user_id


@dataclass
class Person:
    """Somebody who reads, rates and decides, in their session, of which they know the newest token."""

    ledger: Ledger
    dice: random.Random
    user_id: str
    days: list[date]
    token: str | None = None  # None: they must sign in
    handed_out: str | None = None
    roles: Sequence[str] = ("pulsex_app", "pulsex_auth")
    pace: float = 1

    def act(self, app: psycopg.Connection, sign_in: psycopg.Connection) -> str:
        """Do one of the things that people do."""
        if self.token is None:
            return self.sign_in(sign_in)
        acts = [self.read, self.rate, self.record, self.prefer, self.follow, self.unfollow, self.decide, self.rotate]
        [act] = self.dice.choices(acts, [6, 6, 6, 2, 1, 1, 1, 1])
        with self.ledger.transaction(app) as facts:
            app.execute("SELECT auth.use_session(%s)", [self.token])
            act(app, facts)
        self.token = self.token or self.handed_out
        return act.__name__

    def settle_in(self, app: psycopg.Connection, sign_in: psycopg.Connection) -> None:
        """Sign in for the first time, and let what one reads be counted."""
        self.sign_in(sign_in)
        with self.ledger.transaction(app) as facts:
            app.execute("SELECT auth.use_session(%s)", [self.token])
            self.consent(app, facts, "analytics", yes=True)
            self.prefer(app, facts)

    def sign_in(self, sign_in: psycopg.Connection) -> str:
        """Begin a session."""
        with self.ledger.transaction(sign_in) as facts:
            token = one(sign_in, "SELECT auth.start_session(%s)", self.user_id)
            facts[session_fact(token)] = "there"
        self.token = token
        return "sign_in"

    def read(self, app: psycopg.Connection, _: dict) -> None:
        """Read what was published: as many days as there were, and nobody else's."""
        [days] = app.execute("SELECT count(*) FROM pulsex.briefing_history(%s, NULL, 100)", [self.user_id]).fetchone()
        assert days == len(self.days), f"{days} briefings of {len(self.days)}"

    def rate(self, app: psycopg.Connection, facts: dict) -> None:
        """Rate a day, with another comment than ever before."""
        day, rating, comment = self.dice.choice(self.days), self.dice.randint(1, 5), uuid.uuid4().hex
        app.execute("SELECT pulsex.record_feedback(%s, %s, %s::smallint, %s)", [self.user_id, day, rating, comment])
        facts["rating", self.user_id, str(day)] = f"{rating} {comment}"

    def record(self, app: psycopg.Connection, facts: dict) -> None:
        """Record three events."""
        now = datetime.now(UTC).isoformat()
        ids = [str(uuid.uuid4()) for _ in range(3)]
        events = [{"event_id": event_id, "event_type": "opened", "occurred_at": now} for event_id in ids]
        recorded = one(app, "SELECT pulsex.record_events(%s, %s)", self.user_id, Jsonb(events))
        assert recorded == len(events)
        facts |= {("event", self.user_id, event_id): "opened" for event_id in ids}

    def prefer(self, app: psycopg.Connection, facts: dict) -> None:
        """Want longer or shorter briefings."""
        length = self.dice.randint(1, 50)
        app.execute("SELECT pulsex.update_preferences(%s, %s)", [self.user_id, Jsonb({"max_items": length})])
        facts["length", self.user_id] = str(length)

    def follow(self, app: psycopg.Connection, facts: dict) -> None:
        """Follow a topic."""
        topic = self.dice.choice(TOPICS)
        app.execute("SELECT pulsex.follow_topics(%s, ARRAY[%s])", [self.user_id, topic])
        facts["topic", self.user_id, topic] = "followed"

    def unfollow(self, app: psycopg.Connection, facts: dict) -> None:
        """Follow none."""
        app.execute("DELETE FROM pulsex.user_topics")
        facts |= {("topic", self.user_id, topic): None for topic in TOPICS}

    def decide(self, app: psycopg.Connection, facts: dict) -> None:
        """Say yes or no to marketing."""
        self.consent(app, facts, "marketing", yes=self.dice.random() < 0.5)

    def consent(self, app: psycopg.Connection, facts: dict, purpose: str, *, yes: bool) -> None:
        """Give or refuse consent, having read another version of the policy than ever before."""
        version = uuid.uuid4().hex
        app.execute("SELECT gdpr.record_consent(%s, %s, %s, %s)", [self.user_id, purpose, yes, version])
        facts["consent", self.user_id, purpose, version] = str(yes).lower()

    def rotate(self, app: psycopg.Connection, facts: dict) -> None:
        """Take a new token; who never hears whether it was given signs in again."""
        self.handed_out = one(app, "SELECT auth.rotate_session(%s)", self.token)
        facts[session_fact(self.handed_out)] = "there"
        self.token = None


@dataclass
class Publisher:
    """Publishes everybody's briefings, again and again."""

    ledger: Ledger
    dice: random.Random
    people: Sequence[Person]
    content: Callable[[], str] = lambda: CONTENT
    roles: Sequence[str] = ("pulsex_worker",)
    pace: float = 1

    def act(self, worker: psycopg.Connection) -> str:
        """Publish one again, with another title than ever before."""
        person = self.dice.choice(self.people)
        self.publish(worker, person.user_id, self.dice.choice(person.days))
        return "publish"

    def publish(self, worker: psycopg.Connection, user_id: str, day: date) -> None:
        """Publish the briefing of a person's day."""
        title = uuid.uuid4().hex
        with self.ledger.transaction(worker) as facts:
            version = one(worker, PUBLISH, user_id, day, self.content(), title)
            facts["briefing", user_id, str(day)] = f"{version} {title}"


@dataclass
class Notifier:
    """Tells people things."""

    ledger: Ledger
    dice: random.Random
    people: Sequence[Person]
    roles: Sequence[str] = ("pulsex_worker",)
    pace: float = 1

    def act(self, worker: psycopg.Connection) -> str:
        """Enqueue one, for which two senders need less time than this."""
        user_id = self.dice.choice(self.people).user_id
        with self.ledger.transaction(worker) as facts:
            told = one(worker, "SELECT pulsex.enqueue_notification(%s, 'in_app', 'tip')", user_id)
            facts["notification", user_id, str(told)] = "tip"
        return "enqueue"


@dataclass
class Sender:
    """Leases, sends, and settles what it has leased, also when the server was gone meanwhile."""

    ledger: Ledger
    dice: random.Random
    leased: list[tuple[tuple, bool]] = field(default_factory=list)  # and whether sending it will fail
    roles: Sequence[str] = ("pulsex_worker",)
    pace: float = 1

    def act(self, worker: psycopg.Connection) -> str:
        """Settle one that is leased, or lease some more."""
        if not self.leased:
            self.claim(worker, datetime.now(UTC), 5)
            return "claim"
        self.settle(worker, *self.leased[-1])
        self.leased.pop()
        return "settle"

    def claim(self, worker: psycopg.Connection, at: datetime, limit: int) -> bool:
        """Lease what is due; tell whether there was any."""
        with self.ledger.transaction(worker) as facts:
            leased = worker.execute(CLAIM, ["sender", limit, at]).fetchall()
            facts |= {("lease", str(user_id), str(told)): str(token) for user_id, told, token in leased}
        self.leased = [(lease, self.dice.random() < 0.1) for lease in leased]
        return bool(leased)

    def settle(self, worker: psycopg.Connection, lease: tuple, failed: bool) -> None:
        """Say that one was sent, or that it couldn't be; again, when nobody said that it was heard."""
        with self.ledger.transaction(worker) as facts:
            if failed:
                worker.execute("SELECT pulsex.fail_notification(%s, %s, %s, 'no answer')", lease)
            else:
                worker.execute("SELECT pulsex.complete_notification(%s, %s, %s)", lease)
            facts |= settled(lease, "failed" if failed else "sent")

    def drain(self, worker: psycopg.Connection) -> int:
        """Send all there is, whoever has leased it now, as time passes; return how many that were."""
        sent = 0
        for hours in range(0, 24 * 40, 6):  # leases end, retries come, nights pass
            at = datetime.now(UTC) + timedelta(hours=hours, minutes=3)
            while self.claim(worker, at, 1000):
                leases = [lease for lease, _ in self.leased]
                with self.ledger.transaction(worker) as facts:
                    unsettled = worker.execute(
                        COMPLETE, [list(column) for column in zip(*leases, strict=True)]
                    ).fetchall()
                    assert unsettled == []
                    for lease in leases:
                        facts |= settled(lease, "sent")
                sent += len(leases)
            if not one(worker, "SELECT sum(due + scheduled + leased) FROM ops.queue_health"):
                return sent
        raise AssertionError("the queue doesn't drain")


def settled(lease: tuple, outcome: str) -> dict[Fact, str | None]:
    """Return the facts that a lease has ended so."""
    user_id, told, token = map(str, lease)
    return {("attempt", user_id, told, token): outcome, ("lease", user_id, told): None}


@dataclass
class Eraser:
    """Registers people, lets them act, and erases them."""

    ledger: Ledger
    dice: random.Random
    asked: list[str] = field(default_factory=list)  # who was to be erased, since somebody looked
    roles: Sequence[str] = ("pulsex_privacy", "pulsex_auth", "pulsex_worker", "pulsex_app")
    pace: float = 20

    def act(self, privacy: psycopg.Connection, *others: psycopg.Connection) -> str:
        """One whole life."""
        sign_in, worker, app = others
        life = Ledger()
        try:
            person = Person(life, self.dice, register(life, sign_in), [datetime.now(UTC).date()])
            Publisher(life, self.dice, [person]).act(worker)
            person.settle_in(app, sign_in)
            for _ in range(3):
                person.act(app, sign_in)
            self.asked.append(person.user_id)
            with life.transaction(privacy) as facts:
                privacy.execute("SELECT gdpr.erase_user(%s, 'asked for it')", [person.user_id])
                facts |= dict.fromkeys(life.acknowledged)
        finally:
            self.ledger.merge(life)
        return "erase"

    def remains(self, privacy: psycopg.Connection) -> list[str]:
        """Return who was erased and yet has rows, or wasn't and has none; of those since the last time."""
        wrong = []
        for user_id in self.asked:
            is_gone = self.ledger.acknowledged["person", user_id] is None
            rows = privacy.execute("SELECT * FROM gdpr.find_personal_data(%s)", [user_id]).fetchall()
            if bool(rows) == is_gone:
                wrong.append(f"{user_id} {'was' if is_gone else 'was not'} erased, and has {rows}")
        self.asked.clear()
        return wrong


@dataclass
class Maintainer:
    """Runs maintenance and seals the audit log, and keeps the last digest."""

    ledger: Ledger
    digest: bytes | None = None
    roles: Sequence[str] = ("pulsex_worker",)
    pace: float = 20
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def act(self, worker: psycopg.Connection) -> str:
        """Seal, and now and then do everything, with an old partition to expire."""
        if next(self.numbers) % 20 == 10:
            for table in ("briefings", "engagement_events"):
                worker.execute(OLD_PARTITION, [table])
            worker.execute("CALL ops.run_maintenance()")
            return "maintain"
        with self.ledger.transaction(worker):
            digest = one(worker, "SELECT audit.seal()")
        self.digest = digest
        return "seal"


@dataclass
class Everybody:
    """All clients of a crowd."""

    url: str
    ledger: Ledger
    people: list[Person]
    senders: list[Sender]
    eraser: Eraser
    maintainer: Maintainer
    others: list[Publisher | Notifier]

    def drain(self) -> int:
        """Have one sender send all there is, whatever the others had leased; return how many that were."""
        self.ledger.forget("lease")
        for sender in self.senders:
            sender.leased.clear()
        with psycopg.connect(self.url, user="pulsex_worker", autocommit=True) as worker:
            return self.senders[0].drain(worker)

    def all(self) -> list[object]:
        """Return all of them."""
        return [*self.people, *self.senders, self.eraser, self.maintainer, *self.others]


def everybody(url: str, seed: int = 18, people: int = 4) -> Everybody:
    """Register people with consent and briefings, and return them with all who serve them."""
    dice = [random.Random(seed + number) for number in range(people + 5)]  # noqa: S311  # repeatable, not unguessable
    ledger = Ledger()
    today = datetime.now(UTC).date()
    persons = []
    publisher = Publisher(ledger, dice.pop(), persons)
    with (
        psycopg.connect(url, user="pulsex_auth", autocommit=True) as sign_in,
        psycopg.connect(url, user="pulsex_worker", autocommit=True) as worker,
        psycopg.connect(url, user="pulsex_app", autocommit=True) as app,
    ):
        for _ in range(people):
            days = [today - timedelta(days=days) for days in range(DAYS)]
            person = Person(ledger, dice.pop(), register(ledger, sign_in), days)
            persons.append(person)
            ledger.people.add(person.user_id)
            for day in days:
                publisher.publish(worker, person.user_id, day)
            person.settle_in(app, sign_in)
    return Everybody(
        url, ledger, persons, [Sender(ledger, dice.pop()), Sender(ledger, dice.pop())], Eraser(ledger, dice.pop()),
        Maintainer(ledger), [publisher, Notifier(ledger, dice.pop(), persons)],
    )  # fmt: skip
