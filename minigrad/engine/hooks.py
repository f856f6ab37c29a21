"""Functions of the user's that the walk calls when a tensor's gradient is whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..backend import BackendError, backend_of
from .observer import Handle, add_hook
from .tape import GraphError
from .tensor import Tensor


def register_hook(x: Tensor, function: Callable[[Tensor], Tensor | None]) -> Handle:
    """Call `function` with the gradient of this tensor, leaf or computed, whenever a walk reaches it.

    It is the pooled gradient, of all uses. What the function returns, if anything, takes its place, in `.grad` and for
    everything before. In a `create_graph` walk the gradient is on the tape, and so is what the function makes of it.

    >>> import minigrad as mg
    >>> x = mg.tensor([1.0, 2.0], requires_grad=True)
    >>> h = x * x
    >>> handle = h.register_hook(lambda g: g * 10)
    >>> h.sum().backward()
    >>> x.grad.tolist()
    [20.0, 40.0]
    >>> handle.remove()

    Returns:
        A handle: `remove()` takes the hook away.

    Raises:
        GraphError: the tensor is not on the tape.
        TypeError, ValueError, BackendError (from the walk): the function returned something else than None or a
            tensor of the gradient's shape, dtype and backend.
    """
    if x.node is None:
        raise GraphError(
            f"Tensor.register_hook: the tensor of shape {x.shape} is not on the tape; requires_grad is off"
        )
    caller = f"Tensor.register_hook: the hook {name_of(function)} on '{x.node.op}' {x.shape}"

    def hook(g: Any) -> Any:
        answer = function(as_given(g))
        return g if answer is None else as_walked(caller, answer, g)

    return add_hook(x.node, hook)


def name_of(function: Any) -> str:
    return getattr(function, "__qualname__", type(function).__name__)


def as_given(g: Any) -> Tensor:
    """A gradient as the user may see it: a tensor, and on the host one that nobody writes into."""
    if isinstance(g, Tensor):
        return g
    if isinstance(g, np.ndarray):
        g = g.view()
        g.flags.writeable = False
    return Tensor(g)


def as_walked(caller: str, answer: Any, g: Any) -> Any:
    """What a hook returned in the place of `g`, as the walk takes it: a tensor or an array, as `g` is."""
    if not isinstance(answer, Tensor):
        raise TypeError(f"{caller} returned {type(answer).__name__}, want None or a Tensor")
    if answer.shape != tuple(g.shape):
        raise ValueError(f"{caller} returned shape {answer.shape}, want {tuple(g.shape)} as the gradient")
    if answer.dtype != g.dtype:
        raise TypeError(f"{caller} returned dtype {answer.dtype}, want {g.dtype} as the gradient")
    here = backend_of(g._data if isinstance(g, Tensor) else g).name
    if answer.backend != here:
        raise BackendError(f"{caller} returned a tensor on {answer.backend}, want {here} as the gradient")
    return answer if isinstance(g, Tensor) else answer._data
