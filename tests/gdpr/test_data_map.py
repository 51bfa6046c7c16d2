"""The data map is the territory: a column that it doesn't know, or that isn't there any more, stops the build."""

import pytest

from tests.gdpr.canaries import COLUMNS

FAULTS = "SELECT * FROM gdpr.unclassified_columns()"
UNKNOWN, ALONE = "is not in the data map", "is in the data map alone"


def test_every_column_is_classified(officer):
    """Nothing is missing, nothing too much, nothing contradicts itself: this is the test that stops the build."""
    officer.is_empty(FAULTS)


@pytest.mark.parametrize(
    ("change", "faults"),
    [
        (
            "CREATE TABLE pulsex.notes (user_id uuid, note text)",
            [("pulsex", "notes", "note", UNKNOWN), ("pulsex", "notes", "user_id", UNKNOWN)],
        ),
        ("CREATE SCHEMA other; CREATE TABLE other.notes (note text)", [("other", "notes", "note", UNKNOWN)]),
        ("CREATE TABLE public.notes (note text)", [("public", "notes", "note", UNKNOWN)]),
        (
            """CREATE TABLE pulsex.notes (note text) PARTITION BY LIST (note);
            CREATE TABLE pulsex.other_notes PARTITION OF pulsex.notes DEFAULT""",
            [("pulsex", "notes", "note", UNKNOWN)],
        ),
        (
            "CREATE MATERIALIZED VIEW pulsex.names AS SELECT display_name FROM pulsex.users",
            [("pulsex", "names", "display_name", UNKNOWN)],
        ),
        ("ALTER TABLE pulsex.users ADD COLUMN born date", [("pulsex", "users", "born", UNKNOWN)]),
        (
            "ALTER TABLE pulsex.briefings ADD COLUMN mood text",
            [("pulsex", "briefings", "mood", UNKNOWN)],
        ),
        (
            "ALTER TABLE pulsex.briefing_feedback DROP COLUMN comment",
            [("pulsex", "briefing_feedback", "comment", ALONE)],
        ),
        (
            "DROP TABLE gdpr.scrubs",
            [("gdpr", "scrubs", c, ALONE) for c in ("erasure_id", "relation", "scrubbed_at")],
        ),
        (
            "UPDATE gdpr.data_map SET erasure = 'keep' WHERE (table_name, column_name) = ('users', 'locale')",
            [("pulsex", "users", "locale", "outlives the person without a routine that sees to it")],
        ),
        (
            """UPDATE gdpr.data_map_tables SET category = NULL, label = NULL, not_personal_because = 'r'
            WHERE table_name = 'push_token_owners'; DELETE FROM gdpr.data_map
            WHERE table_name = 'push_token_owners' AND column_name <> 'user_id'""",
            [
                ("pulsex", "push_token_owners", "device_id", UNKNOWN),
                ("pulsex", "push_token_owners", "push_token_hash", UNKNOWN),
                ("pulsex", "push_token_owners", "user_id", "is personal in one list and not in the other"),
                ("pulsex", "push_token_owners", "user_id", "names a person in a table that is about nobody"),
            ],
        ),
        (
            "DELETE FROM gdpr.data_map WHERE table_name = 'topics'; DROP TABLE pulsex.user_topics, pulsex.topics",
            [("pulsex", "topics", None, "has no column in the data map")]
            + [("pulsex", "user_topics", c, ALONE) for c in ("topic_id", "user_id", "weight")],
        ),
    ],
)  # fmt: skip
def test_what_the_map_does_not_know_would_stop_the_build(officer, look, change, faults):
    """A table of somebody's, with its partitions once, a column, a schema, one that is gone, a contradiction."""
    look.rows(change)
    officer.results_eq(FAULTS, faults)


def test_a_detached_partition_is_classified_with_its_table(officer, look):
    """It is no new table."""
    name = look.value("SELECT min(partition_name) FROM ops.partitions WHERE table_name = 'briefings'")
    look.rows(f"ALTER TABLE pulsex.briefings DETACH PARTITION pulsex.{name}")
    officer.is_empty(FAULTS)


def test_children_come_before_their_parents(look):
    """By the catalogue's foreign keys, each table is deeper than those it refers to."""
    look.is_empty(
        """SELECT c.table_name FROM gdpr.personal_tables AS c CROSS JOIN unnest(c.parents) AS parent
        INNER JOIN gdpr.personal_tables AS p ON p.relation = parent WHERE c.depth <= p.depth"""
    )
    look.results_eq("SELECT max(depth) FROM gdpr.personal_tables", [(2,)])


def test_every_table_of_a_person_can_hold_a_canary(look):
    """The canary tests have text, JSON, an address and an array to plant in."""
    assert {kind for _, _, kind in look.rows(COLUMNS)} >= {"text", "jsonb", "inet", "text[]", "smallint[]"}


def test_a_partitioned_tables_retention_is_the_operators(look):
    """What ops.partitioned_tables says now, for what is deleted with it too; null where there is none."""
    look.rows("UPDATE ops.partitioned_tables SET retention = '7 months' WHERE table_name = 'briefings'")
    ask = "SELECT gdpr.retention_of('pulsex', %s)::text"
    look.results_eq(ask, [("7 mons",)], "briefings")
    look.results_eq(ask, [("7 mons",)], "briefing_feedback")
    look.results_eq(ask, [(None,)], "users")


def test_a_tables_retention_is_its_own(look):
    """Of two tables of a name, and of two in a schema, each has what the map says of it."""
    look.rows(
        """INSERT INTO gdpr.data_map_tables (
            place, schema_name, table_name, not_personal_because, is_audited, audited_because, retention, retention_from
        ) VALUES (1, 'ops', 'sessions', 'r', FALSE, 'r', '3 days', 'ended_at')"""
    )
    look.results_eq(
        """SELECT gdpr.retention_of(s, t)::text FROM (VALUES
            ('auth', 'sessions'), ('ops', 'sessions'), ('auth', 'passwords')) AS m (s, t)""",
        [("30 days",), ("3 days",), (None,)],
    )


def test_what_is_not_deleted_with_a_partitioned_table_is_not_kept_like_it(look):
    """It refers to briefings, which can't be deleted while it is there."""
    look.rows(
        """CREATE TABLE pulsex.notes (user_id uuid, briefing_date date, edition text,
            FOREIGN KEY (user_id, briefing_date, edition) REFERENCES pulsex.briefings)"""
    )
    look.rows("UPDATE ops.partitioned_tables SET retention = '7 months' WHERE table_name = 'briefings'")
    look.results_eq("SELECT gdpr.retention_of('pulsex', 'notes')::text", [(None,)])


@pytest.mark.parametrize("actor", ["alice", "sign_in", "worker", "analyst"])
def test_nobody_else_reads_the_map(request, actor):
    """The officer does."""
    request.getfixturevalue(actor).throws_ok("SELECT * FROM gdpr.data_map", "42501")


def test_the_map_says_of_each_table_whether_it_is_audited(look):
    """Its word is the trigger that is there."""
    look.is_empty(
        """SELECT m.table_name FROM gdpr.data_map_tables AS m WHERE m.is_audited <> EXISTS (
            SELECT FROM pg_trigger WHERE tgrelid = to_regclass(format('%I.%I', m.schema_name, m.table_name))
                AND tgname = m.table_name || '_record_change'
        )"""
    )
