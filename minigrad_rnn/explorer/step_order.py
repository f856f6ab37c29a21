"""step_order lists an unrolled net's steps so that each comes after all that it reads."""

from __future__ import annotations

import heapq

from .unrolled import Unrolled


def step_order(unrolled: Unrolled) -> list[tuple[int, int]]:
    """Return (lane, column) of every step: by time where the arrows allow it, and within a time from the bottom up.

    A lane that reads backward starts at its last column, as soon as its inputs are there.
    """
    number = {lane.name: k for k, lane in enumerate(unrolled.lanes)}
    columns = {lane.name: set(lane.columns) for lane in unrolled.lanes}
    waits: dict[tuple[int, int], int] = {}
    readers: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for name, steps in columns.items():
        waits |= {(number[name], column): 0 for column in steps}
    for arrow in unrolled.arrows:
        source, target = number[arrow.source], number[arrow.target]
        if arrow.only is not None:
            pairs = [arrow.only]
        elif arrow.kind == "attention":
            pairs = [(s, t) for t in columns[arrow.target] for s in columns[arrow.source]]
        else:
            pairs = [(t - arrow.lag, t) for t in columns[arrow.target] if t - arrow.lag in columns[arrow.source]]
        for s, t in pairs:
            if s in columns[arrow.source] and t in columns[arrow.target]:
                readers.setdefault((source, s), []).append((target, t))
                waits[target, t] += 1
    ready = [(column, unrolled.lanes[lane].level, lane) for (lane, column), n in waits.items() if not n]
    heapq.heapify(ready)
    order = []
    while ready:
        column, _, lane = heapq.heappop(ready)
        order.append((lane, column))
        for reader in readers.get((lane, column), ()):
            waits[reader] -= 1
            if not waits[reader]:
                heapq.heappush(ready, (reader[1], unrolled.lanes[reader[0]].level, reader[0]))
    return order
