"""`example_parser`, `budget` and `run` are the command line that the training examples share.

    parser = example_parser(__doc__, "tag", epochs=3)
    parser.add_argument("--hidden-size", type=whole(1), default=128, help="units of each direction (%(default)s)")

    def main(arguments): ...

    if __name__ == "__main__":
        sys.exit(run(main, parser))

Every one of them has --backend, --seed, --out, --resume, and --epochs, --updates or --seconds as its budget.
"""

from __future__ import annotations

import argparse
import io
import math
import shlex
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigrad.backend import BackendError, get_backend
from minigrad.serialize import CheckpointError

BUDGETS = ("epochs", "updates", "seconds")


def whole(least: int = 0) -> Callable[[str], int]:
    """Return a `type=` for argparse: a whole number that is at least `least`."""

    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise argparse.ArgumentTypeError(f"got {text}, want a whole number of at least {least}")
        return value

    return convert


def number(least: float = -math.inf, *, above: float = -math.inf, below: float = math.inf) -> Callable[[str], float]:
    """Return a `type=` for argparse: a finite number, at least `least`, above `above` and below `below`."""
    limits = [f"at least {least:g}"] if least > -math.inf else []
    limits += [f"above {above:g}"] if above > -math.inf else []
    limits += [f"below {below:g}"] if below < math.inf else []

    def convert(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or not (value >= least and above < value < below):
            raise argparse.ArgumentTypeError(f"got {text}, want a number {' and '.join(limits) or 'that is finite'}")
        return value

    return convert


def example_parser(
    description: str | None,
    name: str,
    *,
    epochs: float | None = None,
    updates: int | None = None,
    seconds: float | None = None,
) -> argparse.ArgumentParser:
    """Return a parser with the shared flags.

    Args:
        description: the script's docstring; `--help` shows it as it is.
        name: the script's name; results go into `runs/NAME` unless `--out` names another folder.
        epochs, updates, seconds: the default budget, one of them.
    """
    default = {"epochs": epochs, "updates": updates, "seconds": seconds}
    text = ", ".join(f"{value:g} {kind}" for kind, value in default.items() if value is not None)
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.set_defaults(default_budget={kind: value for kind, value in default.items() if value is not None})
    parser.add_argument("--backend", choices=("numpy", "cupy"), default="numpy", help="where to compute (%(default)s)")
    parser.add_argument(
        "--seed", type=whole(), default=0, help="of weights, dropout, split and shuffling (%(default)s)"
    )
    parser.add_argument(
        "--out", metavar="FOLDER", default=f"runs/{name}", help="for checkpoints and pictures (%(default)s)"
    )
    parser.add_argument(
        "--resume", metavar="CHECKPOINT", nargs="?", const=True, default=None,
        help="continue a run to the same weights: that of --out, or the file that is named",
    )  # fmt: skip
    budgets = parser.add_argument_group("training budget", f"one of these ({text})").add_mutually_exclusive_group()
    budgets.add_argument("--epochs", type=number(above=0), help="passes over the data")
    budgets.add_argument("--updates", type=whole(1), help="steps of the optimizer")
    budgets.add_argument("--seconds", type=number(above=0), help="time; depends on the machine")
    return parser


def budget(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the training budget as keywords of `Trainer.fit`: the flag that was given, or the script's default."""
    given = {name: value for name in BUDGETS if (value := getattr(arguments, name)) is not None}
    return given or dict(arguments.default_budget)


def fit(trainer: Any, arguments: argparse.Namespace) -> None:
    """Resume the run if the command line says so, and train until its budget is used.

    Raises:
        SystemExit: Ctrl-C or SIGTERM stopped the training, which was saved; the code is 128 + the signal's number.
    """
    if getattr(trainer, "resume_command", None) is None:
        trainer.resume_command = resume_command(arguments)
    if arguments.resume is not None:
        trainer.resume(None if arguments.resume is True else arguments.resume)
    trainer.fit(**budget(arguments))
    if getattr(trainer, "signal", None):
        raise SystemExit(128 + trainer.signal)


def resume_command(arguments: argparse.Namespace) -> str:
    """Return the command that continues this run: the flags that it was given, and --resume."""
    flags = [flag for flag in sys.argv[1:] if flag.partition("=")[0] != "--resume" and flag != arguments.resume]
    return shlex.join(["python", sys.argv[0], *flags, "--resume"])


def generator(arguments: argparse.Namespace, *purpose: int) -> np.random.Generator:
    """Return a generator that depends on `--seed`, and on the numbers that tell one purpose from another."""
    return np.random.default_rng([arguments.seed, *purpose])


def run(
    main: Callable[[argparse.Namespace], object], parser: argparse.ArgumentParser, argv: Sequence[str] | None = None
) -> int:
    """Parse the command line and call `main`. Return the exit code; whatever the user can mend is told in one line.

    The code is 0; 2 for a wrong flag, input or file; 1 if training failed; 130 after Ctrl-C. What `main` raises besides
    is passed on, as is the SystemExit of `fit`.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show a character shows a question mark
    arguments = parser.parse_args(argv)
    try:
        get_backend(arguments.backend)
        main(arguments)
        return 0
    except (ValueError, OSError, ImportError, BackendError, CheckpointError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    except (FloatingPointError, MemoryError, OverflowError) as error:
        print(f"{parser.prog}: {str(error) or 'the memory is full'}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\n{parser.prog}: stopped", file=sys.stderr)
        return 130
