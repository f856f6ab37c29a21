"""summary: counts, shapes and bytes that can be checked by hand, and the table as it is printed."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import minigrad as mg
import minigrad_rnn as mr
from minigrad import nn


class Model(nn.Module):
    """A recurrence between two layers, one of which is used twice."""

    def __init__(self) -> None:
        self.table = nn.Embedding(5, 3, rng=0)
        self.rnn = mr.LSTM(3, 4, num_layers=2, rng=0)
        self.inner = nn.Sequential(nn.Linear(4, 4, rng=0), nn.Tanh())
        self.norm = nn.BatchNorm1d(4)
        self.unused = nn.Linear(1, 1, rng=0).requires_grad_(False)

    def forward(self, ids: Any, times: int = 2) -> Any:
        hs, state = self.rnn(self.table(ids))
        y = self.norm(hs[-1])
        for _ in range(times):
            y = self.inner(y)
        return y, state


IDS = np.array([[0, 1], [2, 3], [4, 0]])


def test_the_table() -> None:
    lines = repr(mg.summary(Model(), IDS)).splitlines()
    assert [re.sub(r"  +", "|", line) for line in lines[:-1]] == [
        "layer|output|parameters|bytes",
        "Model|(2, 4), (2, 2, 4), (2, 2, 4)|2 frozen of 317|1,308",
        "├─ table (Embedding)|(3, 2, 3)|15|60",
        "├─ rnn (LSTM)|(3, 2, 4), (2, 2, 4), (2, 2, 4)|272|1,088",
        "│|├─ forward0 (LSTMCell)|128|512",
        "│|└─ forward1 (LSTMCell)|144|576",
        "├─ inner (Sequential)|(2, 4) × 2|20|80",
        "│|├─ 0 (Linear)|(2, 4) × 2|20|80",
        "│|└─ 1 (Tanh)|(2, 4) × 2",
        "├─ norm (BatchNorm1d)|(2, 4)|8|72",
        "└─ unused (Linear)|not called|frozen 2|8",
        "─" * len(lines[-4]),
        "317 parameters, 2 of them frozen; 9 numbers in buffers: 1.31 kB",
        "gradients: 1.26 kB",
    ]
    assert re.fullmatch(r"kept for the backward pass of this input: [\d.]+ (kB|bytes)", lines[-1])


def test_the_numbers() -> None:
    model = Model()
    result = mg.summary(model, IDS)
    rows = {row.name: row for row in result.rows}
    assert result.parameters == model.num_parameters() == rows[""].parameters
    assert result.trainable == result.parameters - 2
    assert rows["rnn"].parameters == sum(p.size for p in model.rnn.parameters())
    assert rows["inner"].calls == rows["inner.0"].calls == 2
    assert rows["inner.0"].outputs == ((2, 4),)
    assert rows["norm"].nbytes == 4 * 4 * 4 + 8
    assert result.buffers == 9
    assert result.nbytes == 4 * result.parameters + 4 * 8 + 8
    assert result.gradient_nbytes == 4 * result.trainable
    assert rows["rnn.forward0"].inside
    assert rows["rnn.forward0"].calls == 0
    want = mg.tape_table(mg.sum(model.rnn(model.table(IDS))[0])).memory  # the weights included
    assert mg.summary(nn.Sequential(model.table, model.rnn), IDS).saved_nbytes < want
    assert mg.summary(model, IDS, times=1).saved_nbytes < result.saved_nbytes


def test_what_is_kept_is_what_the_tape_keeps(xp: Any) -> None:
    """x of the first layer, the argument and value of so small a tanh, which the next layer has too; no weights."""
    model = nn.Sequential(nn.Linear(3, 4, rng=0), nn.Tanh(), nn.Linear(4, 2, rng=0))
    result = mg.summary(model, xp.array(np.ones((5, 3), np.float32)))
    assert result.saved_nbytes == 5 * 3 * 4 + 2 * 5 * 4 * 4


def test_without_an_input_the_model_is_not_called() -> None:
    model = nn.Sequential(nn.Identity(), nn.Linear(2, 3, rng=0))
    result = mg.summary(model)
    assert result.saved_nbytes is None
    assert repr(result).splitlines() == [
        "layer            parameters  bytes",
        "Sequential                9     36",
        "├─ 0 (Identity)",
        "└─ 1 (Linear)             9     36",
        "──────────────────────────────────",
        "9 parameters: 36 bytes",
        "gradients: 36 bytes",
    ]
    assert all(row.calls == 0 for row in result.rows)


def test_nothing_changes_in_the_model() -> None:
    model = nn.Sequential(nn.Linear(2, 3, rng=0), nn.BatchNorm1d(3), nn.Dropout(0.5, rng=1))
    before, state = model.state_dict(), model[2].rng.bit_generator.state
    mg.summary(model, np.ones((4, 2), np.float32))
    assert all((m.training and m._hooks is None) or not m._hooks for m in model.modules())
    assert model[2].rng.bit_generator.state == state
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    with pytest.raises(ValueError, match="Linear: x: got shape"):
        mg.summary(model, np.ones((4, 3), np.float32))
    assert not any(m._hooks for m in model.modules())


def test_depth_and_sizes() -> None:
    model = nn.Sequential(nn.Sequential(nn.Linear(1000, 1000, rng=0)), nn.Tanh())
    result = mg.summary(model, depth=1)
    assert len(repr(result).splitlines()) == 4 + 3
    assert "1,001,000 parameters: 4 MB" in repr(result)
    assert len(result.rows) == 4
    assert "<td>├─\u00a00\u00a0(Sequential)</td>" in result._repr_html_()
    with pytest.raises(ValueError, match="summary: depth: got -1, want a whole number of at least 0"):
        mg.summary(model, depth=-1)
    with pytest.raises(TypeError, match=r"summary: model: got function, want a Module"):
        mg.summary(lambda x: x)  # type: ignore[arg-type]
