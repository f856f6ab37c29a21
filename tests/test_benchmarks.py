"""The benchmarks' arithmetic, on contestants with known times, and that contestants compute the same gradients."""

from __future__ import annotations

import dataclasses
import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import chain, fused, gpu, import_time, memory, mlp, op_by_op
from benchmarks.__main__ import ALL, MODULES
from benchmarks.contestant import Contestant, OwnProcess, Work
from benchmarks.page import README, Target, milliseconds, replace_block, timing_tables
from benchmarks.timing import Plan, Result, contest, largest_difference, ratio
from tests.support.native_library import fastest

PLAN = Plan(total=0.0, turn=0.0, rounds=4, restarts=1, pause=0.0, patience=0.0)
TINY = {"T": 4, "B": 2, "I": 3, "H": 5}
calls: list[str] = []


class Clock:
    """A clock that only contestants advance."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def fake(name: str, seconds: float = 0.0, gradient: float = 1.0, clock: Clock | None = None, **size: int) -> Work:
    def run() -> float:
        calls.append(name)
        if clock is not None:
            clock.now += seconds
        return gradient

    return Work(run, lambda result: {"g": np.array([result, 2.0])})


def broken(**size: int) -> Work:
    raise MemoryError("too large")


def vanishing(**size: int) -> Work:
    sys.exit(3)


def contestant(name: str, package: str = "numpy", **options: Any) -> Contestant:
    return Contestant(name, functools.partial(fake, name, **options), package)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("benchmarks.contestant.time.perf_counter", clock)
    monkeypatch.setattr("benchmarks.quiet_machine.idle_share", lambda: 1.0)
    monkeypatch.setattr("benchmarks.timing.time.sleep", lambda seconds: None)  # between turns: no threads rest here
    calls.clear()
    return clock


def test_ratios_come_out_as_the_contestants_were_made(clock: Clock) -> None:
    entrants = [contestant("ours", seconds=0.25, clock=clock), contestant("theirs", seconds=1.0, clock=clock)]
    ((ours, theirs),) = contest(entrants, [{"T": 1}], PLAN, one_process=True)
    assert ours.quartiles == (0.25, 0.25, 0.25)
    assert ratio(theirs, ours) == (4.0, 4.0, 4.0)


def test_a_ratio_is_formed_within_each_round() -> None:
    # A machine that slows down tenfold in the middle of the run does not change the ratio.
    ours = Result("ours", [[1.0], [1.0], [10.0], [10.0], [10.0]])
    theirs = Result("theirs", [[2.0], [2.0], [20.0], [20.0], [20.0]])
    assert ratio(theirs, ours) == (2.0, 2.0, 2.0)


def test_contestants_take_turns(clock: Clock) -> None:
    entrants = [contestant(name, seconds=1.0, clock=clock) for name in "ABC"]
    contest(entrants, [{"T": 1}], PLAN, one_process=True)
    # Preparing runs each twice; a turn here is one untimed and one timed call.
    assert "".join(calls) == "AABBCC" + 4 * "AABBCC"


def test_a_restart_prepares_every_contestant_again(clock: Clock) -> None:
    entrants = [contestant(name, seconds=1.0, clock=clock) for name in "AB"]
    (results,) = contest(entrants, [{"T": 1}], dataclasses.replace(PLAN, restarts=2), one_process=True)
    assert "".join(calls) == 2 * ("AABB" + 2 * "AABB")
    assert [len(s.rounds) for s in results] == [4, 4]


def test_a_contestant_that_fails_in_the_middle_gets_no_time_and_stops_no_other(clock: Clock) -> None:
    left = iter([1.0] * 5)  # the sixth call raises StopIteration

    def tiring(**size: int) -> Work:
        return Work(lambda: next(left), lambda result: {"g": np.array([result, 2.0])})

    entrants = [contestant("ours"), Contestant("tiring", tiring, "numpy"), contestant("theirs")]
    (results,) = contest(entrants, [{"T": 1}], PLAN, one_process=True)
    assert [len(s.rounds) for s in results] == [4, 0, 4]
    assert results[1].remark == "failed: StopIteration"


def test_the_fastest_gets_the_whole_time(clock: Clock) -> None:
    entrants = [contestant("fast", seconds=0.5, clock=clock), contestant("slow", seconds=2.0, clock=clock)]
    plan = dataclasses.replace(PLAN, total=10.0, limit=1e9)
    ((fast, slow),) = contest(entrants, [{"T": 1}], plan, one_process=True)
    assert len(fast.rounds) == len(slow.rounds) == 20


def test_a_contestant_without_a_time_has_a_remark(clock: Clock) -> None:
    entrants = [
        contestant("ours", seconds=1.0, clock=clock),
        contestant("absent", package="no_such_package_anywhere"),
        Contestant("broken", broken, "numpy"),
        contestant("wrong", gradient=1.1),
        contestant("not a number", gradient=float("nan")),
        contestant("slow", seconds=50.0, clock=clock),
    ]
    (results,) = contest(entrants, [TINY], PLAN, one_process=True)
    assert [s.name for s in results] == [e.name for e in entrants]
    assert [bool(s.rounds) for s in results] == [True] + 5 * [False]
    remarks = [s.remark for s in results]
    assert remarks[:3] == [None, "not installed", "failed: too large"]
    assert remarks[3] == "computes other gradients (off by 5.0e-02)"
    assert remarks[4] == "computes other gradients (off by nan)"
    assert remarks[5] == "left out: more than 60 s"


def test_rounds_beside_other_programs_are_repeated_and_else_counted(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    idle = iter([1.0, 0.2, 0.3, 1.0, *99 * [1.0]])  # the first round ends loud; then one look is loud, and all is quiet
    monkeypatch.setattr("benchmarks.quiet_machine.idle_share", lambda: next(idle))
    ((ours,),) = contest([contestant("ours")], [{"T": 1}], dataclasses.replace(PLAN, patience=60.0), one_process=True)
    assert len(ours.rounds) == 4
    assert ours.disturbed == 0
    assert len(calls) == 2 + 2 * 5

    monkeypatch.setattr("benchmarks.quiet_machine.idle_share", lambda: 0.0)
    ((ours,),) = contest([contestant("ours")], [{"T": 1}], PLAN, one_process=True)
    assert ours.disturbed == len(ours.rounds) == 4
    assert not timing_tables([TINY], [[ours]], []).quiet


def test_contestants_run_in_their_own_processes_which_may_end() -> None:
    entrants = [
        contestant("ours"),
        contestant("absent", package="no_such_package_anywhere"),
        Contestant("broken", broken, "numpy"),
        Contestant("vanishing", vanishing, "numpy"),
    ]
    calls.clear()
    (results,) = contest(entrants, [TINY], PLAN)
    assert not calls
    assert len(results[0].rounds) == 4
    assert [s.remark for s in results] == [
        None,
        "not installed",
        "failed: MemoryError: too large",
        "failed: its process ended",
    ]


def test_a_process_that_does_not_answer_is_stopped() -> None:
    runner = OwnProcess(contestant("ours"), patience=0.0)
    with pytest.raises(TimeoutError, match="no answer within 0 s"):
        runner.prepare(TINY)


PAIRS = [
    *(
        (module.BENCHMARK.name, module.ours, theirs, package)
        for module in (op_by_op, mlp, chain)
        for theirs, package in ((module.torch_eager, "torch"), (module.autograd, "autograd"), (module.mygrad, "mygrad"))
    ),
    *(
        (cell, functools.partial(fused.ours, cell, "fused"), functools.partial(theirs, cell), package)
        for cell in ("RNN", "LSTM", "GRU")
        for theirs, package in ((fused.torch_module, "torch"), (fused.jax_scan, "jax"))
    ),
]


SMALL = {"mlp": {"B": 2, "H": 4}, "chain": {"n": 5}}


@pytest.mark.parametrize(("what", "ours", "theirs", "package"), PAIRS, ids=[f"{p[0]}-{p[3]}" for p in PAIRS])
@pytest.mark.filterwarnings("ignore")  # of other libraries at import
def test_contestants_compute_the_same(
    what: str, ours: Callable[..., Work], theirs: Callable[..., Work], package: str
) -> None:
    pytest.importorskip(package)
    gradients = []
    for make in (ours, theirs):
        work = make(**SMALL.get(what, TINY))
        work.run()
        gradients.append(work.gradients(work.run()))  # the second run: gradients must not pile up
    layers = [f"{name}{k}" for k in range(mlp.LAYERS) for name in "Wb"]
    names = {**fused.WANTED, "op_by_op": op_by_op.WANTED, "mlp": layers, "chain": ["x"]}[what]
    assert list(gradients[0]) == ["loss", *names]
    assert all(np.any(g) for g in gradients[0].values())
    assert all(np.asarray(g).dtype == np.float32 for g in (*gradients[0].values(), *gradients[1].values()))
    assert largest_difference(gradients[1], gradients[0]) < 2e-5


def test_differences() -> None:
    a = {"g": np.array([1.0, -4.0])}
    assert largest_difference({"g": np.array([1.0, -3.0])}, a) == 0.25
    assert largest_difference({"g": np.zeros(3)}, a) == largest_difference({"h": a["g"]}, a) == np.inf
    assert np.isnan(largest_difference({"g": np.array([1.0, np.nan])}, a))


def test_tables_and_targets() -> None:
    results = [Result("ours", [[1e-3]]), Result("theirs", [[1.5e-3]]), Result("others", [[0.5e-3]])]
    size = (4, 2, 3, 5)
    page, quiet = timing_tables([TINY], [results], [Target("theirs", size, 1.3), Target("others", size, 0.9)])
    assert quiet
    assert "1.50 [1.50, 1.50] (≥ 1.3)" in page
    assert "**0.50** [0.50, 0.50] (≥ 0.9)" in page
    assert "Targets: 1 met, 1 **missed**" in page
    assert [milliseconds(s) for s in (0.0, 1.234e-5, 1.234e-4, 1.234e-3, 12.34e-3, 0.1234, 1.234)] == [
        "0",
        "0.0123",
        "0.123",
        "1.23",
        "12.3",
        "123",
        "1234",
    ]


def test_a_contestant_without_a_time_is_replaced_by_the_next_as_ours() -> None:
    rows = [
        [Result("native", remark="no compiler"), Result("numpy", [[k * 2e-3]]), Result("torch", [[k * 5e-3]])]
        for k in (1, 2)
    ]
    sizes = [{"T": 1, "B": 1}, {"T": 2, "B": 1}]
    page, _ = timing_tables(sizes, rows, [Target("torch", (2, 1), 2.0)], each="frame", count=10)
    assert "Median of a frame, ms" in page
    assert "| 1, 1 |      – | 0.200 | 0.500 |" in page
    assert "(target); ours is numpy:" in page
    assert "| 2, 1 | 2.50 [2.50, 2.50] (≥ 2) |" in page
    assert "- native: no compiler (at 1, 1; 2, 1)" in page
    assert "all 1 met" in page


def test_geometric_means_are_those_of_their_groups() -> None:
    tuned, other = fused.SIZES[0], fused.OTHER_SIZES[0]
    names = (fused.NATIVE, fused.NUMPY, fused.TORCH, fused.JAX)
    rows = [
        (cell, size, [Result(name, [[seconds]]) for name, seconds in zip(names, times, strict=True)])
        for cell, size, times in (
            ("RNN", tuned, (1.0, 2.0, 3.0, 1.0)),
            ("LSTM", tuned, (2.0, 4.0, 4.0, 2.0)),
            ("LSTM", other, (1.0, 8.0, 4.0, 1.0)),
        )
    ]
    text = "\n\n".join(fused.means(rows, quiet=True))
    cells = {
        line.split("|")[1].strip(): [c.strip() for c in line.split("|")[2:-1]]
        for line in text.splitlines()
        if "|" in line
    }
    assert cells["LSTM"] == ["4.00 over 2 (≥ 1.5)", "2.83 over 2", "1.00 over 2"]
    assert cells["GRU"] == ["–"] * 3
    assert cells["all"] == ["3.17 over 3", "2.88 over 3 (≥ 2.2)", "**1.00** over 3 (≥ 1.5)"]
    assert cells["all, sizes tuned at"][1] == "2.45 over 2"
    assert cells["all, other sizes"][1] == "4.00 over 1"
    assert "Targets: 2 met, 1 **missed**" in text
    assert "JAX scan, jitted, all: 1.00, wanted 1.5" in text


def test_an_implementation_that_is_missing_gets_a_remark() -> None:
    entrants = [
        Contestant("minigrad native", functools.partial(fused.ours, "RNN", "none such"), "minigrad_rnn"),
        Contestant("minigrad NumPy sequence", functools.partial(fused.ours, "RNN", "fused"), "minigrad_rnn"),
    ]
    (results,) = contest(entrants, [TINY], PLAN, one_process=True)
    assert [bool(result.rounds) for result in results] == [False, True]
    assert "none such" in (results[0].remark or "")
    page, _ = timing_tables([TINY], [results], [])
    assert "ours is minigrad NumPy sequence" in page


def test_the_other_sizes_are_unlike_those_that_are_tuned_at() -> None:
    others = fused.OTHER_SIZES
    assert len(others) == len(fused.SIZES) == 6
    assert all(size["I"] != size["H"] for size in others)
    assert {size["B"] for size in others} >= {1, 3, 8, 20}
    assert all(size["H"] % 16 for size in others)
    assert not {size["H"] for size in others} & {size["H"] for size in fused.SIZES}


def test_every_benchmark_is_listed_once() -> None:
    texts = {path.stem: path.read_text(encoding="utf-8") for path in README.parent.glob("*.py")}
    files = sorted(stem for stem, text in texts.items() if "\nBENCHMARK = " in text)
    assert sorted(module.__name__.removeprefix("benchmarks.") for module in MODULES) == files
    assert len(ALL) == len(MODULES)


def test_every_benchmark_has_its_block_in_the_page() -> None:
    page = README.read_text(encoding="utf-8")
    for name in ALL:
        assert "new text" in replace_block(page, name, "new text")
        assert f"`{name}`" in page


def test_import_time_is_a_time_or_an_error() -> None:
    assert import_time.import_seconds("sys") >= 0
    with pytest.raises(RuntimeError, match="no_such_module"):
        import_time.import_seconds("no_such_module")


def test_peak_counts_arrays() -> None:
    megabyte = 1 << 20
    assert megabyte <= memory.peak(lambda: np.ones(megabyte, np.uint8).sum()) < 1.2 * megabyte


def test_a_truncated_run_needs_no_more_memory_for_a_longer_sequence() -> None:
    ways = memory.implementations("RNN")
    short, long = (np.zeros((T, memory.BATCH, memory.INPUT), np.float32) for T in (64, 512))
    for way, work in ways.items():
        before, after = (memory.peak(functools.partial(work, xs)) for xs in (short, long))
        assert after < 1.1 * before if "truncated" in way else 2.5 * before < after


def test_the_gpus_benchmark_runs_on_a_host() -> None:
    """The same tables from the same comparisons, with another clock."""
    pytest.importorskip("torch")
    arguments = (gpu.QUICK_GRID, "numpy", "cpu", gpu.wall_clock, (1e-4, 2))
    for cell in gpu.CELLS:
        (row,) = (line for line in gpu.part(cell, *arguments).splitlines() if line.startswith("| 20, 2, 16, 16"))
        _, _, implementation, *figures, apart, _ = (cell.strip() for cell in row.split("|"))
        assert implementation == fastest()
        assert all(float(figure) > 0 for figure in figures)
        assert len(figures) == 4
        assert float(apart) < 1e-4
    text = gpu.part(gpu.STEP, *arguments)
    assert "A training step of the character model (LSTM, V = 11, H = 16, T = 10, B = 2)" in text


@pytest.mark.parametrize(("impl", "column"), [("auto", -2), ("graph", -3)])
def test_a_contestant_out_of_gpu_memory_gets_no_time_and_stops_no_other(
    monkeypatch: pytest.MonkeyPatch, impl: str, column: int
) -> None:
    pytest.importorskip("torch")
    original = gpu.ours

    def too_large(cell: str, kind: str, *rest: Any) -> Any:
        if kind == impl:
            raise MemoryError("of | 80 GiB")
        return original(cell, kind, *rest)

    monkeypatch.setattr(gpu, "ours", too_large)
    text = gpu.part("RNN", gpu.QUICK_GRID, "numpy", "cpu", gpu.wall_clock, (1e-4, 2))
    assert text.splitlines()[-1].split("|")[column].strip() == "MemoryError: of / 80 GiB"


def test_gradients_are_compared_in_ieee_arithmetic(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch's own default is TF32, which is as far from ours as a mistake would be."""
    torch = pytest.importorskip("torch")
    original, seen = gpu.theirs, []

    def watched(*args: Any) -> Any:
        run, gradients = original(*args)

        def compared() -> Any:
            seen.append((torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32))
            return gradients()

        return run, compared

    monkeypatch.setattr(gpu, "theirs", watched)
    for _ in range(2):  # the row before ends in TF32
        gpu.one_size("RNN", gpu.QUICK_GRID[0], "numpy", "cpu", gpu.wall_clock, (1e-4, 1))
    assert seen == [(False, False)] * 2
