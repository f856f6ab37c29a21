"""Decoder writes a target token by token, each from the one before it and, with attention, from a memory."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

import minigrad as mg
from minigrad import Tensor, nn
from minigrad.backend import backend_of
from minigrad.validation import as_array, check_choice, check_integer, check_probability, check_type

from ..networks.named import LSTM
from ..networks.recurrence import Recurrence
from .attention import Attention, Memory
from .io_shapes import at_step, check_per_token, fill, parts_of
from .validation import check_ids, check_network, check_time_major

Array = Any


class DecoderState(NamedTuple):
    """The state of a decoder between two steps."""

    recurrent: tuple[Tensor, ...]
    """The recurrence's state, (layers, B, H) each."""
    memory: Memory | None
    """The memory that attention reads; None without attention."""


class Decoder(nn.Module):
    """Embedding → recurrence → readout, optionally with attention.

        attend="before": c(t) = attention(h(t−1));  h(t) = f([e(t); c(t)], h(t−1))   (Bahdanau et al. 2015)
        attend="after":  h(t) = f(e(t), h(t−1));    c(t) = attention(h(t))           (Luong et al. 2015)
        y(t) = Wo tanh(Wm [h(t); c(t)]),  or without attention  y(t) = Wo h(t) + bo

    h is the top layer's. Wm and bm are the submodule `mix`, Wo and bo `readout`.

    Args:
        vocab_size, embedding_size, hidden_size, num_layers: V, E, H and L.
        network: the recurrence's class, in one direction; `options` are further arguments of it, such as `cell_type`.
        attention: an `Attention` whose query_size is the size of the top layer's h, or None.
        attend: "before" or "after" the step.
        rng, dtype: as in the recurrence.
        embedding_dropout: the probability with which a feature of e(t) is dropped, in training.
        output_dropout: the same of a feature of what Wo reads.

    Call: `logits, weights, state = decoder(ids, state, lengths, forced, draws)`.
        ids: (T, B), the tokens fed: the beginning token first, then the true tokens.
        state: a `DecoderState`.
        lengths: (B,), how many of the T steps count; logits and weights beyond are zero, and ids there may be anything.
            The returned state is that after each sequence's last step.
        forced: (T, B) booleans on the host, as from `TeacherForcing.draw`: where False, the decoder is fed a token of
            its own last step in place of ids[t]. ids[0] is always fed. None for all True. No gradient passes through
            the choice of a token.
        draws: how that token is chosen. None for the most probable one; numbers in [0, 1) (T, B) on the host, such as
            rng.random((T, B)), for one drawn from the model's distribution (Bengio et al. 2015).
        logits: (T, B, V). weights: (T, B, S), or None without attention.
    """

    @nn.init.undo_draws
    def __init__(
        self,
        vocab_size: int,
        embedding_size: int,
        hidden_size: int,
        num_layers: int = 1,
        network: type[Recurrence] = LSTM,
        attention: Attention | None = None,
        attend: str = "before",
        rng: nn.init.Rng = None,
        dtype: Any = "float32",
        embedding_dropout: float = 0.0,
        output_dropout: float = 0.0,
        **options: Any,
    ) -> None:
        super().__init__()
        check_choice("Decoder", ("before", "after"), attend=attend)
        check_network("Decoder", network)
        check_integer("Decoder", vocab_size=vocab_size, embedding_size=embedding_size)
        if attention is not None and not isinstance(attention, Attention):
            raise TypeError(f"Decoder: attention: got {type(attention).__name__}, want an Attention or None")
        context_size = attention.key_size if attention is not None else 0
        self.attend, self.attention = attend, attention
        rng = nn.init.as_generator(rng, "Decoder")
        self.embedding = nn.Embedding(vocab_size, embedding_size, rng=rng, dtype=dtype)
        width = embedding_size + (context_size if attend == "before" else 0)
        self.recurrence = network(width, hidden_size, num_layers, rng=rng, dtype=dtype, **options)
        check_time_major("Decoder", self.recurrence)
        for option in ("bidirectional", "reverse"):
            if getattr(self.recurrence, option):
                raise ValueError(f"Decoder: {option}: got True, want False: later tokens are not known yet")
        top = self.recurrence.cells[-1].state_sizes[0]
        if attention is not None and attention.query_size != top:
            raise ValueError(f"Decoder: attention: got query_size {attention.query_size}, want {top}, the size of h")
        self.mix = nn.Linear(top + context_size, top, rng=rng, dtype=dtype) if context_size else None
        self.readout = nn.Linear(top, vocab_size, rng=rng, dtype=dtype)
        check_probability("Decoder", embedding_dropout=embedding_dropout, output_dropout=output_dropout)
        self.embedding_dropout, self.output_dropout = float(embedding_dropout), float(output_dropout)

    def forward(
        self, ids: Any, state: DecoderState, lengths: Any = None, forced: Any = None, draws: Any = None
    ) -> tuple[Tensor, Tensor | None, DecoderState]:
        if not isinstance(state, DecoderState):
            raise TypeError(f"Decoder: state: got {type(state).__name__}, want a DecoderState")
        backend = backend_of(self.readout.weight._array)
        ids, spans = check_ids("Decoder", "ids", ids, lengths, self.embedding)
        T, B = ids.shape
        if state.recurrent[0].shape[1] != B:
            raise ValueError(f"Decoder: ids: got {B} sequences, want {state.recurrent[0].shape[1]} as in the state")
        if draws is not None and forced is None:
            raise ValueError("Decoder: draws: got some without forced, want both")
        forced = None if forced is None else check_per_token("Decoder", "forced", forced, "b", (T, B))
        draws = None if draws is None else backend.from_numpy(check_per_token("Decoder", "draws", draws, "f", (T, B)))
        es_mask = self._mask(self.embedding_dropout, (T, B, self.embedding.embedding_dim))
        hs_mask = self._mask(self.output_dropout, (T, B, self.readout.in_features))
        # Step by step if an input depends on the step before: on its token, or through attention on its h.
        if (forced is not None and not forced[1:].all()) or (self.mix is not None and self.attend == "before"):
            masks = self.recurrence.draw_masks(T, B)
            forced = None if forced is None else backend.from_numpy(forced)
            all_logits: list[Tensor] = []
            all_weights: list[Tensor] = []
            for t in range(T):
                tokens = ids[t]
                if t and forced is not None:
                    own = _choose_tokens(backend.xp, all_logits[-1]._array, None if draws is None else draws[t])
                    tokens = backend.xp.where(forced[t], tokens, own)
                previous = state.recurrent
                es = _dropped(self.embedding(tokens)[None], None if es_mask is None else es_mask[t : t + 1])
                y, weights, state = self._advance(
                    es, state, None, at_step(masks, t), None if hs_mask is None else hs_mask[t : t + 1]
                )
                if spans is not None and t >= spans.shortest:  # a sequence that has ended keeps its last state
                    parts = tuple(mg.where(spans.valid[t], new, old) for new, old in zip(state.recurrent, previous))
                    state = DecoderState(parts, state.memory)
                all_logits.append(y[0])
                all_weights += [] if weights is None else [weights[0]]
            logits, weights = mg.stack(all_logits), mg.stack(all_weights) if all_weights else None
        else:
            es = _dropped(self.embedding(ids), es_mask)
            logits, weights, state = self._advance(es, state, lengths, None, hs_mask)
        if spans is not None and not spans.full:
            logits = fill(logits, spans.valid, 0)
            weights = None if weights is None else fill(weights, spans.valid, 0)
        return logits, weights, state

    def _advance(
        self, es: Tensor, state: DecoderState, lengths: Any, masks: Any, hs_mask: Array | None
    ) -> tuple[Tensor, Tensor | None, DecoderState]:
        """Steps with known inputs es (T, B, E); T is 1 if attention comes before the step."""
        weights, xs, attention = None, es, self.attention
        context: Tensor | None = None
        if attention is not None and state.memory is None:
            raise ValueError("Decoder: state: got no memory, want the result of attention.prepare")
        if attention is not None and state.memory is not None and self.attend == "before":
            # The top layer's h(t−1) is the last row of the first array.
            context, weights = attention.read(state.recurrent[0][-1][None], state.memory)
            xs = mg.concatenate([es, context], axis=-1)
        hs, recurrent = self.recurrence(xs, state.recurrent, lengths=lengths, masks=masks)
        if attention is not None and state.memory is not None and self.attend == "after":
            context, weights = attention.read(hs, state.memory)
        if self.mix is not None and context is not None:
            hs = mg.tanh(self.mix(mg.concatenate([hs, context], axis=-1)))
        return self.readout(_dropped(hs, hs_mask)), weights, DecoderState(parts_of(recurrent), state.memory)

    def _mask(self, p: float, shape: tuple[int, int, int]) -> Array | None:
        """A dropout mask for all steps (T, B, F), drawn before the first: the same whether steps run one by one."""
        if not self.training or not p:
            return None
        weight = self.readout.weight
        return backend_of(weight._array).from_numpy(nn.dropout_mask(shape, p, self.recurrence.rng, weight.dtype))

    # The methods of `search.StepModel`

    def step(self, tokens: Any, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Return log probabilities (N, V) of the next token after the last `tokens` (N,), and the new state."""
        logits, _, state = self(as_array(tokens, "Decoder.step", "tokens")[None], state)
        return mg.log_softmax(logits[0]), state

    def select(self, state: DecoderState, rows: Any) -> DecoderState:
        """Return the state of the sequences `rows`, host integers (N,), in this order."""
        check_type("Decoder.select", DecoderState, "a DecoderState", state=state)
        rows = as_array(rows, "Decoder.select", "rows")
        if rows.dtype.kind not in "iu" or rows.ndim != 1:
            raise TypeError(f"Decoder.select: rows: got {rows.dtype} of shape {rows.shape}, want integers (N,)")
        rows = backend_of(state.recurrent[0]._array).from_numpy(np.asarray(rows, dtype=np.int64))
        memory = None if state.memory is None else state.memory.select(rows)
        return DecoderState(tuple(mg.take(part, rows, axis=1) for part in state.recurrent), memory)


def _dropped(x: Tensor, mask: Array | None) -> Tensor:
    return x if mask is None else mg.multiply(x, mask)


def _choose_tokens(xp: Any, logits: Array, draws: Array | None) -> Array:
    """Tokens (B,) from logits (B, V): the most probable ones, or as `sampling.draw` chooses with the numbers draws."""
    if draws is None:
        return xp.argmax(logits, axis=-1)
    z = logits.astype(np.float64)
    cumulative = xp.cumsum(xp.exp(z - xp.max(z, axis=-1, keepdims=True)), axis=-1)
    return xp.sum(cumulative <= draws[:, None] * cumulative[:, -1:], axis=-1)
