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

CORPORA = ("code", "encyclopaedia", "headers", "latex", "shakespeare", "topics")
"""The texts of `datasets.CORPORA`, which is imported only when one is asked for."""
VOCABULARIES = ("characters", "bytes", "words")


def option(default: Any, help: str, kind: type | None = None, *, fixed: bool = False, **limits: Any) -> Any:
    """A flag. A resumed run cannot change a `fixed` one. Limits: least, most, above, below, choices."""
    kind = kind or (str if default is None else type(default))
    return field(default=default, metadata={"help": help, "kind": kind, "fixed": fixed, **limits})


@dataclass(frozen=True)
class Settings:
    """The settings of a run; its checkpoint stores them."""

    text: str | None = option(None, "text file or folder to train on")
    data: str | None = option(None, "text to train on, downloaded if need be (code)", choices=CORPORA)
    held_out: float = option(0.05, "fraction of the text that is not trained on", fixed=True, above=0, below=1)
    vocabulary: str = option("characters", "what the model reads at each step", fixed=True, choices=VOCABULARIES)
    vocabulary_size: int | None = option(
        None, "keep only the most frequent characters, bytes or words (at most 10,000)", int, fixed=True, least=2
    )
    cell: str = option("lstm", "the recurrent cell", fixed=True, choices=tuple(CELLS))
    embedding_size: int = option(64, "length of a character's embedding vector", fixed=True, least=1)
    hidden_size: int = option(256, "units in a layer", fixed=True, least=1)
    layers: int = option(1, "recurrent layers", fixed=True, least=1)
    dropout: float = option(0.0, "probability of dropping a feature in training", fixed=True, least=0, below=1)
    batch_size: int = option(32, "parallel streams of text", fixed=True, least=1)
    steps: int = option(64, "characters in a chunk; gradients reach back no further", fixed=True, least=1)
    reset: float = option(
        0.02,
        "probability that a stream begins a chunk with an empty memory, as samples do",
        fixed=True,
        least=0,
        below=1,
    )
    seed: int = option(0, "random seed of weights, dropout, where epochs begin, and samples", fixed=True, least=0)
    learning_rate: float = option(
        8e-3, "Adam's learning rate after a warm-up of 50 chunks; cosine ends at 2 %% of it", above=0
    )
    schedule: str = option("cosine", "learning rate over the budget", choices=("cosine", "constant"))
    clip: float = option(1.0, "largest norm of the gradients; larger ones are scaled down", fixed=True, above=0)
    epochs: float | None = option(None, "budget: passes over the text (1 if no budget is set)", float, above=0)
    chunks: int | None = option(None, "budget: chunks; reproducible on the same machine", int, least=1)
    seconds: float | None = option(None, "budget: time; the learning rate then follows the clock", float, above=0)
    report_every: int = option(20, "chunks between two points of the training curve", least=1)
    evaluate_every: int = option(250, "chunks between two measurements on held-out text", least=1)
    evaluate_characters: int = option(100_000, "held-out characters measured, except at the end: then all", least=1)
    sample_every: int = option(1000, "chunks between two samples", least=1)
    save_every: int = option(500, "chunks between two checkpoints", least=1)
    sample_length: int = option(400, "characters in a sample; 0 for no samples", least=0, most=10**8)
    temperature: float = option(0.8, "of samples; below 1 favours likely characters, 0 takes the most likely", least=0)
    top_k: int | None = option(None, "sample from the k most likely characters only", int, least=1)
    top_p: float | None = option(
        None, "sample from the fewest characters that have this much probability together", float, above=0, most=1
    )
    prime: str | None = option(None, "text that samples begin with (default: a line break)")

    @staticmethod
    def of(overrides: dict[str, Any], defaults: dict[str, Any]) -> Settings:
        """Return the defaults with the overrides; a budget among these replaces every kind of default budget."""
        for alternatives in ({"epochs", "chunks", "seconds"}, {"text", "data"}):
            if overrides.keys() & alternatives:
                defaults = {name: value for name, value in defaults.items() if name not in alternatives}
        settings = Settings(**{**defaults, **overrides})
        if not any((settings.epochs, settings.chunks, settings.seconds)):
            settings = Settings(**{**defaults, **overrides, "epochs": 1.0})
        return settings

    @property
    def budget(self) -> dict[str, Any]:
        """The budget as keywords of `Trainer.fit`."""
        if self.seconds is not None:
            return {"seconds": self.seconds}
        return {"epochs": self.epochs or 1.0} if self.chunks is None else {"updates": self.chunks}

    @staticmethod
    def of_checkpoint(values: dict[str, Any]) -> Settings:
        """Return the settings that a checkpoint stores. Raises ValueError unless all could have been saved."""
        known = {f.name: f for f in fields(Settings)}
        if unknown := sorted(values.keys() - known.keys()):
            raise ValueError(f"settings: got {unknown}, which no flag sets")
        for name, value in values.items():
            f, kind = known[name], known[name].metadata["kind"]
            kinds = (int, float) if kind is float else (kind,)
            if value is None and f.default is None:
                continue
            if type(value) not in kinds or value not in f.metadata.get("choices", (value,)):
                raise ValueError(f"settings: {name}: got {value!r}, want what {flag(name)} takes")
            _check(f"settings: {name}", value, f.metadata)
        return Settings(**values)


