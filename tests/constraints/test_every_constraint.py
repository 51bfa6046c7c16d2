"""Every constraint of every table is broken here by name; one that the catalogue has and nothing here breaks fails."""

from __future__ import annotations

import pytest
from psycopg.types.json import Jsonb

from tests.actors import Actor
from tests.constraints.violations import APPEND_ONLY, CHECKS, KEYS, OTHER, REFERENCES, ROWS, UNIQUE_INDEXES, Change

COPY = "INSERT INTO {table} SELECT (jsonb_populate_record(r, %s)).* FROM {table} AS r WHERE {row} LIMIT 1"
CHANGE = "UPDATE {table} AS r SET ({columns}) = (SELECT {columns} FROM jsonb_populate_record(r, %s)) WHERE {row}"
# Of tables and domains; dbmate's own table aside, and what a partition has from its parent.
DECLARED = """SELECT conname::text FROM pg_constraint LEFT JOIN pg_class AS t ON t.oid = conrelid
    WHERE connamespace::regnamespace::text IN ('auth', 'pulsex', 'ops', 'audit', 'gdpr') AND contype = ANY (%s)
        AND conparentid = 0 AND t.relispartition IS NOT TRUE AND conrelid <> 'ops.schema_migrations'::regclass"""
NOT_NULL_COLUMNS = """SELECT
        conrelid::regclass::text, attname::text, coalesce(attnum = ANY (partattrs::smallint[]), FALSE)
    FROM pg_constraint INNER JOIN pg_class AS t ON t.oid = conrelid
    INNER JOIN pg_attribute ON attrelid = conrelid AND attnum = conkey[1]
    LEFT JOIN pg_partitioned_table ON partrelid = conrelid
    WHERE contype = 'n' AND connamespace::regnamespace::text IN ('auth', 'pulsex', 'ops', 'audit', 'gdpr')
        AND NOT t.relispartition AND conrelid <> 'ops.schema_migrations'::regclass"""
# A partition's key has a name of its own: its parent's is the one declared.
PARENTS_NAME = """SELECT coalesce(parent.conname, own.conname)::text
    FROM pg_constraint AS own LEFT JOIN pg_constraint AS parent ON parent.oid = own.conparentid
    WHERE own.conrelid = format('%%I.%%I', %s::text, %s::text)::regclass AND own.conname = %s"""


@pytest.fixture(autouse=True)
def _a_decoy(service: Actor) -> None:
    """A login decoy and an unsealed event, which the cast leaves none of; the service may write all that is there."""
    service.rows("INSERT INTO auth.login_decoys VALUES (gen_random_uuid(), 1, now())")
    service.rows("SELECT audit.record('read', NULL)")
    service.rows("SET LOCAL ROLE pulsex_owner")
    service.rows(
        """GRANT INSERT, UPDATE ON ops.partitioned_tables, gdpr.data_map_tables, gdpr.data_map, gdpr.ledger_keys,
        gdpr.erasure_ledger, gdpr.settings, gdpr.consent_purposes, gdpr.consents TO pulsex_service"""
    )
    service.rows("ALTER TABLE gdpr.consents DISABLE TRIGGER consents_refuse_rewriting")
    service.rows("SET LOCAL ROLE pulsex_service")


@pytest.fixture
def _others(service: Actor, published) -> None:
    """Another person, topic, notification and seal, for copies to refer to."""
    service.rows(*copying("audit.seals", {"seal_id": 99}, published))
    service.rows(*copying("pulsex.users", {"user_id": OTHER}, published))
    service.rows(*copying("pulsex.topics", {"topic_id": OTHER, "slug": "other"}, published))
    service.rows(*copying("pulsex.notifications", {"notification_id": OTHER, "dedup_key": "other"}, published))


def row(table: str, person) -> str:
    """Return the condition that finds the row to start from."""
    return ROWS.get(table, "user_id = '{user_id}'").format(user_id=person.user_id)


def copying(table: str, change: Change, person) -> tuple[str, Jsonb]:
    """Return the statement that copies the table's row with a change, and its parameter."""
    return COPY.format(table=table, row=row(table, person)), Jsonb(change)


