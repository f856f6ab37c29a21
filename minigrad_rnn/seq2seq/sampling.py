"""Drawing text, or any sequence of ids, from a model: read a beginning, then feed it what it says."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from minigrad import nn
from minigrad.nn.inference import inference

State = Any


def probabilities(logits: npt.ArrayLike, temperature: float = 1.0) -> npt.NDArray[np.float64]:
    """softmax(logits / temperature) along the last axis, in float64, on the host.

    A temperature below 1 sharpens the distribution. At 0, the limit, the largest logits share all of it.

    Raises:
        ValueError: the temperature is negative or no number, or a logit is NaN or +inf.
    """
    if not 0 <= temperature < math.inf:
        raise ValueError(f"probabilities: temperature: got {temperature!r}, want a finite number of at least 0")
    z = np.asarray(logits, dtype=np.float64)
    if not np.all(z < np.inf):  # False for NaN, too
        raise ValueError("probabilities: logits: got NaN or inf, want finite numbers (or -inf for what never comes)")
    gap = z - z.max(axis=-1, keepdims=True)
    weights = np.exp(gap / temperature) if temperature else (gap == 0).astype(np.float64)
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))


def draw(logits: npt.ArrayLike, temperature: float = 1.0, rng: nn.init.Rng = None) -> int:
    """One id, drawn from `probabilities(logits, temperature)`; at temperature 0 the first of the most probable ones.

    Args:
        logits: (V,), on the host.
        temperature: at least 0.
        rng: gives one uniform number: a generator, a seed, or None for the default one. Not asked at temperature 0.
    """
    rng = nn.init.as_generator(rng, "draw")
    p = probabilities(logits, temperature)
    if temperature == 0:
        return int(p.argmax())
    rng = rng if rng is not None else nn.default_generator()
    below = np.cumsum(p)
    # Scaled by the sum, so that rounding can never lead beyond the last id that may come.
    return int(np.searchsorted(below, rng.random() * below[-1], side="right"))


def sample(
    model: nn.Module,
    prime: npt.ArrayLike,
    length: int,
    *,
    temperature: float = 1.0,
    rng: nn.init.Rng = None,
    state: State = None,
) -> tuple[npt.NDArray[np.int64], State]:
    """`length` ids that follow `prime`, each drawn from the model's distribution after those before it.

    The model is put into evaluation mode meanwhile, and nothing is recorded. It may live on any backend: each step's
    logits come to the host, where the id is drawn, so one seed gives one text.

    Args:
        model: called as `logits, state = model(ids, state)` with host ids (T, 1), for logits (T, 1, V).
        prime: ids (N,) to read first, at least one.
        length: how many to draw, at least 1.
        temperature: see `probabilities`.
        rng: where the draws come from: a generator, a seed, or None for the default generator.
        state: the model's state before the prime; None for its initial one.

    Returns:
        (ids (length,), state). The state has read all but the last id; to go on, prime with `ids[-1:]` and that state.

    Raises:
        ValueError: an empty prime, a length below 1, or a bad temperature. TypeError: a prime that is no integers.
    """
    read = np.asarray(prime)
    if read.ndim != 1 or not read.size:
        raise ValueError(f"sample: prime: got shape {read.shape}, want (N,) with at least one id")
    if read.dtype.kind not in "iu":
        raise TypeError(f"sample: prime: got {read.dtype}, want integers")
    if length < 1:
        raise ValueError(f"sample: length: got {length}, want at least 1")
    rng = nn.init.as_generator(rng, "sample")
    ids = np.empty(length, np.int64)
    with inference(model):
        for k in range(length):
            logits, state = model(read[:, None], state)
            ids[k] = draw(logits[-1, 0].numpy(), temperature, rng)
            read = ids[k : k + 1]
    return ids, state
