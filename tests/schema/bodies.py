"""What is written inside routines: the SQL statements of a body, parsed by PostgreSQL's own parser."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass

import pglast
import psycopg
from pglast import ast
from pglast.visitors import Visitor

from pulsex import parse
from tests.schema.rule import ROUTINES


@dataclass(frozen=True)
class Routine:
    """A routine of the catalogue, with its language and definition."""

    name: str
    language: str
    definition: str
    trigger: bool

    @property
    def statements(self) -> tuple[ast.Node, ...]:
        """Its statements, and its expressions as SELECT statements."""
        return parsed(self.definition, self.language)


def routines(connection: psycopg.Connection) -> list[Routine]:
    """Return the routines of this schema that are written in SQL or plpgsql."""
    found = connection.execute(
        f"""SELECT name, lanname, pg_get_functiondef(r.oid), prorettype = 'trigger'::regtype
            FROM ({ROUTINES}) AS r INNER JOIN pg_language AS l ON l.oid = prolang
            WHERE lanname IN ('sql', 'plpgsql') ORDER BY name"""
    ).fetchall()
    return [Routine(*row) for row in found]


@functools.cache
def parsed(definition: str, language: str) -> tuple[ast.Node, ...]:
    """Return the statements of a routine's definition; raises pglast.parser.ParseError for one that is wrong."""
    if language == "sql":
        [statement] = pglast.parse_sql(definition)
        body = statement.stmt.sql_body or _text_of(statement.stmt)
        return tuple(body) if isinstance(body, tuple) else (body,)
    return tuple(parse.body(definition))


def _text_of(function: ast.CreateFunctionStmt) -> tuple[ast.Node, ...]:
    """Return the statements of an SQL function that is written as text."""
    [text] = [option.arg[0].sval for option in function.options if option.defname == "as"]
    return tuple(raw.stmt for raw in pglast.parse_sql(text))


def nodes(tree: ast.Node, *kinds: type[ast.Node]) -> list[ast.Node]:
    """Return the nodes of these kinds in a statement, its sub-queries included."""
    found: list[ast.Node] = []

    class Finder(Visitor):
        def visit(self, _ancestors: object, node: ast.Node) -> None:
            if isinstance(node, kinds):
                found.append(node)

    Finder()(tree)
    return found


def tables(statement: ast.Node) -> list[ast.RangeVar]:
    """Return the relations of a statement."""
    return nodes(statement, ast.RangeVar)


def functions(statements: Iterable[ast.Node]) -> set[str]:
    """Return the functions that statements call, as schema and name: what has no schema is PostgreSQL's own."""
    calls = [call.funcname for statement in statements for call in nodes(statement, ast.FuncCall)]
    return {".".join(part.sval for part in name) if len(name) > 1 else f"pg_catalog.{name[0].sval}" for name in calls}


def name_of(relation: ast.RangeVar) -> str:
    """Return schema and name of a relation as it is written."""
    return f"{relation.schemaname}.{relation.relname}" if relation.schemaname else relation.relname


def alias(relation: ast.RangeVar) -> str:
    """Return what a relation is called in its statement."""
    return relation.alias.aliasname if relation.alias else relation.relname


def column(node: ast.Node) -> str | None:
    """Return the dotted name of a column or parameter, or None for anything else."""
    if isinstance(node, ast.TypeCast):
        node = node.arg
    if isinstance(node, ast.ColumnRef) and all(isinstance(field, ast.String) for field in node.fields):
        return ".".join(field.sval for field in node.fields)
    return None
