"""`save_training_curves` draws the history of a run into a PNG file with matplotlib (the extra `plot`)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from minigrad.option_checks import check_path
from minigrad.serialize import atomic_write

from .evaluation import RESERVED


def save_training_curves(path: str | os.PathLike[str], history: Sequence[dict[str, Any]]) -> None:
    """Draw the loss, and below it every number of the evaluations, over the updates.

    Args:
        path: the file; it is replaced only when the new one is complete.
        history: a trainer's.

    Raises:
        ImportError: matplotlib is missing. OSError: the file cannot be written.
    """
    check_path("save_training_curves", path=path)
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("Trainer.plot: needs the package matplotlib: pip install matplotlib") from error
    names = [name for line in history for name in line if name not in RESERVED]
    panels = ["loss", *dict.fromkeys(names)]
    figure = Figure(figsize=(8, 1.5 + 2.5 * len(panels)), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    all_axes = figure.subplots(len(panels), sharex=True, squeeze=False)[:, 0]
    for k, (name, axes) in enumerate(zip(panels, all_axes)):
        points = [(line["update"], line[name]) for line in history if name in line]
        if points:
            x, y = zip(*points)
            axes.plot(x, y, color=f"C{k % 10}", linewidth=1.2, marker="o" if len(points) < 60 else None, markersize=3)
            axes.annotate(f" {y[-1]:.4g}", (x[-1], y[-1]), va="center", fontsize="small")
        axes.set_ylabel(name)
        axes.grid(alpha=0.25)
        axes.margins(x=0.08)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    all_axes[-1].set_xlabel("updates")
    with atomic_write(path) as file:
        figure.savefig(file, format="png")
