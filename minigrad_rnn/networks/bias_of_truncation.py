"""TruncationBias is how far truncated gradients are from the full one on the user's data; `truncation_bias` finds it.

Truncation is a bias and not noise: what contributions beyond k2 steps would add is missing from every update alike.
(Williams & Peng 1990; Tallec & Ollivier 2017.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import minigrad as mg
from minigrad import Tensor, nn
from minigrad.backend import to_numpy
from minigrad.debug.html_table import html_table
from minigrad.validation import check_function, check_integer, shown

from .masks import Masks
from .recurrence import Recurrence
from .series import State
from .truncation import Truncation, series_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]
Loss = Callable[[Tensor, int, int], Tensor]
ALL = "all parameters"
STYLES = ("--", ":", "-.", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 3)))
MARKERS = "s^Dv<>PX"


class Bias(NamedTuple):
    """A truncated gradient beside the full one.

    Both are NaN where the full gradient is zero, and the angle also where the truncated one is.
    """

    angle: float
    """Between the two, in degrees: 0 for the same direction, above 90 a step uphill."""
    norm: float
    """The truncated gradient's norm over the full one's."""


class TruncationBias:
    """How far truncated gradients are from the full one, by k2; shown as a table, and as a figure by `plot()`.

    Attributes:
        k2s: the most steps that a gradient travels, rising.
        k1: steps between two windows' ends; None where it is k2.
        steps: T, over which the full gradient travels.
        by_parameter: for each parameter's name, and for "all parameters" together, its `Bias` for each k2.
    """

    def __init__(self, k1: int | None, steps: int, by_parameter: Mapping[str, Mapping[int, Bias]]) -> None:
        self.k1, self.steps = k1, steps
        self.by_parameter = {name: dict(biases) for name, biases in by_parameter.items()}
        self.k2s = tuple(self.by_parameter[ALL])

    @property
    def angle(self) -> dict[int, float]:
        """Of all parameters together, in degrees, by k2."""
        return {k2: bias.angle for k2, bias in self.by_parameter[ALL].items()}

    @property
    def norm(self) -> dict[int, float]:
        """Of all parameters together, relative to the full gradient's, by k2."""
        return {k2: bias.norm for k2, bias in self.by_parameter[ALL].items()}

    @property
    def title(self) -> str:
        windows = "k1 = k2" if self.k1 is None else f"k1 = {self.k1}"
        return f"Truncated against full gradient ({windows}, T = {self.steps}): angle, relative norm"

    def _table(self) -> tuple[list[str], list[list[str]]]:
        head = ["gradient of", *(f"k2 = {k2}" for k2 in self.k2s)]
        rows = [
            [name, *(f"{bias.angle:.1f}°, {bias.norm:.3f}" for bias in biases.values())]
            for name, biases in self.by_parameter.items()
        ]
        return head, rows

    def __repr__(self) -> str:
        head, rows = self._table()
        widths = [max(len(row[k]) for row in (head, *rows)) for k in range(len(head))]
        lines = [
            "  ".join(cell.rjust(w) if k else cell.ljust(w) for k, (cell, w) in enumerate(zip(row, widths)))
            for row in (head, *rows)
        ]
        return "\n".join([self.title, *(f"  {line}" for line in lines)])

    def _repr_html_(self) -> str:
        head, rows = self._table()
        return html_table(head, rows, self.title)

    def plot(self) -> Figure:
        """Angle and relative norm over k2, a line for each parameter, all of them together as the thick one.

        Lines differ in style and marker as well as in colour.

        Raises:
            ImportError: matplotlib is missing.
        """
        try:
            from matplotlib.figure import Figure
        except ImportError as error:
            raise ImportError("TruncationBias: plot needs matplotlib; pip install matplotlib") from error
        figure = Figure(figsize=(9, 4), layout="constrained")
        angles, norms = figure.subplots(1, 2)
        for k, (name, biases) in enumerate(self.by_parameter.items()):
            if name == ALL:
                look: dict[str, Any] = {"linewidth": 3, "color": "black", "marker": "o", "zorder": 3}
            else:
                look = {"linewidth": 1, "linestyle": STYLES[k % len(STYLES)], "marker": MARKERS[k % len(MARKERS)]}
            angles.plot(self.k2s, [bias.angle for bias in biases.values()], label=name, **look)
            norms.plot(self.k2s, [bias.norm for bias in biases.values()], label=name, **look)
        norms.axhline(1.0, color="gray", linewidth=0.8)
        angles.set(title="Angle to the full gradient", xlabel="k2", ylabel="degrees", ylim=(0, None))
        norms.set(title="Norm over the full gradient's", xlabel="k2", ylim=(0, None))
        for axes in (angles, norms):
            axes.set_xscale("log", base=2)
            axes.set_xticks(self.k2s, [str(k2) for k2 in self.k2s])
            axes.minorticks_off()
        handles, labels = norms.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right upper", fontsize="small")
        return figure


