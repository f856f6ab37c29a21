"""Differences of neighbours and derivatives by finite differences."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.ops.catalogue.sample import A, Sample, own

PLACES = np.array([0.0, 0.5, 2.0, 2.25, 4.0])
WHOLE = np.array([0, 1, 3, 4])


def along(m: Any, slopes: Any) -> Any:
    """The gradients along several axes in one array."""
    return sum((0.5 + k) * y for k, y in enumerate(slopes))


CATALOGUE = [
    *(
        Sample("diff", lambda m, x, n=n, axis=axis: m.diff(x, n=n, axis=axis), ((3, 5),),
               torch=lambda m, x, n=n, axis=axis: m.diff(x, n=n, dim=int(axis)), autograd=n > 0,
               label=f"{n} along {axis}")
        for n, axis in ((1, -1), (2, 0), (3, 1), (0, 0), (1, np.int64(0)))
    ),
    Sample("diff", lambda m, x, a, b: m.diff(x, axis=1, prepend=a, append=b), ((3, 5), (3, 2), (3, 1)),
           torch=lambda m, x, a, b: m.diff(x, dim=1, prepend=a, append=b), label="longer"),
    Sample("diff", lambda m, x, a: m.diff(x, n=2, axis=0, append=a), ((3, 5), ()), label="a number after"),
    Sample("diff", lambda m, x: m.diff(x, prepend=0.5), (A,), numpy=lambda m, x: np.diff(x, prepend=x.dtype.type(0.5)),
           label="a number before"),
    Sample("diff_back", lambda m, g: own(m, "diff_back")(g, n=2, axis=-1, length=5), ((2, 3),),
           numpy=lambda m, g: g @ np.diff(np.eye(5, dtype=g.dtype), n=2, axis=0)),
    Sample("diff_back", lambda m, g: own(m, "diff_back")(g, n=1, axis=0, length=3), ((2, 3),),
           numpy=lambda m, g: np.diff(np.eye(3, dtype=g.dtype), axis=0).T @ g, label="first axis"),
    Sample("ediff1d", lambda m, x: m.ediff1d(x), (A,)),
    Sample("ediff1d", lambda m, x, a, b: m.ediff1d(x, a, b), (A, (2,), (2, 2)), label="with ends"),
    Sample("ediff1d", lambda m, x: m.ediff1d(x, to_begin=1.5), (A,),
           numpy=lambda m, x: np.ediff1d(x, to_begin=x.dtype.type(1.5)), label="with a number"),
    Sample("gradient", lambda m, f: m.gradient(f, axis=1), ((4, 5),), autograd=True, label="one axis"),
    *(
        Sample("gradient", lambda m, f, order=order, axis=axis: m.gradient(f, axis=axis, edge_order=order), ((4, 5),),
               torch=lambda m, f, order=order, axis=axis: m.gradient(f, dim=axis, edge_order=order)[0],
               label=f"order {order} along {axis}")
        for order in (1, 2)
        for axis in (0, -1)
    ),
    Sample("gradient", lambda m, f: along(m, m.gradient(f)), ((4, 5),), autograd=True, label="all axes"),
    Sample("gradient", lambda m, f: along(m, m.gradient(f, 0.5, edge_order=2)), ((4, 5),),
           torch=lambda m, f: along(m, m.gradient(f, spacing=0.5, edge_order=2)), label="spacing"),
    Sample("gradient", lambda m, f: along(m, m.gradient(f, 2, 0.5, axis=(1, 0))), ((4, 5),), label="spacings"),
    Sample("gradient", lambda m, f, h: m.gradient(f, h), ((5,), ()), low=0.5, label="spacing with a gradient"),
    Sample("gradient", lambda m, f, x: m.gradient(f, x, axis=1), ((4, 5), PLACES),
           torch=lambda m, f, x: m.gradient(f, spacing=(x,), dim=1)[0], label="places"),
    Sample("gradient", lambda m, f, x: m.gradient(f, x, axis=0, edge_order=2), ((5, 2), PLACES),
           label="places, order 2"),
    Sample("gradient", lambda m, f, x, y: along(m, m.gradient(f, y, x)), ((4, 5), PLACES, WHOLE),
           label="places of both"),
    Sample("gradient", lambda m, f: m.gradient(f, [0.0, 1.0, 3.0, 4.0], axis=0), ((4, 5),), label="list of places"),
    Sample("gradient", lambda m, f, x: m.gradient(f, x), ((2,), PLACES[:2]), label="two values"),
    Sample("slopes", lambda m, f: own(m, "slopes")(f, axis=1, edge_order=2), ((2, 3),),
           numpy=lambda m, f: np.gradient(f, axis=1, edge_order=2)),
    *(
        Sample("slopes_back", lambda m, g, n=n, order=order: own(m, "slopes_back")(g, axis=0, edge_order=order),
               ((n, 2),),
               numpy=lambda m, g, n=n, k=order: np.gradient(np.eye(n, dtype=g.dtype), axis=0, edge_order=k).T @ g,
               label=f"{n} values, order {order}")
        for n, order in ((2, 1), (3, 1), (3, 2), (5, 2))
    ),
]  # fmt: skip

EDGES: list[Sample] = [
    Sample("diff", lambda m, x: m.diff(x, n=4, axis=1), (A,), label="nothing left"),
    Sample("diff", lambda m, x: m.diff(x, n=6, axis=1), (A,), label="less than nothing left"),
    Sample("diff", lambda m, x: m.diff(x, axis=1), ((0, 3),), label="empty"),
    Sample("ediff1d", lambda m, x: m.ediff1d(x), ((0,),), label="empty"),
    Sample("ediff1d", lambda m, x: m.ediff1d(x), ((),), label="number"),
    Sample("gradient", lambda m, f: m.gradient(f, axis=1), ((0, 3),), label="empty"),
    Sample("gradient", lambda m, f: m.gradient(f, np.float32(0.5)), ((4,),), label="scalar of NumPy's"),
]  # fmt: skip
"""Empty arrays: compared with NumPy only, since finite differences do not apply."""
