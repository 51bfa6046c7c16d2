"""Fixtures: the officer and whoever looks over their shoulder, in one transaction."""

from __future__ import annotations

import pytest

from tests.actors import Actor, Row


class Acting(Actor):
    """The superuser's connection in another role, so that one transaction that is rolled back does it and looks."""

    def __init__(self, dba: Actor, role: str) -> None:
        super().__init__(dba.connection)
        self.role = role

    def rows(self, sql: str, *args: object) -> list[Row]:
        """Run a statement in the role."""
        super().rows(f"SET LOCAL ROLE {self.role}")
        return super().rows(sql, *args)


@pytest.fixture
def officer(dba: Actor) -> Acting:
    """The data protection officer."""
    return Acting(dba, "pulsex_privacy")


@pytest.fixture
def look(dba: Actor) -> Acting:
    """The superuser, in the officer's transaction."""
    return Acting(dba, "postgres")
