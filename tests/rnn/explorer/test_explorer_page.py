"""The numbers on an explorer's page are the tape's, and what cannot be drawn is refused with nothing written."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import minigrad as mg
from minigrad_rnn import GRU, LSTM, RNN, explore, local_divergence, manual_bptt
from minigrad_rnn.explorer import equations, explorer_page, recording
from minigrad_rnn.explorer.mathml import mathml

from .pages import Page, cases, classics, series, translators

EVERY = cases() | classics() | translators()
KINDS = sorted(EVERY)


@pytest.fixture(scope="module")
def page_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Page]:
    """The page of a kind of model, written once."""
    pages: dict[str, Page] = {}

    def page(kind: str) -> Page:
        if kind not in pages:
            path = tmp_path_factory.mktemp("pages") / "page.html"
            explore(*EVERY[kind], path)
            pages[kind] = Page(path)
        return pages[kind]

    return page


def loss_of(model: Any, xs: Any, targets: Any) -> mg.Tensor:
    """The divergence that a page shows, from the model's own call."""
    model.eval()
    output = model(*xs) if isinstance(xs, tuple) else model(xs)
    output = output[0] if isinstance(output, tuple) else output
    if output.ndim == 2:
        output, targets = output[None], targets[None]
    local = "cross_entropy" if targets.dtype.kind == "i" else "squared_error"
    return local_divergence(local, output, targets)


@pytest.mark.parametrize("kind", KINDS)
def test_the_pools_are_the_gradients_of_an_ordinary_backward_pass(kind: str, page_of: Callable[[str], Page]) -> None:
    page = page_of(kind)
    model, xs, targets = copy.deepcopy(EVERY[kind])
    assert all(p.grad is None for p in model.parameters())  # it worked on a copy
    leaf = xs if isinstance(xs, tuple) else mg.tensor(xs, requires_grad=True)
    loss = loss_of(model, leaf, targets)
    loss.backward()
    np.testing.assert_allclose(page.arrays[page.head["loss"]["value"]], [loss.item()], rtol=1e-13)
    names = dict(model.named_parameters())
    assert {pool["name"] for pool in page.head["pools"]} == {name for name, p in names.items() if p.grad is not None}
    for name, p in names.items():
        if p.grad is None:
            continue
        pool, gradient = page.pool(name), p.grad.numpy()
        scale = np.abs(gradient).max()
        np.testing.assert_allclose(page.arrays[pool["total"]], gradient, rtol=0, atol=1e-12 * scale)
        np.testing.assert_allclose(page.arrays[pool["full"]].sum(0), gradient, rtol=0, atol=1e-12 * scale)
        norms = np.sqrt((page.arrays[pool["full"]].reshape(len(page.arrays[pool["norms"]]), -1) ** 2).sum(1))
        np.testing.assert_allclose(page.arrays[pool["norms"]], norms, rtol=1e-13)
    if isinstance(xs, tuple) or not xs.size:
        return
    dx = page.arrays[page.quantity("x", "x")["gradients"]]
    np.testing.assert_allclose(dx.reshape(leaf.shape), leaf.grad.numpy(), rtol=1e-12, atol=1e-16)


@pytest.mark.parametrize("kind", KINDS)
def test_the_map_of_losses_and_steps_adds_up(kind: str, page_of: Callable[[str], Page]) -> None:
    """A step's contribution is the sum over the loss terms, which bounds its norm."""
    page = page_of(kind)
    for pool in page.head["pools"]:
        lags, norms = page.arrays[pool["lags"]], page.arrays[pool["norms"]]
        assert lags.shape == (len(page.head["lossColumns"]), len(norms))
        assert (norms <= lags.sum(0) * (1 + 1e-6) + 1e-300).all()  # the triangle inequality; lags are in float32
        if len(lags) == 1:
            np.testing.assert_allclose(lags[0], norms, rtol=1e-6)


def test_values_are_the_tapes_bit_by_bit(tmp_path: Path) -> None:
    """z, h, dz and dh of every step against a step-by-step run, with no tolerance."""
    model, xs, targets = cases()["RNN"]
    explore(model, xs, targets, tmp_path / "page.html")
    page = Page(tmp_path / "page.html")
    cell, h = model.forward0, mg.zeros((1, 4), dtype="float64")
    zs, hs = [], []
    for t in range(5):
        zs.append(mg.linear_sum(xs[t], cell.Wc, h, cell.Wr, cell.b))
        h = mg.tanh(zs[-1])
        hs.append(h)
    loss = local_divergence("squared_error", mg.stack(hs), targets)
    gradients = mg.gradients([loss], [*zs, *hs])
    for name, tensors, d in (("z", zs, gradients[:5]), ("h", hs, gradients[5:])):
        entry = page.quantity("forward0", name)
        assert entry["columns"] == [0, 1, 2, 3, 4]
        assert (page.arrays[entry["values"]] == np.stack([x.numpy() for x in tensors])).all()
        assert (page.arrays[entry["gradients"]] == np.stack([x.numpy() for x in d])).all()


