"""Checkpoint files of a training run: their kind, what they must hold, and their folder, which one run has."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import minigrad as mg
from minigrad import serialize
from minigrad.validation import is_integer

from .settings import Settings

KIND = "char_rnn 1"
"""Written into each checkpoint, so that another file of minigrad's is not mistaken for one."""
BASELINES = ("unigram", "3-gram", "lzma")
"""What a model is compared with."""


def open_checkpoint(path: str) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Return (arrays, metadata, settings) of a checkpoint that `char_rnn.py` wrote."""
    arrays, metadata = serialize.load(path)
    if metadata.get("kind") != KIND:
        raise serialize.CheckpointError(f"{path}: is a checkpoint of something else, want one that char_rnn.py wrote")
    with content_errors(path):
        for name, test in SAVED.items():
            if not test(metadata[name]):
                raise ValueError(f"{name}: got {str(metadata[name])[:60]}, which no run saves")
        return arrays, metadata, asdict(Settings.of_checkpoint(metadata["settings"]))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_count(value: Any) -> bool:
    return is_integer(value) and value >= 0


def _are_numbers(values: Any, length: int | None = None) -> bool:
    return isinstance(values, list) and all(map(_is_number, values)) and length in (None, len(values))


def _are_curves(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and list(value) == ["training", "held out"]
        and all(isinstance(points, list) and all(_are_numbers(p, 2) for p in points) for points in value.values())
    )


def _are_baselines(value: Any) -> bool:
    return isinstance(value, dict) and set(value) in (set(), set(BASELINES)) and all(map(_is_number, value.values()))


SAVED: dict[str, Callable[[Any], bool]] = {
    "settings": lambda v: isinstance(v, dict),
    "fingerprint": lambda v: isinstance(v, str),
    "chunks": _is_count,
    "characters": _is_count,
    "seconds": lambda v: _is_number(v) and v >= 0,
    "curves": _are_curves,
    "baselines": _are_baselines,
    "losses": _are_numbers,
    "generators": lambda v: isinstance(v, list) and len(v) == 2,
}
"""Metadata of a run, and whether a value is one that a run saves."""


@contextlib.contextmanager
def content_errors(path: str) -> Iterator[None]:
    """Turn the errors of a checkpoint whose parts do not fit together into a CheckpointError that names the file."""
    try:
        yield
    except (serialize.CheckpointError, mg.BackendError, MemoryError):
        raise
    except Exception as error:  # a file can hold anything
        reason = " ".join((str(error) if isinstance(error, ValueError) else repr(error)).split())  # in one line
        raise serialize.CheckpointError(f"{path}: its parts do not fit together: {reason[:300]}") from error


def previous(path: str) -> str:
    """Return the path that an earlier run's checkpoint is moved to."""
    return os.path.join(os.path.dirname(path), "previous.npz")


@contextlib.contextmanager
def alone_beside(path: str) -> Iterator[None]:
    """Hold the folder of a checkpoint for one run, and remove what killed ones left half written.

    Windows has no locks for folders, and some file systems have none at all; there nothing is held or removed.

    Raises:
        ValueError: another run holds it.
    """
    folder, name = os.path.split(os.path.realpath(path))
    with contextlib.ExitStack() as stack:
        try:
            import fcntl

            handle = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, handle)
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the system lets go of it when the process ends
        except BlockingIOError:
            raise ValueError(f"--out: got {folder}, where another run writes now, want another folder") from None
        except (ImportError, OSError):
            pass
        else:
            for written in (name, "previous.npz", "loss.png"):
                serialize.remove_drafts(os.path.join(folder, written))
        yield
