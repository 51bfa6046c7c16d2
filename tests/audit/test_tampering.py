"""Whatever is done to the log past its guards, audit.verify() finds, and says where."""

from __future__ import annotations

import pytest

from tests.cast import Person

COMMIT = "commitment = sha256(salt || convert_to({}::text, 'UTF8'))"
PAYLOAD = "(payload || '{\"n\": 7}')"
FIRST = "WHERE event_id = %(first)s"
CONTENTS = ("contents_changed", "seal", None)
CHANGED, MISSING = ("event_changed", "seal", "first"), ("event_missing", "seal", "first")

# What is done, and what is found of it: the finding, and which seal and event it names.
TAMPERING = {
    "a payload": (f"UPDATE audit.events SET payload = {PAYLOAD} {FIRST}", [CHANGED]),
    "a payload with its commitment": (
        f"UPDATE audit.events SET payload = {PAYLOAD}, {COMMIT.format(PAYLOAD)} {FIRST}", [CONTENTS],
    ),
    "a salt": (f"UPDATE audit.events SET salt = sha256('other') {FIRST}", [CHANGED]),
    "a commitment": (f"UPDATE audit.events SET commitment = sha256('other') {FIRST}", [CHANGED, CONTENTS]),
    "a time": (f"UPDATE audit.events SET occurred_at = occurred_at + interval '1 us' {FIRST}", [CONTENTS]),
    "a role": (f"UPDATE audit.events SET role_name = 'somebody' {FIRST}", [CONTENTS]),
    "an action": (f"UPDATE audit.events SET action = 'export' {FIRST}", [CONTENTS]),
    "a table": (f"UPDATE audit.events SET table_name = 'pulsex.users' {FIRST}", [CONTENTS]),
    "an owner": (f"UPDATE audit.events SET user_id = %(bob)s {FIRST}", [CHANGED]),
    "an event of the middle deleted": (f"DELETE FROM audit.events {FIRST}", [MISSING, CONTENTS]),
    "an event deleted, and from the list": (
        f"""WITH gone AS (DELETE FROM audit.events {FIRST})
        UPDATE audit.seal_contents SET event_ids = event_ids[2:] WHERE seal_id = %(seal)s""", [CONTENTS],
    ),
    "an event of the end deleted": (
        "DELETE FROM audit.events WHERE event_id = %(later)s",
        [("event_missing", "next", "later"), ("contents_changed", "next", None)],
    ),
    "two events reordered": (
        """UPDATE audit.events AS e SET occurred_at = o.occurred_at FROM audit.events AS o
        WHERE e.event_id IN (%(first)s, %(second)s) AND o.event_id IN (%(first)s, %(second)s)
            AND o.event_id <> e.event_id""", [CONTENTS],
    ),
    "an event put in": (
        f"""INSERT INTO audit.events SELECT user_id, occurred_at, %(new)s, role_name, table_name, action, payload, salt,
        commitment FROM audit.events {FIRST}""", [("event_forged", None, "new")],
    ),
    "an event put in and listed": (
        f"""WITH new AS (INSERT INTO audit.events SELECT user_id, occurred_at, %(new)s, role_name, table_name, action,
        payload, salt, commitment FROM audit.events {FIRST})
        UPDATE audit.seal_contents SET event_ids = array_append(event_ids, %(new)s) WHERE seal_id = %(seal)s""",
        [CONTENTS],
    ),
    "a payload taken out as if its person were erased": (
        f"""UPDATE audit.events SET payload = NULL, salt = NULL, user_id = '00000000-0000-0000-0000-000000000000'
        {FIRST}""", [("payloads_missing", None, None)],
    ),
    "a whole seal with its events": (
        """WITH events AS (DELETE FROM audit.events WHERE event_id IN (%(first)s, %(second)s)),
        list AS (DELETE FROM audit.seal_contents WHERE seal_id = %(seal)s)
        DELETE FROM audit.seals WHERE seal_id = %(seal)s""", [("seal_missing", "seal", None)],
    ),
    "a seal without its events": (
        """WITH list AS (DELETE FROM audit.seal_contents WHERE seal_id = %(seal)s)
        DELETE FROM audit.seals WHERE seal_id = %(seal)s""",
        [("seal_missing", "seal", None), ("event_forged", None, "first"), ("event_forged", None, "second")],
    ),
    "a seal's list": (
        "DELETE FROM audit.seal_contents WHERE seal_id = %(seal)s",
        [CONTENTS, ("event_forged", None, "first"), ("event_forged", None, "second")],
    ),
    "a seal's time": (
        "UPDATE audit.seals SET sealed_at = sealed_at + interval '1 us' WHERE seal_id = %(seal)s",
        [("seal_changed", "seal", None)],
    ),
    "a seal's retention": (
        "UPDATE audit.seals SET kept_from = kept_from - interval '1 day' WHERE seal_id = %(seal)s",
        [("seal_changed", "seal", None)],
    ),
    "a seal's digest": (
        "UPDATE audit.seals SET digest = sha256('other') WHERE seal_id = %(seal)s",
        [("seal_changed", "seal", None), ("seal_changed", "next", None)],
    ),
}  # fmt: skip


