"""`tape_table`: expected texts, the contents of the rows, and equal time steps that are shown once."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.debug.graph import kept_arrays
from minigrad.debug.repeated_steps import parts_of
from minigrad_rnn import LSTM, RNN


def leaf(*shape: int) -> mg.Tensor:
    return mg.tensor(np.ones(shape), requires_grad=True)


def test_the_tape_is_a_module_and_its_table_a_function() -> None:
    assert callable(mg.tape_table)
    assert sys.modules["minigrad.engine.tape"].Node is type(mg.exp(leaf(1)).node)


def test_a_small_tape() -> None:
    W, b, x = leaf(2, 3), leaf(2), mg.tensor(np.ones((4, 3)))
    loss = mg.mean(mg.tanh(x @ W.T + b))
    assert repr(mg.tape_table(loss, names={"W": W, "b": b})) == (
        "The tape of 'mean': 2 leaves, 5 operations\n"
        "#  t  operation  output          bytes  saved for the rule  bytes  inputs\n"
        "1     W          (2, 3) float64     48                          0\n"
        "2     b          (2,) float64       16                          0\n"
        "3     transpose  (3, 2) float64     48                          0  1\n"
        "4     matmul     (4, 2) float64     64  (4, 3), (3, 2)        144  const, 3\n"
        "5     add        (4, 2) float64     64                          0  4, 2\n"
        "6     tanh       (4, 2) float64     64  (4, 2), (4, 2)        128  5\n"
        "7     mean       () float64          8                          0  6\n"
        "saved: 272 bytes, 272 of them distinct memory"
    )


def rnn_loss(impl: str, T: int, H: int = 3, **options: Any) -> tuple[RNN, mg.Tensor]:
    rnn = RNN(2, H, impl=impl, dtype="float64", **options)
    hs, _ = rnn(np.ones((T, 1, 2)))
    return rnn, hs.sum()


def test_steps_in_time_are_shown_once() -> None:
    rnn, loss = rnn_loss("graph", 20)
    text = repr(mg.tape_table(loss, rnn))
    assert text == (
        "The tape of 'sum': 3 leaves, 42 operations\n"
        " #  t   operation    output              bytes  saved for the rule              bytes  inputs\n"
        " 1      forward0.Wc  (3, 2) float64         48                                      0\n"
        " 2      forward0.Wr  (3, 3) float64         72                                      0\n"
        " 3      forward0.b   (3,) float64           24                                      0\n"
        "  × 20 for t = 0 … 19, #4–43; the first is shown:\n"
        " 4  0…  linear_sum   (1, 3) float64         24  (1, 2), (3, 2), (1, 3), (3, 3)    160  const, 1, 5@t−1, 2, 3\n"
        " 5  0…  tanh         (1, 3) float64         24  (1, 3), (1, 3)                     48  4\n"
        "  ───\n"
        "44      stack        (20, 1, 3) float64    480                                      0  5, 7, … 43 (20)\n"
        "45      sum          () float64              8                                      0  44\n"
        "saved: 4,160 bytes, 1,424 of them distinct memory"
    )
    assert len(repr(mg.tape_table(loss, fold=False)).splitlines()) == 45 + 3
    assert len(repr(mg.tape_table(rnn_loss("graph", 3)[1])).splitlines()) == 3 + 3 * 2 + 2 + 3  # short: not folded


def test_time_that_runs_backward_and_two_layers() -> None:
    rnn, loss = rnn_loss("graph", 12, num_layers=2, bidirectional=True)
    text = repr(mg.tape_table(loss, rnn))
    assert text.count("× 12 for t = 0 … 11") == text.count("× 12 for t = 11 … 0") == 2
    assert "@t+1" in text
    assert len(text.splitlines()) < 50


def test_lengths_cut_the_run_where_the_steps_differ() -> None:
    rnn = LSTM(2, 3, impl="graph")
    hs, _ = rnn(np.ones((50, 2, 2), np.float32), lengths=[50, 30])
    text = repr(mg.tape_table(hs.sum(), rnn))
    assert "× 30 for t = 0 … 29" in text
    assert "× 19 for t = 30 … 48" in text


def test_steps_that_differ_are_not_folded() -> None:
    x = leaf(3)
    for t in range(30):
        with mg.time_step(t):
            x = mg.tanh(x) if t % 3 else mg.exp(x) * leaf(3)
    loss = x.sum()
    rows = mg.tape_table(loss).rows
    assert all(part.times <= 2 for part in parts_of(rows))
    assert sum(part.length * part.times for part in parts_of(rows)) == len(rows)
    y = leaf(3)
    for t in range(6):  # each with a leaf of its own
        with mg.time_step(t):
            y = y * leaf(3)
    rows = mg.tape_table(y.sum()).rows
    assert [part.times for part in parts_of(rows)] == [1]


def test_a_look_two_steps_back() -> None:
    h = [leaf(2), leaf(2)]
    for t in range(10):
        with mg.time_step(t):
            h.append(mg.tanh(h[-1] + h[-2]))
    text = repr(mg.tape_table(h[-1].sum(), fold=True))
    assert "× 10 for t = 0 … 9" in text
    assert "4@t−1, 4@t−2" in text


def test_several_outputs_are_one_row() -> None:
    a, b, _ = mg.split(leaf(6), 3)
    rows = mg.tape_table((a * b).sum(), names={"left": a}).rows
    assert [row.op for row in rows] == ["leaf", "split", "multiply", "sum"]
    assert rows[1].shapes == ((2,), (2,), (2,))
    assert rows[1].nbytes == 48
    assert rows[1].name == "left"
    assert (rows[2].inputs, rows[2].slots) == ((2, 2), (0, 1))
    assert "split → left" in repr(mg.tape_table((a * b).sum(), names={"left": a}))


def test_what_a_fused_rule_keeps_is_counted() -> None:
    rnn, loss = rnn_loss("fused", 7)
    row = next(row for row in mg.tape_table(loss, rnn).rows if row.op == "rnn_sequence")
    assert (8, 1 + 2 + 3, 1) in row.saved  # the stacked inputs, which only the rule knows
    assert row.saved_nbytes == sum(8 * int(np.prod(shape)) for shape in row.saved)
    whole = next(n for n in [loss.node.parents[0].parents[0]])
    assert sum(a.nbytes for a in kept_arrays(whole)) == row.saved_nbytes


@pytest.mark.parametrize("impl", ["native"])
def test_what_a_compiled_sequence_keeps_is_counted(impl: str) -> None:
    rnn, loss = rnn_loss(impl, 7)
    row = next(row for row in mg.tape_table(loss, rnn).rows if row.op == "native_sequences")
    assert (7, 1, 3) in row.saved  # the outputs
    panels = [shape for shape in row.saved if len(shape) == 4]
    assert [shape[1] for shape in panels] == [7]  # what the gates keep at each of 7 steps
    assert row.saved_nbytes == sum(8 * int(np.prod(shape)) for shape in row.saved)


def test_a_long_tape_without_time_leaves_out_its_middle() -> None:
    x = leaf(1)
    for _ in range(3000):
        x = mg.tanh(x)
    table = mg.tape_table(x.sum())
    assert len(table) == len(table.rows) == 3002
    assert "  … 2603 lines left out …" in repr(table).splitlines()


def test_what_is_no_tape() -> None:
    with pytest.raises(TypeError, match=r"tape_table: result: the tensor of shape \(\) is not on the tape"):
        mg.tape_table(mg.tensor(1.0))
    with pytest.raises(TypeError, match="tape_table: result: got float, want a Tensor"):
        mg.tape_table(1.0)  # type: ignore[arg-type]
    loss = mg.exp(leaf(2)).sum()
    with pytest.raises(TypeError, match="tape_table: names: got int, want a dict of tensors by name, or a Module"):
        mg.tape_table(loss, names=7)
    loss.backward()
    with pytest.raises(mg.GraphError, match=r"tape_table: .*the graph"):
        mg.tape_table(loss)


def test_names_of_a_module() -> None:
    layer = nn.Linear(2, 3)
    rows = mg.tape_table(layer(np.ones((1, 2), np.float32)).sum(), layer).rows
    assert [row.name for row in rows] == ["weight", "bias", "", ""]
    assert rows[2].shape == (1, 3)
