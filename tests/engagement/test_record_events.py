"""Recording events: a batch is stored as a whole, once, or not at all."""

from __future__ import annotations

from datetime import UTC, timedelta, timezone
from uuid import UUID, uuid4

import pytest
from psycopg.types.json import Jsonb

from tests.engagement.events import NEWEST, OLDEST, RECORD, TYPES, event

STORED = """SELECT event_id, event_type, occurred_at, briefing_date, edition, item_id, properties
    FROM pulsex.engagement_events WHERE event_id = ANY (%s::uuid[]) ORDER BY occurred_at, event_id"""
COUNT = "SELECT count(*) FROM pulsex.engagement_events"
TICK = timedelta(microseconds=1)


def record(alice, *events):
    """Send a batch as Alice."""
    return alice.value(RECORD, alice.user_id, Jsonb(events))


@pytest.mark.parametrize("event_type", TYPES)
def test_every_type_is_recorded(alice, now, event_type):
    """Each of the eight types is new once."""
    assert record(alice, event(now, event_type)) == 1


def test_a_session_is_proved_and_used_in_one_statement(stranger, published, now):
    """Whose events they are follows from the token; without one they are nobody's."""
    record_as = "SELECT pulsex.record_events(auth.use_session(%s), %s)"
    assert stranger.value(record_as, published.token, Jsonb([event(now)])) == 1
    stranger.throws_ok(record_as, "PT401", "no token", Jsonb([event(now)]))


def test_an_event_is_stored_as_it_was_sent(alice, now, published):
    """Every key has its column."""
    sent = event(
        now, "dwell", briefing_date=str(published.briefing_date), edition="evening", item_id="s1",
        properties={"ms": 12.5, "screen": "home"},
    )  # fmt: skip
    record(alice, sent)
    row = (
        UUID(sent["event_id"]), "dwell", now, published.briefing_date, "evening", "s1",
        {"ms": 12.5, "screen": "home"},
    )  # fmt: skip
    alice.results_eq(STORED, [row], [sent["event_id"]])


def test_what_does_not_apply_may_be_left_out_or_null(alice, now):
    """Optional keys that are missing or null are null, and properties an empty object."""
    nulls = dict.fromkeys(("briefing_date", "edition", "item_id", "properties"))
    sent = [event(now), event(now, **nulls)]
    assert record(alice, *sent) == 2
    rows = alice.rows(STORED, [one["event_id"] for one in sent])
    assert {row[3:6] for row in rows} == {(None, None, None)}
    assert [row[6] for row in rows] == [{}, {}]


def test_a_batch_may_be_empty(alice):
    """Nothing is new in nothing."""
    assert record(alice) == 0


def test_a_batch_has_1000_events(alice, now, refused):
    """A thousand are stored in a call; a thousand and one are refused, and none of them is stored."""
    before = alice.value(COUNT)
    assert record(alice, *(event(now) for _ in range(1000))) == 1000
    refused([event(now) for _ in range(1001)])
    assert alice.value(COUNT) == before + 1000


@pytest.mark.parametrize("events", [{}, "[]", 1, None, True, {"0": []}])
def test_a_batch_is_an_array(refused, events):
    """Any other JSON is refused; there is no index to name."""
    assert refused(events) is None


def test_a_batch_is_not_null(alice):
    """SQL's null is no array either."""
    alice.throws_ok(RECORD, "PT422", alice.user_id, None)


@pytest.mark.parametrize("at", [0, 1, 5])
def test_one_bad_event_takes_everything_back(alice, now, refused, at):
    """DETAIL names the first bad event, from 0, and neither its neighbours nor their mark are stored."""
    marks = "SELECT count(*) FROM pulsex.engagement_marks"
    before = alice.rows(COUNT) + alice.rows(marks)
    batch = [event(now) for _ in range(5)]
    assert refused([*batch[:at], event(now, edition="noon"), *batch[at:], {}]) == str(at)
    assert alice.rows(COUNT) + alice.rows(marks) == before


