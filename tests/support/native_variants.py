"""The compiled sequences compiled otherwise: with other flags and vectors, by another compiler, of a changed source."""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigrad_rnn.native import cache, sequence, shared_library
from minigrad_rnn.native.child_process import Deadline
from minigrad_rnn.native.compiler import find_compiler
from minigrad_rnn.native.errors import NativeError
from minigrad_rnn.native.self_check import check_in_child

X86 = platform.machine() in ("x86_64", "AMD64")
NATIVE = "-march=native" if X86 else "-mcpu=native"
COMMON = ("-std=gnu11", "-shared", "-fPIC", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast", "-w")
VARIANTS: dict[str, tuple[str, ...]] = {
    "16 bytes": ("-O1", NATIVE, "-DVECTOR_BYTES=16"),
    "32 bytes": ("-O1", NATIVE, "-DVECTOR_BYTES=32"),
    "64 bytes": ("-O1", NATIVE, "-DVECTOR_BYTES=64"),
    "not fused": ("-O2", NATIVE, "-ffp-contract=off"),
    "not optimised": ("-O0", NATIVE),
    "baseline": ("-O2",),
    "baseline, 64 bytes": ("-O2", "-DVECTOR_BYTES=64"),
    **({"AVX2": ("-O2", "-march=x86-64-v3")} if X86 else {}),
}
"""Compilers' flags. Without -march an x86-64 has SSE2 only: 16 bytes, and no fused multiply-add."""


class Variants:
    """Libraries in a folder, which processes share, each compiled once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._loaded: dict[Path, ctypes.CDLL] = {}

    def compiled(
        self, flags: tuple[str, ...], dtype: Any, source: Path | None = None, compiler: str = "", checked: bool = True
    ) -> ctypes.CDLL:
        """Compile the sequences, or another `source`, with these flags; skip the test where they cannot run."""
        source = source or shared_library.SOURCE
        command = (compiler,) if compiler else find_compiler().command
        command = (*command, *COMMON, *flags, shared_library.DEFINITIONS[np.dtype(dtype)])
        texts = [*source.parent.glob("*.[ch]"), *(source.parents[2] / shared_library.HEADERS.name).glob("*.h")]
        path = self.folder / f"{cache.key(texts, *command)}.so"
        if path not in self._loaded:
            if not path.exists():
                draft = path.with_suffix(f".{os.getpid()}")
                done = subprocess.run(
                    [*command, str(source), "-o", str(draft), "-lm"], capture_output=True, text=True, check=False
                )
                assert not done.returncode, done.stderr
                draft.rename(path)
            if checked:
                self._check(path, flags)
            self._loaded[path] = ctypes.CDLL(str(path))
        return self._loaded[path]

    @staticmethod
    def _check(path: Path, flags: tuple[str, ...]) -> None:
        try:
            check_in_child(path, Deadline(60))
        except NativeError as error:
            if "SIGILL" not in str(error):
                raise
            pytest.skip(f"compiled sequences: this CPU cannot run {' '.join(flags)}")

    def use(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        """Run native sequences with the variant of this name."""
        monkeypatch.setattr(sequence, "load_library", lambda dtype: self.compiled(VARIANTS[name], dtype))

    def use_compiler(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        """Run native sequences compiled by another compiler, with the usual flags."""
        if not shutil.which(name):
            pytest.skip(f"compiled sequences: there is no {name}")
        monkeypatch.setattr(
            sequence, "load_library", lambda dtype: self.compiled(("-O1", NATIVE), dtype, compiler=name)
        )


def changed_source(folder: Path, file: str, old: str, new: str) -> Path:
    """Copy the C source and the cells' equations; in `file` `old`, which must be there, is replaced by `new`."""
    for part in (shared_library.SOURCE.parent, shared_library.HEADERS):
        shutil.copytree(part, folder / part.relative_to(shared_library.HEADERS.parent), dirs_exist_ok=True)
    (path,) = folder.rglob(file)
    text = path.read_text()
    assert old in text, f"{file} has no {old!r}"
    path.write_text(text.replace(old, new))
    return folder / shared_library.SOURCE.relative_to(shared_library.HEADERS.parent)
