"""A copy of an array with other values at some places, for tensors are never written in place."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backend import is_array
from ...engine.primitive import call_in, composed, primitive
from ...engine.tensor import Tensor
from ..arrays.joining import concatenate
from ..arrays.shape import broadcast_to, ndim, ravel, reshape, shape
from ..elementwise.arithmetic import divide, maximum, minimum, multiply, negative, where
from .gather import along_axis, backend_at, flat_places, getitem, is_unique, put_repeated, settled, take

Array = Any
__all__ = ["at", "put_along_axis"]


@primitive
def _set_at(xp: Any, x: Array, values: Array, index: Any) -> Any:
    """A copy of `x` with `values` at `index`; the last one where it names a place more than once."""
    y = x.copy()
    here, axes, once = xp, ndim(values), is_unique(index)
    if once or not axes or xp is np:
        y[index] = values
    else:  # all that write to one place write the same, in whatever order a device lets them
        picked = y[index].shape
        writers, _ = _last_writers(xp, index, x.shape)
        spread = xp.broadcast_to(values, picked)
        y[index] = spread.reshape(-1)[writers].reshape(picked)

    def by_values(xp: Any, g: Array) -> Array:
        found = g[index]
        if not once:
            writers, own = _last_writers(here, index, g.shape)
            found = xp.where((writers == own).reshape(found.shape), found, xp.zeros_like(found))
        return _with_axes(xp, found, axes)

    return y, (), (lambda xp, g: call_in(xp, _set_at, g, 0.0, index=index), by_values)


def _last_writers(xp: Any, index: Any, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """For every pick of an index the number of the last one at its place, and its own number."""
    places = flat_places(xp, index, shape)
    order = xp.argsort(places, kind="stable")
    return order[xp.searchsorted(places[order], places, side="right") - 1], xp.arange(places.shape[0])


def _with_axes(xp: Any, g: Array, axes: int) -> Array:
    """Axes of length one in front that were left out when values were written."""
    return xp.reshape(g, (1,) * (axes - g.ndim) + tuple(g.shape)) if g.ndim < axes else g


@primitive
def _add_at(xp: Any, x: Array, values: Array, index: Any) -> Any:
    """A copy of `x` with `values` added at `index`, as often as it names a place."""
    y = x.copy()
    if is_unique(index):
        y[index] += values
    else:
        spread = xp.broadcast_to(xp.asarray(values, dtype=x.dtype), y[index].shape)
        y += put_repeated(xp, spread, index, x.shape)
    return y, (), (lambda xp, g: g, lambda xp, g: g[index])


@primitive
def _extreme_at(xp: Any, x: Array, values: Array, index: Any, largest: bool) -> Any:
    """The larger, or smaller, of `x` and all `values` that `index` brings to a place; equal ones share the gradient."""
    y = x.copy()
    values = xp.broadcast_to(xp.asarray(values, dtype=x.dtype), y[index].shape)
    (xp.maximum if largest else xp.minimum).at(y, index, values)
    kept, chosen = (x == y).astype(x.dtype), (values == y[index]).astype(x.dtype)
    winners = xp.maximum(kept + put_repeated(xp, chosen, index, x.shape), 1)  # of a NaN none is chosen
    kept, chosen = kept / winners, chosen / winners[index]
    rules = (lambda xp, g, kept, chosen: g * kept, lambda xp, g, kept, chosen: g[index] * chosen)
    return y, (kept, chosen), rules


class At:
    """What `at(x)` gives: ask it for places by an index of any kind."""

    __slots__ = ("x",)

    def __init__(self, x: Any) -> None:
        self.x = x

    def __getitem__(self, index: Any) -> Places:
        return Places(self.x, settled(self.x, index))


class Places:
    """Some places of an array; each method gives a new tensor with other values there and leaves the array alone.

    Gradients flow to the array and to the values, which broadcast to the places. The dtype is the array's.
    """

    __slots__ = ("index", "x")

    def __init__(self, x: Any, index: Any) -> None:
        self.x, self.index = x, index

    def get(self) -> Tensor:
        """The values there: `x[index]`."""
        return getitem(self.x, self.index)

    def set(self, values: Any) -> Tensor:
        """With `values` there: the last one, which has the gradient, where the index names a place more than once."""
        if self._masked(values):
            return self._by_mask(values)
        return _set_at(self.x, self._like_x(values), index=self.index)

    def add(self, values: Any) -> Tensor:
        """With `values` added there, as often as the index names a place, always in the same order."""
        if self._masked(values):
            return self._by_mask(self.x + values)
        return _add_at(self.x, self._like_x(values), index=self.index)

    def subtract(self, values: Any) -> Tensor:
        """With `values` taken away there, as often as the index names a place."""
        return self.add(negative(values) if isinstance(values, Tensor) else -self._like_x(values))

    def multiply(self, values: Any) -> Tensor:
        """Multiplied by `values` there, as often as the index names a place."""
        if self._masked(values):
            return self._by_mask(multiply(self.x, values))
        picked = self.get()
        if is_unique(self.index):
            return self.set(picked * values)
        return self.set(picked * _products(self.x, broadcast_to(self._like_x(values), picked.shape), self.index))

    def divide(self, values: Any) -> Tensor:
        """Divided by `values` there, as often as the index names a place."""
        if self._masked(values) or is_unique(self.index):
            return self._by_mask(divide(self.x, values)) if self._masked(values) else self.set(self.get() / values)
        return self.multiply(divide(1.0, self._like_x(values)))

    def max(self, values: Any) -> Tensor:
        """The larger of what is there and all `values` brought there; equal ones share the gradient."""
        if self._masked(values):
            return self._by_mask(maximum(self.x, values))
        if is_unique(self.index):
            return self.set(maximum(self.get(), values))
        return _extreme_at(self.x, self._like_x(values), index=self.index, largest=True)

    def min(self, values: Any) -> Tensor:
        """The smaller of what is there and all `values` brought there; equal ones share the gradient."""
        if self._masked(values):
            return self._by_mask(minimum(self.x, values))
        if is_unique(self.index):
            return self.set(minimum(self.get(), values))
        return _extreme_at(self.x, self._like_x(values), index=self.index, largest=False)

    def _masked(self, values: Any) -> bool:
        """Whether the places are given by one mask and the values are one: then no device need be waited for."""
        return is_array(self.index) and self.index.dtype == bool and not ndim(values) and not isinstance(values, list)

    def _by_mask(self, y: Any) -> Tensor:
        mask = self.index.reshape(self.index.shape + (1,) * (ndim(self.x) - self.index.ndim))
        changed = where(mask, y, self.x)
        return changed if changed.dtype == self.x.dtype else changed.astype(self.x.dtype)

    def _like_x(self, values: Any) -> Any:
        if isinstance(values, (list, tuple)):
            return backend_at(self.x).xp.asarray(values, dtype=self.x.dtype)
        return values


def at(x: Any) -> At:
    """The places of `x` to change in a copy: `at(x)[index].set(v)`, `.add`, `.multiply`, `.max`, `.min`, ….

    As JAX's `x.at[index]`; `index` is of any kind that `x[index]` takes.
    """
    return At(x)


def _products(x: Any, values: Tensor, index: Any) -> Tensor:
    """For every pick of an index the product of all values that it brings to that place.

    Sorted by place, the product of a run grows by doubling steps: log₂ n of them, with no division and none unordered.
    """
    xp = backend_at(x).xp
    places = flat_places(xp, index, shape(x))
    order = xp.argsort(places, kind="stable")
    run = places[order]
    grown, step = take(ravel(values), order, 0), 1
    while step < run.shape[0]:
        same = run[step:] == run[:-step]
        factor = where(same, grown[:-step], xp.ones_like(same, dtype=values.dtype))
        grown = concatenate([grown[:step], grown[step:] * factor])
        step *= 2
    last = xp.searchsorted(run, places, side="right") - 1
    return reshape(take(grown, last, 0), values.shape)


@composed
def put_along_axis(x: Any, indices: Any, values: Any, axis: int | None) -> Tensor:
    """A copy of `x` with `values` where `take_along_axis` with these indices would take.

    NumPy's function of this name writes into its argument and gives nothing back; tensors are not written in place.
    """
    if axis is None:
        return reshape(at(ravel(x))[indices].set(values), shape(x))
    indices = settled(x, indices)
    return at(x)[along_axis(backend_at(x).xp, indices, axis, shape(x))].set(values)
