"""`openblas_function` finds a function of the OpenBLAS that NumPy has loaded; `one_thread` keeps it on one thread."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

NAMES = ("scipy_openblas_{}64_", "scipy_openblas_{}", "openblas_{}64_", "openblas_{}")
"""Of OpenBLAS's functions in NumPy's wheels and in others' builds."""


def openblas_function(name: str, result: Any = None, *arguments: Any) -> Callable[..., Any] | None:
    """Return OpenBLAS's function `name`, such as "get_num_threads", or None where NumPy's BLAS is another library.

    Args:
        result, arguments: their types, of ctypes.
    """
    library = _openblas()
    if library is None:
        return None
    for names in NAMES:
        try:
            function = library[names.format(name)]  # an object of its own, unlike the attribute of that name
        except AttributeError:
            continue
        function.restype, function.argtypes = result, arguments
        return function
    return None


@cache
def _openblas() -> ctypes.CDLL | None:
    """The OpenBLAS that NumPy has loaded: beside it in its wheels, else one that the system lists as loaded."""
    package = Path(np.__file__).parent
    folders = (package.parent / "numpy.libs", package / ".dylibs")
    paths = [str(path) for folder in folders for path in sorted(folder.glob("*openblas*"))]
    maps = Path("/proc/self/maps")
    if maps.exists():
        paths += [line.split()[-1] for line in maps.read_text().splitlines() if "openblas" in line.lower()]
    for path in paths:
        try:
            return ctypes.CDLL(path)
        except OSError:
            continue
    return None


class _Threads:
    """The number of OpenBLAS's threads, which is the process's: 1 while anybody asks for it, then what it was."""

    def __init__(self) -> None:
        self.read = openblas_function("get_num_threads", ctypes.c_int)
        self.write = openblas_function("set_num_threads", None, ctypes.c_int)
        self.lock, self.users, self.before = threading.Lock(), 0, 1

    def enter(self) -> None:
        assert self.read is not None
        assert self.write is not None
        with self.lock:
            if not self.users:
                self.before = self.read()
                if self.before > 1:
                    self.write(1)
            self.users += 1

    def leave(self) -> None:
        assert self.write is not None
        with self.lock:
            self.users -= 1
            if not self.users and self.before > 1:
                self.write(self.before)


_threads: _Threads | None = None


@contextmanager
def one_thread() -> Iterator[None]:
    """Let OpenBLAS compute on the caller's thread alone; nothing where NumPy's BLAS is another library.

    The number of threads is one for the process: products of other threads may meet it, which changes their time.
    """
    global _threads
    threads = _threads = _threads or _Threads()
    if threads.read is None or threads.write is None:
        yield
        return
    threads.enter()
    try:
        yield
    finally:
        threads.leave()


def _after_fork() -> None:
    """Begin anew in a child process; a thread of its parent's may have been inside."""
    global _threads
    threads, _threads = _threads, None
    if threads is not None and threads.users and threads.write is not None:
        threads.write(threads.before)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
