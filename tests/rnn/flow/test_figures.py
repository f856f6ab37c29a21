"""Figures show the numbers that they were given, have labels, and say what to install where matplotlib is missing."""

from __future__ import annotations

import builtins
import io
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad_rnn import LSTM, GradientFlow, TrainingMonitor, flow as flows
from minigrad_rnn.flow import bars

matplotlib = pytest.importorskip("matplotlib")
T, B, I, H = 12, 2, 3, 4
XS = np.random.default_rng(0).standard_normal((T, B, I))


def made() -> dict[str, Any]:
    model = LSTM(I, H, 2, dtype="float64", rng=0)
    monitor = TrainingMonitor(model)
    with monitor, GradientFlow(model) as flow:
        model(XS)[0][-1].sum().backward()
    layer = flow["forward0"]
    return {
        "gradient norms": (flows.plot_gradient_norms, flow), "of a layer": (flows.plot_gradient_norms, layer),
        "jacobian norms": (flows.plot_jacobian_norms, flows.jacobian_norms(layer)),
        "nothing passes": (flows.plot_jacobian_norms, flows.jacobian_norms(layer, "h", "c")),
        "probes": (flows.plot_jacobian_norms, flows.probe_jacobian_norms(model, XS, probes=2)),
        "singular values": (flows.plot_singular_values, flows.step_jacobians(layer)),
        "gate flow": (flows.plot_gate_flow, flows.gate_flow(layer)),
        "saliency": (flows.plot_saliency, flows.saliency(model, XS, t=5)), "training": (flows.plot_training, monitor),
    }  # fmt: skip


MADE = made()


@pytest.mark.parametrize("name", MADE)
def test_a_figure_is_drawn_with_labels(name: str) -> None:
    draw, result = MADE[name]
    figure = draw(result)
    panels = [axes for axes in figure.axes if axes.get_label() != "<colorbar>"]
    assert all(axes.get_ylabel() for axes in figure.axes if axes in panels)
    assert panels[-1].get_xlabel()
    assert panels[0].get_title()
    assert figure.get_layout_engine() is not None  # constrained; it costs most of the time, and so is tested once
    if name != "jacobian norms":
        figure.set_layout_engine("none")
    with io.BytesIO() as file:
        figure.savefig(file, format="png", dpi=30)
        assert file.tell() > 1000
    assert repr(result)
    assert "<pre" in result._repr_html_()


def test_a_line_is_the_numbers() -> None:
    flow = MADE["gradient norms"][1]
    figure = flows.plot_gradient_norms(flow, "c")
    first, second = figure.axes[0].lines
    np.testing.assert_allclose(first.get_ydata(), flow["forward0"].norms("c"))
    np.testing.assert_allclose(second.get_ydata(), flow["forward1"].norms("c"))
    assert first.get_linestyle() != second.get_linestyle()  # for who sees no colours
    assert figure.axes[0].get_yscale() == "log"


def test_eight_lines_differ() -> None:
    model = LSTM(I, H, 2, bidirectional=True, rng=0, dtype="float64")
    with GradientFlow(model) as flow:
        model(XS)[0].sum().backward()
    lines = flows.plot_gradient_norms(flow).axes[0].lines
    looks = {(line.get_color(), line.get_marker(), line.get_linestyle()) for line in lines}
    assert len(looks) == len(lines) == 8
    assert len({look[1:] for look in looks}) == 8  # without colour too


def test_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    found = builtins.__import__

    def missing(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return found(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    for draw, result in MADE.values():
        with pytest.raises(ImportError, match=rf"{draw.__name__} draws with matplotlib.*pip install matplotlib"):
            draw(result)


def test_bars() -> None:
    lines = bars.bars({"a": np.array([1.0, 1e-4, 0.0]), "longer": np.array([1e-9, np.nan, 0.5])})
    assert lines == ["  a      |█▄ | 1 … 0", "  longer |  █| 1e-09 … 0.5"]
    assert len(bars.bars({"x": np.ones(1000)})[0]) < 90
    assert bars.bars({"x": np.zeros(3)}) == ["  x |   | 0 … 0"]


def test_bad_arguments() -> None:
    flow, saliency = MADE["gradient norms"][1], MADE["saliency"][1]
    with pytest.raises(ValueError, match="name: got 'z'"):
        flows.plot_gradient_norms(flow, "z")
    with pytest.raises(ValueError, match="features: got 1 names, want 3"):
        flows.plot_saliency(saliency, ["a"])
    with pytest.raises(TypeError, match="plot_gate_flow: gates: got int"):
        flows.plot_gate_flow(3)  # type: ignore[arg-type]
    with GradientFlow(LSTM(I, H)) as nothing:
        pass
    with pytest.raises(mg.GraphError, match="no layer was called"):
        flows.plot_gradient_norms(nothing)
    with pytest.raises(KeyError, match="'forward0', but none was called"):
        _ = nothing["forward0"]
