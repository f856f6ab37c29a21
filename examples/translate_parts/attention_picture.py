"""`draw_attention` draws what a decoder reads while it writes: a row for each piece written, a column for each read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]


class Read(NamedTuple):
    """One translation: `weights[t, s]` is how much of source piece s was read before target piece t was written."""

    source: list[str]
    target: list[str]
    weights: Array


def draw_attention(reads: Sequence[Read], path: str, columns: int = 3) -> None:
    """Draw a panel for each translation. Raises ImportError where matplotlib is missing."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("translate: pictures need matplotlib: pip install matplotlib") from None
    columns = min(columns, len(reads))
    rows = -(-len(reads) // columns)
    # Column by column from the shortest source to the longest, so that panels of like width stand above each other.
    ordered = sorted(reads, key=lambda read: len(read.source))
    widths = [max(len(read.source) for read in ordered[k * rows : (k + 1) * rows] or ordered) for k in range(columns)]
    heights = [max(len(read.target) for read in ordered[k::rows]) for k in range(rows)]
    piece = 0.2
    figure = Figure(
        figsize=(columns + piece * sum(widths), 0.9 * rows + piece * sum(heights)), layout="constrained", dpi=120
    )
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, columns, squeeze=False, width_ratios=widths, height_ratios=heights).T.ravel()
    for ax in panels[len(reads) :]:
        ax.set_axis_off()
    for ax, read in zip(panels, ordered):
        ax.imshow(read.weights, cmap="Blues", vmin=0, vmax=1, aspect="equal", interpolation="nearest")
        long = max(map(len, read.source)) > 1
        ax.set_xticks(range(len(read.source)), _shown(read.source), rotation=90 if long else 0, fontsize=8)
        ax.set_yticks(range(len(read.target)), _shown(read.target), fontsize=8)
        ax.set_anchor("NW")
        ax.xaxis.tick_top()
        ax.tick_params(length=0, pad=2)
        ax.spines[:].set_color("#cccccc")
    figure.savefig(path)


def _shown(pieces: Sequence[str]) -> list[str]:
    """Pieces with their spaces visible."""
    return [piece.replace(" ", "\N{OPEN BOX}") for piece in pieces]
