"""Convolution of two sequences, as NumPy's, and of batches of channels, as `torch.nn.functional`'s.

`conv1d` is linear in the input and in the weight. The derivatives of Σ g · conv1d(x, W) by g, x and W are three
primitives (`_conv1d_output`, `_conv1d_input`, `_conv1d_weight`), and the rules of each are the other two. Each is one
matrix product with the windows of the input, or of its gradient, as columns.
"""

from __future__ import annotations

from typing import Any

from ...engine.primitive import call_in, composed, primitive
from ...engine.summation import accurate_sum
from ...engine.tensor import Tensor
from ..arrays.shape import flip, ndim, shape
from ..elementwise.complex import conj
from ..indexing.gather import put
from .sliding_windows import Geometry, add_windows, single, window_count

Array = Any
__all__ = ["conv1d", "conv_transpose1d", "convolve", "correlate"]


@primitive
def convolve(xp: Any, a: Array, v: Array, mode: str = "full") -> Any:
    """The convolution of two sequences: y[n] = Σ a[n − m] v[m].

    For lengths N and M it has N + M − 1 values in mode "full", the middle max(N, M) of them in mode "same", and in mode
    "valid" the |N − M| + 1 where the shorter sequence lies within the longer.
    """
    n, m = a.size, v.size
    full = n + m - 1
    y = xp.convolve(a, v, mode=mode)
    start = {"full": 0, "same": (min(n, m) - 1) // 2, "valid": min(n, m) - 1}[mode]
    part = slice(start, start + y.shape[0])

    def rule(xp: Any, g: Array, other: Array) -> Array:
        g = g if g.shape[0] == full else call_in(xp, put, g, index=part, shape=(full,))
        return xp.convolve(g, xp.flip(xp.reshape(other, -1)), mode="valid")

    return y, (a, v), (lambda xp, g, a, v: rule(xp, g, v), lambda xp, g, a, v: rule(xp, g, a))


@composed
def correlate(a: Any, v: Any, mode: str = "valid") -> Tensor:
    """The correlation of two sequences: c[k] = Σ a[n + k] · conj(v[n]), in the modes of `convolve`."""
    if not ndim(a) or not ndim(v):
        raise ValueError(f"correlate: got shapes {shape(a)} and {shape(v)}, want two sequences")
    v = flip(v)
    if v.dtype.kind == "c":
        v = conj(v)
    y = convolve(a, v, mode="full" if mode == "same" else mode)
    if mode != "same":
        return y
    n, m = y.size - v.size + 1, v.size
    start = (m - 1) // 2 if n >= m else n // 2  # NumPy exchanges the two, so the middle is rounded the other way
    return y[start : start + (n if n > m else m)]


@primitive
def conv1d(
    xp: Any,
    input: Array,
    weight: Array,
    bias: Array = None,
    stride: int | tuple[int] = 1,
    padding: int | tuple[int] | str = 0,
    dilation: int | tuple[int] = 1,
    groups: int = 1,
) -> Any:
    """`torch.nn.functional.conv1d`: y[n, o, t] = b[o] + Σ W[o, c, k] · x[n, c, t·stride + k·dilation − padding].

    Shapes: input x (N, C, L) or (C, L), weight W (O, C / groups, K), bias b (O,) or None; the result (N, O, T) or
    (O, T). `padding` is added on both sides; "valid" is none, "same" as much as makes T = L. The k-th of `groups` parts
    of the channels contributes to the k-th part of the outputs only.
    """
    at = _geometry(input, weight, bias, single(stride), padding, single(dilation), groups)
    return _output(xp, input, weight, bias, at)


@primitive
def _conv1d_output(xp: Any, x: Array, W: Array, at: Any) -> Any:
    """`conv1d` without a bias, for a known geometry."""
    return _output(xp, x, W, None, at)


def _output(xp: Any, x: Array, W: Array, b: Array, at: Geometry) -> Any:
    batch = x if x.ndim == 3 else x[None]
    y = xp.matmul(_matrices(W, at), _columns(xp, batch, at)).reshape(W.shape[0], batch.shape[0], at.windows)
    y = xp.swapaxes(y, 0, 1) if x.ndim == 3 else y[:, 0]
    if b is not None:
        y = xp.add(y, b[:, None], out=y if b.dtype == y.dtype else None)
    rules = (
        lambda xp, g, x, W: call_in(xp, _conv1d_input, g, W, at=at),
        lambda xp, g, x, W: call_in(xp, _conv1d_weight, g, x, at=at),
        _by_bias,
    )
    return y, (x, W), rules


@primitive
def _conv1d_input(xp: Any, g: Array, W: Array, b: Array = None, at: Any = None) -> Any:
    """x of shape (N, C, L) for which Σ x·dx = Σ g·conv1d(dx, W): the windows W·g[n, :, t] added up."""
    batch = g if g.ndim == 3 else g[None]
    rows, columns = xp.swapaxes(_matrices(W, at), 1, 2), _channels_first(xp, batch, at.groups)
    windows = rows * columns if columns.shape[1] == 1 else xp.matmul(rows, columns)
    windows = windows.reshape(W.shape[1] * at.groups, at.size, batch.shape[0], at.windows)
    x = xp.zeros((windows.shape[0], batch.shape[0], max(at.span, at.left + at.length)), dtype=windows.dtype)
    add_windows(xp, x, xp.transpose(windows, (0, 2, 3, 1)), 2, at.step, at.dilation)
    x = x[:, :, at.left : at.left + at.length]
    x = xp.swapaxes(x, 0, 1) if g.ndim == 3 else x[:, 0]
    rules = (
        lambda xp, gg, g, W: call_in(xp, _conv1d_output, gg, W, at=at),
        lambda xp, gg, g, W: call_in(xp, _conv1d_weight, g, gg, at=at),
        _by_bias,
    )
    return x if b is None else x + b[:, None], (g, W), rules


@primitive
def _conv1d_weight(xp: Any, g: Array, x: Array, at: Any) -> Any:
    """W of shape (O, C / groups, K) for which Σ W·dW = Σ g·conv1d(x, dW)."""
    columns = _columns(xp, x if x.ndim == 3 else x[None], at)
    rows = _channels_first(xp, g if g.ndim == 3 else g[None], at.groups)
    W = xp.matmul(rows, xp.swapaxes(columns, 1, 2)).reshape(g.shape[-2], x.shape[-2] // at.groups, at.size)
    rules = (
        lambda xp, gg, g, x: call_in(xp, _conv1d_output, x, gg, at=at),
        lambda xp, gg, g, x: call_in(xp, _conv1d_input, g, gg, at=at),
    )
    return W, (g, x), rules


def _by_bias(xp: Any, g: Array, *_: Array) -> Array:
    return accurate_sum(g, (0, 2) if g.ndim == 3 else 1)


@composed
def conv_transpose1d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: int | tuple[int] = 1,
    padding: int | tuple[int] = 0,
    output_padding: int | tuple[int] = 0,
    groups: int = 1,
    dilation: int | tuple[int] = 1,
) -> Tensor:
    """`torch.nn.functional.conv_transpose1d`: the adjoint of `conv1d` in its input.

    Shapes: input x (N, O, T) or (O, T), weight W (O, C / groups, K), bias b (C,) or None; the result (N, C, L) or
    (C, L), with L = (T − 1)·stride − 2·padding + (K − 1)·dilation + output_padding + 1.
    """
    x, W, b = input, weight, bias
    step, dilation, left, extra = single(stride), single(dilation), single(padding), single(output_padding)
    if not 0 <= extra < max(step, dilation):
        raise ValueError(f"conv_transpose1d: output_padding: got {extra}, want less than the stride or the dilation")
    if x.shape[-2] != W.shape[0] or W.shape[0] % groups:
        raise ValueError(f"conv_transpose1d: x {x.shape} and W {W.shape} do not fit with {groups} groups")
    count, size = x.shape[-1], W.shape[2]
    length = (count - 1) * step - 2 * left + dilation * (size - 1) + extra + 1
    if length < 1:
        raise ValueError(f"conv_transpose1d: got x {x.shape} and W {W.shape}, which give a length of {length}")
    return _conv1d_input(x, W, b, at=Geometry(length, size, count, left, step, dilation, groups))


def _geometry(x: Array, W: Array, b: Array, step: int, padding: Any, dilation: int, groups: int) -> Geometry:
    if x.ndim not in (2, 3) or W.ndim != 3:
        raise ValueError("want x of shape (N, C, L) or (C, L), and W of shape (O, C / groups, K)")
    if groups < 1 or x.shape[-2] != W.shape[1] * groups or W.shape[0] % groups:
        raise ValueError(f"want {W.shape[1]} · groups channels, and outputs divisible by groups = {groups}")
    if b is not None and tuple(b.shape) != W.shape[:1]:
        raise ValueError(f"want b of shape {W.shape[:1]} for W of shape {W.shape}")
    length, size = x.shape[-1], W.shape[2]
    if padding == "same":
        if step != 1:
            raise ValueError("padding 'same' needs a stride of 1")
        left, total = dilation * (size - 1) // 2, dilation * (size - 1)
    else:
        left = 0 if padding == "valid" else single(padding)
        total = 2 * left
    return Geometry(length, size, window_count(length + total, size, step, dilation), left, step, dilation, groups)


def _matrices(W: Array, at: Geometry) -> Array:
    """W as one matrix (O / groups, C / groups · K) for each group."""
    return W.reshape(at.groups, W.shape[0] // at.groups, W.shape[1] * at.size)


def _columns(xp: Any, x: Array, at: Geometry) -> Array:
    """Every window of x (N, C, L) as a column: (groups, C / groups · K, N · T). A copy."""
    batch, channels, _ = x.shape
    windows = at.view(xp, at.to_span(xp, x, 0))
    return xp.transpose(windows, (1, 3, 0, 2)).reshape(at.groups, channels // at.groups * at.size, batch * at.windows)


def _channels_first(xp: Any, g: Array, groups: int) -> Array:
    """(N, O, T) as (groups, O / groups, N · T), copied if need be: BLAS takes no broadcast array."""
    batch, channels, count = g.shape
    return xp.ascontiguousarray(xp.swapaxes(g, 0, 1).reshape(groups, channels // groups, batch * count))