def changing(table: str, change: Change, person) -> tuple[str, Jsonb]:
    """Return the statement that changes the table's row, or a copy of what is never changed, and its parameter."""
    if table in APPEND_ONLY:
        return copying(table, {**APPEND_ONLY[table], **change}, person)
    return CHANGE.format(table=table, columns=", ".join(change), row=row(table, person)), Jsonb(change)


@pytest.mark.parametrize("constraint", CHECKS)
def test_a_check_refuses_what_breaks_it(service, published, constraint):
    """Each bad value, by itself in a good row, raises 23514 of this CHECK."""
    check = CHECKS[constraint]
    for change in check.refuses:
        statement, value = changing(check.table, change, published)
        service.throws_ok(statement, "23514", value, constraint=constraint)


@pytest.mark.parametrize("constraint", CHECKS)
def test_a_check_accepts_its_edges(service, published, constraint):
    """Each value just within bounds is stored, so the CHECK refuses no more than it must."""
    check = CHECKS[constraint]
    for change in check.accepts:
        statement, value = changing(check.table, change, published)
        assert service.rows(f"{statement} RETURNING 1", value) == [(1,)], change


@pytest.mark.parametrize("constraint", KEYS)
def test_a_key_refuses_a_second_row_with_its_value(service, published, constraint):
    """A copy of a row that differs in everything but the key raises 23505 of this key."""
    key = KEYS[constraint]
    statement, value = copying(key.table, key.apart, published)
    diag = service.throws_ok(statement, "23505", value)
    service.results_eq(PARENTS_NAME, [(constraint,)], diag.schema_name, diag.table_name, diag.constraint_name)


@pytest.mark.usefixtures("_others")
@pytest.mark.parametrize("constraint", [name for name, key in KEYS.items() if key.differs])
def test_a_key_accepts_a_row_with_another_value(service, published, constraint):
    """A copy that differs in the key is stored, so it was the key that was refused."""
    key = KEYS[constraint]
    statement, value = copying(key.table, {**key.apart, **key.differs}, published)
    assert service.rows(f"{statement} RETURNING 1", value) == [(1,)]


@pytest.mark.parametrize("constraint", REFERENCES)
def test_a_reference_to_what_is_not_there_is_refused(service, published, constraint):
    """A copy that refers to nothing raises 23503 of this foreign key."""
    reference = REFERENCES[constraint]
    statement, value = copying(reference.table, reference.missing, published)
    service.throws_ok(statement, "23503", value, constraint=constraint)


def test_a_column_that_must_have_a_value_refuses_null(service, published):
    """A copy with null in a NOT NULL column raises 23502 of that column; no partition takes a null key (23514)."""
    columns = service.rows(NOT_NULL_COLUMNS)
    assert len(columns) > len(CHECKS)
    for table, column, partitions in columns:
        statement, value = copying(table, {column: None}, published)
        if partitions:
            service.throws_ok(statement, "23514", value)
        else:
            service.throws_ok(statement, "23502", value, column=column)


@pytest.mark.parametrize(("kinds", "named"), [("c", CHECKS), ("pu", KEYS), ("f", REFERENCES), ("txe", ())])
def test_every_constraint_is_named_here(dba, kinds, named):
    """The catalogue's constraints of each kind are those that this directory breaks, no more and no fewer."""
    dba.results_eq(f'{DECLARED} ORDER BY conname COLLATE "C"', [(name,) for name in sorted(named)], list(kinds))


