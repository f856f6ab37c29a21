"""The output of `char_rnn.py`: gradient check, progress, comparison with the baselines, loss curve."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import losses
from minigrad_rnn import verify_bptt
from minigrad_rnn.text.corpus import Vocabulary
from minigrad_rnn.text.model import CELLS
from minigrad_rnn.text.streams import Streams
from minigrad_rnn.training.loss_curve import save_loss_curve

from .baselines import lzma_bits, ngram_bits, unigram_bits
from .run import Run, Text

MAX_BASELINE_CHARACTERS = 12_000_000
"""The baselines read only the last characters of a longer training text, which bounds their time."""


class Progress:
    """A progress bar on a terminal if tqdm is installed, and plain lines everywhere."""

    def __init__(self, run: Run) -> None:
        self.bar: Any = None
        if sys.stderr.isatty():
            with contextlib.suppress(ImportError):
                from tqdm import tqdm

                bar_format = "{percentage:3.0f} % |{bar:30}| {elapsed}{postfix}"
                width = min(100, shutil.get_terminal_size().columns)
                self.bar = tqdm(total=1.0, initial=run.fraction_done(), bar_format=bar_format, ncols=width)

    def update(self, run: Run, bits: float) -> None:
        if self.bar is not None:
            self.bar.n = run.fraction_done()
            self.bar.set_postfix_str(f"chunk {run.chunks:,}, training {bits:.2f} bits per character")

    def write(self, line: str) -> None:
        if self.bar is not None:
            self.bar.write(line, file=sys.stdout)
        else:
            print(line, flush=True)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()


@contextlib.contextmanager
def overflows_in_words() -> Iterator[None]:
    """Replace NumPy's warnings, of which a diverging run gives many, by one sentence at the first overflow.

    What comes of it, such as inf − inf, ends the run: `require_finite`.
    """
    told = False

    def tell(kind: str, flag: int) -> None:
        nonlocal told
        if not told:
            told = True
            print(
                f"char_rnn.py: {kind}: numbers became too large for their dtype, as they do when a run diverges; said "
                "once", file=sys.stderr,
            )  # fmt: skip

    with np.errstate(over="call", invalid="ignore", divide="ignore", call=tell):
        yield


def recent(run: Run) -> float:
    """Return the mean of the last tenth of the training curve, in bits per character."""
    points = run.curves["training"]
    last = points[-max(1, len(points) // 10) :]
    return sum(bits for _, bits in last) / len(last) if last else math.nan


def framed(text: str, width: int = 94) -> str:
    """Return the text with a line at its left, broken at `width` columns."""
    lines = [line[k : k + width] for line in text.split("\n") for k in range(0, max(1, len(line)), width)]
    return "\n".join(f"    │ {line}" for line in lines)


def verify(text: Text, cell: str) -> bool:
    """Return whether back-propagation through time is right: in float64, for a small model, on the real text."""
    rng = np.random.default_rng(0)
    start = text.train[: 40 * 20]
    vocabulary = Vocabulary.from_text(start)
    inputs, targets, _ = Streams(vocabulary.encode(start), batch_size=4, steps=20).next_chunk()
    embedding, readout = rng.standard_normal((len(vocabulary), 6)), rng.standard_normal((len(vocabulary), 8)) / 3
    verification = verify_bptt(
        CELLS[cell](6, 8, num_layers=2, rng=rng),
        embedding[inputs],
        divergence=lambda output, final: losses.cross_entropy(mg.linear(output, readout), targets),
    )
    print(f"Back-propagation through time, four ways: the cross-entropy of the next character\n{verification}\n")
    return verification.passed


def compare(run: Run, text: Text) -> None:
    """Print the model's bits per character beside the baselines', on the same held-out text."""
    bits = run.evaluate(None)
    if not run.baselines:
        ids, size = run.vocabulary.encode(text.train[-MAX_BASELINE_CHARACTERS:]), len(run.vocabulary)
        run.baselines = {
            "unigram": unigram_bits(ids, run.held_out, size),
            "3-gram": ngram_bits(ids, run.held_out, size, order=3),
            "lzma": lzma_bits(text.train, text.held_out, limit=MAX_BASELINE_CHARACTERS),
        }
    read, counted, cell = (
        format_count(run.characters),
        format_count(min(len(text.train), MAX_BASELINE_CHARACTERS)),
        run.settings.cell.upper(),
    )
    rows = {
        "unigram": f"how often each character comes in {counted} characters",
        "3-gram": f"the same after each two characters (Witten–Bell), in {counted}",
        "lzma": f"the compressor of .xz, after packing {counted}, with references to all of them",
        cell: f"{run.model.num_parameters():,} weights, after {read} characters in {run.seconds:.0f} s",
    }
    numbers = {**run.baselines, cell: bits}
    print(f"\nBits per character on {len(text.held_out):,} held-out characters (less is better)")
    for name, description in sorted(rows.items(), key=lambda row: -numbers[row[0]]):
        print(f"  {name:8} {numbers[name]:6.3f}  {description}")
    best = min(run.baselines, key=lambda name: run.baselines[name])
    gap = bits - run.baselines[best]
    if gap > 0:
        print(f"{best} is still ahead of the {cell}, by {gap:.2f} bits.")
    else:
        print(f"The {cell} is ahead of the best of the others, {best}, by {-gap:.2f} bits.")


def format_count(count: int) -> str:
    """Format a number of characters: 12,345 or 1.2 million."""
    return f"{count / 1e6:.1f} million" if count >= 1e6 else f"{count:,}"


def draw_loss_curve(run: Run, path: str) -> str:
    """Save the loss curve beside the checkpoint; return its path, or why there is none."""
    png = os.path.join(os.path.dirname(path), "loss.png")
    unit, size = ("million", 1e6) if run.characters >= 1e6 else ("thousand", 1e3)
    curves = {name: [(x / size, bits) for x, bits in points] for name, points in run.curves.items()}
    s = run.settings
    title = f"{s.cell.upper()}: {s.layers} × {s.hidden_size} units, {run.model.num_parameters():,} weights"
    labels = {"title": title, "xlabel": f"{unit} characters read", "ylabel": "bits per character"}
    try:
        save_loss_curve(png, curves, run.baselines, **labels)
    except ImportError:
        return "none: matplotlib is missing; pip install matplotlib"
    return png
