"""Measure over how many steps recurrent nets learn to remember: the adding problem and the copying memory.

adding: each of T steps has a number in [0, 1] and a mark. Two are marked; the answer after the last step is their sum
(Hochreiter & Schmidhuber 1997; as here in Le, Jaitly & Hinton 2015). Who always says the mean has the error 1/6.
copying: ten symbols of eight, T blanks, a signal; then the ten are to be repeated (Hochreiter & Schmidhuber 1997; as
here in Arjovsky, Shah & Bengio 2016). Without a memory the best loss is 10 ln 8 / (T + 20).

    python examples/memory_tasks.py                         adding over 50 to 200 steps, copying over 20; 5,000 updates
    python examples/memory_tasks.py --task copying --lengths 100 --nets LSTM "LSTM, chrono"
    python examples/memory_tasks.py --full                  T = 50 to 1000, hours

A task counts as solved when the error on sequences that were held out is a tenth of the baseline's. Written are a
table, the errors over training, what was solved, and how far back the gradient reaches before and after training: the
norm of what each use of the recurrent weights contributes, by its lag behind the loss.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from command_line import budget, example_parser, generator, resume_command, run, whole
from memory_parts.pictures import draw_curves, draw_reach, draw_solved
from memory_parts.tasks import Adding, Copying, Drawn, Task

import minigrad as mg
import minigrad_rnn as mr
from minigrad import nn, optim
from minigrad_rnn.training import Trainer


class Net(NamedTuple):
    make: Callable[[int, int, int, Any], mr.Recurrence]
    """From features, units, steps and a generator."""
    lr: float


def irnn(I: int, H: int, steps: int, rng: Any) -> mr.Recurrence:
    net = mr.RNN(I, H, nonlinearity="relu", rng=rng)
    mr.identity_init(net)
    with mg.no_grad():
        net.forward0.Wc *= 0.4  # what is kept of every step adds up
    return net


def indrnn(I: int, H: int, steps: int, rng: Any) -> mr.Recurrence:
    net = mr.IndRNN(I, H, 2, rng=rng)
    mr.independent_init(net, steps, rng=rng)
    return net


def chrono(I: int, H: int, steps: int, rng: Any) -> mr.Recurrence:
    net = mr.LSTM(I, H, rng=rng)
    mr.chrono_init(net, max(3, steps), rng=rng)
    return net


NETS = {
    "RNN": Net(lambda I, H, steps, rng: mr.RNN(I, H, rng=rng), 1e-3),
    "IRNN": Net(irnn, 1e-3),
    "IndRNN": Net(indrnn, 3e-3),
    "GRU": Net(lambda I, H, steps, rng: mr.GRU(I, H, rng=rng), 1e-2),
    "LSTM": Net(lambda I, H, steps, rng: mr.LSTM(I, H, forget_bias=1.0, rng=rng), 1e-2),
    "LSTM, chrono": Net(chrono, 1e-2),
}
"""Each with a learning rate that serves it well at T = 100; a larger one lets the ungated nets explode."""


def bound(net: mr.Recurrence, steps: int) -> None:
    """Hold an IndRNN's recurrent weights within ±2^(1/steps), as published: a relu unit beyond that explodes."""
    most = 2 ** (1 / steps)
    with mg.no_grad():
        for cell in net.cells:
            cell.Wr -= cell.Wr - mg.clip(cell.Wr, -most, most)


def reach(task: Task, model: Any, backend: str) -> dict[int, float]:
    """‖what the use at step t − k contributes to ∂L(t)/∂Wr‖ by the lag k, the largest over the steps t that ask."""
    by_step, asked = task.by_step(model, task.draw(np.random.default_rng(99), 8), backend)
    terms = [by_step[t] for t in asked] if len(by_step) > 1 else [by_step[0]]
    return mg.lag_ledger(terms, {"Wr": model.recurrence.cells[0].Wr}, times=asked).largest_by_lag("Wr")


class Outcome(NamedTuple):
    """What became of one net on one task."""

    curve: list[tuple[int, float]]
    """(updates, held-out error)."""
    solved: int | None
    """After how many updates; None for not at all."""
    before: dict[int, float]
    """`reach` before training."""
    after: dict[int, float]


def curve_of(trainer: Trainer) -> list[tuple[int, float]]:
    """The evaluations of a run: (updates, held-out error)."""
    return [(line["update"], line["evaluation"]) for line in trainer.history if "evaluation" in line]


