"""Dropout between layers, variational dropout and zoneout: masks from a generator, held still, the same everywhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad_rnn import (
    GRU,
    LSTM,
    MGU,
    RNN,
    Cell,
    CellMasks,
    IndRNN,
    LayerNormGRU,
    LayerNormLSTM,
    LayerNormRNN,
    Recurrence,
)

I, H, T, B = 3, 4, 5, 2
KINDS = [RNN, LSTM, GRU, MGU, IndRNN, LayerNormRNN, LayerNormLSTM, LayerNormGRU]


def dropping(kind: Any, seed: int = 0, **options: Any) -> Any:
    given = {"dropout": 0.4, "recurrent_dropout": 0.3, "zoneout": 0.2, "bidirectional": True} | options
    return kind(I, H, 2, dtype="float64", rng=np.random.default_rng(seed), **given)


def drawn(*shape: int) -> Any:
    return np.random.default_rng(5).standard_normal(shape)


def slopes(loss: Any, tensors: list[Any], seed: int = 6, h: float = 1e-4) -> tuple[list[float], list[float]]:
    """Each tensor's gradient along a direction, and the central difference of fourth order along it."""
    result = mg.gradients(loss(), tensors, allow_unused=True)
    analytic, numeric = [], []
    for x, g in zip(tensors, result):
        v = np.random.default_rng(seed).standard_normal(x.shape)
        at_rest = x.data.copy()
        ends = {}
        for step in (-2, -1, 1, 2):
            x.data = at_rest + step * h * v
            ends[step] = loss().item()
        x.data = at_rest
        analytic.append(0.0 if g is None else float((g.numpy() * v).sum()))
        numeric.append((8 * (ends[1] - ends[-1]) - (ends[2] - ends[-2])) / (12 * h))
    return analytic, numeric


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_with_masks_held_still(kind: Any) -> None:
    model = dropping(kind)
    masks = model.draw_masks(T, B)
    xs = mg.tensor(drawn(T, B, I), requires_grad=True)

    def loss() -> Any:
        output, final = model(xs, lengths=[T, 3], masks=masks)
        return sum((y * y).sum() for y in (output, *(final if isinstance(final, tuple) else (final,))))

    np.testing.assert_allclose(*slopes(loss, [xs, *model.parameters()]), rtol=1e-7, atol=1e-9)


def test_the_same_seed_gives_the_same_on_every_backend(xp: Any) -> None:
    outputs = []
    for place in ("numpy", xp.name):
        model = dropping(LSTM, seed=3).to(place)
        outputs.append(model(mg.tensor(drawn(T, B, I), backend=place))[0].numpy())
    np.testing.assert_allclose(*outputs, rtol=1e-10, atol=1e-12)


def test_masks_are_what_they_say() -> None:
    model = dropping(LSTM, zoneout=(0.2, 0.5))
    masks = model.draw_masks(400, 50)
    assert list(masks) == ["forward0", "backward0", "forward1", "backward1"]
    assert masks["forward0"].input is None
    assert masks["forward1"].input is masks["backward1"].input  # two directions read one input
    for mask in masks.values():
        assert set(np.unique(mask.recurrent)) <= {0.0, 1 / 0.7}
        assert mask.recurrent.shape == (50, H)
        assert [z.shape for z in mask.zoneout] == [(400, 50, H)] * 2
        for z, p in zip(mask.zoneout, (0.2, 0.5)):
            assert abs(z.mean() - p) < 0.01
            assert set(np.unique(z)) == {0.0, 1.0}
    assert abs((masks["forward1"].input == 0).mean() - 0.4) < 0.01
    separate = LSTM(I, H, (2, 2), bidirectional=True, dropout=0.5)
    apart = separate.draw_masks(T, B)
    assert not np.array_equal(apart["forward1"].input, apart["backward1"].input)


