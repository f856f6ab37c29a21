"""The cache: what its key depends on, files that are not what they seem, and several processes at once."""

from __future__ import annotations

import os
import shlex
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from minigrad_rnn.native import cache, compiler, cpu, shared_library
from minigrad_rnn.native.compiler import Compiler

from .conftest import Fake, Workplace, stored

FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
COMPILER = Compiler(("/usr/bin/cc",), ("/usr/bin/cc", "a size", "a time", "version 1"))


def compiled(fake: Fake, cc: str) -> Callable[[], int]:
    """Make `fake` a compiler that works, and return a function of how often it did."""
    fake.write(f'exec {shlex.quote(cc)} "$@"')
    return lambda: len(fake.arguments())


def test_a_library_is_compiled_once(place: Workplace, fake: Fake, cc: str) -> None:
    calls = compiled(fake, cc)
    stored(place)
    for _ in range(2):
        shared_library.forget()
        assert shared_library.load_library("float32").answer() == 42
    assert calls() == 1


def test_the_name_depends_on_all_that_goes_into_the_library(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    def name(dtype: np.dtype[np.generic] = FLOAT32, made_by: Compiler = COMPILER) -> str:
        return shared_library._name(dtype, made_by)

    names = [name()]
    assert name() == names[0]
    names += [name(FLOAT64), name(made_by=replace(COMPILER, identity=(*COMPILER.identity[:-1], "version 2")))]
    place.source.write_text(place.source.read_text() + "\n")
    names.append(name())
    place.header.write_text("#define ANSWER 43\n")
    names.append(name())
    place.header.rename(place.header.parent / "other.h")
    names.append(name())
    (place.source.parents[1] / "gates").mkdir()
    (place.source.parents[1] / "gates" / "lstm.h").write_text("")
    names.append(name())
    monkeypatch.setattr(compiler, "FLAGS", ("-O2",))
    monkeypatch.setattr(shared_library, "FLAGS", ("-O2",))
    names.append(name())
    monkeypatch.setattr(shared_library, "description", lambda: "another CPU")
    names.append(name())
    assert len(set(names)) == len(names) == 9


@pytest.mark.parametrize("change", ["program", "variable", "argument", "version"])
def test_a_compilers_identity(
    place: Workplace, fake: Fake, cc: str, monkeypatch: pytest.MonkeyPatch, change: str, tmp_path: Path
) -> None:
    """Its file, its arguments and the variables it reads; and its version, which a wrapper's file does not show."""
    program = tmp_path / "my_cc"
    program.write_text(f'#!/bin/sh\n[ "$1" = --version ] && cat "{tmp_path}/version"\nexec {shlex.quote(cc)} "$@"\n')
    program.chmod(0o700)
    (tmp_path / "version").write_text("my_cc 1.0\n")
    monkeypatch.setenv("CC", str(program))
    stored(place)
    if change == "program":
        program.write_text(program.read_text() + "\n")
    elif change == "variable":
        monkeypatch.setenv("CPATH", str(tmp_path))
    elif change == "argument":
        monkeypatch.setenv("CC", f"{program} -DSOMETHING")
    else:
        (tmp_path / "version").write_text("my_cc 2.0\n")
    assert shared_library.load_library("float32").answer() == 42
    assert len({name.partition(".")[0] for name in place.files()}) == 2


def test_the_cpu_is_described_by_what_it_can_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not by its clock, which differs from one reading to the next, nor by the number of its cores."""
    file = tmp_path / "cpuinfo"
    monkeypatch.setattr(cpu, "CPUINFO", file)

    def described(flags: str, clock: str, cores: int = 1) -> list[str]:
        core = f"model name\t: Some CPU\ncpu MHz\t\t: {clock}\nbogomips\t: 5192.29\nflags\t\t: {flags}\n\n"
        file.write_text("".join(f"processor\t: {number}\n{core}" for number in range(cores)))
        return cpu._model()

    plain = described("sse2 avx2", "2000.0")
    assert plain == ["flags\t\t: sse2 avx2", "model name\t: Some CPU"]
    assert described("sse2 avx2", "2593.1", cores=4) == plain
    assert described("sse2 avx2 avx512f", "2000.0") != plain
    file.unlink()
    assert len(cpu._model()) == 1


def test_two_machines_share_a_home(place: Workplace, fake: Fake, cc: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = compiled(fake, cc)
    for machine in ("one", "other", "one", "other"):
        monkeypatch.setattr(shared_library, "description", lambda machine=machine: machine)
        shared_library.forget()
        assert shared_library.load_library("float32").answer() == 42
    assert calls() == 2


Spoil = Callable[[Path, str], object]


def cut(length: int) -> Spoil:
    """Leave so many bytes; of a negative number, all but so many."""
    return lambda path, cc: os.truncate(path, length % path.stat().st_size)


def one_bit(path: Path, cc: str) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def another_library(path: Path, cc: str) -> None:
    """One that would end the process."""
    source = path.parents[1] / "another.c"
    source.write_text("#include <stdlib.h>\n__attribute__((constructor)) static void end(void) { abort(); }")
    subprocess.run([cc, "-shared", "-fPIC", "-o", path, source], check=True)


def pipe(path: Path, cc: str) -> None:
    path.unlink()
    os.mkfifo(path)


def link(path: Path, cc: str) -> None:
    path.rename(path.parents[1] / "elsewhere.so")
    path.symlink_to(path.parents[1] / "elsewhere.so")


SPOILED: dict[str, Spoil] = {
    "empty": cut(0),
    "one byte": cut(1),
    "a header": cut(100),
    "a page": cut(4096),
    "all but a byte": cut(-1),
    "too large": lambda path, cc: os.truncate(path, cache.LARGEST + 1),
    "one bit": one_bit,
    "rubbish": lambda path, cc: path.write_bytes(b"rubbish" * 1000),
    "another library": another_library,
    "a pipe": pipe,
    "a link": link,
    "writable by others": lambda path, cc: path.chmod(0o722),
}


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED)
def test_a_file_that_is_not_whole_or_not_the_users_own_is_not_loaded_but_made_anew(
    place: Workplace, fake: Fake, cc: str, spoil: Spoil
) -> None:
    calls = compiled(fake, cc)
    path = stored(place)
    content = path.read_bytes()
    path.unlink()  # this process has it loaded: what follows is done to a copy
    path.write_bytes(content)
    path.chmod(0o700)
    spoil(path, cc)
    assert shared_library.load_library("float32").answer() == 42
    assert calls() == 2
    assert place.files() == [path.name]
    assert stat.S_ISREG(path.lstat().st_mode)
    assert stat.S_IMODE(path.lstat().st_mode) == 0o700
    assert path.read_bytes() == content


def test_a_folder_in_a_librarys_place(place: Workplace, cc: str) -> None:
    path = stored(place)
    path.unlink()
    path.mkdir()
    (path / "something").touch()
    assert "the compiled sequences cannot be used: " in shared_library.refusal("float32")
    assert place.files() == [path.name]


def test_a_whole_library_that_no_longer_loads_is_made_anew(
    place: Workplace, fake: Fake, cc: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system's libraries may have changed."""
    calls = compiled(fake, cc)
    path = stored(place)
    path.unlink()
    rubbish = b"no library at all"
    (place.cache / cache._file_name(path.name.partition(".")[0], rubbish)).write_bytes(rubbish)
    assert shared_library.load_library("float32").answer() == 42
    assert calls() == 2


def test_a_source_that_changes_while_it_is_compiled(fake: Fake, place: Workplace, cc: str) -> None:
    fake.write(f'{shlex.quote(cc)} "$@" && echo >> "{place.header}"')
    assert "changed while it was compiled" in shared_library.refusal("float32")
    assert place.files() == []


def test_an_installation_without_the_source(place: Workplace) -> None:
    place.source.unlink()
    assert f"this installation has no C source, want {place.source}" in shared_library.refusal("float32")


CHILD = """
import sys
from pathlib import Path
from minigrad_rnn.native import shared_library
shared_library.SOURCE, shared_library.HEADERS = Path(sys.argv[1]), Path(sys.argv[1])
shared_library.TIME_LIMIT = 60.0
sys.stdin.read()
print(shared_library.load_library("float32").answer(), shared_library.load_library("float64").bytes())
"""


def test_four_processes_at_once(place: Workplace, cc: str) -> None:
    command = [sys.executable, "-c", CHILD, str(place.source)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    children = [subprocess.Popen(command, **pipes) for _ in range(4)]  # type: ignore[call-overload]
    for child in children:
        child.stdin.close()  # all of them have been started
    said = []
    for child in children:
        said.append(child.stdout.read())
        child.stdout.close()
        child.wait()
    assert said == ["42 8\n"] * 4
    assert len(place.files()) == 2
    for dtype in ("float32", "float64"):
        assert shared_library.load_library(dtype).answer() == 42
    assert len(place.files()) == 2


def aged(path: Path, days: float) -> Path:
    then = time.time() - days * cache.DAY
    os.utime(path, (then, then))
    return path


def test_what_was_not_used_for_long_is_removed_and_nothing_of_the_users(place: Workplace, cc: str) -> None:
    place.cache.mkdir(0o700)
    digits = [f"{number:032x}" for number in range(3)]
    start = f"minigrad-sequences-float32-{digits[0]}"
    old = [f"{start}.{digits[1]}{cache.SUFFIX}", f"{start}.timeout", "minigrad-sequences-results.csv", "thesis"]
    for name in (*old, f"{start}.{digits[2]}{cache.SUFFIX}"):
        (place.cache / name).touch()
    for name in old:
        aged(place.cache / name, 100)
    for name, days in ((".minigrad-draft-old", 2), (".minigrad-draft-new", 0.5)):
        (place.cache / name).mkdir()
        (place.cache / name / "shared_library.so").touch()
        aged(place.cache / name, days)
    shared_library.load_library("float32")
    kept = {".minigrad-draft-new", "minigrad-sequences-results.csv", "thesis", f"{start}.{digits[2]}{cache.SUFFIX}"}
    assert kept < set(place.files())
    assert len(place.files()) == len(kept) + 1


def test_their_number_is_bounded(place: Workplace, cc: str) -> None:
    place.cache.mkdir(0o700)
    names = [
        f"minigrad-sequences-float32-{number:032x}.{0:032x}{cache.SUFFIX}" for number in range(cache.KEPT_FILES + 5)
    ]
    for number, name in enumerate(names):
        (place.cache / name).touch()
        aged(place.cache / name, number / 10 + 1)
    shared_library.load_library("float32")
    assert len(place.files()) == cache.KEPT_FILES
    assert set(names[: cache.KEPT_FILES - 1]) < set(place.files())


def test_a_use_is_noted_once_a_day(place: Workplace, cc: str) -> None:
    path = stored(place)
    for days, noted in ((50.0, True), (0.5, False)):
        before = aged(path, days).stat().st_mtime
        shared_library.forget()
        shared_library.load_library("float32")
        assert (path.stat().st_mtime > before) is noted
