"""Optimizers, learning-rate schedules, averaged weights and gradient clipping, under torch's names."""

from .base import Optimizer
from .clip import clip_grad_norm, clip_grad_value
from .ema import EMA
from .lbfgs import LBFGS
from .one_cycle import OneCycleLR
from .optimizers import SGD, Adagrad, Adam, AdamW, NAdam, RAdam, RMSprop
from .plateau import ReduceLROnPlateau
from .schedule import LRScheduler
from .schedules import ConstantLR, CosineAnnealingLR, ExponentialLR, LambdaLR, LinearLR, MultiStepLR, StepLR
from .sequential_schedule import SequentialLR

__all__ = ["LBFGS", "SGD", "Adagrad", "Adam", "AdamW", "NAdam", "Optimizer", "RAdam", "RMSprop"]
__all__ += ["clip_grad_norm", "clip_grad_value"]
__all__ += ["EMA"]
__all__ += ["ConstantLR", "CosineAnnealingLR", "ExponentialLR", "LRScheduler", "LambdaLR", "LinearLR", "MultiStepLR"]
__all__ += ["OneCycleLR", "ReduceLROnPlateau", "SequentialLR", "StepLR"]
