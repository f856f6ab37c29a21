"""Gradient pooling: the sum of the contributions that a value receives from all its uses.

When the uses are the time steps of a recurrent net, this is the lecture's pooling over time (slides 71, 93, 118). It
works on arrays and on tensors. float16 is added up in float32: its own sums stop growing at 2048 times the addend.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..backend import BY_ARRAY_TYPE
from .norms import norm
from .summation import accurate_sum, product_over_rows

Array = Any

SMALL = 256
"""Elements up to which NumPy adds into a fresh array faster than in place."""
BLOCK = 1 << 16
"""Elements of factors that a pool collects before it contracts them; more for a weight that is itself larger."""
MANY = 256
"""Rows of factors after which the pool stops collecting: a product of this many is at full speed, and the factors
would keep a layer's arrays alive until the end of the backward pass."""
NONE: list[Array] = []
"""Stands for a pool's lists until it has factors; most pools never have any."""


class OuterProduct:
    """The contribution `left.T @ right` to a matrix, kept as its factors of shapes (N, p) and (N, q).

    Every use of `W` in `h @ W` contributes one. Over T time steps the pool contracts all factors in one product of
    N·T rows, which is far cheaper than T thin products and T additions.
    """

    __slots__ = ("left", "right")

    def __init__(self, left: Array, right: Array) -> None:
        self.left, self.right = left, right

    @property
    def shape(self) -> tuple[int, int]:
        return (self.left.shape[1], self.right.shape[1])

    @property
    def dtype(self) -> Any:
        return self.left.dtype

    @property
    def count(self) -> int:
        """The number of rows, N."""
        return len(self.left)

    @property
    def T(self) -> OuterProduct:
        return OuterProduct(self.right, self.left)

    def astype(self, dtype: Any) -> OuterProduct:
        return OuterProduct(self.left.astype(dtype), self.right.astype(dtype))

    def dense(self) -> Array:
        return product_over_rows(self.left, self.right)


class RowSum:
    """The contribution `rows.sum(0)` to a vector, kept as the rows (N, p), so that a bias gradient is summed once."""

    __slots__ = ("rows",)

    def __init__(self, rows: Array) -> None:
        self.rows = rows

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.rows.shape[1:])

    @property
    def dtype(self) -> Any:
        return self.rows.dtype

    @property
    def count(self) -> int:
        """The number of rows, N."""
        return len(self.rows)

    def astype(self, dtype: Any) -> RowSum:
        return RowSum(self.rows.astype(dtype))

    def dense(self) -> Array:
        return accurate_sum(self.rows, 0)


class IndexedSlice:
    """The contribution of values `g` at a basic `index`, and of zeros elsewhere, to an array of `shape`.

    `x[t]` at every t contributes T of them. The pool adds each at its index; T arrays of x's shape would be O(T²) work.
    """

    __slots__ = ("g", "index", "shape", "xp")

    def __init__(self, xp: Any, g: Array, index: Any, shape: tuple[int, ...]) -> None:
        self.xp, self.g, self.index, self.shape = xp, g, index, shape

    @property
    def dtype(self) -> Any:
        return self.g.dtype

    def astype(self, dtype: Any) -> IndexedSlice:
        return IndexedSlice(self.xp, self.g.astype(dtype), self.index, self.shape)

    def dense(self) -> Array:
        y = self.xp.zeros(self.shape, dtype=self.g.dtype)
        y[self.index] = self.g
        return y


class PerStepSum:
    """The contribution of a whole sequence: the total, and on request the part of each step, or the parts' norms.

    Args:
        steps: the time steps, in the order in which the backward pass meets them.
        at: returns a step's part.
        norms: returns the norms of all parts by their steps, without forming them; by default `at` forms each.
    """

    __slots__ = ("_norms", "at", "steps", "total")

    def __init__(
        self,
        total: Array,
        steps: Iterable[int],
        at: Callable[[int], Array],
        norms: Callable[[], Mapping[Any, float]] | None = None,
    ) -> None:
        self.total, self.steps, self.at, self._norms = total, steps, at, norms

    def norms(self) -> Mapping[Any, float]:
        """The norm of each step's part, by step."""
        return {t: norm(self.at(t)) for t in self.steps} if self._norms is None else self._norms()


