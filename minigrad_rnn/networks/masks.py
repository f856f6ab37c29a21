"""Draw the dropout and zoneout masks of one forward pass, on the host, and bring them to the network's backend."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from minigrad import nn
from minigrad.backend import Backend

from ..cells import CellMasks

if TYPE_CHECKING:
    from .recurrence import Recurrence

Masks = Mapping[str, CellMasks]
"""The dropout masks of one forward pass, by the name of the cell: `forward0`, `backward1`, …"""


def draw_masks(net: Recurrence, T: int, B: int, rng: Any) -> dict[str, CellMasks]:
    """The masks of a recurrence with dropout or zoneout for T steps of B sequences, drawn from the generator `rng`."""
    masks: dict[str, CellMasks] = {}
    shared: dict[int, Any] = {}
    for name, cell in zip(net.cell_names, net.cells):
        layer, dtype = int(name.removeprefix("forward").removeprefix("backward")), cell.reference_parameter().dtype
        inputs = recurrent = None
        zones: tuple[Any, ...] = ()
        if net.training and net.dropout and layer:
            # Two directions of one layer read the same input; two separate nets each have their own.
            if isinstance(net.num_layers, tuple) or layer not in shared:
                shared[layer] = nn.dropout_mask((T, B, cell.input_size), net.dropout, rng, dtype)
            inputs = shared[layer]
        if net.training and net.recurrent_dropout:
            recurrent = nn.dropout_mask((B, cell.state_sizes[0]), net.recurrent_dropout, rng, dtype)
        if any(net.zoneout):
            sizes = zip(net.zoneout, cell.state_sizes)
            if net.training:
                zones = tuple((rng.random((T, B, size)) < p).astype(dtype) if p else None for p, size in sizes)
            else:
                zones = tuple(np.full((T, 1, 1), p, dtype) if p else None for p, _ in sizes)
        if inputs is not None or recurrent is not None or zones:
            masks[name] = CellMasks(inputs, recurrent, zones)
    return masks


def to_backend(masks: Masks, backend: Backend) -> dict[str, CellMasks]:
    """The masks on the network's backend."""

    def move(a: Any) -> Any:
        return backend.from_numpy(a) if isinstance(a, np.ndarray) else a

    return {
        name: CellMasks(move(m.input), move(m.recurrent), tuple(move(z) for z in m.zoneout))
        for name, m in masks.items()
    }
