"""Einstein summation, planned as a sequence of diagonals, sums, matrix products and elementwise products.

Each of these operations has a rule, so `einsum` has derivatives of every order; and since its matrix products are
`matmul`, the gradient of a matrix is kept as factors.
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
"""An operation, the positions of its arrays among the inputs and earlier results, and its options."""
__all__ = ["einsum"]


@composed
def einsum(*operands: Any, optimize: Any = False) -> Tensor:
    """The sum of products that the subscripts describe, as in `einsum("bij,bjk->bik", a, b)`, in all of NumPy's forms.

    Repeated labels within one array take its diagonal, an ellipsis stands for axes that broadcast, without an arrow
    the result has the labels that occur once in sorted order, and `einsum(a, [0, 1], b, [1, 2], [0, 2])` needs no
    letters. Arrays are multiplied two at a time: from left to right, or with `optimize` (True, "greedy", "optimal", or
    a path from `numpy.einsum_path`) in the cheapest order.

    Raises:
        ValueError: the subscripts do not fit the arrays, or the result has a label that no array has.
    """
    if len(operands) < 2:
        raise ValueError(f"einsum: got {'no array' if operands else 'nothing'}, want subscripts and arrays")
    subscripts: Any = operands[0]
    if isinstance(subscripts, str):
        values = list(operands[1:])
    else:
        n = len(operands) // 2
        values = list(operands[: 2 * n : 2])
        inputs = tuple(tuple(part) for part in operands[1 : 2 * n : 2])
        subscripts = (inputs, tuple(operands[-1]) if len(operands) % 2 else None)
    if any(type(a) in (list, tuple) for a in values):
        plain = [list(a) if type(a) is tuple else a._array if isinstance(a, Tensor) else a for a in values]
        values = [a if isinstance(a, Tensor) else b for a, b in zip(values, to_common_backend(None, plain)[1])]
    shapes = tuple(a.shape if hasattr(a, "shape") else () for a in values)
    optimize = tuple(optimize) if type(optimize) is list else optimize
    for operation, positions, options in _plan(subscripts, shapes, optimize):
        values.append(operation(*(values[k] for k in positions), *options))
    return values[-1] if isinstance(values[-1], Tensor) else positive(values[-1])


# Subscripts


def _labels(
    parts: tuple[tuple[Label, ...], ...], output: tuple[Label, ...] | None, ranks: tuple[int, ...]
) -> tuple[tuple[tuple[Label, ...], ...], tuple[Label, ...]]:
    """A label for each axis of each array and of the result."""
    if len(parts) != len(ranks):
        raise ValueError(f"einsum: got {len(ranks)} arrays, want one for each of the {len(parts)} subscripts")
    labels = tuple(_expanded(part, n) for part, n in zip(parts, ranks))
    dots = max((_dots(labels_a) for labels_a in labels), key=len, default=())
    if output is None:
        every = [label for labels_a in labels for label in labels_a if not isinstance(label, _Dot)]
        return labels, (*dots, *sorted(label for label in set(every) if every.count(label) == 1))
    if dots and Ellipsis not in output:
        raise ValueError("einsum: the result has no ellipsis, want one for the axes under the arrays' ellipsis")
    result = tuple(label for part in output for label in (dots if part is Ellipsis else (part,)))
    for label in result:
        if result.count(label) > 1 or not any(label in labels_a for labels_a in labels):
            raise ValueError(f"einsum: the result's subscript {label!r} appears twice, or in no array")
    return labels, result


class _Dot(NamedTuple):
    """The label of an axis under an ellipsis: its number, counted from the right end of the ellipsis."""

    number: int


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
    """The labels of an array of `n` axes, with a label of its own for each axis under the ellipsis."""
    under = n - len(part) + part.count(Ellipsis)
    if part.count(Ellipsis) > 1 or under < 0 or (under and Ellipsis not in part):
        raise ValueError(f"einsum: got an array of {n} axes for the subscripts {part}")
    return tuple(x for label in part for x in (map(_Dot, range(under, 0, -1)) if label is Ellipsis else (label,)))


def _check_sizes(shapes: Sequence[tuple[int, ...]], labels: Sequence[Sequence[Label]]) -> None:
    sizes: dict[Label, int] = {}
    for shape, labels_a in zip(shapes, labels):
        for size, label in zip(shape, labels_a):
            if sizes.setdefault(label, size) != size and 1 not in (size, sizes[label]):
                raise ValueError(f"einsum: subscript {label!r}: got sizes {sizes[label]} and {size}")
            sizes[label] = size if sizes[label] == 1 else sizes[label]


def _path(terms: list[Term], result: Sequence[Label], optimize: Any) -> list[tuple[int, ...]]:
    """The terms to multiply at each step; the product is then appended to the list of terms."""
    everything = tuple(range(len(terms)))
    if optimize is False or len(terms) < 3:
        return [everything]
    if not isinstance(optimize, (bool, str)) and optimize[0] == "einsum_path":
        return [tuple(step) for step in optimize[1:]]
    numbers = {label: k for k, label in enumerate(dict.fromkeys(x for _, labels_a in terms for x in labels_a))}
    operands: list[Any] = []
    for a, labels_a in terms:
        operands += [np.broadcast_to(np.empty(()), a.shape), [numbers[label] for label in labels_a]]
    path = np.einsum_path(*operands, [numbers[label] for label in result], optimize=optimize)[0]
    return [tuple(step) for step in path[1:]]


# The plan


class _Planned:
    """An input or result of a plan: its position among all of these, its shape, and the steps planned so far."""

    def __init__(self, position: int, shape: tuple[int, ...], plan: list[Step], inputs: int) -> None:
        self.position, self.shape, self.plan, self.inputs = position, shape, plan, inputs

    def then(self, operation: Any, shape: Sequence[int], *options: Any, other: _Planned | None = None) -> _Planned:
        """Add a step, an operation on this array and perhaps another, and return its result, which has `shape`."""
        self.plan.append((operation, (self.position,) if other is None else (self.position, other.position), options))
        return _Planned(self.inputs + len(self.plan) - 1, tuple(shape), self.plan, self.inputs)


Term = tuple[_Planned, tuple[Label, ...]]
"""An array and the label of each of its axes."""


@lru_cache(maxsize=1024)
def _plan(subscripts: Any, shapes: tuple[tuple[int, ...], ...], optimize: Any) -> list[Step]:
    """The steps from arrays of these shapes to the result, which the last step returns."""
    if isinstance(subscripts, str):
        inputs, arrow, output = subscripts.replace(" ", "").partition("->")
        subscripts = tuple(_letters(part) for part in inputs.split(",")), _letters(output) if arrow else None
    labels, result = _labels(subscripts[0], subscripts[1], tuple(map(len, shapes)))
    _check_sizes(shapes, labels)
    plan: list[Step] = []
    arrays = [_Planned(k, shape, plan, len(shapes)) for k, shape in enumerate(shapes)]
    terms: list[Term] = [_diagonal(a, labels_a) for a, labels_a in zip(arrays, labels)]
    for positions in _path(terms, result, optimize):
        chosen = [terms.pop(k) for k in sorted(positions, reverse=True)][::-1]
        term = chosen[0]
        for k, other in enumerate(chosen[1:], 2):
            needed = set(result).union(*(labels_a for _, labels_a in (*terms, *chosen[k:])))
            term = _pair(term, other, needed)
        terms.append(term)
    _ordered(*_summed(*terms[0], set(result)), result)
    return plan


def _diagonal(a: _Planned, labels: tuple[Label, ...]) -> Term:
    """The diagonal over all axes that share a label."""
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


def _summed(a: _Planned, labels: tuple[Label, ...], needed: set[Label]) -> Term:
    """The sum over the axes whose labels are no longer needed."""
    axes = tuple(k for k, label in enumerate(labels) if label not in needed)
    if not axes:
        return a, labels
    rest = [k for k in range(len(labels)) if k not in axes]
    return a.then(sum_over, [a.shape[k] for k in rest], axes), tuple(labels[k] for k in rest)


def _ordered(a: _Planned, labels: tuple[Label, ...], order: Sequence[Label]) -> _Planned:
    axes = tuple(labels.index(label) for label in order)
    return a if axes == tuple(range(len(axes))) else a.then(transpose, [a.shape[k] for k in axes], axes)


def _in_shape(a: _Planned, shape: tuple[int, ...]) -> _Planned:
    return a if a.shape == shape else a.then(reshape, shape, shape)


def _pair(left: Term, right: Term, needed: set[Label]) -> Term:
    """The product of two terms, summed over the labels that are not needed."""
    a, labels_a = _summed(*left, needed.union(right[1]))
    b, labels_b = _summed(*right, needed.union(labels_a))
    for label in [label for label in labels_a if label in labels_b and label not in needed]:
        if a.shape[labels_a.index(label)] != b.shape[labels_b.index(label)]:  # one has length 1 and broadcasts
            a, labels_a = _summed(a, labels_a, {*labels_a} - {label})
            b, labels_b = _summed(b, labels_b, {*labels_b} - {label})
    if all(label in needed for label in labels_a if label in labels_b):
        order = (*labels_a, *(label for label in labels_b if label not in labels_a))
        a, b = _broadcastable(a, labels_a, order), _broadcastable(b, labels_b, order)
        return a.then(multiply, np.broadcast_shapes(a.shape, b.shape), other=b), order
    if len(labels_b) > len(labels_a):  # a matrix, which may be a weight, goes to the right unchanged
        a, labels_a, b, labels_b = b, labels_b, a, labels_a
    return _matrix_product(a, labels_a, b, labels_b, needed)


def _broadcastable(a: _Planned, labels: tuple[Label, ...], order: Sequence[Label]) -> _Planned:
    """`a` with its axes in the given order and length one for missing axes, except leading ones, which NumPy adds."""
    own = [label for label in order if label in labels]
    a = _ordered(a, labels, own)
    sizes = dict(zip(own, a.shape))
    first = order.index(own[0]) if own else len(order)
    return _in_shape(a, tuple(sizes.get(label, 1) for label in order[first:]))


def _matrix_product(
    a: _Planned, labels_a: Sequence[Label], b: _Planned, labels_b: Sequence[Label], needed: set[Label]
) -> Term:
    """The product of two terms by `matmul`, reshaped to (batch, rows, inner) and (batch, inner, columns)."""
    both = [label for label in labels_a if label in labels_b]
    batch, inner = [x for x in both if x in needed], [x for x in both if x not in needed]
    rows, columns = [x for x in labels_a if x not in both], [x for x in labels_b if x not in both]
    a = _ordered(a, tuple(labels_a), [*batch, *rows, *inner])
    b = _ordered(b, tuple(labels_b), [*batch, *inner, *columns])
    n, i = len(batch), len(batch) + len(inner)
    stack, height, width = np.broadcast_shapes(a.shape[:n], b.shape[:n]), a.shape[n : n + len(rows)], b.shape[i:]
    sizes, depth = (*stack, *height, *width), math.prod(b.shape[n:i])
    if batch or not rows or not columns:  # `matmul` itself flattens the rows of a stack times one matrix
        height = (math.prod(height),)
    if columns or batch:
        width = (math.prod(width),)
        b = _in_shape(b, (*b.shape[:n], depth, *width))
    else:
        b, height = _in_shape(b, (depth,)), height if rows else ()
    a = _in_shape(a, (*a.shape[:n], *height, depth))
    return _in_shape(a.then(matmul, (*stack, *height, *width), other=b), sizes), (*batch, *rows, *columns)
