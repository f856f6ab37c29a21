"""How ledgers, tables and verifications show themselves: in a terminal and, escaped, in a notebook."""

from __future__ import annotations

import html.parser
from typing import Any

import numpy as np
import pytest

import minigrad as mg
import minigrad_rnn as mr
from minigrad.debug.html_table import html_table
from minigrad.debug.norm_bars import ROWS, WIDTH, NormBars

MARKUP = '<img src=x onerror="alert(1)">&'


class Tags(html.parser.HTMLParser):
    """The tags of a page, which must all be closed, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: Any) -> None:
        self.tags.append(tag)
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def powers(base: float, steps: int) -> tuple[mg.Tensor, mg.Tensor]:
    """A loss in which the use of w at step t contributes base^t."""
    w, loss = mg.tensor([1.0], requires_grad=True), mg.tensor([0.0])
    for t in range(steps):
        with mg.time_step(t):
            loss = loss + w * base**t
    return loss.sum(), w


def test_a_ledger_in_a_terminal() -> None:
    loss, w = powers(0.5, 3)
    text = (
        "Ledger of 1 tensor: the norms of what each time step contributes\n"
        "w (1,) float32: the gradient's norm is 1.8e+00; bars: from 0\n"
        "  t  norm\n"
        "  0  1.0e+00  ████████████████████████████████\n"
        "  1  5.0e-01  ████████████████\n"
        "  2  2.5e-01  ████████"
    )
    assert repr(mg.ledger(loss, {"w": w}, retain_graph=True)) == text
    assert str(mg.ledger(loss, {"w": w}, keep="norms", retain_graph=True)) == text
    assert "w (1,)" in repr(mg.lag_ledger([loss], {"w": w}, times=[2]))
    with mg.record_ledger({"w": w}) as book:
        assert repr(book).endswith("  nothing has been contributed")


def test_norms_of_many_sizes_have_logarithmic_bars() -> None:
    loss, w = powers(0.1, 5)
    lines = repr(mg.ledger(loss, w)).splitlines()
    assert lines[1].endswith("bars: logarithmic, from 1e-04 to 1e+00")
    lengths = [line.count("█") for line in lines[3:]]
    assert lengths == [WIDTH, 24, 16, 8, 1]


def test_many_steps_are_thinned_out_and_many_tensors_have_a_line_each() -> None:
    loss, w = powers(0.9, 3 * ROWS)
    book = mg.ledger(loss, w)
    assert "every 3rd step is shown" in repr(book)
    assert f"  {3 * ROWS - 1}  " in repr(book).splitlines()[-1]
    assert len(repr(book).splitlines()) == 3 + ROWS + 1
    net = mr.LSTM(2, 3, 2, rng=0)
    ledger = mg.ledger((net(np.ones((9, 1, 2), np.float32))[0][-1] ** 2).sum(), net, keep="norms")
    lines = repr(ledger).splitlines()
    assert len(lines) == 1 + 2 * len(ledger.names)
    assert lines[2].startswith("  t = 0 …  ")
    assert lines[2].endswith("█  … 8")
    assert Tags(ledger._repr_html_()).tags.count("details") == len(ledger.names)


def test_norms_that_are_not_finite_are_shown_and_have_no_bar() -> None:
    bars = NormBars({0: float("nan"), 1: float("inf"), 2: 1.0, None: 0.0})
    assert bars.lines()[1:] == ["  0      nan", "  1      inf", f"  2  1.0e+00  {'█' * WIDTH}", "  –  0.0e+00"]
    assert bars.line() == "  t = 0 …  ??█   … –"
    Tags(bars.html("title"))
    assert NormBars({0: 0.0}).scale == "all zero"
    assert NormBars({0: float("nan"), 1: float("inf")}).scale == "none is finite"
    assert NormBars({0: float("nan"), 1: 0.0}).scale == "all zero or not finite"


def test_names_with_markup_are_escaped() -> None:
    loss, w = powers(0.5, 3)
    book = mg.ledger(loss, {MARKUP: w}, retain_graph=True)
    lags = mg.lag_ledger([loss], {MARKUP: w}, times=[2])
    table = mg.tape_table(loss, names={MARKUP: w})
    for shown in (book, lags, table):
        page = Tags(shown._repr_html_())
        assert "img" not in page.tags
        assert MARKUP in page.text
        assert MARKUP in repr(shown)
    assert "red?[31m?row (" in repr(mg.ledger(loss, {"red\x1b[31m\nrow": w}, retain_graph=True))
    page = Tags(html_table([MARKUP], [[MARKUP]], MARKUP, MARKUP))
    assert (page.text.count(MARKUP), "img" in page.tags) == (4, False)


def test_a_table_and_a_verification_in_a_notebook() -> None:
    loss, _ = powers(0.5, 60)
    table = mg.tape_table(loss)
    page = Tags(table._repr_html_())
    assert "The tape of 'sum'" in page.text
    assert "× 60 for t = " in page.text
    assert page.tags.count("tr") == len(table._lines()) + 2
    net = mr.RNN(2, 3, rng=0)
    checked = mr.verify_bptt(net, np.ones((3, 2, 2)))
    assert repr(checked) == str(checked)
    page = Tags(checked._repr_html_())
    for word in ("graph–reference", "differences", "forward0.Wr", "passed: want ≤ 1e-10"):
        assert word in page.text
    assert page.tags.count("tr") == len(checked.rows) + 2


@pytest.mark.parametrize("base", [1.0, 0.1, 0.0])
def test_bars_rise_with_the_norm(base: float) -> None:
    bars = NormBars({t: base**t for t in range(20)})
    parts = [bars.part(value) for value in bars.norms.values()]
    assert parts == sorted(parts, reverse=True)
    assert parts[0] == 1.0
    assert all(0 <= part <= 1 for part in parts)
