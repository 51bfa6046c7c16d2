"""Rules that keep the schema ready to be distributed by user_id over an existing engine (Citus), without change.

Each is what https://docs.citusdata.com/en/stable/develop/reference_workarounds.html and reference_ddl.html ask for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import psycopg
from pglast import ast, enums

from tests.isolation.measure import OURS
from tests.schema import bodies
from tests.schema.bodies import Routine, alias, column, name_of, nodes
from tests.schema.rule import TABLES, Rule
from tests.schema.rules_keys import LOOKUPS

# Routines that go through many people's rows, and why: an engine would run them on each node, or from a coordinator.
ACROSS_PEOPLE = {
    "auth.login_credential": "takes for a decoy the cost of anybody's password",
    "auth.purge_expired": "takes away what has expired, whoever's it was",
    "ops.delete_expired_feedback": "goes with a partition of briefings",
    "ops.parked_briefings": "is for the operator, who looks at everybody's",
    "audit.seal": "seals whatever happened since the last seal",
    "audit.verify": "goes through the whole log",
    "gdpr.count_engagement_by_day": "counts everybody, for the analyst",
    "gdpr.count_followers_by_topic": "counts everybody, for the analyst",
    "gdpr.count_ratings_by_month": "counts everybody, for the analyst",
    "gdpr.erase_inactive": "looks for whoever's time of grace is over",
    "gdpr.inactive_accounts": "looks for whoever hasn't been there",
    "gdpr.list_open_requests": "is the officer's list of what to answer",
    "gdpr.replay_erasures": "looks for whoever has come back",
    "gdpr.resume_erasures": "goes on with whatever waited for a hold",
    "gdpr.visible_people": "is the officer's look at everybody",
    "gdpr.warn_inactive": "forgets the warnings of whoever came back",
    "ops.count_queue": "is the operator's look at the whole queue",
    "ops.dead_notifications": "is for the operator, who looks at everybody's",
    "ops.overdue_requests": "counts, for ops.health",
    "ops.purge_unsubscribe_tokens": "takes away what has expired, whoever's it was",
    "ops.roll_up_engagement": "counts a day of everybody's",
    "ops.roll_up_marked_engagement": "counts what is marked, whoever's it is",
    "pulsex.claim_notifications": "takes what is due, whoever's it is",
    "pulsex.count_briefing_engagement": "counts everybody, for the analyst",
    "pulsex.queue_levels": "looks for what is due, whoever's it is",
}
OWNED = f"SELECT name FROM ({TABLES}) AS t WHERE owned_by_a_person AND NOT relispartition AND name NOT IN {LOOKUPS}"
USER_ID = (
    f"SELECT a.*, t.name FROM ({TABLES}) AS t INNER JOIN pg_attribute AS a ON attrelid = t.oid AND attname = 'user_id'"
)
TRIGGERS = f"""SELECT g.*, format('%s on %s', tgname, name) AS full_name
    FROM pg_trigger AS g INNER JOIN ({TABLES}) AS t ON t.oid = tgrelid WHERE NOT tgisinternal"""
TRIGGER = "CREATE TRIGGER x AFTER UPDATE ON pulsex.devices"
F = "CREATE FUNCTION pulsex.f(p_user_id uuid) RETURNS void"


@dataclass(frozen=True)
class BodyRule:
    """A rule about what is written in routines: what it finds in one, given the names of people's tables."""

    name: str
    check: Callable[[Routine, frozenset[str]], Iterator[object]]
    breaches: dict[str, str]

    def __str__(self) -> str:
        return self.name

    def findings(self, connection: psycopg.Connection) -> list[str]:
        """Return the routines that break the rule."""
        owned = frozenset(name for (name,) in connection.execute(OWNED))
        return [routine.name for routine in bodies.routines(connection) if any(self.check(routine, owned))]


def plpgsql(body: str, header: str = F) -> str:
    """Return the statement that makes a function with this body, to be found by a rule."""
    return f"{header} LANGUAGE plpgsql AS $$BEGIN {body}; END$$"


