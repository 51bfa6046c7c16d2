"""``python -m pulsex``: what there is to do with the database."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pulsex import guard
from pulsex.cluster import ClusterError
from pulsex.deploy import DB, WAIT, BusyError, DeployError, deploy, rollback, snapshot
from pulsex.release import ReleaseError, record
from pulsex.restore import RestoreError, restore


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return its exit code: 0 done, 1 the server or a deploy failed, 2 the input was bad,
    3 somebody else has the deploys' lock (the message names the process), 130 interrupted.
    """
    parser = argparse.ArgumentParser(
        prog="python -m pulsex", description="The PulseX database: show, deploy, snapshot."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    show = commands.add_parser("dev", help="start the database here, with realistic data, and show one person's day")
    show.add_argument("--briefing", type=Path, default=Path("examples/briefing.json"), metavar="FILE",
                      help="the briefing to publish to Alice (default: %(default)s)")  # fmt: skip
    show.add_argument("--once", action="store_true", help="end after the story instead of waiting for Ctrl-C")
    show.add_argument("--stop", action="store_true", help="stop a server that was left running, and do nothing else")

    target = commands.add_parser("deploy", help="bring a running PostgreSQL 18 database to this release")
    target.add_argument("url", help="connection URL of a superuser, or of the database's owner with CREATEROLE")

    back = commands.add_parser("rollback", help="undo the latest migration")
    back.add_argument("url", help="connection URL, as for deploy")
    back.add_argument("--previous", type=Path, metavar="DIR",
                      help="the previous release's db folder, whose routines are replayed first")  # fmt: skip
    for command in (target, back):
        command.add_argument("--wait", type=_seconds, default=WAIT, metavar="SECONDS",
                             help="for another deploy; then the exit code is 3 (default: %(default)g)")  # fmt: skip

    backup = commands.add_parser("restore", help="restore a backup into a new database, and erase again who was erased")
    backup.add_argument("dump", type=Path, help="what pg_dump -Fd or -Fc wrote")
    backup.add_argument("url", help="connection URL of a superuser, of an empty database")
    backup.add_argument("--ledger", type=Path, metavar="FILE", help="what gdpr.export_erasure_ledger() returned last")
    backup.add_argument("--jobs", type=int, default=2, metavar="N", help="connections at once (default: %(default)s)")

    commands.add_parser("snapshot", help="rewrite db/schema.sql from a fresh deploy")

    commands.add_parser("release", help="record the migrations as released: from now on they are never edited")

    clear = commands.add_parser("clear", help="stop and delete what a test run kept with --keep-db")
    clear.add_argument("directory", type=Path, help="the directory that the run named")

    options = parser.parse_args(arguments)
    try:
        return _run(options)
    except BusyError as error:
        print(f"pulsex: {error}", file=sys.stderr)
        return 3
    except (ClusterError, DeployError, ReleaseError, RestoreError) as error:
        print(f"pulsex: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < 1e6:
        raise ValueError(text)
    return seconds


def _run(options: argparse.Namespace) -> int:
    match options.command:
        case "dev":
            from pulsex import dev

            return dev.run(options.briefing, once=options.once, stop=options.stop)
        case "deploy":
            deploy(options.url, wait=options.wait)
        case "rollback":
            rollback(options.url, previous=options.previous, wait=options.wait)
        case "restore":
            print(restore(options.dump, options.url, options.ledger, options.jobs))
        case "snapshot":
            from pulsex import throwaway

            with throwaway.deployed() as url:
                (DB / "schema.sql").write_text(snapshot(url))
        case "release":
            print(*record() or ["Every migration had been released."], sep="\n")
        case "clear":
            if not (options.directory / "alive").is_fifo():
                print(f"pulsex: {options.directory} isn't the directory of a test run.", file=sys.stderr)
                return 2
            guard.clear(options.directory.resolve())
    return 0


if __name__ == "__main__":
    sys.exit(main())
