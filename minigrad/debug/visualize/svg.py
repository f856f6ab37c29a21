"""Write a diagram with positions as SVG that uses only text, boxes and paths."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import pairwise

from .diagram import Diagram
from .label_placement import Label, labels_of
from .layering import Place
from .placement import DENT, HEIGHT, Frame, Layout, Line

FONT = "'Helvetica Neue', Helvetica, Arial, 'DejaVu Sans', sans-serif"
FILL = {"leaf": "#e3f3e6", "again": "#f4faf5", "const": "#f1f1ee", "op": "#ffffff", "result": "#fff1d6"}
EDGE = {"leaf": "#3c8d52", "again": "#3c8d52", "const": "#9a9a92", "op": "#3f6fb0", "result": "#c98a12"}
BACK = "#c2571a"
LINE = "#7d8794"
CORNER = 8.0


def svg_of(diagram: Diagram, layout: Layout) -> str:
    """Return the drawing as an SVG document, with a title and a description for screen readers."""
    width, height = round(layout.width), round(layout.height)
    labels, corners = labels_of(layout.lines, layout.frames)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" role="img" font-family="{FONT}">',
            f"<title>{_safe(diagram.title)}</title>",
            f"<desc>{_safe(diagram.about)}</desc>",
            "<defs>",
            *(_marker(name, color) for name, color in (("use", LINE), ("back", BACK))),
            "</defs>",
            f'<rect width="{width}" height="{height}" fill="#fcfcfa"/>',
            *(_frame(frame) for frame in layout.frames),
            *(_line(line) for line in layout.lines),
            *(_frame_label(label) for label in corners),
            *(line for place in layout.places for line in _box(place)),
            *(_label(label, line.arrow.kind) for label, line in zip(labels, layout.lines) if label is not None),
            "</svg>",
            "",
        ]
    )


def _safe(text: str) -> str:
    """Escape the text for XML, with a question mark for each control character, which XML forbids."""
    return escape("".join(c if c.isprintable() or c == " " else "?" for c in text))


def _marker(name: str, color: str) -> str:
    return (
        f'<marker id="{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0,0.6 L7.4,4 L0,7.4 Z" fill="{color}"/></marker>'
    )


def _frame(frame: Frame) -> str:
    w, h = frame.right - frame.left, frame.bottom - frame.top
    return (
        f'<rect x="{frame.left:.1f}" y="{frame.top:.1f}" width="{w:.1f}" height="{h:.1f}" rx="12" fill="#eef3fa" '
        'stroke="#c5d3e6"/>'
    )


def _frame_label(label: Label) -> str:
    return (
        f'<rect x="{label.left:.1f}" y="{label.top:.1f}" width="{label.width:.1f}" height="{label.height:.0f}" rx="4" '
        f'fill="#eef3fa" fill-opacity="0.85"/><text x="{label.left + 4:.1f}" y="{label.top + 13:.1f}" font-size="12" '
        f'font-style="italic" fill="#4a6287">{_safe(label.text)}</text>'
    )


def _box(place: Place) -> list[str]:
    box = place.box
    if box is None:
        return []
    x, y, w = place.left, place.y - HEIGHT / 2, place.width
    look = f'fill="{FILL[box.kind]}" stroke="{EDGE[box.kind]}"'
    if box.kind == "const":
        in_, out, top, bottom = x + 9, x + w - 9, y + DENT, y + HEIGHT - DENT
        corners = [(in_, top), (out, top), (x + w, place.y), (out, bottom), (in_, bottom), (x, place.y)]
        shape = f'<polygon points="{" ".join(f"{a:.1f},{b:.1f}" for a, b in corners)}" {look}/>'
    else:
        radius = HEIGHT / 2 if box.kind in ("leaf", "again") else 6
        dashes = ' stroke-dasharray="3 3"' if box.kind == "again" else ""
        stroke = 2 if box.kind == "result" else 1.3
        shape = (
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{HEIGHT:.0f}" rx="{radius:.0f}" {look} '
            f'stroke-width="{stroke}"{dashes}/>'
        )
    size, color = (11, "#6d6d66") if box.kind == "const" else (13, "#1d2733")
    title = _text(box.title, place.x, place.y - 2 if box.detail else place.y + 4, size, color, box.kind != "const")
    detail = [_text(box.detail, place.x, place.y + 13, 11, "#5b6673")] if box.detail else []
    return [shape, title, *detail]


def _text(text: str, x: float, y: float, size: int, color: str, bold: bool = False) -> str:
    weight = ' font-weight="600"' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}"{weight} fill="{color}" text-anchor="middle">'
        f"{_safe(text)}</text>"
    )


def _line(line: Line) -> str:
    if line.arrow.kind == "back":
        look = f'stroke="{BACK}" stroke-width="1.5" stroke-dasharray="6 4" marker-end="url(#back)"'
        return f'<path d="{_cornered(line.points)}" fill="none" {look}/>'
    return f'<path d="{_curve(line.points)}" fill="none" stroke="{LINE}" stroke-width="1.2" marker-end="url(#use)"/>'


def _curve(points: Sequence[tuple[float, float]]) -> str:
    """Return a smooth path, vertical at both ends and monotone between bends (Fritsch and Carlson 1980)."""
    steps = [(x1 - x0) / (y1 - y0) for (x0, y0), (x1, y1) in pairwise(points)]
    slopes = [0.0, *(2 * a * b / (a + b) if a * b > 0 else 0.0 for a, b in pairwise(steps)), 0.0]
    path = [f"M{points[0][0]:.1f},{points[0][1]:.1f}"]
    for ((x0, y0), (x1, y1)), (out, into) in zip(pairwise(points), pairwise(slopes)):
        half = (y1 - y0) / 2
        path.append(f"C{x0 + out * half:.1f},{y0 + half:.1f} {x1 - into * half:.1f},{y1 - half:.1f} {x1:.1f},{y1:.1f}")
    return " ".join(path)


def _cornered(points: Sequence[tuple[float, float]]) -> str:
    """Return a straight path with rounded corners."""
    path = [f"M{points[0][0]:.1f},{points[0][1]:.1f}"]
    for (x0, y0), (x, y), (x1, y1) in zip(points, points[1:], points[2:]):
        into, out = _towards((x, y), (x0, y0)), _towards((x, y), (x1, y1))
        path.append(f"L{into[0]:.1f},{into[1]:.1f} Q{x:.1f},{y:.1f} {out[0]:.1f},{out[1]:.1f}")
    path.append(f"L{points[-1][0]:.1f},{points[-1][1]:.1f}")
    return " ".join(path)


def _towards(a: tuple[float, float], b: tuple[float, float]) -> tuple[float, float]:
    length = max(abs(b[0] - a[0]) + abs(b[1] - a[1]), 1e-9)
    part = min(CORNER, length / 2) / length
    return a[0] + (b[0] - a[0]) * part, a[1] + (b[1] - a[1]) * part


def _label(label: Label, kind: str) -> str:
    middle = label.left + label.width / 2
    text = _text(label.text, middle, label.top + 12.5, 11, BACK if kind == "back" else "#5b6673")
    return (
        f'<rect x="{label.left:.1f}" y="{label.top:.1f}" width="{label.width:.1f}" height="{label.height:.0f}" rx="4" '
        f'fill="#fcfcfa" fill-opacity="0.9"/>{text}'
    )
