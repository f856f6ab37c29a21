"""The folder of compiled libraries: private to the user, each file whole and checked before it is loaded.

A file is called `minigrad-sequences-DTYPE-KEY.DIGEST.so`. The key stands for all that goes into the library, the digest
is that of its bytes: a file that was cut short, or is something else, does not fit its name. It is written under
another name and renamed, so that two processes may do so at once, and no lock can be left behind. Between the check and
the loading no other user can change the file: the folder is the user's alone, and who owns those above it is trusted.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import stat
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from .. import user_cache
from ..user_cache import VARIABLE
from .errors import NativeError, TimeLimitError

HOUR, DAY = 3600.0, 86_400.0
KEPT_DAYS, KEPT_FILES = 90, 64
"""When a file is written, others that were not loaded for so long are removed, and the oldest beyond this number."""
LARGEST = 1 << 26
PREFIX, DRAFT, TIMEOUT = "minigrad-sequences-", ".minigrad-draft-", ".timeout"
SUFFIX = {"win32": ".dll", "darwin": ".dylib"}.get(sys.platform, ".so")
OURS = re.compile(rf"{PREFIX}\w+-[0-9a-f]{{32}}(\.[0-9a-f]{{32}}{re.escape(SUFFIX)}|{re.escape(TIMEOUT)})")
"""The names of the files that may be removed: the folder that MINIGRAD_CACHE names may hold the user's own."""
POSIX = os.name == "posix"


def cache_folder() -> Path:
    """Return the folder, which may not be there yet: see `user_cache`.

    Raises:
        NativeError: the user has no home folder.
    """
    folder = user_cache.cache_folder()
    if folder is None:
        raise NativeError(f"no cache folder: there is no home folder; {VARIABLE} can name another")
    return folder


def refuse_shared(folder: Path) -> None:
    """Refuse a folder where another user could put a library; on Windows folders in a profile are private as they are.

    Raises:
        NativeError: it is not the user's, or others may write to it, or anybody may rename a folder above it.
    """
    if not POSIX:
        return
    status = os.stat(folder)
    instead = f"{VARIABLE} can name another"
    if not stat.S_ISDIR(status.st_mode):
        raise NativeError(f"the cache {folder} is not a folder; {instead}")
    if status.st_uid != os.geteuid():
        owner = f"user {status.st_uid}, and this is user {os.geteuid()}"
        raise NativeError(f"the cache folder {folder} belongs to another user ({owner}); {instead}")
    if (mode := stat.S_IMODE(status.st_mode)) & 0o022:
        raise NativeError(f"others may write to the cache folder {folder} (mode {mode:04o}, want 0700); {instead}")
    for parent in folder.parents:
        if (mode := stat.S_IMODE(os.stat(parent).st_mode)) & 0o002 and not mode & stat.S_ISVTX:
            raise NativeError(f"others may rename the cache folder {folder}: {parent} has mode {mode:04o}; {instead}")


def key(sources: Iterable[Path], *parts: str) -> str:
    """Return a digest of the names and contents of `sources` and of `parts`."""
    whole = hashlib.sha256()
    for path in sorted(sources):
        whole.update(f"{path.parent.name}/{path.name}\0".encode())
        whole.update(hashlib.sha256(path.read_bytes()).digest())
    for part in parts:
        whole.update(hashlib.sha256(part.encode(errors="surrogateescape")).digest())
    return whole.hexdigest()[:32]


def find(folder: Path, name: str) -> Path | None:
    """Return the path of a whole library called `name`, or None; what has its name and is not whole is not used."""
    for path in sorted(folder.glob(f"{name}.*{SUFFIX}")):
        content = _content(path)
        if content is not None and path.name == _file_name(name, content):
            with contextlib.suppress(OSError):  # a folder that can only be read is fine
                if time.time() - path.stat().st_mtime > DAY:
                    os.utime(path)
            return path
    return None


def _content(path: Path) -> bytes | None:
    """Read a file that is plain, of sensible size, and the user's own; else None."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        with open(os.open(path, flags), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST:
                return None
            if POSIX and (status.st_uid != os.geteuid() or status.st_mode & 0o022):
                return None
            return file.read()
    except OSError:
        return None


def _file_name(name: str, content: bytes) -> str:
    return f"{name}.{hashlib.sha256(content).hexdigest()[:32]}{SUFFIX}"


@contextlib.contextmanager
def draft_folder(folder: Path) -> Iterator[Path]:
    """A private folder inside the cache folder, which is made if it is missing; removed with all that is in it.

    Raises:
        NativeError: it cannot be made, or others may write to the cache folder.
    """
    import tempfile

    try:
        _make_private(folder)
        refuse_shared(folder)
        draft = Path(tempfile.mkdtemp(prefix=DRAFT, dir=folder))
    except OSError as error:
        reason = error.strerror or error
        raise NativeError(f"the cache folder {folder} cannot be used: {reason}; {VARIABLE} can name another") from error
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _make_private(folder: Path) -> None:
    if folder.is_dir():
        return
    _make_private(folder.parent)
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder, 0o700)


def store(library: Path, folder: Path, name: str) -> Path:
    """Move `library`, a file in a draft folder, into the cache folder under its name, and tidy up there."""
    content = library.read_bytes()
    target = folder / _file_name(name, content)
    with open(library, "rb+") as file:
        if POSIX:
            os.chmod(library, 0o700)
        os.fsync(file.fileno())  # the content must be on the disk before the name is
    try:
        os.replace(library, target)
    except PermissionError:  # on Windows, where another process has it loaded
        if _content(target) != content:
            raise
    tidy(folder, target)
    return target


@contextlib.contextmanager
def timeouts_remembered(folder: Path, name: str, seconds: float) -> Iterator[None]:
    """Note if the block takes longer than its limit of so many seconds, so that not every program waits in vain.

    Raises:
        TimeLimitError: it does, or within the last hour no fewer seconds were too few.
    """
    path = folder / f"{name}{TIMEOUT}"
    noted = re.match(r"(\d+\.?\d*)\n(.*)", (_content(path) or b"").decode(errors="replace"))
    if noted and float(noted[1]) >= seconds and time.time() - path.stat().st_mtime < HOUR:
        raise TimeLimitError(f"{noted[2]} the last time; it is tried again after an hour, or when {path} is removed")
    try:
        yield
    except TimeLimitError as error:
        with (
            contextlib.suppress(OSError),  # where nothing can be written, nothing is remembered
            open(path, "w", encoding="utf-8", opener=lambda file, flags: os.open(file, flags, 0o600)) as file,
        ):
            file.write(f"{seconds:g}\n{error}")
        raise


def tidy(folder: Path, fresh: Path) -> None:
    """Remove what killed processes left, files that were not loaded for long, and the oldest of too many."""
    now = time.time()
    aged = []
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            with contextlib.suppress(OSError):
                age = now - entry.stat(follow_symlinks=False).st_mtime
                if entry.name.startswith(DRAFT) and age > DAY:
                    shutil.rmtree(entry.path, ignore_errors=True)
                if OURS.fullmatch(entry.name) and entry.name != fresh.name:
                    aged.append((age, entry.path))
    for number, (age, path) in enumerate(sorted(aged), start=2):  # the fresh one is the first
        if age > KEPT_DAYS * DAY or number > KEPT_FILES:
            with contextlib.suppress(OSError):
                os.remove(path)
