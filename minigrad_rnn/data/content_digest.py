"""`content_digest` tells data apart by their content: batches when a run is resumed, data sets of several ranks."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any

import numpy as np

import minigrad as mg
from minigrad.backend import is_array, to_numpy

SCALARS = {bool, int, float, str}
PLAIN = (bool, int, float, complex, str, bytes, type(None))


def content_digest(data: Any) -> str:
    """Return a digest of the arrays, numbers and text in `data`; of other objects only their class counts."""
    digest = hashlib.blake2b(digest_size=16)
    _add(digest, data)
    return digest.hexdigest()


def _add(digest: Any, value: Any) -> None:
    if isinstance(value, mg.Tensor):
        value = value.numpy()
    if is_array(value):
        value = to_numpy(value)
    if isinstance(value, np.generic):
        value = np.asarray(value)
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        digest.update(f"array {value.dtype.str} {value.shape} ".encode())
        digest.update(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data)
        return
    digest.update(f"{type(value).__name__} ".encode())
    if isinstance(value, PLAIN):
        digest.update(repr(value).encode(errors="surrogatepass"))
    elif isinstance(value, np.ndarray):
        _add(digest, value.tolist())
    elif isinstance(value, (list, tuple)):
        digest.update(f"{len(value)} ".encode())
        if {*map(type, value)} <= SCALARS:  # at once: a data set may have millions
            digest.update(repr([*value]).encode(errors="surrogatepass"))
            return
        for part in value:
            _add(digest, part)
    elif isinstance(value, dict):
        for key, part in value.items():
            _add(digest, (key, part))
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            _add(digest, getattr(value, field.name))
