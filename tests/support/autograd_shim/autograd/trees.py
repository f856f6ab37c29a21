"""What the arguments of autograd's functions are: numbers and arrays, in lists, tuples and dicts of any depth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import minigrad as mg

depth = 0
"""How many functions are being differentiated around the running code. Outside, nothing is a tensor."""


class Tracing:
    """Inside, a function runs whose derivatives are wanted."""

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
    """A tree of the same structure, with these leaves."""
    rest = iter(values)

    def build(part: Any) -> Any:
        if isinstance(part, (list, tuple)):
            return (list if isinstance(part, list) else tuple)(build(p) for p in part)
        if isinstance(part, dict):
            made = {key: build(part[key]) for key in sorted(part)}
            return {key: made[key] for key in part}
        return next(rest)

    return build(tree)


def mapped(function: Callable[[Any], Any], tree: Any) -> Any:
    return rebuilt(tree, [function(leaf) for leaf in leaves(tree)])


def tensors_in(*trees: Any) -> bool:
    return any(isinstance(leaf, mg.Tensor) for leaf in _leaves(trees))


def plain(leaf: Any) -> Any:
    """A tensor as the number or array that it holds."""
    return leaf.detach().numpy()[()] if isinstance(leaf, mg.Tensor) else leaf


def outward(tree: Any) -> Any:
    """What is handed to the caller: plain numbers and arrays, unless he is being differentiated himself."""
    return tree if depth else mapped(plain, tree)


def array(leaf: Any) -> Any:
    """A leaf as a floating-point array.

    Raises:
        TypeError: it is none, nor something that can stand for one.
    """
    leaf = plain(leaf)
    if isinstance(leaf, (bool, np.bool_)) or not isinstance(leaf, (int, float, complex, np.ndarray, np.generic)):
        raise TypeError(f"Can't find vector space for value {leaf!r} of type {type(leaf)}")
    made = np.asarray(leaf)
    if made.dtype.kind not in "fciu":
        raise TypeError(f"Can't find vector space for value of dtype {made.dtype}")
    return made if made.dtype.kind in "fc" else made.astype(np.float64)


class VSpace:
    """The vectors of a value's kind: autograd's name for a tree's structure, shapes and dtypes."""

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
        """Drawn as autograd draws them, so that its tests see the numbers that their authors saw."""
        draw = np.random.randn

        def of(a: Any) -> Any:
            made = np.array(draw(*a.shape))
            return made + 1j * np.array(draw(*a.shape)) if a.dtype.kind == "c" else made

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
        """x + scale · y"""
        moved = [np.asarray(a + scale * b)[()] for a, b in zip(leaves(x), leaves(y), strict=True)]
        return rebuilt(self.like, moved)

    def inner_prod(self, x: Any, y: Any) -> float:
        pairs = zip(leaves(x), leaves(y), strict=True)
        return float(sum(np.real(np.vdot(np.ravel(a), np.ravel(b))) for a, b in pairs))


def vspace(value: Any) -> VSpace:
    return VSpace(value)
