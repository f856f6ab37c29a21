"""`strong_wolfe` finds a step along a direction that lowers the loss enough and flattens its slope enough."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

Array = Any
DECREASE, FLATTENING = 1e-4, 0.9
"""The constants c1 and c2 of the two conditions."""
SMALLEST = 1e-9
"""The change of a weight for which the search is not worth going on."""


class Point(NamedTuple):
    """A place on the line."""

    t: float
    f: float
    """The loss."""
    g: Array
    """Its gradient."""
    slope: float
    """Its derivative by t."""


def strong_wolfe(
    along: Callable[[float], Point], start: Point, t: float, largest: float, most: int
) -> tuple[Point, int]:
    """Return a point that satisfies the strong Wolfe conditions, and how often `along` was called to find it.

    An interval that holds such a point is sought by growing steps, and then narrowed down by cubic interpolation
    (Nocedal & Wright 2006, algorithms 3.5 and 3.6). After `most` trials, or where no weight changes by more
    than `SMALLEST` over the interval, it is the lowest point found.

    Args:
        along: evaluates the loss at a distance from the start.
        start: the point at distance 0, with a slope below 0.
        t: the first distance to try.
        largest: the largest absolute entry of the direction.
        most: the most trials after the first.
    """

    def too_high(point: Point) -> bool:
        return point.f > start.f + DECREASE * point.t * start.slope

    def flat_enough(point: Point) -> bool:
        return abs(point.slope) <= -FLATTENING * start.slope

    trials, before, point = 0, start, along(t)
    while trials < most:
        if too_high(point) or (trials > 1 and point.f >= before.f):
            break
        if flat_enough(point):
            return point, trials + 1
        if point.slope >= 0:
            break
        longer = cubic_minimum(before, point, point.t + 0.01 * (point.t - before.t), 10 * point.t)
        before, point, trials = point, along(longer), trials + 1
    else:
        before = start

    ends = [before, point]  # of an interval that holds a point to be found, in no order
    low = 0 if before.f <= point.f else 1
    close_before = False
    while trials < most:
        left, right = sorted(end.t for end in ends)
        if (right - left) * largest < SMALLEST:
            break
        t = cubic_minimum(ends[0], ends[1], left, right)
        margin = 0.1 * (right - left)
        close = min(right - t, t - left) < margin
        if close and (close_before or not left < t < right):
            t = right - margin if right - t < t - left else left + margin
            close = False
        close_before = close
        point, trials = along(t), trials + 1
        if too_high(point) or point.f >= ends[low].f:
            ends[1 - low] = point
            low = 0 if ends[0].f <= ends[1].f else 1
            continue
        if not flat_enough(point) and point.slope * (ends[1 - low].t - ends[low].t) >= 0:
            ends[1 - low] = ends[low]
        ends[low] = point
        if flat_enough(point):
            break
    return ends[low], trials + 1


def cubic_minimum(a: Point, b: Point, least: float, most: float) -> float:
    """Return where the cubic through two points with their slopes is lowest, between `least` and `most`.

    Where it has no minimum it is the middle (Nocedal & Wright 2006, equation 3.59).
    """
    a, b = (a, b) if a.t <= b.t else (b, a)
    width = b.t - a.t
    if width == 0:
        return (least + most) / 2
    d1 = a.slope + b.slope - 3 * (a.f - b.f) / -width
    square = d1 * d1 - a.slope * b.slope
    divisor = b.slope - a.slope + 2 * math.sqrt(square) if square >= 0 else 0.0
    if not divisor:
        return (least + most) / 2
    t = b.t - width * ((b.slope + math.sqrt(square) - d1) / divisor)
    return min(max(t, least), most)
