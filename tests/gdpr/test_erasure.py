"""Erasure: everything of a person, nothing of anybody else, all or nothing, once."""

from __future__ import annotations

import json
import uuid

import pytest

from tests.gdpr import canaries

ERASE = "SELECT gdpr.erase_user(%s, 'asked for')"
ERASE_PART = "SELECT gdpr.erase_user(%s, 'asked for', %s::text[])"
FIND = "SELECT relation FROM gdpr.find_personal_data(%s)"


def counts(look) -> dict[str, int]:
    """Return how many rows each relation has."""
    return {name: look.value(f"SELECT count(*) FROM {name}") for (name,) in look.rows(canaries.RELATIONS)}


def test_nothing_is_left(officer, published):
    """Where there was a row in every table, gdpr.find_personal_data finds none."""
    assert len(officer.rows(FIND, published.user_id)) == 25
    officer.rows(ERASE, published.user_id)
    officer.is_empty(FIND, published.user_id)


def test_no_value_is_left_in_any_relation(officer, look, published):
    """Canaries in every column, seen in every table of the person's before, are in no relation after."""
    planted = canaries.plant(look, published.user_id)
    seen = {name for names in canaries.found(look, planted).values() for name in names}
    assert seen == planted.keys()
    officer.rows(ERASE, published.user_id)
    assert canaries.found(look, planted) == {}


def test_no_id_is_left_in_any_relation(officer, look, published):
    """Neither the person's id nor their e-mail address, name or token's hash, in any column of any relation."""
    marks = {"id": str(published.user_id), "email": published.email, "name": "Alice"}
    assert {name for names in canaries.found(look, marks).values() for name in names} == marks.keys()
    officer.rows(ERASE, published.user_id)
    assert canaries.found(look, marks) == {}


def test_nothing_of_anybody_else_is_touched(officer, look, published, database):
    """Bob's export is what it was, but that it is logged."""
    export = "SELECT category, ordinal, record FROM gdpr.export_user_data_rows(%s) WHERE category <> 'history'"
    before = officer.rows(export, database.cast["bob"].user_id)
    officer.rows(ERASE, published.user_id)
    officer.results_eq(export, before, database.cast["bob"].user_id)


def test_a_detached_partition_is_erased_too(officer, look, published):
    """Rows in a table that was a partition, which its parent no longer shows, go as well and are counted."""
    where = "SELECT tableoid::regclass::text FROM pulsex.engagement_events WHERE user_id = %s"
    partition = look.value(where, published.user_id)
    look.rows(f"ALTER TABLE pulsex.engagement_events DETACH PARTITION {partition}")
    certificate = officer.value(ERASE, published.user_id)
    look.results_eq(f"SELECT count(*) FROM {partition} WHERE user_id = %s", [(0,)], published.user_id)
    assert certificate["rows"]["pulsex.engagement_events"] == 1
    assert partition in certificate["files"]["relations"]


def test_failures_from_before_the_account_go_too(officer, look, published):
    """A login decoy that carries the digest of the person's address."""
    look.rows("SELECT auth.record_login(auth.decoy_id('alice@example.com'), false)")
    look.rows("SELECT auth.record_login(auth.decoy_id('nobody@example.com'), false)")
    assert officer.value(ERASE, published.user_id)["rows"]["auth.login_decoys"] == 1
    look.results_eq("SELECT decoy_id = auth.decoy_id('nobody@example.com') FROM auth.login_decoys", [(True,)])


def test_the_certificate_tells_what_was_done(officer, look, published):
    """Counts by table, the time, position of the WAL, and when the last backup is gone."""
    officer.rows("SELECT gdpr.change_setting('backup_horizon', '35 days', 'as backups are kept')")
    certificate = officer.value(ERASE, published.user_id)
    assert certificate["rows"]["pulsex.users"] == certificate["rows"]["pulsex.briefings"] == 1
    assert len(certificate["rows"]) == 25
    assert certificate["is_complete"]
    assert certificate["kept"] == []
    assert certificate["backups"]["horizon"] == "P35D"
    look.results_eq(
        "SELECT %s::timestamptz = now() + interval '35 days', %s::timestamptz = now(), %s::pg_lsn > '0/0'",
        [(True, True, True)],
        certificate["backups"]["gone_by"], certificate["erased_at"], certificate["wal"]["written_until"],
    )  # fmt: skip


