"""What a database really allows: tried statement by statement as each actor, and read from its privileges."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import psycopg

from tests.cast import Person
from tests.harness import Database
from tests.isolation.matrix import ACTORS, VERBS, Grants

OURS = "(SELECT oid FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'public'))"

# Columns outside the primary key first: one of them is what an UPDATE changes.
RELATIONS = """
    SELECT c.oid::regclass::text, c.relkind::text, c.relispartition, array(
        SELECT a.attname::text FROM pg_attribute AS a
        LEFT JOIN pg_index AS i ON i.indrelid = a.attrelid AND i.indisprimary
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
        ORDER BY coalesce(a.attnum = ANY (i.indkey), false), a.attnum
    )
    FROM pg_class AS c
    WHERE {these} AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') ORDER BY 1
"""
GRANTS = """
    SELECT grantee, relation, verb, string_agg(name, ' ' ORDER BY name) FROM (
        SELECT a.grantee::regrole::text AS grantee, c.oid::regclass::text AS relation, a.privilege_type AS verb,
            '*' AS name
        FROM pg_class AS c, aclexplode(c.relacl) AS a WHERE {these} AND a.grantee <> c.relowner
            -- What every partition gives the service is declared once, in the last line of the matrix.
            AND NOT (
                c.relispartition AND a.grantee = 'pulsex_service'::regrole AND a.privilege_type IN ('SELECT', 'DELETE')
            )
        UNION ALL
        SELECT a.grantee::regrole::text, c.oid::regclass::text, a.privilege_type, t.attname
        FROM pg_class AS c INNER JOIN pg_attribute AS t ON t.attrelid = c.oid, aclexplode(t.attacl) AS a
        WHERE {these} AND a.grantee <> c.relowner
    ) AS granted GROUP BY grantee, relation, verb
"""
CALLERS = f"""
    SELECT a.grantee::regrole::text, format('%I.%I', n.nspname, p.proname)
    FROM pg_proc AS p INNER JOIN pg_namespace AS n ON n.oid = p.pronamespace,
        aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a
    WHERE n.oid IN {OURS} AND a.grantee <> p.proowner
"""

# Permission denied, or not a thing that can be done to such a relation.
REFUSED = {"42501", "42809", "55000"}
# Allowed to try: a constraint stood in the way, a foreign key before TRUNCATE, the superuser's look at the rows, or the
# trigger of the append-only log.
STOPPED_LATER = {"0A000", "23502", "23503", "23505", "23514", "55P03", "PT403"}

Become = Callable[[str], contextlib.AbstractContextManager[psycopg.Connection]]


@dataclass(frozen=True)
class Relation:
    """A relation, and a row of Alice's in it as text by column, if there is one."""

    name: str
    kind: str
    partition: bool
    columns: list[str]
    row: dict[str, str | None] | None

    @property
    def where(self) -> str:
        """Return the condition that picks a person's rows, or any row where rows belong to nobody."""
        return "user_id = %(user_id)s" if "user_id" in self.columns else "true"


def _rows(dba: psycopg.Connection, query: str, only: Sequence[str]) -> list[tuple]:
    """Run a query about all our relations, or about those named alone."""
    these = "c.oid = ANY (%(only)s::regclass[])" if only else f"c.relnamespace IN {OURS}"
    return dba.execute(query.format(these=these), {"only": list(only)}).fetchall()


def relations(dba: psycopg.Connection, alice: Person, only: Sequence[str] = ()) -> list[Relation]:
    """Return the relations of the database, or those named."""
    found = []
    for name, kind, partition, columns in _rows(dba, RELATIONS, only):
        relation = Relation(name, kind, partition, columns, None)
        texts = ", ".join(f"{column}::text" for column in columns)
        with dba.transaction(force_rollback=True):  # a view may lock what somebody is going to try
            row = dba.execute(
                f"SELECT {texts} FROM {name} WHERE {relation.where} LIMIT 1", {"user_id": alice.user_id}
            ).fetchone()
        found.append(Relation(name, kind, partition, columns, row and dict(zip(columns, row, strict=True))))
    return found


def grants(dba: psycopg.Connection, only: Sequence[str] = ()) -> Grants:
    """Return what is granted on the relations, or those named: (role, relation, verb) to its columns, * for all."""
    return {(role, name, verb): columns for role, name, verb, columns in _rows(dba, GRANTS, only)}


def callers(dba: psycopg.Connection) -> set[tuple[str, str]]:
    """Return who may call what, owners apart."""
    return set(dba.execute(CALLERS).fetchall())


