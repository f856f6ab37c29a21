"""Every operation that NumPy has, on 0-d, empty, integer and boolean arrays: value, dtype, shape, error are NumPy's."""

from __future__ import annotations

import inspect
import warnings
from operator import attrgetter
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.debug.op_list import operations
from minigrad.engine.tensor import Tensor
from tests.support.numpy_version import beside_numpy_2_4

pytestmark = beside_numpy_2_4

WHOLE = np.array([[1, 2, 3], [4, 0, 6]])
INPUTS = {
    "a number": np.array(2.0),
    "a whole number": np.array(3),
    "a truth": np.array(True),
    "nothing": np.zeros(0),
    "no whole number": np.zeros(0, int),
    "no rows": np.zeros((0, 3)),
    "no columns": np.zeros((2, 0)),
    "no matrices": np.zeros((0, 2, 2)),
    "one": np.array([[5.0]]),
    "whole numbers": WHOLE,
    "bytes": WHOLE.astype(np.int8),
    "unsigned": WHOLE.astype(np.uint8),
    "truths": WHOLE > 2,
    "float32": np.array([0.5, -1.5, 2.0], np.float32),
    "a square": np.array([[2.0, 1.0], [1.0, 3.0]]),
    "whole and square": np.array([[2, 1], [1, 3]]),
    "NaN": np.array([[np.nan, 1.0, 2.0], [np.nan, np.nan, 3.0]]),
}
SEQUENCES = ("block", "column_stack", "concatenate", "dstack", "hstack", "linalg.multi_dot", "stack", "vstack")
"""They are given the array twice, in a list."""
CUT = ("array_split", "split", "hsplit", "vsplit", "dsplit", "repeat", "tile", "linalg.matrix_power")
MORE: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(CUT, (2,)),
    **dict.fromkeys(("delete", "expand_dims", "partition", "argpartition", "rollaxis", "take"), (0,)),
    "insert": (0, 5), "moveaxis": (0, -1), "swapaxes": (0, -1), "pad": (1,), "roll": (1,), "full_like": (2,),
    "broadcast_to": ((2, 2, 3),), "reshape": (-1,), "resize": ((3, 2),), "unravel_index": ((7, 7),),
    "astype": (np.float32,), "choose": ([1, 2, 3, 4, 5, 6, 7],), "compress": ([True],), "tensordot": (WHOLE, 0),
    "take_along_axis": (np.zeros((1, 1), int),),
}  # fmt: skip
"""What comes after the array, where that is no array itself."""
OPTIONS = {"axis": (0, -1, 3, (0, 1)), "keepdims": (True,), "axes": ((0,), (1, 0), (-1, -2)), "k": (1,), "ddof": (1, 3)}
OTHERWISE = {
    "apply_along_axis apply_over_axes piecewise vectorize": "they take functions",
    "arange eye full identity indices ones tri tril_indices triu_indices zeros": "they take lengths, and make float32",
    "bincount diag_indices ix_ ravel_multi_index select": "they take sequences of whole numbers or of truths",
    "fill_diagonal put_along_axis": "a new tensor is returned",
    "average": "of no weight at all it is NaN: a device is not asked",
    "geomspace": "float32 stays float32; that there is no zero a device is not asked",
    "corrcoef cov interp vander": "float32 stays float32",
    "nanpercentile nanquantile percentile quantile": "of truths they are floats; of nothing there is one error",
    "cross": "of two coordinates there is a product, as up to NumPy 2.4",
    "linalg.cond": "of NaN there are no singular values, whatever the LAPACK at hand makes of them",
    "linalg.tensorinv linalg.tensorsolve polyval": "NumPy's own errors and shapes are accidents there",
}
"""What is otherwise, and why."""
ELSEWHERE = {name for names in OTHERWISE for name in names.split()}


def numpy_has(name: str) -> bool:
    try:
        return callable(attrgetter(name)(np))
    except AttributeError:
        return False


NAMES = [operation.name for operation in operations() if numpy_has(operation.name)]


def parameters(function: Any) -> dict[str, inspect.Parameter]:
    return {} if isinstance(function, np.ufunc) else dict(inspect.signature(function).parameters)


def required(function: Any) -> int:
    """How many arrays it takes at least."""
    if isinstance(function, np.ufunc):
        return int(function.nin)
    by_place = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(p.kind in by_place and p.default is p.empty for p in parameters(function).values()) or 1


def outcome(function: Any, *args: Any, **options: Any) -> Any:
    """Its arrays, as they are or in lists, or its error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return on_host(function(*args, **options))
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            return error


def on_host(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return list(map(on_host, value))
    return value.numpy() if isinstance(value, Tensor) else np.asarray(value)


def assert_same(ours: Any, theirs: Any, words: str) -> None:
    if isinstance(theirs, Exception):
        # NumPy's UFuncTypeErrors are made of more than words. Of two things that are wrong either may be named.
        kind = TypeError if isinstance(theirs, TypeError) else type(theirs)
        kind = (kind, TypeError, ValueError) if "(0, 1)" in words else kind
        assert isinstance(ours, kind), f"{words}: {ours!r} for {theirs!r}"
    elif isinstance(theirs, list):
        assert isinstance(ours, list), f"{words}: {ours!r} for {theirs!r}"
        assert len(ours) == len(theirs), words
        for one, other in zip(ours, theirs):
            assert_same(one, other, words)
    else:
        assert not isinstance(ours, (list, Exception)), f"{words}: {ours!r} for {theirs!r}"
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape), words
        rtol = 1e-5 if theirs.dtype.itemsize <= 4 else 1e-12
        np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=1e-12, err_msg=words)


def test_what_is_otherwise_is_there() -> None:
    assert ELSEWHERE.union(SEQUENCES, MORE) <= set(NAMES)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ELSEWHERE])
def test_corners_are_numpys(name: str) -> None:
    theirs, ours = attrgetter(name)(np), attrgetter(name)(mg)
    options = [{key: value} for key in OPTIONS if key in parameters(theirs) for value in OPTIONS[key]]
    for label, host in INPUTS.items():
        arrays = [host] * (2 if name in SEQUENCES else required(theirs))
        tensors = [mg.tensor(a) for a in arrays]
        if name in MORE:
            arrays, tensors = [arrays[0], *MORE[name]], [tensors[0], *MORE[name]]
        for chosen in ({}, *options):
            if name in SEQUENCES:
                expected, got = outcome(theirs, arrays, **chosen), outcome(ours, tensors, **chosen)
            else:
                expected, got = outcome(theirs, *arrays, **chosen), outcome(ours, *tensors, **chosen)
            assert_same(got, expected, f"{name} of {label} {chosen or ''}")
