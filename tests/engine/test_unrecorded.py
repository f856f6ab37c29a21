"""Operations that are not recorded take a shorter way, with the same values and the same errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg

X = mg.tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
CALLS: dict[str, Callable[..., Any]] = {
    "reshape": lambda x: mg.reshape(x, (3, 2)),
    "getitem": lambda x: x[1],
    "sum": lambda x: mg.sum(x, axis=1, keepdims=True),
    "split": lambda x: mg.split(x, 3, axis=1),
    "where": lambda x: mg.where(x > 2, x, 0.0),
    "concatenate": lambda x: mg.concatenate([x, x * 2], axis=0),
    "linear": lambda x: mg.linear(x, x),
    "einsum": lambda x: mg.einsum("ij,kj->ik", x, x),
}
ERRORS: dict[str, Callable[..., Any]] = {
    "reshape": lambda x: mg.reshape(x, (4, 2)),
    "getitem": lambda x: x[5],
    "sum": lambda x: mg.sum(x, axis=4),
    "concatenate": lambda x: mg.concatenate([x, x[0]], axis=0),
    "linear": lambda x: mg.linear(x, x[:, :2]),
}


@pytest.mark.parametrize("name", CALLS)
def test_values_are_the_same(name: str) -> None:
    recorded = CALLS[name](X)
    with mg.no_grad():
        unrecorded = CALLS[name](X)
    pairs = list(zip(recorded, unrecorded, strict=True)) if isinstance(recorded, (tuple, list)) else []
    for a, b in pairs or [(recorded, unrecorded)]:
        assert b.node is None
        assert np.array_equal(a.numpy(), b.numpy())
        assert a.dtype == b.dtype


@pytest.mark.parametrize("name", ERRORS)
def test_errors_are_the_same(name: str) -> None:
    with pytest.raises(Exception, match=r".+") as recorded:
        ERRORS[name](X)
    with pytest.raises(Exception, match=r".+") as unrecorded, mg.no_grad():
        ERRORS[name](X)
    assert type(unrecorded.value) is type(recorded.value)
    assert str(unrecorded.value) == str(recorded.value)


def test_an_observer_sees_what_is_not_recorded() -> None:
    with mg.no_grad(), mg.profile() as seen:
        mg.reshape(X, (3, 2))
    assert "reshape" in str(seen)


def test_a_view_of_the_users_array_is_still_the_users() -> None:
    own = np.ones(3)
    with mg.no_grad():
        view = mg.reshape(own, (1, 3))
    w = mg.tensor(np.ones((1, 3)), requires_grad=True)
    loss = (w * view).sum()
    own[...] = 7
    with pytest.raises(mg.GraphError):
        loss.backward()
