"""`OneCycleLR` moves the learning rate up and then down once, and the momentum the other way, as torch's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ..arguments_of import arguments_of
from ..validation import check_choice, check_flag, check_integer, check_probability
from .base import Optimizer
from .schedule import LRScheduler

Numbers = float | Sequence[float]


@arguments_of(LRScheduler)
class OneCycleLR(LRScheduler):
    """lr up to max_lr and down to almost nothing, momentum the other way (Smith & Topin 2018), as torch's OneCycleLR.

    lr rises from max_lr / div_factor to max_lr in the first pct_start of the steps, and then falls to
    max_lr / (div_factor · final_div_factor), where one step more leaves it.

    Args:
        max_lr: the highest learning rate, or a list of one for each group.
        total_steps: the number of steps; None for `epochs` times `steps_per_epoch`.
        epochs, steps_per_epoch: the number of epochs, and of steps in each.
        pct_start: the share of the steps in which the rate rises, in [0, 1].
        anneal_strategy: "cos" or "linear", the shape of rise and fall.
        cycle_momentum: whether to move the momentum, or the first of Adam's betas, too.
        base_momentum: the momentum at max_lr, or a list.
        max_momentum: the momentum at the beginning and the end, or a list.
        div_factor: what max_lr is divided by at the start.
        final_div_factor: what the first rate is divided by at the end.
        three_phase: whether the rate falls to the first one as fast as it rose, and only then to the last one.

    Raises:
        ValueError: the optimizer has no momentum to cycle; or a step beyond the last one.
    """

    max_lr: Numbers
    total_steps: int
    pct_start: float
    anneal_strategy: str
    cycle_momentum: bool
    base_momentum: Numbers
    max_momentum: Numbers
    div_factor: float
    final_div_factor: float
    three_phase: bool

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: Numbers,
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: Numbers = 0.85,
        max_momentum: Numbers = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
    ) -> None:
        if total_steps is None and epochs is not None and steps_per_epoch is not None:
            check_integer("OneCycleLR", epochs=epochs, steps_per_epoch=steps_per_epoch)
            total_steps = epochs * steps_per_epoch
        elif total_steps is None or epochs is not None or steps_per_epoch is not None:
            given = {"total_steps": total_steps, "epochs": epochs, "steps_per_epoch": steps_per_epoch}
            got = ", ".join(name for name, value in given.items() if value is not None) or "none"
            want = "want total_steps, or both epochs and steps_per_epoch"
            raise ValueError(f"OneCycleLR: total_steps, epochs, steps_per_epoch: got {got}, {want}")
        super().__init__(
            optimizer,
            max_lr=max_lr,
            total_steps=total_steps,
            pct_start=pct_start,
            anneal_strategy=anneal_strategy,
            cycle_momentum=cycle_momentum,
            base_momentum=base_momentum,
            max_momentum=max_momentum,
            div_factor=div_factor,
            final_div_factor=final_div_factor,
            three_phase=three_phase,
        )

    def check(self, o: Mapping[str, Any]) -> None:
        check_integer(self._name, total_steps=o["total_steps"])
        check_probability(self._name, one=True, pct_start=o["pct_start"])
        check_choice(self._name, ("cos", "linear"), anneal_strategy=o["anneal_strategy"])
        check_flag(self._name, cycle_momentum=o["cycle_momentum"], three_phase=o["three_phase"])
        self._check_factor(div_factor=o["div_factor"], final_div_factor=o["final_div_factor"])
        self._per_group("max_lr", o["max_lr"])
        self._per_group("base_momentum", o["base_momentum"], 1.0)
        self._per_group("max_momentum", o["max_momentum"], 1.0)
        if o["cycle_momentum"] and not {"momentum", "betas"} & self.optimizer.defaults.keys():
            name = type(self.optimizer).__name__
            raise ValueError(f"{self._name}: cycle_momentum: got True for {name}, want False: it has no momentum")

    def start(self) -> None:
        self.base_lrs = [lr / self.div_factor for lr in self._per_group("max_lr", self.max_lr)]
        super().start()

    def changes(self) -> list[dict[str, Any]]:
        if self.last_epoch > self.total_steps:
            raise ValueError(f"{self._name}.step: got step {self.last_epoch}, want at most {self.total_steps} in all")
        first = self.base_lrs
        high = self._per_group("max_lr", self.max_lr)
        last = [lr / self.final_div_factor for lr in first]
        small = self._per_group("base_momentum", self.base_momentum)
        large = self._per_group("max_momentum", self.max_momentum)
        peak, final = self.pct_start * self.total_steps - 1, self.total_steps - 1
        phases = [(peak, first, high, large, small), (final, high, last, small, large)]
        if self.three_phase:
            phases[1:] = [(2 * peak, high, first, small, large), (final, first, last, large, large)]
        now = next((k for k, phase in enumerate(phases) if self.last_epoch <= phase[0]), len(phases) - 1)
        begin = phases[now - 1][0] if now else 0.0
        end, lr_from, lr_to, momentum_from, momentum_to = phases[now]
        share = min((self.last_epoch - begin) / (end - begin), 1.0) if end > begin else 1.0
        changes: list[dict[str, Any]] = []
        for k, group in enumerate(self.optimizer.param_groups):
            change: dict[str, Any] = {"lr": self._between(lr_from[k], lr_to[k], share)}
            if self.cycle_momentum:
                momentum = self._between(momentum_from[k], momentum_to[k], share)
                change |= {"betas": (momentum, group["betas"][1])} if "betas" in group else {"momentum": momentum}
            changes.append(change)
        return changes

    def _between(self, a: float, b: float, share: float) -> float:
        if self.anneal_strategy == "linear":
            return (b - a) * share + a
        return b + (a - b) / 2 * (math.cos(math.pi * share) + 1)

    def check_position(self, caller: str, state: Mapping[str, Any]) -> None:
        super().check_position(caller, state)
        if state["last_epoch"] > state["total_steps"]:
            got, want = state["last_epoch"], state["total_steps"]
            raise ValueError(f"{caller}: state_dict: last_epoch: got {got}, want at most {want}, its total_steps")

    def load_state_dict(self, state_dict: Any) -> None:
        super().load_state_dict(state_dict)
        if self.cycle_momentum:
            self._apply([{**change, "lr": lr} for change, lr in zip(self.changes(), self.lrs)])