def test_the_certificate_lists_what_to_scrub(officer, look, published):
    """Every table of people's, the partitions that had rows, and the statistics."""
    relations = officer.value(ERASE, published.user_id)["files"]["relations"]
    partition = f"pulsex.briefings_{published.briefing_date:%Y_%m}"
    tables = {name for (name,) in look.rows("SELECT relation::regclass::text FROM gdpr.personal_tables")}
    assert {*tables, partition, "pg_statistic"} <= set(relations)
    officer.results_eq("SELECT count(*) FROM gdpr.relations_to_scrub()", [(len(relations),)])


def test_a_certificate_without_a_horizon_says_that_nobody_set_one(officer, published):
    """null, and not a guess."""
    assert officer.value(ERASE, published.user_id)["backups"] == {"horizon": None, "gone_by": None}


@pytest.mark.parametrize("horizon", ["soon", "-1 day", "11 years", "infinity"])
def test_a_horizon_is_an_interval(officer, horizon):
    """Of nothing to ten years; anything else is refused when it is set, and no erasure stumbles over it."""
    change = "SELECT gdpr.change_setting('backup_horizon', %s, 'as backups are kept')"
    officer.throws_ok(change, "23514", horizon, constraint="settings_period_check")
    officer.lives_ok(change, "0 days")


def test_a_reason_does_not_name_the_person(officer, published):
    """Name, address and id are left out of what is stored; other words stay."""
    reason = f"Alice (alice@example.com, {published.user_id}) asked for it; malice has no part in it"
    certificate = officer.value("SELECT gdpr.erase_user(%s, %s)", published.user_id, reason)
    assert certificate["reason"] == "… (…, …) asked for it; malice has no part in it"


def test_a_reason_may_name_somebody_else(look, published):
    """Bob, who asked for it on behalf of Alice, stays in the text."""
    text = "SELECT gdpr.leave_out_person('bob@example.com asked for Alice', %s)"
    look.results_eq(text, [("bob@example.com asked for …",)], published.user_id)


def test_again_gives_the_stored_certificate(officer, look, published):
    """The second call erases nothing and returns the same."""
    first = officer.value(ERASE, published.user_id)
    assert officer.value("SELECT gdpr.erase_user(%s, 'once more')", published.user_id) == first
    look.results_eq("SELECT count(*) FROM gdpr.erasures WHERE certificate ->> 'reason' IS NOT NULL", [(1,)])


def test_again_after_the_key_was_rotated(officer, look, published):
    """An older key still finds it, until it is forgotten; then nobody ever had the id."""
    first = officer.value(ERASE, published.user_id)
    look.rows("SET LOCAL ROLE pulsex_service")
    look.rows("SELECT gdpr.rotate_ledger_key()")
    assert officer.value(ERASE, published.user_id) == first
    look.rows("UPDATE gdpr.ledger_keys SET created_at = created_at - interval '1 day'")
    look.rows("SELECT gdpr.rotate_ledger_key(now())")
    officer.throws_ok(ERASE, "PT404", published.user_id)


def test_the_ledger_tells_nobody_who(officer, look, published):
    """Knowing the id, and every hash of it that needs no key, one doesn't find it there."""
    officer.rows(ERASE, published.user_id)
    ledger = json.dumps(officer.value("SELECT gdpr.export_erasure_ledger()"))
    guesses = look.rows(
        """SELECT encode(h, 'hex') FROM (SELECT uuid_send(%s) AS id, %s::uuid::text::bytea AS word) AS i, LATERAL (
            VALUES (id), (word), (sha256(id)), (sha256(word)), (decode(md5(word), 'hex')), (sha512(id))
        ) AS v (h)""",
        published.user_id, published.user_id,
    )  # fmt: skip
    assert [guess for (guess,) in guesses if guess in ledger] == []
    key = "SELECT encode(gdpr.hash_subject(%s, inner_pad, outer_pad), 'hex') FROM gdpr.ledger_keys"
    assert look.value(key, published.user_id) in ledger


def test_the_hash_is_an_hmac(look, published):
    """As RFC 2104 has it: the pads are the key's, and the hash Python's."""
    import hmac

    key = bytes(range(32))
    [(digest,)] = look.rows(
        "SELECT gdpr.hash_subject(%s, p.inner_pad, p.outer_pad) FROM auth.hmac_pads(%s) AS p", published.user_id, key
    )
    assert digest == hmac.digest(key, published.user_id.bytes, "sha256")


