"""Functions given by a table of values or by coefficients."""

from __future__ import annotations

import numpy as np

from tests.ops.catalogue.sample import A, Sample

NODES = np.array([-1.0, -0.25, 0.5, 2.0, 2.5])
POINTS = np.array([[-2.0, -0.9, 0.1], [1.0, 2.2, 3.2]])
UNORDERED = np.array([1.9, -0.4, 1.2])
WHOLE = np.array([-1, 0, 2, 3, 4])

CATALOGUE = [
    Sample("interp", lambda m, x, xp, fp: m.interp(x, xp, fp), (POINTS, NODES, (5,))),
    Sample("interp", lambda m, x, xp, fp: m.interp(x, xp, fp, left=-1.5, right=2), (POINTS, NODES, (5,)),
           label="bounds"),
    Sample("interp", lambda m, x, xp, fp, a: m.interp(x, xp, fp, a), (POINTS, NODES, (5,), ()),
           numpy=lambda m, x, xp, fp, a: np.interp(x, xp, fp, float(a)), label="a bound with a gradient"),
    Sample("interp", lambda m, x, xp, fp: m.interp(x, xp, fp, period=3.0), (POINTS, UNORDERED, (3,)), label="period"),
    Sample("interp", lambda m, x, xp, fp: m.interp(x, xp, fp), (POINTS, NODES[:1] + 7, (1,)), label="one node"),
    Sample("interp", lambda m, x, xp, fp: m.interp(x, xp, fp), (POINTS, WHOLE, (5,)), label="whole nodes"),
    Sample("interp", lambda m, xp, fp: m.interp(0.1, xp, fp), (NODES, (5,)), label="at a number"),
    Sample("interp", lambda m, x: m.interp(x, [-1, 0.5, 4], [1.0, 2.0, -1.0]), (POINTS,), label="lists"),
    Sample("polyval", lambda m, p, x: m.polyval(p, x), ((4,), A), autograd=False),
    Sample("polyval", lambda m, p, x: m.polyval(p, x), ((1,), A), label="constant"),
    Sample("polyval", lambda m, p, x: m.polyval(p, x), ((3,), ()), label="one x"),
    Sample("polyval", lambda m, p: m.polyval(p, 0.5), ((3,),), label="at a number"),
    Sample("polyval", lambda m, x: m.polyval([2, -1, 0.5], x), (A,), numpy=lambda m, x: 2 * x * x - x + 0.5,
           label="a list"),
    Sample("polyval", lambda m, p, x: m.polyval(p, x), ((3, 4), A), label="a row of coefficients each"),
    *(
        Sample("vander", lambda m, x, how=how: m.vander(x, **how), ((4,),),
               torch=lambda m, x, orders=orders, how=how: m.stack([x**k for k in orders], 1), label=str(how))
        for orders, how in (
            ((3, 2, 1, 0), {}), ((2, 1, 0), {"N": 3}), ((0, 1, 2, 3, 4, 5), {"N": 6, "increasing": True}),
            ((1, 0), {"N": 2}),
        )
    ),
]  # fmt: skip

EDGES: list[Sample] = [
    Sample("interp", lambda m, x, xp, fp: m.interp(x, xp, fp), (NODES, NODES, (5,)), label="at the nodes"),
    Sample("interp", lambda m, x, fp: m.interp(x, [0.0, 1.0, 1.0, 2.0, 2.0], fp),
           ([0.5, 1.0, 1.5, 2.0, 2.5], (5,)), label="nodes in one place"),
    Sample("interp", lambda m, x, fp: m.interp(x, [0.0, 1.0], fp), ([np.nan, np.inf, -np.inf], (2,)), label="NaN, inf"),
    Sample("interp", lambda m, x, xp, fp: m.interp(x, xp, fp), ((0, 2), NODES, (5,)), label="empty"),
    Sample("polyval", lambda m, p, x: m.polyval(p, x), ((0,), A), label="no coefficients"),
    Sample("polyval", lambda m, p, x: m.polyval(p, x), ((2,), (0, 2)), label="empty"),
    Sample("vander", lambda m, x: m.vander(x, 0), ((3,),), label="no powers"),
    Sample("vander", lambda m, x: m.vander(x, 1), ((3,),), label="ones"),
    Sample("vander", lambda m, x: m.vander(x), ((0,),), label="empty"),
]  # fmt: skip
"""Nodes, bounds, and nothing at all: compared with NumPy, where finite differences have no say."""
