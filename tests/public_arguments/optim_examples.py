"""A valid call of every schedule, of the optimizers with options of their own, and of EMA."""

from __future__ import annotations

from collections.abc import Callable

from minigrad import nn, optim

from .example import Example, H, I, New, function, leaf, method


def optimizer() -> optim.Optimizer:
    return optim.Adam([leaf()], lr=0.1)


def sgd() -> optim.Optimizer:
    return optim.SGD([leaf()], lr=0.1, momentum=0.5)


def sequence() -> Example:
    by = optimizer()
    return optim.SequentialLR, {
        "optimizer": by,
        "schedulers": [optim.StepLR(by, 3), optim.ExponentialLR(by, 0.9)],
        "milestones": [2],
    }


ADAMS = {"lr": 0.1, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0, "decoupled_weight_decay": False}

OPTIM_EXAMPLES: dict[str, Callable[[], Example]] = {
    "NAdam": function(optim.NAdam, params=[leaf()], momentum_decay=4e-3, **ADAMS),
    "RAdam": function(optim.RAdam, params=[leaf()], **ADAMS),
    "LBFGS": function(
        optim.LBFGS, params=[leaf()], lr=1.0, max_iter=20, max_eval=None, tolerance_grad=1e-7, tolerance_change=1e-9,
        history_size=100, line_search_fn=None,
    ),
    "LBFGS.step": method(lambda: optim.LBFGS([leaf()]), "step", closure=lambda: 0.0),
    "EMA": function(optim.EMA, model=New(lambda: nn.Linear(I, H)), decay=0.9, warm_up=True),
    "EMA.load_state_dict": lambda: (
        (ema := optim.EMA(nn.Linear(I, H))).load_state_dict, {"state_dict": ema.state_dict()}
    ),
    "LRScheduler.load_state_dict": lambda: (
        (schedule := optim.StepLR(optimizer(), 3)).load_state_dict, {"state_dict": schedule.state_dict()}
    ),
    "LambdaLR": function(optim.LambdaLR, optimizer=New(optimizer), lr_lambda=lambda step: 1.0),
    "StepLR": function(optim.StepLR, optimizer=New(optimizer), step_size=3, gamma=0.1),
    "MultiStepLR": function(optim.MultiStepLR, optimizer=New(optimizer), milestones=[2, 3], gamma=0.1),
    "ExponentialLR": function(optim.ExponentialLR, optimizer=New(optimizer), gamma=0.1),
    "ConstantLR": function(optim.ConstantLR, optimizer=New(optimizer), factor=0.5, total_iters=3),
    "LinearLR": function(
        optim.LinearLR, optimizer=New(optimizer), start_factor=0.5, end_factor=1.0, total_iters=3
    ),
    "CosineAnnealingLR": function(optim.CosineAnnealingLR, optimizer=New(optimizer), T_max=3, eta_min=0.0),
    "OneCycleLR": function(
        optim.OneCycleLR, optimizer=New(sgd), max_lr=0.1, total_steps=9, epochs=None, steps_per_epoch=None,
        pct_start=0.3, anneal_strategy="cos", cycle_momentum=True, base_momentum=0.8, max_momentum=0.9,
        div_factor=25.0, final_div_factor=1e4, three_phase=False,
    ),
    "SequentialLR": sequence,
    "ReduceLROnPlateau": function(
        optim.ReduceLROnPlateau, optimizer=New(optimizer), mode="min", factor=0.1, patience=10, threshold=1e-4,
        threshold_mode="rel", cooldown=0, min_lr=0.0, eps=1e-8,
    ),
    "ReduceLROnPlateau.step": method(lambda: optim.ReduceLROnPlateau(optimizer()), "step", metrics=0.5),
}  # fmt: skip
