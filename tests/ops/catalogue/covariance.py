"""Covariances and correlations."""

from __future__ import annotations

import numpy as np

from tests.ops.catalogue.sample import Sample

COUNTS = np.array([2, 0, 1, 3])

CATALOGUE = [
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
