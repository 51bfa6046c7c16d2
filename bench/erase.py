"""How long erasing a person takes: 10,000 rows over 24 monthly partitions, beside few other people and beside many."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import psycopg

from bench import report
from bench.options import Options
from pulsex import deploy, throwaway

OTHERS, ROUNDS = 500, 15
ROWS_OF_OTHERS, ROWS = 200, 10_000
MOST, MOST_RATIO = 0.3, 1.3  # seconds; the median beside ten times as many to that beside OTHERS

# People, each with so many rows: 70 % events, 14 % briefings, 6 % of them rated, 7 % totals, 3 % notifications, spread
# over 24 months; and in the audit log an event for each that is audited. Written without the routines and their checks:
# what is measured is erasing.
FILL = """
INSERT INTO pulsex.users (user_id, display_name)
SELECT gen_random_uuid(), %(name)s FROM generate_series(1, %(people)s);
INSERT INTO pulsex.user_preferences (user_id) SELECT user_id FROM pulsex.users WHERE display_name = %(name)s;
INSERT INTO auth.identities (provider, subject, user_id)
SELECT 'email', user_id || '@example.com', user_id FROM pulsex.users WHERE display_name = %(name)s;
INSERT INTO auth.sessions (user_id, token_hash, family_id, expires_at)
SELECT user_id, sha256(uuid_send(user_id)), user_id, now() + interval '1 day'
FROM pulsex.users WHERE display_name = %(name)s;
INSERT INTO pulsex.engagement_events (user_id, occurred_at, event_id, event_type, item_id, properties)
SELECT user_id, now() - n * (interval '710 days' / (%(rows)s * 0.70)), gen_random_uuid(), 'dwell', 's' || n %% 9,
    '{"ms": 1200}'
FROM pulsex.users, generate_series(1, (%(rows)s * 0.70)::int) AS n WHERE display_name = %(name)s;
INSERT INTO pulsex.briefings (user_id, briefing_date, edition, title, content, search)
SELECT user_id, current_date - n / 2 * (1420 / (%(rows)s * 0.14))::int, (ARRAY['morning', 'evening'])[n %% 2 + 1],
    'Briefing', jsonb_build_object('sections', jsonb_build_array()), to_tsvector('simple', 'briefing')
FROM pulsex.users, generate_series(1, (%(rows)s * 0.14)::int) AS n WHERE display_name = %(name)s;
INSERT INTO pulsex.briefing_feedback (user_id, briefing_date, edition, item_id, rating)
SELECT user_id, briefing_date, edition, '', 4 FROM (
    SELECT b.*, row_number() OVER (PARTITION BY b.user_id ORDER BY b.briefing_date DESC) AS n
    FROM pulsex.briefings AS b INNER JOIN pulsex.users AS u USING (user_id) WHERE u.display_name = %(name)s
) AS latest WHERE n <= %(rows)s * 0.06;
INSERT INTO pulsex.engagement_daily (user_id, day, event_type, events)
SELECT user_id, current_date - n, 'dwell', 10
FROM pulsex.users, generate_series(1, (%(rows)s * 0.07)::int) AS n WHERE display_name = %(name)s;
INSERT INTO pulsex.notifications (user_id, channel, kind, state, sent_at)
SELECT user_id, 'in_app', 'briefing_ready', 'sent', now()
FROM pulsex.users, generate_series(1, (%(rows)s * 0.03)::int) AS n WHERE display_name = %(name)s;
SELECT count(audit.record('insert', user_id))
FROM pulsex.users, generate_series(1, (%(rows)s * 0.23)::int) AS n WHERE display_name = %(name)s
"""


def fill(url: str, others: int, rounds: int) -> list[str]:
    """Put other people, and among them those to be erased, into a deployed database; return the latter's ids."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT ops.ensure_partitions(p_since => current_date - 720)")
        connection.execute("SET session_replication_role = replica")
        for name, people, rows in (
            ("before", others // 2, ROWS_OF_OTHERS),
            ("erased", rounds + 1, ROWS),
            ("after", others - others // 2, ROWS_OF_OTHERS),
        ):
            for statement in FILL.split(";\n"):
                connection.execute(statement, {"name": name, "people": people, "rows": rows})
        connection.execute("VACUUM ANALYZE")
        erased = connection.execute("SELECT user_id::text FROM pulsex.users WHERE display_name = 'erased'")
        return [user_id for (user_id,) in erased.fetchall()]


def eraser(url: str, others: int, rounds: int, counted: set[int]) -> Callable[[], float]:
    """Return what erases the next person of a database, and tells how long it took; ``counted`` gets their rows."""
    connection = psycopg.connect(url, user="pulsex_privacy", autocommit=True)
    victims = fill(url, others, rounds)

    def erase() -> float:
        certificates: list[dict] = []
        call = partial(connection.execute, "SELECT gdpr.erase_user(%s, 'measured')", [victims.pop()])
        taken = report.seconds(lambda: certificates.append(call().fetchone()[0]))
        counted.add(sum(certificates[0]["rows"].values()))
        return taken

    erase()  # what a connection does once: plans, caches
    return erase


def run(options: Options) -> bool:
    """Measure, print, and tell whether it is within its bounds."""
    counted: set[int] = set()
    with throwaway.scratch() as place, throwaway.Throwaway(**throwaway.settings(place)) as server:
        sides = {}
        for others in (options.size(OTHERS, 50), options.size(OTHERS * 10, 100)):
            url = throwaway.create_database(server.url(database="postgres"), f"beside_{others}")
            deploy.deploy(url)
            report.server(url)
            sides[f"beside {others:,} people with {others * ROWS_OF_OTHERS:,} rows"] = eraser(
                url, others, options.size(ROUNDS, 1), counted
            )
        few, many = report.table(
            "Erasing a person, committed", "ms", report.alternate(sides, ROUNDS, "erasures"), scale=1000
        ).values()
    return all([
        report.target(f"the person had 10,000 rows: {min(counted):,}", met=min(counted) >= ROWS),
        report.target(f"{few * 1000:.0f} and {many * 1000:.0f} ms, less than {MOST * 1000:.0f}", met=many < MOST > few),
        report.target(f"ratio {many / few:.2f}, at most {MOST_RATIO}", met=many / few <= MOST_RATIO),
    ])  # fmt: skip
