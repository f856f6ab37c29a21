"""Fixtures: a small C source in place of the sequences, a cache of its own, and compilers that misbehave."""

from __future__ import annotations

import os
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from minigrad_rnn.native import compiler, shared_library
from tests.support.native_variants import Variants
from tests.support.session_folder import session_folder

SOURCE = """
#include "answer.h"
int self_check(void) { return 0; }
int answer(void) { return ANSWER; }
int bytes(void) { return REAL_IS_DOUBLE ? 8 : 4; }
"""
OUTPUT = 'while [ "$1" != -o ]; do shift; done\n'
"""In a compiler's script: `$2` is then the file that is to be written."""


class Workplace(NamedTuple):
    """The source of one test, the header that it includes, and the folder of the cache, which is not there yet."""

    source: Path
    header: Path
    cache: Path

    def files(self) -> list[str]:
        """The names of the files in the cache."""
        return sorted(path.name for path in self.cache.iterdir()) if self.cache.exists() else []


def settle(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    """Make `folder` the place of the source and of the cache, as in a new process with an empty environment."""
    place = Workplace(folder / "source" / "sequences.c", folder / "source" / "answer.h", folder / "cache")
    place.source.parent.mkdir()
    place.source.write_text(SOURCE)
    place.header.write_text("#define ANSWER 42\n")
    monkeypatch.setattr(shared_library, "SOURCE", place.source)
    monkeypatch.setattr(shared_library, "HEADERS", folder / "gates")
    monkeypatch.setattr(shared_library, "TIME_LIMIT", 60.0)  # a busy machine is no failure
    monkeypatch.setattr(shared_library, "_found", {})
    monkeypatch.setattr(shared_library, "_origins", {})
    for variable in ("CC", "MINIGRAD_NATIVE", *compiler.ENVIRONMENT):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("MINIGRAD_CACHE", str(place.cache))
    return place


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    return settle(tmp_path, monkeypatch)


@pytest.fixture(scope="session")
def cc() -> str:
    """The path of this machine's C compiler."""
    for name in compiler.NAMES:
        if path := shutil.which(name):
            return path
    pytest.skip("no C compiler: none of $CC, cc, gcc, clang")


@pytest.fixture(scope="session")
def variants(cc: str, tmp_path_factory: pytest.TempPathFactory) -> Variants:
    """The sequences compiled with other flags, each once a session."""
    return Variants(session_folder(tmp_path_factory, "variants"))


class Fake(NamedTuple):
    """A compiler that is a shell script, which notes its arguments in `calls`, but not when asked for its version."""

    script: Path
    calls: Path

    def write(self, body: str) -> None:
        start = (
            f'case " $* " in *" --version "*) echo fake 1.0; exit;; esac\necho "$@" >> {shlex.quote(str(self.calls))}\n'
        )
        self.script.write_text(start + body)

    def arguments(self) -> list[list[str]]:
        """The arguments of each call."""
        return [line.split() for line in self.calls.read_text().splitlines()] if self.calls.exists() else []


@pytest.fixture
def fake(place: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """The compiler that CC names."""
    made = Fake(tmp_path / "fake_cc.sh", tmp_path / "calls")
    monkeypatch.setenv("CC", f"sh {shlex.quote(str(made.script))}")
    return made


@pytest.fixture
def ordinary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Workplace]:
    """A workplace of a user whom permissions bind: root becomes one, with `os.seteuid`, when the test asks for it."""
    folder = Path(tempfile.mkdtemp())
    try:
        yield settle(folder, monkeypatch)
    finally:
        if os.getuid() == 0:
            os.seteuid(0)
        for path in (folder, *folder.iterdir()):
            path.chmod(0o700)
        shutil.rmtree(folder)


def become_ordinary(place: Workplace) -> None:
    """Give the workplace to an ordinary user and become that one, if this is root."""
    if os.getuid() == 0:
        top = place.cache.parent
        for path in (top, *top.rglob("*")):
            os.chown(path, 65534, 65534)
        os.seteuid(65534)


def stored(place: Workplace) -> Path:
    """Compile the library of float32 and return its path; it is forgotten, as in the next process."""
    assert shared_library.load_library("float32").answer() == 42
    shared_library.forget()
    (path,) = place.cache.iterdir()
    return path
