"""Functions given by a table of values or by coefficients."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend import backend_of, default_backend, is_array
from ..engine.gradient_pool import unbroadcast
from ..engine.primitive import call_in, composed, mixed_backend_error, primitive
from ..engine.tensor import Tensor, tensor_view
from .arrays.joining import concatenate, stack
from .elementwise.arithmetic import where
from .elementwise.nondifferentiable import argsort, floor
from .indexing.gather import take

Array = Any
__all__ = ["interp", "polyval", "vander"]


@composed
def interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: float | None = None) -> Tensor:
    """The piecewise linear function through the nodes (xp, fp), xp increasing, at `x`: NumPy's, in the inputs' dtype.

    Outside it is `left` and `right`, by default the values at the first and the last node; with a `period` it is
    repeated instead, and the nodes may come in any order. Differentiable by x, xp and fp; at a node the slope is that
    of the interval on its right.
    """
    x, nodes, values = _floating(x, xp, fp)
    if nodes.ndim != 1 or nodes.shape != values.shape or not nodes.size:
        raise ValueError(f"interp: xp, fp: got shapes {nodes.shape} and {values.shape}, want one or more of each")
    if period is not None:
        x, nodes, values = _repeated(x, nodes, values, abs(period))
        left = right = None
    n = nodes.shape[0]
    slopes = values[:1] * 0
    if n > 1:
        apart = nodes[1:] - nodes[:-1]
        apart = where(apart == 0, 1, apart)  # two nodes in one place: nothing lies between them
        slopes = concatenate([(values[1:] - values[:-1]) / apart, slopes])
    below, above = x < nodes.detach()[0], x > nodes.detach()[-1]
    rows = take(stack([values, slopes, nodes], axis=1), _interval(x, nodes), axis=0)
    offset = where(below, 0, where(above, 0, x - rows[..., 2]))
    y = rows[..., 0] + rows[..., 1] * offset
    if left is not None:
        y = where(below, left, y)
    return y if right is None else where(above, right, y)


def _interval(x: Tensor, nodes: Tensor) -> Tensor:
    """The last node that is not above x, or the first."""
    if backend_of(x._data) is not backend_of(nodes._data):
        raise mixed_backend_error("interp", (x, nodes))
    library = backend_of(x._data).xp
    found = library.searchsorted(nodes._data, x._data, side="right") - 1
    return Tensor(library.asarray(library.maximum(found, 0)))


def _repeated(x: Tensor, nodes: Tensor, values: Tensor, period: float) -> tuple[Tensor, Tensor, Tensor]:
    """x and the nodes brought into one period, the nodes in order, with one more before and one after them."""
    if period == 0:
        raise ValueError("interp: period: got 0, want another number")

    def within_period(t: Tensor) -> Tensor:
        return t - floor(t / period) * period

    x, nodes = within_period(x), within_period(nodes)
    order = argsort(nodes)
    nodes, values = take(nodes, order, axis=0), take(values, order, axis=0)
    nodes = concatenate([nodes[-1:] - period, nodes, nodes[:1] + period])
    return x, nodes, concatenate([values[-1:], values, values[:1]])


def _floating(*given: Any) -> list[Tensor]:
    """As tensors: whole numbers, Python's numbers and lists of them in the dtype of those that are floating."""
    arrays = [a._data if isinstance(a, Tensor) else a for a in given]
    known = [a for a in arrays if is_array(a)]
    backend = backend_of(known[0]) if known else default_backend()
    floats = [a.dtype for a in known if a.dtype.kind in "fc"]
    real = np.result_type(*floats).type(0).real.dtype if floats else np.dtype(np.float64)
    made = []
    for one, array in zip(given, arrays):
        if not is_array(array):
            made.append(Tensor(backend.from_numpy(np.asarray(array, real))))
        elif array.dtype.kind in "fc":
            made.append(one if isinstance(one, Tensor) else tensor_view(array))
        else:
            made.append(Tensor(array.astype(real)))
    return made


@primitive
def polyval(xp: Any, p: Array, x: Array) -> Any:
    """p[0] x^(n−1) + … + p[n−1], by Horner's rule, for every x."""
    n = p.shape[0]
    y = xp.zeros_like(x) if hasattr(x, "dtype") else 0 * x
    for k in range(n):
        y = y * x + p[k]
    orders = xp.arange(n - 1, 0, -1).astype(p.dtype) if n > 1 else None
    each = p.shape[1:]

    def by_coefficients(xp: Any, g: Array, p: Array, x: Array, orders: Array) -> Array:
        found: list[Array] = []
        if not n:
            return xp.zeros_like(p)
        for _ in range(n):
            found.append(unbroadcast(xp, g, each, defer=False))
            g = g * x
        return xp.stack(found[::-1])

    def by_x(xp: Any, g: Array, p: Array, x: Array, orders: Array) -> Array:
        if n < 2:
            return g * 0
        return g * call_in(xp, polyval, p[:-1] * xp.reshape(orders, (-1, *(1,) * len(each))), x)

    return y, (p, x, orders), (by_coefficients, by_x)


@primitive
def vander(xp: Any, x: Array, N: int | None = None, increasing: bool = False) -> Any:
    """The powers of a vector's elements, one row each: x^(N−1), …, x, 1, or in increasing order. N is by default n.

    float32 stays float32, as in `power`; NumPy makes float64 of it here.
    """
    if x.ndim != 1:
        raise ValueError("want a vector")
    N = x.shape[0] if N is None else N
    y = xp.ones((x.shape[0], N), dtype=x.dtype)
    y[:, 1:] = x[:, None]
    y = xp.cumprod(y, axis=1, dtype=x.dtype)
    orders = xp.arange(1, max(N, 1)).astype(x.dtype)

    def rule(xp: Any, g: Array, x: Array, orders: Array) -> Array:
        g = g if increasing else xp.flip(g, axis=1)
        if N < 2:
            return xp.zeros_like(x)
        return xp.sum(g[:, 1:] * (orders * call_in(xp, vander, x, N - 1, True)), axis=1)

    return y if increasing else xp.flip(y, axis=1), (x, orders), rule
