"""Creation of arrays from tensors and numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.ops.catalogue.sample import A, Sample, unary


def as_first(make: Any) -> Any:
    """NumPy makes Python numbers in lists float64; here they take the dtype of the arrays in the list."""
    return lambda m, x, *more: make(np, x, *more).astype(x.dtype)


def row(name: str, *inputs: Any, low: float | None = None, autograd: bool = False, **options: Any) -> Sample:
    return Sample(name, lambda m, *ends: getattr(m, name)(*ends, 5, **options), inputs, low, autograd=autograd,
                  label=f"{inputs} {options}")  # fmt: skip


CATALOGUE = [
    unary("copy", torch=False, autograd=False),
    Sample("copy", lambda m, x: m.array(x), (A,), autograd=True, label="array"),
    Sample("stack", lambda m, x: m.array([x, x * 2.0, 1.5]), ((),), label="array of numbers",
           numpy=as_first(lambda m, x: m.array([x, x * 2, 1.5]))),
    Sample("reshape", lambda m, x, y: m.array([[x, y * 2], [y, x]]), (A, A), autograd=False, label="array of arrays"),
    Sample("reshape", lambda m, x: m.array([(x, 1), [2.0, x]]), ((),), label="array of nested numbers",
           numpy=as_first(lambda m, x: m.array([(x, 1), [2.0, x]]))),
    Sample("astype", lambda m, x: m.asarray(m.array([x, x]), x.dtype) * m.asarray(x), (A,), label="asarray"),
    Sample("broadcast_to", lambda m, x: m.full((2, 3), x), ((),), label="full"),
    Sample("broadcast_to", lambda m, x: m.full((2, 3), x, dtype=x.dtype), ((3,),), label="full by a vector"),
    Sample("broadcast_to", lambda m, x, v: m.full_like(x, v) * x, (A, ()), label="full_like"),
    Sample("broadcast_to", lambda m, x, v: m.full_like(x, v, shape=(2, 4)) * x[:2], (A, (4,)),
           label="full_like, shape"),
    Sample("multiply", lambda m, x: m.full_like(x, 2.5) * x, (A,), label="full_like a number"),
    row("linspace", (), (), autograd=False),
    row("linspace", (3, 1), (2,), endpoint=False),
    row("linspace", (3,), (2, 1), axis=-1),
    row("linspace", (3,), (3,), axis=1),
    Sample("linspace", lambda m, x: m.linspace(0, x, 4), ((3,),), label="number"),
    Sample("linspace", lambda m, x, y: m.linspace(x, y, 1), ((3,), (3,)), numpy=lambda m, x, y: m.stack([x]) + 0 * y,
           label="one"),
    row("logspace", (), ()),
    row("logspace", (2,), (3, 1), endpoint=False, base=2.0),
    Sample("logspace", lambda m, x, y, b: m.logspace(x, y, 4, base=b, axis=1), ((2,), (2,), (2,)), 0.5, label="bases"),
    row("geomspace", (), (), low=0.5),
    row("geomspace", (2,), (3, 1), low=0.5, endpoint=False),
    Sample("geomspace", lambda m, x, y: m.geomspace(-x, -y, 4, axis=-1), ((2,), (2,)), 0.5, label="negative"),
    *(
        Sample("meshgrid", lambda m, x, y, z, k=k, o=o: product(m.meshgrid(x, y, z, **o), k),
               ((2,), (3,), (4,)), label=f"{k} {o}")
        for k in (0, 2)
        for o in ({}, {"indexing": "ij"}, {"sparse": True}, {"indexing": "ij", "sparse": True})
    ),
    Sample("meshgrid", lambda m, x: m.meshgrid(x)[0], ((3,),), label="one"),
]  # fmt: skip


def product(grids: Any, k: int) -> Any:
    """All grids in one array, the grid `k` twice."""
    return grids[0] * grids[1] * grids[2] * grids[k]


EDGES: list[Sample] = [
    Sample("linspace", lambda m, x, y: m.linspace(x, y, 0), ((3,), (3,)), label="none"),
]  # fmt: skip
"""Empty arrays: compared with NumPy only, since finite differences do not apply."""
