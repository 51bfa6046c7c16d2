"""What a test run stands on: one cached cluster, a copy for each worker, a clone for each test that commits."""

from __future__ import annotations

import contextlib
import itertools
import pickle
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

import psycopg
import pytest

from pulsex import throwaway
from tests.actors import Actor
from tests.cast import Person, rehearse

CAST = "cast"
# Where the run's scratch directory and the cluster to copy are, and a server that whoever runs the tests gives them.
PREPARED = pytest.StashKey[tuple[str, str]]()
SERVER = pytest.StashKey["Server"]()
PATIENCE = 60.0  # seconds for what takes a tenth of one


def until(done: Callable[[], object]) -> object:
    """Ask until the answer is true, and return it."""
    deadline = time.monotonic() + PATIENCE
    while not (answer := done()):
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.01)
    return answer


def prepare(place: Path) -> Path:
    """Initialise the run's cluster in ``place``, with the templates in it; return the data directory to copy."""

    def stage(server: throwaway.Throwaway) -> None:
        url = server.url(database="postgres")
        cast_url = throwaway.create_database(url, CAST, throwaway.deployed_template(url))
        (place / "cast.pickle").write_bytes(pickle.dumps(rehearse(cast_url)))

    data = Path(throwaway.factory(place, on_initialized=stage).settings["copy_data_from"])
    (place / "prepared").write_text(str(data))
    return data


def adopt(place: Path, other: Path) -> Path:
    """Use in ``place`` what another run, still under way, prepared in ``other``; return the data directory to copy."""
    for file in ("cast.pickle", "prepared"):
        shutil.copy(other / file, place)
    return Path((place / "prepared").read_text())


@dataclass
class Database:
    """One database of a server, and those who are connected to it."""

    url: str
    commits: bool
    cast: dict[str, Person]
    actors: dict[str, Actor] = field(default_factory=dict)

    def actor(self, name: str, role: str, person: Person | None = None) -> Actor:
        """Return the actor of this name, connected as ``role``; with a person, acting in that person's session."""
        if name not in self.actors:
            connection = psycopg.connect(self.url, user=role, autocommit=True)
            self.actors[name] = Actor(
                connection,
                token=person and person.token,
                user_id=person and person.user_id,
                commits=self.commits,
            )
        return self.actors[name]

    def end(self, *, keep: bool = False) -> None:
        """End what the actors began: undone, or kept."""
        for actor in self.actors.values():
            actor.end(keep=keep)

    def close(self) -> None:
        """Disconnect everybody."""
        for actor in self.actors.values():
            actor.connection.close()
        self.actors.clear()


@dataclass
class Server:
    """A worker's cluster: a database whose tests are rolled back, and clones for those that commit.

    ``change`` are statements that every clone is changed by: the mutants are made so.
    """

    url: str
    cast: dict[str, Person]
    change: str = ""
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def clone(self, template: str = CAST) -> str:
        """Create a database from a template; return its URL."""
        url = throwaway.create_database(self.url, f"clone_{next(self.numbers)}", template)
        if self.change:
            with psycopg.connect(url, autocommit=True) as connection:
                try:
                    connection.execute(self.change)
                except psycopg.Error as error:
                    pytest.exit(f"the change can't be made: {error}")
        return url

    def deployed(self) -> str:
        """Create a database as a deploy leaves it, with nobody in it; return its URL."""
        return self.clone(throwaway.deployed_template(self.url))

    def drop(self, url: str) -> None:
        """Drop a database made here."""
        throwaway.drop_database(self.url, unquote(urlsplit(url).path[1:]))


@contextlib.contextmanager
def serving(place: Path, data: Path) -> Iterator[Server]:
    """Start a copy of the prepared cluster in the scratch directory, which is held until we end."""
    with throwaway.holding(place):
        server = throwaway.Throwaway(**throwaway.settings(place), copy_data_from=str(data))
        cast = pickle.loads((place / "cast.pickle").read_bytes())  # noqa: S301  # prepare() wrote it
        try:
            yield Server(server.url(database="postgres"), cast)
        finally:
            if (place / "keep").exists():
                server.release()
            else:
                server.stop()
