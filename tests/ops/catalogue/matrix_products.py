"""Products."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.ops.catalogue.sample import A, Sample, own


def np_linear(m: Any, x: Any, W: Any, b: Any = 0.0) -> Any:
    return m.matmul(x, W.T) + b


def np_linear_sum(m: Any, x: Any, Wx: Any, h: Any, Wh: Any, b: Any = 0.0) -> Any:
    return x @ Wx.T + h @ Wh.T + b


def label_of(*parts: Any) -> str:
    return ",".join(map(str, parts)).replace(" ", "")


def product(a: tuple[int, ...], b: tuple[int, ...]) -> Sample:
    label = f"{a}@{b}".replace(" ", "")
    return Sample("matmul", lambda m, a, b: m.matmul(a, b), (a, b), torch=None, autograd=True, label=label)


def of_two(name: str, a: Any, b: Any, **how: Any) -> Sample:
    """An operation of that name on two arrays of these shapes."""
    options = how.pop("options", {})
    return Sample(
        name, lambda m, a, b: getattr(m, name)(a, b, **options), (a, b), label=label_of(a, b, *options.items()), **how
    )


def dotted(axes: Any, a: Any, b: Any) -> Sample:
    return Sample(
        "tensordot",
        lambda m, a, b: m.tensordot(a, b, axes),
        (a, b),
        torch=lambda m, a, b: (
            m.tensordot(a, b, axes if isinstance(axes[0], tuple | list) else ([axes[0]], [axes[1]]))
            if isinstance(axes, tuple | list)
            else m.tensordot(a, b, axes)
        ),
        autograd=True,
        label=label_of(axes, a, b),
    )


def np_matvec(m: Any, a: Any, b: Any) -> Any:
    return np.matmul(a, b[..., None])[..., 0]


def np_vecmat(m: Any, a: Any, b: Any) -> Any:
    return np.matmul(a[..., None, :], b)[..., 0, :]


def np_vecdot(m: Any, a: Any, b: Any, axis: int = -1) -> Any:
    return np.sum(np.moveaxis(a, axis, -1) * np.moveaxis(b, axis, -1), axis=-1)


def np_flat_cross(m: Any, a: Any, b: Any) -> Any:
    """Vectors of two have a third coordinate of zero, which NumPy no longer likes."""
    flat = a.shape[-1] == b.shape[-1] == 2
    a, b = (np.pad(x, [*[(0, 0)] * (x.ndim - 1), (0, 3 - x.shape[-1])]) for x in (a, b))
    return np.cross(a, b)[..., 2] if flat else np.cross(a, b)


CATALOGUE = [
    *(
        product(a, b)
        for a in ((4,), (3, 4), (2, 3, 4), (2, 1, 3, 4))
        for b in ((4,), (4, 2), (2, 4, 2))
    ),
    *(
        Sample(
            "linear",
            lambda m, x, W, b: m.linear(x, W, b),
            (shape, (2, 4), (2,)),
            numpy=np_linear,
            torch=lambda m, x, W, b: m.nn.functional.linear(x, W, b),
            label=str(shape),
        )
        for shape in ((4,), (3, 4), (2, 3, 4))
    ),
    Sample("linear", lambda m, x, W: m.linear(x, W), (A, (2, 4)), numpy=np_linear, label="no bias"),
    *(
        Sample(
            "linear_sum",
            lambda m, x, Wx, h, Wh, b: m.linear_sum(x, Wx, h, Wh, b),
            ((*rows, 4), (2, 4), (*rows, 3), (2, 3), (2,)),
            numpy=np_linear_sum,
            torch=lambda m, x, Wx, h, Wh, b: m.nn.functional.linear(x, Wx, b) + m.nn.functional.linear(h, Wh),
            label=str(rows),
        )
        for rows in ((), (1,), (3,), (2, 3))
    ),
    Sample(
        "linear_sum",
        lambda m, x, Wx, h, Wh: m.linear_sum(x, Wx, h, Wh),
        (A, (2, 4), (3, 3), (2, 3)),
        numpy=np_linear_sum,
        label="no bias",
    ),
    Sample("outer", lambda m, a, b: m.outer(a, b), ((3,), (4,)), torch=None, autograd=True),
    of_two("outer", (2, 3), (2, 1, 2)),
    *(
        of_two("dot", a, b, autograd=True)
        for a, b in (((), A), (A, ()), ((4,), (4,)), (A, (4,)), (A, (4, 2)), ((2, 3, 4), (4, 2)), ((4,), (2, 4, 3)),
                     ((3, 4), (2, 4, 2)))
    ),
    of_two("dot", (4,), (4, 2)),
    *(
        of_two("inner", a, b, torch=None, autograd=True)
        for a, b in ((A, ()), ((4,), (4,)), (A, (4,)), ((4,), A), (A, (2, 4)), ((2, 3, 4), (2, 2, 4)))
    ),
    *(of_two("vdot", a, b) for a, b in (((4,), (4,)), ((3, 2), (3, 2)))),
    Sample(
        "vdot",
        lambda m, a, b: m.real(m.vdot(a * 1j + b, b * a + 1j * b)),
        ((4,), (4,)),
        torch=None,
        label="complex",
    ),
    dotted(0, (3,), (2, 2)),
    dotted(1, A, (4, 2)),
    dotted(1, (4,), (4,)),
    dotted(1, (4,), (4, 2)),
    dotted(2, (2, 3, 4), (3, 4, 2)),
    dotted(([1], [0]), (2, 3), (3, 2)),
    dotted(([0], [1]), (3, 2), (2, 3)),
    dotted(([2, 0], [0, 1]), (2, 3, 4), (4, 2, 3)),
    dotted(([0, -1], [-1, 0]), (2, 3, 4), (4, 3, 2)),
    dotted(([-1], [-1]), (2, 3, 4), (2, 4)),
    dotted(([-1], [1]), (2, 4), (2, 4, 3)),
    dotted(([0], [1]), (4, 2), (2, 4, 3)),
    dotted(([1, 0], [0, 1]), A, (4, 3)),
    dotted((0, 0), A, (3, 2)),
    *(
        of_two("kron", a, b, torch=None, autograd=True)
        for a, b in (((3,), (2,)), ((2, 3), (3, 2)))
    ),
    *(of_two("kron", a, b, torch=None) for a, b in (((2, 2), (2, 3, 2)), ((), (2, 3)), ((2, 1, 2), (3,)))),
    *(of_two("matvec", a, b, numpy=np_matvec) for a, b in ((A, (4,)), (A, (2, 4)), ((2, 3, 4), (4,)))),
    of_two("matvec", (2, 1, 3, 4), (3, 4), numpy=np_matvec),
    *(of_two("vecmat", a, b, numpy=np_vecmat) for a, b in (((3,), A), ((2, 3), A), ((3,), (2, 3, 4)))),
    of_two("vecmat", (2, 3), (2, 1, 3, 4), numpy=np_vecmat),
    *(
        Sample("vecdot", lambda m, a, b, axis=axis: m.vecdot(a, b, axis), (a, b), numpy=lambda m, a, b, axis=axis:
               np_vecdot(m, a, b, axis), torch=lambda m, a, b, axis=axis: m.linalg.vecdot(a, b, dim=axis),
               label=label_of(a, b, axis))
        for a, b, axis in (((4,), (4,), -1), (A, A, 0), ((3, 1, 2), (3, 2, 2), 0))
    ),
    Sample("vecdot", lambda m, a, b: m.vecdot(a, b), ((2, 1, 4), (3, 4)), numpy=np_vecdot, label="stretched"),
    Sample("vecdot", lambda m, a, b: m.imag(m.vecdot(a * 1j + b, b * (2 + 1j))), ((3, 4), (3, 4)),
           numpy=lambda m, a, b: np.imag(np.sum(np.conj(a * 1j + b) * (b * (2 + 1j)), -1)), label="complex"),
    of_two("cross", (3,), (3,), autograd=True),
    of_two("cross", (2, 3), (2, 3), torch=lambda m, a, b: m.linalg.cross(a, b), autograd=True),
    of_two("cross", (4, 1, 3), (2, 3)),
    of_two("cross", (3, 2), (3, 2), options={"axis": 0}, autograd=True),
    of_two("cross", (3, 2), (2, 3), options={"axisa": 0, "axisc": 0}, autograd=True),
    of_two("cross", (2, 3), (3, 1), options={"axisb": -2}),
    of_two("cross", (2, 2), (2, 2), numpy=np_flat_cross),
    of_two("cross", (2, 3), (2,), numpy=np_flat_cross),
    Sample("trace", lambda m, x: m.trace(x), ((3, 3),), torch=None, autograd=True),
    *(
        Sample("trace", lambda m, x, how=how: m.trace(x, *how), (shape,), autograd=True, label=label_of(shape, *how))
        for shape, how in (((3, 4), (1,)), ((4, 3), (-2,)), ((2, 3, 4), ()), ((2, 3, 4), (0,)))
    ),
    *(
        Sample("trace", lambda m, x, how=how: m.trace(x, *how), (shape,), label=label_of(shape, *how))
        for shape, how in (((2, 3, 4), (1, 1, 2)), ((2, 3, 4), (-1, -1, 0)))
    ),
    Sample(
        "spread_over_diagonal",
        lambda m, g: own(m, "spread_over_diagonal")(g, shape=(3, 2, 4), offset=1, axis1=0, axis2=-1),
        ((2,),),
        numpy=lambda m, g: np.eye(3, 4, 1)[:, None, :] * g[:, None],
    ),
]  # fmt: skip

EDGES: list[Sample] = [
    Sample("matmul", lambda m, a, b: m.matmul(a, b), ((0, 3), (3, 2)), label="no rows"),
    Sample("matmul", lambda m, a, b: m.matmul(a, b), ((2, 0), (0, 3)), label="no columns"),
    Sample("matmul", lambda m, a, b: m.matmul(a, b), ((0, 2, 3), (3, 2)), label="no stack"),
    Sample("linear", lambda m, x, W, b: m.linear(x, W, b), ((0, 3), (2, 3), (2,)), numpy=np_linear, label="no rows"),
    Sample(
        "linear_sum",
        lambda m, x, Wx, h, Wh, b: m.linear_sum(x, Wx, h, Wh, b),
        ((0, 3), (2, 3), (0, 4), (2, 4), (2,)),
        numpy=np_linear_sum,
        label="no rows",
    ),
    of_two("dot", (0,), (0,)),
    of_two("dot", (2, 0), (0, 3)),
    of_two("inner", (2, 0), (3, 0)),
    of_two("outer", (0,), (3,)),
    of_two("kron", (0, 2), (2, 2)),
    dotted(1, (2, 0), (0, 3)),
    dotted(1, (0, 2), (2, 0, 3)),
    dotted(2, (2, 0, 3), (0, 3, 2)),
    of_two("vecdot", (2, 0), (2, 0), numpy=np_vecdot),
    of_two("matvec", (0, 3), (3,), numpy=np_matvec),
    of_two("cross", (0, 3), (3,)),
    *(
        Sample("trace", lambda m, x, how=how: m.trace(x, *how), (shape,), label=label_of(shape, *how))
        for shape, how in (((0, 3), ()), ((2, 3), (5,)), ((2, 3), (-2,)), ((1, 1), ()), ((3, 3, 0), ()))
    ),
    Sample("dot", lambda m, x: m.dot(2.0, x), (A,), label="number"),
    *(
        Sample(name, lambda m, x, name=name: getattr(m, name)([1.0, 2.0, 3.0], x), ((3, 3),), label="list",
               numpy=lambda m, x, how=how: how(np.array([1, 2, 3], x.dtype), x))
        for name, how in (("cross", np.cross), ("vecdot", lambda v, x: v @ x.T), ("vecmat", np.matmul))
    ),
    Sample("kron", lambda m, x: m.kron(x, np.array([1.0, 2.0], x.dtype) if m is np else [1.0, 2.0]), (A,),
           label="list"),
]  # fmt: skip
"""Ties, bounds, and nothing at all: compared with NumPy, where finite differences have no say."""
