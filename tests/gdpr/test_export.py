"""The export: all there is of a person, in their words, and nothing else."""

from __future__ import annotations

import json
import os
import uuid

import jsonschema
import psutil
import pytest

from pulsex.deploy import ROOT
from tests.gdpr import canaries

EXPORT = "SELECT gdpr.export_user_data(%s)"
ROWS = "SELECT * FROM gdpr.export_user_data_rows(%s)"
SCHEMA = json.loads((ROOT / "examples" / "export.schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
LEFT_OUT = """SELECT format('%I.%I.%I', schema_name, table_name, column_name) FROM gdpr.data_map
    WHERE category IS NOT NULL AND not_exported_because IS NOT NULL"""


def but_the_log(document: dict) -> dict:
    """Return a document without the category that grows by being exported."""
    return document | {"categories": [c for c in document["categories"] if c["category"] != "history"]}


def records(document: dict) -> list[dict]:
    """Return every record of a document."""
    return [record for category in document["categories"] for record in category["records"]]


def test_every_value_is_in_it_unless_the_map_says_why_not(officer, look, published):
    """A canary in every text, JSON, inet, tsvector and array column: found, but for those with a reason."""
    planted = canaries.plant(look, published.user_id)
    told = {name for (name,) in look.rows(LEFT_OUT)}
    text = json.dumps(officer.value(EXPORT, published.user_id))
    assert {name for name, value in planted.items() if value not in text} == told & planted.keys()
    assert len(planted) > len(told & planted.keys())


def test_nothing_of_anybody_else_is_in_it(officer, look, published, database):
    """With a canary in every column of Bob's, Alice's export is what it was; Bob's isn't."""
    bob = database.cast["bob"].user_id
    before = but_the_log(officer.value(EXPORT, published.user_id))
    planted = canaries.plant(look, bob)
    document = officer.value(EXPORT, published.user_id)
    assert but_the_log(document) == before
    assert [name for name, value in planted.items() if value in json.dumps(document)] == []
    assert planted["pulsex.users.display_name"] in json.dumps(officer.value(EXPORT, bob))


def test_no_secret_is_in_it(officer, look, published):
    """Neither a hash nor a token, in hexadecimal, Base64 or as it is."""
    secrets = look.rows(
        """SELECT encode(token_hash, 'hex') FROM auth.sessions UNION ALL
        SELECT encode(token_hash, 'base64') FROM auth.sessions UNION ALL
        SELECT password_hash FROM auth.passwords UNION ALL SELECT encode(inner_pad, 'hex') FROM auth.signing_key"""
    )
    text = json.dumps(officer.value(EXPORT, published.user_id))
    assert [secret for (secret,) in [*secrets, (published.token,)] if secret in text] == []
    assert "$argon2id$" not in text


def test_a_secret_is_left_out_though_the_map_forgets_whose_it_is(officer, look, published):
    """Then nothing says why it isn't exported, and it isn't."""
    look.rows(
        """UPDATE gdpr.data_map
        SET category = NULL, label = NULL, purpose = NULL, lawful_basis = NULL, recipients = NULL, source = NULL,
            erasure = 'keep', not_exported_because = NULL
        WHERE table_name = 'passwords' AND is_secret"""
    )
    assert "$argon2id$" not in json.dumps(officer.value(EXPORT, published.user_id))


def test_it_is_valid(officer, published):
    """Against the JSON Schema in examples/, which is one itself."""
    VALIDATOR.check_schema(SCHEMA)
    VALIDATOR.validate(officer.value(EXPORT, published.user_id))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda document: document.pop("subject"),
        lambda document: document.update(generated_at="2026-01-02T03:04:05Z"),
        lambda document: document["categories"][0].pop("lawful_bases"),
        lambda document: document["categories"][0]["records"][0].update({"registered at": "yesterday"}),
        lambda document: document["categories"][0]["records"][0].pop("record"),
        lambda document: document["categories"][0].update(token="t"),
    ],
)
def test_the_schema_refuses_what_is_not_an_export(officer, published, spoil):
    """A part missing, a time without its offset, something that isn't told of."""
    document = officer.value(EXPORT, published.user_id)
    spoil(document)
    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR.validate(document)


