"""Saying a sequence, token by token: the most probable token each time, a random one, or the best of a beam.

The model is seen through two methods (`StepModel`), so that any model of one's own fits. What the methods return may
live on any backend; the log probabilities of each step come to the host once, where the choice is made in float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from minigrad import Tensor, nn
from minigrad.backend import to_numpy
from minigrad.nn.inference import inference

from ..validation import check_whole
from .sampling import draw, probabilities

State = Any
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class StepModel(Protocol):
    """What decoding asks of a model. `Decoder` and `EncoderDecoder` are such models."""

    def step(self, tokens: Any, state: State) -> tuple[Any, State]:
        """The last tokens, host integers (N,), and the state → log probabilities (N, V) of the next, and the state."""

    def select(self, state: State, rows: Any) -> State:
        """The state of the sequences at `rows`, host integers, in that order; a row may be named more than once."""


class Hypothesis(NamedTuple):
    """One sequence that a decoder says."""

    tokens: list[int]
    """Without the beginning token; the last one is the end token where `finished`."""
    log_prob: float
    """Σ log p of the tokens, in nats."""
    score: float
    """By what hypotheses are ranked: log_prob / length_penalty(len(tokens))."""
    finished: bool
    """Whether the end token was said; False where the length ran out first."""


def length_penalty(length: int, alpha: float) -> float:
    """((5 + length) / 6)^alpha (Wu et al. 2016, equation 14). With alpha = 0 it is 1; more favours longer sequences."""
    return float(((5.0 + length) / 6.0) ** alpha)


def greedy_decode(
    model: StepModel, state: State, batch: int, begin: int, end: int | None = None, max_length: int = 100
) -> list[Hypothesis]:
    """Each time the most probable token, the first of equals.

    Args:
        model: see `StepModel`. A `Module` is put into evaluation mode meanwhile; nothing is recorded.
        state: of `batch` sequences before the first step, such as `EncoderDecoder.start` gives.
        begin: the token fed first. end: the token that ends a sequence; None where none does.
        max_length: at most so many tokens are said, at least 1.

    Returns:
        One hypothesis for each sequence.

    Raises:
        ValueError: batch or max_length below 1, an end that is no token, log probabilities that are no (N, V) or NaN.
    """
    return _one_each("greedy_decode", model, state, batch, begin, end, max_length, lambda row: int(row.argmax()))


def sample_decode(
    model: StepModel,
    state: State,
    batch: int,
    begin: int,
    end: int | None = None,
    max_length: int = 100,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    rng: nn.init.Rng = None,
) -> list[Hypothesis]:
    """Each time a token drawn from the model's distribution, as `sampling.draw` does it.

    Args:
        temperature: divides the log probabilities first; at 0 the most probable token is taken.
        top_k, top_p: see `likely`.
        rng: one uniform number for each token said, sequence after sequence in each step: a generator, a seed, or None
            for the default generator.
        The others, the result and the errors: as in `greedy_decode`. `log_prob` is the model's, before the temperature
        and the cuts.
    """
    rng = nn.init.as_generator(rng, "sample_decode")

    def choose(row: Floats) -> int:
        return draw(likely(row, temperature, top_k, top_p), temperature, rng)

    return _one_each("sample_decode", model, state, batch, begin, end, max_length, choose)


def likely(
    logits: npt.ArrayLike, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None
) -> Floats:
    """The logits (V,) of the likely ids, and −∞ for all others.

    Args:
        temperature: at which `top_p` looks at the probabilities.
        top_k: keep the k most probable ids (Fan, Lewis & Dauphin 2018), of equals the first.
        top_p: of those keep the fewest, most probable first, whose probability together is at least p (Holtzman et
            al. 2020); never less than one.

    Raises:
        ValueError: top_k below 1, top_p outside (0, 1], a bad temperature or logit.
    """
    z = np.array(logits, dtype=np.float64)
    if top_k is not None:
        check_whole("likely", "top_k", top_k)
        z[np.argsort(-z, kind="stable")[top_k:]] = -np.inf
    if top_p is not None:
        if not 0 < top_p <= 1:
            raise ValueError(f"likely: top_p: got {top_p!r}, want a number above 0 and at most 1")
        p = probabilities(z, temperature)
        order = np.argsort(-p, kind="stable")
        # An id stays while those before it do not reach top_p.
        before = np.cumsum(p[order]) - p[order]
        z[order[1:][before[1:] >= top_p]] = -np.inf
    return z


def beam_search(
    model: StepModel,
    state: State,
    batch: int,
    begin: int,
    end: int | None = None,
    max_length: int = 100,
    beam_width: int = 4,
    alpha: float = 0.0,
    n_best: int = 1,
) -> list[list[Hypothesis]]:
    """The best sequences that a beam finds, for each of `batch` sequences.

    In every step each hypothesis is continued with every token, and the `beam_width` most probable continuations of a
    sequence survive; those that end are put aside and keep their rank. It stops early only where no continuation could
    overtake the n best any more, which is sure because log probabilities only fall. Width 1 is `greedy_decode`; a width
    of V^max_length is the search through everything.

    Args:
        beam_width: hypotheses alive for each sequence, at least 1. All of a batch go through the model together.
        alpha: of `length_penalty`, at least 0.
        n_best: how many to return, 1 to beam_width.
        The others: as in `greedy_decode`.

    Returns:
        For each sequence at most n_best hypotheses, the best score first. Those that were alive at max_length are
        ranked beside the finished ones, with finished=False.

    Raises:
        ValueError: as in `greedy_decode`; a width, alpha or n_best out of range.
    """
    given = {"batch": batch, "max_length": max_length, "beam_width": beam_width, "n_best": n_best}
    for argument, value in given.items():
        check_whole("beam_search", argument, value)
    if not 0 <= alpha < math.inf:
        raise ValueError(f"beam_search: alpha: got {alpha!r}, want a finite number of at least 0")
    if n_best > beam_width:
        raise ValueError(f"beam_search: n_best: got {n_best!r}, want 1 to beam_width, {beam_width}")
    done: list[list[Hypothesis]] = [[] for _ in range(batch)]
    # Alive: (which sequence, what it said, its log probability), in the order of the state's rows.
    alive: list[tuple[int, list[int], float]] = [(b, [], 0.0) for b in range(batch)]
    tokens = np.full(batch, begin, np.int64)
    with inference(model):
        for length in range(1, max_length + 1):
            log_probs, state = _step("beam_search", model, tokens, state, end)
            V, survivors, rows = log_probs.shape[1], [], []
            for b in sorted({b for b, _, _ in alive}):
                mine = [k for k, (owner, _, _) in enumerate(alive) if owner == b]
                totals = (np.array([alive[k][2] for k in mine])[:, None] + log_probs[mine]).ravel()
                ours: list[tuple[int, tuple[int, list[int], float]]] = []
                for place in np.argsort(-totals, kind="stable")[:beam_width]:
                    total, token, row = float(totals[place]), int(place % V), mine[int(place) // V]
                    if total == -math.inf:
                        break
                    said = [*alive[row][1], token]
                    if token == end or length == max_length:
                        done[b].append(_hypothesis(said, total, alpha, end))
                    else:
                        ours.append((row, (b, said, total)))
                done[b] = _ranked(done[b])[:n_best]
                best = max((total for _, (_, _, total) in ours), default=-math.inf)
                # The penalty is largest at max_length, so this is the best that may come of any of them.
                hopeless = len(done[b]) == n_best and best / length_penalty(max_length, alpha) <= done[b][-1].score
                if not hopeless:
                    rows += [row for row, _ in ours]
                    survivors += [kept for _, kept in ours]
            alive = survivors
            if not alive:
                break
            state = model.select(state, np.array(rows, np.int64))
            tokens = np.array([said[-1] for _, said, _ in alive], np.int64)
    return done


def _one_each(
    name: str,
    model: StepModel,
    state: State,
    batch: int,
    begin: int,
    end: int | None,
    max_length: int,
    choose: Callable[[Floats], int],
) -> list[Hypothesis]:
    """One sequence each, by a choice of the token from the log probabilities (V,)."""
    check_whole(name, "batch", batch)
    check_whole(name, "max_length", max_length)
    said: list[list[int]] = [[] for _ in range(batch)]
    totals = [0.0] * batch
    alive, tokens = list(range(batch)), np.full(batch, begin, np.int64)
    with inference(model):
        for length in range(max_length):
            log_probs, state = _step(name, model, tokens, state, end)
            for row, b in enumerate(alive):
                token = choose(log_probs[row])
                said[b].append(token)
                totals[b] += float(log_probs[row, token])
            rows = [row for row, b in enumerate(alive) if said[b][-1] != end]
            if not rows or length == max_length - 1:
                break
            if len(rows) < len(alive):
                alive = [alive[row] for row in rows]
                state = model.select(state, np.array(rows, np.int64))
            tokens = np.array([said[b][-1] for b in alive], np.int64)
    return [_hypothesis(tokens_, total, 0.0, end) for tokens_, total in zip(said, totals)]


def _hypothesis(tokens: list[int], log_prob: float, alpha: float, end: int | None) -> Hypothesis:
    return Hypothesis(tokens, log_prob, log_prob / length_penalty(len(tokens), alpha), tokens[-1] == end)


def _ranked(hypotheses: list[Hypothesis]) -> list[Hypothesis]:
    return sorted(hypotheses, key=lambda h: -h.score)


def _step(name: str, model: StepModel, tokens: Ints, state: State, end: int | None) -> tuple[Floats, State]:
    """One step, and its log probabilities on the host: the one trip there."""
    made, state = model.step(tokens, state)
    log_probs = made.numpy() if isinstance(made, Tensor) else to_numpy(made)
    if log_probs.ndim != 2 or log_probs.shape[0] != len(tokens) or not log_probs.shape[1]:
        raise ValueError(
            f"{name}: model.step: got log probabilities of shape {log_probs.shape}, want ({len(tokens)}, V)"
        )
    if end is not None and not 0 <= end < log_probs.shape[1]:
        raise ValueError(f"{name}: end: got {end!r}, want a token from 0 to {log_probs.shape[1] - 1}, or None")
    if np.isnan(log_probs).any() or (log_probs > 1e-3).any():
        raise ValueError(f"{name}: model.step: got NaN or numbers above 0, want log probabilities")
    return log_probs.astype(np.float64), state
