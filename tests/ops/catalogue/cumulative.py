"""Cumulative sums, products and extrema."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.ops.catalogue.reductions import TIES, ZEROS
from tests.ops.catalogue.sample import Sample

GAPS = np.array([[1.5, np.nan, -2.0, 0.5], [np.nan, 3.0, np.nan, 0.25], [2.0, -1.0, 0.75, 4.0]])
"""With NaNs among the values, but none alone."""


def running(name: str, axis: int | None, **how: Any) -> Sample:
    return Sample(name, lambda m, x: getattr(m, name)(x, axis=axis), ((2, 3, 4),), label=f"axis {axis}", **how)


def accumulated(name: str, ufunc: str, axis: int) -> Sample:
    def torchs(m: Any, x: Any) -> Any:
        result = getattr(m, name)(x, axis)
        return result if name == "logcumsumexp" else result[0]

    return running(name, axis, numpy=lambda m, x: getattr(np, ufunc).accumulate(x, axis=axis), torch=torchs)


CATALOGUE = [
    *(
        running(name, axis, torch=False if axis is None else None, autograd=name == "cumsum")
        for name in ("cumsum", "cumprod")
        for axis in (None, 0, 1, -1)
    ),
    *(
        Sample(name, lambda m, x, name=name: getattr(m, name)(x, axis=0, dtype=x.dtype), ((3, 2),), label="dtype")
        for name in ("cumsum", "cumprod", "nancumsum", "nancumprod")
    ),
    Sample("cumsum", lambda m, x: m.cumsum(x), ((),), label="number"),
    Sample("cumprod", lambda m, x: m.cumprod(x), ((),), label="number"),
    Sample("cumprod", lambda m, x: m.cumprod(x, axis=0), ((),), label="number along an axis"),
    Sample("cumprod", lambda m, x: m.cumprod(x, axis=1), (ZEROS,), torch=None, label="zeros"),
    Sample("cumprod", lambda m, x: m.cumprod(x, axis=0), (ZEROS,), torch=None, label="zeros along the first"),
    Sample("cumprod", lambda m, x: m.cumprod(x), ((7,),), label="seven"),
    *(
        accumulated(name, ufunc, axis)
        for name, ufunc in (("cummax", "maximum"), ("cummin", "minimum"), ("logcumsumexp", "logaddexp"))
        for axis in (0, 1, -1)
    ),
    *(running(name, axis) for name in ("nancumsum", "nancumprod") for axis in (None, 1)),
]  # fmt: skip

EDGES: list[Sample] = [
    *(
        Sample(name, lambda m, x, name=name, axis=axis: getattr(m, name)(x, axis=axis), (GAPS,), label=f"gaps {axis}")
        for name in ("nancumsum", "nancumprod")
        for axis in (None, 0, -1)
    ),
    *(
        Sample(
            name, lambda m, x, name=name: getattr(m, name)(x, axis=1), (values,),
            numpy=lambda m, x, ufunc=ufunc: getattr(np, ufunc).accumulate(x, axis=1), label=label,
        )
        for name, ufunc in (("cummax", "maximum"), ("cummin", "minimum"))
        for values, label in ((TIES, "ties"), (GAPS, "NaN"), ((0, 3), "empty"))
    ),
    *(
        Sample(name, lambda m, x, name=name, axis=axis: getattr(m, name)(x, axis=axis), ((0, 3),), label=f"none {axis}")
        for name in ("cumsum", "cumprod")
        for axis in (None, 0, 1)
    ),
    Sample(
        "logcumsumexp", lambda m, x: m.logcumsumexp(x, axis=0),
        (np.array([-np.inf, -np.inf, 700.0, -np.inf, 800.0]),), numpy=lambda m, x: np.logaddexp.accumulate(x),
        label="infinities",
    ),
]  # fmt: skip
"""Ties, NaN, zero sizes."""
