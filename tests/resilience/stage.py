"""Where hostile calls are made: each ends, is looked at, and is taken back.

A call is made on a superuser's connection that became the role by ``SET LOCAL SESSION AUTHORIZATION``: to every check
it is that role, and what the call did can be looked at in the same transaction.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

import psycopg

from tests.resilience.scene import CANARY, Scene

TIMEOUT = 2.0  # seconds that a statement may take
# Of the input functions of the types, before any routine starts: what is no value, or nested too deep to read.
NO_VALUE = {"22P02", "22P05", "22003", "22007", "22008", "22021", "54001"}
REFUSED_BY_DRIVER = "NUL"  # no SQLSTATE: the driver sends no text with a NUL character
NEVER = re.compile("XX|57014")  # whatever a comment says
CALLABLE = """
    SELECT format('%%I.%%I', n.nspname, p.proname), p.prokind = 'p', p.provolatile = 'v',
        coalesce(p.proargnames[:p.pronargs], '{}'),
        array(SELECT t.type::regtype::text FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY AS t (type, place)
              ORDER BY t.place),
        coalesce(obj_description(p.oid, 'pg_proc'), '')
    FROM pg_proc AS p INNER JOIN pg_namespace AS n ON n.oid = p.pronamespace
    WHERE n.nspname IN ('auth', 'pulsex', 'ops', 'audit', 'gdpr') AND p.prokind IN ('f', 'p')
        AND p.prorettype <> 'trigger'::regtype AND has_schema_privilege(%(role)s, n.oid, 'USAGE')
        AND has_function_privilege(%(role)s, p.oid, 'EXECUTE')
    ORDER BY 1
"""
# The rows of a person in every table that has any of theirs, as one digest; and how many they are.
DIGESTS = """
    SELECT 'SELECT md5(string_agg(d.rows, '','' ORDER BY d.relation)), sum(d.n)::integer FROM (' || string_agg(format(
        'SELECT %L AS relation, string_agg(r::text, '','' ORDER BY r::text) AS rows, count(*) AS n
         FROM %s AS r WHERE r.user_id = $1', c.oid::regclass, c.oid::regclass
    ), ' UNION ALL ' ORDER BY c.oid) || ') AS d'
    FROM pg_class AS c INNER JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = 'user_id'
    WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
        AND c.relnamespace::regnamespace::text IN ('auth', 'pulsex', 'ops', 'audit', 'gdpr')
