"""Find runs of time steps with the same operations, so that one step can be shown for all."""

from __future__ import annotations

from itertools import groupby
from typing import NamedTuple

from .graph import Row

Source = tuple[str, int, int] | None
"""Where an input comes from, relative to its step: ("here", 0, row of this step), ("back", steps before, row of that
step) or ("at", 0, index of a row outside the steps); None for a constant."""


class Part(NamedTuple):
    """Consecutive rows from index `start` on: `times` time steps of `length` rows each, or plain rows."""

    start: int
    length: int
    times: int
    steps: tuple[int, ...]
    """The numbers of the time steps, in the order of recording; empty for plain rows."""
    sources: tuple[tuple[Source, ...], ...]
    """Of a folded part: for each row, where its inputs come from in every step but the first."""

    @property
    def stop(self) -> int:
        """The index after the last row."""
        return self.start + self.length * self.times

    @property
    def folded(self) -> bool:
        """Whether one step is shown for several."""
        return self.times > 1

    def recurrent_input(self, k: int, j: int) -> tuple[int, str] | None:
        """Return where input j of row k of a step comes from, if from an earlier step: (index in the first, "t−1")."""
        source = self.sources[k][j] if self.folded else None
        if source is None or source[0] != "back" or source[1] >= self.times:
            return None
        return self.start + source[2], f"t{'−' if self.steps[-1] > self.steps[0] else '+'}{source[1]}"


class _Step(NamedTuple):
    start: int
    rows: list[Row]
    kind: tuple[object, ...]
    sources: tuple[tuple[Source, ...], ...]


def parts_of(rows: list[Row], fold: bool = True) -> list[Part]:
    """Divide the rows into parts, in order; without `fold` into one."""
    steps = _steps(rows) if fold else []
    parts: list[Part] = []
    plain = k = 0
    while k < len(steps):
        n = _run_length(steps, k)
        step = steps[k]
        if n > 1:
            labels = tuple(s.rows[0].time_step or 0 for s in steps[k : k + n])
            folded = Part(step.start, len(step.rows), n, labels, steps[k + n - 1].sources)
            parts += [Part(plain, step.start - plain, 1, (), ()), folded]
            plain = folded.stop
        k += n
    parts.append(Part(plain, len(rows) - plain, 1, (), ()))
    return [part for part in parts if part.length]


def _steps(rows: list[Row]) -> list[_Step]:
    """Cut the rows where the time step changes, and after the leaves."""
    step_of: list[int] = []
    steps: list[_Step] = []
    for _, group in groupby(rows, key=lambda row: (row.time_step, row.op == "leaf")):
        start, own = len(step_of), list(group)
        step_of += [len(steps)] * len(own)
        sources = tuple(tuple(_source(n, len(steps), start, steps, step_of, rows) for n in row.inputs) for row in own)
        kind = tuple((row.op, row.shapes, row.dtype, row.saved, row.slots, row.name) for row in own)
        steps.append(_Step(start, own, kind, sources))
    return steps


def _source(number: int | None, k: int, start: int, steps: list[_Step], step_of: list[int], rows: list[Row]) -> Source:
    if number is None:
        return None
    index = number - 1
    step = step_of[index]
    if step == k:
        return "here", 0, index - start
    if rows[index].time_step is None:
        return "at", 0, index
    return "back", k - step, index - steps[step].start


def _run_length(steps: list[_Step], k: int) -> int:
    """Return how many steps from number k on are the same, except for the initial values of the first ones."""
    n = 0
    while k + n < len(steps) and steps[k + n].kind == steps[k].kind and steps[k + n].rows[0].time_step is not None:
        n += 1
    while n > 1:
        mismatch = next((m for m in range(n) if not _fits(steps[k + m], steps[k + n - 1], m, n)), n)
        if mismatch == n:
            return n
        n = mismatch
    return 1


def _fits(step: _Step, last: _Step, m: int, n: int) -> bool:
    """Return whether step m of n has the same sources as the last; what reaches back before step 0 may differ."""
    pairs = ((a, b) for own, pattern in zip(step.sources, last.sources) for a, b in zip(own, pattern))
    return all(a == b or (b is not None and b[0] == "back" and m < b[1] < n) for a, b in pairs)
