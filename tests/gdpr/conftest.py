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


@pytest.fixture
def namesake(dba: Actor) -> None:
    """``other.one_time_tokens``, of the name of a table of ours: with words and a time of its own in the data map."""
    dba.rows(
        """CREATE SCHEMA other;
        CREATE TABLE other.one_time_tokens (LIKE auth.one_time_tokens INCLUDING INDEXES);
        GRANT USAGE ON SCHEMA other TO pulsex_service;
        GRANT ALL ON other.one_time_tokens TO pulsex_service;
        INSERT INTO gdpr.data_map_tables SELECT (jsonb_populate_record(m, jsonb_build_object(
            'schema_name', 'other', 'label', 'namesake', 'retention', interval '40 days'
        ))).* FROM gdpr.data_map_tables AS m WHERE m.table_name = 'one_time_tokens';
        INSERT INTO gdpr.data_map SELECT (jsonb_populate_record(m, jsonb_build_object(
            'schema_name', 'other', 'label', 'its ' || m.label
        ))).* FROM gdpr.data_map AS m WHERE m.table_name = 'one_time_tokens'"""
    )
