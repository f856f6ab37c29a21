"""Benchmarks of sampling, streams, training steps, auto's choice, lengths and peaks: same results, right tables."""

from __future__ import annotations

import functools
import itertools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import auto_choice, before, character_model, lengths, sequence_memory, short_calls, training_step
from benchmarks.contestant import Work
from benchmarks.page import Options
from benchmarks.timing import Plan, Result, largest_difference

PLAN = Plan(total=0.0, turn=0.0, rounds=2, restarts=1, pause=0.0, patience=0.0)
STEP = {"T": 5, "B": 3, "H": 6}
FULL = ["embedding", "Wc", "Wr", "b", "Wo", "bo"]

PAIRS = [
    ("sampling", short_calls.our_sampling, functools.partial(short_calls.torch_sampling, False), "torch"),
    ("sampling, cell", short_calls.our_sampling, functools.partial(short_calls.torch_sampling, True), "torch"),
    ("stream", short_calls.our_stream, functools.partial(short_calls.torch_stream, False), "torch"),
    ("stream, cell", short_calls.our_stream, functools.partial(short_calls.torch_stream, True), "torch"),
    ("stream", short_calls.our_stream, short_calls.onnx_stream, "onnxruntime"),
    (
        "step",
        functools.partial(training_step.ours, "auto"),
        functools.partial(training_step.torch_step, False),
        "torch",
    ),
    (
        "step, NumPy",
        functools.partial(training_step.ours, "fused"),
        functools.partial(training_step.torch_step, True),
        "torch",
    ),
]


@pytest.mark.parametrize(("what", "ours", "theirs", "package"), PAIRS, ids=[f"{p[0]}-{p[3]}" for p in PAIRS])
@pytest.mark.filterwarnings("ignore")  # of other libraries at import
def test_contestants_compute_the_same(
    what: str, ours: Callable[..., Work], theirs: Callable[..., Work], package: str
) -> None:
    pytest.importorskip(package)
    results = []
    for make in (ours, theirs):
        work = make(**(STEP if "step" in what else {"H": 12}))
        work.run()
        results.append(work.gradients(work.run()))
    names = ["loss", *FULL] if "step" in what else ["ids" if "sampling" in what else "outputs", "h", "c"]
    assert list(results[0]) == list(results[1]) == names
    assert all(np.any(result) for result in results[0].values())
    # The second training step has Adam's first step behind it, in which a rounding error may count as a gradient.
    assert largest_difference(results[1], results[0]) < (1e-3 if "step" in what else 2e-5)


def test_a_training_step_reads_on_where_the_last_one_stopped() -> None:
    texts = training_step.chunks(5, 3)
    assert len(texts) == training_step.CHUNKS
    for (inputs, targets), (after, _) in itertools.pairwise(texts):
        assert inputs.shape == (5, 3)
        np.testing.assert_array_equal(targets[:-1], inputs[1:])
        np.testing.assert_array_equal(targets[-1], after[0])
    work = training_step.ours("fused", T=5, B=3, H=32)
    losses = [float(work.run()) for _ in range(4 * training_step.CHUNKS)]
    assert losses[-1] < 0.9 * losses[0]


def test_samples_and_streams_begin_anew_at_each_call() -> None:
    for make in (short_calls.our_sampling, short_calls.our_stream):
        work = make(8)
        first, second = (work.gradients(work.run()) for _ in range(2))
        assert largest_difference(second, first) == 0.0
    ids = short_calls.our_sampling(8).run()[0]
    assert ids.shape == (short_calls.CHARACTERS,)
    assert len(short_calls.our_stream(8).run()[0]) == short_calls.FRAMES


def test_an_unknown_implementation_of_the_character_model_is_refused() -> None:
    with pytest.raises(ValueError, match="none such"):
        character_model.ours("none such", 5, 3, 4)
    model, _ = character_model.ours("graph", 5, 3, 4)
    model(np.zeros((2, 1), np.int64))
    assert model.recurrence.implementation == "graph"


# The choice


def timed(*seconds: float | None) -> list[Result]:
    return [
        Result(name, [] if s is None else [[s], [s], [s]], None if s is not None else "failed")
        for name, s in zip(auto_choice.IMPLEMENTATIONS, seconds, strict=True)
    ]


def test_the_choice_is_compared_with_the_best_by_name() -> None:
    assert auto_choice.judged(timed(1.5, 3.0, 1.0, None)) == (1.5, 1.5, "fused")
    assert auto_choice.judged(timed(1.0, 2.0, 4.0, 1.0)) == (1.0, 1.0, "native")
    assert auto_choice.judged(timed(None, 2.0, 4.0, 1.0)) is None
    assert auto_choice.judged(timed(1.0, None, None, None)) is None


def test_the_table_of_choices() -> None:
    sizes = [{"T": 1, "B": 2, "H": 64}, {"T": 1, "B": 2, "H": 128}, {"T": 8, "B": 2, "H": 64}]
    choices = [auto_choice.Choice(1e-4, 1.01, "graph"), auto_choice.Choice(2e-3, 1.2, "native"), None]
    text = auto_choice.choice_table(sizes, choices)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    assert rows[0] == ["T, B", "H = 64", "H = 128"]
    assert rows[2:] == [["1, 2", "0.100: 1.01 graph", "2.00: **1.20** native"], ["8, 2", "–", "–"]]
    found = [("LSTM, T, B, H = 1, 2, 64", choices[0]), ("LSTM, T, B, H = 1, 2, 128", choices[1])]
    verdict = "\n".join(auto_choice.worst_choice([(where, c) for where, c in found if c is not None]))
    assert "The worst choice is that for LSTM, T, B, H = 1, 2, 128: 1.20 × the time of native." in verdict
    assert "**missed** in 1 of 2 cells:\n- LSTM, T, B, H = 1, 2, 128: 1.20 × native" in verdict
    assert "met in all 1 cells" in auto_choice.worst_choice([("LSTM", auto_choice.Choice(1.0, 1.0, "graph"))])[0]


