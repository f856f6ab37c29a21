"""Lengths: padding influences nothing, in every implementation and direction; equal to torch's packed sequences."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import minigrad as mg
from minigrad_rnn import GRU, LSTM, MGU, RNN, IndRNN, LayerNormGRU, LayerNormLSTM, LayerNormRNN

I, H = 3, 4
PLAIN: dict[str, tuple[Any, dict[str, Any]]] = {
    "rnn": (RNN, {}),
    "rnn relu": (RNN, {"nonlinearity": "relu", "two_biases": True}),
    "lstm": (LSTM, {}),
    "lstm projected": (LSTM, {"proj_size": 2, "two_biases": True}),
    "gru": (GRU, {}),
}
"""Those that torch has."""
OTHERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "lstm peephole": (LSTM, {"peephole": True, "forget_bias": 1.0}),
    "gru published": (GRU, {"reset_after": False}),
    "layer-norm rnn": (LayerNormRNN, {}),
    "layer-norm lstm": (LayerNormLSTM, {}),
    "layer-norm gru": (LayerNormGRU, {}),
    "mgu": (MGU, {}),
    "indrnn": (IndRNN, {}),
}
FUSED = (*PLAIN, "lstm peephole", "gru published")
EVERY = PLAIN | OTHERS


def made(kind: str, implementation: str = "graph", **options: Any) -> Any:
    cls, own = EVERY[kind]
    rng = np.random.default_rng(7)
    return cls(I, H, impl=implementation, dtype="float64", rng=rng, **own, **options)


def states_of(model: Any, B: int) -> list[Any]:
    rng = np.random.default_rng(8)
    cells = model.cells
    return [rng.standard_normal((len(cells), B, size)) for size in cells[0].state_sizes]


def answers(
    model: Any, xs: Any, start: list[Any], lengths: Any, extra: Any = (), second: bool = False
) -> dict[str, Any]:
    """Outputs, final states and every gradient of a loss that weighs each of them."""
    leaf, state = mg.tensor(xs, requires_grad=True), [mg.tensor(s, requires_grad=True) for s in start]
    output, final = model(leaf, tuple(state), lengths=lengths)
    ends = final if isinstance(final, tuple) else (final,)
    rng = np.random.default_rng(9)
    loss = sum((y * y * rng.standard_normal(y.shape)).sum() for y in (output, *ends))
    named = {"xs": leaf, **{f"state {k}": s for k, s in enumerate(state)}, **dict(model.named_parameters())}
    result = mg.gradients(loss, list(named.values()), create_graph=second)
    if second:
        total = sum((g * g).sum() for g in result)
        result = mg.gradients(total, list(named.values()), allow_unused=True)
    values = {"output": output, **{f"final {k}": e for k, e in enumerate(ends)}}
    return {n: y.numpy() for n, y in values.items()} | {f"d {n}": g.numpy() for n, g in zip(named, result)}


def agree(ours: dict[str, Any], want: dict[str, Any], tolerance: float = 1e-10) -> None:
    assert ours.keys() == want.keys()
    for name, a in ours.items():
        np.testing.assert_allclose(a, want[name], rtol=tolerance, atol=tolerance, err_msg=name)


def torch_answers(model: Any, xs: Any, start: list[Any], lengths: Any, second: bool, torch: Any) -> dict[str, Any]:
    """The same from torch.nn with our weights, by way of a packed sequence."""
    kind = {"RNN": torch.nn.RNN, "LSTM": torch.nn.LSTM, "GRU": torch.nn.GRU}[type(model).__name__]
    options = {n: model.cell_options[n] for n in ("nonlinearity", "proj_size") if model.cell_options.get(n)}
    twin = kind(
        I, H, model.num_layers, bias=model.bias, batch_first=model.batch_first,
        bidirectional=model.bidirectional, dtype=torch.float64, **options,
    )  # fmt: skip
    theirs = {}
    with torch.no_grad():
        for name, cell in zip(model.cell_names, model.cells):
            backward = name.startswith("backward")
            end = f"l{name.removeprefix('backward' if backward else 'forward')}" + "_reverse" * backward
            pairs = {"Wc": f"weight_ih_{end}", "Wr": f"weight_hh_{end}", "b": f"bias_ih_{end}", "br": f"bias_hh_{end}"}
            for part, theirs_name in (pairs | {"Wp": f"weight_hr_{end}"}).items():
                parameter = getattr(cell, part, None)
                if parameter is not None:
                    getattr(twin, theirs_name).copy_(torch.from_numpy(parameter.numpy()))
                    theirs[f"{name}.{part}"] = getattr(twin, theirs_name)
                elif part == "br" and model.bias:
                    getattr(twin, theirs_name).zero_()
    leaf = torch.tensor(xs, requires_grad=True)
    state = [torch.tensor(s, requires_grad=True) for s in start]
    packed = leaf if lengths is None else torch.nn.utils.rnn.pack_padded_sequence(
        leaf, torch.tensor(lengths), batch_first=model.batch_first, enforce_sorted=False
    )  # fmt: skip
    output, final = twin(packed, tuple(state) if len(state) == 2 else state[0])
    if lengths is not None:
        total = xs.shape[1 if model.batch_first else 0]
        output, _ = torch.nn.utils.rnn.pad_packed_sequence(output, model.batch_first, 0.0, total)
    ends = final if isinstance(final, tuple) else (final,)
    rng = np.random.default_rng(9)
    loss = sum((y * y * torch.tensor(rng.standard_normal(tuple(y.shape)))).sum() for y in (output, *ends))
    named = {"xs": leaf, **{f"state {k}": s for k, s in enumerate(state)}}
    named |= {n: theirs[n] for n, _ in model.named_parameters()}
    result = torch.autograd.grad(loss, list(named.values()), create_graph=second)
    if second:
        result = torch.autograd.grad(sum((g * g).sum() for g in result), list(named.values()))
    values = {"output": output, **{f"final {k}": e for k, e in enumerate(ends)}}
    return {n: y.detach().numpy() for n, y in values.items()} | {f"d {n}": g.numpy() for n, g in zip(named, result)}


@functools.cache
def case_of(
    kind: str, layers: int, both: bool, bias: bool, batch_first: bool, lengths: tuple[int, ...] | None
) -> tuple[Any, list[Any], dict[str, Any]]:
    """Inputs, initial states, and torch's answers, for each implementation to be compared with."""
    options = {"num_layers": layers, "bidirectional": both, "bias": bias, "batch_first": batch_first}
    model, B = made(kind, **options), 3 if lengths is None else len(lengths)
    xs = np.random.default_rng(1).standard_normal((B, 5, I) if batch_first else (5, B, I))
    start = states_of(model, B)
    return xs, start, torch_answers(model, xs, start, lengths, False, pytest.importorskip("torch"))


