"""Briefings to fill a table with: documents of made-up words, a few of which are frequent and most of them rare."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator

import psycopg

SYLLABLES = [consonant + vowel for consonant in "bdfgklmnprstvz" for vowel in "aeiou"]
VOCABULARY = ["".join(word) for word in itertools.islice(itertools.product(SYLLABLES, repeat=3), 0, 343_000, 83)]
LITTLE_WORDS = ("the", "of", "and", "to", "in", "a", "is", "that", "for", "it", "was", "on", "as", "with", "by", "from")
FREQUENT, RARE = VOCABULARY[0], VOCABULARY[-1]
TOPICS = ("business", "culture", "health", "local", "science", "sport", "technology", "world")

TABLE = """
CREATE SCHEMA bench;
CREATE TABLE bench.document (
    n integer PRIMARY KEY, title text NOT NULL, content jsonb STORAGE EXTERNAL NOT NULL,
    search tsvector STORAGE EXTERNAL
);  -- not compressed, so that whoever copies them compresses them
"""
SEARCH = "UPDATE bench.document SET search = pulsex.briefing_search(title, content, 'en')"


def documents(count: int, sections: int, items: int) -> Iterator[tuple[str, dict]]:
    """Yield so many titles and contents, the same ones in every run, of so many sections with so many items each."""
    chance = random.Random(1)  # noqa: S311  # the same documents in every run

    def words(number: int) -> str:
        # As in a language, of the words the first are the most frequent, and half of a text is little words.
        return " ".join(
            chance.choice(LITTLE_WORDS) if place % 2 else VOCABULARY[int(len(VOCABULARY) * chance.random() ** 4)]
            for place in range(number)
        )

    for number in range(count):
        content = [
            {
                "topic": chance.choice(TOPICS),
                "headline": words(7),
                "items": [
                    {
                        "id": f"item-{number}-{section}-{item}",
                        "title": words(7),
                        "url": f"https://example.com/{number}/{section}/{item}",
                        "source": f"source {chance.randrange(40)}",
                        "summary": words(20),
                    }
                    for item in range(items)
                ],
            }
            for section in range(sections)
        ]
        yield words(9), {"sections": content}


def store(dba: psycopg.Connection, count: int, sections: int, items: int) -> None:
    """Make the table bench.document and fill it with so many documents, numbered from 0."""
    dba.execute(TABLE)
    with dba.cursor().copy("COPY bench.document (n, title, content) FROM STDIN") as into:
        for number, (title, content) in enumerate(documents(count, sections, items)):
            into.write_row((number, title, json.dumps(content)))
    dba.execute(SEARCH)
    dba.execute("VACUUM ANALYZE bench.document")
