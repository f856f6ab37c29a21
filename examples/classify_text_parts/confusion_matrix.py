"""`plot_confusion_matrix` draws what is taken for what."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def confusion_matrix(truth: npt.ArrayLike, found: npt.ArrayLike, classes: int) -> npt.NDArray[np.int64]:
    """Return how often class i (row) was taken for class j (column), (classes, classes)."""
    counts = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(counts, (np.asarray(truth), np.asarray(found)), 1)
    return counts


def plot_confusion_matrix(path: str, counts: npt.NDArray[np.int64], classes: Sequence[str], title: str) -> bool:
    """Write a picture of the matrix; each row adds up to 100 %. Return whether matplotlib was there to do it."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print("no picture of the confusions: it needs matplotlib (pip install matplotlib)", file=sys.stderr)
        return False
    shares = 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = 2.4 + 0.42 * len(classes)
    figure = Figure(figsize=(side + 0.8, side), layout="constrained")
    axes = figure.add_subplot()
    # Mistakes are the point: their colours reach up to the most frequent one, and what is right is left white.
    mistakes = np.where(np.eye(len(classes), dtype=bool), np.nan, shares)
    most = max(1.0, float(np.nanmax(mistakes)))
    image = axes.imshow(mistakes, cmap="Oranges", vmin=0, vmax=most)
    figure.colorbar(image, ax=axes, label="taken for another class, % of the row", shrink=0.8)
    for i, j in np.ndindex(*shares.shape):
        if i == j or shares[i, j] >= 1:
            text = axes.text(j, i, f"{shares[i, j]:.0f}", ha="center", va="center", fontsize=8)
            text.set_fontweight("bold" if i == j else "normal")
            text.set_color("white" if i != j and shares[i, j] > 0.6 * most else "black")
    axes.set_xticks(range(len(classes)), classes, rotation=50, ha="right")
    axes.set_yticks(range(len(classes)), classes)
    axes.set(xlabel="taken for", ylabel="is", title=title)
    figure.savefig(path, dpi=150)
    return True
