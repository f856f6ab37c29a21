"""Products of a tensor with a constant sparse matrix of scipy.sparse, in any of its formats: `x @ M` and `M @ x`."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import ops
from .backend import NUMPY, BackendError, backend_of
from .engine.modes import mode
from .engine.primitive import record
from .engine.tape import Node
from .engine.tensor import Tensor


def right_product(x: Tensor, matrix: Any) -> Tensor:
    """`x @ matrix`, for x of shape (..., rows): a tensor of shape (..., columns), as for a dense matrix.

    Raises:
        ValueError: the shapes do not fit. BackendError: x is not on the backend numpy.
    """
    _check("x @ M", x, matrix, -1, 0)
    if x.ndim == 1:
        return _product(matrix.T, x)
    rows = x if x.ndim == 2 else ops.reshape(x, (-1, x.shape[-1]))
    y = ops.transpose(_product(matrix.T, ops.transpose(rows)))
    return y if x.ndim == 2 else ops.reshape(y, (*x.shape[:-1], matrix.shape[1]))


def left_product(x: Tensor, matrix: Any) -> Tensor:
    """`matrix @ x`, for x of shape (columns,) or (..., columns, n).

    Raises:
        ValueError: the shapes do not fit. BackendError: x is not on the backend numpy.
    """
    _check("M @ x", x, matrix, -min(x.ndim, 2), 1)
    if x.ndim <= 2:
        return _product(matrix, x)
    return ops.swapaxes(right_product(ops.swapaxes(x, -1, -2), matrix.T), -1, -2)


def _check(product: str, x: Tensor, matrix: Any, axis: int, side: int) -> None:
    if backend_of(x._array) is not NUMPY:
        raise BackendError(f"{product}: x is on {x.backend}, the sparse matrix on numpy; move x with .to('numpy')")
    if not x.ndim or len(matrix.shape) != 2 or x.shape[axis] != matrix.shape[side]:
        raise ValueError(f"{product}: got x of shape {x.shape} and a sparse matrix of shape {matrix.shape}")


def _product(matrix: Any, x: Tensor) -> Tensor:
    """`matrix @ x` for x of one or two axes. The tape keeps a copy of the matrix: writes into it change no gradient."""
    value = np.asarray(matrix @ x._array)
    if x.node is None or not mode().recording:
        return Tensor(value)
    adjoint = matrix.transpose(copy=True)

    def rule(xp: Any, g: Any) -> Any:
        return _product(adjoint, g) if xp is ops else np.asarray(adjoint @ g)

    product: Tensor = record("sparse_matmul", Node(), np, value, (), rule, (x._array,), (x.node,), mode().time_step)
    return product
