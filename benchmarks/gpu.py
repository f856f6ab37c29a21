"""Time recurrences on a GPU: our kernels, cuDNN and our op-by-op graph; and a training step.

    python -m benchmarks.gpu [--only RNN|LSTM|GRU|step] [--sizes T,B,H ...] [--without-graph] [--write [PAGE]]

All contestants take turns in one process on one device; a time is measured between two CUDA events around a batch of
calls, and the tables show medians over the rounds. torch runs twice, with its float32 products in IEEE arithmetic and
in TF32; ours are IEEE. Gradients are compared, in IEEE arithmetic, before anything is timed. What does not fit into the
device's memory gets no time, and the rest goes on. Without a GPU nothing is measured or written. Each table is written
as soon as it is complete, each row to stderr as soon as it is measured.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import statistics
import sys
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from minigrad_rnn.cuda.probe import Clock, EventClock, wall_clock

from . import fused, machine
from .page import milliseconds, replace_block, table
from .sizes import label, numbers
from .timing import largest_difference

PAGE = Path(__file__).with_name("gpu.md")
GRID = [
    dict(zip("TBIH", (T, B, H, H)))
    for T, B, H in itertools.product((100, 1000), (1, 16, 64, 128), (64, 256, 512, 1024))
]
QUICK_GRID = [{"T": 20, "B": 2, "I": 16, "H": 16}]
CELLS = ("RNN", "LSTM", "GRU")
STEP = "step"
PARTS = (*CELLS, STEP)
"""The blocks of gpu.md: a table for each cell, and the character model's step."""
TOLERANCE = 1e-3
Call = Callable[[], Any]


@lru_cache(maxsize=1)
def input_arrays(cell: str, size: tuple[int, ...]) -> dict[str, Any]:
    """Return the input arrays of all contestants at a size."""
    return numbers(*size, gates=fused.GATES[cell])


def release(backend: str) -> None:
    """Free the memory that the two libraries cache on the device, which neither can take from the other's pool."""
    from minigrad.backend import get_backend

    gc.collect()
    pool = getattr(get_backend(backend).xp, "get_default_memory_pool", None)
    if pool is not None:
        pool().free_all_blocks()
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def ours(cell: str, impl: str, backend: str, size: dict[str, int]) -> tuple[Call, Callable[[], Any], Any]:
    """Return a function that runs forward and backward, one that returns the gradients by name, and the model."""
    import minigrad as mg
    import minigrad_rnn

    arrays = input_arrays(cell, tuple(size.values()))
    model = getattr(minigrad_rnn, cell)(size["I"], size["H"], impl=impl)
    for name in ("Wc", "Wr", "b"):
        getattr(model.forward0, name).data = arrays[name]
    if cell == "GRU":
        model.forward0.br.data = np.zeros_like(arrays["b"])
    model.to(backend)
    weights = [getattr(model.forward0, name) for name in ("Wc", "Wr", "b")]
    xs, *states = (mg.tensor(arrays[n], requires_grad=True, backend=backend) for n in fused.WANTED[cell][:-3])
    leaves = [xs, *states, *weights]
    run = fused.forward_and_backward(model, xs, states, leaves)

    def gradients() -> Any:
        loss, grads = run()
        return fused.by_name(cell, loss.numpy(), [g.numpy() for g in grads])

    return run, gradients, model


def theirs(cell: str, device: str, size: dict[str, int]) -> tuple[Call, Callable[[], Any]]:
    """Return the same two functions for torch's module."""
    import torch

    arrays = input_arrays(cell, tuple(size.values()))
    model = getattr(torch.nn, cell)(size["I"], size["H"])
    with torch.no_grad():
        model.weight_ih_l0.copy_(torch.from_numpy(arrays["Wc"]))
        model.weight_hh_l0.copy_(torch.from_numpy(arrays["Wr"]))
        model.bias_ih_l0.copy_(torch.from_numpy(arrays["b"]))
        model.bias_hh_l0.zero_()
    model.bias_hh_l0.requires_grad_(False)
    model.to(device)
    xs, *states = (torch.from_numpy(arrays[n]).to(device).requires_grad_() for n in fused.WANTED[cell][:-3])
    leaves = [xs, *states, model.weight_ih_l0, model.weight_hh_l0, model.bias_ih_l0]
    run = fused.forward_and_backward(model, xs, states, leaves)

    def gradients() -> Any:
        loss, grads = run()
        return fused.by_name(cell, loss.detach().cpu().numpy(), [g.cpu().numpy() for g in grads])

    return run, gradients


