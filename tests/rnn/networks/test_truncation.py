"""Truncated BPTT: gradients beside those of a graph cut by hand, memory of one window, and what is refused."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad_rnn import GRU, LSTM, RNN, Elman, Truncation
from minigrad_rnn.networks.truncation import detached

KINDS = [RNN, LSTM, GRU]


def drawn(*shape: int) -> Any:
    return np.random.default_rng(3).standard_normal(shape)


def sums(model: Any) -> dict[str, Any]:
    return {name: p.grad.numpy().copy() for name, p in model.named_parameters()}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("implementation", ["graph", "fused", "native"])
@pytest.mark.parametrize(("k1", "k2"), [(3, 3), (2, 4), (1, 3), (20, 20)])
def test_windows_are_graphs_cut_by_hand(kind: Any, implementation: str, k1: int, k2: int) -> None:
    """By hand: step t's loss alone, from a state that was detached where its window begins."""
    T = 8
    model = kind(3, 4, 2, impl=implementation, dtype="float64", initial_state="learned")
    xs, weights = drawn(T, 2, 3), drawn(T, 2, 4)
    outputs = []
    for window in Truncation(k1, k2).windows(model, xs):
        (window.output * weights[window.start : window.stop]).sum().backward()
        outputs.append(window.output.numpy())
    result = sums(model)
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
        np.testing.assert_allclose(result[name], g, rtol=1e-10, atol=1e-12, err_msg=name)


def test_a_window_as_long_as_the_sequence_is_full_bptt_and_a_shorter_one_is_not() -> None:
    model, xs = LSTM(3, 4, dtype="float64"), drawn(9, 2, 3)
    model(xs)[0][-1].sum().backward()
    full = sums(model)
    bias = {}
    for k in (9, 6, 3, 1):
        model.zero_grad()
        Truncation(1, k).run(model, xs)[0][-1].sum().backward()
        bias[k] = max(float(np.abs(g - full[name]).max()) for name, g in sums(model).items())
    assert bias[9] < 1e-13
    assert 1e-6 < bias[6] < bias[3] < bias[1]


@pytest.mark.parametrize("layout", ["batch first", "one sequence"])
def test_layouts(layout: str) -> None:
    model = GRU(3, 4, dtype="float64", batch_first=layout == "batch first")
    xs = drawn(2, 7, 3) if layout == "batch first" else drawn(7, 3)
    output, state = Truncation(2, 4).run(model, xs)
    want, final = model(xs)
    np.testing.assert_allclose(output.numpy(), want.numpy(), rtol=1e-12)
    np.testing.assert_allclose(state.numpy(), final.numpy(), rtol=1e-12)
    lengths = [3, 6] if layout == "batch first" else [3]
    output, state = Truncation(2).run(model, xs, lengths=lengths)
    want, final = model(xs, lengths=lengths)
    np.testing.assert_allclose(output.numpy(), want.numpy(), rtol=1e-12)
    np.testing.assert_allclose(state.numpy(), final.numpy(), rtol=1e-12)


def test_on_every_backend_without_waiting(xp: Any) -> None:
    model = LSTM(3, 4, dtype="float64", rng=np.random.default_rng(1)).to(xp.name)
    xs = xp.array(drawn(7, 2, 3))
    with xp.no_sync():
        output, state = Truncation(2).run(model, xs, lengths=[3, 7])
        output.sum().backward()
    want, final = model(xs, lengths=[3, 7])
    for ours, theirs in ((output, want), *zip(state, final)):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("implementation", ["graph", "fused", "native"])
