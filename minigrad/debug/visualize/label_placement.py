"""Place the labels of arrows and frames where they cover the fewest other arrows and labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from .placement import PITCH, Frame, Line, text_width

Point = tuple[float, float]
POINTS = 24
"""The number of points that are checked on a piece of an arrow."""


class Label(NamedTuple):
    """A text and the rectangle behind it."""

    text: str
    left: float
    top: float
    width: float
    height: float

    def holds(self, point: Point) -> bool:
        """Return whether a point is behind the label."""
        return self.left <= point[0] <= self.left + self.width and self.top <= point[1] <= self.top + self.height

    def meets(self, other: Label) -> bool:
        """Return whether two labels overlap."""
        return (
            self.left < other.left + other.width
            and other.left < self.left + self.width
            and self.top < other.top + other.height
            and other.top < self.top + self.height
        )


def on_straight(a: Point, b: Point, u: float) -> Point:
    """Return the point at u, from 0 to 1, of the line from a to b."""
    return a[0] + u * (b[0] - a[0]), a[1] + u * (b[1] - a[1])


def on_smooth(a: Point, b: Point, u: float) -> Point:
    """Return the point at u, from 0 to 1, of a curve from a to b that is vertical at both ends."""
    return a[0] + (3 * u * u - 2 * u**3) * (b[0] - a[0]), a[1] + (1.5 * u * (1 - u) + u**3) * (b[1] - a[1])


def labels_of(lines: Sequence[Line], frames: Sequence[Frame]) -> tuple[list[Label | None], list[Label]]:
    """Return a label for each line, None where it has no text, and one for each frame.

    Of the candidate positions, in the order of preference, the first that covers the least is taken.
    """
    of_lines = [_of_line(line) for line in lines]
    of_frames = [_of_frame(frame) for frame in frames]
    near = _Near(lines, (label for choice in (*of_lines, *of_frames) for label in choice))
    corners = [near.best(choice, None) for choice in of_frames]
    return [near.best(choice, n) if choice else None for n, choice in enumerate(of_lines)], corners


def _of_line(line: Line) -> list[Label]:
    text = line.arrow.label
    if not text:
        return []
    w = text_width(text, 11) + 8
    if line.arrow.kind == "back":
        spots = [(line.points[2][0], (line.points[2][1] + line.points[3][1]) / 2)]
    else:
        a, b = line.points[:2]
        first = 0.5 if abs(b[0] - a[0]) < 80 else 0.3  # a flat arrow among others has its label near its start
        spots = [on_smooth(a, b, u) for u in (first, 0.4, 0.3, 0.2, 0.5)]
    return [Label(text, x - w / 2, y - 9, w, 16.0) for x, y in spots]


def _of_frame(frame: Frame) -> list[Label]:
    w = text_width(frame.label, 12) + 8
    room = frame.right - frame.left - w - 16
    lefts = [frame.left + 8 + room * part for part in (0, 1, 0.5, 0.25, 0.75)]
    return [Label(frame.label, left, frame.top + 4, w, 18.0) for left in lefts]


class _Near:
    """The pieces of arrows and the placed labels near the candidate positions, by horizontal strips."""

    def __init__(self, lines: Sequence[Line], candidates: Iterable[Label]) -> None:
        self.lines: dict[int, list[tuple[int, list[Point]]]] = {}
        self.labels: dict[int, list[Label]] = {}
        for label in candidates:
            for k in _strips(label.top, label.top + label.height):
                self.lines[k] = []
        for n, line in enumerate(lines if self.lines else ()):
            for a, b in pairwise(line.points):
                strips = [k for k in _strips(min(a[1], b[1]), max(a[1], b[1])) if k in self.lines]
                if not strips or abs(b[1] - a[1]) > 4 * PITCH:  # a piece this long runs behind everything
                    continue
                point_at = on_straight if line.arrow.kind == "back" else on_smooth
                points = [point_at(a, b, k / POINTS) for k in range(POINTS + 1)]
                for k in strips:
                    self.lines[k].append((n, points))

    def best(self, choice: Sequence[Label], own: int | None) -> Label:
        """Return the first candidate that covers the least, for the label of line `own` or of a frame."""
        best = min(choice, key=lambda label: self._covered(label, own))
        for k in _strips(best.top, best.top + best.height):
            self.labels.setdefault(k, []).append(best)
        return best

    def _covered(self, label: Label, own: int | None) -> int:
        strips = _strips(label.top, label.top + label.height)
        lines = {n for k in strips for n, points in self.lines[k] if n != own and any(map(label.holds, points))}
        return len(lines) + 3 * sum(label.meets(other) for k in strips for other in self.labels.get(k, ()))


def _strips(top: float, bottom: float) -> range:
    return range(int(top // PITCH), int(bottom // PITCH) + 1)
