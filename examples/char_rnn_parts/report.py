"""The output of `char_rnn.py`: gradient check, comparison with the baselines, loss curve."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import losses
from minigrad_rnn import verify_bptt
from minigrad_rnn.text import Vocabulary
from minigrad_rnn.text.model import CELLS
from minigrad_rnn.text.streams import Streams

from .baselines import lzma_bits, ngram_bits, unigram_bits
from .text import Text

MAX_BASELINE_CHARACTERS = 12_000_000
"""The baselines read only the last characters of a longer training text, which bounds their time."""


@contextlib.contextmanager
def overflows_in_words() -> Iterator[None]:
    """Replace NumPy's warnings, of which a diverging run gives many, by one sentence at the first overflow.

    What comes of it, such as inf − inf, ends the run.
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


def baselines_of(text: Text, vocabulary: Any) -> dict[str, float]:
    """Return the bits per character that n-grams and LZMA need for the held-out text."""
    ids, held_out = vocabulary.encode(text.train[-MAX_BASELINE_CHARACTERS:]), vocabulary.encode(text.held_out)
    size, in_a_character = len(vocabulary), held_out.size / len(text.held_out)
    return {
        "unigram": unigram_bits(ids, held_out, size) * in_a_character,
        "3-gram": ngram_bits(ids, held_out, size, order=3) * in_a_character,
        "lzma": lzma_bits(text.train, text.held_out, limit=MAX_BASELINE_CHARACTERS),
    }


def compare(
    text: Text, vocabulary: str, baselines: Mapping[str, float], name: str, bits: float, description: str
) -> None:
    """Print the model's bits per character beside the baselines', on the same held-out text."""
    unit = {"characters": "character", "bytes": "byte", "words": "word"}[vocabulary]
    counted = format_count(min(len(text.train), MAX_BASELINE_CHARACTERS))
    rows = {
        "unigram": f"how often each {unit} comes in {counted} characters",
        "3-gram": f"the same after each two {vocabulary} (Witten–Bell), in {counted}",
        "lzma": f"the compressor of .xz, after packing {counted}, with references to all of them",
        name: description,
    }
    numbers = {**baselines, name: bits}
    print(f"\nBits per character on {len(text.held_out):,} held-out characters (less is better)")
    for row, words in sorted(rows.items(), key=lambda row: -numbers[row[0]]):
        print(f"  {row:8} {numbers[row]:6.3f}  {words}")
    best = min(baselines, key=lambda name: baselines[name])
    gap = bits - baselines[best]
    if gap > 0:
        print(f"{best} is still ahead of the {name}, by {gap:.2f} bits.")
    else:
        print(f"The {name} is ahead of the best of the others, {best}, by {-gap:.2f} bits.")


def format_count(count: float) -> str:
    """Format a number of characters: 12,345 or 1.2 million."""
    return f"{count / 1e6:.1f} million" if count >= 1e6 else f"{count:,.0f}"
