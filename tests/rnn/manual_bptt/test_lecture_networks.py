"""The lecture's whole network with its softmax output, and its bidirectional block of uneven depths."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minigrad_rnn.manual_bptt import lecture
from tests.support.slides_bench import I, errors_by_name, guilty

SIZES = (5, 3)  # hidden sizes of a deep net: the lecture's procedures do not ask that they are equal
O, T, B = 6, 4, 2


def deep_net(rng: np.random.Generator, sizes: tuple[int, ...], prefix: str = "") -> dict[str, np.ndarray]:
    values = {}
    for l, (below, size) in enumerate(zip((I, *sizes), sizes)):
        shapes = {"Wc": (size, below), "Wr": (size, size), "b": (size,), "hinit": (B, size)}
        values |= {f"{prefix}{name}{l}": rng.uniform(-0.8, 0.8, shape) for name, shape in shapes.items()}
    return values


def net_of(values: dict[str, np.ndarray], L: int, prefix: str = "") -> tuple[Any, ...]:
    return L, *([values[f"{prefix}{name}{l}"] for l in range(L)] for name in ("Wc", "Wr", "b", "hinit"))


def named(gradients: tuple[Any, ...], prefix: str = "") -> dict[str, np.ndarray]:
    lists = zip(("Wc", "Wr", "b", "hinit"), gradients)
    return {f"{prefix}{name}{l}": g for name, layers in lists for l, g in enumerate(layers)}


def divergence_of_all_outputs(Y: np.ndarray, weight: np.ndarray) -> float:
    """Couples every output with every other, over time and over examples: log Σ exp over a product of all times."""
    return float(np.log1p(np.exp(np.prod(1.0 + Y * weight, axis=0).sum())) + np.square((weight * Y).sum()))


def its_gradient(Y: np.ndarray, weight: np.ndarray) -> np.ndarray:
    product = np.prod(1.0 + Y * weight, axis=0)
    slope = 1.0 / (1.0 + np.exp(-product.sum()))
    return slope * product * weight / (1.0 + Y * weight) + 2.0 * (weight * Y).sum() * weight


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_whole_network_agrees_with_finite_differences(nonlinearity):
    rng = np.random.default_rng(97)
    L, weight = len(SIZES), rng.uniform(-0.9, 0.9, (T, B, O))
    values = deep_net(rng, SIZES)
    values |= {"Wo": rng.standard_normal((O, SIZES[-1])), "bo": rng.standard_normal(O)}
    values["x"] = rng.standard_normal((T, B, I))

    def forward(**changed: np.ndarray) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        now = {**values, **changed}
        _, Wc, Wr, b, hinit = net_of(now, L)
        arguments = (L, Wc, Wr, b, now["Wo"], now["bo"], hinit, now["x"], T)
        return arguments, lecture.network_forward(*arguments, nonlinearity=nonlinearity)

    arguments, (Y, h, z) = forward()
    np.testing.assert_allclose(Y.sum(axis=-1), 1.0, rtol=1e-14)
    dY = its_gradient(Y, weight)
    dWo, dbo, dWc, dWr, db, dx, dhinit = lecture.network_bptt(*arguments, dY, Y, h, z, nonlinearity=nonlinearity)
    gradients = {**named((dWc, dWr, db, dhinit)), "Wo": dWo, "bo": dbo, "x": dx}
    errors = errors_by_name(lambda **c: divergence_of_all_outputs(forward(**c)[1][0], weight), values, gradients)
    assert guilty(errors) == set(), errors


def test_slide_97_is_slide_116_under_a_readout():
    rng = np.random.default_rng(116)
    L, values = len(SIZES), deep_net(rng, SIZES)
    net, x = net_of(values, L), rng.standard_normal((T, B, I))
    Wo, bo, dY = rng.standard_normal((O, SIZES[-1])), rng.standard_normal(O), rng.standard_normal((T, B, O))
    arguments = (*net[:4], Wo, bo, net[4], x, T)
    Y, h, z = lecture.network_forward(*arguments)
    _, _, dWc, dWr, db, dx, dhinit = lecture.network_bptt(*arguments, dY, Y, h, z)
    dzo = Y * (dY - (dY * Y).sum(axis=-1, keepdims=True))
    expected = lecture.RNN_bptt(*net, x, T, dzo @ Wo, h, z)
    np.testing.assert_allclose(dx, expected[0], rtol=1e-12, atol=1e-14)
    for ours, theirs in zip((dWc, dWr, db, dhinit), expected[1:], strict=True):
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


# --- The bidirectional block with nets of their own depth and size ---------------------------------------------------
SIZES_F, SIZES_B = (5, 3), (2, 4, 6)


def block() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(108)
    values = {**deep_net(rng, SIZES_F, "f."), **deep_net(rng, SIZES_B, "b.")}
    return {**values, "x": rng.standard_normal((T, B, I))}


def test_flipping_time_is_the_backward_recurrence_of_slide_105():
    values = block()
    x, netf, netb = values["x"], net_of(values, 2, "f."), net_of(values, 3, "b.")
    Lb, Wbc, Wbr, bb, hbinf = netb
    hb = {(T, l): hbinf[l - 1] for l in range(1, Lb + 1)}
    for t in range(T - 1, -1, -1):  # slide 105: going backward in time, no flip
        hb[t, 0] = x[t]
        for l in range(1, Lb + 1):
            hb[t, l] = np.tanh(hb[t, l - 1] @ Wbc[l - 1].T + hb[t + 1, l] @ Wbr[l - 1].T + bb[l - 1])
    h, tracef, traceb = lecture.bidirectional_forward(lecture.RNN, netf, netb, x, T)
    assert traceb[0].keys() == hb.keys()
    for place, expected in hb.items():
        np.testing.assert_array_equal(traceb[0][place], expected)
    for t in range(T):
        np.testing.assert_array_equal(h[t], np.concatenate([tracef[0][t, 2], hb[t, 3]], axis=1))


def test_block_of_uneven_depths_agrees_with_finite_differences():
    values = block()
    weight = np.random.default_rng(117).uniform(-0.9, 0.9, (T, B, SIZES_F[-1] + SIZES_B[-1]))

    def forward(**changed: np.ndarray) -> tuple[tuple[Any, ...], Any, Any, Any]:
        now = {**values, **changed}
        arguments = (lecture.RNN, net_of(now, 2, "f."), net_of(now, 3, "b."), now["x"], T)
        return arguments, *lecture.bidirectional_forward(*arguments)

    arguments, h, tracef, traceb = forward()
    dx, gradf, gradb = lecture.bidirectional_bptt(*arguments, its_gradient(h, weight), tracef, traceb, {}, {})
    gradients = {**named(gradf, "f."), **named(gradb, "b."), "x": dx}
    errors = errors_by_name(lambda **c: divergence_of_all_outputs(forward(**c)[1], weight), values, gradients)
    assert guilty(errors) == set(), errors
