"""Every migration can be undone, all the way to an empty database, and applied again."""

import psycopg
import pytest

from pulsex import deploy

LEFT = """
    SELECT 'schema ' || nspname FROM pg_namespace WHERE nspname !~ '^pg_|^information_schema$' AND nspname <> 'public'
    UNION ALL
    SELECT 'relation ' || oid::regclass FROM pg_class WHERE relnamespace::regnamespace::text IN ('ops', 'public')
    UNION ALL
    SELECT 'routine ' || oid::regprocedure FROM pg_proc WHERE pronamespace::regnamespace::text IN ('ops', 'public')
    UNION ALL
    SELECT 'default privilege' FROM pg_default_acl
"""


@pytest.fixture
def migrations():
    """How many migrations there are."""
    return len(list((deploy.DB / "migrations").glob("*.sql")))


def test_all_the_way_down_leaves_an_empty_database(deployed, migrations):
    """Only dbmate's own table is left, empty, in its schema."""
    for _ in range(migrations):
        deploy.rollback(deployed)
    with psycopg.connect(deployed) as connection:
        left = sorted(name for (name,) in connection.execute(LEFT))
        assert left == ["relation ops.schema_migrations", "relation ops.schema_migrations_pkey", "schema ops"]
        assert connection.execute("SELECT FROM ops.schema_migrations").rowcount == 0


def test_up_again_equals_the_first_time(deployed, migrations):
    """Down to nothing and up again makes the same schema."""
    before = deploy.snapshot(deployed)
    for _ in range(migrations):
        deploy.rollback(deployed)
    deploy.deploy(deployed)
    assert deploy.snapshot(deployed) == before
