"""The benchmarks' method, on contestants whose times are known; and that contestants compute the same. No real time
is asserted."""

from __future__ import annotations

import dataclasses
import functools
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import chain, fused, gpu, import_time, machine, memory, mlp, op_by_op
from benchmarks.__main__ import ALL, main
from benchmarks.page import README, Target, block, milliseconds, replaced, table, timing_tables
from benchmarks.timing import Contestant, Plan, Standing, Work, Worker, contest, largest_difference, ratio
from minigrad import backend
from minigrad.backend import BackendError, get_backend

PLAN = Plan(total=0.0, turn=0.0, rounds=4, sittings=1, pause=0.0, patience=0.0)
TINY = {"T": 4, "B": 2, "I": 3, "H": 5}
calls: list[str] = []


class Clock:
    """A clock that only contestants move."""

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
    monkeypatch.setattr("benchmarks.timing.time.perf_counter", clock)
    monkeypatch.setattr("benchmarks.timing.idle_share", lambda: 1.0)
    calls.clear()
    return clock


def test_ratios_come_out_as_the_contestants_were_made(clock: Clock) -> None:
    entrants = [contestant("ours", seconds=0.25, clock=clock), contestant("theirs", seconds=1.0, clock=clock)]
    ((ours, theirs),) = contest(entrants, [{"T": 1}], PLAN, one_process=True)
    assert ours.quartiles == (0.25, 0.25, 0.25)
    assert ratio(theirs, ours) == (4.0, 4.0, 4.0)


def test_a_ratio_is_formed_within_each_round() -> None:
    # A machine that slows down tenfold in the middle of the run does not change the ratio.
    ours = Standing("ours", [[1.0], [1.0], [10.0], [10.0], [10.0]])
    theirs = Standing("theirs", [[2.0], [2.0], [20.0], [20.0], [20.0]])
    assert ratio(theirs, ours) == (2.0, 2.0, 2.0)


def test_contestants_take_turns(clock: Clock) -> None:
    entrants = [contestant(name, seconds=1.0, clock=clock) for name in "ABC"]
    contest(entrants, [{"T": 1}], PLAN, one_process=True)
    # Preparing runs each twice; a turn here is one untimed and one timed call.
    assert "".join(calls) == "AABBCC" + 4 * "AABBCC"


def test_sittings_seat_everyone_afresh(clock: Clock) -> None:
    entrants = [contestant(name, seconds=1.0, clock=clock) for name in "AB"]
    (standings,) = contest(entrants, [{"T": 1}], dataclasses.replace(PLAN, sittings=2), one_process=True)
    assert "".join(calls) == 2 * ("AABB" + 2 * "AABB")
    assert [len(s.rounds) for s in standings] == [4, 4]


def test_who_fails_in_the_middle_has_no_time_and_stops_nobody(clock: Clock) -> None:
    left = iter([1.0] * 5)  # the sixth call raises StopIteration

    def tiring(**size: int) -> Work:
        return Work(lambda: next(left), lambda result: {"g": np.array([result, 2.0])})

    entrants = [contestant("ours"), Contestant("tiring", tiring, "numpy"), contestant("theirs")]
    (standings,) = contest(entrants, [{"T": 1}], PLAN, one_process=True)
    assert [len(s.rounds) for s in standings] == [4, 0, 4]
    assert standings[1].remark == "failed: StopIteration"


def test_the_fastest_gets_the_whole_time(clock: Clock) -> None:
    entrants = [contestant("fast", seconds=0.5, clock=clock), contestant("slow", seconds=2.0, clock=clock)]
    plan = dataclasses.replace(PLAN, total=10.0, limit=1e9)
    ((fast, slow),) = contest(entrants, [{"T": 1}], plan, one_process=True)
    assert len(fast.rounds) == len(slow.rounds) == 20


