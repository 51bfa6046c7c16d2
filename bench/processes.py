"""Workers as processes of their own, since Python's GIL would hold threads."""

from __future__ import annotations

import multiprocessing
import time
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier

from bench.rivals import Rival

SPAWN = multiprocessing.get_context("spawn")
PAUSE = 0.05  # seconds between two samples of latency, in which the worker falls asleep


def _drain(side: Rival, barrier: Barrier, results: Queue) -> None:
    times = [0.0, 0.0]  # when all were connected, and when the last job was done

    def ready() -> None:
        barrier.wait()
        times[0] = time.monotonic()

    def done(_: float) -> None:
        times[1] = time.monotonic()

    side.drain(ready, done)
    results.put(times)


def drained(side: Rival, workers: int) -> float:
    """Have so many processes work off what is there; return the seconds from their start to the last job."""
    barrier, results = SPAWN.Barrier(workers), SPAWN.Queue()
    processes = [SPAWN.Process(target=_drain, args=(side, barrier, results)) for _ in range(workers)]
    for process in processes:
        process.start()
    times = [results.get(timeout=300) for _ in processes]
    for process in processes:
        process.join()
    return max(last for _, last in times) - min(first for first, _ in times)


def _serve(side: Rival, results: Queue) -> None:
    side.serve(lambda at: results.put(time.monotonic() - at))


def latency(side: Rival, samples: int) -> list[float]:
    """Enqueue to an idle worker so many times; return the seconds until it had each job."""
    results = SPAWN.Queue()
    process = SPAWN.Process(target=_serve, args=(side, results), daemon=True)
    process.start()
    try:
        side.enqueue_singly(1)
        results.get(timeout=60)
        side.enqueue_singly(samples, PAUSE)
        return [results.get(timeout=60) for _ in range(samples)]
    finally:
        process.kill()
        process.join()
