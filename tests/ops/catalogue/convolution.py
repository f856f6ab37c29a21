"""Convolution of two sequences, and of batches of channels."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.ops.nn.convolution import Geometry
from tests.ops.catalogue.sample import Sample, own

MODES = ("full", "same", "valid")


def np_conv1d(m: Any, x: Any, W: Any, b: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
              groups: int = 1) -> Any:  # fmt: skip
    """The formula of the docstring, one product at a time."""
    stride, padding, dilation = (n[0] if isinstance(n, tuple) else n for n in (stride, padding, dilation))
    if x.ndim == 2:
        return np_conv1d(m, x[None], W, b, stride, padding, dilation, groups)[0]
    outputs, inner, size = W.shape
    reach = dilation * (size - 1)
    if isinstance(padding, str):
        around = (reach // 2, reach - reach // 2) if padding == "same" else (0, 0)
    else:
        around = (padding, padding)
    x = np.pad(x, ((0, 0), (0, 0), around))
    count = (x.shape[2] - reach - 1) // stride + 1
    y = np.zeros((x.shape[0], outputs, count), np.result_type(x, W))
    for o in range(outputs):
        first = o // (outputs // groups) * inner
        for t in range(count):
            seen = x[:, first : first + inner, t * stride : t * stride + reach + 1 : dilation]
            y[:, o, t] = np.sum(seen * W[o], axis=(1, 2))
    return y if b is None else y + b[:, None]


def np_conv_transpose1d(m: Any, x: Any, W: Any, b: Any = None, stride: Any = 1, padding: Any = 0,
                        output_padding: Any = 0, groups: int = 1, dilation: Any = 1) -> Any:  # fmt: skip
    stride, padding, extra, dilation = (
        n[0] if isinstance(n, tuple) else n for n in (stride, padding, output_padding, dilation)
    )
    if x.ndim == 2:
        return np_conv_transpose1d(m, x[None], W, b, stride, padding, extra, groups, dilation)[0]
    outputs, inner, size = W.shape
    length = (x.shape[2] - 1) * stride + dilation * (size - 1) + 1 + extra
    y = np.zeros((x.shape[0], inner * groups, length), np.result_type(x, W))
    for o in range(outputs):
        first = o // (outputs // groups) * inner
        for t in range(x.shape[2]):
            for k in range(size):
                y[:, first : first + inner, t * stride + k * dilation] += x[:, o, t, None] * W[o, :, k]
    y = y[:, :, padding : length - padding]
    return y if b is None else y + b[:, None]


def convolution(x: tuple[int, ...], W: tuple[int, ...], bias: bool = True, **how: Any) -> Sample:
    label = "-".join([str(x), str(W), *(f"{key} {value}" for key, value in how.items())]).replace(" ", "")
    return Sample(
        "conv1d",
        lambda m, x, W, *b: m.conv1d(x, W, *b, **how),
        (x, W, W[:1])[: 3 if bias else 2],
        numpy=lambda m, x, W, *b: np_conv1d(m, x, W, *b, **how),
        torch=lambda m, x, W, *b: m.nn.functional.conv1d(x, W, *b, **how),
        label=label,
    )


def transposed(x: tuple[int, ...], W: tuple[int, ...], bias: bool = True, **how: Any) -> Sample:
    label = "-".join([str(x), str(W), *(f"{key} {value}" for key, value in how.items())]).replace(" ", "")
    return Sample(
        "conv_transpose1d",
        lambda m, x, W, *b: m.conv_transpose1d(x, W, *b, **how),
        (x, W, (W[1] * how.get("groups", 1),))[: 3 if bias else 2],
        numpy=lambda m, x, W, *b: np_conv_transpose1d(m, x, W, *b, **how),
        torch=lambda m, x, W, *b: m.nn.functional.conv_transpose1d(x, W, *b, **how),
        label=label,
    )


CATALOGUE = [
    *(
        Sample(name, lambda m, a, v, name=name, mode=mode: getattr(m, name)(a, v, mode), ((n,), (k,)),
               label=f"{n}-{k}-{mode}")
        for name in ("convolve", "correlate")
        for n, k in ((6, 3), (3, 6), (4, 4), (5, 4), (4, 5), (1, 3), (5, 2))
        for mode in MODES
    ),
    Sample("convolve", lambda m, a, v: m.convolve(a, v), ((5,), (3,)),
           torch=lambda m, a, v: m.nn.functional.conv1d(a[None, None], v.flip(0)[None, None], padding=2)[0, 0],
           label="default"),
    Sample("correlate", lambda m, a, v: m.correlate(a, v), ((5,), (3,)),
           torch=lambda m, a, v: m.nn.functional.conv1d(a[None, None], v[None, None])[0, 0], label="default"),
    Sample("correlate", lambda m, a, v, w: m.real(m.correlate(a * 1j + w[0], v + 1j * w, "same")), ((5,), (3,), (3,)),
           label="complex"),
    Sample("convolve", lambda m, a, v: m.convolve(a, v, "same"), ((), (3,)), label="number"),
    convolution((2, 3, 7), (4, 3, 3)),
    convolution((3, 7), (4, 3, 3)),
    convolution((2, 3, 7), (4, 3, 3), bias=False, stride=2),
    convolution((2, 3, 7), (4, 3, 2), stride=(2,), padding=(1,), dilation=(2,)),
    convolution((2, 4, 8), (6, 2, 3), groups=2, padding=2, stride=3),
    convolution((2, 3, 6), (3, 1, 3), groups=3, padding="same"),
    convolution((3, 6), (3, 1, 4), bias=False, groups=3, padding=1),
    convolution((2, 2, 7), (3, 2, 4), padding="same", dilation=2),
    convolution((2, 2, 7), (3, 2, 3), padding="valid", dilation=2),
    convolution((2, 2, 3), (3, 2, 1), padding=3, stride=4),
    convolution((2, 2, 5), (3, 2, 5)),
    Sample("conv1d", lambda m, x, W, b: m.conv1d(x, W, bias=b, padding=1), ((2, 3, 7), (4, 3, 3), (4,)),
           numpy=lambda m, x, W, b: np_conv1d(m, x, W, b, padding=1), label="bias by name"),
    transposed((2, 3, 5), (3, 4, 3)),
    transposed((3, 5), (3, 4, 3), stride=2),
    transposed((2, 3, 5), (3, 4, 3), bias=False, stride=(2,), padding=(1,), output_padding=(1,)),
    transposed((2, 4, 3), (4, 2, 3), groups=2, stride=3, dilation=2),
    transposed((2, 4, 3), (4, 1, 2), groups=4, stride=3, padding=2, output_padding=2),
    *(
        Sample(
            name,
            lambda m, a, b, name=name: own(m, name)(
                a, b, at=Geometry(length=7, size=3, windows=4, left=1, step=2, dilation=1, groups=1)
            ),
            shapes,
            numpy=value,
        )
        for name, shapes, value in (
            ("conv1d_output", ((2, 3, 7), (4, 3, 3)),
             lambda m, x, W: np_conv1d(m, x, W, stride=2, padding=1)),
            ("conv1d_input", ((2, 4, 4), (4, 3, 3)),
             lambda m, g, W: np_conv_transpose1d(m, g, W, stride=2, padding=1)),
            ("conv1d_weight", ((2, 4, 4), (2, 3, 7)),
             lambda m, g, x: np.stack([np.einsum("not,nct->oc", g, np.pad(x, ((0, 0), (0, 0), (1, 1)))[:, :, k:k + 7:2])
                                       for k in range(3)], axis=2)),
        )
    ),
]  # fmt: skip

EDGES: list[Sample] = [
    convolution((0, 3, 7), (4, 3, 3)),
    convolution((2, 3, 7), (0, 3, 3)),
    transposed((0, 3, 5), (3, 4, 3)),
    Sample("convolve", lambda m, a: m.convolve(a, [1.0, 2.0]), ((4,),), label="list"),
    Sample("conv1d", lambda m, x, W: m.conv1d(m.flip(x), m.flip(W), stride=2), ((2, 3, 6), (2, 3, 2)),
           numpy=lambda m, x, W: np_conv1d(m, np.flip(x), np.flip(W), stride=2), label="read backward"),
    Sample("conv1d", lambda m, x, W: m.conv1d(m.broadcast_to(x, (2, 3, 6)), W, padding=1), ((3, 1), (2, 3, 3)),
           numpy=lambda m, x, W: np_conv1d(m, np.broadcast_to(x, (2, 3, 6)), W, padding=1), label="broadcast"),
]  # fmt: skip
"""Empty arrays: compared with NumPy only, since finite differences do not apply."""
