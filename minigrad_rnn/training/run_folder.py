"""The folder of a run: the names of its files, and that one run at a time writes there."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator

from minigrad.serialize import remove_drafts

CHECKPOINT, BEST, METRICS, CURVES = "checkpoint.npz", "best.npz", "metrics.jsonl", "curves.png"
PREVIOUS = {CHECKPOINT: "previous.npz", BEST: "previous_best.npz", METRICS: "previous.jsonl"}
"""The names under which an earlier run's files are kept."""


def make_folder(folder: str) -> str:
    """Make the folder if it is not there, and return it. Raises OSError if it cannot be made or written to."""
    want = "Trainer: folder: want a folder that can be written to"
    try:
        os.makedirs(folder, exist_ok=True)
    except FileExistsError:
        pass
    except OSError as error:
        raise OSError(error.errno, f"{want} ({error.strerror})", folder) from error
    if not os.path.isdir(folder) or not os.access(folder, os.W_OK):
        raise OSError(errno.EACCES, want, folder)
    return folder


@contextlib.contextmanager
def alone_in(folder: str) -> Iterator[None]:
    """Hold a folder for one run, and remove what killed runs left half written.

    Windows has no locks for folders, and some file systems have none at all; there nothing is held or removed.

    Raises:
        ValueError: another run holds it.
    """
    with contextlib.ExitStack() as stack:
        try:
            import fcntl

            handle = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, handle)
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the system lets go of it when the process ends
        except BlockingIOError:
            raise ValueError(f"Trainer: folder: got {folder}, where another run writes now, want another one") from None
        except (ImportError, OSError):
            pass
        else:
            for written in (CHECKPOINT, BEST, METRICS, CURVES, *PREVIOUS.values()):
                remove_drafts(os.path.join(folder, written))
        yield
