"""Jacobians of steps and of many steps against torch's, against finite differences, and the probes against them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad_rnn import GRU, LSTM, RNN, Elman, GradientFlow, LayerNormLSTM, torch_state_dict
from minigrad_rnn.flow import jacobian_norms, probe_jacobian_norms, spectral_norm, state_gains, step_jacobians
from minigrad_rnn.flow.jacobians import StepJacobians

T, B, I, H = 6, 2, 3, 4
XS = np.random.default_rng(0).standard_normal((T, B, I))
OPTIONS: dict[str, Any] = {"dtype": "float64", "rng": 0}
LENGTHS = [6, 3]


def called(model: Any, **how: Any) -> Any:
    with GradientFlow(model) as flow:
        model(XS, **how)
    return flow


@pytest.mark.parametrize("kind", [LSTM, GRU, RNN])
def test_a_steps_jacobian_is_torchs(kind: Any) -> None:
    torch = pytest.importorskip("torch")
    model = kind(I, H, **OPTIONS)
    layer = called(model)["forward0"]
    cell = getattr(torch.nn, f"{kind.__name__}Cell")(I, H, dtype=torch.float64)
    weights = torch_state_dict(model)
    cell.load_state_dict({name.removesuffix("_l0"): torch.tensor(np.asarray(w)) for name, w in weights.items()})
    got = step_jacobians(layer)
    t, b = 3, 1
    before = [torch.tensor(layer.states(name)[t - 1, b]) for name in layer.names]

    def step(S: Any) -> Any:
        x = torch.tensor(XS[t, b])
        return torch.cat(cell(x, (S[:H], S[H:]))) if kind is LSTM else cell(x, S)

    want = torch.autograd.functional.jacobian(step, torch.cat(before))
    np.testing.assert_allclose(got.jacobians[t, b], want.numpy(), rtol=1e-10, atol=1e-12)
    values = torch.linalg.svdvals(want).numpy()
    np.testing.assert_allclose(got.singular_values()[t, b], values, rtol=1e-9, atol=1e-12)
    radius = torch.linalg.eigvals(want).abs().max().item()
    np.testing.assert_allclose(got.spectral_radius()[t, b], radius, rtol=1e-9)


@pytest.mark.parametrize("norm", ["spectral", "frobenius"])
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["", "lengths"])
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "backward"])
def test_products_are_the_jacobians_of_several_steps(reverse: bool, lengths: Any, norm: str) -> None:
    """∂h(t)/∂c(s) by `mg.jacobian` through the whole recurrence from s to t."""
    model = LSTM(I, H, reverse=reverse, **OPTIONS)
    layer = called(model, lengths=lengths)[model.cell_names[0]]
    b = 1
    got = jacobian_norms(layer, "h", "c", norm, sequence=b)
    length = T if lengths is None else lengths[b]
    xs = XS[:length, b : b + 1]
    states = [layer.states(name)[:length, b] for name in layer.names]
    for s in range(0, length, 2):
        for t in range(length):
            if (t < s) if not reverse else (t > s):
                assert np.isnan(got.log10[t, s])
            elif t != s:
                between = xs[s + 1 : t + 1] if not reverse else xs[t:s]
                h, c = (mg.tensor(state[s][None, None]) for state in states)
                jacobian = mg.jacobian(lambda c: model(between, (h, c))[1][0])(c).numpy().reshape(H, H)  # noqa: B023
                want = np.linalg.norm(jacobian, 2 if norm == "spectral" else "fro")
                np.testing.assert_allclose(got.norms[t, s], want, rtol=1e-9)
    assert np.isnan(got.log10[length:]).all()
    assert np.isneginf(np.diagonal(got.log10)[:length]).all()  # ∂h(t)/∂c(t), the state's arrays side by side
    assert len(got.log10_by_lag()) == length


def test_masks_are_part_of_a_step() -> None:
    model = RNN(I, H, zoneout=0.5, recurrent_dropout=0.5, **OPTIONS)
    masks = model.draw_masks(T, B)
    jacobians = step_jacobians(called(model, masks=masks)["forward0"]).jacobians
    kept = masks["forward0"].zoneout[0].astype(bool)
    np.testing.assert_array_equal(jacobians[kept], np.broadcast_to(np.eye(H), (T, B, H, H))[kept])
    dropped = masks["forward0"].recurrent == 0
    assert dropped.any()
    inside = ~kept[..., None] & dropped[None, :, None] & ~np.eye(H, dtype=bool)
    np.testing.assert_array_equal(jacobians[inside], 0)


def test_a_long_product_does_not_leave_the_range_of_numbers() -> None:
    """W = w·I without inputs: ∂h(t)/∂h(s) = w^(t−s) I on the linear part of relu."""
    for w in (0.1, 10.0):
        model = RNN(1, 2, nonlinearity="relu", bias=False, dtype="float64", rng=0)
        model.forward0.Wr.data[...] = w * np.eye(2)
        with GradientFlow(model) as flow:
            model(np.full((200, 1, 1), 0.0), np.full((1, 1, 2), 1.0))
        norms = jacobian_norms(flow["forward0"])
        np.testing.assert_allclose(norms.log10_by_lag(), np.arange(200) * np.log10(w), rtol=1e-12)


def test_probes_estimate_frobenius_norms() -> None:
    """300 probes are off by less than five standard errors, for every s; the same seed has the same probes."""
    model = LSTM(I, H, 2, batch_first=True, **OPTIONS)
    xs = XS.swapaxes(0, 1)
    with GradientFlow(model) as flow:
        model(xs)
    want = np.stack([jacobian_norms(flow["forward1"], norm="frobenius", sequence=b).norms[4] for b in range(B)], 1)
    probed = probe_jacobian_norms(model, xs, t=4, probes=300, seed=1)
    error = np.abs(probed.norms[:5] - want[:5]) / want[:5]
    assert (error < 5 * probed.relative_error[:5] + 1e-12).all()
    assert error.max() < 0.15
    np.testing.assert_array_equal(probed.norms[5:], 0)
    again = probe_jacobian_norms(model, xs, t=4, probes=3, seed=1)
    np.testing.assert_array_equal(probed.squares[:3], again.squares)
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("kind", [RNN, LSTM])
def test_power_iteration_has_the_spectral_norm(kind: Any) -> None:
    model = kind(I, H, 2, **OPTIONS)
    flow = called(model)
    for layer in model.cell_names:
        want = [jacobian_norms(flow[layer], sequence=b).norms[T - 1, 2] for b in range(B)]
        got = spectral_norm(model, XS, 2, layer=layer, tolerance=1e-9, iterations=100)
        np.testing.assert_allclose(got, want, rtol=1e-3)
        assert (got <= np.array(want) * (1 + 1e-12)).all()  # a lower bound


def test_gains_multiply_to_what_arrives() -> None:
    for model in (RNN(I, H, **OPTIONS), LSTM(I, H, **OPTIONS), GRU(I, H, reverse=True, **OPTIONS)):
        with GradientFlow(model) as flow:
            _, state = model(XS)
            h = state[0] if isinstance(state, tuple) else state
            (h**2).sum().backward()
        (layer,) = flow.calls
        gains = state_gains(layer)
        jacobians = step_jacobians(layer).jacobians
        order = range(T)[:: -1 if layer.call.backward else 1]
        g = np.zeros((B, jacobians.shape[2]))
        g[:, :H] = layer.direct("h")[order[-1]]
        start = np.linalg.norm(g)
        for k, t in enumerate(order[:0:-1]):
            g = np.einsum("bi,bij->bj", g, jacobians[t])
            np.testing.assert_allclose(np.prod(gains[: k + 1]), np.linalg.norm(g) / start, rtol=1e-10)


def test_planted_faults_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A transposed Jacobian and products in the other order give other norms."""
    model = LSTM(I, H, **OPTIONS)
    layer = called(model)["forward0"]
    want = jacobian_norms(layer).norms
    sound = step_jacobians(layer)
    for fault in (np.swapaxes(sound.jacobians, 2, 3), sound.jacobians[::-1]):
        wrong = StepJacobians(sound.layer, sound.backward, sound.parts, fault)
        monkeypatch.setattr("minigrad_rnn.flow.jacobians.step_jacobians", lambda _, wrong=wrong: wrong)
        with pytest.raises(AssertionError):
            np.testing.assert_allclose(jacobian_norms(layer).norms, want, rtol=1e-6)