@pytest.mark.parametrize("implementation", ["graph", "fused", "native"])
@pytest.mark.parametrize("kind", PLAIN)
def test_equal_to_torch(kind: str, implementation: str) -> None:
    """Layers × directions × bias × batch_first × lengths or none, B = 1 and 3."""
    pytest.importorskip("torch")
    grid = itertools.product((1, 2, 3), (False, True), (True, False), (False, True), (None, (3,), (2, 5, 3)))
    for layers, both, bias, batch_first, lengths in grid:
        if not bias and EVERY[kind][1].get("two_biases"):
            continue
        model = made(kind, implementation, num_layers=layers, bidirectional=both, bias=bias, batch_first=batch_first)
        xs, start, want = case_of(kind, layers, both, bias, batch_first, lengths)
        agree(answers(model, xs, start, lengths), want)
        assert model.implementation == implementation


@pytest.mark.parametrize("implementation", ["graph", "fused", "native"])
@pytest.mark.parametrize("kind", PLAIN)
def test_double_backward_equals_torch(kind: str, implementation: str) -> None:
    torch = pytest.importorskip("torch")
    model = made(kind, implementation, num_layers=2, bidirectional=True)
    xs, start = np.random.default_rng(1).standard_normal((4, 2, I)), states_of(model, 2)
    ours = answers(model, xs, start, [2, 4], second=True)
    agree(ours, torch_answers(model, xs, start, [2, 4], True, torch), 1e-9)


@pytest.mark.parametrize(
    ("kind", "implementation"), [*((kind, "graph") for kind in EVERY), *itertools.product(FUSED, ("fused", "native"))]
)
def test_each_sequence_is_as_if_it_were_alone_and_padding_may_be_nan(kind: str, implementation: str) -> None:
    lengths = [2, 5, 1, 4]
    for both, layers in itertools.product((False, True), (1, 2)):
        model = made(kind, implementation, num_layers=layers, bidirectional=both)
        xs, start = np.random.default_rng(2).standard_normal((5, 4, I)), states_of(model, 4)
        for b, n in enumerate(lengths):
            xs[n:, b] = np.nan
        together = answers(model, xs, start, lengths)
        alone = [mg.tensor(xs[:n, b : b + 1]) for b, n in enumerate(lengths)]
        for b, (x, n) in enumerate(zip(alone, lengths)):
            output, final = model(x, tuple(s[:, b : b + 1] for s in start))
            ends = final if isinstance(final, tuple) else (final,)
            np.testing.assert_allclose(together["output"][:n, b], output.numpy()[:, 0], rtol=1e-12, atol=1e-12)
            for k, end in enumerate(ends):
                np.testing.assert_allclose(together[f"final {k}"][:, b], end.numpy()[:, 0], rtol=1e-12, atol=1e-12)
            assert (together["output"][n:, b] == 0).all()
            assert (together["d xs"][n:, b] == 0).all()
        assert all(np.isfinite(a).all() for a in together.values())
        # Gradients of shared weights: what stands at padding does not change them.
        again = answers(model, np.where(np.isnan(xs), 1e3, xs), start, lengths)
        agree(together, again, 0.0)