def in_arithmetic(tf32: bool, work: Call) -> Call:
    """Return the call with torch's float32 products in TF32, or in IEEE arithmetic."""
    import torch

    def run() -> Any:
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = tf32
        return work()

    return run


def medians(contestants: dict[str, Call], clock: Clock, seconds: float, rounds: int) -> dict[str, float]:
    """Return the median seconds of a call by contestant; they take turns."""
    calls = {}
    for name, work in contestants.items():
        for _ in range(3):
            work()
        calls[name] = max(1, int(seconds / max(clock(work, 1), 1e-6)))
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, work in contestants.items():
            times[name].append(clock(work, calls[name]) / calls[name])
    return {name: statistics.median(seconds) for name, seconds in times.items()}


NO_TIMES = ["–"] * 4


def failure(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:80]}".replace("|", "/")


def graph_ratio(
    cell: str, size: dict[str, int], backend: str, clock: Clock, plan: tuple[float, int], ours_took: float
) -> str:
    """Return our op-by-op time over `ours_took`, from a fifth of the rounds, since it is slow."""
    seconds, rounds = plan
    try:
        release(backend)
        graph, _, _ = ours(cell, "graph", backend, size)
        times = medians({"op by op": graph}, clock, seconds, max(1, rounds // 5))
    except Exception as error:
        return failure(error)
    return f"{times['op by op'] / ours_took:.2f}"


def one_size(
    cell: str,
    size: dict[str, int],
    backend: str,
    device: str,
    clock: Clock,
    plan: tuple[float, int],
    with_graph: bool = True,
) -> list[str]:
    """Return a row of the cell's table: our time, the implementation, and the others' times over ours."""
    try:
        release(backend)
        auto, gradients, model = ours(cell, "auto", backend, size)
        torchs, their_gradients = theirs(cell, device, size)
        difference = largest_difference(in_arithmetic(False, their_gradients)(), gradients())
        implementation = str(model.implementation)
        if not difference < TOLERANCE:
            return [label(size), implementation, *NO_TIMES, f"gradients differ by {difference:.1e}"]
        contestants = {"ours": auto, "ieee": in_arithmetic(False, torchs), "tf32": in_arithmetic(True, torchs)}
        times = medians(contestants, clock, *plan)
    except Exception as error:  # most likely out of memory; go on with the next size
        return [label(size), "–", *NO_TIMES, failure(error)]
    ratios = [f"{times[name] / times['ours']:.2f}" for name in ("ieee", "tf32")]
    return [
        label(size),
        implementation,
        milliseconds(times["ours"]),
        *ratios,
        graph_ratio(cell, size, backend, clock, plan, times["ours"]) if with_graph else NO_TIMES[0],
        f"{difference:.1e}",
    ]


HEAD = ["T, B, I, H", "implementation", "ours, ms", "cuDNN ieee", "cuDNN tf32", "op by op", "gradients apart"]


def character_step(
    backend: str, device: str, clock: Clock, plan: tuple[float, int], V: int, H: int, T: int, B: int
) -> str:
    """Time a training step of the character model: embedding, LSTM, readout, cross-entropy, clipping, Adam."""
    import torch

    import minigrad as mg
    from minigrad_rnn.text.model import CharacterModel

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


def part(
    name: str,
    grid: Sequence[dict[str, int]],
    backend: str,
    device: str,
    clock: Clock,
    plan: tuple[float, int],
    with_graph: bool = True,
) -> str:
    """Return the text of one of `PARTS`."""
    if name == STEP:
        release(backend)
        sizes = (11, 16, 10, 2) if grid is QUICK_GRID else (256, 512, 100, 32)
        return character_step(backend, device, clock, plan, *sizes)
    rows = []
    for size in grid:
        rows.append(one_size(name, size, backend, device, clock, plan, with_graph))
        print(f"{name} {' | '.join(rows[-1])}", file=sys.stderr, flush=True)
    return f"{name}; the columns after ours are their time over ours, above 1 ours is faster:\n\n{table(HEAD, rows)}"


def measured_on() -> str:
    """Describe the device and the versions of everything that ran on it."""
    import torch

    from minigrad.backend import get_backend

    backend = get_backend("cupy")
    assert backend.kernels is not None
    device, cuda = backend.kernels().device, backend.xp.cuda.runtime
    versions = machine.describe(("torch", "cupy-cuda13x", "cupy-cuda12x"))
    theirs = f"torch's CUDA {torch.version.cuda} and cuDNN {torch.backends.cudnn.version()}"
    under = f"CUDA {cuda.runtimeGetVersion()} under a driver for {cuda.driverGetVersion()}"
    return f"{device.name}, {device.multiprocessors} multiprocessors. {versions}; {under}; {theirs}."


def size_of(text: str) -> dict[str, int]:
    """Return the size that "T,B,H" or "T,B,I,H" stands for; without I it is H."""
    try:
        T, B, *features, H = (int(number) for number in text.split(","))
    except ValueError:
        features = [0, 0]
    if len(features) > 1 or min(T, B, *features, H) < 1:
        raise argparse.ArgumentTypeError(f"got {text!r}, want T,B,H or T,B,I,H, such as 100,16,256")
    return dict(zip("TBIH", (T, B, *(features or [H]), H)))


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    result = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    result.add_argument("--quick", action="store_true", help="one small size, few rounds, instead of --sizes and so on")
    result.add_argument("--dry-run", action="store_true", help="--quick without a GPU: NumPy and torch on the host")
    result.add_argument("--only", choices=PARTS, action="append", help="only this part; may be repeated")
    result.add_argument("--sizes", type=size_of, nargs="+", metavar="T,B,H", help="these in place of all 24")
    result.add_argument("--without-graph", action="store_true", help="leave out our op-by-op run, which is slow")
    result.add_argument("--seconds", type=float, default=0.05, help="length of a round (%(default)s)")
    result.add_argument("--rounds", type=int, default=15, help="rounds of each contestant (%(default)s)")
    result.add_argument(
        "--write", type=Path, nargs="?", const=PAGE, metavar="PAGE", help="write the tables into this page (gpu.md)"
    )
    return result


def unusable() -> str:
    """Return why nothing can be measured here, or ""."""
    import minigrad as mg
    from minigrad.backend import get_backend

    try:
        get_backend("cupy")
        import torch
    except (mg.BackendError, ImportError) as error:
        return str(error)
    return "" if torch.cuda.is_available() else "torch finds no GPU; install its CUDA build"


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    small = arguments.quick or arguments.dry_run
    grid, plan = arguments.sizes or GRID, (arguments.seconds, arguments.rounds)
    if small:
        grid, plan = QUICK_GRID, (0.01, 3)
    if not arguments.dry_run and (why := unusable()):
        print(f"benchmarks.gpu: not measured: {why}", file=sys.stderr)
        return 2
    for name in arguments.only or PARTS:
        if arguments.dry_run:
            text = part(name, grid, "numpy", "cpu", wall_clock, plan, not arguments.without_graph)
            text += "\n\nA dry run on the host: these times say nothing."
        else:
            from minigrad.backend import get_backend

            text = part(
                name, grid, "cupy", "cuda", EventClock(get_backend("cupy").xp), plan, not arguments.without_graph
            )
            text += f"\n\n{measured_on()}"
        print(text, end="\n\n", flush=True)
        if arguments.write and (not small or arguments.write != PAGE):
            page = (arguments.write if arguments.write.exists() else PAGE).read_text(encoding="utf-8")
            page = replace_block(page, f"--only {name}", text, "benchmarks.gpu")
            arguments.write.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
