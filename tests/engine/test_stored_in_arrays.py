"""`array[index] = tensor` is refused for a tensor on the tape, in words that say what to do."""

from __future__ import annotations

import sys
import traceback
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from tests.engine.leaves import leaf

WORDS = "this tensor is on the tape and the array would lose its gradient. To drop the gradient store float(tensor); to"


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "longdouble", "complex64", "complex128", "int64"])
@pytest.mark.parametrize("index", [0, (1, 0), -1, slice(0, 1), ...])
def test_the_error_itself_says_what_to_do(dtype: str, index: Any) -> None:
    """NumPy replaces the error of a floating-point element; while a tracer runs, ours is its cause only."""
    out, w, tracing = np.zeros((2, 2), dtype), leaf([2.0, 3.0]), sys.gettrace() is not None
    target: Any = out if isinstance(index, tuple) or index in (slice(0, 1), ...) else out[0]
    with pytest.raises((TypeError, ValueError)) as caught:
        target[index] = w[1]
    words = "".join(traceback.format_exception(caught.value)) if tracing else str(caught.value)
    assert (WORDS if target is not out or isinstance(index, tuple) else "NumPy would lose its gradient") in words
    assert not out.any()
    assert (sys.gettrace() is not None) == tracing
    assert sys._getframe().f_trace is None or tracing


def test_numbers_and_constants_are_stored() -> None:
    out, w = np.zeros(3), leaf([2.0, 3.0])
    out[0] = float(w[0])
    out[1] = w.detach()[1]
    with mg.no_grad():
        out[2] = w[0] * 2
    assert out.tolist() == [2.0, 3.0, 4.0]
    items: Any = [0.0]
    items[0] = w[0]
    assert items[0].requires_grad
