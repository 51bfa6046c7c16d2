"""What a search cites of a briefing: called as pulsex_service, which search_briefings runs as."""

import json

import pytest


def item(title: str, summary: str) -> dict[str, str]:
    """Return an item, as far as it is cited from."""
    return {"title": title, "summary": summary}


SECTIONS = [
    {
        "headline": "Winds of trade",
        "items": [item("Ferries return", "The harbour opens."), item("Cheap bread", "<b>Bakers</b> & a city agree.")],
    },
    {"headline": "An election", "items": [item("Art for the harbour", "Companies lend it, and study it.")]},
    {
        "headline": "Schlagzeilen",
        "items": [item("Zürich baut Häuser", "Größer als je."), item("La canción", "東京 港")],
    },
]
SNIPPET = """
    SELECT pulsex.briefing_snippet('Monday at the ferries', %s, config, query, patterns)
    FROM (VALUES (%s, pulsex.text_search_config(%s))) AS asked (words, config)
    CROSS JOIN websearch_to_tsquery(config, words) AS query
    CROSS JOIN pulsex.query_patterns(config, words) AS patterns"""
BREAD = "Cheap <mark>bread</mark> … &lt;b&gt;Bakers&lt;/b&gt; &amp; a city agree"


def snippet(service, words: str, locale: str = "en") -> str:
    """Return what a search for these words cites of the briefing."""
    return service.value(SNIPPET, json.dumps({"sections": SECTIONS}), words, locale)


@pytest.mark.parametrize(
    ("words", "want"),
    [
        ("monday", "<mark>Monday</mark> at the ferries"),  # in the title alone
        ("agree", "Cheap bread … &lt;b&gt;Bakers&lt;/b&gt; &amp; a city <mark>agree</mark>"),  # in the second item
        ("ferry", "Monday at the <mark>ferries</mark> … <mark>Ferries</mark> return … The harbour opens"),
        ("bread art", f"{BREAD}. … <mark>Art</mark> for the harbour … Companies lend it, and study"),
        (
            '"city agree"',
            BREAD.replace("<mark>bread</mark>", "bread").replace("city agree", "<mark>city</mark> <mark>agree</mark>"),
        ),
        ("bread or nonesuch", BREAD),
        ("bread -nonesuch", BREAD),
        ("the bread", BREAD),  # "the", which is everywhere, is no word of English to search for
        ("company", "harbour … <mark>Companies</mark> lend it, and study"),  # by its stem, compani
        ("election", "<mark>election</mark>"),  # in a headline alone
    ],
)
def test_the_parts_with_the_words_are_cited(service, words, want):
    """Title and items in which a word of the query stands, or else headlines; nothing of the others."""
    assert snippet(service, words) == want


@pytest.mark.parametrize(
    ("words", "locale", "want"),
    [
        ("Zürich", "de-CH", "<mark>Zürich</mark> baut Häuser … Größer"),  # the stem is zurich
        ("CANCIÓN", "es", "<mark>canción</mark> … 東京"),
        ("港", "ja", "canción … 東京 <mark>港</mark>"),  # a language without a configuration of its own
    ],
)
def test_a_language_has_its_own_forms_of_a_word(service, words, locale, want):
    """In any language of text_search_config: a word as it is written, and by its stem."""
    assert snippet(service, words, locale) == want


@pytest.mark.parametrize(
    ("words", "locale", "marked"), [("cities", "en", "city"), ("studies", "en", "study"), ("gross", "de", "Größer")]
)
def test_a_form_that_is_spelled_otherwise_is_marked_too(service, words, locale, marked):
    """Where no part has the word's letters, all of the briefing is looked through."""
    assert f"<mark>{marked}</mark>" in snippet(service, words, locale)


@pytest.mark.parametrize(
    ("query", "want"),
    [
        ("The 'cities'!", ["%citi%", "%cities%"]),
        ("the", None),  # a stop word alone
        (" ".join(f"a{n}" for n in range(10, 99)), [f"%a{n}%" for n in range(10, 20)]),  # the first ten
    ],
)
def test_a_query_has_patterns(service, query, want):
    """query_patterns has the forms of the first ten words."""
    service.results_eq("SELECT pulsex.query_patterns('english', %s)", [(want,)], query)


def test_what_the_whole_text_has_marked_is_marked(service):
    """Of all pairs of the briefing's words, both of them or either, one with another ending, in two languages."""
    queries = """
        WITH briefing (content) AS (VALUES (%s::jsonb)),
        word (word) AS (
            SELECT DISTINCT lower(word) FROM briefing, regexp_split_to_table(content::text, '\\W+') AS word
        )
        SELECT
            count(*) FILTER (WHERE whole LIKE '%%<mark>%%') > 500,
            count(*) FILTER (WHERE whole LIKE '%%<mark>%%' AND snippet NOT LIKE '%%<mark>%%')
        FROM briefing, word AS a, word AS b, unnest('{english,german}'::regconfig[]) AS config
        CROSS JOIN LATERAL (VALUES (a.word || ' ' || b.word), (a.word || ' or ' || b.word || 'en')) AS asked (words)
        CROSS JOIN LATERAL websearch_to_tsquery(config, words) AS query
        CROSS JOIN pulsex.briefing_text('', content) AS text
        CROSS JOIN LATERAL ts_headline(
            config, text, query, 'StartSel=<mark>, MaxFragments=2, MaxWords=25, MinWords=10'
        ) AS whole
        CROSS JOIN LATERAL pulsex.briefing_snippet(
            '', content, config, query, pulsex.query_patterns(config, words)
        ) AS snippet
        WHERE a.word <= b.word"""
    service.results_eq(queries, [(True, 0)], json.dumps({"sections": SECTIONS}, ensure_ascii=False))
