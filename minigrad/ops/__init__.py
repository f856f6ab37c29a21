"""The differentiable operations, under NumPy's names. This module is what `xp` is when a walk is recorded."""

# mypy: implicit-reexport

import sys

from .. import primitive as _primitive
from . import (
    complex_parts,
    constant,
    convolution,
    cumulative,
    differences,
    einsum as _einsum,
    elementwise,
    fft as fft,
    indexing,
    interpolation,
    joining,
    linalg as linalg,
    lookup,
    loss,
    pooling,
    products,
    quantiles,
    reduce,
    shape as _shape,
    sorting,
    statistics,
    windows,
)
from .complex_parts import *
from .constant import *
from .convolution import *
from .cumulative import *
from .differences import *
from .einsum import *
from .elementwise import *
from .indexing import *
from .interpolation import *
from .joining import *
from .lookup import *
from .loss import *
from .pooling import *
from .products import *
from .quantiles import *
from .reduce import *
from .shape import *
from .sorting import *
from .statistics import *
from .windows import *

_primitive.own_namespace = sys.modules[__name__]

_GATHERED = (
    _einsum,
    _shape,
    complex_parts,
    constant,
    convolution,
    cumulative,
    differences,
    elementwise,
    indexing,
    interpolation,
    joining,
    lookup,
    loss,
    pooling,
    products,
    quantiles,
    reduce,
    sorting,
    statistics,
    windows,
)
# Not written as an assignment: mypy would take a computed __all__ for an empty one.
globals()["__all__"] = sorted({"fft", "linalg"}.union(*(part.__all__ for part in _GATHERED)))
