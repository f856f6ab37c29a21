"""The files of a run that hold weights: `write`, `read` and `write_best` for a trainer, `load_weights` for anybody."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

import minigrad as mg
from minigrad import serialize
from minigrad.nn.module_state import freeze_only
from minigrad.option_checks import check_path, is_integer, is_number
from minigrad.serialize import CheckpointError
from minigrad.serialize.header import in_one_line

from .arithmetic import arithmetic_of, differences
from .carried_state import from_plain, to_plain
from .generator_states import load_states, states_of
from .parallel import on_rank_0
from .resumed_options import (
    check_dtypes,
    check_parameters,
    other_average,
    other_frozen,
    other_options,
    other_schedule,
    parameters_of,
)
from .run_folder import PREVIOUS

if TYPE_CHECKING:
    from .trainer import Trainer

KIND = "minigrad_rnn.training"
"""Written into each file, so that another file of minigrad's is not mistaken for one."""
VERSION = 1
"""Of what a file holds; one of another version is refused."""


def write(trainer: Trainer, path: str) -> None:
    """Write everything that determines how training goes on; every rank calls it, and rank 0 writes.

    Raises:
        FloatingPointError: a weight is NaN or infinite. TypeError: the state cannot be saved. OSError: it cannot be
            written.
    """
    reader = trainer.reader.state_dict()
    here = {
        "batch": None if reader["last"] is None else reader["last"]["digest"],  # of this rank's part
        "generators": states_of(trainer.generators),
        "state": to_plain(trainer.state),
        "tokens": trainer.tokens_read,
    }
    ranks = trainer.parallel.gather(here)  # None but on rank 0
    tree = {
        "model": finite_weights(trainer),
        "optimizer": trainer.optimizer.state_dict(),
        "schedule": None if trainer.schedule_wants in (None, "trainer") else trainer.schedule.state_dict(),
        "ema": None if trainer.ema is None else trainer.ema.state_dict(),
        "ranks": ranks,
    }
    metadata = {
        **_kind(trainer),
        "settings": settings_of(trainer),
        "options": trainer.options,
        "parameters": parameters_of(trainer.model, trainer.optimizer),
        "counters": _counters(trainer),
        "reader": reader,
        "losses": trainer.losses,
        "best": trainer.evaluations.best,
        "best_counted": trainer.evaluations.best_counted,
        "history": trainer.history,
        "arithmetic": arithmetic_of(trainer.model),
    }
    on_rank_0(trainer.parallel, lambda: _save(trainer, path, tree, metadata))
    trainer.saved = os.path.realpath(path)
    trainer.owned.add(trainer.saved)


def write_best(trainer: Trainer, path: str, weights: dict[str, Any], numbers: dict[str, float]) -> None:
    """Write the weights of the best evaluation, and its numbers."""
    metadata = {**_kind(trainer), "update": trainer.updates, "evaluation": numbers}
    on_rank_0(trainer.parallel, lambda: _save(trainer, path, weights, metadata))
    trainer.owned.add(os.path.realpath(path))


def _save(trainer: Trainer, path: str, tree: dict[str, Any], metadata: dict[str, Any]) -> None:
    """Write the file; an earlier run's in this run's folder gets another name."""
    keep_as = None
    folder, name = os.path.split(path)
    if trainer.folder is not None and folder == trainer.folder and os.path.realpath(path) not in trainer.owned:
        keep_as = os.path.join(folder, PREVIOUS[name]) if name in PREVIOUS else None
    try:
        serialize.save(path, tree, metadata, keep_as=keep_as)
    except OSError as error:
        kept = (
            "no checkpoint was saved before"
            if trainer.saved is None
            else f"the last checkpoint is untouched: {trainer.saved}"
        )
        reason = f"Trainer.save: nothing was written: {error.strerror or error}; {kept}"
        raise OSError(error.errno, reason, path) from error


