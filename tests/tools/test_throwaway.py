"""What a test run leaves behind: nothing, unless it was asked to."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import psycopg
import pytest

from pulsex import guard, throwaway
from pulsex.deploy import DB, ROOT

FAILING = """
def test_fails(alice, published):
    alice.rows("UPDATE pulsex.users SET display_name = 'Kept'")
    alice.is_empty("SELECT display_name FROM pulsex.users")
"""
WAITING = """
import os, signal
def test_waits(alice, worker):
    alice.rows("SELECT 1")
    open(os.environ["SIGNAL"], "w").close()
    signal.pause()
"""


@pytest.fixture
def temporary():
    """A folder for temporary files with a path short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="px", dir=throwaway.temporary_folder()) as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
def suite(temporary: Path, scratch_place: Path):
    """Starts pytest on one test, as ``run_suite`` does, with what the run under way has prepared."""
    return lambda test, *options: run_suite(temporary, test, "--prepared", scratch_place, *options)


def run_suite(temporary: Path, test: str, *options: str | Path) -> subprocess.Popen[str]:
    """Start pytest on one test file in a folder with this suite's fixtures, its temporary files in ``temporary``."""
    (temporary / "tests").mkdir()
    (temporary / "tests" / "test_it.py").write_text(test)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}
    return subprocess.Popen(
        # Without Hypothesis, whose plugin takes longer to load than everything else, and which no such test needs.
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-p", "conftest",
         "-c", ROOT / "pyproject.toml", "--rootdir", temporary, "-n", "1", *options, temporary / "tests"],
        cwd=ROOT,
        env=environment | {"TMPDIR": str(temporary), "SIGNAL": str(temporary / "reached")},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip


def until(condition, seconds: float = 20) -> bool:
    """Wait until a condition holds; tell whether it came to."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


@pytest.mark.long
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_survives_an_interrupted_run(suite, temporary, how):
    """However a run is killed, with its whole process group, no process and no file of it is left."""
    run = suite(WAITING, "-n", "2")
    assert until((temporary / "reached").exists)
    assert guard.working_in(temporary), "a server runs while the test does"
    os.killpg(run.pid, how)
    run.communicate()
    assert until(lambda: not guard.working_in(temporary))
    assert until(lambda: not list(temporary.glob("pulsex-*")))


@pytest.mark.long
def test_a_failed_test_can_keep_its_database(suite):
    """With --keep-db the URL that is printed leads to what the failed test did, until it is cleared."""
    output, _ = suite(FAILING, "--keep-db").communicate()
    [url] = re.findall(r"^postgresql://\S+$", output, re.MULTILINE)
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT FROM pulsex.users WHERE display_name = 'Kept'").rowcount == 1
    [place] = re.findall(r"python -m pulsex clear (\S+)", output)
    subprocess.run([sys.executable, "-m", "pulsex", "clear", place], cwd=ROOT, check=True)
    assert not Path(place).exists()
    assert not guard.working_in(Path(place))


@pytest.mark.long
def test_a_failed_test_is_shown_and_keeps_nothing_unless_asked(suite, temporary):
    """A verb that fails prints the statement, what it has and what it wants; neither a server nor a file is left."""
    output, _ = suite(FAILING).communicate()
    assert "1 failed" in output
    assert "SELECT display_name FROM pulsex.users" in output
    assert "have: [('Kept',)]" in output
    assert "want: []" in output
    assert not list(temporary.glob("pulsex-*"))


@pytest.mark.long
def test_the_run_speaks_tap(suite):
    """--tap prints the Test Anything Protocol."""
    output, _ = suite("def test_it(alice): alice.lives_ok('SELECT 1')", "--tap").communicate()
    assert re.search(r"^1\.\.1$", output, re.MULTILINE)
    assert re.search(r"^ok 1 ", output, re.MULTILINE)


def test_the_template_follows_the_sql(tmp_path):
    """Changing any file that a deploy reads changes the hash that keys the template."""
    for file in ("roles.sql", "routines.sql"):
        (tmp_path / file).write_bytes((DB / file).read_bytes())
    before = throwaway.fingerprint(tmp_path)
    (tmp_path / "roles.sql").write_text("-- changed")
    assert throwaway.fingerprint(tmp_path) != before


def test_the_guard_touches_nobody_else(tmp_path):
    """The guard stops who works in its directory, and not who works beside it."""
    inside, beside = tmp_path / "inside", tmp_path / "beside"
    processes = []
    for place in (inside, beside):
        place.mkdir()
        processes.append(psutil.Popen([sys.executable, "-c", "import signal; signal.pause()"], cwd=place))
    guard.clear(inside)
    assert processes[0].wait(5) == -signal.SIGQUIT
    assert processes[1].is_running()
    processes[1].kill()
    processes[1].wait()


def test_a_clone_is_as_closed_as_what_was_deployed(dba):
    """PUBLIC may neither connect to a clone nor make temporary objects in it, which cloning alone would allow."""
    for privilege in ("CONNECT", "TEMP"):
        allowed = "SELECT has_database_privilege('public', current_database(), %s)"
        dba.results_eq(allowed, [(False,)], privilege)
