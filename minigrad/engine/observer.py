"""What looks inside: observers that see every operation and rule, and what is noted of an entry on the side.

`Mode.observer` holds the observer of this thread and task, or None; `primitive` and `walk` ask for it once, so that
nothing is paid while nobody looks. What is noted of an entry (its hooks, the user's line) is in its slot `aside`, which
most entries never set: it dies with the entry. This file knows no array library.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import partial
from types import TracebackType
from typing import Any

from .tape import Mode, Node, Rule, _ModeContext, serials

Hook = Callable[[Any], Any]
"""From an entry's pooled gradient, an array or (in a recorded walk) a tensor, to the one that the walk goes on with."""


Line = tuple[str, int, Any]
"""A file, a line number, and the globals there, for a source that is in no file."""
OURS = frozenset(("minigrad", "minigrad_rnn", "numpy", "contextlib", "functools", "runpy", "threading", "asyncio"))
"""Packages whose frames are not the user's."""


class Hooks(dict[int, Any]):
    """Functions by the numbers that their handles know."""

    __slots__ = ("__weakref__",)

    def add(self, function: Any, first: bool = False) -> int:
        """Put in a function, last or first; returns its number."""
        key = next(serials)
        if first:
            others = dict(self)
            self.clear()
            self[key] = function
            self.update(others)
        else:
            self[key] = function
        return key


class Handle:
    """What registering a hook returns: `remove()` takes it away again, and so does the end of a `with` block."""

    __slots__ = ("_after", "_hooks", "_key")

    def __init__(self, hooks: Hooks, key: int, after: Callable[[], Any] | None = None) -> None:
        self._hooks, self._key, self._after = weakref.ref(hooks), key, after

    def remove(self) -> None:
        """The hook is not called any more. Doing it twice does no harm."""
        hooks = self._hooks()
        if hooks is not None and hooks.pop(self._key, None) is not None and self._after is not None:
            self._after()

    def __enter__(self) -> Handle:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()


class NodeMetadata:
    """What was noted of an entry: `hooks` by serial number (of the entry, or of its `Pick`s), where it was made."""

    __slots__ = ("__weakref__", "hooks", "line", "module")

    def __init__(self) -> None:
        self.hooks: dict[int, Hooks] = {}
        self.line: Line | None = None
        """The user's line that recorded the entry."""
        self.module: Any = None
        """A label of the module that was being called then."""


hooked: weakref.WeakSet[NodeMetadata] = weakref.WeakSet()
"""Those of living entries that have a hook: the walk looks for hooks only if there is one."""


def whole(node: Node) -> Node:
    """The entry of the operation: of one of several outputs, the entry that has them all."""
    return node if node.slot is None or not node.parents else node.parents[0]  # type: ignore[return-value]


def get_metadata(node: Node) -> NodeMetadata | None:
    """What was noted of the operation's entry, if anything."""
    return getattr(whole(node), "metadata", None)


def ensure_metadata(node: Node) -> NodeMetadata:
    """The same, made where there is none yet."""
    found = get_metadata(node)
    if found is None:
        found = whole(node).metadata = NodeMetadata()
    return found


def add_hook(node: Node, hook: Hook) -> Handle:
    """Let the walk call `hook` with the entry's pooled gradient."""
    beside = ensure_metadata(node)
    hooks = beside.hooks.setdefault(node.serial, Hooks())
    hooked.add(beside)
    where = weakref.ref(beside)

    def removed() -> None:
        beside = where()
        if beside is not None and not any(beside.hooks.values()):
            hooked.discard(beside)

    return Handle(hooks, hooks.add(hook), removed)


def move_hooks(before: Node, now: Node) -> None:
    """The hooks of an entry are those of the one that takes its place."""
    found = get_metadata(before)
    if found is not None and found.hooks:
        now.metadata = found
        found.hooks = {now.serial: found.hooks.pop(before.serial)}