def _touched(routine: Routine, owned: frozenset[str]) -> Iterator[tuple[ast.Node, ast.RangeVar]]:
    """Yield each statement of a routine with each of people's tables in it."""
    for statement in routine.statements:
        for relation in nodes(statement, ast.RangeVar):
            if name_of(relation) in owned:
                yield statement, relation


def touches_rows_in_sql(routine: Routine, owned: frozenset[str]) -> Iterator[object]:
    """Find people's tables in a routine that isn't plpgsql."""
    if routine.language != "plpgsql":
        yield from _touched(routine, owned)


def calls(*names: str) -> Callable[[Routine, frozenset[str]], Iterator[object]]:
    """Find calls of these functions."""

    def check(routine: Routine, _owned: frozenset[str]) -> Iterator[object]:
        for statement in routine.statements:
            yield from (call for call in nodes(statement, ast.FuncCall) if call.funcname[-1].sval in names)

    return check


def asks_which_table(routine: Routine, _owned: frozenset[str]) -> Iterator[object]:
    """Find a trigger's variables for the table it is on: on a node that is a shard's name."""
    for statement in routine.statements:
        for reference in nodes(statement, ast.ColumnRef):
            name = column(reference) or ""
            if name in {"tg_table_name", "tg_table_schema", "tg_relname", "tg_relid"}:
                yield reference


def merges(routine: Routine, owned: frozenset[str]) -> Iterator[object]:
    """Find MERGE into people's tables."""
    for statement, _ in _touched(routine, owned):
        yield from nodes(statement, ast.MergeStmt)


def upserts_by_itself(routine: Routine, _owned: frozenset[str]) -> Iterator[object]:
    """Find ON CONFLICT … SET x = what a node would compute for itself, rather than excluded.x."""
    for statement in routine.statements:
        for clause in nodes(statement, ast.OnConflictClause):
            for target in clause.targetList or ():
                calls = (call for call in nodes(target, ast.FuncCall) if call.funcname[-1].sval in VOLATILE)
                yield from (*nodes(target, ast.SQLValueFunction), *calls)


VOLATILE = {
    "now", "transaction_timestamp", "statement_timestamp", "clock_timestamp", "gen_random_uuid", "uuidv7", "uuidv4",
    "random", "nextval",
}  # fmt: skip


def moves_rows(routine: Routine, owned: frozenset[str]) -> Iterator[object]:
    """Find UPDATE … SET user_id."""
    for statement, _ in _touched(routine, owned):
        for update in nodes(statement, ast.UpdateStmt, ast.OnConflictClause):
            yield from (target for target in update.targetList or () if target.name == "user_id")


def reaches_beyond_a_person(routine: Routine, owned: frozenset[str]) -> Iterator[object]:
    """Find a table of people's whose user_id a statement doesn't fix, but in the routines that are for that."""
    if routine.name not in ACROSS_PEOPLE:
        yield from reaches(routine, owned)


def reaches(routine: Routine, owned: frozenset[str]) -> Iterator[ast.RangeVar]:
    """Find a table of people's whose user_id a statement doesn't fix."""
    for statement, relation in _touched(routine, owned):
        theirs = {alias(other) for other in nodes(statement, ast.RangeVar) if name_of(other) in owned}
        insert = [node for node in nodes(statement, ast.InsertStmt) if node.relation is relation]
        if not (_inserts_for_somebody(insert[0]) if insert else _is_somebodys(relation, statement, theirs)):
            yield relation


def _inserts_for_somebody(insert: ast.InsertStmt) -> bool:
    """Tell whether an INSERT names user_id, and takes it from a variable or another column."""
    names = [target.name for target in insert.cols or ()]
    if "user_id" not in names or not isinstance(insert.selectStmt, ast.SelectStmt):
        return False
    place = names.index("user_id")
    lists = insert.selectStmt.valuesLists
    values = [row[place] for row in lists] if lists else [insert.selectStmt.targetList[place].val]
    return all(column(value) for value in values)


