"""Linear algebra. Of factors that are not unique only what does not depend on the choice is compared."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tests.ops.catalogue.matrix_products import label_of
from tests.ops.catalogue.sample import A, Sample, own

# Small integers, which change no dtype: matrices to add so that values are well apart, or the condition is good.
SPREAD = np.diag([1, 3, 6]).astype(np.int8)
SHIFT = np.diag([4, 4, 4]).astype(np.int8)
TURN = np.array([[0, -4, 0], [4, 0, 0], [0, 0, 3]], np.int8)
WIDE = np.array([[2, 0, 0, 0], [0, 4, 0, 0], [0, 0, 7, 0]], np.int8)
TALL = WIDE.T
WEIGHTS = np.array([1, 2, 4, 4], np.int8)
STACK = (2, 3, 3)


def of_one(name: str, *args: Any, shape: Any = (3, 3), add: Any = SHIFT, label: str = "", **how: Any) -> Sample:
    """`linalg.name(x + add, *args)` of a regular matrix or stack of them, written the same way everywhere."""
    return Sample(
        name,
        lambda m, x, s: getattr(m.linalg, name)(x + s, *args),
        (shape, add),
        label=label_of(shape, *args) + label,
        **{"torch": None, "autograd": True, **how},
    )


def symmetric(m: Any, x: Any, s: Any) -> Any:
    return x + m.swapaxes(x, -1, -2) + s


def positive_definite(m: Any, x: Any, s: Any) -> Any:
    return m.matmul(x, m.swapaxes(x, -1, -2)) + s


def system(a: Any, b: Any, **how: Any) -> Sample:
    return Sample(
        "solve",
        lambda m, a, b, s: m.linalg.solve(a + s, b),
        (a, b, SHIFT),
        label=label_of(a, b),
        **{"torch": None, "autograd": True, **how},
    )


def np_triangle(m: Any, a: Any, b: Any, s: Any, trans: int, lower: bool, unit: bool) -> Any:
    a = a + s
    t = np.tril(a) if lower else np.triu(a)
    t = t - np.eye(3) * t + np.eye(3) if unit else t
    return np.linalg.solve(np.swapaxes(t, -1, -2) if trans in (1, "T") else t, b).astype(b.dtype)


def triangle(a: Any, b: Any, trans: Any = 0, lower: bool = False, unit: bool = False) -> Sample:
    torch = False
    if not trans and len(b) > 1:
        torch = lambda m, a, b, s: m.linalg.solve_triangular(a + s, b, upper=not lower, unitriangular=unit)
    return Sample(
        "solve_triangular",
        lambda m, a, b, s: m.linalg.solve_triangular(a + s, b, trans, lower, unit),
        (a, b, SHIFT),
        numpy=lambda m, a, b, s: np_triangle(m, a, b, s, trans, lower, unit),
        torch=torch,
        label=label_of(a, b, trans, lower, unit),
    )


def normed(ord: Any, axis: Any, keepdims: bool = False, shape: Any = (2, 3, 4), **how: Any) -> Sample:
    return Sample(
        "norm",
        lambda m, x: m.linalg.norm(x, ord, axis, keepdims),
        (shape,),
        label=label_of(ord, axis, keepdims, shape),
        **{"torch": None, **how},
    )


def np_expm(m: Any, x: Any) -> Any:
    y = term = np.broadcast_to(np.eye(x.shape[-1]), x.shape)
    for k in range(1, 80):
        term = term @ x.astype(np.float64) / k
        y = y + term
    return y.astype(x.dtype)


def exponential(shape: Any, scale: float = 1.0) -> Sample:
    return Sample(
        "expm",
        lambda m, x: m.linalg.expm(x * scale),
        (shape,),
        numpy=lambda m, x: np_expm(m, x * scale),
        torch=lambda m, x: m.linalg.matrix_exp(x * scale),
        waits=True,
        label=label_of(shape, scale),
    )


def rebuilt(m: Any, u: Any, s: Any, vt: Any) -> Any:
    """From singular values squared: needs values and both sides, and no choice of signs."""
    return m.matmul(u[..., :3] * (s * s)[..., None, :], vt[..., :3, :])


def np_cofactors(a: Any) -> Any:
    return np.linalg.det(a)[..., None, None] * np.swapaxes(np.linalg.inv(a), -1, -2)


def np_exact_change(a: Any, h: Any) -> Any:
    """The derivative of the cofactors in the direction h, by the product rule."""
    b, c = np.linalg.inv(a), np_cofactors(a)
    trace = np.trace(b @ h, axis1=-2, axis2=-1)[..., None, None]
    return trace * c - np.swapaxes(b, -1, -2) @ np.swapaxes(h, -1, -2) @ c


def residuals(result: Any) -> Any:
    return result[1]


CATALOGUE = [
    *(of_one("inv", shape=shape) for shape in ((3, 3), STACK)),
    of_one("pinv"),
    *(of_one("pinv", shape=shape, add=add) for shape, add in (((3, 4), WIDE), ((4, 3), TALL), ((2, 4, 3), TALL))),
    Sample("pinv", lambda m, x, s: m.linalg.pinv(x + s, 0.001), (A, WIDE), torch=None, label="rcond"),
    *(system((3, 3), b) for b in ((3,), (3, 2))),
    system(STACK, (2, 3, 2)),
    *(system(a, b, autograd=False) for a, b in ((STACK, (3, 2)), ((3, 3), (2, 3, 2)), ((2, 1, 3, 3), (2, 3, 1)))),
    system(STACK, (3,), torch=False, autograd=False),
    *(triangle((3, 3), (3, 2), *how) for how in ((), (0, True), (1,), (1, True), ("T", True, True), (0, False, True))),
    triangle((3, 3), (3,), 0, True),
    triangle(STACK, (3, 2)),
    triangle(STACK, (2, 3, 1), 1, True),
    triangle((3, 3), (2, 3, 2), 0, True),
    *(
        Sample("lstsq", lambda m, a, b, s: m.linalg.lstsq(a + s, b, rcond=None)[0], (shape, b, s),
               torch=(lambda m, a, b, s: m.linalg.lstsq(a + s, b).solution) if len(b) > 1 else False,
               waits=True, label=label_of(shape, b))
        for shape, b, s in (((4, 3), (4, 2), TALL), ((4, 3), (4,), TALL), ((3, 4), (3, 2), WIDE), ((3, 3), (3,), SHIFT))
    ),
    *(
        Sample("lstsq", lambda m, a, b, s: residuals(m.linalg.lstsq(a + s, b, rcond=None)), ((4, 3), b, TALL),
               waits=True, label=label_of("residuals", b))
        for b in ((4,), (4, 2))
    ),
    Sample("tensorinv", lambda m, a, s: m.linalg.tensorinv(m.reshape(a + s, (3, 1, 3)), 1), ((3, 3), SHIFT),
           torch=None, label="1"),
    Sample("tensorinv", lambda m, a, s: m.linalg.tensorinv(m.reshape(a + s, (1, 3, 3, 1))), ((3, 3), SHIFT),
           torch=None, label="2"),
    Sample("tensorsolve", lambda m, a, b, s: m.linalg.tensorsolve(m.reshape(a + s, (3, 1, 3)), m.reshape(b, (3, 1))),
           ((3, 3), (3,), SHIFT), torch=None),
    Sample("tensorsolve", lambda m, a, b, s: m.linalg.tensorsolve(m.reshape(a + s, (3, 3, 1)), b, axes=(0,)),
           ((3, 3), (3, 1), SHIFT), torch=lambda m, a, b, s: m.linalg.tensorsolve(m.reshape(a + s, (3, 3, 1)), b, (0,)),
           label="axes"),
    *(
        Sample("cholesky", lambda m, x, s: m.linalg.cholesky(positive_definite(m, x, s)), (shape, SHIFT), torch=None,
               autograd=True, label=label_of(shape))
        for shape in ((3, 3), STACK)
    ),
    Sample("cholesky", lambda m, x, s: m.linalg.cholesky(positive_definite(m, x, s), upper=True), (STACK, SHIFT),
           torch=None, label="upper"),
    *(
        Sample("qr", lambda m, x, s, part=part: m.linalg.qr(x + s)[part], (shape, s),
               torch=None, label=label_of(shape, "QR"[part]))
        for shape, s in (((3, 3), SHIFT), ((4, 3), TALL), ((3, 4), WIDE), ((2, 4, 3), TALL), ((2, 3, 4), WIDE))
        for part in (0, 1)
    ),
    Sample("qr", lambda m, x, s: m.linalg.qr(x + s, "r"), ((4, 3), TALL), torch=False, label="r"),
    *(
        Sample("qr", lambda m, x, s: m.matmul(*m.linalg.qr(x + s, "complete")) * (x + s), (shape, s),
               label=f"product {n}")
        for n, (shape, s) in enumerate((((3, 4), WIDE), ((2, 4, 3), TALL)))
    ),
    Sample("qr", lambda m, x, s, w: m.matmul((q := m.linalg.qr(x + s, "complete")[0]) * w, m.swapaxes(q, -1, -2)),
           ((4, 3), TALL, WEIGHTS), label="complete"),
    *(
        Sample("svd", lambda m, x, s, full=full: rebuilt(m, *m.linalg.svd(x + s, full_matrices=full)), (shape, s),
               torch=None, autograd=not full, label=label_of(shape, full))
        for shape, s in (((3, 3), SPREAD), ((4, 3), TALL), ((3, 4), WIDE), ((2, 4, 3), TALL))
        for full in (False, True)
    ),
    Sample("svd", lambda m, x, s, w: m.matmul((u := m.linalg.svd(x + s)[0]) * w, m.swapaxes(u, -1, -2)),
           ((4, 3), TALL, WEIGHTS), label="U"),
    Sample("svd", lambda m, x, s, w: m.matmul(m.swapaxes(v := m.linalg.svd(x + s)[2], -1, -2) * w, v),
           ((3, 4), WIDE, WEIGHTS), label="V"),
    Sample("svd", lambda m, x, s: m.linalg.svd(x + s, full_matrices=False)[0] ** 2, ((4, 3), TALL), torch=None,
           label="U squared"),
    Sample("svd", lambda m, x, s: m.linalg.svd(x + s)[1], ((4, 3), TALL), label="S"),
    *(
        Sample("svdvals", lambda m, x, s: m.linalg.svdvals(x + s), (shape, s), torch=None, label=label_of(shape))
        for shape, s in (((3, 3), SPREAD), ((2, 4, 3), TALL))
    ),
    Sample("svdvals", lambda m, x, s: m.linalg.svd(x + s, compute_uv=False), (A, WIDE), label="svd"),
    Sample("kink_at_zero", lambda m, x: own(m, "kink_at_zero")(x), (A,), low=0.5, numpy=lambda m, x: x),
    *(
        Sample("eigh", lambda m, x, s, uplo=uplo: m.matmul(
                   (wv := m.linalg.eigh(symmetric(m, x, s), uplo))[1] * m.exp(wv[0] * 0.2)[..., None, :],
                   m.swapaxes(wv[1], -1, -2)),
               (shape, SPREAD), torch=None, autograd=True, label=label_of(shape, uplo))
        for shape, uplo in (((3, 3), "L"), ((3, 3), "U"), (STACK, "L"))
    ),
    Sample("eigh", lambda m, x, s: m.linalg.eigh(symmetric(m, x, s))[1] ** 2, ((3, 3), SPREAD), torch=None,
           autograd=True, label="vectors squared"),
    Sample("eigh", lambda m, x, s: m.linalg.eigh(symmetric(m, x, s))[0], (STACK, SPREAD), torch=None, autograd=True,
           label="values"),
    *(
        Sample("eigvalsh", lambda m, x, s, uplo=uplo: m.linalg.eigvalsh(x + s, uplo), (shape, SPREAD), autograd=False,
               label=label_of("triangle", shape, uplo))
        for shape, uplo in (((3, 3), "U"), (STACK, "L"))
    ),
    *(
        Sample("eigh", lambda m, x, s, uplo=uplo: m.linalg.eigh(x * 0.5 + s, uplo)[1] ** 2, (shape, SPREAD),
               label=label_of("triangle", shape, uplo))
        for shape, uplo in (((3, 3), "U"), (STACK, "L"))
    ),
    *(
        Sample("cholesky", lambda m, x, s, u=u: m.linalg.cholesky(x * 0.5 + s, upper=u), (STACK, SHIFT),
               label=f"triangle {u}")
        for u in (False, True)
    ),
    *(
        Sample("eigvalsh", lambda m, x, s, uplo=uplo: m.linalg.eigvalsh(symmetric(m, x, s), uplo), (shape, SPREAD),
               torch=None, label=label_of(shape, uplo))
        for shape, uplo in (((3, 3), "L"), (STACK, "U"))
    ),
    *(
        Sample("eigvals", lambda m, x, s: m.real((w := m.linalg.eigvals(x * 0.3 + s)) * w) + m.imag(w), (shape, s),
               torch=None, label=label)
        for label, shape, s in (("complex", (3, 3), TURN), ("complex stack", STACK, TURN))
    ),
    *(
        Sample("eigvals", lambda m, x, s: m.real(m.linalg.eigvals(x * 0.1 + s)), (shape, SPREAD),
               torch=None, label=label)
        for label, shape in (("real", (3, 3)), ("real stack", STACK))
    ),
    *(
        Sample("eig", lambda m, x, s: m.real((v := m.linalg.eig(x * 0.3 + s)[1]) * m.conj(v)), (shape, s), torch=None,
               label=f"vectors {n}")
        for n, (shape, s) in enumerate((((3, 3), TURN), (STACK, TURN), ((3, 3), SPREAD)))
    ),
    Sample("eig", lambda m, x, s: m.real(m.matmul((wv := m.linalg.eig(x * 0.3 + s))[1] * m.exp(wv[0])[..., None, :],
                                                  m.linalg.inv(wv[1]))),
           ((3, 3), TURN), torch=None, label="rebuilt"),
    *(of_one("det", shape=shape) for shape in ((3, 3), STACK)),
    Sample("det", lambda m, x: m.linalg.det(x), ((1, 1),), torch=None, label="one"),
    Sample("det", lambda m, x, s: m.real(m.linalg.det(x * (1 + 0.5j) + s)), (STACK, SHIFT), torch=None,
           label="complex"),
    Sample("inv", lambda m, x, s: m.imag(m.linalg.inv(x * (1 + 0.5j) + s)), ((3, 3), SHIFT), torch=None,
           label="complex"),
    Sample("slogdet", lambda m, x, s: m.linalg.slogdet(x * (1 + 0.5j) + s)[1], ((3, 3), SHIFT), torch=None,
           label="complex"),
    Sample("eigvals", lambda m, x, s: m.imag(m.linalg.eigvals(x * 0.3j + s)), ((3, 3), SPREAD), torch=None,
           label="of complex"),
    Sample("det", lambda m, x: m.linalg.det(x), ([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [1.0, 0.0, 1.0]],), label="rank 2"),
    Sample("det", lambda m, x: m.linalg.det(x), (np.outer([1.0, 2.0, 3.0], [2.0, 0.5, 1.0]),), label="rank 1"),
    Sample("det", lambda m, x: m.linalg.det(x), (np.zeros((2, 2)),), label="zero"),
    *(
        Sample("cofactors", lambda m, a, s: own(m, "cofactors")(a + s), (shape, SHIFT),
               numpy=lambda m, a, s: np_cofactors(a + s), label=label_of(shape))
        for shape in ((3, 3), STACK)
    ),
    *(
        Sample("cofactors_change", lambda m, a, h, s: own(m, "cofactors_change")(a + s, h), (shape, shape, SHIFT),
               numpy=lambda m, a, h, s: np_exact_change(a + s, h), label=label_of(shape))
        for shape in ((3, 3), STACK)
    ),
    *(
        Sample("slogdet", lambda m, x, s: m.linalg.slogdet(x - s)[1], (shape, SHIFT), torch=None, autograd=True,
               label=label_of(shape))
        for shape in ((3, 3), STACK)
    ),
    *(
        normed(ord, axis, keepdims)
        for ord in (None, 1, 2, 3, 0.5, -1, math.inf, -math.inf)
        for axis, keepdims in ((1, False), (-1, True))
    ),
    *(
        normed(ord, axis, keepdims)
        for ord in (None, "fro", "nuc", 1, -1, 2, -2, math.inf, -math.inf)
        for axis, keepdims in (((0, 1), False), ((2, -2), True))
    ),
    normed(None, None),
    normed(None, None, True),
    Sample("norm", lambda m, x: m.linalg.norm(x), (A,), autograd=True, label="autograd"),
    *(
        Sample("norm", lambda m, x, o=o, a=a: m.linalg.norm(x, o, a), ((2, 3, 4),), autograd=True,
               label=label_of("autograd", o, a))
        for o, a in (("fro", (0, 1)), ("nuc", (0, 1)), (3, 1), (None, -1))
    ),
    normed("fro", None, shape=A),
    normed(1, None, shape=A),
    normed(3, None, shape=(4,)),
    normed(2, None, shape=(4,)),
    normed(2.5, (0,), autograd=False, torch=False),
    Sample("norm", lambda m, x: m.linalg.norm(x * (1 + 2j) + 1j), (A,), torch=None, label="complex"),
    Sample("norm", lambda m, x: m.linalg.norm(x * (1 + 2j) + 1j, 3, 1), (A,), torch=None, label="complex 3"),
    Sample("euclidean_norm", lambda m, x: own(m, "euclidean_norm")(x, axis=(0, 2)), ((2, 3, 4),),
           numpy=lambda m, x: np.sqrt(np.sum(x * x, (0, 2)))),
    Sample("power_norm", lambda m, x: own(m, "power_norm")(x, 1.5, axis=(0, 2)), ((2, 3, 4),),
           numpy=lambda m, x: np.sum(np.abs(x) ** 1.5, (0, 2)) ** (1 / 1.5)),
    *(
        Sample("vector_norm", lambda m, x, o=o, a=a, k=k: m.linalg.vector_norm(x, axis=a, keepdims=k, ord=o),
               ((2, 3, 4),), torch=lambda m, x, o=o, a=a, k=k: m.linalg.vector_norm(x, o, a, k),
               label=label_of(o, a, k))
        for o, a, k in ((2, None, False), (2, None, True), (1, (0, 2), False), (math.inf, (0, 1), True), (3, 1, False))
    ),
    *(
        Sample("matrix_norm", lambda m, x, o=o, k=k: m.linalg.matrix_norm(x, ord=o, keepdims=k), ((2, 3, 4),),
               torch=lambda m, x, o=o, k=k: m.linalg.matrix_norm(x, o, keepdim=k), label=label_of(o, k))
        for o, k in (("fro", False), ("nuc", True), (1, False))
    ),
    *(
        Sample("cond", lambda m, x, s, p=p: m.linalg.cond(x + s, p), (STACK, SPREAD),
               torch=None if p in (None, 2, -2, "nuc") else False, label=str(p))
        for p in (None, 2, -2, 1, -1, math.inf, "fro", "nuc")
    ),
    *(of_one("matrix_power", n, autograd=False) for n in (1, 2, 3, 5, -1, -3)),
    of_one("matrix_power", 3, shape=STACK, autograd=False),
    *(
        Sample("multi_dot", lambda m, *xs: m.linalg.multi_dot(xs), shapes, torch=None, label=label_of(*shapes))
        for shapes in (((2, 3), (3, 2)), ((2, 4), (4, 1), (1, 3)), ((4,), (4, 2), (2, 3), (3,)), ((2, 3), (3, 4), (4,)),
                       ((3,), (3, 2)))
    ),
    exponential((3, 3), 0.5),
    exponential((3, 3), 3.0),
    exponential((2, 2, 2), 3.0),
    exponential((1, 1)),
]  # fmt: skip

EDGES: list[Sample] = [
    *(
        Sample(name, lambda m, x, name=name: getattr(m.linalg, name)(x), (shape,), label=label_of(shape))
        for name in ("inv", "det", "cholesky", "eigvalsh")
        for shape in ((0, 3, 3), (0, 0))
    ),
    Sample("solve", lambda m, a, b: m.linalg.solve(a, b), ((0, 0), (0,)), label="empty"),
    Sample("solve", lambda m, a, b: m.linalg.solve(a, b), ((0, 3, 3), (0, 3, 2)), label="empty"),
    Sample("svdvals", lambda m, x: m.linalg.svdvals(x), (np.zeros((2, 3)),), label="zero"),
    Sample("norm", lambda m, x: m.linalg.norm([x, 2 * x], axis=0), ((3,),), label="list"),
    Sample("vector_norm", lambda m, x: m.linalg.vector_norm([1.0, 2.0], ord=1) * x, ((3,),), label="numbers"),
    Sample("svd", lambda m, x: rebuilt(m, *m.linalg.svd(x)), (np.zeros((3, 4)),), label="zero"),
    Sample("eigh", lambda m, x: m.linalg.eigh(x)[0], (np.eye(3),), label="equal values"),
    *(
        Sample("norm", lambda m, x, ord=ord: m.linalg.norm(x, ord, 1), (np.zeros((2, 3)),), label=f"zero {ord}")
        for ord in (None, 1, 2, 3, 1.5, 0.5, math.inf, -math.inf)
    ),
    *(
        Sample("norm", lambda m, x, ord=ord: m.linalg.norm(x, ord), (np.zeros((2, 3)),), label=f"zeros {ord}")
        for ord in ("fro", "nuc", 2, -2, 1, -1, math.inf, -math.inf)
    ),
    Sample("norm", lambda m, x: m.linalg.norm(x), ((0,),), label="empty"),
    Sample("norm", lambda m, x: m.linalg.norm(x, axis=1), ((2, 0),), label="empty"),
    Sample("cond", lambda m, x: m.linalg.cond(x), (np.diag([1.0, 0.0, 2.0]),), label="singular"),
    Sample("cond", lambda m, x: m.linalg.cond(x, -2), (np.diag([1.0, 0.0, 2.0]),), label="singular -2"),
    Sample("expm", lambda m, x: m.linalg.expm(x), ((0, 3, 3),), numpy=lambda m, x: x, waits=True, label="empty"),
    Sample("expm", lambda m, x: m.linalg.expm(x), (np.zeros((2, 2)),), numpy=np_expm, waits=True, label="zero"),
    Sample("trace", lambda m, x: m.linalg.trace(x, offset=1), ((2, 3, 4),), label="linalg"),
    Sample("diagonal", lambda m, x: m.linalg.diagonal(x, offset=1), ((2, 3, 4),), label="linalg"),
    Sample("cross", lambda m, a, b: m.linalg.cross(a, b), ((2, 3), (3,)), label="linalg"),
]  # fmt: skip
"""Ties, bounds, and nothing at all: compared with NumPy, where finite differences have no say."""
