"""Einstein's summation, taken apart into sums, products of matrices, and products element by element.

Whatever it is made of has a rule, so it has derivatives of every order; and since its products of matrices are
`matmul`'s, the gradient of a matrix is kept as factors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from ...engine.primitive import composed, to_common_backend
from ...engine.tensor import Tensor
from ..arrays.shape import reshape, transpose
from ..elementwise.arithmetic import multiply, positive
from ..indexing.gather import getitem
from ..reductions.reductions import sum as sum_over
from .matrix_products import matmul

Array = Any
Label = Any
Step = tuple[Any, tuple[int, ...], tuple[Any, ...]]
"""An operation, the places of what it takes among the inputs and earlier results, and its options."""
__all__ = ["einsum"]


@composed
def einsum(*operands: Any, optimize: Any = False) -> Tensor:
    """The sum over products that the subscripts say, such as `einsum("bij,bjk->bik", a, b)`, in all of NumPy's forms.

    Repeated labels within one array take its diagonal, an ellipsis stands for axes that broadcast, without an arrow
    the labels that occur once are the result's in their order, and `einsum(a, [0, 1], b, [1, 2], [0, 2])` needs no
    letters. Arrays are multiplied two at a time: from left to right, or with `optimize` (True, "greedy", "optimal", or
    a path as `numpy.einsum_path` gives it) in the order that costs least.

    Raises:
        ValueError: the subscripts do not fit the arrays, or name in the result what no array has.
    """
    if len(operands) < 2:
        raise ValueError(f"einsum: got {'no array' if operands else 'nothing'}, want subscripts and arrays")
    caller: Any = operands[0]
    if isinstance(caller, str):
        values = list(operands[1:])
    else:
        n = len(operands) // 2
        values = list(operands[: 2 * n : 2])
        inputs = tuple(tuple(part) for part in operands[1 : 2 * n : 2])
        caller = (inputs, tuple(operands[-1]) if len(operands) % 2 else None)
    if any(type(a) in (list, tuple) for a in values):
        plain = [list(a) if type(a) is tuple else a._data if isinstance(a, Tensor) else a for a in values]
        values = [a if isinstance(a, Tensor) else b for a, b in zip(values, to_common_backend(None, plain)[1])]
    shapes = tuple(a.shape if hasattr(a, "shape") else () for a in values)
    for operation, places, options in _plan(caller, shapes, tuple(optimize) if type(optimize) is list else optimize):
        values.append(operation(*(values[k] for k in places), *options))
    return values[-1] if isinstance(values[-1], Tensor) else positive(values[-1])


# What is asked for


def _labels(
    parts: tuple[tuple[Label, ...], ...], wanted: tuple[Label, ...] | None, ranks: tuple[int, ...]
) -> tuple[tuple[tuple[Label, ...], ...], tuple[Label, ...]]:
    """A label for each axis of each array, and of the result."""
    if len(parts) != len(ranks):
        raise ValueError(f"einsum: got {len(ranks)} arrays, want one for each of the {len(parts)} subscripts")
    labels = tuple(_expanded(part, n) for part, n in zip(parts, ranks))
    dots = max((_dots(of_a) for of_a in labels), key=len, default=())
    if wanted is None:
        every = [label for of_a in labels for label in of_a if not isinstance(label, _Dot)]
        return labels, (*dots, *sorted(label for label in set(every) if every.count(label) == 1))
    if dots and Ellipsis not in wanted:
        raise ValueError("einsum: the result has no ellipsis for the axes that stand under one")
    result = tuple(label for part in wanted for label in (dots if part is Ellipsis else (part,)))
    for label in result:
        if result.count(label) > 1 or not any(label in of_a for of_a in labels):
            raise ValueError(f"einsum: the result's subscript {label!r} is there twice, or in no array")
    return labels, result


class _Dot(NamedTuple):
    """The label of an axis under an ellipsis: its place, counted from the ellipsis's right end."""

    place: int


def _dots(labels: Sequence[Label]) -> tuple[Label, ...]:
    return tuple(label for label in labels if isinstance(label, _Dot))


def _letters(part: str) -> tuple[Label, ...]:
    before, dots, after = part.partition("...")
    letters = (*before, *([Ellipsis] if dots else []), *after)
    for letter in letters:
        if letter is not Ellipsis and not letter.isalpha():
            raise ValueError(f"einsum: subscripts: got {letter!r} in {part!r}, want letters and one '...'")
    return letters


