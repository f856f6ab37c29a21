"""Commands: `verify` compares every implementation of a gradient, `doctor` reports what this machine can do."""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import sys
import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

import minigrad as mg

from . import doctor
from .classics import FIGURES, NARX, TDNN, Classic, Elman, GeneralRecurrence, Jordan, StateSpace
from .networks.named import GRU, LSTM, MGU, RNN, IndRNN, LayerNormGRU, LayerNormLSTM, LayerNormRNN
from .networks.recurrence import Recurrence
from .networks.truncation import Truncation
from .verification.verify import DIFFERENCES, EXACT, Verification, verify_bptt

NETWORKS: dict[str, type[Recurrence]] = {
    "rnn": RNN,
    "lstm": LSTM,
    "gru": GRU,
    "layer_norm_rnn": LayerNormRNN,
    "layer_norm_lstm": LayerNormLSTM,
    "layer_norm_gru": LayerNormGRU,
    "mgu": MGU,
    "indrnn": IndRNN,
}
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "rnn": [{"nonlinearity": "relu"}, {"two_biases": True}, {"nonlinearity": ("hard_sigmoid", 0.25, 0.5), "clip": 1.5}],
    "lstm": [
        {"peephole": True},
        {"proj_size": 2},
        {"peephole": True, "proj_size": 1, "two_biases": True, "forget_bias": 1.0},
        {"gate_activation": "hard_sigmoid", "activation": "softsign", "clip": 1.5, "coupled_gates": True},
    ],
    "gru": [
        {"reset_after": False},
        {"reset_after": False, "bias": False},
        {"gate_activation": "hard_sigmoid", "activation": "relu", "clip": 0.8},
    ],
    "indrnn": [{"nonlinearity": "tanh"}],
}
"""The cells' own options."""


class Case(NamedTuple):
    """A model, and the options that `verify_bptt` gets besides xs."""

    model: Recurrence | Classic
    lengths: bool = False
    masks: bool = False
    truncation: Truncation | None = None
    targets: bool = False

    def verify(self, xs: Any, seed: int) -> Verification:
        T, B = xs.shape[:2]
        rng = np.random.default_rng(seed)
        options: dict[str, Any] = {}
        if self.lengths:
            options["lengths"] = [max(1, T - 2 * b) for b in range(B)]
        if self.masks and isinstance(self.model, Recurrence):
            options["masks"] = self.model.draw_masks(T, B, rng)
        if self.truncation is not None:
            options["truncation"] = self.truncation
        if self.targets and isinstance(self.model, Classic):
            options["targets"] = rng.standard_normal((T, B, self.model.output_size))
        return verify_bptt(self.model, xs.swapaxes(0, 1) if self.model.batch_first else xs, seed=seed, **options)


def classics(input_size: int, hidden_size: int) -> list[Case]:
    """The lecture's classics, plain, deep and with learned initial states, and its figures as tables."""
    I, H, O = input_size, hidden_size, 2
    mg.manual_seed(0)
    sizes = {"h": H, "h1": H, "h2": H, "y": O}
    layers = [{"x": I, **{name: size for name, size in sizes.items() if name in table}} for table in FIGURES.values()]
    return [
        Case(TDNN(I, H, O, delays=3)),
        Case(TDNN(I, (H, H), O, delays=2, output_nonlinearity="softmax")),
        Case(NARX(I, H, O, 1, 2)),
        Case(NARX(I, (H, H), O, 2, 1, initial="learned")),
        Case(NARX(I, H, O, 1, 2, initial="zeros"), targets=True),
        Case(Jordan(I, H, O, mu=0.6)),
        Case(Elman(I, H, O)),
        Case(StateSpace(I, H, O)),
        Case(StateSpace(I, H, O, initial_state="learned", output_nonlinearity="softmax")),
        *(Case(GeneralRecurrence(*figure)) for figure in zip(layers, FIGURES.values())),
    ]


def cases(name: str, input_size: int, hidden_size: int) -> list[Case]:
    """The models that the command verifies: layers × directions × bias, and every option of the recurrence and cell."""
    if name == "classics":
        return classics(input_size, hidden_size)
    kind = NETWORKS[name]
    mg.manual_seed(0)

    def make(layers: Any = 2, **options: Any) -> Recurrence:
        return kind(input_size, hidden_size, layers, **options)

    grid = itertools.product((1, 2, 3), (False, True), (True, False))
    fitting = [options for options in VARIANTS.get(name, []) if options.get("proj_size", 0) < hidden_size]
    variants = itertools.product(fitting, (False, True))
    dropping: dict[str, Any] = {"dropout": 0.4, "recurrent_dropout": 0.3, "zoneout": 0.2}
    return [
        *(Case(make(layers, bidirectional=both, bias=bias)) for layers, both, bias in grid),
        Case(make(initial_state="learned", batch_first=True)),
        *(Case(make(bidirectional=True, **options), lengths=lengths) for options, lengths in variants),
        Case(make(bidirectional=True), lengths=True),
        Case(make(bidirectional=True, initial_state="learned"), lengths=True),
        Case(make(bidirectional=True, dropout=0.4), masks=True),
        Case(make(bidirectional=True, **dropping), masks=True),
        Case(make(bidirectional=True, **dropping), lengths=True, masks=True),
        Case(make(zoneout=0.2).eval()),
        Case(make((1, 2), bidirectional=True), lengths=True),
        Case(make((3, 1), bidirectional=True, merge="mean", **dropping), masks=True),
        Case(make(bidirectional=True, merge="sum")),
        Case(make(reverse=True, initial_state="learned"), lengths=True),
        Case(make(reverse=True, **dropping), lengths=True, masks=True),
        Case(make(), truncation=Truncation(3)),
        Case(make(**dropping), masks=True, truncation=Truncation(4)),
        Case(make(initial_state="learned"), lengths=True, truncation=Truncation(2)),
    ]


