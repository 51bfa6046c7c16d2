"""Rules for privileges: what is granted is granted by name, to roles, on parents, and no more than is needed."""

from tests.isolation.measure import OURS
from tests.schema.rule import TABLES, Rule

RELATION_GRANTS = f"""
    SELECT c.oid::regclass::text AS name, c.relispartition, c.relkind, a.*
    FROM pg_class AS c, aclexplode(c.relacl) AS a
    WHERE c.relnamespace IN {OURS} AND a.grantee <> c.relowner
    UNION ALL
    SELECT format('%s.%I', c.oid::regclass, t.attname), c.relispartition, c.relkind, a.*
    FROM pg_class AS c INNER JOIN pg_attribute AS t ON t.attrelid = c.oid, aclexplode(t.attacl) AS a
    WHERE c.relnamespace IN {OURS} AND a.grantee <> c.relowner
"""
# Row types of tables and arrays have no privileges of their own.
TYPES = f"""
    SELECT y.* FROM pg_type AS y LEFT JOIN pg_class AS c ON c.oid = y.typrelid
    WHERE y.typnamespace IN {OURS} AND y.typelem = 0 AND y.typtype <> 'm' AND coalesce(c.relkind, 'c') = 'c'
"""
EVERYTHING = f"""
    SELECT format('database %I', datname) AS name, coalesce(datacl, acldefault('d', datdba)) AS acl
    FROM pg_database WHERE datname = current_database()
    UNION ALL
    SELECT format('schema %I', nspname), coalesce(nspacl, acldefault('n', nspowner))
    FROM pg_namespace WHERE oid IN {OURS} OR nspname = 'public'
    UNION ALL
    SELECT format('function %s', oid::regprocedure), coalesce(proacl, acldefault('f', proowner))
    FROM pg_proc WHERE pronamespace IN {OURS}
    UNION ALL
    SELECT format('type %s', oid::regtype), coalesce(typacl, acldefault('T', typowner)) FROM ({TYPES}) AS y
    UNION ALL
    SELECT format('large object %s', oid), lomacl FROM pg_largeobject_metadata
"""

