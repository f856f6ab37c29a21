"""The flags of char_rnn.py: one table with each one's default, meaning and limits."""

from __future__ import annotations

import argparse
import math
import shutil
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, NoReturn

from minigrad_rnn.text.model import CELLS


def option(default: Any, about: str, kind: type | None = None, *, fixed: bool = False, **limits: Any) -> Any:
    """A flag; `fixed` ones are the checkpoint's when a run is resumed. Limits: least, above, below, choices."""
    kind = kind or (str if default is None else type(default))
    return field(default=default, metadata={"about": about, "kind": kind, "fixed": fixed, **limits})


@dataclass(frozen=True)
class Settings:
    """What a run is made from, and what its checkpoint keeps of the command line."""

    text: str | None = option(None, "text file or folder; the standard library's own sources where it is not given")
    held_out: float = option(0.05, "fraction of the text that is not trained on", fixed=True, above=0, below=1)
    vocabulary_size: int | None = option(None, "keep only the most frequent characters", int, fixed=True, least=2)
    cell: str = option("lstm", "the recurrent cell", fixed=True, choices=tuple(CELLS))
    embedding_size: int = option(64, "length of the vector that stands for a character", fixed=True, least=1)
    hidden_size: int = option(256, "units in a layer", fixed=True, least=1)
    layers: int = option(1, "recurrent layers", fixed=True, least=1)
    dropout: float = option(0.0, "probability of dropping a feature in training", fixed=True, least=0, below=1)
    batch_size: int = option(32, "parallel streams of text", fixed=True, least=1)
    steps: int = option(64, "characters in a chunk: gradients go back no further", fixed=True, least=1)
    seed: int = option(0, "of weights, dropout, where epochs begin, and samples", fixed=True, least=0)
    learning_rate: float = option(4e-3, "Adam's, after a warm-up of 50 chunks; a cosine ends at 2 %% of it", above=0)
    schedule: str = option("cosine", "of the learning rate over the budget", choices=("cosine", "constant"))
    clip: float = option(1.0, "largest norm of the gradients", above=0)
    epochs: float | None = option(None, "budget: passes over the text (1 where no budget is given)", float, above=0)
    chunks: int | None = option(None, "budget: chunks, the same numbers again on the same machine", int, least=1)
    seconds: float | None = option(None, "budget: time; the learning rate then follows the clock", float, above=0)
    report_every: int = option(20, "chunks between two points of the training curve", least=1)
    evaluate_every: int = option(250, "chunks between two measurements on held-out text", least=1)
    evaluate_characters: int = option(100_000, "how much of the held-out text, but for the last time", least=1)
    sample_every: int = option(1000, "chunks between two samples", least=1)
    save_every: int = option(500, "chunks between two checkpoints", least=1)
    sample_length: int = option(400, "characters in a sample; 0 for no samples", least=0)
    temperature: float = option(0.8, "of samples; below 1 bolder about the likely, 0 takes only the likeliest", least=0)
    prime: str | None = option(None, "what samples begin with; a line break where it is not given")

    @staticmethod
    def of(given: dict[str, Any], defaults: dict[str, Any]) -> Settings:
        """The flags given, over the defaults or the checkpoint's. A budget given replaces the other kinds of budget."""
        budgets = {"epochs", "chunks", "seconds"}
        if given.keys() & budgets:
            defaults = {name: value for name, value in defaults.items() if name not in budgets}
        settings = Settings(**{**defaults, **given})
        if not any((settings.epochs, settings.chunks, settings.seconds)):
            settings = Settings(**{**defaults, **given, "epochs": 1.0})
        return settings


@dataclass(frozen=True)
class Command:
    """What to do, and the settings that the command line names."""

    given: dict[str, Any]
    backend: str
    out: str | None
    resume: str | None
    sample_only: bool
    demo: bool


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message} (see --help)")


def flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _filled(text: str) -> str:
    """The text in the terminal's width; indented paragraphs, which are commands, stay as they are."""
    width = max(40, shutil.get_terminal_size().columns - 2)
    parts = text.strip().split("\n\n")
    return "\n\n".join(p if p.startswith(" ") else textwrap.fill(p, width) for p in parts)


def parse(argv: Sequence[str] | None, about: str) -> Command:
    """Read and check the command line.

    Raises:
        ValueError: saying in one line which flag is wrong.
    """
    summary, _, usage = about.partition("\n\n")
    parser = _Parser(
        description=_filled(f"{summary}\n\n{usage}"),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
        usage="%(prog)s [flags]",
    )
    for f in fields(Settings):
        note = "" if f.default is None else f" ({f.default})"
        shown = None if f.metadata.get("choices") else f.metadata["kind"].__name__.upper()
        parser.add_argument(
            flag(f.name), type=f.metadata["kind"], choices=f.metadata.get("choices"), metavar=shown,
            help=f.metadata["about"] + note,
        )  # fmt: skip
    parser.add_argument("--backend", choices=("numpy", "cupy"), default="numpy", help="where to compute (numpy)")
    parser.add_argument("--out", metavar="FOLDER", default=None, help="for checkpoint and picture (runs/char_rnn)")
    parser.add_argument("--resume", metavar="CHECKPOINT", default=None, help="go on where this run stopped")
    parser.add_argument("--sample-only", action="store_true", default=False, help="with --resume: only a sample")
    parser.add_argument("--demo", action="store_true", default=False, help="verify, train two minutes, compare, sample")
    given = vars(parser.parse_args(argv))
    rest = {name: given.pop(name) for name in ("backend", "out", "resume", "sample_only", "demo")}
    for f in fields(Settings):
        if f.name in given:
            _check(flag(f.name), given[f.name], f.metadata)
    if len(budget := [flag(name) for name in ("epochs", "chunks", "seconds") if name in given]) > 1:
        raise ValueError(f"got {' and '.join(budget)}, want one budget at most")
    if rest["sample_only"] and not rest["resume"]:
        raise ValueError("--sample-only: got no checkpoint to sample from, want --resume CHECKPOINT too")
    if rest["demo"] and rest["resume"]:
        raise ValueError("--demo: got --resume too, want one of them")
    return Command(given=given, **rest)


def _check(name: str, value: Any, limits: Any) -> None:
    if isinstance(value, str):
        return
    wants = []
    if "least" in limits and not value >= limits["least"]:
        wants.append(f"at least {limits['least']}")
    if "above" in limits and not value > limits["above"]:
        wants.append(f"above {limits['above']}")
    if "below" in limits and not value < limits["below"]:
        wants.append(f"below {limits['below']}")
    if not wants and not math.isfinite(value):
        wants.append("a finite number")
    if wants:
        raise ValueError(f"{name}: got {value}, want {' and '.join(wants)}")


def contradictions(given: dict[str, Any], saved: dict[str, Any], but: Sequence[str] = ()) -> list[str]:
    """One line for each flag given that differs from a checkpoint's and cannot be changed any more."""
    return [
        f"{flag(f.name)}: got {given[f.name]}, want {saved[f.name]} as in the checkpoint, or leave it out"
        for f in fields(Settings)
        if f.metadata["fixed"] and f.name in given and f.name not in but and given[f.name] != saved[f.name]
    ]