def apply_hooks(node: Node, g: Any, owned: bool) -> tuple[Any, bool]:
    """The gradient after the entry's hooks, and whether its memory is still the walk's own: hooks may keep it."""
    found = get_metadata(node)
    hooks = None if found is None else found.hooks.get(node.serial)
    if not hooks:
        return g, owned
    if hasattr(g, "dense"):
        g = g.dense()
    for hook in tuple(hooks.values()):
        g = hook(g)
    return g, False


class Observer:
    """Sees what is computed. Every method may be left as it is."""

    def started(self, op: str) -> Any:
        """An operation begins. What is returned comes back in `finished`, unless the operation raises."""

    def finished(self, token: Any, op: str, arrays: Sequence[Any], options: dict[str, Any], made: Any) -> None:
        """It is done: `made` is the tensor, or the tuple of them, with its entry if it was recorded."""

    def rules(self, node: Node, rules: Any) -> tuple[Rule, ...] | Rule:
        """The walk has come to the entry. What is returned takes the place of its rules."""
        return rules  # type: ignore[no-any-return]

    def walk(self, roots: Sequence[tuple[Node, Any]], walk: Callable[[], dict[int, Any]]) -> dict[int, Any]:
        """Around a whole walk from `roots`, pairs of an entry and a seed; answers with what `walk()` found."""
        return walk()

    def inside(self, module: Any) -> AbstractContextManager[Any]:
        """Around the forward pass of a module."""
        return nullcontext()


class ObserverChain(Observer):
    """Two observers, one inside the other."""

    def __init__(self, outer: Observer, inner: Observer) -> None:
        self.outer, self.inner = outer, inner

    def started(self, op: str) -> Any:
        return self.outer.started(op), self.inner.started(op)

    def finished(self, token: Any, op: str, arrays: Sequence[Any], options: dict[str, Any], made: Any) -> None:
        self.inner.finished(token[1], op, arrays, options, made)
        self.outer.finished(token[0], op, arrays, options, made)

    def rules(self, node: Node, rules: Any) -> tuple[Rule, ...] | Rule:
        return self.outer.rules(node, self.inner.rules(node, rules))

    def walk(self, roots: Sequence[tuple[Node, Any]], walk: Callable[[], dict[int, Any]]) -> dict[int, Any]:
        return self.outer.walk(roots, partial(self.inner.walk, roots, walk))

    def inside(self, module: Any) -> AbstractContextManager[Any]:
        stack = ExitStack()
        stack.enter_context(self.outer.inside(module))
        stack.enter_context(self.inner.inside(module))
        return stack


class ObserverContext(Observer, _ModeContext):
    """An observer that is one inside its `with` block, in this thread and task, beside those that are there.

    In a block of its own inside its block it is there once.
    """

    def _mode(self, before: Mode) -> Mode:
        watch = before.observer if _among(self, before.observer) else _both(before.observer, self)
        return Mode(before.recording, before.time_step, watch, before)


def _both(outer: Observer | None, inner: Observer) -> Observer:
    return inner if outer is None else ObserverChain(outer, inner)


def _among(one: Observer, watch: Observer | None) -> bool:
    """Whether `one` is, or is among, those that watch."""
    return watch is one or (isinstance(watch, ObserverChain) and (_among(one, watch.outer) or _among(one, watch.inner)))


def users_line() -> Line | None:
    """The innermost line that is not in a package of `OURS`; if all are, the outermost of minigrad_rnn's."""
    frame = sys._getframe(1)
    last: Line | None = None
    while frame is not None:
        file, names = frame.f_code.co_filename, frame.f_globals
        package = (names.get("__package__") or names.get("__name__") or "").partition(".")[0]
        typed_in = file.startswith("<") and not file.startswith("<frozen")
        if typed_in or package not in OURS:
            return file, frame.f_lineno, names
        if package == "minigrad_rnn":
            last = file, frame.f_lineno, names
        frame = frame.f_back  # type: ignore[assignment]
    return last
