"""Write into a copy of an array: tensors themselves are never written in place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...backend import is_array
from ...engine.gradient_pool import unbroadcast
from ...engine.primitive import call_in, composed, primitive
from ...engine.tensor import Tensor
from ..arrays.conversion import array_like, backend_at
from ..arrays.joining import concatenate
from ..arrays.shape import broadcast_to, ndim, ravel, reshape, shape
from ..elementwise.arithmetic import add, divide, maximum, minimum, multiply, negative, where
from .gather import along_axis, constant_index, flat_positions, getitem, is_unique, put_repeated, take

Array = Any
__all__ = ["at", "put_along_axis"]


@primitive
def _set_at(xp: Any, x: Array, values: Array, index: Any) -> Any:
    """A copy of `x` with `values` at `index`; the last value counts where it names an element more than once."""
    y = x.copy()
    value_xp, axes, unique, form = xp, ndim(values), is_unique(index), shape(values)
    if unique or not axes or xp is np:
        y[index] = values
    else:  # a device writes in any order, so all writers to an element write the last one's value
        picked = y[index].shape
        last, _ = _last_writers(xp, index, x.shape)
        y[index] = xp.broadcast_to(values, picked).reshape(-1)[last].reshape(picked)

    def by_values(xp: Any, g: Array) -> Array:
        dv = g[index]
        if not unique:
            last, own = _last_writers(value_xp, index, g.shape)
            dv = xp.where((last == own).reshape(dv.shape), dv, xp.zeros_like(dv))
        # Values may have leading axes of length one that the index has not.
        dv = xp.reshape(dv, (1,) * (axes - dv.ndim) + tuple(dv.shape)) if dv.ndim < axes else dv
        return unbroadcast(xp, dv, form, defer=False)

    return y, (), (lambda xp, g: call_in(xp, _set_at, g, 0.0, index=index), by_values)


def _last_writers(xp: Any, index: Any, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """For every element that an index picks, the number of the last pick of the same element, and its own number."""
    positions = flat_positions(xp, index, shape)
    order = xp.argsort(positions, kind="stable")
    return order[xp.searchsorted(positions[order], positions, side="right") - 1], xp.arange(positions.shape[0])


@primitive
def _add_at(xp: Any, x: Array, values: Array, index: Any) -> Any:
    """A copy of `x` with `values` added at `index`, as often as it names an element."""
    y, form = x.copy(), shape(values)
    if is_unique(index):
        y[index] += values
    else:
        spread = xp.broadcast_to(xp.asarray(values, dtype=x.dtype), y[index].shape)
        y += put_repeated(xp, spread, index, x.shape)
    return y, (), (lambda xp, g: g, lambda xp, g: unbroadcast(xp, g[index], form, defer=False))


@primitive
def _extreme_at(xp: Any, x: Array, values: Array, index: Any, largest: bool) -> Any:
    """The larger, or smaller, of `x` and all `values` that `index` sends to an element; equal ones share the gradient.

    A NaN equals nothing: no gradient passes.
    """
    y, form = x.copy(), shape(values)
    values = xp.broadcast_to(xp.asarray(values, dtype=x.dtype), y[index].shape)
    (xp.maximum if largest else xp.minimum).at(y, index, values)
    x_wins, value_wins = (x == y).astype(x.dtype), (values == y[index]).astype(x.dtype)
    winners = xp.maximum(x_wins + put_repeated(xp, value_wins, index, x.shape), 1)
    saved = (x_wins / winners, value_wins / winners[index])

    def by_values(xp: Any, g: Array, of_x: Array, of_values: Array) -> Array:
        return unbroadcast(xp, g[index] * of_values, form, defer=False)

    return y, saved, (lambda xp, g, of_x, of_values: g * of_x, by_values)


class At:
    """The result of `at(x)`: `at(x)[index]` is an `IndexedUpdate`."""

    __slots__ = ("x",)

    def __init__(self, x: Any) -> None:
        self.x = x

    def __getitem__(self, index: Any) -> IndexedUpdate:
        return IndexedUpdate(self.x, constant_index(self.x, index))


class IndexedUpdate:
    """Updates of some elements of an array; each method returns a new tensor and leaves the array unchanged.

    Gradients flow to the array and to the values, which broadcast to the elements. The dtype is the array's.
    """

    __slots__ = ("index", "x")

    def __init__(self, x: Any, index: Any) -> None:
        self.x, self.index = x, index

    def get(self) -> Tensor:
        """The elements: `x[index]`."""
        return getitem(self.x, self.index)

    def set(self, values: Any) -> Tensor:
        """Replace the elements by `values`. The last value counts, and gets the gradient, at a repeated index."""
        if self._by_mask(values):
            return self._where_masked(values)
        return _set_at(self.x, self._like_x(values), index=self.index)

    def add(self, values: Any) -> Tensor:
        """Add `values`, as often as the index names an element, always in the same order."""
        if self._by_mask(values):
            return self._where_masked(add(self.x, values))
        return _add_at(self.x, self._like_x(values), index=self.index)

    def subtract(self, values: Any) -> Tensor:
        """Subtract `values`, as often as the index names an element."""
        return self.add(negative(values) if isinstance(values, Tensor) else -self._like_x(values))

    def multiply(self, values: Any) -> Tensor:
        """Multiply by `values`, as often as the index names an element."""
        if self._at_once(values):
            return self._update(multiply, values)
        picked = self.get()
        return self.set(picked * _products(self.x, broadcast_to(self._like_x(values), picked.shape), self.index))

    def divide(self, values: Any) -> Tensor:
        """Divide by `values`, as often as the index names an element."""
        if self._at_once(values):
            return self._update(divide, values)
        return self.multiply(divide(1.0, self._like_x(values)))

    def max(self, values: Any) -> Tensor:
        """The larger of the element and all `values` for it; equal ones share the gradient."""
        if self._at_once(values):
            return self._update(maximum, values)
        return _extreme_at(self.x, self._like_x(values), index=self.index, largest=True)

    def min(self, values: Any) -> Tensor:
        """The smaller of the element and all `values` for it; equal ones share the gradient."""
        if self._at_once(values):
            return self._update(minimum, values)
        return _extreme_at(self.x, self._like_x(values), index=self.index, largest=False)

    def _by_mask(self, values: Any) -> bool:
        """Whether the index is one mask and `values` a single value: `where` does it without synchronising."""
        return is_array(self.index) and self.index.dtype == bool and not ndim(values) and not isinstance(values, list)

    def _at_once(self, values: Any) -> bool:
        """Whether no element is updated more than once."""
        return self._by_mask(values) or is_unique(self.index)

    def _update(self, function: Callable[[Any, Any], Tensor], values: Any) -> Tensor:
        """`function(element, value)` in place of elements that are updated once."""
        if self._by_mask(values):
            return self._where_masked(function(self.x, values))
        return self.set(function(self.get(), values))

    def _where_masked(self, y: Any) -> Tensor:
        mask = self.index.reshape(self.index.shape + (1,) * (ndim(self.x) - self.index.ndim))
        result = where(mask, y, self.x)
        return result if result.dtype == self.x.dtype else result.astype(self.x.dtype)

    def _like_x(self, values: Any) -> Any:
        return array_like(values, self.x) if isinstance(values, (list, tuple)) else values


def at(x: Any) -> At:
    """Update elements in a copy of `x`: `at(x)[index].set(v)`, `.add`, `.multiply`, `.max`, `.min`, ….

    As JAX's `x.at[index]`; `index` is of any kind that `x[index]` takes.
    """
    return At(x)


def _products(x: Any, values: Tensor, index: Any) -> Tensor:
    """For every element that an index picks the product of all values for it.

    Sorted by position, runs of equal positions are multiplied by doubling: log₂ n steps, no division, a fixed order.
    """
    xp = backend_at(x).xp
    positions = flat_positions(xp, index, shape(x))
    order = xp.argsort(positions, kind="stable")
    run = positions[order]
    products, step = take(ravel(values), order, 0), 1
    while step < run.shape[0]:
        same = run[step:] == run[:-step]
        factor = where(same, products[:-step], xp.ones_like(same, dtype=values.dtype))
        products = concatenate([products[:step], products[step:] * factor])
        step *= 2
    last = xp.searchsorted(run, positions, side="right") - 1
    return reshape(take(products, last, 0), values.shape)


@composed
def put_along_axis(x: Any, indices: Any, values: Any, axis: int | None) -> Tensor:
    """A copy of `x` with `values` at the elements that `take_along_axis` with these indices reads.

    NumPy's function of this name writes into its argument and returns None; tensors are not written in place.
    """
    if axis is None:
        return reshape(at(ravel(x))[indices].set(values), shape(x))
    indices = constant_index(x, indices)
    return at(x)[along_axis(backend_at(x).xp, indices, axis, shape(x))].set(values)
