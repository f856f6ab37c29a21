"""Weights to and from torch: equal outputs, states and gradients, bitwise round trips, and what is refused."""

from __future__ import annotations

import itertools
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import minigrad as mg
from minigrad import nn
from minigrad_rnn import (
    GRU,
    LSTM,
    RNN,
    GRUCell,
    LSTMCell,
    RNNCell,
    load_torch_state_dict,
    recurrence_from_torch_state_dict,
    torch_state_dict,
)

I, H, P, T, B = 4, 3, 2, 5, 2
OURS = {"rnn": RNN, "relu": RNN, "lstm": LSTM, "projected": LSTM, "gru": GRU}
KIND = {"rnn": "rnn", "relu": "rnn", "lstm": "lstm", "projected": "lstm", "gru": "gru"}
OPTIONS: dict[str, dict[str, Any]] = {"relu": {"nonlinearity": "relu"}, "projected": {"proj_size": P}}


def torchs(torch: Any, kind: str, *sizes: int, **options: Any) -> Any:
    made = {"rnn": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[KIND[kind]]
    torch.manual_seed(1)
    return made(*sizes, **{"dtype": torch.float64, **OPTIONS.get(kind, {}), **options})


def random_state(shapes: dict[str, tuple[int, ...]], seed: int = 3) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal(shape) for name, shape in shapes.items()}


def as_state(cells: Any) -> Any:
    return tuple(cells) if len(cells) > 1 else cells[0]


def run_ours(model: Any, xs: Any, start: list[Any], weights: list[Any]) -> dict[str, Any]:
    leaf, state = mg.tensor(xs, requires_grad=True), [mg.tensor(s, requires_grad=True) for s in start]
    output, final = model(leaf, as_state(state))
    ends = [output, *(final if isinstance(final, tuple) else (final,))]
    loss = sum((end * w).sum() for end, w in zip(ends, weights))
    loss.backward()
    arrays = {f"end{k}": end.numpy() for k, end in enumerate(ends)}
    arrays |= {f"start{k}": s.grad.numpy() for k, s in enumerate(state)} | {"xs": leaf.grad.numpy()}
    gradients = {id(p): p.grad.numpy() for p in model.parameters()}
    for name in model.cell_names:
        cell, layer = getattr(model, name), name.removeprefix("forward").removeprefix("backward")
        suffix = f"_l{layer}" + ("_reverse" if name.startswith("backward") else "")
        for key, parameter in (
            ("weight_ih", cell.Wc),
            ("weight_hh", cell.Wr),
            ("bias_ih", cell.b),
            ("bias_hh", cell.br),
        ):
            if parameter is not None:
                arrays[key + suffix] = gradients[id(parameter)]
        if getattr(cell, "Wp", None) is not None:
            arrays["weight_hr" + suffix] = gradients[id(cell.Wp)]
    return arrays


def run_torchs(torch: Any, model: Any, xs: Any, start: list[Any], weights: list[Any]) -> dict[str, Any]:
    leaf, state = (torch.tensor(xs, requires_grad=True), [torch.tensor(s, requires_grad=True) for s in start])
    output, final = model(leaf, as_state(state))
    ends = [output, *(final if isinstance(final, tuple) else (final,))]
    sum((end * torch.from_numpy(w)).sum() for end, w in zip(ends, weights)).backward()
    arrays = {f"end{k}": end.detach().numpy() for k, end in enumerate(ends)}
    arrays |= {f"start{k}": s.grad.numpy() for k, s in enumerate(state)} | {"xs": leaf.grad.numpy()}
    return arrays | {name: p.grad.numpy() for name, p in model.named_parameters()}


def assert_same(ours: dict[str, Any], theirs: dict[str, Any], but: str = "") -> None:
    for name in theirs if not but else [n for n in theirs if not n.startswith(but)]:
        assert ours[name].shape == theirs[name].shape, name
        scale = max(1.0, np.abs(theirs[name]).max())
        np.testing.assert_allclose(ours[name], theirs[name], rtol=0, atol=1e-10 * scale, err_msg=name)


