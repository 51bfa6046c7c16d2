"""What the triggers write of a change, on every table with personal data."""

from __future__ import annotations

import hashlib
import json

import pytest

from tests.audit.declared import APPEND_ONLY, AUDITED, EXEMPT
from tests.isolation.measure import OURS

OWNED = f"""SELECT c.oid::regclass::text FROM pg_class AS c INNER JOIN pg_attribute AS a ON a.attrelid = c.oid
    WHERE c.relnamespace IN {OURS} AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND a.attname = 'user_id'"""
TRIGGERS = """SELECT tgrelid::regclass::text, tgname::text, tgtype::integer,
        string_to_array(encode(tgargs, 'escape'), chr(92) || '000'),
        array(SELECT attname::text FROM pg_attribute WHERE attrelid = tgrelid AND attnum = ANY (tgattr)), tgenabled
    FROM pg_trigger WHERE tgfoid = 'audit.record_change'::regproc AND tgparentid = 0"""
COLUMNS = "SELECT attname::text FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped"
KEY = """SELECT attname::text FROM pg_index INNER JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY (indkey)
    WHERE indrelid = %s::regclass AND indisprimary AND attname <> 'user_id'"""
SECRET = r"(password|token)_hash$"
AFTER_EACH_ROW = 1 + 4 + 8 + 16  # TRIGGER_TYPE_ROW, INSERT, DELETE, UPDATE


def columns(dba, table: str) -> set[str]:
    """Return the columns of a table."""
    return {name for (name,) in dba.rows(COLUMNS, table)}


def test_every_table_of_a_person_is_audited_or_says_why_not(dba):
    """The tables with a user_id are those declared, with a trigger or with a reason."""
    assert {name for (name,) in dba.rows(OWNED)} == AUDITED.keys() | EXEMPT.keys()
    assert {table for table, *_ in dba.rows(TRIGGERS)} == AUDITED.keys()


def test_a_table_that_is_not_declared_would_be_noticed(dba):
    """A new table with a user_id and a text column is neither audited nor exempt."""
    dba.rows("CREATE TABLE pulsex.notes (user_id uuid NOT NULL, note text)")
    assert {name for (name,) in dba.rows(OWNED)} - AUDITED.keys() - EXEMPT.keys() == {"pulsex.notes"}


def test_every_trigger_is_as_declared(dba):
    """By its name, on all three verbs, with its own table and the kinds of its columns as arguments."""
    for table, name, kind, [own, *arguments, _], *_ in dba.rows(TRIGGERS):
        assert (name, kind) == (f"{table.partition('.')[2]}_record_change", AFTER_EACH_ROW)
        assert (own, sorted(arguments)) == (table, AUDITED[table].arguments)


def test_only_columns_that_are_declared_so_are_not_looked_at(dba):
    """Where a trigger names the columns whose UPDATE it watches, those are all others."""
    for table, _, _, _, watched, enabled in dba.rows(TRIGGERS):
        assert (set(watched) or columns(dba, table)) == columns(dba, table) - set(AUDITED[table].ignored)
        assert enabled == "O"


def test_every_key_is_recorded_and_every_secret_withheld(dba):
    """The primary key's columns, user_id apart, and every hash of a token or a password, by the catalogue."""
    secrets = dba.rows(
        f"""SELECT attrelid::regclass::text, attname::text FROM pg_attribute
        WHERE attrelid = ANY (%s::regclass[]) AND attname ~ '{SECRET}'""",
        list(AUDITED),
    )
    assert len(secrets) > 2
    for table, column in secrets:
        # A push token authorises nobody, and its digest is the key of push_token_owners.
        assert column in AUDITED[table].withheld or column == "push_token_hash"
    for table, audited in AUDITED.items():
        assert {name for (name,) in dba.rows(KEY, table)} == set(audited.key), table


@pytest.mark.parametrize("table", AUDITED)
def test_an_insert_is_recorded_whole_but_for_what_is_withheld(table, dba, published):
    """Alice's row, made by the routines of the cast, has one event, with every column that isn't a secret."""
    (payload,), *_ = dba.rows(
        "SELECT payload FROM audit.events WHERE user_id = %s AND table_name = %s AND action = 'insert'",
        published.user_id, table,
    )  # fmt: skip
    assert payload["new"].keys() == columns(dba, table) - set(AUDITED[table].withheld)
    assert payload["user_id"] == payload["new"]["user_id"] == str(published.user_id)


