"""Checkpoint files of a training run: their kind, reading them back, and keeping an earlier run's."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from minigrad import serialize

from .settings import Settings

KIND = "char_rnn 1"
"""Written into each checkpoint, so that another file of minigrad's is not mistaken for one."""


def open_checkpoint(path: str) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Return (arrays, metadata, settings) of a checkpoint that `char_rnn.py` wrote."""
    arrays, metadata = serialize.load(path)
    if metadata.get("kind") != KIND:
        raise serialize.CheckpointError(f"{path}: is a checkpoint of something else, want one that char_rnn.py wrote")
    with content_errors(path):
        return arrays, metadata, asdict(Settings(**metadata["settings"]))


@contextlib.contextmanager
def content_errors(path: str) -> Iterator[None]:
    """Turn the errors of a checkpoint whose parts do not fit together into a CheckpointError that names the file."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise serialize.CheckpointError(f"{path}: its parts do not fit together: {error!r}") from error


def previous(path: str) -> str:
    """Return the path that an earlier run's checkpoint is moved to."""
    return os.path.join(os.path.dirname(path), "previous.npz")
