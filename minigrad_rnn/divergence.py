"""Divergences between the outputs and the targets of a sequence: DIV(Y(0 … T−1), D(0 … T−1)) (slides 70, 86, 98).

`general_divergence` takes any function of all the outputs of a sequence at once, `local_divergence` the special case
Σ_t w_t div(Y(t), D(t)). In both, padding does not count: outputs there get the gradient 0, even where they are NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import Tensor, losses
from minigrad.backend import Backend, backend_of
from minigrad.engine.summation import accurate_sum, half_to_single
from minigrad.foreign_arrays import type_name
from minigrad.losses import REDUCTIONS
from minigrad.validation import as_array, as_tensor, check_choice, check_flag, check_function

from .cells import Lengths

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

    For d = 0 and y = −∞, a class with no probability and no target, torch gives NaN.
    """
    xp = backend_of(log_probs._array).xp
    d = target._array if isinstance(target, Tensor) else target
    if isinstance(target, Tensor) and target.requires_grad:
        raise ValueError("kl: target: got a tensor that requires a gradient, want a constant")
    entropy = d * xp.log(xp.where(d > 0, d, xp.ones_like(d)))
    return mg.subtract(entropy, mg.where(d > 0, log_probs, xp.zeros((), dtype=log_probs.dtype)) * d)


def binary_cross_entropy(logits: Tensor, targets: Any) -> Tensor:
    """−d log σ(z) − (1 − d) log(1 − σ(z)), for each feature, d in [0, 1]."""
    return losses.bce_with_logits(logits, targets, reduction="none")


