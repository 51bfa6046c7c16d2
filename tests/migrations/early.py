"""What people can do from migration 003 on, by SQL alone: the later migrations come and go beneath them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date

import psycopg

from tests.partitions.load import MARK_READ, RENAME, Load, Statement
from tests.pooler.crowd import Reader

READ = "SELECT title FROM pulsex.briefings WHERE user_id = %s"
READ_ALL = """SELECT u.display_name, p.max_items, count(b.briefing_date), count(f.rating), count(t.topic_id)
    FROM pulsex.users AS u
    LEFT JOIN pulsex.user_preferences AS p USING (user_id)
    LEFT JOIN pulsex.briefings AS b USING (user_id)
    LEFT JOIN pulsex.briefing_feedback AS f USING (user_id, briefing_date, edition)
    LEFT JOIN pulsex.user_topics AS t USING (user_id)
    WHERE u.user_id = %s GROUP BY u.user_id, u.display_name, p.max_items"""
RATE = """INSERT INTO pulsex.briefing_feedback (user_id, briefing_date, edition, rating)
    VALUES (%s, %s, 'morning', %s) ON CONFLICT ON CONSTRAINT briefing_feedback_pk
    DO UPDATE SET rating = excluded.rating"""
FOLLOW = """INSERT INTO pulsex.user_topics (user_id, topic_id) SELECT %s, topic_id FROM pulsex.topics
    ON CONFLICT ON CONSTRAINT user_topics_pk DO UPDATE SET weight = excluded.weight"""
UNFOLLOW = "DELETE FROM pulsex.user_topics WHERE user_id = %s"
PREFER = "UPDATE pulsex.user_preferences SET max_items = %s WHERE user_id = %s"


@dataclass
class Early(Load):
    """Reads and writes under row level security, in transactions that take the tables in one order and in the other.

    A person does one thing at a time: else these would deadlock by themselves, over the person's rows.
    """

    turns: defaultdict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))

    def acts(self, reader: Reader, day: date) -> list[tuple[str, *tuple[Statement, ...]]]:
        """Return what a person does."""
        me, rating = reader.user_id, self.dice.randint(1, 5)
        writes = [(RENAME, reader.name, me), (PREFER, rating, me), (FOLLOW, me), (RATE, me, day, rating)]
        return [
            ("reading", (READ, me)),
            ("reading everything", (READ_ALL, me)),
            ("marking read", (MARK_READ, me, day)),
            ("unfollowing", (UNFOLLOW, me)),
            ("writing in one order", *writes),
            ("writing in the other", *reversed(writes)),
        ]

    async def _as_person(self, app: psycopg.AsyncConnection, reader: Reader, kind: str, *statements: Statement) -> None:
        async with self.turns[reader.name]:
            await super()._as_person(app, reader, kind, *statements)

    async def arrivals(self) -> None:
        """Sign in, again and again."""
        async with self._client("pulsex_auth") as sign_in:
            while True:
                reader = self.dice.choice(self.readers)
                await self._run("signing in", sign_in, "SELECT auth.start_session(%s)", reader.user_id)
                self.record.transactions["signing in"] += 1


def work(load: Load, change: Callable[[], None], people: int = 4) -> None:
    """Let people and a publisher work through the pooler until a change is made; raises what anybody was told."""

    async def everybody() -> None:
        async with asyncio.TaskGroup() as group:
            at = [load.people] * people + [load.publishers, load.onlooker]
            if isinstance(load, Early):
                at.append(load.arrivals)
            tasks = [group.create_task(what()) for what in at]
            try:
                await asyncio.to_thread(change)
                await asyncio.sleep(0.2)  # afterwards too
            finally:
                for task in tasks:
                    task.cancel()

    asyncio.run(everybody())