def _expanded(part: tuple[Label, ...], n: int) -> tuple[Label, ...]:
    """The labels of an array of `n` axes, each axis under the ellipsis with one of its own."""
    under = n - len(part) + part.count(Ellipsis)
    if part.count(Ellipsis) > 1 or under < 0 or (under and Ellipsis not in part):
        raise ValueError(f"einsum: got an array of {n} axes for the subscripts {part}")
    return tuple(x for label in part for x in (map(_Dot, range(under, 0, -1)) if label is Ellipsis else (label,)))


def _check_sizes(shapes: Sequence[tuple[int, ...]], labels: Sequence[Sequence[Label]]) -> None:
    sizes: dict[Label, int] = {}
    for shape, of_a in zip(shapes, labels):
        for size, label in zip(shape, of_a):
            if sizes.setdefault(label, size) != size and 1 not in (size, sizes[label]):
                raise ValueError(f"einsum: subscript {label!r}: got sizes {sizes[label]} and {size}")
            sizes[label] = size if sizes[label] == 1 else sizes[label]


def _path(terms: list[Term], result: Sequence[Label], optimize: Any) -> list[tuple[int, ...]]:
    """Which terms to multiply at each step; what comes out goes to the end of the list."""
    everything = tuple(range(len(terms)))
    if optimize is False or len(terms) < 3:
        return [everything]
    if not isinstance(optimize, (bool, str)) and optimize[0] == "einsum_path":
        return [tuple(step) for step in optimize[1:]]
    numbers = {label: k for k, label in enumerate(dict.fromkeys(x for _, of_a in terms for x in of_a))}
    stand_ins: list[Any] = []
    for a, of_a in terms:
        stand_ins += [np.broadcast_to(np.empty(()), a.shape), [numbers[label] for label in of_a]]
    found = np.einsum_path(*stand_ins, [numbers[label] for label in result], optimize=optimize)[0]
    return [tuple(step) for step in found[1:]]


# What is done


class _Sketch:
    """An array of a plan: its place among those at hand, its shape, and the steps that the plan has so far."""

    def __init__(self, place: int, shape: tuple[int, ...], plan: list[Step], inputs: int) -> None:
        self.place, self.shape, self.plan, self.inputs = place, shape, plan, inputs

    def then(self, operation: Any, shape: Sequence[int], *options: Any, beside: _Sketch | None = None) -> _Sketch:
        """What an operation will make of it, and of another array where it takes two."""
        self.plan.append((operation, (self.place,) if beside is None else (self.place, beside.place), options))
        return _Sketch(self.inputs + len(self.plan) - 1, tuple(shape), self.plan, self.inputs)


Term = tuple[_Sketch, tuple[Label, ...]]
"""An array and the label of each of its axes."""


@lru_cache(maxsize=1024)
def _plan(caller: Any, shapes: tuple[tuple[int, ...], ...], optimize: Any) -> list[Step]:
    """The steps from arrays of these shapes to the result, which is what the last one makes."""
    if isinstance(caller, str):
        inputs, arrow, output = caller.replace(" ", "").partition("->")
        caller = tuple(_letters(part) for part in inputs.split(",")), _letters(output) if arrow else None
    parts, wanted = caller
    labels, result = _labels(parts, wanted, tuple(map(len, shapes)))
    _check_sizes(shapes, labels)
    plan: list[Step] = []
    sketches = [_Sketch(k, shape, plan, len(shapes)) for k, shape in enumerate(shapes)]
    terms: list[Term] = [_diagonal(a, of_a) for a, of_a in zip(sketches, labels)]
    for places in _path(terms, result, optimize):
        chosen = [terms.pop(k) for k in sorted(places, reverse=True)][::-1]
        term = chosen[0]
        for k, other in enumerate(chosen[1:], 2):
            kept = set(result).union(*(of_a for _, of_a in (*terms, *chosen[k:])))
            term = _pair(term, other, kept)
        terms.append(term)
    array, of_array = _summed(*terms[0], set(result))
    _ordered(array, of_array, result)
    return plan


