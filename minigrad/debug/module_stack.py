"""module_stack holds the modules whose forward pass is running; name_of_layer names the innermost by its path."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

module_stack: ContextVar[tuple[Any, ...]] = ContextVar("minigrad running modules", default=())


@contextmanager
def inside(module: Any) -> Iterator[None]:
    """Note, inside the block, that the forward pass of a module, or of a tuple of them, is running."""
    token = module_stack.set((*module_stack.get(), module))
    try:
        yield
    finally:
        module_stack.reset(token)


def name_of_layer(stack: tuple[Any, ...]) -> str:
    """Return the innermost module's path from the outermost one and its class, such as "encoder.forward0 (LSTMCell)".

    A module that is not part of the outermost one stands under its class alone. "" without modules. A layer of several
    modules, which run beside each other, has all their paths: "forward0 | backward0 (LSTMCell)".
    """
    if not stack:
        return ""
    inner = stack[-1] if isinstance(stack[-1], tuple) else stack[-1:]
    kind, ids = type(inner[0]).__name__, {id(module) for module in inner}
    path = " | ".join(path for path, module in _root(stack).named_modules() if path and id(module) in ids)
    return f"{path} ({kind})" if path else kind


def _root(stack: tuple[Any, ...]) -> Any:
    return stack[0][0] if isinstance(stack[0], tuple) else stack[0]


def name_of_parameter(stack: tuple[Any, ...], array: Any) -> str:
    """Return the name of the outermost module's parameter with this array, or ""."""
    pairs = _root(stack).named_parameters() if stack else ()
    return next((name for name, parameter in pairs if parameter._array is array), "")
