"""LayerNorm, RMSNorm and BatchNorm1d: values centred and scaled by their own statistics, or a batch's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import ops
from ..backend import backend_of
from ..engine.modes import no_grad
from ..engine.summation import half_to_single
from ..engine.tensor import Parameter, Tensor
from ..validation import (
    check_dtype,
    check_flag,
    check_input,
    check_integer,
    check_number,
    check_probability,
    is_integer,
)
from . import init
from .module import Module


def normalised(x: Any, axes: int | tuple[int, ...], eps: float) -> Tensor:
    """`(x − mean) / √(variance + eps)` along `axes`; of float16 in float32, since its squares leave float16's range."""
    wide = half_to_single(x)
    centred = wide - ops.mean(wide, axis=axes, keepdims=True)
    y: Tensor = centred / ops.sqrt(ops.mean(ops.square(centred), axis=axes, keepdims=True) + eps)
    return y if wide is x else y.astype(x.dtype)


class LayerNorm(Module):
    """`(x − mean) / √(variance + eps) · weight + bias` over the last axes (Ba, Kiros & Hinton 2016).

    Args:
        normalized_shape: the shape of those axes; a number for the last one only.
        elementwise_affine: whether there are `weight` and `bias`.
        bias: whether there is a `bias` beside the weight.
        dtype: of the parameters, and so of x.

    Parameters: `weight`, `bias`, both of `normalized_shape`, starting at 1 and 0.
    Call: x (..., *normalized_shape) gives the same shape.

    Raises:
        ValueError: a size is not a positive whole number, or x has other last axes. TypeError: x's dtype is another.
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        dtype: Any = "float32",
    ) -> None:
        super().__init__()
        self.normalized_shape = _check_shape("LayerNorm", normalized_shape)
        check_number("LayerNorm", 0, eps=eps)
        check_flag("LayerNorm", elementwise_affine=elementwise_affine, bias=bias)
        shape, dtype = self.normalized_shape, check_dtype("LayerNorm", dtype)
        self.eps = float(eps)
        self.weight = Parameter(np.ones(shape, dtype)) if elementwise_affine else None
        self.bias = Parameter(init.zeros(shape, dtype)) if elementwise_affine and bias else None

    def forward(self, x: Any) -> Tensor:
        x = check_input("LayerNorm", x, self.normalized_shape, self.weight)
        y = normalised(x, tuple(range(-len(self.normalized_shape), 0)), self.eps)
        if self.weight is not None:
            y = y * self.weight
        return y if self.bias is None else y + self.bias

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps:g}, elementwise_affine={self.weight is not None}"


class RMSNorm(Module):
    """`x / √(mean(x²) + eps) · weight` over the last axes (Zhang & Sennrich 2019).

    Args:
        normalized_shape: the shape of those axes; a number for the last one only.
        eps: a number of at least 0; None for the distance from 1 to the next number in x's dtype.
        elementwise_affine: whether there is a `weight`.
        dtype: of the weight, and so of x.

    Parameters: `weight`, of `normalized_shape`, starting at 1.
    Call: x (..., *normalized_shape) gives the same shape. Of float16 the mean is taken in float32.

    Raises:
        ValueError: a size is not a positive whole number, or x has other last axes. TypeError: x's dtype is another.
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        dtype: Any = "float32",
    ) -> None:
        super().__init__()
        self.normalized_shape = _check_shape("RMSNorm", normalized_shape)
        if eps is not None:
            check_number("RMSNorm", 0, eps=eps)
        check_flag("RMSNorm", elementwise_affine=elementwise_affine)
        dtype = check_dtype("RMSNorm", dtype)
        self.eps = None if eps is None else float(eps)
        self.weight = Parameter(np.ones(self.normalized_shape, dtype)) if elementwise_affine else None

    def forward(self, x: Any) -> Tensor:
        x = check_input("RMSNorm", x, self.normalized_shape, self.weight, floating=True)
        wide = half_to_single(x)
        eps = float(np.finfo(x.dtype).eps) if self.eps is None else self.eps
        axes = tuple(range(-len(self.normalized_shape), 0))
        y: Tensor = wide / ops.sqrt(ops.mean(ops.square(wide), axis=axes, keepdims=True) + eps)
        y = y if wide is x else y.astype(x.dtype)
        return y if self.weight is None else y * self.weight

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.weight is not None}"