def test_it_is_the_same_in_every_session(officer, look, published):
    """Zone, date style, interval style and bytea output of the session change nothing."""
    before = but_the_log(officer.value(EXPORT, published.user_id))
    look.rows(
        """SET LOCAL timezone = 'Pacific/Auckland'; SET LOCAL datestyle = 'German';
        SET LOCAL intervalstyle = 'postgres_verbose'; SET LOCAL extra_float_digits = -5"""
    )
    assert json.dumps(but_the_log(officer.value(EXPORT, published.user_id))) == json.dumps(before)
    assert before["generated_at"].endswith("+00:00")


def test_rows_come_in_a_stable_order_whatever_the_order_they_lie_in(officer, look, published):
    """By primary key: events written backwards are told forwards."""
    look.rows(
        """INSERT INTO pulsex.engagement_events (user_id, occurred_at, event_id, event_type)
        SELECT %s, date_trunc('month', now()) + n * interval '1 s', uuidv7(), 'opened'
        FROM generate_series(20, 1, -1) AS n""",
        published.user_id,
    )
    times = [r["at"] for r in records(officer.value(EXPORT, published.user_id)) if r["record"] == "event"]
    assert len(times) == 21
    assert times == sorted(times)


def test_rows_come_by_primary_key_whatever_other_index_there_is(officer, look, published):
    """Alice's three answers are told by purpose first, though another index has them by their numbers."""
    look.rows("CREATE INDEX ON gdpr.consents (revision)")
    officer.rows("SELECT gdpr.record_consent(%s, 'analytics', false, '2026-11')", published.user_id)
    told = [r["purpose"] for r in records(officer.value(EXPORT, published.user_id)) if r["record"] == "consent"]
    assert told == ["analytics", "analytics", "marketing"]


def test_the_rows_are_the_documents(officer, published):
    """Category, number within it from 1, and record: the stream and the document are from one source."""
    document = but_the_log(officer.value(EXPORT, published.user_id))
    assert officer.rows(f"{ROWS} WHERE category <> 'history'", published.user_id) == [
        (category["category"], ordinal, record)
        for category in document["categories"]
        for ordinal, record in enumerate(category["records"], 1)
    ]


def test_each_category_says_why_and_for_how_long(officer, look, published):
    """Every category of the map is there, with the retention that the operator set."""
    look.rows("UPDATE ops.partitioned_tables SET retention = '7 months' WHERE table_name = 'briefings'")
    categories = {c["category"]: c for c in officer.value(EXPORT, published.user_id)["categories"]}
    look.results_eq(
        "SELECT DISTINCT category FROM gdpr.data_map WHERE category IS NOT NULL ORDER BY 1",
        [(name,) for name in sorted(categories)],
    )
    assert {"record": "briefing", "period": "P7M", "from": None} in categories["briefings"]["retention"]
    assert categories["activity"]["lawful_bases"] == ["Art. 6(1)(a): your consent"]


@pytest.mark.usefixtures("namesake")
def test_tables_of_one_name_are_told_each_in_its_own_words(officer, look, published):
    """What its rows are called, and what their columns are."""
    look.rows("INSERT INTO other.one_time_tokens SELECT * FROM auth.one_time_tokens")
    told = [
        (r["record"], [key for key in r if "attempts" in key])
        for r in records(officer.value(EXPORT, published.user_id))
        if r["record"] in ("one-time code", "namesake")
    ]
    assert sorted(told) == [("namesake", ["its attempts"]), ("one-time code", ["attempts"])]


@pytest.mark.usefixtures("namesake")
def test_tables_of_one_name_are_kept_each_for_its_own_time(officer, published):
    """And that time counts from what each of them calls so."""
    [access] = [c for c in officer.value(EXPORT, published.user_id)["categories"] if c["category"] == "access"]
    kept = {r["record"]: (r["period"], r["from"]) for r in access["retention"]}
    assert kept["one-time code"] == ("P30D", "good until")
    assert kept["namesake"] == ("P40D", "its good until")


