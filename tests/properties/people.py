"""People acting at random on PulseX, each action followed by the same one on a model, which the database must equal.

The database's clock isn't used: "today" is a parameter, and time passes for a person when their sessions and locks are
moved into the past.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, MultipleResults, RuleBasedStateMachine, initialize, invariant, multiple, rule

from tests.actors import Actor
from tests.cast import PASSWORD_HASH

ZONES = {  # hours ahead of UTC, in every season
    "UTC": 0.0,
    "Pacific/Kiritimati": 14.0,
    "Etc/GMT+12": -12.0,
    "Asia/Kolkata": 5.5,
}
GRACE = timedelta(seconds=30)
LIFETIME = timedelta(days=30)
# Added to each lock, the shortest of which would be over before the next step.
LOCK = timedelta(hours=1)
HALF_A_MINUTE, A_NIGHT, A_MONTH = timedelta(seconds=31), timedelta(hours=8), timedelta(days=31)

# All that a person can see of what the model knows.
SEE = """
SELECT jsonb_build_object(
    'user', (SELECT jsonb_agg(jsonb_build_array(user_id, time_zone)) FROM pulsex.users),
    'preferences', (SELECT jsonb_agg(jsonb_build_array(user_id, max_items)) FROM pulsex.user_preferences),
    'topics', (
        SELECT jsonb_agg(jsonb_build_array(u.user_id, t.slug) ORDER BY t.slug)
        FROM pulsex.user_topics AS u JOIN pulsex.topics AS t USING (topic_id)
    ),
    'briefings', (
        SELECT jsonb_agg(
            jsonb_build_array(
                user_id, briefing_date, edition, version, title, content #>> '{sections,0,headline}',
                read_at IS NOT NULL
            ) ORDER BY user_id, briefing_date, edition
        ) FROM pulsex.briefings
    ),
    'ratings', (
        SELECT jsonb_agg(
            jsonb_build_array(user_id, briefing_date, edition, item_id, rating, comment)
            ORDER BY user_id, briefing_date, edition, item_id
        ) FROM pulsex.briefing_feedback
    )
)
"""
PASS_TIME = """
WITH passwords AS (
    UPDATE auth.passwords SET locked_until = locked_until - %(time)s WHERE user_id = %(user_id)s
)
UPDATE auth.sessions
SET created_at = created_at - %(time)s, last_used_at = last_used_at - %(time)s, expires_at = expires_at - %(time)s,
    revoked_at = revoked_at - %(time)s