def test_the_gradient_of_the_state_before_the_first_step(tmp_path: Path) -> None:
    model, xs, targets = cases()["LSTM"]
    state = tuple(mg.tensor(series(4, 2, 4, seed=seed), requires_grad=True) for seed in (3, 4))
    explore(model, xs, targets, tmp_path / "page.html", state=[part.numpy() for part in state])
    page = Page(tmp_path / "page.html")
    loss = local_divergence("squared_error", model(xs, state)[0], targets)
    gradients = mg.gradients([loss], list(state))
    for row, lane in enumerate(("forward0", "backward0", "forward1", "backward1")):
        for name, part, gradient in zip("hc", state, gradients):
            entry = page.quantity(lane, name)
            assert (page.arrays[entry["start"]] == part.numpy()[row]).all()
            np.testing.assert_allclose(page.arrays[entry["startGradient"]], gradient.numpy()[row], rtol=1e-11)
    model, xs, targets = classics()["Jordan"]
    explore(model, xs, targets, tmp_path / "page.html")
    page = Page(tmp_path / "page.html")
    assert page.arrays[page.quantity("m", "m")["gradients"]][0].any()  # dm(0), through every later step


def test_every_line_of_the_reference_that_is_named_is_there() -> None:
    count = 0
    for lines in (equations.FORWARD, equations.BACKWARD):
        for equation in (equation for many in lines.values() for equation in many):
            math = mathml(equation.text)
            assert math.count("<mrow>") == math.count("</mrow>")
            if equation.file:
                number, code = equations.reference_line(equation)
                text = Path(manual_bptt.__file__).parent.joinpath(equation.file).read_text(encoding="utf-8")
                assert text.splitlines()[number - 1].strip() == code
                count += 1
    assert count > 80
    assert "<mn>0.5</mn>" in mathml("0.5 m(t)")
    assert "<msub><mi>W</mi><mi>c</mi></msub>" in mathml("z(t) = Wc x(t)")
    assert "<mrow><mi>d</mi><msub><mi>z</mi><mi>o</mi></msub></mrow>" in mathml("dzo(t)")
    assert "<msup><mi>n</mi><mi>2</mi></msup>" in mathml("1 − n²")
    assert "&lt;" in mathml("a < b")
    with pytest.raises(LookupError, match="has no line"):
        equations.reference_line(equations.Equation("", "lecture.py", "RNN_bptt", "no such line"))


def test_equations_name_what_the_layer_has(tmp_path: Path) -> None:
    def forward_and_back(model: Any) -> str:
        explore(model, series(2, 1, 3), series(2, 1, 4, seed=2), tmp_path / "page.html")
        lane = Page(tmp_path / "page.html").head["lanes"][1]
        return " ".join(re.sub("<[^>]*>", "", line["math"]) for line in lane["explained"])

    f64: Any = {"dtype": "float64", "rng": 0}
    assert "h(t)=relu(z(t))" in forward_and_back(RNN(3, 4, nonlinearity="relu", **f64))
    assert "Wrh(t−1)+b+br" in forward_and_back(RNN(3, 4, two_biases=True, **f64))
    assert "b" not in forward_and_back(RNN(3, 4, bias=False, **f64))
    assert "h(t+1)" in forward_and_back(RNN(3, 4, reverse=True, **f64))
    assert "h(t)=m" in forward_and_back(LSTM(3, 4, peephole=True, **f64))
    assert forward_and_back(GRU(3, 4, activation="relu", **f64)) == ""


def test_gates_and_cell_states_of_an_lstm_fit_its_equations(tmp_path: Path) -> None:
    model, xs, targets = cases()["LSTM"]
    explore(model, xs, targets, tmp_path / "page.html")
    page = Page(tmp_path / "page.html")
    for lane, order in (("forward1", 1), ("backward0", -1)):
        v = {n: page.arrays[page.quantity(lane, n)["values"]] for n in ("z", "i", "f", "g", "o", "c", "h")}
        zi, zf, zg, zo = np.split(v["z"], 4, axis=2)
        for gate, z in (("i", zi), ("f", zf), ("o", zo)):
            np.testing.assert_allclose(v[gate], 1 / (1 + np.exp(-z)), rtol=1e-13)
        np.testing.assert_allclose(v["g"], np.tanh(zg), rtol=1e-13)
        c = v["c"][::order]
        before = np.concatenate([np.zeros((1, 2, 4)), c[:-1]])[::order]
        np.testing.assert_allclose(v["c"], v["f"] * before + v["i"] * v["g"], rtol=1e-13)
        np.testing.assert_allclose(v["h"], v["o"] * np.tanh(v["c"]), rtol=1e-13)


