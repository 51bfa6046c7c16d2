"""The fingerprint sees every single change, and nothing that isn't one."""

from __future__ import annotations

import psycopg
import pytest

from pulsex import fingerprint
from pulsex.fingerprint import Fingerprint, difference

# A change, and the object that it changes.
CHANGES = {
    "ALTER TABLE pulsex.users ALTER locale SET DEFAULT 'fr'": "column pulsex.users.locale",
    "ALTER TABLE pulsex.users ALTER locale DROP NOT NULL": "column pulsex.users.locale",
    "ALTER TABLE pulsex.topics ALTER label TYPE varchar": "column pulsex.topics.label",
    "ALTER TABLE pulsex.topics ALTER label SET STATISTICS 7": "column pulsex.topics.label",
    "ALTER TABLE pulsex.topics ALTER label SET STORAGE external": "column pulsex.topics.label",
    "ALTER TABLE pulsex.topics ALTER label SET (n_distinct = 5)": "column pulsex.topics.label",
    "ALTER TABLE pulsex.topics ADD n integer": "column pulsex.topics.n",
    "ALTER TABLE pulsex.topics ADD n integer GENERATED ALWAYS AS IDENTITY": "sequence pulsex.topics_n_seq",
    "ALTER TABLE pulsex.topics ADD n text GENERATED ALWAYS AS (slug) STORED": "column pulsex.topics.n",
    "ALTER TABLE pulsex.topics SET (fillfactor = 80)": "relation pulsex.topics",
    "ALTER TABLE pulsex.topics OWNER TO pulsex_service": "relation pulsex.topics",
    "ALTER TABLE pulsex.topics REPLICA IDENTITY FULL": "relation pulsex.topics",
    "ALTER TABLE pulsex.users NO FORCE ROW LEVEL SECURITY": "relation pulsex.users",
    "ALTER TABLE pulsex.users DISABLE ROW LEVEL SECURITY": "relation pulsex.users",
    "ALTER TABLE pulsex.users DROP CONSTRAINT users_status_check": "constraint users_status_check on pulsex.users",
    """ALTER TABLE pulsex.users DROP CONSTRAINT users_status_check, ADD CONSTRAINT users_status_check
    CHECK (status IN ('active', 'restricted', 'x'))""": "constraint users_status_check on pulsex.users",
    "ALTER TABLE pulsex.users RENAME CONSTRAINT users_status_check TO x": "constraint x on pulsex.users",
    "ALTER TABLE pulsex.users ADD CONSTRAINT x CHECK (TRUE) NOT VALID": "constraint x on pulsex.users",
    """ALTER TABLE pulsex.user_topics DROP CONSTRAINT user_topics_topic_fk, ADD CONSTRAINT user_topics_topic_fk
    FOREIGN KEY (topic_id) REFERENCES pulsex.topics ON DELETE CASCADE""": (
        "constraint user_topics_topic_fk on pulsex.user_topics"
    ),
    "ALTER TABLE pulsex.user_topics ALTER CONSTRAINT user_topics_topic_fk DEFERRABLE": (
        "constraint user_topics_topic_fk on pulsex.user_topics"
    ),
    """DROP INDEX pulsex.notifications_unread_idx;
    CREATE INDEX notifications_unread_idx ON pulsex.notifications (user_id) WHERE read_at IS NOT NULL""": (
        "index pulsex.notifications_unread_idx"
    ),
    "ALTER INDEX pulsex.notifications_unread_idx SET (fillfactor = 70)": "index pulsex.notifications_unread_idx",
    "CLUSTER pulsex.topics USING topics_pk": "index pulsex.topics_pk",
    "ALTER POLICY select_own ON pulsex.users USING (TRUE)": "policy select_own on pulsex.users",
    "ALTER POLICY select_own ON pulsex.users TO PUBLIC": "policy select_own on pulsex.users",
    "ALTER POLICY update_own ON pulsex.users WITH CHECK (TRUE)": "policy update_own on pulsex.users",
    """DROP POLICY select_own ON pulsex.users;
    CREATE POLICY select_own ON pulsex.users AS RESTRICTIVE FOR SELECT TO pulsex_app
    USING (user_id = (SELECT auth.current_user_id()))""": "policy select_own on pulsex.users",
    "GRANT SELECT ON pulsex.users TO pulsex_analyst": "relation pulsex.users",
    "GRANT SELECT ON pulsex.topics TO pulsex_service WITH GRANT OPTION": "relation pulsex.topics",
    "GRANT UPDATE (status) ON pulsex.users TO pulsex_app": "column pulsex.users.status",
    "GRANT USAGE ON SCHEMA auth TO pulsex_analyst": "schema auth",
    "GRANT EXECUTE ON FUNCTION auth.start_session TO pulsex_app": (
        "routine auth.start_session(uuid,interval,inet,text)"
    ),
    "GRANT TEMPORARY ON DATABASE {database} TO pulsex_app": "database ",
    "GRANT EXECUTE ON FUNCTION pg_catalog.pg_read_file(text) TO pulsex_app": "system privilege pg_read_file(text)",
    "ALTER DEFAULT PRIVILEGES FOR ROLE pulsex_owner IN SCHEMA pulsex GRANT SELECT ON TABLES TO pulsex_app": (
        "default privilege r in pulsex for pulsex_owner"
    ),
    "ALTER DATABASE {database} SET work_mem = '8MB'": "setting everybody",
    "COMMENT ON TABLE pulsex.users IS 'Somebody.'": "comment table pulsex.users",
    "COMMENT ON COLUMN pulsex.users.locale IS NULL": "comment table column pulsex.users.locale",
    "COMMENT ON POLICY select_own ON pulsex.users IS 'x'": "comment policy select_own on pulsex.users",
    "COMMENT ON CONSTRAINT users_pk ON pulsex.users IS 'x'": "comment table constraint users_pk on pulsex.users",
    "ALTER FUNCTION auth.start_session SET work_mem = '8MB'": "routine auth.start_session(uuid,interval,inet,text)",
    "ALTER FUNCTION auth.start_session OWNER TO pulsex_owner": "routine auth.start_session(uuid,interval,inet,text)",
    "ALTER FUNCTION auth.start_session SECURITY INVOKER": "routine auth.start_session(uuid,interval,inet,text)",
    "ALTER FUNCTION auth.random_bytes STABLE": "routine auth.random_bytes()",
    """CREATE OR REPLACE FUNCTION auth.random_bytes() RETURNS bytea VOLATILE PARALLEL SAFE
    RETURN sha256('guess me')""": "routine auth.random_bytes()",
    "ALTER TABLE pulsex.users DISABLE TRIGGER users_set_updated_at": "trigger users_set_updated_at on pulsex.users",
    "ALTER TABLE pulsex.users ENABLE ALWAYS TRIGGER users_set_updated_at": (
        "trigger users_set_updated_at on pulsex.users"
    ),
    """CREATE OR REPLACE TRIGGER users_set_updated_at BEFORE UPDATE ON pulsex.users
    FOR EACH ROW EXECUTE FUNCTION pulsex.set_updated_at('x')""": "trigger users_set_updated_at on pulsex.users",
    "ALTER TABLE pulsex.user_topics DISABLE TRIGGER ALL": (
        'internal trigger "RI_FKey_check_ins" of user_topics_topic_fk on pulsex.user_topics'
    ),
    "ALTER VIEW ops.health SET (security_invoker = FALSE)": "relation ops.health",
    "ALTER VIEW ops.partition_health RENAME TO x": "relation ops.x",
    "CREATE OR REPLACE VIEW ops.health AS SELECT * FROM ({health}) AS h WHERE TRUE": 'rule "_RETURN" on ops.health',
    "CREATE SEQUENCE pulsex.s": "sequence pulsex.s",
    "ALTER TABLE pulsex.briefings DETACH PARTITION {partition}": "relation {partition}",
    "CREATE EXTENSION citext SCHEMA pulsex": "extension citext",
    "CREATE DOMAIN pulsex.d AS text CHECK (VALUE <> '')": "constraint d_check on pulsex.d",
    "CREATE TYPE pulsex.e AS ENUM ('a', 'b')": "type pulsex.e",
    "CREATE STATISTICS pulsex.s ON slug, label FROM pulsex.topics": "statistics pulsex.s",
    "SELECT lo_from_bytea(70000, 'x')": "large object 70000",
    "CREATE PUBLICATION p": "other publication p",
    "UPDATE pulsex.users SET display_name = 'Alicia' WHERE display_name = 'Alice'": "rows of pulsex.users",
    "DELETE FROM pulsex.briefing_feedback WHERE rating = 4": "rows of pulsex.briefing_feedback",
    "INSERT INTO pulsex.topics (slug, label) VALUES ('new', 'New')": "rows of pulsex.topics",
    # Two rows exchange a value: the sum of any column is what it was.
    """UPDATE pulsex.users SET display_name = CASE display_name WHEN 'Alice' THEN 'Bob' ELSE 'Alice' END""": (
        "rows of pulsex.users"
    ),
}
# Pairs of a state and another that differs from it in one thing only, each the change that leads there.
PAIRS = {
    "persistence": ("CREATE TABLE pulsex.t ()", "ALTER TABLE pulsex.t SET UNLOGGED", "relation pulsex.t"),
    "a sequence's owner": (
        """CREATE SEQUENCE pulsex.s; ALTER SEQUENCE pulsex.s OWNER TO pulsex_owner;
        ALTER TABLE pulsex.topics ADD n bigint""",
        "ALTER SEQUENCE pulsex.s OWNED BY pulsex.topics.n",
        "sequence pulsex.s",
    ),
    "a sequence's value": ("CREATE SEQUENCE pulsex.s", "SELECT nextval('pulsex.s')", "sequence pulsex.s"),
    "an enum's label": (
        "CREATE TYPE pulsex.e AS ENUM ('a', 'b')", "ALTER TYPE pulsex.e RENAME VALUE 'a' TO 'c'", "type pulsex.e"
    ),
    "an identity": (
        "ALTER TABLE pulsex.topics ADD n integer GENERATED ALWAYS AS IDENTITY",
        "ALTER TABLE pulsex.topics ALTER n SET GENERATED BY DEFAULT",
        "column pulsex.topics.n",
    ),
    "a generated column": (
        "ALTER TABLE pulsex.topics ADD n text GENERATED ALWAYS AS (slug) STORED",
        "ALTER TABLE pulsex.topics ALTER n SET EXPRESSION AS (label)",
        "column pulsex.topics.n",
    ),
    "a constraint's validity": (
        "ALTER TABLE pulsex.users ADD CONSTRAINT x CHECK (TRUE) NOT VALID",
        "ALTER TABLE pulsex.users VALIDATE CONSTRAINT x",
        "constraint x on pulsex.users",
    ),
}  # fmt: skip
SAME = {
    "a grant taken back": """GRANT SELECT ON ops.schema_migrations TO PUBLIC;
    REVOKE ALL ON ops.schema_migrations FROM PUBLIC""",
    "a column's grant taken back": """GRANT SELECT (version) ON ops.schema_migrations TO PUBLIC;
    REVOKE SELECT (version) ON ops.schema_migrations FROM PUBLIC""",
    "a row written as it was": "ALTER TABLE pulsex.topics DISABLE TRIGGER USER; UPDATE pulsex.topics SET label = label",
    "a column that came and went": "ALTER TABLE pulsex.topics ADD n integer; ALTER TABLE pulsex.topics DROP n",
    "an object made again": "DROP INDEX auth.identities_user_id_idx; {identities_user_id_idx}",
    "other settings": """SET LOCAL TimeZone = 'Asia/Kathmandu'; SET LOCAL bytea_output = 'escape';
    SET LOCAL DateStyle = 'German'""",
}


