"""What was predicted of the kernels beside what a run measured: which rows count, and what the page says."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import gpu, gpu_predictions
from benchmarks.gpu_predictions import Measured


def row(B: int, H: int, us: float | None, kind: str = "steps", **others: Any) -> dict[str, Any]:
    default = {"kind": kind, "cell": "lstm", "T": 100, "B": B, "H": H, "directions": 1, "pass": "forward"}
    return {**default, "tile": {"cluster": False}, "launch_us": us, "pass_us": 99.0, **others}


def line(m: Measured, what: str) -> list[str]:
    """Return the number and the judgement of a prediction."""
    (found,) = (text for text in gpu_predictions.lines(m) if text.startswith(what))
    return found[len(what) :].split()[1:]


def test_a_number_is_held_against_its_range() -> None:
    rows = [row(1, 128, 3.0), row(1, 128, 1.25, "tiles"), row(1, 128, 0.1, tile={"cluster": True}), row(1, 64, 0.2)]
    assert line(Measured(rows), "LSTM (1, 128) forward, polling, µs a step") == ["1.25", "held"]
    assert line(Measured(rows), "LSTM (1, 128) forward, one cluster, µs a step") == ["0.10", "NOT", "HELD"]
    assert line(Measured([]), "LSTM (1, 128) forward, polling, µs a step") == ["–"]


def test_two_launches_count_with_the_whole_pass() -> None:
    m = Measured([row(64, 512, None, tile=None, pass_us=8.0, **{"pass": "backward"})])
    assert line(m, "LSTM (64, 512) backward, polling, µs a step") == ["8.00", "held"]


def test_ratios_compare_planned_passes() -> None:
    rows = [row(64, 512, 5.0), row(64, 512, 4.0, "tiles"), row(64, 512, 6.0, T=1000), row(64, 512, 9.0, directions=2)]
    assert line(Measured(rows), "LSTM (64, 512), T = 1000 over T = 100") == ["1.20", "held"]
    assert line(Measured(rows), "LSTM (64, 512), two directions over one") == ["1.80", "held"]


def test_the_planners_first_tile() -> None:
    rows = [row(1, 64, us, "tiles", rank=rank) for rank, us in enumerate((2.0, 1.0))]
    rows += [row(16, 256, us, "tiles", rank=rank) for rank, us in enumerate((1.0, 2.0))]
    rows += [row(64, 512, us, "tiles", rank=rank) for rank, us in enumerate((3.0, 2.0, 4.0))]
    assert line(Measured(rows), "shapes whose fastest tile is the planner's first") == ["0.33", "held"]


@pytest.mark.parametrize(
    ("summary", "number"),
    [("smoke rc 0   9 s\nkernels     rc 0", ["1.00", "held"]), ("smoke rc 1 ", ["0.00", "NOT", "HELD"]), ("", ["–"])],
)
def test_stages_and_red_tests(summary: str, number: list[str]) -> None:
    assert line(Measured([], summary), "smoke and kernels right at first try (75 %)") == number
    report = '<testsuites><testsuite name="pytest" errors="1" failures="2" skipped="3">'
    assert line(Measured([], "", report), "red tests of ops, CuPy's or a tolerance's") == ["3.00", "held"]


def test_cudnns_times_are_read_from_the_page() -> None:
    rows = [[gpu.label({"T": T, "B": B, "I": H, "H": H}), "persistent (8 blocks)", "2.51", ratio, "1.1", "–", "1e-7"]
            for T, B, H, ratio in ((1000, 1, 64, "0.80"), (1000, 16, 256, "4.80"), (100, 64, 512, "–"))]  # fmt: skip
    page = gpu.PAGE.read_text(encoding="utf-8")
    for part in ("RNN", "LSTM"):
        text = gpu.table(gpu.HEAD, rows if part == "LSTM" else [[*rows[2][:3], "9.00", *rows[2][4:]]])
        page = gpu.replace_block(page, f"--only {part}", text, "benchmarks.gpu")
    m = Measured([], page=page)
    assert line(m, "LSTM (1000, 1, 64, 64), cuDNN IEEE over ours") == ["1", "0.80", "NOT", "HELD"]
    assert line(m, "LSTM (1000, 16, 256, 256), cuDNN IEEE over ours") == ["1.5", "4.80", "held"]
    assert line(m, "LSTM (100, 64, 512, 512), cuDNN IEEE over ours") == ["1", "–"]


def test_a_folder_is_read_though_a_file_was_cut(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = json.dumps(row(1, 128, 1.0)) + '\n{"kind": "steps", "failed": "x"}\n{"kind": "st'
    (tmp_path / "probe.jsonl").write_text(text, encoding="utf-8")
    assert gpu_predictions.main([str(tmp_path)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 1 + len(gpu_predictions.PREDICTIONS)
    assert sum("held" in text for text in printed) == 1
    assert max(map(len, printed)) <= 84


def test_the_page_says_what_is_held_against_measurements() -> None:
    """A number of the page's table lies in the range that the run is judged by."""
    page = gpu.PAGE.read_text(encoding="utf-8").partition("## Predicted, not measured")[2].partition("\n## ")[0]
    names = {p.what: (p.low, p.high) for p in gpu_predictions.PREDICTIONS}
    checked = 0
    for B, H, cells in re.findall(r"^\| (\d+), (\d+) +\|(.*)\|$", page, re.MULTILINE):
        for column, (pass_name, how) in {
            0: ("forward", "polling"),
            2: ("backward", "polling"),
            4: ("forward", "one cluster"),
        }.items():
            what = f"LSTM ({B}, {H}) {pass_name}, {how}, µs a step"
            if what in names:
                low, high = names[what]
                assert low <= float(cells.split("|")[column]) <= high, what
                checked += 1
    assert checked == sum(name.endswith("µs a step") for name in names)
