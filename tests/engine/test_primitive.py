"""`@primitive`: custom operations, errors, mixed backends, and inputs of every kind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import Tensor
from minigrad.engine.primitive import REGISTRY, call_in, primitive
from tests.engine.leaves import leaf


def test_an_error_inside_an_operation_leaves_nothing_half_done(xp: Any) -> None:
    @primitive
    def fails(xp: Any, x: Any) -> Any:
        raise ValueError("no such luck")

    @primitive
    def fails_later(xp: Any, x: Any) -> Any:
        def rule(xp: Any, g: Any) -> Any:
            raise ZeroDivisionError

        return x * 1.0, (), rule

    x = leaf([1.0, 2.0])
    with mg.time_step(1):
        with pytest.raises(ValueError, match=r"fails: got \(\(2,\) float64\): no such luck"):
            fails(x)
        loss = (fails_later(x) * x).sum()
    with pytest.raises(ZeroDivisionError):
        loss.backward()
    with pytest.raises(ZeroDivisionError):
        mg.gradients(fails_later(x).sum(), [x], create_graph=True)
    assert x.grad is None
    y = x * x
    assert y.requires_grad
    assert y.node.time_step is None
    y.sum().backward()
    assert x.grad.tolist() == [2.0, 4.0]


def test_a_custom_primitive_in_a_few_lines(xp: Any) -> None:
    @primitive
    def logistic_map(xp: Any, x: Any, r: Any = 4.0) -> Any:
        return r * x * (1 - x), (x,), lambda xp, g, x: g * (r - 2 * r * x)

    x = leaf([0.3, 0.6])
    assert mg.gradcheck(lambda x: logistic_map(logistic_map(x), r=3.5), [x])
    assert mg.gradgradcheck(lambda x: logistic_map(logistic_map(x), r=3.5), [x])
    assert REGISTRY["logistic_map"] is logistic_map


def test_a_rule_missing_for_a_live_input_is_refused(xp: Any) -> None:
    @primitive
    def forgetful(xp: Any, a: Any, b: Any) -> Any:
        return a * b, (b,), lambda xp, g, b: g * b

    a, b = leaf([2.0]), leaf([3.0])
    assert forgetful(a, b.detach()).requires_grad
    with pytest.raises(TypeError, match=r"^forgetful: argument 1, b, requires a gradient, but"):
        forgetful(a, b)

    @primitive
    def last_forgotten(xp: Any, a: Any, b: Any, c: Any) -> Any:
        return a * b * c, (), (lambda xp, g: g * b * c, lambda xp, g: g * a * c)

    @primitive
    def none_for_b(xp: Any, a: Any, b: Any) -> Any:
        return a * b, (b,), (lambda xp, g, b: g * b, None)

    assert none_for_b(a, b.detach()).requires_grad
    with pytest.raises(TypeError, match=r"^none_for_b: argument 1, b, requires a gradient, but"):
        none_for_b(a, b)
    assert last_forgotten(a, b, 2.0).requires_grad
    with pytest.raises(TypeError, match=r"^last_forgotten: argument 2, c, requires a gradient, but"):
        last_forgotten(a, 2.0, b)


def test_the_arrays_decide_where_an_operation_runs(xp: Any) -> None:
    x = mg.tensor([1.0, 2.0], requires_grad=True)  # float32: NumPy takes None for float64
    with mg.use_backend("numpy"):
        for y in (mg.tanh(x), x * x, x * 2.0, mg.where(x > 1.0, x, 0.0), mg.sum(x), x[[1, 0]], mg.take(x, [1])):
            assert y.backend == xp.name
            assert y.node.xp is xp.xp
            assert (y.node.shape, y.node.dtype) == (y.shape, y.dtype)


@pytest.mark.parametrize("order", [("numpy", "strict", "strict"), ("strict", "strict", "numpy")])
def test_what_lies_on_different_backends_is_named(order: tuple[str, ...]) -> None:
    parts = [leaf([[1.0, 2.0]]).to(where) for where in order]
    words = r"^where: argument 0 of shape \(1, 2\) is on {}, argument 1 of .* on {}, argument 2 of .* on {}; move one"
    with pytest.raises(mg.BackendError, match=words.format(*order)):
        mg.where(*parts)


def test_an_operation_inside_a_rule_runs_on_what_the_walk_runs_on(xp: Any) -> None:
    seen: list[type] = []

    @primitive
    def squared(xp: Any, x: Any) -> Any:
        def by_x(xp: Any, g: Any, x: Any) -> Any:
            made = call_in(xp, mg.multiply, g * 2.0, x)
            seen.append(type(made))
            return made

        return x * x, (x,), by_x

    x = leaf([1.0, 2.0])
    squared(x).sum().backward()
    assert seen == [type(x.numpy() if xp.name == "numpy" else x._array)]
    (g,) = mg.gradients(squared(x).sum(), [x], create_graph=True)
    assert seen[1:] == [Tensor]
    assert mg.gradients(g.sum(), [x])[0].tolist() == [2.0, 2.0]


def test_an_error_of_the_array_library_comes_with_the_operation_and_what_it_got() -> None:
    message = r"^add: got \(\(2,\) float64, \(3,\) float64\): operands could not be broadcast .*\(2,\) \(3,\) ?$"
    with pytest.raises(ValueError, match=message):
        leaf([1.0, 2.0]) + leaf([1.0, 2.0, 3.0])


class Labelled(np.ndarray):
    """As `np.memmap` is one: a subclass of NumPy's arrays."""


