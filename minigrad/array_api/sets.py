"""Distinct values and membership, of the array API. Both wait for the device."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .. import ops
from ..backend import backend_of, to_numpy
from ..engine.tensor import Tensor
from ..ops.arrays.conversion import to_array


class UniqueAll(NamedTuple):
    """The distinct values (K,), their first positions, each element's position among them, and the counts."""

    values: Tensor
    indices: Tensor
    inverse_indices: Tensor
    counts: Tensor


class UniqueCounts(NamedTuple):
    """The distinct values (K,) and how often each occurs."""

    values: Tensor
    counts: Tensor


class UniqueInverse(NamedTuple):
    """The distinct values (K,) and each element's position among them."""

    values: Tensor
    inverse_indices: Tensor


def unique_all(x: Tensor, /) -> UniqueAll:
    """Return the distinct values in ascending order, with all that is known of them. Each NaN is distinct.

    A value's gradient goes to its first position.
    """
    backend = backend_of(x._array)
    found = np.unique_all(to_numpy(x._array))
    indices, inverse, counts = (Tensor(backend.from_numpy(a)) for a in found[1:])
    return UniqueAll(ops.take(ops.ravel(x), indices), indices, inverse, counts)


def unique_counts(x: Tensor, /) -> UniqueCounts:
    """Return the distinct values and how often each occurs; see `unique_all`."""
    found = unique_all(x)
    return UniqueCounts(found.values, found.counts)


def unique_inverse(x: Tensor, /) -> UniqueInverse:
    """Return the distinct values and where each element is among them; see `unique_all`."""
    found = unique_all(x)
    return UniqueInverse(found.values, found.inverse_indices)


def unique_values(x: Tensor, /) -> Tensor:
    """Return the distinct values; see `unique_all`."""
    return unique_all(x).values


def isin(x1: Any, x2: Any, /, *, invert: bool = False) -> Tensor:
    """Return whether each value of `x1` is among those of `x2`, or with `invert` whether it is not."""
    a = to_array(x1, x2)
    return Tensor(backend_of(a).xp.isin(a, to_array(x2, x1), invert=invert))


def on_constants(caller: str, name: str, *values: Any) -> Any:
    """Return the array library's function of that name on constants.

    Raises:
        TypeError: one of them is on the tape.
    """
    if any(isinstance(x, Tensor) and x.node is not None for x in values):
        raise TypeError(f"{caller}: minigrad has no rule for it; take .detach() where no gradient is needed")
    like = next((x for x in values if isinstance(x, Tensor)), None)
    arrays = [x if isinstance(x, (int, float)) else to_array(x, like) for x in values]
    xp = backend_of(next(a for a in arrays if not isinstance(a, (int, float)))).xp
    return Tensor(xp.asarray(getattr(xp, name)(*arrays)))
