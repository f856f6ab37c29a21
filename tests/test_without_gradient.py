"""NumPy's functions whose result has no gradient answer on the tape; every other one is ours or refused."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.numpy_protocol import IN_PLACE, OURS, WITHOUT_GRADIENT

POINTS = np.array([0.15, 0.4, 0.55, 0.9])
ANSWERS: dict[str, Callable[[Any], Any]] = {
    "allclose": lambda x: np.allclose(x, POINTS, atol=1e-3),
    "array_equal": lambda x: np.array_equal(x, x) and not np.array_equal(POINTS, x + 1),
    "array_equiv": lambda x: np.array_equiv(x, [x, x]),
    "isin": lambda x: np.isin([0.4, 9.0], x),
    "iscomplexobj": lambda x: np.iscomplexobj(x),
    "isrealobj": lambda x: np.isrealobj(x),
    "can_cast": lambda x: np.can_cast(x.dtype, np.float32),
    "common_type": lambda x: np.common_type(x, np.ones(1, np.float32)),
    "min_scalar_type": lambda x: np.min_scalar_type(x),
    "result_type": lambda x: np.result_type(x, np.float32, 1),
    "array2string": lambda x: np.array2string(x),
    "array_repr": lambda x: np.array_repr(x),
    "array_str": lambda x: np.array_str(x, precision=2),
    "einsum_path": lambda x: np.einsum_path("i,i->", x, x)[1],
    "empty_like": lambda x: np.empty_like(x).shape,
    "may_share_memory": lambda x: np.may_share_memory(x, x[1:]),
    "shares_memory": lambda x: np.shares_memory(x, x),
    "packbits": lambda x: np.packbits(x > 0.5),
    "unpackbits": lambda x: np.unpackbits(np.packbits(x > 0.5)),
    "spacing": lambda x: np.spacing(x),
    "histogram": lambda x: np.histogram(x, 3),
    "histogram2d": lambda x: np.histogram2d(x, x, bins=2)[0],
    "histogramdd": lambda x: np.histogramdd([x, x], bins=2)[0],
    "logical_and.reduce": lambda x: np.logical_and.reduce(x),
    "logical_or.accumulate": lambda x: np.logical_or.accumulate(x),
    "save": lambda x: saved(np.save, x),
    "savetxt": lambda x: saved(np.savetxt, x),
    "savez": lambda x: np.load(io.BytesIO(saved(np.savez, x)))["arr_0"],
    "savez_compressed": lambda x: np.load(io.BytesIO(saved(np.savez_compressed, x)))["arr_0"],
}


def saved(save: Callable[..., Any], x: Any) -> bytes:
    file = io.BytesIO()
    save(file, x)
    return file.getvalue()


@pytest.mark.parametrize("name", ANSWERS)
def test_what_has_no_gradient_answers_on_the_tape(name: str) -> None:
    call = ANSWERS[name]
    want = call(POINTS)
    leaf = mg.tensor(POINTS, requires_grad=True)
    for x in (leaf, leaf * 1.0, leaf.detach()):
        found = call(x)
        for a, b in zip(*((v if isinstance(v, tuple) else (v,)) for v in (found, want))):
            assert type(a) is type(b)
            np.testing.assert_array_equal(a, b)
    assert mg.grad(lambda x: (call(x), (x * x).sum())[1])(POINTS).tolist() == (2 * POINTS).tolist()


REFUSED = {"histogram_bin_edges", "intersect1d", "setdiff1d", "setxor1d", "union1d", "unique_all", "unique_counts"}
REFUSED |= {"unique_inverse", "unique_values", "sort_complex", "trim_zeros", "poly", "polyadd", "polyder", "polydiv"}
REFUSED |= {"polyfit", "polyint", "polymul", "polysub", "roots", "cumulative_prod", "cumulative_sum", "nextafter"}
REFUSED |= {"isnat", "busday_count", "busday_offset", "datetime_as_string", "is_busday"}  # of dates


def test_every_function_of_numpys_is_ours_or_without_gradient_or_refused() -> None:
    """The refused ones by name: whatever NumPy adds must be put into one of the three."""
    functions = {
        name: f
        for name, f in vars(np).items()
        if isinstance(f, np.ufunc) or type(f).__name__ == "_ArrayFunctionDispatcher"
    }
    known = {*OURS, *WITHOUT_GRADIENT, *IN_PLACE}
    assert {name for name, f in functions.items() if f not in known} - {"printoptions"} <= REFUSED
    assert {f.__name__ for f in WITHOUT_GRADIENT} <= set(ANSWERS)