def test_an_operation_computes_on_plain_arrays_whatever_it_is_given() -> None:
    seen: list[Any] = []

    @primitive
    def scaled(xp: Any, by: Any, x: Any, c: Any = 0.0) -> Any:
        seen.extend((by, x, c))
        return by * x + c, (), (None, lambda xp, g: g, None)

    labelled = np.array([1.0, 2.0], np.float16).view(Labelled)
    for beside in (labelled, np.float16(3.0), np.array([3.0, 4.0], np.float16)):
        with mg.use_backend("strict"):
            y = scaled(2.0, labelled, beside)
        assert (y.backend, y.dtype) == ("numpy", np.float16)
    assert {type(a) for a in seen} == {float, np.ndarray}
    assert scaled(2.0, mg.tensor([1.0, 2.0]), [0.5, 1.5]).dtype == np.float32
    assert scaled(2.0, [1.0, 2.0], mg.tensor([0.5, 1.5], dtype=np.float64)).dtype == np.float64
    assert scaled(2.0, 3).dtype == np.float32
    assert scaled(2, 3, 4).dtype == np.int64


def test_what_is_passed_by_name_is_an_input_of_the_operation() -> None:
    x, W = leaf([[1.0, 2.0]]), leaf([[3.0, 4.0]])
    y = mg.linear(x, W=W)
    assert y.node.op == "linear"
    assert list(y.node.parents[:2]) == [x.node, W.node]
    with pytest.raises(TypeError, match=r"^tensordot: missing argument: a$"):
        mg.tensordot(b=W)


def test_inputs_may_be_passed_by_name() -> None:
    x, W, b = (mg.tensor(np.ones(s), requires_grad=True) for s in ((2, 3), (4, 3), (4,)))
    mg.linear(x, b=b, W=W).sum().backward()
    assert b.grad is not None
    np.testing.assert_array_equal(b.grad.numpy(), np.full(4, 2.0))
    with pytest.raises(TypeError, match=r"^linear\(\) missing 1 required positional argument: 'x'$"):
        mg.linear(W=W)  # type: ignore[call-arg]


def test_a_list_takes_the_dtype_beside_it() -> None:
    x = mg.tensor(np.array([1.0, 2.0]))
    np.testing.assert_array_equal((x * [0.1, 0.2]).numpy(), np.array([0.1, 0.4]))


def test_a_function_without_a_module_becomes_an_operation() -> None:
    made: dict[str, Any] = {}
    exec("def twice(xp, x):\n    return 2.0 * x, (), (lambda xp, g: 2.0 * g,)", made)
    x = mg.tensor([1.0, 3.0], requires_grad=True)
    mg.primitive(made["twice"])(x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [2.0, 2.0]
