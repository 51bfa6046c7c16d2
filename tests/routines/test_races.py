"""What many do at once."""

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from tests.cast import CONTENT


@pytest.mark.commits
def test_publishing_at_once_makes_consecutive_versions(database, alice, published):
    """Eight workers who publish other content for the same briefing get eight versions, one after the other."""

    def publish(number: int) -> int:
        with psycopg.connect(database.url, user="pulsex_worker", autocommit=True) as worker:
            content = CONTENT.replace("A comet returns", f"Comet number {number}")
            sql = "SELECT pulsex.publish_briefing(%s, %s, %s, p_edition => 'evening')"
            return worker.execute(sql, [published.user_id, published.briefing_date, content]).fetchone()[0]

    with ThreadPoolExecutor(8) as pool:
        versions = list(pool.map(publish, range(8)))
    assert sorted(versions) == list(range(1, 9))
    alice.results_eq("SELECT max(version) FROM pulsex.briefings WHERE edition = 'evening'", [(8,)])
