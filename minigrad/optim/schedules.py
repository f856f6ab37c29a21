"""Learning-rate schedules with a formula for each step, in torch.optim.lr_scheduler's names, arguments and numbers.

Each formula is `get_lr`: the groups' next learning rates, from their current ones, `self.lrs`, and the number of steps
so far, `self.last_epoch`, which is 0 at the start. So a rate that somebody changed in between is carried on, and
several schedules may act on one optimizer, as in torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..arguments_of import arguments_of
from ..validation import check_function, check_integer, check_number, is_number, shown, type_shown
from .base import Optimizer
from .schedule import LRScheduler

Factor = Callable[[int], float]


@arguments_of(LRScheduler)
class LambdaLR(LRScheduler):
    """lr = base_lr · lr_lambda(last_epoch), as torch's LambdaLR.

    Args:
        lr_lambda: a function of the number of steps so far that returns a factor; or a list of one for each group. It
            is no part of the state: pass it again before a state is loaded.
    """

    def __init__(self, optimizer: Optimizer, lr_lambda: Factor | Sequence[Factor]) -> None:
        self.lr_lambdas = list(lr_lambda) if isinstance(lr_lambda, (list, tuple)) else lr_lambda
        for function in self.lr_lambdas if isinstance(self.lr_lambdas, list) else [lr_lambda]:
            check_function("LambdaLR", lr_lambda=function)
        super().__init__(optimizer)

    def get_lr(self) -> list[float]:
        count = len(self.base_lrs)
        functions = self.lr_lambdas if isinstance(self.lr_lambdas, list) else [self.lr_lambdas] * count
        if len(functions) != count:
            raise ValueError(f"LambdaLR: lr_lambda: got {len(functions)} functions, want {count}, one for each group")
        return [base_lr * function(self.last_epoch) for base_lr, function in zip(self.base_lrs, functions)]


@arguments_of(LRScheduler)
class StepLR(LRScheduler):
    """lr ← gamma · lr every step_size steps, as torch's StepLR.

    Args:
        step_size: the number of steps between two changes.
        gamma: the factor of a change.
    """

    step_size: int
    gamma: float

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        super().__init__(optimizer, step_size=step_size, gamma=gamma)

    def check(self, o: Mapping[str, Any]) -> None:
        check_integer(self._name, step_size=o["step_size"])
        self._check_factor(gamma=o["gamma"])

    def get_lr(self) -> list[float]:
        changes = self.last_epoch > 0 and self.last_epoch % self.step_size == 0
        return [lr * self.gamma if changes else lr for lr in self.lrs]


@arguments_of(LRScheduler, StepLR)
class MultiStepLR(LRScheduler):
    """lr ← gamma · lr after each of the given numbers of steps, as torch's MultiStepLR.

    Args:
        milestones: the numbers of steps; one that stands there twice counts twice.
    """

    milestones: list[int]
    gamma: float

    def __init__(self, optimizer: Optimizer, milestones: Sequence[int], gamma: float = 0.1) -> None:
        milestones = list(milestones) if isinstance(milestones, tuple) else milestones
        super().__init__(optimizer, milestones=milestones, gamma=gamma)

    def check(self, o: Mapping[str, Any]) -> None:
        if not isinstance(o["milestones"], (list, tuple)):
            raise TypeError(
                f"{self._name}: milestones: got {type_shown(o['milestones'])}, want a list of whole numbers"
            )
        for k, milestone in enumerate(o["milestones"]):
            check_integer(self._name, 0, **{f"milestones[{k}]": milestone})
        self._check_factor(gamma=o["gamma"])

    def get_lr(self) -> list[float]:
        factor = self.gamma ** self.milestones.count(self.last_epoch)
        return [lr * factor for lr in self.lrs]


@arguments_of(LRScheduler, StepLR)
class ExponentialLR(LRScheduler):
    """lr ← gamma · lr in every step, as torch's ExponentialLR."""

    gamma: float

    def __init__(self, optimizer: Optimizer, gamma: float) -> None:
        super().__init__(optimizer, gamma=gamma)

    def check(self, o: Mapping[str, Any]) -> None:
        self._check_factor(gamma=o["gamma"])

    def get_lr(self) -> list[float]:
        return [lr * self.gamma if self.last_epoch else lr for lr in self.lrs]


