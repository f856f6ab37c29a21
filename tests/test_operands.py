"""Operands that opt out, masked arrays, strings and None; tensors as Python numbers."""

from __future__ import annotations

import cmath
import io
import math
import operator
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.engine.primitive import REGISTRY
from minigrad.engine.tensor import Tensor

ARITHMETIC = ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and_", "or_", "xor"]
ARITHMETIC += ["lt", "le", "gt", "ge", "eq", "ne"]


class OptsOut:
    """NEP 13: `__array_ufunc__ = None` keeps NumPy, and us, away from the operand's own operators."""

    __array_ufunc__ = None


def answer(name: str) -> Callable[[Any, Any], tuple[str, Any]]:
    return lambda self, other: (name, other)


for _name in [*ARITHMETIC, "divmod"]:
    _bare = _name.strip("_")
    for _full in (f"__{_bare}__", f"__r{_bare}__"):
        setattr(OptsOut, _full, answer(_full))


class Silent:
    __array_ufunc__ = None


@pytest.mark.parametrize("name", [*ARITHMETIC, "divmod"])
def test_an_operand_that_opts_out_answers_itself(name: str, xp: Any) -> None:
    call = divmod if name == "divmod" else getattr(operator, name)
    x, other, bare = mg.tensor(xp.array(np.ones(2, np.float32)), requires_grad=True), OptsOut(), name.strip("_")
    mirrored = {"lt": "gt", "le": "ge", "gt": "lt", "ge": "le", "eq": "eq", "ne": "ne"}
    found, operand = call(x, other)
    assert found == (f"__{mirrored[bare]}__" if bare in mirrored else f"__r{bare}__")
    assert operand is x
    assert call(other, x)[0] == f"__{bare}__"
    if bare in ("eq", "ne"):
        assert call(x, Silent()) is call(Silent(), x) is (bare == "ne")
        return
    for a, b in ((x, Silent()), (Silent(), x)):  # as between an array and such an object
        with pytest.raises(TypeError, match=r"not supported between|unsupported operand"):
            call(a, b)


def test_a_subclass_and_a_parameter_defer_too() -> None:
    assert (mg.Parameter([1.0]) * OptsOut())[0] == "__rmul__"
    with pytest.raises(TypeError, match="OptsOut"):
        np.multiply(mg.tensor([1.0]), OptsOut())


def test_equality_with_strings_none_and_other_things() -> None:
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    for other in ("mean", np.str_("mean"), None, {}, object(), len):
        assert (x == other) is (other == x) is False
        assert (x != other) is (other != x) is True
    assert x not in ("sum", None)
    assert (x == [1.0, 3.0]).tolist() == [True, False]
    assert (np.ones(2) == x).tolist() == [True, False]
    with pytest.raises(TypeError, match="unsupported operand type"):
        x + None
    with pytest.raises(TypeError, match="'str'"):
        x + "a"


# Masked arrays and matrices


MASKED = np.ma.masked_array([1.0, 2.0, 3.0], [False, True, False])


@pytest.mark.parametrize(
    "call",
    [
        lambda x, m: x - m,
        lambda x, m: x @ m,
        lambda x, m: m @ x,
        lambda x, m: np.subtract(x, m),
        lambda x, m: mg.where(x > 0, m, x),
        lambda x, m: mg.where(m > 1, x, x),
        lambda x, m: mg.stack([x, m]),
        lambda x, m: mg.concatenate([m, x]),
        lambda x, m: mg.tensor(m),
        lambda x, m: mg.tensor([m, m]),
        lambda x, m: mg.array([m, m]),
        lambda x, m: mg.Tensor(m),
        lambda x, m: mg.Parameter(m),
        lambda x, m: mg.mse(x, m),
        lambda x, m: mg.grad(lambda y: (y * x).sum())(m),
        lambda x, m: (x * 2).backward(m),
        lambda x, m: mg.jvp(np.sin, [x], [m]),
        lambda x, m: nn.Linear(3, 1, dtype="float64")(m),
        lambda x, m: x[m],
    ],
)
def test_a_masked_array_is_refused(call: Any) -> None:
    x = mg.tensor(np.ones(3), requires_grad=True)
    with pytest.raises(TypeError, match=r"masked array.*m\.filled\(value\).*minigrad\.where\(~m\.mask"):
        call(x, MASKED)


@pytest.mark.parametrize(
    "call",
    [
        lambda x, m: m - x,
        lambda x, m: m @ x,
        lambda x, m: m == x,
        lambda x, m: m < x,
        lambda x, m: m**x,
        lambda x, m: m.__iadd__(x),
        lambda x, m: np.ma.exp(x),
        lambda x, m: np.ma.add(x, m),
        lambda x, m: np.ma.sum(x),
        lambda x, m: np.ma.where([True, False, True], x, m),
        lambda x, m: np.ma.array(x),
        lambda x, m: np.ma.masked_where([True, False, True], x),
        lambda x, m: np.ma.dot(m, x),
        lambda x, m: np.ma.concatenate([m, x]),
        lambda x, m: m.__setitem__(0, x[0]),
    ],
)
def test_numpy_ma_takes_no_tensor_on_the_tape(call: Any) -> None:
    x, m = mg.tensor(np.ones(3), requires_grad=True), MASKED.copy()
    for tensor in (x, x * 2):
        with pytest.raises((TypeError, ValueError)) as caught:
            call(tensor, m)
        assert re.search("on the tape|masked array", f"{caught.value} {caught.value.__cause__}")
    np.testing.assert_array_equal(m.data, MASKED.data)


