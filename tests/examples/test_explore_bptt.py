"""examples/explore_bptt.py writes a page for each cell."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "explore_bptt.py"


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_it_writes_a_page(cell: str, tmp_path: Path) -> None:
    page = tmp_path / "bptt.html"
    main = runpy.run_path(str(EXAMPLE))["main"]
    main(["--cell", cell, "--steps", "4", "--train", "2", "--out", str(page)])
    text = page.read_text(encoding="utf-8")
    assert f"{cell.upper()}, recall after 4 steps" in text
    assert "recurrence.forward0.Wr" in text
