"""The tape: one entry for every operation. `walk` runs it backwards.

An entry (`Node`) knows who its inputs were and how a gradient passes back to them; it never holds its own output, so
a graph is freed by reference count the moment nobody needs it. Serial numbers grow as the tape is written: walking
them from high to low visits every entry after all of its uses, without recursion. This file knows no array library.
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
    """The graph cannot be walked as asked: it was walked before, was never recorded, or a saved array changed."""


class Mode:
    """How operations are recorded: whether at all, under which time step, who watches, and what was `before`."""

    __slots__ = ("before", "observer", "recording", "time_step")

    def __init__(self, recording: bool, time_step: int | None, observer: Any, before: Mode | None) -> None:
        self.recording, self.time_step, self.observer, self.before = recording, time_step, observer, before


_at_first = Mode(True, None, None, None)
_mode: ContextVar[Mode] = ContextVar("minigrad mode", default=_at_first)
mode = _mode.get
"""The mode of this thread and this asynchronous task: another's `no_grad` is none of ours."""
serials = itertools.count(1)


class Node:
    """One entry of the tape.

    `parents` are the inputs' entries (None where an input needs no gradient), `rules` either one rule per input,
    `rule(xp, g, *saved)`, or a single joint rule for all of them, `rule(xp, g, needs, *saved)`. `sources` says of each
    saved array which of the inputs, and after them the outputs, it is (None: neither), so that it can be tied to its
    tape entry again when the walk itself is recorded. `xp` is the namespace that computed it. An entry that a walk has
    consumed has `rules` None.
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
    """What hooks and observers noted of the entry (`observer.NodeMetadata`); not set on most."""
    # What only some kinds of entry have, as every other kind sees it:
    outputs: Any = None
    picks: Any = ()
    slot: Any = None
    keeps_factors: Any = False
    """Whether factors of a contribution are worth keeping here: for a weight, or the transpose of one."""

    def __repr__(self) -> str:
        at = "" if self.time_step is None else f", t={self.time_step}"
        return f"<{self.op} #{self.serial} {self.shape} {self.dtype}{at}>"


class ManyNode(Node):
    """The entry of an operation with several outputs, whose (shape, dtype) it lists. Each output has a `Pick` of it."""

    __slots__ = ("outputs", "picks")
    outputs: tuple[tuple[tuple[int, ...], Any], ...]
    picks: tuple[int, ...]
    """The serial number of each output's entry: however often it is made, it is the same one."""


class Pick(Node):
    """The entry of output number `slot` of its only parent, a `ManyNode`."""

    __slots__ = ("slot",)
    slot: int


class TransposeNode(Node):
    """The entry of `W.T`: factors of a contribution pass through it to the weight, exchanged."""

    __slots__ = ()
    keeps_factors = True


class Leaf(Node):
    """The entry of a tensor that the user made: no parents; holds the gradient, and when its array was last written."""

    __slots__ = ("grad", "written_at")
    keeps_factors = True
    grad: Any
    written_at: int
    """The serial number at which the library last wrote into the array, such as an optimizer's step."""
    last_written_at = 0
    """The same of all leaves together."""


def new_leaf(shape: tuple[int, ...], dtype: Any, xp: Any) -> Leaf:
    leaf = Leaf()
    leaf.serial = next(serials)
    leaf.op, leaf.parents, leaf.rules, leaf.saved, leaf.sources = "leaf", (), (), (), ()
    leaf.shape, leaf.dtype, leaf.xp, leaf.time_step = shape, dtype, xp, None
    leaf.grad, leaf.written_at = None, 0
    return leaf


class ModeContext:
    """Replace the mode inside a `with` block and put back afterwards what was there.

    What was there is kept in the mode, not here: one `no_grad()` may be used by several threads and tasks at once.
    """

    def _mode(self, before: Mode) -> Mode:
        raise NotImplementedError(
            f"{type(self).__name__}: a block defines the mode that it puts in the place of another"
        )

    def __enter__(self) -> None:
        _mode.set(self._mode(mode()))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _mode.set(mode().before or _at_first)


class recording(ModeContext, ContextDecorator):
    """Write to the tape, or not, inside a `with` block or a decorated function."""

    def __init__(self, on: bool) -> None:
        self._on = on

    def _recreate_cm(self) -> recording:  # a decorated function may run in several threads at once
        return recording(self._on)

    def _mode(self, before: Mode) -> Mode:
        return Mode(self._on, before.time_step, before.observer, before)


class no_grad(recording):
    """Nothing computed inside is written to the tape."""

    def __init__(self) -> None:
        super().__init__(False)


class enable_grad(recording):
    """Write to the tape again inside a `no_grad` block."""

    def __init__(self) -> None:
        super().__init__(True)


class time_step(ModeContext):
    """Label what is recorded inside with a time step; the ledger shows contributions under it."""

    def __init__(self, t: int | None) -> None:
        self._t = t

    def _mode(self, before: Mode) -> Mode:
        return Mode(before.recording, self._t, before.observer, before)


def output_of(node: Node, k: int) -> Node:
    """The entry of output k: the node itself, or, where there are several outputs, an entry that picks one."""
    if node.outputs is None:
        return node
    pick = Pick()
    pick.serial = node.picks[k]
    pick.op, pick.parents, pick.rules, pick.saved, pick.sources = node.op, (node,), (), (), ()
    (pick.shape, pick.dtype), pick.xp, pick.time_step = node.outputs[k], node.xp, node.time_step
    pick.slot = k
    return pick
