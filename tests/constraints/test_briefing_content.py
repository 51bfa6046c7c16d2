"""pulsex.is_briefing_content: which documents are a briefing."""

from __future__ import annotations

import copy

import pytest
from psycopg.types.json import Jsonb

ITEM = {"id": "s1", "title": "A comet", "url": "https://example.com", "source": "Meridian", "summary": "Look west."}
SECTION = {"topic": "science", "headline": "The night sky", "items": [ITEM]}
DOCUMENT = {"sections": [SECTION]}
NOT_STRINGS = [None, 1, 1.5, True, [], ["a"], {}, {"a": "b"}]


def section(**change: object) -> dict:
    """Return a document with one section, changed."""
    return {"sections": [{**SECTION, **change}]}


def item(**change: object) -> dict:
    """Return a document with one item, changed."""
    return section(items=[{**ITEM, **change}])


def without(key: str, whole: dict) -> dict:
    """Return a copy without one key."""
    return {name: value for name, value in whole.items() if name != key}


GOOD = {
    "whole": DOCUMENT,
    "no sections": {"sections": []},
    "no items": section(items=[]),
    "two sections": {"sections": [SECTION, copy.deepcopy(SECTION)]},
    "two items": section(items=[ITEM, {**ITEM, "id": "s2"}]),
    "further keys at the top": {**DOCUMENT, "generator": {"model": 1}},
    "further keys in a section": section(rank=1),
    "further keys in an item": item(image=None),
    "empty strings but for the id": {
        "sections": [{"topic": "", "headline": "", "items": [{**dict.fromkeys(ITEM, ""), "id": "s"}]}]
    },
    "id of 1 character": item(id="é"),
    "id of 200 characters": item(id="é" * 200),
    "id of spaces": item(id=" "),
}
BAD = {
    **{f"scalar {scalar!r}": scalar for scalar in (1, "sections", True, False)},
    "null": None,
    "array": [],
    "array of a document": [DOCUMENT],
    "array of sections": ["sections"],
    "empty object": {},
    "other key": {"Sections": []},
    **{f"sections {value!r}": {"sections": value} for value in (None, 1, "a", True, {})},
    "sections a section": {"sections": SECTION},
    **{f"a section {value!r}": {"sections": [value]} for value in (None, 1, "a", True, {})},
    "second section bad": {"sections": [SECTION, {}]},
    **{f"section without {key}": {"sections": [without(key, SECTION)]} for key in SECTION},
    **{f"{key} {value!r}": section(**{key: value}) for key in ("topic", "headline") for value in NOT_STRINGS},
    **{f"items {value!r}": section(items=value) for value in (None, 1, "a", True, {})},
    "items an item": section(items=ITEM),
    **{f"an item {value!r}": section(items=[value]) for value in (None, 1, "a", True, {})},
    "second item bad": section(items=[ITEM, {}]),
    "item of the second section bad": {"sections": [SECTION, {**SECTION, "items": [without("id", ITEM)]}]},
    **{f"item without {key}": section(items=[without(key, ITEM)]) for key in ITEM},
    **{f"{key} {value!r}": item(**{key: value}) for key in ITEM for value in NOT_STRINGS},
    "empty id": item(id=""),
    "id of 201 characters": item(id="a" * 201),
    # Arrays where an object should be: a path in lax mode looks through them.
    "a section []": {"sections": [[]]},
    "a section in an array": {"sections": [[SECTION]]},
    "an item []": section(items=[[]]),
    "an item in an array": section(items=[[ITEM]]),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_briefing_is_one(service, name):
    """A document of the shape is true, whatever else it carries."""
    service.results_eq("SELECT pulsex.is_briefing_content(%s)", [(True,)], Jsonb(GOOD[name]))


@pytest.mark.parametrize("name", BAD)
def test_what_is_not_a_briefing_is_none(service, name):
    """A document of another shape is false: not null, which a CHECK would let pass, and not an error."""
    service.results_eq("SELECT pulsex.is_briefing_content(%s)", [(False,)], Jsonb(BAD[name]))


def test_no_document_is_no_briefing(service):
    """SQL NULL is false too."""
    service.results_eq("SELECT pulsex.is_briefing_content(NULL)", [(False,)])
