"""The activation functions as modules, under torch.nn's names and with its arguments; `minigrad.ops` computes them."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import ops
from ..engine.tensor import Parameter, Tensor
from ..validation import as_tensor, check_choice, check_dtype, check_integer, check_number
from .module import Module

__all__ = ["CELU", "ELU", "GELU", "GLU", "SELU", "Hardshrink", "Hardsigmoid", "Hardswish", "Hardtanh", "LeakyReLU"]
__all__ += ["LogSigmoid", "LogSoftmax", "Mish", "PReLU", "ReLU", "ReLU6", "SiLU", "Sigmoid", "Softmax", "Softmin"]
__all__ += ["Softplus", "Softshrink", "Softsign", "Tanh", "Tanhshrink", "Threshold"]


class Tanh(Module):
    """`tanh(x)` for each value."""

    def forward(self, x: Any) -> Tensor:
        return ops.tanh(as_tensor("Tanh", "x", x))


class Sigmoid(Module):
    """`1 / (1 + exp(−x))` for each value."""

    def forward(self, x: Any) -> Tensor:
        return ops.sigmoid(as_tensor("Sigmoid", "x", x))


class LogSigmoid(Module):
    """`log(sigmoid(x))` for each value, without overflow."""

    def forward(self, x: Any) -> Tensor:
        return ops.log_sigmoid(as_tensor("LogSigmoid", "x", x))


class ReLU(Module):
    """`max(x, 0)` for each value."""

    def forward(self, x: Any) -> Tensor:
        return ops.relu(as_tensor("ReLU", "x", x))


class ReLU6(Module):
    """`min(max(x, 0), 6)` for each value."""

    def forward(self, x: Any) -> Tensor:
        return ops.relu6(as_tensor("ReLU6", "x", x))


class LeakyReLU(Module):
    """x, or `negative_slope · x` where x is negative.

    Args:
        negative_slope: a finite number.
    """

    def __init__(self, negative_slope: float = 0.01) -> None:
        super().__init__()
        check_number("LeakyReLU", negative_slope=negative_slope)
        self.negative_slope = float(negative_slope)

    def forward(self, x: Any) -> Tensor:
        return ops.leaky_relu(as_tensor("LeakyReLU", "x", x), self.negative_slope)

    def extra_repr(self) -> str:
        return f"negative_slope={self.negative_slope:g}"


class PReLU(Module):
    """`LeakyReLU` with slopes that are learned (He et al. 2015).

    Args:
        num_parameters: 1 for a single slope, or the number of channels for one each.
        init: the slopes' initial value, a finite number.
        dtype: of the slopes, and so of x.

    Parameters: `weight` (num_parameters,).
    Call: x of any shape, or (N, C, …) with C = num_parameters channels on axis 1, gives the same shape.

    Raises:
        ValueError: num_parameters is no positive whole number, or x has another number of channels.
        TypeError: `dtype` is not floating point.
    """

    def __init__(self, num_parameters: int = 1, init: float = 0.25, dtype: Any = "float32") -> None:
        super().__init__()
        check_integer("PReLU", num_parameters=num_parameters)
        check_number("PReLU", init=init)
        self.weight = Parameter(np.full(num_parameters, init, check_dtype("PReLU", dtype)))

    def forward(self, x: Any) -> Tensor:
        x, n = as_tensor("PReLU", "x", x), self.weight.size
        slope: Any = self.weight
        if n > 1:
            if x.ndim < 2 or x.shape[1] != n:
                raise ValueError(f"PReLU: x: got shape {x.shape}, want (N, {n}, ...)")
            slope = ops.reshape(slope, (n, *(1,) * (x.ndim - 2)))
        return ops.leaky_relu(x, slope)

    def extra_repr(self) -> str:
        return f"num_parameters={self.weight.size}"


class ELU(Module):
    """x, or `alpha · (exp(x) − 1)` where x is negative (Clevert et al. 2016).

    Args:
        alpha: a finite number.
    """

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__()
        check_number("ELU", alpha=alpha)
        self.alpha = float(alpha)

    def forward(self, x: Any) -> Tensor:
        return ops.elu(as_tensor("ELU", "x", x), self.alpha)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha:g}"


class CELU(Module):
    """x, or `alpha · (exp(x / alpha) − 1)` where x is negative: smooth at 0 for every alpha (Barron 2017).

    Args:
        alpha: a finite number other than 0.
    """

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__()
        check_number("CELU", alpha=alpha)
        if alpha == 0:
            raise ValueError("CELU: alpha: got 0, want another number: x is divided by it")
        self.alpha = float(alpha)

    def forward(self, x: Any) -> Tensor:
        return ops.celu(as_tensor("CELU", "x", x), self.alpha)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha:g}"


class SELU(Module):
    """`ELU` of x with the two constants that preserve mean 0 and variance 1 (Klambauer et al. 2017)."""

    def forward(self, x: Any) -> Tensor:
        return ops.selu(as_tensor("SELU", "x", x))


class GELU(Module):
    """`x · Φ(x)` with the normal distribution's Φ (Hendrycks & Gimpel 2016).

    Args:
        approximate: "none", or "tanh" for the approximation of Φ by tanh.
    """

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        check_choice("GELU", ("none", "tanh"), approximate=approximate)
        self.approximate = approximate

    def forward(self, x: Any) -> Tensor:
        return ops.gelu(as_tensor("GELU", "x", x), self.approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class SiLU(Module):
    """`x · sigmoid(x)`, also called swish."""

    def forward(self, x: Any) -> Tensor:
        return ops.silu(as_tensor("SiLU", "x", x))


class Mish(Module):
    """`x · tanh(softplus(x))` (Misra 2019)."""

    def forward(self, x: Any) -> Tensor:
        return ops.mish(as_tensor("Mish", "x", x))


class Softplus(Module):
    """`log(1 + exp(beta · x)) / beta`, or x itself where `beta · x` is above the threshold.

    Args:
        beta: a finite number other than 0.
        threshold: torch's default leaves an error of at most 2e-9; None computes every value exactly.
    """

    def __init__(self, beta: float = 1.0, threshold: float | None = 20.0) -> None:
        super().__init__()
        check_number("Softplus", beta=beta)
        if beta == 0:
            raise ValueError("Softplus: beta: got 0, want another number: the result is divided by it")
        if threshold is not None:
            check_number("Softplus", threshold=threshold)
        self.beta, self.threshold = float(beta), threshold

    def forward(self, x: Any) -> Tensor:
        return ops.softplus(as_tensor("Softplus", "x", x), self.beta, self.threshold)

    def extra_repr(self) -> str:
        return f"beta={self.beta:g}, threshold={self.threshold}"


class Softsign(Module):
    """`x / (1 + |x|)` for each value."""

    def forward(self, x: Any) -> Tensor:
        return ops.softsign(as_tensor("Softsign", "x", x))


class Tanhshrink(Module):
    """`x − tanh(x)` for each value."""

    def forward(self, x: Any) -> Tensor:
        return ops.tanhshrink(as_tensor("Tanhshrink", "x", x))


class Softshrink(Module):
    """x moved towards 0 by `lambd`; 0 where |x| ≤ `lambd`.

    Args:
        lambd: a finite number of at least 0.
    """

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        check_number("Softshrink", 0, lambd=lambd)
        self.lambd = float(lambd)

    def forward(self, x: Any) -> Tensor:
        return ops.softshrink(as_tensor("Softshrink", "x", x), self.lambd)

    def extra_repr(self) -> str:
        return f"{self.lambd:g}"


class Hardshrink(Module):
    """x; 0 where |x| ≤ `lambd`.

    Args:
        lambd: a finite number of at least 0.
    """

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        check_number("Hardshrink", 0, lambd=lambd)
        self.lambd = float(lambd)

    def forward(self, x: Any) -> Tensor:
        return ops.hardshrink(as_tensor("Hardshrink", "x", x), self.lambd)

    def extra_repr(self) -> str:
        return f"{self.lambd:g}"


class Hardtanh(Module):
    """x clipped to an interval.

    Args:
        min_val, max_val: its ends, `min_val` below `max_val`.
    """

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0) -> None:
        super().__init__()
        check_number("Hardtanh", min_val=min_val, max_val=max_val)
        if not min_val < max_val:
            raise ValueError(f"Hardtanh: min_val, max_val: got {min_val} and {max_val}, want min_val below max_val")
        self.min_val, self.max_val = float(min_val), float(max_val)

    def forward(self, x: Any) -> Tensor:
        return ops.hardtanh(as_tensor("Hardtanh", "x", x), self.min_val, self.max_val)

    def extra_repr(self) -> str:
        return f"min_val={self.min_val:g}, max_val={self.max_val:g}"


class Hardsigmoid(Module):
    """`relu6(x + 3) / 6` for each value."""

    def forward(self, x: Any) -> Tensor:
        return ops.hard_sigmoid(as_tensor("Hardsigmoid", "x", x))


class Hardswish(Module):
    """`x · relu6(x + 3) / 6` for each value (Howard et al. 2019)."""

    def forward(self, x: Any) -> Tensor:
        return ops.hard_swish(as_tensor("Hardswish", "x", x))


class Threshold(Module):
    """x where it is above a threshold, else another value.

    Args:
        threshold: a finite number.
        value: what stands in the place of smaller ones, a finite number.
    """

    def __init__(self, threshold: float, value: float) -> None:
        super().__init__()
        check_number("Threshold", threshold=threshold, value=value)
        self.threshold, self.value = float(threshold), float(value)

    def forward(self, x: Any) -> Tensor:
        return ops.threshold(as_tensor("Threshold", "x", x), self.threshold, self.value)

    def extra_repr(self) -> str:
        return f"threshold={self.threshold:g}, value={self.value:g}"


class GLU(Module):
    """The first half of x along an axis times the sigmoid of the second half (Dauphin et al. 2017).

    Args:
        dim: the axis, of even length.
    """

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        check_integer("GLU", None, dim=dim)
        self.dim = dim

    def forward(self, x: Any) -> Tensor:
        return ops.glu(as_tensor("GLU", "x", x), self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class _AlongAxis(Module):
    """What `Softmax`, `Softmin` and `LogSoftmax` have in common: the axis."""

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        check_integer(type(self).__name__, None, dim=dim)
        self.dim = dim

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class Softmax(_AlongAxis):
    """`exp(x) / sum(exp(x))` along an axis.

    Args:
        dim: the axis, by default the last.
    """

    def forward(self, x: Any) -> Tensor:
        return ops.softmax(as_tensor("Softmax", "x", x), axis=self.dim)


class Softmin(_AlongAxis):
    """`softmax(−x)` along an axis.

    Args:
        dim: the axis, by default the last.
    """

    def forward(self, x: Any) -> Tensor:
        return ops.softmax(ops.negative(as_tensor("Softmin", "x", x)), axis=self.dim)


class LogSoftmax(_AlongAxis):
    """`log(softmax(x))` along an axis, without overflow.

    Args:
        dim: the axis, by default the last.
    """

    def forward(self, x: Any) -> Tensor:
        return ops.log_softmax(as_tensor("LogSoftmax", "x", x), axis=self.dim)
