"""The flags that training examples share: budgets, limits, and errors in one line."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import pytest

import minigrad as mg

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))
from command_line import budget, example_parser, fit, generator, number, resume_command, run, whole


def parser(**default: Any) -> argparse.ArgumentParser:
    made = example_parser("Train something.", "something", **default)
    made.prog = "something.py"
    return made


def test_defaults() -> None:
    arguments = parser(epochs=3).parse_args([])
    assert budget(arguments) == {"epochs": 3}
    assert (arguments.backend, arguments.seed, arguments.out) == ("numpy", 0, "runs/something")
    assert arguments.resume is None


def test_a_budget_replaces_the_default_one() -> None:
    assert budget(parser(epochs=3).parse_args(["--updates", "7"])) == {"updates": 7}
    assert budget(parser(updates=3).parse_args(["--seconds", "0.5"])) == {"seconds": 0.5}
    assert "(2 epochs)" in parser(epochs=2).format_help()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--epochs", "0"], "argument --epochs: got 0, want a number above 0"),
        (["--epochs", "nan"], "argument --epochs: got nan, want a number above 0"),
        (["--updates", "1.5"], "argument --updates: got 1.5, want a whole number of at least 1"),
        (["--seed", "-1"], "argument --seed: got -1, want a whole number of at least 0"),
        (["--epochs", "1", "--seconds", "1"], "not allowed with argument --epochs"),
        (["--backend", "jax"], "invalid choice: 'jax'"),
        (["--epoch", "1"], "unrecognized arguments: --epoch"),
    ],
)
def test_wrong_flags(flags: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        run(lambda arguments: None, parser(epochs=1), flags)
    assert message in capsys.readouterr().err


def test_numbers() -> None:
    assert whole(1)("12") == 12
    assert number(above=0, below=1)("0.5") == 0.5
    for wrong in ("0", "1", "inf", "x"):
        with pytest.raises(argparse.ArgumentTypeError, match=f"got {wrong}, want a number above 0 and below 1"):
            number(above=0, below=1)(wrong)
    with pytest.raises(argparse.ArgumentTypeError, match="got -1, want a number at least 0"):
        number(0)("-1")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ValueError("split: got 1"), 2),
        (OSError("disk"), 2),
        (mg.CheckpointError("file.npz: is none"), 2),
        (ImportError("needs matplotlib: pip install matplotlib"), 2),
        (FloatingPointError("the loss is nan"), 1),
        (MemoryError(), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_what_users_can_mend_is_one_line(error: BaseException, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    def main(arguments: argparse.Namespace) -> None:
        raise error

    assert run(main, parser(epochs=1), []) == code
    printed = capsys.readouterr().err.strip()
    assert "something.py: " in printed
    assert "\n" not in printed
    assert str(error) in printed


class Recorded:
    """Stands for a Trainer."""

    def __init__(self, signal: int | None = None) -> None:
        self.signal, self.calls = signal, list[Any]()

    def resume(self, path: str | None) -> None:
        self.calls.append(("resume", path))

    def fit(self, **budget: Any) -> None:
        self.calls.append(("fit", budget))


@pytest.mark.parametrize(
    ("flags", "calls"),
    [
        ([], [("fit", {"epochs": 1})]),
        (["--resume"], [("resume", None), ("fit", {"epochs": 1})]),
        (["--resume", "a.npz", "--updates", "2"], [("resume", "a.npz"), ("fit", {"updates": 2})]),
    ],
)
def test_fit_resumes_and_trains(flags: list[str], calls: list[Any]) -> None:
    trainer = Recorded()
    fit(trainer, parser(epochs=1).parse_args(flags))
    assert trainer.calls == calls


def test_a_run_that_a_signal_stopped_ends_the_script() -> None:
    with pytest.raises(SystemExit, match="130"):
        run(lambda arguments: fit(Recorded(2), arguments), parser(epochs=1), [])


def test_generators_depend_on_seed_and_purpose() -> None:
    one, two = (parser(epochs=1).parse_args(["--seed", seed]) for seed in "12")
    draws = [generator(*arguments).random() for arguments in ((one,), (one, 1), (two,), (two, 1))]
    assert len(set(draws)) == 4
    assert generator(one, 1).random() == draws[1]


@pytest.mark.parametrize(
    "flags", [[], ["--resume"], ["--resume", "old.npz"], ["--resume=old.npz"], ["--resume", "old.npz", "--seed", "3"]]
)
def test_the_command_that_continues_a_run_has_its_flags(flags: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    given = ["--updates", "7", "--out", "my runs/\u00e9", *flags]
    monkeypatch.setattr(sys, "argv", ["examples/something.py", *given])
    command = resume_command(parser(epochs=1).parse_args(given))
    seed = " --seed 3" if "--seed" in flags else ""
    assert command == f"python examples/something.py --updates 7 --out 'my runs/\u00e9'{seed} --resume"
