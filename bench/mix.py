"""What the app asks for, each request in its own transaction, and how often."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from bench import people
from bench.wire import Statement

APP, AUTH = "pulsex_app", "pulsex_auth"
EVENTS = 5  # in a batch
TYPES = ("opened", "section_viewed", "item_clicked", "item_saved", "dwell")
# One statement is a transaction, and proves its session, as README.md says of record_events.
TODAY = Statement("SELECT * FROM pulsex.todays_briefing(auth.use_session($1))")
HISTORY = Statement("SELECT * FROM pulsex.briefing_history(auth.use_session($1))")
SEARCH = Statement("SELECT * FROM pulsex.search_briefings(auth.use_session($1), $2)")
RECORD = Statement("SELECT pulsex.record_events(auth.use_session($1), $2)")
RATE = Statement("SELECT pulsex.record_feedback(auth.use_session($1), $2, $3)")
UNREAD = Statement("SELECT * FROM pulsex.unread_notifications(auth.use_session($1))")
PREFER = Statement("SELECT pulsex.update_preferences(auth.use_session($1), $2)")
# Signing in is three transactions, one after the other; the password is checked by the application, which isn't here.
CREDENTIAL = Statement("SELECT * FROM auth.login_credential($1)")
REMEMBER = Statement("SELECT auth.record_login($1, true)")
START = Statement("SELECT auth.start_session($1)")
ONE = Statement("SELECT 1")


@dataclass(frozen=True)
class Kind:
    """A kind of request: how often, as whom, and the messages of the next one, each sent when the last was answered."""

    name: str
    weight: int
    role: str
    make: Callable[[random.Random], Sequence[bytes]]


@dataclass(frozen=True)
class App:
    """The requests of so many people, who all have a briefing of ``today`` and search for ``words``."""

    count: int
    today: str
    words: Sequence[str]

    @property
    def kinds(self) -> list[Kind]:
        """Every kind, weighted in per cent."""
        return [
            Kind("today's briefing", 55, APP, lambda dice: [TODAY.packet(self._token(dice))]),
            Kind("history", 10, APP, lambda dice: [HISTORY.packet(self._token(dice))]),
            Kind("search", 5, APP, lambda dice: [SEARCH.packet(self._token(dice), dice.choice(self.words))]),
            Kind("record events", 10, APP, lambda dice: [RECORD.packet(self._token(dice), self._events(dice))]),
            Kind("feedback", 8, APP, self._rate),
            Kind("unread notifications", 7, APP, lambda dice: [UNREAD.packet(self._token(dice))]),
            Kind("preferences", 3, APP, self._prefer),
            Kind("log in", 2, AUTH, self._log_in),
        ]

    def _token(self, dice: random.Random) -> str:
        return people.token(dice.randint(1, self.count))

    def _rate(self, dice: random.Random) -> list[bytes]:
        return [RATE.packet(self._token(dice), self.today, str(dice.randint(1, 5)))]

    def _prefer(self, dice: random.Random) -> list[bytes]:
        return [PREFER.packet(self._token(dice), f'{{"max_items": {dice.randint(5, 50)}}}')]

    def _log_in(self, dice: random.Random) -> list[bytes]:
        number = dice.randint(1, self.count)
        user_id = people.user_id(number)
        return [CREDENTIAL.packet(people.email(number)), REMEMBER.packet(user_id), START.packet(user_id)]

    def _events(self, dice: random.Random) -> str:
        now = datetime.now(UTC).isoformat()
        return json.dumps([
            {
                "event_id": f"{(value := dice.getrandbits(128)) >> 96:08x}-{value >> 80 & 65535:04x}"
                f"-4{value >> 64 & 4095:03x}-8{value >> 52 & 4095:03x}-{value & (1 << 48) - 1:012x}",
                "event_type": kind,
                "occurred_at": now,
                "briefing_date": self.today,
                "edition": "morning",
                "item_id": f"s{dice.randint(1, 9)}",
                "properties": {"ms": dice.randrange(60_000)} if kind == "dwell" else {},
            }
            for kind in TYPES[:EVENTS]
        ])  # fmt: skip


@dataclass(frozen=True)
class Floor:
    """The least that can be asked: SELECT 1, of each role's clients as often as in the app."""

    @property
    def kinds(self) -> list[Kind]:
        """The one kind, of each role."""
        return [
            Kind("SELECT 1", 98, APP, lambda _: [ONE.packet()]),
            Kind("SELECT 1", 2, AUTH, lambda _: [ONE.packet()]),
        ]


Mix = App | Floor
