"""Changes of what is written in a routine: a lock, a clause or a condition that isn't there."""

from __future__ import annotations

import re
from collections.abc import Iterator

END = re.compile(
    r"\b(GROUP BY|ORDER BY|LIMIT|FOR (?:NO KEY )?(?:UPDATE|SHARE)|RETURNING|ON CONFLICT|UNION|WINDOW|OFFSET|LOOP|THEN"
    r"|WHEN)\b|;"
)
CLAUSES = {
    "SKIP LOCKED": re.compile(r"\s+SKIP LOCKED\b"),
    "FOR UPDATE": re.compile(r"\s+FOR (?:NO KEY )?UPDATE(?: OF \w+)?(?: SKIP LOCKED)?(?=[\s;)'])"),
    "ON CONFLICT": re.compile(r"\s+ON CONFLICT\b(?:[^;']|'[^']*')*?(?=;|\s+RETURNING\b)"),
}


def outside(text: str) -> str:
    """Return a text of the same length in which comments and strings are blank."""
    return re.sub(r"--[^\n]*|'(?:[^']|'')*'", lambda found: " " * len(found[0]), text)


def _uncommented(text: str) -> str:
    """Return a text of the same length in which comments are blank; strings may be statements."""
    return re.sub(r"--[^\n]*", lambda found: " " * len(found[0]), text)


def conditions(definition: str) -> Iterator[tuple[int, int]]:
    """Yield from where to where each term of each WHERE clause stands in a routine's definition."""
    code = outside(definition)
    for where in re.finditer(r"\bWHERE\s+", code):
        yield from _terms(code, where.end())


def _terms(code: str, start: int) -> Iterator[tuple[int, int]]:
    depth, begin, between, place = 0, start, False, start
    while place < len(code):
        character = code[place]
        if character == "(":
            depth += 1
        elif character == ")":
            depth -= 1
        if depth < 0 or (depth == 0 and END.match(code, place)):
            break
        word = re.compile(r"\b(AND|BETWEEN)\b").match(code, place) if depth == 0 else None
        if word and word[1] == "BETWEEN":
            between = True
        elif word and between:
            between = False
        elif word:
            yield begin, place
            begin = word.end()
        place += len(word[0]) if word else 1
    yield begin, place


def changed(definition: str) -> Iterator[tuple[str, str]]:
    """Yield what each change of a routine's definition takes away, and the definition without it."""
    for name, pattern in CLAUSES.items():
        for number, found in enumerate(pattern.finditer(_uncommented(definition)), 1):
            yield f"without {name} {number}", definition[: found.start()] + definition[found.end() :]
    for begin, end in conditions(definition):
        term = definition[begin:end]
        if term.strip() and term.strip().upper() != "TRUE":
            spaces = term[len(term.rstrip()) :]
            text = " ".join(term.split())
            yield f"without WHERE {text}", f"{definition[:begin]} TRUE{spaces}{definition[end:]}"
