"""Derivatives of functions: how an output moves when its inputs move along a direction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from . import ops
from .functional import gradients
from .tensor import Tensor, tensor


def jvp(
    function: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any], create_graph: bool = False
) -> tuple[Any, Any]:
    """The value of `function(*primals)` and its derivative along `tangents`, J·v.

    By two walks back: g ↦ Jᵀg is linear in g, so its own derivative with respect to g, along v, is J·v. It works
    through whatever `create_graph` works through, fused sequences too, and costs a forward and two walks, one recorded:
    about three to five times the forward, at the memory of a recorded walk.

    >>> import minigrad as mg
    >>> y, dy = mg.jvp(lambda x: x * x, [mg.tensor([3.0, 4.0])], [mg.tensor([1.0, 10.0])])
    >>> y.tolist(), dy.tolist()
    ([9.0, 16.0], [6.0, 80.0])

    Args:
        function: of tensors; returns a tensor or a tuple of them.
        primals: floating tensors or arrays.
        tangents: one for each primal, of its shape.
        create_graph: leave the results on the tape, to be differentiated again, with respect to the tensors that
            `function` refers to.

    Returns:
        (value, derivative), each a tensor, or a tuple where the function returns one.

    Raises:
        ValueError: another number of tangents than primals, or one of another shape.
    """
    if len(primals) != len(tangents):
        raise ValueError(f"jvp: tangents: got {len(tangents)}, want one for each of {len(primals)} primals")
    points = [x if isinstance(x, Tensor) else tensor(x) for x in primals]
    along = [v if isinstance(v, Tensor) else tensor(v, dtype=x.dtype) for v, x in zip(tangents, points)]
    for k, (x, v) in enumerate(zip(points, along)):
        if x.shape != v.shape:
            raise ValueError(f"jvp: tangents[{k}]: got shape {v.shape}, want {x.shape} like its primal")
    leaves = [tensor(x.detach(), requires_grad=True) for x in points]
    made = function(*leaves)
    outputs = made if isinstance(made, tuple) else (made,)
    weights = [tensor(ops.zeros(y.shape, dtype=y.dtype).to(y.backend), requires_grad=True) for y in outputs]
    live = [k for k, y in enumerate(outputs) if y.requires_grad]
    back = gradients(
        [outputs[k] for k in live], leaves, [weights[k] for k in live], create_graph=True, allow_unused=True
    ) if live else []  # fmt: skip
    used = [(g, v) for g, v in zip(back, along) if g is not None and g.requires_grad]
    moved: list[Tensor | None] = [None] * len(outputs)
    if used:
        moved = gradients(
            [g for g, _ in used], weights, [v for _, v in used], create_graph=create_graph, allow_unused=True
        )
    derivative = tuple(w.detach() * 0 if m is None else m for w, m in zip(weights, moved))
    values = outputs if create_graph else tuple(y.detach() for y in outputs)
    return (values, derivative) if isinstance(made, tuple) else (values[0], derivative[0])
