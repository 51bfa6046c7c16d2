"""What a generator is told about a person."""

from datetime import timedelta

import pytest

from tests.cast import CONTENT

CONTEXT = "SELECT pulsex.generation_context(%s)"


def test_a_generator_learns_what_it_needs_and_no_more(worker, alice):
    """Language, zone, length, topics, affinity and recent items; neither name nor address."""
    context = worker.value(CONTEXT, alice.user_id)
    assert context == {
        "locale": "en",
        "time_zone": "Europe/Lisbon",
        "max_items": 12,
        "topics": [{"slug": "science", "label": "Science", "weight": 1}],
        "affinity": {"science": 0.5},
        "recent_item_ids": ["s1"],
    }


@pytest.mark.commits
def test_affinity_is_the_mean_of_ratings(alice, worker, published):
    """A rating of 4 for the briefing and of 1 for its item make (0.5 - 1) / 2."""
    alice.rows("SELECT pulsex.record_feedback(%s, %s, 1::smallint, NULL, 'morning', 's1')", alice.user_id,
               published.briefing_date)  # fmt: skip
    assert worker.value(CONTEXT, alice.user_id)["affinity"] == {"science": -0.25}


@pytest.mark.parametrize(("days", "recent", "affinity"), [(13, ["s1"], True), (16, [], True), (62, [], False)])
def test_what_is_long_past_is_forgotten(worker, alice, published, days, recent, affinity):
    """Items are kept from being told again for 14 days, ratings count for 60."""
    context = worker.value(
        "SELECT pulsex.generation_context(%s, %s::date + %s)", alice.user_id, published.briefing_date, days
    )
    assert (context["recent_item_ids"], bool(context["affinity"])) == (recent, affinity)


@pytest.mark.commits
def test_somebody_new_has_empty_lists(sign_in, worker):
    """Who follows nothing and has no briefing gets empty lists, not nulls."""
    user_id = sign_in.value(
        "SELECT auth.register_user('new@example.com', %s, 'New')",
        "$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHRzYWx0c2FsdA$bm90LWEtcmVhbC10YWctYnV0LW9mLWl0cy1sZW5ndGg",
    )
    context = worker.value(CONTEXT, user_id)
    assert (context["topics"], context["affinity"], context["recent_item_ids"]) == ([], {}, [])


@pytest.mark.commits
def test_a_restricted_persons_data_is_not_processed(dba, worker, alice):
    """Restriction refuses the generator what it needs and the delivery its mark (GDPR Art. 18)."""
    dba.rows("UPDATE pulsex.users SET status = 'restricted' WHERE user_id = %s", alice.user_id)
    worker.throws_ok(CONTEXT, "PT403", alice.user_id)
    worker.throws_ok("SELECT pulsex.mark_briefing_delivered(%s, current_date)", "PT403", alice.user_id)


def test_nobody_has_no_context(worker):
    """An unknown person is PT404."""
    worker.throws_ok(CONTEXT, "PT404", "00000000-0000-7000-8000-000000000000")


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ("null", "$.sections is not an array"),
        ('{"sections": {}}', "$.sections is not an array"),
        ('{"sections": [1]}', "$.sections[0] is not an object"),
        ('{"sections": [{"topic": "t", "items": []}]}', "$.sections[0].headline is not a string"),
        ('{"sections": [{"topic": "t", "headline": "h"}]}', "$.sections[0].items is not an array"),
        ('{"sections": [{"topic": "t", "headline": "h", "items": ["i"]}]}', "$.sections[0].items[0] is not an object"),
        (CONTENT.replace('"url"', '"uri"'), "$.sections[0].items[0].url is not a string"),
        (CONTENT.replace('"s1"', '""'), "$.sections[0].items[0].id is not of 1 to 200 characters"),
    ],
)
def test_a_wrong_document_is_told_where_it_is_wrong(service, document, path):
    """The path of the first fault is named, for whatever the CHECK refuses."""
    service.results_eq("SELECT pulsex.briefing_content_error(%s)", [(path,)], document)
    service.results_eq("SELECT pulsex.is_briefing_content(%s)", [(False,)], document)


def test_a_right_document_has_no_fault(service):
    """Nothing is said of a document that the CHECK takes."""
    service.results_eq("SELECT pulsex.briefing_content_error(%s)", [(None,)], CONTENT)


@pytest.mark.commits
def test_the_first_time_stays(alice, worker, dba, published):
    """Delivered and read again, and even cleared, a briefing keeps the first times."""
    key = (alice.user_id, published.briefing_date)
    times = "SELECT delivered_at, read_at FROM pulsex.briefings"
    worker.rows("SELECT pulsex.mark_briefing_delivered(%s, %s, p_at => '2026-01-02 03:04Z')", *key)
    alice.rows("SELECT pulsex.mark_briefing_read(%s, %s)", *key)
    [first] = alice.rows(times)
    worker.rows("SELECT pulsex.mark_briefing_delivered(%s, %s)", *key)
    alice.rows("SELECT pulsex.mark_briefing_read(%s, %s)", *key)
    alice.rows("UPDATE pulsex.briefings SET read_at = NULL")
    assert None not in first
    alice.results_eq(times, [first])


def test_what_is_not_there_is_not_marked(alice, bob, worker, published):
    """No such briefing, or another person's, is PT404."""
    read, delivered = (
        "SELECT pulsex.mark_briefing_read(%s, %s, %s)",
        "SELECT pulsex.mark_briefing_delivered(%s, %s, %s)",
    )
    bob.throws_ok(read, "PT404", alice.user_id, published.briefing_date, "morning")
    alice.throws_ok(read, "PT404", alice.user_id, published.briefing_date, "evening")
    worker.throws_ok(delivered, "PT404", alice.user_id, published.briefing_date, "evening")


def test_a_briefing_of_another_date_is_not_marked(alice, worker, published):
    """Of a date without a briefing none is, though the day before has one: PT404."""
    tomorrow = published.briefing_date + timedelta(days=1)
    alice.throws_ok("SELECT pulsex.mark_briefing_read(%s, %s)", "PT404", alice.user_id, tomorrow)
    worker.throws_ok("SELECT pulsex.mark_briefing_delivered(%s, %s)", "PT404", alice.user_id, tomorrow)
