"""The lecture's classics: beside torch and each other, and what each is known for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

import minigrad as mg
from minigrad_rnn import NARX, TDNN, Elman, Jordan, StateSpace
from minigrad_rnn.classics.linear_over_time import linear_over_time
from tests.support.classics_bench import H, I, O, assert_close, gradients_of, parts_of, series


# --- The two primitives ----------------------------------------------------------------------------------------------
def test_linear_over_time_and_unstack_have_right_derivatives(xp: Any) -> None:
    rng = np.random.default_rng(0)
    xs, W, b = (mg.tensor(rng.standard_normal(shape), requires_grad=True) for shape in ((3, 2, 4), (5, 4), (5,)))
    mg.gradcheck(linear_over_time, [xs, W, b])
    mg.gradgradcheck(lambda xs, W, b: mg.tanh(linear_over_time(xs, W, b)), [xs, W, b])
    mg.gradcheck(lambda xs: mg.unstack(xs)[::2], [xs])  # one step is not used
    mg.gradgradcheck(lambda xs: [x * x for x in mg.unstack(xs)], [xs])
    np.testing.assert_allclose(linear_over_time(xs, W, b).numpy(), mg.linear(xs, W, b).numpy(), rtol=0, atol=1e-14)


def test_linear_over_time_tells_the_ledger_each_steps_share(xp: Any) -> None:
    rng = np.random.default_rng(0)
    xs, W, b = (mg.tensor(rng.standard_normal(shape), requires_grad=True) for shape in ((3, 2, 4), (5, 4), (5,)))
    weights = mg.tensor(rng.standard_normal((3, 2, 5)))
    book = mg.ledger((linear_over_time(xs, W, b) * weights).sum(), [W, b])
    for t in range(3):
        np.testing.assert_allclose(
            book.by_time_step(W)[t].numpy(), weights.numpy()[t].T @ xs.numpy()[t], rtol=0, atol=1e-13
        )
        np.testing.assert_allclose(book.by_time_step(b)[t].numpy(), weights.numpy()[t].sum(0), rtol=0, atol=1e-13)


def test_a_step_of_unstack_is_memory_of_its_own() -> None:
    """So a write into the series between forward and backward changes no saved step."""
    x = mg.tensor(np.ones((2, 3)), requires_grad=True)
    loss = sum((step * step).sum() for step in mg.unstack(x))
    x.data[...] = 100.0
    loss.backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.full((2, 3), 2.0))


# --- TDNN ------------------------------------------------------------------------------------------------------------
@given(T=st.integers(1, 7), B=st.integers(1, 3), N=st.integers(0, 5), deep=st.booleans())
def test_tdnn_is_a_convolution_over_time(T: int, B: int, N: int, deep: bool) -> None:
    """In values and gradients, with torch's conv1d over the series with N zeros, or its history, before it."""
    torch = pytest.importorskip("torch")
    net = TDNN(I, (H, H - 1) if deep else H, O, delays=N, dtype="float64")
    rng = np.random.default_rng(T)
    xs, weights = rng.standard_normal((T, B, I)), rng.standard_normal((T, B, O))
    history = rng.standard_normal((N, B, I))
    x = mg.tensor(xs, requires_grad=True)
    output, _ = net(x, history if N else None)
    (output * weights).sum().backward()

    twin = {n: torch.tensor(p.numpy(), requires_grad=True) for n, p in net.named_parameters()}
    theirs = torch.tensor(xs, requires_grad=True)
    whole = torch.cat([torch.tensor(history), theirs]).permute(1, 2, 0)  # (B, I, N + T)
    kernel = twin["Wc1"].reshape(H, N + 1, I).flip(1).permute(0, 2, 1)  # conv1d's last tap meets X(t)
    h = torch.tanh(torch.nn.functional.conv1d(whole, kernel, twin["b1"]))
    if deep:
        h = torch.tanh(torch.nn.functional.conv1d(h, twin["Wc2"][:, :, None], twin["b2"]))
    y = torch.nn.functional.conv1d(h, twin["Wo"][:, :, None], twin["bo"]).permute(2, 0, 1)
    (y * torch.tensor(weights)).sum().backward()
    np.testing.assert_allclose(output.numpy(), y.detach().numpy(), rtol=0, atol=1e-12)
    np.testing.assert_allclose(x.grad.numpy(), theirs.grad.numpy(), rtol=0, atol=1e-11)
    for n, p in net.named_parameters():
        np.testing.assert_allclose(p.grad.numpy(), twin[n].grad.numpy(), rtol=1e-10, atol=1e-11, err_msg=n)