@pytest.mark.parametrize("table", sorted(AUDITED.keys() - APPEND_ONLY - {"pulsex.push_token_owners"}))
def test_an_update_is_recorded_with_what_changed_alone(table, service, since, published):
    """The key, and the old and the new value of the one column that changed."""
    column, value = AUDITED[table].change
    key = ", ".join(f"'{name}', to_jsonb({name})" for name in AUDITED[table].key)
    row = f"user_id = %s AND {AUDITED[table].row}"
    [(old,)] = service.rows(f"SELECT to_jsonb({column}) FROM {table} WHERE {row}", published.user_id)
    [(new, key)] = service.rows(
        f"""UPDATE {table} SET {column} = {value} WHERE {row}
        RETURNING to_jsonb({column}), jsonb_build_object({key})""",
        published.user_id,
    )
    want = {"user_id": str(published.user_id), "key": key, "old": {column: old}, "new": {column: new}}
    assert since() == [(published.user_id, table, "update", want)]


@pytest.mark.parametrize("table", sorted(AUDITED.keys() - APPEND_ONLY))
def test_an_update_that_changes_nothing_is_not_recorded(table, service, since, published):
    """Every column set to what it is."""
    same = ", ".join(f"{name} = {name}" for name in columns(service, table))
    assert service.rows(f"UPDATE {table} SET {same} WHERE user_id = %s RETURNING 1", published.user_id)
    assert since() == []


@pytest.mark.parametrize(
    ("table", "column"), [(table, column) for table, audited in AUDITED.items() for column in audited.ignored]
)
def test_what_is_declared_so_is_not_looked_at(table, column, service, since, published):
    """An update of nothing but a column that no auditor asks for."""
    value = "1" if column == "failed_attempts" else "now() + interval '1 hour'"
    assert service.rows(f"UPDATE {table} SET {column} = {value} WHERE user_id = %s RETURNING 1", published.user_id)
    assert since() == []


@pytest.mark.parametrize("table", sorted(AUDITED.keys() - APPEND_ONLY - {"pulsex.users"}))
def test_a_delete_is_recorded_with_what_was_there(table, service, since, published):
    """The row as it was, but for what is withheld; what goes with it by ON DELETE CASCADE has an event of its own."""
    service.rows(f"DELETE FROM {table} WHERE user_id = %s", published.user_id)
    events = {name: (user_id, action, payload) for user_id, name, action, payload in since()}
    user_id, action, payload = events.pop(table)
    assert (user_id, action) == (published.user_id, "delete")
    assert payload["old"].keys() == columns(service, table) - set(AUDITED[table].withheld)
    cascading = {"pulsex.briefings": {"pulsex.briefing_feedback"}, "pulsex.devices": {"pulsex.push_token_owners"}}
    assert events.keys() == cascading.get(table, set())


def test_a_person_who_is_deleted_is_recorded(service, since):
    """A user with no rows, who alone can be."""
    user_id = service.value("INSERT INTO pulsex.users (display_name) VALUES ('Bob') RETURNING user_id")
    service.rows("DELETE FROM pulsex.users WHERE user_id = %s", user_id)
    assert [(whose, action) for whose, _, action, _ in since()] == [(user_id, "insert"), (user_id, "delete")]


def test_a_row_that_passes_to_another_person_names_neither_to_the_other(service, since, published, bob):
    """Of a global lookup: what Alice's record says she lost doesn't say to whom, nor Bob's from whom he has it."""
    service.rows("DELETE FROM pulsex.push_token_owners WHERE user_id = %s", bob.user_id)
    service.rows(
        """UPDATE pulsex.push_token_owners SET (user_id, device_id) = (
            SELECT user_id, device_id FROM pulsex.devices WHERE user_id = %s) WHERE user_id = %s""",
        bob.user_id, published.user_id,
    )  # fmt: skip
    _, lost, won = since()
    assert (lost[0], lost[2], won[0], won[2]) == (published.user_id, "delete", bob.user_id, "insert")
    assert str(bob.user_id) not in json.dumps(lost[3])
    assert str(published.user_id) not in json.dumps(won[3])


def test_a_document_is_recorded_by_its_digest(service, since, published):
    """The SHA-256 of the text of the JSON that is stored."""
    [(content,)] = service.rows(
        """UPDATE pulsex.briefings SET content = '{"sections": []}' WHERE user_id = %s RETURNING content::text""",
        published.user_id,
    )
    [(_, _, _, payload)] = since()
    assert payload["new"] == {"content": hashlib.sha256(content.encode()).hexdigest()}


def test_a_push_tokens_digest_is_the_key_of_its_owner(dba, published):
    """So the records of devices and of push_token_owners can be joined, and neither has the token."""
    digest = """SELECT payload -> 'new' ->> %s FROM audit.events WHERE user_id = %s AND table_name = %s"""
    owner = dba.value(digest, "push_token_hash", published.user_id, "pulsex.push_token_owners")
    assert owner == "\\x" + dba.value(digest, "push_token", published.user_id, "pulsex.devices")


