"""Measure what the planner guesses: µs of a step on a GPU, alone and by tiling; and what the compiler made of a kernel.

    python -m benchmarks.gpu_probe [facts] [steps] [tiles] [once] [--out FILE] [--seconds 80] [--dry-run]

`facts` lists registers and spilled bytes of the planned kernels, and how many clusters fit the device; `steps` times
the planned passes; `tiles` times the planner's best tilings beside others, with what it predicted; `once` runs one
pass each way, for a profiler. Each row is one line of JSON, written as soon as it is measured.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from minigrad.backend import clusters
from minigrad_rnn.cuda.costs import costs_for
from minigrad_rnn.cuda.planner import PERSISTENT, Plan, Shape, cost, persistent, plan, tilings
from minigrad_rnn.cuda.probe import EventClock, Probe, wall_clock
from minigrad_rnn.cuda.source import options, program

CELLS = ("lstm", "gru", "gru_reset_first", "rnn_tanh")
SHAPES = ((1, 128), (16, 256), (64, 512), (1, 64), (64, 1024))
"""B and H, those first of which most was predicted."""
STEPS = (100, 1000)
BEST, OTHERS = 4, 3
"""Tilings that are timed: the planner's first ones that poll and those in clusters, and others spread over the rest."""
Row = dict[str, Any]


def sequence_shape(cell: str, B: int, H: int, directions: int) -> Shape:
    return Shape(cell, B, H, np.dtype(np.float32), directions)


def row(probe: Probe, plan: Plan, T: int, name: str) -> Row:
    """Return the median µs of a step, of the launch alone and of the pass with all that it asks of the host."""
    chosen, shape = getattr(plan, name), plan.shape
    timing = probe.time(plan, T, name, features=shape.H)
    return {
        "cell": shape.cell,
        "T": T,
        "B": shape.B,
        "H": shape.H,
        "directions": shape.directions,
        "pass": name,
        "implementation": str(chosen),
        "tile": None if chosen.tile is None else asdict(chosen.tile),
        "pass_us": round(1e6 * timing.whole / T, 3),
        "launch_us": None if timing.launch is None else round(1e6 * timing.launch / T, 3),
    }


def steps(probe: Probe, shapes: Sequence[tuple[int, int]], lengths: Sequence[int]) -> Iterator[Row]:
    """Yield the planned passes' times, the most wanted first."""
    for cell, directions, T, (B, H) in itertools.product(CELLS, (1, 2), lengths, shapes):
        planned = plan(probe.kernels.device, sequence_shape(cell, B, H, directions))
        for name in ("forward", "backward"):
            yield row(probe, planned, T, name)


