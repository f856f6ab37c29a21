"""The archive of CuPy's compiled kernels: below its size, small files first, and back where they were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support import cupy_cache


def filled(folder: Path, sizes: list[int]) -> Path:
    """A folder of files of random bytes, which do not shrink."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    for k, size in enumerate(sizes):
        (folder / f"{k}.cubin").write_bytes(rng.bytes(size))
    return folder


def test_what_was_packed_is_unpacked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, file, other = filled(tmp_path / "cache", [10, 5000, 300]), tmp_path / "a.tar.gz", tmp_path / "b" / "c"
    assert cupy_cache.main(["pack", str(folder), str(file)]) == 0
    assert capsys.readouterr().out.startswith("3 of 3 compiled kernels in ")
    other.mkdir(parents=True)
    (other / "1.cubin").write_bytes(b"newer")
    assert cupy_cache.main(["unpack", str(other), str(file)]) == 0
    assert capsys.readouterr().out == "2 compiled kernels unpacked\n"
    assert (other / "1.cubin").read_bytes() == b"newer"
    for name in ("0.cubin", "2.cubin"):
        assert (other / name).read_bytes() == (folder / name).read_bytes()


def test_the_archive_stays_below_its_size(tmp_path: Path) -> None:
    folder, file = filled(tmp_path / "cache", [400_000, 100_000, 200_000, 300_000]), tmp_path / "a.tar.gz"
    assert cupy_cache.pack(folder, file, 500_000) == (2, 4)
    assert 300_000 < file.stat().st_size <= 500_000
    assert cupy_cache.unpack(tmp_path / "again", file) == 2
    assert sorted(p.name for p in (tmp_path / "again").iterdir()) == ["1.cubin", "2.cubin"]


def test_an_empty_cache_is_packed(tmp_path: Path) -> None:
    folder, file = filled(tmp_path / "cache", []), tmp_path / "a.tar.gz"
    assert cupy_cache.pack(folder, file, 1000) == (0, 0)
    assert cupy_cache.unpack(tmp_path / "again", file) == 0