def test_in_evaluation_zoneout_takes_the_expected_value_and_dropout_is_off() -> None:
    model = dropping(RNN, bidirectional=False, zoneout=0.25).eval()
    xs = drawn(T, B, I)
    result = model(xs)[0].numpy()
    np.testing.assert_array_equal(result, model(xs)[0].numpy())
    h = [np.zeros((B, H)) for _ in range(2)]
    for t in range(T):
        x = xs[t]
        for layer, cell in enumerate(model.cells):
            new = np.tanh(x @ cell.Wc.numpy().T + h[layer] @ cell.Wr.numpy().T + cell.b.numpy())
            x = h[layer] = 0.25 * h[layer] + 0.75 * new
        np.testing.assert_allclose(result[t], x, rtol=1e-12)


def test_recurrent_dropout_acts_where_h_meets_the_weights_and_not_on_the_leak() -> None:
    """A GRU whose h(t−1) is dropped altogether still leaks z · h(t−1)."""
    model = GRU(I, H, recurrent_dropout=0.5, dtype="float64")
    start = drawn(1, B, H)
    output, _ = model(drawn(1, B, I), start, masks={"forward0": CellMasks(recurrent=np.zeros((B, H)))})
    cell = model.forward0
    by_x = drawn(1, B, I)[0] @ cell.Wc.numpy().T + cell.b.numpy() + np.r_[cell.br.numpy()[: 2 * H], np.zeros(H)]
    r, z = (1 / (1 + np.exp(-by_x[:, k * H : (k + 1) * H])) for k in (0, 1))
    n = np.tanh(by_x[:, 2 * H :] + r * cell.br.numpy()[2 * H :])
    np.testing.assert_allclose(output.numpy()[0], (1 - z) * n + z * start[0], rtol=1e-12)


class Leaky(Cell):
    gates, state_names = 1, ("h",)

    def step(self, x: Any, state: tuple[Any, ...], h: Any) -> tuple[mg.Tensor, ...]:
        return (0.9 * state[0] + 0.1 * mg.tanh(mg.linear(x, self.Wc, self.b) + mg.linear(h, self.Wr)),)


