"""Truncated BPTT with modules in front of the recurrence: computed before, as xs, or window by window, as `front`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim
from minigrad_rnn import GRU, LSTM, RNN, Truncation
from minigrad_rnn.networks import sliding_windows
from minigrad_rnn.networks.truncation import detached

T, B = 8, 2
TOKENS = np.random.default_rng(0).integers(0, 5, (T, B))
SERIES = np.random.default_rng(1).standard_normal((T, B, 6))


@pytest.fixture(autouse=True)
def _in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sliding_windows, "LEAST_WORK", {"graph": 0.0, "native": 0.0})


def made(front: str) -> tuple[nn.Module, Any]:
    """A module to stand in front, and what it reads."""
    if front == "Embedding":
        return nn.Embedding(5, 3, dtype="float64", rng=0), TOKENS
    if front == "Linear":
        return nn.Linear(6, 3, dtype="float64", rng=0), SERIES
    if front == "Dropout":
        return nn.Sequential(nn.Embedding(5, 3, dtype="float64", rng=0), nn.Dropout(0.4, rng=4)), TOKENS
    return First(front), SERIES


class First(nn.Module):
    """The outputs of a recurrence."""

    def __init__(self, impl: str) -> None:
        self.rnn = LSTM(6, 3, dtype="float64", rng=0, impl=impl.removeprefix("LSTM "))

    def forward(self, xs: Any) -> Any:
        return self.rnn(xs)[0]


def gradients(*modules: Any) -> dict[str, Any]:
    return {f"{k} {n}": p.grad.numpy().copy() for k, m in enumerate(modules) for n, p in m.named_parameters()}


def assert_same(found: dict[str, Any], want: dict[str, Any]) -> None:
    assert found.keys() == want.keys()
    for name, g in want.items():
        np.testing.assert_allclose(found[name], g, rtol=1e-12, atol=1e-13, err_msg=name)


def loss_of(output: Any, start: int) -> Any:
    return sum((k + 1.0) * (y**2).sum() for k, y in enumerate(output, start))


@pytest.mark.parametrize("front", ["Embedding", "Linear", "Dropout", "LSTM graph", "LSTM fused", "LSTM native"])
@pytest.mark.parametrize(("k1", "k2"), [(3, 3), (2, 4), (1, 4)])
@pytest.mark.parametrize("kind", [RNN, GRU])
def test_what_was_computed_in_front_as_xs(front: str, k1: int, k2: int, kind: Any) -> None:
    """By hand: the whole front anew for every window."""
    module, xs = made(front)
    rnn = kind(3, 4, dtype="float64", rng=1)
    if front == "Dropout":
        state_of_rng = module[1].rng.bit_generator.state
    for window in Truncation(k1, k2).windows(rnn, module(xs)):
        loss_of(window.output, window.start).backward()
    found = gradients(module, rnn)
    module.zero_grad()
    rnn.zero_grad()
    for start in range(0, T, k1):
        stop, begin = min(T, start + k1), max(0, start + k1 - k2)
        if front == "Dropout":
            module[1].rng.bit_generator.state = state_of_rng
        whole, state = module(xs), None
        if begin:
            with mg.no_grad():
                state = detached(rnn(whole[:begin])[1])
        loss_of(rnn(whole[begin:stop], state)[0][start - begin :], start).backward()
    assert_same(found, gradients(module, rnn))


@pytest.mark.parametrize("front", ["Embedding", "Linear"])
@pytest.mark.parametrize("layout", ["T, B", "batch first", "one sequence"])
@pytest.mark.parametrize(("k1", "k2"), [(3, 3), (2, 4)])
def test_front_is_computed_part_by_part(front: str, layout: str, k1: int, k2: int) -> None:
    module, xs = made(front)
    rnn = GRU(3, 4, dtype="float64", rng=1, batch_first=layout == "batch first")
    xs, lengths = (np.swapaxes(xs, 0, 1), [3, 8]) if layout == "batch first" else (xs, [5, 8])
    if layout == "one sequence":
        xs, lengths = xs[:, 0], [7]

    def run(**options: Any) -> dict[str, Any]:
        module.zero_grad()
        rnn.zero_grad()
        given = xs if options else module(xs)
        for window in Truncation(k1, k2).windows(rnn, given, lengths=lengths, **options):
            (window.output**2).sum().backward()
        return gradients(module, rnn)

    assert_same(run(front=module), run())
    whole = Truncation(k1, k2).run(rnn, xs, lengths=lengths, front=module)[0]
    np.testing.assert_allclose(whole.numpy(), rnn(module(xs), lengths=lengths)[0].numpy(), rtol=1e-12)


@pytest.mark.parametrize("k2", [2, 6])
def test_an_optimizer_may_change_what_is_in_front(k2: int) -> None:
    """By hand: each window from its stored state, with the parameters of the moment."""

    def trained(by_hand: bool) -> dict[str, Any]:
        module, tokens = made("Embedding")
        rnn = RNN(3, 4, dtype="float64", rng=1)
        optimizer = optim.SGD([*module.parameters(), *rnn.parameters()], lr=0.1)
        states: dict[int, Any] = {0: None}
        windows = iter(Truncation(2, k2).windows(rnn, tokens, front=module))
        for start in range(0, T, 2):
            stop, begin = start + 2, max(0, start + 2 - k2)
            if by_hand:
                output, after = rnn(module(tokens[begin:stop]), states[begin])
                output, states[stop] = output[start - begin :], detached(after)
            else:
                output = next(windows).output
            (output**2).sum().backward()
            optimizer.step()
            optimizer.zero_grad()
        return {n: p.numpy() for m in (module, rnn) for n, p in m.named_parameters()}

    assert_same(trained(False), trained(True))


def test_second_derivatives_with_dropout_in_front() -> None:
    """The recorded pass draws the same numbers again."""
    module, tokens = made("Dropout")
    rnn, weight = RNN(3, 4, dtype="float64", rng=1), module[0].weight
    state_of_rng = module[1].rng.bit_generator.state
    *_, window = Truncation(4, 8).windows(rnn, tokens, front=module)
    (first,) = mg.gradients((window.output**2).sum(), [weight], create_graph=True)
    (second,) = mg.gradients((first**2).sum(), [weight])
    module[1].rng.bit_generator.state = state_of_rng
    whole = mg.concatenate([module(tokens[:4]), module(tokens[4:])])
    (want,) = mg.gradients((rnn(whole)[0][4:] ** 2).sum(), [weight], create_graph=True)
    np.testing.assert_allclose(first.numpy(), want.numpy(), rtol=1e-12)
    np.testing.assert_allclose(second.numpy(), mg.gradients((want**2).sum(), [weight])[0].numpy(), rtol=1e-11)


def test_what_is_in_front_is_released_at_the_end_or_when_the_windows_are_closed() -> None:
    module, tokens = made("Embedding")
    rnn, xs = RNN(3, 4, dtype="float64"), module(tokens)
    windows = Truncation(4).windows(rnn, xs)
    next(windows).output.sum().backward()
    windows.close()
    xs.sum().backward()
    with pytest.raises(mg.GraphError, match="consumed the graph"):
        xs.sum().backward()
    with pytest.raises(mg.GraphError, match="consumed the graph"):
        next(Truncation(4).windows(rnn, xs))
    xs = module(tokens)
    for window in Truncation(4).windows(rnn, xs):
        window.output.sum().backward()
    with pytest.raises(mg.GraphError, match="consumed the graph"):
        xs.sum().backward()


@pytest.mark.parametrize(
    ("front", "error", "message"),
    [
        (3, TypeError, "Truncation: front: got int, want a function"),
        (lambda x: x.numpy(), ValueError, "Truncation: front: got a result of ndarray, want a tensor of three axes"),
        (lambda x: x[0], ValueError, r"Truncation: front: got a result of shape \(2, 3\), want a tensor of three axes"),
        (nn.Embedding(5, 2, dtype="float64"), ValueError, r"RNN: xs: got shape \(2, 2, 2\), want \(T, B, 3\)"),
    ],
)
def test_errors(front: Any, error: type[Exception], message: str) -> None:
    reads = TOKENS if isinstance(front, nn.Embedding) else SERIES[..., :3]
    with pytest.raises(error, match=message):
        next(Truncation(2).windows(RNN(3, 4, dtype="float64"), reads, front=front))
