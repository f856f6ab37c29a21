"""`differences_in_words` says what differs between the ranks, by name: models, weights, options, data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..option_checks import shown

MOST = 5
"""The most differences that an error lists."""
NOTHING = object()


def digest(data: Any) -> str:
    """Return a short hash of bytes, or of a host array's values in C order."""
    if isinstance(data, np.ndarray):
        data = np.ascontiguousarray(data).reshape(-1).view(np.uint8)
    return hashlib.blake2b(data, digest_size=8).hexdigest()


def differences_in_words(tables: Sequence[Mapping[str, Any]]) -> str:
    """Return the names under which some rank's value differs from rank 0's, with both; "" if there are none.

    >>> differences_in_words([{"lr": 0.1, "seed": 1}, {"lr": 0.2, "seed": 1}, {"lr": 0.1}])
    'lr: 0.1 on rank 0, 0.2 on rank 1; seed: 1 on rank 0, missing on rank 2'
    """
    found = []
    for name in dict.fromkeys(name for table in tables for name in table):
        values = [table.get(name, NOTHING) for table in tables]
        other = next((r for r, value in enumerate(values) if _json(value) != _json(values[0])), None)
        if other is not None:
            found.append(f"{name}: {_told(values[0])} on rank 0, {_told(values[other])} on rank {other}")
    more = f"; and {len(found) - MOST} more" if len(found) > MOST else ""
    return "; ".join(found[:MOST]) + more


def _json(value: Any) -> str:
    return "" if value is NOTHING else json.dumps(value, sort_keys=True)


def _told(value: Any) -> str:
    return "missing" if value is NOTHING else shown(value)
