"""The data protection officer's commands: ``python -m pulsex.privacy``, ``tox -e gdpr --``.

They connect to ``DATABASE_URL``, or to the development database if that runs, as pulsex_privacy, whoever the URL names;
``scrub`` alone as the URL says, since only the owner of a table may rewrite it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

from pulsex import pages
from pulsex.cluster import ClusterError, persistent
from pulsex.scrub import scrub

OFFICER = "pulsex_privacy"
DONE, FAILED, UNKNOWN = 0, 1, 2
NOT_THERE = "PT404"


class OfficerError(Exception):
    """What was asked for can't be done; the message is a sentence for the officer, ``code`` the exit code."""

    def __init__(self, message: str, code: int = FAILED) -> None:
        super().__init__(message)
        self.code = code


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return its exit code: 0 done, 1 it failed, 2 there is no such person or command."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except OfficerError as error:
        print(f"gdpr: {error}", file=sys.stderr)
        return error.code
    except (psycopg.Error, ClusterError, OSError) as error:
        print(f"gdpr: {str(error).strip()}", file=sys.stderr)
        return FAILED
    return DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gdpr", description="What the data protection officer does.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: object, what: str, *, person: bool = True) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=what, description=what)
        added.set_defaults(run=run)
        if person:
            added.add_argument("email", help="the person's e-mail address")
        return added

    here = {"type": Path, "default": Path(), "metavar": "DIR", "help": "where to write (default: here)"}
    command("export", _export, "write all data of a person as JSON, and as a page to read").add_argument("--to", **here)
    erase = command("erase", _erase, "erase a person, for ever")
    erase.add_argument("--reason", default="the person asked for it", help="for the certificate (default: %(default)s)")
    erase.add_argument("--yes", action="store_true", help="don't ask for the e-mail address again")
    restrict = command("restrict", _restrict, "stop the processing of a person's data (Art. 18)")
    restrict.add_argument("--reason", required=True, help="for the log")
    command("lift", _lift, "let the processing of a person's data go on")
    records = command(
        "records", _records, "write the record of processing (Art. 30) as a page and as CSV", person=False
    )
    records.add_argument("--to", **here)
    command("scrub", _scrub, "rewrite the files in which rows of the erased may still lie", person=False)
    return parser


def database_url() -> str:
    """Return ``DATABASE_URL``, or the superuser's URL of the development database; OfficerError if there is neither."""
    if url := os.environ.get("DATABASE_URL"):
        return url
    home = Path(os.environ.get("PULSEX_HOME", Path(__file__).resolve().parent.parent / ".pulsex"))
    if (home / "data" / "PG_VERSION").exists():
        cluster = persistent(home)
        if cluster.port():
            return cluster.url()
    raise OfficerError("Set DATABASE_URL, or start the development database: tox -e dev")


def _connect() -> psycopg.Connection:
    return psycopg.connect(database_url(), user=OFFICER, row_factory=dict_row)


def _find(connection: psycopg.Connection, email: str) -> UUID:
    """Return the id of the person with this e-mail address; the database logs that it was asked."""
    try:
        return connection.execute("SELECT gdpr.find_user(%s) AS user_id", [email]).fetchone()["user_id"]
    except psycopg.Error as error:
        if error.sqlstate == NOT_THERE:
            raise OfficerError(f"Nobody has the e-mail address {email}.", UNKNOWN) from error
        raise


def _write(path: Path, text: str) -> None:
    """Write a file that nobody but its owner can read, in place of one that is there."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    print(f"Wrote {path}")


def _export(options: argparse.Namespace) -> None:
    with _connect() as connection:
        user_id = _find(connection, options.email)
        row = connection.execute("SELECT gdpr.export_user_data(%s) AS document", [user_id]).fetchone()
    # By id: an e-mail address may have a slash in it.
    _write(options.to / f"export-{user_id}.json", json.dumps(row["document"], ensure_ascii=False, indent=2) + "\n")
    _write(options.to / f"export-{user_id}.html", pages.export(row["document"], options.email))


def _erase(options: argparse.Namespace) -> None:
    with _connect() as connection:
        user_id = _find(connection, options.email)
        if not options.yes:
            print(f"This erases everything of {options.email}, and can't be undone.")
            if _ask("Type the e-mail address to go on: ") != options.email:
                raise OfficerError("That isn't the e-mail address: nothing was erased.")
        row = connection.execute("SELECT gdpr.erase_user(%s, %s) AS c", [user_id, options.reason]).fetchone()
    print(json.dumps(row["c"], ensure_ascii=False, indent=2))
    if row["c"]["is_complete"]:
        print("Erased. Run the scrub next, so that it leaves the data files too: tox -e gdpr -- scrub")
    else:
        print("Erased but for what a legal hold keeps; releasing the hold erases the rest.")


def _ask(question: str) -> str:
    try:
        return input(question).strip()
    except EOFError:
        return ""


def _restrict(options: argparse.Namespace) -> None:
    with _connect() as connection:
        connection.execute("SELECT gdpr.restrict_user(%s, %s)", [_find(connection, options.email), options.reason])
    print(f"The data of {options.email} is stored and shown to them, and not processed, until you lift it.")


def _lift(options: argparse.Namespace) -> None:
    with _connect() as connection:
        connection.execute("SELECT gdpr.lift_restriction(%s)", [_find(connection, options.email)])
    print(f"The data of {options.email} is processed again.")


def _records(options: argparse.Namespace) -> None:
    with _connect() as connection:
        records = connection.execute("SELECT * FROM gdpr.records_of_processing").fetchall()
        settings = connection.execute("SELECT name, value FROM gdpr.settings ORDER BY name").fetchall()
    stated = {row["name"]: row["value"] for row in settings}
    _write(options.to / "records-of-processing.html", pages.records(records, stated))
    _write(options.to / "records-of-processing.csv", pages.as_csv(records))


def _scrub(options: argparse.Namespace) -> None:
    del options
    outcomes = scrub(database_url())
    due = [outcome.relation for outcome in outcomes if outcome.problem]
    if due:
        raise OfficerError(f"Still due, so run it again when it is quiet: {', '.join(due)}")
    print(f"Nothing is due any more; {len(outcomes)} rewritten.")


if __name__ == "__main__":
    sys.exit(main())