def test_the_audit_log_still_verifies(officer, look, published):
    """Sealed before, blotted out after: nothing is wrong with it; what is left of it tells nobody whose it was."""
    officer.rows("SELECT audit.seal()")
    officer.rows(ERASE, published.user_id)
    officer.is_empty("SELECT * FROM audit.verify()")
    look.results_eq(
        "SELECT count(*) FROM audit.events WHERE user_id = %s OR payload::text ~ %s",
        [(0,)],
        published.user_id, str(published.user_id),
    )  # fmt: skip
    look.results_eq("SELECT count(*) FROM audit.events WHERE action = 'erase' AND payload ? 'erasure_id'", [(1,)])


@pytest.mark.parametrize("user_id", [uuid.uuid4(), None])
def test_who_never_was_is_told(privacy, user_id):
    """PT404."""
    privacy.throws_ok(ERASE, "PT404", user_id)


@pytest.mark.parametrize(
    ("reason", "categories"),
    [
        (None, None),
        (" ", None),
        ("r" * 501, None),
        ("r", []),
        ("r", ["everything"]),
        ("r", ["ratings", None]),
        ("r", ["profile"]),
    ],
)
def test_what_makes_no_sense_is_refused(privacy, published, reason, categories):
    """No reason, no category or an unknown one, or the profile without all that refers to it: PT422."""
    privacy.throws_ok("SELECT gdpr.erase_user(%s, %s, %s)", "PT422", published.user_id, reason, categories)


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_an_old_snapshot_is_refused(privacy, published, level):
    """It wouldn't see what was written before the lock was had: 25000."""
    privacy.connection.execute(f"BEGIN ISOLATION LEVEL {level}")
    privacy.throws_ok(ERASE, "25000", published.user_id)


def test_only_an_officer_erases(look, published):
    """PT403 for a role that may call it and is none."""
    look.rows("GRANT EXECUTE ON FUNCTION gdpr.erase_user, gdpr.find_personal_data TO pulsex_worker")
    look.role = "pulsex_worker"
    look.throws_ok(ERASE, "PT403", published.user_id)
    look.throws_ok(FIND, "PT403", published.user_id)


def test_a_part_is_erased_alone(officer, published):
    """Activity goes, what isn't activity stays, and the certificate says which."""
    before = set(officer.rows(FIND, published.user_id))
    certificate = officer.value(ERASE_PART, published.user_id, ["activity"])
    gone = before - set(officer.rows(FIND, published.user_id))
    activity = {f"pulsex.engagement_{what}" for what in ("events", "daily", "marks")}
    assert {name.partition("_20")[0] for (name,) in gone} == activity
    assert certificate["categories"] == ["activity"]


def test_what_refers_to_a_part_goes_with_it(officer, published):
    """Ratings of briefings that are erased."""
    certificate = officer.value(ERASE_PART, published.user_id, ["briefings"])
    assert certificate["rows"].keys() == {
        "pulsex.briefings", "pulsex.briefing_schedule", "pulsex.briefing_feedback", "audit.events"
    }  # fmt: skip


def test_a_part_can_be_erased_again(officer, look, published):
    """What came since goes too, under a certificate of its own; and the rest later."""
    first = officer.value(ERASE_PART, published.user_id, ["ratings"])
    second = officer.value(ERASE_PART, published.user_id, ["ratings"])
    assert first["erasure_id"] != second["erasure_id"]
    assert second["rows"] == {}
    assert officer.value(ERASE, published.user_id)["rows"]["pulsex.users"] == 1


def test_a_failure_in_the_last_step_leaves_everything(officer, look, published):
    """Where deleting the person's own row fails, every table has as many rows as before."""
    before = counts(look)
    look.rows(
        """CREATE FUNCTION pulsex.refuse() RETURNS trigger LANGUAGE plpgsql
        AS $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = 'XX001'; END $$;
        CREATE TRIGGER users_refuse BEFORE DELETE ON pulsex.users FOR EACH ROW EXECUTE FUNCTION pulsex.refuse()"""
    )
    officer.throws_ok(ERASE, "XX001", published.user_id)
    assert counts(look) == before