def tiles(probe: Probe, shapes: Sequence[tuple[int, int]], lengths: Sequence[int]) -> Iterator[Row]:
    """Yield times of several tilings of an LSTM beside the clocks that the planner predicts for them."""
    device = probe.kernels.device
    costs = costs_for(device.name)
    for (B, H), name in itertools.product(shapes, ("forward", "backward")):
        shape, backward = sequence_shape("lstm", B, H, 1), name == "backward"
        ranked = sorted(tilings(device, shape, backward), key=lambda tile: cost(device, shape, backward, tile, costs))
        best = [tile for cluster in (False, True) for tile in [t for t in ranked if t.cluster == cluster][:BEST]]
        rest = [tile for tile in ranked if tile not in best]
        for tile in [*best, *rest[:: max(1, len(rest) // OTHERS)][:OTHERS]]:
            planned = replace(plan(device, shape), **{name: persistent(shape, backward, tile, "probed")})
            predicted = round(cost(device, shape, backward, tile, costs))
            yield {**row(probe, planned, lengths[0], name), "rank": ranked.index(tile), "predicted_clocks": predicted}


def once(probe: Probe, shapes: Sequence[tuple[int, int]], lengths: Sequence[int]) -> Iterator[Row]:
    """Run an LSTM forward and backward at two shapes, for a profiler."""
    for B, H in shapes[1:3] or shapes:
        planned = plan(probe.kernels.device, sequence_shape("lstm", B, H, 1))
        probe.passes(planned, min(50, lengths[0]), features=H)["backward"]()
        probe.backend.synchronize()
        yield {"cell": "lstm", "B": B, "H": H, "implementation": str(planned)}


def facts(probe: Probe, shapes: Sequence[tuple[int, int]], lengths: Sequence[int]) -> Iterator[Row]:
    """Yield what the driver and the device say, the clusters that fit, and every planned kernel's figures.

    The figures of the compiler and the clusters are known on a GPU alone.
    """
    device, xp = probe.kernels.device, probe.backend.xp
    yield {"device": asdict(device)}
    yield {"nvidia-smi": nvidia_smi()}
    if hasattr(xp, "RawModule"):
        yield from clusters.rows(xp, device.compute_capability, device.shared_memory)
    for cell, (B, H), directions in itertools.product(CELLS, shapes, (1, 2)):
        shape = sequence_shape(cell, B, H, directions)
        planned = plan(probe.kernels.device, shape)
        for name in ("forward", "backward"):
            chosen = getattr(planned, name)
            row = {"cell": cell, "B": B, "H": H, "directions": directions, "pass": name, "implementation": str(chosen)}
            if chosen.name == PERSISTENT and hasattr(xp, "RawModule"):
                source = program("gru_reset_first.cu" if cell == "gru_reset_first" else f"{name}.cu", cell)
                flags = ("-std=c++17", *options(cell, H, 4, chosen.tile.macros()))
                kernel = xp.RawModule(code=source, options=flags).get_function(name)
                row |= {"registers": kernel.num_regs, "spilled_bytes": kernel.local_size_bytes}
                if chosen.tile.cluster and (size := chosen.grid[0]) > 1:
                    what = (kernel.kernel.ptr, size, chosen.shared_memory, chosen.tile.threads)
                    row |= {"clusters": chosen.grid[1] * chosen.grid[2], "active_clusters": clusters.asked(*what)}
            yield row


def nvidia_smi() -> list[str]:
    """Return the lines of the driver's own table, or why there are none."""
    try:
        said = subprocess.run(["nvidia-smi"], capture_output=True, text=True, check=False, timeout=20)
    except (OSError, subprocess.TimeoutExpired) as error:
        return [f"{type(error).__name__}: {error}"]
    return (said.stdout or said.stderr).splitlines()


def in_short(rows: Sequence[Row], seconds: float) -> str:
    """Return one line on what was measured: how many rows, and of the facts the device, its clusters, and spills."""
    parts = [f"{len(rows)} rows in {seconds:.0f} s"]
    parts += [f"failed: {row['failed']}" for row in rows if "failed" in row]
    parts += [row["device"]["name"] for row in rows if "device" in row]
    active = {row["cluster_size"]: row["active_clusters"] for row in rows if row.get("shared_memory")}
    parts += [f"clusters of {size}: {active[size]}" for size in (8, 16) if size in active]
    if spilled := [row["spilled_bytes"] for row in rows if "spilled_bytes" in row]:
        parts.append(f"{sum(n > 0 for n in spilled)} of {len(spilled)} kernels spill")
    return "; ".join(parts)


ROWS = {"facts": facts, "steps": steps, "tiles": tiles, "once": once}


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    result = argparse.ArgumentParser(prog="python -m benchmarks.gpu_probe", description=__doc__)
    result.add_argument("what", nargs="*", metavar="|".join(ROWS), help="what to measure (steps and tiles)")
    result.add_argument("--out", type=Path, metavar="FILE", help="write the rows here too")
    result.add_argument("--seconds", type=float, default=80.0, help="begin no row after this time (%(default)s)")
    result.add_argument("--dry-run", action="store_true", help="small sizes without a GPU: kernels as C++")
    return result


def main(argv: Sequence[str] | None = None) -> int:
    command = parser()
    arguments = command.parse_args(argv)
    wanted = arguments.what or ["steps", "tiles"]
    if unknown := sorted(set(wanted) - set(ROWS)):
        command.error(f"got {unknown[0]!r}, want some of {sorted(ROWS)}")
    from minigrad.backend import BackendError, get_backend

    with contextlib.ExitStack() as stack:
        try:
            if arguments.dry_run:
                from tests.support.cuda_on_gpu import kernels_as_cpp

                folder = stack.enter_context(tempfile.TemporaryDirectory())
                backend = stack.enter_context(kernels_as_cpp(folder))
                probe, shapes, lengths = Probe(backend, wall_clock, 1), [(2, 12)], [3]
            else:
                backend = get_backend("cupy")
                probe, shapes, lengths = Probe(backend, EventClock(backend.xp)), list(SHAPES), list(STEPS)
        except BackendError as error:
            print(f"benchmarks.gpu_probe: not measured: {error}", file=sys.stderr)
            return 2
        written = [None, arguments.out.open("w", encoding="utf-8")] if arguments.out else [None]
        seen, begun = list[Row](), time.monotonic()
        for k, name in enumerate(wanted):
            share = begun + arguments.seconds * (k + 1) / len(wanted)
            rows = ROWS[name](probe, shapes, lengths)
            while time.monotonic() < share:
                try:
                    row = next(rows)
                except StopIteration:
                    break
                except Exception as error:  # the rows of a generator end with an error; the next kind goes on
                    row = {"failed": f"{type(error).__name__}: {error}"}
                seen.append(row)
                for file in written:
                    print(json.dumps({"kind": name, **row}), file=file, flush=True)
    print(in_short(seen, time.monotonic() - begun))
    return 1 if any("failed" in row for row in seen) else 0


if __name__ == "__main__":
    sys.exit(main())
