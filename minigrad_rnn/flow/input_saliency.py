"""saliency computes ∂Y(t)/∂X(s): which inputs an output depends on, and how far back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import Tensor
from minigrad.backend import get_backend, to_numpy
from minigrad.validation import as_tensor, check_flag, check_function, check_integer

from .bars import bars
from .notebook import as_html

Array = np.ndarray[Any, Any]
MOST_NUMBERS = 1 << 26


@dataclass(frozen=True, repr=False)
class Saliency:
    """∂Y(t)/∂X(s) for one t and every s.

    Attributes:
        t: the output's step; None for a model with one output for the whole sequence.
        jacobian: (T, B, O, I), at [s, b, o, i]: ∂Y_o(t)/∂X_i(s) of sequence b.
    """

    t: int | None
    jacobian: Array

    @property
    def norms(self) -> Array:
        """‖∂Y(t)/∂X(s)‖_F of each step and sequence, (T, B)."""
        return np.asarray(np.sqrt((self.jacobian.astype(np.float64) ** 2).sum(axis=(2, 3))))

    def of_inputs(self) -> Array:
        """‖∂Y(t)/∂X_i(s)‖ of each step and feature, over outputs and the batch, (T, I)."""
        return np.asarray(np.sqrt((self.jacobian.astype(np.float64) ** 2).sum(axis=(1, 2))))

    def __repr__(self) -> str:
        T, B, O, I = self.jacobian.shape
        y = "Y" if self.t is None else f"Y({self.t})"
        means = np.sqrt((self.norms**2).mean(axis=1))
        return "\n".join([f"Saliency(T={T}, B={B}, O={O}, I={I})", *bars({f"‖∂{y}/∂X(s)‖, s = 0 …": means})])

    def _repr_html_(self) -> str:
        return as_html(repr(self))


def saliency(model: Callable[..., Any], xs: Any, t: int = -1, batch_first: bool = False) -> Saliency:
    """How the output at step t depends on each input X(s): one backward pass for each of its O numbers.

    >>> import numpy as np
    >>> from minigrad_rnn import Elman
    >>> from minigrad_rnn.flow import saliency
    >>> result = saliency(Elman(3, 8, 2, rng=0), np.ones((20, 4, 3), np.float32))
    >>> result.jacobian.shape, result.norms.shape
    ((20, 4, 2, 3), (20, 4))

    In Elman's net only X(t) matters: no gradient passes its context units.

    Args:
        model: a function of xs, such as a module; the first part of what it returns is Y: (T, B, O), or (B, O) for one
            output for the whole sequence.
        xs: (T, B, I) of floating-point numbers, or (B, T, I) with batch_first.
        t: the output's step; −1 is the last.
        batch_first: the layout of xs and Y.

    Raises:
        TypeError: xs or Y is no tensor of floating-point numbers. ValueError: another shape; Y is not finite; the
            result would have too many numbers.
    """
    check_function("saliency", model=model)
    check_flag("saliency", batch_first=batch_first)
    given = as_tensor("saliency", "xs", xs)
    if given.ndim != 3 or not given.size:
        raise ValueError(f"saliency: xs: got shape {given.shape}, want ({'B, T' if batch_first else 'T, B'}, I)")
    if given.dtype.kind != "f":
        raise TypeError(f"saliency: xs: got dtype {given.dtype}, want floating-point numbers: ids have no derivative")
    x = mg.tensor(given._array, requires_grad=True, backend=given.backend)
    with mg.enable_grad():
        y = model(x)
    y = y[0] if isinstance(y, (tuple, list)) else y
    if not isinstance(y, Tensor) or y.node is None:
        got = "a constant" if isinstance(y, Tensor) else type(y).__name__
        raise TypeError(f"saliency: model: got {got} from it, want a tensor that depends on xs")
    time, axis = (1, 0) if batch_first else (0, 1)
    T, B = x.shape[time], x.shape[axis]
    per_step = y.ndim == 3 and y.shape[:2] == x.shape[:2]
    if not per_step and not (y.ndim == 2 and y.shape[0] == B):
        raise ValueError(f"saliency: model: got an output of shape {y.shape}, want ({T}, {B}, O) or ({B}, O)")
    step: int | None = None
    check_integer("saliency", -T, T - 1, t=t)
    if per_step:
        step = int(t) % T
        with mg.enable_grad():
            y = y[:, step] if batch_first else y[step]
    O, I = y.shape[1], x.shape[2]
    if T * B * O * I > MOST_NUMBERS:
        raise ValueError(
            f"saliency: xs: got T = {T}, B = {B}, I = {I} for {O} outputs, {T * B * O * I:.2g} numbers, want at most "
            f"{MOST_NUMBERS:.2g}: fewer sequences or steps"
        )
    host = to_numpy(y._array)
    if not np.isfinite(host).all():
        raise ValueError("saliency: model: got an output that is not finite; `minigrad.detect_anomaly()` finds why")
    jacobian = np.zeros((T, B, O, I), host.dtype)
    xp = get_backend(y.backend).xp
    for unit in range(O):
        seed = xp.zeros(y.shape, y.dtype)
        seed[:, unit] = 1
        (g,) = mg.gradients([y], [x], [Tensor(seed)], retain_graph=True)
        assert g is not None
        jacobian[:, :, unit] = to_numpy(g._array).swapaxes(0, 1) if batch_first else to_numpy(g._array)
    return Saliency(step, jacobian)
