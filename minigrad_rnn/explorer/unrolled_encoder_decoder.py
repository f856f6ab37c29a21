"""unrolled_encoder_decoder runs an encoder-decoder step by step, with its attention, and names what it computed."""

from __future__ import annotations

from typing import Any

import minigrad as mg
from minigrad import Tensor

from ..seq2seq.attention import Attention, Memory
from ..seq2seq.decoder import DecoderState
from ..seq2seq.encoder_decoder import EncoderDecoder
from ..seq2seq.io_shapes import parts_of
from .operation_log import Operation, OperationLog, named
from .unrolled import Arrow, Column, Lane, Quantity, Spot, Unrolled
from .unrolled_recurrence import CellStep, record_steps, recurrence_lanes

Array = Any


def unrolled_encoder_decoder(model: EncoderDecoder, source: Any, fed: Array) -> Unrolled:
    """Run `model`, a copy that may be changed.

    Args:
        source: ids (S, B), or a leaf (S, B, E) for an encoder without a vocabulary.
        fed: ids (T, B), the tokens that the decoder is fed, the beginning token first.
    """
    S, T = source.shape[0], fed.shape[0]
    for part in (model.encoder, model.decoder):
        part.recurrence.impl = "graph"
    columns = [Column(f"s = {s}", "encoder") for s in range(S)] + [Column(f"t = {t}", "decoder") for t in range(T)]
    log = OperationLog()
    with log:
        reads, encoder_steps, memory, final = _encode(model, source, log)
        start = parts_of(final if model.bridge is None else model.bridge(final))
        attention = model.decoder.attention
        prepared = None if attention is None else _prepared(attention, memory)
        decoder_steps = record_steps(model.decoder.recurrence, log, lambda name, call: S + call)
        state = DecoderState(start, prepared)
        ys, parts = [], []
        for t in range(T):
            first = len(log.operations)
            with mg.time_step(S + t):
                logits, _, state = model.decoder(fed[t : t + 1], state)
            ys.append(logits[0])
            parts.append(log.operations[first:])
        output = mg.stack(ys)
    embeddings = [named(operations, "take")[0] for operations in parts]
    parameters = dict(model.named_parameters())
    lanes, arrows, tops = recurrence_lanes(
        model.encoder.recurrence, encoder_steps, 0, S, "source", "encoder.recurrence.", 1, "encoder."
    )
    source_own = [name for name in parameters if name.startswith("encoder.embedding.")]
    lanes.insert(0, Lane("source", "input", "embedding", 0, [Quantity("e", dict(enumerate(reads)))], source_own))
    target_own = [name for name in parameters if name.startswith("decoder.embedding.")]
    e = {S + t: _one_step(x) for t, x in enumerate(embeddings)}
    target = Lane("target", "input", "embedding", 0, [Quantity("e", e)], target_own)
    more, more_arrows, lowest = _decoder_lanes(model, decoder_steps, parts, ys, S, T, tops, list(parameters))
    lanes[-1].parameters += [name for name in parameters if name.startswith("decoder.attention.key.")]
    ends = {lane: 0 if "backward" in lane else S - 1 for lane in tops}
    bridge = "" if model.bridge is None else next((name for name in parameters if name.startswith("bridge.")), "")
    kind = "copy" if model.bridge is None else "weight"
    arrows += [Arrow(lane, lowest, 1, bridge, kind, only=(end, S)) for lane, end in ends.items()]
    unrolled = Unrolled(
        columns, [*lanes, target, *more], [*arrows, *more_arrows], output, list(range(S, S + T)), parameters
    )
    unrolled.separate = ys
    if model.bridge is not None:
        unrolled.notes.append("The bridge from the encoder's last state to the decoder's first is no time step: its "
                              "contributions come last.")  # fmt: skip
    return unrolled


def _encode(
    model: EncoderDecoder, source: Any, log: OperationLog
) -> tuple[list[Spot], dict[str, list[CellStep]], Tensor, Any]:
    """What the encoder reads at each step, its cells' steps, its outputs (S, B, K) and its last state."""
    encoder, S = model.encoder, source.shape[0]

    def column(name: str, call: int) -> int:
        return S - 1 - call if name.startswith("backward") else call

    steps = record_steps(encoder.recurrence, log, column)
    if encoder.embedding is None:
        memory, final = encoder.recurrence(source)
        return [Spot(source, s) for s in range(S)], steps, memory, final
    vectors = []
    for s in range(S):  # step by step, so that each step's share of the embedding's gradient has its label
        with mg.time_step(s):
            vectors.append(encoder.embedding(source[s]))
    memory, final = encoder.recurrence(mg.stack(vectors))
    return [Spot(vector) for vector in vectors], steps, memory, final