RULES = [
    Rule(
        "nothing is granted on a partition, but to the service to read and delete",
        f"""SELECT DISTINCT name FROM ({RELATION_GRANTS}) AS g WHERE relispartition
            AND (grantee <> 'pulsex_service'::regrole OR privilege_type NOT IN ('SELECT', 'DELETE'))""",
        {
            "GRANT SELECT ON {partition} TO pulsex_app": "{partition}",
            "GRANT SELECT (title) ON {partition} TO pulsex_app": r"{partition}\.title",
            "GRANT UPDATE ON {partition} TO pulsex_service": "{partition}",
        },
    ),
    Rule(
        "PUBLIC has nothing on any relation or column",
        f"SELECT DISTINCT name FROM ({RELATION_GRANTS}) AS g WHERE grantee = 0",
        {
            "GRANT SELECT ON pulsex.topics TO PUBLIC": "pulsex.topics",
            "GRANT SELECT (slug) ON pulsex.topics TO PUBLIC": "pulsex.topics.slug",
        },
    ),
    Rule(
        "PUBLIC has nothing on the database, a schema, a routine or a type",
        f"SELECT DISTINCT name FROM ({EVERYTHING}) AS e, aclexplode(acl) AS a WHERE a.grantee = 0",
        {
            "DO $$ BEGIN EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO PUBLIC', current_database()); END $$": (
                "database .*"
            ),
            "GRANT USAGE ON SCHEMA pulsex TO PUBLIC": "schema pulsex",
            "GRANT USAGE ON SCHEMA public TO PUBLIC": "schema public",
            "GRANT EXECUTE ON FUNCTION auth.random_bytes TO PUBLIC": r"function auth.random_bytes\(\)",
            "CREATE DOMAIN pulsex.score AS integer": "type pulsex.score",
        },
    ),
    Rule(
        "nobody but the owner may truncate, refer to, put a trigger on or maintain a table",
        f"""SELECT DISTINCT format('%s: %s', name, privilege_type) FROM ({RELATION_GRANTS}) AS g
            WHERE privilege_type IN ('TRUNCATE', 'TRIGGER', 'REFERENCES', 'MAINTAIN')""",
        {
            f"GRANT {verb} ON pulsex.users TO pulsex_{role}": f"pulsex.users: {verb}"
            for verb, role in {
                "TRUNCATE": "service",
                "TRIGGER": "app",
                "REFERENCES": "worker",
                "MAINTAIN": "worker",
            }.items()
        }
        | {"GRANT REFERENCES (user_id) ON pulsex.users TO pulsex_app": r"pulsex.users.user_id: REFERENCES"},
    ),
    Rule(
        "nobody may pass a privilege on",
        f"""SELECT DISTINCT name FROM ({RELATION_GRANTS}) AS g WHERE is_grantable
            UNION SELECT name FROM ({EVERYTHING}) AS e, aclexplode(acl) AS a WHERE a.is_grantable""",
        {
            "GRANT SELECT ON pulsex.topics TO pulsex_app WITH GRANT OPTION": "pulsex.topics",
            "GRANT USAGE ON SCHEMA pulsex TO pulsex_app WITH GRANT OPTION": "schema pulsex",
        },
    ),
    Rule(
        "only the owner of the tables may create anything",
        f"""SELECT format('%s: %s', name, a.grantee::regrole) FROM ({EVERYTHING}) AS e, aclexplode(acl) AS a
            WHERE a.privilege_type IN ('CREATE', 'TEMPORARY')
                AND a.grantee NOT IN (10, 'pulsex_owner'::regrole, 'pg_database_owner'::regrole)""",
        {
            "GRANT CREATE ON SCHEMA pulsex TO pulsex_service": "schema pulsex: pulsex_service",
            "GRANT CREATE ON SCHEMA public TO pulsex_app": "schema public: pulsex_app",
            "DO $$ BEGIN EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO pulsex_app', current_database()); END $$": (
                "database .*: pulsex_app"
            ),
        },
    ),
    Rule(
        "each role enters only its own schemas",
        """SELECT format('%s: %s', n.nspname, r.rolname) FROM pg_namespace AS n, pg_roles AS r
            WHERE r.rolname ~ '^pulsex_' AND n.nspname IN ('auth', 'pulsex', 'ops', 'audit', 'gdpr', 'public')
                AND r.rolname NOT IN ('pulsex_owner', 'pulsex_service') AND has_schema_privilege(r.oid, n.oid, 'USAGE')
                AND (n.nspname, r.rolname) NOT IN (
                    ('auth', 'pulsex_auth'), ('auth', 'pulsex_app'), ('auth', 'pulsex_worker'),
                    ('pulsex', 'pulsex_app'), ('pulsex', 'pulsex_worker'), ('ops', 'pulsex_worker'),
                    ('audit', 'pulsex_worker'), ('audit', 'pulsex_privacy'),
                    ('gdpr', 'pulsex_privacy'), ('gdpr', 'pulsex_app'), ('gdpr', 'pulsex_worker')
                )""",
        {
            "GRANT USAGE ON SCHEMA ops TO pulsex_app": "ops: pulsex_app",
            "GRANT USAGE ON SCHEMA auth TO pulsex_analyst": "auth: pulsex_analyst",
            """REVOKE USAGE ON SCHEMA ops, auth FROM pulsex_worker;
            GRANT pulsex_worker TO pulsex_privacy WITH INHERIT TRUE""": "pulsex: pulsex_privacy",
        },
    ),
    Rule(
        "every table of ours is the owner's, and nothing here belongs to anyone but the owner and the service",
        f"""SELECT c.oid::regclass::text FROM pg_class AS c
            WHERE c.relnamespace IN {OURS} AND c.relowner <> 'pulsex_owner'::regrole
            UNION ALL SELECT p.oid::regprocedure::text FROM pg_proc AS p
            WHERE p.pronamespace IN {OURS} AND p.proowner NOT IN ('pulsex_owner'::regrole, 'pulsex_service'::regrole)
            UNION ALL SELECT y.oid::regtype::text FROM ({TYPES}) AS y
            WHERE y.typowner NOT IN ('pulsex_owner'::regrole, 'pulsex_service'::regrole)
            UNION ALL SELECT n.nspname FROM pg_namespace AS n
            WHERE n.oid IN {OURS} AND n.nspowner <> 'pulsex_owner'::regrole""",
        {
            "CREATE SEQUENCE pulsex.number": "pulsex.number",
            "CREATE SCHEMA other": "other",
            "CREATE FUNCTION pulsex.f() RETURNS integer LANGUAGE sql RETURN 1": r"pulsex.f\(\)",
            "CREATE DOMAIN pulsex.score AS integer": "pulsex.score",
        },
    ),
    Rule(
        "no foreign table, rule or publication carries rows away",
        f"""SELECT oid::regclass::text FROM pg_class WHERE relkind = 'f' AND relnamespace IN {OURS}
            UNION ALL SELECT ev_class::regclass::text FROM pg_rewrite
            WHERE rulename <> '_RETURN' AND ev_class IN (SELECT oid FROM ({TABLES}) AS t)
            UNION ALL SELECT pubname::text FROM pg_publication""",
        {
            "CREATE RULE copy AS ON INSERT TO pulsex.users DO ALSO NOTHING": "pulsex.users",
            "CREATE PUBLICATION everything FOR ALL TABLES": "everything",
        },
    ),
]
