"""`lexicon_of` learns which piece translates which; `LexicalModel` looks up the piece that a decoder attends to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import minigrad as mg
import minigrad_rnn as mr
from minigrad import nn

Array = np.ndarray[Any, Any]
LEAST = 1e-3
"""The probability of a piece that the lexicon does not know, as published."""


def lexicon_of(
    examples: Sequence[tuple[Array, ...]], size: int, nothing: int, rounds: int = 8
) -> tuple[Array, Array, Array]:
    """Return e, f and t(f | e), where it is not 0, by IBM's Model 1 (Brown et al. 1993).

    Nobody says which word of a pair translates which. Expectation maximisation finds it from what stands together in
    many pairs: each f is shared out among the e of its pair by t(f | e), and t is counted anew from the shares.

    Args:
        examples: pairs of ids, source and target.
        size: one more than the largest id.
        nothing: the id of the empty word, which translates what no other does.
        rounds: of expectation and maximisation.
    """
    links, places, place = [], [], 0
    for source, target in examples:
        read = np.concatenate([[nothing], source]).astype(np.int64)
        links.append((read[None, :] + size * target.astype(np.int64)[:, None]).ravel())
        places.append(np.repeat(np.arange(place, place + len(target)), len(read)))
        place += len(target)
    keys, link = np.unique(np.concatenate(links), return_inverse=True)
    where, e = np.concatenate(places), keys % size
    t = np.ones(len(keys))
    for _ in range(rounds):
        share = t[link] / np.bincount(where, t[link])[where]
        joint = np.bincount(link, share)
        t = joint / np.bincount(e, joint, size)[e]
    return e, keys // size, t


class LexicalModel(nn.Module):
    """An encoder-decoder whose logits are helped by a lexicon: z(t) + log(Σ_s α(t, s) t(· | x(s)) + ε).

    What attention reads is looked up as well (Arthur, Neubig & Nakamura 2016, "Incorporating discrete translation
    lexicons into neural machine translation", the bias method). With few pairs a net alone learns rare words badly.

    Args:
        model: with attention.
        lexicon: e, f and t(f | e).

    Buffers: `table`, t(f | e) in row e, (V, V). It is learned from the training pairs again, and not saved.
    """

    table: mg.Tensor

    def __init__(self, model: mr.EncoderDecoder, lexicon: tuple[Array, Array, Array]) -> None:
        super().__init__()
        e, f, t = lexicon
        V = model.decoder.readout.out_features
        table = np.zeros((V, V), np.float32)
        table[e, f] = t
        self.model = model
        self.register_buffer("table", mg.tensor(table, backend=next(model.parameters()).backend), persistent=False)

    def forward(
        self, source: Array, fed: Array, source_lengths: Any = None, target_lengths: Any = None
    ) -> tuple[mg.Tensor, mg.Tensor | None]:
        logits, weights = self.model(source, fed, source_lengths, target_lengths)
        return logits + self._looked_up(weights, source), weights

    def _looked_up(self, weights: mg.Tensor | None, source: Array) -> mg.Tensor:
        """(T, B, V) from the weights (T, B, S) and the source's ids (S, B)."""
        if weights is None:
            raise ValueError("LexicalModel: model: got one without attention, want one with")
        rows = mg.embedding(mg.tensor(source.T, backend=weights.backend), self.table)
        return mg.swapaxes(mg.log(mg.swapaxes(weights, 0, 1) @ rows + LEAST), 0, 1)

    # For decoding: a state is that of the decoder, and the source.

    def start(self, source: Array, source_lengths: Any = None) -> tuple[Any, Array]:
        return self.model.start(source, source_lengths), source

    def step(self, tokens: Any, state: tuple[Any, Array]) -> tuple[mg.Tensor, tuple[Any, Array]]:
        """Return log probabilities (N, V) after the last `tokens` (N,), and the new state."""
        logits, weights, after = self.model.decoder(np.asarray(tokens)[None], state[0])
        return mg.log_softmax((logits + self._looked_up(weights, state[1]))[0]), (after, state[1])

    def select(self, state: tuple[Any, Array], rows: Any) -> tuple[Any, Array]:
        """Return the state of the sequences `rows`, in this order."""
        return self.model.select(state[0], rows), state[1][:, rows]
