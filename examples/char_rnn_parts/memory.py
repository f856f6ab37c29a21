"""How much memory a run takes, so that one that cannot fit is refused before it begins."""

from __future__ import annotations

import os

from .settings import Settings

GATES = {"rnn": 1, "lstm": 4, "gru": 3}


def require_memory(settings: Settings, vocabulary_size: int, characters: int) -> None:
    """Raise ValueError if the weights and one chunk need more memory than this machine has.

    Args:
        characters: the length of the text, which bounds a chunk.
    """
    try:
        available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not every system tells
        return
    needed = numbers_needed(settings, vocabulary_size, characters) * 4  # bytes of a float32
    if needed > available:
        raise ValueError(
            f"--hidden-size, --layers, --embedding-size, --batch-size, --steps: got a model and chunks of at "
            f"least {_gibibytes(needed)} GiB, want at most the {_gibibytes(available)} GiB of this machine"
        )


def numbers_needed(s: Settings, vocabulary_size: int, characters: int) -> int:
    """Return how many numbers weights, gradients, Adam's two means and one chunk's activations are, at least."""
    v, e, h, gates = vocabulary_size, s.embedding_size, s.hidden_size, GATES[s.cell]
    weights = v * e + (h + 1) * v + gates * h * (e + h + 1) + (s.layers - 1) * gates * h * (2 * h + 1)
    in_a_chunk = min(s.steps * s.batch_size, characters)
    return 4 * weights + in_a_chunk * (2 * v + s.layers * (gates + 1) * h)


def _gibibytes(count: int) -> str:
    return f"{min(count, 2**200) / 2**30:,.3g}"
