"""Recurrences on a GPU: our kernels beside cuDNN, and beside our own op-by-op road; a step of the character model.

    python -m benchmarks.gpu [--quick] [--write]

All in one process on one device, taking turns; a time is what lies between two CUDA events around a batch of calls,
and the medians of the rounds stand in the tables. torch runs twice, with its float32 products in IEEE arithmetic and in
TF32; ours are IEEE. Gradients are compared before anything is timed. Without a GPU it says so, and writes nothing.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from . import fused, machine
from .page import milliseconds, replaced, table
from .sizes import label, numbers
from .timing import largest_difference

PAGE = Path(__file__).with_name("gpu.md")
GRID = [
    dict(zip("TBIH", (T, B, H, H)))
    for T, B, H in itertools.product((100, 1000), (1, 16, 64, 128), (64, 256, 512, 1024))
]
QUICK_GRID = [{"T": 20, "B": 2, "I": 16, "H": 16}]
CELLS = ("RNN", "LSTM", "GRU")
TOLERANCE = 1e-3
Call = Callable[[], Any]


class Clock(Protocol):
    """Seconds that a batch of calls takes on the device."""

    def __call__(self, work: Call, calls: int) -> float: ...


class CudaClock:
    """Two events around the calls, on the stream that CuPy and torch share."""

    def __init__(self) -> None:
        import cupy

        self._event, self._stream = cupy.cuda.Event, cupy.cuda.get_current_stream()
        self._between = cupy.cuda.get_elapsed_time

    def __call__(self, work: Call, calls: int) -> float:
        begin, end = self._event(), self._event()
        begin.record(self._stream)
        for _ in range(calls):
            work()
        end.record(self._stream)
        end.synchronize()
        return float(self._between(begin, end)) / 1e3


def wall_clock(work: Call, calls: int) -> float:
    """For a dry run on the host."""
    begin = time.perf_counter()
    for _ in range(calls):
        work()
    return time.perf_counter() - begin


def ours(cell: str, impl: str, backend: str, size: dict[str, int]) -> tuple[Call, Callable[[], Any], Any]:
    """One call, forward and backward; the gradients by name as NumPy arrays; and the model."""
    import minigrad as mg
    import minigrad_rnn

    given = numbers(**size, gates=fused.GATES[cell])
    model = getattr(minigrad_rnn, cell)(size["I"], size["H"], impl=impl)
    for name in ("Wc", "Wr", "b"):
        getattr(model.forward0, name).data = given[name]
    if cell == "GRU":
        model.forward0.br.data = np.zeros_like(given["b"])
    model.to(backend)
    weights = [getattr(model.forward0, name) for name in ("Wc", "Wr", "b")]
    xs, *states = (mg.tensor(given[n], requires_grad=True, backend=backend) for n in fused.WANTED[cell][:-3])
    leaves = [xs, *states, *weights]
    run = fused._forward_and_backward(model, xs, states, leaves)

    def gradients() -> Any:
        loss, found = run()
        return fused._named(cell, loss.numpy(), [g.numpy() for g in found])

    return run, gradients, model


def theirs(cell: str, device: str, size: dict[str, int]) -> tuple[Call, Callable[[], Any]]:
    """torch's module on its device."""
    import torch

    given = numbers(**size, gates=fused.GATES[cell])
    model = getattr(torch.nn, cell)(size["I"], size["H"])
    with torch.no_grad():
        model.weight_ih_l0.copy_(torch.from_numpy(given["Wc"]))
        model.weight_hh_l0.copy_(torch.from_numpy(given["Wr"]))
        model.bias_ih_l0.copy_(torch.from_numpy(given["b"]))
        model.bias_hh_l0.zero_()
    model.to(device)
    xs, *states = (torch.from_numpy(given[n]).to(device).requires_grad_() for n in fused.WANTED[cell][:-3])
    leaves = [xs, *states, model.weight_ih_l0, model.weight_hh_l0, model.bias_ih_l0]
    run = fused._forward_and_backward(model, xs, states, leaves)

    def gradients() -> Any:
        loss, found = run()
        return fused._named(cell, loss.detach().cpu().numpy(), [g.cpu().numpy() for g in found])

    return run, gradients


def in_arithmetic(tf32: bool, work: Call) -> Call:
    """The call with torch's float32 products in TF32, or in IEEE arithmetic."""
    import torch

    def run() -> Any:
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = tf32
        return work()

    return run


def medians(contestants: dict[str, Call], clock: Clock, seconds: float, rounds: int) -> dict[str, float]:
    """Seconds a call, by contestant, taking turns."""
    calls = {}
    for name, work in contestants.items():
        for _ in range(3):
            work()
        calls[name] = max(1, int(seconds / max(clock(work, 1), 1e-6)))
    found: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, work in contestants.items():
            found[name].append(clock(work, calls[name]) / calls[name])
    return {name: statistics.median(times) for name, times in found.items()}


