"""Tape-based reverse-mode automatic differentiation on NumPy or CuPy.

>>> import minigrad as mg
>>> x = mg.tensor([1.0, 2.0, 3.0], requires_grad=True)
>>> loss = (x * x).sum()
>>> loss.backward()
>>> x.grad.tolist()
[2.0, 4.0, 6.0]
"""

# mypy: implicit-reexport

import builtins
from typing import TYPE_CHECKING, Any

from . import (
    array_api as array_api,
    losses as losses,
    nn as nn,
    ops as ops,
    optim as optim,
    serialize as serialize,
    tensor_methods as tensor_methods,
)
from .backend import (
    BackendError as BackendError,
    register_backend as register_backend,
    synchronize as synchronize,
    use_backend as use_backend,
)
from .debug.anomaly import (
    AnomalyError as AnomalyError,
    AnomalyWarning as AnomalyWarning,
    detect_anomaly as detect_anomaly,
)
from .debug.gradcheck import GradcheckError as GradcheckError, gradcheck as gradcheck, gradgradcheck as gradgradcheck
from .debug.lag_ledger import LagLedger as LagLedger, lag_ledger as lag_ledger
from .debug.ledger import Ledger as Ledger, ledger as ledger, record_ledger as record_ledger
from .debug.profiler import profile as profile
from .debug.summary import Summary as Summary, summary as summary
from .debug.tape_table import TapeTable as TapeTable, tape_table as tape_table
from .differentiate import gradients as gradients
from .engine.modes import enable_grad as enable_grad, no_grad as no_grad, time_step as time_step
from .engine.primitive import (
    JointRule as JointRule,
    call_in as call_in,
    primitive as primitive,
    primitive_with_outputs as primitive_with_outputs,
)
from .engine.tape import GraphError as GraphError
from .engine.tensor import Parameter as Parameter, Tensor as Tensor, tensor as tensor
from .losses import bce_with_logits as bce_with_logits, cross_entropy as cross_entropy, mse as mse
from .nn import manual_seed as manual_seed
from .numpy_protocol import from_dlpack as from_dlpack
from .ops import *  # noqa: F403
from .pytree import (
    register_pytree as register_pytree,
    tree_flatten as tree_flatten,
    tree_map as tree_map,
    tree_unflatten as tree_unflatten,
)
from .serialize import CheckpointError as CheckpointError, load as load, save as save
from .transforms.checkpoint import checkpoint as checkpoint
from .transforms.custom_rule import custom_rule as custom_rule
from .transforms.grad import (
    assign_gradients as assign_gradients,
    elementwise_grad as elementwise_grad,
    grad as grad,
    jvp as jvp,
    value_and_grad as value_and_grad,
    vjp as vjp,
)
from .transforms.jacobian import hessian as hessian, hvp as hvp, jacobian as jacobian
from .transforms.vmap import vmap as vmap

__version__ = "0.1.0"

if TYPE_CHECKING:  # so that a checker reports a name that is not here
    from .debug.visualize.draw import Drawing as Drawing, draw as draw
else:

    def __getattr__(name: str) -> Any:
        """Import `draw` and `Drawing` on first use."""
        if name not in ("Drawing", "draw"):
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from .debug.visualize import draw

        return getattr(draw, name)

    def __dir__() -> list[str]:
        return sorted({*globals(), "Drawing", "draw"})


def _public() -> list[str]:
    """Return the names for `from minigrad import *` and `help`, without those of builtins (sum, max, abs, …)."""
    names = {"Drawing", "array_api", "draw", "losses", "nn", "ops", "optim", "serialize", *vars(ops)["__all__"]}
    names |= {name for name, value in globals().items() if getattr(value, "__module__", "").startswith("minigrad.")}
    return sorted(name for name in names if not name.startswith("_") and not hasattr(builtins, name))


globals()["__all__"] = _public()  # computed, so not written as an assignment: checkers would take it for an empty list
