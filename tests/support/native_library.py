"""The compiled sequences as tests use them: whether a C compiler is here, and which implementation is the fastest."""

from __future__ import annotations

import numpy as np
import pytest

from minigrad_rnn.native import library


def compile_at_leisure() -> None:
    """Compile both libraries without the time limit of a user's first call: other tests may keep the machine busy."""
    limit, library.TIME_LIMIT = library.TIME_LIMIT, 300.0
    try:
        for dtype in (np.float32, np.float64):
            library.refusal(dtype)
    finally:
        library.TIME_LIMIT = limit


def refusal() -> str:
    """Why there are no compiled sequences, or ""."""
    return library.refusal(np.float64)


def require_compiler() -> None:
    """Skip the test where there is no C compiler."""
    if why := refusal():
        pytest.skip(f"compiled sequences: {why.splitlines()[0]}")


def fastest() -> str:
    """What `implementation` names where impl="auto" may take a compiled sequence."""
    return f"fused (native: {why.splitlines()[0]})" if (why := refusal()) else "native"