def test_tdnn_responds_for_n_steps_and_no_longer() -> None:
    net = TDNN(I, H, O, delays=3, dtype="float64")
    xs = series(12)
    moved = xs.copy()
    moved[4] += 1.0
    changed = np.abs(net(moved)[0].numpy() - net(xs)[0].numpy()).max(axis=(1, 2))
    assert (changed[4:8] > 1e-6).all()
    assert not changed[:4].any()
    assert not changed[8:].any()


# --- NARX ------------------------------------------------------------------------------------------------------------
def test_narx_one_input_influences_the_output_for_ever() -> None:
    """Slide 32: L = 0 and K = 1, one input at t = 0 and zeros after it."""
    net = NARX(I, H, O, 0, 1, initial="zeros", nonlinearity=None, dtype="float64")
    net.Wr.data = net.Wr.numpy() * 0
    net.Wr.data = np.linalg.pinv(net.Wo.numpy())  # Wo Wr = 1: nothing fades
    xs = np.zeros((200, 1, I))
    silent = net(xs)[0].numpy()
    xs[0] = 1.0
    heard = np.abs(net(xs)[0].numpy() - silent).max(axis=(1, 2))
    assert heard[0] > 1e-3
    np.testing.assert_allclose(heard, heard[0], rtol=1e-9)


def test_narx_series_parallel_is_an_mlp_on_stacked_lags() -> None:
    """With torch's MLP, or ours op by op, fed [X(t), X(t−1), Y(t−1), Y(t−2), Y(t−3)] with the true Y."""
    torch = pytest.importorskip("torch")
    net = NARX(I, (H, H - 1), O, 1, 3, dtype="float64")
    xs, ys = series(9), series(9, features=O, seed=1)
    state, rest, targets = net.take_initial(xs, ys)
    output, final = net(rest, state, targets=targets)
    (output * targets).sum().backward()
    p = {n: torch.tensor(w.numpy(), requires_grad=True) for n, w in net.named_parameters()}
    lags = np.stack([
        np.concatenate([xs[t], xs[t - 1], ys[t - 1], ys[t - 2], ys[t - 3]], axis=1) for t in range(3, 9)
    ])  # fmt: skip
    z = torch.tensor(lags) @ torch.cat([p["Wc1"], p["Wr"]], dim=1).T + p["b1"]
    y = torch.tanh(torch.tanh(z) @ p["Wc2"].T + p["b2"]) @ p["Wo"].T + p["bo"]
    (y * torch.tensor(ys[3:])).sum().backward()
    np.testing.assert_allclose(output.numpy(), y.detach().numpy(), rtol=0, atol=1e-13)
    for n, w in net.named_parameters():
        np.testing.assert_allclose(w.grad.numpy(), p[n].grad.numpy(), rtol=1e-11, atol=1e-12, err_msg=n)
    np.testing.assert_array_equal(final[0].numpy(), xs[8:])
    np.testing.assert_array_equal(final[1].numpy(), ys[6:])


def test_narx_fed_its_own_outputs_says_the_same_either_way() -> None:
    """Series-parallel with the parallel outputs as targets is parallel in values, and another gradient."""
    net = NARX(I, H, O, 1, 2, initial="zeros", dtype="float64")
    xs = series(7)
    own, _ = net(xs)
    guided, _ = net(xs, targets=own.detach())
    np.testing.assert_allclose(guided.numpy(), own.numpy(), rtol=0, atol=1e-14)
    parallel, series_parallel = (gradients_of(net, (y * y).sum()) for y in (own, guided))
    assert np.abs(parallel["Wr"] - series_parallel["Wr"]).max() > 1e-3