@dataclass(frozen=True)
class Command:
    """The parsed command line."""

    overrides: dict[str, Any]
    """The settings that the command line names."""
    backend: str
    out: str | None
    resume: str | None
    sample_only: bool
    demo: bool
    distributed: bool = False


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message} (see --help)")


def flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _wrap(text: str) -> str:
    """Wrap the text to the terminal's width; indented paragraphs, which are commands, stay as they are."""
    width = max(40, shutil.get_terminal_size().columns - 2)
    parts = text.strip().split("\n\n")
    return "\n\n".join(p if p.startswith(" ") else textwrap.fill(p, width) for p in parts)


def parse(argv: Sequence[str] | None, description: str) -> Command:
    """Read and check the command line.

    Raises:
        ValueError: a flag is wrong; the message, one line, names it.
    """
    summary, _, usage = description.partition("\n\n")
    parser = _Parser(
        description=_wrap(f"{summary}\n\n{usage}"),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
        usage="%(prog)s [flags]",
    )
    for f in fields(Settings):
        note = "" if f.default is None else f" ({f.default})"
        metavar = None if f.metadata.get("choices") else f.metadata["kind"].__name__.upper()
        names = ("--chunks", "--updates") if f.name == "chunks" else (flag(f.name),)
        parser.add_argument(
            *names, type=f.metadata["kind"], choices=f.metadata.get("choices"), metavar=metavar,
            help=f.metadata["help"] + note,
        )  # fmt: skip
    parser.add_argument("--backend", choices=("numpy", "cupy"), default="numpy", help="where to compute (numpy)")
    parser.add_argument("--out", metavar="FOLDER", default=None, help="for checkpoint and loss curve (runs/char_rnn)")
    parser.add_argument("--resume", metavar="CHECKPOINT", default=None, help="continue where this run stopped")
    parser.add_argument("--sample-only", action="store_true", default=False, help="with --resume: only a sample")
    parser.add_argument("--demo", action="store_true", default=False, help="verify, train two minutes, compare, sample")
    parser.add_argument("--distributed", action="store_true", default=False, help="share the streams among MPI's ranks")
    overrides = vars(parser.parse_args(argv))
    rest = {name: overrides.pop(name) for name in ("backend", "out", "resume", "sample_only", "demo", "distributed")}
    for name, value in {**rest, "text": overrides.get("text")}.items():
        if value == "":
            raise ValueError(f"{flag(name)}: got an empty name, want a file or folder")
    for f in fields(Settings):
        if f.name in overrides:
            _check(flag(f.name), overrides[f.name], f.metadata)
    if len(budget := [flag(name) for name in ("epochs", "chunks", "seconds") if name in overrides]) > 1:
        raise ValueError(f"got {' and '.join(budget)}, want one budget at most")
    if {"text", "data"} <= overrides.keys():
        raise ValueError("got --data and --text, want one of them")
    if rest["sample_only"] and not rest["resume"]:
        raise ValueError("--sample-only: got no checkpoint to sample from, want --resume CHECKPOINT too")
    if rest["demo"] and rest["resume"]:
        raise ValueError("--demo: got --resume too, want one of them")
    return Command(overrides=overrides, **rest)


def _check(name: str, value: Any, limits: Any) -> None:
    if isinstance(value, str):
        return
    wants: list[str] = []
    if "least" in limits and not value >= limits["least"]:
        wants.append(f"at least {limits['least']}")
    if "most" in limits and not value <= limits["most"]:
        wants.append(f"at most {limits['most']:,}")
    if "above" in limits and not value > limits["above"]:
        wants.append(f"above {limits['above']}")
    if "below" in limits and not value < limits["below"]:
        wants.append(f"below {limits['below']}")
    if not wants and isinstance(value, float) and not math.isfinite(value):
        wants.append("a finite number")
    if wants:
        raise ValueError(f"{name}: got {value}, want {' and '.join(wants)}")


def contradictions(overrides: dict[str, Any], saved: dict[str, Any], ignore: Sequence[str] = ()) -> list[str]:
    """Return one line for each fixed flag whose value differs from the checkpoint's."""
    return [
        f"{flag(f.name)}: got {overrides[f.name]}, want {saved[f.name]} as in the checkpoint, or leave it out"
        for f in fields(Settings)
        if f.metadata["fixed"] and f.name in overrides and f.name not in ignore and overrides[f.name] != saved[f.name]
    ]
