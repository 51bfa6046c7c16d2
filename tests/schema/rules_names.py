"""Rules for names and comments: the conventions that let a reader know what a thing is from what it is called."""

from tests.isolation.measure import OURS
from tests.schema.rule import ROUTINES, TABLES, Rule

CONSTRAINTS = f"""
    SELECT k.conname, k.contype, t.relname, format('%s on %s', k.conname, t.name) AS name,
        array_to_string(array(
            SELECT a.attname FROM unnest(k.conkey) WITH ORDINALITY AS c (attnum, place)
            INNER JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = c.attnum ORDER BY c.place
        ), '_') AS columns
    FROM pg_constraint AS k INNER JOIN ({TABLES}) AS t ON t.oid = k.conrelid
    WHERE NOT t.relispartition AND k.conparentid = 0
"""
INDEXES = f"""
    SELECT i.indexrelid AS oid, i.indexrelid::regclass::text AS name, c.relname AS index_name, t.relname
    FROM pg_index AS i INNER JOIN pg_class AS c ON c.oid = i.indexrelid INNER JOIN ({TABLES}) AS t ON t.oid = i.indrelid
    WHERE NOT t.relispartition AND NOT EXISTS (SELECT FROM pg_constraint AS k WHERE k.conindid = i.indexrelid)
"""
POLICY_NAMES = "('select_own', 'insert_own', 'update_own', 'delete_own', 'service_all', 'worker_unrestricted')"

RULES = [
    Rule(
        "a constraint is called after its table and what it says",
        f"""SELECT name FROM ({CONSTRAINTS}) AS k WHERE conname <> CASE contype
                WHEN 'p' THEN relname || '_pk'
                WHEN 'u' THEN concat_ws('_', relname, columns, 'key')
                WHEN 'n' THEN concat_ws('_', relname, columns, 'not_null')
                WHEN 'f' THEN coalesce(substring(conname FROM '^' || relname || '_[a-z0-9_]+_fk$'), '')
                WHEN 'c' THEN coalesce(substring(conname FROM '^' || relname || '_[a-z0-9_]+_check$'), '')
                WHEN 'x' THEN coalesce(substring(conname FROM '^' || relname || '_[a-z0-9_]+_excl$'), '')
                ELSE conname
            END""",
        {
            f"ALTER TABLE pulsex.{table} RENAME CONSTRAINT {old} TO {new}": f"{new} on pulsex.{table}"
            for table, old, new in (
                ("users", "users_pk", "users_pkey"),
                ("topics", "topics_slug_key", "topics_slug_unique"),
                ("topics", "topics_slug_not_null", "slug_given"),
                ("users", "users_time_zone_fk", "users_time_zone_fkey"),
                ("users", "users_status_check", "status_check"),
            )
        },
    ),
    Rule(
        "an index is called after its table and columns",
        f"SELECT name FROM ({INDEXES}) AS i WHERE index_name !~ ('^' || relname || '_[a-z0-9_]+_idx$')",
        {"ALTER INDEX auth.identities_user_id_idx RENAME TO by_person": "auth.by_person"},
    ),
    Rule(
        "a trigger is called after its table and what it does",
        f"""SELECT format('%s on %s', g.tgname, t.name) FROM pg_trigger AS g
            INNER JOIN ({TABLES}) AS t ON t.oid = g.tgrelid
            WHERE NOT g.tgisinternal AND g.tgparentid = 0 AND g.tgname !~ ('^' || t.relname || '_[a-z0-9_]+$')""",
        {"ALTER TRIGGER users_set_updated_at ON pulsex.users RENAME TO stamp": "stamp on pulsex.users"},
    ),
    Rule(
        "a policy has one of the six names",
        f"""SELECT format('%s on %s', p.polname, t.name) FROM pg_policy AS p
            INNER JOIN ({TABLES}) AS t ON t.oid = p.polrelid WHERE p.polname NOT IN {POLICY_NAMES}""",
        {"ALTER POLICY select_own ON pulsex.users RENAME TO users_read": "users_read on pulsex.users"},
    ),
    Rule(
        "every schema has a comment",
        f"SELECT nspname::text FROM pg_namespace WHERE oid IN {OURS} AND obj_description(oid, 'pg_namespace') IS NULL",
        {"COMMENT ON SCHEMA auth IS NULL": "auth"},
    ),
    Rule(
        "every table has a comment",
        f"SELECT name FROM ({TABLES}) AS t WHERE NOT relispartition AND obj_description(oid, 'pg_class') IS NULL",
        {"COMMENT ON TABLE pulsex.users IS NULL": "pulsex.users"},
    ),
    Rule(
        "every view has a comment",
        f"""SELECT oid::regclass::text FROM pg_class
            WHERE relkind IN ('v', 'm') AND relnamespace IN {OURS} AND obj_description(oid, 'pg_class') IS NULL""",
        {"CREATE VIEW pulsex.everybody AS SELECT * FROM pulsex.users": "pulsex.everybody"},
    ),
    Rule(
        "every routine has a comment",
        f"SELECT name FROM ({ROUTINES}) AS r WHERE obj_description(oid, 'pg_proc') IS NULL",
        {"COMMENT ON FUNCTION auth.use_session IS NULL": "auth.use_session"},
    ),
    Rule(
        "every policy has a comment",
        f"""SELECT format('%s on %s', p.polname, t.name) FROM pg_policy AS p
            INNER JOIN ({TABLES}) AS t ON t.oid = p.polrelid WHERE obj_description(p.oid, 'pg_policy') IS NULL""",
        {"COMMENT ON POLICY select_own ON pulsex.users IS NULL": "select_own on pulsex.users"},
    ),
    Rule(
        "every index that isn't a constraint's has a comment",
        f"SELECT name FROM ({INDEXES}) AS i WHERE obj_description(oid, 'pg_class') IS NULL",
        {"COMMENT ON INDEX auth.identities_user_id_idx IS NULL": "auth.identities_user_id_idx"},
    ),
    Rule(
        "every role of ours has a comment",
        "SELECT rolname::text FROM pg_roles WHERE rolname ~ '^pulsex_' AND shobj_description(oid, 'pg_authid') IS NULL",
        {"COMMENT ON ROLE pulsex_app IS NULL": "pulsex_app"},
    ),
]
