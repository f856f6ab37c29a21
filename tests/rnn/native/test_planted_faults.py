"""Faults planted in the C source are caught: by a comparison with the fused sequence, and by `verify_bptt`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from minigrad_rnn import verify_bptt
from minigrad_rnn.native import packed_weights, run, sequence
from tests.support.native_cells import Results, drawn_batch, farthest, made_net, results
from tests.support.native_library import num_threads, require_compiler, split_small_calls
from tests.support.native_variants import Variants, changed_source

TOLERANCE = 1e-11
"""What the comparisons of sound sequences with the fused ones allow in float64."""
T, B, I, H = 5, 7, 3, 11
LENGTHS = [5, 2, 4, 1, 5, 3, 2]


class Fault(NamedTuple):
    """A text of a file, what takes its place, the cells that show it, and whether it takes threads or a long batch."""

    file: str
    old: str
    new: str
    kinds: tuple[str, ...]
    threads: int = 1
    rows: int = 1
    verify: bool = True
    """Whether `verify_bptt` has what shows it: one thread, a short batch."""


EVERY = ("rnn_tanh", "lstm", "gru", "gru_reset_first")
LSTMS = ("lstm", "lstm_both")
FAULTS: dict[str, Fault] = {
    "a dropped step of BPTT": Fault("backward.h", "if (now.from < now.to) backward", "if (k != 1) backward", EVERY),
    "a dropped step of a weight's gradient": Fault("tile.h", "for (; n > 0; --n)", "for (; n > 1; --n)", EVERY),
    "d tanh": Fault("rnn.h", "dh * factor", "dh * factor * SCALAR(1.001)", ("rnn_tanh",)),
    "d relu": Fault(
        "rnn.h", "return relu_gradient(h, dh)", "return SCALAR(1.001) * relu_gradient(h, dh)", ("rnn_relu",)
    ),
    "d i": Fault("lstm.h", "dz[0] = d", "dz[0] = SCALAR(1.001) * d", LSTMS),
    "d f": Fault("lstm.h", "dz[1] = d", "dz[1] = SCALAR(1.001) * d", LSTMS),
    "d g": Fault("lstm.h", "dz[2] = d", "dz[2] = SCALAR(1.001) * d", LSTMS),
    "d o": Fault("lstm.h", "dz[3] = dm", "dz[3] = SCALAR(1.001) * dm", LSTMS),
    "d c": Fault("lstm.h", ": d * k.f;", ": SCALAR(1.001) * d * k.f;", ("lstm",)),
    "a peephole's part in d c": Fault("lstm.h", "+ p[1] * dz[1]", "", ("lstm_both",)),
    "a peephole's gradient": Fault(
        "weight_gradients.h", "load(z + LANES) * before", "load(z + LANES) * after", ("lstm_both",)
    ),
    "d r": Fault("gru.h", "da[0] = da[2]", "da[0] = SCALAR(1.001) * da[2]", ("gru",)),
    "d z": Fault("gru.h", "da[1] = dh", "da[1] = SCALAR(1.001) * dh", ("gru",)),
    "d n": Fault("gru.h", "da[2] = dh", "da[2] = SCALAR(1.001) * dh", ("gru",)),
    "what bypasses the product": Fault("gru.h", "*leak = dh *", "*leak = SCALAR(1.001) * dh *", ("gru",)),
    "d r of the published GRU": Fault(
        "gru_reset_first.h", "*da_r = dq", "*da_r = SCALAR(1.001) * dq", ("gru_reset_first",)
    ),
    "q in a weight's gradient": Fault("weight_gradients.h", "{OF_Q, ", "{OF_H, ", ("gru_reset_first",)),
    "a wrong row of a bias": Fault("forward.h", "s->b[input.gate[v]", "s->b[input.gate[v ^ 1]", ("lstm",)),
    "a wrong row of a second bias": Fault("forward.h", "s->br[(m - 1) * s->H", "s->br[(2 - m) * s->H", ("gru",)),
    "a skipped column of a tile": Fault(
        "tile.h",
        "for (int m = 0; m < M; ++m) store(out[c] + m * LANES, sum",
        "for (int m = 0; m < M && (C < 2 || c != C - 1); ++m) store(out[c] + m * LANES, sum",
        EVERY,
    ),
    "a skipped vector of a panel": Fault(
        "tile.h", "m < M; ++m) w[m] = load", "m < M; ++m) w[m] = m == 1 ? (Real){0} : load", LSTMS
    ),
    "padding that is read": Fault("sequence.h", "length_of(s, j) - 1 - k : k", "s->T - 1 - k : k", EVERY),
    "padding that is not zero": Fault(
        "forward.h", "long t = length_of(s, j); t < s->T", "long t = length_of(s, j) + 1; t < s->T", EVERY
    ),
    "a gradient at padding": Fault(
        "backward.h", "long t = length_of(s, j); s->dxs", "long t = length_of(s, j) + 1; s->dxs", EVERY
    ),
    "the last state of the last step": Fault(
        "forward.h", "last = length_of(s, j) - 1", "last = s->length ? s->length[0] - 1 : s->T - 1", EVERY
    ),
    "gradients of every c": Fault("gates_backward.h", "if (now->dcs) dc +=", "if (0) dc +=", ("lstm",), verify=False),
    "a row between two threads": Fault(
        "sequence.h",
        "rows < total * (part + 1) / parts ||",
        "rows + 2 < total * (part + 1) / parts ||",
        EVERY,
        threads=3,
        verify=False,
    ),
    "a panel between two threads": Fault(
        "weight_gradients.h",
        "last = tasks * (part + 1) / parts",
        "last = tasks * (part + 1) / parts - (parts > 1)",
        EVERY,
        threads=3,
        verify=False,
    ),
    "a block of rows in the place of the one before": Fault(
        "weight_gradients.h", "out, some, !n0", "out, some, 1", EVERY, rows=100, verify=False
    ),
}


class Poisoned:
    """NumPy, but that memory which nobody wrote is NaN, and not by chance what an earlier call left there."""

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    @staticmethod
    def empty(shape: Any, dtype: Any) -> Any:
        return np.full(shape, np.nan, dtype)


@pytest.fixture(autouse=True)
def _poisoned(monkeypatch: pytest.MonkeyPatch) -> None:
    require_compiler()
    for module in (run, packed_weights):
        monkeypatch.setattr(module, "np", Poisoned())
    split_small_calls(monkeypatch)


def found(kind: str, impl: str, backward: bool, rows: int) -> Results:
    """All results of a padded batch; a long one has more rows than a block of the weights' products."""
    net = made_net(kind, I, H, "float64", impl, reverse=backward)
    return results(net, drawn_batch(net, T * rows, B, [rows * length for length in LENGTHS]))