def _kind(trainer: Trainer) -> dict[str, Any]:
    model = repr(trainer.model)
    return {"kind": KIND, "version": VERSION, "minigrad": mg.__version__, "module": model, "metadata": trainer.metadata}


def settings_of(trainer: Trainer) -> dict[str, Any]:
    """The options that must be the same for a run to go on as if it had not been stopped."""
    clip = None if trainer.clip_norm is None else float(trainer.clip_norm)
    return {
        "optimizer": type(trainer.optimizer).__name__,
        "schedule": None if trainer.schedule is None else _name_of(trainer.schedule),
        "ema": trainer.ema is not None,
        "clip_norm": clip,
        "accumulate": trainer.accumulate,
        "lower_is_better": trainer.evaluations.lower_is_better,
    }


def _name_of(schedule: Any) -> str:
    return type(schedule).__name__ if hasattr(schedule, "state_dict") else "function"


def _counters(trainer: Trainer) -> dict[str, float]:
    return {
        "updates": trainer.updates,
        "evaluated": trainer.evaluated,
        "without_better": trainer.evaluations.without_better,
        "seconds": trainer.seconds,
    }


def finite_weights(trainer: Trainer) -> dict[str, Any]:
    """Return the model's weights and buffers, to be saved, or to be the best ones.

    Raises:
        FloatingPointError: a parameter is not finite, or NaN is in a buffer: what is of use stays saved.
    """
    weights = trainer.model.state_dict()
    usable = {name: bool(np.isfinite(weights[name]).all()) for name, _ in trainer.model.named_parameters()}
    for name, _ in trainer.model.named_buffers():  # where infinity may be meant
        usable[name] = name not in weights or not np.isnan(weights[name]).any()
    for name, is_usable in usable.items():
        if not is_usable:
            kept = "" if trainer.saved is None else f"; the last checkpoint is untouched: {trainer.saved}"
            raise FloatingPointError(
                f"Trainer: update {trainer.updates:,}: {name} has NaN or infinite entries, so nothing is saved{kept}"
            )
    return weights


# Reading


def read(trainer: Trainer, path: str) -> list[str]:
    """Restore a trainer, and return warnings: of options that are not used, and of bits that may differ from here on.

    After an error the trainer is as it was.

    Raises:
        CheckpointError: the file is missing or damaged, or of another version, model, optimizer, stream or data.
    """
    arrays, metadata = _open(path)
    with content_errors(path):
        _check(trainer, arrays, metadata)
        warnings = [*_not_used(trainer, arrays, metadata)]
        warnings.append(differences(metadata["arithmetic"], arithmetic_of(trainer.model)))
        before = _snapshot(trainer)
        try:
            _restore(trainer, arrays, metadata)
        except BaseException:
            _restore(trainer, *before, check_data=False)
            raise
    trainer.saved = os.path.realpath(path)
    trainer.owned = {trainer.saved}
    own = trainer.folder is not None and os.path.dirname(trainer.saved) == os.path.realpath(trainer.folder)
    if own:  # the other files there are this run's too
        trainer.owned |= {os.path.join(os.path.dirname(trainer.saved), name) for name in PREVIOUS}
    trainer.metrics.resumed(metadata["history"], own)
    return [warning for warning in warnings if warning]


