"""What `recurrence_from_onnx` lacks is refused by name."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigrad_rnn import recurrence_from_onnx
from tests.rnn.interop.test_onnx_import import Case, gates

onnx = pytest.importorskip("onnx")


def changed(case: Case, **attributes: Any) -> Any:
    case.node.attribute.extend(onnx.helper.make_attribute(name, value) for name, value in attributes.items())
    return case.model()


@pytest.mark.parametrize(
    ("make", "options", "error", "message"),
    [
        (
            lambda: Case("LSTM", **gates("LSTM", ["Tanh", "Tanh"], 1)).model(),
            {},
            ValueError,
            "activations: got 2, want 3",
        ),
        (
            lambda: Case("GRU", activations=["Sigmoid", "Gelu"]).model(),
            {},
            ValueError,
            "activations: got 'Gelu', want one",
        ),
        (
            lambda: Case("RNN", activations=["ScaledTanh"]).model(),
            {},
            ValueError,
            "got ScaledTanh without activation_alpha",
        ),
        (
            lambda: Case("RNN", direction="bidirectional", activations=["Tanh", "Relu"]).model(),
            {},
            ValueError,
            r"got \['tanh'\] and backward \['relu'\], want the same in both",
        ),
        (
            lambda: changed(Case("GRU"), input_forget=1),
            {},
            ValueError,
            "GRU: input_forget: got an attribute that is not",
        ),
        (lambda: changed(Case("GRU"), layout=2), {}, ValueError, "GRU: layout: got 2, want 0 or 1"),
        (
            lambda: Case("RNN", direction="sideways").model(),
            {},
            ValueError,
            "direction: got 'sideways', want one of forward",
        ),
        (lambda: Case("GRU", clip=-1.0).model(), {}, ValueError, "clip: got -1.0, want a positive number"),
        (lambda: Case("GRU").node, {}, ValueError, "GRU: W: got 'W', which is no constant of the graph"),
        (
            lambda: Case("GRU").node,
            {"arrays": {"W": np.ones((1, 12, 3)), "R": np.ones((1, 11, 4))}},
            ValueError,
            "R: got shape",
        ),
        (
            lambda: Case("GRU").node,
            {"arrays": {"W": np.ones((2, 12, 3)), "R": np.ones((1, 12, 4))}},
            ValueError,
            "W: got shape",
        ),
        (lambda: Case("GRU").node, {"arrays": {"W": "W"}}, TypeError, "arrays: W: got str, want an array"),
        (
            lambda: onnx.helper.make_node("Gemm", ["a"], ["b"]),
            {},
            ValueError,
            "got a node 'Gemm', want one of RNN, LSTM",
        ),
        (
            lambda: Case("GRU").model(),
            {"node": "other"},
            ValueError,
            "node: got 'other', want the name or the index of one: GRU",
        ),
        (lambda: Case("GRU").model(), {"node": 1}, ValueError, "node: got 1, want the name or the index"),
        (
            lambda: Case("GRU").model(),
            {"reverse": True},
            TypeError,
            "reverse: got True, want it left out: the node decides",
        ),
        (lambda: 3, {}, TypeError, "source: got int, want a path, a ModelProto or a NodeProto"),
    ],
)
def test_what_we_lack_is_named(make: Any, options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"recurrence_from_onnx: .*{message}"):
        recurrence_from_onnx(make(), **options)


def test_states_that_differ_a_file_of_another_kind_and_a_missing_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = Case("RNN", starts=True)
    del case.feed["initial_h"]
    with pytest.raises(ValueError, match="RNN: initial_h: got values that differ between the sequences"):
        recurrence_from_onnx(case.model())
    (tmp_path / "a.onnx").write_bytes(b"no such format")
    with pytest.raises(ValueError, match=r"source: got '.*', which is no ONNX file"):
        recurrence_from_onnx(tmp_path / "a.onnx")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match="pip install onnx"):
        recurrence_from_onnx(tmp_path / "a.onnx")
