"""The README is true."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from pulsex.deploy import ROOT
from tests.actors import Actor

README = (ROOT / "README.md").read_text()
EXAMPLE, WORKER = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
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
    run(EXAMPLE, alice, token=alice.token)
    alice.results_eq("SELECT rating FROM pulsex.briefing_feedback WHERE briefing_date = %s", [(5,)], today)


def run(example: str, actor: Actor, **names: object) -> None:
    """Run an example in an actor's database, with what it takes for granted."""
    info = actor.connection.info
    target = f"host={info.host} port={info.port} dbname={info.dbname}"
    exec(example.replace("host=… dbname=pulsex", target), names)  # noqa: S102  # it is our own example


@pytest.mark.commits
def test_the_workers_example_works(alice, worker, dba):
    """It sends what waits, fails what it can't send, sleeps, and sends what it is woken for."""
    asleep = "SELECT bool_and(asleep_until > now()) FROM pulsex.notification_waits"
    sent, done = [], threading.Event()

    def send(channel: str, kind: str, payload: dict, targets: list) -> None:
        if kind == "briefing_ready" and str(alice.user_id) not in targets[0]["push_token"]:
            raise ConnectionError("Bob's provider is down")
        sent.append((channel, kind))

    def wake() -> None:
        while not done.is_set():
            if dba.value(asleep):
                worker.rows("SELECT pulsex.enqueue_notification(%s, 'in_app', 'tip')", alice.user_id)

    with ThreadPoolExecutor() as pool:
        waking = pool.submit(wake)
        try:
            run(WORKER, worker, working=lambda: len(sent) < 2, send=send)
        finally:
            done.set()
        waking.result()
    assert sent == [("push", "briefing_ready"), ("in_app", "tip")]
    dba.results_eq("SELECT attempts, last_error FROM pulsex.notification_queue WHERE channel = 'push'",
                   [(2, "Bob's provider is down")])  # fmt: skip


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
