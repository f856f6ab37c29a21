"""Compare derivatives with central differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..arguments_of import arguments_of
from ..backend import backend_of
from ..differentiate import gradients
from ..engine.tensor import Tensor, tensor
from ..validation import check_function, check_number, check_type, is_number, shown


class GradcheckError(AssertionError):
    """A derivative disagrees with the central difference; the message says where and by how much."""


def gradcheck(
    function: Callable[..., Tensor | Sequence[Tensor]],
    inputs: Sequence[Tensor],
    eps: float = 1e-6,
    atol: float = 1e-7,
    rtol: float = 1e-6,
) -> bool:
    """Compare the gradient of `function(*inputs)` with central differences, entry by entry.

    The outputs are weighted with fixed random numbers and added up to one scalar. Inputs that require no gradient are
    constants.

    Args:
        function: of the inputs; returns a tensor or a list of them.
        inputs: float64 tensors; those with requires_grad=True are checked.
        eps: the step h of (f(x + h) − f(x − h)) / 2h.
        atol, rtol: |analytic − numeric| may be at most atol + rtol · (largest numeric entry of that input).

    Returns:
        True. A disagreement raises.

    Raises:
        GradcheckError: naming the input, the entry, and both derivatives; or the operation whose rule failed, as by a
            gradient of another shape than its input.
        TypeError: an input to check is not float64: in float32, rounding leaves no digits to compare.
        ValueError: no input requires a gradient.
    """
    _check_arguments("gradcheck", function, inputs, eps, atol, rtol)
    return _compared(function, function, inputs, eps, atol, rtol)


def _compared(
    function: Callable[..., Tensor | Sequence[Tensor]],
    values_alone: Callable[..., Tensor | Sequence[Tensor]],
    inputs: Sequence[Tensor],
    eps: float,
    atol: float,
    rtol: float,
) -> bool:
    """Do what `gradcheck` says. `values_alone` has the same values as `function`, for the differences."""
    checked = [k for k, x in enumerate(inputs) if isinstance(x, Tensor) and x.requires_grad]
    for k in checked:
        if inputs[k].dtype != np.float64:
            raise TypeError(
                f"gradcheck: inputs[{k}]: got {inputs[k].dtype}, want float64: a step of {eps:g} is lost in rounding"
            )
    leaves = [
        tensor(x._array, requires_grad=k in checked, backend=x.backend) if isinstance(x, Tensor) else x
        for k, x in enumerate(inputs)
    ]

    drawn: dict[tuple[tuple[int, ...], ...], list[Any]] = {}

    def weights(outputs: Sequence[Tensor]) -> list[Any]:
        """Return the same weights in every call."""
        shapes = tuple(y.shape for y in outputs)
        if shapes not in drawn:
            rng = np.random.default_rng(20)
            drawn[shapes] = [rng.uniform(0.5, 1.5, shape) * rng.choice([-1.0, 1.0], shape) for shape in shapes]
        return drawn[shapes]

    def objective(function: Callable[..., Any], values: Sequence[Any]) -> Tensor:
        outputs = _outputs(function, values)
        total: Any = 0.0
        for y, w in zip(outputs, weights(outputs)):
            total = total + (y * Tensor(backend_of(y._array).from_numpy(np.asarray(w)))).sum()
        return total  # type: ignore[no-any-return]

    def value(values: Sequence[Any]) -> float:
        return float(objective(values_alone, values))

    total = objective(function, leaves)
    try:
        grads = gradients(total, [leaves[k] for k in checked], allow_unused=True)
    except (ValueError, TypeError) as error:  # such as a rule's gradient of another shape than its input
        raise GradcheckError(f"gradcheck: a rule failed: {error}") from error
    for k, g in zip(checked, grads):
        analytic = np.zeros(inputs[k].shape) if g is None else g.numpy()
        numeric = _central_differences(value, leaves, k, eps)
        allowed = atol + rtol * float(np.max(np.abs(numeric), initial=0.0))
        gap = np.abs(analytic - numeric)
        if analytic.shape != numeric.shape or not np.all(gap <= allowed):
            worst = np.unravel_index(int(np.argmax(np.nan_to_num(gap, nan=np.inf))), gap.shape)
            raise GradcheckError(
                f"gradcheck: inputs[{k}] of shape {inputs[k].shape}, entry {tuple(int(i) for i in worst)}: the rule "
                f"gives {analytic[worst]:.10g}, the central difference {numeric[worst]:.10g} (allowed {allowed:.2g})"
            )
    return True


def _check_arguments(caller: str, function: Any, inputs: Any, eps: float, atol: float, rtol: float) -> None:
    check_function(caller, function=function)
    check_type(caller, (list, tuple), "a list of tensors", inputs=inputs)
    if not any(isinstance(x, Tensor) and x.requires_grad for x in inputs):
        raise ValueError(f"{caller}: inputs: none requires a gradient, so there is nothing to check")
    check_number(caller, 0, atol=atol, rtol=rtol)
    if not is_number(eps) or not 0 < eps < 1:
        raise ValueError(f"{caller}: eps: got {shown(eps)}, want a number between 0 and 1")


def _outputs(function: Callable[..., Tensor | Sequence[Tensor]], values: Sequence[Any]) -> list[Tensor]:
    outputs = function(*values)
    return [outputs] if isinstance(outputs, Tensor) else list(outputs)


def _central_differences(
    value: Callable[[Sequence[Any]], float], leaves: Sequence[Any], k: int, eps: float
) -> np.ndarray[Any, Any]:
    """Return (f(x + h) − f(x − h)) / 2h for every entry of input k."""
    host = leaves[k].numpy()
    backend = leaves[k].backend
    numeric = np.zeros(host.shape)
    for index in np.ndindex(host.shape):
        ends = []
        for step in (eps, -eps):
            moved = host.copy()
            moved[index] += step
            values = [tensor(moved, backend=backend, requires_grad=True) if j == k else v for j, v in enumerate(leaves)]
            ends.append(value(values))
        numeric[index] = (ends[0] - ends[1]) / (2 * eps)
    return numeric


@arguments_of(gradcheck)
def gradgradcheck(
    function: Callable[..., Tensor | Sequence[Tensor]],
    inputs: Sequence[Tensor],
    eps: float = 1e-6,
    atol: float = 1e-6,
    rtol: float = 1e-5,
) -> bool:
    """Check second derivatives: apply `gradcheck` to the gradient that `create_graph=True` gives.

    The gradients of the outputs are random inputs of the check too, which checks that the rule is linear in them. The
    differences are those of the gradient as an ordinary backward pass gives it, after the two have been compared.

    Raises:
        GradcheckError: the two gradients differ.
    """
    _check_arguments("gradgradcheck", function, inputs, eps, atol, rtol)
    checked = [k for k, x in enumerate(inputs) if isinstance(x, Tensor) and x.requires_grad]
    outputs = [y for y in _outputs(function, inputs) if y.requires_grad]
    rng = np.random.default_rng(21)
    output_grads = [tensor(rng.standard_normal(y.shape), requires_grad=True, backend=y.backend) for y in outputs]

    def gradients_at(values: Sequence[Any], create_graph: bool) -> list[Tensor | None]:
        xs, vs = values[: len(inputs)], values[len(inputs) :]
        ys = [y for y in _outputs(function, xs) if y.requires_grad]
        return gradients(ys, [xs[k] for k in checked], list(vs), create_graph=create_graph, allow_unused=True)

    at = [*inputs, *output_grads]
    recorded = gradients_at(at, True)
    varying = [place for place, g in enumerate(recorded) if g is not None and g.requires_grad]
    for place, (g, h) in enumerate(zip(recorded, gradients_at(at, False))):
        one, other = (np.zeros(()) if each is None else each.numpy() for each in (g, h))
        allowed = atol + rtol * float(np.max(np.abs(other), initial=0.0))
        if not np.all(np.abs(one - other) <= allowed):
            raise GradcheckError(
                f"gradgradcheck: inputs[{checked[place]}]: the gradient recorded with create_graph=True differs from "
                f"that of an ordinary backward pass by up to {np.max(np.abs(one - other)):.3g} (allowed {allowed:.2g})"
            )

    def gradient(*values: Any) -> list[Tensor]:
        found = gradients_at(values, True)
        return [g for g in found if g is not None and g.requires_grad]

    def gradient_alone(*values: Any) -> list[Tensor]:
        found = gradients_at(values, False)
        return [g for place in varying if (g := found[place]) is not None]

    return _compared(gradient, gradient_alone, at, eps, atol, rtol)