@arguments_of(LRScheduler)
class ConstantLR(LRScheduler):
    """lr = factor · base_lr for total_iters steps, and then base_lr, as torch's ConstantLR.

    Args:
        factor: in (0, 1].
        total_iters: the number of steps until the rate is the whole one.
    """

    factor: float
    total_iters: int

    def __init__(self, optimizer: Optimizer, factor: float = 1 / 3, total_iters: int = 5) -> None:
        super().__init__(optimizer, factor=factor, total_iters=total_iters)

    def check(self, o: Mapping[str, Any]) -> None:
        self._check_factor(1.0, factor=o["factor"])
        check_integer(self._name, total_iters=o["total_iters"])

    def get_lr(self) -> list[float]:
        if self.last_epoch == 0:
            return [lr * self.factor for lr in self.lrs]
        return [lr * (1 / self.factor) if self.last_epoch == self.total_iters else lr for lr in self.lrs]


@arguments_of(LRScheduler)
class LinearLR(LRScheduler):
    """lr from start_factor · base_lr to end_factor · base_lr in a straight line, a warm-up, as torch's LinearLR.

    Args:
        start_factor: the factor at the start, in (0, 1].
        end_factor: the factor at the end, in [0, 1].
        total_iters: the number of steps between the two.
    """

    start_factor: float
    end_factor: float
    total_iters: int

    def __init__(
        self, optimizer: Optimizer, start_factor: float = 1 / 3, end_factor: float = 1.0, total_iters: int = 5
    ) -> None:
        super().__init__(optimizer, start_factor=start_factor, end_factor=end_factor, total_iters=total_iters)

    def check(self, o: Mapping[str, Any]) -> None:
        self._check_factor(1.0, start_factor=o["start_factor"])
        if not is_number(o["end_factor"]) or not 0 <= o["end_factor"] <= 1:
            raise ValueError(f"{self._name}: end_factor: got {shown(o['end_factor'])}, want a number in [0, 1]")
        check_integer(self._name, total_iters=o["total_iters"])

    def get_lr(self) -> list[float]:
        if self.last_epoch == 0:
            return [lr * self.start_factor for lr in self.lrs]
        if self.last_epoch > self.total_iters:
            return self.lrs
        rise = self.end_factor - self.start_factor
        before = self.total_iters * self.start_factor + (self.last_epoch - 1) * rise  # total_iters times the factor
        return [lr * (1 + rise / before) for lr in self.lrs]


@arguments_of(LRScheduler)
class CosineAnnealingLR(LRScheduler):
    """lr from base_lr to eta_min along half a cosine, and up again, as torch's (Loshchilov & Hutter 2017).

    lr = eta_min + (base_lr − eta_min) · (1 + cos(π · last_epoch / T_max)) / 2, step by step from the rate before.

    Args:
        T_max: the number of steps to the bottom.
        eta_min: the least learning rate.
    """

    T_max: int
    eta_min: float

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0) -> None:
        super().__init__(optimizer, T_max=T_max, eta_min=eta_min)

    def check(self, o: Mapping[str, Any]) -> None:
        check_integer(self._name, T_max=o["T_max"])
        check_number(self._name, 0, eta_min=o["eta_min"])

    def get_lr(self) -> list[float]:
        t, T, low = self.last_epoch, self.T_max, self.eta_min
        if t == 0:
            return self.lrs
        if (t - 1 - T) % (2 * T) == 0:  # the step before was at the bottom, from which no factor leads up
            return [lr + (base - low) * (1 - math.cos(math.pi / T)) / 2 for lr, base in zip(self.lrs, self.base_lrs)]
        factor = (1 + math.cos(math.pi * t / T)) / (1 + math.cos(math.pi * (t - 1) / T))
        return [factor * (lr - low) + low for lr in self.lrs]
