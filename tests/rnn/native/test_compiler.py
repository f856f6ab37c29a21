"""Compiling: which compiler, with which flags, and compilers that hang, warn, fail or do nothing."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest

from minigrad_rnn.native import child_process, compiler, shared_library
from minigrad_rnn.native.child_process import Deadline, Outcome
from minigrad_rnn.native.errors import NativeError, TimeLimitError

from .conftest import OUTPUT, Fake, Workplace


def test_each_dtype_has_a_library_compiled_for_it(place: Workplace, cc: str) -> None:
    assert [shared_library.load_library(dtype).bytes() for dtype in ("float32", "float64")] == [4, 8]
    assert shared_library.load_library("float32").answer() == 42
    assert shared_library.refusal("float32") == ""
    made = shared_library.origin("float64")
    assert made.compiler.startswith(f"{cc} (")
    assert made.path.parent == place.cache
    assert {"-O2", "-DREAL_IS_DOUBLE=1"} <= {*made.flags}
    assert made.seconds > 0
    assert len(place.files()) == 2
    shared_library.forget()
    assert shared_library.origin("float64") == shared_library.Origin(made.compiler, made.path)  # from the cache


def test_CC_may_have_arguments(place: Workplace, cc: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place.header.write_text("")
    monkeypatch.setenv("CC", f"{shlex.quote(cc)} -D 'ANSWER=40 + 7'")
    assert shared_library.load_library("float32").answer() == 47


def test_CC_may_be_a_path_with_spaces(
    place: Workplace, cc: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "my compiler"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(cc)} "$@"\n')
    program.chmod(0o700)
    monkeypatch.setenv("CC", str(program))
    assert shared_library.load_library("float32").answer() == 42


@pytest.mark.parametrize(
    ("cc_variable", "reason"),
    [
        ("", "no C compiler: CC is not set, and none of cc, gcc and clang is on the PATH"),
        ("  ", "no C compiler: CC is not set"),
        ("no_such_cc -O2", "no C compiler: CC='no_such_cc -O2', and no_such_cc is not a program on the PATH"),
        ("cc 'unfinished", 'CC="cc \'unfinished" cannot be read: No closing quotation'),
    ],
)
def test_no_compiler(
    place: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cc_variable: str, reason: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CC", cc_variable)
    assert reason in shared_library.refusal("float32")
    with pytest.raises(NativeError, match="no C compiler"):
        shared_library.load_library("float64")
    assert place.files() == []


def test_the_first_of_cc_gcc_clang_is_called_by_the_name_it_has_on_the_path(
    place: Workplace, cc: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program such as ccache is a link from a compiler's name, and goes by that name."""
    wrapper = tmp_path / "wrapper"
    wrapper.write_text(
        f'#!/bin/sh\ncase "$0" in */gcc) exec {shlex.quote(cc)} "$@";; esac\necho I am no compiler\nexit 1\n'
    )
    wrapper.chmod(0o700)
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("clang", "gcc"):
        (folder / name).symlink_to(wrapper)
    monkeypatch.setenv("PATH", f"{folder}:/nonexistent")
    # The wrapped compiler needs its assembler and linker.
    (folder / "as").symlink_to(shutil.which("as", path=os.defpath) or "/usr/bin/as")
    (folder / "ld").symlink_to(shutil.which("ld", path=os.defpath) or "/usr/bin/ld")
    assert shared_library.load_library("float32").answer() == 42
    assert shared_library.origin("float32").compiler.startswith(f"{folder}/gcc (")


