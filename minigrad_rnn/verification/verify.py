"""`verify_bptt`: compare the gradients of the tape, the fused sequence, the reference BPTT and finite differences.

Run it on any model of yours: the table says whether its gradients are right.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..cells import CellMasks
from ..classics import Classic
from ..networks.recurrence import Recurrence
from ..networks.truncation import Truncation
from .case import Array, Divergence, VerificationCase, difference, direction
from .classic_case import CLASSIC_REFERENCES, ClassicCase
from .recurrence_case import REFERENCED, RecurrenceCase

EXACT = 1e-10
"""What graph, fused and reference may differ by in float64, relative to the largest entry."""
DIFFERENCES = 1e-6
"""What the tape and the finite difference along a direction may differ by, relatively."""


@dataclass(frozen=True)
class VerificationRow:
    """The relative errors of one quantity: a parameter's gradient, the input's, h(−1)'s, or the output itself.

    None where there is nothing to compare: no fused implementation, or no derivative, as of a truncated gradient.
    """

    name: str
    shape: tuple[int, ...]
    graph_reference: float
    fused_reference: float | None
    graph_fused: float | None
    finite_difference: float | None

    @property
    def exact(self) -> list[float]:
        """The errors between the implementations that must agree to `EXACT`."""
        return [e for e in (self.graph_reference, self.fused_reference, self.graph_fused) if e is not None]

    @property
    def passed(self) -> bool:
        close = self.finite_difference is None or self.finite_difference <= DIFFERENCES
        return all(error <= EXACT for error in self.exact) and close


@dataclass(frozen=True)
class Verification:
    """The result of `verify_bptt`; prints as a table."""

    title: str
    rows: tuple[VerificationRow, ...]

    @property
    def passed(self) -> bool:
        """Whether every row is within `EXACT` and `DIFFERENCES`. A NaN is not."""
        return all(row.passed for row in self.rows)

    @property
    def largest(self) -> float:
        """The largest relative error between graph, fused and reference."""
        return max(max(row.exact) for row in self.rows)

    @property
    def largest_difference(self) -> float | None:
        """The largest relative error against finite differences; None without any."""
        return max((row.finite_difference for row in self.rows if row.finite_difference is not None), default=None)

    def __str__(self) -> str:
        width = max(len("gradient of"), *(len(row.name) for row in self.rows))
        shapes = max(len("shape"), *(len(str(row.shape)) for row in self.rows))
        heads = (("graph–", "fused–", "graph–", "differ-"), ("reference", "reference", "fused", "ences"))
        lines = [self.title]
        for names, head in zip((("gradient of", "shape"), ("", "")), heads):
            lines.append(f"  {names[0]:{width}}  {names[1]:{shapes}}  " + "  ".join(f"{c:>7}" for c in head))
        for row in self.rows:
            errors = (row.graph_reference, row.fused_reference, row.graph_fused, row.finite_difference)
            cells = "  ".join(f"{'–' if e is None else format(e, '.1e'):>7}" for e in errors)
            mark = "" if row.passed else "  ← fails"
            lines.append(f"  {row.name:{width}}  {row.shape!s:{shapes}}  {cells}{mark}")
        verdict = "passed" if self.passed else "FAILED"
        lines.append(f"  {verdict}: want ≤ {EXACT:.0e} between the three, ≤ {DIFFERENCES:.0e} to finite differences")
        return "\n".join(lines)


def verify_bptt(
    model: Recurrence | Classic,
    xs: Any,
    state: Any = None,
    divergence: Divergence | None = None,
    seed: int = 0,
    *,
    lengths: Any = None,
    masks: Mapping[str, CellMasks] | None = None,
    truncation: Truncation | None = None,
    targets: Any = None,
) -> Verification:
    """Compute the gradients of one divergence by every implementation and compare them in float64.

    The model is left as it is: the gradients are those of copies in float64 on its backend. If no state is given, h(−1)
    is drawn at random, or the learned one is used.

    Args:
        model: any recurrence whose cell has a BPTT by hand: RNN, LSTM, GRU, their layer-normalised forms,
            MGU, IndRNN, with any options; and the classics: TDNN, NARX, Jordan, Elman, StateSpace, GeneralRecurrence.
        xs: (T, B, I) in the model's own layout, any floating dtype; a classic takes this layout only.
        state: the initial state as the model takes it, or None.
        divergence: maps the output (T, B, D·H) and the final state's arrays to a scalar; by default a function of all
            outputs and final states at once that is not a sum over time, the general case of slide 70.
        seed: of the random directions, states and weights of the divergence.
        lengths: (B,), as the model takes them.
        masks: dropout masks, as `model.draw_masks` gives them; without them dropout is off.
        truncation: cut gradients as this `Truncation` does, with k2 = k1; no finite differences then.
        targets: (T, B, O), true outputs that a NARX is fed with.

    Raises:
        TypeError: there is no reference for the model, or an option is not this model's.
        ValueError: as the model's own call; a truncation with k2 ≠ k1.
    """
    rng = np.random.default_rng(seed)
    case: VerificationCase
    if isinstance(model, Recurrence) and model.cell_type in REFERENCED:
        _refuse(model, targets=targets)
        case = RecurrenceCase.of(model, xs, state, divergence, rng, lengths, masks, truncation)
    elif type(model) in CLASSIC_REFERENCES:
        assert isinstance(model, Classic)
        _refuse(model, lengths=lengths, masks=masks, truncation=truncation)
        case = ClassicCase.of(model, xs, state, divergence, rng, targets)
    else:
        cells, nets = (", ".join(kind.__name__ for kind in of) for of in (REFERENCED, CLASSIC_REFERENCES))
        got = type(model).__name__ + (f" of {model.cell_type.__name__}" if isinstance(model, Recurrence) else "")
        raise TypeError(f"verify_bptt: model: got {got}, want a recurrence of {cells}, or one of {nets}")
    gradients = {implementation: case.on_the_tape(implementation) for implementation in case.implementations}
    graph, fused = gradients["graph"], gradients.get("fused")
    rows = []
    for name, g in case.by_hand().items():
        numeric = None
        if case.differentiable and not name.startswith(("output", "final")):
            numeric = _numeric_error(case, name, graph[name], rng)
        fused_reference = None if fused is None else _relative(fused[name], g)
        graph_fused = None if fused is None else _relative(graph[name], fused[name])
        rows.append(VerificationRow(name, g.shape, _relative(graph[name], g), fused_reference, graph_fused, numeric))
    return Verification(case.title, tuple(rows))


def _numeric_error(case: VerificationCase, name: str, gradient: Array, rng: np.random.Generator) -> float:
    """The relative error against finite differences; other directions are tried if a kink lies close to the first."""
    error = float("inf")
    for _ in range(3):
        v = direction(gradient, rng)
        error = min(error, difference(case.value_along(name, v), float(np.sum(gradient * v)), DIFFERENCES))
        if error <= DIFFERENCES:
            break
    return error


def _refuse(model: Any, **options: Any) -> None:
    for name, value in options.items():
        if value is not None:
            raise TypeError(f"verify_bptt: {name}: got some for a {type(model).__name__}, which takes none")


def _relative(a: Array, b: Array) -> float:
    """The largest difference over the largest entry; infinite for a NaN or for different shapes."""
    if a.shape != b.shape or not (np.isfinite(a).all() and np.isfinite(b).all()):
        return float("inf")
    scale = float(np.max(np.abs(b), initial=0.0))
    gap = float(np.max(np.abs(a - b), initial=0.0))
    return gap / scale if scale else gap
