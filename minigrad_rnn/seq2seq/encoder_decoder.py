"""Encoder-decoder: read all of the input, then generate the output (slides 65–67; Sutskever, Vinyals & Le 2014).

The encoder reads the source; a bridge computes the decoder's first state from the encoder's last one; the decoder
generates token after token, each from the one before it and, with attention, from every step of the encoder.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

import minigrad as mg
from minigrad import Tensor, nn
from minigrad.backend import backend_of
from minigrad.validation import as_array, as_tensor, check_choice, check_flag, check_integer, check_type, shown

from ..cells import Lengths
from ..networks.named import LSTM
from ..networks.recurrence import Recurrence
from .attention import Attention, Memory
from .io_shapes import at_step, check_per_token, fill, parts_of

Array = Any
State = Any


class DecoderState(NamedTuple):
    """The state of a decoder between two steps."""

    recurrent: tuple[Tensor, ...]
    """The recurrence's state, (layers, B, H) each."""
    memory: Memory | None
    """The memory that attention reads; None without attention."""


class Encoder(nn.Module):
    """Embedding → recurrence.

    Args:
        vocab_size: V, for integer ids; None if the source is vectors of embedding_size.
        embedding_size, hidden_size, num_layers, bidirectional: E, H, and as in the recurrence.
        network: the recurrence's class: `LSTM`, `GRU`, …, or `Recurrence` with `cell_type=`.
        rng, dtype: as in the recurrence; `options` are further arguments of it.

    Call: `memory, state = encoder(source, lengths)`: source (S, B) ids or (S, B, E); memory (S, B, output_size), zero
    at padding; state as returned by the recurrence. Ids at padding may be anything.
    """

    @nn.init.undo_draws
    def __init__(
        self,
        vocab_size: int | None,
        embedding_size: int,
        hidden_size: int,
        num_layers: int | tuple[int, int] = 1,
        bidirectional: bool = False,
        network: type[Recurrence] = LSTM,
        rng: nn.init.Rng = None,
        dtype: Any = "float32",
        **options: Any,
    ) -> None:
        super().__init__()
        _check_network("Encoder", network)
        check_integer("Encoder", embedding_size=embedding_size)
        if vocab_size is not None:
            check_integer("Encoder", vocab_size=vocab_size)
        rng = nn.init.as_generator(rng, "Encoder")
        self.embedding = None if vocab_size is None else nn.Embedding(vocab_size, embedding_size, rng=rng, dtype=dtype)
        self.recurrence = network(
            embedding_size, hidden_size, num_layers, bidirectional=bidirectional, rng=rng, dtype=dtype, **options
        )
        _check_time_major("Encoder", self.recurrence)

    @property
    def output_size(self) -> int:
        """The number of features of one step of the memory."""
        top, net = self.recurrence.cells[-1].state_sizes[0], self.recurrence
        return top * 2 if net.bidirectional and net.merge == "concat" else top

    def forward(self, source: Any, lengths: Any = None) -> tuple[Tensor, State]:
        if self.embedding is not None:
            ids, _ = _check_ids("Encoder", "source", source, lengths, self.embedding)
            source = self.embedding(ids)
        return self.recurrence(source, lengths=lengths)


