"""`vmap`: a function of one example becomes a function of a batch, by a loop over the examples."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import ops
from ..backend import is_array
from ..engine.tensor import Tensor, tensor
from ..foreign_arrays import import_array, type_name
from ..pytree import TreeDef, flatten_with_paths, match_structure, tree_flatten, tree_map, tree_unflatten
from ..validation import as_tensor, check_function, is_integer, is_number, shown
from .tracing import function_name, holds_tensor, to_array

Axes = Any
"""A number, None for what is the same for every example, or a tree of these in the form of what they describe."""


def vmap(function: Callable[..., Any], in_axes: Axes = 0, out_axes: Axes = 0) -> Callable[..., Any]:
    """Return a function that calls `function` for each example of its arguments, and stacks the results.

    It is a loop: as many calls as there are examples, at the price of as many. What it saves is writing the loop, for
    functions that know of one example only. JAX's and torch's rewrite the function into one on batches; here such a
    function is written with a leading axis, and broadcasts, as NumPy's do. Anything may be in the function, such as
    Python's `if` on values, and what draws random numbers draws for each example. Derivatives to any order pass through
    it, and it nests with the other transformations: `vmap(grad(f))` gives the gradient of each example.

    >>> import minigrad as mg
    >>> mg.vmap(mg.grad(lambda x, y: (x * y).sum()), in_axes=(0, None))(mg.ones((3, 2)), mg.tensor([5.0, 7.0])).tolist()
    [[5.0, 7.0], [5.0, 7.0], [5.0, 7.0]]

    Args:
        function: of trees, for one example; returns a tensor, array or number, or a tree of them.
        in_axes: the axis that counts the examples: a number for every argument, or a tuple with one for each. None:
            the argument is passed whole, as is everything without axes, and a module whose parameters all examples
            share. For an argument that is a tree it may be a tree of its form, or of its upper part.
        out_axes: where that axis is in the result: a number, or a tree of numbers in the form of the result.

    Returns:
        A function of the same positional arguments; keyword arguments are passed whole. Each tensor, array or number
        of the result has one axis more. As with all transformations they are arrays if no tensor is among the
        arguments, and nothing that the result depends on is on the tape.

    Raises (from that function):
        ValueError: nothing is mapped, arguments differ in length along their axes or have none, there is no example, or
            results differ in structure or shape.
        TypeError: something that is mapped is no array, or something in the result is no number.
    """
    check_function("vmap", function=function)
    _check_axes("in_axes", in_axes, none=True)
    _check_axes("out_axes", out_axes, none=False)

    @functools.wraps(function, assigned=("__module__", "__name__", "__qualname__"), updated=())
    def batched(*args: Any, **kwargs: Any) -> Any:
        axes = in_axes if isinstance(in_axes, (tuple, list)) else (in_axes,) * len(args)
        if len(axes) != len(args):
            name = function_name(function)
            raise ValueError(f"vmap: in_axes: got {len(axes)}, but {name} was called with {len(args)} arguments")
        mapped = [_Mapped(f"argument {k}", axis, arg) for k, (axis, arg) in enumerate(zip(axes, args))]
        lengths = {path: n for part in mapped for path, n in part.lengths.items()}
        if not lengths:
            raise ValueError("vmap: in_axes: got None for every argument, want an axis for at least one")
        (first, count), *others = lengths.items()
        for path, n in others:
            if n != count:
                raise ValueError(f"vmap: {path}: got {n} examples, want {count} as in {first}")
        if not count:
            raise ValueError(
                f"vmap: {first}: got no example, want one or more: only a call shows what results are like"
            )
        results = [function(*(part.example(k) for part in mapped), **kwargs) for k in range(count)]
        batch = _stacked(results, out_axes, function)
        without_tensors = not holds_tensor((args, kwargs))
        return tree_map(lambda y: to_array(y) if without_tensors and y.node is None else y, batch)

    return batched


class _Mapped:
    """An argument, taken apart into its examples where an axis is named."""

    def __init__(self, name: str, axes: Axes, value: Any) -> None:
        wanted, self.structure = tree_flatten(axes, is_leaf=lambda axis: axis is None)
        self.parts: list[tuple[TreeDef | None, Any]] = []
        self.lengths: dict[str, int] = {}
        for axis, part in zip(wanted, match_structure("vmap", name, self.structure, value)):
            if axis is None:
                self.parts.append((None, part))
                continue
            leaves, tree = flatten_with_paths(part, path=name)
            self.parts.append((tree, [self._split(path, axis, leaf) for path, leaf in leaves]))

    def _split(self, path: str, axis: int, leaf: Any) -> tuple[Tensor, ...]:
        leaf = leaf if isinstance(leaf, Tensor) else import_array("vmap", path, leaf)
        if is_number(leaf) or not (isinstance(leaf, Tensor) or is_array(leaf)):
            raise TypeError(f"vmap: {path}: got {type_name(leaf)}, want a Tensor or an array, or None in in_axes")
        x = as_tensor("vmap", path, leaf)
        if not -x.ndim <= axis < x.ndim:
            raise ValueError(
                f"vmap: {path}: got shape {x.shape}, which has no axis {axis}; in_axes says which, or None"
            )
        self.lengths[path] = x.shape[axis]
        return ops.unstack(x, axis)

    def example(self, k: int) -> Any:
        parts = [part if tree is None else tree_unflatten(tree, [x[k] for x in part]) for tree, part in self.parts]
        return tree_unflatten(self.structure, parts)


def _stacked(results: list[Any], out_axes: Axes, function: Callable[..., Any]) -> Any:
    """The results of all examples as one tree of tensors."""
    axes, upper = tree_flatten(out_axes)
    leaves, structure = tree_flatten(results[0])
    if not leaves:
        raise TypeError(f"vmap: {function_name(function)} returned {type_name(results[0])}, want a Tensor or a tree")
    wanted: list[int] = []
    for axis, part in zip(axes, match_structure("vmap", "out_axes against the result", upper, results[0])):
        wanted += [axis] * tree_flatten(part)[1].num_leaves
    rows = []
    for k, result in enumerate(results):
        found, other = tree_flatten(result)
        if other != structure:
            raise ValueError(
                f"vmap: {function_name(function)}: example {k} gives {other}, want {structure} as example 0"
            )
        rows.append([_tensor_of(function, leaf) for leaf in found])
    stacks = []
    for axis, column in zip(wanted, zip(*rows)):
        shape = column[0].shape
        if different := [k for k, y in enumerate(column) if y.shape != shape]:
            k = different[0]
            name = function_name(function)
            raise ValueError(f"vmap: {name}: example {k} gives shape {column[k].shape}, want {shape} as example 0")
        if not -len(shape) - 1 <= axis <= len(shape):
            raise ValueError(f"vmap: out_axes: got {axis}, want an axis of a batch of results of shape {shape}")
        stacks.append(ops.stack(column, axis=axis))
    return tree_unflatten(structure, stacks, plain=True)


def _tensor_of(function: Callable[..., Any], leaf: Any) -> Tensor:
    leaf = leaf if isinstance(leaf, Tensor) else import_array("vmap", "the result", leaf)
    if isinstance(leaf, Tensor) or is_array(leaf):
        return as_tensor("vmap", "the result", leaf)
    if isinstance(leaf, (bool, int, float, complex, np.generic)):
        return tensor(np.asarray(leaf))
    raise TypeError(f"vmap: {function_name(function)} returned {type_name(leaf)}, want numbers")


def _check_axes(argument: str, axes: Axes, none: bool) -> None:
    """Raise TypeError unless axes are whole numbers, or None where that is allowed."""
    leaves = tree_flatten(axes, is_leaf=lambda axis: axis is None)[0]
    for axis in leaves:
        if not is_integer(axis) and not (none and axis is None):
            raise TypeError(f"vmap: {argument}: got {shown(axis)}, want a whole number{', or None' if none else ''}")
    if not leaves:
        raise TypeError(f"vmap: {argument}: got {shown(axes)}, want a whole number for each argument")
