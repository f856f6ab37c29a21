"""The ufuncs of scipy.special on the tape: ours where we have them, else refused by name."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg

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