class Pool:
    """The running sum of a value's contributions.

    The first array is borrowed, the second makes a new array, and all later ones are added to it in place unless it is
    tiny: one buffer of the value's size for any number of uses. Factors (`OuterProduct`, `RowSum`) are collected and
    contracted in blocks, so that their memory stays bounded.
    """

    __slots__ = ("half", "left", "owned", "right", "rows", "total", "waiting", "xp")
    left: list[Array]
    right: list[Array]
    rows: list[Array]

    def __init__(self, xp: Any, first: Any = None) -> None:
        self.xp = xp
        self.total: Any = None
        self.owned = self.half = False
        self.left = self.right = self.rows = NONE  # lists, once there are factors
        self.waiting = 0
        if type(first) in BY_ARRAY_TYPE:
            self.total = first
        elif first is not None:
            self.add(first)

    def add(self, contribution: Any) -> None:
        kind = type(contribution)
        if kind is IndexedSlice:
            if not self.owned:  # the first dense array in which later slices are added in place
                self._begin(contribution.dense())
            else:
                part = self.total[contribution.index]
                if type(part) in BY_ARRAY_TYPE:
                    part += contribution.g  # a view; `total[index] += g` would copy it onto itself afterwards
                else:
                    self.total[contribution.index] = part + contribution.g
        elif self.owned and kind is not OuterProduct and kind is not RowSum:  # the third array and all later ones
            if contribution.size > SMALL:
                self.total += contribution
            else:
                self.total = self.total + contribution
        elif kind is OuterProduct:  # factors wait, until they are many or take more memory than the weight
            if self.left is NONE:
                self.left, self.right = [], []
            self.left.append(contribution.left)
            self.right.append(contribution.right)
            self.waiting += contribution.left.size + contribution.right.size
            if self.waiting > BLOCK and self.waiting > 4 * math.prod(contribution.shape):
                self._contract()
        elif kind is RowSum:  # rows wait in the same way
            if self.rows is NONE:
                self.rows = []
            self.rows.append(contribution.rows)
            self.waiting += contribution.rows.size
            if self.waiting > BLOCK:
                self._contract()
        elif self.total is None:  # the first array: borrowed, since another node may hold it
            self.total = contribution
        else:
            self._begin(contribution)

    def _begin(self, contribution: Array) -> None:
        """Add to what may be borrowed: the sum is new memory, so the pool may write into it from now on."""
        self.half = contribution.dtype.char == "e"
        if self.half:
            contribution = contribution.astype("float32")
        self.total = contribution if self.total is None else self.total + contribution
        self.owned = True

    def _joined(self, parts: list[Array]) -> Array:
        return parts[0] if len(parts) == 1 else self.xp.concatenate(parts)

    def _contract(self) -> None:
        """Add the product of the waiting factors, and the sum of the waiting rows, to the total."""
        sums: list[Array] = []
        if self.left:
            sums.append(OuterProduct(self._joined(self.left), self._joined(self.right)).dense())
            self.left = self.right = NONE
        if self.rows:
            sums.append(RowSum(self._joined(self.rows)).dense())
            self.rows = NONE
        self.waiting = 0
        for dense in sums:
            if self.owned:
                self.add(dense)
            else:
                self._begin(dense)  # nobody else holds a new array

    def result(self, keep_factors: bool = False) -> tuple[Any, bool]:
        """Return the sum, and whether its memory is the pool's own. `keep_factors`: pure `OuterProduct`s stay one."""
        if keep_factors and self.left and self.total is None and not self.rows:
            return OuterProduct(self._joined(self.left), self._joined(self.right)), True
        if self.left or self.rows:  # not `waiting`: factors of no rows have no elements
            self._contract()
        return (self.total.astype("float16") if self.half else self.total), self.owned


def unbroadcast(xp: Any, g: Any, shape: tuple[int, ...], defer: bool, op: str = "") -> Any:
    """Sum `g` over the axes along which a value of `shape` was broadcast to `g.shape` in the operation `op`.

    With `defer`, a sum over leading axes only is returned as a `RowSum`, which the pool finishes.

    Raises:
        ValueError: `shape` does not broadcast to `g.shape`.
    """
    extra = g.ndim - len(shape)
    if extra and g.shape[extra:] == shape:
        if defer and len(shape) == 1 and (rows := math.prod(g.shape[:extra])) < MANY:
            return RowSum(g if extra == 1 else g.reshape((rows, *shape)))
        return accurate_sum(g, tuple(range(extra)) if extra > 1 else 0)
    if extra < 0:
        raise wrong_shape(op, g.shape, shape)
    stretched = tuple(k for k, n in enumerate(shape, extra) if n == 1 and g.shape[k] != 1)
    if any(n not in (1, g.shape[k]) for k, n in enumerate(shape, extra)):
        raise wrong_shape(op, g.shape, shape)
    if stretched:
        g = accurate_sum(g, stretched, keepdims=True)
    return accurate_sum(g, tuple(range(extra))) if extra else g


UNFINISHED = frozenset((OuterProduct, RowSum, PerStepSum, IndexedSlice))
"""What a rule may return in place of an array."""


def in_dtype(contribution: Any, dtype: Any, xp: Any) -> Any:
    """Convert to the parent's dtype. A real parent takes the real part, since the loss changes by Re(g·dx)."""
    if contribution.dtype.kind == "c" and dtype.kind != "c":
        contribution = xp.real(contribution.dense() if type(contribution) in UNFINISHED else contribution)
    return contribution if contribution.dtype == dtype else contribution.astype(dtype)


def wrong_shape(op: str, got: tuple[int, ...], want: tuple[int, ...]) -> ValueError:
    """Return the error for a rule's gradient of another shape than its input's."""
    return ValueError(
        f"backward: the rule of '{op}' returned a gradient of shape {got} for an input of shape {want}; want the "
        "input's shape, or the shape to which the operation broadcast it"
    )
