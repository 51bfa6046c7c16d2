"""What must hold of a database after whatever happened to it."""

from __future__ import annotations

from collections import Counter

import psycopg

from tests.resilience import integrity
from tests.resilience.clients import Everybody
from tests.resilience.durable import Durable


def everything_holds(server: Durable, people: Everybody, figures: Counter[str]) -> None:
    """Every acknowledged write is there, the queue drains, and constraints, audit log and indexes are right.

    Nobody may be at work. Counts what was looked at.
    """
    with psycopg.connect(server.url, autocommit=True) as dba:
        figures["acknowledged writes looked for afterwards"] += len(people.ledger.acknowledged)
        figures["writes in doubt"] += len(people.ledger.in_doubt)
        assert people.ledger.differences(dba) == []
        with psycopg.connect(server.url, user="pulsex_privacy", autocommit=True) as privacy:
            assert people.eraser.remains(privacy) == []
        figures["notifications drained from the queue"] += people.drain()
        assert dba.execute("SELECT count(*) FROM pulsex.notification_queue").fetchone() == (0,)
        assert people.ledger.differences(dba) == []
        constraints, violated = integrity.violations(dba)
        assert violated == []
        figures["constraints validated"] += constraints
        figures["rows they were validated on"] += integrity.count_rows(dba)
        assert integrity.audit_findings(dba, people.maintainer.digest) == []
    assert server.amcheck() == ""
