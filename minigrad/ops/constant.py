"""Functions without a derivative: comparisons, positions, signs, and new arrays. Their results are constants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import backend as seam
from ..primitive import mixed, settle
from ..tensor import Tensor

Array = Any
__all__ = [
    "all",
    "any",
    "arange",
    "argmax",
    "argmin",
    "argsort",
    "count_nonzero",
    "equal",
    "floor",
    "greater",
    "greater_equal",
    "isfinite",
    "isnan",
    "less",
    "less_equal",
    "logical_and",
    "logical_not",
    "logical_or",
    "nanargmax",
    "nanargmin",
    "not_equal",
    "ones",
    "ones_like",
    "sign",
    "zeros",
    "zeros_like",
]


def _constant(name: str) -> Callable[..., Tensor]:
    """The array library's function of this name, on tensors; the result is off the tape."""

    def function(*args: Any, **options: Any) -> Tensor:
        arrays = [a._data if isinstance(a, Tensor) else a for a in args]
        backends = {seam.backend_of(a) for a in arrays if seam.is_array(a)}
        if len(backends) > 1:
            raise mixed(name, args)
        backend, arrays = settle(backends.pop() if backends else None, arrays)
        return Tensor(backend.xp.asarray(getattr(backend.xp, name)(*arrays, **options)))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"NumPy's `{name}`, on the tensors' backend. No gradient flows through it."
    return function


less, less_equal = _constant("less"), _constant("less_equal")
greater, greater_equal = _constant("greater"), _constant("greater_equal")
equal, not_equal = _constant("equal"), _constant("not_equal")
sign, floor, isnan, isfinite = _constant("sign"), _constant("floor"), _constant("isnan"), _constant("isfinite")
logical_and, logical_or, logical_not = _constant("logical_and"), _constant("logical_or"), _constant("logical_not")
argmax, argmin, argsort = _constant("argmax"), _constant("argmin"), _constant("argsort")
nanargmax, nanargmin = _constant("nanargmax"), _constant("nanargmin")
all, any, count_nonzero = _constant("all"), _constant("any"), _constant("count_nonzero")
zeros_like, ones_like = _constant("zeros_like"), _constant("ones_like")


def zeros(shape: Any, dtype: Any = np.float32) -> Tensor:
    """A tensor of zeros on the default backend."""
    return Tensor(seam.default_backend().xp.zeros(shape, dtype=dtype))


def ones(shape: Any, dtype: Any = np.float32) -> Tensor:
    """A tensor of ones on the default backend."""
    return Tensor(seam.default_backend().xp.ones(shape, dtype=dtype))


def arange(*limits: Any, dtype: Any = None) -> Tensor:
    """Evenly spaced numbers on the default backend, as NumPy's."""
    return Tensor(seam.default_backend().xp.arange(*limits, dtype=dtype))
