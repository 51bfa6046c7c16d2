"""Rules for roles: none is above the policies, and none can become another."""

from tests.schema.rule import Rule

POWERS = ("BYPASSRLS", "SUPERUSER", "CREATEROLE", "CREATEDB", "REPLICATION")

RULES = [
    Rule(
        "no role of ours has a power that the policies don't bind",
        """SELECT rolname::text FROM pg_roles
            WHERE oid <> 10 AND (rolbypassrls OR rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication)""",
        {f"ALTER ROLE pulsex_{role} {power}": f"pulsex_{role}" for power in POWERS for role in ("app", "service")},
    ),
    Rule(
        "no role of ours is a member of another",
        """SELECT format('%s in %s', member::regrole, roleid::regrole) FROM pg_auth_members
            WHERE member::regrole::text ~ '^pulsex_'""",
        {
            "GRANT pulsex_service TO pulsex_app": "pulsex_app in pulsex_service",
            "GRANT pulsex_owner TO pulsex_service": "pulsex_service in pulsex_owner",
            "GRANT pg_read_all_data TO pulsex_analyst": "pulsex_analyst in pg_read_all_data",
            "GRANT pg_read_all_stats TO pulsex_app WITH INHERIT FALSE, SET FALSE": "pulsex_app in pg_read_all_stats",
        },
    ),
    Rule(
        "those who own things can't log in",
        "SELECT rolname::text FROM pg_roles WHERE rolname IN ('pulsex_owner', 'pulsex_service') AND rolcanlogin",
        {"ALTER ROLE pulsex_service LOGIN": "pulsex_service"},
    ),
]