def test_the_first_of_two_flaws_is_named_whatever_they_are(now, refused):
    """A flaw that a constraint finds doesn't hide an earlier one that the clock finds, nor the other way round."""
    late, unknown, shapeless = event(now - OLDEST - TICK), event(now, "nodded"), {"event_id": 1}
    assert refused([event(now), late, unknown, shapeless]) == "1"
    assert refused([event(now), shapeless, unknown, late]) == "1"
    assert refused([event(now), unknown, late, shapeless]) == "1"


# When ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shift", [-OLDEST, NEWEST])
def test_a_clock_may_be_off_by_so_much(alice, now, shift):
    """Seven days ago and five minutes ahead, to the microsecond, are accepted."""
    assert record(alice, event(now + shift)) == 1


@pytest.mark.parametrize("shift", [-OLDEST - TICK, NEWEST + TICK, -timedelta(days=4000), timedelta(days=400000)])
def test_a_clock_may_not_be_off_by_more(alice, now, refused, shift):
    """A microsecond more is refused, and so is a time for which there is no partition."""
    assert refused([event(now), event(now + shift)]) == "1"


def test_seven_days_are_168_hours_whatever_the_clocks_did(alice, now, refused):
    """A session in a zone whose clocks went forward, or back, three days ago has the same window."""
    shifted = (now - timedelta(days=3)).timetuple().tm_yday
    back = (now + timedelta(days=60)).timetuple().tm_yday
    for zone in (f"STD0DST-5,{shifted - 1}/0,{back - 1}/0", f"STD0DST-5,{back - 1}/0,{shifted - 1}/0"):
        alice.rows(f"SET LOCAL timezone = '<{'x' * 3}>{zone[3:]}'")
        assert record(alice, event(now - OLDEST)) == 1
        assert refused([event(now - OLDEST - TICK)]) == "0"


@pytest.mark.parametrize(
    "spell",
    [
        lambda at: at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        lambda at: at.astimezone(timezone(timedelta(hours=14))).isoformat(),
        lambda at: at.astimezone(timezone(-timedelta(hours=9, minutes=30))).isoformat(),
    ],
)
def test_a_time_has_any_offset(alice, now, spell):
    """The instant counts, however it was written."""
    sent = event(now, occurred_at=spell(now))
    record(alice, sent)
    assert alice.rows(STORED, [sent["event_id"]])[0][2] == now


@pytest.mark.parametrize(
    "ending", ["", " ", " Z", "z", "NZ", " NZ", "XYZ+03:00", " Europe/Lisbon", "+00", "+0000", "+16:00", "-0:00"]
)  # fmt: skip
def test_a_time_carries_its_offset_as_a_number(alice, now, refused, ending):
    """No offset, or a zone's name, or anything that RFC 3339 doesn't know, is refused."""
    at = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    assert refused([event(now, occurred_at=at + ending)]) == "0"
    assert record(alice, event(now, occurred_at=at + "Z")) == 1


@pytest.mark.parametrize(
    "at", ["now", "infinity", "epoch", "today", "", "2026-02-30T00:00:00Z", "2026-13-01T00:00:00Z"]
)
def test_a_time_is_an_instant(now, refused, at):
    """Words and days that no calendar has are refused."""
    assert refused([event(now, occurred_at=at)]) == "0"


