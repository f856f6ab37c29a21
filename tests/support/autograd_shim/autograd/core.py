"""autograd.core on minigrad: a function's value and its derivative backward, by `gradients`, and forward, by `jvp`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import minigrad as mg

from . import trees
from .extend import primitive_vjps, primitive_with_deprecation_warnings
from .trees import Tracing, VSpace, leaves, outward, rebuilt, vspace

__all__ = [
    "VSpace",
    "make_jvp",
    "make_vjp",
    "primitive",
    "primitive_vjps",
    "primitive_with_deprecation_warnings",
    "vspace",
]

primitive = primitive_with_deprecation_warnings


def differentiable(leaf: Any) -> bool:
    return isinstance(leaf, mg.Tensor) and leaf.dtype.kind in "fc"


def variable(leaf: Any) -> mg.Tensor:
    """Return a tensor of this value with its own node on the tape.

    A tensor that is on the tape gets a new node above its own. A complex value, which cannot be a leaf, becomes the sum
    of a real leaf and a constant; gradients are taken with respect to the sum.
    """
    if isinstance(leaf, mg.Tensor) and leaf.node is not None:
        return mg.ops.positive(leaf)
    a = trees.array(leaf)
    if a.dtype.kind == "c":
        return mg.tensor(np.array(a.real), requires_grad=True) + 1j * a.imag
    return mg.tensor(a, requires_grad=True)


def make_vjp(function: Callable[[Any], Any], x: Any) -> tuple[Callable[[Any], Any], Any]:
    """Return (g ↦ Jᵀg, function(x)). The backward pass is recorded only if the caller is being differentiated."""
    inputs = [variable(leaf) for leaf in leaves(x)]
    with Tracing():
        end = function(rebuilt(x, inputs))

    def vjp(g: Any) -> Any:
        pairs = [(y, s) for y, s in zip(leaves(end), leaves(g), strict=True) if differentiable(y) and y.requires_grad]
        grads: list[Any] = [None] * len(inputs)
        if pairs and inputs:
            outputs, seeds = [y for y, _ in pairs], [s if isinstance(s, mg.Tensor) else np.asarray(s) for _, s in pairs]
            deep = trees.depth > 0
            grads = mg.gradients(outputs, inputs, seeds, create_graph=deep, retain_graph=True, allow_unused=True)
        zeros = [np.zeros(i.shape, i.dtype) for i in inputs]
        return outward(rebuilt(x, [z[()] if g is None else g for g, z in zip(grads, zeros)]))

    return vjp, outward(end)


def make_jvp(function: Callable[[Any], Any], x: Any) -> Callable[[Any], tuple[Any, Any]]:
    """Return v ↦ (function(x), J·v)."""

    def jvp(v: Any) -> tuple[Any, Any]:
        points = leaves(x)
        primals: list[Any] = []
        tangents: list[Any] = []
        places: list[tuple[int, str]] = []
        for k, (point, along) in enumerate(zip(points, leaves(v), strict=True)):
            along = along if isinstance(along, mg.Tensor) else mg.tensor(np.asarray(along))
            if trees.array(point).dtype.kind != "c":
                primals.append(point if isinstance(point, mg.Tensor) else mg.tensor(trees.array(point)))
                tangents.append(along)
                places.append((k, "real"))
                continue
            for part, of in (("step", mg.real), ("imaginary step", mg.imag)):  # from the point, in two real variables
                tangents.append(of(along))
                primals.append(mg.tensor(np.zeros(tangents[-1].shape, tangents[-1].dtype)))
                places.append((k, part))
        end: Any = None

        def moved(*variables: mg.Tensor) -> tuple[mg.Tensor, ...]:
            nonlocal end
            at = list(points)
            for (k, part), a in zip(places, variables):
                at[k] = a if part == "real" else at[k] + (a if part == "step" else a * 1j)
            with Tracing():
                end = function(rebuilt(x, at))
            outputs = []
            for y in leaves(end):
                if differentiable(y):
                    outputs += [mg.real(y), mg.imag(y)] if y.dtype.kind == "c" else [y]
            return tuple(outputs)

        value, derivative = mg.jvp(moved, primals, tangents, create_graph=trees.depth > 0)
        values, tangents = iter(value), iter(derivative)
        ends, derivatives = [], []
        for y in leaves(end):
            if not differentiable(y):
                ends.append(y)
                derivatives.append(np.zeros_like(trees.array(y))[()])
                continue
            for into, parts in ((ends, values), (derivatives, tangents)):
                first = next(parts)
                into.append(first + 1j * next(parts) if y.dtype.kind == "c" else first)
        return outward(rebuilt(end, ends)), outward(rebuilt(end, derivatives))

    return jvp
