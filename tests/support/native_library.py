"""The compiled sequences as tests use them: whether a C compiler is here, and which implementation is the fastest."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from minigrad_rnn import set_num_threads
from minigrad_rnn.native import sequence, shared_library, threads


def compile_at_leisure() -> None:
    """Compile both libraries without the time limit of a user's first call: other tests may keep the machine busy."""
    limit, shared_library.TIME_LIMIT = shared_library.TIME_LIMIT, 300.0
    try:
        for dtype in (np.float32, np.float64):
            shared_library.refusal(dtype)
    finally:
        shared_library.TIME_LIMIT = limit


def refusal() -> str:
    """Why there are no compiled sequences, or ""."""
    return shared_library.refusal(np.float64)


def require_compiler() -> None:
    """Skip the test where there is no C compiler."""
    if why := refusal():
        pytest.skip(f"compiled sequences: {why.splitlines()[0]}")


def fastest() -> str:
    """What `implementation` names where impl="auto" may take a compiled sequence."""
    return f"fused (native: {why.splitlines()[0]})" if (why := refusal()) else "native"


@contextmanager
def num_threads(n: int) -> Iterator[None]:
    """Run compiled sequences on `n` threads."""
    before = threads._chosen
    set_num_threads(n)
    try:
        yield
    finally:
        if before is None:
            set_num_threads(1)  # lets the threads end
            threads._chosen = None
        else:
            set_num_threads(before)


def split_small_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every call use as many threads as it can, however small it is."""
    monkeypatch.setattr(sequence, "PART", 1e-3)
    monkeypatch.setattr(sequence, "STEP", 0)
