"""Runs of time steps that are recorded alike, found so that one of them can be shown for all."""

from __future__ import annotations

from typing import NamedTuple

from .graph import Row

Source = tuple[str, int, int] | None
"""Where an input comes from, as a step sees it: ("here", 0, place), ("back", steps before, place) or ("at", 0, index);
None for a constant."""


class Part(NamedTuple):
    """Rows that belong together: `times` time steps of `length` rows each, from index `start` on, or plain rows."""

    start: int
    length: int
    times: int
    steps: tuple[int, ...]
    """The time steps' labels, in the order of recording; empty for plain rows."""
    sources: tuple[tuple[Source, ...], ...]
    """Of a folded part, for each row where the inputs of a later step come from."""

    @property
    def stop(self) -> int:
        """The index after the last row."""
        return self.start + self.length * self.times

    @property
    def folded(self) -> bool:
        """Whether its rows stand for more than themselves."""
        return self.times > 1

    def place(self, index: int) -> tuple[int, int]:
        """(which step, which row of it) a row's index is."""
        return divmod(index - self.start, self.length)


class _Step(NamedTuple):
    start: int
    rows: list[Row]
    kind: tuple[object, ...]
    sources: tuple[tuple[Source, ...], ...]


def parts_of(rows: list[Row], fold: bool = True) -> list[Part]:
    """All rows in parts, in order; without `fold` as one part."""
    if not fold:
        return [Part(0, len(rows), 1, (), ())] if rows else []
    steps = _steps(rows)
    parts: list[Part] = []
    plain = 0
    k = 0
    while k < len(steps):
        n = _alike(steps, k)
        step = steps[k]
        if n > 1:
            if plain < step.start:
                parts.append(Part(plain, step.start - plain, 1, (), ()))
            labels = tuple(s.rows[0].time_step or 0 for s in steps[k : k + n])
            parts.append(Part(step.start, len(step.rows), n, labels, steps[k + n - 1].sources))
            plain = parts[-1].stop
        k += n
    if plain < len(rows):
        parts.append(Part(plain, len(rows) - plain, 1, (), ()))
    return parts


def _steps(rows: list[Row]) -> list[_Step]:
    """The rows cut where the time step changes."""
    bounds = [
        i
        for i, row in enumerate(rows)
        if not i or row.time_step != rows[i - 1].time_step or (row.op == "leaf") != (rows[i - 1].op == "leaf")
    ]
    step_of: list[int] = []
    steps: list[_Step] = []
    for start, stop in zip(bounds, [*bounds[1:], len(rows)]):
        own = rows[start:stop]
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


def _alike(steps: list[_Step], k: int) -> int:
    """How many steps from number k on are one and the same, but for what the first of them start from."""
    if steps[k].rows[0].time_step is None:
        return 1
    n = 1
    while k + n < len(steps) and steps[k + n].kind == steps[k].kind and steps[k + n].rows[0].time_step is not None:
        n += 1
    while n > 1:
        wrong = next((m for m in range(n) if not _fits(steps[k + m], steps[k + n - 1], m, n)), n)
        if wrong == n:
            return n
        n = wrong
    return 1


def _fits(step: _Step, last: _Step, m: int, n: int) -> bool:
    """Whether step m of n takes its inputs as the last one does; the first may begin with anything."""
    for own, pattern in zip(step.sources, last.sources):
        for a, b in zip(own, pattern):
            if a != b and not (b is not None and b[0] == "back" and m < b[1] < n):
                return False
    return True