WHERE user_id = %(user_id)s
"""
RATE = "SELECT pulsex.record_feedback(%s, %s, %s::smallint, %s, %s, %s)"
# What anybody may try on somebody else, and how it ends: SQLSTATE, or None for not a row seen or touched.
INTRUSIONS = {
    "SELECT 1 FROM pulsex.briefings WHERE user_id = %s": None,
    "SELECT 1 FROM pulsex.briefing_history(%s)": None,
    "SELECT 1 FROM generate_series(-2, 2) AS d, pulsex.todays_briefing(%s, p_at => now() + d * interval '1 day')": None,
    "UPDATE pulsex.users SET display_name = 'Mallory' WHERE user_id = %s RETURNING 1": None,
    "UPDATE pulsex.briefings SET read_at = now() WHERE user_id = %s RETURNING 1": None,
    "UPDATE pulsex.briefing_feedback SET rating = 1 WHERE user_id = %s RETURNING 1": None,
    "DELETE FROM pulsex.briefing_feedback WHERE user_id = %s RETURNING 1": None,
    "DELETE FROM pulsex.user_topics WHERE user_id = %s RETURNING 1": None,
    "UPDATE pulsex.briefing_feedback SET user_id = %s": "42501",
    "INSERT INTO pulsex.user_topics (user_id, topic_id) SELECT %s, topic_id FROM pulsex.topics": "42501",
    "SELECT pulsex.record_feedback(%s, current_date, 1::smallint)": "42501",
    "SELECT pulsex.follow_topics(%s, '{science}')": "42501",
    """SELECT pulsex.update_preferences(%s, '{"max_items": 1}')""": "PT404",
    "SELECT auth.end_all_sessions(%s)": "PT403",
    "SELECT auth.start_session(%s)": "42501",
}


@dataclass(frozen=True)
class Town:
    """Where the people live: a database, as each role reaches it, and the date it is there."""

    app: Actor
    sign_in: Actor
    worker: Actor
    dba: Actor
    today: date
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def at(self, token: str | None = None) -> Actor:
        """Return the application's connection, in the session of a token or in nobody's."""
        return Actor(self.app.connection, token=token, commits=True)


@dataclass
class Briefing:
    """A published briefing: how often it changed, what it says, whether it was read."""

    version: int
    title: str
    headline: str
    read: bool = False


@dataclass(eq=False)
class Person:
    """All that is known of a person."""

    user_id: UUID
    email: str
    zone: str
    now: timedelta = timedelta()  # since they joined, by the time that the machine lets pass
    max_items: int = 12
    failures: int = 0
    locked_until: timedelta | None = None
    topics: set[str] = field(default_factory=set)
    briefings: dict[tuple[date, str], Briefing] = field(default_factory=dict)
    ratings: dict[tuple[date, str, str], tuple[int, str | None]] = field(default_factory=dict)
    tokens: list[Token] = field(default_factory=list)

    @property
    def locked(self) -> bool:
        """Whether a login is refused without a look at the password."""
        return self.locked_until is not None and self.locked_until > self.now

    def sees(self) -> dict[str, list | None]:
        """Return what SEE shows this person."""
        me = str(self.user_id)
        return {
            "user": [[me, self.zone]],
            "preferences": [[me, self.max_items]],
            "topics": [[me, slug] for slug in sorted(self.topics)] or None,
            "briefings": [
                [me, str(day), edition, b.version, b.title, b.headline, b.read]
                for (day, edition), b in sorted(self.briefings.items())
            ]
            or None,
            "ratings": [
                [me, str(day), edition, item, *rating] for (day, edition, item), rating in sorted(self.ratings.items())
            ]
            or None,
        }


@dataclass(eq=False)
class Token:
    """A session token that was once handed out."""

    text: str
    person: Person
    family: object
    expires: timedelta
    revoked: timedelta | None = None

    @property
    def expired(self) -> bool:
        """Whether its time has run out."""
        return self.expires <= self.person.now

    @property
    def ended(self) -> bool:
        """Whether it was revoked, with no grace left."""
        return self.revoked is not None and self.revoked <= self.person.now

    @property
    def works(self) -> bool:
        """Whether it still proves a session."""
        return not self.expired and not self.ended

    def end_family(self) -> None:
        """End everything that descends from the same sign-in."""
        for token in self.person.tokens:
            if token.family is self.family and not token.ended:
                token.revoked = self.person.now


numbers = st.integers(0, 3)
days = st.integers(-1, 1)
editions = st.sampled_from(["morning", "evening"])
items = st.sampled_from(["", "s1"])
texts = st.sampled_from(["Rain", "Sun", "Snow"])
zones = st.sampled_from(sorted(ZONES))


class People(RuleBasedStateMachine):
    """Three or four people, and what each of them sees."""

    tokens = Bundle("tokens")

    def __init__(self, town: Town) -> None:
        super().__init__()
        self.town = town
        self.everybody: list[Person] = []

    def _remember(self, text: object, person: Person, family: object) -> Token:
        token = Token(str(text), person, family, person.now + LIFETIME)
        person.tokens.append(token)
        return token

    # Signing in ------------------------------------------------------------------------------------------------------

    @initialize(target=tokens, first=zones, second=zones, third=zones)
    def three_people_join(self, first: str, second: str, third: str) -> MultipleResults[Token]:
        """Nobody is ever alone, and everybody begins with a session and a briefing that they rated."""
        for zone in (first, second, third):
            self._join(zone)
        return multiple(*(self._settle(person) for person in self.everybody))

    @rule(zone=zones)
    def join(self, zone: str) -> None:
        """A fourth person registers, later; or somebody tries an address that is taken."""
        if len(self.everybody) < 4:
            self._join(zone)
        else:
            taken = self.everybody[0].email.upper()
            self.town.sign_in.throws_ok("SELECT auth.register_user(%s, %s, 'X')", "PT409", taken, PASSWORD_HASH)

    def _join(self, zone: str) -> None:
        email = f"person{next(self.town.numbers)}@example.com"
        registered = "SELECT auth.register_user(%s, %s, 'Somebody', %s)"
        user_id = self.town.sign_in.value(registered, email, PASSWORD_HASH, zone)
        self.everybody.append(Person(user_id, email, zone))

    def _settle(self, person: Person) -> Token:
        number = self.everybody.index(person)
        token = self.log_in(number)
        self.publish(number, 0, "morning", "Rain", "Rain")
        self.rate(token, 0, "morning", "", 4, None)
        return token

    def _person(self, number: int) -> Person:
        return self.everybody[number % len(self.everybody)]

    @rule(target=tokens, number=numbers)
    def log_in(self, number: int) -> Token | MultipleResults[Token]:
        """With the right password."""
        person = self._person(number)
        if not self._credential(person):
            return multiple()
        self.town.sign_in.lives_ok("SELECT auth.record_login(%s, true)", person.user_id)
        person.failures, person.locked_until = 0, None
        return self._remember(
            self.town.sign_in.value("SELECT auth.start_session(%s)", person.user_id), person, family=object()
        )

    def _session(self, number: int) -> Token:
        """Return what a person reads with: their newest session, or a new one, with a new password where it must be."""
        person = self._person(number)
        for token in reversed(person.tokens):
            if token.works:
                return token
        if person.locked:
            self.reset_password(number)
        return self.log_in(number)

    @rule(number=numbers)
    def mistype_password(self, number: int) -> None:
        """A wrong password locks the login for a while."""
        person = self._person(number)
        if not self._credential(person):
            return
        self.town.sign_in.lives_ok("SELECT auth.record_login(%s, false)", person.user_id)
        longer = "UPDATE auth.passwords SET locked_until = locked_until + %s WHERE user_id = %s"
        self.town.dba.lives_ok(longer, LOCK, person.user_id)
        person.locked_until = person.now + LOCK + timedelta(seconds=2 ** min(person.failures, 12))
        person.failures += 1

    def _credential(self, person: Person) -> bool:
        """Ask for what a password is checked against; return False where it is refused, as it should be."""
        ask = "SELECT user_id, password_hash FROM auth.login_credential(%s)"
        if person.locked:
            self.town.sign_in.throws_ok(ask, "PT423", person.email)
            return False
        self.town.sign_in.results_eq(ask, [(person.user_id, PASSWORD_HASH)], person.email)
        return True

    @rule(number=numbers)
    def reset_password(self, number: int) -> None:
        """By mail: whoever knew the old one is out."""
        person = self._person(number)
        issue = "SELECT auth.issue_one_time_token(%s, 'reset_password')"
        token = self.town.sign_in.value(issue, person.user_id)
        reset = "SELECT auth.reset_password(%s, %s, %s)"
        self.town.sign_in.results_eq(reset, [(True,)], person.user_id, token, PASSWORD_HASH)
        person.failures, person.locked_until = 0, None
        for token in person.tokens:
            token.end_family()

    @rule(token=tokens)
    def use(self, token: Token) -> None:
        """Any token ever handed out: it proves whose it is, or nothing."""
        self._act(token, "SELECT auth.current_user_id()", rows=[(token.person.user_id,)])

    @rule(token=tokens)
    def log_out(self, token: Token) -> None:
        """Here, and wherever the same sign-in went."""
        if token.expired:
            self.town.at().throws_ok("SELECT auth.end_session(%s)", "PT401", token.text)
        else:
            self.town.at().lives_ok("SELECT auth.end_session(%s)", token.text)
            token.end_family()

    @rule(token=tokens)
    def log_out_everywhere(self, token: Token) -> None:
        """Every session of this person, this one too."""
        if self._act(token, "SELECT auth.end_all_sessions(%s)", token.person.user_id):
            for other in token.person.tokens:
                other.end_family()

    @rule(target=tokens, token=tokens)
    def rotate(self, token: Token) -> Token | MultipleResults[Token]:
        """A new token for an old one; one that is too old ends them all."""
        if token.expired:
            self.town.at().throws_ok("SELECT auth.rotate_session(%s)", "PT401", token.text)
            return multiple()
        if token.ended:
            self.town.at().results_eq("SELECT auth.rotate_session(%s)", [(None,)], token.text)
            token.end_family()
            return multiple()
        new = self.town.at().value("SELECT auth.rotate_session(%s)", token.text)
        if token.revoked is None:
            token.revoked = token.person.now + GRACE
        return self._remember(new, token.person, token.family)

    @rule(token=tokens)
    def replay(self, token: Token) -> None:
        """Somebody who got hold of an old token rotates it half a minute after its owner did, and so ends both."""
        self.rotate(token)
        self.time_passes(self.everybody.index(token.person), HALF_A_MINUTE)
        self.rotate(token)
        for other in token.person.tokens:
            self.use(other)

    @rule()
    def rotate_signing_key(self) -> None:
        """Which nobody should notice."""
        self.town.dba.lives_ok("SELECT auth.rotate_signing_key()")

    @rule(number=numbers, time=st.sampled_from([HALF_A_MINUTE, A_NIGHT, A_MONTH]))
    def time_passes(self, number: int, time: timedelta) -> None:
        """Graces end after half a minute, locks after a night, sessions after a month."""
        person = self._person(number)
        self.town.dba.connection.execute(PASS_TIME, {"time": time, "user_id": person.user_id})
        person.now += time

    # Reading and rating ----------------------------------------------------------------------------------------------

    @rule(number=numbers, day=days, edition=editions, title=texts, headline=texts)
    def publish(self, number: int, day: int, edition: str, title: str, headline: str) -> None:
        """The worker does, for anybody, again and again."""
        person = self._person(number)
        item = {"id": "s1", "title": "A", "url": "https://example.com", "source": "B", "summary": "C"}
        content = json.dumps({"sections": [{"topic": "science", "headline": headline, "items": [item]}]})
        key = (self.town.today + timedelta(days=day), edition)
        old = person.briefings.get(key)
        if old is None:
            person.briefings[key] = Briefing(1, title, headline)
        elif (old.title, old.headline) != (title, headline):
            person.briefings[key] = Briefing(old.version + 1, title, headline, old.read)
        call = "SELECT pulsex.publish_briefing(%s, %s, %s, %s, %s)"
        want = [(person.briefings[key].version,)]
        self.town.worker.results_eq(call, want, person.user_id, key[0], content, title, edition)

    @rule(number=numbers)
    def read_todays(self, number: int) -> None:
        """Today is the date where the person lives, whatever the hour."""
        person = self._person(number)
        midnight = datetime.combine(self.town.today, datetime.min.time(), UTC)
        rows = [
            (hour, day, edition, briefing.version)
            for hour in range(24)
            for (day, edition), briefing in sorted(person.briefings.items())
            if day == (midnight + timedelta(hours=hour + ZONES[person.zone])).date()
        ]
        call = """
            SELECT hour, b.briefing_date, b.edition, b.version
            FROM generate_series(0, 23) AS hour, unnest('{evening,morning}'::text[]) AS edition,
                pulsex.todays_briefing(%s, edition, %s + hour * interval '1 hour') AS b
            ORDER BY 1, 3
        """
        self._act(self._session(number), call, person.user_id, midnight, rows=rows)

    @rule(number=numbers, before=st.none() | st.integers(-1, 2), limit=st.integers(0, 3))
    def read_history(self, number: int, before: int | None, limit: int) -> None:
        """A page of it, newest first, both editions of its last date."""
        token = self._session(number)
        person = token.person
        end = None if before is None else self.town.today + timedelta(days=before)
        dates = sorted({day for day, _ in person.briefings if end is None or day < end}, reverse=True)
        page = [(d, e, b.version) for d in dates for (day, e), b in sorted(person.briefings.items()) if day == d]
        rows = [row for row in page if limit and row[0] >= page[:limit][-1][0]]
        call = "SELECT briefing_date, edition, version FROM pulsex.briefing_history(%s, %s, %s) ORDER BY 1 DESC, 2"
        self._act(token, call, person.user_id, end, limit, rows=rows, error=None if limit else "PT422")

    @rule(number=numbers)
    def mark_everything_read(self, number: int) -> None:
        """Everything there is, as far as the statement says."""
        token = self._session(number)
        if self._act(token, "UPDATE pulsex.briefings SET read_at = now()"):
            for briefing in token.person.briefings.values():
                briefing.read = True

    @rule(token=tokens, day=days, edition=editions, item=items, rating=st.integers(0, 6), comment=st.none() | texts)
    def rate(self, token: Token, day: int, edition: str, item: str, rating: int, comment: str | None) -> None:
        """A briefing or an item, again and again, with as many stars as there are."""
        person, date = token.person, self.town.today + timedelta(days=day)
        error = None if (date, edition) in person.briefings else "PT404"
        error = error if 1 <= rating <= 5 else "23514"
        if self._act(token, RATE, person.user_id, date, rating, comment, edition, item, error=error):
            person.ratings[date, edition, item] = (rating, comment)

    @rule(token=tokens, day=days, edition=editions, item=items)
    def take_rating_back(self, token: Token, day: int, edition: str, item: str) -> None:
        """One of them."""
        key = (self.town.today + timedelta(days=day), edition, item)
        delete = "DELETE FROM pulsex.briefing_feedback WHERE (briefing_date, edition, item_id) = (%s, %s, %s)"
        if self._act(token, delete, *key):
            token.person.ratings.pop(key, None)

    @rule(token=tokens)
    def take_every_rating_back(self, token: Token) -> None:
        """Every one there is, as far as the statement says."""
        if self._act(token, "DELETE FROM pulsex.briefing_feedback"):
            token.person.ratings.clear()

    # Preferences -----------------------------------------------------------------------------------------------------

    @rule(number=numbers, slugs=st.lists(st.sampled_from(["science", "cities", "astrology"]), max_size=2))
    def follow(self, number: int, slugs: list[str]) -> None:
        """Topics that there are; with one that there isn't, none."""
        token = self._session(number)
        error = "PT422" if "astrology" in slugs else None
        if self._act(token, "SELECT pulsex.follow_topics(%s, %s)", token.person.user_id, slugs, error=error):
            token.person.topics.update(slugs)

    @rule(number=numbers, slug=st.sampled_from(["science", "cities"]))
    def unfollow(self, number: int, slug: str) -> None:
        """A topic, followed or not."""
        token = self._session(number)
        topic = "(SELECT topic_id FROM pulsex.topics WHERE slug = %s)"
        if self._act(token, f"DELETE FROM pulsex.user_topics WHERE topic_id = {topic}", slug):
            token.person.topics.discard(slug)

    @rule(number=numbers, items=st.sampled_from([0, 1, 50, 51]))
    def prefer(self, number: int, items: int) -> None:
        """A length that a briefing can have."""
        token = self._session(number)
        call = "SELECT pulsex.update_preferences(%s, jsonb_build_object('max_items', %s::int))"
        if self._act(token, call, token.person.user_id, items, error=None if 1 <= items <= 50 else "23514"):
            token.person.max_items = items

    # Other people's --------------------------------------------------------------------------------------------------

    @rule(token=tokens, number=numbers)
    def intrude(self, token: Token, number: int) -> None:
        """Whoever isn't the person, or no longer proves it, gets at nothing of theirs."""
        victim = self._person(number)
        if token.works and token.person is victim:
            return
        intruder = self.town.at(token.text if token.works else None)
        for intrusion, error in INTRUSIONS.items():
            if error:
                intruder.throws_ok(intrusion, error, victim.user_id)
            else:
                intruder.is_empty(intrusion, victim.user_id)

    @invariant()
    def everybody_sees_what_the_model_says(self) -> None:
        """And nobody sees nothing."""
        for person in self.everybody:
            for token in [token for token in person.tokens if token.works][-1:]:
                self.town.at(token.text).results_eq(SEE, [(person.sees(),)])
        self.town.at().results_eq(SEE, [(dict.fromkeys(Person(UUID(int=0), "", "").sees()),)])

    def _act(
        self, token: Token, sql: str, *args: object, rows: list[tuple] | None = None, error: str | None = None
    ) -> bool:
        """Act in a token's session: refused, or failing with ``error``, or returning ``rows``; tell if it was done."""
        actor = self.town.at(token.text)
        if not token.works or error:
            actor.throws_ok(sql, error if token.works else "PT401", *args)
            return False
        if rows is None:
            actor.lives_ok(sql, *args)
        else:
            actor.results_eq(sql, rows, *args)
        return True
