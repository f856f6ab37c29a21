"""Sample text, or any sequence of ids, from a model: read a prime, then feed each sampled id back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from minigrad import nn
from minigrad.arguments_of import arguments_of
from minigrad.backend import to_numpy
from minigrad.nn.inference import inference
from minigrad.validation import as_array, check_integer, check_number, check_type, is_number, shown

State = Any
Floats = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int64]


def probabilities(logits: npt.ArrayLike, temperature: float = 1.0) -> Floats:
    """Return softmax(logits / temperature) along the last axis, in float64, on the host.

    A temperature below 1 sharpens the distribution. At 0, the limit, the largest logits share all probability.

    Raises:
        ValueError: the temperature is negative or not finite, a logit is NaN or +inf, or all of a row are −inf.
    """
    check_number("probabilities", 0, temperature=temperature)
    z = _host_logits("probabilities", logits)
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


def likely(
    logits: npt.ArrayLike, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None
) -> Floats:
    """Return the logits (…, V) of the likely ids, and −∞ for all others; each row by itself.

    Args:
        temperature: of the probabilities that `top_p` compares.
        top_k: keep the k most probable ids (Fan, Lewis & Dauphin 2018), the first of equals; None for all.
        top_p: of those keep the fewest, most probable first, whose total probability is at least p (Holtzman et al.
            2020, nucleus sampling); always at least one. None for all.

    Raises:
        ValueError: top_k below 1, top_p outside (0, 1], a bad temperature or logit.
    """
    z = _host_logits("likely", logits).copy()
    if top_k is not None:
        check_integer("likely", top_k=top_k)
        np.put_along_axis(z, np.argsort(-z, axis=-1, kind="stable")[..., top_k:], -np.inf, axis=-1)
    if top_p is not None:
        if not is_number(top_p) or not 0 < top_p <= 1:
            raise ValueError(f"likely: top_p: got {shown(top_p)}, want a number above 0 and at most 1")
        p = probabilities(z, temperature)
        order = np.argsort(-p, axis=-1, kind="stable")
        p = np.take_along_axis(p, order, axis=-1)
        # An id is kept while the ids before it do not reach top_p.
        beyond = np.cumsum(p, axis=-1) - p >= top_p
        beyond[..., 0] = False
        np.put_along_axis(z, order, np.where(beyond, -np.inf, np.take_along_axis(z, order, axis=-1)), axis=-1)
    return z


def _host_logits(caller: str, logits: npt.ArrayLike) -> Floats:
    z = as_array(logits, caller, "logits")
    if z.dtype.kind == "c" or not z.ndim or not z.shape[-1]:
        raise ValueError(f"{caller}: logits: got {z.dtype} of shape {z.shape}, want real numbers (..., V)")
    return np.asarray(to_numpy(z), np.float64)


@arguments_of(likely)
def draw(
    logits: npt.ArrayLike,
    temperature: float = 1.0,
    rng: nn.init.Rng = None,
    *,
    top_k: int | None = None,
    top_p: float | None = None,
) -> int:
    """Return an id drawn from `probabilities(logits, temperature)`, or of these from the likely ones alone.

    With `top_k` or `top_p` it is the same distribution restricted to the ids that `likely` keeps. At temperature 0 the
    first of the most probable ids is returned.

    Args:
        logits: (V,).
        temperature: as for `probabilities`.
        rng: for one uniform number: a generator, a seed, or None for the default generator. Unused at temperature 0.

    Raises:
        ValueError: logits of another shape, and as `probabilities` and `likely`.
    """
    generator = nn.init.as_generator(rng, "draw") or nn.default_generator()
    p = _likely_probabilities(logits, temperature, top_k, top_p)
    if p.ndim != 1:
        raise ValueError(f"draw: logits: got shape {p.shape}, want (V,); draw from each row by itself")
    return int(p.argmax()) if temperature == 0 else int(_drawn(p[None], generator)[0])


def _likely_probabilities(logits: Any, temperature: float, top_k: int | None, top_p: float | None) -> Floats:
    if top_k is not None or top_p is not None:
        logits = likely(logits, temperature, top_k, top_p)
    return probabilities(logits, temperature)


def _drawn(p: Floats, generator: np.random.Generator) -> Ids:
    """Draw an id from each row of probabilities (B, V)."""
    cumulative = p.cumsum(axis=-1)
    # Scaled by the sum, so that rounding cannot select an id beyond the last one with a positive probability.
    heights = generator.random(len(p)) * cumulative[:, -1]
    ids: Ids = np.count_nonzero(cumulative <= heights[:, None], axis=-1)
    return ids


@arguments_of(draw)
def sample_stream(
    model: nn.Module,
    prime: npt.ArrayLike,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    exclude: Sequence[int] = (),
    rng: nn.init.Rng = None,
    state: State = None,
) -> Iterator[Ids]:
    """Yield the ids that follow `prime` one at a time, as soon as each is drawn, without an end.

    They are those that `sample` returns. The model is in evaluation mode and nothing is recorded while it runs, not
    while the caller has the id: `for ids in itertools.islice(sample_stream(model, prime), 100)`.

    Args:
        model: called as `logits, state = model(ids, state)` with host ids (T, B), for logits (T, B, V).
        prime: ids to read first, at least one: (N,), or (N, B) for B sequences at once.
        exclude: ids that are never drawn, such as that of an unknown symbol.
        rng: for one uniform number for each id, in each step sequence after sequence: a generator, a seed, or None for
            the default generator. Unused at temperature 0.
        state: the model's state before the prime; None for its initial one.

    Yields:
        ids (B,), host integers; B is 1 for a prime (N,).

    Raises:
        ValueError: an empty prime, a bad temperature, top_k or top_p. TypeError: a prime that is not integers.
    """
    sampler = _Sampler("sample_stream", model, prime, temperature, top_k, top_p, exclude, rng, state)

    def steps() -> Iterator[Ids]:
        while True:
            with inference(model):
                ids = sampler.step()
            yield ids

    return steps()


@arguments_of(sample_stream)
def sample(
    model: nn.Module,
    prime: npt.ArrayLike,
    length: int,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    exclude: Sequence[int] = (),
    rng: nn.init.Rng = None,
    state: State = None,
) -> tuple[Ids, State]:
    """Return `length` ids that follow `prime`, each drawn from the model's distribution given those before it.

    The model is in evaluation mode meanwhile, and nothing is recorded. It may be on any backend: the id is drawn on the
    host from each step's logits, so a seed gives the same text everywhere. A prime (N, B) gives B sequences, in hardly
    more time than one if they are few.

    Args:
        length: at least 1.

    Returns:
        (ids (length,), or (length, B) for a prime (N, B); state). The state has read all but the last id; continue with
        the prime `ids[-1:]` and it.

    Raises:
        ValueError: an empty prime, a length below 1, a bad temperature, top_k or top_p, an id to exclude that the model
            does not have, or none left to draw. TypeError: a prime that is not integers.
    """
    sampler = _Sampler("sample", model, prime, temperature, top_k, top_p, exclude, rng, state)
    check_integer("sample", length=length)
    with inference(model):
        ids = np.concatenate([sampler.step()[None] for _ in range(length)])
    return ids[:, 0] if sampler.single else ids, sampler.state


class _Sampler:
    """A model, the ids that it has not read yet (T, B), and how the next ones are drawn."""

    def __init__(
        self, caller: str, model: nn.Module, prime: npt.ArrayLike, temperature: float, top_k: int | None,
        top_p: float | None, exclude: Sequence[int], rng: nn.init.Rng, state: State,
    ) -> None:  # fmt: skip
        check_type(caller, nn.Module, "a Module", model=model)
        check_number(caller, 0, temperature=temperature)
        if top_k is not None:
            check_integer(caller, top_k=top_k)
        if top_p is not None and (not is_number(top_p) or not 0 < top_p <= 1):
            raise ValueError(f"{caller}: top_p: got {shown(top_p)}, want a number above 0 and at most 1")
        unread = to_numpy(as_array(prime, caller, "prime"))
        if unread.ndim not in (1, 2) or not unread.size:
            raise ValueError(f"{caller}: prime: got shape {unread.shape}, want (N,) or (N, B) with at least one id")
        if unread.dtype.kind not in "iu":
            raise TypeError(f"{caller}: prime: got {unread.dtype}, want integers")
        self.single = unread.ndim == 1
        self.unread = unread[:, None] if self.single else unread
        self.model, self.state = model, state
        self.rng = nn.init.as_generator(rng, caller)
        self.temperature, self.top_k, self.top_p = temperature, top_k, top_p
        check_type(caller, (list, tuple), "a list of ids", exclude=exclude)
        check_integer(caller, 0, **{f"exclude[{k}]": id for k, id in enumerate(exclude)})
        self.exclude = list(exclude)

    def step(self) -> Ids:
        """Read what is unread, and return the next ids (B,)."""
        logits, self.state = self.model(self.unread, self.state)
        rows = logits[-1].numpy()
        if self.exclude:
            if max(self.exclude) >= rows.shape[-1]:
                raise ValueError(f"sample: exclude: got {max(self.exclude)}, want ids below {rows.shape[-1]}")
            rows = rows.copy()
            rows[:, self.exclude] = -np.inf
        p = _likely_probabilities(rows, self.temperature, self.top_k, self.top_p)
        ids: Ids = p.argmax(axis=-1) if self.temperature == 0 else _drawn(p, self.rng or nn.default_generator())
        self.unread = ids[None]
        return ids
