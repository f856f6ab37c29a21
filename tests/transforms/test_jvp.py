"""jvp: derivatives along a direction, through recurrences, on every backend."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad_rnn import GRU, LSTM, RNN

F64 = np.float64


def difference(function: Any, primals: list[Any], tangents: list[Any], h: float = 1e-5) -> list[Any]:
    """(f(x + hv) − f(x − hv)) / 2h of every output."""

    def at(step: float) -> list[Any]:
        made = function(*(mg.tensor(x + step * v) for x, v in zip(primals, tangents)))
        return [y.numpy() for y in (made if isinstance(made, tuple) else (made,))]

    return [(a - b) / (2 * h) for a, b in zip(at(h), at(-h))]


@pytest.mark.parametrize("implementation", ["graph", "fused", "native"])
@pytest.mark.parametrize("kind", [RNN, LSTM, GRU])
def test_along_the_inputs_and_states_of_a_recurrence(kind: Any, implementation: str) -> None:
    rng = np.random.default_rng(0)
    model = kind(3, 4, 2, bidirectional=True, impl=implementation, dtype="float64", rng=rng)
    shapes = [(5, 2, 3), *[(4, 2, 4)] * len(model.cell_type.state_names)]
    primals, tangents = ([rng.standard_normal(s) for s in shapes] for _ in range(2))

    def run(xs: Any, *state: Any) -> Any:
        output, final = model(xs, state, lengths=[5, 3])
        return (output, *final) if isinstance(final, tuple) else (output, final)

    values, moved = mg.jvp(run, primals, tangents)
    for value, want in zip(values, run(*(mg.tensor(x) for x in primals))):
        np.testing.assert_allclose(value.numpy(), want.numpy(), rtol=1e-12)
    for dy, want in zip(moved, difference(run, primals, tangents)):
        np.testing.assert_allclose(dy.numpy(), want, rtol=1e-6, atol=1e-9)


def test_on_every_backend_without_waiting(xp: Any) -> None:
    x, v = (mg.tensor(xp.array(np.array(a, np.float32))) for a in ([0.5, -1.0], [1.0, 2.0]))
    with xp.no_sync():
        y, dy = mg.jvp(mg.tanh, [x], [v])
    assert (dy.backend, dy.dtype) == (xp.name, np.float32)
    np.testing.assert_allclose(dy.numpy(), (1 - y.numpy() ** 2) * [1.0, 2.0], rtol=1e-6)


def test_what_does_not_depend_on_the_input_does_not_move() -> None:
    constant = mg.tensor([7.0])
    values, moved = mg.jvp(lambda x: (x * 2.0, constant), [mg.tensor([1.0])], [mg.tensor([5.0])])
    assert [y.tolist() for y in values] == [[2.0], [7.0]]
    assert [dy.tolist() for dy in moved] == [[10.0], [0.0]]
    _, moved = mg.jvp(lambda x: constant, [mg.tensor([1.0])], [mg.tensor([5.0])])
    assert moved.tolist() == [0.0]


def test_the_result_can_be_differentiated_again() -> None:
    w = mg.tensor(np.array([2.0]), requires_grad=True)
    _, dy = mg.jvp(lambda x: w * x * x * x, [np.array([3.0])], [np.array([1.0])], create_graph=True)
    (dw,) = mg.gradients(dy, [w])
    assert dw.tolist() == [27.0]


@pytest.mark.parametrize(
    ("tangents", "message"),
    [([], "jvp: tangents: got 0, want one for each of 1"), ([np.ones(2)], r"jvp: tangents\[0\]: got shape \(2,\)")],
)
def test_errors(tangents: list[Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mg.jvp(lambda x: x, [np.ones(3)], tangents)
