"""`run_parts` runs the parts of a call side by side on a few threads; `set_num_threads` says on how many.

Made for calls into C, which run without Python's lock. A part that no thread has begun is taken by whichever is free
first, the caller's among them, so that nobody waits for a thread that is busy elsewhere.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from minigrad.option_checks import check_integer

Function = Callable[[int], Any]
VARIABLES = ("MINIGRAD_NUM_THREADS", "OMP_NUM_THREADS")
"""The environment variables that give the number of threads; the first that is set counts."""

_chosen: int | None = None
_default: int | None = None


def set_num_threads(n: int) -> None:
    """Set on how many threads, the caller's included, compiled sequences run in this process; 1 is the caller's alone.

    Without a call it is the environment variable MINIGRAD_NUM_THREADS, else OMP_NUM_THREADS, else the number of cores
    that this process may use. The results are bitwise the same for any number.

    Raises:
        ValueError: `n` is no whole number of at least 1.
    """
    global _chosen, _pool
    check_integer("set_num_threads", n=n)
    old, _pool, _chosen = _pool, _Pool(), int(n)
    old.close()


def get_num_threads() -> int:
    """Return on how many threads compiled sequences run.

    Raises:
        ValueError: the environment variable that gives it is no whole number of at least 1.
    """
    global _default
    if _chosen is not None:
        return _chosen
    if _default is None:
        _default = _from_environment() or usable_cores()
    return _default


def _from_environment() -> int | None:
    for name in VARIABLES:
        text = os.environ.get(name, "").strip()
        if text:
            first = text.split(",")[0].strip()  # OMP_NUM_THREADS=4,2 gives a number for each level of nested regions
            if not (first.isdecimal() and first.isascii() and int(first) >= 1):
                raise ValueError(f"the environment variable {name}: got {text!r}, want a whole number of at least 1")
            return int(first)
    return None


def usable_cores() -> int:
    """Return the number of cores that this process may use: by its affinity, and by a quota of its control group."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, _quota(Path("/sys/fs/cgroup"))))


def _quota(group: Path) -> int:
    """Return the cores that the control group, as a container sees its own, grants in either version's files."""
    try:
        if (group / "cpu.max").exists():
            quota, period = (group / "cpu.max").read_text().split()
        else:
            quota, period = ((group / "cpu" / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        return math.ceil(int(quota) / int(period)) if int(quota) > 0 else os.cpu_count() or 1
    except (OSError, ValueError, ZeroDivisionError):  # there is none, or it says "max"
        return os.cpu_count() or 1


def run_parts(function: Function, parts: int) -> None:
    """Call `function(k)` for each k from 0 to `parts` - 1, side by side, and return when all calls have returned.

    The first is made on the caller's thread, each other one there or on a thread of the pool, outside the caller's
    context (`no_grad`, NumPy's `errstate`). With one part the pool is not touched. A part may call this itself, and
    so may several threads at once.

    Raises:
        The error of the first part, by number, that raised one, when all parts are done. After Ctrl-C no part is begun
        any more, and KeyboardInterrupt is raised when those that had begun are done.
    """
    if parts == 1:
        function(0)
        return
    pool, job = _pool, _Job(function, parts)
    try:
        try:
            pool.offer(job, min(parts, get_num_threads()) - 1)
            job.run(function, 0)
            job.work()
        finally:
            job.left.clear()
            job.wait()
    finally:
        job.wait()  # once more, for an interrupt may have come while it waited
        pool.withdraw(job)
    if job.errors:
        error = min(job.errors, key=lambda entry: entry[0])[1]
        job.errors.clear()  # whose traceback leads to this frame
        try:
            raise error
        finally:
            del error


class _Job:
    """The parts of one call that nobody has begun, and a lock for each thread that came to work on them."""

    __slots__ = ("errors", "left", "locks")

    def __init__(self, function: Function, parts: int) -> None:
        self.left = [(function, k) for k in range(parts - 1, 0, -1)]
        self.locks: list[threading.Lock] = []
        self.errors: list[tuple[int, BaseException]] = []

    def run(self, function: Function, part: int) -> None:
        try:
            function(part)
        except Exception as error:
            self.errors.append((part, error))

    def work(self) -> None:
        """Run parts until none is left."""
        left = self.left
        while left:
            try:
                function, part = left.pop()  # one step, so that no two threads take the same
            except IndexError:
                return
            self.run(function, part)

    def help(self) -> None:
        """Work on another thread than the caller's, which waits for it."""
        lock = threading.Lock()
        lock.acquire()
        self.locks.append(lock)
        try:
            self.work()
        except BaseException as error:  # such as SystemExit
            self.errors.append((0, error))
        finally:
            lock.release()

    def wait(self) -> None:
        """Wait for all that came. When no part is left, whoever took one has put a lock here before.

        A lock is let go when it is had, in one step: this can be interrupted and begun again at any point.
        """
        try:
            for lock in self.locks:
                with lock:
                    pass
        except BaseException:
            self.wait()
            raise


class _Worker:
    """A thread of the pool, as callers see it."""

    __slots__ = ("idle", "wake")

    def __init__(self) -> None:
        self.idle = False
        self.wake = threading.Lock()  # held, except when the thread shall look around
        self.wake.acquire()


class _Pool:
    """Threads that look for jobs, started when they are needed. They end with the process, or by `close`."""

    def __init__(self) -> None:
        self.jobs: list[_Job] = []
        self.workers: list[_Worker] = []
        self.closed = False
        self.starting = threading.RLock()  # a signal's handler may come here again

    def offer(self, job: _Job, helpers: int) -> None:
        """Tell up to `helpers` idle threads of the job. Others find it when they are done with theirs."""
        if len(self.workers) < helpers:
            self._start(helpers)
        self.jobs.append(job)  # and then it looks who is idle; threads say that they are, and then look for jobs
        for worker in self.workers:
            if helpers > 0 and worker.idle:
                helpers -= _told(worker)

    def withdraw(self, job: _Job) -> None:
        with suppress(ValueError):
            self.jobs.remove(job)

    def close(self) -> None:
        """Let the threads end. What was offered is done by the callers."""
        self.closed = True
        for worker in self.workers:
            _told(worker)

    def _start(self, number: int) -> None:
        with self.starting:
            while len(self.workers) < number and not self.closed:
                begun = threading.Lock()
                begun.acquire()
                name = f"minigrad-{len(self.workers) + 1}"
                try:
                    threading.Thread(target=self._serve, args=(begun,), name=name, daemon=True).start()
                except RuntimeError:  # the system has no more, or Python is shutting down; callers do without
                    return
                begun.acquire()

    def _serve(self, begun: threading.Lock) -> None:
        worker = _Worker()
        self.workers.append(
            worker
        )  # here: an interrupt in `_start` leaves none without a thread, and no thread unknown
        begun.release()
        while not self.closed:
            worker.idle = True
            if not self._help(worker):
                worker.wake.acquire()

    def _help(self, worker: _Worker) -> bool:
        """Work on a job that has parts left; return whether there was one. Nothing of its caller's is held after it."""
        for job in tuple(self.jobs):
            if job.left:
                worker.idle = False
                job.help()
                return True
        return False


def _told(worker: _Worker) -> bool:
    """Let the thread look around; return False if it is going to anyway."""
    try:
        worker.wake.release()
    except RuntimeError:
        return False
    return True


_pool = _Pool()


def _after_fork() -> None:
    """Begin anew in a child process, which has none of its parent's threads."""
    global _pool, _default
    _pool, _default = _Pool(), None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
