"""Finding one's briefings by words and by content."""

import pytest

DOCUMENT = """{"sections": [{"topic": "%s", "headline": "%s", "items": [
    {"id": "%s", "title": "%s", "url": "https://example.com", "source": "The Meridian Courier", "summary": "%s"}]}]}"""
SEARCH = "SELECT title FROM pulsex.search_briefings(%s, %s)"
FIND = "SELECT title FROM pulsex.find_briefings(%s, %s)"


@pytest.fixture
def library(alice, bob, worker, published):
    """Alice's briefings of three days, with "harbour" in a summary, in a headline and in a title; and one of Bob's."""
    publish = "SELECT pulsex.publish_briefing(%s, %s::date - %s, %s, %s)"
    documents = [
        (1, "In the summary", DOCUMENT % ("cities", "News", "a", "Ships", "The harbours were <b>full</b> & loud.")),
        (2, "In the headline", DOCUMENT % ("cities", "The harbour opens", "b", "Ships", "Nothing else.")),
        (3, "The harbour in the title", DOCUMENT % ("science", "News", "c", "Ships", "Nothing else.")),
    ]
    for days, title, document in documents:
        worker.rows(publish, alice.user_id, published.briefing_date, days, document, title)
    worker.rows(publish, bob.user_id, published.briefing_date, 1, documents[0][2], "Bob's harbour")


@pytest.mark.commits
def test_a_title_counts_more_than_a_headline_and_that_more_than_a_summary(alice, library):
    """The best match comes first; another person's briefing doesn't come at all."""
    want = [("The harbour in the title",), ("In the headline",), ("In the summary",)]
    alice.results_eq(SEARCH, want, alice.user_id, "harbour")


@pytest.mark.commits
@pytest.mark.parametrize(
    ("query", "want"),
    [
        ("harbours", 3),  # another form of the word
        ("harbour -title", 2),
        ('"harbour opens"', 1),
        ("nothing or full", 3),
        ("the", 0),  # a stop word alone
        ("", 0),
        ("&|!()':*<->", 0),
        ("x" * 1000, 0),
        ("-" * 999 + "a", 4),  # what is only excluded leaves everything else
        ("a " * 500, 0),
    ],
)
def test_any_text_is_a_query(alice, library, query, want):
    """Words, phrases, or and -not are understood; whatever else is typed finds nothing rather than fail."""
    titles = alice.rows(SEARCH, alice.user_id, query)
    assert len(titles) == want


def test_the_words_of_a_long_briefing_stay_in_its_row(alice, dba, published):
    """What is moved out of a row that is too long is the content; a search looks through the words of all."""
    long = DOCUMENT % ("cities", "News", "a", "Ships", " ".join(f"harbour{n}" for n in range(300)))
    dba.rows("SELECT pulsex.publish_briefing(%s, %s, %s)", alice.user_id, published.briefing_date, long)
    apart = """SELECT pg_column_toast_chunk_id(search) IS NOT NULL, pg_column_toast_chunk_id(content) IS NOT NULL
        FROM pulsex.briefings WHERE user_id = %s AND briefing_date = %s"""
    dba.results_eq(apart, [(False, True)], alice.user_id, published.briefing_date)


@pytest.mark.commits
def test_a_language_changed_later_still_finds_words_as_they_are_written(alice, library):
    """Briefings stemmed in English are found in a German person's search by the very word."""
    alice.rows("UPDATE pulsex.users SET locale = 'de' WHERE user_id = %s", alice.user_id)
    assert alice.rows(SEARCH, alice.user_id, "loud") == [("In the summary",)]


@pytest.mark.commits
def test_a_snippet_is_safe_html_with_the_words_marked(alice, library):
    """What was found stands in <mark>, and the text around it is escaped."""
    snippet = alice.value("SELECT snippet FROM pulsex.search_briefings(%s, 'full')", alice.user_id)
    assert "<mark>full</mark>" in snippet
    assert "<b>" not in snippet
    assert "&amp;" in snippet


@pytest.mark.commits
def test_briefings_are_found_by_content(alice, library):
    """find_briefings returns those whose content contains the filter, newest first."""
    alice.results_eq(
        FIND, [("In the summary",), ("In the headline",)], alice.user_id, '{"sections": [{"topic": "cities"}]}'
    )


@pytest.mark.commits
def test_a_page_ends_at_its_limit(alice, library):
    """Both return at most p_limit briefings."""
    for routine, what in (("search_briefings", "harbour"), ("find_briefings", "{}")):
        rows = alice.rows(f"SELECT title FROM pulsex.{routine}(%s, %s, 2)", alice.user_id, what)
        assert len(rows) == 2


@pytest.mark.parametrize("limit", [0, -1, 101, None])
@pytest.mark.parametrize("routine", ["search_briefings", "find_briefings"])
def test_a_page_out_of_bounds_is_refused(alice, routine, limit):
    """A page has 1 to 100 rows."""
    alice.throws_ok(f"SELECT * FROM pulsex.{routine}(%s, '{{}}', %s)", "PT422", alice.user_id, limit)


@pytest.mark.parametrize("routine", ["search_briefings", "find_briefings"])
def test_somebody_elses_are_refused(alice, bob, stranger, routine):
    """A definer routine asks who is asking: another person, and nobody, may not."""
    for actor in (bob, stranger):
        actor.throws_ok(f"SELECT * FROM pulsex.{routine}(%s, '{{}}')", "PT403", alice.user_id)
        actor.throws_ok(f"SELECT * FROM pulsex.{routine}(NULL, '{{}}')", "PT403")


@pytest.mark.parametrize("wrong", ["[]", '"science"', "null", None])
def test_a_filter_that_is_no_object_is_refused(alice, wrong):
    """Containment of anything but an object is asked by mistake."""
    alice.throws_ok("SELECT * FROM pulsex.find_briefings(%s, %s)", "PT422", alice.user_id, wrong)


def test_a_query_too_long_is_refused(alice):
    """Past 1000 characters parsing alone could cost seconds."""
    alice.throws_ok(SEARCH, "PT422", alice.user_id, "x" * 1001)
