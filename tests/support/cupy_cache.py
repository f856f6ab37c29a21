"""Carry CuPy's compiled kernels from one machine with a GPU to the next, as an archive below a size.

python tests/support/cupy_cache.py pack FOLDER FILE [--bytes 16000000]
python tests/support/cupy_cache.py unpack FOLDER FILE
"""

from __future__ import annotations

import argparse
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path

MARGIN = 64 << 10
"""Bytes that gzip may still hold back, and the archive's end."""


def pack(folder: Path, file: Path, most: int) -> tuple[int, int]:
    """Write an archive of at most so many bytes with as many files as fit, small ones first; return both numbers."""
    paths = sorted((p for p in folder.rglob("*") if p.is_file()), key=lambda p: (p.stat().st_size, p.name))
    packed = 0
    with file.open("wb") as out, tarfile.open(fileobj=out, mode="w:gz", compresslevel=6) as archive:
        for path in paths:
            if out.tell() + path.stat().st_size + MARGIN > most:
                break
            archive.add(path, path.relative_to(folder))
            packed += 1
    return packed, len(paths)


def unpack(folder: Path, file: Path) -> int:
    """Read the archive into the folder; return the number of files. What is there already stays."""
    folder.mkdir(parents=True, exist_ok=True)
    unpacked = 0
    with tarfile.open(file) as archive:
        for member in archive:
            if member.isfile() and not (folder / member.name).exists():
                archive.extract(member, folder, filter="data")
                unpacked += 1
    return unpacked


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    result = argparse.ArgumentParser(prog="cupy_cache.py", description=__doc__)
    result.add_argument("what", choices=("pack", "unpack"))
    result.add_argument("folder", type=Path)
    result.add_argument("file", type=Path)
    result.add_argument("--bytes", type=int, default=16_000_000, help="the archive's largest size (%(default)s)")
    return result


def main(argv: Sequence[str]) -> int:
    arguments = parser().parse_args(argv)
    if arguments.what == "unpack":
        print(f"{unpack(arguments.folder, arguments.file)} compiled kernels unpacked")
        return 0
    packed, of = pack(arguments.folder, arguments.file, arguments.bytes)
    print(f"{packed} of {of} compiled kernels in {arguments.file.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
