"""SlidingWindows computes windows that overlap, BPTT(k2; k1) with k2 > k1: each step once, in pieces of k1 steps.

A window is one node on the tape. Its rule walks back through the window's pieces, the newest first, and stops where the
first one begins. A piece's graph is a segment: k2 / k1 windows walk through it, and it is kept as long as one of them
is still to come or may still be walked.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cache, partial
from typing import Any

from minigrad import Tensor
from minigrad.backend import backend_of
from minigrad.engine import modes
from minigrad.engine.account import Account
from minigrad.engine.primitive import JointRule, record
from minigrad.engine.tape import GraphError, Node
from minigrad.transforms.rng_state import RngSnapshot, generators_of
from minigrad.transforms.tracing import lazy_sum, summed_by_label

from .segment import Segment, recorded_gradients, serial_of, walk_through
from .series import Series, State, packed, parts_of

Array = Any
LEAST_WORK = {"graph": 0.0, "native": 16e6}
"""Multiplications in k1 steps from which it is faster to walk through pieces than to compute steps again, by the
implementation: a whole sequence costs the same for a few steps as for many, if they are small."""
LEAST_WORK_FUSED = 4e6


class Piece:
    """The steps begin … stop − 1 of a series, with their masks and the generators' states, so that they run again.

    Attributes:
        segment: what its latest run recorded.
        is_first_run: whether that was its first run.
        is_from_stored: whether it began from the state that the window before it returned, not from a later copy of it.
    """

    segment: Segment | None = None
    is_first_run = is_from_stored = False

    def __init__(self, series: Series, begin: int, stop: int) -> None:
        self.series, self.begin, self.stop = series, begin, stop
        masks = series.masks_of(begin, stop)
        self.masks = series.rnn.draw_masks(stop - begin, series.B) if masks is None else masks
        self.snapshot = None if series.front is None else RngSnapshot(generators_of([series.front]))

    def run(self, x: Any, state: State) -> tuple[Tensor, State]:
        """The output and the state after."""
        return self.series.run(x, state, self.masks, self.begin)

    def run_again(self, x: Any, state: State) -> tuple[Tensor, State]:
        """As `run`, with the same random numbers."""
        if self.snapshot is None:
            return self.run(x, state)
        with self.snapshot.restored():
            return self.run(x, state)

    def record(self, state: State, again: bool) -> Segment:
        """Run it on a tape of its own."""
        x = self.series.part(self.begin, self.stop)
        self.segment = Segment(self.run_again if again else self.run, x, state, self.begin)
        self.is_first_run = not again
        return self.segment


class SlidingWindows:
    """The windows of a series, from the first to the last.

    Args:
        k1, k2: see `Truncation`.
    """

    def __init__(self, series: Series, k1: int, k2: int) -> None:
        self.series, self.k1, self.k2 = series, k1, k2
        self.pieces: list[Piece] = []
        self.lock, self.scratch = threading.RLock(), dict[Any, Any]()
        self.work = sum(p.size for p in series.rnn.parameters()) * k1 * series.B

    def pay(self) -> bool:
        """Whether pieces are faster than windows that compute k2 steps each, as far as the latest run tells."""
        return self.work >= LEAST_WORK.get(self.series.rnn.implementation or "graph", LEAST_WORK_FUSED)

    def window(self, start: int, stop: int, begin: int, earlier: State) -> tuple[Tensor, State]:
        """The output of the steps start … stop − 1 and the state after them, whose gradients go back to step `begin`.

        Args:
            earlier: the state before the step `begin`.
        """
        known = {piece.begin: piece for piece in self.pieces}
        older = [known.get(at) or Piece(self.series, at, at + self.k1) for at in range(begin, start, self.k1)]
        segments = [piece.segment for piece in older if piece.segment is not None]
        kept = len(segments) == len(older) and not any(segment.is_stale for segment in segments)
        if older and not (kept and older[0].is_from_stored):  # what there is belongs to other weights
            state, segments = earlier, []
            for k, piece in enumerate(older):
                segments.append(piece.record(state, again=True))
                state, piece.is_from_stored = segments[-1].after, k == 0
        piece = Piece(self.series, start, stop)
        piece.is_from_stored = not older or older[-1].is_first_run
        segments.append(piece.record(segments[-1].after if segments else earlier, again=False))
        self.pieces = [*older, piece]
        return self._on_one_node(tuple(self.pieces), segments, earlier)

    def _on_one_node(self, pieces: Sequence[Piece], segments: list[Segment], earlier: State) -> tuple[Tensor, State]:
        """The results of the last segment as those of one node, whose rule walks through all of them."""
        # Slices of this window's own: its backward pass consumes them.
        inputs = [*(self.series.part(piece.begin, piece.stop) for piece in pieces), *parts_of(earlier)]
        outer = list({serial: node for segment in segments for serial, node in segment.outer.items()}.values())
        parents = [*(x.node if isinstance(x, Tensor) else None for x in inputs), *outer]
        output, after = segments[-1].output, segments[-1].after
        if not any(node is not None for node in parents):
            return output, after
        scratch = self.scratch if pieces[-1].stop < self.series.T else None
        rule = partial(_rule, pieces, segments, inputs, outer, self.lock, scratch)
        values = tuple(y._array for y in (output, *parts_of(after)))
        xp, time_step = backend_of(output._array).xp, modes.mode().time_step
        results = record("window", Node(), xp, values, (), JointRule(rule), (), parents, time_step)
        return results[0], packed(results[1:])


def _rule(
    pieces: Sequence[Piece], segments: Sequence[Segment], inputs: Sequence[Any], outer: Sequence[Node],
    lock: Any, scratch: Any, xp: Any, gs: Any, needs: Sequence[bool],
) -> list[Any]:  # fmt: skip
    """A window's rule.

    Args:
        inputs: the parts of xs, one for each piece, and the state before the first.
        outer: the nodes that the segments refer to.
        lock, scratch: see `walk_through`; scratch is None if there are no windows to come.
    """
    count = len(segments)
    if isinstance(gs[0], Tensor):
        if any(segment.is_stale for segment in segments):
            raise GraphError(
                "backward: a window of a Truncation refers to a tensor that was written into since, so that it cannot "
                "be run again on the tape. Change parameters after the backward pass"
            )

        def run(*inputs: Any) -> tuple[Any, ...]:
            state = packed(inputs[count:])
            for piece, x in zip(pieces, inputs):
                output, state = piece.run_again(x, state)
            return output, *parts_of(state)

        return recorded_gradients(run, inputs, outer, gs, needs)

    wanted = {node.serial for node, needed in zip(outer, needs[len(inputs) :]) if needed}
    targets = [serial_of(segment.x) for segment in segments] + [serial_of(part) for part in segments[0].state]
    targets = [serial if needed else None for serial, needed in zip(targets, needs)]

    @cache
    def by_time_step() -> dict[int, dict[int | None, Array]]:
        return _by_time_step(segments, gs, wanted)

    found = walk_through(segments, gs, wanted.union(serial for serial in targets if serial is not None), lock, scratch)
    contributions: list[Any] = [None if serial is None else found.get(serial) for serial in targets]
    for node in outer:
        total = found.get(node.serial)
        parts = partial(lambda serial: by_time_step()[serial], node.serial)
        contributions.append(None if total is None else lazy_sum(total, parts))
    return contributions


def _by_time_step(
    segments: Sequence[Segment], gs: Sequence[Any], wanted: set[int]
) -> dict[int, dict[int | None, Array]]:
    """The contributions of each step to the `wanted` nodes, at time steps that count from the window's beginning."""
    lines: dict[int, list[tuple[int | None, Array]]] = {serial: [] for serial in wanted}
    g, carried = gs[0], list(gs[1:])
    for segment in reversed(segments):
        own = [serial_of(part) for part in segment.state]
        accounts = {serial: [Account()] for serial in wanted}
        targets = wanted.union(serial for serial in own if serial is not None)
        found = segment.walk(g, carried, targets, accounts, retain=True)
        shift = segment.begin - segments[0].begin
        for serial in wanted:
            lines[serial] += [(None if t is None else t + shift, g) for t, g in accounts[serial][0].lines]
        g, carried = None, [None if serial is None else found.get(serial) for serial in own]
    return {serial: summed_by_label(lines[serial]) for serial in wanted}