def test_an_untouched_log_has_nothing_wrong(findings, sealed):
    """Three seals or more, and no finding."""
    assert findings() == set()


@pytest.mark.parametrize(("sql", "want"), TAMPERING.values(), ids=TAMPERING)
def test_tampering_is_found_where_it_was_done(sql, want, dba, sealed, forge, findings, bob):
    """The findings are those, and name that seal and that event, and no other."""
    names = {**vars(sealed), "next": sealed.seal + 1, "new": dba.value("SELECT uuidv7()"), "bob": bob.user_id}
    for name, value in names.items():
        sql = sql.replace(f"%({name})s", f"'{value}'")
    forge(sql)
    assert findings() == {(finding, names.get(seal), names.get(event)) for finding, seal, event in want}


def test_an_older_state_of_the_log_is_told_by_the_digest_kept_outside(dba, findings, sealed, forge):
    """Rolled back to before the last seal the log is consistent, and yet not the one whose digest was kept."""
    kept = dba.value("SELECT audit.seal()")
    forge(
        """WITH events AS (DELETE FROM audit.events WHERE event_id = ANY (
            SELECT unnest(event_ids) FROM audit.seal_contents WHERE seal_id = %s)),
        list AS (DELETE FROM audit.seal_contents WHERE seal_id = %s) DELETE FROM audit.seals WHERE seal_id = %s""",
        *[sealed.seal + 1] * 3,
    )
    assert findings() == set()
    assert findings(kept) == {("rolled_back", None, None)}


def test_a_log_that_went_on_has_the_digest_kept_outside(dba, findings, sealed, published: Person):
    """The expected digest may be any seal's: what came after it doesn't matter."""
    kept = dba.value("SELECT audit.seal()")
    dba.rows("SELECT audit.record('read', %s)", published.user_id)
    assert dba.value("SELECT audit.seal()") != kept
    assert findings(kept) == set()


def test_what_waits_for_a_seal_is_guarded_by_its_commitment(dba, findings, forge, published: Person):
    """A changed payload, or a deleted event, is found before it is sealed."""
    dba.rows("SELECT audit.record('read', %s), audit.record('export', %s)", *[published.user_id] * 2)
    ids = dba.rows("SELECT event_id FROM audit.unsealed_events ORDER BY event_id")
    (changed,), (deleted,) = ids
    forge("UPDATE audit.events SET payload = payload || '{\"n\": 7}' WHERE event_id = %s", changed)
    forge("DELETE FROM audit.events WHERE event_id = %s", deleted)
    assert findings() == {("event_changed", None, changed), ("event_missing", None, deleted)}
    dba.rows("SELECT audit.seal()")
    assert ("event_missing", None, deleted) in findings()


@pytest.mark.parametrize(("action", "whose"), [("scrub", "alice"), ("read", None)])
def test_only_what_scrub_wrote_excuses_a_blank_event(action, whose, dba, findings, database):
    """An event of a person's, or of another kind, may say what it wants."""
    details = "jsonb_build_object('events', jsonb_build_object(to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM'), 1))"
    dba.rows(f"SELECT audit.record(%s, %s, {details})", action, whose and database.cast[whose].user_id)
    assert findings() == set()


@pytest.mark.parametrize(
    "sql",
    [
        "ALTER TABLE audit.seals DISABLE TRIGGER seals_refuse_change",
        "ALTER TABLE audit.seals ENABLE TRIGGER seals_refuse_truncate",
        "DROP TRIGGER events_refuse_truncate ON audit.events",
        "ALTER TABLE pulsex.users DISABLE TRIGGER users_record_change",
        "ALTER TABLE pulsex.briefings DISABLE TRIGGER briefings_record_change",
        "DROP TRIGGER users_record_change ON pulsex.users",
        """DROP TRIGGER seals_refuse_change ON audit.seals;
        CREATE TRIGGER seals_allow_change BEFORE UPDATE OR DELETE ON audit.seals
        FOR EACH ROW EXECUTE FUNCTION pulsex.set_updated_at();
        ALTER TABLE audit.seals ENABLE ALWAYS TRIGGER seals_allow_change""",
    ],
)
def test_a_guard_that_is_gone_or_off_is_found(sql, dba, findings):
    """A trigger of the log, or one that writes it, dropped, disabled or in another's place."""
    dba.rows(sql)
    assert findings() == {("unguarded", None, None)}


def test_a_partition_without_its_guards_is_found(dba, findings):
    """Both of them, on each partition."""
    dba.rows("ALTER TABLE audit.events ADD CHECK (true)")
    name = dba.value("SELECT max(relation)::regclass::text FROM ops.partitions WHERE schema_name = 'audit'")
    dba.rows(f"ALTER TABLE {name} DISABLE TRIGGER USER")
    dba.results_eq("SELECT count(*) FROM audit.verify() WHERE finding = 'unguarded'", [(2,)])