def verify(arguments: argparse.Namespace) -> int:
    mg.use_backend(arguments.backend)
    rng = np.random.default_rng(arguments.seed)
    xs = rng.standard_normal((arguments.steps, arguments.batch, arguments.input_size))
    same = f", T={arguments.steps}, B={arguments.batch}", f", float64 on {arguments.backend}"
    results: list[Verification] = []
    if not arguments.tables:
        print(f"Largest relative error of each model{''.join(same)}:")
        print("   among    to differ-\nthemselves  ences       model")
    for cell in arguments.cell or (*NETWORKS, "classics"):
        for case in cases(cell, arguments.input_size, arguments.hidden_size):
            case.model.to(arguments.backend)
            results.append(case.verify(xs, arguments.seed))
            print(f"{results[-1]}\n" if arguments.tables else _line(results[-1], same), flush=True)
    if not arguments.tables:  # the table with the most rows among the models that have all implementations
        print("", max(results, key=lambda v: (v.rows[0].fused_reference is not None, len(v.rows))), "", sep="\n")
    failed = sum(not v.passed for v in results)
    native = sum(not v.native_refusal for v in results)
    print(f"{len(results) - failed} of {len(results)} passed (≤ {EXACT:.0e} and ≤ {DIFFERENCES:.0e}); native: {native}")
    return 1 if failed else 0


def _line(v: Verification, same: tuple[str, str]) -> str:
    """A model's errors and its title without the parts common to all; on a terminal, long lines are wrapped."""
    numeric = "–" if v.largest_difference is None else f"{v.largest_difference:.1e}"
    title = v.title.replace(same[0], "").replace(same[1], "") + ("" if v.passed else "  FAILED")
    exact = "–" if v.largest is None else f"{v.largest:.1e}"
    indent = f"{exact:>10}  {numeric:>10}  "
    if not sys.stdout.isatty():
        return indent + title
    width = max(60, shutil.get_terminal_size().columns - 1)
    return textwrap.fill(title, width, initial_indent=indent, subsequent_indent=" " * (len(indent) + 2))


def examine(arguments: argparse.Namespace) -> int:
    results = doctor.run_checks(backends=tuple(arguments.backend or doctor.BACKENDS))
    failed = [name for name, passed in results.items() if passed is False]
    missing = [name for name, passed in results.items() if passed is None and name in (arguments.backend or ())]
    print(f"\nfailed: {', '.join(failed + missing)}" if failed or missing else "\nall available backends passed")
    return 1 if failed or missing else 0


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m minigrad_rnn", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser(
        "verify", help="check back-propagation through time in float64; exit code 1 if it fails"
    )
    command.add_argument(
        "--cell",
        action="append",
        choices=(*NETWORKS, "classics"),
        metavar="CELL",
        help=f"only this one; may be given several times: {', '.join((*NETWORKS, 'classics'))}",
    )
    command.add_argument("--input-size", type=int, default=5, metavar="I", help="numbers in x(t) (%(default)s)")
    command.add_argument("--hidden-size", type=int, default=7, metavar="H", help="units in a layer (%(default)s)")
    command.add_argument("--steps", type=int, default=9, metavar="T", help="time steps (%(default)s)")
    command.add_argument("--batch", type=int, default=3, metavar="B", help="sequences (%(default)s)")
    command.add_argument("--seed", type=int, default=0, help="of all random numbers (%(default)s)")
    command.add_argument("--backend", default="numpy", choices=("numpy", "cupy"), help="where to compute (%(default)s)")
    command.add_argument("--tables", action="store_true", help="print every model's table, not only the longest")
    command.set_defaults(run=verify)
    command = commands.add_parser(
        "doctor", help="backends, versions, compiled sequences and their speed; checks of a few seconds"
    )
    command.add_argument("--backend", action="append", choices=doctor.BACKENDS, help="only these; a missing one fails")
    command.set_defaults(run=examine)
    arguments = parser.parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except BrokenPipeError:  # the reader closed the pipe, as `head` does; Python would fail again when it flushes
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    except (mg.BackendError, ValueError) as error:
        print(f"python -m minigrad_rnn {arguments.command}: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
