"""Each rule: nothing breaks it; something does when it is broken on purpose; nothing does once that is undone."""

import re

import pytest

from tests.actors import Actor
from tests.schema import (
    rules_keys,
    rules_names,
    rules_privileges,
    rules_roles,
    rules_routines,
    rules_row_security,
    rules_shardable,
)

MODULES = (
    rules_keys,
    rules_names,
    rules_privileges,
    rules_roles,
    rules_routines,
    rules_row_security,
    rules_shardable,
)
RULES = [rule for module in MODULES for rule in module.RULES]
BREACHES = [
    pytest.param(rule, sql, offender, id=f"{rule}-{number}")
    for rule in RULES
    for number, (sql, offender) in enumerate(rule.breaches.items(), 1)
]


@pytest.fixture
def partition(dba: Actor):
    """One of the partitions of pulsex.briefings."""
    partitions = "SELECT min(inhrelid::regclass::text) FROM pg_inherits WHERE inhparent = 'pulsex.briefings'::regclass"
    return dba.value(partitions)


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_nothing_breaks_the_rule(rule, dba):
    """The rule holds for everything in the catalogue."""
    dba.rows("SELECT")
    assert rule.findings(dba.connection) == []


@pytest.mark.parametrize(("rule", "sql", "offender"), BREACHES)
def test_the_rule_finds_what_breaks_it(rule, sql, offender, dba, partition):
    """Broken once, the rule names the offender and no other; undone, it names none."""
    with dba.connection.transaction(force_rollback=True):
        dba.connection.execute(sql.replace("{partition}", partition))
        findings = rule.findings(dba.connection)
    assert len(findings) == 1, findings
    assert re.fullmatch(offender.replace("{partition}", partition), findings[0])
    assert rule.findings(dba.connection) == []
