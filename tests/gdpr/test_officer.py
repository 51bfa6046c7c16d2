"""The officer's commands, end to end: pulsex/privacy.py and pulsex/pages.py."""

from __future__ import annotations

import csv
import io
import json
import re
from html.parser import HTMLParser

import psycopg
import pytest

from pulsex import pages, privacy
from pulsex.deploy import DB

GUIDE = (DB / "privacy.md").read_text()
VOID = {"meta", "br", "hr", "img", "link", "input"}


class Page(HTMLParser):
    """A page as its tags: fails on one that isn't closed where it should be."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the tag."""
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Close the last one."""
        assert self.open.pop() == tag


@pytest.fixture
def run(database, monkeypatch, tmp_path, capsys):
    """Runs a command against the test's database and in a folder of its own; returns exit code and what it printed."""
    monkeypatch.setenv("DATABASE_URL", database.url)
    monkeypatch.chdir(tmp_path)

    def command(*arguments: str) -> tuple[int, str]:
        code = privacy.main(list(arguments))
        said = capsys.readouterr()
        return code, said.out + said.err

    return command


def files(folder, suffix: str):
    """Return the one file of this kind in the folder."""
    [found] = folder.glob(f"*{suffix}")
    return found


@pytest.mark.commits
def test_an_export_is_a_document_and_a_page_of_the_same(run, tmp_path):
    """Both files are there for the owner's eyes only, and the page has every category and the person's own words."""
    assert run("export", "alice@example.com")[0] == 0
    document = json.loads(files(tmp_path, ".json").read_text())
    page = files(tmp_path, ".html").read_text()
    headings = {attrs["id"] for tag, attrs in Page(page).tags if tag == "h2"}
    assert headings == {category["category"] for category in document["categories"]}
    assert "What the night sky holds" in page
    assert "Everything, please." in page
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


@pytest.mark.commits
def test_an_export_replaces_the_one_before_and_its_mode(run, tmp_path, published):
    """A file that everybody could read is not written into: it is replaced."""
    before = tmp_path / f"export-{published.user_id}.json"
    before.write_text("old")
    before.chmod(0o644)
    assert run("export", "ALICE@example.com")[0] == 0
    assert before.stat().st_mode & 0o777 == 0o600
    assert json.loads(before.read_text())["format_version"] == 1


@pytest.mark.commits
def test_an_erasure_is_confirmed_by_the_address(run, monkeypatch, dba, published):
    """A wrong answer, or none, erases nothing and exits with 1; the right one erases."""
    there = "SELECT count(*) FROM pulsex.users WHERE user_id = %s"
    for answer in ("yes", ""):
        monkeypatch.setattr("builtins.input", lambda _, answer=answer: answer)
        assert run("erase", "alice@example.com")[0] == 1
        dba.results_eq(there, [(1,)], published.user_id)
    monkeypatch.setattr("builtins.input", lambda _: "alice@example.com")
    code, said = run("erase", "alice@example.com", "--reason", "a letter")
    assert (code, "Erased." in said) == (0, True)
    dba.results_eq(there, [(0,)], published.user_id)


@pytest.mark.commits
def test_a_script_erases_and_scrubs_without_questions(run, dba, published):
    """With --yes nobody is asked; the scrub leaves nothing due."""
    assert run("erase", "alice@example.com", "--yes")[0] == 0
    code, said = run("scrub")
    assert code == 0, said
    dba.is_empty("SELECT * FROM gdpr.relations_to_scrub()")


@pytest.mark.commits
def test_a_restriction_is_put_on_and_lifted(run, dba, published):
    """The status follows, and the log has the reason."""
    status = "SELECT status FROM pulsex.users WHERE user_id = %s"
    assert run("restrict", "alice@example.com", "--reason", "contests the accuracy")[0] == 0
    dba.results_eq(status, [("restricted",)], published.user_id)
    assert run("lift", "alice@example.com")[0] == 0
    dba.results_eq(status, [("active",)], published.user_id)
    reason = "SELECT payload ->> 'reason' FROM audit.events WHERE action = 'restrict' AND user_id = %s"
    dba.results_eq(reason, [("contests the accuracy",)], published.user_id)


@pytest.mark.parametrize(
    "command", [["export"], ["erase", "--yes"], ["restrict", "--reason", "r"], ["lift"]], ids=lambda c: c[0]
)
def test_an_unknown_person_is_a_clear_sentence(run, tmp_path, command):
    """Exit code 2, the address in the sentence, and no file."""
    code, said = run(command[0], "nobody@example.com", *command[1:])
    assert (code, said) == (2, "gdpr: Nobody has the e-mail address nobody@example.com.\n")
    assert list(tmp_path.iterdir()) == []


