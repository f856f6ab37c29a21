"""Checkpointed recurrences: the plain run's values and gradients, in memory that grows with the root of T."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim
from minigrad_rnn import GRU, LSTM, MGU, RNN, Elman, IndRNN, LayerNormGRU, checkpointed

T, B, I, H = 10, 3, 3, 4
CELLS = [RNN, LSTM, GRU, MGU, IndRNN, LayerNormGRU]
RNG = np.random.default_rng(5)
XS, WEIGHTS, START = RNG.standard_normal((T, B, I)), RNG.standard_normal((T, B, 2 * H)), RNG.standard_normal((9, B, H))


def parts(state: Any) -> tuple[Any, ...]:
    return state if isinstance(state, tuple) else (state,)


def found(run: Any, rnn: Any, xs: Any = XS, state: Any = None, **options: Any) -> dict[str, Any]:
    """Values and gradients of a loss of the outputs and the last state, by names."""
    rnn.zero_grad()
    leaf = mg.tensor(xs, requires_grad=True)
    leaves = [mg.tensor(part, requires_grad=True) for part in parts(state)] if state is not None else []
    given = None if state is None else tuple(mg.tanh(x) for x in leaves) if len(leaves) > 1 else mg.tanh(leaves[0])
    output, after = run(leaf, given, **options)
    result = {"output": output.numpy(), **{f"state {k}": part.numpy() for k, part in enumerate(parts(after))}}
    weights = WEIGHTS[..., : output.shape[-1]].reshape(-1)[: output.size].reshape(output.shape)
    ((output**2 * weights).sum() + sum((part**3).sum() for part in parts(after))).backward()
    result |= {"xs": leaf.grad.numpy(), **{f"from {k}": x.grad.numpy() for k, x in enumerate(leaves)}}
    return result | {name: p.grad.numpy() for name, p in rnn.named_parameters()}


def assert_same(got: dict[str, Any], want: dict[str, Any], tolerance: float = 1e-14) -> None:
    assert got.keys() == want.keys()
    for name, a in want.items():
        scale = np.abs(a).max() or 1.0
        np.testing.assert_allclose(got[name] / scale, a / scale, rtol=0, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("implementation", ["graph", "auto"])
@pytest.mark.parametrize("segments", ["auto", 1, 3, T])
def test_every_cell(kind: Any, implementation: str, segments: Any) -> None:
    rnn = kind(I, H, impl=implementation, dtype="float64", rng=0)
    state = (START[:1], START[1:2]) if kind is LSTM else START[:1]
    assert_same(found(checkpointed(rnn, segments), rnn, state=state), found(rnn, rnn, state=state))


@pytest.mark.parametrize(
    "options",
    [
        {"num_layers": 2, "dropout": 0.4},
        {"num_layers": 2, "initial_state": "learned", "recurrent_dropout": 0.3, "zoneout": 0.2},
        {"reverse": True, "num_layers": 2},
        {"bidirectional": True},
        {"bidirectional": True, "num_layers": 2, "dropout": 0.4, "initial_state": "learned"},
        {"bidirectional": True, "num_layers": (2, 1), "merge": "mean"},
    ],
)
@pytest.mark.parametrize("lengths", [None, [10, 2, 5]])
@pytest.mark.parametrize("kind", [LSTM, GRU])
def test_options_with_the_same_random_numbers(options: dict[str, Any], lengths: Any, kind: Any) -> None:
    def run(segments: int | None) -> dict[str, Any]:
        rnn = kind(I, H, dtype="float64", rng=0, **options)  # masks are drawn from the same state
        return found(rnn if segments is None else checkpointed(rnn, segments), rnn, lengths=lengths)

    assert_same(run(4), run(None))


@pytest.mark.parametrize("lengths", [None, [4, 10, 1]])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_batch_first_with_a_state(lengths: Any, bidirectional: bool) -> None:
    rnn = LSTM(I, H, 2, batch_first=True, dtype="float64", rng=0, bidirectional=bidirectional)
    cells, xs = 4 if bidirectional else 2, np.swapaxes(XS, 0, 1).copy()
    state = (START[:cells], START[4 : 4 + cells])
    run = checkpointed(rnn, 4)
    assert_same(found(run, rnn, xs, state, lengths=lengths), found(rnn, rnn, xs, state, lengths=lengths))


@pytest.mark.parametrize("bidirectional", [False, True])
def test_one_sequence_without_a_batch_axis(bidirectional: bool) -> None:
    rnn = GRU(I, H, dtype="float64", rng=0, bidirectional=bidirectional)
    run = checkpointed(rnn, 3)
    assert_same(found(run, rnn, XS[:, 0], lengths=[8]), found(rnn, rnn, XS[:, 0], lengths=[8]))
    assert_same(found(run, rnn, XS[:, 0]), found(rnn, rnn, XS[:, 0]))


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_an_embedding_in_front_and_a_loss_of_every_part(dropout: float) -> None:
    tokens, targets = RNG.integers(0, 6, (T, B)), RNG.standard_normal((T, B, 2))

    def run(in_parts: bool) -> dict[str, Any]:
        embedding = nn.Sequential(nn.Embedding(6, I, dtype="float64", rng=1), nn.Dropout(dropout, rng=7))
        rnn, head = LSTM(I, H, dtype="float64", rng=0), nn.Linear(H, 2, dtype="float64", rng=2)

        def loss(output: Any, start: int, stop: int) -> Any:
            return ((head(output) - targets[start:stop]) ** 2).sum()

        if in_parts:
            total, state = checkpointed(rnn, 3, front=embedding, loss=loss)(tokens)
        else:  # dropout's numbers are drawn in the order of the steps
            output, state = rnn(mg.concatenate([embedding(tokens[k : k + 4]) for k in range(0, T, 4)]))
            total = loss(output, 0, T)
        (total * 3.0 + state[1].sum()).backward()
        named = [(n, p) for m in (embedding, rnn, head) for n, p in m.named_parameters()]
        return {"total": total.numpy(), **{f"{k} {n}": p.grad.numpy() for k, (n, p) in enumerate(named)}}

    assert_same(run(True), run(False))


def test_second_derivatives_are_those_of_the_plain_run() -> None:
    rnn = GRU(I, H, dtype="float64", rng=0)
    weights = [p for _, p in rnn.named_parameters()]

    def second(run: Any) -> dict[str, Any]:
        rnn.zero_grad()
        first = mg.gradients((run(XS)[0] ** 2).sum(), weights, create_graph=True)
        sum((g**2).sum() for g in first).backward()
        return {n: p.grad.numpy() for n, p in rnn.named_parameters()}

    want = second(rnn)
    assert_same(second(checkpointed(rnn, 3)), want, 1e-12)
    in_parts = checkpointed(rnn, 3, loss=lambda output, start, stop: (output**2).sum())
    assert_same(second(lambda xs: (mg.sqrt(in_parts(xs)[0]), None)), want, 1e-12)


@pytest.mark.parametrize("implementation", ["graph", "fused", "native"])
def test_the_ledger_has_every_step(implementation: str) -> None:
    rnn = RNN(I, H, impl=implementation, dtype="float64", rng=0)
    W = rnn.forward0.Wr

    def lines(run: Any) -> dict[str, Any]:
        book = mg.ledger((run(XS)[0] ** 2).sum(), [W]).by_time_step(W)
        return {str(t): g.numpy() for t, g in book.items()}

    want = lines(rnn)
    assert set(want) >= {str(t) for t in range(T)}
    assert_same(lines(checkpointed(rnn, 3)), want, 1e-12)


def test_the_graph_may_be_walked_twice_and_nothing_is_recorded_under_no_grad() -> None:
    rnn = LSTM(I, H, dtype="float64", rng=0)
    output, _ = checkpointed(rnn, 3)(XS)
    output.sum().backward(retain_graph=True)
    once = {n: p.grad.numpy() for n, p in rnn.named_parameters()}
    output.sum().backward()
    assert_same({n: p.grad.numpy() / 2 for n, p in rnn.named_parameters()}, once)
    with mg.no_grad():
        output, state = checkpointed(rnn, 3)(XS)
    assert output.node is None
    np.testing.assert_allclose(output.numpy(), rnn(XS)[0].numpy(), rtol=1e-14)
    total, _ = checkpointed(rnn.requires_grad_(False), 3, loss=lambda y, start, stop: y.sum())(XS, state)
    assert total.node is None


def test_on_every_backend_without_waiting(xp: Any) -> None:
    rnn = GRU(I, H, dtype="float64", rng=0, bidirectional=True).to(xp.name)
    xs = xp.array(XS)
    with xp.no_sync():
        output, _ = checkpointed(rnn, 3)(xs, lengths=[10, 2, 5])
        output.sum().backward()
    got = {n: p.grad.numpy() for n, p in rnn.named_parameters()}
    rnn.zero_grad()
    rnn(xs, lengths=[10, 2, 5])[0].sum().backward()
    assert_same(got, {n: p.grad.numpy() for n, p in rnn.named_parameters()})


def peak(run: Any, steps: int) -> int:
    """Bytes held at most beside xs."""
    xs = np.zeros((steps, 4, 32), np.float32)
    tracemalloc.start()
    run(xs)[0].backward()
    result = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return result


@pytest.mark.parametrize("kind", [RNN, LSTM])
def test_ten_thousand_steps_take_a_twenty_fifth_of_the_memory(kind: Any) -> None:
    rnn = kind(32, 32)
    in_parts = checkpointed(rnn, loss=lambda output, start, stop: (output**2).sum())
    rnn(np.zeros((3, 4, 32), np.float32))
    plain = peak(lambda xs: ((rnn(xs)[0] ** 2).sum(), None), 10_000)
    small, large = peak(in_parts, 10_000), peak(in_parts, 40_000)
    assert small <= plain / 25
    assert large <= 2.3 * small


def test_a_parameter_or_an_array_that_was_written_into_is_noticed() -> None:
    rnn, xs = RNN(I, H, dtype="float64", rng=0), XS.copy()
    output, _ = checkpointed(rnn, 3)(xs)
    optimizer = optim.SGD(rnn.parameters(), lr=0.1)
    rnn(xs)[0].sum().backward()
    optimizer.step()
    with pytest.raises(mg.GraphError, match=r"refers to a tensor of shape .* that was written into since"):
        output.sum().backward()
    output, _ = checkpointed(rnn, 3)(xs)
    xs[8] = 0.0
    with pytest.raises(mg.GraphError, match="written into since"):
        output.sum().backward()
    rnn.forward0.Wr.data  # noqa: B018  from now on the user may write into it
    output, _ = checkpointed(rnn, 3)(xs)
    rnn.forward0.Wr.data[...] = 0.0
    with pytest.raises(mg.GraphError, match="written into since"):
        output.sum().backward()


def test_what_is_not_the_same_when_run_again_is_noticed() -> None:
    calls: list[int] = []

    def front(x: Any) -> Any:
        calls.append(1)
        return x * float(len(calls))

    output, _ = checkpointed(RNN(I, H, dtype="float64"), 3, front=front)(mg.tensor(XS))
    with pytest.raises(mg.GraphError, match="steps 8 to 9 of a checkpointed recurrence, run again, returned other"):
        output.sum().backward()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"rnn": Elman(2, 3, 1)}, TypeError, "checkpointed: rnn: got Elman, want a recurrence"),
        ({"segments": "many"}, ValueError, "checkpointed: segments: got 'many', want 'auto' or a whole number"),
        ({"segments": 0}, ValueError, "checkpointed: segments: got 0"),
        ({"loss": 3}, TypeError, "checkpointed: loss: got int"),
        ({"rnn": RNN(2, 3, bidirectional=True), "loss": len}, ValueError, "checkpointed: loss: got one for a bidirec"),
    ],
)
def test_errors(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        checkpointed(**{"rnn": RNN(2, 3), **arguments})


def test_errors_of_a_call() -> None:
    run = checkpointed(RNN(2, 3), loss=lambda output, start, stop: output)
    with pytest.raises(ValueError, match=r"checkpointed: loss: got a result of shape \(2, 1, 3\), want a scalar"):
        run(np.ones((2, 1, 2), np.float32))
    with pytest.raises(ValueError, match="checkpointed: xs: got T = 0 steps and B = 1"):
        run(np.ones((0, 1, 2), np.float32))
    with pytest.raises(ValueError, match="checkpointed: lengths: got 5 for sequence 0"):
        run(np.ones((2, 1, 2), np.float32), lengths=[5])
    assert repr(checkpointed(RNN(2, 3), 4)) == f"checkpointed({RNN(2, 3)!r}, segments=4)"