def _diagonal(a: _Sketch, labels: tuple[Label, ...]) -> Term:
    """The diagonal over every axis whose label is there already."""
    for label in dict.fromkeys(labels):
        while labels.count(label) > 1:
            k = labels.index(label)
            last = len(labels) - 1 - labels[::-1].index(label)
            n, m = a.shape[k], a.shape[last]
            if n != m:
                raise ValueError(f"einsum: subscript {label!r}: got sizes {n} and {m} in one array")
            rest = [axis for axis in range(len(labels)) if axis not in (k, last)]
            sizes = [a.shape[axis] for axis in rest]
            a = a.then(transpose, (*sizes, n, n), (*rest, k, last)).then(reshape, (*sizes, n * n), (*sizes, n * n))
            a = a.then(getitem, (*sizes, n), (..., slice(None, None, n + 1)))
            labels = (*(labels[axis] for axis in rest), label)
    return a, labels


def _summed(a: _Sketch, labels: tuple[Label, ...], kept: set[Label]) -> Term:
    """Without the axes that nothing needs any more."""
    gone = tuple(k for k, label in enumerate(labels) if label not in kept)
    if not gone:
        return a, labels
    left = [k for k in range(len(labels)) if k not in gone]
    return a.then(sum_over, [a.shape[k] for k in left], gone), tuple(labels[k] for k in left)


def _ordered(a: _Sketch, labels: tuple[Label, ...], order: Sequence[Label]) -> _Sketch:
    axes = tuple(labels.index(label) for label in order)
    return a if axes == tuple(range(len(axes))) else a.then(transpose, [a.shape[k] for k in axes], axes)


def _in_shape(a: _Sketch, shape: tuple[int, ...]) -> _Sketch:
    return a if a.shape == shape else a.then(reshape, shape, shape)


def _pair(left: Term, right: Term, kept: set[Label]) -> Term:
    """The product of two terms, summed over what is not `kept`."""
    a, of_a = _summed(*left, kept.union(right[1]))
    b, of_b = _summed(*right, kept.union(of_a))
    for label in [label for label in of_a if label in of_b and label not in kept]:
        if a.shape[of_a.index(label)] != b.shape[of_b.index(label)]:  # one is stretched: the sum is the other's
            a, of_a = _summed(a, of_a, {*of_a} - {label})
            b, of_b = _summed(b, of_b, {*of_b} - {label})
    if all(label in kept for label in of_a if label in of_b):
        order = (*of_a, *(label for label in of_b if label not in of_a))
        a, b = _stretchable(a, of_a, order), _stretchable(b, of_b, order)
        return a.then(multiply, np.broadcast_shapes(a.shape, b.shape), beside=b), order
    if len(of_b) > len(of_a):  # a matrix, which may be a weight, goes to the right as it is
        a, of_a, b, of_b = b, of_b, a, of_a
    return _matrix_product(a, of_a, b, of_b, kept)


def _stretchable(a: _Sketch, labels: tuple[Label, ...], order: Sequence[Label]) -> _Sketch:
    """Axes in that order, of length one where the array has none, but for those in front, which NumPy adds itself."""
    own = [label for label in order if label in labels]
    a = _ordered(a, labels, own)
    sizes = dict(zip(own, a.shape))
    first = order.index(own[0]) if own else len(order)
    return _in_shape(a, tuple(sizes.get(label, 1) for label in order[first:]))


def _matrix_product(a: _Sketch, of_a: Sequence[Label], b: _Sketch, of_b: Sequence[Label], kept: set[Label]) -> Term:
    both = [label for label in of_a if label in of_b]
    batch, inner = [x for x in both if x in kept], [x for x in both if x not in kept]
    rows, columns = [x for x in of_a if x not in both], [x for x in of_b if x not in both]
    a = _ordered(a, tuple(of_a), [*batch, *rows, *inner])
    b = _ordered(b, tuple(of_b), [*batch, *inner, *columns])
    n, i = len(batch), len(batch) + len(inner)
    stack, height, width = np.broadcast_shapes(a.shape[:n], b.shape[:n]), a.shape[n : n + len(rows)], b.shape[i:]
    sizes, depth = (*stack, *height, *width), math.prod(b.shape[n:i])
    if batch or not rows or not columns:  # of a stack times one matrix `matmul` itself lays the rows under each other
        height = (math.prod(height),)
    if columns or batch:
        width = (math.prod(width),)
        b = _in_shape(b, (*b.shape[:n], depth, *width))
    else:
        b, height = _in_shape(b, (depth,)), height if rows else ()
    a = _in_shape(a, (*a.shape[:n], *height, depth))
    return _in_shape(a.then(matmul, (*stack, *height, *width), beside=b), sizes), (*batch, *rows, *columns)
