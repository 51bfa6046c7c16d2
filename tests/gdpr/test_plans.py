"""Erasing and exporting among many other people: by index, in every table, whoever asks."""

from __future__ import annotations

import json
from collections.abc import Iterator

import psycopg
import pytest

from tests import harness
from tests.plans.conftest import AUTO_EXPLAIN, Cost

pytestmark = pytest.mark.xdist_group("the officer's crowd")
OTHERS = 1500
# Everybody like Alice: each of her rows again for each of them, whatever it is that must differ.
CROWD = """
DO $$
DECLARE
    v_table record;
BEGIN
    SET LOCAL session_replication_role = replica;
    CREATE TEMP TABLE others AS SELECT gen_random_uuid() AS user_id FROM generate_series(1, {others});
    FOR v_table IN SELECT format('%I.%I', t.schema_name, t.table_name) AS name FROM gdpr.personal_tables AS t
        WHERE t.found_by = 'user_id = $1' LOOP
        EXECUTE format(
            'INSERT INTO %1$s SELECT (jsonb_populate_record(r, jsonb_build_object(''user_id'', o.user_id,
                ''subject'', o.user_id || ''@example.com'', ''push_token_hash'', sha256(uuid_send(o.user_id))))).*
            FROM %1$s AS r, others AS o WHERE r.user_id = %2$L', v_table.name, '{user_id}'
        );
    END LOOP;
    INSERT INTO auth.login_decoys SELECT user_id, 1, now() FROM others;
END $$
"""


@pytest.fixture(scope="module")
def crowded(server: harness.Server) -> Iterator[harness.Database]:
    """A database with many people like Alice in it, in which the officer's plans are shown."""
    url = server.clone()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(CROWD.format(others=OTHERS, user_id=server.cast["alice"].user_id))
        connection.execute("ANALYZE")
        for setting, value in AUTO_EXPLAIN.items():
            connection.execute(
                f"ALTER ROLE pulsex_privacy IN DATABASE {connection.info.dbname} SET {setting} = '{value}'"
            )
    database = harness.Database(url, commits=False, cast=server.cast)
    yield database
    database.close()
    server.drop(url)


@pytest.fixture(autouse=True)
def _undone(crowded: harness.Database) -> Iterator[None]:
    """Nothing that a test does to the crowd stays."""
    yield
    crowded.end()


@pytest.fixture
def plans(crowded: harness.Database) -> object:
    """Return a function that runs a statement as the officer and tells which plans ran in it, then undoes it all."""

    def run(sql: str, *args: object) -> Cost:
        officer = crowded.actor("privacy", "pulsex_privacy")
        said: list[str] = []
        officer.rows("SELECT")
        officer.connection.add_notice_handler(lambda notice: said.append(notice.message_primary))
        officer.rows(sql, *args)
        return Cost([json.loads(text.partition("plan:\n")[2]) for text in said if "plan:\n" in text])

    return run


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT gdpr.erase_user(%s, 'asked for')",
        "SELECT gdpr.export_user_data(%s)",
        "SELECT gdpr.find_personal_data(%s)",
    ],
)
def test_no_table_of_people_is_read_from_end_to_end(sql, crowded, plans):
    """Of all the plans that run in it, those of triggers and foreign keys too, none scans a table with people in it."""
    cost = plans(sql, crowded.cast["alice"].user_id)
    people = {
        name.partition(".")[2]
        for (name,) in crowded.actor("dba", "postgres").rows(
            "SELECT relid::regclass::text FROM gdpr.personal_tables AS t, pg_partition_tree(t.relation)"
            " UNION SELECT relation::regclass::text FROM gdpr.personal_tables"
        )
    }
    assert len(cost.plans) > 18
    assert {"users", "login_decoys", "engagement_events"} <= people
    assert cost.scanned & people == set()


def test_a_scan_would_be_seen(crowded):
    """With the index on identities gone, erasing reads that table from end to end."""
    dba = crowded.actor("dba", "postgres")
    dba.rows("DROP INDEX auth.identities_user_id_idx")
    plan = dba.value(
        "EXPLAIN (FORMAT JSON) DELETE FROM auth.identities WHERE user_id = %s", crowded.cast["alice"].user_id
    )
    assert "Seq Scan" in json.dumps(plan)
