"""What a person wants: db/routines/preferences.sql."""

from __future__ import annotations

import pytest
from psycopg.types.json import Jsonb

NOBODY = "00000000-0000-0000-0000-000000000000"
UPDATE = "SELECT pulsex.update_preferences(%s, %s)"
FOLLOW = "SELECT pulsex.follow_topics(%s, %s)"
FOLLOWED = "SELECT slug, weight FROM pulsex.user_topics INNER JOIN pulsex.topics USING (topic_id) ORDER BY slug"
EVERYTHING = "SELECT to_jsonb(p) FROM pulsex.user_preferences AS p"

QUIET = {"quiet_hours_start": "22:00:00", "quiet_hours_end": "07:00:00"}
CHANGES = [
    {"delivery_time": "06:30:00"},
    {"evening_delivery_time": "19:00:00"},
    {"delivery_days": [6, 7]},
    QUIET,
    {"max_items": 50},
    {"channels": ["email"]},
    {"settings": {"theme": "dark"}},
    {**QUIET, "max_items": 1},
]


@pytest.mark.parametrize("changes", [*CHANGES, {}], ids=lambda changes: ", ".join(changes) or "nothing")
def test_what_is_named_is_changed_and_nothing_else(alice, changes):
    """update_preferences changes the keys given and leaves every other as it was."""
    [(before,)] = alice.rows(f"{EVERYTHING} WHERE user_id = %s", alice.user_id)
    alice.lives_ok(UPDATE, alice.user_id, Jsonb(changes))
    [(after,)] = alice.rows(EVERYTHING)
    del before["updated_at"], after["updated_at"]
    assert after == {**before, **changes}


@pytest.mark.parametrize("keys", [["evening_delivery_time"], ["quiet_hours_start", "quiet_hours_end"]], ids=", ".join)
def test_what_may_be_absent_can_be_taken_back(alice, keys):
    """Null clears the evening edition and the quiet hours."""
    alice.rows(UPDATE, alice.user_id, Jsonb({**QUIET, "evening_delivery_time": "19:00"}))
    alice.lives_ok(UPDATE, alice.user_id, Jsonb(dict.fromkeys(keys)))
    alice.results_eq(f"SELECT num_nulls({', '.join(keys)}) FROM pulsex.user_preferences", [(len(keys),)])


@pytest.mark.parametrize("key", ["delivery_time", "delivery_days", "max_items", "channels", "settings"])
def test_what_must_be_there_cannot_be_taken_back(alice, key):
    """Null for anything else raises 23502 of that column."""
    alice.throws_ok(UPDATE, "23502", alice.user_id, Jsonb({key: None}), column=key)


@pytest.mark.parametrize("key", ["", "theme", "user_id", "updated_at", "Channels", "quiet_hours", "channels "])
def test_an_unknown_preference_is_refused(alice, key):
    """A key that isn't a preference raises PT422, with known ones beside it too."""
    alice.throws_ok(UPDATE, "PT422", alice.user_id, Jsonb({"max_items": 5, key: None}))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("delivery_time", "soon"),
        ("delivery_time", "25:00"),
        ("delivery_time", 7),
        ("evening_delivery_time", [19]),
        ("delivery_days", 1),
        ("delivery_days", "weekends"),
        ("delivery_days", ["Monday"]),
        ("delivery_days", [1.5]),
        ("delivery_days", [40000]),
        ("delivery_days", [[1], 2]),
        ("delivery_days", {"1": True}),
        ("quiet_hours_start", "late"),
        ("quiet_hours_end", True),
        ("max_items", "many"),
        ("max_items", 1.5),
        ("max_items", 40000),
        ("max_items", True),
        ("max_items", {}),
        ("channels", "push"),
        ("channels", {}),
        ("channels", 1),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(alice, key, value):
    """A value that isn't of the preference's type raises PT422."""
    alice.throws_ok(UPDATE, "PT422", alice.user_id, Jsonb({key: value}))


@pytest.mark.parametrize(
    ("constraint", "changes"),
    [
        ("delivery_time", {"delivery_time": "07:00:30"}),
        ("evening_delivery_time", {"evening_delivery_time": "24:00"}),
        ("delivery_days", {"delivery_days": [0]}),
        ("delivery_days", {"delivery_days": [[1, 2]]}),
        ("quiet_hours", {"quiet_hours_start": "22:00"}),
        ("max_items", {"max_items": 51}),
        ("channels", {"channels": ["sms"]}),
        ("channels", {"channels": [["push"]]}),
        ("settings", {"settings": ["dark"]}),
        ("settings", {"settings": {"x": "x" * 16384}}),
    ],
)
def test_a_value_out_of_bounds_names_the_constraint(alice, constraint, changes):
    """A value of the right type that its CHECK refuses raises 23514."""
    name = f"user_preferences_{constraint}_check"
    alice.throws_ok(UPDATE, "23514", alice.user_id, Jsonb(changes), constraint=name)


@pytest.mark.parametrize("changes", ["[]", "1", '"max_items"', "true", "null", '[{"max_items": 1}]', None])
def test_changes_are_an_object(alice, changes):
    """Anything but a JSON object raises PT422, SQL NULL too."""
    alice.throws_ok(UPDATE, "PT422", alice.user_id, changes)


def test_preferences_of_somebody_else_are_not_there(alice, bob):
    """Bob's id raises PT404 to Alice, as does one that nobody has, or none."""
    for user_id in (bob.user_id, NOBODY, None):
        alice.throws_ok(UPDATE, "PT404", user_id, Jsonb({"max_items": 1}))


def test_a_stranger_changes_no_preferences(stranger, published):
    """Without a session Alice's preferences aren't there."""
    stranger.throws_ok(UPDATE, "PT404", published.user_id, Jsonb({"max_items": 1}))


# Topics ---------------------------------------------------------------------------------------------------------------


def test_topics_are_followed(alice):
    """follow_topics adds the topics, each with weight 1."""
    alice.lives_ok(FOLLOW, alice.user_id, ["cities", "cities"])
    alice.results_eq(FOLLOWED, [("cities", 1.0), ("science", 1.0)])


def test_a_topic_already_followed_keeps_its_weight(alice):
    """Following again changes nothing."""
    alice.rows("UPDATE pulsex.user_topics SET weight = 3 WHERE user_id = %s", alice.user_id)
    alice.lives_ok(FOLLOW, alice.user_id, ["science", "cities"])
    alice.results_eq(FOLLOWED, [("cities", 1.0), ("science", 3.0)])


@pytest.mark.parametrize("slugs", [["cities", "gossip"], ["cities", None], ["cities", ""], ["Cities"]], ids=str)
def test_with_an_unknown_topic_none_is_followed(alice, slugs):
    """A slug that isn't a topic's raises PT422, and those beside it aren't followed."""
    alice.throws_ok(FOLLOW, "PT422", alice.user_id, slugs)
    alice.results_eq(FOLLOWED, [("science", 1.0)])


@pytest.mark.parametrize("slugs", [[], None], ids=str)
def test_following_nothing_changes_nothing(alice, slugs):
    """No slugs, no change."""
    alice.lives_ok(FOLLOW, alice.user_id, slugs)
    alice.results_eq(FOLLOWED, [("science", 1.0)])


def test_nobody_follows_for_somebody_else(alice, bob, stranger):
    """For anybody's id but one's own, follow_topics raises 42501."""
    alice.throws_ok(FOLLOW, "42501", bob.user_id, ["cities"])
    stranger.throws_ok(FOLLOW, "42501", bob.user_id, ["cities"])
