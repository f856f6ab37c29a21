"""Where boxes and arrows stand: each as near to its neighbours as the gaps allow, steps in time in frames.

Places are those of least squares with the gaps kept, which is isotonic regression.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from .layering import SWEEPS, Place, bands_of, bent, layers_of, put_in_order
from .picture import Arrow, Picture

HEIGHT, LAYER_GAP, GAP, MARGIN, FRAME, RAIL = 42.0, 46.0, 22.0, 28.0, 18.0, 22.0
DENT = 8.0
"""By how much the box of a constant is less high, above and below."""


class Frame(NamedTuple):
    """Around the boxes of one step in time."""

    label: str
    left: float
    top: float
    right: float
    bottom: float


class Line(NamedTuple):
    """An arrow as the points that it goes through; smooth, or with corners if it goes back."""

    points: list[tuple[float, float]]
    arrow: Arrow


class Layout(NamedTuple):
    """A picture with places."""

    width: float
    height: float
    places: list[Place]
    lines: list[Line]
    frames: list[Frame]


def text_width(text: str, size: float) -> float:
    """About how wide a text is in a sans-serif face."""
    narrow = sum(c in "il.,:;|!'()[] tfj" for c in text)
    wide = sum(c in "mwMW@—…" for c in text)
    return size * (0.62 * len(text) - 0.26 * narrow + 0.26 * wide)


def layout_of(picture: Picture) -> Layout:
    """Places for everything in the picture."""
    arrows = [a for a in picture.arrows if a.kind == "plain"]
    layers = layers_of(picture.boxes, arrows)
    bands = bands_of(picture.boxes, arrows, layers, len(picture.groups))
    places = {
        box.key: Place(
            box,
            layers[box.key],
            max(44.0, text_width(box.title, 13) + 28, text_width(box.detail, 11) + 22),
            bands[box.key],
            box.group,
        )
        for box in picture.boxes
    }
    rows: list[list[Place]] = [[] for _ in range(max(layers.values(), default=0) + 1)]
    for place in places.values():
        rows[place.layer].append(place)
    paths = [bent(places[a.start], places[a.end], rows) for a in arrows]
    put_in_order(rows)
    _places(rows)
    back = [a for a in picture.arrows if a.kind == "back"]
    rails = [sum(places[a.end].group == g for a in back) for g in range(len(picture.groups))]
    frames = _apart(rows, picture.groups, rails)
    _settle(rows, frames)
    lines = [Line(_points(path), arrow) for path, arrow in zip(paths, arrows)]
    lines += _back_lines(back, places, frames)
    return _moved_into_view([*places.values()], lines, [f for f in frames if f is not None])


def _places(rows: list[list[Place]]) -> None:
    """x for every place: as near to its neighbours' as the gaps in its layer allow, each band by itself."""
    for band in {p.band for row in rows for p in row}:
        own = [[p for p in row if p.band == band] for row in rows]
        own = [row for row in own if row]
        for row in own:
            x = 0.0
            for p in row:
                p.x = x + p.width / 2
                x += p.width + GAP
            for p in row:
                p.x -= x / 2
        for sweep in range(SWEEPS):
            for row in own if sweep % 2 == 0 else reversed(own):
                wanted, weights = [], []
                for p in row:
                    near = [*p.up, *p.down] if sweep >= SWEEPS // 2 else p.up if sweep % 2 == 0 else p.down
                    want, weight = _wanted(p, [q for q in near if q.band == band])
                    wanted.append(want)
                    weights.append(weight)
                for p, x in zip(row, spread(wanted, weights, [_gap(a, b) for a, b in pairwise(row)])):
                    p.x = x


def _wanted(p: Place, near: Sequence[Place]) -> tuple[float, float]:
    """Where a place would stand if it were alone, and how much that matters: long arrows shall be straight."""
    pull = [(4.0 if p.box is None and q.box is None else 1.0, q.x) for q in near]
    weight = sum(w for w, _ in pull)
    return (sum(w * x for w, x in pull) / weight, weight) if pull else (p.x, 0.1)


def _settle(rows: list[list[Place]], frames: Sequence[Frame | None]) -> None:
    """What is in no frame, once more: nearer to its neighbours, as the frames beside it allow."""
    for sweep in range(SWEEPS):
        for row in rows if sweep % 2 == 0 else reversed(rows):
            y = row[0].y if row else 0.0
            fixed = [f for f in frames if f is not None and f.top < y + HEIGHT / 2 and y - HEIGHT / 2 < f.bottom]
            # (wanted x, weight, half a width, gap, who): frames stay, and so does what runs inside of them
            items = [((f.left + f.right) / 2, 1e9, (f.right - f.left) / 2, GAP, None) for f in fixed]
            moved: list[tuple[float, float, float, float, Place | None]] = [*items]
            for p in row:
                if p.group is None and not any(f.left <= p.x <= f.right for f in fixed):
                    moved.append((*_wanted(p, [*p.up, *p.down]), p.width / 2, GAP if p.box else 14.0, p))
            moved.sort(key=lambda item: item[0] if item[4] is None else item[4].x)
            gaps = [a[2] + b[2] + min(a[3], b[3]) for a, b in pairwise(moved)]
            for item, x in zip(moved, spread([i[0] for i in moved], [i[1] for i in moved], gaps)):
                if item[4] is not None:
                    item[4].x = x


