"""What a proved session and row level security cost: hot reads beside no protection, and beside the usual spoofable."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psycopg

from bench import report
from bench.options import Options
from pulsex import cluster, deploy, throwaway

PEOPLE, DAYS, SCRIPTS = 1000, 60, 40
ROUNDS, SECONDS, CLIENTS = 5, 3, 4

# People and their briefings, without the routines: what is measured is reading.
LOAD = """
SELECT ops.ensure_partitions(p_since => (now() - make_interval(days => %(days)s))::date);
CREATE TEMP TABLE person AS SELECT uuidv7() AS user_id, n FROM generate_series(1, %(people)s) AS n;
INSERT INTO pulsex.users (user_id, display_name) SELECT user_id, 'Person ' || n FROM person;
INSERT INTO pulsex.briefings (user_id, briefing_date, edition, title, content, search)
SELECT person.user_id, day::date, 'morning', 'Briefing of ' || day::date, content, to_tsvector('simple', 'briefing')
FROM person
CROSS JOIN generate_series(current_date - %(days)s, current_date + 1, '1 day') AS day
CROSS JOIN (
    SELECT jsonb_build_object('sections', jsonb_agg(jsonb_build_object('topic', 't', 'headline', 'h', 'items', (
        SELECT jsonb_agg(jsonb_build_object('id', i::text, 'title', repeat('title ', 8), 'url', 'https://example.com',
            'source', 'source', 'summary', repeat('summary ', 20))) FROM generate_series(1, 3) AS i))))
    AS content FROM generate_series(1, 3)
) AS document;
"""

# The usual pattern, as optimised as its guide makes it (the function wrapped in a sub-select, the column indexed):
# https://supabase.com/docs/guides/database/postgres/row-level-security. Anything that speaks SQL can set the claims.
SPOOFABLE = """
CREATE ROLE claims_app LOGIN;
CREATE SCHEMA claims;
CREATE FUNCTION claims.uid() RETURNS uuid LANGUAGE sql STABLE
AS $$ SELECT (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid $$;
GRANT CONNECT ON DATABASE pulsex TO claims_app;
GRANT USAGE ON SCHEMA claims, pulsex TO claims_app;
GRANT EXECUTE ON FUNCTION claims.uid TO claims_app;
GRANT SELECT ON pulsex.briefings TO claims_app;
CREATE POLICY claims ON pulsex.briefings FOR SELECT TO claims_app USING (user_id = (SELECT claims.uid()));
"""

READ = (
    "SELECT briefing_date, edition, version, title, content, generated_at, delivered_at, read_at FROM pulsex.briefings"
    " WHERE user_id = '{user_id}' AND briefing_date = '{today}' AND edition = 'morning'"
)


@dataclass(frozen=True)
class Side:
    """One way of reading today's briefing: the role it connects as, and the statements of its transaction."""

    role: str
    statements: tuple[str, ...]


SIDES = {
    "a  by primary key, no row level security": Side("postgres", (READ,)),
    "b  use_session + todays_briefing": Side(
        "pulsex_app", ("SELECT auth.use_session('{token}')", "SELECT * FROM pulsex.todays_briefing('{user_id}')")
    ),
    "c  use_session + SELECT": Side("pulsex_app", ("SELECT auth.use_session('{token}')", READ)),
    "d  JWT claims in a GUC + SELECT": Side(
        "claims_app", ("""SELECT set_config('request.jwt.claims', '{{"sub": "{user_id}"}}', true)""", READ)
    ),
}
TARGETS = {("b", "a"): 0.48, ("c", "a"): 0.37, ("b", "d"): 0.80}


def run(_: Options) -> bool:
    """Measure, print, and tell whether the ratios beat the rough draft's."""
    with throwaway.scratch() as place, throwaway.Throwaway(**throwaway.settings(place)) as server:
        url = throwaway.create_database(server.url(database="postgres"), "pulsex")
        deploy.deploy(url)
        report.server(url)
        people = load(url)
        measured = {
            name: partial(rate, server, side.role, scripts(place / name[0], side, people))
            for name, side in SIDES.items()
        }
        medians = report.table("Transactions", "per second", report.alternate(measured, ROUNDS, "reads"))
    rates = {name[0]: median for name, median in medians.items()}
    ratios = {(over, under): rates[over] / rates[under] for over, under in TARGETS}
    met = [
        report.target(
            f"{over}/{under} {ratio:.2f}, more than {TARGETS[over, under]:.2f}", met=ratio > TARGETS[over, under]
        )
        for (over, under), ratio in ratios.items()
    ]
    return all(met)


def load(url: str) -> list[dict[str, str]]:
    """Fill the database, and return some of the people with a session token each."""
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in filter(str.strip, LOAD.split(";\n")):
            connection.execute(statement, {"people": PEOPLE, "days": DAYS})
        connection.execute(SPOOFABLE)
        connection.execute("VACUUM ANALYZE")
        some = "SELECT user_id::text, current_date::text FROM pulsex.users ORDER BY md5(user_id::text) LIMIT %s"
        start = "SELECT auth.start_session(%s)"
        return [
            {"user_id": user_id, "today": today, "token": connection.execute(start, [user_id]).fetchone()[0]}
            for user_id, today in connection.execute(some, [SCRIPTS]).fetchall()
        ]


def scripts(place: Path, side: Side, people: list[dict[str, str]]) -> list[str]:
    """Write a script for each person, the whole transaction in one message, and return pgbench's options for them."""
    place.mkdir()
    options = []
    for number, person in enumerate(people):
        script = place / f"{number}.sql"
        script.write_text("\\;\n".join(["BEGIN", *(s.format(**person) for s in side.statements), "COMMIT"]) + ";\n")
        options += ["-f", str(script)]
    return options


def rate(server: throwaway.Throwaway, role: str, options: list[str]) -> float:
    """Run pgbench for a while; return transactions per second."""
    command = [
        cluster.find_bin() / "pgbench", "-n", "-M", "simple", "-T", str(SECONDS), "-c", str(CLIENTS), "-h", "127.0.0.1",
        "-p", str(server.settings["port"]), "-U", role, *options, "pulsex",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(re.search(r"tps = ([\d.]+)", done.stdout)[1])