def both_ways(torch: Any, ours: Any, theirs: Any, but: str = "") -> None:
    rng = np.random.default_rng(2)
    dirs = 2 if theirs.bidirectional else 1
    cells, top = theirs.num_layers * dirs, theirs.proj_size or theirs.hidden_size
    sizes = [top, theirs.hidden_size] if isinstance(theirs, torch.nn.LSTM) else [top]
    xs = rng.standard_normal((B, T, I) if theirs.batch_first else (T, B, I))
    start = [rng.standard_normal((cells, B, size)) for size in sizes]
    weights = [rng.standard_normal((*xs.shape[:2], dirs * top))]
    weights += [rng.standard_normal(s.shape) for s in start]
    assert_same(run_ours(ours, xs, start, weights), run_torchs(torch, theirs, xs, start, weights), but)


GRID = list(itertools.product(OURS, (1, 2, 3), (False, True), (True, False), (False, True)))


@pytest.mark.parametrize(("kind", "layers", "both", "bias", "batch_first"), GRID)
def test_outputs_states_and_gradients_equal_torchs(
    kind: str, layers: int, both: bool, bias: bool, batch_first: bool
) -> None:
    torch = pytest.importorskip("torch")
    layout = {"bias": bias, "bidirectional": both, "batch_first": batch_first}
    theirs = torchs(torch, kind, I, H, layers, **layout)
    options = {"two_biases": bias} if KIND[kind] != "gru" else {}
    ours = OURS[kind](I, H, layers, dtype="float64", **layout, **options, **OPTIONS.get(kind, {}))
    load_torch_state_dict(ours, theirs.state_dict())
    both_ways(torch, ours, theirs)


@pytest.mark.parametrize(("kind", "layers", "both", "bias", "batch_first"), GRID[::7])
def test_one_bias_stands_for_the_sum_of_two(kind: str, layers: int, both: bool, bias: bool, batch_first: bool) -> None:
    torch = pytest.importorskip("torch")
    layout = {"bias": bias, "bidirectional": both, "batch_first": batch_first}
    theirs = torchs(torch, kind, I, H, layers, **layout)
    ours = OURS[kind](I, H, layers, dtype="float64", **layout, **OPTIONS.get(kind, {}))
    load_torch_state_dict(ours, theirs.state_dict())
    both_ways(torch, ours, theirs, but="bias_hh" if kind != "gru" else "")
    back, before = torch_state_dict(ours), theirs.state_dict()
    for name, array in back.items():
        want = before[name].numpy()
        if kind != "gru" and name.startswith("bias_ih"):
            want = want + before[name.replace("_ih", "_hh")].numpy()
        elif kind != "gru" and name.startswith("bias_hh"):
            want = np.zeros_like(want)
        assert np.array_equal(array, want), name


@settings(max_examples=40)
@given(
    kind=st.sampled_from([*OURS]),
    input_size=st.integers(1, 6),
    hidden_size=st.integers(3, 7),
    layers=st.integers(1, 3),
    both=st.booleans(),
    bias=st.booleans(),
    dtype=st.sampled_from(["float32", "float64"]),
)
def test_there_and_back_is_bitwise_the_same(
    kind: str, input_size: int, hidden_size: int, layers: int, both: bool, bias: bool, dtype: str
) -> None:
    torch = pytest.importorskip("torch")
    theirs = torchs(
        torch, kind, input_size, hidden_size, layers, bias=bias, bidirectional=both, dtype=getattr(torch, dtype)
    )
    before = theirs.state_dict()
    ours = recurrence_from_torch_state_dict(KIND[kind], before)
    assert (ours.input_size, ours.hidden_size, ours.num_layers) == (input_size, hidden_size, layers)
    assert (ours.bidirectional, ours.bias) == (both, bias)
    state = torch_state_dict(ours)
    assert list(state) == list(before)
    for name, array in state.items():
        assert array.dtype == dtype
        assert array.tobytes() == before[name].numpy().tobytes(), name
    twin = torchs(
        torch, kind, input_size, hidden_size, layers, bias=bias, bidirectional=both, dtype=getattr(torch, dtype)
    )
    twin.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()})
    assert all(torch.equal(a, b) for a, b in zip(twin.parameters(), theirs.parameters()))


@pytest.mark.parametrize("kind", [*OURS])
def test_a_recurrence_built_from_the_state_alone_runs_as_torchs(kind: str) -> None:
    torch = pytest.importorskip("torch")
    theirs = torchs(torch, kind, I, H, 2, bidirectional=True, batch_first=True)
    state = {f"encoder.{name}": value for name, value in theirs.state_dict().items()} | {"head.weight": np.ones(3)}
    options = {"nonlinearity": "relu"} if kind == "relu" else {}
    ours = recurrence_from_torch_state_dict(KIND[kind], state, "encoder.", batch_first=True, **options)
    assert ours.forward0.Wc.dtype == np.float64
    both_ways(torch, ours, theirs)