def test_nobody_is_dropped(clock: Clock) -> None:
    entrants = [
        contestant("ours", seconds=1.0, clock=clock),
        contestant("absent", package="no_such_package_anywhere"),
        Contestant("broken", broken, "numpy"),
        contestant("wrong", gradient=1.1),
        contestant("not a number", gradient=float("nan")),
        contestant("slow", seconds=50.0, clock=clock),
    ]
    (standings,) = contest(entrants, [TINY], PLAN, one_process=True)
    assert [s.name for s in standings] == [e.name for e in entrants]
    assert [bool(s.rounds) for s in standings] == [True] + 5 * [False]
    remarks = [s.remark for s in standings]
    assert remarks[:3] == [None, "not installed", "failed: too large"]
    assert remarks[3] == "computes other gradients (off by 5.0e-02)"
    assert remarks[4] == "computes other gradients (off by nan)"
    assert remarks[5] == "left out: more than 60 s"
    page = timing_tables([TINY], [standings], []).text
    for standing in standings[1:]:
        assert f"- {standing.name}: {standing.remark} (at 4, 2, 3, 5)" in page


def test_rounds_beside_other_programs_are_repeated_and_else_counted(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    idle = iter([1.0, 0.2, 0.3, 1.0, *99 * [1.0]])  # the first round ends loud; then one look is loud, and all is quiet
    monkeypatch.setattr("benchmarks.timing.idle_share", lambda: next(idle))
    ((ours,),) = contest([contestant("ours")], [{"T": 1}], dataclasses.replace(PLAN, patience=60.0), one_process=True)
    assert len(ours.rounds) == 4
    assert ours.disturbed == 0
    assert len(calls) == 2 + 2 * 5

    monkeypatch.setattr("benchmarks.timing.idle_share", lambda: 0.0)
    ((ours,),) = contest([contestant("ours")], [{"T": 1}], PLAN, one_process=True)
    assert ours.disturbed == len(ours.rounds) == 4
    tables = timing_tables([TINY], [[ours]], [])
    assert "Other programs were at work beside 4 of 4 rounds. Too many to judge by" in tables.text
    assert not tables.quiet


def test_workers_work_in_their_own_processes_and_may_die() -> None:
    entrants = [
        contestant("ours"),
        contestant("absent", package="no_such_package_anywhere"),
        Contestant("broken", broken, "numpy"),
        Contestant("vanishing", vanishing, "numpy"),
    ]
    calls.clear()
    (standings,) = contest(entrants, [TINY], PLAN)
    assert not calls
    assert len(standings[0].rounds) == 4
    assert [s.remark for s in standings] == [
        None,
        "not installed",
        "failed: MemoryError: too large",
        "failed: its process ended",
    ]


def test_a_worker_that_does_not_answer_is_stopped() -> None:
    worker = Worker(contestant("ours"), patience=0.0)
    with pytest.raises(TimeoutError, match="no answer within 0 s"):
        worker.prepare(TINY)


PAIRS = [
    *(
        (module.BENCHMARK.name, module.ours, theirs, package)
        for module in (op_by_op, mlp, chain)
        for theirs, package in ((module.torch_eager, "torch"), (module.autograd, "autograd"), (module.mygrad, "mygrad"))
    ),
    *(
        (cell, functools.partial(fused.ours, cell), functools.partial(theirs, cell), package)
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
    found = []
    for make in (ours, theirs):
        work = make(**SMALL.get(what, TINY))
        work.run()
        found.append(work.gradients(work.run()))  # the second run: gradients must not pile up
    layers = [f"{name}{k}" for k in range(mlp.LAYERS) for name in "Wb"]
    wanted = {**fused.WANTED, "op_by_op": op_by_op.WANTED, "mlp": layers, "chain": ["x"]}[what]
    assert list(found[0]) == ["loss", *wanted]
    assert all(np.any(g) for g in found[0].values())
    assert all(np.asarray(g).dtype == np.float32 for g in (*found[0].values(), *found[1].values()))
    assert largest_difference(found[1], found[0]) < 2e-5


def test_differences() -> None:
    a = {"g": np.array([1.0, -4.0])}
    assert largest_difference({"g": np.array([1.0, -3.0])}, a) == 0.25
    assert largest_difference({"g": np.zeros(3)}, a) == largest_difference({"h": a["g"]}, a) == np.inf
    assert np.isnan(largest_difference({"g": np.array([1.0, np.nan])}, a))


def test_tables_and_targets() -> None:
    standings = [Standing("ours", [[1e-3]]), Standing("theirs", [[1.5e-3]]), Standing("others", [[0.5e-3]])]
    size = (4, 2, 3, 5)
    page, quiet = timing_tables([TINY], [standings], [Target("theirs", size, 1.3), Target("others", size, 0.9)])
    assert quiet
    assert "| 4, 2, 3, 5 | 1.00 |   1.50 |  0.500 |" in page
    assert "1.50 [1.50, 1.50] (≥ 1.3)" in page
    assert "**0.50** [0.50, 0.50] (≥ 0.9)" in page
    assert "Targets: 1 met, 1 **missed**:\n\n- others at 4, 2, 3, 5: 0.50, wanted 0.9" in page
    assert [milliseconds(s) for s in (1.234e-4, 1.234e-3, 12.34e-3, 0.1234, 1.234)] == [
        "0.123",
        "1.23",
        "12.3",
        "123",
        "1234",
    ]
    assert table(["a", "b"], [["x", "10"]]) == "| a |  b |\n|---|---:|\n| x | 10 |"


def test_the_page_has_a_block_for_every_benchmark() -> None:
    page = README.read_text(encoding="utf-8")
    for name in ALL:
        begin, end = block(name)
        assert replaced(page, name, "text").count(f"{begin}\n\ntext\n\n{end}") == 1
    with pytest.raises(ValueError, match="found 0 blocks 'other'"):
        replaced(page, "other", "text")


def test_the_command_refuses_what_it_does_not_know(capsys: pytest.CaptureFixture[str]) -> None:
    for wrong in (["speed"], ["--quick", "--write"]):
        with pytest.raises(SystemExit):
            main(wrong)
    assert "got speed, want any of op_by_op" in capsys.readouterr().err


def test_the_machine_is_described() -> None:
    said = machine.described(["numpy", "no-such-package"])
    assert f"numpy {np.__version__} (" in said
    assert said.endswith("no-such-package not installed")


def test_import_time_is_a_time_or_an_error() -> None:
    assert import_time.once("sys") >= 0
    with pytest.raises(RuntimeError, match="no_such_module"):
        import_time.once("no_such_module")


def test_peak_counts_arrays() -> None:
    megabyte = 1 << 20
    assert megabyte <= memory.peak(lambda: np.ones(megabyte, np.uint8).sum()) < 1.2 * megabyte


def test_a_truncated_run_needs_no_more_memory_for_a_longer_sequence() -> None:
    ways = memory.implementations("RNN")
    short, long = (np.zeros((T, memory.BATCH, memory.INPUT), np.float32) for T in (32, 128))
    for way, work in ways.items():
        before, after = (memory.peak(functools.partial(work, xs)) for xs in (short, long))
        assert after < 1.1 * before if "truncated" in way else 2.5 * before < after


def test_the_gpus_benchmark_runs_on_a_host() -> None:
    """All but the clock: the same tables, from the same comparisons."""
    pytest.importorskip("torch")
    given = (gpu.QUICK_GRID, "numpy", "cpu", gpu.wall_clock, (1e-4, 2))
    for cell in gpu.CELLS:
        (row,) = (line for line in gpu.part(cell, *given).splitlines() if line.startswith("| 20, 2, 16, 16"))
        _, _, implementation, *figures, apart, _ = (cell.strip() for cell in row.split("|"))
        assert implementation == "fused"
        assert all(float(figure) > 0 for figure in figures)
        assert len(figures) == 4
        assert float(apart) < 1e-4
    text = gpu.part(gpu.STEP, *given)
    assert "A training step of the character model (LSTM, V = 11, H = 16, T = 10, B = 2)" in text


def test_without_a_gpu_nothing_is_measured_or_written(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        get_backend("cupy")
    except BackendError:
        before = gpu.PAGE.read_text(encoding="utf-8")
        assert gpu.main(["--write"]) == 2
        assert "not measured" in capsys.readouterr().err
        assert gpu.PAGE.read_text(encoding="utf-8") == before
    for part in gpu.PARTS:
        begin, end = block(f"--only {part}", "benchmarks.gpu")
        assert begin in gpu.PAGE.read_text(encoding="utf-8")
        assert end in gpu.PAGE.read_text(encoding="utf-8")


def test_what_is_measured_is_written_into_its_own_block(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    torch = pytest.importorskip("torch")
    runtime = SimpleNamespace(runtimeGetVersion=lambda: 13000, driverGetVersion=lambda: 13010)
    device = SimpleNamespace(name="a GPU", multiprocessors=7)
    stand_in = SimpleNamespace(
        xp=SimpleNamespace(cuda=SimpleNamespace(runtime=runtime)), kernels=lambda: SimpleNamespace(device=device)
    )
    page = tmp_path / "gpu.md"
    page.write_text(gpu.PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setitem(backend._by_name, "cupy", stand_in)  # type: ignore[arg-type]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(gpu, "CudaClock", lambda: gpu.wall_clock)
    monkeypatch.setattr(gpu, "PAGE", page)
    monkeypatch.setattr(gpu, "part", lambda name, *rest: f"the figures of {name}")
    before = page.read_text(encoding="utf-8")
    assert gpu.main(["--quick", "--write"]) == 0
    assert page.read_text(encoding="utf-8") == before
    assert gpu.main(["--only", "LSTM", "--write"]) == 0
    written = page.read_text(encoding="utf-8")
    assert written.count("the figures of") == 1
    assert "the figures of LSTM\n\na GPU, 7 multiprocessors. " in written
    assert "CUDA 13000 under a driver for 13010; torch's CUDA" in written
    assert written.count("Not measured") == before.count("Not measured") - 1


@pytest.mark.parametrize(("impl", "column"), [("auto", -2), ("graph", -3)])
def test_who_finds_no_memory_on_the_gpu_has_no_time_and_stops_nobody(
    monkeypatch: pytest.MonkeyPatch, impl: str, column: int
) -> None:
    pytest.importorskip("torch")
    made = gpu.ours

    def too_large(cell: str, kind: str, *rest: Any) -> Any:
        if kind == impl:
            raise MemoryError("of | 80 GiB")
        return made(cell, kind, *rest)

    monkeypatch.setattr(gpu, "ours", too_large)
    text = gpu.part("RNN", gpu.QUICK_GRID, "numpy", "cpu", gpu.wall_clock, (1e-4, 2))
    assert text.splitlines()[-1].split("|")[column].strip() == "MemoryError: of / 80 GiB"


def test_gradients_are_compared_in_ieee_arithmetic(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch's own default is TF32, which is as far from ours as a mistake would be."""
    torch = pytest.importorskip("torch")
    made, seen = gpu.theirs, []

    def watched(*given: Any) -> Any:
        run, gradients = made(*given)

        def compared() -> Any:
            seen.append((torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32))
            return gradients()

        return run, compared

    monkeypatch.setattr(gpu, "theirs", watched)
    for _ in range(2):  # the row before ends in TF32
        gpu.one_size("RNN", gpu.QUICK_GRID[0], "numpy", "cpu", gpu.wall_clock, (1e-4, 1))
    assert seen == [(False, False)] * 2
