"""The differentiable operations, under NumPy's names. This module is what `xp` is when a walk is recorded."""

# mypy: implicit-reexport

import sys

from .. import primitive as _primitive
from . import fft as fft, linalg as linalg
from .activations import *
from .applying import *
from .brackets import *
from .complex_parts import *
from .constant import *
from .convolution import *
from .covariance import *
from .creation import *
from .cumulative import *
from .diagonals import *
from .differences import *
from .editing import *
from .einsum import *
from .elementwise import *
from .error_function import *
from .exponential import *
from .indexing import *
from .interpolation import *
from .joining import *
from .lookup import *
from .loss import *
from .padding import *
from .places import *
from .pooling import *
from .products import *
from .quantiles import *
from .reduce import *
from .remainders import *
from .repeating import *
from .selection import *
from .shape import *
from .sorting import *
from .special import *
from .statistics import *
from .trigonometric import *
from .updating import *
from .windows import *

_primitive.own_namespace = sys.modules[__name__]

_FILES = [module for name, module in sys.modules.items() if name.rpartition(".")[0] == __name__]
# Not written as an assignment: mypy would take a computed __all__ for an empty one.
globals()["__all__"] = sorted({"fft", "linalg"}.union(*(file.__all__ for file in _FILES if file not in (fft, linalg))))