def test_a_bad_choice_is_measured_again_and_the_second_measurement_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    plans: list[Plan] = []

    def contest(contestants: Any, sizes: Any, plan: Plan, *rest: Any) -> list[list[Result]]:
        plans.append(plan)
        return [timed(1.2 if plan.restarts == 1 else 1.01, 2.0, 1.0, None)]

    monkeypatch.setattr(auto_choice, "contest", contest)
    monkeypatch.setattr(auto_choice, "STEPS", (4,))
    monkeypatch.setattr(auto_choice, "BATCHES", (2,))
    monkeypatch.setattr(auto_choice, "HIDDEN", (16,))
    text, quiet = auto_choice.measure(Options(Plan()))
    assert [plan.restarts for plan in plans] == [1, 5] * 3
    assert plans[1] == Plan()
    assert text.count("1010: 1.01 fused") == 3
    assert "met in all 3 cells" in text
    assert "- native: failed (at 4, 2, 16)" in text
    assert quiet


@pytest.mark.parametrize("cell", ["RNN", "LSTM", "GRU"])
def test_the_implementations_compute_the_same(cell: str) -> None:
    results = []
    for impl in ("auto", "graph", "fused"):
        work = auto_choice.work(cell, impl, 3, 2, 5)
        results.append(work.gradients(work.run()))
    assert all(largest_difference(result, results[0]) < 1e-5 for result in results)
    assert list(results[0]) == ["output", "state0", *(["state1"] if cell == "LSTM" else [])]


# Lengths and peaks


def test_the_cost_of_lengths_is_judged_for_each_implementation() -> None:
    times = (2.2, 2.0, 3.0, 2.0)  # with and without lengths, in C and in NumPy
    results = [
        [Result(str(k), [[s]]) for k, s in enumerate(times)],
        [*(Result(r, remark="none") for r in "ab"), *(Result(r, [[1.0]]) for r in "cd")],
    ]
    sizes = [{"T": 4, "B": 2, "I": 3, "H": 5}, {"T": 6, "B": 2, "I": 3, "H": 5}]
    text, met, missed = lengths.costs("GRU", sizes, results)
    assert "| 2200 | **1.10** [1.10, 1.10] (≤ 1.05) |" in " ".join(text.split())
    assert "| 3000 | **1.50** [1.50, 1.50] (≤ 1.15) |" in " ".join(text.split())
    assert "| 6, 2, 3, 5 | – | – (≤ 1.05) | 1000 | 1.00 [1.00, 1.00] (≤ 1.15) |" in " ".join(text.split())
    assert met == 1
    assert missed == [
        "minigrad native, GRU at 4, 2, 3, 5: 1.10, wanted 1.05",
        "minigrad NumPy sequence, GRU at 4, 2, 3, 5: 1.50, wanted 1.15",
    ]


def test_peaks_count_arrays_and_resident_memory() -> None:
    megabytes = 32 << 20

    def work() -> None:
        np.ones(megabytes, np.uint8).sum()

    assert megabytes <= sequence_memory.traced_peak(work) < 1.01 * megabytes
    resident = sequence_memory.resident_peak(work)
    assert resident is None or 0.9 * megabytes < resident < 1.2 * megabytes


def test_peaks_are_taken_in_a_process_of_its_own() -> None:
    size = {"T": 20, "B": 4, "I": 8, "H": 16}
    peaks = sequence_memory.in_own_process("RNN", "fused", size)
    assert isinstance(peaks, sequence_memory.Peaks)
    assert peaks.traced > 20 * 4 * 16 * 4
    assert "none such" in str(sequence_memory.in_own_process("RNN", "none such", size))


def test_the_table_of_peaks_judges_large_resident_memory_only() -> None:
    sizes = [{"T": k, "B": 2, "I": 3, "H": 5} for k in (1, 2, 3)]
    M = sequence_memory.MIB
    Peaks = sequence_memory.Peaks
    peaks: list[list[sequence_memory.Peaks | str]] = [
        [Peaks(M, 3 * M), Peaks(2 * M, M)],
        [Peaks(9 * M, 9 * M), Peaks(8 * M, 8 * M)],
        ["failed", Peaks(8 * M, None)],
    ]
    _, text, remarks, counts, missed = sequence_memory.peaks_table("RNN", sizes, peaks)
    rows = [" ".join(line.split()) for line in text.splitlines()]
    assert rows[2] == "| 1, 2, 3, 5 | 1.00 | 2.00 | 0.50 | 3.00 | 1.00 | – |"
    assert rows[3] == "| 2, 2, 3, 5 | 9.00 | 8.00 | **1.12** | 9.00 | 8.00 | **1.12** |"
    assert rows[4] == "| 3, 2, 3, 5 | – | 8.00 | – | – | – | – |"
    assert remarks == "- minigrad native: failed"
    assert counts == "Targets: 1 met, 2 **missed**:"
    assert missed.count("\n") == 1


def test_another_checkout_can_run_every_work() -> None:
    """`benchmarks.before` times this code with older packages, which know no implementation but their own."""
    for kind, make, sizes in before.WORKS["short_calls"] + before.WORKS["training_step"]:
        assert kind.endswith("H =")
        work = make(**{name: min(value, 6) for name, value in sizes[0].items()})
        assert work.gradients(work.run())
    assert len(before.WORKS["fused"]) == 3
