"""What mg.tensor and the operations make of numbers, lists and other libraries' arrays."""

from __future__ import annotations

import array
from collections import deque
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import minigrad as mg

THIRD = 1 / 3


class Series:
    """As pandas' Series: no array, but with a dtype and a way to NumPy."""

    def __init__(self, values: Any, dtype: str) -> None:
        self.values = np.array(values, dtype)
        self.dtype = self.values.dtype

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.values, dtype)


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        ([THIRD, 2], "f4"),
        (THIRD, "f4"),
        ((THIRD, [2.0])[:1], "f4"),
        (deque([THIRD]), "f4"),
        ([], "f4"),
        ([[], []], "f4"),
        ([True, 2], "i8"),
        (range(3), "i8"),
        ([1j], "c16"),
        (np.float64(THIRD), "f8"),
        ([np.float64(THIRD)], "f8"),
        ([THIRD, [np.float64(THIRD)]][1:], "f8"),
        ([[THIRD], [np.float64(THIRD)]], "f8"),
        ([np.full(2, THIRD), [1.0, 2.0]], "f8"),
        ((np.float32(THIRD), np.float32(1)), "f4"),
        ([mg.tensor(np.full(2, THIRD))], "f8"),
        (array.array("d", [THIRD]), "f8"),
        (array.array("f", [THIRD]), "f4"),
        (memoryview(np.full((2, 2), THIRD)), "f8"),
        (Series([THIRD, 1.0], "f8"), "f8"),
        (Series([THIRD, 1.0], "f2"), "f2"),
        ([Series([THIRD, 1.0], "f8")], "f8"),
        (np.full(2, THIRD, ">f8"), "f8"),  # in the machine's byte order
    ],
)
def test_what_carries_a_dtype_keeps_it(data: Any, dtype: str) -> None:
    x = mg.tensor(data)
    want = np.array(data).astype(dtype)
    assert (x.dtype, x.shape) == (dtype, want.shape)
    np.testing.assert_array_equal(x, want)
    assert mg.tensor(data, dtype="c16").dtype == np.complex128


def test_a_torch_tensor_keeps_its_dtype() -> None:
    torch = pytest.importorskip("torch")
    for dtype, name in ((torch.float64, "f8"), (torch.float32, "f4"), (torch.float16, "f2"), (torch.int32, "i4")):
        assert mg.tensor(torch.ones(2, dtype=dtype)).dtype == name


LEAVES = st.one_of(st.just(THIRD), st.sampled_from([np.float16(THIRD), np.float32(THIRD), np.float64(THIRD)]))


@settings(max_examples=25)
@given(st.lists(st.lists(LEAVES, min_size=2, max_size=2), min_size=1, max_size=3))
def test_lists_are_float32_only_where_no_element_carries_a_dtype(rows: list[list[Any]]) -> None:
    plain = all(type(x) is float for row in rows for x in row)
    want = np.float32 if plain else np.array(rows).dtype
    assert mg.tensor(rows).dtype == want
    leaf = mg.tensor(np.ones(2, np.float32), requires_grad=True)
    y = leaf * rows  # Python numbers are weak here too
    assert y.dtype == (np.float32 if plain else np.result_type(want, np.float32))
    y.sum().backward()
    np.testing.assert_allclose(leaf.grad, np.array(rows, np.float64).sum(0), rtol=2e-3)


@pytest.mark.parametrize("other", [Fraction(1, 3), True, np.float64(0.5)])
@pytest.mark.parametrize("left", [True, False])
def test_exact_numbers_are_taken_at_their_value(other: Any, left: bool) -> None:
    x = mg.tensor(np.array([3.0, 6.0]), requires_grad=True)
    y = x * other if left else other * x
    assert y.dtype == np.float64
    np.testing.assert_array_equal(y.numpy(), np.array([3.0, 6.0]) * float(other))
    y.sum().backward()
    np.testing.assert_array_equal(x.grad, [float(other)] * 2)


def test_a_number_alone_is_float32() -> None:
    assert [mg.exp(x).dtype for x in (0.5, Fraction(1, 2), np.float64(0.5))] == [np.float32, np.float32, np.float64]


@pytest.mark.parametrize(
    "other",
    [
        np.array([Fraction(1, 2), 3], object),
        np.array([1, 2], object),
        np.array([1, 2], "m8[s]"),
        Decimal(2),
        [Fraction(1, 2), Fraction(1, 3)],
    ],
)
@pytest.mark.parametrize(
    "call",
    [
        lambda x, o: x * o,
        lambda x, o: o * x,
        lambda x, o: np.multiply(o, x),
        lambda x, o: mg.tensor(o),
        lambda x, o: mg.where(x > 1, x, o),
    ],
)
def test_objects_and_durations_are_refused(other: Any, call: Any) -> None:
    for dtype in (np.float64, np.int64):
        x = mg.tensor(np.array([1, 2], dtype), requires_grad=dtype is np.float64)
        with pytest.raises(TypeError):
            call(x, other)
