"""`dot_of`: a diagram in Graphviz's DOT language."""

from __future__ import annotations

from .diagram import Box, Diagram, identifier

DOT_STYLE = {
    "leaf": 'shape=ellipse, fillcolor="#e3f3e6"',
    "const": 'shape=hexagon, fillcolor="#f1f1ee"',
    "op": 'shape=box, fillcolor="#ffffff"',
    "result": 'shape=box, peripheries=2, fillcolor="#fff1d6"',
}


def dot_of(diagram: Diagram) -> str:
    """Return the diagram in Graphviz's DOT language."""
    lines = [
        "digraph tape {",
        f"  label={_quoted(diagram.title)};",
        '  node [style=filled, fontname="Helvetica", fontsize=12];',
        '  edge [fontname="Helvetica", fontsize=10];',
    ]
    inside = diagram.boxes_by_group()
    for g, label in enumerate(diagram.groups):
        lines += [f"  subgraph cluster_{g} {{", f"    label={_quoted(label)};"]
        lines += [f"    {_dot_box(box)}" for box in inside[g]]
        lines.append("  }")
    lines += [f"  {_dot_box(box)}" for box in inside[None]]
    for a in diagram.arrows:
        style = [f"label={_quoted(a.label)}"] if a.label else []
        style += ["style=dashed, constraint=false"] if a.kind == "back" else []
        end = f" [{', '.join(style)}];" if style else ";"
        lines.append(f"  {identifier(a.start)} -> {identifier(a.end)}{end}")
    return "\n".join([*lines, "}"])


def _dot_box(box: Box) -> str:
    text = _quoted(box.title + (f"\n{box.detail}" if box.detail else ""))
    return f"{identifier(box.key)} [label={text}, {DOT_STYLE[box.kind]}];"


def _quoted(text: str) -> str:
    """Return a string of DOT. Graphviz reads entities in it, and would copy control characters, which XML forbids."""
    text = "".join(c if c.isprintable() or c == "\n" else "?" for c in text)
    for special, escaped in (("\\", "\\\\"), ('"', '\\"'), ("&", "&amp;"), ("\n", "\\n")):
        text = text.replace(special, escaped)
    return f'"{text}"'
