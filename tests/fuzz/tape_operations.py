"""Operations of the random programs, each written once for NumPy, torch and minigrad, and the features of the tape.

An operation is a function of a namespace (NumPy, minigrad or `TorchNamespace`), parameters and inputs. Where minigrad
has a way of its own to the same value (a primitive of the user's, a custom rule, a joint rule) it is in `OWN`. All are
smooth, so that central differences agree everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import minigrad as mg


class TorchNamespace:
    """The functions that the operations use, on torch's tensors."""

    def __init__(self, torch: Any) -> None:
        self.torch = torch
        self.tanh, self.sin, self.exp, self.sqrt = torch.tanh, torch.sin, torch.exp, torch.sqrt
        self.matmul, self.where = torch.matmul, torch.where
        self.stack = lambda xs, axis: torch.stack(list(xs), dim=axis)
        self.concatenate = lambda xs, axis: torch.cat(list(xs), dim=axis)
        self.cumsum = lambda x, axis: torch.cumsum(x, dim=axis)
        self.flip = lambda x, axis: torch.flip(x, dims=(axis,))
        self.reshape, self.broadcast_to, self.swapaxes = torch.reshape, torch.broadcast_to, torch.swapaxes
        self.squeeze = torch.squeeze
        self.expand_dims = lambda x, axis: torch.unsqueeze(x, axis)

    def sum(self, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        axes = range(x.ndim) if axis is None else axis
        return x if not x.ndim else self.torch.sum(x, dim=tuple(axes), keepdim=keepdims)

    def mean(self, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        return self.sum(x, axis, keepdims) / (x.numel() / max(self.sum(x, axis, keepdims).numel(), 1))

    def getitem(self, x: Any, index: Any) -> Any:
        return x[tuple(self.torch.from_numpy(i) if isinstance(i, np.ndarray) else i for i in index)]

    def constant(self, values: Any, like: Any) -> Any:
        return self.torch.from_numpy(np.asarray(values)).to(like.dtype)

    def astype(self, x: Any, dtype: str) -> Any:
        return x.to(getattr(self.torch, dtype))


def getitem(xp: Any, x: Any, index: Any) -> Any:
    return xp.getitem(x, index) if isinstance(xp, TorchNamespace) else x[index]


def constant(xp: Any, values: Any, like: Any) -> Any:
    if isinstance(xp, TorchNamespace):
        return xp.constant(values, like)
    return np.asarray(values).astype(like.dtype)


def astype(xp: Any, x: Any, dtype: str) -> Any:
    return xp.astype(x, dtype) if isinstance(xp, TorchNamespace) else x.astype(dtype)


def two_outputs(xp: Any, p: Any, a: Any, b: Any) -> tuple[Any, Any]:
    return a * b, xp.sin(a) + b


def moments(xp: Any, p: Any, x: Any) -> tuple[Any, Any]:
    return xp.sum(x), xp.sum(x * x)


Apply = Callable[..., Any]
UNARY: dict[str, Apply] = {
    "tanh": lambda xp, p, x: xp.tanh(x),
    "sin": lambda xp, p, x: xp.sin(x),
    "exp": lambda xp, p, x: xp.exp(x * 0.25),
    "root": lambda xp, p, x: xp.sqrt(x * x + 1.0),
    "negative": lambda xp, p, x: -x,
    "cube": lambda xp, p, x: x**3 * 0.1,
    "reciprocal": lambda xp, p, x: 1.0 / (x * x + 2.0),
    "scaled": lambda xp, p, x: x * p["factor"] + 0.5,
    "masked": lambda xp, p, x: xp.where(constant(xp, p["mask"], x) > 0, x * 2.0, -x),
    "whole": lambda xp, p, x: getitem(xp, x, (...,)),
    "sum": lambda xp, p, x: xp.sum(x, axis=p["axis"], keepdims=p["keepdims"]),
    "mean": lambda xp, p, x: xp.mean(x, axis=p["axis"], keepdims=p["keepdims"]),
    "reshape": lambda xp, p, x: xp.reshape(x, p["shape"]),
    "broadcast_to": lambda xp, p, x: xp.broadcast_to(x, p["shape"]),
    "expand_dims": lambda xp, p, x: xp.expand_dims(x, p["at"]),
    "squeeze": lambda xp, p, x: xp.squeeze(x),
    "swapaxes": lambda xp, p, x: xp.swapaxes(x, 0, 1),
    "flip": lambda xp, p, x: xp.flip(x, axis=0),
    "cumsum": lambda xp, p, x: xp.cumsum(x, axis=0),
    "getitem": lambda xp, p, x: getitem(xp, x, p["index"]),
    "astype": lambda xp, p, x: astype(xp, x, p["dtype"]),
    "moments": moments,
}
BINARY: dict[str, Apply] = {
    "add": lambda xp, p, a, b: a + b,
    "subtract": lambda xp, p, a, b: a - b,
    "multiply": lambda xp, p, a, b: a * b,
    "divide": lambda xp, p, a, b: a / (b * b + 1.0),
    "product": lambda xp, p, a, b: a * b,
    "custom": lambda xp, p, a, b: a * b + a * a,
    "two_outputs": two_outputs,
}
LIST: dict[str, Apply] = {
    "stack": lambda xp, p, *xs: xp.stack(xs, axis=p["at"]),
    "concatenate": lambda xp, p, *xs: xp.concatenate(xs, axis=0),
}
MATRIX: dict[str, Apply] = {
    "matmul": lambda xp, p, a, b: xp.matmul(a, b),
    "linear": lambda xp, p, x, W, *b: xp.matmul(x, xp.swapaxes(W, 0, 1)) + (b[0] if b else 0.0),
}
OPERATIONS = UNARY | BINARY | LIST | MATRIX


# The same values on minigrad's own ways


@mg.primitive
def fuzz_product(xp: Any, a: Any, b: Any) -> Any:
    """a·b, with what it saves in the other order."""
    return a * b, (b, a), (lambda xp, g, b, a: g * b, lambda xp, g, b, a: g * a)


@mg.primitive
def fuzz_moments(xp: Any, x: Any) -> Any:
    """Two outputs without axes, by a joint rule."""

    def rule(xp: Any, gs: Any, needs: Any, x: Any) -> Any:
        assert all(hasattr(g, "ndim") and not isinstance(g, np.generic) for g in gs)
        return (xp.broadcast_to(gs[0], x.shape) + 2 * gs[1] * x,)

    return (xp.sum(x), xp.sum(x * x)), (x,), mg.JointRule(rule)


@mg.primitive
def fuzz_two_outputs(xp: Any, a: Any, b: Any) -> Any:
    """Two outputs of two inputs that may broadcast."""

    def rule(xp: Any, gs: Any, needs: Any, a: Any, b: Any) -> Any:
        g, h = gs
        return g * b + h * xp.cos(a), g * a + h if needs[1] else None

    return two_outputs(xp, {}, a, b), (a, b), mg.JointRule(rule)


@mg.custom_rule
def custom(a: Any, b: Any) -> Any:
    return a * b + a * a


@custom.rule
def _(g: Any, y: Any, a: Any, b: Any) -> Any:
    return _summed_to(g * (b + 2.0 * a), a.shape), _summed_to(g * a, b.shape)


def _summed_to(g: Any, shape: tuple[int, ...]) -> Any:
    extra = g.ndim - len(shape)
    axes = tuple(k for k in range(g.ndim) if k < extra or (shape[k - extra] == 1 != g.shape[k]))
    return mg.reshape(mg.sum(g, axis=axes), shape) if axes else g


OWN: dict[str, Apply] = {
    "product": lambda p, a, b: fuzz_product(a, b),
    "custom": lambda p, a, b: custom(a, b),
    "moments": lambda p, x: fuzz_moments(x),
    "two_outputs": lambda p, a, b: fuzz_two_outputs(a, b),
    "linear": lambda p, x, W, *b: mg.linear(x, W, *b),
}


def apply(xp: Any, op: str, params: Any, inputs: Sequence[Any]) -> tuple[Any, ...]:
    """Return the outputs of an operation, always as a tuple."""
    own = OWN.get(op) if xp is mg else None
    result = own(params, *inputs) if own else OPERATIONS[op](xp, params, *inputs)
    return result if isinstance(result, tuple) else (result,)
