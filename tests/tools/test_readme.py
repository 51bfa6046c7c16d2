"""The README is true."""

import re

import pytest

from pulsex.deploy import ROOT

README = (ROOT / "README.md").read_text()
[EXAMPLE] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
TREE = README.partition("## The tree")[2].split("```")[1]


@pytest.mark.commits
def test_the_example_works(alice, worker, dba):
    """The README's request, run as it stands, reads Alice's briefing and stores her rating."""
    [(today, content)] = dba.rows(
        """SELECT (now() AT TIME ZONE u.time_zone)::date, (SELECT b.content::text FROM pulsex.briefings AS b LIMIT 1)
        FROM pulsex.users AS u WHERE u.user_id = %s""",
        alice.user_id,
    )
    worker.rows("SELECT pulsex.publish_briefing(%s, %s, %s)", alice.user_id, today, content)
    info = alice.connection.info
    target = f"host={info.host} port={info.port} dbname={info.dbname} user=pulsex_app"
    example = re.sub(r"host=… dbname=pulsex user=pulsex_app", target, EXAMPLE)
    exec(example, {"token": alice.token})  # noqa: S102  # it is our own example
    alice.results_eq("SELECT rating FROM pulsex.briefing_feedback WHERE briefing_date = %s", [(5,)], today)


def test_the_tree_is_the_tree_on_disk():
    """Every path in the README's tree, whose first column is names, is there."""
    folder = ""
    for line in filter(str.strip, TREE.splitlines()):
        names = line[:36].split()
        if not line.startswith(" "):
            folder = names[0] if names[0].endswith("/") else ""
            names = names if not folder else [""]
        missing = [f"{folder}{name}" for name in names if not (ROOT / folder / name).exists()]
        assert not missing
