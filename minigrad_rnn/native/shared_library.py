"""The compiled library of each dtype: compiled at first use and loaded once, or the reason why there is none."""

from __future__ import annotations

import ctypes
import os
import threading
import time
from functools import cache as cache_of_answer
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from . import cache
from .child_process import Deadline
from .compiler import FLAGS, LIBRARIES, OPTIONAL_FLAGS, Compiler, compile_library, find_compiler
from .cpu import description
from .errors import NativeError
from .self_check import check_in_child

HERE = Path(__file__).resolve().parent
SOURCE = HERE / "source" / "sequences.c"
"""The one file that is compiled; it includes the others of its folder and the cells' equations."""
HEADERS = HERE.parent / "gates"
SWITCH = "MINIGRAD_NATIVE"
TIME_LIMIT = 5.0
"""Seconds that the first use of a dtype may take: asking for the compiler's version, compiling and checking."""
PATIENCE = 60.0
"""The same for who asks for it, such as `python -m minigrad_rnn doctor`."""
DEFINITIONS = {np.dtype(np.float32): "-DREAL_IS_DOUBLE=0", np.dtype(np.float64): "-DREAL_IS_DOUBLE=1"}
LOGGER = "minigrad_rnn.native"


class Origin(NamedTuple):
    """Where a library comes from: the compiler, its file, and if this process compiled it, the flags and seconds."""

    compiler: str
    path: Path
    flags: tuple[str, ...] = ()
    seconds: float = 0.0


_found: dict[np.dtype[np.generic], ctypes.CDLL | str] = {}
"""A dtype's library, or the reason why there is none."""
_origins: dict[np.dtype[np.generic], Origin] = {}
_lock = threading.RLock()


def load_library(dtype: npt.DTypeLike, *, patient: bool = False) -> ctypes.CDLL:
    """Return the compiled library of float32 or float64.

    The first call in a process takes it from the user's cache or compiles it, which ends within TIME_LIMIT. What was
    found then holds for the process, a failure too; `patient` tries once more what failed, and waits up to PATIENCE
    for a slow machine. The compiler is CC, or cc, gcc or clang; MINIGRAD_CACHE names another folder for the cache, and
    MINIGRAD_NATIVE=0 turns it all off.

    Raises:
        NativeError: there is none here. The first line says why, the others are the compiler's words.
    """
    found = _library_or_reason(np.dtype(dtype), patient)
    if isinstance(found, str):
        raise NativeError(found)
    return found


def refusal(dtype: npt.DTypeLike) -> str:
    """Return "" if there is a compiled library of this dtype, else the reason why there is none."""
    found = _library_or_reason(np.dtype(dtype))
    return found if isinstance(found, str) else ""


@cache_of_answer
def is_likely() -> bool:
    """Return whether there is going to be a library, as far as can be told without compiling one.

    What it says first holds for the process, until `forget`.
    """
    if os.environ.get(SWITCH, "") not in ("", "1") or not SOURCE.is_file():
        return False
    try:
        return bool(find_compiler())
    except (NativeError, OSError):
        return False


def origin(dtype: npt.DTypeLike) -> Origin:
    """Return where a dtype's library comes from. Raises NativeError where there is none."""
    load_library(dtype)
    return _origins[np.dtype(dtype)]


def sources() -> list[Path]:
    """Return the files that a library is compiled from."""
    return [path for folder in (SOURCE.parent, HEADERS) for path in folder.glob("*.[ch]")]


def forget() -> None:
    """Forget what was found, so that the next call of `load_library` looks again, at the environment too."""
    with _lock:
        _found.clear()
        is_likely.cache_clear()


def _library_or_reason(dtype: np.dtype[np.generic], patient: bool = False) -> ctypes.CDLL | str:
    found = _found.get(dtype)
    if found is None or (patient and isinstance(found, str)):
        with _lock:  # two threads that ask at once compile once
            found = _found.get(dtype)
            if found is None or (patient and isinstance(found, str)):
                found = _found[dtype] = _obtained_or_reason(dtype, PATIENCE if patient else TIME_LIMIT)
    return found


def _obtained_or_reason(dtype: np.dtype[np.generic], seconds: float) -> ctypes.CDLL | str:
    try:
        try:
            return _obtained(dtype, seconds)
        except OSError as error:
            raise NativeError(f"the compiled sequences cannot be used: {error}") from error
    except NativeError as error:
        _log("%s: no compiled sequences: %s", dtype, error)
        return str(error)


def _obtained(dtype: np.dtype[np.generic], seconds: float) -> ctypes.CDLL:
    if (switch := os.environ.get(SWITCH, "")) not in ("", "1"):
        raise NativeError(f"{SWITCH}={switch} turns it off" + ("" if switch == "0" else " (want 0 or 1)"))
    if dtype not in DEFINITIONS:
        raise NativeError(f"dtype {dtype}: want float32 or float64")
    if not SOURCE.is_file():
        raise NativeError(f"this installation has no C source, want {SOURCE}")
    deadline = Deadline(seconds)
    compiler, folder = find_compiler(), cache.cache_folder()
    if folder.exists():
        cache.refuse_shared(folder)
    with cache.timeouts_remembered(folder, _name(dtype, compiler), seconds):
        compiler = compiler.with_version(deadline)
    name = _name(dtype, compiler)
    if (path := cache.find(folder, name)) is not None:
        try:
            return _loaded(dtype, Origin(str(compiler), path))
        except OSError:  # the system's libraries may be others than they were: compile it anew
            pass
    with cache.timeouts_remembered(folder, name, seconds):
        built = _built(dtype, compiler, folder, name, deadline)
    return _loaded(dtype, built)


def _built(dtype: np.dtype[np.generic], compiler: Compiler, folder: Path, name: str, deadline: Deadline) -> Origin:
    """Compile, check and store the library of `dtype`."""
    with cache.draft_folder(folder) as drafts:
        draft = drafts / f"library{cache.SUFFIX}"
        start = time.perf_counter()
        _log("compiling %s for %s with %s, once for this machine", SOURCE.name, dtype, compiler)
        flags = compile_library(compiler, SOURCE, draft, (DEFINITIONS[dtype],), deadline)
        check_in_child(draft, deadline)
        if _name(dtype, compiler) != name:
            raise NativeError("the C source or the compiler's environment changed while it was compiled")
        path = cache.store(draft, folder, name)
        seconds = time.perf_counter() - start
        _log("compiled in %.1f s with %s: %s", seconds, " ".join(flags), path)
    return Origin(str(compiler), path, flags, seconds)


def _loaded(dtype: np.dtype[np.generic], origin: Origin) -> ctypes.CDLL:
    loaded = ctypes.CDLL(str(origin.path))
    _origins[dtype] = origin
    return loaded


def _name(dtype: np.dtype[np.generic], compiler: Compiler) -> str:
    """Return the name in the cache: the dtype, and a key of the source, the compiler, the flags and the CPU."""
    flags = repr((FLAGS, OPTIONAL_FLAGS, LIBRARIES, DEFINITIONS[dtype]))
    return f"{cache.PREFIX}{dtype}-{cache.key(sources(), *compiler.identity, flags, description())}"


def _log(message: str, *values: object) -> None:
    import logging

    logging.getLogger(LOGGER).info(message, *values)


def _new_lock() -> None:
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):  # a thread that held the lock is not in the child to release it
    os.register_at_fork(after_in_child=_new_lock)
