"""Parse SQL files with PostgreSQL's own parser, and what is written inside their routines too.

``python -m pulsex.parse FILE…`` prints what can't be parsed and exits with 1. PostgreSQL itself looks at the statements
in a plpgsql body when it is created, a linter of SQL never; here they are read without a server.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pglast
from pglast import ast

# The parser doesn't know the types of our tables: to it, a row is a record.
ROW_TYPE = re.compile(
    r"(\bRETURNS (?:SETOF )?|^\s*v_\w+ (?:CONSTANT )?)(?!pg_catalog\b)[a-z]+\.\w+(?:\[\])?", re.MULTILINE
)
ASSIGNED = re.compile(r"^\s*[\w.\[\]]+\s*:?=\s*")
# What psql reads itself: its commands, and its variables, which stand for a name or a value.
PSQL = [
    (re.compile(r"^\\.*$", re.MULTILINE), ""),
    (re.compile(r"\\g\w*.*$", re.MULTILINE), ";"),
    (re.compile(r"(?<![:\w]):(['\"]?)([a-z_]\w*)\1"), r"\1\2\1"),
]


def body(definition: str) -> Iterator[ast.Node]:
    """Yield every statement of a plpgsql routine or DO block, and every expression as a SELECT of it.

    Raises pglast.parser.ParseError for the first that is wrong. A statement made at run time isn't seen.
    """
    return _statements(pglast.parse_plpgsql(ROW_TYPE.sub(r"\1record", definition)))


def _statements(tree: object) -> Iterator[ast.Node]:
    if isinstance(tree, list):
        for item in tree:
            yield from _statements(item)
    elif isinstance(tree, dict):
        expression = tree.get("PLpgSQL_expr")
        if expression:
            yield from (raw.stmt for raw in pglast.parse_sql(_whole(expression["query"], expression["parseMode"])))
        for item in tree.values():
            yield from _statements(item)


def _whole(query: str, mode: int) -> str:
    """Return a statement (mode 0), an expression (2) or an assignment (3 to 5) as a statement."""
    return query if mode == 0 else f"SELECT {query if mode == 2 else ASSIGNED.sub('', query, count=1)}"


def errors(text: str) -> list[str]:
    """Return what is wrong in the text of an SQL file: the line where it, or the routine it is in, begins, and what."""
    for pattern, replacement in PSQL:
        text = pattern.sub(replacement, text)
    try:
        statements = pglast.parse_sql(text)
    except pglast.parser.ParseError as error:
        return [f"{_line(text, error.args[1] if len(error.args) > 1 else 0)}: {error.args[0]}"]
    found = []
    for raw in statements:
        start = raw.stmt_location
        source = text[start : start + raw.stmt_len] if raw.stmt_len else text[start:]
        try:
            if isinstance(raw.stmt, ast.DoStmt) or _is_plpgsql(raw.stmt):
                list(body(source))
        except pglast.parser.ParseError as error:
            found.append(f"{_line(text, start + len(source) - len(source.lstrip()))}: {error.args[0]}")
    return found


def _is_plpgsql(statement: ast.Node) -> bool:
    return isinstance(statement, ast.CreateFunctionStmt) and any(
        option.defname == "language" and option.arg.sval == "plpgsql" for option in statement.options
    )


def _line(text: str, place: int) -> int:
    return text.count("\n", 0, place) + 1


def main(files: list[str]) -> int:
    """Print what is wrong in each file; return 1 if anything is."""
    found = [f"{file}:{error}" for file in files for error in errors(Path(file).read_text())]
    print(*found, sep="\n", end="\n" if found else "")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
