"""The fused sequences as primitives: their rules against differences, of both orders, whatever is used or wanted."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import Tensor
from minigrad.backend import get_backend
from minigrad_rnn.cells import Lengths
from minigrad_rnn.cells.gru import gru_sequence, gru_step
from minigrad_rnn.cells.lstm import lstm_sequence, lstm_step
from minigrad_rnn.cells.rnn import rnn_sequence, rnn_step
from minigrad_rnn.cells.unroll import unroll

T, B, I, H, P = 3, 2, 3, 3, 2

# Kind → (the fused primitive, one step op by op, sizes of the state arrays, shapes of the weights)
PLAIN = {gates: [(gates * H, I), (gates * H, H), (gates * H,)] for gates in (1, 3, 4)}
PEEPHOLE, PROJECTION = (3 * H,), (P, H)
SEQUENCES: dict[str, tuple[Callable[..., Any], Callable[..., Any], list[int], list[tuple[int, ...] | None]]] = {
    **{
        f"rnn {f}": (partial(rnn_sequence, nonlinearity=f), partial(rnn_step, nonlinearity=f), [H], PLAIN[1])
        for f in ("tanh", "relu")
    },
    "lstm": (lstm_sequence, lstm_step, [H, H], [*PLAIN[4], None, None]),
    "lstm peephole": (lstm_sequence, lstm_step, [H, H], [*PLAIN[4], PEEPHOLE, None]),
    "lstm projected": (
        lstm_sequence, lstm_step, [P, H], [(4 * H, I), (4 * H, P), (4 * H,), PEEPHOLE, PROJECTION],
    ),
    "lstm all states": (
        partial(lstm_sequence, every_state=True), partial(lstm_step), [H, H], [*PLAIN[4], None, None],
    ),
    **{
        f"gru reset {'after' if after else 'before'}": (
            partial(gru_sequence, reset_after=after),
            partial(gru_step, reset_after=after),
            [H],
            [*PLAIN[3], (3 * H,) if after else None],
        )
        for after in (True, False)
    },
}  # fmt: skip

kinds = pytest.mark.parametrize("kind", SEQUENCES)
directions = pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
spans = pytest.mark.parametrize("lengths", [None, [T - 1, T]], ids=["whole", "lengths"])


def inputs_of(kind: str, bias: bool = True, dtype: Any = np.float64, batch: int = B, steps: int = T) -> list[Any]:
    """xs, the initial state, Wc, Wr, b and the kind's other weights."""
    _, _, states, weights = SEQUENCES[kind]
    rng = np.random.default_rng(11)
    shapes = [(steps, batch, I), *((batch, size) for size in states), *weights]
    made = [s and mg.tensor(rng.standard_normal(s).astype(dtype), requires_grad=True) for s in shapes]
    b = 3 + len(states)
    return made if bias else [None if k == b or (k > b and "gru" in kind) else x for k, x in enumerate(made)]


def unrolled(kind: str, *inputs: Any, backward: bool = False, lengths: Lengths | None = None) -> tuple[Tensor, ...]:
    _, step, states, _ = SEQUENCES[kind]
    return unroll(step, len(states), backward, *inputs, lengths=lengths, every_state=kind == "lstm all states")


def spans_of(lengths: list[int] | None, xp: Any) -> Lengths | None:
    return None if lengths is None else Lengths(lengths, T, B, get_backend(xp.name), "test")


def weighed(outputs: Any) -> Tensor:
    """One number that depends on every entry of every output, each in its own way."""
    rng = np.random.default_rng(12)
    return sum((y * mg.tensor(rng.standard_normal(y.shape).astype(y.dtype))).sum() for y in outputs)


def live(inputs: list[Any]) -> list[Tensor]:
    return [x for x in inputs if x is not None and x.requires_grad]


@kinds
@directions
@pytest.mark.parametrize(
    ("lengths", "bias"), [(None, True), (None, False), ([T - 1, T], True)], ids=["whole", "no bias", "lengths"]
)
def test_derivatives_of_first_and_second_order(
    xp: Any, kind: str, backward: bool, lengths: list[int] | None, bias: bool
) -> None:
    sequence = partial(SEQUENCES[kind][0], backward=backward, lengths=spans_of(lengths, xp))
    inputs = inputs_of(kind, bias)
    assert mg.gradcheck(sequence, inputs)
    if xp.name != "strict" or (
        lengths is None and bias and not backward
    ):  # which operations a rule uses, it tells once
        assert mg.gradgradcheck(sequence, inputs)


