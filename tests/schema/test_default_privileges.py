"""What pulsex_owner and pulsex_service make tomorrow is as closed as what they made today."""

import pytest

from tests.actors import Actor

MADE = {
    "table": ("CREATE TABLE pulsex.made (user_id uuid)", "SELECT relacl, 'r' FROM pg_class WHERE relname = 'made'"),
    "sequence": ("CREATE SEQUENCE pulsex.made", "SELECT relacl, 's' FROM pg_class WHERE relname = 'made'"),
    "function": (
        "CREATE FUNCTION pulsex.made() RETURNS integer LANGUAGE sql RETURN 1",
        "SELECT proacl, 'f' FROM pg_proc WHERE proname = 'made'",
    ),
    "type": ("CREATE TYPE pulsex.made AS ENUM ('a')", "SELECT typacl, 'T' FROM pg_type WHERE typname = 'made'"),
}
GRANTEES = """
    SELECT coalesce(nullif(a.grantee, 0)::regrole::text, 'PUBLIC')
    FROM ({}) AS made (acl, kind), aclexplode(coalesce(made.acl, acldefault(made.kind::"char", '{}'::regrole))) AS a
    WHERE a.grantee <> '{}'::regrole
"""


@pytest.mark.parametrize("kind", MADE)
@pytest.mark.parametrize("maker", ["pulsex_owner", "pulsex_service"])
def test_nobody_but_its_maker_may_use_a_new_object(maker, kind, dba: Actor):
    """A new object is granted to nobody, PUBLIC least of all."""
    make, acl = MADE[kind]
    dba.rows("GRANT CREATE ON SCHEMA pulsex TO pulsex_service")
    dba.rows(f"SET LOCAL ROLE {maker}")
    dba.rows(make)
    dba.is_empty(GRANTEES.format(acl, maker, maker))


def test_a_default_privilege_would_be_seen(dba: Actor):
    """Were tables made readable by default, the look at a new table would show it."""
    dba.rows("ALTER DEFAULT PRIVILEGES FOR ROLE pulsex_owner GRANT SELECT ON TABLES TO PUBLIC")
    dba.rows("SET LOCAL ROLE pulsex_owner")
    make, acl = MADE["table"]
    dba.rows(make)
    dba.results_eq(GRANTEES.format(acl, "pulsex_owner", "pulsex_owner"), [("PUBLIC",)])
