"""Rules for row level security: on, forced, and about the person who asks."""

from tests.isolation.measure import OURS
from tests.schema.rule import TABLES, Rule

POLICIES = f"""
    SELECT p.*, format('%s on %s', p.polname, t.name) AS name, t.relispartition,
        p.polroles = ARRAY['pulsex_service'::regrole::oid] AS is_for_service,
        pg_get_expr(p.polqual, p.polrelid) AS reads, pg_get_expr(p.polwithcheck, p.polrelid) AS writes
    FROM pg_policy AS p INNER JOIN ({TABLES}) AS t ON t.oid = p.polrelid
"""
OWN = "(user_id = ( SELECT auth.current_user_id() AS current_user_id))"

RULES = [
    Rule(
        "row level security is enabled and forced on every table that isn't a shared reference",
        f"""SELECT name FROM ({TABLES}) AS t WHERE NOT (relrowsecurity AND relforcerowsecurity)
            AND (owned_by_a_person OR name NOT IN (
                'pulsex.time_zones', 'pulsex.topics', 'pulsex.promotional_kinds', 'pulsex.notification_channels',
                'pulsex.notification_waits', 'ops.partitioned_tables', 'ops.maintenance_tasks',
                'gdpr.data_map_tables', 'gdpr.data_map', 'gdpr.settings', 'gdpr.consent_purposes'
            ))""",
        {
            "ALTER TABLE pulsex.users DISABLE ROW LEVEL SECURITY": "pulsex.users",
            "ALTER TABLE auth.signing_key NO FORCE ROW LEVEL SECURITY": "auth.signing_key",
            "ALTER TABLE {partition} DISABLE ROW LEVEL SECURITY": "{partition}",
            "ALTER TABLE {partition} NO FORCE ROW LEVEL SECURITY": "{partition}",
            "CREATE TABLE pulsex.notes (user_id uuid, note text)": "pulsex.notes",
        },
    ),
    Rule(
        "every policy names its roles",
        f"SELECT name FROM ({POLICIES}) AS p WHERE 0 = ANY (polroles)",
        {
            "ALTER POLICY select_own ON pulsex.users TO PUBLIC": "select_own on pulsex.users",
            "CREATE POLICY insert_own ON pulsex.users FOR INSERT WITH CHECK (false)": "insert_own on pulsex.users",
        },
    ),
    Rule(
        "every policy that writes has its WITH CHECK written out",
        f"SELECT name FROM ({POLICIES}) AS p WHERE polcmd IN ('a', 'w', '*') AND polwithcheck IS NULL",
        {
            "CREATE POLICY update_own ON pulsex.devices FOR UPDATE TO pulsex_app USING (false)": (
                "update_own on pulsex.devices"
            ),
            "CREATE POLICY delete_own ON pulsex.devices TO pulsex_app USING (false)": "delete_own on pulsex.devices",
        },
    ),
    Rule(
        "a policy for the application compares user_id with who is asking, looked up once",
        f"""SELECT name FROM ({POLICIES}) AS p
            WHERE 'pulsex_app'::regrole = ANY (polroles) AND (reads <> '{OWN}' OR writes <> '{OWN}')""",
        {
            "ALTER POLICY select_own ON pulsex.users USING (true)": "select_own on pulsex.users",
            "ALTER POLICY update_own ON pulsex.users WITH CHECK (true)": "update_own on pulsex.users",
            "ALTER POLICY select_own ON pulsex.briefings USING (user_id = auth.current_user_id())": (
                "select_own on pulsex.briefings"
            ),
        },
    ),
    Rule(
        "only the service's policies let every row through",
        f"SELECT name FROM ({POLICIES}) AS p WHERE 'true' IN (reads, writes) AND NOT is_for_service",
        {
            "ALTER POLICY service_all ON auth.sessions TO pulsex_service, pulsex_app": "service_all on auth.sessions",
            "CREATE POLICY all_rows ON pulsex.users FOR SELECT TO pulsex_worker USING (true)": (
                "all_rows on pulsex.users"
            ),
        },
    ),
    Rule(
        "a partition has no policies of its own but the service's",
        f"SELECT name FROM ({POLICIES}) AS p WHERE relispartition AND NOT is_for_service",
        {
            "CREATE POLICY select_own ON {partition} TO pulsex_app USING (false) WITH CHECK (false)": (
                "select_own on {partition}"
            )
        },
    ),
    Rule(
        "every view checks as its caller and lets no condition in before its own",
        f"""SELECT oid::regclass::text FROM pg_class
            WHERE relkind = 'v' AND relnamespace IN {OURS}
                AND NOT coalesce(reloptions @> ARRAY['security_invoker=true', 'security_barrier=true'], false)""",
        {
            "CREATE VIEW pulsex.everybody AS SELECT * FROM pulsex.users": "pulsex.everybody",
            "CREATE VIEW pulsex.everybody WITH (security_invoker = true) AS SELECT * FROM pulsex.users": (
                "pulsex.everybody"
            ),
            "CREATE VIEW ops.everybody WITH (security_barrier = true) AS SELECT * FROM pulsex.users": "ops.everybody",
        },
    ),
    Rule(
        "a materialised view, which can't have policies, is granted to nobody",
        """SELECT DISTINCT c.oid::regclass::text FROM pg_class AS c, aclexplode(c.relacl) AS a
            WHERE c.relkind = 'm' AND a.grantee <> c.relowner""",
        {
            """CREATE MATERIALIZED VIEW pulsex.everybody AS SELECT * FROM pulsex.users;
            GRANT SELECT ON pulsex.everybody TO pulsex_app""": "pulsex.everybody"
        },
    ),
]
