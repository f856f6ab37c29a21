"""Hooks: user functions that the backward pass calls with a tensor's complete gradient."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from types import TracebackType
from typing import Any

import numpy as np

from ..backend import BackendError, backend_of
from ..foreign_arrays import type_name
from ..option_checks import check_function
from .metadata import NodeMetadata, ensure_metadata, get_metadata
from .tape import GraphError, Node
from .tensor import Tensor

Hook = Callable[[Any], Any]
"""Takes a node's pooled gradient, an array or (in a recorded backward pass) a tensor; returns the one to go on with."""

hooked: dict[int, weakref.ref[NodeMetadata]] = {}
"""The metadata of all living nodes with a hook, by id: the backward pass looks for hooks only while there is one.

A plain dictionary, since the backward pass asks at every node.
"""


class HookKey:
    """What a handle finds its hook by. It is equal to itself alone, also after pickling, where numbers would meet."""

    __slots__ = ()


class Hooks(dict[HookKey, Any]):
    """A node's hooks in calling order, by the key that their handle holds."""

    __slots__ = ("__weakref__",)

    def add(self, function: Any, first: bool = False) -> HookKey:
        """Add a function, last or first; return its key."""
        key = HookKey()
        if first:
            others = dict(self)
            self.clear()
            self[key] = function
            self.update(others)
        else:
            self[key] = function
        return key

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return Hooks, (), None, None, iter(self.items())


class Handle:
    """Removes a registered hook: by `remove()`, or at the end of a `with` block."""

    __slots__ = ("_after", "_hooks", "_key")

    def __init__(self, hooks: Hooks, key: HookKey, after: Callable[[], Any] | None = None) -> None:
        self._hooks, self._key, self._after = weakref.ref(hooks), key, after

    def remove(self) -> None:
        """Remove the hook. Calling this twice does no harm."""
        hooks = self._hooks()
        if hooks is not None and hooks.pop(self._key, None) is not None and self._after is not None:
            self._after()

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        """Keep the handle with its hook where both are in one pickle or copy; alone it removes nothing."""
        return Handle.__new__, (Handle,), (self._hooks(), self._key)

    def __setstate__(self, state: tuple[Hooks | None, HookKey]) -> None:
        hooks, self._key = state
        self._hooks, self._after = weakref.ref(Hooks() if hooks is None else hooks), None

    def __enter__(self) -> Handle:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()


def add_hook(node: Node, hook: Hook) -> Handle:
    """Let the backward pass call `hook` with the node's pooled gradient."""
    metadata = ensure_metadata(node)
    hooks = metadata.hooks.setdefault(node.serial, Hooks())
    reference = _mark_hooked(metadata)

    def after_removal() -> None:
        metadata = reference()
        if metadata is not None and not any(metadata.hooks.values()):
            hooked.pop(id(metadata), None)

    return Handle(hooks, hooks.add(hook), after_removal)


def _mark_hooked(metadata: NodeMetadata) -> weakref.ref[NodeMetadata]:
    """Enter the metadata of a node with a hook into `hooked` while it lives."""
    key = id(metadata)
    if key not in hooked:
        hooked[key] = weakref.ref(metadata, lambda _: hooked.pop(key, None))
    return hooked[key]


def get_hooks(node: Node) -> Hooks | None:
    """Return the node's hooks, or None."""
    metadata = get_metadata(node)
    return None if metadata is None else metadata.hooks.get(node.serial)


def set_hooks(node: Node, hooks: Hooks) -> None:
    """Give the node hooks that were another's."""
    metadata = ensure_metadata(node)
    metadata.hooks[node.serial] = hooks
    _mark_hooked(metadata)


def move_hooks(old: Node, new: Node) -> None:
    """Move the hooks of a leaf to its replacement."""
    metadata = get_metadata(old)
    if metadata is not None and metadata.hooks:
        new.metadata = metadata
        metadata.hooks = {new.serial: metadata.hooks.pop(old.serial)}


def apply_hooks(node: Node, g: Any, owned: bool) -> tuple[Any, bool]:
    """Return the gradient after the node's hooks, and whether nothing else holds its memory, as a hook may."""
    hooks = get_hooks(node)
    if not hooks:
        return g, owned
    if hasattr(g, "dense"):
        g = g.dense()
    for hook in tuple(hooks.values()):
        g = hook(g)
    return g, False


def register_hook(x: Tensor, function: Callable[[Tensor], Tensor | None]) -> Handle:
    """Call `function` with the gradient of this tensor, leaf or computed, whenever a backward pass reaches it.

    The gradient is the pooled one, of all uses. What the function returns, unless None, takes its place, in `.grad`
    and for all earlier operations. With `create_graph` both gradients are on the tape.

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
        TypeError, ValueError, BackendError: in the backward pass, the function returned something other than None
            or a tensor of the gradient's shape, dtype and backend.
    """
    check_function("Tensor.register_hook", function=function)
    if x.node is None:
        raise GraphError(
            f"Tensor.register_hook: the tensor of shape {x.shape} is not on the tape; requires_grad is off"
        )
    caller = f"Tensor.register_hook: the hook {name_of(function)} on '{x.node.op}' {x.shape}"
    return add_hook(x.node, TensorHook(function, caller))


class TensorHook:
    """The user's function, and whom an error names. A class, since a pickle holds no local function."""

    def __init__(self, function: Callable[[Tensor], Tensor | None], caller: str) -> None:
        self.function, self.caller = function, caller

    def __call__(self, g: Any) -> Any:
        result = self.function(read_only_tensor(g))
        return g if result is None else check_replacement(self.caller, result, g)


def name_of(function: Any) -> str:
    """Return a function's name for messages."""
    return getattr(function, "__qualname__", type(function).__name__)


def read_only_tensor(g: Any) -> Tensor:
    """Return a gradient as the user may see it: a tensor, on the host one that is read-only."""
    if isinstance(g, Tensor):
        return g
    if isinstance(g, np.ndarray):
        g = g.view()
        g.flags.writeable = False
    return Tensor(g)


def check_replacement(caller: str, result: Any, g: Any) -> Any:
    """Check the tensor that a hook returned in place of `g`; return it as a tensor or an array, as `g` is."""
    if not isinstance(result, Tensor):
        raise TypeError(f"{caller} returned {type_name(result)}, want None or a Tensor")
    if result.shape != tuple(g.shape):
        raise ValueError(f"{caller} returned shape {result.shape}, want {tuple(g.shape)} as the gradient")
    if result.dtype != g.dtype:
        raise TypeError(f"{caller} returned dtype {result.dtype}, want {g.dtype} as the gradient")
    backend = backend_of(g._array if isinstance(g, Tensor) else g).name
    if result.backend != backend:
        raise BackendError(f"{caller} returned a tensor on {result.backend}, want {backend} as the gradient")
    return result if isinstance(g, Tensor) else result._array
