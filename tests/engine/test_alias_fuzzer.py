"""Random programs of operations, aliases and writes: a gradient is that of what was recorded, or the tape says why not.

The same program runs twice. In one run every operation reads copies of its operands and returns a copy, so that no
write reaches what was recorded; its gradients are the truth. Views stay views in both, so later reads see every write.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import Tensor
from minigrad.engine import mutation, primitive as primitive_module, tensor as tensor_module
from minigrad.engine.primitive import primitive

Rng = np.random.Generator
Operation = Callable[..., Any]
SHAPE = (2, 2)


@primitive
def handed_on(xp: Any, x: Any) -> Any:
    """A user's operation that returns its input's own array."""
    return x, (), lambda xp, g: g


VIEWS: list[Operation] = [
    handed_on,
    mg.squeeze,
    mg.real,
    mg.real_if_close,
    mg.transpose,
    mg.asarray,
    mg.atleast_2d,
    lambda x: mg.reshape(x, SHAPE),
    lambda x: mg.flip(x, 0),
    lambda x: mg.reshape(x, (4,))[::-1].reshape(2, 2),
    lambda x: mg.expand_dims(x, 1)[:, 0],
    lambda x: mg.einsum("ij->ij", x),
    lambda x: mg.swapaxes(x, 0, 1),
    lambda x: mg.broadcast_to(x, (1, *SHAPE))[0],
    lambda x: mg.split(mg.reshape(x, (1, 2, 2)), 1)[0][0],
    lambda x: mg.pad(x, 0, "edge"),
]
"""Operations whose result shares its input's memory."""
UNARY: list[Operation] = [
    mg.tanh,
    mg.exp,
    mg.square,
    mg.sigmoid,
    mg.abs,
    mg.softmax,
    mg.silu,
    lambda x: mg.cumprod(x, axis=0),
    lambda x: x**3,
    lambda x: mg.stack([mg.prod(x, axis=1)] * 2),
    lambda x: mg.sort(x, axis=0) * 1.0,
    lambda x: mg.clip(x, -0.5, 0.7),
    lambda x: mg.checkpoint(lambda a: mg.tanh(a) * a)(x),
]
BINARY: list[Operation] = [
    mg.multiply,
    mg.divide,
    mg.matmul,
    mg.add,
    mg.maximum,
    mg.hypot,
    lambda x, y: mg.einsum("ij,jk->ik", x, y),
    lambda x, y: mg.linear(x, y),
    lambda x, y: mg.where(mg.asarray(y).detach() > 0, x, y),
    lambda x, y: mg.concatenate([x, y])[1:3] * 1.0,
    lambda x, y: mg.checkpoint(lambda a: a * y)(x),
    lambda x, y: mg.lerp(x, y, 0.3),
]


class Program:
    """A random program, which `run` runs as it is or, for the truth, with copies."""

    def __init__(self, seed: int, writes: bool = True, views: list[Operation] = VIEWS) -> None:
        self.seed, self.writes, self.views = seed, writes, views

    def run(self, copies: bool) -> list[np.ndarray | None]:
        rng = np.random.default_rng(self.seed)
        module = mg.nn.Module()
        module.p = mg.Parameter(rng.standard_normal(SHAPE))  # type: ignore[attr-defined]
        leaves = [mg.tensor(rng.standard_normal(SHAPE), requires_grad=True) for _ in range(2)] + [module.p]
        own = [rng.standard_normal(SHAPE) for _ in range(2)]
        for w in leaves[: rng.integers(4)]:
            w.grad = mg.tensor(rng.standard_normal(SHAPE))
        held = [w.data for w in leaves[: rng.integers(4)]]
        values: list[Any] = [*leaves, *own, *(w.grad for w in leaves if w.grad is not None)]
        actions = ["operation"] * 5 + ["view"] * 3 + ["quiet view"] * 2 + ["mode"] * self.writes
        for _ in range(rng.integers(6, 16)):
            action = actions[rng.integers(len(actions))] if rng.random() < 0.75 or not self.writes else "write"
            picked = [values[k] for k in rng.integers(0, len(values), 2)]
            if action == "operation":
                inputs = [_copied(x) for x in picked] if copies else picked
                unary = rng.random() < 0.4
                pool = UNARY if unary else BINARY
                made = pool[rng.integers(len(pool))](*inputs[: 1 if unary else 2])
                values.append(_copied(made) if copies else made)
            elif action == "view":
                values.append(self.views[rng.integers(len(self.views))](picked[0]))
            elif action == "quiet view":
                with mg.no_grad():
                    values.append(self.views[rng.integers(len(self.views))](picked[0]))
                    values.append(values[-1].detach())
            elif action == "mode":
                module.requires_grad_(bool(rng.integers(2)))
            else:
                _write(rng, leaves, own, held, module, picked[0])
        module.requires_grad_()
        factor = mg.tensor(rng.standard_normal(SHAPE), requires_grad=True)
        total = mg.sum(factor)
        for x in values[-4:]:
            total = total + mg.sum((_copied(x) if copies else x) * factor)
        return [None if g is None else g.numpy() for g in mg.gradients(total, [*leaves, factor], allow_unused=True)]


