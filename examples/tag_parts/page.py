"""`write_page` shows a source in the colours of its tags, once for each tagger, with every mistake marked."""

from __future__ import annotations

import html
import itertools
import os
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from minigrad.serialize.atomic_files import write_text

COLOURS = {
    "space": "inherit", "keyword": "#8250df", "name": "#24292f", "call": "#0550ae", "number": "#b35900",
    "operator": "#57606a", "string": "#0a7b34", "comment": "#8a6d3b",
}  # fmt: skip
_STYLE = """
body { font: 14px/1.5 system-ui, sans-serif; margin: 24px; color: #24292f; background: #fff }
.taggers { display: grid; grid-auto-flow: column; grid-auto-columns: minmax(0, 1fr); gap: 24px }
pre { font: 12.5px/1.5 ui-monospace, monospace; overflow-x: auto; background: #f6f8fa; padding: 12px; margin: 0 }
mark { background: #ffc9c9; color: inherit; outline: 1px solid #e5534b; border-radius: 2px }
.legend span { margin-right: 16px; font-family: ui-monospace, monospace }
"""


def write_page(
    path: str | os.PathLike[str],
    title: str,
    text: str,
    truth: npt.NDArray[np.integer],
    tagged: Mapping[str, npt.NDArray[np.integer]],
    classes: Sequence[str],
) -> None:
    """Write the page, one file without scripts.

    Args:
        path: of the file.
        title: a line above the text.
        text: what was tagged.
        truth: the true class of each character.
        tagged: what each tagger, by its name, took each character for.
        classes: the names of the classes, keys of COLOURS.
    """
    legend = "".join(f'<span style="color:{COLOURS[name]}">{name}</span>' for name in classes if name != "space")
    columns = "".join(
        f"<div><h2>{html.escape(name)}: {np.mean(labels != truth):.2%} wrong</h2>"
        f"<pre>{_coloured(text, truth, labels, classes)}</pre></div>"
        for name, labels in tagged.items()
    )
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{_STYLE}</style><h1>{html.escape(title)}</h1>"
        f'<p class="legend">{legend}<mark>mistake</mark> (hold the pointer on it)</p>'
        f'<div class="taggers">{columns}</div></html>\n'
    )
    write_text("write_page", "path", path, page)


def _coloured(
    text: str, truth: npt.NDArray[np.integer], labels: npt.NDArray[np.integer], classes: Sequence[str]
) -> str:
    """Return the text with a span for each run of characters of one class, and a mark for each run of mistakes."""
    parts, start = [], 0
    for (label, true), run in itertools.groupby(zip(labels.tolist(), truth.tolist())):
        end = start + sum(1 for _ in run)
        piece = html.escape(text[start:end])
        if label != true:
            piece = f'<mark title="{classes[label]}, want {classes[true]}">{piece}</mark>'
        parts.append(piece if label == 0 == true else f'<span style="color:{COLOURS[classes[label]]}">{piece}</span>')
        start = end
    return "".join(parts)
