"""A database with enough in it for the planner to care, and a way to see the plans inside the routines."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import psycopg
import pytest

from tests import harness
from tests.actors import Actor

PEOPLE, READERS, DAYS = 5000, 400, 80
# People like Alice; some of them with her briefing of every day, some of those rated, and an inbox. Without triggers:
# what they would write, the log above all, is nothing that these queries read. Events are newer than the last vacuum.
LOAD = """
SET session_replication_role = replica;
SELECT ops.ensure_partitions(p_since => current_date - %(days)s);
INSERT INTO pulsex.users (display_name) SELECT 'Somebody' FROM generate_series(1, %(people)s);
INSERT INTO pulsex.user_preferences (user_id) SELECT user_id FROM pulsex.users ON CONFLICT DO NOTHING;
CREATE TEMP TABLE person AS SELECT user_id FROM pulsex.users ORDER BY user_id LIMIT %(readers)s;
CREATE TEMP TABLE example AS SELECT content, search FROM pulsex.briefings LIMIT 1;
INSERT INTO pulsex.briefings (user_id, briefing_date, title, content, search)
SELECT p.user_id, current_date - n, 'Briefing', e.content, e.search
FROM person AS p, example AS e, generate_series(1, %(days)s) AS n ON CONFLICT DO NOTHING;
INSERT INTO pulsex.briefing_feedback (user_id, briefing_date, edition, rating)
SELECT user_id, briefing_date, edition, 3 FROM pulsex.briefings WHERE extract(DAY FROM briefing_date) % 7 = 0
ON CONFLICT DO NOTHING;
INSERT INTO pulsex.notifications (user_id, channel, kind, state, sent_at, read_at)
SELECT p.user_id, 'in_app', 'briefing_ready', 'sent', now(), CASE WHEN n % 10 > 0 THEN now() END
FROM person AS p, generate_series(1, 40) AS n;
INSERT INTO auth.sessions (user_id, token_hash, family_id, expires_at)
SELECT user_id, sha256(uuid_send(uuidv7())), uuidv7(), now() + interval '1 day' FROM person, generate_series(1, 3);
VACUUM ANALYZE;
INSERT INTO pulsex.engagement_events (user_id, occurred_at, event_id, event_type)
SELECT p.user_id, now() - n * interval '15 minutes', uuidv7(), 'opened'
FROM generate_series(1, 600) AS n, (SELECT user_id FROM person ORDER BY user_id LIMIT 20) AS p;
ANALYZE pulsex.engagement_events
"""
# Plans of every statement, those inside routines too, sent to the client with what they really read.
AUTO_EXPLAIN = {
    "session_preload_libraries": "auto_explain",
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_analyze": "on",
    "auto_explain.log_buffers": "on",
    "auto_explain.log_nested_statements": "on",
    "auto_explain.log_format": "json",
    "auto_explain.log_level": "warning",
}


@dataclass
class Cost:
    """What a statement did, with all that ran inside it."""

    plans: list[dict] = field(repr=False)
    indexes: set[str] = field(default_factory=set)
    scanned: set[str] = field(default_factory=set)
    partitions: set[str] = field(default_factory=set)
    spilled: bool = False

    def __post_init__(self) -> None:
        for plan in self.plans:
            self._visit(plan["Plan"])

    def _visit(self, node: dict) -> None:
        if "Index Name" in node and node.get("Actual Loops"):
            self.indexes.add(re.sub(r"_\d{4}_\d{2}", "", node["Index Name"]))
        relation = node.get("Relation Name", "")
        if node["Node Type"] == "Seq Scan" and node["Shared Hit Blocks"] + node["Shared Read Blocks"] > 0:
            self.scanned.add(relation)  # a partition for a month to come is empty
        if re.search(r"_\d{4}_\d{2}$", relation) and node["Shared Hit Blocks"] + node["Shared Read Blocks"] > 0:
            self.partitions.add(relation)
        self.spilled |= node.get("Sort Space Type") == "Disk" or node.get("Temp Written Blocks", 0) > 0
        for child in node.get("Plans", []):
            self._visit(child)

    @property
    def buffers(self) -> int:
        """Pages that the whole statement read, from memory or not; the outermost plan counts what ran inside it too."""
        return max(plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"] for plan in self.plans)

    def __str__(self) -> str:
        return json.dumps([plan["Plan"] for plan in self.plans], indent=1)


@pytest.fixture(scope="session")
def crowded(server: harness.Server) -> Iterator[harness.Database]:
    """A database with hundreds of people in it besides the cast, in which pulsex_app's plans are shown."""
    url = server.clone()
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in LOAD.split(";\n"):
            connection.execute(
                statement, {"people": PEOPLE, "readers": READERS, "days": DAYS} if "%(" in statement else None
            )
        name = connection.info.dbname
        for setting, value in AUTO_EXPLAIN.items():
            connection.execute(f"ALTER ROLE pulsex_app IN DATABASE {name} SET {setting} = '{value}'")
    database = harness.Database(url, commits=False, cast=server.cast)
    yield database
    database.close()
    server.drop(url)


@pytest.fixture
def reader(crowded: harness.Database) -> Iterator[Actor]:
    """Alice among the crowd."""
    yield crowded.actor("alice", "pulsex_app", crowded.cast["alice"])
    crowded.end()


@pytest.fixture
def cost(reader: Actor) -> object:
    """Return a function that runs a statement as Alice until its plans are cached, and tells what the last run did."""

    def measure(sql: str, *args: object) -> Cost:
        said: list[str] = []
        for _ in range(7):
            reader.rows(sql, *args)
        reader.connection.add_notice_handler(handler := lambda notice: said.append(notice.message_primary))
        reader.rows(sql, *args)
        reader.connection.remove_notice_handler(handler)
        return Cost([json.loads(text.partition("plan:\n")[2]) for text in said if "plan:\n" in text])

    return measure
