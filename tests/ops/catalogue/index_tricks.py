"""The joining brackets `r_` and `c_`."""

from __future__ import annotations

from tests.ops.catalogue.sample import A, Sample, V

CATALOGUE = [
    Sample("r_", lambda m, a, b: m.r_[a, b, a], (V, (2,))),
    Sample("r_", lambda m, a: m.r_[a], (A,), label="one"),
    Sample("r_", lambda m, a, b: m.r_[a, b], (A, (2, 4)), label="rows"),
    Sample("r_", lambda m, a: m.r_[a, 2.0, 3, a[0]], (V,), label="numbers"),
    Sample("r_", lambda m, a: m.r_[[a[0], a[1] * 2.0], [1.0, 2.0], a], (V,), label="lists", numpy=lambda m, a: m.r_[
        a[0], a[1] * 2.0, 1.0, 2.0, a]),
    Sample("r_", lambda m, a: m.r_["-1", a, a * 2.0], (A,), label="along the last axis"),
    Sample("r_", lambda m, a, b: m.r_["0,2", a, b], (V, A), label="rows of vectors"),
    Sample("r_", lambda m, a, b: m.r_["1,2,0", a, b], ((3,), A), label="columns of vectors"),
    Sample("r_", lambda m, a: m.r_["1,3,1", a, a], (A,), label="in the middle"),
    Sample("c_", lambda m, a, b: m.c_[a, b, a], ((3,), (3,))),
    Sample("c_", lambda m, a, b: m.c_[a, b], ((3,), A), label="beside a matrix"),
    Sample("c_", lambda m, a: m.c_[a, a], ((2, 3, 2),), label="three axes"),
    Sample("c_", lambda m, a: m.c_[a[0], 2.0], (V,), label="numbers"),
]  # fmt: skip

EDGES: list[Sample] = [
    Sample("r_", lambda m, a: m.r_[a, 0:3], (V,), label="range"),
    Sample("r_", lambda m, a: m.r_[a, 0.0:1.0:5j, :6:2], (V,), label="ranges"),
    Sample("r_", lambda m, a: m.r_["0,2,0", a, 1:4], (V,), label="range as a column"),
    Sample("c_", lambda m, a: m.c_[a, 0:4], (V,), label="range"),
    Sample("r_", lambda m, a: m.r_[a, a], ((0,),), label="empty"),
]
"""Empty arrays, and ranges, which have no dtype of their own."""
