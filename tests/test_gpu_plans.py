"""The plans on the GPU benchmark's page are those that the planner makes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import gpu, gpu_plans
from benchmarks.page import block


def predictions(text: str) -> list[list[str]]:
    """Return the cells of each row but those for measurements."""
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    return [[row[0], row[1], row[3]] for row in rows if not set(row[0]) <= set("-:")]


def test_the_page_shows_what_is_planned() -> None:
    """`python -m benchmarks.gpu_plans H200 --write` renews it."""
    begin, end = block("H200", "benchmarks.gpu_plans")
    page = gpu.PAGE.read_text(encoding="utf-8").partition(begin)[2].partition(end)[0]
    made = predictions(gpu_plans.tables(gpu_plans.DEVICES["H200"]))
    assert len(made) == len(gpu_plans.CELLS) * (1 + len(gpu_plans.SIZES))
    assert predictions(page) == made


def test_the_grid_is_the_benchmarks() -> None:
    assert set(gpu_plans.SIZES) == {(size["B"], size["H"]) for size in gpu.GRID}
    assert set(gpu_plans.CELLS) == set(gpu.CELLS)


def test_a_page_without_a_block_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_plans, "tables", lambda device: "")
    before = gpu.PAGE.read_bytes()
    with pytest.raises(SystemExit):
        gpu_plans.main(["H100", "--write"])
    assert gpu.PAGE.read_bytes() == before
