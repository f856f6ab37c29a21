"""SciPy's ufuncs on the tape, and NumPy's functions whose result has no gradient."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.numpy_protocol import IN_PLACE, OURS, WITHOUT_GRADIENT

special = pytest.importorskip("scipy.special")
POINTS = np.array([0.15, 0.4, 0.55, 0.9])
SAME = sorted(name for name, f in vars(special).items() if isinstance(f, np.ufunc) and name in mg.ops.__all__)


def test_twenty_of_scipys_ufuncs_are_ours() -> None:
    assert {"erf", "expit", "logit", "gammaln", "xlogy", "ndtr", "digamma"} <= set(SAME)
    assert len(SAME) >= 20


@pytest.mark.parametrize("name", [*SAME, "psi"])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_a_ufunc_of_scipys_is_differentiated(name: str, dtype: str) -> None:
    f, points = getattr(special, name), POINTS.astype(dtype)
    two = f.nin == 2
    x = mg.tensor(points, requires_grad=True)
    y = f(x, points[::-1]) if two else f(x)
    want = f(points, points[::-1]) if two else f(points)
    assert (y.dtype, y.requires_grad) == (dtype, name != "round")
    np.testing.assert_allclose(y.numpy(), want, rtol=3e-6 if dtype == "f4" else 1e-13)
    if dtype == "f8" and y.requires_grad:
        step = 1e-6
        along = (f(points + step, points[::-1]) - f(points - step, points[::-1])) if two else None
        along = f(points + step) - f(points - step) if along is None else along
        (g,) = mg.gradients(y.sum(), [x])
        np.testing.assert_allclose(g, along / (2 * step), rtol=1e-7)


@pytest.mark.parametrize("name", ["gamma", "j0", "entr", "hyp1f1", "rel_entr"])
def test_the_others_are_refused_by_their_full_name(name: str) -> None:
    f = getattr(special, name)
    x = mg.tensor(POINTS, requires_grad=True)
    args = [POINTS] * (f.nin - 1)
    with pytest.raises(TypeError, match=rf"^scipy\.special\.{name}: minigrad has no rule for it"):
        f(x, *args)
    np.testing.assert_array_equal(f(mg.tensor(POINTS), *args), f(POINTS, *args))


def test_a_stranger_of_that_name_is_not_ours() -> None:
    erf = np.frompyfunc(lambda x: 7.0, 1, 1)
    with pytest.raises(TypeError, match="minigrad has no rule"):
        erf(mg.tensor(POINTS, requires_grad=True))
    with pytest.raises(TypeError, match=r"scipy\.special\.erf: out: "):
        special.erf(mg.tensor(POINTS, requires_grad=True), out=np.zeros(4))


# NumPy's functions without a gradient


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
