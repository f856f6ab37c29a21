"""Rows of a table by their number."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backend import backend_of, default_backend, is_array
from ...engine.primitive import composed, nondifferentiable
from ...engine.tensor import Tensor
from ..elementwise.arithmetic import where
from ..indexing.gather import take

Array = Any
__all__ = ["embedding", "one_hot"]


@composed
def embedding(input: Any, weight: Any, padding_idx: int | None = None) -> Tensor:
    """The rows of `weight` (V, …) that `input`, whole numbers of any shape, names: `torch.nn.functional`'s.

    No gradient flows to the row `padding_idx`. The gradient is summed over the sorted numbers, in segments.
    """
    ids = _numbers(input, weight)
    rows = take(weight, ids, axis=0)
    if padding_idx is None or not rows.requires_grad:
        return rows
    rows_in_all = weight.shape[0]
    if not -rows_in_all <= padding_idx < rows_in_all:
        raise ValueError(f"embedding: padding_idx: got {padding_idx}, want one of {rows_in_all} rows")
    padding = ids.reshape((*ids.shape, *(1,) * (rows.ndim - ids.ndim))) == padding_idx % rows_in_all
    return where(padding, rows.detach(), rows)


@nondifferentiable
def one_hot(input: Any, num_classes: int = -1) -> Tensor:
    """Rows of zeros (…, num_classes) with a 1 in the place that `input` names: `torch.nn.functional`'s. Constant.

    The number of classes is by default one more than the largest number, which a device has to be waited for.
    """
    ids = _numbers(input, input)
    xp = backend_of(ids).xp
    if num_classes == -1:
        num_classes = int(ids.max()) + 1 if ids.size else 0
    return Tensor((ids[..., None] == xp.arange(num_classes)).astype(np.int64))


def _numbers(ids: Any, beside: Any) -> Array:
    """Whole numbers as an array of the backend that `beside` is on."""
    ids = ids._data if isinstance(ids, Tensor) else ids
    if is_array(ids):
        return ids
    array = beside._data if isinstance(beside, Tensor) else beside
    backend = backend_of(array) if is_array(array) else default_backend()
    return backend.from_numpy(np.asarray(ids))
