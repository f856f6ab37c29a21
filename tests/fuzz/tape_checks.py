"""Run a random program backward in every way that the tape knows, and compare with torch or central differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import minigrad as mg
from minigrad.engine.tape import new_leaf
from tests.fuzz.tape_operations import TorchNamespace
from tests.fuzz.tape_programs import Program, Step, run

Arrays = list[np.ndarray]
FIRST = ("backward", "twice", "onto another", "gradients", "ledger", "seeds", "observed", "jvp")
SECOND = ("second order", "grad on the tape", "hvp")
WAYS = FIRST + SECOND


class Mismatch(AssertionError):
    """A gradient of a random program is wrong; the message holds the program."""


def minigrad_gradients(program: Program, way: str, direction: Arrays) -> Arrays:
    """Return the gradients with respect to the leaves. Of second order it is that of Σ direction · gradient."""
    if way == "observed":
        with mg.detect_anomaly():
            return minigrad_gradients(program, "backward", direction)
    if way in ("jvp", "hvp"):
        return _transformed(program, way, direction)
    leaves: list[mg.Tensor] = []
    for k, x in enumerate(program.leaves):
        data = leaves[program.shared[k]]._array if k in program.shared else np.array(x)
        leaves.append(mg.Tensor(data, new_leaf(data.shape, data.dtype, np)))
    values = run(mg, program.steps, list(leaves))
    outputs = [values[k] for k in program.outputs]
    if way == "seeds":
        live = [(y, mg.Tensor(w)) for y, w in zip(outputs, program.weights) if y.requires_grad]
        grads = mg.gradients([y for y, _ in live], leaves, [w for _, w in live], allow_unused=True) if live else []
        return _results(program, grads or [None] * len(leaves))
    loss = _weighted(program, outputs)
    if not (isinstance(loss, mg.Tensor) and loss.requires_grad):
        return [np.zeros_like(x) for x in program.leaves]
    if way == "backward":
        loss.backward()
        _must_be_consumed(loss)
    elif way == "twice":
        loss.backward(retain_graph=True)
        loss.backward()
        return [g / 2 for g in _results(program, [x.grad for x in leaves])]
    elif way == "onto another":
        for x in leaves:
            (x * 3.0).sum().backward()
        loss.backward()
        return [g - 3 for g in _results(program, [x.grad for x in leaves])]
    elif way == "gradients":
        return _results(program, mg.gradients(loss, leaves, allow_unused=True))
    elif way == "ledger":
        book = mg.ledger(loss, leaves)
        sums: list[Any] = []
        for x in leaves:
            lines = [g for _, g in book[x]]
            assert all(type(g._array) is np.ndarray and (g.shape, g.dtype) == (x.shape, x.dtype) for g in lines)
            sums.append(sum(lines[1:], lines[0]) if lines else None)
        return _results(program, sums)
    elif way == "second order":
        grads = mg.gradients(loss, leaves, create_graph=True, allow_unused=True)
        _along(grads, direction, lambda total: total.backward())
    else:
        loss.backward(create_graph=True)
        first = [x.grad for x in leaves]
        _along(first, direction, lambda total: total.backward())
        second = _results(program, [x.grad for x in leaves])
        return [h - g for h, g in zip(second, _results(program, first))]
    return _results(program, [x.grad for x in leaves])


def _weighted(program: Program, outputs: Sequence[Any]) -> Any:
    total: Any = 0.0
    for y, w in zip(outputs, program.weights):
        total = total + (y * w).sum().astype("float64")
    return total


def _transformed(program: Program, way: str, direction: Arrays) -> Arrays:
    """Return the derivative along `direction`, or the Hessian times it, by a transformation."""

    def loss(*leaves: Any) -> Any:
        values = run(mg, program.steps, list(leaves))
        return mg.astype(_weighted(program, [values[k] for k in program.outputs]), "float64")

    if way == "jvp":
        return [np.asarray(mg.jvp(loss, program.leaves, direction)[1])]
    return [np.asarray(h) for h in mg.hvp(loss, tuple(program.leaves), tuple(direction))]


def _along(grads: Any, direction: Arrays, walk: Callable[[Any], None]) -> None:
    """Run `walk` on Σ direction · gradient, if that depends on anything."""
    total: Any = 0.0
    for g, v in zip(grads, direction):
        if g is not None and g.requires_grad:
            total = total + (g * v).sum().astype("float64")
    if isinstance(total, mg.Tensor):
        walk(total)


def _must_be_consumed(loss: mg.Tensor) -> None:
    try:
        loss.backward()
    except mg.GraphError:
        return
    raise Mismatch("a second backward pass over a consumed graph was not refused")


def _results(program: Program, grads: Any) -> Arrays:
    """Return the gradients as arrays, zeros for None, after a look at their kind, shape and dtype."""
    results = []
    for x, g in zip(program.leaves, grads):
        if g is not None and (type(g._array) is not np.ndarray or (g.shape, g.dtype) != (x.shape, x.dtype)):
            raise Mismatch(f"a gradient is {type(g._array).__name__} {g.shape} {g.dtype}, want {x.shape} {x.dtype}")
        results.append(np.zeros_like(x) if g is None else g.numpy())
    return results


def torch_gradients(torch: Any, program: Program, order: int, direction: Arrays) -> Arrays:
    xp = TorchNamespace(torch)
    leaves = [torch.from_numpy(np.array(x)).requires_grad_() for x in program.leaves]
    values = run(xp, program.steps, list(leaves))
    loss: Any = sum((values[k] * torch.from_numpy(w)).sum().double() for k, w in zip(program.outputs, program.weights))
    zeros = [torch.zeros_like(x) for x in leaves]
    if not loss.requires_grad:
        return [z.numpy() for z in zeros]
    grads = torch.autograd.grad(loss, leaves, create_graph=order == 2, allow_unused=True)
    if order == 2:
        live = [
            (g * torch.from_numpy(v)).sum().double()
            for g, v in zip(grads, direction)
            if g is not None and g.requires_grad
        ]
        grads = torch.autograd.grad(sum(live), leaves, allow_unused=True) if live else zeros
    return [(z if g is None else g).detach().numpy() for g, z in zip(grads, zeros)]


def differences(program: Program, order: int, direction: Arrays) -> Arrays:
    """Return the gradient, or the Hessian times `direction`, by central differences of NumPy's run in float64."""
    frozen: dict[Step, Any] = {}

    def loss(leaves: Arrays) -> float:
        values = run(np, program.steps, [np.array(x) for x in leaves], frozen)
        return float(sum(np.sum(values[k] * w) for k, w in zip(program.outputs, program.weights)))

    loss(program.leaves)

    def moved(k: int, index: Any, step: float, along: float) -> float:
        leaves = [x + along * v for x, v in zip(program.leaves, direction)]
        leaves[k] = np.array(leaves[k])
        leaves[k][index] += step
        return loss(leaves)

    h = 1e-5 if order == 1 else 2e-4
    results = [np.zeros_like(x) for x in program.leaves]
    for k, x in enumerate(program.leaves):
        for index in np.ndindex(x.shape):
            if order == 1:
                results[k][index] = (moved(k, index, h, 0.0) - moved(k, index, -h, 0.0)) / (2 * h)
            else:
                corners = [s * t * moved(k, index, s * h, t * h) for s in (1, -1) for t in (1, -1)]
                results[k][index] = sum(corners) / (4 * h * h)
    return results


def check(program: Program, way: str, rng: np.random.Generator, torch: Any = None) -> None:
    """Compare minigrad's gradients with torch's, or without it with central differences.

    Raises:
        Mismatch: with the program; an error inside minigrad is its cause.
    """
    direction = [np.asarray(rng.uniform(-1, 1, x.shape), x.dtype) for x in program.leaves]
    order = 2 if way in SECOND else 1
    try:
        got = minigrad_gradients(program, way, direction)
    except Exception as error:
        raise Mismatch(f"{way}: {type(error).__name__}: {error}\n{program}") from error
    if torch is None:
        want, tolerance = differences(program, order, direction), 1e-6 if order == 1 else 1e-4
    else:
        want, tolerance = torch_gradients(torch, program, order, direction), 1e-9 if program.double else 2e-3
    if way == "jvp":
        want = [np.asarray(sum(float(np.sum(w * v)) for w, v in zip(want, direction)))]
    largest = max([1.0, *(float(np.max(np.abs(w), initial=0.0)) for w in want)])
    for k, (g, w) in enumerate(zip(got, want)):
        if not np.allclose(g, w, rtol=0, atol=tolerance * largest):
            raise Mismatch(f"{way}: result {k} is\n{g}, want\n{w}\n{program}")
