"""Batches made ahead of the one who uses them, by threads; handed out in the order in which they were asked for.

Threads share the data set: nothing is copied or pickled, and NumPy's copying runs beside Python. A thread knows a queue
of jobs, and neither loader nor iterator: when these go, for whatever reason, it is sent away.
"""
from __future__ import annotations

import math
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from queue import Empty, SimpleQueue
from typing import Any

END = object()  # the result of a call that finds its stream at the end
PATIENCE = 0.2  # seconds between two looks for Ctrl-C, which does not wake a waiting thread on every system


class Late(Exception):
    """A job has no answer in time."""


class Job:
    """A call for some thread to make, and the place where its answer is waited for."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self.call, self.cancelled = call, False
        self.answer: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()

    def run(self) -> None:
        """Make the call; an error is an answer, too."""
        try:
            self.answer.put((None if self.cancelled else self.call(), None))
        except BaseException as e:  # whatever it is, it is for the one who waits
            self.answer.put((None, e))

    def result(self, timeout: float) -> Any:
        """What the call returned, once it has; what it raised is raised here, traceback and all."""
        end = time.monotonic() + timeout if timeout else math.inf
        while True:
            try:
                value, error = self.answer.get(timeout=max(0.0, min(PATIENCE, end - time.monotonic())))
                break
            except Empty:
                if time.monotonic() >= end:
                    raise Late from None
        try:
            if error is not None:
                raise error
            return value
        finally:
            del error  # its traceback knows this frame


class Pool:
    """Threads that make calls. They end with it, or when it is told to stop()."""

    def __init__(self, count: int, start: Callable[[int], Any] | None = None) -> None:
        self.jobs: SimpleQueue[Job | None] = SimpleQueue()
        self.threads = [threading.Thread(target=_work, args=(self.jobs, number, start), daemon=True,
                                         name=f"tinynet.data worker {number}") for number in range(count)]
        for thread in self.threads:
            thread.start()

    def submit(self, call: Callable[[], Any]) -> Job:
        """Have one of the threads make the call."""
        job = Job(call)
        self.jobs.put(job)
        return job

    def stop(self, wait: bool = True) -> None:
        """Send the threads away, and wait until they are gone."""
        for _ in self.threads:
            self.jobs.put(None)
        if wait and not sys.is_finalizing():  # at the interpreter's end they stand still for good
            for thread in self.threads:
                if thread is not threading.current_thread():  # an iterator may be collected by any thread
                    thread.join()

    def __del__(self) -> None:
        self.stop(wait=False)


def _work(jobs: SimpleQueue[Job | None], number: int, start: Callable[[int], Any] | None) -> None:
    """The life of a thread: job after job, and start(number) before the first; if that fails, the job has failed."""
    started = start is None
    while (job := jobs.get()) is not None:
        try:
            if start is not None and not started:
                start(number)
            started = True
        except BaseException as e:
            job.answer.put((None, e))
        else:
            job.run()
        del job  # and with it the batch


def prefetched(calls: Iterator[Callable[[], Any]], pool: Pool, ahead: int, timeout: float,
               keep: bool) -> Iterator[Any]:
    """The results of the calls, in their order, until there is an END; `ahead` of them are in work or ready.

    Whoever leaves early, by break, error or Ctrl-C, cancels what was not begun. Then the threads end, unless the pool
    is one to keep, and are waited for, unless one took longer than `timeout` seconds.
    """
    waiting: deque[Job] = deque()
    late = False
    try:
        waiting.extend(pool.submit(call) for call in islice(calls, ahead))
        while waiting:
            result = waiting.popleft().result(timeout)
            if result is END:
                return
            waiting.extend(pool.submit(call) for call in islice(calls, 1))
            yield result
    except Late:
        late = True
        raise RuntimeError(f"DataLoader timed out after {timeout} seconds: no batch came from its worker threads. A "
                           "sample takes too long, or waits for something that does not come") from None
    finally:
        for job in waiting:
            job.cancelled = True
        if not keep:
            pool.stop(wait=not late)
