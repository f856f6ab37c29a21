"""Pooling along the last axis."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigrad.ops.nn.sliding_windows import Geometry
from tests.ops.catalogue.sample import Sample, own


def windows_of(x: Any, kernel_size: Any, stride: Any, padding: int, dilation: int, ceil_mode: bool) -> Any:
    """Where every window starts on the axis, with its size, dilation and padding."""
    one = lambda n: n[0] if isinstance(n, tuple) else n
    kernel_size, padding, dilation = one(kernel_size), one(padding), one(dilation)
    stride = kernel_size if stride is None else one(stride)
    rounded = math.ceil if ceil_mode else math.floor
    count = rounded((x.shape[-1] + 2 * padding - dilation * (kernel_size - 1) - 1) / stride) + 1
    if ceil_mode and (count - 1) * stride >= x.shape[-1] + padding:
        count -= 1
    return [(t * stride - padding, one(kernel_size), one(dilation), one(padding)) for t in range(count)]


def np_max_pool1d(m: Any, x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
                  ceil_mode: bool = False) -> Any:  # fmt: skip
    result = []
    for begin, size, apart, _ in windows_of(x, kernel_size, stride, padding, dilation, ceil_mode):
        places = [begin + k * apart for k in range(size) if 0 <= begin + k * apart < x.shape[-1]]
        result.append(np.max(x[..., places], axis=-1))
    return np.stack(result, axis=-1)


def np_avg_pool1d(m: Any, x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
                  count_include_pad: bool = True) -> Any:  # fmt: skip
    result = []
    for begin, size, _, around in windows_of(x, kernel_size, stride, padding, 1, ceil_mode):
        seen = x[..., max(begin, 0) : begin + size]
        whole = min(begin + size, x.shape[-1] + around) - begin
        result.append(np.sum(seen, axis=-1) / (whole if count_include_pad else seen.shape[-1]))
    return np.stack(result, axis=-1)


def np_adaptive(m: Any, x: Any, n: Any) -> Any:
    length = x.shape[-1]
    return np.stack(
        [np.mean(x[..., k * length // n : math.ceil((k + 1) * length / n)], axis=-1) for k in range(n)], axis=-1
    )


def pooled(name: str, theirs: Any, shape: tuple[int, ...], *sizes: Any, **how: Any) -> Sample:
    label = "-".join([str(shape), *map(str, sizes), *(f"{key} {value}" for key, value in how.items())])
    return Sample(
        name,
        lambda m, x: getattr(m, name)(x, *sizes, **how),
        (shape,),
        numpy=lambda m, x: theirs(m, x, *sizes, **how),
        torch=lambda m, x: getattr(m.nn.functional, name)(x, *sizes, **how),
        label=label.replace(" ", ""),
    )


AT = Geometry(length=8, size=3, windows=4, left=1, step=2, dilation=1)
WIDE = Geometry(length=40, size=36, windows=3, left=1, step=2, dilation=1)
OFFSETS = np.array([[1, 0, 2, 2], [2, 1, 0, 0]])


def np_max_pool1d_adjoint(m: Any, g: Any, at: Geometry, offsets: Any) -> Any:
    x = np.zeros((*g.shape[:-1], at.length), g.dtype)
    for row, t in np.ndindex(g.shape):
        x[row, t * at.step - at.left + offsets[row, t] * at.dilation] += g[row, t]
    return x


def np_window_spread(g: Any, at: Geometry) -> Any:
    x = np.zeros((*g.shape[:-1], at.length + 2 * at.left), g.dtype)
    for t in range(at.windows):
        x[..., t * at.step : t * at.step + at.size] += g[..., t : t + 1]
    return x[..., at.left : at.left + at.length]


CATALOGUE = [
    *(
        pooled("max_pool1d", np_max_pool1d, shape, *sizes, **how)
        for shape, sizes, how in (
            ((2, 3, 9), (3,), {}),
            ((3, 9), (3,), {"stride": 2}),
            ((2, 3, 9), ((2,),), {"stride": (1,), "padding": (1,), "dilation": (2,)}),
            ((2, 3, 8), (3, 2, 1), {"ceil_mode": True}),
            ((2, 3, 7), (3, 3), {"ceil_mode": True}),
            ((2, 3, 7), (2, 3, 1), {"ceil_mode": True}),
            ((2, 3, 9), (2,), {"stride": 5}),
            ((2, 40), (35, 2), {"padding": 3}),
        )
    ),
    *(
        pooled("avg_pool1d", np_avg_pool1d, shape, *sizes, **how)
        for shape, sizes, how in (
            ((2, 3, 9), (3,), {}),
            ((3, 9), (3,), {"stride": 2}),
            ((2, 3, 9), ((4,),), {"stride": (2,), "padding": (1,)}),
            ((2, 3, 9), (4, 2, 2), {"count_include_pad": False}),
            ((2, 3, 8), (3, 2, 1), {"ceil_mode": True}),
            ((2, 3, 7), (3, 3), {"ceil_mode": True, "count_include_pad": False}),
            ((2, 3, 9), (1, 2), {}),
            ((2, 3, 9), (2, 5), {}),
            ((2, 40), (35, 2), {"padding": 3}),
        )
    ),
    *(pooled("adaptive_avg_pool1d", np_adaptive, (2, 3, length), n) for length, n in ((8, 4), (9, 4), (3, 5), (5, 1))),
    *(
        Sample("max_pool1d_adjoint", lambda m, g, offsets, at=at: own(m, "max_pool1d_adjoint")(g, offsets, at=at),
               ((2, offsets.shape[1]), offsets), label=label,
               numpy=lambda m, g, offsets, at=at: np_max_pool1d_adjoint(m, g, at, offsets))
        for at, offsets, label in ((AT, OFFSETS, "narrow"), (WIDE, OFFSETS[:, :3] + 7, "wide"))
    ),
    Sample("window_sums", lambda m, x: own(m, "window_sums")(x, at=AT), ((2, 8),),
           numpy=lambda m, x: 3 * np_avg_pool1d(m, x, 3, 2, 1)),
    Sample("window_spread", lambda m, g: own(m, "window_spread")(g, at=AT), ((2, 4),),
           numpy=lambda m, g: np_window_spread(g, AT)),
    Sample("mean_spread",
           lambda m, g: own(m, "mean_spread")(g, parts=[slice(0, 2), slice(1, 4), slice(3, 5)], length=5), ((2, 3),),
           numpy=lambda m, g: np.stack([g[:, 0] / 2, g[:, 0] / 2 + g[:, 1] / 3, g[:, 1] / 3, g[:, 1] / 3 + g[:, 2] / 2,
                                        g[:, 2] / 2], axis=1)),
]  # fmt: skip

EDGES: list[Sample] = [
    *(
        Sample(name, lambda m, x, name=name: getattr(m, name)(x, 3), ((0, 2, 6),),
               numpy=lambda m, x, theirs=theirs: theirs(m, x, 3), label="empty")
        for name, theirs in (("max_pool1d", np_max_pool1d), ("avg_pool1d", np_avg_pool1d))
    ),
    Sample("max_pool1d", lambda m, x: m.max_pool1d(x, 2), ([[1.0, 1.0, np.nan, 2.0]],),
           numpy=lambda m, x: np_max_pool1d(m, x, 2), label="ties and NaN"),
    Sample("max_pool1d", lambda m, x: m.max_pool1d(x, 3, 1, 1), (np.full((1, 4), -np.inf),),
           numpy=lambda m, x: np_max_pool1d(m, x, 3, 1, 1), label="all -inf"),
]  # fmt: skip
"""Ties, bounds and empty arrays: compared with NumPy only, since finite differences do not apply."""