def test_building_draws_nothing_from_the_librarys_generator() -> None:
    state = torch_state_dict(LSTM(I, H))
    nn.manual_seed(5)
    want = nn.default_generator().random()
    nn.manual_seed(5)
    made = recurrence_from_torch_state_dict("lstm", state)
    assert nn.default_generator().random() == want
    assert made.rng is None


class Tagger(nn.Module):
    def __init__(self, tied: bool = False) -> None:
        super().__init__()
        self.embedding = nn.Embedding(7, I, padding_idx=0, dtype="float64")
        self.encoder = GRU(I, H, 2, bidirectional=True, dtype="float64")
        self.norm = nn.LayerNorm(2 * H, dtype="float64")
        self.head = nn.Sequential(nn.Linear(2 * H, I, dtype="float64"), nn.Tanh(), nn.Linear(I, 7, dtype="float64"))
        self.cell = LSTMCell(I, H, two_biases=True, dtype="float64")
        self.scale = mg.Parameter(np.ones(3))
        if tied:
            self.head[2].weight = self.embedding.weight

    def forward(self, ids: Any) -> Any:
        hs, _ = self.encoder(self.embedding(ids))
        return self.head(self.norm(hs))


def torch_tagger(torch: Any, tied: bool = False) -> Any:
    tagger, real = torch.nn.Module(), {"dtype": torch.float64}
    tagger.embedding = torch.nn.Embedding(7, I, padding_idx=0, **real)
    tagger.encoder = torch.nn.GRU(I, H, 2, bidirectional=True, **real)
    tagger.norm = torch.nn.LayerNorm(2 * H, **real)
    tagger.head = torch.nn.Sequential(torch.nn.Linear(2 * H, I, **real), torch.nn.Tanh(), torch.nn.Linear(I, 7, **real))
    tagger.cell = torch.nn.LSTMCell(I, H, **real)
    tagger.scale = torch.nn.Parameter(torch.ones(3, **real))
    if tied:
        tagger.head[2].weight = tagger.embedding.weight
    return tagger


@pytest.mark.parametrize("tied", [False, True])
def test_a_whole_model_goes_over(tied: bool) -> None:
    torch = pytest.importorskip("torch")
    theirs, ours = torch_tagger(torch, tied), Tagger(tied)
    load_torch_state_dict(ours, theirs.state_dict())
    ids = np.array([[1, 2], [0, 6], [3, 3]])
    want = theirs.head(theirs.norm(theirs.encoder(theirs.embedding(torch.from_numpy(ids)))[0])).detach().numpy()
    np.testing.assert_allclose(ours(ids).numpy(), want, rtol=0, atol=1e-10)
    state = torch_state_dict(ours, "model.")
    assert set(state) == {f"model.{name}" for name in theirs.state_dict()}  # the same names for what is shared too
    assert all(np.array_equal(state[f"model.{name}"], v.numpy()) for name, v in theirs.state_dict().items())
    other = torch_tagger(torch, tied)
    other.load_state_dict({name.removeprefix("model."): torch.from_numpy(a) for name, a in state.items()})
    assert all(torch.equal(a, b) for a, b in zip(other.parameters(), theirs.parameters()))


@pytest.mark.parametrize(("cell", "kind"), [(RNNCell, "RNNCell"), (LSTMCell, "LSTMCell"), (GRUCell, "GRUCell")])
def test_single_cells_go_over(cell: Any, kind: str) -> None:
    torch = pytest.importorskip("torch")
    theirs = getattr(torch.nn, kind)(I, H, dtype=torch.float64)
    ours = cell(I, H, dtype="float64", **({} if kind == "GRUCell" else {"two_biases": True}))
    load_torch_state_dict(ours, theirs.state_dict())
    x = np.random.default_rng(0).standard_normal((B, I))
    h = theirs(torch.from_numpy(x))
    want = (h[0] if isinstance(h, tuple) else h).detach().numpy()
    np.testing.assert_allclose(ours(x)[0].numpy(), want, rtol=0, atol=1e-10)
    assert list(torch_state_dict(ours)) == list(theirs.state_dict())