LOCAL: dict[str, Local] = {
    function.__name__: function for function in (cross_entropy, squared_error, absolute_error, kl, binary_cross_entropy)
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
    """Return Σ_t w_t div(Y(t), D(t)).

    Args:
        local: a name of `LOCAL`, or a function of (outputs, targets) that returns one number for each step (T, B) or
            for each feature (T, B, F).
        outputs: Y (T, B, F), or (B, T, F) with batch_first.
        targets: D (T, B, F) in the same layout. "cross_entropy" also takes integers (T, B), where −100 marks a step
            that does not count; your own function may too. Host arrays are moved to the outputs' backend;
            floating point, and all numbers (T, B, F) for a name, are converted to the outputs' dtype.
        lengths: (B,) whole numbers 1 … T; None where nothing is padded.
        weights: w, constants: (T,), one for each step, or (T, B) in the layout of the outputs; 1 where None.
        reduction: "sum"; "mean", which divides by the sum of the weights of all terms that count, so without weights by
            their number, as torch does; or "none" for the weighted terms, 0 at padding. The mean of no terms is 0.

    Raises:
        ValueError: a bad shape or length, an unknown name or reduction, weights that require a gradient.
        TypeError: outputs that are not floating point, targets or weights that are not numbers, another kind of local.
    """
    name = "local_divergence"
    check_choice(name, REDUCTIONS, reduction=reduction)
    check_flag(name, batch_first=batch_first)
    if isinstance(local, str) and local not in LOCAL:
        raise ValueError(f"{name}: local: got {local!r}, want one of {list(LOCAL)} or a function")
    function = _function(name, "local", LOCAL[local] if isinstance(local, str) else local)
    y, spans = _outputs(name, outputs, lengths, batch_first)
    d = _targets(name, targets, y, spans, batch_first)
    xp, (T, B) = backend_of(y._array).xp, y.shape[:2]
    classes = local == "cross_entropy" and d.ndim == 2 and d.dtype.kind in "iu"
    if isinstance(local, str) and not classes:
        if tuple(d.shape) != y.shape:  # broadcasting could pair steps with sequences
            also = f", or integers {(T, B)}" if local == "cross_entropy" else ""
            raise ValueError(f"{name}: targets: got {d.dtype} of shape {tuple(d.shape)}, want {y.shape}{also}")
        d = d if isinstance(d, Tensor) else d.astype(y.dtype)
    terms = function(y, d)
    if not isinstance(terms, Tensor) or terms.shape[:2] != (T, B):
        raise ValueError(f"{name}: local: got {_shape_or_type(terms)}, want a tensor ({T}, {B}) or ({T}, {B}, F)")
    w = xp.ones((T, B), dtype=terms.dtype) if weights is None else _weights(name, weights, y, batch_first)
    w = _without_padding(w, spans)
    if classes:
        w = xp.where(d == -100, xp.zeros((), dtype=w.dtype), w)
    w = w.reshape((T, B) + (1,) * (terms.ndim - 2))
    weighted = terms * w
    if reduction == "none":
        return mg.swapaxes(weighted, 0, 1) if batch_first else weighted
    if reduction == "sum":
        return mg.sum(weighted)
    total = mg.sum(half_to_single(weighted))  # it may leave float16's range, as may the sum of the weights
    count = accurate_sum(half_to_single(xp.broadcast_to(w, terms.shape)))
    mean = mg.divide(total, xp.where(count == 0, xp.ones_like(count), count))
    return mean if mean.dtype == weighted.dtype else mean.astype(weighted.dtype)


def general_divergence(
    function: Callable[..., Tensor],
    outputs: Any,
    targets: Any = None,
    lengths: Any = None,
    reduction: str = "mean",
    batch_first: bool = False,
) -> Tensor:
    """Return DIV(Y(0 … n−1), D(0 … n−1)) of each sequence, for any differentiable function of all its outputs at once.

    Args:
        function: called for each sequence as `function(Y, D)`, or `function(Y)` without targets; Y (n, F) and D (n, …)
            hold its own n steps only. It returns a scalar tensor.
        outputs, targets, lengths, batch_first: as in `local_divergence`.
        reduction: "mean" or "sum" over the sequences, or "none" for (B,).

    Raises:
        ValueError: a bad shape or length, an unknown reduction, a function whose result is not a scalar.
    """
    name = "general_divergence"
    check_choice(name, REDUCTIONS, reduction=reduction)
    check_flag(name, batch_first=batch_first)
    _function(name, "function", function)
    y, spans = _outputs(name, outputs, lengths, batch_first)
    d = None if targets is None else _targets(name, targets, y, spans, batch_first)
    values = []
    for b in range(y.shape[1]):
        n = y.shape[0] if spans is None else int(spans.host[b])
        value = function(y[:n, b]) if d is None else function(y[:n, b], d[:n, b])
        if not isinstance(value, Tensor) or value.ndim:
            raise ValueError(f"{name}: function: got {_shape_or_type(value)}, want a scalar tensor")
        values.append(value)
    stacked = mg.stack(values)
    if reduction == "none":
        return stacked
    return mg.mean(stacked) if reduction == "mean" else mg.sum(stacked)


def jacobian(activation: Callable[[Tensor], Tensor], z: Any) -> Tensor:
    """Return J (…, K, F), J[k, f] = ∂y_k / ∂z_f, of a vector activation y = activation(z) of the last axis (slide 86).

    With dY as a row vector, dz = dY · J: the tape computes that product without forming J. Here J is a constant,
    computed by K backward passes.

    Args:
        activation: returns y (…, K) for z (…, F), each vector from its own z only.
        z: (…, F), floating point.
    """
    leaf = mg.tensor(z._array if isinstance(z, Tensor) else z, requires_grad=True)
    y = activation(leaf)
    rows = [mg.gradients(mg.sum(y[..., k]), [leaf], retain_graph=True)[0] for k in range(y.shape[-1])]
    return mg.stack(rows, axis=-2)


def _function(name: str, argument: str, function: Any) -> Any:
    check_function(name, **{argument: function})
    return function


def _shape_or_type(value: Any) -> str:
    return f"shape {value.shape}" if isinstance(value, Tensor) else type_name(value)


def _outputs(name: str, outputs: Any, lengths: Any, batch_first: bool) -> tuple[Tensor, Lengths | None]:
    """The outputs time first, checked, with zeros at padding; and the lengths."""
    y = as_tensor(name, "outputs", outputs)
    if y.dtype.kind != "f":
        raise TypeError(f"{name}: outputs: got dtype {y.dtype}, want floating point")
    if y.ndim != 3:
        raise ValueError(f"{name}: outputs: got shape {y.shape}, want ({'B, T' if batch_first else 'T, B'}, F)")
    y = mg.swapaxes(y, 0, 1) if batch_first else y
    T, B = y.shape[:2]
    if not T or not B:
        raise ValueError(f"{name}: outputs: got T = {T} steps and B = {B} sequences, want at least one of each")
    spans = None if lengths is None else Lengths(lengths, T, B, backend_of(y._array), name)
    return _without_padding(y, spans), spans


def _targets(name: str, targets: Any, y: Tensor, spans: Lengths | None, batch_first: bool) -> Any:
    """The targets time first, on the outputs' backend, with zeros at padding."""
    d = _on_backend(name, "targets", targets, y.dtype, backend_of(y._array))
    d = d.swapaxes(0, 1) if batch_first else d
    if tuple(d.shape) not in (y.shape[:2], y.shape):
        raise ValueError(f"{name}: targets: got (T, B, …) = {tuple(d.shape)}, want {y.shape[:2]} or {y.shape}")
    return _without_padding(d, spans)


def _without_padding(a: Any, spans: Lengths | None) -> Any:
    """A tensor or an array (T, B) or (T, B, F) with zeros at padding."""
    if spans is None or spans.full:
        return a
    xp, valid = spans.backend.xp, spans.valid if a.ndim == 3 else spans.valid[:, :, 0]
    return (mg if isinstance(a, Tensor) else xp).where(valid, a, xp.zeros((), dtype=a.dtype))


def _weights(name: str, weights: Any, y: Tensor, batch_first: bool) -> Array:
    """The weights (T, B), on the outputs' backend and in their dtype."""
    w = _on_backend(name, "weights", weights, y.dtype, backend_of(y._array))
    if isinstance(w, Tensor):
        raise ValueError(f"{name}: weights: got a tensor that requires a gradient, want constants")
    w = w.astype(y.dtype)
    T, B = y.shape[:2]
    layout = (B, T) if batch_first else (T, B)
    if tuple(w.shape) not in ((T,), layout):
        raise ValueError(f"{name}: weights: got shape {tuple(w.shape)}, want ({T},) or {layout}")
    w = w[:, None] if w.ndim == 1 else w.swapaxes(0, 1) if batch_first else w
    return backend_of(w).xp.broadcast_to(w, (T, B))


def _on_backend(name: str, argument: str, value: Any, dtype: Any, backend: Backend) -> Any:
    """A tensor that requires a gradient as it is; else an array on that backend, floating point in that dtype."""
    if isinstance(value, Tensor) and value.requires_grad:
        return value
    array = as_array(value, name, argument)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name}: {argument}: got dtype {array.dtype}, want numbers")
    if array.dtype.kind == "f":
        array = array.astype(dtype)
    source = backend_of(array)
    if source is backend:
        return array
    if isinstance(array, np.ndarray):
        return backend.from_numpy(array)
    raise mg.BackendError(f"{name}: {argument}: is on {source.name}, want {backend.name}; move it with .to(backend)")
