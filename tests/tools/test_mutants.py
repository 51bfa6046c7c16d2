"""The mutants are what they say, and a run with one is a run of this suite on a database that was changed."""

from __future__ import annotations

import os
import subprocess
import sys

import psycopg
import pytest

from mutants import generate, relevant, source
from mutants.__main__ import equivalent
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


def test_every_mutant_has_tests_that_should_notice(every):
    """Each has some that name it, or whoever calls it; who may call what is a rule for every routine."""
    guards = [mutant for mutant in every if not mutant.name.startswith("let PUBLIC")]
    assert [mutant.name for mutant in guards if not {*relevant.tests(mutant.names)} - {*relevant.ALWAYS}] == []


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
    ],
)
def test_a_check_is_widened_by_one(check, wider):
    """Each bound is one further away, each list one longer."""
    assert set(generate.widened(check)) == wider


@pytest.mark.long
@pytest.mark.parametrize(("sql", "code"), [("SELECT 1", 0), ("DROP POLICY select_own ON pulsex.users", 1)])
def test_a_run_is_on_the_mutated_database(scratch_place, tmp_path, sql, code):
    """The same test passes on the database as it is, and fails where a policy is gone."""
    (tmp_path / "mutant.sql").write_text(sql)
    test = "tests/isolation/test_attacks.py"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "0", "-x", "-q", "-p", "no:cacheprovider", "-p", "no:randomly",
         "--prepared", scratch_place, "--mutant", tmp_path / "mutant.sql", test],
        cwd=ROOT, env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == code, done.stdout
