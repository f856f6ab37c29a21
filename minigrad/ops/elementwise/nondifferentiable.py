"""Functions without a derivative: comparisons, argmax, rounding, bit operations, new arrays. Results are constants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...backend import backend_of, default_backend, is_array
from ...engine.primitive import mixed_backend_error, nondifferentiable, to_common_backend
from ...engine.tensor import Tensor

Array = Any
__all__ = ["equal", "greater", "greater_equal", "isclose", "less", "less_equal", "not_equal"]
__all__ += ["heaviside", "iscomplex", "isfinite", "isinf", "isnan", "isneginf", "isposinf", "isreal", "sign", "signbit"]
__all__ += ["around", "ceil", "fix", "floor", "floor_divide", "gcd", "lcm", "rint", "round", "trunc"]
__all__ += ["all", "any", "count_nonzero", "logical_and", "logical_not", "logical_or", "logical_xor"]
__all__ += ["bitwise_and", "bitwise_count", "bitwise_invert", "bitwise_not", "bitwise_or", "bitwise_xor", "invert"]
__all__ += ["bitwise_left_shift", "bitwise_right_shift", "left_shift", "right_shift"]
__all__ += ["argmax", "argmin", "argsort", "nanargmax", "nanargmin"]
__all__ += ["arange", "ones", "ones_like", "zeros", "zeros_like"]


def _constant(name: str, pick: Any = ...) -> Callable[..., Tensor]:
    """Return the array library's function of this name for tensors; its result, or one of several, is off the tape."""

    def function(*args: Any, **options: Any) -> Tensor:
        arrays = [a._data if isinstance(a, Tensor) else a for a in args]
        backends = {backend_of(a) for a in arrays if is_array(a)}
        if len(backends) > 1:
            raise mixed_backend_error(name, args)
        backend, arrays = to_common_backend(backends.pop() if backends else None, arrays)
        result = getattr(backend.xp, name)(*arrays, **options)
        return Tensor(backend.xp.asarray(result if pick is ... else result[pick]))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"NumPy's `{name}`, on the tensors' backend. No gradient flows through it."
    return nondifferentiable(function)


less, less_equal = _constant("less"), _constant("less_equal")
greater, greater_equal = _constant("greater"), _constant("greater_equal")
equal, not_equal = _constant("equal"), _constant("not_equal")
sign, floor, isnan, isfinite = _constant("sign"), _constant("floor"), _constant("isnan"), _constant("isfinite")
trunc, ceil, rint = _constant("trunc"), _constant("ceil"), _constant("rint")
fix = trunc
round, around = _constant("round"), _constant("around")
floor_divide, heaviside, frexp_exponent = _constant("floor_divide"), _constant("heaviside"), _constant("frexp", 1)
signbit, isinf, isclose = _constant("signbit"), _constant("isinf"), _constant("isclose")
isneginf, isposinf = _constant("isneginf"), _constant("isposinf")
isreal, iscomplex = _constant("isreal"), _constant("iscomplex")
logical_xor, gcd, lcm = _constant("logical_xor"), _constant("gcd"), _constant("lcm")
bitwise_and, bitwise_or, bitwise_xor = _constant("bitwise_and"), _constant("bitwise_or"), _constant("bitwise_xor")
invert, bitwise_count = _constant("invert"), _constant("bitwise_count")
left_shift, right_shift = _constant("left_shift"), _constant("right_shift")
bitwise_not = bitwise_invert = invert
bitwise_left_shift, bitwise_right_shift = left_shift, right_shift
logical_and, logical_or, logical_not = _constant("logical_and"), _constant("logical_or"), _constant("logical_not")
argmax, argmin, argsort = _constant("argmax"), _constant("argmin"), _constant("argsort")
nanargmax, nanargmin = _constant("nanargmax"), _constant("nanargmin")
all, any, count_nonzero = _constant("all"), _constant("any"), _constant("count_nonzero")
zeros_like, ones_like = _constant("zeros_like"), _constant("ones_like")


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
