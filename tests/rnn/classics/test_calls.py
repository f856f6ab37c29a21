"""Calls of the lecture's classics: series in pieces, layouts, dtypes, devices, second derivatives, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

import minigrad as mg
from minigrad_rnn import NARX, TDNN, Elman, Jordan, StateSpace
from tests.support.classics_bench import H, I, O, assert_close, gradients_of, parts_of, series

EVERY = {
    "tdnn": lambda **k: TDNN(I, H, O, delays=3, **k),
    "narx": lambda **k: NARX(I, H, O, 1, 2, initial="zeros", **k),
    "jordan": lambda **k: Jordan(I, H, O, **k),
    "elman": lambda **k: Elman(I, H, O, **k),
    "state space": lambda **k: StateSpace(I, H, O, **k),
}


@pytest.mark.parametrize("name", EVERY)
@given(T=st.integers(2, 8), cut=st.integers(1, 7))
def test_a_series_in_two_pieces_is_the_whole(name: str, T: int, cut: int) -> None:
    cut = min(cut, T - 1)
    net = EVERY[name](dtype="float64", rng=np.random.default_rng(1))
    xs = series(T)
    whole, end = net(xs)
    first, state = net(xs[:cut])
    second, last = net(xs[cut:], state)
    joined = mg.concatenate([first, second])
    np.testing.assert_allclose(joined.numpy(), whole.numpy(), rtol=0, atol=1e-14)
    for a, b in zip(parts_of(end), parts_of(last)):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=0, atol=1e-14)
    assert_close(gradients_of(net, (joined * joined).sum()), gradients_of(net, (whole * whole).sum()))


@pytest.mark.parametrize("name", EVERY)
def test_layouts(name: str) -> None:
    net = EVERY[name](dtype="float64", rng=np.random.default_rng(1))
    turned = EVERY[name](dtype="float64", rng=np.random.default_rng(1), batch_first=True)
    xs = series(5)
    start = [np.random.default_rng(2).standard_normal((lags, 2, k)) for lags, k in net.state_sizes.values()]
    output, state = net(xs, tuple(start))
    flipped, same = turned(xs.swapaxes(0, 1), tuple(start))
    single, one = net(xs[:, 0], tuple(s[:, 0] for s in start))
    alone, again = turned(xs[:, 0], tuple(s[:, 0] for s in start))
    np.testing.assert_array_equal(flipped.numpy(), output.numpy().swapaxes(0, 1))
    np.testing.assert_allclose(single.numpy(), output.numpy()[:, 0], rtol=0, atol=1e-14)
    np.testing.assert_array_equal(alone.numpy(), single.numpy())
    for a, b, c, d in zip(parts_of(state), parts_of(same), parts_of(one), parts_of(again)):
        np.testing.assert_array_equal(b.numpy(), a.numpy())
        np.testing.assert_allclose(c.numpy(), a.numpy()[:, 0], rtol=0, atol=1e-14)
        np.testing.assert_array_equal(d.numpy(), c.numpy())


def test_take_initial_keeps_the_layout() -> None:
    xs, ys = series(6), series(6, features=O, seed=1)
    net = NARX(I, H, O, 3, 1, dtype="float64", rng=np.random.default_rng(1))
    turned = NARX(I, H, O, 3, 1, dtype="float64", rng=np.random.default_rng(1), batch_first=True)
    state, rest, targets = net.take_initial(xs, ys)
    same, flipped, aims = turned.take_initial(xs.swapaxes(0, 1), ys.swapaxes(0, 1))
    np.testing.assert_array_equal(state[0].numpy(), xs[:3])
    np.testing.assert_array_equal(state[1].numpy(), ys[2:3])
    np.testing.assert_array_equal(rest, xs[3:])
    np.testing.assert_array_equal(flipped, rest.swapaxes(0, 1))
    np.testing.assert_array_equal(aims, targets.swapaxes(0, 1))
    for a, b in zip(state, same):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    unbatched, alone, _ = net.take_initial(xs[:, 0], ys[:, 0])
    np.testing.assert_array_equal(unbatched[1].numpy(), ys[2:3, 0])
    np.testing.assert_array_equal(alone, xs[3:, 0])


@pytest.mark.parametrize("name", EVERY)
def test_float32_stays_float32_and_a_seed_gives_the_same_net(name: str) -> None:
    net, twin = (EVERY[name](rng=np.random.default_rng(4)) for _ in range(2))
    wide = EVERY[name](rng=np.random.default_rng(4), dtype="float64")
    xs = series(4).astype(np.float32)
    output, state = net(xs)
    (output * output).sum().backward()
    assert {a.dtype for a in (output, *parts_of(state))} == {np.dtype(np.float32)}
    assert {p.grad.dtype for p in net.parameters()} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(twin(xs)[0].numpy(), output.numpy())
    for p, q in zip(net.parameters(), wide.parameters()):
        np.testing.assert_array_equal(p.numpy(), q.numpy().astype(np.float32))


@pytest.mark.parametrize("name", EVERY)
def test_nothing_waits_for_the_device(name: str, xp: Any) -> None:
    net = EVERY[name](dtype="float64")
    xs = xp.array(series(5))
    with xp.no_sync():
        output, state = net(xs)
        output, _ = net(xs, state)
        (output * output).sum().backward()
    assert all(p.grad is not None for p in net.parameters())


@pytest.mark.parametrize("name", [name for name in EVERY if name != "elman"])  # whose gradient is none, by design
def test_second_derivatives(name: str) -> None:
    net = EVERY[name](dtype="float64", rng=np.random.default_rng(1))
    xs = mg.tensor(series(3, B=1), requires_grad=True)
    mg.gradgradcheck(lambda xs: net(xs)[0], [xs])


@pytest.mark.parametrize("name", EVERY)
def test_a_state_keeps_no_series_alive(name: str) -> None:
    with mg.no_grad():
        _, state = EVERY[name]()(series(50).astype(np.float32))
    for part in parts_of(state):
        base = part.data
        while base.base is not None:
            base = base.base
        assert base.size == part.size


@pytest.mark.parametrize("name", EVERY)
def test_errors_of_every_call(name: str) -> None:
    net = EVERY[name]()
    called, ones = type(net).__name__, np.ones((4, 2, I), np.float32)
    with pytest.raises(ValueError, match=rf"{called}: xs: got shape \(4, 2, 5\), want \(T, B, 3\) or \(T, 3\)"):
        net(np.ones((4, 2, 5), np.float32))
    with pytest.raises(ValueError, match=rf"{called}: xs: got T = 0 steps and B = 2"):
        net(ones[:0])
    with pytest.raises(ValueError, match=rf"{called}: xs: got T = 4 steps and B = 0"):
        net(ones[:, :0])
    with pytest.raises(TypeError, match=rf"{called}: xs: got dtype float64, want float32"):
        net(ones.astype(np.float64))
    with pytest.raises(TypeError, match=rf"{called}: xs: got list"):
        net([[1.0, 2.0, 3.0]])
    with pytest.raises(ValueError, match=rf"{called}: state: got 3 arrays, want {' and '.join(net.state_names)}"):
        net(ones, (None, None, None))
    bad = (np.ones((9, 9, 9), np.float32),) + (None,) * (len(net.state_names) - 1)
    with pytest.raises(ValueError, match=rf"{called}: state: {net.state_names[0]}: got shape \(9, 9, 9\), want"):
        net(ones, bad)
    with pytest.raises(TypeError, match=rf"{called}: state: {net.state_names[0]}: got str"):
        net(ones, ("h",) + (None,) * (len(net.state_names) - 1))


def test_two_backends_do_not_mix() -> None:
    net = StateSpace(I, H, O)
    net.to("strict")
    with pytest.raises(mg.BackendError, match="StateSpace: xs: is on numpy, the parameters on strict"):
        net(np.ones((4, 2, I), np.float32))


XS, YS = np.ones((4, 2, I), np.float32), np.ones((4, 2, O), np.float32)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: TDNN(0, H, O, 2), "TDNN: input_size: got 0, want a whole number of at least 1"),
        (lambda: TDNN(I, H, O, -1), "TDNN: delays: got -1, want a whole number of at least 0"),
        (lambda: TDNN(I, (), O, 2), "TDNN: hidden_size: got no layers"),
        (lambda: TDNN(I, (H, 0), O, 2), "TDNN: hidden_size: got 0"),
        (lambda: TDNN(I, H, O, 2, nonlinearity="tan"), "TDNN: nonlinearity: got 'tan', want one of"),
        (lambda: Jordan(I, H, O, mu=1.0), r"Jordan: mu: got 1.0, want a number in \[0, 1\)"),
        (lambda: Jordan(I, H, 0), "Jordan: output_size: got 0"),
        (lambda: StateSpace(I, H, O, initial_state="ones"), "StateSpace: initial_state: got 'ones'"),
        (lambda: StateSpace(I, H, O, output_nonlinearity="hard"), "StateSpace: output_nonlinearity: got 'hard'"),
        (lambda: NARX(I, H, O, 1, 2, initial="guessed"), "NARX: initial: got 'guessed', want one of"),
        (lambda: NARX(0, H, O, 0, 0), "NARX: input_size, output_lags: got 0 and 0"),
        (lambda: NARX(0, H, O, 1, 2), "NARX: input_lags: got 1 with input_size=0, want 0"),
        (lambda: NARX(I, H, O, 1, 0, initial="learned"), "NARX: initial: got 'learned' with output_lags=0"),
        (lambda: NARX(I, H, O, 1, 2)(XS), r"got no initial outputs, want Y\(−1\) … Y\(−2\) of shape \(2, 2, 2\)"),
        (lambda: NARX(I, H, O, 1, 2).forecast(4, None, XS), "NARX: state: got no initial outputs"),
        (lambda: NARX(I, H, O, 1, 0)(XS, targets=YS), "NARX: targets: got some, want None"),
        (lambda: NARX(I, H, O, 1, 1, initial="zeros")(XS, targets=YS[:3]), "NARX: targets: got T = 3 steps and B = 2"),
        (lambda: NARX(I, H, O, 1, 1, initial="zeros")(XS, targets=YS[:, 0]), "NARX: targets: got"),
        (lambda: NARX(I, H, O, 1, 4).take_initial(XS, YS), "got T = 4 steps, want more than 4: .* beyond the series"),
        (lambda: NARX(I, H, O, 1, 2).take_initial(XS[:3], YS), "NARX: targets: got T = 4 steps and B = 2, want 3"),
        (lambda: NARX(I, H, O, 1, 1, initial="zeros").forecast(3, None, XS), "xs: got T = 4 steps, want n = 3"),
        (lambda: NARX(I, H, O, 1, 1, initial="zeros").forecast(3, None), "NARX.forecast: xs: got None"),
        (lambda: NARX(I, H, O, 1, 1).forecast(0, None), "NARX.forecast: n: got 0"),
        (lambda: NARX(0, H, O, 0, 1).forecast(3, YS[:1], XS), "NARX.forecast: xs: got inputs, want None"),
        (lambda: NARX(0, H, O, 0, 1, initial="zeros").forecast(3, None), "forecast: state: got NoneType, want"),
        (lambda: NARX(0, H, O, 0, 1).forecast(3, YS[:2]), r"NARX: state: y: got shape \(2, 2, 2\), want \(1, 2, 2\)"),
    ],
)  # fmt: skip
def test_errors(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_what_a_net_shows_of_itself() -> None:
    assert repr(TDNN(3, (4, 5), 2, delays=6)) == "TDNN(3, (4, 5), 2, delays=6)"
    assert repr(NARX(3, 4, 2, 1, 2)) == "NARX(3, 4, 2, input_lags=1, output_lags=2, initial='given')"
    assert repr(Jordan(3, 4, 2, mu=0.9)) == "Jordan(3, 4, 2, mu=0.9)"
    assert repr(Elman(3, 4, 2)) == "Elman(3, 4, 2)"
    assert repr(StateSpace(3, 4, 2, initial_state="learned")) == "StateSpace(3, 4, 2, initial_state='learned')"
