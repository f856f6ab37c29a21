"""NaN, infinities, huge and subnormal numbers go through compiled sequences as through NumPy; the tails of slopes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from tests.support.native_cells import DTYPES, KINDS, Batch, Results, drawn_batch, made_net, results
from tests.support.native_library import require_compiler

T, B, I = 4, 3, 2
PLACES = ("xs", "h", "c", "Wc", "Wr", "b", "p", "Wp", "gradient")
NUMBERS = ("nan", "inf", "-inf", "1e30", "subnormal")


@pytest.fixture(autouse=True)
def _compiler() -> None:
    require_compiler()


def found(kind: str, impl: str, H: int, dtype: str, place: str, number: float) -> Results:
    """All results with `number` in one place of the second sequence, or of a weight."""
    net = made_net(kind, I, H, dtype, impl)
    batch = drawn_batch(net, T, B)
    names = net.cells[0].state_names
    if place == "xs":
        batch.xs[1, 1, 0] = number
    elif place == "gradient":
        batch.gradients[0][2, 1, 0] = number
    elif place in names:
        batch.state[names.index(place)][0, 1, 0] = number
    else:
        weight = getattr(net.cells[0], place)
        weight.data[(0,) * weight.ndim] = number
    with np.errstate(all="ignore"):
        return results(net, batch)


def places(kind: str) -> list[str]:
    cell = made_net(kind, I, 3).cells[0]
    there = {"xs", "gradient", *cell.state_names, *(name for name, _ in cell.named_parameters())}
    return [place for place in PLACES if place in there]


def classes(a: Any) -> Any:
    """0 for a finite number, 2 for NaN, ±1 for ±infinity."""
    return np.where(np.isnan(a), 2, np.where(np.isinf(a), np.sign(a), 0))


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_as_in_numpy(kind: str, dtype: str, number: str) -> None:
    """Everywhere NaN, an infinity or a finite number as in the fused sequence, or at least as op by op.

    The two differ where an intermediate result overflows, or 0 · ∞ arises in one of them.
    """
    value = float(np.finfo(dtype).smallest_subnormal * 3) if number == "subnormal" else float(number)
    tolerance = 2e-5 if dtype == "float32" else 1e-12
    for H in (3, 16, 17):
        for place in places(kind):
            graph, fused, native = (found(kind, impl, H, dtype, place, value) for impl in ("graph", "fused", "native"))
            for name, a in native.items():
                like_fused = classes(a) == classes(fused[name])
                assert (like_fused | (classes(a) == classes(graph[name]))).all(), (H, place, name)
                finite = (classes(a) == 0) & like_fused
                want = np.where(finite, fused[name], 0)
                error = np.abs(np.where(finite, a, 0) - want)
                assert error.max() <= tolerance * max(np.abs(want).max(), 1e-3), (H, place, name)


@pytest.mark.parametrize("kind", KINDS)
def test_an_infinite_input_leaves_finite_gradients(kind: str) -> None:
    """Vectors past the last unit meet weights of zero: 0 · ∞ is NaN there, and must stay there."""
    H = 5
    got = found(kind, "native", H, "float64", "xs", np.inf)
    assert np.isfinite(got["output"][:, [0, 2]]).all()
    for name in ("d xs", "d initial h"):
        assert np.isfinite(got[name][..., [0, 2], :]).all()
    if kind != "rnn_relu":
        assert np.isfinite(got["d initial h"]).all()
        assert np.isfinite(got["d forward0.Wr"]).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_one_sequences_nan_is_not_anothers(kind: str, dtype: str) -> None:
    net = made_net(kind, I, 5, dtype)
    batch = drawn_batch(net, T, B)
    clean = results(net, batch)
    batch.xs[:, 1] = np.nan
    poisoned = results(net, batch)
    for name, a in poisoned.items():
        if name == "output" or name.startswith(("every", "last", "d xs", "d initial")):
            others = [0, 2]
            assert a[..., others, :].tobytes() == clean[name][..., others, :].tobytes(), name
            assert np.isnan(a[..., 1, :]).any() or (kind == "rnn_relu" and name.startswith("d ")), name
        else:
            assert np.isnan(a).any() or kind == "rnn_relu", name


@pytest.mark.parametrize("kind", KINDS)
def test_subnormal_gradients_are_not_flushed(kind: str) -> None:
    """A gradient of a few times the smallest number arrives, and scales to the ordinary one."""
    net = made_net(kind, 2, 3, "float64")
    batch = drawn_batch(net, 1, 2)
    tiny = 2.0**-1040
    whole, small = (results(net, scaled(batch, factor)) for factor in (1.0, tiny))
    for name in whole:
        if name.startswith("d "):
            np.testing.assert_allclose(small[name] / tiny, whole[name], rtol=0, atol=2e-8, err_msg=name)
            assert np.any((small[name] != 0) & (np.abs(small[name]) < np.finfo(np.float64).tiny))


def scaled(batch: Batch, factor: float) -> Batch:
    return replace(batch, gradients=tuple(g * factor for g in batch.gradients))


GRUS = ("gru", "gru_reset_first")
GATES = [("rnn_tanh", 0), *(("lstm", k) for k in range(4)), *((kind, k) for kind in GRUS for k in range(3))]
"""Kinds, and the gate whose argument is large; rows i f g o and r z n."""


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("kind", "gate"), GATES)
def test_tails_of_every_gates_slope(kind: str, gate: int, dtype: str) -> None:
    """The gradient through one gate far from 0, to 4 units in the last place of what mpmath computes to 700 digits."""
    mp = pytest.importorskip("mpmath").mp
    net = made_net(kind, 1, 1, dtype)
    cell, rows = net.forward0, net.forward0.Wc.shape[0]
    z, h, c = (0.25, 0.5, -0.75, 0.375)[:rows], 0.5, -0.625  # exact in both dtypes
    w = 0.0 if gate == 2 else 0.5  # a sum would round the large argument
    cell.Wc.data = np.eye(rows, dtype=dtype)[:, gate : gate + 1]
    cell.b.data = np.where(np.arange(rows) == gate, 0, z).astype(dtype)
    cell.Wr.data = np.where(np.arange(rows) == 2, w, 0).astype(dtype)[:, None] * (kind in GRUS)
    if kind == "gru":
        cell.br.data = np.zeros(rows, dtype)

    def value(x: Any) -> Any:
        a = [x if k == gate else mp.mpf(part) for k, part in enumerate(z)]
        sigma = [1 / (1 + mp.exp(-part)) for part in a]
        if kind == "rnn_tanh":
            return mp.tanh(a[0])
        if kind == "lstm":
            return sigma[3] * mp.tanh(sigma[1] * c + sigma[0] * mp.tanh(a[2]))
        n = mp.tanh(a[2] + sigma[0] * w * h)
        return n + sigma[1] * (h - n)

    of_tanh = kind == "rnn_tanh" or gate == 2
    far = {"float32": 80, "float64": 690}[dtype] / (2 if of_tanh else 1)
    with mp.workdps(700):
        for x in (-far, -far / 3, -3.0, 0.25, 2.0, far / 3, far):
            x = float(np.dtype(dtype).type(x))
            step = mp.mpf(10) ** -330
            want = (value(x + step) - value(x - step)) / (2 * step)
            xs = mg.tensor(np.full((1, 1, 1), x, dtype), requires_grad=True)
            state = [mg.tensor(np.full((1, 1, 1), part, dtype)) for part in (h, c)]
            output, _ = net(xs, tuple(state) if kind == "lstm" else state[0])
            (got,) = mg.gradients(output.sum(), [xs])
            error = abs(mp.mpf(float(got.numpy().item())) - want) / abs(want)
            assert error < 4 * np.finfo(dtype).eps, (x, float(error / np.finfo(dtype).eps))
