"""Draw what each time step contributes to the gradient of Wr, before the contributions are summed.

The loss looks at the last of 100 outputs only. An RNN's contributions vanish within some thirty steps, and so do those
of an LSTM as it is usually initialised. With a forget bias of 3 the LSTM learns from the first steps, too.

    python examples/gradient_by_time_step.py [--output docs/gradient_by_time_step.svg]

The picture needs matplotlib; without it only the numbers are printed.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
from minigrad_rnn import LSTM, RNN

T, B, I, H = 100, 8, 8, 32
SHOWN = (1, 25, 50, 75, 99)
MODELS: dict[str, Any] = {
    "RNN": lambda rng: RNN(I, H, dtype="float64", rng=rng),
    "LSTM": lambda rng: LSTM(I, H, dtype="float64", rng=rng),
    "LSTM, forget_bias=3": lambda rng: LSTM(I, H, forget_bias=3.0, dtype="float64", rng=rng),
}


def contributions(model: Any) -> list[float]:
    """‖contribution of step t to ∂L/∂Wr‖ for t = 0 … T−1 (step 0 reads h(−1) = 0); L reads only the last output."""
    xs = np.random.default_rng(1).standard_normal((T, B, I))
    output, _ = model(xs)
    loss = (output[-1] ** 2).sum()
    Wr = model.forward0.Wr
    by_step = mg.ledger(loss, [Wr], retain_graph=True).by_time_step(Wr)
    loss.backward()
    # The contributions add up to the gradient that every framework gives.
    assert np.allclose(sum(g.numpy() for g in by_step.values()), Wr.grad.numpy())
    return [float(np.linalg.norm(by_step[t].numpy())) for t in range(T)]


def draw(norms: dict[str, list[float]], path: Path) -> None:
    """Draw all models' contributions to a file, on a logarithmic axis."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams.update({"svg.fonttype": "path", "svg.hashsalt": "minigrad", "font.size": 11})
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 3.6), layout="constrained")
    looks = (("-", "#c44e52", (6, -16)), ("--", "#4c72b0", (-44, 8)), ("-", "#2a7f62", (0, -18)))
    for (name, values), (style, color, offset) in zip(norms.items(), looks):
        axes.semilogy(range(1, T), values[1:], style, color=color, linewidth=2)
        axes.annotate(name, (30, values[30]), offset, textcoords="offset points", color=color, weight="bold")
    axes.set(xlabel="time step t", ylabel="‖contribution of step t to ∂L/∂Wr‖", xlim=(1, T - 1))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    pyplot.close(figure)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, help="write a picture here (.svg, .png, .pdf)")
    options = parser.parse_args(arguments)
    norms = {name: contributions(make(np.random.default_rng(0))) for name, make in MODELS.items()}
    print("‖contribution of step t to ∂L/∂Wr‖; the loss looks only at step 99")
    print(f"{'t':>20}" + "".join(f"{t:>10}" for t in SHOWN))
    for name, values in norms.items():
        print(f"{name:>20}" + "".join(f"{values[t]:>10.1e}" for t in SHOWN))
    if options.output is not None:
        try:
            draw(norms, options.output)
        except ImportError:
            raise SystemExit("gradient_by_time_step: --output needs matplotlib: pip install matplotlib") from None
        print(f"wrote {options.output}")


if __name__ == "__main__":
    main()
