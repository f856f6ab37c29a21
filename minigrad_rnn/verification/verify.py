"""`verify_bptt`: compare the gradients of the tape, the fused and the compiled sequence, the reference BPTT and finite
differences.

Run it on any model of yours: the table says whether its gradients are right.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from minigrad.debug.html_table import html_table
from minigrad.validation import as_array, check_function, check_integer, check_type

from ..cells import CellMasks
from ..classics import Classic
from ..networks.recurrence import Recurrence
from ..networks.truncation import Truncation
from ..seq2seq.io_shapes import ManyToMany, ManyToOne
from .case import Array, Divergence, Gradients, VerificationCase
from .classic_case import CLASSIC_REFERENCES, ClassicCase
from .finite_differences import difference, direction, has_kink
from .recurrence_case import RecurrenceCase

EXACT = 1e-10
"""What graph, fused, native and reference may differ by in float64, relative to the largest entry."""
DIFFERENCES = 1e-6
"""What the tape and the finite difference along a direction may differ by, relatively."""
MARGIN = 16
"""How many times the noise's effect an error may be, and still be called rounding."""
HIDING = 1e-4
"""Rounding that would hide a rule that is off by a thousandth: the gradient is as small as that, or jumps at a kink."""


@dataclass(frozen=True)
class VerificationRow:
    """The relative errors of one quantity: a parameter's gradient, the input's, h(−1)'s, or the output itself.

    None where there is nothing to compare: no reference, no fused or compiled implementation, or no derivative, as of a
    truncated gradient.
    """

    name: str
    shape: tuple[int, ...]
    graph_reference: float | None
    fused_reference: float | None
    graph_fused: float | None
    native: float | None
    """Of the compiled sequence, against the reference, or against the graph where there is none."""
    finite_difference: float | None
    rounding: float = 0.0
    """The relative error that rounding explains, if it is more than `EXACT`: of a gradient that is small because large
    terms cancel or units are saturated."""
    beside_kink: bool = False
    """Whether the row is compared beside the given values, since those lie on a kink, as relu's at 0."""

    @property
    def exact(self) -> list[float]:
        """The errors between the implementations that must agree to `EXACT`."""
        errors = (self.graph_reference, self.fused_reference, self.graph_fused, self.native)
        return [error for error in errors if error is not None]

    @property
    def passed(self) -> bool:
        close = self.finite_difference is None or self.finite_difference <= DIFFERENCES
        return all(error <= max(EXACT, self.rounding) for error in self.exact) and close


