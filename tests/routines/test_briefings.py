"""Briefings, published and read: db/routines/briefings.sql."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from psycopg.types.json import Jsonb

from tests.cast import CONTENT
from tests.constraints.violations import octets

NOBODY = "00000000-0000-0000-0000-000000000000"
PUBLISH = "SELECT pulsex.publish_briefing(%s, %s, %s)"
PUBLISH_TITLED = "SELECT pulsex.publish_briefing(%s, %s, %s, %s)"
PUBLISH_EDITION = "SELECT pulsex.publish_briefing(%s, %s, %s, p_edition => %s)"
DAY = timedelta(days=1)


def headed(headline: str) -> Jsonb:
    """Return a briefing of one section with that headline."""
    return Jsonb({"sections": [{"topic": "science", "headline": headline, "items": []}]})


# Publishing -----------------------------------------------------------------------------------------------------------


@pytest.mark.commits
def test_a_briefing_is_stored(worker, dba, published):
    """publish_briefing stores date, edition, title, content and search, generated now and not yet delivered or read."""
    content = Jsonb(json.loads(CONTENT))
    worker.lives_ok(PUBLISH, published.user_id, published.briefing_date + DAY, content)
    dba.results_eq(
        """SELECT edition, version, title, content = %s, search @@ 'comet', delivered_at, read_at
        FROM pulsex.briefings WHERE user_id = %s AND briefing_date = %s""",
        [("morning", 1, "What the night sky holds", True, True, None, None)],
        content,
        published.user_id,
        published.briefing_date + DAY,
    )


def test_versions_count_up(worker, published):
    """A new briefing is version 1, other content the next one, and so is another title."""
    day = published.briefing_date + DAY
    worker.results_eq(PUBLISH, [(1,)], published.user_id, day, headed("A"))
    worker.results_eq(PUBLISH, [(2,)], published.user_id, day, headed("B"))
    worker.results_eq(PUBLISH_TITLED, [(3,)], published.user_id, day, headed("B"), "C")


def test_editions_have_versions_of_their_own(worker, published):
    """The evening's briefing is version 1 beside the morning's."""
    for edition in ("morning", "evening"):
        day = published.briefing_date + DAY
        worker.results_eq(PUBLISH_EDITION, [(1,)], published.user_id, day, headed("A"), edition)


def test_the_same_again_has_the_version_of_its_edition(worker, published):
    """The evening's, which is a later one, isn't the morning's."""
    for content in (headed("A"), headed("B")):
        worker.rows(PUBLISH_EDITION, published.user_id, published.briefing_date, content, "evening")
    worker.results_eq(PUBLISH, [(1,)], published.user_id, published.briefing_date, CONTENT)


def test_the_same_again_has_the_version_of_its_date(worker, published):
    """Tomorrow's is the second, and today's the first."""
    today, tomorrow = published.briefing_date, published.briefing_date + DAY
    worker.rows(PUBLISH, published.user_id, tomorrow, headed("A"))
    worker.rows(PUBLISH, published.user_id, tomorrow, CONTENT)
    for date, version in {today: 1, tomorrow: 2}.items():
        worker.results_eq(PUBLISH, [(version,)], published.user_id, date, CONTENT)


@pytest.mark.commits
def test_publishing_the_same_again_changes_nothing(worker, dba, published):
    """The same content returns the same version and leaves the row untouched."""
    row = "SELECT xmin::text, ctid::text, b FROM pulsex.briefings AS b WHERE user_id = %s"
    before = dba.rows(row, published.user_id)
    worker.results_eq(PUBLISH, [(1,)], published.user_id, published.briefing_date, CONTENT)
    dba.results_eq(row, before, published.user_id)


@pytest.mark.commits
def test_publishing_anew_replaces_content_and_search(worker, dba, published):
    """The next version's title, content and search are the new ones."""
    worker.results_eq(PUBLISH, [(2,)], published.user_id, published.briefing_date, headed("Bridges"))
    dba.results_eq(
        "SELECT title, content = %s, search @@ 'bridg', search @@ 'comet' FROM pulsex.briefings WHERE user_id = %s",
        [("Bridges", True, True, False)],
        headed("Bridges"),
        published.user_id,
    )