def load_weights(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the weights in a run's `checkpoint.npz` or `best.npz`, and the metadata that its trainer was given.

    Where the run averages its weights (`ema`), they are the averages, as they are in `best.npz`.

    Args:
        path: the file.

    Raises:
        minigrad.CheckpointError: it is missing, damaged, or no file of a trainer's.
    """
    check_path("load_weights", path=path)
    path = os.fspath(path)
    arrays, metadata = _open(path)
    with content_errors(path, "its parts do not fit together"):
        weights = arrays if "evaluation" in metadata else arrays["model"]
        if "evaluation" not in metadata and arrays["ema"] is not None:
            weights = {**weights, **arrays["ema"]["average"]}
        if not isinstance(metadata["metadata"], dict) or not all(isinstance(a, np.ndarray) for a in weights.values()):
            raise ValueError("its weights are not those of a model")
        return dict(weights), metadata["metadata"]


def _open(path: str) -> tuple[dict[str, Any], dict[str, Any]]:
    arrays, metadata = serialize.load(path)
    if metadata.get("kind") != KIND:
        raise CheckpointError(f"{path}: is a file of something else, want one that a Trainer wrote")
    if metadata.get("version") != VERSION:
        got = f"version {str(metadata.get('version'))[:20]} (minigrad {str(metadata.get('minigrad'))[:20]})"
        raise CheckpointError(
            f"{path}: is a checkpoint of {got}, want version {VERSION}, that of minigrad {mg.__version__}"
        )
    return arrays, metadata


@contextlib.contextmanager
def content_errors(path: str, what: str = "does not fit this run") -> Iterator[None]:
    """Turn the errors of a checkpoint whose parts do not fit together into a CheckpointError that names the file."""
    try:
        yield
    except (CheckpointError, mg.BackendError, MemoryError):
        raise
    except Exception as error:  # a file can hold anything
        kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        raise CheckpointError(f"{path}: {what}: {kind}{in_one_line(error)}") from error


def _check(trainer: Trainer, arrays: dict[str, Any], metadata: dict[str, Any]) -> None:
    """Raise ValueError for a checkpoint of another model, other options or numbers that no run saves."""
    if "evaluation" in metadata:
        raise ValueError("it has the weights of the best evaluation only, want a checkpoint.npz; see load_weights")
    if (module := metadata["module"]) != repr(trainer.model):
        raise ValueError(f"it is of another model: {_first_difference(str(module), repr(trainer.model))}")
    for name, want in settings_of(trainer).items():
        if (saved := metadata["settings"][name]) != want:
            raise ValueError(f"{name}: got {want} here, want {str(saved)[:60]} as in the checkpoint")
    check_dtypes(arrays["model"], trainer.model.state_dict())
    if "parameters" in metadata:  # not in the files of earlier versions
        check_parameters(metadata["parameters"], parameters_of(trainer.model, trainer.optimizer))
    counters = metadata["counters"]
    for name in ("updates", "without_better"):
        if not is_integer(counters[name]) or counters[name] < 0:
            raise ValueError(f"{name}: got {str(counters[name])[:60]}, which no run saves")
    if not is_number(counters["seconds"]) or not 0 <= counters["seconds"] < math.inf:
        raise ValueError(f"seconds: got {str(counters['seconds'])[:60]}, which no run saves")
    if not is_integer(counters["evaluated"]) or not -1 <= counters["evaluated"] <= counters["updates"]:
        raise ValueError("evaluated: it is not one that a run saves")
    reader = metadata["reader"]
    if not all(is_integer(reader[name]) and reader[name] >= 0 for name in ("epochs", "batch")):
        raise ValueError("epochs: it is not one that a run saves")
    losses, history, best = metadata["losses"], metadata["history"], metadata["best"]
    if not isinstance(losses, list) or not all(_is_pair(pair) for pair in losses):
        raise ValueError("losses: they are not those of a run")
    if not isinstance(history, list) or not all(_is_line(line) for line in history):
        raise ValueError("history: it is not one that a run saves")
    if best is not None and not (is_number(best["value"]) and is_integer(best["update"])):
        raise ValueError("best: it is not one that a run saves")
    if metadata["best_counted"] is not None and not is_number(metadata["best_counted"]):
        raise ValueError("best_counted: it is not one that a run saves")
    if not isinstance(arrays["ranks"], list) or len(arrays["ranks"]) != trainer.parallel.size:
        got = len(arrays["ranks"]) if isinstance(arrays["ranks"], list) else 0
        raise ValueError(f"it is of a run on {got} ranks, and this one has {trainer.parallel.size}")
    if not all(is_number(rank["tokens"]) and 0 <= rank["tokens"] < math.inf for rank in arrays["ranks"]):
        raise ValueError("tokens: it is not a number that a run saves")


def _not_used(trainer: Trainer, arrays: dict[str, Any], metadata: dict[str, Any]) -> Iterator[str]:
    """Yield a sentence, or "", for each part of which the checkpoint's options count, not those that it has here."""
    yield other_options(metadata["options"], trainer.options)
    if trainer.schedule_wants not in (None, "trainer"):
        yield other_schedule(arrays["schedule"], trainer.schedule)
    if trainer.ema is not None:
        yield other_average(arrays["ema"], trainer.ema)
    if "parameters" in metadata:
        yield other_frozen(metadata["parameters"]["frozen"], parameters_of(trainer.model, trainer.optimizer)["frozen"])


def _is_line(line: Any) -> bool:
    return isinstance(line, dict) and "update" in line and all(is_number(value) for value in line.values())


def _is_pair(pair: Any) -> bool:
    return isinstance(pair, list) and len(pair) == 2 and all(is_number(value) for value in pair)


def _first_difference(saved: str, here: str) -> str:
    """The first line in which two models' texts differ."""
    pairs = zip((*saved.split("\n"), ""), (*here.split("\n"), ""))
    got, want = next((pair for pair in pairs if pair[0] != pair[1]), ("", ""))
    return f"{got.strip()[:150] or 'nothing'}, and here {want.strip()[:150] or 'nothing'}"


def _snapshot(trainer: Trainer) -> tuple[dict[str, Any], dict[str, Any]]:
    """What `_restore` needs to put the trainer back."""
    arrays = {
        "model": trainer.model.state_dict(),
        "optimizer": trainer.optimizer.state_dict(),
        "schedule": None if trainer.schedule_wants in (None, "trainer") else trainer.schedule.state_dict(),
        "ema": None if trainer.ema is None else trainer.ema.state_dict(),
        "ranks": [{"generators": states_of(trainer.generators), "tokens": trainer.tokens_read}] * trainer.parallel.size,
    }
    metadata = {
        "counters": _counters(trainer), "reader": trainer.reader.state_dict(), "losses": list(trainer.losses),
        "parameters": parameters_of(trainer.model, trainer.optimizer),
        "best": trainer.evaluations.best, "best_counted": trainer.evaluations.best_counted,
        "kept state": trainer.state,
    }  # fmt: skip
    return arrays, metadata


def _restore(trainer: Trainer, arrays: dict[str, Any], metadata: dict[str, Any], *, check_data: bool = True) -> None:
    """Put a trainer into the state of a checkpoint, or of `_snapshot`."""
    here = arrays["ranks"][trainer.parallel.rank]
    backend = next(iter(trainer.model.parameters())).backend
    state = metadata["kept state"] if "kept state" in metadata else from_plain(here["state"], backend)
    trainer.model.load_state_dict(arrays["model"])
    if "parameters" in metadata:
        freeze_only(trainer.model, metadata["parameters"]["frozen"])
    trainer.optimizer.load_state_dict(arrays["optimizer"])
    if trainer.schedule_wants not in (None, "trainer"):
        trainer.schedule.load_state_dict(arrays["schedule"])
    if trainer.ema is not None:
        trainer.ema.load_state_dict(arrays["ema"])
    reader = metadata["reader"]
    if reader["last"] is not None and check_data:
        reader = {**reader, "last": {**reader["last"], "digest": here["batch"]}}
    trainer.reader.load_state_dict(reader, check_data=check_data)
    load_states(trainer.generators, here["generators"])  # last: what came before may have drawn numbers
    counters = metadata["counters"]
    trainer.updates, trainer.tokens_read = counters["updates"], float(here["tokens"])
    trainer.evaluated, trainer.seconds = counters["evaluated"], float(counters["seconds"])
    trainer.evaluations.best, trainer.evaluations.best_counted = metadata["best"], metadata["best_counted"]
    trainer.evaluations.without_better = counters["without_better"]
    trainer.losses, trainer.state = [list(pair) for pair in metadata["losses"]], state