def test_the_cut_link_and_the_map_of_elmans_net(tmp_path: Path) -> None:
    """No loss reaches an earlier step, and the drawing says so."""
    model, xs, targets = classics()["Elman"]
    explore(model, xs, targets, tmp_path / "page.html")
    page = Page(tmp_path / "page.html")
    lags = page.arrays[page.pool("Wr")["lags"]]
    assert (lags[:, :5] == np.diag(np.diag(lags[:, :5]))).all()
    assert lags[1:, 1:].any()
    kinds = {(a["source"], a["target"]): a["kind"] for a in page.head["arrows"]}
    assert kinds["h", "h"] == "cut"


def test_values_of_the_classics_fit_their_equations(tmp_path: Path) -> None:
    def values(kind: str) -> tuple[Any, Any]:
        model, xs, targets = classics()[kind]
        explore(model, xs, targets, tmp_path / "page.html")
        page = Page(tmp_path / "page.html")
        return {n: p.numpy() for n, p in model.named_parameters()}, lambda lane, name: page.arrays[
            page.quantity(lane, name)["values"]
        ]

    p, v = values("Jordan")
    m, x, z, Y = v("m", "m"), v("x", "x"), v("h", "z"), v("Y", "Y")
    assert (m[0] == 0).all()
    np.testing.assert_allclose(m[1:], 0.5 * m[:-1] + Y[:-1], rtol=1e-13)
    np.testing.assert_allclose(z, x @ p["Wc"].T + m @ p["Wr"].T + p["b"], rtol=1e-12)
    np.testing.assert_allclose(Y, 1 / (1 + np.exp(-(np.tanh(z) @ p["Wo"].T + p["bo"]))), rtol=1e-12)
    p, v = values("NARX")
    first = np.tanh(v("h1", "z"))
    np.testing.assert_allclose(v("h2", "z"), first @ p["Wc2"].T + p["b2"], rtol=1e-12)
    np.testing.assert_allclose(v("Y", "Y"), v("h2", "h") @ p["Wo"].T + p["bo"], rtol=1e-12)
    p, v = values("general")
    z = v("h2", "z")[2]  # reads h1, x one step back, itself one and y two steps back
    want = v("h1", "h1")[2] @ p["h2<-h1"].T + v("x", "x")[1] @ p["h2<-x[t-1]"].T + v("h2", "h2")[1] @ p["h2<-h2[t-1]"].T
    np.testing.assert_allclose(z, want + v("y", "y")[0] @ p["h2<-y[t-2]"].T + p["b(h2)"], rtol=1e-12)
    assert v("y", "z").shape == v("y", "y").shape


@pytest.mark.parametrize("kind", ["attend before", "attend after"])
def test_attentions_weights_and_contexts(kind: str, tmp_path: Path) -> None:
    model, xs, targets = translators()[kind]
    explore(model, xs, targets, tmp_path / "page.html")
    page = Page(tmp_path / "page.html")
    logits, weights = model(*xs)
    np.testing.assert_allclose(page.arrays[page.quantity("context", "α")["values"]], weights.numpy(), rtol=1e-12)
    np.testing.assert_allclose(page.arrays[page.quantity("Y", "Y")["values"]], logits.numpy(), rtol=1e-12)
    memory = np.concatenate(
        [page.arrays[page.quantity(f"encoder.{d}0", "h")["values"]] for d in ("forward", "backward")], axis=2
    )
    context = np.einsum("tbs,sbk->tbk", weights.numpy(), memory)
    np.testing.assert_allclose(page.arrays[page.quantity("context", "c")["values"]], context, rtol=1e-12)
    assert page.head["columns"][4] == {"label": "t = 0", "part": "decoder"}
    keys = page.arrays[page.pool("decoder.attention.key.weight")["norms"]]
    assert keys[:4].all()
    assert not keys[4:].any()


@pytest.mark.parametrize("kind", KINDS)
def test_every_step_comes_after_what_it_reads(kind: str, page_of: Callable[[str], Page]) -> None:
    page = page_of(kind)
    lanes = {lane["name"]: k for k, lane in enumerate(page.head["lanes"])}
    place = {tuple(step): k for k, step in enumerate(page.arrays[page.head["order"]].tolist())}
    assert len(place) == sum(len({c for q in lane["quantities"] for c in q["columns"]}) for lane in page.head["lanes"])
    seen = 0
    for arrow in page.head["arrows"]:
        source, target = lanes[arrow["source"]], lanes[arrow["target"]]
        for lane, column in list(place):
            before = (source, arrow["only"][0] if arrow["only"] else column - arrow["lag"])
            if lane == target and before in place and (not arrow["only"] or arrow["only"][1] == column):
                assert place[before] < place[lane, column]
                seen += 1
    assert seen >= len(page.head["columns"])


