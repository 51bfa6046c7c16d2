"""Prove that each lint gate for SQL fires: run it, as pre-commit does, on samples that are broken on purpose.

A sample's first line names the gate and what it says: ``-- sqlfluff says CP01``. Prints the samples that a gate lets
pass or says something else of, and exits with 1 if there are any, or a gate for SQL files that has no sample.
"""

from __future__ import annotations

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
SAMPLES = Path(__file__).parent / "samples"
GENERAL = {"samples"}  # this very gate


def gates() -> dict[str, list[str]]:
    """Return the command of each gate that is for SQL files."""
    [repository] = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    hooks = [hook for hook in repository["hooks"] if "sql" in hook.get("files", "") and hook["id"] not in GENERAL]
    return {hook["id"]: hook["entry"].split() for hook in hooks}


def samples() -> dict[str, dict[Path, str]]:
    """Return the samples of each gate, each with what the gate says of it."""
    found: dict[str, dict[Path, str]] = {}
    for sample in sorted(SAMPLES.glob("*.sql")):
        gate, says = re.match(r"-- (\w+) says (.+)", sample.read_text()).groups()
        found.setdefault(gate, {})[sample] = says
    return found


def passes(command: list[str], sample: Path, says: str) -> bool:
    """Tell whether a gate lets a sample pass, or doesn't say what is expected of it."""
    done = subprocess.run([*command, sample], cwd=ROOT, capture_output=True, text=True)
    return not done.returncode or says not in done.stdout + done.stderr


def main() -> int:
    """Try every gate on its samples."""
    commands, broken = gates(), samples()
    found = [f"{gate} has no sample" for gate in sorted(commands.keys() - broken.keys())]
    tried = [(gate, *sample) for gate in commands for sample in broken.get(gate, {}).items()]
    with ThreadPoolExecutor(2) as pool:
        passed = pool.map(lambda gate, sample, says: passes(commands[gate], sample, says), *zip(*tried, strict=True))
    found += [
        f"{gate} doesn't say {says} of {sample.name}"
        for (gate, sample, says), yes in zip(tried, passed, strict=True)
        if yes
    ]
    print(*found, sep="\n", end="\n" if found else "")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