@kinds
@directions
@pytest.mark.parametrize(("batch", "steps"), [(1, 1), (1, 5), (4, 1), (4, 5)])
def test_equal_to_its_steps_without_waiting(xp: Any, kind: str, backward: bool, batch: int, steps: int) -> None:
    """In float32, which stays float32; a single example and a single step have layouts of their own."""
    fused = SEQUENCES[kind][0]
    inputs = inputs_of(kind, dtype=np.float32, batch=batch, steps=steps)
    with xp.no_sync():
        results = [
            (outputs, mg.gradients(weighed(outputs), live(inputs)))
            for outputs in (fused(*inputs, backward=backward), unrolled(kind, *inputs, backward=backward))
        ]
    for ours, expected in zip(*((*outputs, *result) for outputs, result in results)):
        assert (ours.dtype, ours.shape, ours.backend) == (np.float32, expected.shape, xp.name)
        np.testing.assert_allclose(ours.numpy(), expected.numpy(), rtol=1e-4, atol=1e-5)


@kinds
def test_any_output_may_be_unused(xp: Any, kind: str) -> None:
    fused, _, states, _ = SEQUENCES[kind]
    for k in range(len(states) + 1):
        inputs = inputs_of(kind)
        ours, expected = (
            mg.gradients(weighed([outputs[k]]), live(inputs)) for outputs in (fused(*inputs), unrolled(kind, *inputs))
        )
        for g, want in zip(ours, expected):
            np.testing.assert_allclose(g.numpy(), want.numpy(), rtol=1e-9, atol=1e-12)


@kinds
def test_any_input_may_be_a_constant(xp: Any, kind: str) -> None:
    fused = SEQUENCES[kind][0]
    inputs = inputs_of(kind)
    whole = mg.gradients(weighed(fused(*inputs)), live(inputs))
    for kept, want in zip(live(inputs), whole):
        alone = [x if x is kept or x is None else x.detach() for x in inputs]
        (result,) = mg.gradients(weighed(fused(*alone)), [kept])
        np.testing.assert_allclose(result.numpy(), want.numpy(), rtol=1e-12)


@kinds
def test_a_retained_walk_gives_the_same_again(xp: Any, kind: str) -> None:
    """The rule may work in its own memory, but not in what the next walk needs."""
    inputs = inputs_of(kind)
    loss = weighed(SEQUENCES[kind][0](*inputs))
    first = [g.numpy() for g in mg.gradients(loss, live(inputs), retain_graph=True)]
    for _ in range(2):
        for g, want in zip(mg.gradients(loss, live(inputs), retain_graph=True), first):
            np.testing.assert_array_equal(g.numpy(), want)


@kinds
@directions
@spans
def test_the_ledgers_lines_are_those_of_the_steps(
    xp: Any, kind: str, backward: bool, lengths: list[int] | None
) -> None:
    fused, _, states, _ = SEQUENCES[kind]
    inputs = inputs_of(kind)
    weights = live(inputs[1 + len(states) :])
    how = {"backward": backward, "lengths": spans_of(lengths, xp)}
    books = [
        mg.ledger(weighed(outputs), weights) for outputs in (fused(*inputs, **how), unrolled(kind, *inputs, **how))
    ]
    for w in weights:
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
        n = len(SEQUENCES[kind][2])
        states, (Wc, Wr, *others) = rest[:n], rest[n:]
        if fault == "a thousandth":
            Wr = Wr * 1.001 - Wr.detach() * 0.001
            return fused(xs, *states, Wc, Wr, *others)
        cut = fused(xs[:1], *states, Wc.detach(), Wr, *others)
        return fused(xs[1:], *cut[1 : 1 + n], Wc, Wr, *others)

    with pytest.raises(mg.GradcheckError):
        mg.gradcheck(faulty, inputs_of(kind))
