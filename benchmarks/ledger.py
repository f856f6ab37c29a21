"""Time a backward pass that notes the norm of every step's contribution beside a plain one, and compare their memory.

The graph of a sequence in NumPy is recorded once and kept, so that only the backward pass is timed. The contestants are
`loss.backward()`, `ledger(…, keep="norms")`, which writes no `.grad`, and `loss.backward()` inside `record_ledger`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from .contestant import Contestant, Gradients, Work
from .fused import GATES
from .page import Benchmark, Options, Tables, disturbance, is_quiet, milliseconds, remark_list, table, verdict
from .sequence_memory import traced_peak
from .sizes import QUICK_SIZES, label, numbers
from .timing import Result, contest, ratio

SIZES = [{"T": 100, "B": 32, "I": 256, "H": 256}]
PLAIN, LEDGER, RECORDED = "backward()", "ledger, norms", "backward(), recorded"
LONGEST, MOST_MEMORY = 1.2, 1.1
"""The most wanted ratios to a plain backward pass, of its time and of its memory."""


def model_of(cell: str, T: int, B: int, I: int, H: int) -> tuple[Any, Any]:
    """Return the model and its input."""
    import minigrad_rnn

    return getattr(minigrad_rnn, cell)(I, H, impl="fused", rng=0), numbers(T, B, I, H)["xs"]


def passes(model: Any, retain: bool) -> dict[str, Callable[[Any], Any]]:
    """Return the backward passes by contestant: each takes the loss and returns a ledger, or None."""
    import minigrad as mg

    def plain(loss: Any) -> None:
        loss.backward(retain_graph=retain)

    def recorded(loss: Any) -> Any:
        with mg.record_ledger(model, keep="norms") as book:
            loss.backward(retain_graph=retain)
        return book

    return {
        PLAIN: plain,
        LEDGER: lambda loss: mg.ledger(loss, model, retain_graph=retain, keep="norms"),
        RECORDED: recorded,
    }


def work(cell: str, way: str, **size: int) -> Work:
    """Go back through one graph; what is compared are the norms of the weights' gradients."""
    model, xs = model_of(cell, **size)
    loss, back = model(xs)[0].sum(), passes(model, True)[way]

    def run() -> Any:
        model.zero_grad()
        return back(loss)

    def norms(book: Any) -> Gradients:
        named = model.named_parameters()
        if book is None:
            return {name: np.array(np.linalg.norm(p.grad.numpy())) for name, p in named}
        return {name: np.array(book.gradient_norm(name)) for name, _ in named}

    return Work(run, norms)


def peaks(cell: str, size: dict[str, int]) -> list[int]:
    """Return each contestant's peak of forward and backward, in bytes, after a first call."""
    model, xs = model_of(cell, **size)
    result = []
    for back in passes(model, False).values():

        def step(back: Callable[[Any], Any] = back) -> None:
            back(model(xs)[0].sum())
            model.zero_grad()

        step()
        result.append(traced_peak(step))
    return result


def measure(options: Options) -> Tables:
    sizes = QUICK_SIZES[:1] if options.quick else SIZES
    rows, missed, met, remarks, disturbed, rounds = [], [], 0, [], 0, 0
    for cell in GATES:
        options.report(cell)
        contestants = [Contestant(way, partial(work, cell, way), "minigrad_rnn") for way in (PLAIN, LEDGER, RECORDED)]
        for size, results in zip(sizes, contest(contestants, sizes, options.plan, options.one_process, options.report)):
            remarks += [(r.name, r.remark, label(size)) for r in results if r.remark]
            disturbed, rounds = disturbed + results[0].disturbed, rounds + len(results[0].rounds)
            found = [
                *time_ratios(results),
                *[peak / plain for plain, *others in [peaks(cell, size)] for peak in others],
            ]
            most = [LONGEST, LONGEST, MOST_MEMORY, MOST_MEMORY]
            rows.append([f"{cell}, {label(size)}", *cells_of(results[0], found, most)])
            for what, value, limit in zip(("time", "time, recorded", "memory", "memory, recorded"), found, most):
                if value is not None and value > limit:
                    missed.append(f"{cell} at {label(size)}, {what}: {value:.2f}, wanted at most {limit:g}")
                elif value is not None:
                    met += 1
    quiet = is_quiet(disturbed, rounds)
    head = ["T, B, I, H", f"{PLAIN}, ms", f"{LEDGER} (≤ {LONGEST:g})", f"{RECORDED} (≤ {LONGEST:g})"]
    head += [f"memory (≤ {MOST_MEMORY:g})", f"memory, recorded (≤ {MOST_MEMORY:g})"]
    parts = [
        "A backward pass of the NumPy sequence, and the ratios of time and of peak memory to it:",
        table(head, rows),
        *remark_list(remarks),
        *disturbance(disturbed, rounds),
        *(verdict(met, missed) if quiet else []),
    ]
    return Tables("\n\n".join(parts), quiet)


def time_ratios(results: Sequence[Result]) -> list[float | None]:
    """Return the median ratios of the others' times to the first one's; None without times."""
    plain, *others = results
    return [ratio(other, plain)[1] if other.rounds and plain.rounds else None for other in others]


def cells_of(plain: Result, found: Sequence[float | None], most: Sequence[float]) -> list[str]:
    cells = [milliseconds(plain.quartiles[1]) if plain.rounds else "–"]
    for value, limit in zip(found, most):
        mark = "**" if value is not None and value > limit else ""
        cells.append("–" if value is None else f"{mark}{value:.2f}{mark}")
    return cells


BENCHMARK = Benchmark("ledger", measure)
