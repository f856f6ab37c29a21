"""Einstein's summation."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.ops.catalogue.sample import A, Sample


def summation(text: str, *shapes: Any, **how: Any) -> Sample:
    optimize = how.pop("optimize", False)
    label = f"{text}{'' if optimize is False else f' {optimize}'}".replace(" ", "")
    return Sample(
        "einsum",
        lambda m, *xs: m.einsum(text, *xs, optimize=optimize),
        shapes,
        numpy=lambda m, *xs: m.einsum(text, *xs),
        label=label + how.pop("label", ""),
        **{"torch": lambda m, *xs: m.einsum(text, *xs), "autograd": True, **how},
    )


CATALOGUE = [
    summation("i->", (3,)),
    summation("ij->ji", A),
    summation("ij->j", A),
    summation("ij", A),
    summation("ji", A),
    summation("ii", (3, 3), autograd=False),
    summation("ii->i", (3, 3), autograd=False),
    summation("iji->j", (2, 3, 2), autograd=False),
    summation("iii->i", (2, 2, 2), autograd=False),
    summation("iijj->ij", (2, 2, 3, 3), autograd=False),
    summation("...ii->...i", (2, 3, 3), autograd=False),
    summation("...i->...", (2, 3, 2)),
    summation("i...->...i", (2, 3, 2)),
    summation("i,i", (3,), (3,)),
    summation("i,j->ij", (3,), (2,)),
    summation("ij,j->i", A, (4,)),
    summation("i,ij->j", (3,), A),
    summation("ij,jk->ik", A, (4, 2)),
    summation("ij,jk", A, (4, 2)),
    summation("ij,kj->ki", A, (2, 4)),
    summation("ij,ij->ij", A, A),
    summation("ij,ij->", A, A),
    summation("ij,ij->j", A, A),
    summation("ij,j->ij", A, (4,)),
    summation("ij,k->", (2, 3), (2,)),
    summation("bij,bjk->bik", (2, 2, 3), (2, 3, 2)),
    summation("bij,jk->bik", (2, 2, 3), (3, 2)),
    summation("kj,bij->bki", (2, 3), (2, 2, 3)),
    summation("bij,bkj->kib", (2, 2, 3), (2, 3, 3)),
    summation("bij,ij->b", (2, 2, 3), (2, 3)),
    summation("abcd,cbe->ade", (2, 2, 3, 2), (3, 2, 2)),
    summation("...ij,...jk->...ik", (2, 1, 2, 3), (2, 3, 2)),
    summation("...ij,jk->...ik", (2, 2, 3), (3, 2)),
    summation("i...,j...->...ij", (2, 2), (3, 1)),
    summation("...,...", (2, 1), (3,), autograd=False),
    summation("ii,ij->j", (2, 2), (2, 3), autograd=False),
    summation("i,j,k->ijk", (2,), (3,), (2,)),
    summation("ij,jk,kl->il", (2, 3), (3, 2), (2, 3)),
    summation("i,i,i->i", (3,), (3,), (3,)),
    summation("i,i,i", (3,), (3,), (3,)),
    *(
        summation("bi,ij,jk,bk->b", (2, 3), (3, 2), (2, 3), (2, 3), optimize=how)
        for how in (False, True, "greedy", "optimal", ["einsum_path", (1, 2), (0, 1, 2)])
    ),
    summation("ij,ij->i", (2, 1), (2, 3), torch=False, autograd=False, label="stretched"),
    summation("ij,ij->i", (2, 1), (1, 3), torch=False, autograd=False, label="both stretched"),
    summation("ij,ij,j->j", (2, 1), (2, 3), (3,), torch=False, autograd=False, label="stretched"),
    Sample("einsum", lambda m, a, b: m.einsum(a, [0, 1], b, [1, 2], [2, 0]), (A, (4, 2)), torch=None, label="lists"),
    Sample("einsum", lambda m, a, b: m.einsum(a, [0, 1], b, [1, 2]), (A, (4, 2)), label="lists alone"),
    Sample(
        "einsum",
        lambda m, a, b: m.einsum(a, [..., 5, 1], b, [1, 7], [7, ..., 5]),
        ((2, 3, 4), (4, 2)),
        label="lists with an ellipsis",
    ),
]  # fmt: skip

EDGES: list[Sample] = [
    summation("ij,jk->ik", (2, 0), (0, 3), label=" empty"),
    summation("bij,bjk->bik", (0, 2, 3), (0, 3, 2), label=" empty"),
    summation("ii->i", (0, 0), label=" empty"),
    summation("i->", (0,), label=" empty"),
    summation("->", (), label=" scalar"),
    summation(",ij->ij", (), A),
    Sample("einsum", lambda m, x: m.einsum(",i->i", 2.0, x), ((3,),), label="number"),
    Sample("einsum", lambda m, x: m.einsum("i,ij", np.array([1, 2, 3], x.dtype) if m is np else [1.0, 2.0, 3.0], x),
           (A,), label="list"),
]  # fmt: skip
"""Ties, bounds, and nothing at all: compared with NumPy, where finite differences have no say."""
