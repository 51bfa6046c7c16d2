"""The main job: a database that persists in ``.pulsex/``, with realistic data, and the day of one person."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from uuid import UUID

import psycopg
from argon2 import PasswordHasher
from psycopg import sql
from rich.console import Console
from rich.progress import Progress

from pulsex import deploy
from pulsex.cluster import Cluster, persistent

HOME = Path(os.environ.get("PULSEX_HOME", deploy.ROOT / ".pulsex"))
LARGEST = 256 * 1024  # bytes; briefings_content_size_check
PASSWORD = "correct horse battery staple"  # noqa: S105  # the documented password of every seeded person
LOGIN_ROLES = ("pulsex_auth", "pulsex_app", "pulsex_worker", "pulsex_privacy", "pulsex_analyst")

out = Console(highlight=False, soft_wrap=True)


class BadDocumentError(Exception):
    """The document isn't a briefing; the message is one sentence that says what is wrong with it."""


@dataclass(frozen=True)
class Person:
    """A person who has signed in."""

    name: str
    user_id: UUID
    token: str
    now: datetime
    today: date


def run(document: Path, *, once: bool, stop: bool) -> int:
    """Start, deploy, seed, tell the story, and wait for Ctrl-C unless ``once``; with ``stop``, only stop the server.

    Returns 0, or 2 when ``document`` isn't a briefing: then one sentence on stderr says why, and no row was written.
    """
    if stop:
        if (HOME / "data" / "PG_VERSION").exists():
            persistent(HOME).stop()
        return 0
    cluster = None
    started = False
    try:
        text = read(document)
        with out.status("Starting PostgreSQL"):
            cluster = persistent(HOME)
            started = cluster.start()
            url = prepare(cluster)
        check(url, text)
        seed(url)
        tell(url, document, text)
        out.print(f"\nIt runs at [bold]{url}[/bold]")
        out.print(
            "and so do pulsex_auth, pulsex_app, pulsex_worker, pulsex_privacy and pulsex_analyst, with that password."
        )
        if not once:
            wait(started)
    except BadDocumentError as error:
        print(f"pulsex: {document} can't be published: {error}", file=sys.stderr)
        return 2
    finally:
        if cluster and started:
            cluster.stop()
    return 0


