"""pulsex.set_updated_at(): a row says when it was changed last."""

from __future__ import annotations

STAMPED = """SELECT attrelid::regclass::text FROM pg_attribute INNER JOIN pg_class AS t ON t.oid = attrelid
    WHERE attname = 'updated_at' AND relkind IN ('r', 'p') AND NOT relispartition"""


def test_updated_at_is_the_time_of_the_change(service, published):
    """In every table with updated_at an update stamps it with the time of its transaction, whatever it was set to."""
    tables = [table for (table,) in service.rows(STAMPED)]
    assert "pulsex.users" in tables
    for table in tables:
        change = f"UPDATE {table} SET updated_at = 'epoch' WHERE user_id = %s RETURNING updated_at = now()"
        service.results_eq(change, [(True,)], published.user_id)