def test_the_counts_would_show_an_erasure(officer, look, published):
    """Without the failure every table of the person's has a row less."""
    before = counts(look)
    officer.rows(ERASE, published.user_id)
    after = counts(look)
    assert sum(after[table] < count for table, count in before.items()) == 24


@pytest.mark.parametrize(
    ("categories", "held", "tables"),
    [
        (None, False, None),
        (["activity"], False, None),
        (["ratings"], False, ["pulsex.briefing_feedback"]),
        (None, True, "all that were erased or emptied"),
    ],
)
def test_a_log_is_erased_by_its_own_routine(officer, look, published, categories, held, tables):
    """Called last in every erasure with the tables whose traces go, null for all of them."""
    look.rows(
        """CREATE TABLE public.called (tables text[], left_of_sessions bigint);
        GRANT USAGE ON SCHEMA public TO pulsex_service; GRANT INSERT ON public.called TO pulsex_service;
        CREATE FUNCTION pulsex.blot(uuid, text[]) RETURNS bigint LANGUAGE sql AS $$
            INSERT INTO public.called SELECT $2, count(*) FROM auth.sessions WHERE user_id = $1;
            WITH gone AS (DELETE FROM pulsex.engagement_daily WHERE user_id = $1 RETURNING 1) SELECT count(*) FROM gone
        $$;
        GRANT EXECUTE ON FUNCTION pulsex.blot TO pulsex_service;
        ALTER TABLE pulsex.engagement_daily DROP CONSTRAINT engagement_daily_user_fk;  -- a log refers to nobody
        UPDATE gdpr.data_map_tables SET erased_by = 'pulsex.blot' WHERE table_name = 'engagement_daily'"""
    )
    if held:
        officer.rows("SELECT gdpr.place_hold(%s, 'devices', 'a claim')", published.user_id)
    certificate = officer.value(ERASE_PART, published.user_id, categories)
    assert certificate["rows"]["pulsex.engagement_daily"] == 1
    [(passed, sessions)] = look.rows("SELECT * FROM public.called")
    assert sessions == (categories is not None)
    if held:
        assert {"auth.sessions", "pulsex.briefings", "pulsex.users"} <= set(passed)
        assert "pulsex.devices" not in passed
    else:
        assert passed == tables


@pytest.mark.commits
def test_a_new_table_of_the_map_is_erased_and_exported_without_more_ado(privacy, dba, published):
    """Rows of the data map are all that it takes, with a child of its own, whose order follows from the foreign key."""
    dba.rows(
        """SET ROLE pulsex_owner;
        CREATE TABLE pulsex.notes (user_id uuid REFERENCES pulsex.users, note_id int, note text,
            PRIMARY KEY (user_id, note_id));
        CREATE TABLE pulsex.margins (user_id uuid, note_id int, remark text, PRIMARY KEY (user_id, note_id),
            FOREIGN KEY (user_id, note_id) REFERENCES pulsex.notes);
        GRANT SELECT, DELETE ON pulsex.notes, pulsex.margins TO pulsex_service;
        INSERT INTO gdpr.data_map_tables (schema_name, table_name, place, category, label, is_audited, audited_because)
        SELECT 'pulsex', t, p, 'notes', t, FALSE, '' FROM (VALUES ('notes', 95), ('margins', 96)) AS m (t, p);
        INSERT INTO gdpr.data_map
        SELECT 'pulsex', t, c, 'notes', c, 'p', 'l', 'r', 's', NULL, 'delete' FROM (VALUES
            ('notes', 'user_id'), ('notes', 'note_id'), ('notes', 'note'),
            ('margins', 'user_id'), ('margins', 'note_id'), ('margins', 'remark')) AS m (t, c);
        RESET ROLE"""
    )
    dba.rows("INSERT INTO pulsex.notes VALUES (%s, 1, 'a canary')", published.user_id)
    dba.rows("INSERT INTO pulsex.margins VALUES (%s, 1, 'sings')", published.user_id)
    privacy.is_empty("SELECT * FROM gdpr.unclassified_columns()")
    document = privacy.value("SELECT gdpr.export_user_data(%s)", published.user_id)
    assert [r.get("note", r.get("remark")) for r in document["categories"][-1]["records"]] == ["a canary", "sings"]
    certificate = privacy.value(ERASE, published.user_id)
    assert certificate["rows"]["pulsex.notes"] == certificate["rows"]["pulsex.margins"] == 1
