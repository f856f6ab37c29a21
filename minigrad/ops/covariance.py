"""How variables vary together: covariances and correlations."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import backend as seam
from ..primitive import composed
from ..tensor import Tensor
from .complex_parts import conj, imag, real
from .elementwise import add, astype, clip, divide, multiply, sqrt, subtract, where
from .joining import concatenate
from .products import matmul
from .reduce import as_tensor, mean, sum, want_inexact
from .shape import expand_dims, reshape, squeeze, transpose
from .statistics import average, per, squares

__all__ = ["corrcoef", "cov"]


def _rows(m: Any, y: Any, rowvar: bool, dtype: Any) -> Tensor:
    """The variables as rows of floats."""
    parts = []
    for given in (m, y):
        if given is not None:
            x = as_tensor(given)
            if x.ndim > 2:
                raise ValueError(f"{'m' if given is m else 'y'}: got {x.ndim} axes, want at most 2")
            parts.append(reshape(x, (1, x.size)) if x.ndim < 2 else x if rowvar else transpose(x))
    x = parts[0] if len(parts) == 1 else concatenate(parts)
    if dtype is not None:
        want_inexact(x, dtype)
        return astype(x, dtype)
    return x if x.dtype.kind in "fc" else astype(x, np.float64)


def _weights(x: Tensor, fweights: Any, aweights: Any) -> tuple[Tensor | None, Tensor | None]:
    """What each observation weighs in all, and the part of it that is no count. On the host counts are looked at."""
    found: list[Tensor | None] = []
    for name, given in (("fweights", fweights), ("aweights", aweights)):
        if given is None:
            found.append(None)
            continue
        if not hasattr(given, "dtype"):  # numbers, in the dtype of what they weigh
            given = Tensor(seam.backend_of(x._data).from_numpy(np.asarray(given, x.dtype)))
        w = as_tensor(given)
        on_host = isinstance(w._data, np.ndarray)
        if on_host and name == "fweights" and np.any(w._data != np.rint(w._data)):
            raise TypeError("cov: fweights: got fractions, want whole numbers; aweights takes others")
        if w.shape != x.shape[1:]:
            raise RuntimeError(f"cov: {name}: got shape {w.shape} for {x.shape[1]} observations, want one for each")
        if on_host and np.any(w._data < 0):
            raise ValueError(f"cov: {name}: got a negative number")
        w = w.detach() if name == "fweights" else w
        found.append(w if w.dtype.kind == "f" else astype(w, real(x).dtype))
    counts, other = found
    return (other if counts is None else counts if other is None else multiply(counts, other)), other


@composed
def cov(
    m: Any,
    y: Any = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: int | None = None,
    fweights: Any = None,
    aweights: Any = None,
    *,
    dtype: Any = None,
) -> Tensor:
    """The covariances of the variables in the rows of `m` (and `y`), or in the columns with `rowvar=False`.

    Divided by n - 1, or by n with `bias`, or by n - `ddof`. Each observation counts `fweights` times, which are
    constants, and weighs `aweights`, to which gradients flow; n is then NumPy's. float32 stays float32, as in `var`,
    unless `dtype` says otherwise; NumPy makes float64 of it here.

    Raises:
        ValueError: `ddof` is no whole number, or an array has more than two axes.
        RuntimeError: there is not one weight for each observation.
    """
    if ddof is not None and ddof != int(ddof):
        raise ValueError(f"cov: ddof: got {ddof}, want a whole number")
    less = (0 if bias else 1) if ddof is None else ddof
    x = _rows(m, y, rowvar, dtype)
    w, other = _weights(x, fweights, aweights)
    free: Any = x.shape[1] - less
    if w is None:
        x = scaled = subtract(x, mean(x, axis=1, keepdims=True))
    else:
        x = subtract(x, expand_dims(average(x, axis=1, weights=w), 1))
        scaled, free = multiply(x, w), sum(w)
        if less:
            free = free - (less if other is None else less * sum(multiply(w, other)) / free)
    return squeeze(per(matmul(scaled, transpose(conj(x) if x.dtype.kind == "c" else x)), free))


@composed
def corrcoef(x: Any, y: Any = None, rowvar: bool = True, *, dtype: Any = None) -> Tensor:
    """The correlations of the variables in the rows of `x` (and `y`), held between -1 and 1; of nothing NaN.

    float32 stays float32, as in `var`, unless `dtype` says otherwise; NumPy makes float64 of it here.
    """
    x = _rows(x, y, rowvar, dtype)
    n = x.shape[1]
    x = subtract(x, mean(x, axis=1, keepdims=True)) if n else x
    x = divide(x, sqrt(sum(squares(x), axis=1, keepdims=True)))
    if x.dtype.kind != "c":
        r = clip(matmul(x, transpose(x)), -1.0, 1.0)
    else:
        r = matmul(x, transpose(conj(x)))
        r = add(clip(real(r), -1.0, 1.0), multiply(clip(imag(r), -1.0, 1.0), 1j))
    return squeeze(r if n else where(r == 0, math.nan, r))
