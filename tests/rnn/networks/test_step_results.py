"""What a cell of the user's declares and returns is checked: count, kind, shape, dtype and backend."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad_rnn import Cell, Recurrence, RNNCell

I, H, T, B = 3, 4, 5, 2


def cell_type(returned: Any, names: tuple[str, ...] = ("h",)) -> type[Cell]:
    """A cell whose step returns `returned(h(t) as of an RNN without b, the state)`."""

    class Own(Cell):
        gates, state_names = 1, names

        def step(self, x: Any, state: tuple[Any, ...], h: Any) -> Any:
            return returned(mg.tanh(mg.linear(x, self.Wc) + mg.linear(h, self.Wr)), state)

    return Own


def drawn(*shape: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).standard_normal(shape)


@pytest.mark.parametrize("returned", [lambda h, s: h, lambda h, s: [h], lambda h, s: (h,)])
@pytest.mark.parametrize("options", [{}, {"lengths": [5, 2]}])
def test_one_state_may_be_returned_without_a_tuple(returned: Any, options: Any) -> None:
    """The values, states and gradients of all sequences are those of the RNN."""
    net = Recurrence(I, H, 2, cell_type=cell_type(returned), bidirectional=True, bias=False, dtype="float64")
    same = Recurrence(I, H, 2, cell_type=RNNCell, bidirectional=True, bias=False, dtype="float64")
    same.load_state_dict(net.state_dict())
    results = []
    for model in (net, same):
        xs = mg.tensor(drawn(T, B, I), requires_grad=True)
        output, state = model(xs, **options)
        ((output * output).sum() + state.sum()).backward()
        results.append([output, state, xs.grad, *(p.grad for p in model.parameters())])
    for got, want in zip(*results):
        np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-12, atol=1e-13)
    cell = net.forward0
    output, state = cell(drawn(B, I))
    assert output.shape == state.shape == (B, H)


def test_a_state_that_is_passed_on_may_be_the_callers_array() -> None:
    net = Recurrence(I, H, cell_type=cell_type(lambda h, s: (h, s[1]), ("h", "k")), dtype="float64")
    start = (drawn(1, B, H), drawn(1, B, H))
    _, (_, k) = net(drawn(T, B, I), start)
    np.testing.assert_array_equal(k.numpy(), start[1])


@pytest.mark.parametrize(
    ("returned", "names", "error", "message"),
    [
        (lambda h, s: h, ("h", "c"), TypeError, "Own: step: got 1 result, want 2 tensors: h, c"),
        (lambda h, s: (h, h), ("h",), TypeError, "Own: step: got 2 results, want 1 tensor: h"),
        (lambda h, s: (), ("h",), TypeError, "Own: step: got 0 results, want 1 tensor: h"),
        (lambda h, s: None, ("h",), TypeError, "Own: step: h: got NoneType, want a Tensor"),
        (lambda h, s: (h, None), ("h", "c"), TypeError, "Own: step: c: got NoneType, want a Tensor"),
        (lambda h, s: h.numpy(), ("h",), TypeError, r"Own: step: h: got .*ndarray, want a Tensor"),
        (lambda h, s: mg.concatenate([h, h], axis=1), ("h",), ValueError, r"h: got shape \(2, 8\), want \(2, 4\)"),
        (lambda h, s: h[:1], ("h",), ValueError, r"Own: step: h: got shape \(1, 4\), want \(2, 4\)"),
        (lambda h, s: h[:, :1], ("h",), ValueError, r"Own: step: h: got shape \(2, 1\), want \(2, 4\)"),
        (lambda h, s: (h, h.sum()), ("h", "c"), ValueError, r"Own: step: c: got shape \(\), want \(2, 4\)"),
        (lambda h, s: h.astype("float32"), ("h",), TypeError, "h: got dtype float32, want float64, as at t−1"),
    ],
)
@pytest.mark.parametrize("call", ["net", "lengths", "zoneout", "cell"])
def test_what_a_step_returns_is_checked(returned: Any, names: Any, error: Any, message: str, call: str) -> None:
    options = {"zoneout": 0.5} if call == "zoneout" else {}
    net = Recurrence(I, H, cell_type=cell_type(returned, names), dtype="float64", **options)
    run, xs = (net.forward0, drawn(B, I)) if call == "cell" else (net, drawn(T, B, I))
    given = {"lengths": [5, 1]} if call == "lengths" else {}
    with pytest.raises(error, match=message):
        run(xs, **given)


def test_a_later_step_may_not_return_another_number() -> None:
    calls = []

    def twice_at_last(h: Any, state: Any) -> Any:
        calls.append(h)
        return (h, h) if len(calls) == T else (h,)

    with pytest.raises(TypeError, match="Own: step: got 2 results, want 1 tensor: h"):
        Recurrence(I, H, cell_type=cell_type(twice_at_last))(drawn(T, B, I).astype("f4"))


@pytest.mark.parametrize("names", [None, "h", (), ("h", "h"), (1,)])
@pytest.mark.parametrize("build", [lambda kind: kind(I, H), lambda kind: Recurrence(I, H, cell_type=kind)])
def test_a_cell_names_its_state(names: Any, build: Any) -> None:
    attributes = {"gates": 1} if names is None else {"gates": 1, "state_names": names}
    kind = type("Own", (Cell,), attributes)
    with pytest.raises(TypeError, match=r"Own: state_names: got .*, want the names of the state's arrays, the output"):
        build(kind)


@pytest.mark.parametrize("gates", [None, 0, 1.5, "3"])
def test_a_cell_says_how_many_blocks_its_weights_have(gates: Any) -> None:
    attributes = {"state_names": ("h",)} if gates is None else {"gates": gates, "state_names": ("h",)}
    with pytest.raises(TypeError, match=r"Own: gates: got .*, want a number: how many blocks of H rows"):
        type("Own", (Cell,), attributes)(I, H)


def test_a_cell_has_one_size_for_each_state() -> None:
    class Own(cell_type(lambda h, s: (h, h), ("h", "c"))):  # type: ignore[misc]
        state_sizes = (H,)

    with pytest.raises(TypeError, match=r"Own: state_sizes: got \(4,\), want one for each of \('h', 'c'\)"):
        Own(I, H)(drawn(B, I).astype("f4"))


def test_a_step_of_ones_own_is_not_passed_over_for_an_inherited_sequence() -> None:
    """A subclass that defines the step alone runs that step."""

    class Doubled(RNNCell):
        def step(self, x: Any, state: tuple[Any, ...], h: Any) -> tuple[mg.Tensor, ...]:
            return (super().step(x, state, h)[0] * 2,)

    net = Recurrence(I, H, cell_type=Doubled, dtype="float64")
    xs = drawn(1, B, I)
    output, _ = net(xs)
    assert net.implementation == "graph"
    np.testing.assert_allclose(output[0].numpy(), net.forward0(xs[0])[0].numpy(), rtol=1e-14)
    with pytest.raises(ValueError, match="impl: got 'fused', but Doubled defines a step, and no sequence for it"):
        Recurrence(I, H, cell_type=Doubled, impl="fused")
