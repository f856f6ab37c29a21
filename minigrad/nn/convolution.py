"""Conv1d: a filter of learned weights slides along a sequence, for each of several output channels."""

from __future__ import annotations

from typing import Any

from .. import ops
from ..engine.tensor import Parameter, Tensor
from ..ops.nn.sliding_windows import single
from ..validation import check_choice, check_dtype, check_flag, check_input, check_integer, is_integer
from . import init
from .module import Module

MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
"""torch's names of what stands in the padding, and NumPy's."""


class Conv1d(Module):
    """`y[n, o, t] = bias[o] + Σ weight[o, c, k] · x[n, c, t · stride + k · dilation − padding]`, as torch's.

    The layout is torch's too: channels on axis 1, time last. A time-major sequence (T, B, C) goes in as
    `xs.transpose((1, 2, 0))`, and (T, B, O) comes out by `y.transpose((2, 0, 1))`.

    Args:
        in_channels: C.
        out_channels: O.
        kernel_size: K, the number of steps that the filter covers; like the three next a number, or a tuple of one.
        stride: the steps from one window to the next.
        padding: steps added at either end; "valid" is none, "same" as many as keep the length, with a stride of 1.
        dilation: the distance between the steps that a window takes.
        groups: the k-th of so many parts of the input's channels leads to the k-th part of the output's only.
        bias: whether there is one.
        padding_mode: what is added: "zeros", "reflect", "replicate" (the value at the end) or "circular".
        rng: where the initial values, uniform in ±1/√(C / groups · K), are drawn from: a generator, a seed, or None for
            the default.
        dtype: of the parameters, and so of x.

    Parameters: `weight` (O, C / groups, K), `bias` (O,).
    Call: x (N, C, L) gives (N, O, T), and (C, L) gives (O, T), with
        T = (L + 2 · padding − dilation · (K − 1) − 1) / stride + 1, rounded down.

    Raises:
        ValueError: a number is out of range, channels that `groups` does not divide, or an x of another shape, or too
            short for one window.
        TypeError: a flag is no bool, `dtype` is not floating point, or x has another dtype.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int],
        stride: int | tuple[int] = 1,
        padding: int | tuple[int] | str = 0,
        dilation: int | tuple[int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        rng: init.Rng = None,
        dtype: Any = "float32",
    ) -> None:
        super().__init__()
        check_integer("Conv1d", in_channels=in_channels, out_channels=out_channels, groups=groups)
        self.kernel_size = _number(kernel_size=kernel_size)
        self.stride = _number(stride=stride)
        self.dilation = _number(dilation=dilation)
        if isinstance(padding, str):
            check_choice("Conv1d", ("valid", "same"), padding=padding)
            self.padding: int | str = padding
        else:
            self.padding = _number(0, padding=padding)
        check_choice("Conv1d", MODES, padding_mode=padding_mode)
        check_flag("Conv1d", bias=bias)
        dtype = check_dtype("Conv1d", dtype)
        for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
            if channels % groups:
                raise ValueError(f"Conv1d: {name}: got {channels}, want a multiple of groups = {groups}")
        if padding == "same" and self.stride != 1:
            raise ValueError(f"Conv1d: padding: got 'same' with a stride of {self.stride}, want a stride of 1")
        self.in_channels, self.out_channels = in_channels, out_channels
        self.groups, self.padding_mode = groups, padding_mode
        shape = out_channels, in_channels // groups, self.kernel_size
        bound = (shape[1] * shape[2]) ** -0.5
        rng = init.as_generator(rng, "Conv1d")
        self.weight = Parameter(init.uniform(shape, -bound, bound, rng, dtype))
        self.bias = Parameter(init.uniform((out_channels,), -bound, bound, rng, dtype)) if bias else None

    def forward(self, x: Any) -> Tensor:
        x = check_input("Conv1d", x, (), self.weight)
        if x.ndim not in (2, 3) or x.shape[-2] != self.in_channels:
            C = self.in_channels
            raise ValueError(f"Conv1d: x: got shape {x.shape}, want (N, {C}, L) or ({C}, L)")
        reach = self.dilation * (self.kernel_size - 1)
        left = {"valid": 0, "same": reach // 2}[self.padding] if isinstance(self.padding, str) else self.padding
        right = reach - left if self.padding == "same" else left
        if x.shape[-1] + left + right <= reach:
            raise ValueError(f"Conv1d: x: got shape {x.shape}, want a length of at least {reach + 1 - left - right}")
        padding: Any = self.padding
        if self.padding_mode != "zeros" and left + right:
            x = ops.pad(x, [(0, 0)] * (x.ndim - 1) + [(left, right)], mode=MODES[self.padding_mode])
            padding = 0
        return ops.conv1d(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)

    def extra_repr(self) -> str:
        options = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, "padding_mode": "zeros"}
        shown = "".join(f", {k}={getattr(self, k)!r}" for k, usual in options.items() if getattr(self, k) != usual)
        bias = "" if self.bias is not None else ", bias=False"
        return f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}{shown}{bias}"


def _number(least: int = 1, **argument: Any) -> int:
    """A whole number, or the only entry of a tuple."""
    ((name, value),) = argument.items()
    inner = value[0] if isinstance(value, (tuple, list)) and len(value) == 1 else value
    if not is_integer(inner):
        inner = value  # what was got is shown whole
    check_integer("Conv1d", least, **{name: inner})
    return single(inner)
