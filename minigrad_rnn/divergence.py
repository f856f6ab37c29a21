"""Divergences between what a recurrent net says and what it should: DIV(Y(0 … T−1), D(0 … T−1)) (slides 70, 86, 98).

`general_divergence` takes any function of all the outputs of a sequence at once, `local_divergence` the special case
Σ_t w_t div(Y(t), D(t)). In both, padding counts nowhere: outputs there get the gradient 0, even where they are NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import Tensor, losses
from minigrad.backend import Backend, backend_of, is_array
from minigrad.losses import REDUCTIONS

from .cells import Lengths
from .validation import as_tensor

Array = Any
Local = Callable[[Tensor, Any], Tensor]


def cross_entropy(logits: Tensor, targets: Any) -> Tensor:
    """−log softmax(z)[d] for integers d (T, B), −Σ_k d_k log softmax(z)_k for distributions d (T, B, K); (T, B)."""
    if targets.dtype.kind in "iu":
        return losses.cross_entropy(logits, targets, reduction="none")
    return -mg.sum(mg.log_softmax(logits) * targets, axis=-1)


def squared_error(prediction: Tensor, target: Any) -> Tensor:
    """(y − d)², for each feature."""
    return mg.square(prediction - target)


def absolute_error(prediction: Tensor, target: Any) -> Tensor:
    """|y − d|, for each feature; the derivative where they are equal is 0."""
    return mg.abs(prediction - target)


def kl(log_probs: Tensor, target: Any) -> Tensor:
    """d (log d − y) for each feature, y a log probability and d a probability, as torch's `kl_div`; 0 where d = 0.

    There torch gives NaN for y = −∞, a class that has no probability and needs none.
    """
    xp = backend_of(log_probs._data).xp
    d = target._data if isinstance(target, Tensor) else target
    if isinstance(target, Tensor) and target.requires_grad:
        raise ValueError("kl: target: got a tensor that requires a gradient, want a constant")
    entropy = d * xp.log(xp.where(d > 0, d, xp.ones_like(d)))
    result: Tensor = entropy - mg.where(d > 0, log_probs, xp.zeros((), dtype=log_probs.dtype)) * d
    return result


def binary_cross_entropy(logits: Tensor, targets: Any) -> Tensor:
    """−d log σ(z) − (1 − d) log(1 − σ(z)), for each feature, d in [0, 1]."""
    return losses.bce_with_logits(logits, targets, reduction="none")


LOCAL: dict[str, Local] = {
    "cross_entropy": cross_entropy,
    "squared_error": squared_error,
    "absolute_error": absolute_error,
    "kl": kl,
    "binary_cross_entropy": binary_cross_entropy,
}


def local_divergence(
    local: str | Local,
    outputs: Any,
    targets: Any,
    lengths: Any = None,
    weights: Any = None,
    reduction: str = "mean",
    batch_first: bool = False,
) -> Tensor:
    """Σ_t w_t div(Y(t), D(t)).

    Args:
        local: a name of `LOCAL`, or a function of (outputs, targets) that gives one number for each step (T, B) or for
            each feature (T, B, F).
        outputs: Y (T, B, F), or (B, T, F) with batch_first.
        targets: D (T, B, F) in the same layout. For "cross_entropy" integers (T, B) will do, and −100 is a step that
            does not count; a function of one's own may have (T, B) too. What lives on the host goes where the outputs
            are; floating point, and all numbers (T, B, F) for a name, come in the outputs' dtype.
        lengths: (B,) whole numbers 1 … T; None where nothing is padded.
        weights: w, constants: (T,), one for each step, or (T, B) in the layout of the outputs; 1 where None.
        reduction: "sum"; "mean", which divides by the weights of the numbers that count, so without weights by their
            number, as torch does; or "none" for the weighted numbers, 0 at padding. The mean of nothing is 0.

    Raises:
        ValueError: a shape, a length, an unknown name or reduction, weights that require a gradient.
        TypeError: outputs that are no floating point, targets or weights that are no numbers, a local of another kind.
    """
    name = "local_divergence"
    _one_of(name, reduction)
    if isinstance(local, str) and local not in LOCAL:
        raise ValueError(f"{name}: local: got {local!r}, want one of {list(LOCAL)} or a function")
    function = _function(name, "local", LOCAL[local] if isinstance(local, str) else local)
    y, spans = _outputs(name, outputs, lengths, batch_first)
    d = _targets(name, targets, y, spans, batch_first)
    xp, (T, B) = backend_of(y._data).xp, y.shape[:2]
    classes = local == "cross_entropy" and d.ndim == 2 and d.dtype.kind in "iu"
    if isinstance(local, str) and not classes:
        if tuple(d.shape) != y.shape:  # broadcasting would pair steps with sequences
            also = f", or integers {(T, B)}" if local == "cross_entropy" else ""
            raise ValueError(f"{name}: targets: got {d.dtype} of shape {tuple(d.shape)}, want {y.shape}{also}")
        d = d if isinstance(d, Tensor) else d.astype(y.dtype)
    terms = function(y, d)
    if not isinstance(terms, Tensor) or terms.shape[:2] != (T, B):
        raise ValueError(f"{name}: local: got {_said(terms)}, want a tensor ({T}, {B}) or ({T}, {B}, F)")
    w = xp.ones((T, B), dtype=terms.dtype) if weights is None else _weights(name, weights, y, batch_first)
    if spans is not None and not spans.full:
        w = xp.where(spans.valid[:, :, 0], w, xp.zeros((), dtype=w.dtype))
    if classes:
        w = xp.where(d == -100, xp.zeros((), dtype=w.dtype), w)
    w = w.reshape((T, B) + (1,) * (terms.ndim - 2))
    weighed = terms * w
    if reduction == "none":
        return mg.swapaxes(weighed, 0, 1) if batch_first else weighed
    total: Tensor = mg.sum(weighed)
    if reduction == "sum":
        return total
    count = xp.sum(xp.broadcast_to(w, terms.shape))
    mean: Tensor = total / xp.where(count == 0, xp.ones_like(count), count)
    return mean


def general_divergence(
    function: Callable[..., Tensor],
    outputs: Any,
    targets: Any = None,
    lengths: Any = None,
    reduction: str = "mean",
    batch_first: bool = False,
) -> Tensor:
    """DIV(Y(0 … n−1), D(0 … n−1)) of each sequence, by any differentiable function of all its outputs at once.

    Args:
        function: called for each sequence as `function(Y, D)`, or `function(Y)` without targets; Y (n, F) and D (n, …)
            hold its own n steps only. Returns a scalar tensor.
        outputs, targets, lengths, batch_first: as in `local_divergence`.
        reduction: "mean" or "sum" over the sequences, or "none" for (B,).

    Raises:
        ValueError: a shape, a length, an unknown reduction, a function whose result is no scalar.
    """
    name = "general_divergence"
    _one_of(name, reduction)
    _function(name, "function", function)
    y, spans = _outputs(name, outputs, lengths, batch_first)
    d = None if targets is None else _targets(name, targets, y, spans, batch_first)
    each = []
    for b in range(y.shape[1]):
        n = y.shape[0] if spans is None else int(spans.host[b])
        value = function(y[:n, b]) if d is None else function(y[:n, b], d[:n, b])
        if not isinstance(value, Tensor) or value.ndim:
            raise ValueError(f"{name}: function: got {_said(value)}, want a scalar tensor")
        each.append(value)
    every = mg.stack(each)
    if reduction == "none":
        return every
    return mg.mean(every) if reduction == "mean" else mg.sum(every)


def jacobian(activation: Callable[[Tensor], Tensor], z: Any) -> Tensor:
    """J (…, K, F), J[k, f] = ∂y_k / ∂z_f, of a vector activation y = activation(z) along the last axis (slide 86).

    With it, and dY as a row vector, dz = dY · J: what the tape does without ever forming J.

    Args:
        activation: y (…, K) from z (…, F), each vector from its own alone.
        z: (…, F), floating point.

    Returns:
        A constant, made by K walks.
    """
    leaf = mg.tensor(z._data if isinstance(z, Tensor) else z, requires_grad=True)
    y = activation(leaf)
    rows = [mg.gradients(mg.sum(y[..., k]), [leaf], retain_graph=True)[0] for k in range(y.shape[-1])]
    return mg.stack(rows, axis=-2)


def _one_of(name: str, reduction: str) -> None:
    if reduction not in REDUCTIONS:
        raise ValueError(f"{name}: reduction: got {reduction!r}, want one of {list(REDUCTIONS)}")


def _function(name: str, argument: str, function: Any) -> Any:
    if not callable(function):
        raise TypeError(f"{name}: {argument}: got {type(function).__name__}, want a function")
    return function


def _said(value: Any) -> str:
    return f"shape {value.shape}" if isinstance(value, Tensor) else type(value).__name__


def _outputs(name: str, outputs: Any, lengths: Any, batch_first: bool) -> tuple[Tensor, Lengths | None]:
    """Outputs, time first, with zeros at padding."""
    y = as_tensor(name, "outputs", outputs)
    if y.dtype.kind != "f":
        raise TypeError(f"{name}: outputs: got dtype {y.dtype}, want floating point")
    if y.ndim != 3:
        raise ValueError(f"{name}: outputs: got shape {y.shape}, want ({'B, T' if batch_first else 'T, B'}, F)")
    y = mg.swapaxes(y, 0, 1) if batch_first else y
    T, B = y.shape[:2]
    if not T or not B:
        raise ValueError(f"{name}: outputs: got T = {T} steps and B = {B} sequences, want at least one of each")
    backend = backend_of(y._data)
    spans = None if lengths is None else Lengths(lengths, T, B, backend, name)
    if spans is not None and not spans.full:
        y = mg.where(spans.valid, y, backend.xp.zeros((), dtype=y.dtype))
    return y, spans


def _targets(name: str, targets: Any, y: Tensor, spans: Lengths | None, batch_first: bool) -> Any:
    """Targets, time first, where the outputs y live, with zeros at padding."""
    backend = backend_of(y._data)
    d = _beside(name, "targets", targets, y.dtype, backend)
    d = d.swapaxes(0, 1) if batch_first else d
    if tuple(d.shape) not in (y.shape[:2], y.shape):
        raise ValueError(f"{name}: targets: got (T, B, …) = {tuple(d.shape)}, want {y.shape[:2]} or {y.shape}")
    if spans is None or spans.full:
        return d
    valid = spans.valid if d.ndim == 3 else spans.valid[:, :, 0]
    nothing = backend.xp.zeros((), dtype=d.dtype)
    return mg.where(valid, d, nothing) if isinstance(d, Tensor) else backend.xp.where(valid, d, nothing)


def _weights(name: str, weights: Any, y: Tensor, batch_first: bool) -> Array:
    w = _beside(name, "weights", weights, y.dtype, backend_of(y._data))
    if isinstance(w, Tensor):
        raise ValueError(f"{name}: weights: got a tensor that requires a gradient, want constants")
    w = w.astype(y.dtype)
    T, B = y.shape[:2]
    if tuple(w.shape) == (T,):
        w = w[:, None]
    elif tuple(w.shape) == ((B, T) if batch_first else (T, B)):
        w = w.swapaxes(0, 1) if batch_first else w
    else:
        want = f"({T},) or {(B, T) if batch_first else (T, B)}"
        raise ValueError(f"{name}: weights: got shape {tuple(w.shape)}, want {want}")
    return backend_of(w).xp.broadcast_to(w, (T, B))


def _beside(name: str, argument: str, value: Any, dtype: Any, backend: Backend) -> Any:
    """A tensor as it is if it requires a gradient; else an array, on that backend, floating point in that dtype."""
    if isinstance(value, Tensor) and value.requires_grad:
        return value
    array = value._data if isinstance(value, Tensor) else value
    array = array if is_array(array) else np.asarray(array)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name}: {argument}: got dtype {array.dtype}, want numbers")
    if array.dtype.kind == "f":
        array = array.astype(dtype)
    here = backend_of(array)
    if here is not backend and isinstance(array, np.ndarray):
        array = backend.from_numpy(array)
    elif here is not backend:
        raise mg.BackendError(f"{name}: {argument}: is on {here.name}, want {backend.name}; move it with .to(backend)")
    return array
