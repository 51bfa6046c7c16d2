"""Legal holds: what they keep, that the certificate says so, and that the end of one finishes the work."""

from __future__ import annotations

import uuid

import pytest

PLACE = "SELECT gdpr.place_hold(%s, %s, 'a claim')"
RELEASE = "SELECT gdpr.release_hold(%s, %s)"
ERASE = "SELECT gdpr.erase_user(%s, 'asked for')"
ERASE_PART = "SELECT gdpr.erase_user(%s, 'asked for', %s::text[])"
FIND = "SELECT DISTINCT category FROM gdpr.find_personal_data(%s) ORDER BY 1"


@pytest.fixture
def held(officer, published):
    """A hold on Alice's ratings."""
    return officer.value(PLACE, published.user_id, "ratings")


def test_what_is_held_is_kept_and_the_certificate_says_so(officer, published, held):
    """Ratings and the briefings that they are of; the holds themselves; of the person the bare row."""
    certificate = officer.value(ERASE, published.user_id)
    officer.results_eq(
        FIND, [("briefings",), ("history",), ("privacy",), ("profile",), ("ratings",)], published.user_id
    )
    assert certificate["kept"] == [{"hold": str(held), "category": "ratings", "until": None, "rows": 1}]
    assert not certificate["is_complete"]


def test_of_the_person_nothing_but_the_id_is_kept(officer, look, published, held):
    """Name, language and zone are others', and nobody is to process what is left (Art. 18)."""
    officer.rows(ERASE, published.user_id)
    look.results_eq(
        "SELECT display_name, locale, time_zone, status FROM pulsex.users WHERE user_id = %s",
        [("erased", "en", "UTC", "restricted")],
        published.user_id,
    )


def test_they_are_signed_out_all_the_same(officer, look, published, held):
    """Their session is gone: PT401."""
    look.rows("SELECT auth.use_session(%s)", published.token)
    officer.rows(ERASE, published.user_id)
    look.throws_ok("SELECT auth.use_session(%s)", "PT401", published.token)


def test_its_release_finishes_the_work(officer, published, held):
    """The certificate is the same erasure's, complete, with what was added; nothing is left."""
    first = officer.value(ERASE, published.user_id)
    second = officer.value(RELEASE, published.user_id, held)
    assert second["erasure_id"] == first["erasure_id"]
    assert second["is_complete"]
    assert [step["because"] for step in second["continued"]] == ["release"]
    assert second["rows"]["pulsex.briefing_feedback"] == 1
    officer.is_empty(FIND, published.user_id)
    assert officer.value(ERASE, published.user_id) == second


def test_its_release_erases_nothing_that_was_not_asked_for(officer, published, held):
    """Without an erasure, nothing; and after one of activity alone, nothing more."""
    before = officer.rows(FIND, published.user_id)
    officer.results_eq(RELEASE, [(None,)], published.user_id, held)
    officer.results_eq(FIND, before, published.user_id)
    hold = officer.value(PLACE, published.user_id, "activity")
    officer.rows(ERASE_PART, published.user_id, ["activity"])
    officer.results_eq(FIND, before, published.user_id)
    officer.rows(RELEASE, published.user_id, hold)
    officer.results_eq(FIND, [row for row in before if row != ("activity",)], published.user_id)


def test_of_two_holds_each_keeps_its_own(officer, published, held):
    """The first release erases what the second doesn't hold; the second the rest."""
    other = officer.value(PLACE, published.user_id, "notifications")
    officer.rows(ERASE, published.user_id)
    certificate = officer.value(RELEASE, published.user_id, held)
    assert [kept["category"] for kept in certificate["kept"]] == ["notifications"]
    officer.results_eq(FIND, [("history",), ("notifications",), ("privacy",), ("profile",)], published.user_id)
    assert officer.value(RELEASE, published.user_id, other)["is_complete"]
    officer.is_empty(FIND, published.user_id)


def test_a_hold_on_something_else_keeps_nothing_of_a_part(officer, published, held):
    """Activity is erased wholly while ratings are held."""
    assert officer.value(ERASE_PART, published.user_id, ["activity"])["is_complete"]


def test_erasing_all_takes_over_what_a_part_waited_for(officer, look, published, held):
    """When everything has gone, the certificate of the part is complete too."""
    part = officer.value(ERASE_PART, published.user_id, ["ratings"])
    assert not part["is_complete"]
    officer.rows(ERASE, published.user_id)
    officer.rows(RELEASE, published.user_id, held)
    look.results_eq(
        "SELECT certificate -> 'is_complete', completed_at IS NOT NULL FROM gdpr.erasures WHERE erasure_id = %s",
        [(True, True)],
        part["erasure_id"],
    )


def test_each_erasure_of_a_part_waits_for_its_own_hold(officer, published, held):
    """A second one, of something else, doesn't make the first forget what it waits for."""
    first = officer.value(PLACE, published.user_id, "activity")
    officer.rows(ERASE_PART, published.user_id, ["activity"])
    officer.rows(ERASE_PART, published.user_id, ["ratings"])
    officer.rows(RELEASE, published.user_id, first)
    assert ("activity",) not in officer.rows(FIND, published.user_id)


COMPLETED = "SELECT completed_at FROM gdpr.erasures WHERE erasure_id = %s"


def test_erasing_all_completes_nothing_of_anybody_else(officer, look, published, database):
    """What waits for a hold on Bob's goes on waiting when all of Alice's has gone."""
    bob = database.cast["bob"].user_id
    officer.rows(PLACE, bob, "ratings")
    part = officer.value(ERASE_PART, bob, ["ratings"])
    assert officer.value(ERASE, published.user_id)["is_complete"]
    look.results_eq(COMPLETED, [(None,)], part["erasure_id"])


