"""Random programs on the tape: how they are drawn, and how NumPy, torch and minigrad run them.

A program is a list of steps; each takes values by their numbers and appends its outputs. NumPy's run is the reference
that central differences shift. There `detach` returns what it returned in the first run, and a hook that scales the
gradient by c is the function c·x + (1 − c)·detach(x), so that differences see the same derivative as the tape.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import minigrad as mg
from tests.fuzz.tape_operations import BINARY, OPERATIONS, UNARY, apply

SHAPES = ((), (), (1,), (2,), (3,), (2, 3), (3, 2), (3, 1), (1, 3), (3, 3), (2, 1, 3), (0, 3))
LARGEST = 20.0
FEATURES = ("detach", "hook", "checkpoint")


@dataclass(eq=False)
class Step:
    """One operation, or a feature of the tape, on the values numbered `args`; `body` is what a checkpoint runs."""

    op: str
    args: tuple[int, ...]
    params: dict[str, Any] = field(default_factory=dict)
    body: list[Step] = field(default_factory=list)
    results: tuple[int, ...] = ()

    def __repr__(self) -> str:
        inside = f", {self.body} -> {self.results}" if self.body else ""
        return f"{self.op}{self.args}{self.params or ''}{inside}"


@dataclass(eq=False)
class Program:
    """Leaves, steps, and the outputs with the weights (of their shapes) by which the loss sums them."""

    leaves: list[np.ndarray]
    shared: dict[int, int]
    """Leaves that have the array of an earlier leaf."""
    steps: list[Step]
    outputs: list[int]
    weights: list[np.ndarray]
    double: bool
    """Whether all values are float64."""

    def __repr__(self) -> str:
        lines = [f"leaf {k}: {x.dtype} {x.tolist()}" for k, x in enumerate(self.leaves)]
        lines += [f"shared: {self.shared}", *map(repr, self.steps), f"outputs: {self.outputs}"]
        return "\n".join(lines)


def run(xp: Any, steps: Sequence[Step], values: list[Any], frozen: dict[Step, Any] | None = None) -> list[Any]:
    """Append the outputs of all steps to `values`; return it. `frozen` remembers what detached values were."""
    for t, step in enumerate(steps):
        inputs = [values[k] for k in step.args]
        if step.op == "checkpoint":
            values += _checkpoint(xp, step, inputs, values, frozen)
        elif step.op == "detach":
            values.append(_detached(step, inputs[0], frozen))
        elif step.op == "hook":
            values.append(_hooked(step, inputs[0], frozen))
        elif xp is mg:
            with mg.time_step(t):
                values += apply(xp, step.op, step.params, inputs)
        else:
            values += apply(xp, step.op, step.params, inputs)
    return values


def _detached(step: Step, x: Any, frozen: dict[Step, Any] | None) -> Any:
    return x.detach() if frozen is None else frozen.setdefault(step, x)


def _hooked(step: Step, x: Any, frozen: dict[Step, Any] | None) -> Any:
    c = step.params["factor"]
    if not isinstance(x, mg.Tensor):
        return c * x + (1 - c) * _detached(step, x, frozen)
    y = x + 0.0
    if y.requires_grad:
        y.register_hook(lambda g: g * c)
    return y


def _checkpoint(xp: Any, step: Step, inputs: list[Any], values: list[Any], frozen: Any) -> tuple[Any, ...]:
    outer = list(values)  # as they are now: the body runs again when there are more

    def body(*args: Any) -> tuple[Any, ...]:
        inner = run(xp, step.body, [*outer, *args], frozen)
        return tuple(inner[k] for k in step.results)

    return mg.checkpoint(body)(*inputs) if xp is mg else body(*inputs)


# Drawing


def draw(rng: np.random.Generator, size: int) -> Program:
    """Draw a program of about `size` steps."""
    wide = rng.random() < 0.7
    leaves = [
        _numbers(rng, SHAPES[rng.integers(len(SHAPES))], wide or rng.random() < 0.5) for _ in range(rng.integers(1, 4))
    ]
    shared = {}
    if rng.random() < 0.2:
        shared[len(leaves)] = int(rng.integers(len(leaves)))
        leaves.append(leaves[shared[len(leaves)]])
    values: list[Any] = [np.array(x) for x in leaves]
    steps = _draw_steps(rng, values, size, depth=0, mixed=not wide)
    live = range(len(values))
    outputs = sorted({int(k) for k in rng.choice(live[-5:], size=min(3, len(live)))})
    weights = [np.asarray(rng.uniform(-1, 1, np.shape(values[k])), np.asarray(values[k]).dtype) for k in outputs]
    return Program(leaves, shared, steps, outputs, weights, wide)


def _numbers(rng: np.random.Generator, shape: Sequence[int], wide: bool) -> np.ndarray:
    return np.asarray(rng.uniform(-1.5, 1.5, shape), np.float64 if wide else np.float32)


def _draw_steps(rng: np.random.Generator, values: list[Any], size: int, depth: int, mixed: bool) -> list[Step]:
    """Draw steps, and append their values, of which `detach` and hooks count as the identity, to `values`."""
    steps: list[Step] = []
    for _ in range(size * 4):
        if len(steps) == size:
            break
        feature = rng.random() < 0.15
        step = _draw_feature(rng, values, depth, mixed) if feature else _draw_operation(rng, values, mixed)
        if step is None:
            continue
        results = run(np, [step], list(values), frozen={})[len(values) :]
        if all(np.size(y) <= 27 and np.all(np.abs(y) < LARGEST) for y in results):
            values += results
            steps.append(step)
    return steps


def _draw_feature(rng: np.random.Generator, values: list[Any], depth: int, mixed: bool) -> Step | None:
    op = FEATURES[rng.integers(3)]
    if op != "checkpoint":
        return Step(op, (_pick(rng, values),), {"factor": float(rng.uniform(-2, 2))} if op == "hook" else {})
    if depth > 1:
        return None
    args = tuple(_pick(rng, values) for _ in range(rng.integers(1, 3)))
    inner = [*values, *(values[k] for k in args)]
    first = len(inner)
    body = _draw_steps(rng, inner, int(rng.integers(1, 5)), depth + 1, mixed)
    if len(inner) == first:
        return None
    results = {first + int(k) for k in rng.integers(0, len(inner) - first, 2)}
    return Step(op, args, {}, body, tuple(sorted(results)))


def _pick(rng: np.random.Generator, values: list[Any]) -> int:
    """A value's number; the newest are likelier."""
    n = len(values)
    return int(n - 1 - min(n - 1, rng.geometric(0.2) - 1)) if rng.random() < 0.7 else int(rng.integers(n))


