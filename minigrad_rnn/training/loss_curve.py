"""Plot the curves of a training run to a PNG file with matplotlib (the extra `plot`), imported on use."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from minigrad.serialize import atomic_write

Points = Sequence[tuple[float, float]]


def save_loss_curve(
    path: str | os.PathLike[str],
    curves: Mapping[str, Points],
    levels: Mapping[str, float] | None = None,
    *,
    title: str = "",
    xlabel: str = "",
    ylabel: str = "",
) -> None:
    """Draw named curves, and the levels to compare them with as horizontal lines, into a PNG file.

    Args:
        path: the file; it is replaced only when the new one is complete.
        curves: (x, y) points by name. The first, usually the noisiest, is drawn thin; a curve without points is
            left out.
        levels: y by name.
        title, xlabel, ylabel: text of the title and axes.

    Raises:
        ImportError: matplotlib is missing. OSError: the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for k, (name, points) in enumerate((name, points) for name, points in curves.items() if points):
        x, y = zip(*points)
        first = k == 0 and len(curves) > 1
        style = {"linewidth": 1.0, "alpha": 0.6} if first else {"linewidth": 1.8, "marker": "o", "markersize": 4}
        axes.plot(x, y, label=f"{name}: {y[-1]:.2f}", color=f"C{k}", zorder=3, **style)
    right = max((points[-1][0] for points in curves.values() if points), default=1.0)
    for k, (name, level) in enumerate(sorted((levels or {}).items(), key=lambda item: -item[1])):
        color = f"C{k + len(curves)}"
        axes.axhline(level, linestyle="--", linewidth=1.2, color=color, label=f"{name}: {level:.2f}")
    axes.set(title=title, xlabel=xlabel, ylabel=ylabel, xlim=(0, right * 1.02))
    axes.grid(alpha=0.25)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if axes.lines:
        axes.legend(frameon=False)
    with atomic_write(path) as file:
        figure.savefig(file, format="png")