def _gap(a: Place, b: Place) -> float:
    gap = GAP if a.box is not None and b.box is not None else 14.0
    return (a.width + b.width) / 2 + gap


def spread(wanted: Sequence[float], weights: Sequence[float], gaps: Sequence[float]) -> list[float]:
    """The numbers nearest to `wanted` in the sense of least squares with at least `gaps` between neighbours."""
    offsets = [0.0]
    for gap in gaps:
        offsets.append(offsets[-1] + gap)
    blocks: list[list[float]] = []  # weight, weight times mean, count: pool adjacent violators
    for want, weight, offset in zip(wanted, weights, offsets):
        blocks.append([weight, weight * (want - offset), 1])
        while len(blocks) > 1 and blocks[-2][1] / blocks[-2][0] > blocks[-1][1] / blocks[-1][0]:
            last = blocks.pop()
            blocks[-1] = [a + b for a, b in zip(blocks[-1], last)]
    means = [b[1] / b[0] for b in blocks for _ in range(int(b[2]))]
    return [mean + offset for mean, offset in zip(means, offsets)]


def _apart(rows: list[list[Place]], labels: Sequence[str], rails: Sequence[int]) -> list[Frame | None]:
    """Move bands to the right until no frame covers anything that is not in it; returns the frames."""
    for n, row in enumerate(rows):
        for p in row:
            p.y = n * (HEIGHT + LAYER_GAP) + HEIGHT / 2
    everything = [p for row in rows for p in row]
    frames: list[Frame | None] = [None] * len(labels)
    done: dict[int, list[Place]] = {}  # what stands already, by layers
    for band in sorted({p.band for p in everything}):
        here = [p for p in everything if p.band == band]
        group = band // 2 if band % 2 else None
        inside = [p for p in here if p.box is not None and p.group == group] if group is not None else []
        frame = _frame(labels[group], inside, rails[group]) if inside and group is not None else None
        shift = 0.0
        for p in here:
            for q in done.get(p.layer, ()):
                shift = max(shift, q.x + _gap(q, p) - p.x)
            for other in frames:
                if other is not None and other.top < p.y + HEIGHT / 2 and p.y - HEIGHT / 2 < other.bottom:
                    shift = max(shift, other.right + GAP - p.left)
        if frame is not None:
            for q in (q for standing in done.values() for q in standing):
                if q.box is not None and frame.top < q.y + HEIGHT / 2 and q.y - HEIGHT / 2 < frame.bottom:
                    shift = max(shift, q.right + GAP - frame.left)
            for other in frames:
                if other is not None and other.top < frame.bottom and frame.top < other.bottom:
                    shift = max(shift, other.right + GAP - frame.left)
        for p in here:
            p.x += shift
            done.setdefault(p.layer, []).append(p)
        if frame is not None and group is not None:
            frames[group] = frame._replace(left=frame.left + shift, right=frame.right + shift)
    return frames


def _frame(label: str, inside: Sequence[Place], rails: int) -> Frame:
    left = min(p.left for p in inside) - FRAME
    right = max(p.right for p in inside) + FRAME + RAIL * rails
    top = min(p.y for p in inside) - HEIGHT / 2 - FRAME - 12
    bottom = max(p.y for p in inside) + HEIGHT / 2 + FRAME
    return Frame(label, left, top, max(right, left + text_width(label, 12) + 24), bottom)


def _points(path: Sequence[Place]) -> list[tuple[float, float]]:
    """From the lower edge of the first box through the bends to the upper edge of the last one."""
    start, end = path[0], path[-1]
    inner = [(p.x, p.y) for p in path[1:-1]]
    out, into = _port(start, path[1], start.down), _port(end, path[-2], end.up)
    low = HEIGHT / 2 - (DENT if start.box is not None and start.box.kind == "const" else 0)
    return [(out, start.y + low), *inner, (into, end.y - HEIGHT / 2)]


def _port(at: Place, to: Place, others: Sequence[Place]) -> float:
    """Where an arrow touches a box: arrows beside each other come in beside each other."""
    if len(others) < 2:
        return at.x
    rank = sorted(others, key=lambda p: p.x).index(to)
    return at.x + min(at.width * 0.6, 18.0 * (len(others) - 1)) * (rank / (len(others) - 1) - 0.5)


def _back_lines(arrows: Sequence[Arrow], places: dict[int, Place], frames: Sequence[Frame | None]) -> list[Line]:
    """Arrows to a later step: out below the box, up at the right inside the frame, and in from above."""
    used: dict[int, int] = {}
    lines = []
    for arrow in sorted(arrows, key=lambda a: places[a.end].y - places[a.start].y):  # the longest outside
        start, end = places[arrow.start], places[arrow.end]
        frame = frames[end.group] if end.group is not None else None
        if frame is None:
            continue
        k = used.get(end.group or 0, 0)
        used[end.group or 0] = k + 1
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