def test_erasing_all_leaves_a_part_that_was_complete_as_it_was(officer, look, published):
    """It was complete then, not now."""
    part = officer.value(ERASE_PART, published.user_id, ["activity"])
    look.rows("UPDATE gdpr.erasures SET erased_at = now() - interval '1 day', completed_at = now() - interval '1 hour'")
    officer.rows(ERASE, published.user_id)
    look.results_eq(
        f"{COMPLETED} AND completed_at < now()", look.rows(COMPLETED, part["erasure_id"]), part["erasure_id"]
    )


def test_a_hold_on_the_history_keeps_the_log(officer, look, published):
    """What was recorded of her name is still there to read."""
    officer.rows(PLACE, published.user_id, "history")
    officer.rows(ERASE, published.user_id)
    look.results_eq(
        "SELECT DISTINCT table_name FROM audit.events WHERE user_id = %s AND table_name = 'pulsex.users'",
        [("pulsex.users",)],
        published.user_id,
    )


@pytest.mark.commits
def test_what_goes_on_by_itself_waits_for_who_writes(privacy, dba, published):
    """resume_erasures() too has the person's row first: 55P03, since it waits no longer here."""
    privacy.rows("SELECT gdpr.place_hold(%s, 'activity', 'a claim', now() + interval '1 day')", published.user_id)
    privacy.rows(ERASE_PART, published.user_id, ["activity"])
    dba.rows("UPDATE gdpr.holds SET placed_at = now() - interval '2 days', held_until = now() - interval '1 day'")
    privacy.connection.execute("SET lock_timeout = '5ms'")
    with dba.connection.transaction():
        dba.connection.execute("SELECT FROM pulsex.users FOR KEY SHARE")
        privacy.throws_ok("SELECT gdpr.resume_erasures()", "55P03")
    privacy.results_eq("SELECT gdpr.resume_erasures()", [(1,)])


def test_erasing_again_while_held_changes_nothing(officer, published, held):
    """The same certificate, to the letter."""
    assert officer.value(ERASE, published.user_id) == officer.value(ERASE, published.user_id)


def test_a_hold_that_ended_by_itself_lets_the_work_go_on(officer, look, published):
    """gdpr.resume_erasures() finishes it, once."""
    officer.rows("SELECT gdpr.place_hold(%s, 'ratings', 'a claim', now() + interval '1 day')", published.user_id)
    officer.rows(ERASE, published.user_id)
    officer.results_eq("SELECT gdpr.resume_erasures()", [(0,)])
    look.rows("UPDATE gdpr.holds SET placed_at = now() - interval '2 days', held_until = now() - interval '1 day'")
    officer.results_eq("SELECT gdpr.resume_erasures()", [(1,)])
    officer.is_empty(FIND, published.user_id)
    officer.results_eq("SELECT gdpr.resume_erasures()", [(0,)])


@pytest.mark.parametrize("category", ["access", "devices", "privacy", "profile", "preferences", "briefings"])
def test_any_category_can_be_held(officer, published, category):
    """What refers to what is found by the catalogue: no foreign key stands in the way."""
    hold = officer.value(PLACE, published.user_id, category)
    assert not officer.value(ERASE, published.user_id)["is_complete"]
    assert (category,) in officer.rows(FIND, published.user_id)
    assert officer.value(RELEASE, published.user_id, hold)["is_complete"]
    officer.is_empty(FIND, published.user_id)


@pytest.mark.parametrize(
    ("category", "reason", "until"),
    [
        ("everything", "r", None),
        (None, "r", None),
        ("ratings", None, None),
        ("ratings", " ", None),
        ("ratings", "r" * 501, None),
        ("ratings", "r", "2000-01-01"),
    ],
)
def test_a_hold_that_makes_no_sense_is_refused(privacy, published, category, reason, until):
    """No such category, no reason, over before it began: PT422."""
    place = "SELECT gdpr.place_hold(%s, %s, %s, %s::timestamptz)"
    privacy.throws_ok(place, "PT422", published.user_id, category, reason, until)


@pytest.mark.parametrize("user_id", [uuid.uuid4(), None])
def test_nobody_has_no_holds(privacy, user_id):
    """PT404 to place or to release."""
    privacy.throws_ok(PLACE, "PT404", user_id, "ratings")
    privacy.throws_ok(RELEASE, "PT404", user_id, uuid.uuid4())


def test_a_hold_is_released_once(officer, published, held):
    """Again, or another person's, or none: PT404."""
    officer.rows(RELEASE, published.user_id, held)
    for hold in (held, uuid.uuid4(), None):
        officer.throws_ok(RELEASE, "PT404", published.user_id, hold)


def test_only_an_officer_holds(look, published):
    """PT403 for a role that may call them and is none."""
    look.rows("GRANT EXECUTE ON FUNCTION gdpr.place_hold, gdpr.release_hold TO pulsex_worker")
    look.role = "pulsex_worker"
    look.throws_ok(PLACE, "PT403", published.user_id, "ratings")
    look.throws_ok(RELEASE, "PT403", published.user_id, uuid.uuid4())


def test_the_log_keeps_what_is_about_what_is_held_and_nothing_else_with_the_name(officer, look, published, held):
    """Of tables that were erased, or left as bare rows, the payloads are gone; those of ratings are there."""
    officer.rows(ERASE, published.user_id)
    look.results_eq(
        "SELECT DISTINCT table_name FROM audit.events WHERE user_id = %s AND table_name IS NOT NULL ORDER BY 1",
        [("gdpr.holds",), ("pulsex.briefing_feedback",)],
        published.user_id,
    )
    look.results_eq("SELECT count(*) FROM audit.events WHERE payload::text ~ 'Alice'", [(0,)])
