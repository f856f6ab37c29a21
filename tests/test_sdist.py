"""The source distribution holds every file of the checkout, so that its tests run from it, and the wheel every file of
the packages; and one version for both."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import minigrad
import minigrad_rnn

pytest.importorskip("setuptools", minversion="77", reason="setuptools 77 is not installed")

ROOT = Path(__file__).resolve().parents[1]
BUILD = "from setuptools import build_meta; build_meta.build_{}('dist')"


def tracked_files() -> list[str]:
    """Return the files that git tracks and that are there, relative to the root."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return sorted(name for name in listing.split("\0") if name and (ROOT / name).exists())


def built(kind: str, files: list[str], folder: Path) -> Path:
    """Build the "sdist" or "wheel" of these files in an empty folder."""
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    command = [sys.executable, "-c", BUILD.format(kind)]
    subprocess.run(command, cwd=folder, capture_output=True, check=True, timeout=300)
    (archive,) = (folder / "dist").iterdir()
    return archive


def test_the_sdist_holds_every_tracked_file(tmp_path: Path) -> None:
    files = tracked_files()
    archive = built("sdist", files, tmp_path)
    assert archive.name == f"minigrad_rnn-{minigrad.__version__}.tar.gz"
    with tarfile.open(archive) as sdist:
        packed = {member.name.partition("/")[2] for member in sdist.getmembers() if member.isfile()}
    assert sorted(set(files) - packed) == []


def test_the_wheel_holds_every_file_of_the_packages(tmp_path: Path) -> None:
    """The kernels' sources and the headers that they include are data: setup.cfg names them."""
    files = tracked_files()
    with zipfile.ZipFile(built("wheel", files, tmp_path)) as wheel:
        packed = set(wheel.namelist())
    assert "minigrad_rnn/gates/lstm.h" in packed
    assert [name for name in files if name.startswith(("minigrad/", "minigrad_rnn/")) and name not in packed] == []


def test_both_packages_have_one_version() -> None:
    assert minigrad_rnn.__version__ == minigrad.__version__
