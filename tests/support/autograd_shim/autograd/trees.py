"""Trees of numbers and arrays in lists, tuples and dicts, which are the arguments of autograd's functions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import minigrad as mg

depth = 0
"""The number of functions being differentiated around the running code. At 0 nothing is a tensor."""


class Tracing:
    """Context manager around a function that is being differentiated."""

    def __enter__(self) -> None:
        global depth
        depth += 1

    def __exit__(self, *_: Any) -> None:
        global depth
        depth -= 1


def leaves(tree: Any) -> list[Any]:
    return list(_leaves(tree))


def _leaves(tree: Any) -> Iterator[Any]:
    if isinstance(tree, (list, tuple)):
        for part in tree:
            yield from _leaves(part)
    elif isinstance(tree, dict):
        for key in sorted(tree):
            yield from _leaves(tree[key])
    else:
        yield tree


def rebuilt(tree: Any, values: list[Any]) -> Any:
    """Return a tree of the same structure with these leaves."""
    rest = iter(values)

    def build(part: Any) -> Any:
        if isinstance(part, (list, tuple)):
            return (list if isinstance(part, list) else tuple)(build(p) for p in part)
        if isinstance(part, dict):
            values_by_key = {key: build(part[key]) for key in sorted(part)}
            return {key: values_by_key[key] for key in part}
        return next(rest)

    return build(tree)


def mapped(function: Callable[[Any], Any], tree: Any) -> Any:
    return rebuilt(tree, [function(leaf) for leaf in leaves(tree)])


def tensors_in(*trees: Any) -> bool:
    return any(isinstance(leaf, mg.Tensor) for leaf in _leaves(trees))


def plain(leaf: Any) -> Any:
    """Return a tensor's number or array; return anything else as it is."""
    return leaf.detach().numpy()[()] if isinstance(leaf, mg.Tensor) else leaf


def outward(tree: Any) -> Any:
    """Return plain numbers and arrays, unless the caller is being differentiated too."""
    return tree if depth else mapped(plain, tree)


def array(leaf: Any) -> Any:
    """Return a leaf as a floating-point array.

    Raises:
        TypeError: the leaf is not a number or a numeric array.
    """
    leaf = plain(leaf)
    if isinstance(leaf, (bool, np.bool_)) or not isinstance(leaf, (int, float, complex, np.ndarray, np.generic)):
        raise TypeError(f"Can't find vector space for value {leaf!r} of type {type(leaf)}")
    a = np.asarray(leaf)
    if a.dtype.kind not in "fciu":
        raise TypeError(f"Can't find vector space for value of dtype {a.dtype}")
    return a if a.dtype.kind in "fc" else a.astype(np.float64)


class VSpace:
    """autograd's vector space: a tree's structure, shapes and dtypes."""

    def __init__(self, value: Any) -> None:
        self.like = mapped(array, value)
        self.arrays = leaves(self.like)
        self.size = sum(a.size for a in self.arrays)
        self.iscomplex = any(a.dtype.kind == "c" for a in self.arrays)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, VSpace) and repr(self) == repr(other)

    def __repr__(self) -> str:
        return repr(mapped(lambda a: f"{a.shape} {a.dtype}", self.like))

    @property
    def shape(self) -> tuple[int, ...]:
        (one,) = self.arrays
        return tuple(one.shape)

    def _each(self, make: Callable[[Any], Any]) -> Any:
        return mapped(lambda a: np.asarray(make(a), a.dtype)[()], self.like)

    def zeros(self) -> Any:
        return self._each(np.zeros_like)

    def ones(self) -> Any:
        return self._each(np.ones_like)

    def randn(self) -> Any:
        """Return random values, drawn as autograd draws them."""
        draw = np.random.randn

        def of(a: Any) -> Any:
            real = np.array(draw(*a.shape))
            return real + 1j * np.array(draw(*a.shape)) if a.dtype.kind == "c" else real

        return self._each(of)

    def standard_basis(self) -> Iterator[Any]:
        (one,) = self.arrays
        for place in np.ndindex(one.shape):
            unit = np.zeros_like(one)
            unit[place] = 1
            yield unit[()]

    def covector(self, x: Any) -> Any:
        return mapped(np.conj, x)

    def add(self, x: Any, y: Any, scale: float = 1.0) -> Any:
        """Return x + scale · y."""
        moved = [np.asarray(a + scale * b)[()] for a, b in zip(leaves(x), leaves(y), strict=True)]
        return rebuilt(self.like, moved)

    def inner_prod(self, x: Any, y: Any) -> float:
        pairs = zip(leaves(x), leaves(y), strict=True)
        return float(sum(np.real(np.vdot(np.ravel(a), np.ravel(b))) for a, b in pairs))


def vspace(value: Any) -> VSpace:
    return VSpace(value)
