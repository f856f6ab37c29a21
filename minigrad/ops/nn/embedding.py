"""Rows of a table by index: embeddings and one-hot vectors."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backend import backend_of, scalar
from ...engine.primitive import composed, nondifferentiable
from ...engine.tensor import Tensor
from ..arrays.conversion import to_array
from ..elementwise.arithmetic import where
from ..indexing.gather import take

__all__ = ["embedding", "one_hot"]


@composed
def embedding(input: Any, weight: Any, padding_idx: int | None = None) -> Tensor:
    """The rows of `weight` (V, …) at the integers `input`, of any shape, as in `torch.nn.functional`.

    No gradient flows to the row `padding_idx`. The gradients of equal integers are added in a fixed order.
    """
    ids = to_array(input, weight)
    rows = take(weight, ids, axis=0)
    if padding_idx is None or not rows.requires_grad:
        return rows
    count = weight.shape[0]
    if not -count <= padding_idx < count:
        raise ValueError(f"embedding: padding_idx: got {padding_idx}, want the index of one of {count} rows")
    padding = ids.reshape((*ids.shape, *(1,) * (rows.ndim - ids.ndim))) == padding_idx % count
    return where(padding, rows.detach(), rows)


@nondifferentiable
def one_hot(input: Any, num_classes: int = -1) -> Tensor:
    """Rows (…, num_classes) of zeros with a 1 at the integer `input`, as in `torch.nn.functional`. Constant.

    By default there is one class more than the largest integer, which synchronises with the device.
    """
    ids = to_array(input)
    xp = backend_of(ids).xp
    if num_classes == -1:
        num_classes = int(scalar(ids.max())) + 1 if ids.size else 0
    return Tensor((ids[..., None] == xp.arange(num_classes)).astype(np.int64))
