"""What `python -m minigrad_rnn doctor` says of the compiled sequences, or why there are none."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad_rnn as mr
from minigrad_rnn import doctor
from minigrad_rnn.__main__ import main
from minigrad_rnn.native import sequence, shared_library
from minigrad_rnn.native.threads import get_num_threads
from tests.support.native_library import require_compiler

from .conftest import OUTPUT, Fake, Workplace, become_ordinary

SOURCE, HEADERS = shared_library.SOURCE, shared_library.HEADERS


@pytest.fixture
def report(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Run the command on numpy; return what it says of the compiled sequences. The models of NumPy are left out."""
    monkeypatch.setattr(doctor, "test_models", lambda: iter([doctor.RNN(5, 8)]))
    monkeypatch.setattr(doctor, "SIZES", ())

    def run(status: int = 0) -> str:
        assert main(["doctor", "--backend", "numpy"]) == status
        _, native, numpy, last = capsys.readouterr().out.split("\n\n")
        assert native.startswith("native: ")
        assert numpy.startswith("numpy: usable\n")
        assert ("failed" in last) is bool(status)
        run.numpy = numpy  # type: ignore[attr-defined]
        return native

    return run


@pytest.fixture
def real(place: Workplace, cc: str, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    """The true source, to be compiled into a cache of its own."""
    monkeypatch.setattr(shared_library, "SOURCE", SOURCE)
    monkeypatch.setattr(shared_library, "HEADERS", HEADERS)
    return place


@pytest.fixture
def compiled(cc: str) -> None:
    """The library that every other program uses, too."""
    require_compiler()


def test_it_compiles_and_checks(
    report: Callable[..., str], real: Workplace, cc: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(real.cache.parent))
    monkeypatch.setattr(doctor, "SIZES", ((4, 1, 3), (3, 2, 5)))
    text = report()
    lines = text.splitlines()
    assert re.fullmatch(r"native: usable, compiled in \d+\.\d s", lines[0])
    assert lines[1].startswith(f"  {cc} (")
    assert re.search(r"-O2\b.*-m\w+=native", " ".join(lines[1:3]))
    assert "  in ~/cache" in lines
    assert len(real.files()) == 2
    assert [text.count(word) for word in ("right: RNN", "right: LSTM", "right: GRU", "WRONG")] == [2, 2, 2, 0]
    assert text.count("implementation native") == 6
    assert "  right: the same bits alone and in a batch, outputs and gradients" in lines
    threads = get_num_threads()
    assert f"  LSTM forward and backward, ms   NumPy  native on {threads} thread{'s' * (threads > 1)}" in lines
    rows = re.findall(r"^    (T=\d+, B=\d+, H=\d+) +\d+\.\d\d +\d+\.\d\d +\d+\.\d times as fast$", text, re.MULTILINE)
    assert rows == ["T=4, B=1, H=3", "T=3, B=2, H=5"]
    assert max(map(len, lines)) < 80
    shared_library.forget()  # as in the next process
    assert report().startswith("native: usable, compiled before\n")
    monkeypatch.setenv("HOME", "/nowhere")
    assert f"  in {real.cache}\n" in report()


def test_it_waits_for_a_slow_compiler(
    report: Callable[..., str], real: Workplace, fake: Fake, cc: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that every other program gives up, and that has failed before."""
    monkeypatch.setattr(shared_library, "TIME_LIMIT", 0.5)
    fake.write(f'sleep 1; exec {shlex.quote(cc)} "$@" -O0')
    assert "was stopped" in shared_library.refusal("float32")
    assert report().startswith("native: usable, compiled in ")


def test_one_thread(report: Callable[..., str], compiled: None) -> None:
    before = get_num_threads()
    try:
        mr.set_num_threads(1)
        assert report().endswith("native on 1 thread")
    finally:
        mr.set_num_threads(before)


def no_compiler(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CC")
    monkeypatch.setenv("PATH", "/nowhere")


def failing(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.write("echo In file included from here:; echo 'fatal error: math.h: not there'; seq 20; exit 1")


def hanging(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_library, "PATIENCE", 1.0)
    fake.write("echo thinking; exec sleep 600")


def a_stub(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.write(f'{OUTPUT} : > "$2"')


def turned_off(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIGRAD_NATIVE", "0")


def shared(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = fake.script.parent / "everybodys"
    folder.mkdir()
    folder.chmod(0o777)
    monkeypatch.setenv("MINIGRAD_CACHE", str(folder))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (no_compiler, "no C compiler: CC is not set, and none of cc, gcc and clang is on the PATH"),
        (failing, r"failed \(exit status 1\): fatal error: math\.h: not there"),
        (hanging, "was stopped: it took longer than 1 s thinking"),
        (a_stub, "ended with exit status 0 but wrote no library"),
        (turned_off, "MINIGRAD_NATIVE=0 turns it off"),
        (shared, r"others may write to the cache folder .* \(mode 0777, want 0700\); MINIGRAD_CACHE can name another"),
    ],
)
def test_it_says_why_there_are_none(
    report: Callable[..., str], fake: Fake, monkeypatch: pytest.MonkeyPatch, spoil: Any, words: str
) -> None:
    """That is no failure: the sequences of NumPy run."""
    spoil(fake, monkeypatch)
    text = report()
    assert text.startswith("native: not usable, sequences run in NumPy\n")
    assert re.search(words, re.sub(r"\s+", " ", text)), text
    assert max(map(len, text.splitlines())) < 120  # paths are not broken
    assert "right" not in text
    numpy = report.numpy  # type: ignore[attr-defined]
    assert numpy.count("right: ") == 1
    assert numpy.count("implementation fused\n") == 1


def test_a_compilers_words_are_cut(report: Callable[..., str], fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(fake, monkeypatch)
    lines = report().splitlines()
    assert lines[-13:] == [
        "    In file included from here:",
        "    fatal error: math.h: not there",
        *(f"    {n}" for n in range(1, 11)),
        "    … and 10 lines more",
    ]


def test_a_home_that_can_only_be_read(
    report: Callable[..., str], ordinary: Workplace, cc: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ordinary.cache.parent.chmod(0o500)
    become_ordinary(ordinary)
    text = re.sub(r"\s+", " ", report())
    assert f"the cache folder {ordinary.cache} cannot be used: Permission denied; MINIGRAD_CACHE can name" in text
    if os.getuid() == 0:
        os.seteuid(0)


def test_only_one_dtype_fails(report: Callable[..., str], real: Workplace, fake: Fake, cc: str) -> None:
    fake.write(f'case "$*" in *DOUBLE=1*) echo too precise; exit 1;; esac; exec {shlex.quote(cc)} "$@"')
    text = report()
    assert text.startswith("native: not usable")
    assert "\n  float64: " in text
    assert "too precise" in text


# Planted faults


def test_a_wrong_gradient(report: Callable[..., str], compiled: None, monkeypatch: pytest.MonkeyPatch) -> None:
    right = sequence._bptt
    monkeypatch.setattr(sequence, "_bptt", lambda *args: (right(*args)[0] * 1.001, *right(*args)[1:]))
    assert report(1).count("WRONG: ") == 6


def spoil_outputs(monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Any], None]) -> None:
    right = sequence.run_all

    def wrong(runs: Any, function: str) -> None:
        right(runs, function)
        for run in runs:
            if function == "forward":
                spoil(run)

    monkeypatch.setattr(sequence, "run_all", wrong)


def test_wrong_outputs_in_float32(report: Callable[..., str], compiled: None, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil_outputs(monkeypatch, lambda run: np.add(run.hs, 1e-3 if run.hs.itemsize == 4 else 0, out=run.hs))
    text = report(1)
    assert text.count("WRONG: ") == 6
    assert text.count("float32 outputs 1.0e-03") == 6


def test_other_bits_in_a_batch(report: Callable[..., str], compiled: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """One unit in the last place of float32, in an RNN alone."""

    def nudge(run: Any) -> None:
        if run.B == 7 and run.hs.itemsize == 4 and run.weights.kind < 2:
            np.nextafter(run.hs, np.float32(2), out=run.hs)

    spoil_outputs(monkeypatch, nudge)
    text = report(1)
    assert text.count("WRONG") == 1
    assert "  WRONG: the same bits alone and in a batch, outputs and gradients, not so RNN\n  float32" in text


def test_another_implementation_ran(
    report: Callable[..., str], compiled: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor.Recurrence, "implementation", property(lambda self: "fused"))
    assert report(1).count("WRONG: ") == 6


def test_an_error_is_reported(report: Callable[..., str], compiled: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*args: Any) -> None:
        raise MemoryError("no more")

    monkeypatch.setattr(doctor, "SIZES", ((2, 1, 3),))
    monkeypatch.setattr(sequence, "run_all", failing)
    text = report(1)
    assert text.count("  WRONG: ") == 8
    assert "  WRONG: the same bits: MemoryError: no more" in text
    assert "  WRONG: speed: MemoryError: no more" in text


def test_models_are_left_out_for_lack_of_time(
    report: Callable[..., str], compiled: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(doctor, "SECONDS", -1.0)
    assert "no time was left for 6 more" in report()