def error(kind: str, rows: int = 1) -> float:
    """The largest error of the compiled sequences, in either direction."""
    both = (False, True)
    return max(farthest(found(kind, "native", back, rows), found(kind, "fused", back, rows)) for back in both)


def verified(kind: str) -> bool:
    net = made_net(kind, I, H, bidirectional=True)
    with np.errstate(all="ignore"):  # a fault may leave any numbers
        verification = verify_bptt(net, drawn_batch(net, T, B).xs, lengths=LENGTHS)
    assert all(row.native is not None for row in verification.rows)
    return verification.passed


KINDS = sorted({kind for fault in FAULTS.values() for kind in fault.kinds})


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_fault(kind: str) -> None:
    for threads, rows in ((1, 1), (3, 1), (1, 100)):
        with num_threads(threads):
            assert error(kind, rows) < TOLERANCE
    assert verified(kind)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_caught(name: str, variants: Variants, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fault = FAULTS[name]
    source = changed_source(tmp_path, fault.file, fault.old, fault.new)
    compiled = variants.compiled(("-O0",), "float64", source, checked=False)
    monkeypatch.setattr(sequence, "load_library", lambda dtype: compiled)
    for kind in fault.kinds:
        with num_threads(fault.threads):
            assert not error(kind, fault.rows) < TOLERANCE, kind
        if fault.verify:
            assert not verified(kind), kind
