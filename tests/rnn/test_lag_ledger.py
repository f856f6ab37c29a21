"""The lag ledger of recurrent nets: against weights of each step's own, and its sums against `.grad`."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest

import minigrad as mg
import minigrad_rnn as mr
from minigrad.engine.tape import GraphError
from minigrad_rnn.cells import fused_sequence
from tests.conftest import TestedBackend
from tests.rnn.ledger_cases import NETWORKS, OPTIONS, B, H, I, T, inputs, losses_of, model_of, relative

ON_NUMPY = TestedBackend("numpy", np, np.asarray, nullcontext)
EXACT = 1e-12
"""Relative, in float64: the contributions against what they add up to."""


@pytest.mark.parametrize("reverse", [False, True])
def test_each_contribution_is_that_of_a_weight_of_its_own_step(xp: Any, reverse: bool) -> None:
    """An oracle without a ledger: every step has copies of the weights, and each loss is differentiated alone."""
    model = mr.RNN(I, H, reverse=reverse, impl="fused", rng=3, dtype="float64").to(xp.name)
    xs = xp.array(inputs())
    cell = model.backward0 if reverse else model.forward0
    copies = [mg.tensor(cell.Wr.numpy(), requires_grad=True, backend=xp.name) for _ in range(T)]
    h = mg.tensor(xp.array(np.zeros((B, H))))
    own: dict[int, Any] = {}
    for t in range(T)[:: -1 if reverse else 1]:
        h = mg.tanh(xs[t] @ cell.Wc.T + h @ copies[t].T + cell.b)
        own[t] = ((h - xp.array(0.1 * np.arange(H))) ** 2).sum()
    ys, _ = model(xs)
    losses = ((ys - xp.array(0.1 * np.arange(H))) ** 2).sum(axis=(1, 2))
    book = mg.lag_ledger(losses, cell.Wr, keep="full")
    norms = mg.lag_ledger(losses, cell.Wr).norms(cell.Wr)
    assert (book.times, book.steps) == ([*range(T)], [*range(T)])
    for t in range(T):
        wanted = mg.gradients(own[t], copies, retain_graph=True, allow_unused=True)
        for s, (g, w) in enumerate(zip(book.contributions(cell.Wr, t).values(), wanted)):
            expected = np.zeros((H, H)) if w is None else w.numpy()
            np.testing.assert_allclose(g.numpy(), expected, rtol=1e-10, atol=1e-14)
            np.testing.assert_allclose(norms[t, s], np.linalg.norm(expected), rtol=1e-10, atol=1e-14)
    lags = book.by_lag(cell.Wr)
    assert lags.lags == ([*range(1 - T, 1)] if reverse else [*range(T)])
    for i, t in enumerate(lags.times):
        for j, k in enumerate(lags.lags):
            if 0 <= t - k < T:
                np.testing.assert_allclose(lags.norms[i, j], norms[t, t - k], rtol=1e-10)
            else:
                assert np.isnan(lags.norms[i, j])


@pytest.mark.parametrize("impl", ["graph", "fused", "native"])
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("network", NETWORKS)
def test_all_contributions_add_up_to_the_gradient(network: str, options: str, impl: str) -> None:
    model = model_of(network, options, impl=impl)
    lengths = [T, T - 2, T - 1] if options != "plain" else None
    losses = losses_of(model, inputs(), lengths)
    book = mg.lag_ledger(losses, model, keep="full")
    sizes = mg.lag_ledger(losses, model)
    graph = sizes
    if impl != "graph":
        by_graph = model_of(network, options, impl="graph")
        graph = mg.lag_ledger(losses_of(by_graph, inputs(), lengths), by_graph)
    with mg.record_ledger(model) as noted:
        losses.sum().backward()
    assert book.names == sizes.names == [name for name, _ in model.named_parameters()]
    for name, p in model.named_parameters():
        for by_step in (book.by_time_step(name), noted.by_time_step(p)):
            assert relative(sum(g.numpy() for g in by_step.values()), p.grad.numpy()) <= EXACT, name
        for s, g in noted.by_time_step(p).items():
            np.testing.assert_allclose(book.by_time_step(p)[s].numpy(), g.numpy(), rtol=1e-10, atol=1e-13)
        np.testing.assert_allclose(sizes.norms(p), book.norms(p), rtol=1e-10, atol=1e-15)
        np.testing.assert_allclose(sizes.norms(p), graph.norms(name), rtol=1e-9, atol=1e-14)


def test_losses_as_a_list_of_scalars_are_those_of_one_tensor() -> None:
    model = model_of("RNN", "plain", impl="graph")
    losses = losses_of(model, inputs())
    together = mg.lag_ledger(losses, model)
    one_by_one = mg.lag_ledger([losses[t] for t in range(T)], model)
    for name in together.names:
        np.testing.assert_allclose(one_by_one.norms(name), together.norms(name), rtol=1e-12)
    last = mg.lag_ledger([losses[T - 1]], model, times=[T - 1])
    np.testing.assert_allclose(last.norms("forward0.Wr"), together.norms("forward0.Wr")[-1:], rtol=1e-12)
    assert last.by_lag("forward0.Wr").lags == [*range(T)]


def test_a_stacked_net_of_two_directions_has_lags_of_both_signs() -> None:
    model = model_of("RNN", "stacked in two directions")
    book = mg.lag_ledger(losses_of(model, inputs()), model)
    assert book.by_lag("forward0.Wr").lags == [*range(1 - T, T)]
    assert book.by_lag("forward1.Wr").lags == [*range(T)]
    assert book.by_lag("backward1.Wr").lags == [*range(1 - T, 1)]
    largest = book.largest_by_lag("forward1.Wr")
    assert largest[T - 1] == book.norms("forward1.Wr")[T - 1, 0]
    assert largest[1] == max(book.norms("forward1.Wr")[t, t - 1] for t in range(1, T))


def test_norms_that_are_not_finite_are_told() -> None:
    model, xs = model_of("RNN", "plain"), inputs()
    xs[2, 0, 0] = np.nan
    book = mg.lag_ledger(losses_of(model, xs), model)
    norms = book.norms("forward0.Wr")
    assert np.isnan(norms[2:, 3]).all()  # h(2) is NaN, which the use at step 3 reads
    assert np.isnan(book.largest_by_lag("forward0.Wr")[0])
    assert "    0      nan" in repr(book)


def test_uses_without_a_time_step_have_a_column_of_their_own() -> None:
    model, W = model_of("RNN", "plain"), mg.tensor(np.ones((H, 2)), requires_grad=True)
    losses = ((model(inputs())[0] @ W) ** 2).sum(axis=(1, 2))
    book = mg.lag_ledger(losses, {"W": W, "Wr": model.forward0.Wr}, keep="full")
    assert book.norms("W").tolist() == [[0.0] * T] * T
    (g,) = mg.gradients(losses.sum(), [W])
    assert relative(book.by_time_step("W")[None].numpy(), g.numpy()) <= EXACT
    np.testing.assert_allclose(
        book.unlabelled("W"), [np.linalg.norm(book.contributions("W", t)[None].numpy()) for t in range(T)], rtol=1e-12
    )
    assert not book.unlabelled("Wr").any()


def test_what_cannot_be_split_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of("RNN", "plain")
    Wr, losses = model.forward0.Wr, losses_of(model, inputs())
    for call, error, words in [
        (lambda: mg.lag_ledger(losses.sum(), Wr), ValueError, r"losses: got a tensor of shape \(\), want a list of sc"),
        (lambda: mg.lag_ledger([losses], Wr), ValueError, r"losses\[0\]: got shape \(4,\)"),
        (lambda: mg.lag_ledger([], Wr), ValueError, "losses: got none"),
        (lambda: mg.lag_ledger(losses.detach(), Wr), GraphError, "losses: the tensor is not on the tape"),
        (lambda: mg.lag_ledger(losses, Wr, times=[1, 2]), ValueError, r"times: got \[1, 2\], want 4 different ones"),
        (lambda: mg.lag_ledger(losses, Wr, times=[1, 1, 2, 3]), ValueError, "want 4 different ones"),
        (
            lambda: mg.lag_ledger(losses, Wr, keep="all"),
            ValueError,
            r"keep: got 'all', want one of \['full', 'norms'\]",
        ),  # type: ignore[arg-type]
        (lambda: mg.lag_ledger(losses, [1.0]), TypeError, "inputs: got list, want a tensor"),
        (lambda: mg.lag_ledger(losses, Wr.detach()), GraphError, "not on the tape"),
        (lambda: mg.lag_ledger(losses, Wr).contributions(Wr, 1), ValueError, "got 'norms', want 'full'"),
        (lambda: mg.lag_ledger(losses, Wr, keep="full").contributions(Wr, 9), KeyError, "t: got 9, want the time of a"),
        (lambda: mg.lag_ledger(losses, Wr).norms("nope"), KeyError, "got 'nope', want a tensor, or one of"),
        (lambda: mg.lag_ledger(losses, Wr).norms(model.forward0.b), KeyError, "not among the inputs"),
    ]:
        with pytest.raises(error, match=words):
            call()
    monkeypatch.setattr("minigrad.debug.lag_ledger.LIMIT", 100)
    with pytest.raises(ValueError, match=r"keep: got 'full', which would take up to .* GiB for 4 losses; want 'norms'"):
        mg.lag_ledger(losses, Wr, keep="full")
    assert Wr.grad is None
    losses.sum().backward()  # the graph is still there
    with pytest.raises(GraphError, match="consumed"):
        mg.lag_ledger(losses, Wr)


@pytest.mark.parametrize("fault", ["another step's share", "a share twice"])
def test_a_wrong_share_is_caught(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    """Planted in the fused sequence; of the first the sums do not tell."""
    right = fused_sequence.FusedSequence.step_columns
    labels = {0: 1, 1: 0} if fault == "another step's share" else {0: 1}
    monkeypatch.setattr(
        fused_sequence.FusedSequence, "step_columns", lambda self, t, a: right(self, labels.get(t, t), a)
    )
    with pytest.raises(AssertionError):
        test_each_contribution_is_that_of_a_weight_of_its_own_step(ON_NUMPY, False)
    if fault == "a share twice":
        with pytest.raises(AssertionError):
            test_all_contributions_add_up_to_the_gradient("RNN", "plain", "fused")
