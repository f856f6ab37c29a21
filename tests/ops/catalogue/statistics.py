"""NaN-ignoring reductions, averages, counts, covariance and the trapezoidal rule."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tests.ops.catalogue.cumulative import GAPS
from tests.ops.catalogue.sample import Sample, own, reduction

WAYS: tuple[tuple[int | tuple[int, ...] | None, bool], ...] = ((None, False), (1, False), (-1, True), ((0, 2), False))
COUNTED = np.array([2, 0, 2, 5, 0])
COUNTS = np.array([2, 0, 1, 3])

CATALOGUE = [
    Sample("root_of_variance", lambda m, x: own(m, "root_of_variance")(x), ((3, 4),), 0.5, lambda m, x: np.sqrt(x)),
    *(
        reduction(name, axis, keepdims, autograd=False)
        for name in ("nansum", "nanmean", "nanprod", "nanmax", "nanmin", "nanvar", "nanstd")
        for axis, keepdims in WAYS
    ),
    *(
        Sample(name, lambda m, x, name=name: getattr(m, name)(x, axis=1, dtype=x.dtype), ((2, 3),), label="dtype")
        for name in ("nansum", "nanprod", "nanmean", "nanvar", "nanstd")
    ),
    *(
        Sample(name, lambda m, x, name=name, how=how: getattr(m, name)(x, axis=1, **how), ((2, 4),), label=str(how))
        for name in ("nanvar", "nanstd")
        for how in ({"ddof": 1}, {"correction": 2})
    ),
    *(
        Sample("average", lambda m, a, axis=axis, k=k: m.average(a, axis=axis, keepdims=k), ((2, 3, 4),),
               label=f"plain {axis} {k}")
        for axis, k in WAYS
    ),
    *(
        Sample("average", lambda m, a, w, axis=axis, k=k: m.average(a, axis=axis, weights=w, keepdims=k),
               ((2, 3, 4), shape), 0.5, label=f"{axis} {shape} {k}")
        for axis, shape, k in (
            (None, (2, 3, 4), False), (1, (3,), False), (-1, (2, 3, 4), True), ((2, 0), (4, 2), False), (0, (2,), True)
        )
    ),
    Sample("average", lambda m, a, w: math.prod(m.average(a, 0, w, True)), ((2, 3), (2,)), 0.5, label="both"),
    Sample("average", lambda m, a: m.average(a, 0, returned=True)[0], ((2, 3),), label="returned"),
    *(
        Sample("bincount", lambda m, w, x, n=n: m.bincount(x, w, minlength=n), ((5,), COUNTED), waits=True,
               torch=lambda m, w, x, n=n: m.zeros(max(n, 6), dtype=w.dtype).index_add(0, x, w),
               numpy=lambda m, w, x, n=n: np.bincount(x, w, n).astype(w.dtype), label=str(n))
        for n in (0, 8)
    ),
    *(
        Sample("trapezoid", lambda m, y, axis=axis: m.trapezoid(y, dx=0.5, axis=axis), ((3, 4),), label=f"dx {axis}",
               torch=lambda m, y, axis=axis: m.trapezoid(y, dx=0.5, dim=axis))
        for axis in (0, -1)
    ),
    Sample("trapezoid", lambda m, y: m.trapezoid(y), ((3, 4),), torch=None, label="dx 1"),
    *(
        Sample("trapezoid", lambda m, y, x, axis=axis: m.trapezoid(y, x, axis=axis), ((3, 4), shape),
               label=f"{shape} {axis}", torch=lambda m, y, x, axis=axis: m.trapezoid(y, x, dim=axis))
        for shape, axis in (((4,), -1), ((3, 4), 1))
    ),
    Sample("trapezoid", lambda m, y, x: m.trapezoid(y, x, axis=0), ((3, 4), (3,)), label="points along the first"),
    *(
        Sample("cov", lambda m, x, how=how: m.cov(x, **how), ((3, 4),), label=str(how),
               torch=lambda m, x, how=how, by=by: m.cov(x.T if "rowvar" in how else x, correction=by))
        for how, by in (({}, 1), ({"rowvar": False}, 1), ({"bias": True}, 0), ({"ddof": 2}, 2))
    ),
    Sample("cov", lambda m, x: m.cov(x), ((5,),), torch=None, label="one variable"),
    Sample("cov", lambda m, x, y: m.cov(x, y), ((2, 4), (4,)), label="two parts"),
    Sample("cov", lambda m, x, y: m.cov(x, y, rowvar=False), ((4, 2), (4, 1)), label="two parts in columns"),
    Sample("corrcoef", lambda m, x: m.corrcoef(x), ((3, 5),), torch=None),
    Sample("corrcoef", lambda m, x: m.corrcoef(x, rowvar=False), ((5, 3),), label="columns"),
    Sample("corrcoef", lambda m, x, y: m.corrcoef(x, y), ((5,), (5,)), label="two variables"),
    *(
        Sample("cov", lambda m, x, how=how: m.cov(x, fweights=COUNTS if m is np else m.array(COUNTS), **how), ((3, 4),),
               label=f"counts {how}",
               torch=lambda m, x, by=by: m.cov(x, fweights=m.tensor(COUNTS), correction=by))
        for how, by in (({}, 1), ({"bias": True}, 0), ({"ddof": 2}, 2))
    ),
    *(
        Sample("cov", lambda m, x, w, how=how: m.cov(x, aweights=w, **how), ((3, 4), (4,)), 0.5, label=f"weights {how}",
               torch=lambda m, x, w, by=by: m.cov(x, aweights=w, correction=by))
        for how, by in (({}, 1), ({"bias": True}, 0), ({"ddof": 2}, 2))
    ),
    Sample("cov", lambda m, x, w: m.cov(x, rowvar=False, aweights=w, fweights=COUNTS if m is np else m.array(COUNTS)),
           ((4, 3), (4,)), 0.5, label="counts and weights",
           torch=lambda m, x, w: m.cov(x.T, aweights=w, fweights=m.tensor(COUNTS))),
    Sample("cov", lambda m, x: m.cov(x, dtype=x.dtype), ((3, 4),), label="dtype"),
    Sample("corrcoef", lambda m, x: m.corrcoef(x, dtype=x.dtype), ((3, 4),), label="dtype"),
    Sample("cov", lambda m, x, y: m.real(m.cov(x + y * 1j)), ((3, 4), (3, 4)), label="complex"),
    Sample("corrcoef", lambda m, x, y: m.imag(m.corrcoef(x + y * 1j)), ((3, 4), (3, 4)), label="complex"),
]  # fmt: skip


def gaps(name: str, axis: Any, **how: Any) -> Sample:
    return Sample(name, lambda m, x: getattr(m, name)(x, axis=axis, **how), (GAPS,), label=f"gaps {axis} {how}")


EDGES: list[Sample] = [
    *(
        gaps(name, axis)
        for name in ("nansum", "nanmean", "nanprod", "nanmax", "nanmin", "nanvar", "nanstd")
        for axis in (None, 0, 1)
    ),
    gaps("nanvar", None, ddof=1, keepdims=True),
    gaps("nanstd", 1, ddof=0.5),
    Sample("nanstd", lambda m, x: m.nanstd(x, axis=1), (np.array([[1.0, 1.0, np.nan]]),), label="no variance"),
    Sample("nansum", lambda m, x: m.nansum(x, axis=0), ((0, 3),), label="empty"),
    Sample("nanprod", lambda m, x: m.nanprod(x, axis=0), ((0, 3),), label="empty"),
    Sample("trapezoid", lambda m, y: m.trapezoid(y), ((3, 1),), label="one point"),
]  # fmt: skip
"""NaN and zero sizes."""
