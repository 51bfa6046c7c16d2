"""What the bench writes: figures between their markers in the guide, all values as JSON, and nothing else."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime

import pytest

from bench import indexes, report, stories, wire
from bench.options import Options
from bench.results import GUIDE, Result, rewritten

MACHINE = {
    "processor": "P",
    "cores": 2,
    "memory_gib": 8,
    "system": "S",
    "postgresql": "18.6",
    "pgbouncer": None,
    "commit": "c",
}


@pytest.fixture
def result() -> Result:
    """What a part found that took two measurements of one side, and missed its target."""
    with report.recording(Options(scale=10)) as record:
        report.table("Writes", "ms", {"one": [0.001, 0.002, 0.0123456789]}, scale=1000)
        report.target("writes within 1 ms", met=False)
    return Result("erase", datetime(2026, 1, 2, 3, 4, tzinfo=UTC), MACHINE, Options(scale=10), record)


def test_a_part_replaces_what_stands_between_its_markers_alone():
    """Written twice, the second text stands there once; what is before, between others' markers and after stays."""
    guide = "a\n<!-- bench:x -->\n<!-- /bench:x -->\nb\n<!-- bench:y -->\ny\n<!-- /bench:y -->\n"
    again = rewritten(rewritten(guide, "x", "old"), "x", "new")
    assert again == guide.replace("<!-- /bench:x -->", "new\n<!-- /bench:x -->")


@pytest.mark.parametrize("guide", ["", "<!-- bench:x -->", "<!-- /bench:x --><!-- bench:x -->"])
def test_a_part_without_a_place_in_the_guide_is_refused(guide):
    """Markers that are missing, or the wrong way round."""
    with pytest.raises(ValueError, match="bench:x"):
        rewritten(guide, "x", "text")


def test_the_guide_has_a_table_and_says_what_was_missed(result):
    """As Markdown, in the table's unit."""
    text = result.as_markdown("results")
    assert (
        "**Writes (ms)**\n\n|  | median | least | most |\n| --- | ---: | ---: | ---: |\n| one | 2.0 | 1.0 | 12.3 |"
        in text
    )
    assert "\n- **missed**: writes within 1 ms" in text


def test_the_json_has_every_value_and_what_was_asked_for(result):
    """Rounded to six digits."""
    document = json.loads(result.as_json())
    assert document["tables"][0]["taken"] == {"one": [0.001, 0.002, 0.0123457]}
    assert document["targets"] == [{"claim": "writes within 1 ms", "met": False}]
    assert document["options"]["scale"] == 10


def test_what_is_reported_between_two_parts_belongs_to_neither(result):
    """A record ends with its part."""
    report.note("afterwards")
    assert "afterwards" not in result.as_json()


def test_writing_a_result_leaves_the_json_and_the_guide(result, tmp_path):
    """Old plots of the part go."""
    guide = tmp_path / "guide.md"
    guide.write_text(GUIDE.read_text())
    old = tmp_path / "results" / "erase-old.svg"
    old.parent.mkdir()
    old.touch()
    result.write(old.parent, guide)
    assert [file.name for file in old.parent.iterdir()] == ["erase.json"]
    assert "(results/erase.json)" in guide.read_text()


def test_every_index_for_speed_is_measured(dba):
    """What the catalogue has is what bench/indexes.py has a query for; one made here would be found."""
    speed = f"SELECT name FROM ({indexes.INDEXES}) AS i WHERE NOT is_needed"
    assert {name for (name,) in dba.rows(speed)} == indexes.CASES.keys()
    dba.rows("CREATE INDEX users_status_idx ON pulsex.users (status)")
    assert ("pulsex.users_status_idx",) in dba.rows(speed)


def test_an_answer_counts_the_same_in_whatever_pieces_it_comes():
    """Two rows, an error and the end, octet by octet."""
    fields = b"SERROR\0C42501\0Mno\0\0"
    data = b"".join([
        wire.message(b"D", b"\0\0"), wire.message(b"D", b"\0\1\0\0\0\1Z"), wire.message(b"E", fields),
        wire.message(b"Z", b"I"),
    ])  # fmt: skip
    whole, pieces = wire.Answer(), wire.Answer()
    whole.take(data)
    for octet in data:
        assert not pieces.is_complete
        pieces.take(bytes([octet]))
    assert pieces == whole == wire.Answer(is_complete=True, rows=2, error="42501")


def test_everybody_has_ten_briefings_the_last_one_today():
    """Whatever the cadence; each in the partition of its month."""
    today = date(2026, 3, 1)
    months = stories.by_month(today)
    days: dict[int, list[date]] = {}
    for month, editions in months.items():
        for edition in editions:
            assert month.endswith(f"{edition.day:_%Y_%m}")
            days.setdefault(edition.cadence, []).append(edition.day)
    assert {cadence: (len(set(of)), max(of)) for cadence, of in days.items()} == dict.fromkeys(
        stories.CADENCES, (stories.EACH, today)
    )
