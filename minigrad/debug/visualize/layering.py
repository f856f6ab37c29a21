"""Assign each box a layer, from the inputs down to the result, and an order within it with few crossings.

After Sugiyama, Tagawa and Toda (1981). Layers by the longest path; an arrow over several layers passes
through a bend in each; the order in a layer by barycentres. The boxes of one time step stay together in a band.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import count, pairwise

from .diagram import Arrow, Box

SWEEPS = 24
SOURCES = ("leaf", "const", "again")
LARGE = 5000
"""Up to this many places, the ordering makes all its sweeps."""
LONG = 40
"""The most layers that an arrow with bends may cross; longer ones are straight."""


@dataclass(eq=False)
class Place:
    """A box, or a bend of a long arrow, with its position."""

    box: Box | None
    layer: int
    width: float
    band: int
    group: int | None
    x: float = 0.0
    y: float = 0.0
    up: list[Place] = field(default_factory=list)
    down: list[Place] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.source = self.box is not None and self.box.kind in SOURCES

    @property
    def left(self) -> float:
        """The left edge."""
        return self.x - self.width / 2

    @property
    def right(self) -> float:
        """The right edge."""
        return self.x + self.width / 2


def neighbours(boxes: Sequence[Box], arrows: Sequence[Arrow]) -> tuple[dict[int, list[int]], dict[int, list[int]]]:
    """Return, by the key of each box, the keys that arrows come from and the keys that they go to."""
    into: dict[int, list[int]] = {box.key: [] for box in boxes}
    out: dict[int, list[int]] = {box.key: [] for box in boxes}
    for a in arrows:
        into[a.end].append(a.start)
        out[a.start].append(a.end)
    return into, out


def layers_of(boxes: Sequence[Box], arrows: Sequence[Arrow]) -> dict[int, int]:
    """Return each box's layer: the longest path from above; then boxes with more uses than inputs move down."""
    layer = {box.key: 0 for box in boxes}
    into, out = neighbours(boxes, arrows)
    order = [b.key for b in boxes if b.kind in SOURCES] + [b.key for b in boxes if b.kind not in SOURCES]
    for key in order:
        layer[key] = max((layer[k] + 1 for k in into[key]), default=0)
    sources = {box.key for box in boxes if box.kind in SOURCES}
    for key in reversed(order):
        if out[key] and len([k for k in into[key] if k not in sources]) <= len(out[key]):
            layer[key] = min(layer[k] for k in out[key]) - 1
    lowest = min(layer.values(), default=0)
    return {key: n - lowest for key, n in layer.items()}


def repeated(
    boxes: Sequence[Box], arrows: Sequence[Arrow], layers: dict[int, int]
) -> tuple[list[Box], list[Arrow], dict[int, int]]:
    """Add a box of kind "again" for a leaf above each of its uses that is far from its first box.

    Otherwise its arrows would run behind everything, and cost most of the time.
    """
    arrows, layers = list(arrows), dict(layers)
    far = {a.start for a in arrows if layers[a.end] - layers[a.start] > LONG}
    leaves = {box.key: box for box in boxes if box.kind == "leaf" and box.key in far}
    keys = count(max((box.key for box in boxes), default=0) + 1)
    copies: dict[tuple[int, int], Box] = {}
    for i, a in enumerate(arrows):
        layer = layers[a.end] - 1
        if a.start in leaves and layer > layers[a.start]:
            if (a.start, layer) not in copies:
                copies[a.start, layer] = copy = replace(leaves[a.start], key=next(keys), kind="again")
                layers[copy.key] = layer
            arrows[i] = replace(a, start=copies[a.start, layer].key)
    return [*boxes, *copies.values()], arrows, layers


def bands_of(boxes: Sequence[Box], arrows: Sequence[Arrow], layers: dict[int, int]) -> dict[int, int]:
    """Return each box's band, from left to right: 2g + 1 for group g, 2g for what feeds only group g."""
    bands = {box.key: 2 * box.group + 1 for box in boxes if box.group is not None}
    into, out = neighbours(boxes, arrows)
    loose = [box for box in boxes if box.group is None]
    for box in sorted(loose, key=lambda box: layers[box.key]):
        used = min((bands[k] for k in out[box.key] if k in bands), default=None)
        if used is not None:
            bands[box.key] = used - used % 2 if box.kind in SOURCES else used - 1
        else:
            bands[box.key] = max((bands[k] for k in into[box.key] if k in bands), default=0) // 2 * 2
    return bands


def bent(start: Place, end: Place, rows: list[list[Place]]) -> list[Place]:
    """Return the path of an arrow, with a bend in every layer between, in the band of the box that it goes to.

    Very long arrows are straight: their bends would cost most of the time.
    """
    path = [start]
    same = start.group is not None and start.group == end.group
    for layer in range(start.layer + 1, end.layer) if end.layer - start.layer <= LONG else ():
        bend = Place(None, layer, 4.0, end.band, end.group if same else None)
        rows[layer].append(bend)
        path.append(bend)
    path.append(end)
    for a, b in pairwise(path):
        a.down.append(b)
        b.up.append(a)
    return path


def sweeps_of(rows: Sequence[Sequence[Place]]) -> int:
    """Return the number of sweeps over all places, which is smaller for very large drawings."""
    return max(4, min(SWEEPS, SWEEPS * LARGE // max(sum(map(len, rows)), 1) // 2 * 2))


def put_in_order(rows: list[list[Place]]) -> None:
    """Sort each layer by its neighbours' positions, down and up in turn, and keep the order with fewest crossings."""
    for row in rows:
        row.sort(key=lambda p: p.band)
        for i, p in enumerate(row):
            p.x = i
    best, fewest = [list(row) for row in rows], _crossings(rows)
    still = 0
    for sweep in range(sweeps_of(rows) if fewest else 0):
        down = sweep % 2 == 0
        moved = False
        for row in rows if down else reversed(rows):
            keys = {}
            for i, p in enumerate(row):
                near = p.up if down else p.down
                keys[id(p)] = (p.band, sum(q.x for q in near) / len(near) if near else i)
            row.sort(key=lambda p: keys[id(p)])
            for i, p in enumerate(row):
                moved = moved or p.x != i
                p.x = i
        still = 0 if moved else still + 1
        if still == 2:  # neither sweep moved anything
            break
        if (crossings := _crossings(rows)) < fewest:
            best, fewest = [list(row) for row in rows], crossings
    for row, order in zip(rows, best):
        row[:] = order


def _crossings(rows: list[list[Place]]) -> int:
    """Count the pairs of arrows that cross between neighbouring layers, with a Fenwick tree."""
    total = 0
    for row, below in pairwise(rows):
        rank = {id(p): i for i, p in enumerate(below)}
        ends: list[int] = []
        for p in row:
            ends += sorted(rank[id(q)] for q in p.down if id(q) in rank)
        tree = [0] * (len(below) + 1)
        for seen, end in enumerate(ends):
            before, i = 0, end + 1
            while i:
                before += tree[i]
                i &= i - 1
            total += seen - before
            i = end + 1
            while i <= len(below):
                tree[i] += 1
                i += i & -i
    return total
