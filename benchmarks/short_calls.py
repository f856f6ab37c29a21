"""Time calls of one step: sampling from the character model, and an LSTM that reads a stream frame by frame.

The weights stay the same from call to call and nothing is recorded. torch runs as its `nn.LSTM` with one step a call,
which is the same program as ours, and as its `nn.LSTMCell`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from . import character_model
from .character_model import EMBEDDING, VOCABULARY
from .contestant import Contestant, Gradients, Work
from .page import Benchmark, Options, Tables, Target, timing_tables
from .sizes import numbers
from .timing import contest

SAMPLING = [{"H": 256}, {"H": 512}, {"H": 1024}]
STREAMING = [{"H": 128}]
"""The size of silero-vad's LSTM, which hears whether somebody speaks."""
CHARACTERS, FRAMES = 32, 64
"""How many of them a call reads."""
ORT = "onnxruntime, one thread"


def state_by_name(state: Any) -> Gradients:
    return {name: np.asarray(part).reshape(-1) for name, part in zip(("h", "c"), state)}


# Sampling


def sampled(result: Any) -> Gradients:
    """Return the ids and the state by name."""
    ids, state = result
    return {"ids": ids, **state_by_name([part.numpy() for part in state])}


def our_sampling(H: int) -> Work:
    from minigrad_rnn.seq2seq.sampling import sample

    model, _ = character_model.ours("auto", VOCABULARY, EMBEDDING, H)
    return Work(lambda: sample(model, [1], CHARACTERS, rng=0), sampled)


def torch_sampling(one_step: bool, H: int) -> Work:
    """Run the loop of `minigrad_rnn.sample`: the id is drawn on the host from the softmax in float64."""
    import torch

    embedding, recurrence, readout, _ = character_model.torchs(VOCABULARY, EMBEDDING, H, one_step)

    def logits_of(ids: Any, state: Any) -> tuple[Any, Any]:
        x = embedding(torch.from_numpy(ids))
        if one_step:
            h, c = recurrence(x, state)
            return readout(h)[0], (h, c)
        hs, state = recurrence(x[:, None], state)
        return readout(hs)[-1, 0], state

    def run() -> Any:
        rng, ids, unread, state = np.random.default_rng(0), np.empty(CHARACTERS, np.int64), np.array([1]), None
        with torch.no_grad():
            for k in range(CHARACTERS):
                logits, state = logits_of(unread, state)
                cumulative = np.cumsum(torch.softmax(logits.double(), -1).numpy())
                ids[k] = np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right")
                unread = ids[k : k + 1]
        return ids, state

    return Work(run, sampled)


# A stream, frame by frame


def frames_of(H: int) -> tuple[dict[str, Any], list[Any]]:
    """Return the weights, and the frames: FRAMES arrays (1, 1, H)."""
    arrays = numbers(FRAMES, 1, H, H, 4)
    return arrays, list(arrays["xs"][:, None])


def our_layer(arrays: dict[str, Any], H: int) -> Any:
    import minigrad_rnn

    model = minigrad_rnn.LSTM(H, H)
    model.forward0.load_state_dict({name: arrays[name] for name in ("Wc", "Wr", "b")})
    return model


def stream(step: Callable[[Any, Any], tuple[Any, Any]], frames: list[Any]) -> tuple[list[Any], Any]:
    """Return what `step` makes of each frame, and the last state."""
    state, outputs = None, []
    for frame in frames:
        output, state = step(frame, state)
        outputs.append(output)
    return outputs, state


def streamed(result: Any) -> Gradients:
    """Return the outputs and the state by name."""
    outputs, state = result
    return {"outputs": np.stack(outputs).reshape(len(outputs), -1), **state_by_name(state)}


def our_stream(H: int) -> Work:
    import minigrad as mg

    arrays, frames = frames_of(H)
    model = our_layer(arrays, H)

    def step(frame: Any, state: Any) -> tuple[Any, Any]:
        output, state = model(frame, state)
        return output.numpy(), state

    def run() -> Any:
        with mg.no_grad():
            return stream(step, frames)

    return Work(run, lambda result: streamed((result[0], [part.numpy() for part in result[1]])))


def torch_stream(one_step: bool, H: int) -> Work:
    import torch

    arrays, frames = frames_of(H)
    recurrence = character_model.torch_lstm(arrays, one_step)

    def step(frame: Any, state: Any) -> tuple[Any, Any]:
        output, state = recurrence(torch.from_numpy(frame), state)
        return output.numpy(), state

    def cell_step(frame: Any, state: Any) -> tuple[Any, Any]:
        h, c = recurrence(torch.from_numpy(frame[0]), state)
        return h.numpy(), (h, c)

    def run() -> Any:
        with torch.no_grad():
            return stream(cell_step if one_step else step, frames)

    return Work(run, lambda result: streamed((result[0], [part.numpy() for part in result[1]])))


def onnx_stream(H: int) -> Work:
    """Run what `export_onnx` writes, with `session.run` on arrays: bindings and OrtValues take longer here."""
    import onnxruntime

    from minigrad_rnn.interop.onnx import export_onnx

    arrays, frames = frames_of(H)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lstm.onnx"
        export_onnx(our_layer(arrays, H), path, sequence_length=1, batch=1, state=True)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    zeros = (np.zeros((1, 1, H), np.float32),) * 2

    def step(frame: Any, state: Any) -> tuple[Any, Any]:
        h, c = state or zeros
        output, h, c = session.run(None, {"xs": frame, "h_0": h, "c_0": c})
        return output, (h, c)

    return Work(lambda: stream(step, frames), streamed)


SAMPLERS = [
    Contestant("minigrad", our_sampling, "minigrad_rnn"),
    Contestant("torch nn.LSTM", partial(torch_sampling, False), "torch"),
    Contestant("torch nn.LSTMCell", partial(torch_sampling, True), "torch"),
]
STREAMERS = [
    Contestant("minigrad", our_stream, "minigrad_rnn"),
    Contestant(ORT, onnx_stream, "onnxruntime"),
    Contestant("torch nn.LSTM", partial(torch_stream, False), "torch"),
    Contestant("torch nn.LSTMCell", partial(torch_stream, True), "torch"),
]
SAMPLING_TARGETS = [Target("torch nn.LSTM", tuple(size.values()), 3.0) for size in SAMPLING]
STREAMING_TARGETS = [Target(ORT, tuple(size.values()), 1.0) for size in STREAMING]


def measure(options: Options) -> Tables:
    sizes = SAMPLING[:1] if options.quick else SAMPLING
    settings = options.plan, options.one_process, options.report
    compared = "results"
    options.report("sampling")
    results = contest(SAMPLERS, sizes, *settings)
    sampling = timing_tables(sizes, results, SAMPLING_TARGETS, each="character", count=CHARACTERS, compared=compared)
    options.report("streaming")
    results = contest(STREAMERS, STREAMING, *settings)
    streaming = timing_tables(STREAMING, results, STREAMING_TARGETS, each="frame", count=FRAMES, compared=compared)
    parts = ["### Sampling", sampling.text, "### A stream, frame by frame", streaming.text]
    return Tables("\n\n".join(parts), sampling.quiet and streaming.quiet)


BENCHMARK = Benchmark("short_calls", measure, ("torch", "onnxruntime", "onnx"))
