"""The mutants are what they say, and a run with one is a run of this suite on a database that was changed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter

import psycopg
import pytest

from mutants import generate, relevant, source
from mutants.child import Seen, WatchCalls
from mutants.run import equivalent, log_of
from pulsex.deploy import ROOT

TAIL = "; END"


@pytest.fixture(scope="module")
def every(server):
    """Every mutant of the deployed database."""
    url = server.deployed()
    with psycopg.connect(url, autocommit=True) as connection:
        found = generate.mutants(connection)
    server.drop(url)
    return found


def test_there_are_enough_of_every_kind(every):
    """Two hundred at least, each with a name of its own, of every kind that is looked for."""
    names = [mutant.name for mutant in every]
    assert len(names) > 200
    assert len(set(names)) == len(names)
    kinds = ("drop policy", "flip policy", "NO FORCE", "drop constraint", "drop index", "drop not null", "drop default")
    kinds += ("drop trigger", "let PUBLIC call", "widen")
    assert [kind for kind in kinds if not any(name.startswith(kind) for name in names)] == []
    taken = ("without SKIP LOCKED", "without FOR UPDATE", "without ON CONFLICT", "without WHERE")
    assert [what for what in taken if not any(what in name for name in names)] == []


def test_the_likeliest_tests_come_first(every):
    """What killed another mutant of the same thing, then what is called like it, what calls it, and what names it."""
    [mutant, *_] = [mutant for mutant in every if mutant.routine == "record_feedback"]
    file = "tests/routines/test_engagement.py"
    names, calls, killer = (f"{file}::{name}" for name in ("names", "calls", "killer"))
    elsewhere, slow = "tests/schedule/test_due_briefings.py::elsewhere", "tests/isolation/test_server.py::slow"
    seen = dict.fromkeys((elsewhere, names, killer, relevant.BODIES), Seen(seconds=1)) | {slow: Seen(seconds=1000)}
    seen[calls] = Seen(seconds=1, calls={"record_feedback"})
    killers = Counter({(mutant.names[:1], killer): 1})
    assert relevant.tests(mutant, seen, killers, 1)[:4] == [killer, relevant.BODIES, calls, names]


def test_a_routine_that_raises_was_called_too(dba, request):
    """Though the server counts only calls that return: its log tells."""
    watch = WatchCalls(log_of(dba.connection))
    dba.throws_ok("TRUNCATE gdpr.consents", "PT403")
    watch.pytest_runtest_teardown(request.node)
    assert watch.seen[request.node.nodeid].calls == {"refuse_rewriting"}


def test_a_test_that_fails_without_a_mutant_is_not_asked(every):
    """It would kill every mutant."""
    failing = "tests/schema/test_rules.py::test_nothing[a rule]"
    assert relevant.tests(every[0], {failing: Seen(failed=True)}, Counter(), 1) == []


def test_what_is_listed_as_equivalent_is_a_mutant(every):
    """A reason stays only as long as there is what it excuses."""
    assert set(equivalent()) - {mutant.name for mutant in every} == set()


@pytest.mark.parametrize(
    ("where", "terms"),
    [
        ("a = 1", ["a = 1"]),
        ("a = 1 AND b = 2", ["a = 1", "b = 2"]),
        ("a BETWEEN 1 AND 2 AND b", ["a BETWEEN 1 AND 2", "b"]),
        ("a = 'x AND y' AND (b OR c AND d)", ["a = 'x AND y'", "(b OR c AND d)"]),
        ("a ORDER BY b", ["a"]),
        ("a FOR UPDATE SKIP LOCKED", ["a"]),
    ],
)
def test_a_where_clause_has_its_terms(where, terms):
    """Each term of the clause, and what is in parentheses or strings as one; it ends where the next clause begins."""
    text = f"BEGIN SELECT 1 FROM t WHERE {where}{TAIL}"
    assert [text[begin:end].strip() for begin, end in source.conditions(text)] == terms


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ("SELECT 1 FROM t FOR UPDATE SKIP LOCKED;", {"SELECT 1 FROM t FOR UPDATE;", "SELECT 1 FROM t;"}),
        ("INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING;", {"INSERT INTO t VALUES (1);"}),
        ("DELETE FROM t WHERE a = 1;", {"DELETE FROM t WHERE  TRUE;"}),
    ],
)
def test_a_routine_is_changed_in_one_place(text, changed):
    """A lock, a clause or a term goes; the rest stays."""
    assert {new for _, new in source.changed(text)} == changed


@pytest.mark.parametrize(
    ("check", "wider"),
    [
        ("CHECK ((n >= 1) AND (n <= 5))", {"CHECK ((n >= 0) AND (n <= 5))", "CHECK ((n >= 1) AND (n <= 6))"}),
        ("CHECK (s = ANY (ARRAY['a'::text]))", {"CHECK (s = ANY (ARRAY['mutant'::text, 'a'::text]))"}),
        ("CHECK (s <> ALL (ARRAY['a'::text, 'b'::text]))", {"CHECK (s <> ALL (ARRAY['b'::text]))"}),
        ("CHECK (num_nulls(a, b) = ANY (ARRAY[0, 2]))", {"CHECK (num_nulls(a, b) = ANY (ARRAY[1, 0, 2]))"}),
    ],
)
def test_a_check_is_widened_by_one(check, wider):
    """Each bound is one further away, each list one longer."""
    assert set(generate.widened(check)) == wider


CHANGES = {
    "noticed": "DROP TRIGGER users_set_updated_at ON pulsex.users",
    "unnoticed": "DROP TRIGGER users_record_change ON pulsex.users",
    "impossible": "DROP TRIGGER there_is_none ON pulsex.users",
}


@pytest.mark.long
def test_a_run_says_what_became_of_each_mutant(scratch_place, tmp_path):
    """Of three changes, and the tests of updated_at alone: one is killed, one survives, one couldn't be made."""
    for name, sql in CHANGES.items():
        (tmp_path / f"{name}.sql").write_text(sql)
    done = subprocess.run(
        [sys.executable, "-m", "mutants", "--prepared", scratch_place,
         "--tests", "tests/constraints/test_updated_at.py", "--sql", *sorted(tmp_path.glob("*.sql"))],
        cwd=ROOT, env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    outcomes = {tuple(line.split()[:2]) for line in done.stdout.splitlines()}
    assert outcomes >= {("killed", "noticed"), ("survived", "unnoticed"), ("broken", "impossible")}, done.stdout
    assert "1 killed, 1 survived, 1 broken: score 50.0 %" in done.stdout
