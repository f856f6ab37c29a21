"""The fused sequences give the same in every order of products and memory that they choose between by T, B and H."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
import minigrad_rnn as rnn
from minigrad_rnn.cells import feature_major, fused_sequence, gru
from minigrad_rnn.cells.feature_major import product_with
from minigrad_rnn.cells.fused_sequence import FusedSequence

I, H = 3, 4
NETS: dict[str, Callable[..., rnn.Recurrence]] = {
    "rnn": rnn.RNN,
    "rnn relu without bias": lambda *a, **k: rnn.RNN(*a, nonlinearity="relu", bias=False, **k),
    "lstm": rnn.LSTM,
    "lstm without bias": lambda *a, **k: rnn.LSTM(*a, bias=False, **k),
    "lstm peephole": lambda *a, **k: rnn.LSTM(*a, peephole=True, **k),
    "lstm peephole, projected": lambda *a, **k: rnn.LSTM(*a, peephole=True, proj_size=2, two_biases=True, **k),
    "gru": rnn.GRU,
    "gru without bias": lambda *a, **k: rnn.GRU(*a, bias=False, **k),
    "gru published": lambda *a, **k: rnn.GRU(*a, reset_after=False, **k),
}
ORDERS = ("stacked", "stored", "stored, one step at once", "by columns")


def set_order(order: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every sequence take this order, whatever its sizes."""
    stacked = order == "stacked"
    monkeypatch.setattr(FusedSequence, "stacks", lambda *_: stacked)
    for module in (fused_sequence, gru):
        monkeypatch.setattr(module, "MANY_STEPS", 0 if stacked else 1000)
    if order == "stored, one step at once":
        monkeypatch.setattr(fused_sequence, "COLUMNS", 1)
        monkeypatch.setattr(fused_sequence, "BLOCK", 1)
    if order == "by columns":
        for module in (fused_sequence, feature_major):
            monkeypatch.setattr(module, "SMALL_PRODUCT", 0)


def results(net: rnn.Recurrence, T: int, B: int, lengths: Any, to_state: bool = True) -> list[np.ndarray[Any, Any]]:
    """Outputs, states of every step, and the gradients of all that they depend on; of the initial state on request."""
    rng = np.random.default_rng(5)
    xs = mg.tensor(rng.standard_normal((T, B, I)), requires_grad=True)
    sizes = net.cells[0].state_sizes
    parts = tuple(mg.tensor(rng.standard_normal((len(net.cells), B, n)), requires_grad=True) for n in sizes)
    ys, final, every = net(xs, parts if len(parts) > 1 else parts[0], lengths=lengths, return_states=True)
    outputs = [
        ys,
        *(final if isinstance(final, tuple) else (final,)),
        *(every if isinstance(every, tuple) else (every,)),
    ]
    loss: Any = sum((mg.sin(y) * mg.tensor(rng.standard_normal(y.shape))).sum() for y in outputs)
    inputs = [xs, *(parts if to_state else ()), *net.parameters()]
    return [y.numpy() for y in outputs] + [g.numpy() for g in mg.gradients(loss, inputs)]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", NETS)
@pytest.mark.parametrize("B", [1, 2, 9])
@pytest.mark.parametrize("T", [1, 2, 5])
@pytest.mark.parametrize("options", [{}, {"bidirectional": True}])
def test_every_order_agrees_with_the_graph(
    order: str, kind: str, B: int, T: int, options: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths = [1 + (3 * b + 1) % T for b in range(B)] if options else None
    graph, fused = (NETS[kind](I, H, impl=impl, rng=2, dtype="float64", **options) for impl in ("graph", "fused"))
    set_order(order, monkeypatch)
    for to_state in (True, False):
        pairs = zip(results(fused, T, B, lengths, to_state), results(graph, T, B, lengths, to_state), strict=True)
        for got, want in pairs:
            np.testing.assert_allclose(got, want, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru", "gru published"])
def test_every_order_lists_the_same_contributions(order: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ledger's lines, by time step."""
    xs = np.random.default_rng(1).standard_normal((3, 2, I))
    books = []
    for impl in ("graph", "fused"):
        net = NETS[kind](I, H, impl=impl, rng=2, dtype="float64", reverse=True)
        if impl == "fused":
            set_order(order, monkeypatch)
        ys, _ = net(xs)
        parameters = list(net.parameters())
        book = mg.ledger((ys * ys).sum(), parameters)
        books.append([book.by_time_step(p) for p in parameters])
    for graph, fused in zip(*books, strict=True):
        assert sorted(graph) == sorted(fused) == [0, 1, 2]
        for t in graph:
            np.testing.assert_allclose(fused[t].numpy(), graph[t].numpy(), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("B", [1, 2, 6, 7, 40])
@pytest.mark.parametrize("shape", [(3, 2), (700, 300)])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_products_of_any_size(B: int, shape: tuple[int, int], transposed: bool, dtype: Any) -> None:
    """`product_with` takes the columns together or one after the other."""
    rng = np.random.default_rng(0)
    W = rng.standard_normal(shape).astype(dtype)
    W = W.T if transposed else W
    a = rng.standard_normal((W.shape[1], B)).astype(dtype)
    out = np.full((W.shape[0], B), np.nan, dtype)
    if B == 1:
        a, out = a[:, 0], out[:, 0]
    product_with(np, W, B)(a, out)
    np.testing.assert_allclose(out, W @ a, rtol=0, atol={"float32": 1e-4, "float64": 1e-12}[dtype])


@pytest.mark.parametrize("kind", [rnn.RNN, rnn.LSTM, rnn.GRU])
@pytest.mark.parametrize(("T", "B", "size"), [(1, 1, 32), (40, 1, 32), (3, 4, 32), (2, 2, 160), (30, 3, 160)])
@pytest.mark.parametrize("impl", ["fused", "native"])
def test_the_order_chosen_by_size_agrees_with_the_graph(kind: Any, T: int, B: int, size: int, impl: str) -> None:
    xs = np.random.default_rng(4).standard_normal((T, B, size))
    found = []
    for each in ("graph", impl):
        net = kind(size, size, impl=each, rng=2, dtype="float64")
        ys, _ = net(xs)
        found.append([ys.numpy(), *(g.numpy() for g in mg.gradients((ys * ys).sum(), list(net.parameters())))])
    for graph, fused in zip(*found, strict=True):
        np.testing.assert_allclose(fused, graph, rtol=1e-9, atol=1e-10)
