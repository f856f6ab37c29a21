"""Tape-based reverse-mode automatic differentiation on NumPy or CuPy.

>>> import minigrad as mg
>>> x = mg.tensor([1.0, 2.0, 3.0], requires_grad=True)
>>> loss = (x * x).sum()
>>> loss.backward()
>>> x.grad.tolist()
[2.0, 4.0, 6.0]
"""

from . import losses, nn, ops, optim, serialize
from . import operators as _operators  # noqa: F401  ties the operators to Tensor
from .backend import BackendError, register_backend, synchronize, use_backend
from .functional import Ledger, gradients, ledger
from .gradcheck import GradcheckError, gradcheck, gradgradcheck
from .losses import bce_with_logits, cross_entropy, mse
from .nn import manual_seed
from .ops import *  # noqa: F403
from .primitive import Joint, primitive, primitive_with_outputs, within
from .serialize import CheckpointError, load, save
from .tape import GraphError, enable_grad, no_grad, time_step
from .tensor import Parameter, Tensor, tensor
from .transforms import jvp

__version__ = "0.1.0"
__all__ = [
    "BackendError",
    "CheckpointError",
    "GradcheckError",
    "GraphError",
    "Joint",
    "Ledger",
    "Parameter",
    "Tensor",
    "bce_with_logits",
    "cross_entropy",
    "enable_grad",
    "gradcheck",
    "gradgradcheck",
    "gradients",
    "jvp",
    "ledger",
    "load",
    "losses",
    "manual_seed",
    "mse",
    "nn",
    "no_grad",
    "optim",
    "primitive",
    "primitive_with_outputs",
    "register_backend",
    "save",
    "serialize",
    "synchronize",
    "tensor",
    "time_step",
    "use_backend",
    "within",
]
__all__ += ops.__all__
