"""Which tests should notice a mutant: those that name what it changes, themselves or in what they import."""

from __future__ import annotations

import functools
import itertools
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from mutants.child import Seen
from mutants.generate import Mutant
from pulsex.deploy import ROOT

# They compare the database with a text or a list of itself, deploy one of their own, are about flaws themselves, or
# depend on how busy the machine is.
BLIND = re.compile(
    r"tests/(migrations|tools|plans|properties|pooler|partitions/test_load|schema/test_snapshot|isolation/test_mutants)\b"
)
COMMON = {"tests.actors", "tests.cast", "tests.harness", "tests.isolation.measure"}
# Rules for everything in the catalogue, which name nothing.
RULES = re.compile(
    r"tests/schema/(test_rules\.py::test_nothing|test_columns\.py::test_(every|only)|test_default_privileges\.py)"
    r"|tests/isolation/test_matrix\.py::test_the_(grants|callers|policies)"
    r"|tests/constraints/test_(every_constraint|lists)\.py::test_every|tests/gdpr/test_restriction\.py::test_the_triggers"
)
# The rule among them that looks into routines.
BODIES = "tests/schema/test_rules.py::test_nothing_breaks_the_rule[every statement says whose rows it is about]"
MATRIX = "tests/isolation/test_matrix.py"
# The share of the time that all tests take: a mutant that they don't notice within it survives.
ENOUGH = 1 / 8
# How many mutants of a thing a test has killed.
Killers = Counter[tuple[tuple[str, ...], str]]


def files() -> list[str]:
    """Return the test files that may notice a mutant."""
    return sorted(_texts())


@functools.cache
def _texts() -> dict[str, str]:
    """Return the text of each test file that isn't blind, with that of what it imports."""
    texts = {}
    for file in sorted(ROOT.glob("tests/**/test_*.py")):
        name = str(file.relative_to(ROOT))
        if not BLIND.search(name):
            texts[name] = _with_imports(file, set())
    return texts


def _with_imports(file: Path, seen: set[Path]) -> str:
    if file in seen or not file.exists():
        return ""
    seen.add(file)
    text = file.read_text()
    modules = set(re.findall(r"^from (tests\.[\w.]+) import", text, re.MULTILINE))
    for package, names in re.findall(r"^from (tests[\w.]*) import ([\w, ]+)$", text, re.MULTILINE):
        modules |= {f"{package}.{name.strip()}" for name in names.split(",")}
    files = [ROOT / f"{module.replace('.', '/')}.py" for module in modules - COMMON]
    return "\n".join([text, *(_with_imports(other, seen) for other in files), *_fixtures(file)])


def _fixtures(file: Path) -> list[str]:
    conftest = file.parent / "conftest.py"
    return [conftest.read_text()] if conftest.exists() else []


@functools.cache
def _words() -> dict[str, Counter[str]]:
    """Return how often each name stands in each test file and what it imports."""
    return {file: Counter(re.findall(r"\w+", text)) for file, text in _texts().items()}


def tests(mutant: Mutant, seen: Mapping[str, Seen], killers: Killers, share: float) -> list[str]:
    """Return the tests that are to run for a mutant, the likeliest to notice it first, as many as there is time for.

    Those that killed another mutant of the same thing, those that are called like it, the rules for everything; then
    those that call it; then those of the files that name it. For a mutant without names, all. ``seen`` is what the
    tests did without a mutant; ``share`` is how much of the time that they took there is.
    """
    able = [test for test, its in seen.items() if not its.failed]
    if not mutant.names:
        return sorted(able, key=lambda test: seen[test].seconds)
    thing = mutant.names[0]
    word = re.compile(rf"[\[-]{re.escape(thing)}[\]-]")

    def likelihood(test: str) -> tuple[float, ...]:
        named = _counts(test.partition("::")[0], mutant.names)
        if test.startswith(MATRIX) and not mutant.in_catalogue:
            return ()
        rules = RULES.match(test) or test.startswith(MATRIX) if mutant.in_catalogue else test == BODIES
        first = word.search(test) or rules
        calls = mutant.routine in seen[test].calls
        if not (killers[(thing,), test] or first or calls or named):
            return ()
        if first:
            return (-killers[(thing,), test], False, seen[test].seconds)
        # Of those that call it the quick ones, where the file is about it; of the others those that name it most.
        about = _words()[test.partition("::")[0]][thing] > 0 if calls else named
        return (-killers[(thing,), test], True, not calls, -about, seen[test].seconds)

    ranked = sorted((rank, test) for test in able if (rank := likelihood(test)))
    time = share * sum(seen[test].seconds for test in able)
    within = itertools.accumulate(seen[test].seconds for _, test in ranked)
    return [test for (_, test), spent in zip(ranked, within, strict=True) if spent <= time]


@functools.cache
def _counts(file: str, names: tuple[str, ...]) -> int:
    """Return how often a file names a thing and what is near it, the thing itself counting threefold."""
    return sum((3 if place == 0 else 1) * _words()[file][name] for place, name in enumerate(names))
