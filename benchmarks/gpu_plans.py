"""Write what the planner chooses over the benchmark's grid, and the µs of a step that it estimates; needs no GPU.

python -m benchmarks.gpu_plans H100|H200 [--write]
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from minigrad.backend import Device
from minigrad_rnn.cuda.costs import DEFAULT
from minigrad_rnn.cuda.planner import PERSISTENT, Shape, cost, cost_of_launches, plan, tilings

from .gpu import PAGE
from .page import replace_block, table

HOPPER = Device("", 132, 227 << 10, 1 << 16, 1024, (9, 0), True)
DEVICES = {name: replace(HOPPER, name=name) for name in ("H100", "H200")}
CELLS = {"RNN": "rnn_tanh", "LSTM": "lstm", "GRU": "gru"}
SIZES = tuple(itertools.product((1, 16, 64, 128), (64, 256, 512, 1024)))
"""B and H, as in `benchmarks.gpu`."""


def estimate(device: Device, shape: Shape, backward: bool) -> str:
    """Return the µs of a step by blocks that poll, or two launches; and of what is chosen, if that is another."""
    tiles = [
        (cost(device, shape, backward, tile), tile.cluster, tile.grid(shape)[0])
        for tile in tilings(device, shape, backward)
    ]
    polled = min((clocks for clocks, cluster, _ in tiles if not cluster), default=float("inf"))
    before = min(polled, cost_of_launches(device, shape, backward))
    made = plan(device, shape, DEFAULT)
    chosen = made.backward if backward else made.forward
    if chosen.name != PERSISTENT:
        return f"{microseconds(before)} launches"
    if chosen.tile is None or not chosen.tile.cluster:
        return f"{microseconds(before)} polled"
    blocks = chosen.grid[0]
    now = microseconds(cost(device, shape, backward, chosen.tile))
    return f"{microseconds(before)} → {now} {'alone' if blocks == 1 else f'clusters of {blocks}'}"


def microseconds(clocks: float) -> str:
    return f"{1e6 * clocks / DEFAULT.clock_rate:#.2g}".rstrip(".")


def tables(device: Device) -> str:
    """Return a table for each cell."""
    parts = []
    for title, cell in CELLS.items():
        rows = []
        for B, H in SIZES:
            shape = Shape(cell, B, H, np.dtype(np.float32), 1)
            forward, backward = (estimate(device, shape, backward) for backward in (False, True))
            rows.append([f"{B}, {H}", forward, "–", backward, "–"])
        parts += [f"{title}:", table(["B, H", "forward", "measured", "backward", "measured"], rows)]
    return "\n\n".join(parts)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_plans", description=__doc__)
    parser.add_argument("device", choices=DEVICES, help="whose description is planned for")
    parser.add_argument("--write", action="store_true", help="write the tables into gpu.md")
    arguments = parser.parse_args(argv)
    text = tables(DEVICES[arguments.device])
    print(text)
    if arguments.write:
        try:
            page = replace_block(PAGE.read_text(encoding="utf-8"), arguments.device, text, "benchmarks.gpu_plans")
        except ValueError as error:
            parser.error(str(error))
        PAGE.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