"""

Arguments = Mapping[str, str | None]


@dataclass(frozen=True)
class Routine:
    """A routine: its parameters, names to types, and the SQLSTATEs that its comment documents."""

    name: str
    is_procedure: bool
    writes: bool
    parameters: Mapping[str, str]
    documented: frozenset[str]

    @property
    def call(self) -> str:
        """The statement that calls it with a placeholder for each parameter."""
        arguments = ", ".join(f"{name} => %({name})s::{kind}" for name, kind in self.parameters.items())
        return f"CALL {self.name}({arguments})" if self.is_procedure else f"SELECT * FROM {self.name}({arguments})"


@dataclass(frozen=True)
class Caller:
    """A login role, in the session of a person or in none. ``is_served``: it works for one person or for none."""

    role: str
    token: str | None = None
    user_id: UUID | None = None
    is_served: bool = False


@dataclass
class Outcome:
    """How a call ended: with rows or an SQLSTATE, all words that came back, in how long, and whose rows it changed."""

    sqlstate: str | None
    words: str
    seconds: float
    changed: set[UUID] = field(default_factory=set)


def documented(comment: str) -> frozenset[str]:
    """Return the SQLSTATEs that stand behind "Errors:" in the comment of a routine."""
    return frozenset(re.findall(r"\b(?:PT\d{3}|[0-9][0-9A-Z]{4})\b", comment.partition("Errors:")[2]))


def callers(scene: Scene) -> dict[str, Caller]:
    """Return everybody who can log in, by the name that the fixtures give them."""
    return {
        "alice": Caller("pulsex_app", scene.token, scene.alice, is_served=True),
        "stranger": Caller("pulsex_app", is_served=True),
        "sign_in": Caller("pulsex_auth"),
        "worker": Caller("pulsex_worker"),
        "privacy": Caller("pulsex_privacy"),
        "analyst": Caller("pulsex_analyst", is_served=True),
    }


class Stage:
    """A transaction in which calls are made and taken back."""

    def __init__(self, connection: psycopg.Connection, scene: Scene) -> None:
        self.connection = connection
        self.scene = scene
        self.callers = callers(scene)
        self.calls = self.rows = 0
        connection.prepare_threshold = None  # or the driver forgets what is prepared whenever something is taken back
        [(query,)] = connection.execute(DIGESTS)
        connection.execute(f"PREPARE digest (uuid) AS {query}")
        self.before = {user_id: self.digest(user_id) for user_id in (scene.alice, scene.bob)}

    def digest(self, user_id: UUID) -> str:
        """Return the digest of everything there is of a person."""
        digest, rows = self.connection.execute(f"EXECUTE digest ('{user_id}')").fetchone()
        self.rows += rows
        return digest

    def routines(self, caller: Caller) -> list[Routine]:
        """Return every routine that a caller may execute."""
        return [
            Routine(name, is_procedure, writes, dict(zip(names, types, strict=True)), documented(comment))
            for name, is_procedure, writes, names, types, comment in self.connection.execute(
                CALLABLE, {"role": caller.role}
            )
        ]

    def enter(self, caller: Caller) -> None:
        """Let a caller in: their session is proved for the rest of the transaction, if they have one."""
        self.connection.execute(f"SET LOCAL statement_timeout = '{TIMEOUT}s'")
        self.connection.execute("SET LOCAL pulsex.context = ''")
        if caller.token:
            self.connection.execute("SELECT auth.use_session(%s)", [caller.token])

    def attempt(self, caller: Caller, routine: Routine, arguments: Arguments, *, keep: bool = False) -> Outcome:
        """Call a routine, look at what it did, and take that back unless it is to be kept."""
        self.calls += 1
        outcome = None
        with self.connection.transaction(force_rollback=not keep):
            self.connection.execute(f"SET LOCAL SESSION AUTHORIZATION {caller.role}")
            began = time.monotonic()
            try:
                cursor = self.connection.execute(routine.call, arguments)
                rows = cursor.fetchall() if cursor.description else []
            except psycopg.Error as error:
                if self.connection.closed:
                    raise  # the server, or at least this backend, went down
                words = f"{error} {error.diag.message_detail} {error.diag.message_hint} {error.diag.context}"
                outcome = Outcome(error.sqlstate or REFUSED_BY_DRIVER, words, time.monotonic() - began)
                raise psycopg.Rollback from error
            outcome = Outcome(None, str(rows), time.monotonic() - began)
            self.connection.execute("RESET SESSION AUTHORIZATION")
            if not keep:
                outcome.changed = {one for one, digest in self.before.items() if self.digest(one) != digest}
        return outcome

    def is_value(self, routine: Routine, arguments: Arguments) -> bool:
        """Whether the arguments are values of their types at all: if not, no routine ever saw them."""
        casts = ", ".join(f"%({name})s::{kind}" for name, kind in routine.parameters.items())
        try:
            with self.connection.transaction(force_rollback=True):
                self.connection.execute(f"SELECT {casts}", arguments)
        except psycopg.Error as error:
            return error.sqlstate not in NO_VALUE
        return True

    def sound(self, routine: Routine) -> dict[str, str | None]:
        """Return arguments with which a routine does what it is for."""
        return {name: self.scene.sound(routine.name, name) for name in routine.parameters}

    def faults(self, caller: Caller, routine: Routine, arguments: Arguments) -> list[str]:
        """Call a routine and return what is wrong with how that ended."""
        outcome = self.attempt(caller, routine, arguments)
        faults = []
        if (state := outcome.sqlstate) and state != REFUSED_BY_DRIVER:
            is_unknown = state not in routine.documented and self.is_value(routine, arguments)
            if is_unknown or NEVER.match(state):
                faults.append(f"{state}, which its comment doesn't document: {outcome.words[:300]}")
        if outcome.seconds > 3 * TIMEOUT:  # which nothing may switch off, or sleep through
            faults.append(f"took {outcome.seconds:.1f} s")
        # Whom the call is about: the person in the session, or who is named; a job for everybody is about everybody.
        about = str(caller.user_id) if caller.is_served else arguments.get("p_user_id")
        if caller.is_served or "p_user_id" in arguments:
            faults += [f"changed rows of {who}" for who in outcome.changed if str(who) != about]
            if str(self.scene.bob) != about:
                said = set(map(str, arguments.values()))
                told = [word for word in (CANARY, str(self.scene.bob)) if word in outcome.words]
                faults += [f"told {word} of Bob's" for word in told if not any(word in one for one in said)]
        return faults
