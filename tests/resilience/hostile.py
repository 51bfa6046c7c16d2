"""What callers send who mean harm, or whose data do: values of every type that a routine takes."""

from __future__ import annotations

import json

from hypothesis import strategies as st

from tests.resilience.scene import Scene
from tests.resilience.stage import Routine

HUGE = "x" * 2**20
NOBODY = "99999999-9999-4999-8999-999999999999"
WORDS = [
    "", " ", "\0", "a\0b", HUGE, "\u202e\u0634\u0643\u0631\u0627\u200f", "e\u0301" * 50, "Z\u0351\u0352" * 200,
    "\U0001f312" * 300, "\ufeff", "\uffff", "\U0010ffff", "\u0131", "\u0130" * 500, "infinity", "NaN", "null",
    "%s %I %L %", "\\", "pulsex.users", "pg_catalog.pg_class", "a" * 201, "a" * 2001, "a" * 4001, "\n" * 5, "-" * 100,
    '"' * 99, "(" * 99, "&|!<->:*",
]  # fmt: skip
INTEGERS = [
    "0", "1", "-1", "100", "101", "1000", "1001", "-101", "32767", "-32768", "32768", "100001", str(2**31 - 1),
    str(-(2**31)), str(2**63),
]  # fmt: skip
TIMES = [
    "infinity", "-infinity", "epoch", "4714-11-24 00:00:00+00 BC", "294276-12-31 23:59:59.999999+00",
    "0001-01-01 00:00:00+00", "9999-12-31 23:59:60+00", "2000-02-29 12:00:00+14", "now", "tomorrow", "yesterday",
]  # fmt: skip
DATES = [
    "infinity", "-infinity", "epoch", "4714-11-24 BC", "5874897-12-31", "0001-01-01", "9999-12-31", "2000-02-29",
    "294276-12-31", "294277-01-01",
]  # fmt: skip
INTERVALS = [
    "0", "-1 day", "infinity", "-infinity", "178000000 years", "-178000000 years", "2147483647 days",
    "9223372036854775807 microseconds", "1 microsecond", "1 month -1 day", "1 year", "90 days 25 hours",
]  # fmt: skip
JSONS = [
    "null", "[]", "{}", '"x"', "1", "true", "1e1000", "-1e-1000", "[" * 3000 + "]" * 3000, "[" * 100000 + "]" * 100000,
    '{"a":' * 2000 + "1" + "}" * 2000, '"\\u0000"', '"\\ud800"', '{"": {"": [{}]}}', "[[[]]]", "[null]", "[{}]",
    '{"sections": null}', '{"sections": [null]}', '{"sections": [[]]}', '{"sections": [{"items": [null]}]}',
    '{"max_items": 1e99}', '{"max_items": null}', '{"delivery_days": [[1]]}', '{"delivery_time": "25:00"}',
    '{"settings": []}', '{"channels": {}}', '{"format_version": 1, "erasures": [{}]}',
    '{"format_version": 1, "erasures": [null, 1, "x"]}', '{"format_version": 1, "erasures": {}}',
    '{"format_version": 1, "erasures": [{"erasure_id": "x", "subject": {"y": "z"}}]}', '{"user_id": 1}',
    json.dumps({"a": HUGE}), json.dumps([HUGE]),
]  # fmt: skip
NETWORKS = ["0.0.0.0/0", "::", "::/0", "10.0.0.1/8", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"]
BYTES = ["", "\\x00", "\\x" + "ff" * 32, "\\x" + "00" * 2**19]
any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | any_text,
    lambda some: st.lists(some, max_size=3) | st.dictionaries(any_text, some, max_size=3),
    max_leaves=6,
).map(json.dumps)


def among(values: list[str]) -> st.SearchStrategy[str]:
    """Return one of the values; the strategy doesn't spell them out in each report, the huge ones not either."""

    @st.composite
    def one(draw: st.DrawFn) -> str:
        return values[draw(st.integers(0, len(values) - 1))]

    return one()


def array(element: st.SearchStrategy[str | None]) -> st.SearchStrategy[str]:
    """Return literals of arrays of what an element is: of one dimension or two, with nulls, from any bound, or none."""
    quoted = element.map(
        lambda one: "NULL" if one is None else '"' + one.replace("\\", "\\\\").replace('"', '\\"') + '"'
    )
    flat = st.lists(quoted, max_size=4).map(lambda some: "{" + ",".join(some) + "}")
    return st.one_of(
        st.sampled_from(["{}", "{NULL}", "{NULL,NULL}", "[5:6]={NULL,NULL}"]),
        flat,
        quoted.map(lambda one: f"{{{{{one},{one}}},{{NULL,{one}}}}}"),
        quoted.map(lambda one: "{" + ",".join([one] * (2000 if len(one) < 100 else 2)) + "}"),
    )


def hostile(scene: Scene) -> dict[str, st.SearchStrategy[str | None]]:
    """Return for each type what a caller with bad intent, or bad luck, sends as its values."""
    uuids = [str(scene.alice), str(scene.bob), NOBODY, "00000000-0000-0000-0000-000000000000", "f" * 32, "x"]
    plain = {
        "text": among(WORDS) | any_text,
        "uuid": st.sampled_from([*uuids, *scene.others]),
        "integer": among(INTEGERS) | st.integers(-(2**31), 2**31 - 1).map(str),
        "smallint": among(INTEGERS) | st.integers(-(2**15), 2**15 - 1).map(str),
        "timestamp with time zone": among(TIMES) | st.datetimes().map(lambda at: f"{at:%Y-%m-%d %H:%M:%S}+00"),
        "date": among(DATES) | st.dates().map(str),
        "interval": among(INTERVALS),
        "jsonb": among(JSONS) | any_json,
        "inet": among(NETWORKS),
        "bytea": among(BYTES),
        "oid": st.sampled_from(["0", "1259", "4294967295"]),
        "boolean": st.sampled_from(["true", "false"]),
    }
    kinds = {kind: st.none() | values for kind, values in plain.items()}
    return kinds | {f"{kind}[]": st.none() | array(values) for kind, values in kinds.items()}


def arguments(scene: Scene, routine: Routine, kinds: dict) -> st.SearchStrategy[dict[str, str | None]]:
    """Return arguments of which one or more, sometimes all, are hostile and the others sound."""
    names = list(routine.parameters)

    @st.composite
    def some(draw: st.DrawFn) -> dict[str, str | None]:
        most = draw(st.sampled_from([1, 1, 1, 2, 3, len(names)]))
        chosen = draw(st.sets(st.sampled_from(names), min_size=1, max_size=most))
        return {
            name: draw(kinds[kind]) if name in chosen else scene.sound(routine.name, name)
            for name, kind in routine.parameters.items()
        }

    return some()