@pytest.fixture(scope="module")
def before(shared_database) -> Fingerprint:
    """The fingerprint of the database as it is."""
    with psycopg.connect(shared_database.url) as connection:
        return fingerprint.take(connection)


@pytest.fixture
def named(dba):
    """Fills in what a change leaves open, which depends on the calendar or stands in the catalogue."""
    partition = "SELECT min(inhrelid::regclass::text) FROM pg_inherits WHERE inhparent = 'pulsex.briefings'::regclass"
    names = {
        "database": "SELECT current_database()",
        "partition": partition,
        "health": "SELECT rtrim(pg_get_viewdef('ops.health'::regclass), ';')",
        "identities_user_id_idx": "SELECT pg_get_indexdef('auth.identities_user_id_idx'::regclass)",
    }
    dba.rows("SELECT")

    def fill(text: str) -> str:
        for name, query in names.items():
            if f"{{{name}}}" in text:
                text = text.replace(f"{{{name}}}", dba.value(query))
        return text

    return fill


@pytest.mark.parametrize("sql", CHANGES)
def test_a_single_change_is_seen(dba, before, named, sql):
    """The difference has a line for the object that was changed."""
    name = named(CHANGES[sql])
    dba.connection.execute(named(sql))
    after = fingerprint.take(dba.connection)
    assert any(line[2:].startswith(f"{name}:") for line in difference(before, after)), difference(before, after)