def one_size(
    cell: str, size: dict[str, int], backend: str, device: str, clock: Clock, plan: tuple[float, int]
) -> list[str]:
    """A row of the cell's table: our time, the road, and the others' times over ours."""
    auto, gradients, model = ours(cell, "auto", backend, size)
    graph, _, _ = ours(cell, "graph", backend, size)
    torchs, their_gradients = theirs(cell, device, size)
    apart = largest_difference(their_gradients(), gradients())
    road = str(model.road)
    if not apart < TOLERANCE:
        return [label(size), road, "–", "–", "–", "–", f"gradients differ by {apart:.1e}"]
    contestants = {
        "ours": auto,
        "ieee": in_arithmetic(False, torchs),
        "tf32": in_arithmetic(True, torchs),
        "op by op": graph,
    }
    times = medians(contestants, clock, *plan)
    ratios = [f"{times[name] / times['ours']:.2f}" for name in ("ieee", "tf32", "op by op")]
    return [label(size), road, milliseconds(times["ours"]), *ratios, f"{apart:.1e}"]


HEAD = ["T, B, I, H", "road", "ours, ms", "cuDNN ieee", "cuDNN tf32", "op by op", "gradients apart"]


def character_step(
    backend: str, device: str, clock: Clock, plan: tuple[float, int], V: int, H: int, T: int, B: int
) -> str:
    """A training step of the character model: embedding, LSTM, readout, cross-entropy, clipping, Adam."""
    import torch

    import minigrad as mg
    from minigrad_rnn.character_model import CharacterModel

    ids = np.random.default_rng(0).integers(0, V, (T + 1, B))
    mg.manual_seed(0)
    model = CharacterModel(V, "lstm", 64, H).to(backend)
    optimizer = mg.optim.Adam(model.parameters(), lr=1e-3)
    inputs, targets = (mg.tensor(part, backend=backend) for part in (ids[:-1], ids[1:].reshape(-1)))

    def step() -> None:
        logits, _ = model(inputs)
        loss = mg.cross_entropy(mg.reshape(logits, (-1, V)), targets)
        optimizer.zero_grad()
        loss.backward()
        mg.optim.clip_grad_norm(model.parameters(), 1.0)
        optimizer.step()

    embedding, lstm, readout = torch.nn.Embedding(V, 64), torch.nn.LSTM(64, H), torch.nn.Linear(H, V)
    modules = torch.nn.ModuleList([embedding, lstm, readout]).to(device)
    their_optimizer = torch.optim.Adam(modules.parameters(), lr=1e-3)
    their_inputs, their_targets = (torch.from_numpy(part).to(device) for part in (ids[:-1], ids[1:].reshape(-1)))

    def their_step() -> None:
        logits = readout(lstm(embedding(their_inputs))[0])
        loss = torch.nn.functional.cross_entropy(logits.reshape(-1, V), their_targets)
        their_optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(modules.parameters(), 1.0)
        their_optimizer.step()

    times = medians({"ours": step, "torch": in_arithmetic(False, their_step)}, clock, *plan)
    return (
        f"A training step of the character model (LSTM, V = {V}, H = {H}, T = {T}, B = {B}): ours "
        f"{milliseconds(times['ours'])} ms, torch's {milliseconds(times['torch'])} ms, so theirs over ours "
        f"{times['torch'] / times['ours']:.2f}."
    )


def report(
    grid: Sequence[dict[str, int]], backend: str, device: str, clock: Clock, plan: tuple[float, int], told: Any
) -> str:
    parts = []
    for cell in CELLS:
        rows = []
        for size in grid:
            told(f"{cell} {label(size)}")
            rows.append(one_size(cell, size, backend, device, clock, plan))
        parts += [
            f"{cell}; the columns after ours are their time over ours, above 1 ours is faster:",
            table(HEAD, rows),
        ]
    small = grid is QUICK_GRID
    parts.append(character_step(backend, device, clock, plan, *((11, 16, 10, 2) if small else (256, 512, 100, 32))))
    return "\n\n".join(parts)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one small size, to see that everything runs")
    parser.add_argument("--write", action="store_true", help="write the tables into benchmarks/gpu.md")
    arguments = parser.parse_args(argv)
    import minigrad as mg
    from minigrad.backend import get_backend

    try:
        backend = get_backend("cupy")
        import torch
    except (mg.BackendError, ImportError) as error:
        print(f"benchmarks.gpu: not measured: {error}", file=sys.stderr)
        return 2
    if not torch.cuda.is_available():
        print("benchmarks.gpu: not measured: torch finds no GPU; install its CUDA build", file=sys.stderr)
        return 2
    assert backend.kernels is not None
    told = partial(print, file=sys.stderr, flush=True)
    grid, plan = (QUICK_GRID, (0.01, 3)) if arguments.quick else (GRID, (0.2, 15))
    text = report(grid, "cupy", "cuda", CudaClock(), plan, told)
    device = backend.kernels().device
    versions = machine.described(("torch", "cupy-cuda13x", "cupy-cuda12x"))
    text += f"\n\n{device.name}, {device.multiprocessors} multiprocessors. {versions}."
    print(text)
    if arguments.write and not arguments.quick:
        PAGE.write_text(replaced(PAGE.read_text(encoding="utf-8"), "gpu", text), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
