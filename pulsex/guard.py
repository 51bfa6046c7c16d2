"""Clear a scratch directory away when everybody who held it is gone, however they went.

Run as ``python -I guard.py DIRECTORY``. Every holder keeps the directory's ``alive`` pipe open for writing; the pipe
ends when the last of them has closed it or died, even by SIGKILL. Then every process that works in the directory is
stopped and the directory removed, unless a file ``keep`` in it says that somebody still wants to look.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from pathlib import Path

import psutil

PATIENCE = 5.0  # seconds before SIGQUIT, PostgreSQL's immediate shutdown, is followed by SIGKILL


def working_in(directory: Path) -> list[psutil.Process]:
    """Return the processes whose working directory is ``directory`` or below it."""
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).is_relative_to(directory):
                found.append(process)
        except (psutil.Error, OSError):
            continue  # ended meanwhile, or belongs to somebody else
    return found


def clear(directory: Path) -> None:
    """Stop every process that works in ``directory``, then remove it."""
    started = time.monotonic()
    while processes := working_in(directory):
        how = signal.SIGQUIT if time.monotonic() - started < PATIENCE else signal.SIGKILL
        for process in processes:
            try:
                process.send_signal(how)
            except psutil.NoSuchProcess:
                continue
        time.sleep(0.05)
    shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    place = Path(sys.argv[1])
    alive = os.open(place / "alive", os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(alive, True)
    while os.read(alive, 1):
        pass
    if not (place / "keep").exists():
        clear(place)
