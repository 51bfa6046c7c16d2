"""What looks at a database after a crash would see what is wrong with it."""

from __future__ import annotations

from tests.resilience import integrity
from tests.resilience.ledger import FACTS, Ledger

# What each kind of constraint is violated by, when nobody looks; in this order.
DAMAGE = {
    "users_locale_not_null of pulsex.users": """UPDATE pg_attribute SET attnotnull = FALSE
        WHERE attrelid = 'pulsex.users'::regclass AND attname = 'locale';
        UPDATE pulsex.users SET locale = NULL""",
    "users_display_name_check of pulsex.users": """ALTER TABLE pulsex.users DROP CONSTRAINT users_display_name_check;
        UPDATE pulsex.users SET display_name = '';
        ALTER TABLE pulsex.users ADD CONSTRAINT users_display_name_check CHECK (display_name <> '') NOT VALID""",
    "passwords_user_fk of auth.passwords": """DELETE FROM pulsex.users
        WHERE user_id = (SELECT user_id FROM pulsex.users ORDER BY user_id LIMIT 1)""",
}


def test_violated_constraints_are_found(dba):
    """A check, a foreign key and a not-null, each with rows that got past it."""
    assert integrity.violations(dba.connection)[1] == []
    dba.rows("SET LOCAL session_replication_role = replica; SET LOCAL allow_system_table_mods = on")
    for damage in DAMAGE.values():
        for statement in damage.split(";"):
            dba.rows(statement)
    assert DAMAGE.keys() <= dict(integrity.violations(dba.connection)[1]).keys()


def test_a_row_beyond_its_partitions_bounds_is_found(dba):
    """Two partitions that changed places."""
    swap = """UPDATE pg_class AS c SET relpartbound = o.relpartbound FROM pg_class AS o, (
            SELECT max(tableoid) AS used FROM pulsex.briefings
        ) AS b, (
            SELECT max(inhrelid) AS free FROM pg_inherits WHERE inhparent = 'pulsex.briefings'::regclass
        ) AS f
        WHERE (c.oid, o.oid) IN ((used, free), (free, used)) RETURNING c.oid::regclass::text"""
    swapped = {f"bounds of {name}" for (name,) in dba.rows(swap)}
    assert swapped & dict(integrity.violations(dba.connection)[1]).keys()


def test_what_was_acknowledged_and_is_gone_is_found(dba, published):
    """A rating that somebody was told is kept, and one that nobody gave."""
    ledger = Ledger(people={str(published.user_id)})
    ledger.acknowledged = {
        (kind, *map(str, row[:-1])): str(row[-1]) for kind, sql in FACTS.items() for row in dba.rows(sql)
    }
    assert ledger.differences(dba.connection) == []
    dba.rows("DELETE FROM pulsex.briefing_feedback WHERE user_id = %s", published.user_id)
    [lost] = ledger.differences(dba.connection)
    assert "rating" in lost
