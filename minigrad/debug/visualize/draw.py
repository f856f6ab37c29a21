"""`draw`: the graph of a result as SVG, as DOT for Graphviz, or as Mermaid for Markdown."""

from __future__ import annotations

import os
from collections import defaultdict

from ...engine.tensor import Tensor
from ...validation import check_choice, check_flag, check_integer
from ..graph import Names
from .diagram import Box, Diagram, diagram_of
from .placement import placement_of
from .svg import svg_of

FORMATS = ("svg", "dot", "mermaid")


class Drawing(str):
    """The text of a drawing; a notebook shows an SVG as a picture."""

    __slots__ = ()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the text to a file."""
        with open(path, "w", encoding="utf-8") as file:
            file.write(self)

    def _repr_svg_(self) -> str | None:
        return str(self) if self.startswith("<svg") else None


def draw(
    result: Tensor, format: str = "svg", names: Names = None, fold: bool = True, limit: int | None = 5000
) -> Drawing:
    """Draw the graph of a result: leaves, constants and operations, from the inputs down to the result.

    >>> import minigrad as mg
    >>> x = mg.tensor([1.0, 2.0], requires_grad=True)
    >>> print(mg.draw(mg.tanh(x).sum(), "mermaid", names={"x": x}))
    flowchart TD
        n1(["x<br>(2,)"])
        n2["tanh<br>(2,)"]
        n3[["sum<br>()"]]
        n1 --> n2
        n2 --> n3

    Args:
        result: a tensor on the tape, before its backward pass.
        format: "svg", laid out by minigrad itself; "dot", for Graphviz; "mermaid", for Markdown pages.
        names: a dict of tensors by name, or a module, whose parameters then have their names.
        fold: draw equal time steps once, with an arrow from the step to the next one.
        limit: the most boxes to draw, since larger drawings are unreadable; None for any number.

    A leaf whose uses lie far apart is drawn again above each of them, with a dashed border.

    Returns:
        The drawing as text, with a method `save(path)`.

    Raises:
        ValueError: an unknown format, or more boxes than `limit`. GraphError: the graph was consumed by a backward
            pass. TypeError: `result` is not on the tape.
    """
    check_choice("draw", FORMATS, format=format)
    check_flag("draw", fold=fold)
    if limit is not None:
        check_integer("draw", limit=limit)
    diagram = diagram_of(result, names, fold)
    if limit is not None and len(diagram.boxes) > limit:
        advice = "Record repeated steps under `with mg.time_step(t):`" if fold else "Pass fold=True"
        raise ValueError(
            f"draw: limit: the graph has {len(diagram.boxes)} boxes, more than limit={limit}. {advice}, so "
            "that equal steps are drawn once; draw a tensor nearer to the leaves; use mg.tape_table(result); or pass "
            "limit=None"
        )
    if format == "svg":
        return Drawing(svg_of(diagram, placement_of(diagram)))
    return Drawing(dot_of(diagram) if format == "dot" else mermaid_of(diagram))


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
    inside = _by_group(diagram)
    for g, label in enumerate(diagram.groups):
        lines += [f"  subgraph cluster_{g} {{", f"    label={_quoted(label)};"]
        lines += [f"    {_dot_box(box)}" for box in inside[g]]
        lines.append("  }")
    lines += [f"  {_dot_box(box)}" for box in inside[None]]
    for a in diagram.arrows:
        style = [f"label={_quoted(a.label)}"] if a.label else []
        style += ["style=dashed, constraint=false"] if a.kind == "back" else []
        lines.append(f"  {_id(a.start)} -> {_id(a.end)}" + (f" [{', '.join(style)}]" if style else "") + ";")
    return "\n".join([*lines, "}"])


def _by_group(diagram: Diagram) -> defaultdict[int | None, list[Box]]:
    groups: defaultdict[int | None, list[Box]] = defaultdict(list)
    for box in diagram.boxes:
        groups[box.group].append(box)
    return groups


def _dot_box(box: Box) -> str:
    text = _quoted(box.title + (f"\n{box.detail}" if box.detail else ""))
    return f"{_id(box.key)} [label={text}, {DOT_STYLE[box.kind]}];"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


MERMAID_SHAPE = {"leaf": ("([", "])"), "const": ("{{", "}}"), "op": ("[", "]"), "result": ("[[", "]]")}


def mermaid_of(diagram: Diagram) -> str:
    """Return the diagram in Mermaid's language."""
    lines = ["flowchart TD"]
    inside = _by_group(diagram)
    for g, label in enumerate(diagram.groups):
        lines.append(f'    subgraph g{g}["{_entities(label)}"]')
        lines += [f"        {_mermaid_box(box)}" for box in inside[g]]
        lines.append("    end")
    lines += [f"    {_mermaid_box(box)}" for box in inside[None]]
    for a in diagram.arrows:
        line = "-.->" if a.kind == "back" else "-->"
        lines.append(f"    {_id(a.start)} {line}" + (f'|"{_entities(a.label)}"|' if a.label else "") + f" {_id(a.end)}")
    return "\n".join(lines)


def _mermaid_box(box: Box) -> str:
    left, right = MERMAID_SHAPE[box.kind]
    text = _entities(box.title) + (f"<br>{_entities(box.detail)}" if box.detail else "")
    return f'{_id(box.key)}{left}"{text}"{right}'


def _entities(text: str) -> str:
    """Escape the characters that Mermaid would interpret."""
    special = {'"': "quot", "<": "lt", ">": "gt", "&": "amp", "#": "35", "`": "96", "\\": "92", "\n": "10"}
    return "".join(f"#{special[c]};" if c in special else c for c in text)


def _id(key: int) -> str:
    return f"n{key}" if key > 0 else f"c{-key}"
