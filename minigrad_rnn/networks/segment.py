"""Segment is a part of a series on a tape of its own; a walk back through the series takes one after the other."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import pairwise
from typing import Any

import minigrad as mg
from minigrad import Tensor
from minigrad.differentiate import run_backward
from minigrad.engine import modes, mutation, tape
from minigrad.engine.gradient_pool import Pool
from minigrad.engine.tape import GraphError, Leaf, Node
from minigrad.transforms.tracing import Variable, recorded_since, variable

from ..native.sequence import walked_again
from .series import State, packed, parts_of

Array = Any
Run = Callable[[Any, State], tuple[Tensor, State]]
"""From a part of a series and the state before it to an output and the state after it."""


def serial_of(x: Any) -> int | None:
    """The serial number of a tensor's node; None off the tape."""
    return None if not isinstance(x, Tensor) or x.node is None else x.node.serial


class Segment:
    """A part of a series, recorded. Its graph ends at variables in place of what it was given.

    Args:
        run: the computation.
        x, state: what it is given; what is not on the tape stays constant.
        begin: the first step.
        to_state: whether the gradient of a constant state is wanted too.

    Attributes:
        output, after: the results, on the segment's own tape.
        outer: the nodes outside that the computation refers to, such as the parameters', by serial number.
    """

    def __init__(self, run: Run, x: Any, state: State, begin: int, to_state: bool = False) -> None:
        self.begin, self.first = begin, next(tape.serials)
        self.x = _variable(x)
        self.state = [variable(part) if to_state else _variable(part) for part in parts_of(state)]
        with modes.recording(True):
            self.output, self.after = run(self.x, packed(self.state))
        outputs = [y.node for y in (self.output, *parts_of(self.after)) if y.node is not None]
        own = [v for v in (self.x, *self.state) if isinstance(v, Tensor)]
        self.inner, self.outer = recorded_since(outputs, self.first, own)

    @property
    def is_stale(self) -> bool:
        """Whether a tensor that it refers to was written into since, such as a parameter by an optimizer."""
        if any(type(node) is Leaf and node.written_at > self.first for node in self.outer.values()):
            return True
        try:
            nodes = {node.serial: node for node in self.inner}
            mutation.check_saved(nodes, sorted(nodes))
        except GraphError:
            return True
        return False

    def walk(
        self, g: Array | None, after: Sequence[Array | None], wanted: set[int], ledger: Any = None, retain: bool = False
    ) -> dict[int, Array]:
        """Go back from the gradients of the output and of the state after; None where there is none.

        Args:
            wanted: the serial numbers of the nodes whose gradients are returned.
            ledger: the accounts that note the contributions to each of them.
            retain: whether there may be another walk.
        """
        return _walk(zip((self.output, *parts_of(self.after)), (g, *after)), wanted, ledger, retain)


def walk_through(
    segments: Sequence[Segment], gs: Sequence[Array], wanted: set[int], lock: Any, scratch: Any = None
) -> dict[int, Array]:
    """Go back through successive segments in one backward pass, which they survive.

    Args:
        gs: the gradients of the last one's output and of the state after it.
        wanted: the serial numbers of the nodes whose gradients are returned.
        lock: a reentrant one of all walks through these segments, which windows share, maybe in several threads.
        scratch: memory by which compiled sequences save work, if another walk is sure to come; else None.
    """
    ties: list[tuple[Variable, Node]] = []
    for earlier, segment in pairwise(segments):
        for part, after in zip(segment.state, parts_of(earlier.after)):
            if isinstance(part.node, Variable) and after.node is not None:
                ties.append((part.node, after.node))
    last = segments[-1]
    with lock:
        token, before = walked_again.set(scratch), [(entry.parents, entry.rules) for entry, _ in ties]
        try:
            for entry, node in ties:
                entry.tie(node)
            return _walk(zip((last.output, *parts_of(last.after)), gs), wanted, None, True)
        finally:
            walked_again.reset(token)
            for (entry, _), (parents, rules) in zip(ties, before):
                entry.parents, entry.rules = parents, rules


def _walk(ends: Iterable[tuple[Tensor, Array | None]], wanted: set[int], ledger: Any, retain: bool) -> dict[int, Array]:
    live = [(y, Tensor(g)) for y, g in ends if y.node is not None and g is not None]
    if not live or not wanted:
        return {}
    found = run_backward("backward", [y for y, _ in live], [g for _, g in live], wanted, retain, False, ledger)
    return {serial: gradient._array for serial, gradient in found.items()}


def _variable(x: Any) -> Any:
    return variable(x) if isinstance(x, Tensor) and x.node is not None else x


class Pools:
    """The sums of contributions by the serial number of the node that receives them."""

    def __init__(self, nodes: Collection[Node]) -> None:
        self._pools = {node.serial: Pool(node.xp) for node in nodes}

    def add(self, found: dict[int, Array]) -> None:
        for serial, pool in self._pools.items():
            if (g := found.get(serial)) is not None:
                pool.add(g)

    def total(self, serial: int) -> Array | None:
        total: Array | None = self._pools[serial].result()[0]
        return total


def recorded_gradients(
    run: Callable[..., Sequence[Tensor]], inputs: Sequence[Any], outer: Sequence[Node], gs: Any, needs: Sequence[bool]
) -> list[Tensor | None]:
    """A rule in a recorded backward pass: run once more on the tape, and let it differentiate that.

    Args:
        run: from the inputs to the outputs that have the gradients `gs`.
        needs: for each of the inputs and then of the outer nodes whether its gradient is wanted.
    """
    # Fresh nodes for the inputs: the inner backward pass ends there.
    fresh = [mg.reshape(x, x.shape) if serial_of(x) is not None else x for x in inputs]
    outputs = run(*fresh)
    targets = [*(serial_of(x) for x in fresh), *(node.serial for node in outer)]
    wanted = {serial for serial, needed in zip(targets, needs) if needed and serial is not None}
    live = [(y, g) for y, g in zip(outputs, gs) if y.node is not None]
    found = run_backward("backward", [y for y, _ in live], [g for _, g in live], wanted, True, True)
    return [found.get(serial) if needed and serial is not None else None for serial, needed in zip(targets, needs)]
