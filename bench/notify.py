"""What waking workers costs who enqueues: never, only when a worker sleeps (as it is), or always.

Somebody LISTENs all the while. Where a worker is woken only if it sleeps, none does: whoever enqueues this fast keeps
them awake.
"""

from __future__ import annotations

import time
from functools import partial
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier

import psycopg

from bench import report
from bench.processes import SPAWN, drained
from bench.rivals import PulseX

JOBS, ROUNDS, ENQUEUERS = 400, 5, (1, 8)
WAKE = "pulsex.wake_workers(p_channel text, p_available_at timestamptz)"
OTHERWISE = f"""CREATE OR REPLACE FUNCTION {WAKE} RETURNS void
    LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = '' AS $$ BEGIN {{}} END $$"""


def compare(side: PulseX) -> None:
    """Measure enqueueing with each way of waking, and put back how it is; print, without a target."""
    with psycopg.connect(side.url, autocommit=True) as dba, side.connect() as listener:
        listener.execute("LISTEN pulsex_notifications")
        [as_it_is] = dba.execute(
            "SELECT pg_get_functiondef(%s::regprocedure)", ["pulsex.wake_workers(text, timestamptz)"]
        ).fetchone()
        ways = {
            "never": OTHERWISE.format(""),
            "when a worker sleeps": as_it_is,
            "always": OTHERWISE.format("PERFORM pg_notify('pulsex_notifications', p_channel);"),
        }

        def rate(way: str, enqueuers: int) -> float:
            dba.execute(ways[way])
            seconds = enqueued(side, enqueuers)
            drained(side, 2)
            return JOBS / seconds

        for enqueuers in ENQUEUERS:
            taken = report.alternate({way: partial(rate, way, enqueuers) for way in ways}, ROUNDS, "waking")
            medians = report.table(f"Enqueueing, a NOTIFY, enqueuers: {enqueuers}", "per second", taken)
            for way, median in medians.items():
                report.note(f"{way}: {median / medians['never']:.2f} of never")
        dba.execute(as_it_is)


def _enqueue(side: PulseX, count: int, barrier: Barrier, results: Queue) -> None:
    barrier.wait()
    seconds = side.enqueue_singly(count)
    ended = time.monotonic()
    results.put((ended - seconds, ended))


def enqueued(side: PulseX, enqueuers: int) -> float:
    """Have so many processes enqueue, a transaction each; return the seconds from the first to the last."""
    barrier, results = SPAWN.Barrier(enqueuers), SPAWN.Queue()
    arguments = (side, JOBS // enqueuers, barrier, results)
    processes = [SPAWN.Process(target=_enqueue, args=arguments) for _ in range(enqueuers)]
    for process in processes:
        process.start()
    times = [results.get(timeout=300) for _ in processes]
    for process in processes:
        process.join()
    return max(ended for _, ended in times) - min(started for started, _ in times)