class BatchNorm1d(Module):
    """`(x − mean) / √(variance + eps) · weight + bias` for each channel, over the batch (Ioffe & Szegedy 2015).

    In training the statistics are the batch's, the variance divided by the number n of values; the running ones move
    towards them, the variance there divided by n − 1. In evaluation the running ones are taken.

    Shapes are torch's: the channel is axis 1. So a time-major sequence (T, B, C) is not taken as it is, for B would be
    the channel: pass `xs.reshape((-1, C))`, which normalises over all steps and sequences, padding included, and shape
    the result back. A module that is run again in the backward pass (`minigrad.checkpoint`) counts a batch twice.

    Args:
        num_features: C, the number of channels.
        momentum: the share of the batch's statistics in the new running ones; None for the mean over all batches.
        affine: whether there are `weight` and `bias`.
        track_running_stats: whether there are running statistics; without them the batch's are taken in evaluation too.
        dtype: of the parameters and running statistics, and so of x.

    Parameters: `weight`, `bias`, both (C,), starting at 1 and 0.
    Buffers: `running_mean`, `running_var`, both (C,), starting at 0 and 1, and `num_batches_tracked`, a whole number.
    Call: x (N, C) or (N, C, L) gives the same shape.

    Raises:
        ValueError: a number is out of range; x has another shape, or a single value for each channel in training.
        TypeError: x's dtype is another, or a flag is no bool.
    """

    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        dtype: Any = "float32",
    ) -> None:
        super().__init__()
        check_integer("BatchNorm1d", num_features=num_features)
        check_number("BatchNorm1d", 0, eps=eps)
        if momentum is not None:
            check_probability("BatchNorm1d", one=True, momentum=momentum)
        check_flag("BatchNorm1d", affine=affine, track_running_stats=track_running_stats)
        dtype = check_dtype("BatchNorm1d", dtype)
        self.num_features, self.eps = num_features, float(eps)
        self.momentum = None if momentum is None else float(momentum)
        shape, tracked = (num_features,), track_running_stats
        self.weight = Parameter(np.ones(shape, dtype)) if affine else None
        self.bias = Parameter(init.zeros(shape, dtype)) if affine else None
        self.register_buffer("running_mean", init.zeros(shape, dtype) if tracked else None)
        self.register_buffer("running_var", np.ones(shape, dtype) if tracked else None)
        self.register_buffer("num_batches_tracked", np.zeros((), np.int64) if tracked else None)

    def reset_running_stats(self) -> None:
        """Set the running statistics to their initial values."""
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            for buffer, value in ((self.running_mean, 0), (self.running_var, 1), (self.num_batches_tracked, 0)):
                buffer._array = backend_of(buffer._array).xp.full(buffer.shape, value, dtype=buffer.dtype)

    def forward(self, x: Any) -> Tensor:
        x = check_input("BatchNorm1d", x, (), self.weight if self.weight is not None else self.running_mean, True)
        if x.ndim not in (2, 3) or x.shape[1] != self.num_features:
            hint = f"; pass (T, B, {self.num_features}) as x.reshape((-1, {self.num_features}))"
            hint = hint if x.ndim == 3 and x.shape[2] == self.num_features else ""
            n = self.num_features
            raise ValueError(f"BatchNorm1d: x: got shape {x.shape}, want (N, {n}) or (N, {n}, L){hint}")
        each = (self.num_features,) if x.ndim == 2 else (self.num_features, 1)
        wide = half_to_single(x)
        if self.running_mean is not None and self.running_var is not None and not self.training:
            mean, variance = (ops.reshape(half_to_single(s), each) for s in (self.running_mean, self.running_var))
            y: Tensor = (wide - mean) / ops.sqrt(variance + self.eps)
        else:
            if x.size <= self.num_features:
                raise ValueError(f"BatchNorm1d: x: got shape {x.shape}, want more than one value for each channel")
            axes = (0,) if x.ndim == 2 else (0, 2)
            mean = ops.mean(wide, axis=axes, keepdims=True)
            centred = wide - mean
            variance = ops.mean(ops.square(centred), axis=axes, keepdims=True)
            y = centred / ops.sqrt(variance + self.eps)
            if self.training and self.running_mean is not None:
                self._track(mean.detach(), variance.detach(), x.size // self.num_features)
        y = y if wide is x else y.astype(x.dtype)
        if self.weight is not None and self.bias is not None:
            y = y * ops.reshape(self.weight, each) + ops.reshape(self.bias, each)
        return y

    def _track(self, mean: Tensor, variance: Tensor, n: int) -> None:
        """Move the running statistics towards a batch's of n values a channel.

        The buffers' arrays are replaced, not written into: a graph that has an old one stays right, an interrupt leaves
        each old or new, and a copy of the module with other parameters, as in `minigrad.grad`, shares them.
        """
        running_mean, running_var, count = self.running_mean, self.running_var, self.num_batches_tracked
        assert running_mean is not None and running_var is not None and count is not None  # noqa: PT018
        with no_grad():
            batches = count + 1
            share: Any = self.momentum if self.momentum is not None else 1 / batches.astype(mean.dtype)
            arrays = []
            for running, batch in ((running_mean, mean), (running_var, variance * (n / (n - 1)))):
                new = half_to_single(running) * (1 - share) + ops.reshape(batch, running.shape) * share
                arrays.append(new.astype(running.dtype)._array)
        running_mean._array, running_var._array, count._array = *arrays, batches._array

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps:g}, momentum={self.momentum}, affine={self.weight is not None}, "
            f"track_running_stats={self.running_mean is not None}"
        )


def _check_shape(caller: str, normalized_shape: int | Sequence[int]) -> tuple[int, ...]:
    axes = (normalized_shape,) if is_integer(normalized_shape) else normalized_shape
    shape = init.check_shape(caller, axes, least=1, argument="normalized_shape")
    if not shape:
        raise ValueError(f"{caller}: normalized_shape: got (), want at least one axis")
    return shape
