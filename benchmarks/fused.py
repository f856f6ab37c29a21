"""Time whole sequences in C and in NumPy against torch's nn.RNN, nn.LSTM and nn.GRU and a jitted JAX scan.

Forward and backward: the gradients of xs, of h0 (and c0) and of all weights, of the sum of all outputs h(t). torch has
a second bias, added to the first, or in a GRU inside the reset; it is zero here and requires no gradient, so that all
compute the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from .contestant import Contestant, Gradients, Work
from .page import Benchmark, Options, Tables, Target, our_place, table, timing_tables, verdict
from .sizes import OTHER_SIZES, QUICK_SIZES, SIZES, numbers
from .timing import Result, contest, ratio

PLAIN = ("xs", "h0", "Wc", "Wr", "b")
WANTED = {"RNN": PLAIN, "LSTM": ("xs", "h0", "c0", "Wc", "Wr", "b"), "GRU": PLAIN}
GATES = {"RNN": 1, "LSTM": 4, "GRU": 3}
NATIVE, NUMPY, TORCH, JAX = "minigrad native", "minigrad NumPy sequence", "torch", "JAX scan, jitted"
"""The contestants' names in the tables."""
ALL_SIZES = [*SIZES, *OTHER_SIZES]
WANTED_MEANS = {("LSTM", NUMPY): 1.5, ("all", TORCH): 2.2, ("all", JAX): 1.5}
"""The least wanted geometric mean of the ratios, by row and contestant."""


def ours(cell: str, impl: str, T: int, B: int, I: int, H: int) -> Work:
    import minigrad as mg
    import minigrad_rnn

    arrays = numbers(T, B, I, H, GATES[cell])
    model = getattr(minigrad_rnn, cell)(I, H, impl=impl)
    values = {name: arrays[name] for name in ("Wc", "Wr", "b")}
    model.forward0.load_state_dict({**values, "br": np.zeros_like(arrays["b"])} if cell == "GRU" else values)
    weights = [getattr(model.forward0, name) for name in ("Wc", "Wr", "b")]
    xs, *states = (mg.tensor(arrays[name], requires_grad=True) for name in WANTED[cell][:-3])
    leaves = [xs, *states, *weights]

    run = forward_and_backward(model, xs, states, leaves)
    return Work(run, lambda result: by_name(cell, result[0].numpy(), [g.numpy() for g in result[1]]))


def forward_and_backward(model: Any, xs: Any, states: list[Any], leaves: list[Any]) -> Callable[[], Any]:
    """Return a function that runs minigrad's or torch's model and returns the loss and the leaves' gradients."""

    def run() -> Any:
        for leaf in leaves:
            leaf.grad = None
        first = [state[None] for state in states]
        output, _ = model(xs, tuple(first) if len(first) > 1 else first[0])
        loss = output.sum()
        loss.backward()
        return loss, [leaf.grad for leaf in leaves]

    return run


def torch_module(cell: str, T: int, B: int, I: int, H: int) -> Work:
    import torch

    arrays = numbers(T, B, I, H, GATES[cell])
    model = getattr(torch.nn, cell)(I, H)
    with torch.no_grad():
        model.weight_ih_l0.copy_(torch.from_numpy(arrays["Wc"]))
        model.weight_hh_l0.copy_(torch.from_numpy(arrays["Wr"]))
        model.bias_ih_l0.copy_(torch.from_numpy(arrays["b"]))
        model.bias_hh_l0.zero_()
    model.bias_hh_l0.requires_grad_(False)
    xs, *states = (torch.from_numpy(arrays[name]).requires_grad_() for name in WANTED[cell][:-3])
    leaves = [xs, *states, model.weight_ih_l0, model.weight_hh_l0, model.bias_ih_l0]

    run = forward_and_backward(model, xs, states, leaves)
    return Work(run, lambda result: by_name(cell, result[0].detach().numpy(), [g.numpy() for g in result[1]]))