def test_a_domain_is_what_each_of_its_columns_is_of(dba):
    """A domain's constraint is broken in one column: these are all that it guards."""
    dba.results_eq(
        """SELECT attrelid::regclass::text, attname::text, atttypid::regtype::text
        FROM pg_attribute INNER JOIN pg_type AS t ON t.oid = atttypid INNER JOIN pg_class AS c ON c.oid = attrelid
        WHERE typtype = 'd' AND typnamespace::regnamespace::text IN ('auth', 'pulsex', 'ops', 'audit', 'gdpr')
            AND c.relkind IN ('r', 'p') AND NOT c.relispartition
        ORDER BY attrelid::regclass::text COLLATE "C", attname""",
        [
            ("audit.events", "action", "audit.action"),
            ("audit.events", "commitment", "audit.digest"),
            ("audit.events", "table_name", "audit.table_name"),
            ("audit.seals", "contents_digest", "audit.digest"),
            ("audit.seals", "digest", "audit.digest"),
        ],
    )


def test_every_unique_index_is_named_here(dba):
    """A unique index that isn't a constraint's has tests of its own, below."""
    dba.results_eq(
        """SELECT c.relname::text FROM pg_index INNER JOIN pg_class AS c ON c.oid = indexrelid
        WHERE indisunique AND c.relnamespace::regnamespace::text IN ('auth', 'pulsex', 'ops', 'audit', 'gdpr')
            AND NOT c.relispartition AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)""",
        [(name,) for name in UNIQUE_INDEXES],
    )


def test_a_second_pending_notification_with_the_key_is_refused(service, published):
    """notifications_user_id_dedup_key_idx: while one waits, a second for the occasion raises 23505."""
    statement, value = copying("pulsex.notifications", {"notification_id": OTHER}, published)
    service.throws_ok(statement, "23505", value, constraint="notifications_user_id_dedup_key_idx")


@pytest.mark.parametrize("change", [{"dedup_key": "tomorrow"}, {"dedup_key": None}, {"state": "cancelled"}], ids=str)
def test_a_notification_for_another_occasion_is_accepted(service, published, change):
    """Another key, no key, or a row that no longer waits may stand beside the pending one."""
    statement, value = copying("pulsex.notifications", {"notification_id": OTHER, **change}, published)
    assert service.rows(f"{statement} RETURNING 1", value) == [(1,)]


def test_the_occasion_may_come_again_once_the_first_is_settled(service, published):
    """When the first is no longer pending, its key is free."""
    cancel = "UPDATE pulsex.notifications SET state = 'cancelled' WHERE user_id = %s AND state = 'pending'"
    service.rows(cancel, published.user_id)
    statement, value = copying("pulsex.notifications", {"notification_id": OTHER, "state": "pending"}, published)
    service.lives_ok(statement, value)


def test_two_people_may_have_the_same_occasion(service):
    """A dedup_key is unique per person: Alice and Bob both have theirs pending."""
    service.results_eq("SELECT count(*) FROM pulsex.notifications WHERE dedup_key = 'today'", [(2,)])


def test_a_person_who_has_rows_cannot_be_deleted(service, published):
    """No foreign key to pulsex.users cascades: deleting Alice raises 23503."""
    service.throws_ok("DELETE FROM pulsex.users WHERE user_id = %s", "23503", published.user_id)


@pytest.mark.parametrize(
    ("parent", "child"),
    [
        ("pulsex.briefings", "pulsex.briefing_feedback"),
        ("pulsex.devices", "pulsex.push_token_owners"),
        ("pulsex.notifications", "pulsex.notification_queue"),
        ("pulsex.notifications", "pulsex.notification_attempts"),
    ],
)
def test_what_depends_on_a_row_goes_with_it(service, published, parent, child):
    """Deleting Alice's row deletes what hangs on it, and nothing of Bob's."""
    service.rows(f"DELETE FROM {parent} WHERE user_id = %s", published.user_id)
    service.results_eq(f"SELECT user_id = %s, count(*) FROM {child} GROUP BY 1", [(False, 1)], published.user_id)


def test_no_other_foreign_key_cascades(dba):
    """Only those four delete with their parent; the rest refuse."""
    dba.results_eq(
        f"{DECLARED} AND confdeltype <> 'a' ORDER BY conname COLLATE \"C\"",
        [
            ("briefing_feedback_briefing_fk",),
            ("notification_attempts_notification_fk",),
            ("notification_queue_notification_fk",),
            ("push_token_owners_device_fk",),
        ],
        ["f"],
    )
