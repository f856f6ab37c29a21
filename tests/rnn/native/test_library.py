"""The library of a process: threads, forks, interruptions, what is said, and the variable that turns it off."""

from __future__ import annotations

import concurrent.futures
import logging
import os
import shlex
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from minigrad_rnn.native import child_process, shared_library
from minigrad_rnn.native.errors import NativeError

from .conftest import Fake, Workplace


@pytest.mark.parametrize("works", [True, False])
def test_threads_that_ask_at_once_compile_once(place: Workplace, fake: Fake, cc: str, works: bool) -> None:
    fake.write(f'exec {shlex.quote(cc)} "$@"' if works else "echo it is broken; exit 1")
    together = threading.Barrier(8)

    def ask(number: int) -> str:
        together.wait()
        return shared_library.refusal("float32")

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        reasons = set(pool.map(ask, range(8)))
    assert len(fake.arguments()) == 1
    assert len(reasons) == 1
    assert ("it is broken" in reasons.pop()) is not works


def test_a_library_is_one_object_for_every_name_of_its_dtype(place: Workplace, cc: str) -> None:
    first = shared_library.load_library("float32")
    assert all(shared_library.load_library(dtype) is first for dtype in (np.float32, np.dtype("f4"), "f"))
    assert shared_library.load_library(float) is shared_library.load_library(np.float64) is not first


@pytest.mark.parametrize("dtype", ["float16", "int32", ">f4" if sys.byteorder == "little" else "<f4", complex])
def test_other_dtypes_are_refused(place: Workplace, dtype: object) -> None:
    with pytest.raises(NativeError, match=r"^dtype \S+: want float32 or float64$"):
        shared_library.load_library(dtype)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["0", "off", "2", "true"])
def test_the_switch(place: Workplace, fake: Fake, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("MINIGRAD_NATIVE", value)
    wanted = "" if value == "0" else " (want 0 or 1)"
    assert shared_library.refusal("float32") == f"MINIGRAD_NATIVE={value} turns it off{wanted}"
    with pytest.raises(NativeError, match=f"MINIGRAD_NATIVE={value} turns it off"):
        shared_library.load_library("float64")
    assert fake.arguments() == []


@pytest.mark.parametrize("value", ["", "1"])
def test_the_switch_is_on(place: Workplace, cc: str, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("MINIGRAD_NATIVE", value)
    assert shared_library.refusal("float32") == ""


def test_what_is_said(place: Workplace, cc: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "minigrad_rnn.native")
    shared_library.load_library("float32")
    first, last = caplog.messages
    assert first.startswith(f"compiling sequences.c for float32 with {shared_library.origin('float32').compiler}")
    assert "compiled in " in last
    assert " s with -O2 " in last
    assert last.endswith(str(place.cache / place.files()[0]))
    assert {record.levelno for record in caplog.records} == {logging.INFO}
    caplog.clear()
    shared_library.forget()
    shared_library.load_library("float32")
    assert caplog.messages == []
    place.header.write_text("#error broken header\n")
    shared_library.forget()
    shared_library.refusal("float32")
    assert caplog.messages[-1].startswith("float32: no compiled sequences: ")
    assert "broken header" in caplog.messages[-1]


def test_a_failure_is_not_one_exception_raised_again_and_again(place: Workplace, fake: Fake) -> None:
    """Its traceback would grow with every call."""
    fake.write("exit 1")
    errors = []
    for _ in range(2):
        with pytest.raises(NativeError) as caught:
            shared_library.load_library("float32")
        errors.append(caught.value)
    assert errors[0] is not errors[1]
    assert str(errors[0]) == str(errors[1])


def test_an_interruption_stops_the_compiler_and_is_no_failure(
    place: Workplace, fake: Fake, cc: str, tmp_path: Path
) -> None:
    """In a process of its own, as with Ctrl-C."""
    fake.write(f'echo $$ > "{tmp_path}/pid"; sleep 1; kill -INT $PPID; exec sleep 600')
    program = f"""
import os
from pathlib import Path
from minigrad_rnn.native import shared_library
shared_library.SOURCE = shared_library.HEADERS = Path({str(place.source)!r})
shared_library.TIME_LIMIT = 60.0
try:
    shared_library.load_library("float32")
except KeyboardInterrupt:
    print("interrupted", shared_library._found, os.listdir({str(place.cache)!r}))
    try:
        os.kill(int(open({str(tmp_path / "pid")!r}).read()), 0)
    except ProcessLookupError:
        print("stopped")
    open({str(fake.script)!r}, "w").write('exec {cc} "$@"')
    print(shared_library.load_library("float32").answer())
"""
    outcome = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert outcome.stdout.splitlines() == ["interrupted {} []", "stopped", "42"], outcome.stderr


def test_a_fork_while_another_thread_compiles(place: Workplace, fake: Fake, cc: str, tmp_path: Path) -> None:
    """The thread that holds the lock is not in the child."""
    os.mkfifo(tmp_path / "go")
    fake.write(
        f'[ -e "{tmp_path}/second" ] || {{ : > "{tmp_path}/second"; read x < "{tmp_path}/go"; }}\nexec {cc} "$@"'
    )
    program = f"""
import os, threading, time, warnings
from pathlib import Path
from minigrad_rnn.native import shared_library
warnings.simplefilter("ignore")
shared_library.SOURCE = shared_library.HEADERS = Path({str(place.source)!r})
shared_library.TIME_LIMIT = 60.0
thread = threading.Thread(target=shared_library.load_library, args=["float32"])
thread.start()
while not os.path.exists({str(tmp_path / "second")!r}):
    time.sleep(0.01)
if (child := os.fork()) == 0:
    print("child", shared_library.load_library("float32").answer(), flush=True)
    os._exit(0)
os.waitpid(child, 0)
with open({str(tmp_path / "go")!r}, "w") as go:
    go.write("now")
thread.join()
print("parent", shared_library.load_library("float32").answer())
"""
    outcome = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert outcome.stdout.splitlines() == ["child 42", "parent 42"], outcome.stderr
    assert len(place.files()) == 1


def test_no_thread_to_watch_the_compiler_with(place: Workplace, cc: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(child_process.threading.Thread, "start", start)
    assert "could not be watched: can't start new thread" in shared_library.refusal("float32")


def test_importing_it_loads_no_module_that_only_compiling_needs() -> None:
    program = """
import sys
import numpy
before = set(sys.modules)
import minigrad_rnn, minigrad_rnn.native.shared_library
print(sorted({"subprocess", "logging", "tempfile", "shlex", "signal"} & (set(sys.modules) - before)))
"""
    outcome = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert outcome.stdout == "[]\n", outcome.stderr