def title_of(dba, person) -> str:
    """Return the title of the person's briefing."""
    return dba.value("SELECT title FROM pulsex.briefings WHERE user_id = %s", person.user_id)


@pytest.mark.commits
@pytest.mark.parametrize(
    ("title", "want"),
    [(None, "Headline"), ("Title", "Title"), ("é" * 300, "é" * 300), ("é" * 301, "é" * 300)],
    ids=["none", "given", "300", "301"],
)
def test_a_title_is_what_was_given_or_the_first_headline(worker, dba, published, title, want):
    """Without p_title the first headline is the title; a title is cut at 300 characters."""
    worker.lives_ok(PUBLISH_TITLED, published.user_id, published.briefing_date, headed("Headline"), title)
    assert title_of(dba, published) == want


@pytest.mark.commits
@pytest.mark.parametrize("content", [headed(""), Jsonb({"sections": []})], ids=["empty headline", "no sections"])
def test_without_a_headline_the_date_is_the_title(worker, dba, published, content):
    """A briefing that has nothing to be called by is called by its date."""
    worker.lives_ok(PUBLISH, published.user_id, published.briefing_date, content)
    assert title_of(dba, published) == str(published.briefing_date)


def test_an_empty_title_is_refused(worker, published):
    """A p_title that is given and empty raises 23514."""
    date, constraint = published.briefing_date, "briefings_title_check"
    worker.throws_ok(PUBLISH_TITLED, "23514", published.user_id, date, CONTENT, "", constraint=constraint)


@pytest.mark.commits
def test_a_headline_as_title_is_cut_too(worker, dba, published):
    """Of a long headline 300 characters become the title."""
    worker.lives_ok(PUBLISH, published.user_id, published.briefing_date, headed("é" * 301))
    assert title_of(dba, published) == "é" * 300


def test_publishing_a_cut_title_again_changes_nothing(worker, published):
    """What was cut is compared as it was cut: the version stays."""
    for _ in range(2):
        worker.results_eq(PUBLISH, [(2,)], published.user_id, published.briefing_date, headed("é" * 301))


@pytest.mark.parametrize("user_id", [NOBODY, None])
def test_nobody_is_briefed(worker, published, user_id):
    """An id that nobody has raises PT404."""
    worker.throws_ok(PUBLISH, "PT404", user_id, published.briefing_date, CONTENT)


@pytest.mark.commits
def test_a_restricted_person_is_not_processed(worker, dba, published):
    """While processing is restricted publishing raises PT403, the same content too."""
    dba.rows("UPDATE pulsex.users SET status = 'restricted' WHERE user_id = %s", published.user_id)
    worker.throws_ok(PUBLISH, "PT403", published.user_id, published.briefing_date, CONTENT)
    worker.throws_ok(PUBLISH, "PT403", published.user_id, published.briefing_date + DAY, CONTENT)


BAD_SHAPES = [{}, [], "a", 1, {"sections": 1}, {"sections": [{}]}, {"sections": [1, [2]]}, {"sections": [{"items": 1}]}]


@pytest.mark.parametrize("content", BAD_SHAPES, ids=str)
def test_content_of_the_wrong_shape_names_the_constraint(worker, published, content):
    """Content that is no briefing raises 23514 of briefings_content_shape_check."""
    date, constraint = published.briefing_date, "briefings_content_shape_check"
    worker.throws_ok(PUBLISH_TITLED, "23514", published.user_id, date, Jsonb(content), "T", constraint=constraint)


@pytest.mark.parametrize("content", [{}, [], {"sections": [{}]}], ids=str)
def test_content_of_the_wrong_shape_names_the_constraint_without_a_title(worker, published, content):
    """Without p_title such content raises the same 23514."""
    date, constraint = published.briefing_date, "briefings_content_shape_check"
    worker.throws_ok(PUBLISH, "23514", published.user_id, date, Jsonb(content), constraint=constraint)


