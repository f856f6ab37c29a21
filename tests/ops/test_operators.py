"""Operators between tensors and other operands, and the methods of a tensor."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.engine.tensor import Tensor
from tests.support.numpy_version import BEFORE_2_4

OPERATORS = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "**": operator.pow,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


OPERANDS = {
    "float": 1.5,
    "int": 2,
    "bool": True,
    "float32 scalar": np.float32(1.5),
    "float64 scalar": np.float64(1.5),
    "int64 scalar": np.int64(2),
    "float32 array": np.array([1.5, 0.5, 2.0], np.float32),
    "float64 array": np.array([1.5, 0.5, 2.0]),
    "int array": np.array([1, 2, 3]),
    "0-d array": np.array(1.5),
    "list": [1.5, 0.5, 2.0],
}


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("operand", OPERANDS)
@pytest.mark.parametrize("symbol", OPERATORS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_operators_and_operands(xp: Any, symbol: str, operand: str, swapped: bool, dtype: Any) -> None:
    """A tensor beside anything else, on either side, gives NumPy's value and NumPy's dtype (NEP 50)."""
    host = np.array([[0.5, 1.5, 2.0], [1.0, 3.0, 0.25]], dtype)
    other = OPERANDS[operand]
    apply = OPERATORS[symbol]
    if BEFORE_2_4 and (symbol, operand) == ("**", "int64 scalar"):
        pytest.skip("NumPy before 2.4 takes a whole scalar exponent for a weak one")
    x = mg.tensor(host, requires_grad=True)
    placed = xp.array(other) if isinstance(other, np.ndarray) else other
    y = apply(placed, x) if swapped else apply(x, placed)
    # A list of Python floats is as weak as they are.
    beside = np.asarray(other, dtype) if operand == "list" else other
    expected = apply(beside, host) if swapped else apply(host, beside)
    assert type(y) is Tensor
    assert y.dtype == expected.dtype
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-6)
    if y.dtype == bool:
        assert not y.requires_grad
        return
    (g,) = mg.gradients(y, [x], mg.tensor(np.ones_like(expected)))
    assert (g.dtype, g.shape) == (dtype, x.shape)


@pytest.mark.parametrize("symbol", ["+", "-", "*", "/", "**", "@", "<", "=="])
@pytest.mark.parametrize("swapped", [False, True])
def test_host_arrays_beside_a_device_tensor_are_refused(symbol: str, swapped: bool) -> None:
    apply = {**OPERATORS, "@": operator.matmul}[symbol]
    host = np.ones((2, 2), np.float32)
    x = mg.tensor(host, backend="strict", requires_grad=True)
    with pytest.raises(mg.BackendError, match=r"on (strict|numpy).* on (strict|numpy).*\.to\(backend\)"):
        apply(host, x) if swapped else apply(x, host)
    other = mg.tensor(host, backend="numpy")
    with pytest.raises(mg.BackendError, match="argument 1 of shape"):
        apply(other, x) if swapped else apply(x, other)


def test_matmul_operator_both_ways(xp: Any) -> None:
    host = np.arange(6.0).reshape(2, 3)
    x = mg.tensor(host, requires_grad=True)
    np.testing.assert_allclose((x @ xp.array(host.T)).numpy(), host @ host.T)
    np.testing.assert_allclose((xp.array(host.T) @ x).numpy(), host.T @ host)


def test_methods_are_the_functions(xp: Any) -> None:
    host = np.random.default_rng(0).standard_normal((2, 3, 4))
    x = mg.tensor(host, requires_grad=True)
    calls: dict[str, Callable[[Any], Any]] = {
        "sum": lambda a: a.sum(axis=1),
        "mean": lambda a: a.mean(axis=(0, 2), keepdims=True),
        "max": lambda a: a.max(axis=-1),
        "min": lambda a: a.min(),
        "var": lambda a: a.var(axis=1),
        "T": lambda a: a.T,
        "reshape": lambda a: a.reshape(6, -1),
        "reshape to a tuple": lambda a: a.reshape((4, 6)),
        "transpose": lambda a: a.transpose(1, 2, 0),
        "transpose by a tuple": lambda a: a.transpose((1, 2, 0)),
        "transpose all": lambda a: a.transpose(),
        "swapaxes": lambda a: a.swapaxes(0, 1),
        "squeeze": lambda a: a[:1].squeeze(0),
        "astype": lambda a: a.astype("float32"),
        "abs": abs,
        "neg": operator.neg,
        "pos": operator.pos,
        "std": lambda a: a.std(axis=1),
        "prod": lambda a: a.prod(axis=0),
        "cumsum": lambda a: a.cumsum(axis=2),
        "cumprod": lambda a: a.cumprod(1),
        "ravel": lambda a: a.ravel(),
        "flatten": lambda a: a.flatten(),
        "repeat": lambda a: a.repeat(2, axis=1),
        "take": lambda a: a.take(np.array([0, 2]), axis=1) if isinstance(a, np.ndarray) else a.take([0, 2], axis=1),
        "trace": lambda a: a.trace(0, 1, 2),
        "diagonal": lambda a: a.diagonal(1, 0, 2),
        "dot": lambda a: a[0].dot(a[0].T),
        "clip": lambda a: a.clip(-0.5, 0.5),
        "copy": lambda a: a.copy(),
        "conj": lambda a: a.conj(),
        "real": lambda a: a.real,
        "mT": lambda a: a.mT,
        "mod": lambda a: a % 0.7,
        "rmod": lambda a: 0.7 % a,
        "divmod": lambda a: divmod(a, 0.7)[1],
        "iter": lambda a: list(a)[1],
    }
    for name, call in calls.items():
        ours, theirs = call(x), call(host)
        np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-12, err_msg=name)
        assert ours.dtype == theirs.dtype, name
        assert ours.requires_grad, name
    constants: list[Callable[[Any], Any]] = [
        lambda a: a.argmax(axis=1),
        lambda a: a.argmin(axis=1),
        lambda a: a.argsort(axis=1),
        lambda a: a // 0.7,
        lambda a: (a > 0).any(axis=1),
        lambda a: (a > 0).all(),
        lambda a: (a > 0) & (a < 1) | ~(a > -1) ^ (a > 0.5),
        lambda a: a.round(1),
    ]
    for call in constants:
        np.testing.assert_array_equal(call(x).numpy(), call(host))
        assert not call(x).requires_grad
    assert len(x) == 2
