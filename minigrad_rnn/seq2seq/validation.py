"""Checks of what encoders and decoders are given: a recurrence's class and layout, and ids with their lengths."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad import nn
from minigrad.backend import backend_of
from minigrad.validation import as_array, shown

from ..cells import Lengths
from ..networks.recurrence import Recurrence

Array = Any


def check_network(name: str, network: Any) -> None:
    """Raise TypeError unless it is a class of recurrences."""
    if not isinstance(network, type) or not issubclass(network, Recurrence):
        raise TypeError(f"{name}: network: got {shown(network)}, want a class such as LSTM")


def check_time_major(name: str, recurrence: Recurrence) -> None:
    """Raise ValueError for a recurrence whose first axis is the batch."""
    if recurrence.batch_first:
        raise ValueError(f"{name}: batch_first: got True, want False; EncoderDecoder has its own batch_first")


def check_ids(
    name: str, argument: str, ids: Any, lengths: Any, embedding: nn.Embedding
) -> tuple[Array, Lengths | None]:
    """Return ids (T, B), 0 at padding, on the embedding's backend; ids from the host are checked to be below V."""
    array, backend, V = as_array(ids, name, argument), backend_of(embedding.weight._array), embedding.num_embeddings
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name}: {argument}: got dtype {array.dtype}, want integers")
    if array.ndim != 2 or not array.size:
        raise ValueError(f"{name}: {argument}: got shape {tuple(array.shape)}, want (T, B) with at least one of each")
    spans = None if lengths is None else Lengths(lengths, array.shape[0], array.shape[1], backend, name)
    if spans is not None and not spans.full:
        array = array * backend_of(array).from_numpy(np.arange(array.shape[0])[:, None] < spans.host)
    if isinstance(array, np.ndarray):
        if ((array < 0) | (array >= V)).any():
            raise ValueError(f"{name}: {argument}: got ids from {array.min()} to {array.max()}, want 0 to {V - 1}")
        array = backend.from_numpy(array)
    return array, spans