def train(task: Task, name: str, arguments: argparse.Namespace) -> Outcome:
    """Train a net until it solves the task or the budget is used up."""
    H, backend = arguments.hidden_size, arguments.backend
    rng = generator(arguments, 1)
    net = NETS[name].make(task.features, H, task.T, rng)
    model = task.model(net, nn.Linear(H, task.outputs, rng=rng)).to(backend)
    held_out = task.draw(generator(arguments, 2), 500)
    before = reach(task, model, backend)

    def divergence(model: Any, batch: Any) -> mg.Tensor:
        return task.loss(model, batch, backend)

    def evaluate(model: Any) -> float:
        error = float(divergence(model, held_out).item())
        if error < task.baseline / 10:
            trainer.stop()
        return error

    def after_update(trainer: Trainer) -> None:
        if isinstance(net, mr.IndRNN):
            bound(net, task.T)

    trainer = Trainer(
        model, optim.Adam(model.parameters(), lr=NETS[name].lr), Drawn(task.draw, arguments.batch_size, arguments.seed),
        divergence, clip_norm=1.0, evaluate=evaluate, evaluate_every=arguments.evaluate_every, progress=False,
        folder=os.path.join(arguments.out, f"{task.name}-{task.T}", name.replace(", ", "-")), save_every=10**9,
        metadata={"task": task.name, "T": task.T, "net": name, "hidden_size": H}, after_update=after_update,
        resume_command=resume_command(arguments),
    )  # fmt: skip

    def solution() -> int | None:
        """After how many updates the task was solved."""
        return next((update for update, error in curve_of(trainer) if error < task.baseline / 10), None)

    if arguments.resume and os.path.exists(trainer.path_of("checkpoint.npz")):
        trainer.resume()
    diverged: list[tuple[int, float]] = []
    if solution() is None:
        try:
            with np.errstate(over="ignore", invalid="ignore"):  # the trainer stops by itself
                trainer.fit(**budget(arguments))
        except FloatingPointError:
            diverged = [(trainer.updates, math.inf)]
    if trainer.signal:
        raise SystemExit(128 + trainer.signal)
    curve, solved = curve_of(trainer) + diverged, solution()
    told = f"solved after {solved:,} updates" if solved else f"not solved in {curve[-1][0]:,} updates"
    told = "diverged" if diverged else told
    print(f"  {task.name}, T = {task.T}, {name}: error {curve[-1][1]:.4f} of {task.baseline:.4f}, {told}", flush=True)
    return Outcome(curve, solved, before, reach(task, model, backend))


def told_of(end: Outcome) -> str:
    if end.curve[-1][1] == math.inf:
        return "diverged"
    return f"{end.curve[-1][1]:.4f}, {f'{end.solved:,}' if end.solved else 'unsolved'}"


def report(name: str, outcomes: dict[int, dict[str, Outcome]], baselines: dict[int, float]) -> None:
    """Print a table: the held-out error of each net for each T, and after how many updates it had solved it."""
    print(f"\n{name:22}" + "".join(f"{f'T = {T}':>20}" for T in outcomes))
    print(f"{'without a memory':22}" + "".join(f"{baselines[T]:>20.4f}" for T in outcomes))
    for net in next(iter(outcomes.values())):
        ends = (by_net[net] for by_net in outcomes.values())
        cells = (told_of(end) for end in ends)
        print(f"{net:22}" + "".join(f"{cell:>20}" for cell in cells))


def main(arguments: argparse.Namespace) -> None:
    if isinstance(arguments.resume, str):
        raise ValueError(f"--resume: got {arguments.resume}, want no file: every net has its own below --out")
    solved: dict[str, dict[int, dict[str, tuple[int | None, float]]]] = {}
    for make in [make for make in (Adding, Copying) if arguments.task in (make.name, "both")]:
        arguments.default_budget = {"updates": 20_000 if arguments.full else make.updates}
        lengths = arguments.lengths or ((50, 100, 200, 400, 750, 1000) if arguments.full else make.lengths)
        tasks = [make(T) for T in sorted(set(lengths))]
        outcomes = {task.T: {name: train(task, name, arguments) for name in arguments.nets} for task in tasks}
        baselines = {task.T: task.baseline for task in tasks}
        report(make.name, outcomes, baselines)
        curves = {T: {name: end.curve for name, end in by_net.items()} for T, by_net in outcomes.items()}
        draw_curves(make.name, curves, baselines, os.path.join(arguments.out, f"{make.name}.png"))
        longest, by_net = max(outcomes.items())
        ends = {name: (end.before, end.after) for name, end in by_net.items()}
        draw_reach(f"{make.name}, T = {longest}", ends, os.path.join(arguments.out, f"{make.name}_reach.png"))
        solved[make.name] = {
            T: {name: (end.solved, end.curve[-1][1] / baselines[T]) for name, end in by_net.items()}
            for T, by_net in outcomes.items()
        }
    draw_solved(solved, os.path.join(arguments.out, "solved.png"))
    print(f"\npictures: {arguments.out}/{{{','.join([*solved, *(f'{name}_reach' for name in solved), 'solved'])}}}.png")


parser = example_parser(__doc__, "memory_tasks", updates=Adding.updates)
parser.add_argument("--task", choices=("adding", "copying", "both"), default="both")
parser.add_argument("--lengths", type=whole(10), nargs="+", metavar="T", help="steps (50 100 200, copying 20)")
parser.add_argument("--nets", nargs="+", choices=list(NETS), default=list(NETS), metavar="NET", help=", ".join(NETS))
parser.add_argument("--hidden-size", type=whole(1), default=64, help="units (%(default)s)")
parser.add_argument("--batch-size", type=whole(1), default=32, help="sequences in a batch (%(default)s)")
parser.add_argument("--evaluate-every", type=whole(1), default=100, help="updates (%(default)s)")
parser.add_argument("--full", action="store_true", help="T = 50, 100, 200, 400, 750, 1000; 20,000 updates each")

if __name__ == "__main__":
    sys.exit(run(main, parser))
