"""`Trainer` trains a model on a stream of batches, so that a run that is killed continues as if it never was."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, nullcontext, suppress
from typing import Any

import numpy as np

from minigrad import nn, optim
from minigrad.nn.inference import inference
from minigrad.option_checks import check_flag

from . import checkpoint_file
from .batch_reader import BatchReader
from .budget import budget_of
from .evaluation import Evaluations, numbers_of
from .generator_states import generators_of, load_states, states_of
from .metrics_file import MetricsFile
from .options import (
    as_metadata,
    check_clip_norm,
    check_companion_objects,
    check_companions,
    check_counts,
    check_functions,
    check_objects,
    check_optional_path,
    listed_generators,
    takes_a_state,
    what_schedule_wants,
)
from .parallel import Parallel, Solo, on_rank_0
from .progress import Progress
from .reports import Reports
from .resumed_options import options_of
from .run_folder import BEST, CHECKPOINT, CURVES, METRICS, PREVIOUS, alone_in, make_folder
from .stop import StopSignals
from .stream_position import stream_of


class Trainer(Reports):
    """Train a model: read batches, go back through their divergence, clip, step; evaluate, save, and resume.

    >>> import numpy as np
    >>> from minigrad import losses, nn, optim
    >>> model = nn.Linear(2, 1, rng=0)
    >>> xs = np.random.default_rng(0).standard_normal((64, 2)).astype("float32")
    >>> batches = [(x, x.sum(1, keepdims=True)) for x in np.split(xs, 8)]
    >>> def divergence(model, batch):
    ...     x, target = batch
    ...     return losses.mse(model(x), target)
    >>> trainer = Trainer(model, optim.Adam(model.parameters(), lr=0.1), batches, divergence, progress=False)
    >>> history = trainer.fit(epochs=20)
    >>> history[-1]["update"], history[-1]["loss"] < 0.01
    (160, True)

    An update is one step of the optimizer, on `accumulate` batches. With a `folder`, everything that determines how
    training goes on is saved there, in one file that is whole or not there: weights, the optimizer's and the schedule's
    state, generators, the position in the stream, the carried state, and all counters. A run that is resumed ends in
    bitwise the same weights as one that was never stopped, with the same arithmetic (NumPy, its BLAS and threads).

    The folder has `checkpoint.npz`, `best.npz` (the weights of the best evaluation), `metrics.jsonl` (a line for each
    dictionary of `history`) and `curves.png` (where matplotlib is installed). An earlier run's files there are kept
    under the names previous.npz, previous_best.npz and previous.jsonl. One run at a time writes into a folder.

    Args:
        model: any module. It is switched to training mode, and to evaluation mode meanwhile for `evaluate`.
        optimizer: one over parameters of the model.
        batches: a stream, such as `minigrad_rnn.data.Batches` or `minigrad_rnn.text.Streams`, or a list of batches.
        divergence: `divergence(model, batch)` returns the loss, a scalar. With a third parameter, `divergence(model,
            batch, state)`, it returns the loss and the next state, which is carried to the next batch without its
            graph; it is given None at the beginning of an epoch.
        schedule: of the learning rate: one of `minigrad.optim`, stepped after each update (one whose `step` wants a
            value, after each evaluation), or a function of the trainer that returns the rate of the next update.
        clip_norm: the largest norm of the gradients; larger ones are scaled down. None for no limit.
        accumulate: batches whose gradients make one update, their mean. An epoch's last ones may be fewer.
        evaluate: `evaluate(model)` returns a number, or a dictionary of numbers, of which the first decides what is
            best. Gradients are not recorded meanwhile.
        evaluate_every: updates between two evaluations; None for one at the end of each epoch.
        lower_is_better: whether a smaller number of the evaluation is better.
        patience: the run ends when so many evaluations in a row were no better than the best one; None for never.
        tokens: `tokens(batch)` returns over how many tokens, or examples, a batch's divergence is a mean. Batches that
            are accumulated, or pooled over ranks, weigh by it, and progress tells tokens per second. None: all weigh 1.
        folder: where the run's files go; it is made with the first of them. None for no files.
        save_every: updates between two checkpoints; None for one at the end of each epoch. `fit` saves at its end.
        generators: further generators that `divergence` or `evaluate` draw from. The library's own and those that
            belong to the model are known.
        metadata: what a checkpoint should also hold, such as settings and the vocabulary; JSON must be able to.
        parallel: ranks that train together, such as `minigrad.distributed.DataParallel`; rank 0 writes.
        progress: whether to show how training goes: a bar (where tqdm is installed, on a terminal), or lines.
        tensorboard: whether to write the history for TensorBoard too, into the folder; needs the package tensorboardX.
        ema: an average of the weights, `minigrad.optim.EMA`: updated after each update, evaluated, saved.
        report_every: updates between two lines of the history, which tell the mean loss since the last one.
        after_update: a function of the trainer that is called after each update.
        resume_command: what the message after Ctrl-C tells to run.

    Raises:
        TypeError, ValueError: an argument is of another kind or out of range. ImportError: a package is missing.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: optim.Optimizer,
        batches: Any,
        divergence: Callable[..., Any],
        *,
        schedule: Any = None,
        clip_norm: float | None = None,
        accumulate: int = 1,
        evaluate: Callable[[Any], Any] | None = None,
        evaluate_every: int | None = None,
        lower_is_better: bool = True,
        patience: int | None = None,
        tokens: Callable[[Any], float] | None = None,
        folder: str | os.PathLike[str] | None = None,
        save_every: int | None = None,
        generators: Iterable[np.random.Generator] = (),
        metadata: Mapping[str, Any] | None = None,
        parallel: Parallel | None = None,
        progress: bool = True,
        tensorboard: bool = False,
        ema: Any = None,
        report_every: int = 20,
        after_update: Callable[[Trainer], Any] | None = None,
        resume_command: str | None = None,
    ) -> None:
        check_objects(model, optimizer, divergence)
        check_counts(
            accumulate=accumulate, report_every=report_every, evaluate_every=evaluate_every, patience=patience,
            save_every=save_every,
        )  # fmt: skip
        check_functions(evaluate=evaluate, tokens=tokens, after_update=after_update)
        check_flag("Trainer", lower_is_better=lower_is_better, progress=progress, tensorboard=tensorboard)
        check_clip_norm(clip_norm)
        check_companion_objects(parallel, ema, resume_command)
        listed, described = listed_generators(generators), as_metadata(metadata)
        check_companions(evaluate, evaluate_every, patience, folder, save_every, tensorboard)
        super().__init__()
        self.model, self.optimizer, self.ema = model, optimizer, ema
        self.schedule, self.schedule_wants = schedule, what_schedule_wants(schedule, evaluate)
        self.divergence, self.carries, self.tokens = divergence, takes_a_state(divergence), tokens
        self.clip_norm, self.accumulate, self.metadata = clip_norm, int(accumulate), described
        self.evaluate_with, self.evaluate_every, self.save_every = evaluate, evaluate_every, save_every
        self.report_every, self.after_update = int(report_every), after_update
        self.generators = generators_of(model, listed)
        self.parallel = Solo() if parallel is None else parallel
        self.resume_command, self._shows = resume_command, progress and self.parallel.rank == 0
        self.reader = BatchReader(stream_of("Trainer", batches))
        self.evaluations = Evaluations(bool(lower_is_better), patience)
        self.folder = None if folder is None else os.fspath(folder)
        self.owned: set[str] = set()
        """The files that this run wrote, by their real paths."""
        self.evaluated = -1
        """The update after which the last evaluation was."""
        self._stopping = False
        self._new_best: tuple[dict[str, Any], dict[str, float]] | None = None  # weights and numbers, to be written
        self.signal: int | None = None
        """The signal that stopped the last `fit`, or None."""
        paths: list[str | None] = [None, None, None]
        if folder is not None and self.parallel.rank == 0:
            paths = [self.path_of(name) for name in (METRICS, PREVIOUS[METRICS], "tensorboard")]
        self.metrics = MetricsFile(paths[0], paths[1], paths[2] if tensorboard else None)
        self.options = options_of(optimizer, with_rate=self.schedule_wants != "trainer")
        """What the optimizer was made with, by group; without a rate that a function sets."""
        self.parallel.spread_generators(self.generators)
        same = {**checkpoint_file.settings_of(self), "metadata": described, "model": repr(model)}
        same |= {
            "param_groups": optimizer.state_dict()["param_groups"],
            "batches": self.reader.state_dict()["position"],
        }
        counts = {"evaluate_every": evaluate_every, "save_every": save_every, "patience": patience}
        same |= {name: None if count is None else int(count) for name, count in counts.items()}
        given = {"evaluate": evaluate, "tokens": tokens, "folder": folder}
        self.parallel.check_same("Trainer", {**same, **{name: value is not None for name, value in given.items()}})

    # What a run is asked

    @property
    def best(self) -> dict[str, Any] | None:
        """The best evaluation: its "update", the "value" that decided, and all numbers by name."""
        return self.evaluations.best

    def path_of(self, name: str) -> str:
        """Return the path of a file in the run's folder. Raises ValueError if the run has none."""
        if self.folder is None:
            raise ValueError("Trainer: folder: got None, want one for the run's files")
        return os.path.join(self.folder, name)

    # Training

    def fit(
        self, *, epochs: float | None = None, updates: int | None = None, seconds: float | None = None
    ) -> list[dict[str, Any]]:
        """Train until a budget is used up, the patience is, or Ctrl-C or SIGTERM asks to stop; return the history.

        Budgets count from the run's beginning, so that a resumed run with the same budget ends where one that was never
        stopped ends. A larger budget continues a finished run. At the end the model is evaluated once more if it was
        not after the last update; this counts for the best model, and neither for the patience nor for the schedule.

        A signal stops the run after the current update: it is saved, and `signal` is its number. A second one stops at
        once and leaves the last checkpoint as it was.

        Args:
            epochs: passes over the stream, which may be a fraction.
            updates: steps of the optimizer.
            seconds: time spent in `fit`.

        Raises:
            ValueError: no budget, one below 0, or a folder into which another run writes.
            FloatingPointError: the loss is NaN or infinite. OSError: a file cannot be written; the last checkpoint is
                untouched, and training may go on when there is room.
        """
        self.budget = budget_of("Trainer.fit", epochs, updates, seconds)
        self.signal, self._stopping = None, False
        self.reader.restart()
        self.model.train()
        with ExitStack() as stack:
            if self.folder is not None:
                on_rank_0(self.parallel, lambda: stack.enter_context(alone_in(make_folder(self.path_of("")))))
            stack.callback(self.metrics.close)
            self._agreed_seconds = self._seconds
            self._progress = Progress(self._shows, self.fraction_done)
            stack.callback(self._progress.close)
            stop = stack.enter_context(StopSignals())
            self._start = time.perf_counter()
            stack.callback(self._stop_clock)
            self._reported = self._start, self._where().get("tokens", 0.0)
            if self._owes_evaluation():
                self._evaluate_or_save()
            while not self._finished(stop):
                self._train()
            self._stop_clock()
            self._finish()
        return self.history

    def stop(self) -> None:
        """End `fit` after the current update, as if its budget were used up; for `after_update` and `evaluate`."""
        self._stopping = True

    def _finished(self, stop: StopSignals) -> bool:
        self._agreed_seconds = self.parallel.broadcast(self.seconds)
        if self.parallel.any(stop.signal is not None):
            self.signal = stop.signal or self.parallel.broadcast(stop.signal) or signal.SIGTERM
        if self.signal is not None or self.fraction_done >= 1.0 or self.evaluations.exhausted:
            return True
        return self.parallel.any(self._stopping)

    def _stop_clock(self) -> None:
        self._seconds, self._start = self.seconds, None

    def _train(self) -> None:
        """Make an update, or notice an epoch's end; then whatever is due, also where a file could not be written."""
        updated = self.update()
        if updated and self.after_update is not None:
            self.after_update(self)

        def due(every: int | None) -> bool:
            return self.reader.epoch_ended if every is None else updated and self.updates % every == 0

        actions: list[Callable[[], object]] = []
        if due(self.report_every):
            actions.append(self._report)
        if self.evaluate_with is not None and due(self.evaluate_every):
            actions.append(self._evaluate_or_save)
        if self.folder is not None and due(self.save_every):
            actions.append(self.save)
        failures = []
        for action in actions:
            try:
                action()
            except OSError as error:  # such as a full disk
                failures.append(error)
        if failures:
            raise failures[0]

    # Evaluation

    def _owes_evaluation(self) -> bool:
        """Whether an evaluation was due after the last update, and failed or came after what was resumed was saved."""
        every = self.evaluate_every
        due = self.reader.batch == 0 if every is None else self.updates % every == 0
        return self.evaluate_with is not None and due and 0 < self.updates != self.evaluated

    def _evaluate_or_save(self, last: bool = False) -> None:
        """Evaluate; where `evaluate` has a fault, save what was trained first."""
        try:
            self._evaluate(last)
        except (OSError, FloatingPointError):
            raise
        except Exception:
            with suppress(OSError, FloatingPointError):
                if self.folder is not None and self.parallel.size == 1:  # else the others would have to come along
                    self.save()
            raise

    def _evaluate(self, last: bool = False) -> None:
        """Evaluate the model, keep it if it is the best one, and note the numbers."""
        assert self.evaluate_with is not None
        self.fetch()  # stops here if the model has diverged
        with inference(self.model), nullcontext() if self.ema is None else self.ema.apply():
            numbers = numbers_of(self.parallel.broadcast(numbers_of(self.evaluate_with(self.model))))
            value = next(iter(numbers.values()))
            if better := self.evaluations.is_best(value):
                self._new_best = checkpoint_file.finite_weights(self), numbers
        self.evaluations.add({"update": self.updates, "value": value, **numbers}, better, counts=not last)
        if self.schedule_wants == "value" and not last:
            self.schedule.step(value)
        self.evaluated = self.updates
        told = ", ".join(f"{name} {number:.4g}" for name, number in numbers.items())
        self._progress.line(f"update {self.updates:,}, epoch {self.epoch:.2f}: {told}{' (best)' if better else ''}")
        self._note({**self._where(), **numbers})
        self._write_best()

    def _write_best(self) -> None:
        """Write the weights of the best evaluation, if they are not written yet."""
        if self.folder is not None and self._new_best is not None:
            checkpoint_file.write_best(self, self.path_of(BEST), *self._new_best)
            self._new_best = None

    def _finish(self) -> None:
        """Evaluate, save and draw at the end; after a signal only save, and say how to continue."""
        if self.signal is not None:
            self._say_how_to_continue(None if self.folder is None else self.save())
            return
        told = any(line["update"] == self.updates and "loss" in line for line in self.history[-2:])
        if (self.losses or self._pending) and not told:
            self._report(last=True)
        if self.evaluate_with is not None and self.evaluated != self.updates:
            states = states_of(self.generators)
            self._evaluate_or_save(last=True)
            load_states(self.generators, states)
        if self.evaluations.exhausted:
            count = self.evaluations.without_better
            self._progress.line(f"no better evaluation in the last {count}: training ends")
        if self.folder is not None:
            self.save()
            if self.parallel.rank == 0:
                with suppress(ImportError):
                    self.plot(self.path_of(CURVES))

    # Files

    def save(self, path: str | os.PathLike[str] | None = None) -> str:
        """Write everything that determines how training goes on to one file, atomically; return its path.

        Args:
            path: the file; None for `checkpoint.npz` in the run's folder.

        Raises:
            ValueError: neither a path nor a folder. FloatingPointError: a loss or a weight is NaN or infinite.
            TypeError: the carried state is not one of tensors, arrays and numbers in tuples, lists and dictionaries.
            OSError: it cannot be written. After each of them the file that was there is still there.
        """
        check_optional_path("Trainer.save", path=path)
        self.fetch()
        name = self.path_of(CHECKPOINT) if path is None else os.fspath(path)
        if self.folder is not None:
            on_rank_0(self.parallel, lambda: make_folder(self.path_of("")))
        self._write_best()
        on_rank_0(self.parallel, self.metrics.write)
        checkpoint_file.write(self, name)
        return name

    def resume(self, path: str | os.PathLike[str] | None = None) -> None:
        """Go on where a checkpoint was saved. After an error the trainer is as it was.

        Args:
            path: the file; None for `checkpoint.npz` in the run's folder.

        Raises:
            minigrad.CheckpointError: it is missing, damaged, of another version, model, optimizer, stream or data.
        """
        check_optional_path("Trainer.resume", path=path)
        name = self.path_of(CHECKPOINT) if path is None else os.fspath(path)
        warnings = checkpoint_file.read(self, name)
        self._new_best = None
        self._pending.clear()
        for warning in warnings if self._shows else ():
            print(f"{os.path.basename(sys.argv[0])}: {warning}", file=sys.stderr)

    def load_best(self) -> None:
        """Load the weights of the best evaluation into the model.

        Raises:
            ValueError: no evaluation gave a number. minigrad.CheckpointError: the run's `best.npz` cannot be read.
        """
        if self.best is None:
            raise ValueError("Trainer.load_best: no evaluation gave a number, want one that did")
        if self._new_best is None and self.folder is None:
            raise ValueError("Trainer.load_best: the run was resumed and has no folder with its best.npz")
        weights = self._new_best[0] if self._new_best else checkpoint_file.load_weights(self.path_of(BEST))[0]
        self.model.load_state_dict(weights)
