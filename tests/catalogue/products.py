"""Products."""

from __future__ import annotations

from typing import Any

from .sample import A, Sample


def np_linear(m: Any, x: Any, W: Any, b: Any = 0.0) -> Any:
    return m.matmul(x, W.T) + b


def product(a: tuple[int, ...], b: tuple[int, ...]) -> Sample:
    label = f"{a}@{b}".replace(" ", "")
    return Sample("matmul", lambda m, a, b: m.matmul(a, b), (a, b), torch=None, autograd=True, label=label)


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
    Sample("outer", lambda m, a, b: m.outer(a, b), ((3,), (4,)), torch=None, autograd=True),
]  # fmt: skip

EDGES: list[Sample] = [
    Sample("matmul", lambda m, a, b: m.matmul(a, b), ((0, 3), (3, 2)), label="no rows"),
    Sample("matmul", lambda m, a, b: m.matmul(a, b), ((2, 0), (0, 3)), label="no columns"),
    Sample("matmul", lambda m, a, b: m.matmul(a, b), ((0, 2, 3), (3, 2)), label="no stack"),
    Sample("linear", lambda m, x, W, b: m.linear(x, W, b), ((0, 3), (2, 3), (2,)), numpy=np_linear, label="no rows"),
]  # fmt: skip
"""Ties, bounds, and nothing at all: compared with NumPy, where finite differences have no say."""