def _is_somebodys(relation: ast.RangeVar, statement: ast.Node, theirs: set[str]) -> bool:
    """Tell whether a statement says whose rows of a relation it is about, through whichever of people's tables.

    It does where user_id equals what isn't another such table's: a parameter, a variable, what a lookup has found.
    """
    known = {"user_id", *(f"{name}.user_id" for name in theirs)}
    same: dict[str, set[str]] = {}
    for equation in nodes(statement, ast.A_Expr):
        if equation.kind == enums.A_Expr_Kind.AEXPR_OP and equation.name[-1].sval == "=":
            sides = column(equation.lexpr), column(equation.rexpr)
            left, right = (side or "an expression" for side in sides)
            same.setdefault(left, set()).add(right)
            same.setdefault(right, set()).add(left)
    seen, todo = set(), {f"{alias(relation)}.user_id", "user_id"}
    while todo:
        name = todo.pop()
        seen.add(name)
        if name not in known:
            return True
        todo |= same.get(name, set()) - seen
    return False


RULES = [
    Rule(
        "an exclusion constraint of a person's table contains user_id",
        f"""SELECT format('%s on %s', conname, t.name)
            FROM pg_constraint INNER JOIN ({USER_ID}) AS t ON attrelid = conrelid
            WHERE contype = 'x' AND NOT attnum = ANY (conkey)""",
        {
            "ALTER TABLE pulsex.devices ADD CONSTRAINT x EXCLUDE USING hash (device_id WITH =)": "x on pulsex.devices",
        },
    ),
    Rule(
        "a foreign key of a person's table changes no column of a row that is left",
        f"""SELECT format('%s on %s', conname, name)
            FROM pg_constraint INNER JOIN ({USER_ID}) AS t ON attrelid = conrelid
            WHERE contype = 'f' AND conparentid = 0
                AND (confdeltype NOT IN ('a', 'r', 'c') OR confupdtype NOT IN ('a', 'r'))""",
        {
            f"""ALTER TABLE pulsex.push_token_owners DROP CONSTRAINT push_token_owners_device_fk,
            ADD CONSTRAINT push_token_owners_device_fk FOREIGN KEY (user_id, device_id) REFERENCES pulsex.devices
            ON {what}""": "push_token_owners_device_fk on pulsex.push_token_owners"
            for what in ("DELETE SET NULL", "DELETE SET DEFAULT", "UPDATE CASCADE")
        },
    ),
    Rule(
        "user_id is a plain uuid, stored and not null",
        f"""SELECT name FROM ({USER_ID}) AS t
            WHERE atttypid <> 'uuid'::regtype OR attgenerated <> '' OR NOT attnotnull OR attidentity <> ''""",
        {
            "CREATE TABLE pulsex.notes (user_id text, PRIMARY KEY (user_id))": "pulsex.notes",
            "CREATE DOMAIN pulsex.person AS uuid; CREATE TABLE pulsex.notes (user_id pulsex.person PRIMARY KEY)": (
                "pulsex.notes"
            ),
            "CREATE TABLE pulsex.notes (user_id uuid)": "pulsex.notes",
            "CREATE TABLE pulsex.notes (n uuid, user_id uuid NOT NULL GENERATED ALWAYS AS (n) STORED)": "pulsex.notes",
        },
    ),
    Rule(
        "partitions are one level deep, and nothing else is inherited",
        f"""SELECT t.name FROM ({TABLES}) AS t INNER JOIN pg_inherits ON inhrelid = t.oid
            INNER JOIN pg_class AS p ON p.oid = inhparent
            WHERE t.relkind = 'p' OR NOT t.relispartition OR p.relispartition""",
        {
            "CREATE TABLE pulsex.x () INHERITS (pulsex.topics)": "pulsex.x",
            """CREATE TABLE pulsex.x PARTITION OF pulsex.briefings FOR VALUES FROM ('1999-01-01') TO ('1999-02-01')
            PARTITION BY HASH (user_id)""": "pulsex.x",
        },
    ),
    Rule(
        "a sequence is of bigint",
        f"""SELECT seqrelid::regclass::text FROM pg_sequence INNER JOIN pg_class AS c ON c.oid = seqrelid
            WHERE relnamespace IN {OURS} AND seqtypid <> 'bigint'::regtype""",
        {
            "CREATE SEQUENCE pulsex.s AS integer": "pulsex.s",
            "ALTER TABLE pulsex.topics ADD n integer GENERATED ALWAYS AS IDENTITY": "pulsex.topics_n_seq",
        },
    ),
    Rule(
        "a trigger is for each row, but for TRUNCATE, which has none, and has no transition table",
        f"""SELECT full_name FROM ({TRIGGERS}) AS g
            WHERE (tgtype & 1 = 0 AND tgtype & 32 = 0) OR tgoldtable IS NOT NULL OR tgnewtable IS NOT NULL""",
        {
            f"{TRIGGER} EXECUTE FUNCTION pulsex.set_updated_at()": "x on pulsex.devices",
            f"""{TRIGGER} REFERENCING NEW TABLE AS n FOR EACH ROW EXECUTE FUNCTION pulsex.set_updated_at()""": (
                "x on pulsex.devices"
            ),
        },
    ),
    BodyRule(
        "a trigger is told by an argument which table it is on",
        asks_which_table,
        {
            plpgsql("RAISE NOTICE '%', TG_TABLE_NAME; RETURN NEW", "CREATE FUNCTION pulsex.f() RETURNS trigger"): (
                "pulsex.f"
            ),
            plpgsql(
                "IF TG_RELID > 0 THEN RETURN NEW; END IF", "CREATE FUNCTION pulsex.f() RETURNS trigger"
            ): "pulsex.f",
        },
    ),
    BodyRule(
        "context is set with SET LOCAL, which an engine passes on to its nodes",
        calls("set_config"),
        {
            plpgsql("PERFORM set_config('pulsex.context', 'x', true)"): "pulsex.f",
            plpgsql("IF pg_catalog.set_config('a.b', 'x', true) = '' THEN NULL; END IF"): "pulsex.f",
        },
    ),
    BodyRule(
        "a routine that touches people's rows is plpgsql",
        touches_rows_in_sql,
        {
            f"{F} BEGIN ATOMIC DELETE FROM pulsex.devices WHERE user_id = p_user_id; END": "pulsex.f",
            f"{F} LANGUAGE sql AS 'DELETE FROM pulsex.devices WHERE user_id = p_user_id'": "pulsex.f",
        },
    ),
    BodyRule(
        "nothing is merged into people's tables",
        merges,
        {
            plpgsql("""MERGE INTO pulsex.devices AS d USING (SELECT 1) AS n ON d.user_id = p_user_id
            WHEN MATCHED THEN DELETE"""): "pulsex.f",
        },
    ),
    BodyRule(
        "an upsert writes what was computed once, excluded.x",
        upserts_by_itself,
        {
            plpgsql(f"""INSERT INTO pulsex.users (user_id, display_name) VALUES (p_user_id, 'x')
            ON CONFLICT ON CONSTRAINT users_pk DO UPDATE SET updated_at = {what}"""): "pulsex.f"
            for what in ("now()", "CURRENT_TIMESTAMP", "clock_timestamp() + interval '1 day'")
        },
    ),
    BodyRule(
        "no row goes from one person to another",
        moves_rows,
        {
            plpgsql("UPDATE pulsex.devices SET user_id = p_user_id WHERE user_id = p_user_id"): "pulsex.f",
        },
    ),
    BodyRule(
        "every statement says whose rows it is about",
        reaches_beyond_a_person,
        {
            plpgsql(body): "pulsex.f"
            for body in (
                "DELETE FROM pulsex.devices WHERE platform = 'web'",
                "UPDATE pulsex.devices AS d SET retired_at = now() WHERE d.device_id = p_user_id",
                """PERFORM FROM pulsex.devices AS d
                INNER JOIN pulsex.notifications AS n ON n.notification_id = d.device_id WHERE d.user_id = p_user_id""",
                "PERFORM FROM pulsex.devices AS d INNER JOIN pulsex.users AS u ON d.user_id = u.user_id",
                "RETURN; PERFORM (SELECT count(*) FROM pulsex.devices)",
                "INSERT INTO pulsex.users (display_name) VALUES ('x')",
                "INSERT INTO pulsex.users (user_id, display_name) VALUES (uuidv7(), 'x')",
            )
        },
    ),
]