def measure(
    dba: psycopg.Connection, become: Become, cast: dict[str, Person], only: Sequence[str] = ()
) -> dict[str, dict[str, str]]:
    """Return the matrix of a database, as matrix.MATRIX declares it: relation to actor to a letter for each verb.

    ``dba`` is a superuser's connection, ``become`` yields one that acts as the actor, in a transaction.
    """
    found = relations(dba, cast["alice"], only)
    granted = grants(dba, only)
    measured: dict[str, dict[str, str]] = {relation.name: {} for relation in found}
    for actor, role in ACTORS.items():
        me = cast[actor].user_id if actor in cast else None
        mine = {r.name: _count(dba, r, me) for r in found}
        with become(actor) as connection:
            for relation in found:
                allowed = {
                    verb: granted.get((role, relation.name, verb), "").replace("*", "").split() or relation.columns
                    for verb in ("INSERT", "UPDATE")
                }
                measured[relation.name][actor] = "".join(
                    _try(connection, letter, relation, allowed, cast["alice"], mine[relation.name]) for letter in VERBS
                )
    return measured


def _count(dba: psycopg.Connection, relation: Relation, user_id: object) -> int:
    if user_id is None or "user_id" not in relation.columns:
        return 0
    query = f"SELECT count(*) FROM {relation.name} WHERE {relation.where}"
    with dba.transaction(force_rollback=True):
        [count] = dba.execute(query, {"user_id": user_id}).fetchone()
    return count


def _try(
    connection: psycopg.Connection,
    letter: str,
    relation: Relation,
    allowed: dict[str, list[str]],
    alice: Person,
    mine: int,
) -> str:
    """Try one verb at Alice's row, and at all rows blindly, which may reach those that are one's own and no more."""
    arguments = dict.fromkeys(relation.columns) | (relation.row or {}) | {"user_id": alice.user_id}
    outcomes = [_outcome(connection, sql, arguments) for sql in _statements(letter, relation, allowed)]
    for outcome, own in zip(outcomes, (0, mine), strict=False):
        if outcome in STOPPED_LATER or (isinstance(outcome, int) and outcome > own):
            return letter
    if isinstance(outcomes[-1], int):
        # Aggregates that are empty for everybody so far: reading them is allowed.
        return letter if relation.row is None and "user_id" not in relation.columns else "."
    return "-" if outcomes[-1] in REFUSED else f"({outcomes[-1]})"


def _statements(letter: str, relation: Relation, allowed: dict[str, list[str]]) -> list[str]:
    """Return what tries a verb at Alice's row, and for UPDATE and DELETE what tries it at every row."""
    name, where = relation.name, f"WHERE {relation.where}"
    update = f"UPDATE {name} SET {allowed['UPDATE'][0]} = %({allowed['UPDATE'][0]})s"
    values = ", ".join(f"%({column})s" for column in allowed["INSERT"])
    statements = {
        "S": [f"SELECT FROM {name} {where} LIMIT 1"],
        "I": [f"INSERT INTO {name} ({', '.join(allowed['INSERT'])}) VALUES ({values})"],
        "U": [f"{update} {where}", update],
        "D": [f"DELETE FROM {name} {where}", f"DELETE FROM {name}"],
        "T": [f"TRUNCATE {name}"],
    }
    if relation.kind == "S":
        statements["U"] = [f"SELECT setval('{name}', 1)"]
    return statements[letter]


def _outcome(connection: psycopg.Connection, statement: str, arguments: dict[str, object]) -> int | str:
    """Run a statement and undo it; return how many rows it had, 1 if it has no rows to count, or the SQLSTATE."""
    try:
        with connection.transaction(force_rollback=True):
            return abs(connection.execute(statement, arguments).rowcount)
    except psycopg.Error as error:
        return error.sqlstate or ""


def by_connection(database: Database) -> Become:
    """Each actor on a connection of their own, as the real role; the two roles that can't log in, by authorization."""
    dba = database.actor("dba", "postgres")
    impersonate = by_authorization(dba.connection, database.cast)

    @contextlib.contextmanager
    def become(name: str) -> Iterator[psycopg.Connection]:
        if name in ("service", "owner"):
            with impersonate(name) as connection:
                yield connection
        else:
            actor = database.actor(name, ACTORS[name], database.cast.get(name))
            actor.rows("SET LOCAL lock_timeout = '1s'")
            yield actor.connection
            actor.end()  # its locks

    return become


def by_authorization(dba: psycopg.Connection, cast: dict[str, Person]) -> Become:
    """Each actor by SET SESSION AUTHORIZATION, inside the superuser's transaction, which sees what it changed."""

    @contextlib.contextmanager
    def become(name: str) -> Iterator[psycopg.Connection]:
        with dba.transaction(force_rollback=True):
            dba.execute(f"SET LOCAL SESSION AUTHORIZATION {ACTORS[name]}")
            if name in cast:
                with contextlib.suppress(psycopg.Error), dba.transaction():  # who has no session is nobody
                    dba.execute("SELECT auth.use_session(%s)", [cast[name].token])
            yield dba

    return become
