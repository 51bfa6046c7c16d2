"""What the audit log costs: the same writes with the triggers and without, and sealing and verifying a long log."""

from __future__ import annotations

import re
import subprocess
from functools import partial
from pathlib import Path

import psycopg

from bench import report
from bench.options import Options
from pulsex import cluster, deploy, throwaway

ROUNDS, SECONDS, CLIENTS, PEOPLE = 5, 3, 4, 40
EVENTS = 1_000_000
TARGET = 0.5

# What a person's request writes, as the application sends it: each run changes the row.
WRITES = {
    "preferences": "SELECT pulsex.update_preferences('{user_id}', jsonb_build_object('max_items', :number))",
    "feedback": "SELECT pulsex.record_feedback('{user_id}', '{today}', (1 + :number % 5)::smallint, 'comment :number')",
}
PERSON = """
WITH person AS (INSERT INTO pulsex.users (display_name) VALUES ('Somebody') RETURNING user_id),
preferences AS (INSERT INTO pulsex.user_preferences (user_id) SELECT user_id FROM person)
INSERT INTO pulsex.briefings (user_id, briefing_date, title, content, search)
SELECT user_id, current_date, 'Briefing', '{"sections": []}', '' FROM person
RETURNING user_id::text, briefing_date::text
"""
# A log as the triggers write it, made in one statement: what is measured is sealing and verifying.
LOG = """
WITH event AS MATERIALIZED (
    SELECT u.user_id, clock_timestamp() AS occurred_at, uuidv7() AS event_id, uuid_send(gen_random_uuid()) AS salt,
        jsonb_build_object('user_id', u.user_id, 'by', 'self', 'key', '{}'::jsonb,
            'old', jsonb_build_object('max_items', n), 'new', jsonb_build_object('max_items', n + 1)) AS payload
    FROM generate_series(1, %(events)s / %(people)s) AS n,
        (SELECT user_id FROM pulsex.users ORDER BY user_id LIMIT %(people)s) AS u
), written AS (
    INSERT INTO audit.events (user_id, occurred_at, event_id, table_name, action, payload, salt, commitment)
    SELECT user_id, occurred_at, event_id, 'pulsex.user_preferences', 'update', payload, salt,
        sha256(salt || convert_to(payload::text, 'UTF8')) FROM event
)
INSERT INTO audit.unsealed_events SELECT occurred_at, event_id FROM event
"""


def run(options: Options) -> bool:
    """Measure, print, and tell whether writes with the log keep half of the throughput without it."""
    with throwaway.scratch() as place, throwaway.Throwaway(**throwaway.settings(place)) as server:
        url = throwaway.create_database(server.url(database="postgres"), "pulsex")
        deploy.deploy(url)
        report.server(url)
        people = load(url)
        written = {what: scripts(place / what, statement, people) for what, statement in WRITES.items()}
        sides = {
            f"{what}, {'audited' if audited else 'not audited'}": partial(rate, server, url, written[what], audited)
            for what in WRITES
            for audited in (True, False)
        }
        medians = report.table("Writes", "per second", report.alternate(sides, ROUNDS, "writes"))
        ratios = {what: medians[f"{what}, audited"] / medians[f"{what}, not audited"] for what in WRITES}
        met = [
            report.target(
                f"{what}: {ratio:.2f} of the throughput without the log, at least {TARGET}", met=ratio >= TARGET
            )
            for what, ratio in ratios.items()
        ]
        long_log(url, options.size(EVENTS, EVENTS // 100))
    return all(met)


def load(url: str) -> list[dict[str, str]]:
    """Fill the database with people who have preferences, a briefing and a session; return them."""
    people = []
    with psycopg.connect(url, autocommit=True) as connection:
        for _ in range(PEOPLE):
            user_id, today = connection.execute(PERSON).fetchone()
            [token] = connection.execute("SELECT auth.start_session(%s)", [user_id]).fetchone()
            people.append({"user_id": user_id, "today": today, "token": token})
        connection.execute("VACUUM ANALYZE")
    return people


def scripts(place: Path, statement: str, people: list[dict[str, str]]) -> list[str]:
    """Write a script for each person, and return pgbench's options for them."""
    place.mkdir()
    options = []
    for number, person in enumerate(people):
        script = place / f"{number}.sql"
        transaction = ("BEGIN", f"SELECT auth.use_session('{person['token']}')", statement.format(**person), "COMMIT")
        script.write_text("\\set number random(1, 50)\n" + "\\;\n".join(transaction) + ";\n")
        options += ["-f", str(script)]
    return options


def rate(server: throwaway.Throwaway, url: str, options: list[str], audited: bool) -> float:
    """Turn the triggers on or off and run pgbench for a while; return transactions per second."""
    verb = "ENABLE" if audited else "DISABLE"
    with psycopg.connect(url, autocommit=True) as connection:
        for table in ("user_preferences", "briefing_feedback"):
            connection.execute(f"ALTER TABLE pulsex.{table} {verb} TRIGGER {table}_record_change")
    command = [
        cluster.find_bin() / "pgbench", "-n", "-M", "simple", "-T", str(SECONDS), "-c", str(CLIENTS), "-h", "127.0.0.1",
        "-p", str(server.settings["port"]), "-U", "pulsex_app", *options, "pulsex",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(re.search(r"tps = ([\d.]+)", done.stdout)[1])


def long_log(url: str, events: int) -> None:
    """Print how long so many events take to seal, and to verify."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(LOG, {"events": events, "people": PEOPLE})
        connection.execute("VACUUM ANALYZE")
        taken = {
            what: [report.seconds(lambda sql=sql: connection.execute(sql).fetchall())]
            for what, sql in {
                "audit.seal()": "SELECT audit.seal()",
                "audit.verify()": "SELECT * FROM audit.verify()",
            }.items()
        }
    report.table(f"{events:,} events", "seconds", taken)