def test_numpy_ma_takes_constants_and_keeps_the_mask() -> None:
    c = mg.tensor(np.ones(3))
    for found in (MASKED - c, np.ma.subtract(MASKED, c), MASKED.copy().__isub__(c)):
        assert found.mask.tolist() == [False, True, False]
        assert found.compressed().tolist() == [0.0, 2.0]
    np.testing.assert_allclose(np.ma.exp(c), np.e)


def test_no_operation_takes_a_masked_array() -> None:
    """Each operation of one or two arrays: a masked one raises, before anything is computed."""
    taken = []
    for name, operation in REGISTRY.items():
        for args in ((MASKED,), (mg.tensor(np.ones(3)), MASKED), (MASKED, mg.tensor(np.ones(3)))):
            try:
                operation(*args)
            except Exception as error:
                if "masked array" in str(error) or "missing" in str(error) or "positional argument" in str(error):
                    continue
                taken.append((name, len(args), str(error)))
            else:
                taken.append((name, len(args), "a value"))
    assert not taken


def test_a_matrix_that_multiplies_otherwise_is_refused() -> None:
    with pytest.warns(PendingDeprecationWarning):
        matrix = np.matrix([[1.0, 2.0], [3.0, 4.0]])
    x = mg.tensor(np.eye(2), requires_grad=True)
    for call in (lambda: x * matrix, lambda: matrix * x, lambda: x**matrix):
        with pytest.raises(TypeError, match=r"got a numpy\.matrix, .* means a matrix product; use @"):
            call()
    np.testing.assert_array_equal((x @ matrix).numpy(), matrix)


# As a Python number


LEAVING: dict[str, Callable[[Any], Any]] = {
    "math.exp": lambda x: math.exp(x),
    "float": lambda x: float(x) * x,
    "a computed value": lambda x: float(x * x) * x,
    "cmath.exp": lambda x: cmath.exp(x).real * x,
    "fill": lambda x: np.zeros(1).fill(x) or x,
    "np.float64": lambda x: np.float64(x) * x,
    "mg.tensor": lambda x: mg.tensor(x) * x,
    "mg.Parameter": lambda x: mg.Parameter(x) * x,
    "in a checkpoint": lambda x: mg.checkpoint(lambda y: float(y) * y)(x),
}


@pytest.mark.parametrize("name", LEAVING)
def test_a_variables_value_does_not_leave_a_transformation_unnoticed(name: str) -> None:
    f = LEAVING[name]
    transformed: list[Callable[[], Any]] = [
        lambda: mg.grad(f)(1.5),
        lambda: mg.value_and_grad(f)(mg.tensor(1.5, requires_grad=True)),
        lambda: mg.hessian(f)(1.5),
        lambda: mg.jvp(f, [1.5], [1.0]),
        lambda: mg.vjp(f, np.array(1.5)),
        lambda: mg.grad(lambda y: mg.grad(lambda x: f(y) * x)(2.0))(1.5),  # an outer variable, in an inner function
    ]
    for call in transformed:
        with pytest.raises((TypeError, ValueError)) as caught:
            call()
        assert re.search("inside a transformation|is on the tape", f"{caught.value} {caught.value.__cause__}")
    mg.tensor(float(mg.tensor(1.5, requires_grad=True)))  # outside, as ever


def test_what_leads_to_no_variable_may_leave() -> None:
    w = mg.tensor(2.0, requires_grad=True)

    def f(x: Any) -> Any:
        inner = mg.grad(lambda y: y * y * 2.0)(3.0)
        return x * float(w * 3.0) * float(inner) * x.item() * int(x) * x.detach()

    np.testing.assert_allclose(mg.grad(f)(2.0), 6.0 * 12.0 * 2.0 * 2 * 2.0)
    assert float(mg.value_and_grad(lambda x: x * 2.0)(w)[0]) == 4.0
    with pytest.raises(ZeroDivisionError):
        mg.grad(lambda x: x * (1 / 0))(1.0)
    assert float(w * 1.0) == 2.0  # after an error too


def test_formats_and_strings_of_scalars(xp: Any) -> None:
    loss = mg.tensor(xp.array(np.array(2.5, np.float32)), requires_grad=True) * 0.5
    assert f"{loss:.3f} {loss:8.2e}|{loss}" == "1.250 1.25e+00|1.25"
    assert f"{mg.reshape(loss, (1, 1)):.1f}" == "1.2"
    assert f"{mg.sum(mg.tensor([1, 2])):03d}" == "003"
    assert repr(loss).startswith("tensor(1.25, dtype=float32")
    assert str(mg.tensor([1.0, 2.0])) == repr(mg.tensor([1.0, 2.0]))
    with pytest.raises(TypeError, match=r"format\(Tensor\): a tensor of shape \(2,\) takes no format '\.2f'"):
        f"{mg.tensor([1.0, 2.0]):.2f}"
    assert mg.grad(lambda x: x * len(f"{x:.3f}"))(1.0) == 5.0  # looking is no use of the value


def test_tqdm_shows_numbers() -> None:
    tqdm = pytest.importorskip("tqdm")
    with tqdm.tqdm(total=1, file=io.StringIO()) as bar:
        bar.set_postfix(loss=mg.tensor(0.25, requires_grad=True) * 0.5, refresh=False)
        assert bar.postfix == "loss=0.125"


def test_whole_scalars_are_indices(xp: Any) -> None:
    t = mg.argmax(mg.tensor(xp.array(np.array([1.0, 9.0, 3.0], np.float32))))
    assert "abc"[t] == "b"
    assert [5, 6, 7][t:] == [6, 7]
    assert list(range(t)) == [0]
    assert operator.index(t) == 1
    assert hex(t) == "0x1"
    for other in (mg.tensor(1.0), mg.tensor([1]), mg.tensor(True)):
        with pytest.raises(TypeError, match=r"index|integer"):
            operator.index(other)
    assert type(t) is Tensor
