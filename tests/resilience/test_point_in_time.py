"""An accident is undone by recovery to the moment before it; whoever was erased after that moment is erased again."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg.types.json import Jsonb

from pulsex import cluster
from pulsex.fingerprint import Fingerprint, difference
from tests import harness
from tests.harness import until
from tests.migrations.walk import take
from tests.resilience.standby import base_backup, copied, primary

pytestmark = [pytest.mark.xdist_group("point in time"), pytest.mark.long]

POINT = "before the accident"
RATE = "SELECT pulsex.record_feedback(%s, %s, 1::smallint, 'after the base backup')"
ACCIDENT = "DELETE FROM pulsex.briefing_feedback; DELETE FROM auth.passwords"
WORSE = "DROP TABLE pulsex.engagement_events CASCADE"
FOUND = "SELECT FROM gdpr.find_personal_data(%s)"
ARCHIVED = "SELECT last_archived_wal >= %s FROM pg_stat_archiver"


@dataclass(frozen=True)
class Disaster:
    """What is left: a backup, the archive, the ledger beside them; what was there just before, and when that was."""

    backup: Path
    archive: Path
    ledger: dict
    before: Fingerprint
    time: str


@pytest.fixture(scope="module")
def disaster(server, scratch_place) -> Iterator[Disaster]:
    """A base backup, a rating, the point to go back to; then Bob is erased, and somebody deletes and drops tables."""
    alice, bob = server.cast["alice"], server.cast["bob"]
    archive = Path(tempfile.mkdtemp(prefix="archive-", dir=scratch_place))
    cluster.give_to_server_user(archive)
    with primary(scratch_place, "-c archive_mode=on") as lost:
        url = lost.url(database=harness.CAST)
        with psycopg.connect(url, autocommit=True) as dba:
            dba.execute(f"ALTER SYSTEM SET archive_command = 'test ! -f {archive}/%f && cp %p {archive}/%f'")
            dba.execute("SELECT pg_reload_conf()")
            backup = base_backup(lost, scratch_place)
            with psycopg.connect(url, user="pulsex_app") as app:
                app.execute("SELECT auth.use_session(%s)", [alice.token])
                app.execute(RATE, [alice.user_id, alice.briefing_date])
            before = take(url)
            dba.execute("SELECT pg_create_restore_point(%s)", [POINT])
            [time] = dba.execute("SELECT clock_timestamp()::text").fetchone()
            with psycopg.connect(url, user="pulsex_privacy") as officer:
                officer.execute("SELECT gdpr.erase_user(%s, 'asked for')", [bob.user_id])
                [ledger] = officer.execute("SELECT gdpr.export_erasure_ledger()").fetchone()
            dba.execute("SET ROLE pulsex_service")
            dba.execute(ACCIDENT)
            dba.execute("SET ROLE pulsex_owner")
            dba.execute(WORSE)
            dba.execute("RESET ROLE")
            [last] = dba.execute("SELECT pg_walfile_name(pg_switch_wal())").fetchone()
            until(lambda: dba.execute(ARCHIVED, [last]).fetchone()[0])
    yield Disaster(backup, archive, json.loads(json.dumps(ledger)), before, time)
    shutil.rmtree(backup.parent)


@pytest.fixture(params=["name", "time"])
def recovered(request, disaster, scratch_place) -> Iterator[str]:
    """The database, recovered to the point, by its name or by the clock, on a server of its own."""
    home = Path(tempfile.mkdtemp(prefix="recovery-", dir=scratch_place))
    backup = Path(shutil.copytree(disaster.backup, home / "data"))
    backup.chmod(0o700)
    target = {"name": POINT, "time": disaster.time}[request.param]
    conf = {
        "restore_command": f"cp {disaster.archive}/%f %p",
        f"recovery_target_{request.param}": target,
        "recovery_target_action": "promote",
    }
    with copied(scratch_place, backup, ("recovery.signal",), **conf) as server:
        url = server.url(database=harness.CAST)
        with psycopg.connect(url, autocommit=True) as dba:
            until(lambda: dba.execute("SELECT pg_is_in_recovery()").fetchone() == (False,))
        yield url


def test_an_accident_is_undone_and_an_erasure_is_not(recovered, disaster, server, figures):
    """Recovered, everything is as it was, and Bob is back; with the ledger he is gone, and Alice has what she had."""
    assert difference(disaster.before, take(recovered)) == []
    figures["accidents undone"] += 1
    bob, alice = server.cast["bob"].user_id, server.cast["alice"].user_id
    with psycopg.connect(recovered, user="pulsex_privacy", autocommit=True) as officer:
        hers = officer.execute(FOUND, [alice]).rowcount
        assert officer.execute(FOUND, [bob]).rowcount > 10
        assert officer.execute("SELECT gdpr.replay_erasures(%s)", [Jsonb(disaster.ledger)]).rowcount == 1
        assert officer.execute(FOUND, [bob]).rowcount == 0
        assert officer.execute(FOUND, [alice]).rowcount == hers > 10
        assert officer.execute("SELECT FROM audit.verify()").rowcount == 0
    with psycopg.connect(recovered) as dba:
        assert dba.execute("SELECT FROM pulsex.briefing_feedback WHERE comment LIKE 'after%'").rowcount == 1