@dataclass(frozen=True, repr=False)
class Verification:
    """The result of `verify_bptt`; shows itself as a table."""

    title: str
    rows: tuple[VerificationRow, ...]
    native_refusal: str = ""
    """Why there is no compiled sequence among what was compared; "" if there is one. The first line says why."""

    @property
    def passed(self) -> bool:
        """Whether every row is within `EXACT` and `DIFFERENCES`. A NaN is not."""
        return all(row.passed for row in self.rows)

    @property
    def largest(self) -> float | None:
        """The largest relative error between graph, fused, native and reference; None without any two of them."""
        return max((error for row in self.rows for error in row.exact), default=None)

    @property
    def largest_difference(self) -> float | None:
        """The largest relative error against finite differences; None without any."""
        return max((row.finite_difference for row in self.rows if row.finite_difference is not None), default=None)

    @property
    def _heads(self) -> list[tuple[str, str]]:
        """The columns of errors, each with its two lines."""
        heads = [("graph–", "reference"), ("fused–", "reference"), ("graph–", "fused"), ("native–", "reference")]
        if self.rows[0].graph_reference is None:
            heads = [("no", "reference"), ("graph–", "fused"), ("native–", "graph")]
        return [*heads, ("differ-", "ences")]

    def _errors(self, row: VerificationRow) -> list[str]:
        errors = [row.graph_reference, row.fused_reference, row.graph_fused, row.native, row.finite_difference]
        return ["–" if e is None else format(e, ".1e") for e in errors[-len(self._heads) :]]

    @property
    def _verdict(self) -> str:
        verdict = "passed" if self.passed else "FAILED"
        return f"{verdict}: want ≤ {EXACT:.0e} between them, ≤ {DIFFERENCES:.0e} to finite differences"

    @property
    def _reason(self) -> str:
        """Why nothing was compiled."""
        return f"not native: {self.native_refusal.partition(chr(10))[0]}" if self.native_refusal else ""

    def __repr__(self) -> str:
        width = max(len("gradient of"), *(len(row.name) for row in self.rows))
        shapes = max(len("shape"), *(len(str(row.shape)) for row in self.rows))
        widths = [max(7, *map(len, head)) for head in self._heads]
        lines = [self.title]
        for k, names in enumerate((("gradient of", "shape"), ("", ""))):
            columns = "  ".join(f"{head[k]:>{w}}" for head, w in zip(self._heads, widths))
            lines.append(f"  {names[0]:{width}}  {names[1]:{shapes}}  {columns}")
        for row in self.rows:
            cells = "  ".join(f"{error:>{w}}" for error, w in zip(self._errors(row), widths))
            lines.append(f"  {row.name:{width}}  {row.shape!s:{shapes}}  {cells}{_remark(row)}")
        if self._reason:
            lines += textwrap.wrap(f"  {self._reason}", 79, subsequent_indent="    ")
        lines.append(f"  {self._verdict}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        errors = ("".join(head).replace("differ-", "differ").replace("nor", "no r") for head in self._heads)
        rows = [(row.name, str(row.shape), *self._errors(row), _remark(row).strip()) for row in self.rows]
        foot = ". ".join(filter(None, (self._reason, self._verdict)))
        return html_table(["gradient of", "shape", *errors, ""], rows, self.title, foot)


def _remark(row: VerificationRow) -> str:
    """What a reader of the table should know of a row beside its errors."""
    rounding = f"  (rounding: {row.rounding:.0e})" if row.rounding else ""
    return rounding + "  (beside a kink)" * row.beside_kink + ("" if row.passed else "  ← fails")


def verify_bptt(
    model: Recurrence | Classic | ManyToOne | ManyToMany,
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

    The column "native" is that of `impl="native"`, a sequence compiled from C. Where there is none for the model, or it
    cannot be compiled on this machine, the column has dashes and a line under the table says why.

    Where gradients are small because units are saturated or terms cancel, their relative errors are large. They are
    held against what changes in the last bits of every operation's value do, and the table says so. If the values lie
    on a kink, where there is no derivative, values nearby are taken.

    Args:
        model: any recurrence, with any options: RNN, LSTM, GRU, their layer-normalised forms, MGU, IndRNN, which have
            a BPTT by hand, or of a cell of your own, which has none; ManyToOne and ManyToMany, without one too; and the
            classics: TDNN, NARX, Jordan, Elman, StateSpace, GeneralRecurrence.
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
    check_integer("verify_bptt", 0, seed=seed)
    if divergence is not None:
        check_function("verify_bptt", divergence=divergence)
    if masks is not None and isinstance(model, Recurrence):
        check_type("verify_bptt", Mapping, "CellMasks by the name of a cell", masks=masks)
        for mask in masks.values():
            check_type("verify_bptt", CellMasks, "CellMasks by the name of a cell", masks=mask)
    if as_array(xs, "verify_bptt", "xs").dtype.kind == "c":
        raise TypeError("verify_bptt: xs: got complex numbers, want real ones")
    if truncation is not None:
        check_type("verify_bptt", Truncation, "a Truncation", truncation=truncation)
    rng = np.random.default_rng(seed)
    case: VerificationCase
    if isinstance(model, Recurrence):
        _refuse(model, targets=targets)
        case = RecurrenceCase.of(model, xs, state, divergence, rng, lengths, masks, truncation)
    elif isinstance(model, (ManyToOne, ManyToMany)):
        _refuse(model, targets=targets, masks=masks, truncation=truncation)
        case = RecurrenceCase.of(model, xs, state, divergence, rng, lengths, None, None)
    elif type(model) in CLASSIC_REFERENCES:
        assert isinstance(model, Classic)
        _refuse(model, lengths=lengths, masks=masks, truncation=truncation)
        case = ClassicCase.of(model, xs, state, divergence, rng, targets)
    else:
        nets = ", ".join(kind.__name__ for kind in (ManyToOne, ManyToMany, *CLASSIC_REFERENCES))
        raise TypeError(f"verify_bptt: model: got {type(model).__name__}, want a recurrence, or one of {nets}")
    rows, graph = _compared(case)
    if case.differentiable:
        rows = [
            row if row.name.startswith(("output", "final")) else _with_differences(case, row, graph[row.name], rng)
            for row in rows
        ]
    rows = [row for row in rows if row.exact or row.finite_difference is not None]
    if any(error > EXACT for row in rows for error in row.exact):
        rows = _with_rounding(case, rows, graph, rng)
    if any(row.rounding > HIDING for row in rows):
        moved = case.moved(rng)
        near = {row.name: row for row in _with_rounding(moved, *_compared(moved), rng)}
        rows = [
            replace(near[row.name], finite_difference=row.finite_difference, beside_kink=True)
            if row.rounding > HIDING >= near[row.name].rounding  # else it is the gradient that is as small as rounding
            else row
            for row in rows
        ]
    return Verification(case.title, tuple(rows), case.native_refusal)


def _compared(case: VerificationCase) -> tuple[list[VerificationRow], Gradients]:
    """The errors between the case's implementations, and the results of the graph."""
    graph = case.on_the_tape("graph")
    fused, native = (
        case.on_the_tape(name) if name in case.implementations else dict[str, Array]() for name in ("fused", "native")
    )
    by_hand = case.by_hand() if case.has_reference else {}
    rows = []
    for name in by_hand or graph:
        a, b, c = graph[name], fused.get(name), by_hand.get(name)
        errors = (
            _relative(a, c),
            _relative(b, c),
            _relative(a, b),
            _relative(native.get(name), (by_hand or graph)[name]),
        )
        rows.append(VerificationRow(name, a.shape, *errors, None))
    return rows, graph


def _with_differences(
    case: VerificationCase, row: VerificationRow, gradient: Array, rng: np.random.Generator
) -> VerificationRow:
    error, beside_kink = _numeric_error(case, row.name, gradient, rng)
    return replace(row, finite_difference=error, beside_kink=beside_kink)


def _with_rounding(
    case: VerificationCase, rows: Sequence[VerificationRow], graph: Gradients, rng: np.random.Generator
) -> list[VerificationRow]:
    """The rows with what rounding explains, where they need an explanation."""
    sizes, result = case.rounding(rng), []
    for row in rows:
        scale = float(np.max(np.abs(graph[row.name]), initial=0.0))
        explained = MARGIN * sizes[row.name] / scale if scale else 0.0
        needed = any(error > EXACT for error in row.exact) and explained > EXACT
        result.append(replace(row, rounding=explained) if needed else row)
    return result


def _numeric_error(case: VerificationCase, name: str, gradient: Array, rng: np.random.Generator) -> tuple[float, bool]:
    """The relative error against finite differences, and whether that is of values beside a kink.

    Other directions are tried if a kink lies close to the first.
    """
    error = float("inf")
    for _ in range(3):
        v = direction(gradient, rng)
        error = min(error, difference(case.value_along(name, v), float(np.sum(gradient * v)), DIFFERENCES))
        if error <= DIFFERENCES:
            return error, False
    if not has_kink(case.value_along(name, v)):
        return error, False
    for _ in range(3):
        case = case.moved(rng)
        gradient = case.on_the_tape("graph")[name]
        v = direction(gradient, rng)
        error = difference(case.value_along(name, v), float(np.sum(gradient * v)), DIFFERENCES)
        if error <= DIFFERENCES:
            break
    return error, True


def _refuse(model: Any, **options: Any) -> None:
    for name, value in options.items():
        if value is not None:
            raise TypeError(f"verify_bptt: {name}: got some for a {type(model).__name__}, which takes none")


def _relative(a: Array | None, b: Array | None) -> Any:
    """The largest difference over b's largest entry; infinite for a NaN or for different shapes; None without one."""
    if a is None or b is None:
        return None
    if a.shape != b.shape or not (np.isfinite(a).all() and np.isfinite(b).all()):
        return float("inf")
    scale = float(np.max(np.abs(b), initial=0.0))
    gap = float(np.max(np.abs(a - b), initial=0.0))
    return gap / scale if scale else gap