@pytest.mark.parametrize("inputs", [I, 0])
def test_narx_forecast_goes_on_from_a_state(inputs: int, xp: Any) -> None:
    net = NARX(inputs, H, O, 1 if inputs else 0, 2, dtype="float64")
    xs, ys = xp.array(series(6)), xp.array(series(6, features=O, seed=1))
    state, rest, targets = net.take_initial(xs if inputs else None, ys)
    _, state = net(rest, state, targets=targets)
    future = xp.array(series(5, seed=2)) if inputs else None
    ahead, end = net.forecast(5, state, future)
    first, middle = net.forecast(2, state, None if future is None else future[:2])
    second, last = net.forecast(3, middle, None if future is None else future[2:])
    np.testing.assert_allclose(mg.concatenate([first, second]).numpy(), ahead.numpy(), rtol=0, atol=1e-14)
    for a, b in zip(parts_of(end), parts_of(last)):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=0, atol=1e-14)
    assert ahead.shape == (5, 2, O)
    y = ys if isinstance(ys, np.ndarray) else ys.get()
    z = np.concatenate([y[5], y[4]], axis=1) @ net.Wr.numpy().T + net.b1.numpy()
    if inputs:
        x, now = mg.tensor(xs).numpy(), mg.tensor(future).numpy()[0]
        z = z + np.concatenate([now, x[5]], axis=1) @ net.Wc1.numpy().T
    np.testing.assert_allclose(
        ahead.numpy()[0], np.tanh(z) @ net.Wo.numpy().T + net.bo.numpy(), rtol=0, atol=1e-13
    )  # fmt: skip


def test_narx_learns_its_initial_outputs() -> None:
    net = NARX(I, H, O, 0, 2, initial="learned", dtype="float64")
    assert net.y_init.shape == (2, O)
    y_init = np.random.default_rng(0).standard_normal((2, O))
    net.y_init.data = y_init
    xs = series(4, B=3)
    given = mg.tensor(np.repeat(y_init[:, None], 3, axis=1), requires_grad=True)
    want, _ = net(xs, given)
    output, _ = net(xs)
    np.testing.assert_array_equal(output.numpy(), want.numpy())
    (g,) = mg.gradients((want * want).sum(), [given])
    np.testing.assert_allclose(
        gradients_of(net, (output * output).sum())["y_init"], g.numpy().sum(axis=1), rtol=1e-12, atol=1e-13
    )


# --- Jordan ----------------------------------------------------------------------------------------------------------
def test_jordans_memory_is_a_running_average_that_does_not_learn() -> None:
    net = Jordan(I, H, O, mu=0.8, dtype="float64")
    assert [n for n, _ in net.named_parameters()] == ["Wc", "Wr", "b", "Wo", "bo"]
    ys, state = net(series(6))
    want = sum(0.8 ** (5 - t) * ys.numpy()[t] for t in range(6))
    np.testing.assert_allclose(state.numpy()[0], want, rtol=0, atol=1e-14)


def test_jordans_gradient_goes_into_the_past() -> None:
    net = Jordan(I, H, O, dtype="float64")
    xs = mg.tensor(series(6), requires_grad=True)
    output, _ = net(xs)
    output[5].sum().backward()
    assert (np.abs(xs.grad.numpy()).max(axis=(1, 2)) > 1e-9).all()


def test_jordan_step_by_step_with_a_detached_memory_has_no_past() -> None:
    net = Jordan(I, H, O, dtype="float64")
    xs, state = mg.tensor(series(4), requires_grad=True), None
    for t in range(4):
        output, state = net(xs[t : t + 1], state)
        state = state.detach()
    output.sum().backward()
    assert not xs.grad.numpy()[:3].any()
    assert xs.grad.numpy()[3].any()


