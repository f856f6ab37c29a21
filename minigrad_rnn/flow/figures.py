"""Figures of gradient flow, drawn by matplotlib (the extra `plot`), which is imported on use.

Each function returns a `matplotlib.figure.Figure`: `figure.savefig("flow.png")`, or the last line of a notebook's cell.
Lines differ in their style as well as in their colour, and colour maps run from light to dark.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minigrad import GraphError
from minigrad.validation import check_choice, check_text, check_type

from .gate_parts import GateFlow
from .gradient_flow import GradientFlow, LayerFlow, norm_of_steps
from .input_saliency import Saliency
from .jacobian_probes import ProbedNorms
from .jacobians import JacobianNorms, StepJacobians
from .training_monitor import TrainingMonitor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]
STYLES = (("-", "o"), ("--", "s"), (":", "^"), ("-.", "D"), ((0, (5, 1)), "v"), ((0, (1, 1)), "P"))
COLOURS = ("#0b3c5d", "#d1495b", "#2e7d32", "#8e5ea2", "#c77d0a", "#4d4d4d")
COLOUR_MAP = "cividis"
"""From dark to light, also for readers who do not see colours."""
DECADES = 12
"""Powers of ten that an axis shows at most."""


def plot_gradient_norms(flow: GradientFlow | LayerFlow, name: str | None = None) -> Figure:
    """‖∂L/∂h(t)‖ at every step, a line for each layer and array of the state, on a logarithmic axis.

    Args:
        flow: a whole flow, or one layer's.
        name: one of the state's arrays; None draws all.

    Raises:
        ImportError: matplotlib is missing. GraphError: nothing was called, or no backward pass has come through.
    """
    check_type("plot_gradient_norms", (GradientFlow, LayerFlow), "a GradientFlow or one of its layers", flow=flow)
    calls = flow.calls if isinstance(flow, GradientFlow) else [flow]
    if not calls:
        raise GraphError("plot_gradient_norms: flow: got one in whose block no layer was called, want the model's call")
    if name is not None:
        check_choice("plot_gradient_norms", {n for call in calls for n in call.names}, name=name)
    curves = {
        f"{call.layer}: ∂L/∂{part}(t)": call.norms(part)
        for call in calls for part in call.names if name in (None, part)
    }  # fmt: skip
    figure, axes = _figure("plot_gradient_norms")
    _curves(axes, curves)
    axes.set(title="How much of the loss's gradient reaches each step", xlabel="time step t", ylabel="norm")
    return figure


def plot_jacobian_norms(norms: JacobianNorms | ProbedNorms) -> Figure:
    """‖∂h(t)/∂h(s)‖: of every pair of steps as a map beside its mean by lag; of probes as a line over s.

    Args:
        norms: what `jacobian_norms` or `probe_jacobian_norms` returned.

    Raises:
        ImportError: matplotlib is missing.
    """
    check_type("plot_jacobian_norms", (JacobianNorms, ProbedNorms), "what jacobian_norms returns", norms=norms)
    label = f"‖∂{norms.of}(t)/∂{norms.wrt}(s)‖"
    if isinstance(norms, ProbedNorms):
        figure, axes = _figure("plot_jacobian_norms")
        mean = np.sqrt((norms.norms**2).mean(axis=1))
        error = np.nan_to_num(norms.relative_error).mean(axis=1)
        _curves(axes, {f"{norms.layer}, {len(norms.squares)} probes": mean})
        axes.fill_between(range(len(mean)), mean * (1 - error), mean * (1 + error), alpha=0.2, color=COLOURS[0])
        label = label.replace("(t)", f"({norms.t})")
        axes.set(title=f"What {norms.of}({norms.t}) remembers", xlabel="time step s", ylabel=f"{label}, Frobenius")
        return figure
    figure, (left, right) = _figure("plot_jacobian_norms", columns=2)
    shown = np.where(np.isneginf(norms.log10), np.nan, norms.log10)
    highest = float(np.nanmax(shown, initial=-300.0))
    lowest = max(float(np.nanmin(shown, initial=highest)), highest - DECADES)
    image = left.imshow(
        np.where(np.isneginf(norms.log10), lowest, norms.log10), cmap=COLOUR_MAP, origin="lower", vmin=lowest,
        vmax=max(highest, lowest + 1), interpolation="nearest",
    )  # fmt: skip
    clipped = np.isneginf(norms.log10).any() or (shown < lowest).any()
    figure.colorbar(image, ax=left, label="power of ten" + (", or less" if clipped else ""))
    left.set(title=f"{norms.layer}: {label}", xlabel="from step s", ylabel="to step t")
    by_lag = norms.log10_by_lag()
    with np.errstate(over="ignore", under="ignore"):
        _curves(right, {f"{norms.norm} norm": 10.0**by_lag})
    right.set(title="Geometric mean by lag", xlabel="lag k = t − s", ylabel=label.replace("(s)", "(t−k)"))
    return figure


def plot_singular_values(steps: StepJacobians, of: str | None = None, wrt: str | None = None) -> Figure:
    """The singular values of each step's Jacobian along the trajectory: the largest, the median and the least.

    The band holds all of them, means over the batch. A step shrinks every gradient where even the largest is below 1.

    Args:
        steps: what `step_jacobians` returned.
        of, wrt: names of the state's arrays, for the block ∂of(t)/∂wrt(t−1); None takes the whole state.

    Raises:
        ImportError: matplotlib is missing. ValueError: an unknown name.
    """
    check_type("plot_singular_values", StepJacobians, "what step_jacobians returns", steps=steps)
    values = np.nanmean(steps.singular_values(of, wrt), axis=1)
    figure, axes = _figure("plot_singular_values")
    floor = max(float(values.max()) * 10.0**-DECADES, np.finfo(float).tiny)
    values = np.maximum(values, floor)
    axes.fill_between(range(len(values)), values[:, -1], values[:, 0], color="0.88", zorder=1)
    _curves(axes, {"largest": values[:, 0], "median": np.median(values, axis=1), "least": values[:, -1]})
    axes.axhline(1.0, color="0.3", linewidth=0.8, zorder=2)
    block = "S" if of is None and wrt is None else f"{of or 'S'}, {wrt or 'S'}"
    axes.set(title=f"{steps.layer}: singular values of ∂S(t)/∂S(t−1)", xlabel="time step t", ylabel="singular value")
    if block != "S":
        axes.set_title(f"{steps.layer}: singular values of ∂{of or 'S'}(t)/∂{wrt or 'S'}(t−1)")
    return figure


def plot_gate_flow(gates: GateFlow) -> Figure:
    """Through which gates gradients arrive: the norm of each part at every step, a panel for each array of the state.

    Args:
        gates: what `gate_flow` returned.

    Raises:
        ImportError: matplotlib is missing.
    """
    check_type("plot_gate_flow", GateFlow, "what gate_flow returns", gates=gates)
    names = list(gates.parts)
    figure, axes = _figure("plot_gate_flow", columns=len(names))
    for panel, name in zip(np.atleast_1d(np.asarray(axes, object)), names):
        whole = sum(part.astype(np.float64) for part in gates.parts[name].values())
        _curves(panel, {"the whole": norm_of_steps(np.asarray(whole)), **gates.norms(name)})
        panel.set(title=f"{gates.layer}: what ∂L/∂{name}(t) receives", xlabel="time step t", ylabel="norm of the part")
    return figure


def plot_saliency(result: Saliency, features: Sequence[str] | None = None) -> Figure:
    """‖∂Y(t)/∂X(s)‖ for every input step s, and below it each feature's own share as a map.

    Args:
        result: what `saliency` returned.
        features: names of the inputs' features.

    Raises:
        ImportError: matplotlib is missing. ValueError: another number of names than features.
    """
    check_type("plot_saliency", Saliency, "what saliency returns", result=result)
    of_inputs = result.of_inputs()
    T, I = of_inputs.shape
    if features is not None:
        check_type("plot_saliency", (list, tuple), "a list of names", features=features)
        check_text("plot_saliency", **{f"features[{k}]": name for k, name in enumerate(features)})
    if features is not None and len(features) != I:
        raise ValueError(f"plot_saliency: features: got {len(features)} names, want {I}, one for each feature")
    figure, (top, bottom) = _figure("plot_saliency", rows=2)
    y = "Y" if result.t is None else f"Y({result.t})"
    _curves(top, {"all features": np.sqrt((result.norms**2).sum(axis=1))})
    top.set(title=f"Which inputs {y} depends on", ylabel=f"‖∂{y}/∂X(s)‖", xlim=(-0.5, T - 0.5))
    with np.errstate(divide="ignore"):
        shown = np.log10(of_inputs.T)
    highest = float(shown.max()) if np.isfinite(shown).any() else 0.0
    image = bottom.imshow(
        np.maximum(shown, highest - DECADES), cmap=COLOUR_MAP, aspect="auto", interpolation="nearest",
        vmin=max(float(np.min(shown, initial=highest)), highest - DECADES) - 1e-9, vmax=highest,
    )  # fmt: skip
    figure.colorbar(image, ax=bottom, label="power of ten", location="bottom", shrink=0.6, aspect=40)
    bottom.set(xlabel="time step s", ylabel="feature")
    names = [str(k) for k in range(I)] if features is None else list(features)
    if I <= 24:
        bottom.set_yticks(range(I), labels=[name.replace("$", r"\$") for name in names])
    return figure


def plot_training(monitor: TrainingMonitor) -> Figure:
    """What a monitor measured: gradient norms over the steps of training, and how much arrives at each lag.

    Args:
        monitor: one that has measured.

    Raises:
        ImportError: matplotlib is missing. ValueError: nothing was measured.
    """
    check_type("plot_training", TrainingMonitor, "a TrainingMonitor", monitor=monitor)
    if not monitor.records:
        raise ValueError("plot_training: monitor: got one that has measured nothing, want a `with` block around a step")
    figure, (left, right) = _figure("plot_training", columns=2)
    steps = [record["step"] for record in monitor.records]
    total = np.array([record["gradient_norm"] for record in monitor.records], float)
    _curves(left, {"all parameters": total}, steps)
    left.set(title="Norm of the gradient", xlabel="training step", ylabel="norm")
    first, last = monitor.records[0], monitor.records[-1]
    curves = {}
    for layer in last["layers"]:
        for record in (first, last) if first is not last else (last,):
            values = record["layers"].get(layer, {}).get("arrives", [])
            curves[f"{layer}, step {record['step']}"] = np.array([1.0, *values], float)
    _curves(right, curves)
    right.axhline(monitor.vanishing, color="0.3", linewidth=0.8)
    right.set(title="What of a gradient arrives", xlabel="lag k", ylabel="product of the steps' gains")
    return figure


def _figure(caller: str, rows: int = 1, columns: int = 1) -> tuple[Figure, Any]:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(f"{caller} draws with matplotlib, which is not installed; pip install matplotlib") from error
    width, height = (6.4, 10.5)[columns > 1], 4.0 if rows == 1 else 3.6 * rows
    figure: Any = Figure(figsize=(width, height), dpi=110, layout="constrained")
    return figure, figure.subplots(rows, columns, sharex=rows > 1)


def _curves(axes: Any, curves: Mapping[str, Array], x: Sequence[float] | None = None) -> None:
    """Lines on a logarithmic axis of at most `DECADES` powers of ten; what is 0 or not finite leaves a gap."""
    highest = 0.0
    for k, (name, values) in enumerate(curves.items()):
        look = (k + k // len(STYLES)) % len(STYLES)  # so that the seventh line differs from the first, and so on
        style, marker = STYLES[k % len(STYLES)][0], STYLES[look][1]
        values = np.where(np.isfinite(values) & (values > 0), values, np.nan)
        highest = max(highest, float(np.nanmax(values, initial=0.0)))
        steps = np.arange(len(values)) if x is None else x
        axes.plot(
            steps, values, linestyle=style, marker=marker, markersize=4, markevery=max(1, len(values) // 12),
            color=COLOURS[look], linewidth=1.6, label=name.replace("$", r"\$"), zorder=3,
        )  # fmt: skip
    axes.set_yscale("log")
    if highest > 0:
        low, high = axes.get_ylim()
        low = max(low, highest * 10.0**-DECADES)
        if high / low < 10:  # less than a power of ten has no labelled tick
            middle = np.sqrt(low * high)
            low, high = middle / 4, middle * 4
        axes.set_ylim(low, high)
        seen = [x for line in axes.lines for x, y in zip(line.get_xdata(), line.get_ydata()) if y >= low]
        if seen and max(seen) > min(seen):
            edge = 0.02 * (max(seen) - min(seen))
            axes.set_xlim(min(seen) - edge, max(seen) + edge)
    axes.grid(alpha=0.3, which="major")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if len(curves) > 1 or x is None:
        axes.legend(frameon=False, fontsize="small", ncols=1 if len(curves) <= 6 else 2)
