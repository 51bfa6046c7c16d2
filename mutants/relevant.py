"""Which tests should notice a mutant: those that name what it changes, themselves or in what they import."""

from __future__ import annotations

import functools
import re
from collections import Counter
from pathlib import Path

from pulsex.deploy import ROOT

# They compare the database with a text or a list of itself, deploy one of their own, are about flaws themselves, or
# depend on how busy the machine is.
BLIND = re.compile(
    r"tests/(migrations|tools|plans|properties|pooler|partitions/test_load|schema/test_snapshot|isolation/test_mutants)\b"
)
COMMON = {"tests.actors", "tests.cast", "tests.harness", "tests.isolation.measure"}
# Rules for everything in the catalogue, which name nothing.
ALWAYS = ("tests/schema/test_rules.py", "tests/schema/test_default_privileges.py", "tests/isolation/test_matrix.py")
ENOUGH = 8  # files, those that name it most often first


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


def tests(names: tuple[str, ...]) -> list[str]:
    """Return the files whose tests are to run for a mutant, the likeliest to notice it first."""
    counts = {
        file: sum((3 if place == 0 else 1) * words[name] for place, name in enumerate(names))
        for file, words in _words().items()
    }
    ranked = sorted((file for file, count in counts.items() if count), key=lambda file: -counts[file])
    return list(dict.fromkeys([*ranked[:ENOUGH], *(file for file in ALWAYS if file in counts)]))