# --- Elman -----------------------------------------------------------------------------------------------------------
def as_one_step_networks(net: Any, xs: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """T nets of one step, each with a context that is an input; their gradients are added up."""
    total = {n: np.zeros(p.shape) for n, p in net.named_parameters()}
    outputs, context = [], np.zeros((1, xs.shape[1], H))
    for t in range(len(xs)):
        one = Elman(I, H, O, dtype="float64")
        one.load_state_dict(net.state_dict())
        output, state = one(xs[t : t + 1], context)
        context = state.numpy()
        outputs.append(output.numpy())
        for n, g in gradients_of(one, (output * weights[t : t + 1]).sum()).items():
            total[n] += g
    return total | {"output": np.concatenate(outputs)}


class Leaky(Elman):
    """The fault: the gradient crosses the link."""

    _feedback = StateSpace._feedback


def test_elman_learns_as_t_networks_of_one_step() -> None:
    net = Elman(I, H, O, dtype="float64")
    xs, weights = series(6), series(6, features=O, seed=1)
    want = as_one_step_networks(net, xs, weights)
    output, _ = net(xs)
    assert_close(gradients_of(net, (output * weights).sum()) | {"output": output.numpy()}, want)

    leaky = Leaky(I, H, O, dtype="float64")
    leaky.load_state_dict(net.state_dict())
    output, _ = leaky(xs)
    np.testing.assert_allclose(output.numpy(), want["output"], rtol=0, atol=1e-14)
    crossing = gradients_of(leaky, (output * weights).sum())
    assert max(np.abs(crossing[n] - want[n]).max() for n in crossing) > 1e-3


def test_no_gradient_crosses_elmans_link() -> None:
    net = Elman(I, H, O, dtype="float64")
    xs, state = mg.tensor(series(5), requires_grad=True), mg.tensor(np.ones((1, 2, H)), requires_grad=True)
    output, end = net(xs, state)
    dxs, dstate = mg.gradients(output[4].sum(), [xs, state], allow_unused=True)
    assert dstate is None
    assert not end.requires_grad
    assert not dxs.numpy()[:4].any()
    assert dxs.numpy()[4].any()


def test_elman_and_the_state_space_model_say_the_same() -> None:
    elman, free = Elman(I, H, O, dtype="float64"), StateSpace(I, H, O, dtype="float64")
    free.load_state_dict(elman.state_dict())
    xs = series(5)
    np.testing.assert_array_equal(elman(xs)[0].numpy(), free(xs)[0].numpy())


# --- The state-space model -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_state_space_is_torchs_rnn_and_a_linear_layer(nonlinearity: str) -> None:
    torch = pytest.importorskip("torch")
    net = StateSpace(I, H, O, nonlinearity=nonlinearity, output_nonlinearity="softmax", dtype="float64")
    rnn, linear = torch.nn.RNN(I, H, nonlinearity=nonlinearity).double(), torch.nn.Linear(H, O).double()
    with torch.no_grad():
        rnn.bias_hh_l0.zero_()
    theirs = {
        "Wc": rnn.weight_ih_l0,
        "Wr": rnn.weight_hh_l0,
        "b": rnn.bias_ih_l0,
        "Wo": linear.weight,
        "bo": linear.bias,
    }
    net.load_state_dict({n: p.detach().numpy() for n, p in theirs.items()})
    xs, h, weights = series(6), series(1, features=H, seed=1), series(6, features=O, seed=2)
    hs, end = rnn(torch.tensor(xs), torch.tensor(h))
    y = torch.softmax(linear(hs), dim=-1)
    ((y * torch.tensor(weights)).sum() + (end * end).sum()).backward()
    output, state = net(xs, h)
    result = gradients_of(net, (output * weights).sum() + (state * state).sum())
    assert_close(
        result | {"output": output.numpy(), "state": state.numpy()},
        {n: p.grad.numpy() for n, p in theirs.items()}
        | {"output": y.detach().numpy(), "state": end.detach().numpy()},
    )  # fmt: skip