def test_values_may_be_bfloat16_grad_requiring_or_our_own() -> None:
    torch = pytest.importorskip("torch")
    theirs = torch.nn.RNN(I, H, dtype=torch.bfloat16)
    ours = recurrence_from_torch_state_dict("rnn", dict(theirs.named_parameters()))
    assert ours.forward0.Wc.dtype == np.float32
    assert np.array_equal(ours.forward0.Wc.numpy(), theirs.weight_ih_l0.detach().float().numpy())
    other = RNN(I, H, two_biases=True)
    load_torch_state_dict(other, {name: mg.tensor(a) for name, a in torch_state_dict(ours).items()})
    assert np.array_equal(other.forward0.br.numpy(), ours.forward0.br.numpy())


def test_state_comes_to_every_backend(xp: Any) -> None:
    ours = LSTM(I, H, 2, bidirectional=True, dtype="float64").to(xp.name)
    state = random_state({name: array.shape for name, array in torch_state_dict(ours).items()})
    load_torch_state_dict(ours, {name: xp.array(a) for name, a in state.items()})
    back = torch_state_dict(ours)
    assert all(isinstance(array, np.ndarray) for array in back.values())
    assert np.array_equal(back["weight_hh_l1_reverse"], state["weight_hh_l1_reverse"])
    assert np.array_equal(back["bias_ih_l0"], state["bias_ih_l0"] + state["bias_hh_l0"])


def test_a_frozen_module_and_its_optimizer_keep_their_parameters() -> None:
    ours = RNN(I, H, two_biases=True).requires_grad_(False)
    before = list(ours.parameters())
    state = random_state({name: array.shape for name, array in torch_state_dict(ours).items()})
    load_torch_state_dict(ours, state)
    assert all(a is b for a, b in zip(before, ours.parameters()))
    assert np.array_equal(ours.forward0.Wr.numpy(), state["weight_hh_l0"].astype("float32"))


# The tests above catch wrong weights


@pytest.mark.parametrize("fault", ["gates swapped", "directions swapped", "second bias dropped"])
def test_a_planted_fault_is_caught(fault: str) -> None:
    torch = pytest.importorskip("torch")
    theirs = torchs(torch, "lstm", I, H, 1, bidirectional=True)
    state = {name: value.numpy().copy() for name, value in theirs.state_dict().items()}
    if fault == "gates swapped":
        state["weight_ih_l0"][[0, 3]] = state["weight_ih_l0"][[3, 0]]
    elif fault == "directions swapped":
        state["weight_hh_l0"], state["weight_hh_l0_reverse"] = state["weight_hh_l0_reverse"], state["weight_hh_l0"]
    else:
        state["bias_hh_l0"] *= 0
    with pytest.raises(AssertionError):
        both_ways(torch, recurrence_from_torch_state_dict("lstm", state), theirs)


def test_torch_is_not_imported() -> None:
    code = (
        "import sys, minigrad_rnn as r; m = r.LSTM(2, 3); r.load_torch_state_dict(m, r.torch_state_dict(m)); "
        "assert not {'torch', 'onnx'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("kind", [*KIND])
@pytest.mark.parametrize("prefix", ["", "cell."])
@pytest.mark.parametrize("bias", [True, False])
def test_a_cells_state_makes_a_recurrence(kind: str, prefix: str, bias: bool) -> None:
    torch = pytest.importorskip("torch")
    name = {"rnn": "RNNCell", "lstm": "LSTMCell", "gru": "GRUCell"}[KIND[kind]]
    theirs = getattr(torch.nn, name)(I, H, bias=bias, dtype=torch.float64)
    state = {prefix + key: value for key, value in theirs.state_dict().items()} | ({"other": 1} if prefix else {})
    ours = recurrence_from_torch_state_dict(KIND[kind], state, prefix)
    xs = np.random.default_rng(0).standard_normal((4, 2, I))
    got, want, h = ours(xs)[0].numpy(), [], None
    for x in torch.from_numpy(xs):
        h = theirs(x, h)
        want.append((h[0] if isinstance(h, tuple) else h).detach().numpy())
    np.testing.assert_allclose(got, np.stack(want), atol=1e-13)
    assert repr(ours).startswith(("RNN(", "LSTM(", "GRU("))
