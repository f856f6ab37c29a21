"""Interpolation in a table of values, and polynomials."""

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
    """Evaluate the piecewise linear function through the nodes (xp, fp), xp increasing, at `x`, in the inputs' dtype.

    Outside the nodes its value is `left` or `right`, by default that of the first or last node; with a `period` it is
    periodic instead, and the nodes may be in any order. Differentiable by x, xp and fp; at a node the slope is that
    of the interval on its right.
    """
    x, nodes, values = _floating(x, xp, fp)
    if nodes.ndim != 1 or nodes.shape != values.shape or not nodes.size:
        raise ValueError(f"interp: xp, fp: got shapes {nodes.shape} and {values.shape}, want equal lengths above 0")
    if period is not None:
        x, nodes, values = _to_one_period(x, nodes, values, abs(period))
        left = right = None
    n = nodes.shape[0]
    slopes = values[:1] * 0
    if n > 1:
        widths = nodes[1:] - nodes[:-1]
        widths = where(widths == 0, 1, widths)  # no x lies between two equal nodes
        slopes = concatenate([(values[1:] - values[:-1]) / widths, slopes])
    below, above = x < nodes.detach()[0], x > nodes.detach()[-1]
    rows = take(stack([values, slopes, nodes], axis=1), _interval(x, nodes), axis=0)
    offset = where(below, 0, where(above, 0, x - rows[..., 2]))
    y = rows[..., 0] + rows[..., 1] * offset
    if left is not None:
        y = where(below, left, y)
    return y if right is None else where(above, right, y)


def _interval(x: Tensor, nodes: Tensor) -> Tensor:
    """The index of the last node that is not above x, or of the first node."""
    if backend_of(x._array) is not backend_of(nodes._array):
        raise mixed_backend_error("interp", (x, nodes))
    library = backend_of(x._array).xp
    index = library.searchsorted(nodes._array, x._array, side="right") - 1
    return Tensor(library.asarray(library.maximum(index, 0)))


def _to_one_period(x: Tensor, nodes: Tensor, values: Tensor, period: float) -> tuple[Tensor, Tensor, Tensor]:
    """x and the nodes reduced to one period, the nodes sorted, with one more before and one after them."""
    if period == 0:
        raise ValueError("interp: period: got 0, want a number other than 0")

    def within_period(t: Tensor) -> Tensor:
        return t - floor(t / period) * period

    x, nodes = within_period(x), within_period(nodes)
    order = argsort(nodes)
    nodes, values = take(nodes, order, axis=0), take(values, order, axis=0)
    nodes = concatenate([nodes[-1:] - period, nodes, nodes[:1] + period])
    return x, nodes, concatenate([values[-1:], values, values[:1]])


def _floating(*inputs: Any) -> list[Tensor]:
    """Tensors of all inputs; integer arrays, Python numbers and lists get the real dtype of the floating inputs."""
    arrays = [a._array if isinstance(a, Tensor) else a for a in inputs]
    known = [a for a in arrays if is_array(a)]
    backend = backend_of(known[0]) if known else default_backend()
    floats = [a.dtype for a in known if a.dtype.kind in "fc"]
    real = np.result_type(*floats).type(0).real.dtype if floats else np.dtype(np.float64)

    def to_tensor(x: Any, array: Any) -> Tensor:
        if not is_array(array):
            return Tensor(backend.from_numpy(np.asarray(array, real)))
        if array.dtype.kind not in "fc":
            return Tensor(array.astype(real))
        return x if isinstance(x, Tensor) else tensor_view(array)

    return list(map(to_tensor, inputs, arrays))


@primitive
def polyval(xp: Any, p: Array, x: Array) -> Any:
    """The polynomial p[0] x^(n−1) + … + p[n−1] at every x, by Horner's rule."""
    n = p.shape[0]
    y = xp.zeros_like(x) if hasattr(x, "dtype") else 0 * x
    for k in range(n):
        y = y * x + p[k]
    orders = xp.arange(n - 1, 0, -1).astype(p.dtype) if n > 1 else None
    each = p.shape[1:]

    def by_coefficients(xp: Any, g: Array, p: Array, x: Array, orders: Array) -> Array:
        if not n:
            return xp.zeros_like(p)
        gradients: list[Array] = []
        for _ in range(n):
            gradients.append(unbroadcast(xp, g, each, defer=False))
            g = g * x
        return xp.stack(gradients[::-1])

    def by_x(xp: Any, g: Array, p: Array, x: Array, orders: Array) -> Array:
        if n < 2:
            return g * 0
        return g * call_in(xp, polyval, p[:-1] * xp.reshape(orders, (-1, *(1,) * len(each))), x)

    return y, (p, x, orders), (by_coefficients, by_x)


@primitive
def vander(xp: Any, x: Array, N: int | None = None, increasing: bool = False) -> Any:
    """The powers of each element of a vector as a row: x^(N−1), …, x, 1, or increasing. N is by default x's length.

    float32 stays float32, as in `power`; NumPy returns float64 here.
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
