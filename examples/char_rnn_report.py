"""What char_rnn.py shows: the check of its gradients, its progress, the comparison with simple methods, the picture."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

import minigrad as mg
from minigrad import losses
from minigrad_rnn import verify_bptt
from minigrad_rnn.text.baselines import lzma_bits, ngram_bits, unigram_bits
from minigrad_rnn.text.corpus import Vocabulary
from minigrad_rnn.text.model import CELLS
from minigrad_rnn.text.plot import save_loss_picture
from minigrad_rnn.text.streams import Streams

if TYPE_CHECKING:
    from char_rnn import Run, Text

COMPARED = 12_000_000
"""The baselines read at most so many characters of the training text, its last ones: that bounds their time."""


class Progress:
    """A bar on a terminal that has tqdm, and plain lines everywhere."""

    def __init__(self, run: Run) -> None:
        self.bar: Any = None
        if sys.stderr.isatty():
            with contextlib.suppress(ImportError):
                from tqdm import tqdm

                form = "{percentage:3.0f} % |{bar:30}| {elapsed}{postfix}"
                self.bar = tqdm(
                    total=1.0, initial=run.done(), bar_format=form, ncols=min(100, shutil.get_terminal_size().columns)
                )

    def update(self, run: Run, bits: float) -> None:
        if self.bar is not None:
            self.bar.n = run.done()
            self.bar.set_postfix_str(f"chunk {run.chunks:,}, training {bits:.2f} bits per character")

    def say(self, line: str) -> None:
        if self.bar is not None:
            self.bar.write(line, file=sys.stdout)
        else:
            print(line, flush=True)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()


def recent(run: Run) -> float:
    """The training curve's mean over the last tenth: bits per character."""
    points = run.curves["training"]
    last = points[-max(1, len(points) // 10) :]
    return sum(bits for _, bits in last) / len(last) if last else math.nan


def framed(text: str, width: int = 94) -> str:
    lines = [line[k : k + width] for line in text.split("\n") for k in range(0, max(1, len(line)), width)]
    return "\n".join(f"    │ {line}" for line in lines)


def verify(text: Text, cell: str) -> bool:
    """Is back-propagation through time right? Ask on a small model of this shape, in float64, on real text."""
    rng = np.random.default_rng(0)
    start = text.train[: 40 * 20]
    vocabulary = Vocabulary.from_text(start)
    inputs, targets, _ = Streams(vocabulary.encode(start), batch_size=4, steps=20).next_chunk()
    embedding, readout = rng.standard_normal((len(vocabulary), 6)), rng.standard_normal((len(vocabulary), 8)) / 3
    found = verify_bptt(
        CELLS[cell](6, 8, num_layers=2, rng=rng),
        embedding[inputs],
        divergence=lambda output, final: losses.cross_entropy(mg.linear(output, readout), targets),
    )
    print(f"Back-propagation through time, four ways: the cross-entropy of the next character\n{found}\n")
    return found.passed


def compare(run: Run, text: Text) -> None:
    """The model beside what is simple, on the same held-out text."""
    bits = run.evaluate(None)
    if not run.baselines:
        ids, size = run.vocabulary.encode(text.train[-COMPARED:]), len(run.vocabulary)
        run.baselines = {
            "unigram": unigram_bits(ids, run.held_out, size),
            "3-gram": ngram_bits(ids, run.held_out, size, order=3),
            "lzma": lzma_bits(text.train, text.held_out, limit=COMPARED),
        }
    counted, cell = many(min(len(text.train), COMPARED)), run.settings.cell.upper()
    rows = {
        "unigram": f"how often each character comes in {counted} characters",
        "3-gram": f"the same after each two characters (Witten–Bell), in {counted}",
        "lzma": f"the compressor of .xz, when it has packed {counted} and can point back to all of them",
        cell: f"{run.model.num_parameters():,} weights, after {many(run.characters)} characters in {run.seconds:.0f} s",
    }
    numbers = {**run.baselines, cell: bits}
    print(f"\nBits per character on {len(text.held_out):,} characters that were held out (less is better)")
    for name, about in sorted(rows.items(), key=lambda row: -numbers[row[0]]):
        print(f"  {name:8} {numbers[name]:6.3f}  {about}")
    best = min(run.baselines, key=lambda name: run.baselines[name])
    gap = bits - run.baselines[best]
    if gap > 0:
        print(f"{best} is still ahead of the {cell}, by {gap:.2f} bits.")
    else:
        print(f"The {cell} is ahead of the best of the others, {best}, by {-gap:.2f} bits.")


def many(count: int) -> str:
    """A number of characters for people."""
    return f"{count / 1e6:.1f} million" if count >= 1e6 else f"{count:,}"


def draw_picture(run: Run, path: str) -> str:
    """Save the loss picture beside the checkpoint; says where, or why not."""
    picture = os.path.join(os.path.dirname(path), "loss.png")
    unit, size = ("million", 1e6) if run.characters >= 1e6 else ("thousand", 1e3)
    curves = {name: [(x / size, bits) for x, bits in points] for name, points in run.curves.items()}
    s = run.settings
    title = f"{s.cell.upper()}: {s.layers} × {s.hidden_size} units, {run.model.num_parameters():,} weights"
    labels = {"title": title, "xlabel": f"{unit} characters read", "ylabel": "bits per character"}
    try:
        save_loss_picture(picture, curves, run.baselines, **labels)
    except ImportError:
        return "none: matplotlib is missing; pip install matplotlib"
    return picture
