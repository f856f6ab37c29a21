"""Sample text, or any sequence of ids, from a model: read a prime, then feed each sampled id back."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from minigrad import nn
from minigrad.backend import to_numpy
from minigrad.nn.inference import inference
from minigrad.validation import as_array, check_integer, check_number, check_type

State = Any


def probabilities(logits: npt.ArrayLike, temperature: float = 1.0) -> npt.NDArray[np.float64]:
    """Return softmax(logits / temperature) along the last axis, in float64, on the host.

    A temperature below 1 sharpens the distribution. At 0, the limit, the largest logits share all probability.

    Raises:
        ValueError: the temperature is negative or not finite, a logit is NaN or +inf, or all of a row are −inf.
    """
    check_number("probabilities", 0, temperature=temperature)
    z = as_array(logits, "probabilities", "logits")
    if z.dtype.kind == "c" or not z.ndim or not z.shape[-1]:
        raise ValueError(f"probabilities: logits: got {z.dtype} of shape {z.shape}, want real numbers (..., V)")
    z = np.asarray(to_numpy(z), np.float64)
    most = np.maximum.reduce(z, axis=-1, keepdims=True)  # NaN where one of them is
    if not np.isfinite(most).all():
        if np.all(z < np.inf):  # False for NaN too
            raise ValueError("probabilities: logits: got a row of -inf, want a probability above 0 in each")
        raise ValueError("probabilities: logits: got NaN or inf, want finite numbers (or -inf for probability 0)")
    weights = z - most
    if temperature:
        weights /= temperature
        np.exp(weights, out=weights)
    else:
        weights = (weights == 0).astype(np.float64)
    weights /= np.add.reduce(weights, axis=-1, keepdims=True)
    return weights


def draw(logits: npt.ArrayLike, temperature: float = 1.0, rng: nn.init.Rng = None) -> int:
    """Return an id drawn from `probabilities(logits, temperature)`; at temperature 0 the first of the most probable.

    Args:
        logits: (V,), on the host.
        rng: for one uniform number: a generator, a seed, or None for the default generator. Unused at temperature 0.

    Raises:
        ValueError: logits of another shape, and as `probabilities`.
    """
    generator = nn.init.as_generator(rng, "draw") or nn.default_generator()
    p = probabilities(logits, temperature)
    if p.ndim != 1:
        raise ValueError(f"draw: logits: got shape {p.shape}, want (V,); draw from each row by itself")
    if temperature == 0:
        return int(p.argmax())
    cumulative = p.cumsum()
    # Scaled by the sum, so that rounding cannot select an id beyond the last one with a positive probability.
    return int(cumulative.searchsorted(generator.random() * cumulative[-1], side="right"))


def sample(
    model: nn.Module,
    prime: npt.ArrayLike,
    length: int,
    *,
    temperature: float = 1.0,
    rng: nn.init.Rng = None,
    state: State = None,
) -> tuple[npt.NDArray[np.int64], State]:
    """Return `length` ids that follow `prime`, each drawn from the model's distribution given those before it.

    The model is in evaluation mode meanwhile, and nothing is recorded. It may be on any backend: the id is drawn on the
    host from each step's logits, so a seed gives the same text everywhere.

    Args:
        model: called as `logits, state = model(ids, state)` with host ids (T, 1), for logits (T, 1, V).
        prime: ids (N,) to read first, at least one.
        length: at least 1.
        temperature, rng: as for `draw`, which takes one number for each id.
        state: the model's state before the prime; None for its initial one.

    Returns:
        (ids (length,), state). The state has read all but the last id; continue with the prime `ids[-1:]` and it.

    Raises:
        ValueError: an empty prime, a length below 1, or a bad temperature. TypeError: a prime that is not integers.
    """
    check_type("sample", nn.Module, "a Module", model=model)
    check_number("sample", 0, temperature=temperature)
    unread = to_numpy(as_array(prime, "sample", "prime"))
    if unread.ndim != 1 or not unread.size:
        raise ValueError(f"sample: prime: got shape {unread.shape}, want (N,) with at least one id")
    if unread.dtype.kind not in "iu":
        raise TypeError(f"sample: prime: got {unread.dtype}, want integers")
    check_integer("sample", length=length)
    rng = nn.init.as_generator(rng, "sample")
    ids = np.empty(length, np.int64)
    with inference(model):
        for k in range(length):
            logits, state = model(unread[:, None], state)
            ids[k] = draw(logits[-1, 0].numpy(), temperature, rng)
            unread = ids[k : k + 1]
    return ids, state