@pytest.mark.parametrize("implementation", ["fused", "native"])
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_both_implementations_agree_for_any_lengths(implementation: str, data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(FUSED))
    T, B = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 4))
    lengths = data.draw(st.lists(st.integers(1, T), min_size=B, max_size=B))
    options = {
        "bidirectional": data.draw(st.booleans()),
        "bias": "two_biases" in EVERY[kind][1] or kind == "lstm peephole",
    }
    depth = data.draw(st.sampled_from([1, 2, (1, 2), (3, 1)] if options["bidirectional"] else [1, 2]))
    merge = data.draw(st.sampled_from(["concat", "sum", "mean"]))
    xs = np.random.default_rng(data.draw(st.integers(0, 99))).standard_normal((T, B, I))
    graph, fused = (made(kind, impl, num_layers=depth, merge=merge, **options) for impl in ("graph", implementation))
    start = states_of(graph, B)
    agree(answers(graph, xs, start, lengths), answers(fused, xs, start, lengths), 1e-11)


@pytest.mark.parametrize("implementation", ["graph", "fused", "native"])
@pytest.mark.parametrize("kind", FUSED)
def test_states_of_every_step(kind: str, implementation: str) -> None:
    """The last state of each sequence is that of its last step, in every layout."""
    lengths = [3, 5]
    for batch_first in (False, True):
        model = made(kind, implementation, num_layers=2, bidirectional=True, batch_first=batch_first)
        xs = np.random.default_rng(3).standard_normal((2, 5, I) if batch_first else (5, 2, I))
        output, final, states = model(xs, lengths=lengths, return_states=True)
        ends, every = (a if isinstance(a, tuple) else (a,) for a in (final, states))
        for end, parts in zip(ends, every):
            parts = parts.numpy().swapaxes(1, 2) if batch_first else parts.numpy()
            for (row, name), b in itertools.product(enumerate(model.cell_names), range(2)):
                at = 0 if name.startswith("backward") else lengths[b] - 1
                np.testing.assert_array_equal(parts[row, at, b], end.numpy()[row, b])
                assert (parts[row, lengths[b] :, b] == 0).all()
        top = np.concatenate([every[0].numpy()[2], every[0].numpy()[3]], axis=-1)
        np.testing.assert_array_equal(output.numpy(), top)


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("implementation", ["graph", "fused"])
def test_on_every_backend_without_waiting(xp: Any, kind: str, implementation: str) -> None:
    x = np.random.default_rng(4).standard_normal((5, 3, I))
    model = made(kind, implementation, num_layers=2, bidirectional=True).to("numpy")
    start = states_of(model, 3)
    given = (mg.tensor(a, backend="numpy") for a in start)
    want, _ = model(mg.tensor(x, backend="numpy"), tuple(given), lengths=[5, 2, 3])
    model.to(xp.name)
    leaf = mg.tensor(xp.array(x), requires_grad=True)
    with xp.no_sync():
        output, _ = model(leaf, lengths=[5, 2, 3])
        mg.gradients(output.sum(), [leaf, *model.parameters()])
    output, _ = model(leaf, tuple(mg.tensor(xp.array(a)) for a in start), lengths=[5, 2, 3])
    np.testing.assert_allclose(output.numpy(), want.numpy(), rtol=1e-10, atol=1e-12)


def leaking(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plant a mask that is one step late: a step of padding is read as if it belonged to the sequence."""
    from minigrad_rnn.networks import recurrence

    right = recurrence.Lengths

    def late(steps: Any, T: int, *rest: Any) -> Any:
        return right([min(T, n + 1) for n in steps], T, *rest)

    monkeypatch.setattr(recurrence, "Lengths", late)


@pytest.mark.parametrize("implementation", ["graph", "fused", "native"])
def test_a_leaking_mask_is_caught(implementation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = made("lstm", implementation)
    xs, start = np.random.default_rng(5).standard_normal((5, 2, I)), states_of(made("lstm"), 2)
    right = answers(model, xs, start, [2, 4])
    leaking(model, monkeypatch)
    wrong = answers(model, xs, start, [2, 4])
    with pytest.raises(AssertionError):
        agree(wrong, right)


@pytest.mark.parametrize(
    ("lengths", "error", "message"),
    [
        ([0, 2], ValueError, r"LSTM: lengths: got 0 for sequence 0, want 1 to 5"),
        ([2, -1], ValueError, r"LSTM: lengths: got -1 for sequence 1, want 1 to 5"),
        ([2, 6], ValueError, r"LSTM: lengths: got 6 for sequence 1, want 1 to 5"),
        ([2], ValueError, r"LSTM: lengths: got shape \(1,\), want \(2,\)"),
        ([2.0, 3.0], TypeError, "LSTM: lengths: got dtype float64, want 2 whole numbers"),
        ([True, True], TypeError, "LSTM: lengths: got dtype bool"),
        (5, TypeError, "LSTM: lengths: got int, want 2 whole numbers"),
        ("55", TypeError, "LSTM: lengths: got str"),
    ],
)
def test_bad_lengths(lengths: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        made("lstm")(np.ones((5, 2, I)), lengths=lengths)
