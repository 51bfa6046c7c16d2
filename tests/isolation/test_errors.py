"""What an error message tells: under row level security PostgreSQL leaves the values out of it."""

import pytest

FEEDBACK = (
    "INSERT INTO pulsex.briefing_feedback (user_id, briefing_date, edition, rating) VALUES (%s, %s, 'morning', 3)"
)
FOLLOW = "INSERT INTO pulsex.user_topics (user_id, topic_id) SELECT user_id, topic_id FROM pulsex.user_topics"


def test_a_foreign_key_error_shows_no_key(alice):
    """Rating a briefing that isn't there says so without the key."""
    diag = alice.throws_ok(FEEDBACK, "23503", alice.user_id, "2000-01-01", constraint="briefing_feedback_briefing_fk")
    assert diag.message_detail == 'Key is not present in table "briefings".'


def test_a_foreign_key_error_would_show_the_key_where_nothing_hides_it(dba, published):
    """The same error for a superuser has the person's id in it."""
    diag = dba.throws_ok(FEEDBACK, "23503", published.user_id, "2000-01-01")
    assert str(published.user_id) in diag.message_detail


def test_a_unique_violation_shows_no_key(alice):
    """Following a topic twice says so without the key."""
    assert alice.throws_ok(FOLLOW, "23505", constraint="user_topics_pk").message_detail is None


def test_a_unique_violation_would_show_the_key_where_nothing_hides_it(dba):
    """The same error for a superuser has a person's id in it."""
    assert "(user_id, topic_id)=(" in dba.throws_ok(FOLLOW, "23505").message_detail


def test_a_failed_check_shows_no_row(alice, dba):
    """A check that fails doesn't print the row to Alice, as it does to a superuser."""
    update = "UPDATE pulsex.users SET locale = 'none of that'"
    assert alice.throws_ok(update, "23514", constraint="users_locale_check").message_detail is None
    assert "Alice" in dba.throws_ok(f"{update} WHERE user_id = %s", "23514", alice.user_id).message_detail


@pytest.mark.parametrize("topic", ["science", "cities"])
def test_a_refused_insert_does_not_tell_whether_the_row_is_there(topic, alice, bob):
    """For another person the answer is the same whether they follow the topic, as Bob does science, or not."""
    insert = "INSERT INTO pulsex.user_topics (user_id, topic_id) SELECT %s, topic_id FROM pulsex.topics WHERE slug = %s"
    diag = alice.throws_ok(insert, "42501", bob.user_id, topic)
    assert (diag.message_detail, diag.constraint_name) == (None, None)


@pytest.mark.parametrize("whose", ["alice", "bob"])
def test_a_token_is_refused_in_the_same_words_whoever_it_names(whose, stranger, database):
    """A wrong secret after a real id, Alice's or Bob's, and after nobody's: one error."""
    unknown = stranger.throws_ok("SELECT auth.use_session(gen_random_uuid() || '.' || repeat('0', 64))", "PT401")
    known = stranger.throws_ok(
        "SELECT auth.use_session(%s || '.' || repeat('0', 64))", "PT401", str(database.cast[whose].user_id)
    )
    assert (known.message_primary, known.message_detail) == (unknown.message_primary, unknown.message_detail)