def jax_scan(cell: str, T: int, B: int, I: int, H: int) -> Work:
    """Run a JAX scan; the input's product for all steps is one large product before it."""
    import jax
    import jax.numpy as jnp

    def rnn(state: Any, z: Any, Wr: Any) -> Any:
        h = jnp.tanh(z + state[0] @ Wr.T)
        return (h,), h

    def lstm(state: Any, z: Any, Wr: Any) -> Any:
        h, c = state
        i, f, g, o = jnp.split(z + h @ Wr.T, 4, axis=-1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    def gru(state: Any, z: Any, Wr: Any) -> Any:
        (h,) = state
        recurrent, H = h @ Wr.T, h.shape[1]
        r, u = jnp.split(jax.nn.sigmoid(z[:, : 2 * H] + recurrent[:, : 2 * H]), 2, axis=-1)
        n = jnp.tanh(z[:, 2 * H :] + r * recurrent[:, 2 * H :])
        h = n + u * (h - n)
        return (h,), h

    step = {"RNN": rnn, "LSTM": lstm, "GRU": gru}[cell]

    def divergence(leaves: Any) -> Any:
        xs, *states, Wc, Wr, b = leaves
        _, hs = jax.lax.scan(partial(step, Wr=Wr), tuple(states), xs @ Wc.T + b)
        return hs.sum()

    both = jax.jit(jax.value_and_grad(divergence))
    arrays = numbers(T, B, I, H, GATES[cell])
    leaves = [jnp.asarray(arrays[name]) for name in WANTED[cell]]

    def gradients(result: Any) -> Gradients:
        return by_name(cell, np.asarray(result[0]), [np.asarray(g) for g in result[1]])

    return Work(lambda: jax.block_until_ready(both(leaves)), gradients)


def by_name(cell: str, loss: Any, gradients: Any) -> Gradients:
    """Return the loss and the gradients by name."""
    return {"loss": loss, **dict(zip(WANTED[cell], gradients, strict=True))}


def contestants(cell: str) -> list[Contestant]:
    """Return the contestants for a cell, minigrad first."""
    return [
        Contestant(NATIVE, partial(ours, cell, "native"), "minigrad_rnn"),
        Contestant(NUMPY, partial(ours, cell, "fused"), "minigrad_rnn"),
        Contestant(TORCH, partial(torch_module, cell), "torch"),
        Contestant(JAX, partial(jax_scan, cell), "jax"),
    ]


def targets(cell: str) -> list[Target]:
    """Return the targets for a cell: ahead of every other contestant at every size."""
    wanted = []
    for size in ALL_SIZES:
        of_torch = 2.0 if cell == "LSTM" and size["B"] == 1 else 1.1
        wanted += [
            Target(who, tuple(size.values()), least) for who, least in ((NUMPY, 1.0), (TORCH, of_torch), (JAX, 1.0))
        ]
    return wanted


Row = tuple[str, dict[str, int], list[Result]]
"""A cell, a size, and the contestants' results there."""


def geometric_mean(numbers: list[float]) -> float:
    return math.exp(sum(map(math.log, numbers)) / len(numbers))


def means(rows: Sequence[Row], quiet: bool) -> list[str]:
    """Return paragraphs with the geometric means of theirs / ours by cell and by sizes, and which targets were met."""
    ours = our_place([results for _, _, results in rows])
    names = [result.name for result in rows[0][2]]
    groups = {cell: [row for row in rows if row[0] == cell] for cell in GATES}
    groups |= {
        "all": list(rows),
        "all, sizes tuned at": [row for row in rows if row[1] in SIZES],
        "all, other sizes": [row for row in rows if row[1] in OTHER_SIZES],
    }
    lines, missed, met = [], [], 0
    for group, members in groups.items():
        cells = []
        for k, name in enumerate(names[ours + 1 :], ours + 1):
            ratios = [ratio(r[k], r[ours])[1] for _, _, r in members if r[k].rounds and r[ours].rounds]
            least = WANTED_MEANS.get((group, name))
            wanted = f" (≥ {least:g})" if least else ""
            if not ratios:
                cells.append("–" + wanted)
                continue
            mean = geometric_mean(ratios)
            mark = "**" if least and mean < least else ""
            cells.append(f"{mark}{mean:.2f}{mark} over {len(ratios)}{wanted}")
            if least and mean < least:
                missed.append(f"{name}, {group}: {mean:.2f}, wanted {least:g}")
            elif least:
                met += 1
        lines.append([group, *cells])
    return [
        f"Geometric mean of theirs / ours, ours is {names[ours]} (target):",
        table(["", *names[ours + 1 :]], lines),
        *(verdict(met, missed) if quiet else []),
    ]


def measure(options: Options) -> Tables:
    sizes = [*QUICK_SIZES, OTHER_SIZES[-1]] if options.quick else ALL_SIZES
    parts, rows, quiet = [], [], True
    for cell in GATES:
        options.report(cell)
        results = contest(contestants(cell), sizes, options.plan, options.one_process, options.report)
        tables = timing_tables(sizes, results, targets(cell))
        parts += [f"### {cell}", tables.text]
        quiet = quiet and tables.quiet
        rows += [(cell, size, at_size) for size, at_size in zip(sizes, results)]
    return Tables("\n\n".join([*parts, "### All cells", *means(rows, quiet)]), quiet)


BENCHMARK = Benchmark("fused", measure, ("torch", "jax"))