@pytest.mark.parametrize("depth", [2, (1, 2)])
def test_a_cell_of_ones_own_gets_everything(depth: Any) -> None:
    model = Recurrence(
        I, H, depth, cell_type=Leaky, bidirectional=True, merge="mean", batch_first=True, initial_state="learned",
        dropout=0.2, recurrent_dropout=0.3, zoneout=0.1, dtype="float64",
    )  # fmt: skip
    masks = model.draw_masks(T, B)
    xs = drawn(B, T, I)
    xs[1, 3:] = np.nan
    assert model(xs, lengths=[T, 3], masks=masks, return_states=True)[0].shape == (B, T, H)

    def loss() -> Any:
        return sum((y * y).sum() for y in model(xs, lengths=[T, 3], masks=masks, return_states=True))

    def steepness() -> Any:
        return sum((g * g).sum() for g in mg.gradients(loss(), list(model.parameters()), create_graph=True))

    for function in (loss, steepness):
        np.testing.assert_allclose(*slopes(function, list(model.parameters())), rtol=1e-6, atol=1e-8)
    assert model.implementation == "graph"


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: RNN(I, H, zoneout=1.0), ValueError, r"RNN: zoneout: got 1.0, want a number in \[0, 1\)"),
        (lambda: RNN(I, H, recurrent_dropout=-0.1), ValueError, "RNN: recurrent_dropout: got -0.1"),
        (lambda: LSTM(I, H, zoneout=(0.1,)), ValueError, "LSTM: zoneout: got 1 probabilities, want one for each"),
        (lambda: RNN(I, H, impl="fused", zoneout=0.1), ValueError, "RNN: impl: got 'fused', but zoneout"),
        (lambda: GRU(I, H, impl="fused", recurrent_dropout=0.1), ValueError, "GRU: impl: got 'fused', but recurrent_"),
        (lambda: MGU(I, H, impl="fused"), ValueError, "MGU: impl: got 'fused', but MGUCell defines no sequence"),
        (lambda: RNN(I, H, merge="product"), ValueError, "RNN: merge: got 'product', want one of"),
        (lambda: RNN(I, H, (1, 2)), ValueError, r"RNN: num_layers: got \(1, 2\), want a whole number, or \(L_f, L_b\)"),
        (lambda: RNN(I, H, (1, 0), bidirectional=True), ValueError, r"RNN: num_layers: got \(1, 0\)"),
        (
            lambda: GRU(I, H, impl="fused", peephole=True),
            TypeError,
            "GRU: peephole: got an option that GRUCell does not k",
        ),
        (lambda: RNN(I, H, slope=2.0), TypeError, r"RNN: slope: got an option .* want any of \['nonlinearity', 'clip'"),
        (lambda: Recurrence(I, H), TypeError, "Recurrence: cell_type: got None, want a subclass of Cell"),
        (lambda: GRU(I, H, two_biases=True, reset_after=False), ValueError, "GRUCell: two_biases: got True"),
        (lambda: GRU(I, H, two_biases=False), ValueError, "GRUCell: two_biases: got False, want True with bias=True"),
        (lambda: GRU(I, H, two_biases=True, bias=False), ValueError, "GRUCell: two_biases: got True, want False"),
        (lambda: MGU(I, H, two_biases=True), ValueError, "MGUCell: two_biases: got True, want False"),
        (lambda: LSTM(I, H, proj_size=H), ValueError, "LSTMCell: proj_size: got 4, want 0"),
        (lambda: LSTM(I, H, bias=False, forget_bias=1.0), ValueError, "LSTMCell: forget_bias: got 1.0 with bias=False"),
    ],
)
def test_errors_of_a_constructor(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def zones(*shape: int, dtype: Any = np.float32) -> dict[str, CellMasks]:
    return {"forward0": CellMasks(zoneout=(np.zeros(shape, dtype), None))}


@pytest.mark.parametrize(
    ("masks", "error", "message"),
    [
        ({"forward3": CellMasks()}, ValueError, r"got \['forward3'\], want names among \['forward0'\]"),
        ({"forward0": {"input": None}}, TypeError, "got dict, want CellMasks by the name of a cell"),
        (CellMasks(), TypeError, "got CellMasks, want CellMasks by the name of a cell"),
        (zones(T + 1, B, H), ValueError, r"forward0: zoneout: got shape \(6, 2, 4\), want \(5, 2, 4\) or \(5, 1, 1\)"),
        (zones(T, 1, H), ValueError, "forward0: zoneout: got shape"),  # drawn for one sequence, it would spread
        (zones(T, B, H, dtype=np.float64), TypeError, "forward0: zoneout: got dtype float64, want float32"),
        (
            {"forward0": CellMasks(zoneout=(np.zeros((T, B, H), np.float32),))},
            ValueError,
            r"forward0: zoneout: got 1, want one for each of \('h', 'c'\)",
        ),
        (
            {"forward0": CellMasks(recurrent=np.ones((1, H), np.float32))},
            ValueError,
            r"forward0: recurrent: got shape \(1, 4\), want \(2, 4\)",
        ),
        (
            {"forward0": CellMasks(np.ones((T, B, H), np.float32))},
            ValueError,
            r"forward0: input: got shape \(5, 2, 4\), want \(5, 2, 3\)",
        ),
    ],
)
def test_masks_that_do_not_fit_are_refused(masks: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"LSTM: masks: {message}"):
        LSTM(I, H)(np.ones((T, B, I), np.float32), masks=masks)


def test_a_probability_may_be_numpys() -> None:
    model = LSTM(I, H, 2, dropout=np.float32(0.5), recurrent_dropout=np.float64(0.25), zoneout=np.float32(0.5))
    assert (model.dropout, model.recurrent_dropout, model.zoneout) == (0.5, 0.25, (0.5, 0.5))


@pytest.mark.parametrize("impl", ["fused", "native"])
def test_masks_inside_the_steps_are_refused_by_the_fused_implementation(impl: str) -> None:
    model = RNN(I, H, impl=impl, dtype="float64")
    with pytest.raises(ValueError, match="RNN: masks: got some for recurrent dropout or zoneout"):
        model(drawn(T, B, I), masks={"forward0": CellMasks(recurrent=np.ones((B, H)))})


def test_forget_bias_is_where_the_forget_gate_starts() -> None:
    cell = LSTM(I, H, forget_bias=1.5, two_biases=True).forward0
    np.testing.assert_array_equal(cell.b.numpy()[H : 2 * H] + cell.br.numpy()[H : 2 * H], np.full(H, 1.5, np.float32))
