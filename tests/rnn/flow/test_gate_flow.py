"""The parts by gate add up to the whole and are the equations' own terms; saliency against `mg.jacobian`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad_rnn import GRU, LSTM, MGU, RNN, Elman, GradientFlow, IndRNN, LayerNormLSTM, ManyToOne
from minigrad_rnn.flow import gate_flow, saliency

Array = np.ndarray[Any, Any]
T, B, I, H = 6, 3, 2, 4
XS = np.random.default_rng(0).standard_normal((T, B, I))
LENGTHS = [6, 2, 4]
OPTIONS: dict[str, Any] = {"dtype": "float64", "rng": 0}
MODELS: dict[str, Any] = {
    "lstm": LSTM, "gru": GRU, "rnn": RNN, "indrnn": IndRNN, "mgu": MGU, "layer norm": LayerNormLSTM,
    "published gru": lambda *a, **k: GRU(*a, reset_after=False, **k),
    "gru without bias": lambda *a, **k: GRU(*a, bias=False, **k),
    "peepholes": lambda *a, **k: LSTM(*a, peephole=True, **k),
    "projection": lambda *a, **k: LSTM(*a, proj_size=2, peephole=True, two_biases=True, **k),
    "coupled": lambda *a, **k: LSTM(*a, coupled_gates=True, peephole=True, activation="softsign", clip=0.8, **k),
}  # fmt: skip


def flow_of(model: Any, **how: Any) -> GradientFlow:
    with GradientFlow(model) as flow:
        output, state, states = model(XS, return_states=True, **how)
        parts = (output, *(p for s in (state, states) for p in (s if isinstance(s, tuple) else (s,))))
        sum((mg.sin(p) * p).sum() for p in parts).backward()
    return flow


@pytest.mark.parametrize("how", [{}, {"lengths": LENGTHS}], ids=["", "lengths"])
@pytest.mark.parametrize("kind", MODELS)
def test_the_parts_add_up_to_the_whole(kind: str, how: Any) -> None:
    for options in ({"bidirectional": True, "num_layers": 2}, {"reverse": True}):
        for layer in flow_of(MODELS[kind](I, H, **OPTIONS, **options), **how).calls:
            gates = gate_flow(layer)
            assert list(gates.parts) == list(layer.names)
            for name, parts in gates.parts.items():
                np.testing.assert_allclose(sum(parts.values()), layer.carried(name), rtol=1e-10, atol=1e-12)
                shares = sum(gates.shares(name).values())
                np.testing.assert_allclose(shares[~np.isnan(shares)], 1.0, rtol=1e-10)


def sigmoid(z: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-z)))


def test_an_lstms_parts_are_the_terms_of_its_equations() -> None:
    model = LSTM(I, H, **OPTIONS)
    layer = flow_of(model)["forward0"]
    cell, (h, c) = model.forward0, (layer.states(name) for name in "hc")
    h_before, c_before = (np.concatenate([np.zeros((1, B, H)), a[:-1]]) for a in (h, c))
    z = XS @ cell.Wc.numpy().T + h_before @ cell.Wr.numpy().T + cell.b.numpy()
    i, f, g, o = (np.tanh(part) if k == 2 else sigmoid(part) for k, part in enumerate(np.split(z, 4, axis=2)))
    dh, dc = layer.dh, layer.dc
    dz = {
        "i": dc * g * i * (1 - i), "f": dc * c_before * f * (1 - f), "g": dc * i * (1 - g**2),
        "o": dh * np.tanh(c) * o * (1 - o),
    }  # fmt: skip
    parts = gate_flow(layer).parts
    for k, gate in enumerate("ifgo"):
        want = dz[gate] @ cell.Wr.numpy()[k * H : (k + 1) * H]
        np.testing.assert_allclose(parts["h"][gate][:-1], want[1:], rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(parts["c"]["cell"][:-1], (f * dc)[1:], rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(parts["c"]["h"], o * (1 - np.tanh(c) ** 2) * dh, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("reset_after", [True, False])
def test_a_grus_parts_are_the_terms_of_its_equations(reset_after: bool) -> None:
    model = GRU(I, H, reset_after=reset_after, **OPTIONS)
    layer = flow_of(model)["forward0"]
    cell, h = model.forward0, layer.states()
    before = np.concatenate([np.zeros((1, B, H)), h[:-1]])
    Wr_r, Wr_z, Wr_n = np.split(cell.Wr.numpy(), 3)
    br = np.zeros(3 * H) if cell.br is None else cell.br.numpy()
    a_r, a_z, a_n = np.split(XS @ cell.Wc.numpy().T + cell.b.numpy(), 3, axis=2)
    r = sigmoid(a_r + before @ Wr_r.T + br[:H])
    z = sigmoid(a_z + before @ Wr_z.T + br[H : 2 * H])
    q = before @ Wr_n.T + br[2 * H :] if reset_after else r * before
    n = np.tanh(a_n + (r * q if reset_after else q @ Wr_n.T))
    dz_n, dz_z = (1 - z) * (1 - n**2) * layer.dh, (before - n) * z * (1 - z) * layer.dh
    dq = r * dz_n if reset_after else dz_n @ Wr_n
    dz_r = (q * dz_n if reset_after else before * dq) * r * (1 - r)
    want = {
        "state": z * layer.dh, "r": dz_r @ Wr_r, "z": dz_z @ Wr_z, "n": dq @ Wr_n if reset_after else r * dq
    }  # fmt: skip
    parts = gate_flow(layer).parts["h"]
    assert parts.keys() == want.keys()
    for path, part in want.items():
        np.testing.assert_allclose(parts[path][:-1], part[1:], rtol=1e-9, atol=1e-13, err_msg=path)


def test_a_planted_fault_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = flow_of(LSTM(I, H, **OPTIONS))["forward0"]
    monkeypatch.setattr("minigrad_rnn.flow.gate_parts.LSTM_GATES", ("f", "i", "g", "o"))
    parts = gate_flow(layer).parts["h"]
    monkeypatch.undo()
    assert not np.allclose(parts["i"], gate_flow(layer).parts["h"]["i"])


def test_on_every_backend(xp: Any) -> None:
    for kind in ("peepholes", "gru", "layer norm"):
        want = gate_flow(flow_of(MODELS[kind](I, H, **OPTIONS).to("numpy"))["forward0"])
        model = MODELS[kind](I, H, **OPTIONS).to(xp.name)
        with GradientFlow(model) as flow:
            output, state, states = model(xp.array(XS), return_states=True)
            parts = (output, *(p for s in (state, states) for p in (s if isinstance(s, tuple) else (s,))))
            sum((mg.sin(p) * p).sum() for p in parts).backward()
        for name, paths in gate_flow(flow["forward0"]).parts.items():
            for path, part in paths.items():
                np.testing.assert_allclose(part, want.parts[name][path], rtol=1e-10, atol=1e-12)


def test_saliency_is_the_jacobian() -> None:
    model = LSTM(I, H, **OPTIONS)
    want = mg.jacobian(lambda xs: model(xs)[0])(mg.tensor(XS)).numpy()  # (T, B, H, T, B, I)
    result = saliency(model, XS, t=3)
    for b in range(B):
        np.testing.assert_allclose(result.jacobian[:, b], want[3, b, :, :, b].swapaxes(0, 1), rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(result.norms[5], 0)
    turned = saliency(LSTM(I, H, batch_first=True, **OPTIONS), XS.swapaxes(0, 1), t=3, batch_first=True)
    np.testing.assert_allclose(turned.jacobian, result.jacobian, rtol=1e-10, atol=1e-14)
    one = ManyToOne(RNN(I, H, **OPTIONS), mg.nn.Linear(H, 1, dtype="float64", rng=0))
    assert saliency(one, XS).t is None
    np.testing.assert_array_equal(saliency(Elman(I, H, 2, **OPTIONS), XS).norms[:-1], 0)


def test_what_it_cannot_serve() -> None:
    model = RNN(I, H, zoneout=0.1, **OPTIONS)
    with GradientFlow(model) as flow:
        model(XS)[0].sum().backward()
    with pytest.raises(ValueError, match="dropout or zoneout inside the steps"):
        gate_flow(flow["forward0"])
    with GradientFlow(model := RNN(I, H, **OPTIONS)) as flow:
        output, _ = model(XS)
    with pytest.raises(mg.GraphError, match="no backward pass has come through"):
        gate_flow(flow["forward0"])
    (output * np.where(np.arange(T) == 2, np.nan, 1.0)[:, None, None]).sum().backward()
    with pytest.raises(ValueError, match="got NaN in ∂L/∂h at time step 0"):
        gate_flow(flow["forward0"])
    with pytest.raises(TypeError, match="ids have no derivative"):
        saliency(model, np.ones((T, B, I), int))
    with pytest.raises(ValueError, match=r"xs: got shape \(6, 3\), want \(T, B, I\)"):
        saliency(model, XS[..., 0])
    with pytest.raises(TypeError, match="got a constant from it"):
        saliency(lambda xs: mg.tensor(XS), XS)
    with pytest.raises(ValueError, match="got an output that is not finite"):
        saliency(lambda xs: xs * np.inf, XS)
    with pytest.raises(ValueError, match="got an output of shape"):
        saliency(lambda xs: xs.sum(), XS)