@pytest.mark.parametrize(("size", "fits"), [(262144, True), (262145, False)])
def test_content_has_256_kib_at_most(worker, published, size, fits):
    """Content of 256 KiB is stored; an octet more raises 23514 of briefings_content_size_check."""
    whose, content = (published.user_id, published.briefing_date), Jsonb(octets(size, **headed("A").obj))
    if fits:
        worker.lives_ok(PUBLISH, *whose, content)
    else:
        worker.throws_ok(PUBLISH, "23514", *whose, content, constraint="briefings_content_size_check")


@pytest.mark.parametrize(("size", "found"), [(262144, True), (262145, False)])
def test_the_largest_briefing_is_searched(service, size, found):
    """Content of 256 KiB is found by its words; an octet more, which is refused, isn't searched."""
    content = Jsonb(octets(size, **headed("comets").obj))
    service.results_eq("SELECT pulsex.briefing_search('', %s, 'en') @@ 'comet'", [(found,)], content)


def rare_words(first: int) -> str:
    """Return 60,000 words of three rare characters, none twice, the first beginning with that character."""
    return " ".join(chr(first + n // 200) + chr(0x20000 + n % 200) + chr(0x20100) for n in range(60_000))


@pytest.mark.parametrize(
    ("title", "summary"),
    [
        pytest.param("A", "x" * 2**20, id="one word"),
        pytest.param("A", " ".join(f"w{n}" for n in range(200_000)), id="many words"),
        pytest.param(rare_words(0x20000), rare_words(0x22000), id="many words of rare characters"),
    ],
)
def test_content_far_too_large_fails_for_its_size(worker, published, title, summary):
    """Content too large even to index raises 23514 of briefings_content_size_check as well."""
    item = {"id": "1", "title": title, "url": "", "source": "", "summary": summary}
    content = Jsonb({"sections": [{"topic": "", "headline": "A", "items": [item]}]})
    constraint = "briefings_content_size_check"
    worker.throws_ok(PUBLISH, "23514", published.user_id, published.briefing_date, content, constraint=constraint)


@pytest.mark.parametrize("edition", ["noon", "", "Morning"])
def test_an_unknown_edition_is_refused(worker, published, edition):
    """An edition that isn't one raises 23514 of briefings_edition_check."""
    constraint, date = "briefings_edition_check", published.briefing_date
    worker.throws_ok(PUBLISH_EDITION, "23514", published.user_id, date, CONTENT, edition, constraint=constraint)


@pytest.mark.commits
@pytest.mark.parametrize("date", ["1999-12-31", "2999-01-01", "infinity", None])
def test_a_date_without_a_partition_is_refused(worker, dba, published, date):
    """A date that no partition is for raises 23514, and nothing is stored anywhere."""
    worker.throws_ok(PUBLISH, "23514", published.user_id, date, CONTENT)
    dba.results_eq("SELECT count(*) FROM pulsex.briefings", [(2,)])


# Searching ------------------------------------------------------------------------------------------------------------

LANGUAGES = {
    "da": "danish", "de": "german", "en": "english", "es": "spanish", "fi": "finnish", "fr": "french",
    "it": "italian", "nl": "dutch", "pt": "portuguese", "sv": "swedish",
    "pt-BR": "portuguese", "zh-Hant-TW": "simple", "eng": "simple", "": "simple", None: "simple",
}  # fmt: skip


@pytest.mark.parametrize("locale", LANGUAGES)
def test_a_language_is_searched_by_its_own_rules(service, locale):
    """text_search_config goes by the language subtag; what it doesn't know is searched word by word."""
    service.results_eq("SELECT pulsex.text_search_config(%s)::text", [(LANGUAGES[locale],)], locale)


@pytest.mark.parametrize(
    ("weight", "words"),
    [("a", ["titl"]), ("b", ["headlin", "item", "second"]), ("c", ["summari"])],
    ids=["title", "headlines and item titles", "summaries"],
)
def test_a_briefing_is_found_by_its_words(service, weight, words):
    """Title has weight A, headlines and item titles B, summaries C; ids, sources, addresses and topics aren't there."""
    item = {"id": "ids", "title": "items", "url": "https://example.com", "source": "sources", "summary": "summaries"}
    sections = [
        {"topic": "topics", "headline": "headlines", "items": [item]},
        {"topic": "topics", "headline": "second", "items": []},
    ]
    found = "SELECT tsvector_to_array(ts_filter(pulsex.briefing_search('titles', %s, 'en'), %s::\"char\"[]))"
    service.results_eq(found, [(words,)], Jsonb({"sections": sections}), [weight])


def test_no_word_is_found_without_a_weight(service):
    """Nothing of a briefing has weight D."""
    found = "SELECT ts_filter(pulsex.briefing_search('titles', %s, 'en'), '{d}')::text"
    service.results_eq(found, [("",)], CONTENT)


@pytest.mark.parametrize(
    ("locale", "want"),
    [("en", ["häuser", "run"]), ("de", ["haus", "running"]), ("ja", ["häuser", "running"])],
)
def test_words_are_stemmed_in_the_persons_language(service, locale, want):
    """briefing_search reads the words by the rules of p_locale."""
    found = "SELECT tsvector_to_array(pulsex.briefing_search('Häuser running', '{\"sections\": []}', %s))"
    service.results_eq(found, [(want,)], locale)


@pytest.mark.commits
def test_a_briefing_is_indexed_in_the_persons_language(worker, dba, published):
    """publish_briefing takes the locale from the person."""
    dba.rows("UPDATE pulsex.users SET locale = 'de-AT' WHERE user_id = %s", published.user_id)
    worker.lives_ok(PUBLISH, published.user_id, published.briefing_date, headed("Häuser"))
    dba.results_eq("SELECT search @@ 'haus' FROM pulsex.briefings WHERE user_id = %s", [(True,)], published.user_id)


@pytest.mark.parametrize("content", ["null", "1", "[]", "{}", '{"sections": [1, [2], null]}', None])
def test_any_document_can_be_searched(service, content):
    """briefing_search of what is no briefing, with no title, is empty and no error: the CHECK is to refuse it."""
    service.results_eq("SELECT pulsex.briefing_search(NULL, %s, 'en')::text", [("",)], content)


# Reading --------------------------------------------------------------------------------------------------------------

TODAY = """SELECT title FROM pulsex.todays_briefing(
    %s, p_at => (%s::timestamp + %s::interval) AT TIME ZONE (SELECT time_zone FROM pulsex.users))"""
NIGHT_SKY = [("What the night sky holds",)]


@pytest.mark.parametrize(
    ("since_midnight", "titles"),
    [
        ("-1 microsecond", []),
        ("0", NIGHT_SKY),
        ("1 day -1 microsecond", NIGHT_SKY),
        ("1 day", []),
    ],
)
@pytest.mark.parametrize("person", ["alice", "bob"])
def test_today_is_the_persons_local_date(request, database, person, since_midnight, titles):
    """From midnight to midnight where the person lives, todays_briefing is that date's."""
    reader = request.getfixturevalue(person)
    midnight = database.cast[person].briefing_date
    reader.results_eq(TODAY, titles, reader.user_id, midnight, since_midnight)


def test_todays_briefing_has_everything(alice, published):
    """The row has date, edition, version, title, content and the three times."""
    noon = "SELECT t.* FROM pulsex.todays_briefing(%s, 'morning', (%s::date + time '12:00') AT TIME ZONE 'UTC') AS t"
    alice.results_eq(
        noon,
        alice.rows(
            """SELECT briefing_date, edition, version, title, content, generated_at, delivered_at, read_at
            FROM pulsex.briefings WHERE user_id = %s""",
            alice.user_id,
        ),
        alice.user_id,
        published.briefing_date,
    )


@pytest.mark.commits
def test_each_edition_is_asked_for_by_name(alice, worker, published):
    """The evening edition is another briefing, and there is none until it is published."""
    evening = "SELECT title FROM pulsex.todays_briefing(%s, 'evening', (%s::date + time '12:00') AT TIME ZONE 'UTC')"
    alice.is_empty(evening, alice.user_id, published.briefing_date)
    worker.rows(PUBLISH_EDITION, alice.user_id, published.briefing_date, headed("Good evening"), "evening")
    alice.results_eq(evening, [("Good evening",)], alice.user_id, published.briefing_date)


def test_todays_briefing_is_ones_own(alice, bob, stranger, database):
    """Bob's briefing, which Bob sees, is no row to Alice, and to a stranger."""
    noon = "SELECT title FROM pulsex.todays_briefing(%s, p_at => (%s::date + time '18:00') AT TIME ZONE 'UTC')"
    day = database.cast["bob"].briefing_date
    bob.results_eq(noon, NIGHT_SKY, bob.user_id, day)
    for other in (alice, stranger):
        other.is_empty(noon, bob.user_id, day)


HISTORY = "SELECT briefing_date, edition FROM pulsex.briefing_history(%s, %s, %s)"


@pytest.fixture
def week(worker, published) -> list[tuple]:
    """Six of Alice's briefings, newest first: five mornings and, on the third day, an evening."""
    first = published.briefing_date
    for number in range(1, 5):
        worker.rows(PUBLISH, published.user_id, first + number * DAY, CONTENT)
    worker.rows(PUBLISH_EDITION, published.user_id, first + 2 * DAY, CONTENT, "evening")
    mornings = [(first + number * DAY, "morning") for number in range(5)]
    return sorted([*mornings, (first + 2 * DAY, "evening")], reverse=True)


@pytest.mark.commits
def test_history_is_newest_first(alice, week):
    """Without p_before the first page starts at the newest briefing."""
    dates = "SELECT briefing_date FROM pulsex.briefing_history(%s)"
    alice.results_eq(dates, [(date,) for date, _ in week], alice.user_id)


@pytest.mark.commits
@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5, 6, 100])
def test_every_briefing_is_on_one_page(alice, week, limit):
    """Pages of any size, each before the last date of the one before, hold every briefing once."""
    pages, before = [], None
    while page := alice.rows(HISTORY, alice.user_id, before, limit):
        pages += page
        before = page[-1][0]
    assert [date for date, _ in pages] == [date for date, _ in week]
    assert sorted(pages) == sorted(week)