@pytest.mark.parametrize("pair", PAIRS)
def test_a_change_of_what_is_not_in_this_schema_is_seen(dba, pair):
    """So has it for kinds of objects that are made first."""
    given, sql, name = PAIRS[pair]
    dba.rows(given)
    before = fingerprint.take(dba.connection)
    dba.rows(sql)
    [line] = [line for line in difference(before, fingerprint.take(dba.connection)) if not line[2:].startswith("rows")]
    assert line.startswith(f"~ {name}:")


@pytest.mark.parametrize("what", SAME)
def test_what_is_no_change_is_not_seen(dba, before, named, what):
    """What comes back to where it was, or how one looks at it, makes no difference."""
    dba.connection.execute(named(SAME[what]))
    after = fingerprint.take(dba.connection)
    comment = "comment index auth.identities_user_id_idx"  # it went with the index
    assert [line for line in difference(before, after) if comment not in line] == []


def test_a_difference_is_readable():
    """What is new, what is gone and what is another, a line each."""
    assert difference({"a": "1", "b": "2", "c": "3"}, {"b": "2", "c": "4", "d": "5"}) == [
        "- a: 1",
        "~ c: 3 -> 4",
        "+ d: 5",
    ]


def test_a_role_that_would_not_see_every_row_takes_no_fingerprint(database):
    """The owner of the tables, whom row level security blinds, gets an error and no digest of nothing."""
    with psycopg.connect(database.url, options="-c role=pulsex_owner") as connection:
        connection.execute("SET LOCAL row_security = on")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            fingerprint.take(connection)
