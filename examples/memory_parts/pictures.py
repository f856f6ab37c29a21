"""`draw_curves`, `draw_solved`, `draw_reach` draw what nets learnt of the memory tasks, and how far they look back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLORS = ("#7f7f7f", "#c44e52", "#dd8452", "#2a7f62", "#4c72b0", "#8172b3")
STYLES = (":", "--", "-.", "-", "-", "-")


def _figure(columns: int, width: float, height: float, **options: Any) -> tuple[Figure, Any]:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("memory_tasks: pictures need matplotlib: pip install matplotlib") from None
    figure = Figure(figsize=(width, height), layout="constrained", dpi=120)
    FigureCanvasAgg(figure)
    return figure, figure.subplots(1, columns, squeeze=False, **options)[0]


def _look(net: str, nets: Sequence[str]) -> dict[str, Any]:
    k = list(nets).index(net) % len(COLORS)
    return {"color": COLORS[k], "linestyle": STYLES[k], "linewidth": 1.8, "label": net}


def _finish(figure: Figure, axes: Any, path: str) -> None:
    """One legend for all panels below them, a light grid, and the file."""
    for ax in axes:
        ax.grid(alpha=0.25, which="both")
        ax.spines[["top", "right"]].set_visible(False)
    handles = {h.get_label(): h for ax in axes for h in ax.get_lines() if not h.get_label().startswith("_")}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=len(handles), frameon=False)
    figure.savefig(path)


def draw_curves(
    task: str,
    curves: Mapping[int, Mapping[str, Sequence[tuple[int, float]]]],
    baselines: Mapping[int, float],
    path: str,
) -> None:
    """Draw the held-out error over training, a panel for each T, the baseline dashed and a tenth of it dotted.

    Args:
        task: the title.
        curves: for each T and net the pairs (updates, error).
        baselines: for each T the error without a memory.
        path: of the picture.
    """
    figure, axes = _figure(len(curves), 1.2 + 2.9 * len(curves), 3.4, sharey=True)
    nets = list(dict.fromkeys(net for by_net in curves.values() for net in by_net))
    for ax, (T, by_net) in zip(axes, curves.items()):
        for net, curve in by_net.items():
            ax.semilogy(*zip(*curve), **_look(net, nets))
        ax.axhline(baselines[T], color="black", linewidth=1, linestyle=(0, (6, 3)), label="without a memory")
        ax.axhline(baselines[T] / 10, color="black", linewidth=1, linestyle=(0, (1, 2)), label="solved")
        ax.set(title=f"{task}, T = {T}", xlabel="updates")
        ax.set_xlim(left=0)
    axes[0].set_ylabel("held-out error")
    # A net that explodes for a while would squeeze all others together.
    axes[0].set_ylim(max(axes[0].get_ylim()[0], min(baselines.values()) / 1000), 3 * max(baselines.values()))
    _finish(figure, axes, path)


def draw_solved(results: Mapping[str, Mapping[int, Mapping[str, tuple[int | None, float]]]], path: str) -> None:
    """Draw for each task which net solved which T: after how many updates, or what was left of the baseline's error.

    Args:
        results: for each task, T and net, the updates to the solution or None, and the last error over the baseline's.
        path: of the picture.
    """
    ends = [(net, end) for by_T in results.values() for by_net in by_T.values() for net, end in by_net.items()]
    nets = list(dict.fromkeys(net for net, _ in ends))
    longest = max((solved for _, (solved, _) in ends if solved), default=1)
    widths = [len(by_T) for by_T in results.values()]
    figure, axes = _figure(
        len(results), 2.2 + 1.05 * sum(widths), 1.2 + 0.45 * len(nets), width_ratios=widths, sharey=True
    )
    for ax, (task, by_T) in zip(axes, results.items()):
        for column, by_net in enumerate(by_T.values()):
            for row, net in enumerate(nets):
                if net not in by_net:
                    continue
                solved, left = by_net[net]
                shade = "#d9d9d9" if solved is None else "#2a7f62"
                alpha = 1.0 if solved is None else 1.0 - 0.65 * solved / longest
                ax.add_patch(_square(column, row, shade, alpha))
                text = f"{left:.0%} left" if left < 10 else "diverged"
                text = text if solved is None else f"{solved:,}"
                dark = solved is not None and alpha > 0.6
                ax.text(column, row, text, ha="center", va="center", fontsize=8, color="white" if dark else "black")
        ax.set(xlim=(-0.5, len(by_T) - 0.5), ylim=(len(nets) - 0.5, -0.5), title=task, xlabel="T")
        ax.set_xticks(range(len(by_T)), [str(T) for T in by_T])
        ax.set_yticks(range(len(nets)), nets)
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
    figure.suptitle("solved after so many updates (green), or what is left of the error without a memory", fontsize=9)
    figure.savefig(path)


def _square(column: int, row: int, color: str, alpha: float) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((column - 0.47, row - 0.45), 0.94, 0.9, color=color, alpha=alpha, linewidth=0)


def draw_reach(task: str, reach: Mapping[str, tuple[Mapping[int, float], Mapping[int, float]]], path: str) -> None:
    """Draw what the uses of Wr contribute to its gradient, by lag, before and after training.

    Args:
        task: the title.
        reach: for each net the norms by lag before and after training.
        path: of the picture.
    """
    figure, axes = _figure(2, 8.6, 3.6, sharey=True)
    for k, (ax, when) in enumerate(zip(axes, ("before training", "after training"))):
        for net, both in reach.items():
            lags, norms = (np.array(a, float) for a in zip(*both[k].items()))
            norms[norms <= 0] = np.nan
            ax.semilogy(lags, norms, **_look(net, list(reach)))
        ax.set(title=f"{task}, {when}", xlabel="lag: steps back from a loss that asks for memory")
        ax.xaxis.get_major_locator().set_params(integer=True)
    axes[0].set_ylabel("‖contribution to ∂L/∂Wr‖")
    low, high = axes[0].get_ylim()
    axes[0].set_ylim(max(low, 1e-14), min(high, 1e4))
    _finish(figure, axes, path)
