"""The facts of the machine and of the programs that a figure depends on; no names and no paths."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from pathlib import Path

import psutil

from pulsex import cluster
from pulsex.deploy import ROOT
from tests.pooler import pooler

CPUINFO = Path("/proc/cpuinfo")


def facts() -> dict[str, str | int | None]:
    """Return what the machine is, which programs were measured, and of which commit the database was."""
    bouncer = pooler.find()
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "system": f"{platform.system()} {re.match(r'[0-9.]*', platform.release())[0]}",
        "postgresql": _said([cluster.find_bin() / "postgres", "--version"], r"\(PostgreSQL\) (\S+)"),
        "pgbouncer": ".".join(map(str, pooler.version(bouncer))) if bouncer else None,
        "commit": _said(["git", "-C", ROOT, "describe", "--always", "--dirty"], r"(.+)"),
    }


def _processor() -> str:
    names = re.findall(r"^model name\s*: (.+)$", CPUINFO.read_text(), re.MULTILINE) if CPUINFO.exists() else []
    return names[0] if names else platform.machine()


def _said(command: list[str | Path], pattern: str) -> str | None:
    """Return what a program says of itself, or None where it says nothing."""
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    found = re.search(pattern, said)
    return found[1] if found else None
