"""Functions of vectors or numbers applied all over an array."""

from __future__ import annotations

from typing import Any

from tests.ops.catalogue.sample import Sample


def along(axis: int, function: Any, label: str) -> Sample:
    return Sample("apply_along_axis", lambda m, x: m.apply_along_axis(lambda v: function(m, v), axis, x), ((2, 3, 4),),
                  label=f"{axis} {label}")  # fmt: skip


CATALOGUE = [
    *(
        along(axis, function, label)
        for axis in (0, 1, -1)
        for label, function in {
            "number": lambda m, v: m.sum(v * v),
            "vector": lambda m, v: v[:2] * v[-1],
            "matrix": lambda m, v: m.outer(v, v[:2]),
        }.items()
    ),
    Sample("apply_along_axis", lambda m, x: m.apply_along_axis(lambda v, k, b: v * k + b, 0, x, 2.0, b=1.0), ((2, 3),),
           label="arguments"),
    Sample("apply_over_axes", lambda m, x: m.apply_over_axes(m.sum, x, [0, -1]), ((2, 3, 4),), label="sum"),
    Sample("apply_over_axes", lambda m, x: m.apply_over_axes(lambda a, k: m.flip(a, k) * a, x, 1), ((2, 3),),
           label="same shape"),
    Sample("stack", lambda m, x, y: m.vectorize(lambda a, b: a * m.exp(b))(x, y), ((2, 1), (3,)), label="vectorize"),
    Sample("stack", lambda m, x: m.multiply(*m.vectorize(lambda a: (a * a, m.sin(a)))(x)), ((3,),),
           label="vectorize a pair"),
]  # fmt: skip

EDGES: list[Sample] = []
