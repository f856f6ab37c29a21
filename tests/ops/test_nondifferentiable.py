"""Functions without a derivative return constants."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg


@pytest.mark.parametrize(
    "call",
    [
        lambda m, x: m.sign(x),
        lambda m, x: m.floor(x),
        lambda m, x: m.isnan(x),
        lambda m, x: m.isfinite(x),
        lambda m, x: m.argmax(x, axis=0),
        lambda m, x: m.argmin(x),
        lambda m, x: m.argsort(x, axis=-1),
        lambda m, x: m.zeros_like(x),
        lambda m, x: m.ones_like(x),
        lambda m, x: m.logical_and(x > 0, m.logical_not(m.logical_or(x > 1, x < -1))),
        lambda m, x: m.zeros((2, 3), dtype=np.float32),
        lambda m, x: m.ones(3, dtype=np.float64),
        lambda m, x: m.arange(1, 7, 2),
        lambda m, x: m.trunc(x),
        lambda m, x: m.ceil(x),
        lambda m, x: m.rint(x),
        lambda m, x: (m.trunc if m is np else m.fix)(x),  # NumPy 2.5 would rather not be asked for fix
        lambda m, x: m.round(x, 1),
        lambda m, x: m.around(x, decimals=1),
        lambda m, x: m.floor_divide(x, 0.3),
        lambda m, x: m.floor_divide(2.0, x),
        lambda m, x: m.divmod(x, 0.3)[0],
        lambda m, x: m.modf(x)[1],
        lambda m, x: m.frexp(x)[1],
        lambda m, x: m.heaviside(x, 0.5),
        lambda m, x: m.signbit(x),
        lambda m, x: m.isinf(x),
        lambda m, x: m.isneginf(x),
        lambda m, x: m.isposinf(x),
        lambda m, x: m.isreal(x),
        lambda m, x: m.iscomplex(x),
        lambda m, x: m.isclose(x, 0.0, atol=0.5),
        lambda m, x: m.logical_xor(x > 0, x < 1),
        lambda m, x: m.bitwise_and(x > 0, x < 1),
        lambda m, x: m.bitwise_or(x > 0, x > 1),
        lambda m, x: m.bitwise_xor(x > 0, x < 1),
        lambda m, x: m.invert(x > 0),
        lambda m, x: m.left_shift((x > 0).astype(int), 2),
        lambda m, x: m.right_shift((x > 0).astype(int), 1),
        lambda m, x: m.bitwise_count((x > 0).astype(int)),
        lambda m, x: m.gcd((x > 0).astype(int), 2),
        lambda m, x: m.lcm((x > 0).astype(int), 2),
    ],
)
def test_constants_are_off_the_tape(xp: Any, call: Any) -> None:
    host = np.random.default_rng(0).standard_normal((3, 4))
    with xp.no_sync():
        result = call(mg, mg.tensor(host, requires_grad=True))
    expected = np.asarray(call(np, host))
    np.testing.assert_array_equal(result.numpy(), expected)
    assert result.dtype == expected.dtype
    assert result.backend == xp.name
    assert not result.requires_grad


def test_integers_are_constants(xp: Any) -> None:
    whole = mg.tensor(np.array([1, 2, 3]))
    for name in ("exp2", "log2", "tan", "arctan", "erf", "lgamma", "sinc", "cbrt", "fabs", "degrees"):
        y = getattr(mg, name)(whole)
        assert (y.dtype, y.requires_grad) == (np.float64, False), name
    assert mg.remainder(whole, 2).dtype == np.int64
    assert mg.float_power(whole, -1).tolist() == [1, 1 / 2, 1 / 3]


def test_a_change_to_integers_leaves_the_tape(xp: Any) -> None:
    x = mg.tensor([1.5, 2.5], requires_grad=True)
    whole = x.astype(np.int64)
    assert whole.tolist() == [1, 2]
    assert not whole.requires_grad


def test_astype_takes_plain_arrays(xp: Any) -> None:
    whole = mg.astype(xp.array(np.array([1.5, -2.5])), np.int64)
    assert (whole.tolist(), whole.dtype) == ([1, -2], np.int64)