def test_no_database_is_a_clear_sentence(run, monkeypatch, tmp_path):
    """Neither a URL nor a development database: exit code 1 and what to do."""
    monkeypatch.delenv("DATABASE_URL")
    monkeypatch.setenv("PULSEX_HOME", str(tmp_path / "none"))
    assert run("records") == (1, "gdpr: Set DATABASE_URL, or start the development database: tox -e dev\n")


def test_a_database_that_is_not_there_is_a_failure(run, monkeypatch):
    """Nobody listens on the port of nothing: exit code 1."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://127.0.0.1:1/none")
    assert run("records")[0] == 1


def test_the_record_of_processing_is_a_page_and_a_table(run, tmp_path, database):
    """The CSV has a row for each category, the page a heading; each cell is the view's."""
    assert run("records")[0] == 0
    rows = list(csv.DictReader(io.StringIO((tmp_path / "records-of-processing.csv").read_text())))
    with psycopg.connect(database.url, user="pulsex_privacy") as connection:
        want = connection.execute("SELECT category, recipients FROM gdpr.records_of_processing").fetchall()
    assert [(row["category"], row["recipients"]) for row in rows] == want
    page = Page((tmp_path / "records-of-processing.html").read_text())
    assert [attrs["id"] for tag, attrs in page.tags if tag == "h2"] == [category for category, _ in want]


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_a_cell_is_not_a_formula(cell):
    """What a spreadsheet would compute is led by an apostrophe; other text is as it was."""
    [_, [written]] = csv.reader(io.StringIO(pages.as_csv([{"note": cell}]), newline=""))
    assert written == f"'{cell}"
    assert pages.neutral("a = b") == "a = b"


def document(value: object) -> dict[str, object]:
    """Return the least document that has a value in it."""
    return {
        "format_version": 1,
        "generated_at": "2026-11-25T12:00:00+00:00",
        "subject": {"id": "00000000-0000-0000-0000-000000000000"},
        "categories": [{
            "category": "profile", "purposes": ["p"], "lawful_bases": ["l"], "recipients": ["r"], "sources": ["s"],
            "retention": [{"record": "profile", "period": None, "from": None}],
            "records": [{"record": "profile", "name": value}],
        }],
    }  # fmt: skip


@pytest.mark.parametrize("value", ["<script>alert(1)</script>", {"<b>": ["<i>", {"a": '"><script>'}]}, ["</dd>"]])
def test_what_people_wrote_is_text_on_the_page(value):
    """Markup in a value, a key or the name stays what it is, and the page stays whole."""
    page = pages.export(document(value), "<script>@example.com")
    assert "script" not in {tag for tag, _ in Page(page).tags}
    assert "<script" not in page


def test_times_and_periods_are_for_people_to_read():
    """To the second, and in words; what is no such thing stays as it is."""
    page = pages.export(document("2026-11-25T13:53:03.126835+00:00"), "alice@example.com")
    assert ">2026-11-25 13:53:03</time>" in page
    assert [pages.period(text) for text in ("P30D", "P1Y1M", "PT5M")] == ["30 days", "1 year 1 month", "PT5M"]


def test_a_page_needs_nothing_beside_it():
    """No script, and nothing to load: the only addresses are within the page; it says its language and has headings."""
    tags = Page(pages.export(document("x"), "alice@example.com")).tags
    links = [attrs[name] for _, attrs in tags for name in ("src", "href") if name in attrs]
    assert all(link.startswith("#") for link in links)
    assert {"script", "img", "link", "iframe"}.isdisjoint(tag for tag, _ in tags)
    assert ("html", {"lang": "en"}) in tags
    assert [tag for tag, _ in tags if tag == "h1"] == ["h1"]


def test_the_guide_works(officer, published):
    """Every statement of db/privacy.md, in order, as the officer: what one returns is the next one's variable."""
    known = {"user_id": str(published.user_id)}
    for statement in "".join(re.findall(r"```sql\n(.*?)```", GUIDE, re.DOTALL)).strip().rstrip(";").split(";"):
        parameters = re.findall(r":'(\w+)'", statement)
        sql = re.sub(r":'\w+'", "%s", statement)
        rows = officer.rows(sql, *(known[name] for name in parameters))
        for routine, name in {"open_request": "request_id", "place_hold": "hold_id"}.items():
            if f"gdpr.{routine}(" in statement:
                known[name] = str(rows[0][0])
        if "export_erasure_ledger" in statement:
            known["ledger"] = json.dumps(rows[0][0])


def test_the_guide_has_every_command(capsys):
    """Each command of the parser is in the guide's table, and none that isn't there."""
    with pytest.raises(SystemExit):
        privacy.main(["--help"])
    [commands] = re.findall(r"positional arguments:.*?COMMAND(.*?)\n\n", capsys.readouterr().out, re.DOTALL)
    there = set(re.findall(r"^    (\w+) ", commands, re.MULTILINE))
    table = GUIDE.partition("| command | does |")[2].partition("\n\n")[0]
    assert set(re.findall(r"(?:gdpr -- |· `)(\w+)", table)) == there
