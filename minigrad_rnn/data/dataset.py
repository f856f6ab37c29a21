"""`Dataset` is the data of a stream, arrays with an equal first axis or a sequence of items, and picks some of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from minigrad import Tensor
from minigrad.backend import backend_of, is_array
from minigrad.foreign_arrays import import_array
from minigrad.validation import as_array, type_shown

from .content_digest import content_digest

Indices = npt.NDArray[np.int64]


class Dataset:
    """The examples of a data set, of which there is at least one.

    An array, or a tuple or dictionary of arrays, has one example in each place of the first axis. Anything else with a
    length and integer indices, such as a list, is a sequence of items.

    Raises:
        TypeError: `data` is neither. ValueError: there is no example, or the arrays' first axes differ.
    """

    def __init__(self, caller: str, data: Any) -> None:
        self.columns: dict[Any, Any] | None = None
        self.data = data = data if isinstance(data, Tensor) else import_array(caller, "data", data)
        if isinstance(data, Tensor) or is_array(data):
            self.columns = {None: _column(caller, "data", data)}
        elif isinstance(data, tuple):
            self.columns = {k: _column(caller, f"data[{k}]", column) for k, column in enumerate(data)}
        elif isinstance(data, Mapping):
            self.columns = {k: _column(caller, f"data[{k!r}]", column) for k, column in data.items()}
        elif isinstance(data, (str, bytes, type)) or not hasattr(data, "__len__") or not hasattr(data, "__getitem__"):
            raise TypeError(f"{caller}: data: got {type_shown(data)}, want arrays with an equal first axis, or a list")
        sizes = [len(data)] if self.columns is None else [len(column) for column in self.columns.values()]
        if len(set(sizes)) > 1:
            raise ValueError(f"{caller}: data: got arrays with first axes of {sizes}, want equal ones: one per example")
        if not sizes or not sizes[0]:
            raise ValueError(f"{caller}: data: got no examples, want at least one")
        self.size: int = sizes[0]

    def fingerprint(self) -> str:
        """Return a hash of the data."""
        return content_digest(self.data)

    def pick(self, indices: Indices) -> Any:
        """Return the examples at some places: copies of the arrays' rows, in `data`'s own form, or a list of items."""
        if self.columns is None:
            return [self.data[k] for k in indices.tolist()]
        rows = {key: array[backend_of(array).from_numpy(indices)] for key, array in self.columns.items()}
        if isinstance(self.data, Mapping):
            return rows
        if isinstance(self.data, tuple):
            make = getattr(type(self.data), "_make", tuple)  # a named tuple stays one
            return make(rows.values())
        return rows[None]


def _column(caller: str, argument: str, column: Any) -> Any:
    """The array of a column."""
    value = column if isinstance(column, Tensor) else import_array(caller, argument, column)
    if not isinstance(value, Tensor) and not is_array(value):
        raise TypeError(
            f"{caller}: {argument}: got {type_shown(column)}, want an array; for items of another kind pass a list of "
            "them, such as list(zip(sources, targets))"
        )
    array = as_array(value, caller, argument)
    if array.ndim < 1:
        raise ValueError(f"{caller}: {argument}: got shape (), want one row for each example")
    return array
