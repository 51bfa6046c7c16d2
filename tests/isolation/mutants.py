"""What could be taken away: every guard that the declaration implies, with what an intruder or the owner would see."""

from __future__ import annotations

from collections.abc import Iterator

from tests.isolation.matrix import COLUMNS, MATRIX, VERBS

OWN = {"S": "select_own", "I": "insert_own", "U": "update_own", "D": "delete_own"}
OPENED, LOST, CHANGED = "opened", "lost", "changed"
GUARDED = [relation for relation, cells in MATRIX.items() if cells["owner"] == ".-..T"]


def policies() -> set[tuple[str, str]]:
    """Return the policies that the matrix implies: relation and name."""
    service = {(relation, "service_all") for relation in GUARDED}
    return service | {(relation, OWN[x]) for relation in GUARDED for x in MATRIX[relation]["alice"] if x in OWN}


def of_row_security() -> Iterator[tuple[str, str, str]]:
    """Yield relation, statement, and what it does to somebody's access: open it, lose it, or change it."""
    for relation in GUARDED:
        yield relation, f"ALTER TABLE {relation} DISABLE ROW LEVEL SECURITY", OPENED
        yield relation, f"ALTER TABLE {relation} NO FORCE ROW LEVEL SECURITY", OPENED
    for relation, policy in sorted(policies()):
        yield relation, f"DROP POLICY {policy} ON {relation}", LOST
        if policy == "insert_own":
            yield relation, f"ALTER POLICY {policy} ON {relation} WITH CHECK (true)", OPENED
        elif policy == "update_own":  # WITH CHECK alone still stops it, with an error that tells that there are rows
            yield relation, f"ALTER POLICY {policy} ON {relation} USING (true)", CHANGED
            yield relation, f"ALTER POLICY {policy} ON {relation} USING (true) WITH CHECK (true)", OPENED
        elif policy != "service_all":
            yield relation, f"ALTER POLICY {policy} ON {relation} USING (true)", OPENED


def of_partitions() -> list[str]:
    """Return what could be done to a partition."""
    return [
        "ALTER TABLE {partition} DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE {partition} NO FORCE ROW LEVEL SECURITY",
        *(f"GRANT {verb} ON {{partition}} TO pulsex_app" for verb in VERBS.values()),
        "GRANT UPDATE ON {partition} TO pulsex_service",
    ]


def of_grants(relation: str, columns: list[str], granted: dict[tuple[str, str, str], str]) -> Iterator[str]:
    """Yield every grant on a relation that isn't there, to roles and PUBLIC, and the taking away of each that is."""
    roles = ("pulsex_auth", "pulsex_app", "pulsex_worker", "pulsex_privacy", "pulsex_analyst", "pulsex_service")
    for role in (*roles, "PUBLIC"):
        for verb in (*VERBS.values(), "REFERENCES", "TRIGGER", "MAINTAIN"):
            if (role, relation, verb) in granted:
                yield f"REVOKE {verb} ON {relation} FROM {role}"
            else:
                yield f"GRANT {verb} ON {relation} TO {role}"
    for role, name, verb in COLUMNS:
        if name == relation:
            yield f"GRANT {verb} ON {relation} TO {role}"
            for column in set(columns) - set(COLUMNS[role, name, verb].split()):
                yield f"GRANT {verb} ({column}) ON {relation} TO {role}"
            for column in COLUMNS[role, name, verb].split():
                yield f"REVOKE {verb} ({column}) ON {relation} FROM {role}"
