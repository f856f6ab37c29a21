"""Sizes, series and gradient comparisons for the tests of the lecture's classic networks."""

from __future__ import annotations

from typing import Any

import numpy as np

import minigrad as mg

I, H, O = 3, 4, 2


def series(T: int, B: int = 2, features: int = I, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((T, B, features))


def parts_of(state: Any) -> tuple[Any, ...]:
    return state if isinstance(state, tuple) else () if state is None else (state,)


def gradients_of(net: Any, loss: Any) -> dict[str, np.ndarray]:
    names, parameters = zip(*net.named_parameters())
    return {n: g.numpy() for n, g in zip(names, mg.gradients(loss, list(parameters)))}


def assert_close(actual: dict[str, Any], expected: dict[str, Any]) -> None:
    assert actual.keys() == expected.keys()
    for name, a in expected.items():
        np.testing.assert_allclose(actual[name], a, rtol=1e-10, atol=1e-11, err_msg=name)
