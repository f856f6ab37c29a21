"""Peak memory of forward and backward as the sequence doubles: op by op, in NumPy, in C, and truncated.

NumPy reports its arrays to `tracemalloc`, so the peak counts arrays and the tape's objects, and nothing of the
interpreter. The sequence xs is not counted. The truncated run detaches the state every `WINDOW` steps and runs backward
on each window before the next begins, so its peak must not grow. `sequence_memory` has the tables at other sizes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from . import sequence_memory
from .fused import ALL_SIZES
from .page import Benchmark, Options, Tables, table
from .sizes import QUICK_SIZES, numbers

BATCH, INPUT, HIDDEN = 8, 64, 64
WINDOW = 32
LENGTHS = (64, 128, 256, 512, 1024, 2048)
PERCEPTRONS = ((32, 64, 8), (64, 512, 8), (256, 256, 16), (512, 256, 16), (1024, 128, 16), (1024, 128, 8))
GATES = {"RNN": 1, "LSTM": 4}


def whole(model: Any, xs: Any) -> None:
    """Run forward and backward over the whole sequence."""
    output, _ = model(xs)
    output.sum().backward()
    model.zero_grad()


def truncated(model: Any, xs: Any) -> None:
    """Run forward and backward window by window, carrying the detached state."""
    state = None
    for begin in range(0, xs.shape[0], WINDOW):
        output, state = model(xs[begin : begin + WINDOW], state)
        output.sum().backward()
        model.zero_grad()
        state = tuple(part.detach() for part in state) if isinstance(state, tuple) else state.detach()


def peak(work: Callable[[], None]) -> int:
    """Return the peak of additional memory during the work, in bytes."""
    work()  # allocates what persists
    return sequence_memory.traced_peak(work)


def implementations(cell: str) -> dict[str, Callable[[Any], None]]:
    """Return functions by implementation that run xs (T, B, I) forward and backward."""
    import minigrad_rnn

    kind = getattr(minigrad_rnn, cell)
    graph, fused = (kind(INPUT, HIDDEN, impl=impl) for impl in ("graph", "fused"))
    runs = {
        "graph": lambda xs: whole(graph, xs),
        "NumPy sequence": lambda xs: whole(fused, xs),
        f"graph, truncated to {WINDOW} steps": lambda xs: truncated(graph, xs),
    }
    try:
        native = kind(INPUT, HIDDEN, impl="native")
    except (ValueError, RuntimeError, OSError):
        return runs
    return {"native": lambda xs: whole(native, xs), **runs}


def training_step(B: int, H: int, layers: int) -> Callable[[], None]:
    """Return a function that makes one step of SGD on h ← tanh(W h + b), with fresh gradients."""
    import numpy as np

    import minigrad as mg

    rng = np.random.default_rng(0)
    x = mg.tensor(rng.standard_normal((B, H)).astype(np.float32))
    shapes = [shape for _ in range(layers) for shape in ((H, H), (H,))]
    leaves = [mg.tensor((rng.standard_normal(s) * H**-0.5).astype(np.float32), requires_grad=True) for s in shapes]
    optimizer = mg.optim.SGD(leaves, lr=0.01)

    def step() -> None:
        h = x
        for k in range(0, 2 * layers, 2):
            h = mg.tanh(mg.linear(h, leaves[k], leaves[k + 1]))
        loss = (h * h).mean()
        loss.backward()
        optimizer.step()
        for leaf in leaves:
            leaf.grad = None

    return step


def perceptron_tables() -> list[str]:
    rows = []
    for B, H, layers in PERCEPTRONS:
        saved = 4 * layers * (B * H + H * H + H)
        most = peak(training_step(B, H, layers))
        rows.append([f"{B}, {H}, {layers}", f"{saved / 2**20:.2f}", f"{most / 2**20:.2f}", f"{most / saved:.2f}"])
    head = ["B, H, layers", "activations and gradients", "peak", "peak / both"]
    return [
        "A training step of a perceptron, h ← tanh(W h + b), float32, forward, backward and SGD; MiB. Saved are each "
        "layer's output, B × H, and the gradients of W and b:",
        table(head, rows),
        "Above 1 is what one layer's rules need at once: three arrays of a layer's output. Target: at most 1.1.",
    ]


def measure(options: Options) -> Tables:
    lengths = LENGTHS[:3] if options.quick else LENGTHS
    parts = []
    for cell, gates in GATES.items():
        options.report(cell)
        runs = implementations(cell)
        peaks: dict[str, list[int]] = {way: [] for way in runs}
        for T in lengths:
            xs = numbers(T, BATCH, INPUT, HIDDEN, gates)["xs"]
            for way, work in runs.items():
                peaks[way].append(peak(partial(work, xs)))
        rows = []
        for k, T in enumerate(lengths):
            cells = []
            for bytes_by_T in peaks.values():
                growth = f" (× {bytes_by_T[k] / bytes_by_T[k - 1]:.2f})" if k else ""
                cells.append(f"{bytes_by_T[k] / 2**20:.2f}{growth}")
            rows.append([str(T), *cells])
        steps = lengths[-1] - lengths[0]
        block = BATCH * HIDDEN * 4
        each = (f"{way} {(bytes_by_T[-1] - bytes_by_T[0]) / steps / block:.1f}" for way, bytes_by_T in peaks.items())
        parts += [
            f"{cell}, B = {BATCH}, I = {INPUT}, H = {HIDDEN}, float32; peak in MiB (× growth as T doubles):",
            table(["T", *peaks], rows),
            f"A further step costs, in arrays of h's size (B, H): {', '.join(each)}.",
        ]
    sequences = sequence_memory.tables(QUICK_SIZES[:1] if options.quick else ALL_SIZES, options.report)
    return Tables("\n\n".join([*parts, *sequences, *perceptron_tables()]))


BENCHMARK = Benchmark("memory", measure)
