"""Fixtures: one cluster per xdist worker, a template database, a clone or a rollback per test."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from pulsex.throwaway import scratch
from tests import harness
from tests.actors import Actor
from tests.cast import Person
from tests.harness import PREPARED, SERVER

RUN = pytest.StashKey[contextlib.ExitStack]()
KEPT = pytest.StashKey[str]()
FIGURES = "figures"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add our own options."""
    parser.addoption(
        "--keep-db", action="store_true", help="keep a failed test's database and server, and print its URL"
    )
    parser.addoption(
        "--prepared", type=Path, metavar="PLACE", help="take the cluster that a run which is under way prepared there"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Prepare the cluster that every worker copies, once, in the process that starts them."""
    config.addinivalue_line(
        "markers", "commits: each statement is a transaction of its own, on a clone made for the test"
    )
    config.addinivalue_line(
        "markers", "long: takes seconds, so it starts first, lest a worker sit alone with it at the end"
    )
    config.addinivalue_line("markers", "soak: takes minutes, or what few machines allow: for tox -e soak alone")
    if hasattr(config, "workerinput"):
        config.stash[PREPARED] = config.workerinput["prepared"]
    elif not config.option.collectonly:
        config.stash[RUN] = contextlib.ExitStack()
        place = config.stash[RUN].enter_context(scratch())
        other = config.option.prepared
        config.stash[PREPARED] = (str(place), str(harness.adopt(place, other) if other else harness.prepare(place)))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the long tests go first."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: object) -> None:
    """Tell an xdist worker where the prepared cluster is."""
    node.workerinput["prepared"] = node.config.stash[PREPARED]


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Keep pytest-tap from planning 1..0: the process that starts xdist's workers hasn't collected anything yet."""
    if RUN in session.config.stash and session.config.getoption("numprocesses", None):
        session.testscollected = None


def pytest_unconfigure(config: pytest.Config) -> None:
    """Clear the run away."""
    if RUN in config.stash:
        config.stash[RUN].close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Keep the database of a test that fails, when asked to."""
    report = yield
    database = getattr(item, "funcargs", {}).get("database")
    if report.failed and database and item.config.option.keep_db:
        Path(item.config.stash[PREPARED][0], "keep").touch()
        item.stash[KEPT] = database.url
        report.sections.append(("kept database", database.url))
    return report


def pytest_terminal_summary(terminalreporter: object, config: pytest.Config) -> None:
    """Say what the tests counted, and how the servers of kept databases are stopped."""
    reports = [report for outcome in terminalreporter.stats.values() for report in outcome]
    if counted := total_figures(report for report in reports if isinstance(report, pytest.TestReport)):
        terminalreporter.section("figures")
        for what, how_many in sorted(counted.items()):
            terminalreporter.write_line(f"{what}: {how_many:,}")
    if PREPARED in config.stash and Path(config.stash[PREPARED][0], "keep").exists():
        terminalreporter.write_line(
            f"Kept: python -m pulsex clear {config.stash[PREPARED][0]} stops the servers and deletes all."
        )


def total_figures(reports: Iterable[pytest.TestReport]) -> Counter[str]:
    """Add up what the tests counted, by name; a test's teardown reports all of it once."""
    total = Counter()
    for report in reports:
        if report.when == "teardown":
            total.update(dict(report.user_properties).get(FIGURES, {}))
    return total


@pytest.fixture
def figures(record_property: Callable[[str, object], None]) -> Iterator[Counter[str]]:
    """What a test counts, ``figures["crashes survived"] += 1``: the run adds it up and prints it at its end."""
    counted = Counter()
    yield counted
    record_property(FIGURES, dict(counted))


@pytest.fixture(scope="session")
def scratch_place(request: pytest.FixtureRequest) -> Path:
    """The run's scratch directory, with the prepared cluster in it."""
    return Path(request.config.stash[PREPARED][0])


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> Iterator[harness.Server]:
    """Start this worker's cluster, unless whoever runs the tests gave it one."""
    if SERVER in request.config.stash:
        yield request.config.stash[SERVER]
        return
    place, data = map(Path, request.config.stash[PREPARED])
    with harness.serving(place, data) as server:
        yield server


@pytest.fixture(scope="session")
def shared_database(server: harness.Server) -> Iterator[harness.Database]:
    """The database in which this worker's tests are rolled back."""
    database = harness.Database(server.clone(), commits=False, cast=server.cast)
    yield database
    database.close()


@pytest.fixture
def template() -> str:
    """What a test's database is cloned from: a directory may have one of its own for what takes long to set up."""
    return harness.CAST


@pytest.fixture
def database(request: pytest.FixtureRequest, server: harness.Server, template: str) -> Iterator[harness.Database]:
    """The test's database: the worker's, rolled back afterwards, or a clone where the test commits or may be kept."""
    commits = request.node.get_closest_marker("commits") is not None
    if not commits and not request.config.option.keep_db:
        database = request.getfixturevalue("shared_database")
        yield database
        database.end()
        return
    database = harness.Database(server.clone(template), commits=commits, cast=server.cast)
    yield database
    kept = KEPT in request.node.stash
    database.end(keep=kept)
    database.close()
    if not kept:
        server.drop(database.url)


@pytest.fixture
def deployed(server: harness.Server) -> Iterator[str]:
    """The URL of a database as a deploy leaves it, of the test's own."""
    url = server.deployed()
    yield url
    server.drop(url)


@pytest.fixture
def alice(database: harness.Database) -> Actor:
    """Alice, at the application, in her session."""
    return database.actor("alice", "pulsex_app", database.cast["alice"])


@pytest.fixture
def bob(database: harness.Database) -> Actor:
    """Bob, at the application, in his session."""
    return database.actor("bob", "pulsex_app", database.cast["bob"])


@pytest.fixture
def stranger(database: harness.Database) -> Actor:
    """The application without anybody's session."""
    return database.actor("stranger", "pulsex_app")


@pytest.fixture
def sign_in(database: harness.Database) -> Actor:
    """The sign-in service."""
    return database.actor("sign_in", "pulsex_auth")


@pytest.fixture
def worker(database: harness.Database) -> Actor:
    """The background jobs."""
    return database.actor("worker", "pulsex_worker")


@pytest.fixture
def privacy(database: harness.Database) -> Actor:
    """The data protection officer."""
    return database.actor("privacy", "pulsex_privacy")


@pytest.fixture
def analyst(database: harness.Database) -> Actor:
    """The analyst."""
    return database.actor("analyst", "pulsex_analyst")


@pytest.fixture
def dba(database: harness.Database) -> Actor:
    """The superuser, for the catalogue and for what only a superuser sees."""
    return database.actor("dba", "postgres")


@pytest.fixture
def service(dba: Actor) -> Actor:
    """The superuser as pulsex_service, the definer routines' owner: past the policies, not past the constraints."""
    dba.rows("SET LOCAL ROLE pulsex_service")
    return dba


@pytest.fixture
def published(database: harness.Database) -> Person:
    """Alice, who has a briefing, rated 4, for her date of today when the run began."""
    return database.cast["alice"]
