"""The people and services of the tests: each a connection as the real role, speaking pgTAP's verbs.

A verb passes quietly or fails as pgTAP does, with what it has and what it wants.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import NoReturn
from uuid import UUID

import psycopg
import pytest

Row = tuple[object, ...]


class Actor:
    """Somebody who speaks SQL to one database.

    By default everything an actor does is one transaction that is rolled back when the test ends, each statement in
    a savepoint of its own. When commit is the test's subject, each statement is a transaction of its own. A person
    proves their session first in each transaction, as the application does.
    """

    def __init__(
        self,
        connection: psycopg.Connection,
        *,
        token: str | None = None,
        user_id: UUID | None = None,
        commits: bool = False,
    ) -> None:
        self.connection = connection
        self.token = token
        self.user_id = user_id
        self.commits = commits

    def __repr__(self) -> str:
        return f"{self.connection.info.user} on {self.connection.info.dbname}"

    @contextlib.contextmanager
    def _statement(self) -> Iterator[psycopg.Connection]:
        idle = self.connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
        if idle and not self.commits:
            self.connection.execute("BEGIN")
            self._prove()
        with self.connection.transaction():
            if self.commits:
                self._prove()
            yield self.connection

    def _prove(self) -> None:
        if self.token:
            self.connection.execute("SELECT auth.use_session(%s)", [self.token])

    def end(self, *, keep: bool = False) -> None:
        """End the test's transaction: roll it back, or keep what it did for somebody to look at."""
        if not self.connection.closed:
            (self.connection.commit if keep else self.connection.rollback)()

    def rows(self, sql: str, *args: object) -> list[Row]:
        """Run a statement and return its rows, if it has any."""
        with self._statement() as connection:
            cursor = connection.execute(sql, args or None)
            return cursor.fetchall() if cursor.pgresult.status == psycopg.pq.ExecStatus.TUPLES_OK else []

    def value(self, sql: str, *args: object) -> object:
        """Run a statement and return the first column of its only row."""
        [(value,)] = self.rows(sql, *args)
        return value

    def results_eq(self, sql: str, want: Sequence[Row], *args: object) -> None:
        """The statement returns these rows in this order."""
        self._compare(sql, self.rows(sql, *args), list(want))

    def is_empty(self, sql: str, *args: object) -> None:
        """The statement returns no row."""
        self._compare(sql, self.rows(sql, *args), [])

    def lives_ok(self, sql: str, *args: object) -> None:
        """The statement raises nothing."""
        try:
            self.rows(sql, *args)
        except psycopg.Error as error:
            self._fail(sql, f"died: {error.sqlstate}: {error}", "no error")

    def throws_ok(
        self, sql: str, sqlstate: str, *args: object, constraint: str | None = None, column: str | None = None
    ) -> psycopg.errors.Diagnostic:
        """The statement raises this SQLSTATE, of this constraint or column if one is named; returns the diagnostics."""
        want = (sqlstate, constraint, column)
        try:
            self.rows(sql, *args)
        except psycopg.Error as error:
            diag = error.diag
            have = (error.sqlstate, constraint and diag.constraint_name, column and diag.column_name)
            if have != want:
                self._fail(sql, f"{have}: {error}", want)
        else:
            self._fail(sql, "no error", want)
        return diag

    def _compare(self, what: str, have: object, want: object) -> None:
        if have != want:
            self._fail(what, have, want)

    def _fail(self, what: str, have: object, want: object) -> NoReturn:
        pytest.fail(f"{self}: {what}\n    have: {have}\n    want: {want}", pytrace=False)
