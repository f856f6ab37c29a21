"""Decode sequences token by token: greedy, sampled, or by beam search.

The model needs two methods (`StepModel`), so the user's own models fit. Their results may be on any backend; the log
probabilities of each step are copied to the host once, where tokens are chosen in float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import groupby
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from minigrad import Tensor, nn
from minigrad.arguments_of import arguments_of
from minigrad.backend import to_numpy
from minigrad.nn.inference import inference
from minigrad.validation import check_integer, check_number, shown

from .sampling import draw

State = Any
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class StepModel(Protocol):
    """The methods that decoding needs. `Decoder` and `EncoderDecoder` have them."""

    def step(self, tokens: Any, state: State) -> tuple[Any, State]:
        """Return the next log probabilities (N, V) and the new state, from the last tokens, host integers (N,)."""

    def select(self, state: State, rows: Any) -> State:
        """Return the state of the sequences `rows`, host integers, in this order; a row may appear more than once."""


class Hypothesis(NamedTuple):
    """A decoded sequence."""

    tokens: list[int]
    """Without the beginning token; the last one is the end token if `finished`."""
    log_prob: float
    """Σ log p of the tokens, in nats."""
    score: float
    """The rank among hypotheses: log_prob / length_penalty(len(tokens))."""
    finished: bool
    """Whether the sequence ends in the end token; False if max_length came first."""


def length_penalty(length: int, alpha: float) -> float:
    """Return ((5 + length) / 6)^alpha (Wu et al. 2016, equation 14): 1 for alpha = 0; more favours long sequences."""
    return float(((5.0 + length) / 6.0) ** alpha)


def greedy_decode(
    model: StepModel, state: State, batch: int, begin: int, end: int | None = None, max_length: int = 100
) -> list[Hypothesis]:
    """Return one hypothesis for each sequence: of the most probable token at each step, the first of equals.

    Args:
        model: a `Decoder`, an `EncoderDecoder`, or anything with their `step(tokens, state)` and `select(state, rows)`
            (`StepModel`). A `Module` is in evaluation mode meanwhile; nothing is recorded.
        state: of `batch` sequences before the first step, such as from `EncoderDecoder.start`.
        batch: how many sequences.
        begin: the token fed first.
        end: the token that ends a sequence; None if there is none.
        max_length: the largest number of tokens, at least 1.

    Raises:
        ValueError: batch or max_length below 1, an end that is not a token, log probabilities that are not (N, V), are
            above 0 or NaN.
    """
    return _decode("greedy_decode", model, state, batch, begin, end, max_length, lambda row: int(row.argmax()))


@arguments_of(greedy_decode)
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
    """Draw each token from the model's distribution. Returns one hypothesis for each sequence.

    A hypothesis's `log_prob` is the model's, before the temperature, top_k and top_p.

    Args:
        temperature: divides the log probabilities first; at 0 the most probable token is taken.
        top_k: draw from the k most probable tokens only (Fan, Lewis & Dauphin 2018); None for all.
        top_p: draw from the fewest tokens, most probable first, whose total probability is at least p (Holtzman et al.
            2020); None for all.
        rng: for one uniform number per token, sequence after sequence in each step: a generator, a seed, or None for
            the default generator.
    """
    rng = nn.init.as_generator(rng, "sample_decode")

    def choose(row: Floats) -> int:
        return draw(row, temperature, rng, top_k=top_k, top_p=top_p)

    return _decode("sample_decode", model, state, batch, begin, end, max_length, choose)


@arguments_of(greedy_decode)
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
    """Return the best sequences that a beam search finds, for each of `batch` sequences.

    In every step each hypothesis is continued with every token, and the `beam_width` most probable continuations of a
    sequence survive; those that end are set aside and keep their rank. The search stops early only if no continuation
    can overtake the n best, which is certain because log probabilities only fall. Width 1 is `greedy_decode`; width
    V^max_length is the exhaustive search.

    Args:
        beam_width: hypotheses alive for each sequence, at least 1. The whole batch goes through the model together.
        alpha: at least 0; the score is log_prob / ((5 + length) / 6)^alpha (Wu et al. 2016), and more favours long
            sequences.
        n_best: how many hypotheses to return, 1 to beam_width.

    Returns:
        For each sequence at most n_best hypotheses, the best score first. Those still alive at max_length are ranked
        together with the finished ones, with finished=False.

    Raises:
        ValueError: a width, alpha or n_best out of range.
    """
    check_integer("beam_search", batch=batch, max_length=max_length, beam_width=beam_width, n_best=n_best)
    check_number("beam_search", 0, alpha=alpha)
    if alpha > 100:
        raise ValueError(f"beam_search: alpha: got {alpha!r}, want a number of at most 100")
    _check_model("beam_search", model, begin, end)
    if n_best > beam_width:
        raise ValueError(f"beam_search: n_best: got {n_best!r}, want 1 to beam_width, {beam_width}")
    best: list[list[Hypothesis]] = [[] for _ in range(batch)]
    # The hypotheses alive, in the order of the state's rows: (sequence of the batch, tokens, log probability).
    alive: list[tuple[int, list[int], float]] = [(b, [], 0.0) for b in range(batch)]
    last = np.full(batch, begin, np.int64)
    with inference(model):
        for length in range(1, max_length + 1):
            log_probs, state = _step("beam_search", model, last, state, end)
            V, survivors = log_probs.shape[1], []
            # A sequence's rows are neighbours: survivors are appended sequence by sequence.
            for b, group in groupby(range(len(alive)), key=lambda row: alive[row][0]):
                first, *others = group
                own_rows = range(first, first + 1 + len(others))
                totals = np.array([alive[row][2] for row in own_rows])[:, None] + log_probs[first : own_rows.stop]
                continued: list[tuple[int, int, list[int], float]] = []  # the row that it continues comes first
                for index in _largest(totals.ravel(), beam_width):
                    token, row = int(index % V), own_rows[int(index) // V]
                    total = float(totals[index // V, token])
                    if total == -math.inf:
                        break
                    tokens = [*alive[row][1], token]
                    if token == end or length == max_length:
                        best[b].append(_hypothesis(tokens, total, alpha, end))
                    else:
                        continued.append((row, b, tokens, total))
                best[b] = _ranked(best[b])[:n_best]
                # The penalty is largest at max_length, so no continuation can score better than this.
                bound = max((total for *_, total in continued), default=-math.inf) / length_penalty(max_length, alpha)
                if len(best[b]) < n_best or bound > best[b][-1].score:
                    survivors += continued
            if not survivors:
                break
            alive = [(b, tokens, total) for _, b, tokens, total in survivors]
            state = model.select(state, np.array([row for row, *_ in survivors], np.int64))
            last = np.array([tokens[-1] for _, tokens, _ in alive], np.int64)
    return best


def _decode(
    name: str,
    model: StepModel,
    state: State,
    batch: int,
    begin: int,
    end: int | None,
    max_length: int,
    choose: Callable[[Floats], int],
) -> list[Hypothesis]:
    """One hypothesis per sequence; `choose` selects a token from the log probabilities (V,)."""
    check_integer(name, batch=batch, max_length=max_length)
    _check_model(name, model, begin, end)
    sequences: list[list[int]] = [[] for _ in range(batch)]
    totals = [0.0] * batch
    alive, last = list(range(batch)), np.full(batch, begin, np.int64)
    with inference(model):
        for length in range(max_length):
            log_probs, state = _step(name, model, last, state, end)
            for row, b in enumerate(alive):
                token = choose(log_probs[row])
                sequences[b].append(token)
                totals[b] += float(log_probs[row, token])
            rows = [row for row, b in enumerate(alive) if sequences[b][-1] != end]
            if not rows or length == max_length - 1:
                break
            if len(rows) < len(alive):
                alive = [alive[row] for row in rows]
                state = model.select(state, np.array(rows, np.int64))
            last = np.array([sequences[b][-1] for b in alive], np.int64)
    return [_hypothesis(tokens, total, 0.0, end) for tokens, total in zip(sequences, totals)]


def _check_model(name: str, model: Any, begin: Any, end: Any) -> None:
    """Check the model and the tokens; whether they are below V is seen in the first step."""
    if not callable(getattr(model, "step", None)) or not callable(getattr(model, "select", None)):
        raise TypeError(f"{name}: model: got {shown(model)}, want one with the methods step and select")
    check_integer(name, 0, begin=begin)
    if end is not None:
        check_integer(name, 0, end=end)


def _hypothesis(tokens: list[int], log_prob: float, alpha: float, end: int | None) -> Hypothesis:
    return Hypothesis(tokens, log_prob, log_prob / length_penalty(len(tokens), alpha), tokens[-1] == end)


def _largest(values: Floats, k: int) -> Ints:
    """The indices of the k largest values, the largest first and the first of equals; fewer than k of a short array."""
    if k < values.size:
        # A sort of all would be most of a search's time. All that equal the k-th largest are kept: the first count.
        candidates = np.flatnonzero(values >= np.partition(values, values.size - k)[values.size - k])
    else:
        candidates = np.arange(values.size)
    return candidates[np.argsort(-values[candidates], kind="stable")[:k]]


def _ranked(hypotheses: list[Hypothesis]) -> list[Hypothesis]:
    return sorted(hypotheses, key=lambda h: -h.score)


def _step(name: str, model: StepModel, tokens: Ints, state: State, end: int | None) -> tuple[Floats, State]:
    """One step of the model; its log probabilities are checked and copied to the host, the only copy per step."""
    result, state = model.step(tokens, state)
    log_probs = result.numpy() if isinstance(result, Tensor) else to_numpy(result)
    if log_probs.ndim != 2 or log_probs.shape[0] != len(tokens) or not log_probs.shape[1]:
        want = f"({len(tokens)}, V)"
        raise ValueError(f"{name}: model.step: got log probabilities of shape {log_probs.shape}, want {want}")
    if end is not None and not 0 <= end < log_probs.shape[1]:
        raise ValueError(f"{name}: end: got {end!r}, want a token from 0 to {log_probs.shape[1] - 1}, or None")
    if np.isnan(log_probs).any() or (log_probs > 1e-3).any():
        raise ValueError(f"{name}: model.step: got NaN or numbers above 0, want log probabilities")
    return log_probs.astype(np.float64), state
