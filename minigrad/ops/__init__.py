"""The differentiable operations under NumPy's names. This module is the `xp` of a backward pass that is recorded."""

# mypy: implicit-reexport

import sys

from ..engine import primitive as _primitive
from . import fft as fft, linalg as linalg

# A new file of operations needs a line here and nowhere else.
from .arrays.creation import *
from .arrays.joining import *
from .arrays.shape import *
from .elementwise.arithmetic import *
from .elementwise.complex import *
from .elementwise.error_function import *
from .elementwise.exp_log import *
from .elementwise.floating_point import *
from .elementwise.logistic import *
from .elementwise.nondifferentiable import *
from .elementwise.special import *
from .elementwise.trigonometric import *
from .functional_programming import *
from .indexing.gather import *
from .indexing.index_tricks import *
from .indexing.scatter import *
from .indexing.selection import *
from .interpolation import *
from .manipulation.diagonals import *
from .manipulation.insert_delete import *
from .manipulation.padding import *
from .manipulation.tiling import *
from .nn.activations import *
from .nn.convolution import *
from .nn.embedding import *
from .nn.pooling import *
from .nn.sliding_windows import *
from .nn.softmax import *
from .products.einsum import *
from .products.matrix_products import *
from .reductions.cumulative import *
from .reductions.differences import *
from .reductions.quantiles import *
from .reductions.reductions import *
from .reductions.sorting import *
from .reductions.statistics import *

_primitive.own_namespace = sys.modules[__name__]


def _public() -> list[str]:
    """The names in `__all__` of the files above, and the two namespaces `fft` and `linalg`."""
    own = [m for name, m in sys.modules.items() if name.startswith(f"{__name__}.")]
    flat = [m for m in own if not m.__name__.startswith((fft.__name__, linalg.__name__)) and hasattr(m, "__all__")]
    return sorted({"fft", "linalg"}.union(*(m.__all__ for m in flat)))


# Not an assignment, since mypy reads a computed __all__ as an empty one.
globals()["__all__"] = _public()
