"""The check of a fresh library in a process of its own, and libraries that must not be loaded into the user's."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from minigrad_rnn.native import shared_library

from .conftest import OUTPUT, Fake, Workplace


def test_instructions_of_another_cpu_are_found_before_the_library_is_loaded(place: Workplace, cc: str) -> None:
    place.source.write_text("int self_check(void) { __builtin_trap(); return 0; }")
    reason = shared_library.refusal("float32")
    assert "the compiled library does not run here (SIG" in reason
    assert place.files() == []


def test_a_library_for_another_machine(fake: Fake, place: Workplace, cc: str, tmp_path: Path) -> None:
    """Its header names an S/390."""
    change = tmp_path / "change.py"
    change.write_text(
        "import sys\nwith open(sys.argv[1], 'r+b') as file:\n    file.seek(18)\n    file.write(bytes([22, 0]))\n"
    )
    python = shlex.quote(sys.executable)
    fake.write(f'{shlex.quote(cc)} "$@" || exit\n{OUTPUT} exec {python} "{change}" "$2"')
    reason = shared_library.refusal("float32")
    assert "the compiled library does not run here (exit status 1): OSError" in reason
    assert place.files() == []


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("int self_check(void) { return 3; }", "the compiled library computes wrong numbers: self_check: 3, want 0"),
        ("int no_check(void) { return 0; }", "AttributeError"),
        (
            "#include <stdlib.h>\nint self_check(void) { exit(0); }",
            "does not run here (exit status 0): it said nothing",
        ),
        ("int self_check(void) { for (volatile int i = 0;; i = 1) {} }", "was stopped: it took longer than 1.5 s"),
        ("int gone(void);\nint self_check(void) { return gone(); }", "undefined symbol"),
    ],
)
def test_a_library_that_fails_its_check(
    place: Workplace, cc: str, monkeypatch: pytest.MonkeyPatch, source: str, reason: str
) -> None:
    if "for (" in source:
        monkeypatch.setattr(shared_library, "TIME_LIMIT", 1.5)
    place.source.write_text(source)
    assert reason in shared_library.refusal("float64")
    assert [name for name in place.files() if not name.endswith(".timeout")] == []


@pytest.mark.parametrize(
    ("executable", "frozen"), [("", False), (None, False), ("/usr/bin/editor", False), (sys.executable, True)]
)
def test_without_an_interpreter_nothing_is_loaded(
    place: Workplace, cc: str, monkeypatch: pytest.MonkeyPatch, executable: str | None, frozen: bool
) -> None:
    """A program that Python is embedded in, or frozen into, would be started a second time."""
    monkeypatch.setattr(sys, "executable", executable)
    monkeypatch.setattr(sys, "frozen", frozen, raising=False)
    assert "the compiled library cannot be checked: sys.executable is " in shared_library.refusal("float32")
    assert place.files() == []