def test_what_it_cannot_serve() -> None:
    with pytest.raises(TypeError, match="layer: got int, want a LayerFlow"):
        step_jacobians(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="got Elman of Elman, whose steps are no cell's"):
        step_jacobians(called(Elman(I, H, 2, **OPTIONS)).calls[0])
    model = RNN(I, H, **OPTIONS)
    with GradientFlow(model, values=False) as flow:
        model(XS)
    with pytest.raises(ValueError, match="want GradientFlow"):
        step_jacobians(flow["forward0"])
    layer = called(model)["forward0"]
    with pytest.raises(ValueError, match="of: got 'c'"):
        jacobian_norms(layer, "c")
    with pytest.raises(ValueError, match="sequence: got 2"):
        jacobian_norms(layer, sequence=2)
    model.forward0.Wr.data[...] *= 2
    with pytest.raises(ValueError, match=r"computes other states now, h differs by .*before optimizer\.step"):
        step_jacobians(layer)
    spoilt = XS.copy()
    spoilt[4, 1, 0] = np.nan
    with GradientFlow(model) as flow:
        model(spoilt)
    with pytest.raises(ValueError, match="forward0: got NaN in xs at time step 4 of sequence 1, want finite"):
        step_jacobians(flow["forward0"])
    large = RNN(1, 512, rng=0)
    with GradientFlow(large) as flow:
        large(np.ones((600, 1, 1), np.float32))
    with pytest.raises(ValueError, match=r"T = 600.*want at most 6\.7e\+07.*probe_jacobian_norms"):
        step_jacobians(flow["forward0"])
    with pytest.raises(ValueError, match="s: got 5, want a step before t = 5"):
        spectral_norm(model, XS, 5)
    with pytest.raises(ValueError, match="reads backward"):
        spectral_norm(RNN(I, H, reverse=True, **OPTIONS), XS, 1)
    with pytest.raises(ValueError, match=r"want model\.eval\(\) first"):
        probe_jacobian_norms(LSTM(I, H, 2, dropout=0.5, **OPTIONS), XS)
    with pytest.raises(TypeError, match="model: got Linear, want a Recurrence"):
        probe_jacobian_norms(mg.nn.Linear(2, 3), XS)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="layer: got 'forward7'"):
        probe_jacobian_norms(model, XS, layer="forward7")
    assert "NaN" not in repr(step_jacobians(called(LayerNormLSTM(I, H, **OPTIONS))["forward0"]))
