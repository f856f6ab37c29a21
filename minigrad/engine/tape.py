"""The tape: one node for every recorded operation. `backward_pass` runs it backwards.

A `Node` knows its inputs' nodes and how a gradient passes back to them. It never holds its own output, so reference
counting frees a graph as soon as it is not needed. Serial numbers grow as the tape is written: from high to low, every
node comes after all of its uses, without recursion. This file depends on no array library.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from contextlib import ContextDecorator
from contextvars import ContextVar
from types import TracebackType
from typing import Any

Array = Any
Rule = Callable[..., Any]


class GraphError(RuntimeError):
    """A backward pass is impossible: the graph was consumed or never recorded, or a saved array has changed."""


class Mode:
    """How operations are recorded: whether at all, for which time step, with which observer; and the mode `before`."""

    __slots__ = ("before", "observer", "recording", "time_step")

    def __init__(self, recording: bool, time_step: int | None, observer: Any, before: Mode | None) -> None:
        self.recording, self.time_step, self.observer, self.before = recording, time_step, observer, before


_initial_mode = Mode(True, None, None, None)
_mode: ContextVar[Mode] = ContextVar("minigrad mode", default=_initial_mode)
mode = _mode.get
"""Returns the recording mode of the current thread or asyncio task."""
serials = itertools.count(1)


class Node:
    """The record of one operation.

    `parents` are the inputs' nodes (None where an input needs no gradient), `rules` either one rule per input,
    `rule(xp, g, *saved)`, or a single joint rule for all of them, `rule(xp, g, needs, *saved)`. `sources` has for each
    saved array its position among inputs and outputs (None: neither), by which a recorded backward pass ties it to its
    node again. `xp` is the namespace that computed it. `rules` is None once a backward pass has
    consumed the node.
    """

    __slots__ = (
        "dtype",
        "metadata",
        "op",
        "parents",
        "rules",
        "saved",
        "serial",
        "shape",
        "sources",
        "time_step",
        "xp",
    )
    serial: int
    op: str
    parents: Sequence[Node | None]
    rules: tuple[Rule, ...] | Rule | None
    saved: tuple[Array, ...]
    sources: Sequence[int | None]
    shape: tuple[int, ...]
    dtype: Any
    xp: Any
    time_step: int | None
    metadata: Any
    """The hooks, source line and module of the node (`metadata.NodeMetadata`); not set on most nodes."""
    # Defaults of attributes that only some kinds of node have:
    outputs: Any = None
    picks: Any = ()
    slot: Any = None
    keeps_factors: Any = False
    """Whether to keep the factors of a contribution: for a weight, or the transpose of one."""

    def __repr__(self) -> str:
        at = "" if self.time_step is None else f", t={self.time_step}"
        return f"<{self.op} #{self.serial} {self.shape} {self.dtype}{at}>"


class ManyNode(Node):
    """The node of an operation with several outputs, whose (shape, dtype) it lists. Each output has a `Pick`."""

    __slots__ = ("outputs", "picks")
    outputs: tuple[tuple[tuple[int, ...], Any], ...]
    picks: tuple[int, ...]
    """The serial number of each output's `Pick`, the same however often the `Pick` is created."""


class Pick(Node):
    """The node of output number `slot` of its only parent, a `ManyNode`."""

    __slots__ = ("slot",)
    slot: int


class TransposeNode(Node):
    """The node of `W.T`: it passes the factors of a contribution on to the weight, exchanged."""

    __slots__ = ()
    keeps_factors = True


class Leaf(Node):
    """The node of a tensor made by the user: no parents; holds the gradient, and when its array was last written."""

    __slots__ = ("grad", "written_at")
    keeps_factors = True
    grad: Any
    written_at: int
    """The serial number when the library last wrote into the array, as an optimizer does."""


def new_leaf(shape: tuple[int, ...], dtype: Any, xp: Any) -> Leaf:
    """Return the node of a new leaf."""
    leaf = Leaf()
    leaf.serial = next(serials)
    leaf.op, leaf.parents, leaf.rules, leaf.saved, leaf.sources = "leaf", (), (), (), ()
    leaf.shape, leaf.dtype, leaf.xp, leaf.time_step = shape, dtype, xp, None
    leaf.grad, leaf.written_at = None, 0
    return leaf


class ModeContext:
    """Replace the mode inside a `with` block, and restore the previous mode afterwards.

    The mode itself keeps the previous one, so that several threads and tasks may use one `no_grad()` at once.
    """

    def _mode(self, before: Mode) -> Mode:
        raise NotImplementedError(f"{type(self).__name__}: a subclass defines the mode inside the block")

    def __enter__(self) -> None:
        _mode.set(self._mode(mode()))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _mode.set(mode().before or _initial_mode)


class recording(ModeContext, ContextDecorator):
    """Record operations, or not, inside a `with` block or a decorated function."""

    def __init__(self, on: bool) -> None:
        self._on = on

    def _recreate_cm(self) -> recording:  # a decorated function may run in several threads at once
        return recording(self._on)

    def _mode(self, before: Mode) -> Mode:
        return Mode(self._on, before.time_step, before.observer, before)


class no_grad(recording):
    """Record nothing inside a `with` block or a decorated function."""

    def __init__(self) -> None:
        super().__init__(False)


class enable_grad(recording):
    """Record operations again inside a `no_grad` block."""

    def __init__(self) -> None:
        super().__init__(True)


class time_step(ModeContext):
    """Label operations recorded inside a `with` block with a time step, which the ledger shows."""

    def __init__(self, t: int | None) -> None:
        self._t = t

    def _mode(self, before: Mode) -> Mode:
        return Mode(before.recording, self._t, before.observer, before)


def output_of(node: Node, k: int) -> Node:
    """Return the node of output k: the node itself, or a `Pick` if there are several outputs."""
    if node.outputs is None:
        return node
    pick = Pick()
    pick.serial = node.picks[k]
    pick.op, pick.parents, pick.rules, pick.saved, pick.sources = node.op, (node,), (), (), ()
    (pick.shape, pick.dtype), pick.xp, pick.time_step = node.outputs[k], node.xp, node.time_step
    pick.slot = k
    return pick
