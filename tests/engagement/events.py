"""Events as a device makes them, the rules they keep, written a second time, and a stage on which roles take turns."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

from psycopg.types.json import Jsonb

from tests.actors import Actor
from tests.cast import Person

TYPES = ("delivered", "opened", "section_viewed", "item_clicked", "item_saved", "shared", "dismissed", "dwell")
RECORD = "SELECT pulsex.record_events(%s, %s)"
OLDEST, NEWEST = timedelta(days=7), timedelta(minutes=5)
RFC_9562 = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-](0\d|1[0-5]):[0-5]\d)", re.ASCII)
ISO_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


def event(at: datetime, event_type: str = "opened", **changes: object) -> dict[str, object]:
    """Return an event that occurred at an instant, with an id of its own; a dwell of one second unless changed."""
    properties = {"properties": {"ms": 1000}} if event_type == "dwell" else {}
    made = {"event_id": str(uuid4()), "event_type": event_type, "occurred_at": at.isoformat()}
    return made | properties | changes


def first_flaw(events: Sequence[object], now: datetime) -> int | None:
    """Return the index of the first event of a batch that is refused, or None: the rules, in Python."""
    seen: dict[str, str] = {}
    for index, one in enumerate(events):
        if not isinstance(one, dict) or _is_flawed(one, now):
            return index
        text = json.dumps(one, sort_keys=True)
        if seen.setdefault(one["event_id"].lower(), text) != text:
            return index
    return None


def _is_flawed(one: dict[str, object], now: datetime) -> bool:
    known = {"event_id", "event_type", "occurred_at", "briefing_date", "edition", "item_id", "properties"}
    edition, item, properties = one.get("edition"), one.get("item_id"), one.get("properties")
    day = one.get("briefing_date")
    return not (
        one.keys() <= known
        and _matches(RFC_9562, one.get("event_id"))
        and one.get("event_type") in TYPES
        and _in_time(one.get("occurred_at"), now)
        and (day is None or (_matches(ISO_DATE, day) and _parses(date.fromisoformat, day)))
        and (edition is None or edition in ("morning", "evening"))
        and (item is None or (isinstance(item, str) and len(item) <= 200))
        and (properties is None or isinstance(properties, dict))
        and len(json.dumps(properties, ensure_ascii=False).encode()) <= 4096
        and (one["event_type"] != "dwell" or _is_dwell(properties))
    )


def _matches(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _parses(parse, text: str) -> bool:
    try:
        parse(text)
    except ValueError:
        return False
    return True


def _in_time(value: object, now: datetime) -> bool:
    if not _matches(RFC_3339, value) or not _parses(datetime.fromisoformat, value):
        return False
    try:
        at = datetime.fromisoformat(value).astimezone(UTC)
    except OverflowError:
        return False
    return now - OLDEST <= at <= now + NEWEST


def _is_dwell(properties: object) -> bool:
    ms = properties.get("ms") if isinstance(properties, dict) else None
    return isinstance(ms, int | float) and not isinstance(ms, bool) and 0 <= ms <= 86400000


@dataclass
class Stage:
    """One transaction of the superuser's, who becomes each real role in turn."""

    dba: Actor
    person: Person
    now: datetime

    @property
    def midnight(self) -> datetime:
        """When the day (UTC) before today begins: a whole day whose every instant may be sent now."""
        today = self.now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        return today - timedelta(days=1)

    @property
    def day(self) -> date:
        """That day."""
        return self.midnight.date()

    def _as(self, role: str) -> Actor:
        self.dba.rows(f"SET LOCAL ROLE {role}")
        return self.dba

    def service(self) -> Actor:
        """The owner of the definer routines."""
        return self._as("pulsex_service")

    def worker(self) -> Actor:
        """The background jobs."""
        return self._as("pulsex_worker")

    def analyst(self) -> Actor:
        """The analyst."""
        return self._as("pulsex_analyst")

    def alice(self) -> Actor:
        """Alice, in her session."""
        self._as("pulsex_app").rows("SELECT auth.use_session(%s)", self.person.token)
        return self.dba

    def record(self, *events: dict[str, object]) -> int:
        """Send a batch as Alice; return how many were new."""
        return self.alice().value(RECORD, self.person.user_id, Jsonb(events))

    def put(self, user_id: object, *events: dict[str, object]) -> None:
        """Store events of anybody as the service does, past the validation of times and without marks."""
        self.service().rows(
            """INSERT INTO pulsex.engagement_events
                (user_id, occurred_at, event_id, event_type, briefing_date, edition, item_id, properties)
            SELECT %s, e.occurred_at, e.event_id, e.event_type, e.briefing_date, e.edition, e.item_id,
                coalesce(e.properties, '{}')
            FROM jsonb_populate_recordset(NULL::pulsex.engagement_events, %s) AS e""",
            user_id,
            Jsonb(events),
        )

    def totals(self) -> list[tuple]:
        """Alice's totals: day, type, events, milliseconds."""
        return self.service().rows(
            """SELECT day, event_type, events, dwell_ms FROM pulsex.engagement_daily
            WHERE user_id = %s ORDER BY day, event_type""",
            self.person.user_id,
        )
