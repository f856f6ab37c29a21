"""Medians and quantiles."""

from __future__ import annotations

from typing import Any

from minigrad.ops.reductions.quantiles import METHODS
from tests.ops.catalogue.cumulative import GAPS
from tests.ops.catalogue.reductions import TIES
from tests.ops.catalogue.sample import Sample

Q = (0.1, 0.5, 0.77)
PLACES = (0.0, 0.25, 1.0)
"""Quantiles of five values that are values themselves."""
WAYS: dict[str, Any] = {
    "one": {"q": 0.3, "axis": 1},
    "all": {"q": 0.3},
    "kept": {"q": 0.3, "axis": (0, -1), "keepdims": True},
    "many": {"q": Q, "axis": 0},
    "many kept": {"q": (Q, PLACES), "axis": -1, "keepdims": True},
    "many of all": {"q": PLACES},
}


def in_hundredths(q: Any) -> Any:
    return tuple(map(in_hundredths, q)) if isinstance(q, tuple) else 100 * q


def quantiles(name: str, label: str, way: dict[str, Any], x: Any = (3, 2, 5)) -> Sample:
    if "percentile" in name:
        way = {**way, "q": in_hundredths(way["q"])}
    # NumPy's result has the dtype of an array of quantiles, ours that of the values.
    return Sample(name, lambda m, x: getattr(m, name)(x, **way), (x,), label=label)


AXES: tuple[dict[str, Any], ...] = ({}, {"axis": 0}, {"axis": (0, -1)}, {"axis": 1, "keepdims": True}, {"axis": -1})

CATALOGUE = [
    *(
        Sample(name, lambda m, x, name=name, way=way: getattr(m, name)(x, **way), ((3, 4, 5),), label=str(way))
        for name in ("median", "nanmedian")
        for way in AXES
    ),
    Sample("median", lambda m, x: m.median(x), ((5,),), torch=None, label="odd"),
    *(
        quantiles(name, label, way)
        for name in ("quantile", "percentile", "nanquantile", "nanpercentile")
        for label, way in WAYS.items()
    ),
    *(
        quantiles(name, method, {"q": (*Q, *PLACES), "method": method}, (2, 5) if axis else (6,))
        for name, axis in (("quantile", True), ("nanquantile", False))
        for method in METHODS
    ),
    Sample("quantile", lambda m, x: m.quantile(x, 0.3, 0), ((4, 3),),
           torch=lambda m, x: m.quantile(x, 0.3, 0), label="torch"),
]  # fmt: skip

EDGES: list[Sample] = [
    *(
        Sample(name, lambda m, x, name=name, axis=axis: getattr(m, name)(x, axis=axis), (GAPS,), label=f"NaN {axis}")
        for name in ("median", "nanmedian")
        for axis in (None, 0, 1)
    ),
    *(
        quantiles(name, f"NaN {method}", {"q": Q, "axis": 1, "method": method}, GAPS)
        for name in ("quantile", "nanquantile")
        for method in METHODS
    ),
    Sample("median", lambda m, x: m.median(x, axis=1), (TIES,), label="ties"),
    Sample("quantile", lambda m, x: m.quantile(x, (0.25, 0.5), axis=1), (TIES,), label="ties"),
    Sample("median", lambda m, x: m.median(x, axis=1), ((0, 3),), label="no rows"),
]  # fmt: skip
"""Ties, NaN, zero sizes."""
