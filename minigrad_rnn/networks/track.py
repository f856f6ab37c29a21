"""Track runs a series in segments of which only the states in between are kept, and runs them again to go back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import Tensor
from minigrad.backend import backend_of
from minigrad.engine import modes, tape
from minigrad.engine.account import Account
from minigrad.engine.gradient_pool import Pool
from minigrad.engine.mutation import Fingerprint, FingerprintedSources
from minigrad.engine.tape import GraphError, Leaf, Node
from minigrad.transforms.rng_state import RngSnapshot, generators_of
from minigrad.transforms.tracing import lazy_sum, record_outputs, recorded_since, summed_by_label, variable

from .segment import Segment, recorded_gradients, serial_of
from .series import Series, State, packed, parts_of

Array = Any
Loss = Callable[[Tensor, int, int], Tensor]


class Track:
    """One pass over a series in one direction.

    Args:
        series: with the masks of all its steps.
        steps: of a segment.
        loss: of a segment's outputs, the first step and the one after the last; or None.
    """

    def __init__(self, series: Series, steps: int, loss: Loss | None) -> None:
        self.series, self.loss = series, loss
        self.spans = [(begin, min(series.T, begin + steps)) for begin in range(0, series.T, steps)]
        """The first step of each segment and the one after the last, in the order in which they are read."""
        if series.rnn.reverse:
            self.spans.reverse()
        self.first = next(tape.serials)
        self.states: list[State] = []
        """The states between the segments, and the last one, as constants."""
        self.snapshots: list[RngSnapshot] = []
        self.outer: dict[int, Node] = {}
        self.fingerprints: list[Fingerprint] = []

    # Forward

    def run(self, state: State) -> tuple[Tensor, State]:
        """The outputs, or the sum of the losses, and the state after the last segment."""
        series, recording = self.series, modes.mode().recording
        xp = backend_of(series.rnn.cells[0].reference_parameter()._array).xp
        generators = generators_of([series.front, self.loss]) if self.draws else []
        start, value = state, Outputs(series) if self.loss is None else None
        total: Any = None
        for k, (begin, stop) in enumerate(self.spans):
            if self.draws:
                self.snapshots.append(RngSnapshot(generators))
            x = series.part(begin, stop)
            if recording and not k:  # by this one it is known what the computation refers to
                segment = Segment(partial(self.segment, k), x, state, begin)
                self._refer_to(segment.inner, segment.outer)
                result, state = segment.output, segment.after
            else:
                with modes.recording(False):
                    result, state = series.run(_constant(x), state, series.masks_of(begin, stop), begin)
                if self.loss is not None:
                    result = self._loss(result, begin, stop, recording)
            state = packed(_constant(part) for part in parts_of(state))
            self.states.append(state)
            if value is not None:
                value.put(result._array, begin, stop)
            else:
                total = result._array if total is None else total + result._array
        if self.snapshots and self.snapshots[0].is_current():  # nothing draws
            self.snapshots = []
        output = xp.asarray(total) if value is None else value.array
        arrays = [output, *(part._array for part in parts_of(state))]
        inputs = [series.xs, *parts_of(start)]
        if not recording or not (self.outer or any(serial_of(x) is not None for x in inputs)):
            return Tensor(arrays[0]), state
        rule = partial(self._rule, inputs)
        time_step = modes.mode().time_step
        results = record_outputs("checkpointed", inputs, arrays, rule, time_step, list(self.outer.values()))
        return results[0], packed(results[1:])

    @property
    def draws(self) -> bool:
        """Whether something that may draw random numbers is run again, besides dropout's masks."""
        return self.series.front is not None or self.loss is not None

    def segment(self, k: int, x: Any, state: State) -> tuple[Tensor, State]:
        """Segment k's outputs or loss, and the state after it."""
        begin, stop = self.spans[k]
        output, after = self.series.run(x, state, self.series.masks_of(begin, stop), begin)
        return (output if self.loss is None else self._called(output, begin, stop)), after

    def _called(self, output: Tensor, begin: int, stop: int) -> Tensor:
        assert self.loss is not None
        loss = self.loss(output, begin, stop)
        if not isinstance(loss, Tensor) or loss.shape != ():
            got = f"shape {loss.shape}" if isinstance(loss, Tensor) else type(loss).__name__
            raise ValueError(f"checkpointed: loss: got a result of {got}, want a scalar tensor")
        return loss

    def _loss(self, output: Tensor, begin: int, stop: int, recording: bool) -> Tensor:
        """A segment's loss; also takes note of what it refers to."""
        if not recording:
            return self._called(output, begin, stop)
        first, given = next(tape.serials), variable(output)
        loss = self._called(given, begin, stop)
        if loss.node is not None:
            self._refer_to(*recorded_since([loss.node], first, [given]))
        return loss

    def _refer_to(self, inner: Sequence[Node], outer: dict[int, Node]) -> None:
        self.outer |= outer
        for node in inner:
            if type(node.sources) is FingerprintedSources:
                self.fingerprints += [fingerprint for _, fingerprint in node.sources.fingerprints]

    # Backward

    def _rule(self, inputs: Sequence[Any], xp: Any, gs: Any, needs: Sequence[bool], *saved: Any) -> list[Any]:
        outer = list(self.outer.values())
        gs = list(gs) if isinstance(gs, tuple) else [gs]
        if isinstance(gs[0], Tensor):
            self._check()
            return recorded_gradients(self._whole, inputs, outer, gs, needs)
        wanted = [node.serial for node, needed in zip(outer, needs[len(inputs) :]) if needed]

        @cache
        def by_time_step() -> dict[int, dict[int | None, Array]]:
            accounts = {serial: Account() for serial in wanted}
            self._back(inputs, gs, needs, wanted, accounts)
            return {serial: summed_by_label(account.lines) for serial, account in accounts.items()}

        contributions, totals = self._back(inputs, gs, needs, wanted, None)
        for node in outer:
            total = totals.get(node.serial)
            parts = partial(lambda serial: by_time_step()[serial], node.serial)
            contributions.append(None if total is None else lazy_sum(total, parts))
        return contributions

    def _back(
        self, inputs: Sequence[Any], gs: Sequence[Array], needs: Sequence[bool], wanted: Sequence[int],
        accounts: dict[int, Account] | None,
    ) -> tuple[list[Any], dict[int, Array]]:  # fmt: skip
        """Run the segments again and walk back through them; the contributions to the inputs and to `wanted` nodes."""
        self._check()
        series, xs, carried = self.series, inputs[0], list(gs[1:])
        xp = backend_of(series.rnn.cells[0].reference_parameter()._array).xp
        dxs = xp.zeros(xs.shape, dtype=xs.dtype) if needs[0] else None
        pools = {serial: Pool(xp) for serial in wanted}
        to_start = any(needs[1 : len(inputs)])
        for k in reversed(range(len(self.spans))):
            begin, stop = self.spans[k]
            # A copy: memory that the user may write into would be fingerprinted twice more.
            x = Tensor(xp.array(series.cut(Tensor(xs._array), begin, stop)._array, copy=True))
            if needs[0]:
                x = variable(x)
            state = self.states[k - 1] if k else packed(_constant(part) for part in inputs[1:])
            segment = self._again(k, x, state, bool(k) or to_start)
            g = gs[0] if self.loss is not None else series.cut(Tensor(gs[0]), begin, stop)._array
            own = [serial_of(part) for part in segment.state] if k or to_start else []
            part = serial_of(segment.x) if needs[0] else None
            targets = {serial for serial in (part, *own) if serial is not None}.union(wanted)
            ledger = None if accounts is None else {serial: [Account()] for serial in wanted}
            found = segment.walk(g, carried, targets, ledger)
            for serial, pool in pools.items():
                if serial in found:
                    pool.add(found[serial])
            if dxs is not None and part in found:
                series.cut(Tensor(dxs), begin, stop)._array[...] = found[part]
            if accounts is not None and ledger is not None:
                for serial in wanted:
                    lines = ledger[serial][0].lines
                    accounts[serial].lines += [(None if t is None else t + begin, g) for t, g in lines]
            carried = [None if serial is None else found.get(serial) for serial in own]
        carried = carried if to_start else [None] * (len(inputs) - 1)
        return [dxs, *carried], {serial: pool.result()[0] for serial, pool in pools.items()}

    def _again(self, k: int, x: Any, state: State, to_state: bool) -> Segment:
        """Segment k, run again and recorded. Raises GraphError if it is not what it was."""
        run = partial(self.segment, k)
        if self.snapshots:
            with self.snapshots[k].restored():
                segment = Segment(run, x, state, self.spans[k][0], to_state)
        else:
            segment = Segment(run, x, state, self.spans[k][0], to_state)
        for before, after in zip(parts_of(self.states[k]), parts_of(segment.after)):
            if isinstance(before._array, np.ndarray) and not _agree(before._array, after._array):
                begin, stop = self.spans[k]
                raise GraphError(
                    f"backward: steps {begin} to {stop - 1} of a checkpointed recurrence, run again, returned other "
                    "states than before; want the same every time"
                )
        if not self.outer.keys() >= segment.outer.keys():
            raise GraphError(
                "backward: a checkpointed recurrence, run again, referred to a tensor not met before; want the same "
                "every time"
            )
        return segment

    def _check(self) -> None:
        for node in self.outer.values():
            if type(node) is Leaf and node.written_at > self.first:
                raise GraphError(
                    f"backward: a checkpointed recurrence refers to a tensor of shape {node.shape} that was written "
                    "into since, so that it cannot be run again. Change parameters after the backward pass"
                )
        if not all(fingerprint.unchanged() for fingerprint in self.fingerprints):
            raise GraphError(
                "backward: a checkpointed recurrence, run again, would find an array that was written into since"
            )

    def _whole(self, xs: Tensor, *state: Any) -> list[Tensor]:
        """All segments on the tape: the outputs, or the loss, and the last state."""
        results, after = {}, packed(state)
        for k, (begin, stop) in enumerate(self.spans):
            run = partial(self.segment, k, self.series.cut(xs, begin, stop), after)
            if self.snapshots:
                with self.snapshots[k].restored():
                    results[begin], after = run()
            else:
                results[begin], after = run()
        in_order = [results[begin] for begin in sorted(results)]
        if self.loss is None:
            return [mg.concatenate(in_order, axis=self.series.axis), *parts_of(after)]
        total = in_order[0]
        for loss in in_order[1:]:
            total = total + loss
        return [total, *parts_of(after)]


class Outputs:
    """The outputs of all steps, filled part by part."""

    array: Array = None

    def __init__(self, series: Series) -> None:
        self.series = series

    def put(self, part: Array, begin: int, stop: int) -> None:
        axis = self.series.axis
        if self.array is None:
            shape = (*part.shape[:axis], self.series.T, *part.shape[axis + 1 :])
            self.array = backend_of(part).xp.empty(shape, dtype=part.dtype)
        self.array[(slice(None),) * axis + (slice(begin, stop),)] = part


def _constant(x: Any) -> Any:
    return Tensor(x._array) if isinstance(x, Tensor) and x.node is not None else x


def _agree(a: Array, b: Array) -> bool:
    """Whether they differ by rounding at most: threads may divide a product differently. NaN agrees with NaN."""
    if a is b or np.array_equal(a, b, equal_nan=True):
        return True
    tolerance = 1e3 * float(np.finfo(a.dtype).eps)
    return bool(np.allclose(a, b, rtol=tolerance, atol=tolerance, equal_nan=True))
