"""Position boxes and arrows: each as near to its neighbours as the gaps allow, time steps in frames.

The positions minimise squared distances with the gaps kept, which is isotonic regression.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from .diagram import Arrow, Diagram
from .layering import Place, bands_of, bent, layers_of, put_in_order, repeated, sweeps_of

HEIGHT, LAYER_GAP, GAP, MARGIN, FRAME, RAIL = 42.0, 46.0, 22.0, 28.0, 18.0, 22.0
PITCH = HEIGHT + LAYER_GAP
NARROW = 14.0
"""The gap between an arrow and its neighbours."""
STILL = 0.05
"""Smaller moves count as none."""
LABEL = 12.0
"""The height that a label adds to its frame."""
DENT = 8.0
"""How much lower the box of a constant is, above and below."""


Ports = dict[tuple[int, int], float]
"""The x of an arrow's end, by the ids of the box's place and of the place at the arrow's other end."""


class Frame(NamedTuple):
    """The frame around the boxes of one time step."""

    label: str
    left: float
    top: float
    right: float
    bottom: float


class Line(NamedTuple):
    """An arrow and its points; it is drawn smooth, or with corners if it goes back."""

    points: list[tuple[float, float]]
    arrow: Arrow


class Layout(NamedTuple):
    """A diagram with positions."""

    width: float
    height: float
    places: list[Place]
    lines: list[Line]
    frames: list[Frame]


def text_width(text: str, size: float) -> float:
    """Estimate the width of a text in a sans-serif font."""
    narrow = sum(c in "il.,:;|!'()[] tfj" for c in text)
    wide = sum(c in "mwMW@—…" for c in text)
    return size * (0.62 * len(text) - 0.26 * narrow + 0.26 * wide)


def placement_of(diagram: Diagram) -> Layout:
    """Compute the positions of everything in the diagram."""
    arrows = [a for a in diagram.arrows if a.kind == "plain"]
    boxes, arrows, layers = repeated(diagram.boxes, arrows, layers_of(diagram.boxes, arrows))
    bands = bands_of(boxes, arrows, layers)
    places: dict[int, Place] = {}
    rows: list[list[Place]] = [[] for _ in range(max(layers.values(), default=0) + 1)]
    for box in boxes:
        width = max(44.0, text_width(box.title, 13) + 28, text_width(box.detail, 11) + 22)
        places[box.key] = place = Place(box, layers[box.key], width, bands[box.key], box.group)
        rows[place.layer].append(place)
    paths = [bent(places[a.start], places[a.end], rows) for a in arrows]
    put_in_order(rows)
    _places(rows)
    back = [a for a in diagram.arrows if a.kind == "back"]
    rails = Counter(places[a.end].group for a in back)
    frames = _apart(rows, diagram.groups, rails)
    _settle(rows, frames)
    lower, upper = _ports(places.values(), "down"), _ports(places.values(), "up")
    lines = [Line(_points(path, lower, upper), arrow) for path, arrow in zip(paths, arrows)]
    lines += _back_lines(back, places, frames)
    return _moved_into_view([*places.values()], lines, [*frames.values()])


