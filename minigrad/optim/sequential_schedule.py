"""`SequentialLR` lets several schedules act one after another, such as a warm-up and then a cosine, as torch's."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from ..arguments_of import arguments_of
from ..validation import as_dictionary, check_integer, check_type, shown, type_shown
from .base import Optimizer
from .plateau import ReduceLROnPlateau
from .schedule import LRScheduler


@arguments_of(LRScheduler)
class SequentialLR(LRScheduler):
    """One schedule after another, each from the optimizer's initial learning rates, as torch's SequentialLR.

    >>> import minigrad as mg
    >>> optimizer = mg.optim.SGD([mg.Parameter([1.0])], lr=1.0)
    >>> warm_up = mg.optim.LinearLR(optimizer, start_factor=0.25, total_iters=3)
    >>> decay = mg.optim.ExponentialLR(optimizer, gamma=0.5)
    >>> schedule = SequentialLR(optimizer, [warm_up, decay], milestones=[3])
    >>> for _ in range(6):
    ...     print(schedule.get_last_lr()[0], end=" ")
    ...     schedule.step()
    0.25 0.5 0.75 1.0 0.5 0.25

    Args:
        schedulers: the schedules, made for the same optimizer; none of them a ReduceLROnPlateau.
        milestones: the numbers of steps after which the next schedule begins, one less than schedules.
    """

    milestones: list[int]

    def __init__(self, optimizer: Optimizer, schedulers: Sequence[LRScheduler], milestones: Sequence[int]) -> None:
        check_type("SequentialLR", Optimizer, "an optimizer", optimizer=optimizer)
        check_type("SequentialLR", (list, tuple), "a list of schedules", schedulers=schedulers)
        if not schedulers:
            raise ValueError("SequentialLR: schedulers: got none, want at least one")
        for k, schedule in enumerate(schedulers):
            if not isinstance(schedule, LRScheduler) or isinstance(schedule, ReduceLROnPlateau):
                want = "a schedule whose step takes no number"
                raise TypeError(f"SequentialLR: schedulers[{k}]: got {type_shown(schedule)}, want {want}")
            if schedule.optimizer is not optimizer:
                raise ValueError(f"SequentialLR: schedulers[{k}]: got one of another optimizer, want all of the same")
        self.schedulers = list(schedulers)
        super().__init__(
            optimizer, milestones=list(milestones) if isinstance(milestones, (list, tuple)) else milestones
        )

    def check(self, o: Mapping[str, Any]) -> None:
        milestones, count = o["milestones"], len(self.schedulers)
        check_type(self._name, (list, tuple), "a list of whole numbers", milestones=milestones)
        for k, milestone in enumerate(milestones):
            check_integer(self._name, 0, **{f"milestones[{k}]": milestone})
        if len(milestones) != count - 1 or list(milestones) != sorted(milestones):
            want = f"want {count - 1} in ascending order for {count} schedules"
            raise ValueError(f"{self._name}: milestones: got {shown(list(milestones))}, {want}")

    def start(self) -> None:
        self._begin(bisect_right(self.milestones, 0))
        self.last_epoch = 0

    def step(self) -> None:
        """Let the schedule whose turn it is set the next learning rates. After an error nothing has changed."""
        self._check_groups("step")
        last_epoch = self.last_epoch + 1
        turn = bisect_right(self.milestones, last_epoch)
        if turn and self.milestones[turn - 1] == last_epoch:
            self._begin(turn)
        else:
            self.schedulers[turn].step()
        self.last_epoch = last_epoch
        self._last_lrs = self.lrs

    def _begin(self, turn: int) -> None:
        """Start a schedule from the initial learning rates."""
        before = self.lrs
        self._apply([{"lr": lr} for lr in self.base_lrs])
        try:
            self.schedulers[turn].start()
        except BaseException:
            self._apply([{"lr": lr} for lr in before])
            raise
        self._last_lrs = self.lrs

    def state_dict(self) -> dict[str, Any]:
        """Return the position, the learning rates and each schedule's own state, for JSON."""
        return {**super().state_dict(), "schedulers": [schedule.state_dict() for schedule in self.schedulers]}

    def load_state_dict(self, state_dict: Any) -> None:
        caller = f"{self._name}.load_state_dict"
        state = as_dictionary(caller, "state_dict", state_dict)
        states = state.get("schedulers")
        if not isinstance(states, (list, tuple)) or len(states) != len(self.schedulers):
            got = len(states) if isinstance(states, (list, tuple)) else shown(states)
            want = f"the states of {len(self.schedulers)} schedules"
            raise ValueError(f"{caller}: state_dict: schedulers: got {got}, want {want}")
        before = [schedule.state_dict() for schedule in self.schedulers]
        rates = self.lrs
        try:
            for schedule, own in zip(self.schedulers, states):
                schedule.load_state_dict(own)
            self._apply([{"lr": lr} for lr in rates])
            super().load_state_dict(state)
        except BaseException:
            for schedule, own in zip(self.schedulers, before):
                schedule.load_state_dict(own)
            self._apply([{"lr": lr} for lr in rates])
            raise
