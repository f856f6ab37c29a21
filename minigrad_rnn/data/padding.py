"""`pad_sequence` makes one array of sequences of different lengths; `unpad_sequence` takes it apart again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, overload

import numpy as np
import numpy.typing as npt

import minigrad as mg
from minigrad import Tensor
from minigrad.backend import backend_of
from minigrad.validation import as_array, check_array, check_choice, check_flag, check_type, is_number, shown

from ..cells import Lengths

Array = Any


@overload
def pad_sequence(
    sequences: Sequence[Any],
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
    *,
    return_lengths: Literal[False] = False,
) -> Array: ...


@overload
def pad_sequence(
    sequences: Sequence[Any],
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
    *,
    return_lengths: Literal[True],
) -> tuple[Array, npt.NDArray[np.int64]]: ...


def pad_sequence(
    sequences: Sequence[Any],
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
    *,
    return_lengths: bool = False,
) -> Any:
    """Stack sequences (L, …) of different lengths to one (T, B, …), as torch.nn.utils.rnn.pad_sequence does.

    >>> xs, lengths = pad_sequence([[1, 2, 3], [4]], return_lengths=True)
    >>> xs.tolist(), lengths.tolist()
    ([[1, 4], [2, 0], [3, 0]], [3, 1])

    Args:
        sequences: B arrays, tensors or lists of numbers, which differ in their first axis only.
        batch_first: whether the result is (B, T, …).
        padding_value: what stands beyond the end of a shorter sequence.
        padding_side: "right", or "left" to put it in front. Recurrences with `lengths=` want it on the right.
        return_lengths: whether to return (padded, lengths), with lengths (B,) int64 on the host, for `lengths=`.

    Returns:
        An array in the sequences' common dtype and on their backend; a tensor if one of them is a tensor, and through
        it gradients flow back to each.

    Raises:
        TypeError: sequences that are no list, or not of numbers. BackendError: sequences on different backends.
        ValueError: no sequence, one without axes, shapes that differ beyond the first axis, or a padding value that
            the dtype cannot hold.
    """
    check_type("pad_sequence", (list, tuple), "a list of sequences", sequences=sequences)
    check_flag("pad_sequence", batch_first=batch_first, return_lengths=return_lengths)
    check_choice("pad_sequence", ("right", "left"), padding_side=padding_side)
    if not sequences:
        raise ValueError("pad_sequence: sequences: got none, want at least one")
    parts = [
        x if isinstance(x, Tensor) else as_array(x, "pad_sequence", f"sequences[{k}]") for k, x in enumerate(sequences)
    ]
    for k, part in enumerate(parts):
        if part.ndim < 1 or part.shape[1:] != parts[0].shape[1:]:
            want = f"(L, {', '.join(map(str, parts[0].shape[1:]))})" if parts[0].ndim > 1 else "(L,)"
            raise ValueError(f"pad_sequence: sequences[{k}]: got shape {tuple(part.shape)}, want {want} as the first")
    dtype = np.result_type(*(part.dtype for part in parts))
    _check_padding_value(padding_value, dtype)
    lengths = np.array([part.shape[0] for part in parts], np.int64)
    T, axis = int(lengths.max()), 0 if batch_first else 1
    fronts = T - lengths if padding_side == "left" else np.zeros_like(lengths)
    if any(isinstance(part, Tensor) for part in parts):
        rest = [(0, 0)] * (parts[0].ndim - 1)
        padded: Any = mg.stack(
            [
                mg.pad(mg.astype(part, dtype), [(front, T - n - front), *rest], constant_values=padding_value)
                for part, n, front in zip(parts, lengths.tolist(), fronts.tolist())
            ],
            axis,
        )
    else:
        padded = _stacked(parts, lengths, fronts, axis, padding_value, dtype)
    return (padded, lengths) if return_lengths else padded


def unpad_sequence(padded: Any, lengths: Any, batch_first: bool = False) -> list[Any]:
    """Return the sequences of a padded batch, the inverse of `pad_sequence`, as torch.nn.utils.rnn.unpad_sequence.

    >>> [x.tolist() for x in unpad_sequence(np.array([[1, 4], [2, 0], [3, 0]]), [3, 1])]
    [[1, 2, 3], [4]]

    Args:
        padded: a tensor or an array, (T, B, …), padded on the right.
        lengths: (B,) whole numbers, each 1 … T.
        batch_first: whether `padded` is (B, T, …).

    Returns:
        B tensors on the tape, or views of the array, (L, …) each.

    Raises:
        TypeError: lengths that are no whole numbers. ValueError: fewer than two axes, or lengths of another shape or
            out of range.
    """
    check_array("unpad_sequence", "padded", padded)
    check_flag("unpad_sequence", batch_first=batch_first)
    padded = padded if isinstance(padded, Tensor) else as_array(padded, "unpad_sequence", "padded")
    if padded.ndim < 2:
        want = "(B, T, …)" if batch_first else "(T, B, …)"
        raise ValueError(f"unpad_sequence: padded: got shape {tuple(padded.shape)}, want {want}")
    by_batch = padded if batch_first else padded.swapaxes(0, 1)
    B, T = by_batch.shape[:2]
    array = padded._array if isinstance(padded, Tensor) else padded
    host = Lengths(lengths, T, B, backend_of(array), "unpad_sequence").host.tolist()
    return [by_batch[k, :n] for k, n in enumerate(host)]


def _stacked(parts: list[Array], lengths: Any, fronts: Any, axis: int, padding_value: float, dtype: Any) -> Array:
    backend = backend_of(parts[0])
    for k, part in enumerate(parts):
        if backend_of(part) is not backend:
            raise mg.BackendError(
                f"pad_sequence: sequences[{k}]: is on {backend_of(part).name}, the first on {backend.name}; move one"
            )
    sizes = [int(lengths.max()), len(parts)]
    shape = (*(sizes if axis else reversed(sizes)), *parts[0].shape[1:])
    padded = backend.xp.full(shape, padding_value, dtype=dtype)
    for k, (part, n, front) in enumerate(zip(parts, lengths.tolist(), fronts.tolist())):
        steps = slice(front, front + n)
        padded[(steps, k) if axis else (k, steps)] = part
    return padded


def _check_padding_value(value: Any, dtype: np.dtype[Any]) -> None:
    if not is_number(value) and not (isinstance(value, bool) and dtype.kind == "b"):
        raise ValueError(f"pad_sequence: padding_value: got {shown(value)}, want a number")
    if dtype.kind in "iub":
        limits = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
        if not (limits[0] <= value <= limits[1] and value % 1 == 0):
            raise ValueError(f"pad_sequence: padding_value: got {shown(value)}, want a number that {dtype} can hold")
