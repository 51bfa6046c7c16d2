"""Whatever a device sends, record_events says yes, or no and why: checked against the rules in Python."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from uuid import uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.engagement.events import NEWEST, OLDEST, TYPES, event, first_flaw

SEND = "SELECT pulsex.record_events(%s, %s::jsonb)"
NO_JSON = {"22P02", "22P05"}  # of the cast to jsonb: not JSON, or a NUL character
EXAMPLES = settings(
    max_examples=100,
    deadline=None,
    # Each example is rolled back to a savepoint of the test's one transaction.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

words = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12),
    st.sampled_from(
        ["", "NaN", "null", "now", "infinity", "morning", "noon", "opened", "2026-02-30", "🌒" * 200, "x" * 201]
    ),
)
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 5), st.sampled_from([10**400, -(10**400), 1e-7, 0.5, 86400000]), words
)
values = st.recursive(
    scalars, lambda some: st.lists(some, max_size=3) | st.dictionaries(words, some, max_size=3), max_leaves=6
)
offsets = st.integers(-15 * 60 - 59, 15 * 60 + 59).map(lambda minutes: timezone(timedelta(minutes=minutes)))
shifts = st.one_of(
    st.timedeltas(-OLDEST, NEWEST),
    st.sampled_from([-OLDEST, NEWEST, -OLDEST - timedelta.resolution, NEWEST + timedelta.resolution]),
    st.timedeltas(timedelta(days=-3000), timedelta(days=3000)),
)
# Of a time that is written as one: an instant from now on, in any offset, or what isn't quite one.
times = st.builds(lambda shift, offset: (shift, offset), shifts, offsets)
almost = st.sampled_from(
    [
        "{:%Y-%m-%dT%H:%M:%S}",
        "{:%Y-%m-%d %H:%M:%S}Z",
        "{:%Y-%m-%dT%H:%M:%S}z",
        "{:%Y-%m-%dT%H:%M:%S} UTC",
        "{:%d-%m-%Y}Z",
    ]
)
keys = ["event_id", "event_type", "occurred_at", "briefing_date", "edition", "item_id", "properties", "ms", "elsewhere"]
dates = st.dates().map(str)
sound = {
    "event_type": st.sampled_from(TYPES),
    "occurred_at": times,
    "briefing_date": st.none() | dates,
    "edition": st.none() | st.sampled_from(["morning", "evening"]),
    "item_id": st.none() | words.filter(lambda text: len(text) <= 200),
    "properties": st.fixed_dictionaries({"ms": st.integers(0, 86400000)}, optional={"more": values}),
}


@st.composite
def flawed(draw: st.DrawFn) -> object:
    """Draw an event that is mostly sound, with up to two keys changed, taken away or added, or no event at all."""
    if draw(st.integers(0, 30)) == 0:
        return draw(values)
    made = {"event_id": str(draw(st.uuids()))} | {key: draw(strategy) for key, strategy in sound.items()}
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 1, 2]))):
        key = draw(st.sampled_from(keys))
        if draw(st.booleans()):
            made.pop(key, None)
        else:
            made[key] = draw(almost if key == "occurred_at" else values)
    return made


@st.composite
def batches(draw: st.DrawFn) -> list[object]:
    """Draw a batch, some of whose events stand in it twice, or once more with a change."""
    batch = draw(st.lists(flawed(), max_size=6))
    for index in draw(st.lists(st.integers(0, max(len(batch) - 1, 0)), max_size=2)) if batch else []:
        again = batch[index]
        if isinstance(again, dict) and draw(st.booleans()):
            again = again | draw(st.fixed_dictionaries({"item_id": words | st.none()}))
        batch.insert(draw(st.integers(0, len(batch))), again)
    return batch


def at(one: object, now: datetime) -> object:
    """Return an event with its time made out of now: Hypothesis must not depend on the clock."""
    when = one.get("occurred_at") if isinstance(one, dict) else None
    if isinstance(when, tuple):
        shift, offset = when
        return one | {"occurred_at": (now + shift).astimezone(offset).isoformat()}
    if isinstance(when, str) and "%" in when:
        return one | {"occurred_at": when.format(now)}
    return one


@pytest.fixture
def send(alice) -> Iterator[object]:
    """Sends text as a batch of Alice's and takes it back; returns SQLSTATE, DETAIL and how many were new."""
    alice.rows("SELECT")

    def run(text: str) -> tuple[str | None, str | None, int | None]:
        try:
            with alice.connection.transaction(force_rollback=True):
                new = alice.connection.execute(SEND, [alice.user_id, text]).fetchone()[0]
        except psycopg.Error as error:
            return error.sqlstate, error.diag.message_detail, None
        return None, None, new

    return run