def test_a_reference_is_told_in_words(officer, published):
    """The topic's label, not its key."""
    document = officer.value(EXPORT, published.user_id)
    assert [r["topic"] for r in records(document) if r["record"] == "topic"] == ["Science"]


def test_a_detached_partition_is_in_it(officer, look, published):
    """What was taken off its table and is still there is still the person's data."""
    before = but_the_log(officer.value(EXPORT, published.user_id))
    where = "SELECT tableoid::regclass::text FROM pulsex.engagement_events WHERE user_id = %s"
    look.rows(f"ALTER TABLE pulsex.engagement_events DETACH PARTITION {look.value(where, published.user_id)}")
    look.is_empty(where, published.user_id)
    assert but_the_log(officer.value(EXPORT, published.user_id)) == before


def test_a_person_exports_their_own(alice):
    """As the application, in their session."""
    assert alice.value(EXPORT, alice.user_id)["subject"] == {"id": str(alice.user_id)}
    assert alice.rows(ROWS, alice.user_id)


@pytest.mark.parametrize("call", [EXPORT, ROWS])
def test_nobody_elses_and_nobody_without_a_session(call, alice, bob, stranger):
    """PT403, whether or not there is such a person, and for null."""
    for user_id in (bob.user_id, uuid.uuid4(), None):
        alice.throws_ok(call, "PT403", user_id)
    stranger.throws_ok(call, "PT403", alice.user_id)


@pytest.mark.parametrize("call", [EXPORT, ROWS])
@pytest.mark.parametrize("user_id", [uuid.uuid4(), None])
def test_an_unknown_person_is_told(call, user_id, privacy):
    """PT404 for the officer."""
    privacy.throws_ok(call, "PT404", user_id)


def test_who_is_asking_is_the_role_that_was_taken(look, published):
    """A role that is no officer stays none, though it may call and its connection is a superuser's."""
    look.rows("GRANT EXECUTE ON FUNCTION gdpr.export_user_data TO pulsex_worker")
    look.role = "pulsex_worker"
    look.throws_ok(EXPORT, "PT403", published.user_id)


def test_a_hundred_thousand_events_pass_through_a_small_client(look, published):
    """Through a cursor the client holds no more than it fetches, whatever passes through it."""
    look.rows("SET LOCAL session_replication_role = replica")
    look.rows(
        """INSERT INTO pulsex.engagement_events (user_id, occurred_at, event_id, event_type, properties)
        SELECT %s, date_trunc('month', now()) + n * interval '1 ms', gen_random_uuid(), 'dwell', '{"ms": 1234}'
        FROM generate_series(1, 100000) AS n""",
        published.user_id,
    )
    look.rows("SET LOCAL ROLE pulsex_privacy")
    process = psutil.Process(os.getpid())
    count = passed = 0
    with look.connection.cursor("export") as cursor:
        cursor.itersize = 1000
        cursor.execute(
            "SELECT category, ordinal, record::text FROM gdpr.export_user_data_rows(%s)", [published.user_id]
        )
        before = most = process.memory_info().rss
        for _, _, record in cursor:
            count += 1
            passed += len(record)
            if count % 1000 == 0:
                most = max(most, process.memory_info().rss)
    assert count > 100_000
    assert passed > 15_000_000
    assert most - before < 5_000_000


@pytest.mark.parametrize("call", [EXPORT, ROWS, "SELECT * FROM gdpr.find_personal_data(%s)"])
def test_that_it_was_read_is_in_the_audit_log(call, officer, look, published):
    """Under the person's id: the next export tells them."""
    count = "SELECT count(*) FROM audit.events WHERE user_id = %s AND action IN ('export', 'read')"
    before = look.value(count, published.user_id)
    officer.rows(call, published.user_id)
    look.results_eq(count, [(before + 1,)], published.user_id)
