"""Quotients in the rules of decompositions whose denominator vanishes, as between equal eigenvalues: their limits.

A derivative of vectors has the form N[i, j] / (w[j] - w[i]). Vectors that belong to equal values may be rotated; of a
loss that does not depend on this choice the numerator N vanishes where the denominator does, and the quotient has a
limit. It is the limit at matrices with the same vectors and the values w + t·c, where all c are positive and distinct,
for t to 0: by l'Hôpital's rule dN/dt / (c[j] - c[i]). N depends on t through the gradients g of the vectors, and since
second derivatives are symmetric, dg/dt is the derivative of `sum(c * gradient of w)` by the vectors. For this the
backward pass that reaches such a matrix is a recorded one (`needs_limits`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...backend import backend_of
from ...engine.modes import mode
from ...engine.primitive import primitive
from ...engine.slope import slope_along
from ...engine.tape import ManyNode
from ...engine.tensor import Tensor

Array = Any
NEARLY = 0.5
"""Values whose distance is this power of the dtype's precision count as equal: a limit is then as exact."""
ROUNDING = 100
"""How many units in the last place equal values may be apart, computed with rounding."""


def needs_limits(values: Tensor, vectors: tuple[int, ...], zero: bool = False) -> None:
    """Mark the operation whose output `values` is if two values are nearly equal, or nearly 0 with `zero`.

    A first-order backward pass through one of its outputs number `vectors` then becomes a recorded one. Looked at on
    the host only: on a device that would synchronise with it, and such quotients are NaN there.
    """
    w: Any = values._array
    if values.node is None or not isinstance(w, np.ndarray) or not w.size:
        return
    size = np.abs(w)
    limit = np.max(size, axis=-1, keepdims=True) * np.finfo(w.dtype).eps ** NEARLY
    if w.dtype.kind == "c":
        i, j = np.triu_indices(w.shape[-1], 1)
        near = np.abs(w[..., i] - w[..., j]) <= limit
    else:
        near = np.abs(np.diff(np.sort(w, axis=-1), axis=-1)) <= limit
    if near.any() or (zero and (size <= limit).any()):
        many: Any = values.node.parents[0]
        many.needs_limits = vectors
        ManyNode.last_of_limits = many.serial


class Limits:
    """What the rule of one decomposition needs for limits: the slopes of its vectors' gradients along c.

    In a first-order pass, and where no loss depends on the vectors, there are none.

    Args:
        values, g_values: the values and their gradient, arrays or (in a recorded pass) tensors.
        vectors: the outputs whose gradients' slopes are wanted.
    """

    def __init__(self, xp: Any, values: Array, g_values: Array, vectors: Sequence[Array]) -> None:
        self.xp, self.slopes = xp, [0.0] * len(vectors)
        w = plain(values)
        self.host = backend_of(w).xp
        real = self.host.real(w) if w.dtype.kind == "c" else w
        n = w.shape[-1]
        self.scale = self.host.max(self.host.abs(w), axis=-1, keepdims=True)[..., None] if n else real[..., None]
        self.c = self.host.zeros_like(real) + ((n - self.host.arange(n)) / (n or 1)).astype(real.dtype)
        self.recorded = isinstance(values, Tensor)
        if isinstance(g_values, Tensor):
            self.slopes = slope_along(g_values, self.c.astype(w.dtype), vectors)

    def quotient(self, numerator: Array, gap: Array, slope: Any, gap_slope: Array) -> Array:
        """`numerator / gap`, or where that is 0 / 0, or nearly, its limit `slope / gap_slope`, and NaN without one."""
        xp, host = self.xp, self.host
        n, d = plain(numerator), plain(gap)
        eps = float(np.finfo(d.dtype).eps)
        near = host.abs(d) <= self.scale * eps**NEARLY
        if not n.size:
            return numerator
        bound = host.max(host.abs(n), axis=(-2, -1), keepdims=True) + self.size
        if hasattr(slope, "ndim"):  # what a change of the values by one unit in the last place does to the numerators
            bound = bound + host.max(host.abs(slope), axis=(-2, -1), keepdims=True) * self.scale
        vanishes = host.abs(n) <= 10 * bound * eps**NEARLY
        equal = host.abs(d) <= self.scale * (ROUNDING * eps)
        near = near & (vanishes | equal)
        limit = slope / host.where(gap_slope == 0, 1, gap_slope)
        if not self.recorded:
            limit = host.where(bound == 0, host.zeros_like(n), host.zeros_like(n) + math.nan)
            limit = host.where(gap_slope + host.zeros_like(n) == 0, 0, limit)
        limit = host.where(vanishes, limit + host.zeros_like(n), math.nan)
        regular = numerator / xp.where(near, 1, gap)
        if self.recorded:
            limit = _without_derivative(numerator, limit, near & (gap_slope != 0))
        return xp.where(near, limit, regular)

    size: Any = 0.0
    """The size of the terms whose difference the numerators are."""


def plain(x: Array) -> Array:
    """The array of a tensor, or an array itself."""
    return x._array if isinstance(x, Tensor) else x


@primitive
def _without_derivative(xp: Any, x: Array, limit: Array, where: Array) -> Any:
    """`limit`, a constant that `where` stands for a quotient of x. A derivative of it there is not known: NaN."""
    rule = lambda xp, g, where: xp.where(xp.logical_and(where, g != 0), math.nan, xp.zeros_like(g))  # noqa: E731
    return xp.asarray(limit), (where,), (rule, None, None)


def is_recording(a: Any) -> bool:
    """Whether an operation on `a` is recorded now."""
    return isinstance(a, Tensor) and a.node is not None and mode().recording
