"""Unrolled is a model's forward pass as the lecture draws it: columns of time, lanes of layers, arrows between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import minigrad as mg
from minigrad import Tensor


class Spot(NamedTuple):
    """Where a value stands: a tensor (B, n), or step `step` of one (T, B, n)."""

    tensor: Tensor
    step: int | None = None


class Column(NamedTuple):
    """One time step of the drawing: its label, and the part of the net that it belongs to, "" if there is one only."""

    label: str
    part: str = ""


@dataclass
class Quantity:
    """One value of a lane, such as h, at the columns where it was computed.

    `blocks` names the equal blocks of its rows, such as the gates of an LSTM's z.
    """

    name: str
    spots: dict[int, Spot]
    blocks: tuple[str, ...] = ()
    start: Spot | None = None
    """The value before the first step, such as h(−1)."""


@dataclass
class Lane:
    """One layer over time.

    `kind` is "input", "hidden", "output", "memory", "context" or "loss"; `cell` names its equations; `level` counts
    from the bottom of the drawing.
    """

    name: str
    kind: str
    cell: str
    level: int
    quantities: list[Quantity]
    parameters: list[str] = field(default_factory=list)
    """The names of the parameters that this lane's steps contribute to."""
    names: dict[str, str] = field(default_factory=dict)
    """What its equations leave open: see `equations.explained`."""

    def quantity(self, name: str) -> Quantity:
        return next(quantity for quantity in self.quantities if quantity.name == name)

    @property
    def columns(self) -> list[int]:
        """The columns at which the lane has a step."""
        return sorted(set().union(*(quantity.spots for quantity in self.quantities)))


class Arrow(NamedTuple):
    """A connection: what lane `target` reads of lane `source`, `lag` columns before (after, where it is negative).

    `weight` names the parameter on it. `kind`: "weight"; "copy", the value itself; "fixed", a weight that is not
    learned; "attention", from every column of the source; "cut", a value that no gradient crosses.
    """

    source: str
    target: str
    lag: int = 0
    weight: str = ""
    kind: str = "weight"
    only: tuple[int, int] | None = None
    """(source column, target column), for an arrow that is drawn once."""
    carries: str = ""
    """The quantity that passes, where it is not the lane's last one."""


@dataclass
class Unrolled:
    """A model's forward pass: what there is to draw, and the tensors on the tape whose values it shows."""

    columns: list[Column]
    lanes: list[Lane]
    arrows: list[Arrow]
    output: Tensor
    """Y (n, B, O), one row for each of `output_columns`."""
    output_columns: list[int]
    parameters: Mapping[str, mg.Tensor]
    output_lane: str = "Y"
    """The name of the lane of the outputs."""
    separate: list[Tensor] = field(default_factory=list)
    """Each output (B, O) by itself, where `output` is put together from them; [] where it is not."""
    leaves: list[Tensor] = field(default_factory=list)
    """Leaves beside those drawn to which the backward pass goes, such as h(−1)."""
    notes: list[str] = field(default_factory=list)
    """What the reader of the page should know about it."""

    def each_output(self, row: int) -> Tensor:
        """Return Y (B, O) of one row of `output`."""
        return self.separate[row] if self.separate else self.output[row]

    def lane(self, name: str) -> Lane:
        return next(lane for lane in self.lanes if lane.name == name)