def truncation_bias(
    rnn: Recurrence,
    xs: Any,
    loss: Loss,
    k2s: Iterable[int],
    k1: int | None = None,
    state: State = None,
    masks: Masks | None = None,
    lengths: Any = None,
    front: Callable[..., Any] | None = None,
) -> TruncationBias:
    """Compute the full gradient and, for each k2, that of `Truncation(k1, k2)`; compare them. No `.grad` is touched.

    >>> import numpy as np
    >>> from minigrad_rnn import RNN, truncation_bias
    >>> rnn, xs = RNN(2, 8, rng=0), np.random.default_rng(0).standard_normal((40, 4, 2)).astype("float32")
    >>> bias = truncation_bias(rnn, xs, lambda output, start, stop: (output**2).sum(), [1, 4, 40])
    >>> bias.angle[1] > bias.angle[4] > bias.angle[40]
    True

    Args:
        rnn, xs, state, masks, lengths, front: as `Truncation.windows` takes them. Masks are drawn once if they are
            None; a `front` that draws random numbers adds noise to the comparison.
        loss: `loss(output, start, stop)`, of the outputs of the steps start … stop − 1: a scalar. The loss of several
            parts must be the sum of theirs.
        k2s: the most steps that a gradient travels; more than T count as T.
        k1: steps between two windows' ends, of which every k2 is a multiple; None takes k2: windows side by side.

    Raises:
        TypeError, ValueError: as `Truncation` and its windows; or a loss that is no sum over time; or no k2.
        FloatingPointError: the full gradient is not finite.
    """
    check_function("truncation_bias", loss=loss)
    wanted = _rising(k2s)
    if k1 is not None:
        check_integer("truncation_bias", k1=k1)
    truncations = {k2: Truncation(k2 if k1 is None else k1, k2) for k2 in wanted}
    series = series_of(rnn, xs, masks, lengths, front)
    T = series.T
    masks = rnn.draw_masks(T, series.B) if masks is None else masks
    named = dict(rnn.named_parameters())
    if isinstance(front, nn.Module):
        named |= {f"front.{name}": p for name, p in front.named_parameters()}
    trainable = {name: p for name, p in named.items() if p.node is not None}
    arguments = (rnn, xs, state, masks, lengths, front)
    value, full = _gradient(Truncation(T), arguments, loss, trainable)
    if not all(np.isfinite(g).all() for g in full.values()):
        names = [name for name, g in full.items() if not np.isfinite(g).all()]
        raise FloatingPointError(f"truncation_bias: the full gradient of {', '.join(names)} is not finite")
    by_parameter: dict[str, dict[int, Bias]] = {ALL: {}, **{name: {} for name in trainable}}
    for k2, truncation in truncations.items():
        sum_of_parts, cut = _gradient(truncation, arguments, loss, trainable)
        if abs(sum_of_parts - value) > 1e-3 * max(abs(value), abs(sum_of_parts)):
            raise ValueError(
                f"truncation_bias: loss: got {value:.6g} for all steps and {sum_of_parts:.6g} for the sum of its "
                f"parts, windows of {truncation.k1} steps; want a loss that is a sum over the steps, no mean"
            )
        for name in trainable:
            by_parameter[name][k2] = _bias(cut[name], full[name])
        by_parameter[ALL][k2] = _bias(*(np.concatenate([g[n].ravel() for n in trainable]) for g in (cut, full)))
    return TruncationBias(k1, T, by_parameter)


def _rising(k2s: Any) -> list[int]:
    if isinstance(k2s, (str, Mapping)) or not isinstance(k2s, Iterable):
        raise TypeError(f"truncation_bias: k2s: got {shown(k2s)}, want a list of whole numbers")
    values: Sequence[Any] = list(k2s)
    if not values:
        raise ValueError("truncation_bias: k2s: got none, want at least one")
    for k2 in values:
        check_integer("truncation_bias", k2s=k2)
    return sorted({int(k2) for k2 in values})


@mg.enable_grad()
def _gradient(
    truncation: Truncation, arguments: tuple[Any, ...], loss: Loss, named: Mapping[str, Tensor]
) -> tuple[float, dict[str, Array]]:
    """The sum of the windows' losses and its gradients, in float64 on the host."""
    total, sums = 0.0, {name: np.zeros(p.shape) for name, p in named.items()}
    for window in truncation.windows(*arguments):
        value = loss(window.output, window.start, window.stop)
        if not isinstance(value, Tensor) or value.size != 1:
            got = f"shape {value.shape}" if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(f"truncation_bias: loss: got a result of {got}, want a scalar tensor")
        total += value.item()
        if value.node is None:
            continue
        for name, g in zip(named, mg.gradients(value, list(named.values()), allow_unused=True)):
            if g is not None:
                sums[name] += to_numpy(g._array)
    return total, sums


def _bias(cut: Array, full: Array) -> Bias:
    a, b = np.linalg.norm(cut), np.linalg.norm(full)
    if not b:
        return Bias(np.nan, np.nan)
    if not a:
        return Bias(np.nan, 0.0)
    # Kahan's formula, exact for small angles too, where the arc cosine is not.
    u, v = cut.ravel() / a, full.ravel() / b
    return Bias(float(np.degrees(2 * np.arctan2(np.linalg.norm(u - v), np.linalg.norm(u + v)))), float(a / b))