def test_a_program_that_cannot_be_started(place: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "cc"
    program.write_bytes(b"\0\1\2 no program")
    program.chmod(0o700)
    monkeypatch.setenv("CC", str(program))
    assert f"{program} could not be started: " in shared_library.refusal("float32")


def still_open(reader: int) -> bool:
    """Whether some process has the other end of a pipe open; waits until none has, or for ten seconds."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        with contextlib.suppress(BlockingIOError):
            if os.read(reader, 100) == b"":
                return False
        time.sleep(0.01)
    return True


def test_a_compiler_that_hangs_is_stopped_with_its_children(
    fake: Fake, place: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The compiler proper is a child of the driver; it holds a pipe open while it lives."""
    monkeypatch.setattr(shared_library, "TIME_LIMIT", 2.0)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    fake.write(f'echo thinking; (echo I live; exec sleep 600) > "{pipe}" &\nsleep 600\n')
    reason = shared_library.refusal("float32")
    assert "was stopped: it took longer than 2 s\nthinking" in reason
    assert os.read(reader, 100) == b"I live\n"
    assert not still_open(reader)
    os.close(reader)
    assert [name for name in place.files() if not name.endswith(".timeout")] == []


def test_a_compiler_that_hangs_when_asked_for_its_version(
    fake: Fake, place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_library, "TIME_LIMIT", 0.5)
    fake.script.write_text("exec sleep 600")
    with pytest.raises(NativeError, match=r"was stopped: it took longer than 0\.5 s"):
        shared_library.load_library("float32")


def test_the_time_limit_is_that_of_all_attempts_together(
    fake: Fake, place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each attempt takes less: six flags are refused, one after the other."""
    monkeypatch.setattr(shared_library, "TIME_LIMIT", 2.0)
    fake.write('sleep 0.7\nfor flag; do case "$flag" in -f*|-m*) echo "unknown option $flag"; exit 1;; esac; done\n')
    assert "was stopped: it took longer than 2 s" in shared_library.refusal("float32")
    assert 1 <= len(fake.arguments()) <= 3


def test_a_timeout_is_remembered_for_an_hour(fake: Fake, place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_library, "TIME_LIMIT", 1.0)
    fake.write("exec sleep 600")
    shared_library.refusal("float32")
    assert len(fake.arguments()) == 1
    shared_library.forget()  # as in the next process
    reason = shared_library.refusal("float32")
    (record,) = place.cache.iterdir()
    assert "was stopped: it took longer than 1 s the last time; it is tried again after an hour" in reason
    assert reason.endswith(f"or when {record} is removed")
    assert len(fake.arguments()) == 1
    then = time.time() - 3700
    os.utime(record, (then, then))
    shared_library.forget()
    shared_library.refusal("float32")
    assert len(fake.arguments()) == 2


@pytest.mark.parametrize("content", ["", "rubbish", "1.2.3.4\n", "\xff\n\n"])
def test_a_record_of_a_timeout_that_cannot_be_read_counts_for_nothing(
    fake: Fake, place: Workplace, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    monkeypatch.setattr(shared_library, "TIME_LIMIT", 1.0)
    fake.write("exec sleep 600")
    shared_library.refusal("float32")
    (record,) = place.cache.iterdir()
    record.write_text(content)
    shared_library.forget()
    shared_library.refusal("float32")
    assert len(fake.arguments()) == 2


def test_who_is_patient_waits_longer_and_tries_again(
    fake: Fake, place: Workplace, cc: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_library, "TIME_LIMIT", 0.5)
    fake.write(f'sleep 1; exec {shlex.quote(cc)} "$@"')
    assert "was stopped: it took longer than 0.5 s" in shared_library.refusal("float32")
    assert shared_library.load_library("float32", patient=True).answer() == 42
    assert shared_library.refusal("float32") == ""
    shared_library.forget()  # as in the next process
    assert shared_library.refusal("float32") == ""
    assert len(fake.arguments()) == 2


def test_who_is_patient_tries_again_what_failed(fake: Fake, place: Workplace, cc: str) -> None:
    fake.write("echo the disk is on fire; exit 7")
    for _ in range(2):
        with pytest.raises(NativeError, match="the disk is on fire"):
            shared_library.load_library("float32")
    assert len(fake.arguments()) == 1
    fake.write(f'exec {shlex.quote(cc)} "$@"')
    assert shared_library.load_library("float32", patient=True).answer() == 42
    assert shared_library.load_library("float32").answer() == 42


def test_warnings_are_no_failure(fake: Fake, place: Workplace, cc: str) -> None:
    fake.write(f'echo "warning: unknown option -march=native" >&2; exec {shlex.quote(cc)} "$@"')
    assert shared_library.load_library("float32").answer() == 42
    assert len(fake.arguments()) == 1


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("exit 0", "ended with exit status 0 but wrote no library"),
        (f'{OUTPUT} : > "$2"', "ended with exit status 0 but wrote no library"),
        (f'{OUTPUT} mkdir "$2"', "ended with exit status 0 but wrote no library"),
        (f'{OUTPUT} echo rubbish > "$2"', "the compiled library does not run here (exit status 1): OSError"),
        (
            f'{OUTPUT} head -c 100000 /dev/zero > "$2"',
            "the compiled library does not run here (exit status 1): OSError",
        ),
        ("echo 'no licence' >&2; exit 3", "failed (exit status 3): no licence"),
        ("kill -SEGV $$", "failed (SIGSEGV)"),
    ],
)
def test_a_stub(fake: Fake, place: Workplace, body: str, reason: str) -> None:
    fake.write(body)
    assert reason in shared_library.refusal("float32")
    assert place.files() == []


def test_the_error_holds_the_compilers_words(place: Workplace, cc: str) -> None:
    place.header.write_text("#define ANSWER no_such_name\n")
    with pytest.raises(NativeError) as caught:
        shared_library.load_library("float32")
    first, *rest = str(caught.value).splitlines()
    assert "failed (exit status 1)" in first
    assert "error" in first
    assert "no_such_name" in first
    assert any("no_such_name" in line for line in rest)


WANTED = [line[0] for line in compiler.OPTIONAL_FLAGS]
REFUSALS = {
    "gcc": "cc: error: unrecognized command-line option '$flag'; did you mean something else?",
    "clang": "clang: error: unknown argument: '$flag'",
    "for this target": "error: unsupported option '$flag' for target 'x'",
}


@pytest.mark.parametrize("words", REFUSALS.values(), ids=REFUSALS)
@pytest.mark.parametrize("flag", [*WANTED, "-march=native -mcpu=native"])
def test_a_refused_flag_is_left_out(
    fake: Fake, place: Workplace, cc: str, monkeypatch: pytest.MonkeyPatch, flag: str, words: str
) -> None:
    """The last time with both ways of saying for which CPU, one after the other."""
    monkeypatch.setattr(compiler, "_sensible", lambda flag: True)
    fake.write(
        f'for flag; do case "$flag" in {flag.replace(" ", "|")}) echo "{words}"; exit 1;; esac; done\n'
        # The real one may not know what this one takes.
        'for flag; do shift; case "$flag" in --param*|-mcpu*) ;; *) set -- "$@" "$flag";; esac; done\n'
        f'exec {shlex.quote(cc)} "$@"'
    )
    assert shared_library.load_library("float32").answer() == 42
    calls = [[argument for argument in call if argument in {*WANTED, "-mcpu=native"}] for call in fake.arguments()]
    left = [name for name in WANTED if name not in flag.split()]
    instead = {"-march=native": ["-mcpu=native"]}.get(flag, [])
    assert calls[0] == WANTED
    assert calls[-1] == left + instead
    assert len(calls) == 1 + len(flag.split())


@pytest.mark.parametrize(
    "words",
    [
        "cc1: error: bad value ('native') for '-march=' switch",
        "clang: error: the clang compiler does not support '-march=native'",
        "error: unknown target CPU 'native'",
        "error: unsupported argument 'native' to option '-march='",
    ],
)
def test_a_refused_cpu_in_every_compilers_words(fake: Fake, place: Workplace, cc: str, words: str) -> None:
    fake.write(
        f'case " $* " in *" -march=native "*) echo "{words}" >&2; exit 1;; esac\n'
        f'for flag; do shift; case "$flag" in -mcpu*) ;; *) set -- "$@" "$flag";; esac; done\n'
        f'exec {shlex.quote(cc)} "$@"'
    )
    assert shared_library.load_library("float32").answer() == 42
    assert [("-march=native" in call, "-mcpu=native" in call) for call in fake.arguments()] == [
        (True, False),
        (False, True),
    ]


def test_an_error_in_the_source_is_not_taken_for_a_refused_flag(fake: Fake, place: Workplace) -> None:
    fake.write("echo \"sequences.c:3:1: error: unknown type name 'march' in 'native'\"; exit 1")
    assert "unknown type name" in shared_library.refusal("float32")
    assert len(fake.arguments()) == 1


def test_the_flags(fake: Fake, place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CFLAGS", "-ffast-math -O0")
    fake.write("exit 1")
    shared_library.refusal("float64")
    (call,) = fake.arguments()
    assert {"-O2", "-march=native", "-std=gnu11", "-shared", "-fPIC", "-ffp-contract=fast"} <= set(call)
    assert "-DREAL_IS_DOUBLE=1" in call
    assert "-ffast-math" not in call
    assert "-O0" not in call


def test_what_a_compiler_is_given(fake: Fake, place: Workplace, tmp_path: Path, cc: str) -> None:
    """Nothing to read, English, and a folder of its own for temporary files, of which nothing is left."""
    fake.write(
        f'read line && exit 1\necho "$LC_ALL $TMPDIR $MINIGRAD_NATIVE" > "{tmp_path}/given"\n'
        f': > here; : > "$TMPDIR/there"\nexec {shlex.quote(cc)} "$@"'
    )
    assert shared_library.load_library("float32").answer() == 42
    language, folder, switch = (tmp_path / "given").read_text().split()
    assert (language, switch) == ("C", "0")
    assert Path(folder).parent == place.cache
    assert len(place.files()) == 1


def test_a_compiler_that_never_stops_talking(fake: Fake, place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_library, "TIME_LIMIT", 1.0)
    fake.write("exec yes")
    reason = shared_library.refusal("float32")
    assert "was stopped" in reason
    assert 1000 < len(reason) < child_process.LONGEST + 1000


def test_a_server_that_a_compiler_leaves_behind_is_not_waited_for(
    fake: Fake, place: Workplace, cc: str, tmp_path: Path
) -> None:
    """It holds the compiler's output open."""
    fake.write(f'sleep 600 & echo $! > "{tmp_path}/pid"\nexec {shlex.quote(cc)} "$@"')
    assert shared_library.load_library("float32").answer() == 42
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def test_apples_stand_in_is_not_called_without_the_developer_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would open a dialogue."""
    calls = []

    def run(command: tuple[str, ...], name: str, deadline: Deadline) -> Outcome:
        calls.append(command)
        return Outcome(2, "xcode-select: error: unable to get active developer directory")

    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(compiler, "run", run)
    with pytest.raises(NativeError, match=r"no C compiler: /usr/bin/cc needs Apple's command line tools"):
        compiler.Compiler(("/usr/bin/cc",), ()).with_version(Deadline(5.0))
    assert calls == [("/usr/bin/xcode-select", "-p")]


def test_a_deadline_that_has_passed() -> None:
    with pytest.raises(TimeLimitError, match="was stopped: it took longer than 0 s"):
        child_process.run(("sleep", "600"), "sleep", Deadline(0.0))
