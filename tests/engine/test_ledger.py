"""Time steps, and the ledger of what each use of a tensor contributed to its gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
import minigrad_rnn as mr
from minigrad import GraphError, JointRule
from minigrad.engine.gradient_pool import PerStepSum
from minigrad.engine.primitive import primitive
from tests.engine.leaves import leaf, noise, recurrence


@pytest.mark.parametrize("steps", [1, 4])
def test_the_ledgers_lines_add_up_to_the_gradient(xp: Any, steps: int) -> None:
    w, b = leaf(noise(3, 3)), leaf(noise(3, seed=1))
    book = mg.ledger(recurrence(w, b, steps), [w, b])
    assert w.grad is None
    recurrence(w, b, steps).backward()
    for x, lines in ((w, 1), (b, 2)):
        assert [t for t, _ in book[x]] == sorted([*range(steps)] * lines, reverse=True)
        np.testing.assert_allclose(sum(g.numpy() for _, g in book[x]), x.grad.numpy(), rtol=1e-12)
        by_step = book.by_time_step(x)
        assert list(by_step) == list(range(steps))
        np.testing.assert_allclose(sum(g.numpy() for g in by_step.values()), x.grad.numpy(), rtol=1e-12)


def test_the_ledgers_lines_are_each_their_own(xp: Any) -> None:
    w = leaf([1.0, 2.0])
    with mg.time_step(0):
        y = w * 3
    y = y + w
    book = mg.ledger(y.sum(), [w])
    assert [(t, g.tolist()) for t, g in book[w]] == [(None, [1.0, 1.0]), (0, [3.0, 3.0])]
    assert list(book.by_time_step(w)) == [0, None]
    with pytest.raises(KeyError, match="not among the inputs of this ledger"):
        book[mg.tensor([1.0])]
    with pytest.raises(GraphError, match="not on the tape"):
        mg.ledger((w * 2).sum(), [mg.tensor([1.0])])


def test_the_ledger_sees_a_broadcast_and_a_joint_rule(xp: Any) -> None:
    @primitive
    def scaled(xp: Any, x: Any, b: Any) -> Any:
        return x * b, (x, b), JointRule(lambda xp, g, needs, x, b: (g * b, g * x))

    x, b = leaf(noise(2, 3)), leaf(noise(3, seed=1))
    full = leaf(noise(2, 3, seed=2))
    y = scaled(x, full) + x * b
    book = mg.ledger(y.sum(), [b, x, full], retain_graph=True)
    y.sum().backward()
    for z in (b, x, full):
        assert all(g.shape == z.shape for _, g in book[z])
        np.testing.assert_allclose(sum(g.numpy() for _, g in book[z]), z.grad.numpy(), rtol=1e-12)


def test_time_steps_nest_and_end(xp: Any) -> None:
    x = leaf([1.0])
    with mg.time_step(1):
        with mg.time_step(2):
            assert (x * 2).node.time_step == 2
        assert (x * 2).node.time_step == 1
    assert (x * 2).node.time_step is None


def test_an_entry_says_what_it_is() -> None:
    x = leaf([1.0, 2.0])
    with mg.time_step(3):
        y = mg.tanh(x)
    z = y.sum()
    assert repr(x.node) == f"<leaf #{x.node.serial} (2,) float64>"
    assert repr(y.node) == f"<tanh #{y.node.serial} (2,) float64, t=3>"
    assert repr(z.node) == f"<sum #{z.node.serial} () float64>"
    assert x.node.serial < y.node.serial < z.node.serial


def test_lines_are_in_the_tensors_dtype(xp: Any) -> None:
    x, z = leaf([1.0, 2.0, 3.0]), mg.tensor(xp.array(np.ones(3, np.float32)), requires_grad=True)
    loss = mg.sum(mg.real(mg.fft.fft(x) * (1 + 2j))) + mg.sum(z * x)
    book = mg.ledger(loss, [x, z])
    assert [g.dtype for g in (*dict(book[x]).values(), *dict(book[z]).values())] == [np.float64, np.float32]
    total = book.by_time_step(x)[None]
    # Re Σₖ (1 + 2i) Xₖ = Re (1 + 2i) n x₀, since Σₖ exp(−2πi jk/n) is n for j = 0 and else 0
    np.testing.assert_allclose(total.numpy(), [3.0 + 1.0, 1.0, 1.0], atol=1e-12)


@pytest.mark.parametrize("options", [{}, {"bidirectional": True}, {"num_layers": 2}], ids=str)
@pytest.mark.parametrize("network", [mr.RNN, mr.LSTM, mr.GRU], ids=lambda network: network.__name__)
@pytest.mark.parametrize("impl", ["fused", "native"])
def test_both_biases_have_a_line_for_each_step(network: Any, options: dict[str, Any], impl: str) -> None:
    books = []
    for each in ("graph", impl):
        model = network(3, 2, two_biases=True, impl=each, rng=np.random.default_rng(0), dtype="float64", **options)
        loss = (model(noise(4, 2, 3))[0] ** 2).sum()
        parameters = dict(model.named_parameters())
        book = mg.ledger(loss, list(parameters.values()))
        books.append({name: book.by_time_step(p) for name, p in parameters.items()})
    graph, fused = books
    for name in graph:
        assert list(graph[name]) == list(fused[name]) == list(range(4))
        for t in range(4):
            np.testing.assert_allclose(fused[name][t].numpy(), graph[name][t].numpy(), rtol=1e-10, atol=1e-12)


def test_a_sum_over_steps_that_is_passed_on_keeps_its_steps(xp: Any) -> None:
    steps = range(3)

    @primitive
    def series(xp: Any, b: Any) -> Any:
        return b * 3, (), lambda xp, g: PerStepSum(g * 3, steps, lambda t: g * (2 - t))

    b, c = leaf([1.0, 2.0]), leaf([[1.0], [2.0]])
    book = mg.ledger(series((b + c + 1.0) - 0.0).sum(), [b, c])  # the sum over c's axis is taken for each step
    assert [(t, g.tolist()) for t, g in book[b]] == [(0, [4.0, 4.0]), (1, [2.0, 2.0]), (2, [0.0, 0.0])]
    assert [(t, g.tolist()) for t, g in book[c]] == [(0, [[4.0], [4.0]]), (1, [[2.0], [2.0]]), (2, [[0.0], [0.0]])]
    shared = b + 1.0  # a second use: what b receives is no longer that sum
    book = mg.ledger(series(shared).sum() + shared.sum(), [b])
    assert [(t, g.tolist()) for t, g in book[b]] == [(None, [4.0, 4.0])]
