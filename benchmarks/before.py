"""Time this checkout beside another one: `python -m benchmarks.before CHECKOUT [name ...]`.

Both run the same benchmark code (`op_by_op`, `mlp`, `chain`, `fused`, `short_calls`, `training_step`), each with the
implementation that it chooses by itself, in processes of its own, taking turns in one run. A ratio above 1: this
checkout is faster. The last line of each table is the geometric mean.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from . import chain, fused, mlp, op_by_op, short_calls, training_step
from .contestant import Contestant, Work
from .page import table
from .sizes import label
from .timing import QUICK, Plan, contest, ratio

Size = dict[str, int]
WORKS: dict[str, list[tuple[str, Callable[..., Work], Sequence[Size]]]] = {
    "op_by_op": [("", op_by_op.ours, op_by_op.SIZES)],
    "mlp": [("", mlp.ours, mlp.SIZES)],
    "chain": [("", chain.ours, chain.SIZES)],
    "fused": [(cell, partial(fused.ours, cell, "auto"), fused.SIZES) for cell in fused.GATES],
    "short_calls": [
        (f"sample, {short_calls.CHARACTERS} characters, H =", short_calls.our_sampling, short_calls.SAMPLING),
        (f"stream, {short_calls.FRAMES} frames, H =", short_calls.our_stream, short_calls.STREAMING),
    ],
    "training_step": [("T, B, H =", partial(training_step.ours, "auto"), training_step.SIZES)],
}


def from_checkout(folder: str, make: Callable[..., Work], **size: int) -> Work:
    """Return the work done by the packages in `folder`. Must run in a process that has not imported them yet."""
    sys.path.insert(0, folder)
    work = make(**size)
    source = Path(sys.modules["minigrad"].__file__ or "").resolve()
    if Path(folder).resolve() not in source.parents:
        raise RuntimeError(f"before: minigrad was imported from {source}, want it from {folder}")
    return work


def compared(name: str, other: str, plan: Plan) -> str:
    """Return the table of one benchmark: this checkout's time, the ratio other / this, and its geometric mean."""
    here = str(Path(__file__).resolve().parents[1])
    rows, ratios = [], []
    for kind, make, sizes in WORKS[name]:
        pair = [
            Contestant("this", partial(from_checkout, here, make), "minigrad_rnn"),
            Contestant("other", partial(from_checkout, other, make), "minigrad_rnn"),
        ]
        for size, (ours, theirs) in zip(sizes, contest(pair, sizes, plan)):
            if remark := ours.remark or theirs.remark:
                rows.append([f"{kind} {label(size)}".strip(), remark, ""])
                continue
            low, middle, high = ratio(theirs, ours)
            ratios.append(middle)
            milliseconds = f"{1e3 * ours.quartiles[1]:.3f}"
            rows.append([f"{kind} {label(size)}".strip(), milliseconds, f"{middle:.3f} ({low:.3f}–{high:.3f})"])
    mean = math.exp(sum(map(math.log, ratios)) / len(ratios)) if ratios else float("nan")
    rows.append(["geometric mean", "", f"{mean:.3f}"])
    return table(["size", "this, ms", "other / this"], rows)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.before", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkout", help="the folder of the other checkout")
    parser.add_argument("names", nargs="*", metavar="name", help=f"which ones: {', '.join(WORKS)}; all by default")
    parser.add_argument("--quick", action="store_true", help="few rounds: to see that everything runs")
    arguments = parser.parse_args(argv)
    if unknown := sorted(set(arguments.names) - set(WORKS)):
        parser.error(f"names: got {', '.join(unknown)}, want any of {', '.join(WORKS)}")
    if not (Path(arguments.checkout) / "minigrad" / "__init__.py").is_file():
        parser.error(f"checkout: got {arguments.checkout}, want a folder that holds minigrad/")
    plan = QUICK if arguments.quick else dataclasses.replace(Plan(), total=0.5, restarts=3, patience=0.0)
    for name in arguments.names or WORKS:
        print(f"## {name}\n\n{compared(name, str(Path(arguments.checkout).resolve()), plan)}\n", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
