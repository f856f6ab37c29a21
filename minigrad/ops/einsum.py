"""Einstein's summation, taken apart into sums, products of matrices, and products element by element.

Whatever it is made of has a rule, so it has derivatives of every order; and since its products of matrices are
`matmul`'s, the gradient of a matrix is kept as factors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..primitive import composed, settle
from ..tensor import Tensor
from .elementwise import multiply, positive
from .indexing import getitem
from .products import matmul
from .reduce import sum as sum_over
from .shape import reshape, transpose

Array = Any
Label = Any
Term = tuple[Any, tuple[Label, ...]]
"""An array and the label of each of its axes."""
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
    arrays, labels, result = _parsed(operands)
    _check_sizes(arrays, labels)
    terms: list[Term] = [_diagonal(a, of_a) for a, of_a in zip(arrays, labels)]
    for places in _path(terms, result, optimize):
        chosen = [terms.pop(k) for k in sorted(places, reverse=True)][::-1]
        term = chosen[0]
        for k, other in enumerate(chosen[1:], 2):
            kept = set(result).union(*(of_a for _, of_a in (*terms, *chosen[k:])))
            term = _pair(term, other, kept)
        terms.append(term)
    array, of_array = _summed(*terms[0], set(result))
    found = _ordered(array, of_array, result)
    return found if isinstance(found, Tensor) else positive(found)


# What is asked for


def _parsed(operands: tuple[Any, ...]) -> tuple[list[Any], list[list[Label]], list[Label]]:
    """The arrays, the labels of each one's axes, and the result's."""
    if not operands:
        raise ValueError("einsum: got nothing, want subscripts and arrays")
    if isinstance(operands[0], str):
        text, arrays = operands[0].replace(" ", ""), list(operands[1:])
        inputs, arrow, output = text.partition("->")
        parts = [_letters(part) for part in inputs.split(",")]
        wanted = _letters(output) if arrow else None
    else:
        n = len(operands) // 2
        arrays, parts = list(operands[: 2 * n : 2]), [list(part) for part in operands[1 : 2 * n : 2]]
        wanted = list(operands[-1]) if len(operands) % 2 else None
    if len(parts) != len(arrays):
        raise ValueError(f"einsum: got {len(arrays)} arrays, want one for each of the {len(parts)} subscripts")
    if any(type(a) in (list, tuple) for a in arrays):
        settled = settle(None, [a._data if isinstance(a, Tensor) else a for a in map(_listed, arrays)])[1]
        arrays = [a if isinstance(a, Tensor) else b for a, b in zip(arrays, settled)]
    labels = [_expanded(part, len(_shape(a))) for part, a in zip(parts, arrays)]
    dots = max((_dots(of_a) for of_a in labels), key=len, default=[])
    if wanted is None:
        every = [label for of_a in labels for label in of_a if not isinstance(label, _Dot)]
        return arrays, labels, [*dots, *sorted(label for label in set(every) if every.count(label) == 1)]
    if dots and Ellipsis not in wanted:
        raise ValueError("einsum: the result has no ellipsis for the axes that stand under one")
    result = [label for part in wanted for label in (dots if part is Ellipsis else [part])]
    for label in result:
        if result.count(label) > 1 or not any(label in of_a for of_a in labels):
            raise ValueError(f"einsum: the result's subscript {label!r} is there twice, or in no array")
    return arrays, labels, result


class _Dot(int):
    """The label of an axis under an ellipsis: its place, counted from the ellipsis's right end."""

    def __repr__(self) -> str:
        return f"...[-{int(self)}]"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Dot) and int(self) == int(other)

    def __hash__(self) -> int:
        return hash(("...", int(self)))


def _dots(labels: Sequence[Label]) -> list[Label]:
    return [label for label in labels if isinstance(label, _Dot)]


def _letters(part: str) -> list[Label]:
    before, dots, after = part.partition("...")
    letters = [*before, *([Ellipsis] if dots else []), *after]
    for letter in letters:
        if letter is not Ellipsis and not letter.isalpha():
            raise ValueError(f"einsum: subscripts: got {letter!r} in {part!r}, want letters and one '...'")
    return letters


def _expanded(part: list[Label], n: int) -> list[Label]:
    """The labels of an array of `n` axes, each axis under the ellipsis with one of its own."""
    under = n - len(part) + part.count(Ellipsis)
    if part.count(Ellipsis) > 1 or under < 0 or (under and Ellipsis not in part):
        raise ValueError(f"einsum: got an array of {n} axes for the subscripts {part}")
    return [x for label in part for x in (map(_Dot, range(under, 0, -1)) if label is Ellipsis else [label])]


def _listed(a: Any) -> Any:
    return list(a) if type(a) is tuple else a


def _shape(a: Any) -> tuple[int, ...]:
    return tuple(a.shape) if hasattr(a, "shape") else ()


def _check_sizes(arrays: list[Any], labels: list[list[Label]]) -> None:
    sizes: dict[Label, int] = {}
    for a, of_a in zip(arrays, labels):
        for size, label in zip(_shape(a), of_a):
            if sizes.setdefault(label, size) != size and 1 not in (size, sizes[label]):
                raise ValueError(f"einsum: subscript {label!r}: got sizes {sizes[label]} and {size}")
            sizes[label] = size if sizes[label] == 1 else sizes[label]


