"""The values of each column that has a list of them are the declared ones: trying values finds no value too many."""

import re

from tests.actors import Actor

CHANNELS = "email in_app push"
EDITIONS = "evening morning"
LISTS = {
    "briefing_schedule_edition_check": EDITIONS,
    "briefings_edition_check": EDITIONS,
    "consents_recorded_by_check": "officer person",
    "data_map_erasure_check": "delete keep null pseudonymise",
    "devices_platform_check": "android ios web",
    "engagement_events_edition_check": EDITIONS,
    "engagement_events_event_type_check": (
        "delivered dismissed dwell item_clicked item_saved opened section_viewed shared"
    ),
    "notification_attempts_outcome_check": "failed lease_expired sent",
    "notification_channels_channel_check": CHANNELS,
    "notification_queue_channel_check": CHANNELS,
    "notification_waits_channel_check": CHANNELS,
    "notifications_channel_check": CHANNELS,
    "notifications_reason_check": (
        "called_off channel_off no_address no_consent no_device out_of_attempts quiet_hours refused unsubscribed"
    ),
    "notifications_state_check": "cancelled dead pending sent",
    "one_time_tokens_purpose_check": "reset_password verify_email",
    "requests_kind_check": "access erasure objection portability rectification restriction",
    "requests_opened_by_check": "officer person",
    "requests_outcome_check": "fulfilled partly_fulfilled refused withdrawn",
    "unsubscribe_tokens_channel_check": CHANNELS,
    "unsubscriptions_channel_check": CHANNELS,
    "user_preferences_channels_check": CHANNELS,
    "users_status_check": "active restricted",
}
# Of a CHECK what is in the list that a column must be, or lie, in.
DEFINITIONS = """SELECT conname::text,
        substring(pg_get_constraintdef(k.oid) FROM $$(?:= ANY|<@) \\(?(?:ARRAY\\[|'\\{)([^]}]+)$$)
    FROM pg_constraint AS k INNER JOIN pg_class AS c ON c.oid = conrelid
    WHERE contype = 'c' AND NOT c.relispartition AND connamespace::regnamespace::text <> 'information_schema'"""


def lists(dba: Actor) -> dict[str, str]:
    """Return the words that each CHECK lists, in order of the alphabet."""
    words = {name: re.findall(r"\b(?!text\b)[a-z]\w*", listed or "") for name, listed in dba.rows(DEFINITIONS)}
    return {name: " ".join(sorted(its)) for name, its in words.items() if its}


def test_every_list_is_the_declared_one(dba):
    """No value is missing, and none is too many."""
    assert lists(dba) == LISTS


def test_a_value_too_many_is_seen(dba):
    """With one more, the list differs."""
    dba.rows(
        """ALTER TABLE pulsex.users DROP CONSTRAINT users_status_check,
        ADD CONSTRAINT users_status_check CHECK (status IN ('active', 'restricted', 'banned'))"""
    )
    assert lists(dba)["users_status_check"] == "active banned restricted"
