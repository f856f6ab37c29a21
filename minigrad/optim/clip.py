"""Gradient clipping, against exploding gradients (Pascanu, Mikolov & Bengio 2013)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..backend import backend_of, default_backend, scalar
from ..engine.summation import half_to_single
from ..engine.tensor import Tensor
from ..ops.linalg.norms import root_of_powers, root_of_squares
from ..validation import check_flag, is_number, shown

Array = Any


def clip_grad_norm(
    parameters: Tensor | Iterable[Tensor], max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False
) -> Tensor:
    """Scale all gradients by one factor where their joint norm exceeds `max_norm`, as torch's `clip_grad_norm_`.

    The factor is min(1, max_norm / (norm + 1e-6)). It is computed on the gradients' backend without synchronising with
    a device; a norm of NaN makes all gradients NaN.

    Args:
        parameters: tensors, each counted once; those without a gradient are skipped.
        max_norm: the largest norm allowed, at least 0.
        norm_type: p of the p-norm over all entries; math.inf for the largest absolute value.
        error_if_nonfinite: raise where the norm is NaN or infinite. This synchronises with the device.

    Returns:
        The norm before clipping, a scalar on the gradients' backend, float32 for gradients of float16, whose norm may
        be too large for that; 0 where there are no gradients.

    Raises:
        ValueError: `max_norm` is negative, `norm_type` is not above 0, or with `error_if_nonfinite` the norm is not
            finite.
    """
    _check_bound("clip_grad_norm", max_norm=max_norm)
    _check_bound("clip_grad_norm", norm_type=norm_type)
    if not norm_type:
        raise ValueError("clip_grad_norm: norm_type: got 0, want a number above 0, or inf")
    check_flag("clip_grad_norm", error_if_nonfinite=error_if_nonfinite)
    gradients = _gradients("clip_grad_norm", parameters)
    if not gradients:
        return Tensor(default_backend().xp.zeros((), "float32"))
    xp = backend_of(gradients[0][1]).xp
    total = _norm(xp, xp.stack([_norm(xp, g, float(norm_type)) for _, g in gradients]), float(norm_type))
    if error_if_nonfinite and not math.isfinite(norm := float(scalar(total))):
        raise ValueError(f"clip_grad_norm: the gradients' norm is {norm}, want a finite one")
    factor = xp.minimum(float(max_norm) / (total + 1e-6), 1.0)
    if xp is not np or factor != 1.0:  # a device is not asked
        for p, g in gradients:
            _change(p, lambda out, g=g: _scaled(xp, g, factor, out))
    return Tensor(xp.asarray(total))


def clip_grad_value(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Clip every entry of every gradient to [−clip_value, clip_value], as torch's `clip_grad_value_`.

    Args:
        parameters: tensors, as `model.parameters()` yields them, or one tensor; those without a gradient are left out.
        clip_value: the bound, at least 0.

    Raises:
        ValueError: `clip_value` is negative.
    """
    _check_bound("clip_grad_value", clip_value=clip_value)
    bound = float(clip_value)
    for p, g in _gradients("clip_grad_value", parameters):
        xp = backend_of(g).xp
        _change(p, lambda out, g=g, xp=xp: xp.clip(g, -bound, bound, out=out))


def _check_bound(caller: str, **arguments: Any) -> None:
    for name, value in arguments.items():
        if not is_number(value) or not value >= 0:
            raise ValueError(f"{caller}: {name}: got {shown(value)}, want a number of at least 0, or inf")


def _gradients(caller: str, parameters: Any) -> list[tuple[Tensor, Array]]:
    """Return each tensor that has a gradient, once, with the gradient's array."""
    listed = isinstance(parameters, Iterable) and not isinstance(parameters, (str, np.ndarray))
    tensors = [parameters] if isinstance(parameters, Tensor) else list(parameters) if listed else [parameters]
    wrong = next((x for x in tensors if not isinstance(x, Tensor)), None)
    if not all(isinstance(x, Tensor) for x in tensors):
        raise TypeError(f"{caller}: parameters: got {shown(wrong)}, want tensors, as model.parameters() yields them")
    return [(p, p.grad._array) for p in {id(p): p for p in tensors}.values() if p.grad is not None]


def _norm(xp: Any, g: Array, p: float) -> Array:
    if p == math.inf:
        return half_to_single(xp.max(xp.abs(g)) if g.size else xp.zeros((), g.dtype))
    return root_of_squares(xp, g) if p == 2 else root_of_powers(xp, g, p)


def _scaled(xp: Any, g: Array, factor: Array, out: Array | None) -> Array:
    """`g * factor` in g's dtype; a factor for float16 may be too small for that dtype, so it stays as it is."""
    if g.dtype.char != "e":
        return xp.multiply(g, factor.astype(g.dtype), out=out)
    return xp.multiply(g, factor, out=out, dtype=factor.dtype, casting="same_kind").astype(g.dtype)


def _change(p: Tensor, compute: Any) -> None:
    """Change the gradient in place, unless it is itself on the tape: recorded values must not change."""
    assert p.grad is not None
    if p.grad.node is None:
        compute(p.grad._array)
        p.grad.written()
    else:
        p.grad = Tensor(compute(None))