def test_a_large_parameter_has_norms_factors_and_its_whole_gradient(tmp_path: Path) -> None:
    model = LSTM(2, 40, rng=0, dtype="float64", initial_state="learned")
    model.forward0.h_init._array[:] = 0.5
    explore(model, series(40, 2, 2), series(40, 2, 40, seed=2), tmp_path / "page.html")
    page = Page(tmp_path / "page.html")
    assert page.pool("forward0.b")["full"] is not None
    pool = page.pool("forward0.Wr")
    assert pool["full"] is None
    running, total, norms = (page.arrays[pool[name]] for name in ("running", "total", "norms"))
    np.testing.assert_allclose(running[0], np.sqrt((total**2).sum()), rtol=1e-12)  # after the last contribution
    (lane, z), ((source, h, lag),) = pool["factors"]["dz"], pool["factors"]["reads"]
    dz = page.arrays[page.head["lanes"][lane]["quantities"][z]["gradients"]]
    entry = page.head["lanes"][source]["quantities"][h]
    assert (entry["name"], lag) == ("h", 1)
    v = np.concatenate([page.arrays[entry["start"]][None], page.arrays[entry["values"]][:-1]])
    shares = np.einsum("tbi,tbj->tij", dz, v)
    np.testing.assert_allclose(shares.sum(0), total, rtol=0, atol=1e-12 * np.abs(total).max())
    np.testing.assert_allclose(np.sqrt((shares**2).sum((1, 2))), norms[:-1], rtol=1e-10)


def test_parameters_too_large_to_list_have_the_same_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = LSTM(2, 40, rng=0, dtype="float64")
    xs, targets = series(30, 2, 2), series(30, 2, 40, seed=2)
    explore(model, xs, targets, tmp_path / "listed.html")
    monkeypatch.setattr(recording, "LEDGER_BYTES", 1000)
    monkeypatch.setattr(explorer_page, "FULL_BYTES", 1000)
    explore(model, xs, targets, tmp_path / "page.html")
    listed, page = Page(tmp_path / "listed.html"), Page(tmp_path / "page.html")
    for name in ("forward0.Wc", "forward0.Wr"):
        assert page.pool(name)["full"] is None
        for numbers in ("norms", "running", "total"):
            a, b = page.arrays[page.pool(name)[numbers]], listed.arrays[listed.pool(name)[numbers]]
            np.testing.assert_allclose(a[:30], b[:30], rtol=1e-10)
    running = page.arrays[page.pool("forward0.b")["running"]]  # no factors: known when it is complete
    assert np.isnan(running[1:30]).all()
    np.testing.assert_allclose(running[0], np.linalg.norm(page.arrays[page.pool("forward0.b")["total"]]), rtol=1e-12)


def test_a_weight_that_is_used_otherwise_has_no_factors(tmp_path: Path) -> None:
    """A GRU's Wr meets r · h in the rows of n: dzᵀ h is not what it receives."""
    explore(GRU(2, 48, rng=0, dtype="float64"), series(40, 1, 2), series(40, 1, 48, seed=2), tmp_path / "page.html")
    pool = Page(tmp_path / "page.html").pool("forward0.Wr")
    assert pool["full"] is None
    assert pool["factors"] is None


@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_any_shape_of_a_recurrence(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    draw, few = data.draw, st.integers(1, 3)
    T, B, I, H = (draw(few) for _ in range(4))
    two = draw(st.booleans())
    depth = draw(st.tuples(few, few) if two and draw(st.booleans()) else few)
    kind = draw(st.sampled_from([RNN, LSTM, GRU]))
    merge = draw(st.sampled_from(["concat", "sum", "mean"]))
    model = kind(I, H, depth, bidirectional=two, merge=merge, dtype="float64", rng=0)
    xs, path = series(T, B, I), tmp_path_factory.mktemp("page") / "page.html"
    targets = series(T, B, model(xs)[0].shape[2], seed=2)
    explore(model, xs, targets, path)
    page = Page(path)
    loss_of(model, xs, targets).backward()
    for name, p in model.named_parameters():
        gradient = p.grad.numpy()
        full = page.arrays[page.pool(name)["full"]]
        np.testing.assert_allclose(full.sum(0), gradient, rtol=0, atol=1e-12 * np.abs(gradient).max())