def read(document: Path) -> str:
    """Return a document's text; raises BadDocumentError when it is missing, too large, or not JSON in UTF-8."""
    try:
        with document.open("rb") as file:
            data = file.read(LARGEST + 1)
        if len(data) > LARGEST:
            raise BadDocumentError(f"it is larger than a briefing may be, {LARGEST // 1024} KiB.")
        text = data.decode()
        json.loads(text)
    except OSError as error:
        raise BadDocumentError(f"{error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise BadDocumentError(f"it isn't UTF-8 text, at byte {error.start}.") from error
    except json.JSONDecodeError as error:
        raise BadDocumentError(f"it isn't JSON: {error}.") from error
    except ValueError as error:
        raise BadDocumentError("it has a number of more digits than can be read.") from error
    except RecursionError as error:
        raise BadDocumentError("it is nested too deeply.") from error
    return text


def check(url: str, text: str) -> None:
    """Ask the database whether it would take this JSON text as a briefing; raises BadDocumentError if not."""
    with psycopg.connect(url) as connection:
        try:
            wrong, size = connection.execute(
                "SELECT pulsex.briefing_content_error(j), octet_length(j::text) FROM (SELECT %s::jsonb AS j)",
                [text],
            ).fetchone()
        except (psycopg.DataError, psycopg.OperationalError) as error:
            reason = error.diag.message_detail or error.diag.message_primary or str(error)
            raise BadDocumentError(f"PostgreSQL can't store it as JSON: {reason.rstrip('.')}.") from error
    if wrong:
        raise BadDocumentError(f"it isn't a briefing: {wrong}.")
    if size > LARGEST:
        raise BadDocumentError(f"stored, it would be larger than a briefing may be, {LARGEST // 1024} KiB.")


def prepare(cluster: Cluster) -> str:
    """Make the development database on first use, deploy to it, and return the superuser's URL of it."""
    url = cluster.url()
    with psycopg.connect(cluster.url("postgres"), autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = 'pulsex'").fetchone():
            connection.execute("CREATE DATABASE pulsex")
        marked = """SELECT 1 FROM pg_db_role_setting AS s INNER JOIN pg_database AS d ON d.oid = s.setdatabase
            WHERE d.datname = 'pulsex' AND 'pulsex.environment=development' = ANY (s.setconfig)"""
        if not connection.execute(marked).fetchone():
            connection.execute("ALTER DATABASE pulsex SET pulsex.environment = 'development'")
        deploy.deploy(url)
        without = "SELECT rolname FROM pg_authid WHERE rolname = ANY (%s) AND rolpassword IS NULL"
        for (role,) in connection.execute(without, [list(LOGIN_ROLES)]).fetchall():
            connection.execute(
                sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(cluster.password))
            )
    return url


def seed(url: str) -> None:
    """Load the development data, showing how far it is; says nothing when it is there already."""
    with Progress(console=out, transient=True) as progress:
        task = progress.add_task("Loading two months of 50 people", total=None)
        for done, total in seeding(url):
            progress.update(task, completed=done, total=total)


def seeding(url: str) -> Iterator[tuple[int, int]]:
    """Run ``db/seed_data.sql``, yielding how many people of how many are done; raises DeployError."""
    said = []
    with deploy.psql_process(url, deploy.DB / "seed_data.sql") as process:
        for line in process.stderr:
            if counted := re.search(r"seed (\d+) of (\d+)", line):
                yield int(counted[1]), int(counted[2])
            else:
                said.append(line)
    if process.returncode:
        raise deploy.DeployError("".join(said).strip())


def tell(url: str, document: Path, text: str) -> None:
    """Go through Alice's day as the real roles do, and print it."""
    with (
        psycopg.connect(url, user="pulsex_auth") as sign_in,
        psycopg.connect(url, user="pulsex_worker") as worker,
        psycopg.connect(url, user="pulsex_app") as app,
    ):
        out.rule("One day of Alice")
        alice = log_in(sign_in, app, "alice@example.com")
        bob = log_in(sign_in, app, "bob@example.com")
        out.print("[bold]1[/] Alice and Bob sign in: each password fits its Argon2id hash, each gets a session token.")
        publish(worker, document, text, alice)
        read_back(app, alice)
        rate(app, alice)
        out.print()
        look_away(app, alice, bob)


def log_in(sign_in: psycopg.Connection, app: psycopg.Connection, email: str) -> Person:
    """Check a password as the sign-in service does, and start a session, or take up the one this computer remembers."""
    with sign_in.transaction():
        user_id, password_hash, _ = sign_in.execute("SELECT * FROM auth.login_credential(%s)", [email]).fetchone()
    PasswordHasher().verify(password_hash, PASSWORD)
    with sign_in.transaction():
        sign_in.execute("SELECT auth.record_login(%s, true)", [user_id])
    remembered = HOME.resolve() / f"{email}.token"
    if not remembered.exists() or not in_session(app, remembered.read_text()):
        with sign_in.transaction():
            [token] = sign_in.execute("SELECT auth.start_session(%s)", [user_id]).fetchone()
        remembered.touch(mode=0o600)
        remembered.write_text(token)
    token = remembered.read_text()
    with app.transaction():
        app.execute("SELECT auth.use_session(%s)", [token])
        person = "SELECT display_name, now(), (now() AT TIME ZONE time_zone)::date FROM pulsex.users WHERE user_id = %s"
        name, now, today = app.execute(person, [user_id]).fetchone()
    return Person(name, user_id, token, now, today)


def in_session(app: psycopg.Connection, token: str) -> bool:
    """Tell whether a token is still good."""
    try:
        with app.transaction():
            app.execute("SELECT auth.use_session(%s)", [token])
    except psycopg.Error as error:
        if error.sqlstate == "PT401":
            return False
        raise
    return True


def publish(worker: psycopg.Connection, document: Path, text: str, alice: Person) -> None:
    """Publish the document to Alice for the date it is where she lives."""
    with worker.transaction():
        [version] = worker.execute(
            "SELECT pulsex.publish_briefing(%s, %s, %s)", [alice.user_id, alice.today, text]
        ).fetchone()
    out.print(
        f"[bold]2[/] The worker publishes {document} as her briefing of {alice.today:%A, %d %B %Y}: version {version}."
    )


def read_back(app: psycopg.Connection, alice: Person) -> None:
    """Read Alice's briefing in her session, under row level security."""
    with app.transaction():
        app.execute("SELECT auth.use_session(%s)", [alice.token])
        title, content = app.execute(
            "SELECT title, content FROM pulsex.todays_briefing(%s, p_at => %s)", [alice.user_id, alice.now]
        ).fetchone()
    out.print(f"[bold]3[/] {alice.name} reads it in her session:\n")
    out.print(f"    {title}", style="bold cyan", markup=False)
    for section in content["sections"]:
        out.print(f"\n    {section['headline']}", style="bold", markup=False)
        for item in section["items"]:
            out.print(f"      · {item['title']} ({item['source']})", markup=False)
    out.print()


def rate(app: psycopg.Connection, alice: Person) -> None:
    """Rate the briefing as Alice."""
    with app.transaction():
        app.execute("SELECT auth.use_session(%s)", [alice.token])
        app.execute(
            "SELECT pulsex.record_feedback(%s, %s, 5::smallint, 'Just what I wanted to know.')",
            [alice.user_id, alice.today],
        )
    out.print("[bold]4[/] She rates it 5 of 5.")


def look_away(app: psycopg.Connection, alice: Person, bob: Person) -> None:
    """Try to read Alice's briefings as Bob, and count what Alice herself sees."""
    seen = {}
    for person in (bob, alice):
        with app.transaction():
            app.execute("SELECT auth.use_session(%s)", [person.token])
            [seen[person]] = app.execute(
                "SELECT count(*) FROM pulsex.briefings WHERE user_id = %s", [alice.user_id]
            ).fetchone()
    out.print(f"[bold]5[/] {bob.name} asks for hers in his own session: {seen[bob]} rows. She sees {seen[alice]}.")


def wait(started: bool) -> None:
    """Wait for Ctrl-C or SIGTERM."""
    out.print(f"\nCtrl-C {'stops it' if started else 'ends this; whoever started the server stops it'}.")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        signal.pause()
    except KeyboardInterrupt:
        out.print("\nStopped." if started else "")
