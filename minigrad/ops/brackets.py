"""Arrays, numbers and ranges joined in brackets, as NumPy's `r_` and `c_` do it."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import backend as seam
from ..primitive import COMPOSED
from ..tensor import Tensor
from .creation import array
from .elementwise import astype
from .joining import concatenate
from .shape import reshape

__all__ = ["c_", "r_"]


class _Brackets:
    """What `x[...]` means is a joining of what stands in the brackets; `axes` is NumPy's directive for it.

    A directive "axis,ndmin,at" joins along `axis`, after each part was given axes of length 1 until it has `ndmin`,
    with its own ones beginning at place `at`. Numbers and ranges take the dtype of the arrays beside them.
    """

    def __init__(self, name: str, axes: str, doc: str) -> None:
        self.__name__, self.__doc__ = name, doc
        self.axes = axes

    def __getitem__(self, key: Any) -> Tensor:
        items = key if isinstance(key, tuple) else (key,)
        axes = self.axes
        if items and isinstance(items[0], str):
            axes, items = items[0], items[1:]
        axis, ndmin, at = self._directive(axes)
        parts = [self._part(item) for item in items]
        if not parts:
            raise ValueError(f"{self.__name__}[...]: got nothing to join, want at least one array, number or range")
        backend = next((seam.backend_of(p._data) for p in parts if isinstance(p, Tensor)), seam.default_backend())
        dtype = np.result_type(*(_weight(item, part) for item, part in zip(items, parts)))
        joined = []
        for part in parts:
            if not isinstance(part, Tensor):
                part = Tensor(backend.from_numpy(np.asarray(part, dtype)))
            elif part.dtype != dtype:
                part = astype(part, dtype=dtype)
            if missing := max(ndmin - part.ndim, 0):
                first = at if at >= 0 else at + missing + 1
                part = reshape(part, (1,) * first + part.shape + (1,) * (missing - first))
            joined.append(part)
        return concatenate(joined, axis=axis)

    def _directive(self, axes: str) -> tuple[int, int, int]:
        try:
            numbers = [int(number) for number in axes.split(",")]
        except ValueError:
            numbers = []
        if not 1 <= len(numbers) <= 3:
            raise ValueError(f"{self.__name__}[...]: got {axes!r}, want a directive such as '-1', '0,2' or '0,2,-1'")
        axis, ndmin, at = (*numbers, *(0, 1, -1)[len(numbers) :])
        return axis, ndmin, at

    def _part(self, item: Any) -> Any:
        """A tensor, or a number or host array of no backend yet."""
        if isinstance(item, str):
            raise ValueError(f"{self.__name__}[...]: got {item!r} after the first place, where directives stand")
        if isinstance(item, slice):
            start, step = item.start or 0, 1 if item.step is None else item.step
            if isinstance(step, complex):
                return np.linspace(start, item.stop, int(abs(step)))
            return np.arange(start, item.stop, step)
        if isinstance(item, (Tensor, list, tuple)):
            return array(item) if _holds_tensors(item) else np.asarray(item)
        return Tensor(item) if seam.is_array(item) else item


def _holds_tensors(item: Any) -> bool:
    return isinstance(item, Tensor) or (isinstance(item, (list, tuple)) and any(map(_holds_tensors, item)))


def _weight(item: Any, part: Any) -> Any:
    """What counts in the result's dtype: that of an array; Python numbers are weak, in lists and ranges too."""
    if isinstance(item, (list, tuple, slice)) and not isinstance(part, Tensor):
        return part.dtype.type(0).item()
    return part.dtype if hasattr(part, "dtype") else part


r_: Any = _Brackets(
    "r_",
    "0,1,-1",
    "`r_[a, 1.0, 0:3]`: arrays, numbers and ranges joined along the first axis; `r_['-1,2,0', a, b]` says otherwise.",
)
c_: Any = _Brackets("c_", "-1,2,0", "`c_[a, b]`: arrays joined along the last axis, vectors as columns.")
COMPOSED.update({made.__name__: made for made in (r_, c_)})
