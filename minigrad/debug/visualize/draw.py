"""`draw`: the graph of a result as a page, as SVG or DOT with Graphviz, or as Mermaid for Markdown."""

from __future__ import annotations

import os
from html import escape
from pathlib import PurePath
from typing import Any

from ...engine.tensor import Tensor
from ...serialize.atomic_files import write_text
from ...validation import check_flag, check_integer, check_path, closest, shown
from ..graph import Names
from .diagram import Diagram, diagram_of
from .dot import dot_of
from .graph_page import DEEPEST, depth_of, graph_page
from .graphviz_svg import graphviz_svg
from .mermaid import mermaid_of

FORMATS = {"html": graph_page, "svg": graphviz_svg, "dot": dot_of, "mermaid": mermaid_of}
ENDINGS = {".html": "html", ".htm": "html", ".svg": "svg", ".dot": "dot", ".gv": "dot", ".mmd": "mermaid"}


class Drawing(str):
    """The text of a drawing. A notebook shows the picture, a terminal what it is; `print` writes the text."""

    _diagram: Diagram
    _format: str

    def __new__(cls, text: str, diagram: Diagram, format: str) -> Drawing:
        """Return the text of a diagram in a format, which remembers both."""
        drawing = super().__new__(cls, text)
        drawing._diagram, drawing._format = diagram, format
        return drawing

    def __getnewargs__(self) -> tuple[str, Diagram, str]:  # type: ignore[override]  # for copies and pickle
        return str(self), self._diagram, self._format

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the drawing to the file `path`: in the format of its ending (.html, .svg, .dot, .mmd), else as it is.

        Raises:
            OSError: the file cannot be written; nothing was. RuntimeError: SVG without Graphviz. ValueError: the graph
                is too deep for a page.
        """
        check_path("Drawing.save", path=path)
        other = format_of(path) or self._format
        text = str(self) if other == self._format else FORMATS[other](self._diagram)
        write_text("Drawing.save", "path", path, text)

    def __repr__(self) -> str:
        d = self._diagram
        steps = f"; steps {', '.join(d.groups)}" if 0 < len(d.groups) <= 3 else ""
        return (
            f"<Drawing of {len(d.boxes)} boxes and {len(d.arrows)} arrows as {self._format}: {d.title[:1].lower()}"
            f"{d.title[1:]}; {d.about.partition(';')[0]}{steps}. save(path) writes it, print shows its text>"
        )

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """Return what a notebook shows: the picture, and Mermaid where it has no place for pages."""
        bundle = {"text/plain": repr(self), "text/vnd.mermaid": mermaid_of(self._diagram)}
        if self._format == "svg":
            bundle["image/svg+xml"] = str(self)
        elif depth_of(self._diagram) <= DEEPEST:
            page = str(self) if self._format == "html" else graph_page(self._diagram)
            bundle["text/html"] = (
                f'<iframe srcdoc="{escape(page)}" title="{escape(self._diagram.title)}" '
                'style="width: 100%; height: 480px; border: 1px solid #8888; border-radius: 8px"></iframe>'
            )
        return bundle


def draw(
    result: Tensor,
    format: str | os.PathLike[str] = "html",
    names: Names = None,
    fold: bool = True,
    limit: int | None = 5000,
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
        format: "html", a page that lays itself out, shows shapes and operations and needs no network; "svg", which
            Graphviz must be installed for; "dot", for Graphviz; "mermaid", for Markdown pages. Or the path of a file,
            whose ending .html, .svg, .dot or .mmd says which: then the drawing is written there too.
        names: a dict of tensors by name, or a module, whose parameters then have their names.
        fold: draw equal time steps once, with an arrow from the step to the next one.
        limit: the most boxes to draw, since larger drawings are unreadable; None for any number.

    Returns:
        The drawing as text, with a method `save(path)`. A notebook shows it as a picture.

    Raises:
        ValueError: an unknown format, more boxes than `limit`, or a page of a graph too deep for one. GraphError: the
            graph was consumed by a backward pass. TypeError: `result` is not on the tape. RuntimeError: "svg" without
            Graphviz. OSError: the file cannot be written; nothing was.
    """
    kind = _checked_format(format)
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
    drawing = Drawing(FORMATS[kind](diagram), diagram, kind)
    if kind != format:
        write_text("draw", "format", format, drawing)
    return drawing


def format_of(path: str | os.PathLike[str]) -> str | None:
    """Return the format that the ending of a file's name asks for, or None."""
    return ENDINGS.get(PurePath(path).suffix.lower())


def _checked_format(format: Any) -> str:
    name = os.fspath(format) if isinstance(format, os.PathLike) else format
    if isinstance(format, str) and format in FORMATS:
        return format
    if isinstance(name, str) and (found := format_of(name)) is not None:
        return found
    raise ValueError(
        f"draw: format: got {shown(name)}, want one of {list(FORMATS)}{closest(name, FORMATS)}, or the path of a file "
        "that ends in .html, .svg, .dot or .mmd"
    )