def test_a_secret_that_changes_is_named_and_not_told(service, since, published):
    """That a password was replaced, even if nothing else was."""
    service.rows("UPDATE auth.passwords SET password_hash = replace(password_hash, 't=3', 't=4') WHERE user_id = %s",
                 published.user_id)  # fmt: skip
    [(_, _, _, payload)] = since()
    assert payload == {
        "user_id": str(published.user_id),
        "key": {},
        "old": {},
        "new": {},
        "withheld": ["password_hash"],
    }


def test_no_secret_is_anywhere_in_the_log(service, published):
    """A canary in every secret, at insert, update and delete, is in no event, and neither is its hexadecimal."""
    canary = hashlib.sha256(b"a canary").digest()
    hash_ = "$argon2id$v=19$m=65536,t=3,p=4$" + "c" * 22 + "$" + "canary" * 8
    for table, column in (("auth.sessions", "token_hash"), ("auth.one_time_tokens", "token_hash")):
        service.rows(f"UPDATE {table} SET {column} = %s WHERE user_id = %s", canary, published.user_id)
    service.rows("UPDATE auth.passwords SET password_hash = %s WHERE user_id = %s", hash_, published.user_id)
    service.rows("UPDATE pulsex.devices SET push_token = 'canary' WHERE user_id = %s", published.user_id)
    for table in ("auth.sessions", "auth.one_time_tokens", "auth.passwords", "pulsex.devices"):
        service.rows(
            f"WITH gone AS (DELETE FROM {table} WHERE user_id = %s RETURNING *) INSERT INTO {table} SELECT * FROM gone",
            published.user_id,
        )
    assert len(service.rows("SELECT FROM audit.unsealed_events")) == 4 * 3 + 1
    service.is_empty("SELECT FROM audit.events AS e WHERE to_jsonb(e)::text ~ %s", f"canary|{canary.hex()}")
    service.is_empty("SELECT FROM audit.events WHERE payload::text ~ '(argon2id|password_hash\": )'")


def test_what_somebody_else_does_to_ones_data_does_not_name_them(dba, since, published, bob):
    """In Bob's session, a definer routine changes Alice's row: her record says another, and not who."""
    dba.rows("SELECT auth.use_session(%s)", bob.token)
    dba.rows("UPDATE pulsex.users SET display_name = 'Alicia' WHERE user_id = %s", published.user_id)
    [(_, _, _, payload)] = since()
    assert payload["by"] == "another"
    assert str(bob.user_id) not in json.dumps(payload)


def test_what_a_service_does_is_by_nobody(worker, since, published, dba):
    """No session of a person: no by."""
    dba.rows("SELECT pulsex.mark_briefing_delivered(%s, %s)", published.user_id, published.briefing_date)
    [(_, table, _, payload)] = since()
    assert table == "pulsex.briefings"
    assert "by" not in payload


def test_a_context_that_is_made_up_is_nobodys(dba, since, published):
    """Anybody may set pulsex.context; without the signature no act is theirs."""
    dba.rows("SELECT set_config('pulsex.context', %s, true)", f"{published.user_id}.{'0' * 64}")
    dba.rows("UPDATE pulsex.users SET display_name = 'Alicia' WHERE user_id = %s", published.user_id)
    [(_, _, _, payload)] = since()
    assert "by" not in payload


@pytest.mark.commits
def test_the_role_is_the_one_that_logged_in(alice, dba):
    """pulsex_app, though the trigger's function runs as the service."""
    alice.rows("UPDATE pulsex.users SET display_name = 'Alicia'")
    dba.results_eq(
        """SELECT role_name, payload ->> 'by' FROM audit.events INNER JOIN audit.unsealed_events
        USING (occurred_at, event_id)""",
        [("pulsex_app", "self")],
    )


def test_what_is_rolled_back_leaves_no_event(dba, published):
    """The event is part of the transaction, and so is that it waits for a seal."""
    with dba.connection.transaction(force_rollback=True):
        dba.rows("UPDATE pulsex.users SET display_name = 'Alicia' WHERE user_id = %s", published.user_id)
        dba.results_eq("SELECT count(*) FROM audit.unsealed_events", [(1,)])
    dba.is_empty("SELECT FROM audit.unsealed_events")


def test_a_session_that_rounds_hides_no_change(alice, dba):
    """With extra_float_digits as low as it goes 1 and 1.4 look alike to the session, and not to the log."""
    with dba.connection.transaction(force_rollback=True):
        dba.connection.execute("SET LOCAL extra_float_digits = -15")
        count = "SELECT count(*) FROM audit.events WHERE table_name = 'pulsex.user_topics' AND action = 'update'"
        [before] = dba.connection.execute(count).fetchone()
        dba.connection.execute("UPDATE pulsex.user_topics SET weight = 1.4 WHERE user_id = %s", [alice.user_id])
        assert dba.connection.execute(count).fetchone() == (before + 1,)
