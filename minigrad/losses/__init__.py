"""Loss functions. The class is always the last axis; targets on the host are moved to the prediction's backend.

Each is a module of `minigrad.nn` too, under torch.nn's name: `cross_entropy` is `nn.CrossEntropyLoss`.
"""

from .binary import bce, bce_with_logits
from .classification import cross_entropy, nll_loss
from .distributions import kl_div
from .reduction import REDUCTIONS as REDUCTIONS
from .regression import huber, l1, mse, smooth_l1

__all__ = ["bce", "bce_with_logits", "cross_entropy", "huber", "kl_div", "l1", "mse", "nll_loss", "smooth_l1"]