def _draw_operation(rng: np.random.Generator, values: list[Any], mixed: bool) -> Step | None:
    op = list(OPERATIONS)[rng.integers(len(OPERATIONS))]
    a = _pick(rng, values)
    x = np.asarray(values[a])
    same = [k for k, v in enumerate(values) if np.asarray(v).dtype == x.dtype]
    shape, n = x.shape, x.ndim
    if op in UNARY:
        params: dict[str, Any] = {}
        if op in ("sum", "mean"):
            axes = tuple(k for k in range(n) if rng.random() < 0.5)
            params = {"axis": axes if n and axes else None, "keepdims": bool(n and axes and rng.random() < 0.3)}
        elif op == "scaled":
            params = {"factor": float(rng.uniform(-1, 1))}
        elif op == "masked":
            params = {"mask": rng.integers(0, 2, shape) * 2 - 1}
        elif op == "reshape":
            params = {"shape": [(x.size,), (1, x.size), (x.size, 1), tuple(shape[::-1])][rng.integers(4)]}
        elif op == "broadcast_to":
            params = {
                "shape": (int(rng.integers(1, 4)), *(int(rng.integers(1, 3)) if m == 1 else int(m) for m in shape))
            }
        elif op == "expand_dims":
            params = {"at": int(rng.integers(n + 1))}
        elif op == "getitem":
            params = {"index": _draw_index(rng, shape)}
        elif op == "astype":
            params = {"dtype": ("float64", "float32")[int(mixed and rng.random() < 0.5)]}
        if (op in ("flip", "cumsum") and not n) or (op == "swapaxes" and n < 2) or (op == "mean" and not x.size):
            return None
        return Step(op, (a,), params)
    if op in BINARY:
        fits = [k for k in same if _broadcasts(shape, np.shape(values[k]))]
        b = fits[rng.integers(len(fits))]
        return Step(op, (a, b) if rng.random() < 0.5 else (b, a))
    if op in ("stack", "concatenate"):
        fits = [k for k in same if np.shape(values[k]) == shape]
        if op == "concatenate" and not n:
            return None
        args = tuple(fits[k] for k in rng.integers(0, len(fits), rng.integers(1, 4)))
        return Step(op, args, {"at": int(rng.integers(n + 1))})
    if n < (1 if op == "matmul" else 2):
        return None
    if op == "matmul":
        fits = [k for k in same if np.ndim(values[k]) in (1, 2) and np.shape(values[k])[0] == shape[-1]]
        return Step(op, (a, fits[rng.integers(len(fits))])) if fits else None
    weights = [k for k in same if np.ndim(values[k]) == 2 and np.shape(values[k])[1] == shape[-1]]
    if not weights:
        return None
    W = weights[rng.integers(len(weights))]
    biases = [k for k in same if np.shape(values[k]) == np.shape(values[W])[:1]]
    return Step(op, (a, W, biases[rng.integers(len(biases))]) if biases else (a, W))


def _draw_index(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Any, ...]:
    """Numbers, slices and arrays that name elements more than once; for no axes, an ellipsis."""
    if not shape:
        return (...,)
    m = shape[0]
    if not m:
        return (slice(None),)
    choices: list[Any] = [int(rng.integers(m)), slice(int(rng.integers(m)), None), rng.integers(0, m, 2), slice(None)]
    index = [choices[rng.integers(4)]]
    if len(shape) > 1 and shape[1] and not isinstance(index[0], np.ndarray) and rng.random() < 0.5:
        index.append(int(rng.integers(shape[1])))
    return tuple(index)


def _broadcasts(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return all(m == n or 1 in (m, n) for m, n in zip(a[::-1], b[::-1]))
