"""The namespace of the array API standard: what `Tensor.__array_namespace__` returns.

minigrad has NumPy's names and arguments; where the standard's differ (`asarray(copy=, device=)`, `sort(descending=)`,
`std(correction=)`, dtypes, constants) its functions are here, all others are minigrad's own. Gradients flow wherever a
rule exists. New numbers are float32, as in `minigrad.tensor`. The standard's `x[...] = value` writes into constants on
the host; on the tape `minigrad.at(x)[...].set(value)` gives a new tensor.

>>> import minigrad as mg
>>> x = mg.tensor([3.0, 1.0, 2.0], requires_grad=True)
>>> xp = x.__array_namespace__()
>>> xp.sort(x, descending=True).tolist()
[3.0, 2.0, 1.0]
>>> xp.isdtype(x.dtype, "real floating"), xp.result_type(x, xp.float64)
(True, dtype('float64'))
"""

# mypy: implicit-reexport

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import ops
from . import fft as fft, linalg as linalg
from .creation import (
    arange as arange,
    asarray as asarray,
    astype as astype,
    empty as empty,
    empty_like as empty_like,
    eye as eye,
    from_dlpack as from_dlpack,
    full as full,
    full_like as full_like,
    linspace as linspace,
    ones as ones,
    ones_like as ones_like,
    zeros as zeros,
    zeros_like as zeros_like,
)
from .data_types import (
    DTYPES,
    broadcast_shapes as broadcast_shapes,
    can_cast as can_cast,
    finfo as finfo,
    iinfo as iinfo,
    isdtype as isdtype,
    result_type as result_type,
)
from .functions import (
    argsort as argsort,
    clip as clip,
    cumulative_prod as cumulative_prod,
    cumulative_sum as cumulative_sum,
    nextafter as nextafter,
    reshape as reshape,
    sort as sort,
    std as std,
    var as var,
)
from .info import __array_namespace_info__ as __array_namespace_info__
from .sets import (
    isin as isin,
    unique_all as unique_all,
    unique_counts as unique_counts,
    unique_inverse as unique_inverse,
    unique_values as unique_values,
)

__array_api_version__ = "2025.12"
e, inf, nan, pi, newaxis = np.e, np.inf, np.nan, np.pi, None

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...

else:  # the functions whose arguments agree, and the dtypes
    globals().update({name: getattr(ops, name) for name in ops.__all__ if name not in globals()})
    globals().update({name: np.dtype(name) for name in DTYPES})