def _prepared(attention: Attention, memory: Tensor) -> Memory:
    """The memory for many reads; the keys are computed step by step, so that each step's share has its label."""
    if type(attention).project is Attention.project:
        return attention.prepare(memory)
    keys = []
    for s in range(memory.shape[0]):
        with mg.time_step(s):
            keys.append(attention.project(mg.swapaxes(memory[s : s + 1], 0, 1)))
    return Memory(mg.swapaxes(memory, 0, 1), mg.concatenate(keys, axis=1), None)


def _decoder_lanes(
    model: EncoderDecoder, steps: dict[str, list[CellStep]], parts: list[list[Operation]], ys: list[Tensor],
    S: int, T: int, tops: list[str], parameters: list[str],
) -> tuple[list[Lane], list[Arrow], str]:  # fmt: skip
    """The decoder's lanes above its input, their arrows, and the name of its lowest cell's lane."""
    decoder, columns = model.decoder, range(S, S + T)

    def own(*prefixes: str) -> list[str]:
        return [name for name in parameters if name.startswith(tuple(f"decoder.{prefix}." for prefix in prefixes))]

    reads_first = decoder.attention is not None and decoder.attend == "before"
    level = 2 if reads_first else 1
    lanes, arrows, (top,) = recurrence_lanes(
        decoder.recurrence, steps, S, T, "target", "decoder.recurrence.", level, "decoder."
    )
    first, level = lanes[0].name, level + len(lanes)
    last, weight = top, next(iter(own("readout")), "")
    if decoder.attention is not None:
        alphas = [named(operations, "softmax")[0] for operations in parts]
        contexts = [_context(operations, alpha) for operations, alpha in zip(parts, alphas)]
        quantities = [
            Quantity("α", {t: Spot(alpha) for t, alpha in zip(columns, alphas)}),
            Quantity("c", {t: Spot(context) for t, context in zip(columns, contexts)}),
        ]
        context_level = 1 if reads_first else level
        cell = "context_before" if reads_first else "context_after"
        keys = [name for name in own("attention") if ".key." in name]  # they act on the memory
        reading = [name for name in own("attention") if name not in keys]
        lanes.append(Lane("context", "context", cell, context_level, quantities, reading))
        arrows += [Arrow(lane, "context", 0, "", "attention") for lane in tops]
        query = next((name for name in own("attention") if ".query." in name), "")
        arrows.append(Arrow(top, "context", 1 if reads_first else 0, query))
        if reads_first:
            arrows.append(Arrow("context", first, 0, f"decoder.recurrence.{decoder.recurrence.cell_names[0]}.Wc"))
        level += 0 if reads_first else 1
        assert decoder.mix is not None
        mixed = [named(operations, "tanh")[-1] for operations in parts]
        mix = Quantity("m", {t: _one_step(x) for t, x in zip(columns, mixed)})
        lanes.append(Lane("mix", "hidden", "mix", level, [mix], own("mix")))
        mix_weight = next(iter(own("mix")), "")
        arrows += [Arrow(top, "mix", 0, mix_weight), Arrow("context", "mix", 0, mix_weight)]
        last, level = "mix", level + 1
    Y = Quantity("Y", {t: Spot(y) for t, y in zip(columns, ys)})
    lanes.append(Lane("Y", "output", "readout", level, [Y], own("readout")))
    arrows.append(Arrow(last, "Y", 0, weight))
    return lanes, arrows, first


def _context(operations: list[Operation], alpha: Tensor) -> Tensor:
    """α times the memory: what the product that reads α returned, (B, 1, K)."""
    return next(operation.result for operation in operations if operation.name == "matmul" and operation.reads(alpha))


def _one_step(x: Tensor) -> Spot:
    """A value (1, B, n) or (B, n)."""
    return Spot(x, 0) if x.ndim == 3 else Spot(x)
