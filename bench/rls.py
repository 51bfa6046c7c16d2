"""What a proved session and row level security cost: hot reads beside no protection, and beside the usual spoofable."""

from __future__ import annotations

import re
import statistics
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psycopg

from bench import report
from bench.options import Options
from pulsex import cluster, deploy, throwaway

PEOPLE, DAYS = 1000, 60
ROUNDS, SECONDS, CLIENTS = 7, 2, 4
OF_LIMIT, OF_SPOOFABLE = 0.5, 0.85
PROTOCOLS = {"simple": "sent as text, in one message", "prepared": "prepared, in one pipeline"}

# People, their briefings and what they were told, without the routines: what is measured is reading.
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
INSERT INTO pulsex.notifications (user_id, channel, kind, state, sent_at, created_at, read_at)
SELECT user_id, 'in_app', 'briefing_ready', 'sent', now(), now() - make_interval(days => age),
    CASE WHEN age > 5 THEN now() END
FROM person CROSS JOIN generate_series(1, %(days)s) AS age;
"""

# The usual pattern, as its guide first writes a policy, and as it optimises it, by a sub-select (the index it wants is
# here anyway): https://supabase.com/docs/guides/database/postgres/row-level-security. claims.uid() is its auth.uid().
# Nothing in the database checks the claims: whatever speaks SQL can set them.
SPOOFABLE = """
CREATE ROLE claims_first LOGIN;
CREATE ROLE claims_wrapped LOGIN;
CREATE SCHEMA claims;
CREATE FUNCTION claims.uid() RETURNS uuid LANGUAGE sql STABLE
AS $$ SELECT coalesce(
    nullif(current_setting('request.jwt.claim.sub', true), ''),
    nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid $$;
GRANT CONNECT ON DATABASE pulsex TO claims_first, claims_wrapped;
GRANT USAGE ON SCHEMA claims, pulsex TO claims_first, claims_wrapped;
GRANT EXECUTE ON FUNCTION claims.uid TO claims_first, claims_wrapped;
GRANT SELECT ON pulsex.briefings, pulsex.notifications TO claims_first, claims_wrapped;
CREATE POLICY first ON pulsex.briefings FOR SELECT TO claims_first USING (claims.uid() = user_id);
CREATE POLICY first ON pulsex.notifications FOR SELECT TO claims_first USING (claims.uid() = user_id);
CREATE POLICY wrapped ON pulsex.briefings FOR SELECT TO claims_wrapped USING ((SELECT claims.uid()) = user_id);
CREATE POLICY wrapped ON pulsex.notifications FOR SELECT TO claims_wrapped USING ((SELECT claims.uid()) = user_id);
"""

CLAIM = "SELECT set_config('request.jwt.claims', {claims}, true)"
PROVE = "SELECT auth.use_session({token})"


@dataclass(frozen=True)
class Read:
    """One hot read: as a statement on the table, and by this design's routine."""

    name: str
    statement: str
    routine: str


READS = [
    Read(
        "today's briefing",
        "SELECT briefing_date, edition, version, title, content, generated_at, delivered_at, read_at"
        " FROM pulsex.briefings WHERE user_id = {user_id} AND briefing_date = {today} AND edition = 'morning'",
        "SELECT * FROM pulsex.todays_briefing({user_id})",
    ),
    Read(
        "a page of history",
        "SELECT briefing_date, edition, version, title, generated_at, read_at FROM pulsex.briefings"
        " WHERE user_id = {user_id} ORDER BY briefing_date DESC FETCH FIRST 20 ROWS WITH TIES",
        "SELECT * FROM pulsex.briefing_history({user_id})",
    ),
    Read(
        "unread notifications",
        "SELECT notification_id, channel, kind, payload, created_at, sent_at FROM pulsex.notifications"
        " WHERE user_id = {user_id} AND read_at IS NULL AND state = 'sent'"
        " ORDER BY created_at DESC, notification_id DESC LIMIT 20",
        "SELECT * FROM pulsex.unread_notifications({user_id})",
    ),
]


@dataclass(frozen=True)
class Side:
    """One way of reading: the role it connects as, and the statements of its transaction."""

    role: str
    statements: tuple[str, ...]


def sides(read: Read) -> dict[str, Side]:
    """Return the ways of one read, by a name that begins with their letter."""
    return {
        "a  without row level security": Side("postgres", (read.statement,)),
        "b  use_session, and the routine": Side("pulsex_app", (PROVE, read.routine)),
        "c  claims, policy as first written": Side("claims_first", (CLAIM, read.statement)),
        "d  claims, policy optimised": Side("claims_wrapped", (CLAIM, read.statement)),
    }


# Each step has one thing more than the one before, or than the session alone.
STEPS = {
    "nothing": Side("pulsex_app", ("SELECT 1",)),
    "use_session": Side("pulsex_app", (PROVE,)),
    "use_session, current_user_id": Side("pulsex_app", (PROVE, "SELECT auth.current_user_id()")),
    "use_session, SELECT 1": Side("pulsex_app", (PROVE, "SELECT 1")),
    "use_session, todays_briefing": Side("pulsex_app", (PROVE, READS[0].routine)),
}


def run(options: Options) -> bool:
    """Measure, print, and tell whether the proved read keeps up with the unprotected and the spoofable one."""
    with throwaway.scratch() as place, throwaway.Throwaway(**throwaway.settings(place)) as server:
        url = throwaway.create_database(server.url(database="postgres"), "pulsex")
        deploy.deploy(url)
        report.server(url)
        bench = Bench(server, place, load(url, options.size(PEOPLE, 50)), options.size(SECONDS, 1))
        reads = READS[: options.size(len(READS), 1)]
        met = [compare(bench, read, protocol) for protocol in PROTOCOLS for read in reads]
        show_steps(bench)
    return all(met)


def compare(bench: Bench, read: Read, protocol: str) -> bool:
    """Measure the four ways of one read; tell whether the targets were met."""
    measured = {
        name: partial(bench.rate, side, protocol, clients=CLIENTS, stem=f"{read.name[:3]}-{name[0]}")
        for name, side in sides(read).items()
    }
    label = f"{read.name}, {PROTOCOLS[protocol]}"
    medians = report.table(
        f"{label[0].upper()}{label[1:]}", "transactions per second", report.alternate(measured, ROUNDS, label)
    )
    rates = {name[0]: median for name, median in medians.items()}
    met = [
        report.target(
            f"{label}: b is {rates['b'] / rates[other]:.2f} of {other}, at least {least}",
            met=rates["b"] >= least * rates[other],
        )
        for other, least in (("a", OF_LIMIT), ("d", OF_SPOOFABLE))
    ]
    return all(met)


def show_steps(bench: Bench) -> None:
    """Print what each part of a proved read takes, for one client that has the server to itself."""
    measured = {
        name: partial(bench.rate, side, "prepared", clients=1, stem=f"step-{number}")
        for number, (name, side) in enumerate(STEPS.items())
    }
    taken = report.alternate(measured, ROUNDS, "steps")
    micros = {name: [1e6 / rate for rate in rates] for name, rates in taken.items()}
    report.table("One client, prepared, in one pipeline", "µs for each transaction", micros)

    def more(name: str, than: str) -> float:
        return statistics.median(one - other for one, other in zip(micros[name], micros[than], strict=True))

    report.rows(
        "Where the time of today's briefing goes",
        ("", "µs"),
        [
            ("BEGIN, SELECT 1, COMMIT, and the way there and back", statistics.median(micros["nothing"])),
            ("auth.use_session() instead of SELECT 1", more("use_session", "nothing")),
            ("pulsex.todays_briefing()", more("use_session, todays_briefing", "use_session")),
            (
                "of it twice: auth.current_user_id(), more than SELECT 1",
                more("use_session, current_user_id", "use_session, SELECT 1"),
            ),
        ],
    )


def load(url: str, people: int) -> dict[str, str]:
    """Fill the database, and return somebody with a session token and claims."""
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in filter(str.strip, LOAD.split(";\n")):
            connection.execute(statement, {"people": people, "days": DAYS})
        connection.execute(SPOOFABLE)
        connection.execute("VACUUM ANALYZE")
        someone = "SELECT user_id::text, current_date::text FROM pulsex.users ORDER BY user_id OFFSET %s LIMIT 1"
        user_id, today = connection.execute(someone, [people // 2]).fetchone()
        [token] = connection.execute("SELECT auth.start_session(%s)", [user_id]).fetchone()
    return {"user_id": user_id, "today": today, "token": token, "claims": f'{{"sub": "{user_id}"}}'}


@dataclass(frozen=True)
class Bench:
    """A server with people, one of whom reads."""

    server: throwaway.Throwaway
    place: Path
    person: Mapping[str, str]
    seconds: int

    def rate(self, side: Side, protocol: str, *, clients: int, stem: str) -> float:
        """Run pgbench for a while; return transactions per second."""
        script = self.place / f"{stem}-{protocol}.sql"
        script.write_text(self.script(side, protocol))
        variables = [f"-D{name}={value}" for name, value in self.person.items()] if protocol == "prepared" else []
        command = [
            cluster.find_bin() / "pgbench", "-n", "-M", protocol, "-T", str(self.seconds), "-c", str(clients),
            "-h", "127.0.0.1", "-p", str(self.server.settings["port"]), "-U", side.role, *variables, "-f", script,
            "pulsex",
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return float(re.search(r"tps = ([\d.]+)", done.stdout)[1])

    def script(self, side: Side, protocol: str) -> str:
        """Return the whole transaction, in one message, or as prepared statements in one pipeline."""
        statements = ["BEGIN", *side.statements, "COMMIT"]
        if protocol == "prepared":
            parameters = {name: f":{name}" for name in self.person}
            lines = [f"{statement.format(**parameters)};" for statement in statements]
            return "\n".join(["\\startpipeline", *lines, "\\endpipeline", ""])
        literals = {name: f"'{value}'" for name, value in self.person.items()}
        return "\\;\n".join(statement.format(**literals) for statement in statements) + ";\n"
