"""Observers of every operation and rule, such as the profiler and anomaly detection.

`Mode.observer` holds the observer of the current thread and asyncio task, or None; `primitive` and the backward pass
test it once, so that operations cost nothing extra without one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import partial
from typing import Any

from .modes import Mode, ModeContext
from .tape import Node, Rule


class Observer:
    """Base class of observers. A subclass overrides the methods that it needs."""

    def started(self, op: str) -> Any:
        """An operation begins. The value returned comes back in `finished`, unless the operation raises."""

    def finished(self, token: Any, op: str, arrays: Sequence[Any], options: dict[str, Any], result: Any) -> None:
        """An operation ends: `result` is the tensor, or the tuple of them, with its node if it was recorded."""

    def rules(self, node: Node, rules: Any) -> tuple[Rule, ...] | Rule:
        """The backward pass has come to the node. The value returned takes the place of its rules."""
        return rules  # type: ignore[no-any-return]

    def backward_pass(self, roots: Sequence[tuple[Node, Any]], run: Callable[[], dict[int, Any]]) -> dict[int, Any]:
        """Run a whole backward pass from `roots`, pairs of a node and its gradient; return what `run()` returns."""
        return run()

    def inside(self, module: Any) -> AbstractContextManager[Any]:
        """Return a context manager for the forward pass of a module."""
        return nullcontext()

    def inside_layer(self, modules: tuple[Any, ...]) -> AbstractContextManager[Any]:
        """The same for modules that another one runs without calling them, such as cells over a whole sequence."""
        return nullcontext()


class ObserverChain(Observer):
    """Two observers, one inside the other."""

    def __init__(self, outer: Observer, inner: Observer) -> None:
        self.outer, self.inner = outer, inner

    def started(self, op: str) -> Any:
        return self.outer.started(op), self.inner.started(op)

    def finished(self, token: Any, op: str, arrays: Sequence[Any], options: dict[str, Any], result: Any) -> None:
        self.inner.finished(token[1], op, arrays, options, result)
        self.outer.finished(token[0], op, arrays, options, result)

    def rules(self, node: Node, rules: Any) -> tuple[Rule, ...] | Rule:
        return self.outer.rules(node, self.inner.rules(node, rules))

    def backward_pass(self, roots: Sequence[tuple[Node, Any]], run: Callable[[], dict[int, Any]]) -> dict[int, Any]:
        return self.outer.backward_pass(roots, partial(self.inner.backward_pass, roots, run))

    def inside(self, module: Any) -> AbstractContextManager[Any]:
        stack = ExitStack()
        stack.enter_context(self.outer.inside(module))
        stack.enter_context(self.inner.inside(module))
        return stack

    def inside_layer(self, modules: tuple[Any, ...]) -> AbstractContextManager[Any]:
        stack = ExitStack()
        stack.enter_context(self.outer.inside_layer(modules))
        stack.enter_context(self.inner.inside_layer(modules))
        return stack


class ObserverContext(Observer, ModeContext):
    """An observer that is active inside its `with` block, in this thread and task, beside those already active.

    Nested blocks of one observer activate it once.
    """

    def changed(self, before: Mode) -> Mode:
        observer = before.observer
        if observer is None:
            observer = self
        elif not _contains(observer, self):
            observer = ObserverChain(observer, self)
        return Mode(before.recording, before.time_step, observer, before)


def _contains(chain: Observer, observer: Observer) -> bool:
    """Return whether `observer` is `chain` or one of its members."""
    return chain is observer or (
        isinstance(chain, ObserverChain) and (_contains(chain.outer, observer) or _contains(chain.inner, observer))
    )