def _copied(x: Any) -> Any:
    return mg.copy(x) if isinstance(x, Tensor) else x.copy()


def _write(rng: Rng, leaves: list[Any], own: list[Any], held: list[Any], module: mg.nn.Module, x: Any) -> None:
    """Write into memory of a leaf, its gradient or the user, or into any constant x."""
    w = leaves[rng.integers(len(leaves))]
    step = rng.standard_normal(SHAPE)
    kind = rng.integers(10)
    if kind == 0 and w.node is not None:
        gradient, w.grad = w.grad, mg.tensor(step)
        mg.optim.SGD([w], lr=0.5).step()
        w.grad = gradient
    elif kind == 1 and w.node is not None:
        (mg.copy(w) * step).sum().backward()  # adds to .grad, in place if there is one
    elif kind == 2:
        mg.optim.clip_grad_norm(leaves, 0.1)
    elif kind == 3:
        with mg.no_grad():
            w *= 1.0 + step
    elif kind == 4:
        w.data -= step
    elif kind == 5 and held:
        held[rng.integers(len(held))][...] += step
    elif kind == 6:
        own[rng.integers(len(own))][rng.integers(2)] = step[0]
    elif kind == 7:
        module.load_state_dict({"p": step})
    elif kind == 8 and w.grad is not None:
        w.grad.data[0] *= 2.0
    elif kind == 9 and isinstance(x, Tensor) and x.node is None and x.data.flags.writeable:
        x[rng.integers(2)] = step[0]


def wrong(program: Program) -> tuple[bool, bool]:
    """Whether the gradients are silently wrong; whether the tape refused."""
    with np.errstate(all="ignore"):
        truth = program.run(copies=True)
        try:
            found = program.run(copies=False)
        except mg.GraphError:
            return False, True
    same = all(
        (a is None) == (b is None) and (a is None or np.allclose(a, b, rtol=1e-9, atol=1e-9, equal_nan=True))  # type: ignore[arg-type]
        for a, b in zip(found, truth)
    )
    return not same, False


@pytest.mark.parametrize("block", range(3))
def test_no_write_makes_a_gradient_wrong(block: int) -> None:
    results = [wrong(Program(seed)) for seed in range(block * 1000, block * 1000 + 1000)]
    assert not [block * 1000 + k for k, (bad, _) in enumerate(results) if bad]
    assert 50 < sum(refused for _, refused in results) < 500  # both answers are tried


@pytest.mark.soak
@pytest.mark.parametrize("block", range(300))
def test_no_write_makes_a_gradient_wrong_in_long(block: int) -> None:
    seeds = range(10**6 + block * 2000, 10**6 + block * 2000 + 2000)
    assert not [seed for seed in seeds if wrong(Program(seed))[0]]


def test_without_a_write_nothing_is_refused() -> None:
    assert not [seed for seed in range(300) if any(wrong(Program(seed, writes=False)))]


# Planted faults: the fuzzer must find each.


def by_address(xp: Any, x: Any) -> Any:
    """Hands on its input's memory without a word: as an array made of its address, which has no base."""
    buffer = (ctypes.c_double * x.size).from_address(x.ctypes.data)
    buffer.keep = x  # type: ignore[attr-defined]
    return np.frombuffer(buffer).reshape(x.shape) if x.flags.c_contiguous else x, (), lambda xp, g: g


FAULTS: dict[str, tuple[Any, str, Any]] = {
    "a view is not known to share memory": (mutation, "owner_of", lambda array: array),
    "writes are not noted": (tensor_module, "note_write", lambda array: 0),
    "writes into gradients are not noted": (
        Tensor,
        "written",
        lambda self, written=Tensor.written: None if self.node is None else written(self),
    ),
    "arrays of the user's are not marked": (mutation, "mark_user_owned", lambda array: None),
    "fingerprints are blind": (primitive_module, "fingerprint", lambda array: 0),
    "a write counts for the same array only": (
        mutation.Write,
        "changed",
        lambda self, array, xp: self.array is not None and self.array() is array,
    ),
}


@pytest.mark.parametrize("fault", [*FAULTS, "an operation hands its input on unnoticed"])
def test_a_planted_fault_is_found(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    views = VIEWS
    if fault in FAULTS:
        monkeypatch.setattr(*FAULTS[fault])
    else:
        views = [*VIEWS, primitive(by_address)]
    assert any(wrong(Program(seed, views=views))[0] for seed in range(2000))
