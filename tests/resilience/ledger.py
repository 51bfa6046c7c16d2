"""What clients were told is committed, what they never heard of, and whether the database says the same."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import psycopg

# Of each kind of fact all there are: the person's id, the rest of the key, and last the value.
FACTS = {
    "person": "SELECT user_id, 'here' FROM pulsex.users",
    "session": "SELECT user_id, encode(token_hash, 'hex'), 'there' FROM auth.sessions",
    "rating": "SELECT user_id, briefing_date, rating || ' ' || comment FROM pulsex.briefing_feedback",
    "event": "SELECT user_id, event_id, event_type FROM pulsex.engagement_events",
    "length": "SELECT user_id, max_items FROM pulsex.user_preferences",
    "topic": "SELECT user_id, slug, 'followed' FROM pulsex.user_topics INNER JOIN pulsex.topics USING (topic_id)",
    "consent": "SELECT user_id, purpose, policy_version, is_granted::text FROM gdpr.consents",
    "briefing": "SELECT user_id, briefing_date, version || ' ' || title FROM pulsex.briefings",
    "notification": "SELECT user_id, notification_id, kind FROM pulsex.notifications",
    "lease": """SELECT user_id, notification_id, lease_token FROM pulsex.notification_queue
        WHERE lease_token IS NOT NULL""",
    "attempt": """SELECT user_id, notification_id, lease_token, outcome FROM pulsex.notification_attempts
        WHERE outcome <> 'lease_expired'""",
}
Fact = tuple[str, ...]  # its kind, whose it is, and the rest of its key
LAST_WORDS = ("FATAL", "PANIC")


def broke(connection: psycopg.Connection, error: psycopg.Error) -> bool:
    """Tell whether an error was the end of the connection; the server says so a moment before it hangs up."""
    return connection.closed or error.diag.severity_nonlocalized in LAST_WORDS


@dataclass
class Ledger:
    """Facts by their keys: what was acknowledged, and what was asked for when the connection broke; None: not there.

    Each key is written by one client at a time, so none of this needs a lock.
    """

    people: set[str] = field(default_factory=set)  # whose facts are all written here, so that there are no others
    acknowledged: dict[Fact, str | None] = field(default_factory=dict)
    in_doubt: dict[Fact, set[str | None]] = field(default_factory=dict)
    commits: int = 0

    @contextlib.contextmanager
    def transaction(self, connection: psycopg.Connection) -> Iterator[dict[Fact, str | None]]:
        """One transaction, and the facts that it makes: true when the commit has returned, in doubt if it broke."""
        facts: dict[Fact, str | None] = {}
        try:
            with connection.transaction():
                yield facts
        except psycopg.Error as error:
            if broke(connection, error):
                for fact, value in facts.items():
                    self.in_doubt.setdefault(fact, set()).add(value)
            raise
        self.acknowledged |= facts
        self.commits += 1
        for fact in facts:
            self.in_doubt.pop(fact, None)

    def merge(self, other: Ledger) -> None:
        """Take over what somebody kept by themselves."""
        self.acknowledged |= other.acknowledged
        self.in_doubt |= other.in_doubt
        self.commits += other.commits

    def forget(self, kind: str) -> None:
        """Forget all facts of a kind."""
        self.acknowledged = {fact: value for fact, value in self.acknowledged.items() if fact[0] != kind}
        self.in_doubt = {fact: values for fact, values in self.in_doubt.items() if fact[0] != kind}

    def differences(self, connection: psycopg.Connection) -> list[str]:
        """Return what the database has otherwise than was acknowledged, or that nobody wrote; resolve what is in doubt.

        Whoever heard nothing of a lease can't know what was leased, so others than the acknowledged ones are no fault.
        """
        have = {
            (kind, *map(str, row[:-1])): str(row[-1]) for kind, sql in FACTS.items() for row in connection.execute(sql)
        }
        wrong = []
        for fact in self.acknowledged.keys() | self.in_doubt.keys():
            wanted = self.in_doubt.get(fact, set()) | {self.acknowledged.get(fact)}
            if have.get(fact) not in wanted:
                wrong.append(f"{fact} is {have.get(fact)}, not {wanted}")
        for fact in have.keys() - self.acknowledged.keys() - self.in_doubt.keys():
            if fact[1] in self.people and fact[0] != "lease":
                wrong.append(f"{fact} is {have[fact]}, which nobody wrote")
        self.acknowledged |= {fact: have.get(fact) for fact in self.in_doubt}
        self.in_doubt.clear()
        return wrong
