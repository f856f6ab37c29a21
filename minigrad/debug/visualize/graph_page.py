"""`graph_page`: the graph as a page that lays itself out, with zoom, keyboard and what is known about each box."""

from __future__ import annotations

from dataclasses import asdict
from html import escape

from ..one_line import one_line
from .diagram import Box, Diagram
from .layout_library import layout_library
from .self_contained_page import package_text, self_contained_page

DEEPEST = 1000
"""The most boxes above each other that a page lays out: dagre recurses from box to box, and browsers' stacks differ."""

_MARKER = (
    '<marker id="{}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" '
    'markerUnits="userSpaceOnUse" orient="auto"><path d="M0,0.6 L7.4,4 L0,7.4 Z"/></marker>'
)
_KEY = '<span><svg width="{}" height="20" aria-hidden="true">{}</svg>{}</span>'
_KEYS = [
    _KEY.format(36, '<g class="leaf"><rect class="outline" x="2" y="2" width="32" height="16" rx="8"/></g>', "leaf"),
    _KEY.format(
        36, '<g class="const"><polygon class="outline" points="8,2 28,2 34,10 28,18 8,18 2,10"/></g>', "constant"
    ),
    _KEY.format(
        36, '<g class="box op"><rect class="outline" x="2" y="2" width="32" height="16" rx="4"/></g>', "operation"
    ),
    _KEY.format(
        36,
        '<g class="box result"><rect class="outline" x="2" y="2" width="32" height="16" rx="4"/>'
        '<rect class="inner" x="5" y="5" width="26" height="10" rx="2"/></g>',
        "result",
    ),
]
_BACK_KEY = _KEY.format(
    40, '<g class="arrow back"><path d="M2,10 L36,10" marker-end="url(#head-back)"/></g>', "to another time step"
)


def graph_page(diagram: Diagram) -> str:
    """Return the text of a page that needs no network.

    Raises:
        ValueError: more than `DEEPEST` boxes follow each other.
    """
    if (depth := depth_of(diagram)) > DEEPEST:
        raise ValueError(
            f'draw: format: {depth} boxes follow each other, more than the {DEEPEST} that a page ("html") lays out. '
            'Record repeated steps under `with mg.time_step(t):` and pass fold=True, or take "svg", "dot" or "mermaid"'
        )
    keys = [*_KEYS, _BACK_KEY] if any(a.kind == "back" for a in diagram.arrows) else _KEYS
    body = f"""<header>
<h1>{escape(one_line(diagram.title))}</h1>
<p>{escape(one_line(diagram.about))}</p>
<div class="tools" role="group" aria-label="Size of the drawing">
<button id="smaller" aria-label="smaller">−</button><output id="scale">100 %</output>
<button id="larger" aria-label="larger">+</button><button id="fit">fit</button>
</div>
</header>
<main>
<div id="view">
<svg id="drawing" xmlns="http://www.w3.org/2000/svg" role="group" aria-label="{escape(one_line(diagram.title))}">
<defs>{_MARKER.format("head")}{_MARKER.format("head-back")}</defs>
</svg>
</div>
<section id="facts" aria-live="polite" aria-label="The chosen box"></section>
</main>
<footer>{"".join(keys)}<span class="keys">arrow keys: from box to box · + − 0: size · ctrl + wheel: size</span></footer>
<noscript>The drawing needs JavaScript.</noscript>"""
    data = {
        "boxes": [_shown(box) for box in diagram.boxes],
        "arrows": [asdict(arrow) for arrow in diagram.arrows],
        "groups": diagram.groups,
    }
    scripts = [
        layout_library(),
        *(package_text(__package__, f"page/{name}.js") for name in ("curve", "layout", "graph")),
    ]
    return self_contained_page(
        diagram.title, body, [package_text(__package__, "page/graph.css")], scripts, {"graph": data}
    )


def _shown(box: Box) -> dict[str, object]:
    return {
        "key": box.key,
        "kind": box.kind,
        "title": one_line(box.title),
        "detail": box.detail,
        "group": box.group,
        "facts": [[name, one_line(value)] for name, value in box.facts],
    }


def depth_of(diagram: Diagram) -> int:
    """Return how many boxes the longest way from a leaf to the result has."""
    depth = {box.key: 1 for box in diagram.boxes}
    arrows = [a for a in diagram.arrows if a.kind == "plain"]
    for arrow in sorted(arrows, key=lambda a: a.end):  # boxes are numbered in the order of recording, constants below 0
        depth[arrow.end] = max(depth[arrow.end], depth[arrow.start] + 1)
    return max(depth.values(), default=0)