@pytest.mark.commits
def test_a_date_is_never_split_between_pages(alice, week):
    """Where the limit falls between two editions of a date, the page has both."""
    page = alice.rows(HISTORY, alice.user_id, None, 3)
    assert [date for date, _ in page] == [date for date, _ in week[:4]]


@pytest.mark.commits
def test_history_ends_before_the_date(alice, week, published):
    """p_before itself isn't on the page."""
    before = published.briefing_date + DAY
    alice.results_eq(HISTORY, [(published.briefing_date, "morning")], alice.user_id, before, 100)


@pytest.mark.commits
def test_a_page_reaches_over_a_gap(alice, worker, published):
    """A briefing of weeks ago is on the same page as today's when there is none between."""
    long_ago = published.briefing_date - 25 * DAY
    worker.rows(PUBLISH, published.user_id, long_ago, CONTENT)
    want = [(published.briefing_date, "morning"), (long_ago, "morning")]
    alice.results_eq(HISTORY, want, alice.user_id, None, 2)
    alice.results_eq(HISTORY, want[1:], alice.user_id, published.briefing_date, 1)


@pytest.mark.parametrize(("before", "found"), [("-infinity", 0), ("4713-01-01 BC", 0), ("infinity", 1)])
def test_history_before_any_date_there_is(alice, before, found):
    """The ends of the calendar, beyond which a hundred days before are no date, are no error."""
    assert len(alice.rows(HISTORY, alice.user_id, before, 100)) == found


@pytest.mark.parametrize("limit", [0, -1, 101, None])
def test_a_page_has_1_to_100_briefings(alice, limit):
    """Any other p_limit raises PT422."""
    alice.throws_ok(HISTORY, "PT422", alice.user_id, None, limit)


def test_history_is_ones_own(alice, bob, stranger):
    """Bob's history, which Bob sees, is empty to Alice, and to a stranger."""
    assert len(bob.rows(HISTORY, bob.user_id, None, 20)) == 1
    for other in (alice, stranger):
        other.is_empty(HISTORY, bob.user_id, None, 20)


def test_history_leaves_the_content_out(alice):
    """A page has what a list shows: date, edition, version, title and the times."""
    alice.results_eq(
        "SELECT h.* FROM pulsex.briefing_history(%s) AS h",
        alice.rows("SELECT briefing_date, edition, version, title, generated_at, read_at FROM pulsex.briefings"),
        alice.user_id,
    )
