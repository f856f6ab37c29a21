"""Functions without a derivative: comparisons, argmax, rounding, bit operations, new arrays. Results are constants."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from ...backend import backend_of, default_backend, is_array
from ...engine.host_array import check_numbers
from ...engine.primitive import mixed_backend_error, nondifferentiable, to_common_backend
from ...engine.tensor import Tensor

Array = Any
__all__ = ["equal", "greater", "greater_equal", "isclose", "less", "less_equal", "not_equal"]
__all__ += ["iscomplex", "isfinite", "isinf", "isnan", "isneginf", "isposinf", "isreal", "signbit"]
__all__ += ["around", "ceil", "fix", "floor", "floor_divide", "gcd", "lcm", "rint", "round", "trunc"]
__all__ += ["all", "any", "count_nonzero", "logical_and", "logical_not", "logical_or", "logical_xor"]
__all__ += ["bitwise_and", "bitwise_count", "bitwise_invert", "bitwise_not", "bitwise_or", "bitwise_xor", "invert"]
__all__ += ["bitwise_left_shift", "bitwise_right_shift", "left_shift", "right_shift"]
__all__ += ["argmax", "argmin", "argsort", "nanargmax", "nanargmin"]
__all__ += ["arange", "ones", "ones_like", "zeros", "zeros_like"]


def off_tape(name: str, pick: Any = ...) -> Callable[..., Tensor]:
    """Return the array library's function of this name for tensors; its result, or one of several, is off the tape."""

    def function(*args: Any, **options: Any) -> Tensor:
        arrays = [a._array if isinstance(a, Tensor) else a for a in args]
        backends = {backend_of(a) for a in arrays if is_array(a)}
        if len(backends) > 1:
            raise mixed_backend_error(name, args)
        backend, arrays = to_common_backend(backends.pop() if backends else None, arrays, name)
        result = getattr(backend.xp, name)(*arrays, **options)
        result = backend.xp.asarray(result if pick is ... else result[pick])
        check_numbers(name, result)
        return Tensor(result)

    function.__name__ = function.__qualname__ = name
    function.__module__ = sys._getframe(1).f_globals["__name__"]  # where a pickle looks it up
    function.__doc__ = f"NumPy's `{name}`, on the tensors' backend. No gradient flows through it."
    return nondifferentiable(function)


less, less_equal = off_tape("less"), off_tape("less_equal")
greater, greater_equal = off_tape("greater"), off_tape("greater_equal")
equal, not_equal = off_tape("equal"), off_tape("not_equal")
floor, isnan, isfinite = off_tape("floor"), off_tape("isnan"), off_tape("isfinite")
trunc, ceil, rint = off_tape("trunc"), off_tape("ceil"), off_tape("rint")
fix = trunc
round, around = off_tape("round"), off_tape("around")
floor_divide, frexp_exponent = off_tape("floor_divide"), off_tape("frexp", 1)
signbit, isinf, isclose = off_tape("signbit"), off_tape("isinf"), off_tape("isclose")
isneginf, isposinf = off_tape("isneginf"), off_tape("isposinf")
isreal, iscomplex = off_tape("isreal"), off_tape("iscomplex")
logical_xor, gcd, lcm = off_tape("logical_xor"), off_tape("gcd"), off_tape("lcm")
bitwise_and, bitwise_or, bitwise_xor = off_tape("bitwise_and"), off_tape("bitwise_or"), off_tape("bitwise_xor")
invert, bitwise_count = off_tape("invert"), off_tape("bitwise_count")
left_shift, right_shift = off_tape("left_shift"), off_tape("right_shift")
bitwise_not = bitwise_invert = invert
bitwise_left_shift, bitwise_right_shift = left_shift, right_shift
logical_and, logical_or, logical_not = off_tape("logical_and"), off_tape("logical_or"), off_tape("logical_not")
argmax, argmin, argsort = off_tape("argmax"), off_tape("argmin"), off_tape("argsort")
nanargmax, nanargmin = off_tape("nanargmax"), off_tape("nanargmin")
all, any, count_nonzero = off_tape("all"), off_tape("any"), off_tape("count_nonzero")
zeros_like, ones_like = off_tape("zeros_like"), off_tape("ones_like")


@nondifferentiable
def zeros(shape: Any, dtype: Any = np.float32) -> Tensor:
    """A tensor of zeros on the default backend."""
    return Tensor(default_backend().xp.zeros(shape, dtype=dtype))


@nondifferentiable
def ones(shape: Any, dtype: Any = np.float32) -> Tensor:
    """A tensor of ones on the default backend."""
    return Tensor(default_backend().xp.ones(shape, dtype=dtype))


@nondifferentiable
def arange(*limits: Any, dtype: Any = None) -> Tensor:
    """Evenly spaced numbers on the default backend, with NumPy's arguments."""
    return Tensor(default_backend().xp.arange(*limits, dtype=dtype))
