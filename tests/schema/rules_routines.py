"""Rules for routines: what SECURITY DEFINER demands, and how they are written."""

from tests.schema.rule import ROUTINES, Rule

BODY = "LANGUAGE plpgsql {} AS 'BEGIN RETURN 1; END'"
MADE = "CREATE FUNCTION pulsex.f() RETURNS integer"

RULES = [
    Rule(
        "a definer routine has an empty search_path",
        f"""SELECT name FROM ({ROUTINES}) AS r
            WHERE prosecdef AND NOT coalesce(proconfig @> ARRAY['search_path=""'], false)""",
        {
            "ALTER FUNCTION auth.use_session RESET search_path": "auth.use_session",
            "ALTER FUNCTION auth.use_session SET search_path = pulsex": "auth.use_session",
        },
    ),
    Rule(
        "a plpgsql function has an empty search_path",
        f"""SELECT name FROM ({ROUTINES}) AS r
            WHERE prokind = 'f' AND prolang = (SELECT oid FROM pg_language WHERE lanname = 'plpgsql')
                AND NOT coalesce(proconfig @> ARRAY['search_path=""'], false)""",
        {f"{MADE} {BODY.format('')}": "pulsex.f"},
    ),
    Rule(
        "no routine is for PUBLIC",
        f"""SELECT name FROM ({ROUTINES}) AS r, aclexplode(coalesce(proacl, acldefault('f', proowner))) AS a
            WHERE a.grantee = 0""",
        {
            "GRANT EXECUTE ON FUNCTION auth.find_session TO PUBLIC": "auth.find_session",
            f"{MADE} {BODY.format('')}; ALTER FUNCTION pulsex.f OWNER TO pulsex_owner": "pulsex.f",
        },
    ),
    Rule(
        "a definer routine belongs to the service, or in ops, for DDL, to the owner of the tables",
        f"""SELECT name FROM ({ROUTINES}) AS r
            WHERE prosecdef AND proowner <> 'pulsex_service'::regrole
                AND NOT (nspname = 'ops' AND proowner = 'pulsex_owner'::regrole)""",
        {
            "ALTER FUNCTION auth.use_session OWNER TO pulsex_owner": "auth.use_session",
            "ALTER FUNCTION ops.ensure_partitions OWNER TO postgres": "ops.ensure_partitions",
        },
    ),
    Rule(
        "a parameter is called p_something, but for a session's token",
        f"""SELECT format('%s(%s)', name, argument) FROM ({ROUTINES}) AS r,
                unnest(proargnames, coalesce(proargmodes::text[], array_fill('i'::text, ARRAY[pronargs::integer])))
                AS a (argument, mode)
            WHERE mode IN ('i', 'b', 'v') AND argument !~ '^p_.' AND NOT (nspname = 'auth' AND argument = 'token')""",
        {
            f"CREATE FUNCTION pulsex.f(user_id uuid) RETURNS integer {BODY.format('')}": r"pulsex.f\(user_id\)",
            f"CREATE FUNCTION pulsex.f(p_a uuid, token text) RETURNS integer {BODY.format('')}": r"pulsex.f\(token\)",
        },
    ),
]
