"""Encoder-decoder: read all of the input, then generate the output (slides 65–67; Sutskever, Vinyals & Le 2014).

The encoder reads the source; a bridge computes the decoder's first state from the encoder's last one; the decoder
generates token after token, each from the one before it and, with attention, from every step of the encoder.
"""

from __future__ import annotations

from typing import Any

import minigrad as mg
from minigrad import Tensor, nn
from minigrad.validation import as_array, as_tensor, check_flag, check_type, shown

from ..networks.recurrence import Recurrence
from .decoder import Decoder, DecoderState
from .encoder import Encoder
from .io_shapes import parts_of

State = Any


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

    For decoding: `state = model.start(source, source_lengths)`, then `model.step` and `model.select`. `start` drops out
    what the encoder was told to in training mode: call `model.eval()` before.
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
