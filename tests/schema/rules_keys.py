"""Rules for keys: a person's rows lie together, and what refers to a row finds it."""

from tests.schema.rule import TABLES, Rule

# Global lookups: one row of a provider or a push token, whoever it belongs to.
LOOKUPS = "('auth.identities', 'pulsex.push_token_owners')"
# What everybody refers to: a row of these is taken away once in years, if ever, and may then take a scan.
REFERENCES = "('pulsex.time_zones', 'pulsex.topics', 'gdpr.consent_purposes')"
UNIQUE = f"""
    SELECT i.indexrelid::regclass::text AS name, i.indisprimary, t.name AS table_name, t.relispartition,
        array(SELECT a.attname::text FROM unnest(i.indkey::smallint[]) WITH ORDINALITY AS k (attnum, place)
            INNER JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum ORDER BY k.place) AS columns
    FROM pg_index AS i INNER JOIN ({TABLES}) AS t ON t.oid = i.indrelid
    WHERE i.indisunique AND t.owned_by_a_person AND t.name NOT IN {LOOKUPS}
"""

RULES = [
    Rule(
        "the primary key of a person's table starts with user_id",
        f"""SELECT name FROM ({TABLES}) AS t WHERE owned_by_a_person AND name NOT IN {LOOKUPS}
            AND NOT EXISTS (
                SELECT FROM ({UNIQUE}) AS u WHERE u.table_name = t.name AND u.indisprimary AND u.columns[1] = 'user_id'
            )""",
        {
            "CREATE TABLE pulsex.notes (user_id uuid, note_id uuid PRIMARY KEY)": "pulsex.notes",
            "CREATE TABLE pulsex.notes (user_id uuid, note_id uuid, PRIMARY KEY (note_id, user_id))": "pulsex.notes",
            "CREATE TABLE pulsex.notes (user_id uuid)": "pulsex.notes",
        },
    ),
    Rule(
        "what is unique in a person's table is unique to the person",
        f"SELECT name FROM ({UNIQUE}) AS u WHERE NOT 'user_id' = ANY (columns)",
        {
            "CREATE UNIQUE INDEX devices_push_token_idx ON pulsex.devices (push_token)": (
                "pulsex.devices_push_token_idx"
            ),
            "ALTER TABLE auth.sessions ADD CONSTRAINT sessions_token_hash_key UNIQUE (token_hash)": (
                "auth.sessions_token_hash_key"
            ),
        },
    ),
    Rule(
        "every foreign key to rows that come and go has an index that starts with its columns",
        f"""SELECT format('%s on %s', f.conname, t.name) FROM pg_constraint AS f
            INNER JOIN ({TABLES}) AS t ON t.oid = f.conrelid
            INNER JOIN ({TABLES}) AS r ON r.oid = f.confrelid AND r.name NOT IN {REFERENCES}
            WHERE f.contype = 'f' AND f.conparentid = 0 AND NOT EXISTS (
                SELECT FROM pg_index AS i
                WHERE i.indrelid = f.conrelid AND i.indisvalid AND i.indpred IS NULL
                    AND (i.indkey::smallint[])[0:cardinality(f.conkey) - 1] @> f.conkey
                    AND (i.indkey::smallint[])[0:cardinality(f.conkey) - 1] <@ f.conkey
            )""",
        {
            "DROP INDEX auth.identities_user_id_idx": "identities_user_fk on auth.identities",
            "DROP INDEX pulsex.push_token_owners_user_id_device_id_idx": (
                "push_token_owners_device_fk on pulsex.push_token_owners"
            ),
            """DROP INDEX auth.identities_user_id_idx;
            CREATE INDEX ON auth.identities (user_id) WHERE provider = 'email'""": (
                "identities_user_fk on auth.identities"
            ),
        },
    ),
    Rule(
        "a foreign key between people's tables carries user_id in the same place",
        f"""SELECT format('%s on %s', f.conname, t.name) FROM pg_constraint AS f
            INNER JOIN ({TABLES}) AS t ON t.oid = f.conrelid
            INNER JOIN ({TABLES}) AS r ON r.oid = f.confrelid AND r.owned_by_a_person
            WHERE f.contype = 'f' AND t.owned_by_a_person AND NOT EXISTS (
                SELECT FROM unnest(f.conkey, f.confkey) AS k (here, there)
                INNER JOIN pg_attribute AS a ON a.attrelid = f.conrelid AND a.attnum = k.here
                INNER JOIN pg_attribute AS b ON b.attrelid = f.confrelid AND b.attnum = k.there
                WHERE (a.attname, b.attname) = ('user_id', 'user_id')
            )""",
        {
            """ALTER TABLE pulsex.devices ADD CONSTRAINT devices_device_id_fk
            FOREIGN KEY (device_id) REFERENCES pulsex.users (user_id) NOT VALID""": (
                "devices_device_id_fk on pulsex.devices"
            ),
        },
    ),
]
