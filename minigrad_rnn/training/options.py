"""Checks of a trainer's arguments."""

from __future__ import annotations

import contextlib
import inspect
import json
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import numpy as np

from minigrad import nn, optim
from minigrad.option_checks import (
    check_function,
    check_integer,
    check_path,
    check_text,
    check_type,
    is_number,
    shown,
    type_shown,
)

Wants = Literal["update", "value", "trainer"] | None


def check_objects(model: Any, optimizer: Any, divergence: Any) -> None:
    """Raise TypeError unless these are a module, an optimizer and a function; ValueError for another's parameters."""
    check_type("Trainer", nn.Module, "a module", model=model)
    check_type("Trainer", optim.Optimizer, "an optimizer", optimizer=optimizer)
    check_function("Trainer", divergence=divergence)
    known = {id(parameter) for parameter in model.parameters()}
    if any(id(p) not in known for group in optimizer.param_groups for p in group["params"]):
        raise ValueError("Trainer: optimizer: got a parameter that model does not have, want only the model's")
    if _required(optimizer.step):
        got = f"a {type(optimizer).__name__}, whose step computes the loss several times"
        raise TypeError(f"Trainer: optimizer: got {got}, want one that steps once for a batch")


def check_counts(accumulate: Any, report_every: Any, **optional: Any) -> None:
    """Raise ValueError unless all are whole numbers of at least 1, or the optional ones None."""
    check_integer("Trainer", accumulate=accumulate, report_every=report_every)
    check_integer("Trainer", **{name: value for name, value in optional.items() if value is not None})


def check_functions(**optional: Any) -> None:
    """Raise TypeError unless each is None or can be called with one argument."""
    given = {name: value for name, value in optional.items() if value is not None}
    check_function("Trainer", **given)
    for name, function in given.items():
        with contextlib.suppress(ValueError):  # some functions in C do not tell
            signature = inspect.signature(function)
            try:
                signature.bind(None)
            except TypeError:
                got, want = ", ".join(signature.parameters), PARAMETER[name]
                raise TypeError(f"Trainer: {name}: got a function of ({got}), want one of ({want})") from None


PARAMETER = {"evaluate": "model", "tokens": "batch", "after_update": "trainer"}


PARALLEL = ("rank", "size", "pool_gradients", "any", "broadcast", "gather", "check_same", "spread_generators")
AVERAGE = ("update", "apply", "state_dict", "load_state_dict")


def check_companion_objects(parallel: Any, ema: Any, resume_command: Any) -> None:
    """Raise TypeError unless each is None or can do what a trainer asks of it."""
    if parallel is not None and not _has(parallel, PARALLEL):
        raise TypeError(f"Trainer: parallel: got {type_shown(parallel)}, want a minigrad.distributed.DataParallel")
    if ema is not None and not _has(ema, AVERAGE):
        raise TypeError(f"Trainer: ema: got {type_shown(ema)}, want a minigrad.optim.EMA")
    if resume_command is not None:
        check_text("Trainer", resume_command=resume_command)


def check_optional_path(caller: str, **optional: Any) -> None:
    """Raise TypeError unless each is None or a path."""
    check_path(caller, **{name: value for name, value in optional.items() if value is not None})


def check_clip_norm(clip_norm: Any) -> None:
    """Raise ValueError unless it is None or a number above 0."""
    if clip_norm is not None and not (is_number(clip_norm) and clip_norm > 0):
        raise ValueError(f"Trainer: clip_norm: got {shown(clip_norm)}, want a number above 0, or None")


def listed_generators(generators: Any) -> list[np.random.Generator]:
    """The generators as a list. Raises TypeError unless they are generators."""
    if not isinstance(generators, Iterable) or isinstance(generators, (str, bytes, Mapping)):
        raise TypeError(f"Trainer: generators: got {type_shown(generators)}, want a list of generators")
    listed = list(generators)
    for generator in listed:
        check_type("Trainer", np.random.Generator, "numpy.random.Generators", generators=generator)
    return listed


def as_metadata(metadata: Any) -> dict[str, Any]:
    """The metadata as a dictionary. Raises TypeError unless JSON can hold it."""
    if metadata is None:
        return {}
    check_type("Trainer", Mapping, "a dictionary that JSON can hold", metadata=metadata)
    try:
        json.dumps(dict(metadata))
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"Trainer: metadata: want what JSON can hold: {error}") from error
    return dict(metadata)


def check_companions(
    evaluate: Any, evaluate_every: Any, patience: Any, folder: Any, save_every: Any, tensorboard: bool
) -> None:
    """Raise ValueError for an argument that does nothing without another one; TypeError unless `folder` is a path."""
    if folder is not None:
        check_path("Trainer", folder=folder)
    for name, value in {"evaluate_every": evaluate_every, "patience": patience}.items():
        if value is not None and evaluate is None:
            raise ValueError(f"Trainer: {name}: got {value} and no evaluate, want that function too")
    for name, value in {"save_every": save_every, "tensorboard": tensorboard or None}.items():
        if value is not None and folder is None:
            raise ValueError(f"Trainer: {name}: got {value} and no folder, want a folder to write into")


def what_schedule_wants(schedule: Any, evaluate: Any) -> Wants:
    """Say how a schedule is run: stepped after an update, stepped with an evaluated value, or called with the trainer.

    Raises:
        TypeError: it is no schedule. ValueError: it wants a value and there is no evaluation.
    """
    if schedule is None:
        return None
    if _has(schedule, ("step", "state_dict", "load_state_dict")):
        if not _required(schedule.step):
            return "update"
        if evaluate is None:
            raise ValueError("Trainer: schedule: got one that is stepped with a value and no evaluate, want that too")
        return "value"
    if not callable(schedule) or isinstance(schedule, type):
        got = type_shown(schedule)
        raise TypeError(f"Trainer: schedule: got {got}, want one of minigrad.optim, or a function of the trainer")
    return "trainer"


def takes_a_state(divergence: Callable[..., Any]) -> bool:
    """Return whether `divergence` has a third parameter, one without a default or with None for it.

    Raises:
        TypeError: it cannot be called with two or three arguments.
    """
    try:
        parameters = inspect.signature(divergence).parameters.values()
    except (TypeError, ValueError):  # some functions in C do not tell
        return False
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    several = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    required = [p for p in positional if p.default is p.empty]
    if (len(positional) < 2 and not several) or len(required) > 3:
        names = ", ".join(p.name for p in parameters)
        raise TypeError(f"Trainer: divergence: got a function of ({names}), want one of (model, batch[, state])")
    return len(positional) >= 3 and positional[2].default in (inspect.Parameter.empty, None)


def checked_rate(rate: Any) -> float:
    """The learning rate that a schedule returned. Raises ValueError unless it is a finite number of at least 0."""
    if not is_number(rate) or not 0 <= rate < math.inf:
        raise ValueError(f"Trainer: schedule: got {shown(rate)} for a learning rate, want a number of at least 0")
    return float(rate)


def _required(function: Callable[..., Any]) -> bool:
    """Whether a function cannot be called without an argument."""
    parameters = inspect.signature(function).parameters.values()
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return any(p.default is p.empty and p.kind in kinds for p in parameters)


def _has(value: Any, names: Iterable[str]) -> bool:
    """Whether a value, which is no class, has all these attributes."""
    return not isinstance(value, type) and all(hasattr(value, name) for name in names)