class Bridge(nn.Module):
    """The decoder's first state from the encoder's last: s = tanh(W [every array of every cell] + b).

    Any encoder fits any decoder: with two directions, other depths, other sizes, an LSTM before a GRU. The parameters
    are the submodules `h`, `c`, …, one for each array of the decoder's state (after Bahdanau et al. 2015, A.2.2).

    Args:
        encoder, decoder: the two recurrences.
        rng: draws the initial weights: a generator, a seed, or None for the default generator.
        dtype: of the parameters.

    Call: `state = bridge(state)`, from the encoder's last state to the decoder's first.
    """

    @nn.init.undo_draws
    def __init__(
        self, encoder: Recurrence, decoder: Recurrence, rng: nn.init.Rng = None, dtype: Any = "float32"
    ) -> None:
        super().__init__()
        check_type("Bridge", Recurrence, "a recurrence", encoder=encoder, decoder=decoder)
        rng = nn.init.as_generator(rng, "Bridge")
        width = sum(sum(cell.state_sizes) for cell in encoder.cells)
        cells = decoder.cells
        self.names, self.shapes = cells[0].state_names, [(len(cells), size) for size in cells[0].state_sizes]
        for name, (layers, size) in zip(self.names, self.shapes):
            setattr(self, name, nn.Linear(width, layers * size, rng=rng, dtype=dtype))

    def forward(self, state: State) -> tuple[Tensor, ...]:
        parts = parts_of(state)
        if not parts:
            raise ValueError("Bridge: state: got no arrays, want the encoder's state")
        for part in parts:
            if as_tensor("Bridge", "state", part).ndim != 3:
                raise ValueError(f"Bridge: state: got shape {tuple(part.shape)}, want (cells, B, H)")
        B = parts[0].shape[1]
        rows = mg.concatenate([part[k] for part in parts for k in range(part.shape[0])], axis=-1)
        layers = [mg.tanh(getattr(self, name)(rows)) for name in self.names]
        return tuple(mg.swapaxes(mg.reshape(s, (B, *shape)), 0, 1) for s, shape in zip(layers, self.shapes))


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
        **options: Any,
    ) -> None:
        super().__init__()
        check_choice("Decoder", ("before", "after"), attend=attend)
        _check_network("Decoder", network)
        check_integer("Decoder", vocab_size=vocab_size, embedding_size=embedding_size)
        if attention is not None and not isinstance(attention, Attention):
            raise TypeError(f"Decoder: attention: got {type(attention).__name__}, want an Attention or None")
        context_size = attention.key_size if attention is not None else 0
        self.attend, self.attention = attend, attention
        rng = nn.init.as_generator(rng, "Decoder")
        self.embedding = nn.Embedding(vocab_size, embedding_size, rng=rng, dtype=dtype)
        width = embedding_size + (context_size if attend == "before" else 0)
        self.recurrence = network(width, hidden_size, num_layers, rng=rng, dtype=dtype, **options)
        _check_time_major("Decoder", self.recurrence)
        for option in ("bidirectional", "reverse"):
            if getattr(self.recurrence, option):
                raise ValueError(f"Decoder: {option}: got True, want False: later tokens are not known yet")
        top = self.recurrence.cells[-1].state_sizes[0]
        if attention is not None and attention.query_size != top:
            raise ValueError(f"Decoder: attention: got query_size {attention.query_size}, want {top}, the size of h")
        self.mix = nn.Linear(top + context_size, top, rng=rng, dtype=dtype) if context_size else None
        self.readout = nn.Linear(top, vocab_size, rng=rng, dtype=dtype)

    def forward(
        self, ids: Any, state: DecoderState, lengths: Any = None, forced: Any = None, draws: Any = None
    ) -> tuple[Tensor, Tensor | None, DecoderState]:
        if not isinstance(state, DecoderState):
            raise TypeError(f"Decoder: state: got {type(state).__name__}, want a DecoderState")
        backend = backend_of(self.readout.weight._array)
        ids, spans = _check_ids("Decoder", "ids", ids, lengths, self.embedding)
        T, B = ids.shape
        if state.recurrent[0].shape[1] != B:
            raise ValueError(f"Decoder: ids: got {B} sequences, want {state.recurrent[0].shape[1]} as in the state")
        if draws is not None and forced is None:
            raise ValueError("Decoder: draws: got some without forced, want both")
        forced = None if forced is None else check_per_token("Decoder", "forced", forced, "b", (T, B))
        draws = None if draws is None else backend.from_numpy(check_per_token("Decoder", "draws", draws, "f", (T, B)))
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
                y, weights, state = self._advance(self.embedding(tokens)[None], state, None, at_step(masks, t))
                if spans is not None and t >= spans.shortest:  # a sequence that has ended keeps its last state
                    parts = tuple(mg.where(spans.valid[t], new, old) for new, old in zip(state.recurrent, previous))
                    state = DecoderState(parts, state.memory)
                all_logits.append(y[0])
                all_weights += [] if weights is None else [weights[0]]
            logits, weights = mg.stack(all_logits), mg.stack(all_weights) if all_weights else None
        else:
            logits, weights, state = self._advance(self.embedding(ids), state, lengths, None)
        if spans is not None and not spans.full:
            logits = fill(logits, spans.valid, 0)
            weights = None if weights is None else fill(weights, spans.valid, 0)
        return logits, weights, state

    def _advance(
        self, es: Tensor, state: DecoderState, lengths: Any, masks: Any
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
        return self.readout(hs), weights, DecoderState(parts_of(recurrent), state.memory)

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


class EncoderDecoder(nn.Module):
    """Delayed many-to-many: an encoder, a bridge, a decoder.

    Args:
        encoder, decoder: an `Encoder` and a `Decoder`; the key_size of an attention is the encoder's output_size.
        bridge: "linear" for a `Bridge`; "copy" passes the last state on unchanged, which needs equal shapes; or a
            module that is called with the encoder's state and returns the decoder's arrays as a tuple.
        batch_first: whether the batch is the first axis of ids and results.
        rng, dtype: of the bridge.

    Call: `logits, weights = model(source, target, source_lengths, target_lengths, forced, draws)`.
        source: ids (S, B), or vectors (S, B, E) for an encoder without a vocabulary.
        target: ids (T, B), the tokens fed to the decoder: the beginning token, then the true tokens one step later.
        source_lengths, target_lengths: (B,). forced, draws: as in `Decoder`, (T, B), or (B, T) with batch_first.
        logits: (T, B, V). weights: (T, B, S), or None.

    For decoding: `state = model.start(source, source_lengths)`, then `model.step` and `model.select`.
    """

    @nn.init.undo_draws
    def __init__(
        self,
        encoder: Encoder,
        decoder: Decoder,
        bridge: str | nn.Module = "linear",
        batch_first: bool = False,
        rng: nn.init.Rng = None,
        dtype: Any = "float32",
    ) -> None:
        super().__init__()
        check_type("EncoderDecoder", Encoder, "an Encoder", encoder=encoder)
        check_type("EncoderDecoder", Decoder, "a Decoder", decoder=decoder)
        check_flag("EncoderDecoder", batch_first=batch_first)
        rng = nn.init.as_generator(rng, "EncoderDecoder")
        attention, size = decoder.attention, encoder.output_size
        if attention is not None and attention.key_size != size:
            got = f"an attention with key_size {attention.key_size}"
            raise ValueError(f"EncoderDecoder: decoder: got {got}, want {size}, the encoder's output_size")
        if isinstance(bridge, str) and bridge == "linear":
            bridge = Bridge(encoder.recurrence, decoder.recurrence, rng=rng, dtype=dtype)
        elif isinstance(bridge, str) and bridge == "copy":
            shapes = [[cell.state_sizes for cell in net.recurrence.cells] for net in (encoder, decoder)]
            if shapes[0] != shapes[1]:
                got = f"'copy' for states {shapes[0]} and {shapes[1]}"
                raise ValueError(f"EncoderDecoder: bridge: got {got}, want equal")
        elif not isinstance(bridge, nn.Module):
            raise ValueError(f"EncoderDecoder: bridge: got {shown(bridge)}, want 'linear', 'copy' or a Module")
        self.encoder, self.decoder, self.batch_first = encoder, decoder, batch_first
        self.bridge = bridge if isinstance(bridge, nn.Module) else None

    def start(self, source: Any, source_lengths: Any = None) -> DecoderState:
        """Return the decoder's state before its first step, from the `source` and its `source_lengths` (B,)."""
        memory, state = self.encoder(self._swap_axes(source), source_lengths)
        attention = self.decoder.attention
        return DecoderState(
            parts_of(state if self.bridge is None else self.bridge(state)),
            None if attention is None else attention.prepare(memory, source_lengths),
        )

    def forward(
        self,
        source: Any,
        target: Any,
        source_lengths: Any = None,
        target_lengths: Any = None,
        forced: Any = None,
        draws: Any = None,
    ) -> tuple[Tensor, Tensor | None]:
        state = self.start(source, source_lengths)
        target, forced, draws = map(self._swap_axes, (target, forced, draws))
        logits, weights, _ = self.decoder(target, state, target_lengths, forced, draws)
        return self._swap_axes(logits), self._swap_axes(weights)

    def step(self, tokens: Any, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Return log probabilities (N, V) of the next token after the last `tokens` (N,), and the new state."""
        return self.decoder.step(tokens, state)

    def select(self, state: DecoderState, rows: Any) -> DecoderState:
        """Return the state of the sequences `rows`, host integers (N,), in this order."""
        return self.decoder.select(state, rows)

    def _swap_axes(self, x: Any) -> Any:
        """Exchange the time and batch axes of x, if there is one, if the model is batch_first."""
        if x is None or not self.batch_first:
            return x
        return (x if isinstance(x, Tensor) else as_array(x, "EncoderDecoder", "x")).swapaxes(0, 1)


def _choose_tokens(xp: Any, logits: Array, draws: Array | None) -> Array:
    """Tokens (B,) from logits (B, V): the most probable ones, or as `sampling.draw` chooses with the numbers draws."""
    if draws is None:
        return xp.argmax(logits, axis=-1)
    z = logits.astype(np.float64)
    cumulative = xp.cumsum(xp.exp(z - xp.max(z, axis=-1, keepdims=True)), axis=-1)
    return xp.sum(cumulative <= draws[:, None] * cumulative[:, -1:], axis=-1)


def _check_network(name: str, network: Any) -> None:
    if not isinstance(network, type) or not issubclass(network, Recurrence):
        raise TypeError(f"{name}: network: got {shown(network)}, want a class such as LSTM")


def _check_time_major(name: str, recurrence: Recurrence) -> None:
    if recurrence.batch_first:
        raise ValueError(f"{name}: batch_first: got True, want False; EncoderDecoder has its own batch_first")


def _check_ids(
    name: str, argument: str, ids: Any, lengths: Any, embedding: nn.Embedding
) -> tuple[Array, Lengths | None]:
    """Ids (T, B), 0 at padding, on the embedding's backend; ids from the host are checked to be below V."""
    array, backend, V = as_array(ids, name, argument), backend_of(embedding.weight._array), embedding.num_embeddings
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name}: {argument}: got dtype {array.dtype}, want integers")
    if array.ndim != 2 or not array.size:
        raise ValueError(f"{name}: {argument}: got shape {tuple(array.shape)}, want (T, B) with at least one of each")
    spans = None if lengths is None else Lengths(lengths, array.shape[0], array.shape[1], backend, name)
    if spans is not None and not spans.full:
        array = array * backend_of(array).from_numpy(np.arange(array.shape[0])[:, None] < spans.host)
    if isinstance(array, np.ndarray):
        if ((array < 0) | (array >= V)).any():
            raise ValueError(f"{name}: {argument}: got ids from {array.min()} to {array.max()}, want 0 to {V - 1}")
        array = backend.from_numpy(array)
    return array, spans
