"""Which tables are audited and how, and which aren't and why: the catalogue must agree."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Audited:
    """A table: a change to Alice's row, as column and SQL; its key; what is withheld, digested, and not looked at."""

    change: tuple[str, str]
    key: tuple[str, ...] = ()
    withheld: tuple[str, ...] = ()
    digested: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    row: str = "true"  # which of Alice's rows, where she has several

    @property
    def arguments(self) -> list[str]:
        """Return the trigger's arguments after the table."""
        kinds = {"=": self.key, "-": self.withheld, "#": self.digested}
        return sorted(kind + column for kind, columns in kinds.items() for column in columns)


AUDITED = {
    "auth.identities": Audited(("verified_at", "'2026-01-01Z'"), key=("provider", "subject")),
    "auth.one_time_tokens": Audited(("attempts", "1"), key=("purpose",), withheld=("token_hash",)),
    "auth.passwords": Audited(
        ("changed_at", "'2026-01-01Z'"), withheld=("password_hash",), ignored=("failed_attempts", "locked_until")
    ),
    "auth.sessions": Audited(
        ("user_agent", "'a browser'"), key=("session_id",), withheld=("token_hash",), ignored=("last_used_at",)
    ),
    "gdpr.holds": Audited(("reason", "'another claim'"), key=("hold_id",)),
    "pulsex.briefing_feedback": Audited(("comment", "'good'"), key=("briefing_date", "edition", "item_id")),
    "pulsex.briefings": Audited(
        ("title", "'Another'"), key=("briefing_date", "edition"), withheld=("search",), digested=("content",)
    ),
    "pulsex.devices": Audited(
        ("platform", "'ios'"), key=("device_id",), digested=("push_token",), ignored=("last_seen_at",)
    ),
    "gdpr.consents": Audited(("", ""), key=("purpose", "revision")),
    "gdpr.requests": Audited(("details", "'All of it.'"), key=("request_id",)),
    "pulsex.notifications": Audited(
        ("read_at", "'2026-01-01Z'"), key=("notification_id",), row="kind = 'briefing_ready'"
    ),
    "pulsex.push_token_owners": Audited(("device_id", "device_id"), key=("push_token_hash",)),
    "pulsex.unsubscriptions": Audited(("created_at", "'2026-01-01Z'"), key=("channel", "kind")),
    "pulsex.user_preferences": Audited(("max_items", "7")),
    "pulsex.user_topics": Audited(("weight", "2"), key=("topic_id",)),
    "pulsex.users": Audited(("display_name", "'Alicia'")),
}
# What isn't updated or deleted by anybody, so only inserts are recorded.
APPEND_ONLY = {"gdpr.consents"}
EXEMPT = {
    "audit.events": "the log itself",
    "gdpr.inactivity_warnings": "worked out from when an account was last used",
    "pulsex.briefing_schedule": "a queue: what is due follows from zone and preferences, and leases are nobody's data",
    "pulsex.engagement_daily": "recomputed from engagement_events",
    "pulsex.engagement_events": "a log itself, of high volume and never changed",
    "pulsex.engagement_marks": "the insides of a count",
    "pulsex.notification_attempts": "a log itself",
    "pulsex.notification_queue": "the insides of a queue; the notification is audited",
    "pulsex.unsubscribe_tokens": "a link in a message, which is audited",
}
