"""Write a page on which the BPTT of a small network can be stepped: it has to recall the first of many symbols.

Run it: python examples/explore_bptt.py --cell lstm --steps 12, and open bptt.html in a browser. The loss is at the last
step only, so that the map at the bottom of the page shows how much of it reaches the first one.
"""

from __future__ import annotations

import argparse

import numpy as np

import minigrad as mg
from minigrad import losses, nn, optim
from minigrad_rnn import GRU, LSTM, RNN, ManyToMany, Recurrence, explore

SYMBOLS = 4
CELLS: dict[str, type[Recurrence]] = {"rnn": RNN, "lstm": LSTM, "gru": GRU}


def task(steps: int, batch: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """One-hot symbols (T, B, 4), and as targets (T, B) the first symbol at the last step; −100 is no target."""
    symbols = rng.integers(0, SYMBOLS, (steps, batch))
    targets = np.full((steps, batch), -100)
    targets[-1] = symbols[0]
    return np.eye(SYMBOLS, dtype="float32")[symbols], targets


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--cell", choices=CELLS, default="rnn", help="the network (rnn)")
    parser.add_argument("--steps", type=int, default=8, help="time steps (8)")
    parser.add_argument("--hidden", type=int, default=6, help="units of the hidden layer (6)")
    parser.add_argument("--train", type=int, default=0, metavar="N", help="train for N steps first (0)")
    parser.add_argument("--seed", type=int, default=0, help="of the weights and the data (0)")
    parser.add_argument("--out", default="bptt.html", help="the page to write (bptt.html)")
    options = parser.parse_args(arguments)

    rng = np.random.default_rng(options.seed)
    recurrence = CELLS[options.cell](SYMBOLS, options.hidden, rng=options.seed)
    model = ManyToMany(recurrence, nn.Linear(options.hidden, SYMBOLS, rng=options.seed))
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    for _ in range(options.train):
        xs, targets = task(options.steps, 32, rng)
        loss: mg.Tensor = losses.cross_entropy(model(xs)[0][-1], targets[-1])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    xs, targets = task(options.steps, 1, rng)
    explore(model, xs, targets, options.out, title=f"{options.cell.upper()}, recall after {options.steps} steps")
    print(f"wrote {options.out}")


if __name__ == "__main__":
    main()