@EXAMPLES
@given(batch=batches())
@example(batch=[])
def test_what_is_accepted_is_what_the_rules_accept(send, now, batch):
    """A sound batch is stored, each event of it once; of any other the first flaw is named, and no error is another."""
    batch = [at(one, now) for one in batch]
    flaw = first_flaw(batch, now)
    if flaw is None:
        assert send(json.dumps(batch)) == (None, None, len({one["event_id"] for one in batch}))
    else:
        assert send(json.dumps(batch)) == ("PT422", str(flaw), None)


@settings(EXAMPLES, max_examples=60)
@given(value=values)
def test_whatever_json_comes_only_pt422_comes_back(send, value):
    """Any JSON in place of the array, or of an event in it, is refused."""
    if value != []:
        assert send(json.dumps(value))[0] == "PT422"
    assert send(json.dumps([value]))[:2] == ("PT422", "0")


@settings(EXAMPLES, max_examples=30)
@given(text=st.text(max_size=40))
def test_what_is_no_json_is_not_read(send, text):
    """Any text: it isn't JSON, or no array."""
    if "\0" not in text and not any("\ud800" <= char <= "\udfff" for char in text):
        assert send(text)[0] in {*NO_JSON, "PT422"} or json.loads(text) == []


@pytest.mark.parametrize("bad", ["NaN", "Infinity", "1e", "'x'", '"\\u0000"', '"\\ud800"', ""])
def test_what_json_does_not_know_is_refused_by_its_type(send, now, bad):
    """Words for numbers, NUL and half a surrogate pair never get as far as the rules."""
    sound_one = json.dumps(event(now))
    assert send(f"[{sound_one}]") == (None, None, 1)
    assert send(f'[{sound_one[:-1]}, "properties": {{"x": {bad}}}}}]')[0] in NO_JSON


@pytest.mark.parametrize("depth", [1, 1000, 2000, 5000])
def test_deep_nesting_is_a_matter_of_its_size(send, now, depth):
    """What fits into 4 KiB is stored, however deep; what doesn't is refused."""
    nested = "[" * depth + "]" * depth
    text = json.dumps(event(now))[:-1] + f', "properties": {{"x": {nested}}}}}'
    assert send(f"[{text}]")[0] == (None if len(nested) + 7 <= 4096 else "PT422")


@pytest.mark.parametrize("number", ["1e100000", "-1e100000", "1e100", "9" * 300], ids=["e5", "-e5", "e2", "digits"])
def test_huge_numbers_are_numbers(send, now, number):
    """They are stored where they fit, and never taken for a dwell."""
    text = json.dumps(event(now, "dwell", properties={"ms": "NUMBER"})).replace('"NUMBER"', number)
    assert send(f"[{text}]")[:2] == ("PT422", "0")


def test_of_a_key_that_stands_twice_the_last_counts(send, now):
    """As in every jsonb."""
    text = json.dumps(event(now, edition="morning"))
    assert send(f'[{{"edition": "noon", {text[1:]}]') == (None, None, 1)
    assert send(f'[{text[:-1]}, "edition": "noon"}}]')[:2] == ("PT422", "0")


def test_the_rules_accept_and_refuse(now):
    """The Python rules themselves: what they say of a sound batch, and of one with an id too many."""
    one = event(now, event_id=str(uuid4()))
    assert first_flaw([one, one], now) is None
    assert first_flaw([one, one | {"item_id": "s1"}], now) == 1
    assert first_flaw([event(now + NEWEST + timedelta.resolution)], now) == 0
