"""The fused sequences as primitives: their rules against differences, of both orders, whatever is used or wanted."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import Tensor
from minigrad_rnn.cells.cell import unroll
from minigrad_rnn.cells.lstm import lstm_sequence, lstm_step
from minigrad_rnn.cells.rnn import rnn_sequence, rnn_step

T, B, I, H = 3, 2, 3, 2

SEQUENCES: dict[str, tuple[Callable[..., Any], Callable[..., Any], int, int]] = {
    "rnn tanh": (partial(rnn_sequence, nonlinearity="tanh"), partial(rnn_step, nonlinearity="tanh"), 1, 1),
    "rnn relu": (partial(rnn_sequence, nonlinearity="relu"), partial(rnn_step, nonlinearity="relu"), 1, 1),
    "lstm": (lstm_sequence, lstm_step, 2, 4),
}
"""Kind → (the fused primitive, one step op by op, state arrays, gates)."""

kinds = pytest.mark.parametrize("kind", SEQUENCES)
directions = pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])


def inputs_of(kind: str, bias: bool = True, dtype: Any = np.float64, batch: int = B, steps: int = T) -> list[Any]:
    """xs, the initial state, Wc, Wr, b."""
    _, _, states, gates = SEQUENCES[kind]
    rng = np.random.default_rng(11)
    shapes = [(steps, batch, I), *[(batch, H)] * states, (gates * H, I), (gates * H, H), (gates * H,)]
    made = [mg.tensor(rng.standard_normal(s).astype(dtype), requires_grad=True) for s in shapes]
    return made if bias else [*made[:-1], None]


def weighed(outputs: Any) -> Tensor:
    """One number that depends on every entry of every output, each in its own way."""
    rng = np.random.default_rng(12)
    return sum((y * mg.tensor(rng.standard_normal(y.shape).astype(y.dtype))).sum() for y in outputs)


def live(inputs: list[Any]) -> list[Tensor]:
    return [x for x in inputs if x is not None and x.requires_grad]


@kinds
@directions
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
def test_derivatives_of_first_and_second_order(xp: Any, kind: str, backward: bool, bias: bool) -> None:
    sequence = partial(SEQUENCES[kind][0], backward=backward)
    inputs = inputs_of(kind, bias)
    assert mg.gradcheck(sequence, inputs)
    assert mg.gradgradcheck(sequence, inputs)


@kinds
@directions
@pytest.mark.parametrize(("batch", "steps"), [(1, 1), (1, 5), (4, 1), (4, 5)])
def test_equal_to_its_steps_without_waiting(xp: Any, kind: str, backward: bool, batch: int, steps: int) -> None:
    """In float32, which stays float32; a single example and a single step have layouts of their own."""
    fused, step, states, _ = SEQUENCES[kind]
    inputs = inputs_of(kind, dtype=np.float32, batch=batch, steps=steps)
    with xp.no_sync():
        results = [
            (outputs, mg.gradients(weighed(outputs), live(inputs)))
            for outputs in (fused(*inputs, backward=backward), unroll(step, states, backward, *inputs))
        ]
    for ours, expected in zip(*((*outputs, *found) for outputs, found in results)):
        assert (ours.dtype, ours.shape, ours.backend) == (np.float32, expected.shape, xp.name)
        np.testing.assert_allclose(ours.numpy(), expected.numpy(), rtol=1e-4, atol=1e-5)


@kinds
def test_any_output_may_be_unused(xp: Any, kind: str) -> None:
    fused, step, states, _ = SEQUENCES[kind]
    for k in range(states + 1):
        inputs = inputs_of(kind)
        ours, expected = (
            mg.gradients(weighed([outputs[k]]), live(inputs))
            for outputs in (fused(*inputs), unroll(step, states, False, *inputs))
        )
        for g, want in zip(ours, expected):
            np.testing.assert_allclose(g.numpy(), want.numpy(), rtol=1e-9, atol=1e-12)


@kinds
def test_any_input_may_be_a_constant(xp: Any, kind: str) -> None:
    fused = SEQUENCES[kind][0]
    inputs = inputs_of(kind)
    whole = mg.gradients(weighed(fused(*inputs)), inputs)
    for k, want in enumerate(whole):
        alone = [x if j == k else x.detach() for j, x in enumerate(inputs)]
        (found,) = mg.gradients(weighed(fused(*alone)), [inputs[k]])
        np.testing.assert_allclose(found.numpy(), want.numpy(), rtol=1e-12)


@kinds
def test_a_retained_walk_gives_the_same_again(xp: Any, kind: str) -> None:
    """The rule may work in its own memory, but not in what the next walk needs."""
    inputs = inputs_of(kind)
    loss = weighed(SEQUENCES[kind][0](*inputs))
    first = [g.numpy() for g in mg.gradients(loss, inputs, retain_graph=True)]
    for _ in range(2):
        for g, want in zip(mg.gradients(loss, inputs, retain_graph=True), first):
            np.testing.assert_array_equal(g.numpy(), want)


@kinds
@directions
def test_the_ledgers_lines_are_those_of_the_steps(xp: Any, kind: str, backward: bool) -> None:
    fused, step, states, _ = SEQUENCES[kind]
    weights = slice(1 + states, None)
    inputs = inputs_of(kind)
    books = [
        mg.ledger(weighed(outputs), inputs[weights])
        for outputs in (fused(*inputs, backward=backward), unroll(step, states, backward, *inputs))
    ]
    for w in inputs[weights]:
        ours, expected = (book.by_time_step(w) for book in books)
        assert list(ours) == list(expected) == list(range(T))
        for t in ours:
            np.testing.assert_allclose(ours[t].numpy(), expected[t].numpy(), rtol=1e-9, atol=1e-12)


@kinds
@pytest.mark.parametrize("fault", ["a thousandth", "a dropped step"])
def test_a_wrong_sequence_is_caught(kind: str, fault: str) -> None:
    """Plant a fault in what the tape is told: the weights' share scaled, or the first step left out of it."""
    fused = SEQUENCES[kind][0]

    def faulty(xs: Tensor, *rest: Any) -> Any:
        *states, Wc, Wr, b = rest
        if fault == "a thousandth":
            Wr = Wr * 1.001 - Wr.detach() * 0.001
            return fused(xs, *states, Wc, Wr, b)
        cut = fused(xs[:1], *states, Wc.detach(), Wr, b)
        return fused(xs[1:], *cut[1:], Wc, Wr, b)

    with pytest.raises(mg.GradcheckError):
        mg.gradcheck(faulty, inputs_of(kind))
