"""Truncated BPTT: gradients beside those of a graph cut by hand, memory of one window, and what is refused."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad_rnn import GRU, LSTM, RNN, Truncation
from minigrad_rnn.truncation import detached

KINDS = [RNN, LSTM, GRU]


def drawn(*shape: int) -> Any:
    return np.random.default_rng(3).standard_normal(shape)


def sums(model: Any) -> dict[str, Any]:
    return {name: p.grad.numpy().copy() for name, p in model.named_parameters()}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("road", ["graph", "fused"])
@pytest.mark.parametrize(("k1", "k2"), [(3, 3), (2, 4), (1, 3), (20, 20)])
def test_windows_are_graphs_cut_by_hand(kind: Any, road: str, k1: int, k2: int) -> None:
    """By hand: step t's loss alone, from a state that was detached where its window begins."""
    T = 8
    model = kind(3, 4, 2, impl=road, dtype="float64", initial_state="learned")
    xs, weights = drawn(T, 2, 3), drawn(T, 2, 4)
    outputs = []
    for window in Truncation(k1, k2).windows(model, xs):
        (window.output * weights[window.start : window.stop]).sum().backward()
        outputs.append(window.output.numpy())
    found = sums(model)
    np.testing.assert_allclose(np.concatenate(outputs), model(xs)[0].numpy(), rtol=1e-12)

    model.zero_grad()
    for start in range(0, T, k1):
        stop = min(T, start + k1)
        begin = max(0, start + k1 - k2)
        state: Any = None
        if begin:
            with mg.no_grad():
                state = detached(model(xs[:begin])[1])
        hs, _ = model(xs[begin:stop], state)
        (hs[start - begin :] * weights[start:stop]).sum().backward()
    for name, g in sums(model).items():
        np.testing.assert_allclose(found[name], g, rtol=1e-10, atol=1e-12, err_msg=name)


def test_a_window_as_long_as_the_sequence_is_full_bptt_and_a_shorter_one_is_not() -> None:
    model, xs = LSTM(3, 4, dtype="float64"), drawn(9, 2, 3)
    model(xs)[0][-1].sum().backward()
    full = sums(model)
    bias = {}
    for k in (9, 6, 3, 1):
        model.zero_grad()
        Truncation(1, k).whole(model, xs)[0][-1].sum().backward()
        bias[k] = max(float(np.abs(g - full[name]).max()) for name, g in sums(model).items())
    assert bias[9] < 1e-13
    assert 1e-6 < bias[6] < bias[3] < bias[1]


@pytest.mark.parametrize("layout", ["batch first", "one sequence"])
def test_layouts(layout: str) -> None:
    model = GRU(3, 4, dtype="float64", batch_first=layout == "batch first")
    xs = drawn(2, 7, 3) if layout == "batch first" else drawn(7, 3)
    output, state = Truncation(2, 4).whole(model, xs)
    want, final = model(xs)
    np.testing.assert_allclose(output.numpy(), want.numpy(), rtol=1e-12)
    np.testing.assert_allclose(state.numpy(), final.numpy(), rtol=1e-12)


def peak(T: int) -> int:
    """Bytes held at most beyond the series itself, over a truncated pass with backward of T steps."""
    model, xs = RNN(2, 64), np.zeros((T, 16, 2), np.float32)
    tracemalloc.start()
    for window in Truncation(50).windows(model, xs):
        window.output.sum().backward()
    found = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return found


def test_memory_is_that_of_one_window() -> None:
    """Forty times the steps, less than half a megabyte more: the interpreter's lists of free objects filling up."""
    peak(100)
    assert peak(20_000) <= peak(500) + 5e5


@pytest.mark.soak
def test_a_million_steps_in_the_memory_of_one_window() -> None:
    peak(100)
    assert peak(1_000_000) <= peak(500) + 5e5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0,), "Truncation: k1: got 0"),
        ((2.5,), "Truncation: k1: got 2.5"),
        ((4, 6), "Truncation: k2: got 6, want a multiple of k1 = 4"),
        ((4, 2), "Truncation: k2: got 2, want a multiple of k1 = 4"),
    ],
)
def test_errors(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Truncation(*arguments)


def test_two_directions_are_refused() -> None:
    with pytest.raises(ValueError, match="Truncation: rnn: got a bidirectional recurrence"):
        next(Truncation(2).windows(RNN(2, 3, bidirectional=True), drawn(4, 1, 2)))


def test_the_repr_says_both_numbers() -> None:
    assert repr(Truncation(3, 6)) == "Truncation(k1=3, k2=6)"
