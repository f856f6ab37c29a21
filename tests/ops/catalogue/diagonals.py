"""Diagonals and triangles of matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.ops.catalogue.sample import A, Sample, own, shaper


def filled(x: np.ndarray, val: Any, wrap: bool = False) -> np.ndarray:
    y = x.copy()
    np.fill_diagonal(y, val, wrap)
    return y


def below_main(x: np.ndarray) -> np.ndarray:
    y = np.zeros((3, 2, 4), x.dtype)
    for j, k in np.ndindex(x.shape):
        y[k + 1, j, k] = x[j, k]
    return y


CATALOGUE = [
    *(shaper("diagonal", k, shape=A, torch=None, autograd=False) for k in (-1, 0, 1, 3)),
    shaper("diagonal", 0, -1, -2, shape=(2, 3, 3), torch=None, autograd=True),
    shaper("diagonal", 1, 2, 0, shape=(2, 3, 4), torch=None),
    *(Sample("diagonal", lambda m, x, k=k: m.diag(x, k), ((4, 4),), torch=None, autograd=True, label=f"diag {k}")
      for k in (-1, 0, 1)),
    *(Sample("put_diagonal", lambda m, x, k=k: m.diag(x, k), ((3,),), torch=None, autograd=True, label=f"diag {k}")
      for k in (-2, 0, 1)),
    Sample("put_diagonal", lambda m, x: own(m, "put_diagonal")(x, (3, 2, 4), -1, 0, -1), ((2, 2),), label="axes",
           numpy=lambda m, x: below_main(x)),
    *(shaper("diagflat", k, shape=(2, 2)) for k in (0, -1)),
    *(Sample("fill_diagonal", lambda m, x, v, wrap=wrap: m.fill_diagonal(x, v, wrap), (shape, values),
             numpy=lambda m, x, v, wrap=wrap: filled(x, v, wrap), label=f"{shape} {values} {wrap}")
      for shape in (A, (7, 3), (3, 3, 3))
      for values in ((), (2,))
      for wrap in (False, True)),
    Sample("fill_diagonal", lambda m, x: m.fill_diagonal(x, 2.0), (A,), numpy=lambda m, x: filled(x, 2.0),
           label="number"),
    *(shaper(name, k, shape=shape, autograd=True, torch=None)
      for name in ("tril", "triu")
      for k in (-1, 0, 1)
      for shape in (A, (2, 3, 3))),
    *(shaper(name, shape=(3,), label="vector") for name in ("tril", "triu")),
]  # fmt: skip

EDGES: list[Sample] = [
    Sample("diagonal", lambda m, x: m.diagonal(x), ((0, 3),), label="empty"),
    Sample("diagonal", lambda m, x: m.diagonal(x, 5), ((2, 3),), label="beyond"),
    Sample("diagonal", lambda m, x: m.diagonal(x, -5), ((2, 3),), label="below"),
    Sample("put_diagonal", lambda m, x: m.diag(x, -1), ((0,),), label="empty"),
    Sample("tril", lambda m, x: m.tril(x), ((0, 3),), label="empty"),
]  # fmt: skip
"""Empty arrays: compared with NumPy only, since finite differences do not apply."""
