"""Briefings by the million: documents of words drawn as in a language, and COPY in binary form into the partitions."""

from __future__ import annotations

import json
import random
import re
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import psycopg

from bench import people
from pulsex.deploy import DB

DOCUMENTS = 5000
EACH = 10  # briefings of a person
# A quarter of the people each get a briefing daily, weekly, fortnightly, monthly; the last one today.
CADENCES = (1, 7, 14, 30)  # days
EPOCH = date(2000, 1, 1)  # PostgreSQL's
HEAD = struct.Struct("!h i16s i i i7s")  # 8 columns; user_id, briefing_date, edition
CHUNK = 1 << 20  # octets
COLUMNS = "user_id, briefing_date, edition, title, content, search, delivered_at, read_at"
# The document's part of a row, as COPY reads it in binary form; jsonb travels as a version and its text.
RENDER = """
SELECT int4send(octet_length(d.title)) || convert_to(d.title, 'UTF8')
    || int4send(octet_length(jsonb_send(d.content))) || jsonb_send(d.content)
    || int4send(octet_length(tsvectorsend(d.search))) || tsvectorsend(d.search)
FROM (
    SELECT title, content, pulsex.briefing_search(title, content, 'en') AS search
    FROM unnest(%s::text[], %s::jsonb[]) AS told (title, content)
) AS d
"""
DELIVERED_AND_READ = """
SELECT int4send(8) || timestamptz_send(now() - interval '2 hours') || int4send(8) || timestamptz_send(now())
"""


def vocabulary() -> list[str]:
    """Return the words of the development data's stories, the most frequent first."""
    text = (DB / "seed" / "stories.sql").read_text().lower()
    return [word for word, _ in Counter(re.findall(r"\b[a-z]{3,}\b", text)).most_common()]


def query_words() -> list[str]:
    """Return words that somebody may search for: not the very frequent ones."""
    return [word for word in vocabulary()[50:] if len(word) > 4]


def documents(count: int) -> Iterator[tuple[str, str]]:
    """Make titles and contents: three sections, four items, some 100 words, as frequent as their ranks say (Zipf)."""
    dice = random.Random(1)  # noqa: S311  # the same in every run
    words = vocabulary()
    weights = [1 / (rank + 3) for rank in range(len(words))]
    drawn = iter(())

    def text(length: int) -> str:
        nonlocal drawn
        taken: list[str] = []
        while len(taken) < length:
            word = next(drawn, None)
            if word is None:
                drawn = iter(dice.choices(words, weights, k=10_000))
            else:
                taken.append(word)
        return " ".join(taken).capitalize()

    for number in range(count):
        sections = [
            {
                "topic": f"topic-{dice.randint(1, 20)}",
                "headline": text(5),
                "items": [
                    {
                        "id": f"s{section + item + 1}",
                        "title": text(6),
                        "url": f"https://example.com/{number}/{section}/{item}",
                        "source": text(2),
                        "summary": text(12) + ".",
                    }
                    for item in range(2 if section == 2 else 1)
                ],
            }
            for section in range(3)
        ]
        yield text(6), json.dumps({"sections": sections})


@dataclass(frozen=True)
class Edition:
    """All briefings of a date, of those people, one in four, who have one every so many days."""

    day: date
    cadence: int


def editions(today: date) -> list[Edition]:
    """Return all there are, the oldest first."""
    there_are = [Edition(today - timedelta(days=i * cadence), cadence) for cadence in CADENCES for i in range(EACH)]
    return sorted(there_are, key=lambda edition: (edition.day, edition.cadence))


def by_month(today: date) -> dict[str, list[Edition]]:
    """Return them by the partition that they go into."""
    months: dict[str, list[Edition]] = {}
    for edition in editions(today):
        months.setdefault(f"pulsex.briefings_{edition.day:%Y_%m}", []).append(edition)
    return months


def rows(batch: Sequence[Edition], count: int, rendered: Sequence[bytes], times: bytes) -> Iterator[bytes]:
    """Write the rows of some dates, one date after the other, as briefings are published."""
    ids = [bytes.fromhex(people.user_id(number).replace("-", "")) for number in range(1, count + 1)]
    for edition in batch:
        day = (edition.day - EPOCH).days
        step, first = len(CADENCES), CADENCES.index(edition.cadence)
        shift = day * 7919  # another document each day
        for index in range(first, count, step):
            head = HEAD.pack(8, 16, ids[index], 4, day, 7, b"morning")
            yield head + rendered[(index * 31 + shift) % len(rendered)] + times


def copy(url: str, partition: str, batch: Sequence[Edition], count: int, rendered: Sequence[bytes]) -> None:
    """Load a partition: emptied and filled in one transaction, so that its rows are written frozen and without WAL."""
    with psycopg.connect(url) as connection:
        connection.execute("SET session_replication_role = replica")
        [times] = connection.execute(DELIVERED_AND_READ).fetchone()
        connection.execute(f"TRUNCATE {partition}")
        with connection.cursor().copy(f"COPY {partition} ({COLUMNS}) FROM STDIN WITH (FORMAT binary, FREEZE)") as into:
            into.write(b"PGCOPY\n\xff\r\n\0" + bytes(8))
            waiting = bytearray()
            for row in rows(batch, count, rendered, times):
                waiting += row
                if len(waiting) > CHUNK:
                    into.write(waiting)
                    waiting = bytearray()
            into.write(bytes(waiting) + b"\xff\xff")


def render(url: str, count: int) -> list[bytes]:
    """Return so many documents as COPY reads them, what they are found by worked out by the database."""
    told = list(documents(count))
    with psycopg.connect(url) as connection:
        return [row for (row,) in connection.execute(RENDER, [[t for t, _ in told], [c for _, c in told]]).fetchall()]
