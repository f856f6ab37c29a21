"""`batch_digest` tells batches apart by their content, so that a run is not resumed on other data."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any

import numpy as np

import minigrad as mg
from minigrad.backend import is_array, to_numpy

PLAIN = (bool, int, float, complex, str, bytes, type(None))


def batch_digest(batch: Any) -> str:
    """Return a digest of the arrays, numbers and text in a batch; of other objects only their class counts."""
    digest = hashlib.blake2b(digest_size=16)
    _add(digest, batch)
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
        for part in value:
            _add(digest, part)
    elif isinstance(value, dict):
        for key, part in value.items():
            _add(digest, (key, part))
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            _add(digest, getattr(value, field.name))