@pytest.mark.parametrize(("k1", "k2"), [(3, 3), (2, 4), (1, 3), (20, 20)])
def test_with_lengths_each_sequence_is_as_if_it_were_alone(kind: Any, implementation: str, k1: int, k2: int) -> None:
    """Outputs, final states and every gradient of a loss of both, with NaN at padding, whole and window by window."""
    lengths, T, truncation = [2, 8, 5, 6], 8, Truncation(k1, k2)
    model = kind(3, 4, 2, impl=implementation, dtype="float64", initial_state="learned")
    xs, weights, ends = drawn(T, 4, 3), drawn(T, 4, 4), drawn(2, 4, 4)
    for b, n in enumerate(lengths):
        xs[n:, b] = np.nan

    def parts(state: Any) -> Any:
        return state if isinstance(state, tuple) else (state,)

    outputs, finals = np.zeros((T, 4, 4)), []
    for b, n in enumerate(lengths):
        output, final = truncation.run(model, xs[:n, b : b + 1])
        loss = (output * output * weights[:n, b : b + 1]).sum()
        (loss + sum((part * part * ends[:, b : b + 1]).sum() for part in parts(final))).backward()
        outputs[:n, b] = output.numpy()[:, 0]
        finals.append([part.numpy()[:, 0] for part in parts(final)])
    want = sums(model)

    model.zero_grad()
    leaf = mg.tensor(xs, requires_grad=True)
    output, final = truncation.run(model, leaf, lengths=lengths)
    loss = (output * output * weights).sum()
    (loss + sum((part * part * ends).sum() for part in parts(final))).backward()
    np.testing.assert_allclose(output.numpy(), outputs, rtol=1e-12, atol=1e-14)
    for part, alone in zip(parts(final), zip(*finals)):
        np.testing.assert_allclose(part.numpy(), np.stack(alone, axis=1), rtol=1e-12, atol=1e-14)
    assert not leaf.grad.numpy()[np.isnan(xs)].any()
    for name, g in sums(model).items():
        np.testing.assert_allclose(g, want[name], rtol=1e-10, atol=1e-12, err_msg=name)

    grads = []
    for at_once in (True, False):
        model.zero_grad()
        if at_once:
            (truncation.run(model, xs, lengths=lengths)[0] * weights).sum().backward()
        else:
            for window in truncation.windows(model, xs, lengths=lengths):
                (window.output * weights[window.start : window.stop]).sum().backward()
        grads.append(sums(model))
    for name, g in grads[0].items():
        np.testing.assert_allclose(grads[1][name], g, rtol=1e-10, atol=1e-12, err_msg=name)


def peak(T: int) -> int:
    """Bytes held at most beyond the series itself, over a truncated pass with backward of T steps."""
    model, xs = RNN(2, 64), np.zeros((T, 16, 2), np.float32)
    tracemalloc.start()
    for window in Truncation(50).windows(model, xs):
        window.output.sum().backward()
    result = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return result


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


@pytest.mark.parametrize(
    ("model", "xs", "options", "error", "message"),
    [
        (Elman(2, 3, 1), drawn(4, 1, 2), {}, TypeError, "Truncation: rnn: got Elman, want a recurrence"),
        (RNN(2, 3), [[1.0, 2.0]], {}, TypeError, "Truncation: xs: got list, want a Tensor or an array"),
        (RNN(2, 3), np.ones((0, 1, 2), np.float32), {}, ValueError, "RNN: xs: got T = 0 steps and B = 1"),
        (RNN(2, 3), drawn(4, 1, 2), {"lengths": [5]}, ValueError, "Truncation: lengths: got 5 for sequence 0"),
        (
            RNN(2, 3),
            drawn(4, 1, 2),
            {"masks": RNN(2, 3, zoneout=0.5).draw_masks(6, 1)},
            ValueError,
            r"Truncation: masks: forward0: zoneout: got shape \(6, 1, 3\), want \(4, 1, 3\)",
        ),
    ],
)
def test_errors_of_a_call(model: Any, xs: Any, options: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        next(Truncation(2).windows(model, xs, **options))
    with pytest.raises(error, match=message):
        Truncation(2).run(model, xs, **options)


def test_the_repr_says_both_numbers() -> None:
    assert repr(Truncation(3, 6)) == "Truncation(k1=3, k2=6)"
