"""Drawings of a result's graph: DOT for Graphviz, Mermaid for Markdown, SVG for everybody."""

from __future__ import annotations

import os
from collections import defaultdict

from ...engine.tensor import Tensor
from ..graph import Names
from .diagram import Box, Diagram, diagram_of
from .placement import placement_of
from .svg import svg_of

FORMATS = ("svg", "dot", "mermaid")


class Drawing(str):
    """A drawing as the text that it is; a notebook shows an SVG as a picture."""

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
        result: a tensor on the tape, not walked yet.
        format: "svg", laid out by minigrad itself; "dot", for Graphviz; "mermaid", for Markdown pages.
        names: tensors by name, or a module, whose parameters then have their names.
        fold: draw steps in time that are alike once, with an arrow from the step to the next one.
        limit: how many boxes to draw at most, for nobody reads a picture of so many; None for any number.

    A leaf whose uses lie far apart stands above each of them again, with a broken edge.

    Returns:
        The drawing as text, with a method `save(path)`.

    Raises:
        ValueError: another format, or more boxes than `limit`. GraphError: the tape was walked before. TypeError:
            `result` is not on the tape.
    """
    if format not in FORMATS:
        raise ValueError(f"draw: format: got {format!r}, want one of {list(FORMATS)}")
    picture = diagram_of(result, names, fold)
    if limit is not None and len(picture.boxes) > limit:
        alike = "Record what repeats under `with mg.time_step(t):`" if fold else "Leave fold=True"
        raise ValueError(
            f"draw: limit: the graph has {len(picture.boxes)} boxes, more than limit={limit}. {alike}, so "
            "that steps that are alike are one; draw a tensor nearer to the leaves; read it as a table, "
            "mg.tape_table(result); or pass limit=None"
        )
    if format == "dot":
        return Drawing(dot_of(picture))
    if format == "mermaid":
        return Drawing(mermaid_of(picture))
    return Drawing(svg_of(picture, placement_of(picture)))


DOT_LOOK = {
    "leaf": 'shape=ellipse, fillcolor="#e3f3e6"',
    "const": 'shape=hexagon, fillcolor="#f1f1ee"',
    "op": 'shape=box, fillcolor="#ffffff"',
    "result": 'shape=box, peripheries=2, fillcolor="#fff1d6"',
}


def dot_of(picture: Diagram) -> str:
    """The picture in Graphviz's language."""
    lines = [
        "digraph tape {",
        f"  label={_quoted(picture.title)};",
        '  node [style=filled, fontname="Helvetica", fontsize=12];',
        '  edge [fontname="Helvetica", fontsize=10];',
    ]
    inside = _by_group(picture)
    for g, label in enumerate(picture.groups):
        lines += [f"  subgraph cluster_{g} {{", f"    label={_quoted(label)};"]
        lines += [f"    {_dot_box(box)}" for box in inside[g]]
        lines.append("  }")
    lines += [f"  {_dot_box(box)}" for box in inside[None]]
    for a in picture.arrows:
        look = [f"label={_quoted(a.label)}"] if a.label else []
        look += ["style=dashed, constraint=false"] if a.kind == "back" else []
        lines.append(f"  {_id(a.start)} -> {_id(a.end)}" + (f" [{', '.join(look)}]" if look else "") + ";")
    return "\n".join([*lines, "}"])


def _by_group(picture: Diagram) -> defaultdict[int | None, list[Box]]:
    groups: defaultdict[int | None, list[Box]] = defaultdict(list)
    for box in picture.boxes:
        groups[box.group].append(box)
    return groups


def _dot_box(box: Box) -> str:
    text = _quoted(box.title + (f"\n{box.detail}" if box.detail else ""))
    return f"{_id(box.key)} [label={text}, {DOT_LOOK[box.kind]}];"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


MERMAID_SHAPE = {"leaf": ("([", "])"), "const": ("{{", "}}"), "op": ("[", "]"), "result": ("[[", "]]")}


def mermaid_of(picture: Diagram) -> str:
    """The picture in Mermaid's language."""
    lines = ["flowchart TD"]
    inside = _by_group(picture)
    for g, label in enumerate(picture.groups):
        lines.append(f'    subgraph g{g}["{_entities(label)}"]')
        lines += [f"        {_mermaid_box(box)}" for box in inside[g]]
        lines.append("    end")
    lines += [f"    {_mermaid_box(box)}" for box in inside[None]]
    for a in picture.arrows:
        line = "-.->" if a.kind == "back" else "-->"
        lines.append(f"    {_id(a.start)} {line}" + (f'|"{_entities(a.label)}"|' if a.label else "") + f" {_id(a.end)}")
    return "\n".join(lines)


def _mermaid_box(box: Box) -> str:
    left, right = MERMAID_SHAPE[box.kind]
    text = _entities(box.title) + (f"<br>{_entities(box.detail)}" if box.detail else "")
    return f'{_id(box.key)}{left}"{text}"{right}'


def _entities(text: str) -> str:
    """Text that Mermaid reads as text, whatever is in it."""
    special = {'"': "quot", "<": "lt", ">": "gt", "&": "amp", "#": "35", "`": "96", "\\": "92", "\n": "10"}
    return "".join(f"#{special[c]};" if c in special else c for c in text)


def _id(key: int) -> str:
    return f"n{key}" if key > 0 else f"c{-key}"
