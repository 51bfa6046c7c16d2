"""db/schema.sql is what a deploy makes, and makes what a deploy makes."""

from pulsex import deploy, throwaway

SNAPSHOT = deploy.DB / "schema.sql"


def test_the_snapshot_is_up_to_date(deployed):
    """The committed snapshot equals a fresh one; `tox -e snapshot` writes it."""
    assert SNAPSHOT.read_text() == deploy.snapshot(deployed)


def test_loading_the_snapshot_equals_deploying(server):
    """An empty database that the snapshot is loaded into becomes what a deploy makes."""
    url = throwaway.create_database(server.url, "loaded")
    deploy.psql(url, deploy.DB / "roles.sql")
    deploy.psql(url, SNAPSHOT)
    try:
        assert deploy.snapshot(url) == SNAPSHOT.read_text()
    finally:
        server.drop(url)