@pytest.mark.parametrize("ending", [":A8Z", ":0_Z", ":0/Z", ":0S-09:30", ":08+\t0:00", ":08+00:-0"])
def test_a_time_has_digits_where_digits_belong(alice, now, refused, ending):
    """No letter there is read as a zone, and nothing else is read over."""
    at = (now - timedelta(days=1)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M")
    assert refused([event(now, occurred_at=at + ending)]) == "0"
    assert record(alice, event(now, occurred_at=at + ":08Z")) == 1


@pytest.mark.parametrize("style", ["MDY", "DMY", "YMD"])
@pytest.mark.parametrize("key", ["briefing_date", "occurred_at"])
def test_dates_are_read_alike_under_every_datestyle(alice, now, refused, style, key):
    """What means another day in another session is refused, and what is written as a date is taken as one."""
    alice.rows(f"SET LOCAL datestyle = 'ISO, {style}'")
    suffix = "" if key == "briefing_date" else now.strftime("T%H:%M:%S+00:00")
    for day in (f"  {now:%m-%d-%y}", f"  {now:%d-%m-%y}", f"  {now:%y-%m-%d}", f"{now:%d-%m-%Y}", f"{now:%Y-%b-%d}"):
        assert refused([event(now, **{key: day + suffix})]) == "0"
    assert record(alice, event(now, **{key: f"{now:%Y-%m-%d}" + suffix})) == 1


# What ----------------------------------------------------------------------------------------------------------------

REQUIRED = ("event_id", "event_type", "occurred_at")
WRONG = {"a number": 5, "true": True, "an array": ["morning"], "an object": {"a": 1}}


@pytest.mark.parametrize("key", REQUIRED)
def test_what_is_required_is_there(now, refused, key):
    """Without it, and with null, an event is refused."""
    whole = event(now)
    assert refused([event(now), {k: v for k, v in whole.items() if k != key}]) == "1"
    assert refused([event(now), whole | {key: None}]) == "1"


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("key", [*REQUIRED, "briefing_date", "edition", "item_id"])
def test_strings_are_strings(now, refused, key, wrong):
    """No other JSON is taken for one."""
    assert refused([event(now), event(now, **{key: WRONG[wrong]})]) == "1"


@pytest.mark.parametrize("wrong", [5, True, "{}", ["ms"], [{"ms": 1}]])
@pytest.mark.parametrize("event_type", ["opened", "dwell"])
def test_properties_are_an_object(now, refused, wrong, event_type):
    """No other JSON is taken for one."""
    assert refused([event(now, event_type, properties=wrong)]) == "0"


@pytest.mark.parametrize("key", ["user_id", "Event_id", "", "event_id ", "properties.ms"])
def test_an_unknown_key_is_refused(now, refused, key):
    """A typing error doesn't lose anything silently."""
    assert refused([event(now), event(now, **{key: "x"})]) == "1"


@pytest.mark.parametrize("wrong", [None, "x", 1, 1.5, True, [], [event]])
def test_an_event_is_an_object(now, refused, wrong):
    """No other JSON is taken for one."""
    assert refused([event(now), [event(now)] if wrong == [event] else wrong]) == "1"


@pytest.mark.parametrize(
    "spelt", ["{%s}", "%.35s", "%sa", " %s", "g%.35s", lambda text: text.replace("-", ""), lambda text: ""]
)  # fmt: skip
def test_an_event_id_is_a_uuid_in_its_canonical_form(now, refused, spelt):
    """Other spellings of one, and what is none, are refused."""
    text = str(uuid4())
    assert refused([event(now, event_id=spelt(text) if callable(spelt) else spelt % text)]) == "0"


@pytest.mark.parametrize("event_type", ["", "Opened", "opened ", "read", "x" * 10000])
def test_an_unknown_type_is_refused(now, refused, event_type):
    """There are eight."""
    assert refused([event(now, event_type)]) == "0"


@pytest.mark.parametrize("edition", ["noon", "", "Morning"])
def test_an_edition_is_morning_or_evening(now, refused, edition):
    """There are two."""
    assert refused([event(now, edition=edition)]) == "0"


@pytest.mark.parametrize(
    "day",
    [
        "2026-02-30", "0000-01-01", "infinity", "today", "", "2026-1-01", "2026-01-01T", "\u0662026-01-01",
        "2026-01-2-", "2026-01-2:", "2026--1-25", "2026-01-2\t", "/026-01-25", "2026-01-2Z",
    ],
)  # fmt: skip
def test_a_briefing_date_is_a_date(now, refused, day):
    """Year, month and day, of a calendar."""
    assert refused([event(now, briefing_date=day)]) == "0"


def test_an_item_has_200_characters_at_most(alice, now, refused):
    """Characters of whatever bytes; one more is refused."""
    assert record(alice, event(now, item_id="🌒" * 200), event(now, item_id="")) == 2
    assert refused([event(now, item_id="a" * 201)]) == "0"


def test_properties_have_4096_octets_at_most(alice, now, refused):
    """Octets of their text; one more is refused."""
    room = 4096 - len('{"x": ""}')
    assert record(alice, event(now, properties={"x": "é" * (room // 2)})) == 1
    assert refused([event(now, properties={"x": "a" * (room + 1)})]) == "0"


@pytest.mark.parametrize("ms", [0, 0.5, 86400000, 1e3])
def test_a_dwell_lasts_a_day_at_most(alice, now, ms):
    """Both bounds are allowed, and fractions."""
    assert record(alice, event(now, "dwell", properties={"ms": ms})) == 1


@pytest.mark.parametrize("ms", [-1, -0.001, 86400000.001, 10**400, "5", "NaN", True, None, [5], {"ms": 5}])
def test_a_dwell_lasts_a_number_of_milliseconds(now, refused, ms):
    """Anything else is refused."""
    assert refused([event(now, "dwell", properties={"ms": ms})]) == "0"


@pytest.mark.parametrize("change", [{"properties": None}, {"properties": {}}, {"properties": {"MS": 5}}])
def test_a_dwell_says_how_long(now, refused, change):
    """Without its milliseconds it is refused."""
    assert refused([event(now, "dwell") | change]) == "0"


def test_only_a_dwell_says_how_long(alice, now):
    """What another event calls ms is its own business."""
    assert record(alice, event(now, properties={"ms": "a while"})) == 1


def test_the_types_are_those_of_the_table(dba):
    """The words for people and the constraint that holds have one list."""
    listed = "SELECT pulsex.event_value_error(jsonb_build_object('event_id', gen_random_uuid(), 'occurred_at', now(), "
    types = dba.rows(
        """SELECT m[1] FROM pg_constraint, regexp_matches(pg_get_constraintdef(oid), '''(\\w+)''::text', 'g') AS m
        WHERE conname = 'engagement_events_event_type_check'
            AND conrelid = 'pulsex.engagement_events'::regclass"""
    )
    assert {name for (name,) in types} == set(TYPES)
    known = listed + "'event_type', %s::text, 'properties', '{\"ms\": 1}'::jsonb), now())"
    assert [dba.value(known, name) for name in TYPES] == [None] * len(TYPES)
    assert dba.value(known, "read") is not None


# Once ----------------------------------------------------------------------------------------------------------------


def test_a_batch_may_be_sent_again(alice, now):
    """The second time nothing is new, and nothing is stored or marked."""
    batch = [event(now, kind) for kind in TYPES]
    marks = "SELECT count(*) FROM pulsex.engagement_marks"
    assert record(alice, *batch) == len(TYPES)
    before = alice.rows(COUNT) + alice.rows(marks)
    assert record(alice, *batch) == 0
    assert alice.rows(COUNT) + alice.rows(marks) == before


def test_what_is_new_beside_what_was_sent_is_stored(alice, now):
    """Only the new ones count."""
    old, new = [event(now) for _ in range(3)], [event(now) for _ in range(2)]
    record(alice, *old)
    assert record(alice, new[0], *old, new[1]) == 2


def test_an_event_sent_again_with_another_time_stays_what_it_was(alice, now):
    """Its id counts, not what a device says the second time."""
    sent = event(now)
    record(alice, sent)
    again = sent | {"occurred_at": (now - OLDEST).isoformat(), "event_type": "shared"}
    assert record(alice, again) == 0
    assert [row[1:3] for row in alice.rows(STORED, [sent["event_id"]])] == [("opened", now)]


def test_an_event_of_seven_days_ago_is_known(alice, now):
    """The oldest event that may be sent is the oldest that is looked for."""
    sent = event(now - OLDEST)
    record(alice, sent)
    assert record(alice, sent, sent | {"occurred_at": now.isoformat()} | {"event_id": str(uuid4())}) == 1
    assert record(alice, sent | {"occurred_at": now.isoformat()}) == 0


def test_an_event_further_ahead_than_may_be_sent_is_known(stage):
    """A batch that this one waited for may have begun later, so that its events may be further ahead."""
    ahead = event(stage.now + NEWEST + timedelta(minutes=1))
    stage.put(stage.person.user_id, ahead)
    assert stage.record(ahead | {"occurred_at": stage.now.isoformat()}) == 0


def test_an_event_of_longer_ago_is_not_looked_for(stage):
    """Its id is new again."""
    old = event(stage.now - OLDEST - TICK)
    stage.put(stage.person.user_id, old)
    assert stage.record(old | {"occurred_at": stage.now.isoformat()}) == 1


def test_a_flaw_in_what_was_sent_before_is_a_flaw(alice, now, refused):
    """An event that is known already is validated all the same."""
    sent = event(now)
    record(alice, sent)
    assert refused([event(now), sent | {"edition": "noon"}]) == "1"


def test_the_same_event_twice_in_a_batch_is_stored_once(alice, now):
    """Wherever it stands, and however often."""
    twice, other = event(now), event(now)
    assert record(alice, twice, other, twice, twice) == 2
    assert len(alice.rows(STORED, [twice["event_id"], other["event_id"]])) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"event_type": "shared"},
        {"occurred_at": "earlier"},
        {"item_id": None},
        {"properties": {}},
    ],
)
def test_two_events_of_a_batch_with_one_id_are_refused_if_they_differ(alice, now, refused, change):
    """Which of them would be the true one? DETAIL names the later one, and neither is stored."""
    one = event(now)
    if "occurred_at" in change:
        change = {"occurred_at": (now - timedelta(hours=1)).isoformat()}
    assert refused([event(now), one, event(now), one | change]) == "3"
    alice.is_empty(STORED, [one["event_id"]])


def test_an_id_in_upper_case_is_the_same_id(alice, now, refused):
    """A UUID is a number: its letters' case makes no second event, and a batch that has both isn't of one mind."""
    sent = event(now)
    assert refused([sent, sent | {"event_id": sent["event_id"].upper()}]) == "1"
    record(alice, sent)
    assert record(alice, sent | {"event_id": sent["event_id"].upper()}) == 0


def test_a_repeated_event_does_not_move_the_index(now, refused):
    """The index is that of the batch as it was sent."""
    twice = event(now)
    assert refused([twice, twice, twice, event(now, edition="noon")]) == "3"


# Who -----------------------------------------------------------------------------------------------------------------


def test_nobody_records_for_somebody_else(alice, bob, now):
    """Bob's id raises PT403 to Alice, even for an empty batch; her own doesn't."""
    alice.throws_ok(RECORD, "PT403", bob.user_id, Jsonb([]))
    alice.throws_ok(RECORD, "PT403", None, Jsonb([event(now)]))
    assert record(alice, event(now)) == 1


def test_without_a_session_nothing_is_recorded(stranger, published, now):
    """The application alone is nobody."""
    stranger.throws_ok(RECORD, "PT403", published.user_id, Jsonb([event(now)]))


def test_two_people_may_have_one_event_id(alice, bob, now):
    """An id is the person's, so nobody can take it from somebody else, or learn that it is taken."""
    sent = event(now)
    record(alice, sent)
    assert record(bob, sent) == 1


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO pulsex.engagement_events (user_id, occurred_at, event_id, event_type)"
        " VALUES (%s, now(), uuidv7(), 'opened')",
        "UPDATE pulsex.engagement_events SET event_type = 'opened' WHERE user_id = %s",
        "DELETE FROM pulsex.engagement_events WHERE user_id = %s",
    ],
)
def test_nothing_gets_past_the_validation(alice, statement):
    """A person writes events through record_events alone."""
    alice.throws_ok(statement, "42501", alice.user_id)