def _places(rows: list[list[Place]]) -> None:
    """Set x of every place as near to its neighbours' as the gaps in its layer allow, each band by itself."""
    bands: dict[int, dict[int, list[Place]]] = {}
    for n, row in enumerate(rows):
        for p in row:
            bands.setdefault(p.band, {}).setdefault(n, []).append(p)
    for band, layers in bands.items():
        for row in layers.values():
            x = 0.0
            for p in row:
                p.x = x + p.width / 2
                x += p.width + GAP
            for p in row:
                p.x -= x / 2
        for both in (False, True):
            _sweep(band, [*layers.values()], sweeps_of(rows) // 2, both)


def _sweep(band: int, rows: list[list[Place]], times: int, both: bool) -> None:
    """Move each place to its neighbours above and below in turn, or to `both`, until nothing moves."""

    def pulls(up: bool, down: bool) -> list[list[Pull]]:
        near = [[[*(p.up if up else ()), *(p.down if down else ())] for p in row] for row in rows]
        return [[_pull(p, [q for q in n if q.band == band]) for p, n in zip(row, ns)] for row, ns in zip(rows, near)]

    ways = [pulls(True, both), pulls(both, True)]
    gaps = [[_gap(a, b) for a, b in pairwise(row)] for row in rows]
    numbers = range(len(rows))
    still = 0
    for sweep in range(times):
        moved = False
        for n in numbers if sweep % 2 == 0 else reversed(numbers):
            row, pulled = rows[n], ways[sweep % 2][n]
            xs = [pull.target(p) for p, pull in zip(row, pulled)]
            for p, x in zip(row, spread(xs, [pull.weight for pull in pulled], gaps[n]) if gaps[n] else xs):
                moved = moved or abs(p.x - x) > STILL
                p.x = x
        still = 0 if moved else still + 1
        if still == 2:  # neither sweep moved anything
            break


class Pull(NamedTuple):
    """The neighbours that attract a place, and the weight of its position."""

    near: list[tuple[Place, float]]
    """Each with its share; the shares add up to 1."""
    weight: float

    def target(self, p: Place) -> float:
        """Return the x that the place would have without gaps to keep."""
        if not self.near:
            return p.x
        return sum(part * q.x for q, part in self.near)


def _pull(p: Place, near: Sequence[Place]) -> Pull:
    """Return the pull on a place: bends weigh more, to keep long arrows straight; leaves and constants hardly count."""
    near = [q for q in near if not q.source] or near
    weights = [4.0 if p.box is None and q.box is None else 1.0 for q in near]
    total = sum(weights)
    parts = [(q, w / total) for q, w in zip(near, weights)]
    return Pull(parts, (total or 0.1) * (0.01 if p.source else 1.0))


def _settle(rows: list[list[Place]], frames: Mapping[int | None, Frame]) -> None:
    """Move the places outside all frames nearer to their neighbours, as far as the frames beside them allow."""
    frames_in: list[list[Frame]] = [[] for _ in rows]
    for f in frames.values():
        for n in _layers(f):
            frames_in[n].append(f)
    pulls = [[_pull(p, [*p.up, *p.down]) for p in row] for row in rows]
    numbers = range(len(rows))
    still = 0
    for sweep in range(sweeps_of(rows)):
        moves = False
        for n in numbers if sweep % 2 == 0 else reversed(numbers):
            row, fixed = rows[n], frames_in[n]
            # (target x, weight, half a width, gap, place or None for a frame): frames and what is inside them stay
            moved: list[tuple[float, float, float, float, Place | None]]
            moved = [((f.left + f.right) / 2, 1e9, (f.right - f.left) / 2, GAP, None) for f in fixed]
            for p, pull in zip(row, pulls[n]):
                if p.group is None and not any(f.left <= p.x <= f.right for f in fixed):
                    moved.append((pull.target(p), pull.weight, p.width / 2, GAP if p.box else NARROW, p))
            moved.sort(key=lambda item: item[0] if item[4] is None else item[4].x)
            gaps = [a[2] + b[2] + min(a[3], b[3]) for a, b in pairwise(moved)]
            for item, x in zip(moved, spread([i[0] for i in moved], [i[1] for i in moved], gaps)):
                if item[4] is not None:
                    moves = moves or abs(item[4].x - x) > STILL
                    item[4].x = x
        still = 0 if moves else still + 1
        if still == 2:
            break


def _layers(frame: Frame) -> range:
    """Return the layers that a frame covers."""
    return range(round((frame.top + FRAME + LABEL) / PITCH), int(frame.bottom // PITCH) + 1)


def _gap(a: Place, b: Place) -> float:
    gap = GAP if a.box is not None and b.box is not None else NARROW
    return (a.width + b.width) / 2 + gap


def spread(targets: Sequence[float], weights: Sequence[float], gaps: Sequence[float]) -> list[float]:
    """Return the numbers nearest to `targets`, in least squares, with at least `gaps` between neighbours."""
    offsets = [0.0]
    for gap in gaps:
        offsets.append(offsets[-1] + gap)
    blocks: list[list[float]] = []  # weight, weight times mean, count: pool adjacent violators
    for target, weight, offset in zip(targets, weights, offsets):
        blocks.append([weight, weight * (target - offset), 1])
        while len(blocks) > 1 and blocks[-2][1] / blocks[-2][0] > blocks[-1][1] / blocks[-1][0]:
            last = blocks.pop()
            blocks[-1] = [a + b for a, b in zip(blocks[-1], last)]
    means = [b[1] / b[0] for b in blocks for _ in range(int(b[2]))]
    return [mean + offset for mean, offset in zip(means, offsets)]


def _apart(rows: list[list[Place]], labels: Sequence[str], rails: Mapping[int | None, int]) -> dict[int | None, Frame]:
    """Move bands to the right until no frame covers anything outside its group; return the frames by group."""
    bands: dict[int, list[Place]] = {}
    for n, row in enumerate(rows):
        for p in row:
            p.y = n * PITCH + HEIGHT / 2
            bands.setdefault(p.band, []).append(p)
    frames: dict[int | None, Frame] = {}
    # in each layer, the right edge of what is placed so far
    boxes, bends, framed = ([-math.inf] * len(rows) for _ in range(3))
    for band, here in sorted(bands.items()):
        group = band // 2
        inside = [p for p in here if p.box is not None and p.group == group] if band % 2 else []
        frame = _frame(labels[group], inside, rails[group]) if inside else None
        shift = 0.0
        for p in here:
            n = p.layer
            beside = max(boxes[n] + (GAP if p.box is not None else NARROW), bends[n] + NARROW, framed[n] + GAP)
            shift = max(shift, beside - p.left)
        if frame is not None:
            for n in _layers(frame):
                shift = max(shift, max(boxes[n], framed[n]) + GAP - frame.left)
                for k in (n - 1, n + 1):  # a frame there reaches into the same gap
                    if 0 <= k < len(rows):
                        shift = max(shift, framed[k] + GAP - frame.left)
        for p in here:
            p.x += shift
            ends = bends if p.box is None else boxes
            ends[p.layer] = max(ends[p.layer], p.right)
        if frame is not None:
            frames[group] = frame = frame._replace(left=frame.left + shift, right=frame.right + shift)
            for n in _layers(frame):
                framed[n] = max(framed[n], frame.right)
    return frames


def _frame(label: str, inside: Sequence[Place], rails: int) -> Frame:
    width = text_width(label, 12) + 24
    highest = min(p.y for p in inside)
    arrows = min(p.x - p.width * 0.3 for p in inside if p.y == highest)  # into the first row, beside the label
    left = min(min(p.left for p in inside) - FRAME, arrows - width)
    right = max(p.right for p in inside) + FRAME + RAIL * rails
    bottom = max(p.y for p in inside) + HEIGHT / 2 + FRAME
    return Frame(label, left, highest - HEIGHT / 2 - FRAME - LABEL, max(right, left + width), bottom)


def _points(path: Sequence[Place], lower: Ports, upper: Ports) -> list[tuple[float, float]]:
    """Return an arrow's points, from the lower edge of its first box to the upper edge of its last one."""
    start, end = path[0], path[-1]
    inner = [(p.x, p.y) for p in path[1:-1]]
    out, into = lower[id(start), id(path[1])], upper[id(end), id(path[-2])]
    low = HEIGHT / 2 - (DENT if start.box is not None and start.box.kind == "const" else 0)
    return [(out, start.y + low), *inner, (into, end.y - HEIGHT / 2)]


def _ports(places: Iterable[Place], side: str) -> Ports:
    """Return where arrows touch boxes, in the order of the boxes at their other ends."""
    ports = {}
    for at in places:
        others = sorted(getattr(at, side), key=lambda p: p.x)
        gaps = max(len(others) - 1, 1)
        wide = min(at.width * 0.6, 18.0 * (len(others) - 1))
        for rank, to in enumerate(others):
            ports[id(at), id(to)] = at.x + wide * (rank / gaps - 0.5)
    return ports


def _back_lines(arrows: Sequence[Arrow], places: dict[int, Place], frames: Mapping[int | None, Frame]) -> list[Line]:
    """Return the arrows to a later step: out below the box, up at the right inside the frame, in from above."""
    used: Counter[int | None] = Counter()
    lines = []
    for arrow in sorted(arrows, key=lambda a: places[a.end].y - places[a.start].y):  # the longest outside
        start, end = places[arrow.start], places[arrow.end]
        if (frame := frames.get(end.group)) is None:
            continue
        k = used[end.group]
        used[end.group] += 1
        rail = frame.right - FRAME - RAIL * k
        below, above = start.y + HEIGHT / 2 + 10 + 3 * k, end.y - HEIGHT / 2 - 14 - 3 * k
        a, b = start.x + start.width * 0.3, end.x + end.width * 0.36
        corners = [(a, start.y + HEIGHT / 2), (a, below), (rail, below), (rail, above), (b, above)]
        lines.append(Line([*corners, (b, end.y - HEIGHT / 2)], arrow))
    return lines


def _moved_into_view(places: list[Place], lines: list[Line], frames: list[Frame]) -> Layout:
    xs = [x for p in places for x in (p.left, p.right)] + [x for line in lines for x, _ in line.points]
    xs += [x for f in frames for x in (f.left, f.right)]
    ys = [y for p in places for y in (p.y - HEIGHT / 2, p.y + HEIGHT / 2)]
    ys += [y for f in frames for y in (f.top, f.bottom)]
    dx, dy = MARGIN - min(xs, default=0.0), MARGIN - min(ys, default=0.0)
    for p in places:
        p.x, p.y = p.x + dx, p.y + dy
    lines = [Line([(x + dx, y + dy) for x, y in line.points], line.arrow) for line in lines]
    frames = [Frame(f.label, f.left + dx, f.top + dy, f.right + dx, f.bottom + dy) for f in frames]
    return Layout(max(xs, default=0.0) + dx + MARGIN, max(ys, default=0.0) + dy + MARGIN, places, lines, frames)
