"""Sliding windows along an axis."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.ops.catalogue.sample import Sample, own


def view(x: Any, size: Any, axis: Any = None) -> Any:
    return np.lib.stride_tricks.sliding_window_view(x, size, axis)


def windowed(shape: tuple[int, ...], size: Any, axis: Any = None, **how: Any) -> Sample:
    return Sample(
        "sliding_window_view",
        lambda m, x: m.sliding_window_view(x, size, axis),
        (shape,),
        numpy=lambda m, x: view(x, size, axis),
        label=f"{size} along {axis}",
        **how,
    )


def np_overlap_add(g: np.ndarray, n: int, axis: int, step: int, dilation: int) -> np.ndarray:
    """Windows added up along `axis`, of length n."""
    axis %= g.ndim - 1
    g = np.moveaxis(g, axis, 0)
    y = np.zeros((n, *g.shape[1:-1]), g.dtype)
    for t in range(g.shape[0]):
        for k in range(g.shape[-1]):
            y[t * step + k * dilation] += g[t, ..., k]
    return np.moveaxis(y, 0, axis)


CATALOGUE = [
    windowed((6,), 3, torch=lambda m, x: x.unfold(0, 3, 1)),
    windowed((4, 5), 2, -1, torch=lambda m, x: x.unfold(1, 2, 1)),
    windowed((4, 5), 3, 0, torch=lambda m, x: x.unfold(0, 3, 1)),
    windowed((4, 5), (2, 3)),
    windowed((4, 5, 2), np.int64(4), np.int64(1)),
    windowed((4, 5, 2), (2, 1), (2, 0)),
    windowed((6,), (2, 3), (0, 0)),
    windowed((3,), 3),
    *(
        Sample(
            "windows",
            lambda m, x, how=how: own(m, "windows")(x, **how),
            ((2, 9, 2),),
            numpy=lambda m, x, how=how: np.moveaxis(
                view(np.moveaxis(x, how["axis"], 0), how.get("dilation", 1) * (how["size"] - 1) + 1, 0)[
                    :: how.get("step", 1), ..., :: how.get("dilation", 1)
                ],
                0,
                how["axis"],
            ),
            label="-".join(f"{key} {value}" for key, value in how.items()),
        )
        for how in (
            {"size": 3, "axis": 1, "step": 2},
            {"size": 2, "axis": 1, "step": 3, "dilation": 2},
            {"size": 4, "axis": 1, "step": 4},
            {"size": 5, "axis": 1, "step": 3},
        )
    ),
    *(
        Sample(
            "overlap_add",
            lambda m, g, how=how: own(m, "overlap_add")(g, **how),
            (shape,),
            numpy=lambda m, g, how=how: np_overlap_add(g, how["n"], how["axis"], how["step"], how["dilation"]),
            label=f"{shape}".replace(" ", ""),
        )
        for shape, how in (
            ((2, 3, 2, 4), {"n": 8, "axis": 1, "step": 2, "dilation": 1}),
            ((5, 2, 2), {"n": 8, "axis": 0, "step": 1, "dilation": 3}),
            ((2, 3, 2), {"n": 7, "axis": -1, "step": 2, "dilation": 1}),
        )
    ),
]  # fmt: skip

EDGES: list[Sample] = [
    windowed((0, 5), 2, 1),
    windowed((3, 2), 0, 0),
    windowed((4, 3), (), ()),
    Sample("sliding_window_view", lambda m, x: m.sliding_window_view(m.flip(x), 2, 1), ((2, 5),),
           numpy=lambda m, x: view(np.flip(x), 2, 1), label="read backward"),
]  # fmt: skip
"""Empty arrays and negative strides: compared with NumPy only, since finite differences do not apply."""