def _path(terms: list[Term], result: list[Label], optimize: Any) -> list[tuple[int, ...]]:
    """Which terms to multiply at each step; what comes out goes to the end of the list."""
    everything = tuple(range(len(terms)))
    if optimize is False or len(terms) < 3:
        return [everything]
    if not isinstance(optimize, (bool, str)) and optimize[0] == "einsum_path":
        return [tuple(step) for step in optimize[1:]]
    numbers = {label: k for k, label in enumerate(dict.fromkeys(x for _, of_a in terms for x in of_a))}
    stand_ins: list[Any] = []
    for a, of_a in terms:
        stand_ins += [np.broadcast_to(np.empty(()), _shape(a)), [numbers[label] for label in of_a]]
    found = np.einsum_path(*stand_ins, [numbers[label] for label in result], optimize=optimize)[0]
    return [tuple(step) for step in found[1:]]


# What is done


def _diagonal(a: Any, labels: list[Label]) -> Term:
    """The diagonal over every axis whose label is there already."""
    for label in labels:
        places = [k for k, other in enumerate(labels) if other == label]
        while len(places) > 1:
            k, last = places[0], places.pop()
            n = a.shape[k]
            if a.shape[last] != n:
                raise ValueError(f"einsum: subscript {label!r}: got sizes {n} and {a.shape[last]} in one array")
            rest = [axis for axis in range(a.ndim) if axis not in (k, last)]
            a = reshape(transpose(a, (*rest, k, last)), (*(a.shape[axis] for axis in rest), n * n))
            a = getitem(a, (..., slice(None, None, n + 1)))
            labels = [*(labels[axis] for axis in rest), label]
            places = [axis for axis, other in enumerate(labels) if other == label]
    return a, tuple(labels)


def _summed(a: Any, labels: tuple[Label, ...], kept: set[Label]) -> Term:
    """Without the axes that nothing needs any more."""
    gone = tuple(k for k, label in enumerate(labels) if label not in kept)
    return (sum_over(a, axis=gone), tuple(label for label in labels if label in kept)) if gone else (a, labels)


def _ordered(a: Any, labels: tuple[Label, ...], order: Sequence[Label]) -> Any:
    axes = tuple(labels.index(label) for label in order)
    return a if axes == tuple(range(len(axes))) else transpose(a, axes)


def _in_shape(a: Any, shape: tuple[int, ...]) -> Any:
    return a if tuple(a.shape) == shape else reshape(a, shape)


def _pair(left: Term, right: Term, kept: set[Label]) -> Term:
    """The product of two terms, summed over what is not `kept`."""
    a, of_a = _summed(*left, kept.union(right[1]))
    b, of_b = _summed(*right, kept.union(of_a))
    for label in [label for label in of_a if label in of_b and label not in kept]:
        if a.shape[of_a.index(label)] != b.shape[of_b.index(label)]:  # one is stretched: the sum is the other's
            a, of_a = _summed(a, of_a, {*of_a} - {label})
            b, of_b = _summed(b, of_b, {*of_b} - {label})
    if all(label in kept for label in of_a if label in of_b):
        order = [*of_a, *(label for label in of_b if label not in of_a)]
        return multiply(_stretchable(a, of_a, order), _stretchable(b, of_b, order)), tuple(order)
    if len(of_b) > len(of_a):  # a matrix, which may be a weight, goes to the right as it is
        a, of_a, b, of_b = b, of_b, a, of_a
    return _matrix_product(a, of_a, b, of_b, kept)


def _stretchable(a: Any, labels: tuple[Label, ...], order: list[Label]) -> Any:
    """Axes in that order, of length one where the array has none."""
    if not hasattr(a, "shape"):
        return a
    a = _ordered(a, labels, [label for label in order if label in labels])
    sizes = dict(zip((label for label in order if label in labels), a.shape))
    first = next((k for k, label in enumerate(order) if label in sizes), len(order))  # NumPy adds those in front
    return _in_shape(a, tuple(sizes.get(label, 1) for label in order[first:]))


def _matrix_product(a: Any, of_a: Any, b: Any, of_b: Any, kept: set[Label]) -> Term:
    both = [label for label in of_a if label in of_b]
    batch, inner = [x for x in both if x in kept], [x for x in both if x not in kept]
    rows, columns = [x for x in of_a if x not in both], [x for x in of_b if x not in both]
    a, b = _ordered(a, of_a, [*batch, *rows, *inner]), _ordered(b, of_b, [*batch, *inner, *columns])
    n, i = len(batch), len(batch) + len(inner)
    sizes = (*np.broadcast_shapes(a.shape[:n], b.shape[:n]), *a.shape[n : n + len(rows)], *b.shape[i:])
    depth = math.prod(b.shape[n:i])
    if columns or batch:
        b = _in_shape(b, (*b.shape[:n], depth, math.prod(b.shape[i:])))
        stack_times_matrix = not batch and rows  # whose rows `matmul` itself lays under each other
        height = a.shape[: len(rows)] if stack_times_matrix else (math.prod(a.shape[n : n + len(rows)]),)
        a = _in_shape(a, (*a.shape[:n], *height, depth))
    else:
        b = _in_shape(b, (depth,))
        a = _in_shape(a, (math.prod(a.shape[: len(rows)]), depth) if rows else (depth,))
    return _in_shape(matmul(a, b), sizes), (*batch, *rows, *columns)
