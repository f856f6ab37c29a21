"""`LRScheduler` is the base of learning-rate schedules: it counts steps, and saves and loads where it is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..validation import as_dictionary, check_type, is_integer, is_number, shown
from .base import Optimizer

if TYPE_CHECKING:
    from _typeshed import SupportsKeysAndGetItem


class LRScheduler:
    """The base of learning-rate schedules. A subclass defines `get_lr`, and `check` if it has options.

    Call `step()` after each `optimizer.step()`. The constructor sets the first learning rates and keeps those that it
    found as "initial_lr" in the optimizer's groups, where the next schedule finds them, as in torch.

    >>> import minigrad as mg
    >>> class Halving(LRScheduler):
    ...     def get_lr(self):
    ...         return [base_lr * 0.5**self.last_epoch for base_lr in self.base_lrs]
    >>> schedule = Halving(mg.optim.SGD([mg.Parameter([1.0])], lr=0.8))
    >>> schedule.step()
    >>> schedule.get_last_lr()
    [0.4]

    Args:
        optimizer: the optimizer whose learning rates it sets.
        options: become attributes, and are part of the state.

    Raises:
        TypeError: something other than an optimizer, or an option of another type.
        ValueError: an option out of range.
    """

    position: tuple[str, ...] = ("last_epoch",)
    """The attributes that change from step to step."""
    last_epoch: int = -1
    """The number of steps so far."""

    def __init__(self, optimizer: Optimizer, **options: Any) -> None:
        check_type(self._name, Optimizer, "an optimizer", optimizer=optimizer)
        self.optimizer = optimizer
        self.check(options)
        self.options = tuple(options)
        for name, value in options.items():
            setattr(self, name, _plain(value))
        self.base_lrs: list[float] = [float(group.get("initial_lr", group["lr"])) for group in optimizer.param_groups]
        """The learning rates that the schedule starts from."""
        self.start()
        for group, lr in zip(optimizer.param_groups, self.base_lrs):
            group["initial_lr"] = lr

    @property
    def _name(self) -> str:
        return type(self).__name__

    @property
    def lrs(self) -> list[float]:
        """The groups' current learning rates."""
        return [float(group["lr"]) for group in self.optimizer.param_groups]

    def check(self, o: Mapping[str, Any]) -> None:
        """Raise TypeError or ValueError for options `o` that are out of range."""

    def get_lr(self) -> list[float]:
        """Return each group's learning rate after `self.last_epoch` steps, from `self.lrs` or `self.base_lrs`."""
        raise NotImplementedError(f"{self._name}: get_lr: this schedule does not define its formula")

    def changes(self) -> list[dict[str, Any]]:
        """Return the options of each group that a step changes: the learning rate."""
        return [{"lr": lr} for lr in self.get_lr()]

    def get_last_lr(self) -> list[float]:
        """Return the groups' learning rates as the last step left them."""
        return list(self._last_lrs)

    def start(self) -> None:
        """Go to the beginning: to no steps, from the groups' current learning rates."""
        self._go_to(0)

    def step(self) -> None:
        """Set the next learning rates. After an error nothing has changed.

        Raises:
            ValueError: a learning rate that is no number of at least 0, or a group was added since.
        """
        self._go_to(self.last_epoch + 1)

    def _go_to(self, last_epoch: int) -> None:
        before, self.last_epoch = self.last_epoch, last_epoch
        try:
            self._check_groups("step")
            changes = self.changes()
            for change in changes:
                if not is_number(change["lr"]) or not 0 <= change["lr"] < math.inf:
                    got = shown(change["lr"])
                    raise ValueError(f"{self._name}: the learning rate: got {got}, want a number of at least 0")
                change["lr"] = float(change["lr"])
        except BaseException:
            self.last_epoch = before
            raise
        self._apply(changes)

    def _apply(self, changes: list[dict[str, Any]]) -> None:
        for group, change in zip(self.optimizer.param_groups, changes):
            group.update(change)
        self._last_lrs = self.lrs

    def _check_groups(self, caller: str) -> None:
        got, want = len(self.optimizer.param_groups), len(self.base_lrs)
        if got != want:
            raise ValueError(
                f"{self._name}.{caller}: the optimizer has {got} groups, want {want} as when the schedule was made; "
                "make it after add_param_group"
            )

    # Save and load

    def state_dict(self) -> dict[str, Any]:
        """Return the position, the learning rates and the options; numbers, strings and lists of them, for JSON."""
        state = {name: _plain(getattr(self, name)) for name in (*self.position, *self.options)}
        return {"base_lrs": list(self.base_lrs), "lrs": self.lrs, **state}

    def load_state_dict(self, state_dict: SupportsKeysAndGetItem[str, Any]) -> None:
        """Go to a saved position, with its options, and set the optimizer's learning rates as they were.

        So it does not matter whether the optimizer's state is loaded before or after. After an error nothing has
        changed.

        Args:
            state_dict: what `state_dict` returned; also what `minigrad.load` returns.

        Raises:
            TypeError: no dictionary, or a value of another type. ValueError: other names, other numbers of groups, or a
                value out of range.
        """
        caller = f"{self._name}.load_state_dict"
        state = as_dictionary(caller, "state_dict", state_dict)
        self._check_groups("load_state_dict")
        wanted = self.state_dict()
        if state.keys() != wanted.keys():
            raise ValueError(f"{caller}: state_dict: got {sorted(state, key=str)}, want {sorted(wanted)}")
        for name in ("base_lrs", "lrs"):
            self._check_rates(caller, name, state[name])
        self.check({name: state[name] for name in self.options})
        self.check_position(caller, state)
        for name in ("base_lrs", *self.position, *self.options):
            setattr(self, name, _plain(state[name]))
        self._apply([{"lr": float(lr), "initial_lr": float(b)} for lr, b in zip(state["lrs"], self.base_lrs)])

    def check_position(self, caller: str, state: Mapping[str, Any]) -> None:
        """Raise ValueError unless the position in `state` is one where a schedule can be; `caller` begins the error."""
        if not is_integer(state["last_epoch"]) or state["last_epoch"] < 0:
            got = shown(state["last_epoch"])
            raise ValueError(f"{caller}: state_dict: last_epoch: got {got}, want a whole number of at least 0")

    def _check_rates(self, caller: str, name: str, rates: Any) -> None:
        count = len(self.optimizer.param_groups)
        good = isinstance(rates, (list, tuple)) and len(rates) == count
        if not good or not all(is_number(lr) and 0 <= lr < math.inf for lr in rates):
            got = f"{len(rates)} of them" if isinstance(rates, (list, tuple)) and len(rates) != count else shown(rates)
            raise ValueError(
                f"{caller}: state_dict: {name}: got {got}, want {count} learning rates, one for each group"
            )

    # What options are checked with

    def _check_factor(self, most: float = math.inf, **factors: Any) -> None:
        for name, value in factors.items():
            if not is_number(value) or not (0 < value <= most and value < math.inf):
                limit = "above 0" if most == math.inf else f"in (0, {most:g}]"
                raise ValueError(f"{self._name}: {name}: got {shown(value)}, want a number {limit}")

    def _per_group(self, name: str, value: Any, most: float = math.inf) -> list[float]:
        """A number for each group, from one number for all or a list. Raises ValueError for anything else."""
        count = len(self.optimizer.param_groups)
        numbers = list(value) if isinstance(value, (list, tuple)) else [value] * count
        if not all(is_number(v) and 0 <= v < most for v in numbers):
            limit = "of at least 0" if most == math.inf else f"in [0, {most:g})"
            raise ValueError(f"{self._name}: {name}: got {shown(value)}, want a number {limit}, or one for each group")
        if len(numbers) != count:
            raise ValueError(f"{self._name}: {name}: got {len(numbers)} numbers, want {count}, one for each group")
        return [float(v) for v in numbers]

    def __repr__(self) -> str:
        options = "".join(f"{name}={getattr(self, name)!r}, " for name in self.options)
        return f"{self._name}({options}last_epoch={self.last_epoch}, lr={self.lrs})"


def _plain(value: Any) -> Any:
    """A value as JSON gives it back: a Python number for NumPy's, a new list for a list or tuple."""
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value.item() if isinstance(value, np.generic) else value
