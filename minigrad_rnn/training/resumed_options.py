"""What a trainer was made with beside a checkpoint's run, which goes on with its own: options, frozen parameters."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from minigrad import nn, optim
from minigrad.nn.module_state import frozen_names
from minigrad.option_checks import shown


def options_of(optimizer: optim.Optimizer, *, with_rate: bool) -> list[dict[str, Any]]:
    """Return the options of each group of parameters as JSON has them, with or without the learning rate."""
    groups, left_out = optimizer.state_dict()["param_groups"], ("params",) if with_rate else ("params", "lr")
    options = [{name: value for name, value in group.items() if name not in left_out} for group in groups]
    return list(json.loads(json.dumps(options, default=float)))


def parameters_of(model: nn.Module, optimizer: optim.Optimizer) -> dict[str, list[str]]:
    """Return the names of the optimizer's parameters, in its order ("" for another's), and of those that are frozen."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    optimized = [names.get(id(p), "") for group in optimizer.param_groups for p in group["params"]]
    return {"optimized": optimized, "frozen": frozen_names(model)}


def check_parameters(saved: Any, here: dict[str, list[str]]) -> None:
    """Raise ValueError if an optimizer was made with other parameters, or in another order, than the checkpoint's."""
    if not isinstance(saved, dict) or saved.keys() != here.keys() or not all(map(_is_names, saved.values())):
        raise ValueError("parameters: they are not those of a run")
    for k, (old, new) in enumerate(zip(saved["optimized"], here["optimized"])):
        if old != new:
            raise ValueError(f"optimizer: parameter {k}: got {new} here, want {old[:60]} as in the checkpoint")


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def check_dtypes(saved: Any, here: Mapping[str, Any]) -> None:
    """Raise ValueError if a weight or buffer has another dtype than the checkpoint's: its bits would be others."""
    for name, array in here.items():
        dtype = getattr(saved.get(name), "dtype", array.dtype)
        if dtype != array.dtype:
            raise ValueError(f"it is of another model: {name}: got {array.dtype} here, want {dtype} as there")


def other_options(saved: Any, here: list[dict[str, Any]]) -> str:
    """Return one sentence if the optimizer was made with other options than the checkpoint's, which count, else ""."""
    if not isinstance(saved, list) or not all(isinstance(group, dict) for group in saved):
        raise ValueError("options: they are not those of a run")
    changed = {
        name: f"{name} {value} (the checkpoint's run began with {str(old[name])[:40]})"
        for old, new in zip(saved, here)
        for name, value in new.items()
        if name in old and old[name] != value
    }
    return _not_used("optimizer", changed.values())


def other_average(saved: Any, ema: Any) -> str:
    """Return one sentence if an average of the weights has other options than the checkpoint's."""
    return _not_used("average", _changed(saved, ema.state_dict(), ("decay", "warm_up")))


def other_schedule(saved: Any, schedule: Any) -> str:
    """Return one sentence if a schedule, or one that it consists of, has other options than the checkpoint's."""
    changed = []
    for state, part in zip((saved, *saved.get("schedulers", ())), (schedule, *getattr(schedule, "schedulers", ()))):
        changed += _changed(state, part.state_dict(), getattr(part, "options", ()))
    return _not_used("schedule", changed)


def other_frozen(saved: list[str], here: list[str]) -> str:
    """Return one sentence if other parameters are frozen than in the checkpoint's run."""
    changed = [f"{name} trained (it is frozen there)" for name in saved if name not in here]
    changed += [f"{name} frozen (it is trained there)" for name in here if name not in saved]
    return _not_used("run", changed)


def _changed(saved: Any, here: Any, names: Iterable[str]) -> list[str]:
    """The options that differ, each in words."""
    if not isinstance(saved, dict):
        return []
    differ = [name for name in names if name in saved and name in here and saved[name] != here[name]]
    return [f"{name} {shown(here[name])} (the checkpoint's {shown(saved[name])})" for name in differ]


def _not_used(what: str, changed: Iterable[str]) -> str:
    told = ", ".join(changed)
    return f"not used here, since the checkpoint's {what} goes on: {told}" if told else ""
