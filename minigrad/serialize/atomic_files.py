"""Files that appear under their name only when they are complete, and files that are read only if they are plain."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from typing import BinaryIO

Path = str | os.PathLike[str]


@contextlib.contextmanager
def atomic_write(path: Path, keep_as: Path | None = None) -> Iterator[BinaryIO]:
    """Open a draft beside `path`. It is renamed to `path` when the block ends, and removed after an error.

    A file that is there already passes its permissions on, and gets the name `keep_as` if one is given: only when the
    new one is complete, and so that there is a file called `path` at every moment.

    Raises:
        OSError: the file cannot be written, or `path` is a folder, a pipe or a device.
    """
    target = os.path.realpath(path)  # through symbolic links, which stay
    mode = _permissions(target)
    temporary = _draft(target)
    try:
        # No other user may read a private file's draft.
        first = 0o666 if mode is None else mode & 0o600
        with open(temporary, "xb", opener=lambda name, flags: os.open(name, flags, first)) as file:
            yield file
            file.flush()
            if mode is not None:
                os.chmod(temporary, mode)
            os.fsync(file.fileno())  # the content must be on the disk before the name is
        if keep_as is not None and mode is not None:
            _also_name(target, os.path.realpath(keep_as))
        os.replace(temporary, target)  # atomic: a reader sees the old file or the new one
    except BaseException:
        with contextlib.suppress(OSError):
            os.remove(temporary)
        raise
    with contextlib.suppress(OSError):  # the new name must reach the disk too; not every system can sync a folder
        handle = os.open(os.path.dirname(target), os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_text(caller: str, argument: str, path: Path, text: str) -> None:
    """Write a text file in UTF-8, or nothing.

    Raises:
        OSError: the file cannot be written; it names the caller, its argument and the path.
    """
    try:
        with atomic_write(path) as file:
            file.write(text.encode("utf-8", "replace"))  # half of a surrogate pair becomes a question mark
    except OSError as error:
        reason = f"{caller}: {argument}: nothing was written: {error.strerror or error}"
        raise OSError(error.errno, reason, os.fspath(path)) from error


def remove_drafts(path: Path) -> None:
    """Remove what killed processes left of their writes to `path`; only while nobody else writes there."""
    folder, name = os.path.split(os.path.realpath(path))
    pattern = re.compile(rf"\.{re.escape(name)}\.\d+-[0-9a-f]{{8}}\.tmp")
    with contextlib.suppress(OSError):
        for entry in os.listdir(folder):
            if pattern.fullmatch(entry):
                os.remove(os.path.join(folder, entry))


@contextlib.contextmanager
def open_plain(name: str) -> Iterator[tuple[BinaryIO, int]]:
    """Open a file for reading, and return it with its size.

    Raises:
        OSError: it is missing, may not be read, or is a pipe or a device, which could be read for ever.
    """
    if not stat.S_ISREG(mode := os.stat(name).st_mode) and not stat.S_ISDIR(mode):
        raise OSError(errno.EINVAL, "it is a pipe or a device, want a file", name)
    with open(name, "rb") as file:
        yield file, os.fstat(file.fileno()).st_size


def _draft(target: str) -> str:
    folder, name = os.path.split(target)
    return os.path.join(folder, f".{name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")


def _permissions(target: str) -> int | None:
    """The permissions of a file; None where there is none."""
    try:
        mode = os.stat(target).st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), target)
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is a pipe or a device, want a file", target)
    return mode & 0o777


def _also_name(target: str, name: str) -> None:
    """Give the file `target` a second name, which another file may have had."""
    if os.path.exists(name) and os.path.samefile(target, name):
        return
    second = _draft(name)
    try:
        try:
            os.link(target, second)
        except OSError:  # not every system has links
            shutil.copy2(target, second)
        os.replace(second, name)
    except BaseException:
        with contextlib.suppress(OSError):
            os.remove(second)
        raise
