"""`python -m minigrad_rnn verify`: the tape, the fused road, the manual BPTT and finite differences in one table."""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Sequence

import numpy as np

import minigrad as mg

from .networks import LSTM, RNN
from .recurrence import Recurrence
from .verify import DIFFERENCES, EXACT, Verification, verify_bptt


def cases(cell: str, input_size: int, hidden_size: int) -> list[Recurrence]:
    """The models that the command verifies: layers × directions × bias, and a learned h(−1)."""
    kind = {"rnn": RNN, "lstm": LSTM}[cell]
    models = [
        kind(input_size, hidden_size, num_layers=layers, bidirectional=both, bias=bias)
        for layers, both, bias in itertools.product((1, 2, 3), (False, True), (True, False))
    ]
    models.append(kind(input_size, hidden_size, num_layers=2, initial_state="learned", batch_first=True))
    if cell == "rnn":
        models.append(RNN(input_size, hidden_size, nonlinearity="relu"))
    return models


def verify(arguments: argparse.Namespace) -> int:
    mg.use_backend(arguments.backend)
    rng = np.random.default_rng(arguments.seed)
    xs = rng.standard_normal((arguments.steps, arguments.batch, arguments.input_size))
    found: list[Verification] = []
    for cell in arguments.cell or ("rnn", "lstm"):
        for model in cases(cell, arguments.input_size, arguments.hidden_size):
            model.to(arguments.backend)
            turned = xs.swapaxes(0, 1) if model.batch_first else xs
            found.append(verify_bptt(model, turned, seed=arguments.seed))
            if arguments.tables:
                print(found[-1], end="\n\n")
    if not arguments.tables:
        print(max(found, key=lambda v: len(v.rows)), end="\n\n")
    width = max(len(v.title) for v in found)
    print(f"{'largest relative error':{width}}  between the three  to differences")
    for v in found:
        verdict = "" if v.passed else "  FAILED"
        print(f"{v.title:{width}}  {v.largest:17.1e}  {v.largest_difference:14.1e}{verdict}")
    failed = sum(not v.passed for v in found)
    print(f"\n{len(found) - failed} of {len(found)} passed (≤ {EXACT:.0e} and ≤ {DIFFERENCES:.0e})")
    return 1 if failed else 0


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m minigrad_rnn", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser(
        "verify", help="check back-propagation through time in float64; exit code 1 if it fails"
    )
    command.add_argument("--cell", action="append", choices=("rnn", "lstm"), help="only this cell")
    command.add_argument("--input-size", type=int, default=5)
    command.add_argument("--hidden-size", type=int, default=7)
    command.add_argument("--steps", type=int, default=9, help="time steps T")
    command.add_argument("--batch", type=int, default=3)
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--backend", default="numpy", choices=("numpy", "cupy"))
    command.add_argument("--tables", action="store_true", help="print every model's table, not the largest one alone")
    try:
        return verify(parser.parse_args(argv))
    except (mg.BackendError, ValueError) as error:
        print(f"python -m minigrad_rnn verify: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
