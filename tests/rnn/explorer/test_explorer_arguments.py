"""What `explore` takes: layouts, losses, backends; what it refuses, with nothing written; NaN, markup and sizes."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad_rnn import LSTM, RNN, GeneralRecurrence, ManyToMany, Recurrence, explore
from minigrad_rnn.explorer import explorer_page

from .pages import Page, cases, series, translators


def test_layouts_show_the_same_numbers(tmp_path: Path) -> None:
    """Without a batch axis, and batch first."""
    xs, targets = series(4, 1, 3), series(4, 1, 4, seed=2)
    model = RNN(3, 4, rng=0, dtype="float64")
    first = RNN(3, 4, rng=0, dtype="float64", batch_first=True)
    explore(model, xs, targets, tmp_path / "a.html", title="same")
    explore(model, xs[:, 0], targets[:, 0], tmp_path / "b.html", title="same", state=np.zeros((1, 4)))
    explore(first, xs.swapaxes(0, 1), targets.swapaxes(0, 1), tmp_path / "c.html", title="same")
    a, b, c = (Page(tmp_path / f"{name}.html") for name in "abc")
    assert a.text == b.text
    assert all((a.arrays[k] == c.arrays[k]).all() for k in a.arrays)


def test_a_loss_of_your_own_and_reductions(tmp_path: Path) -> None:
    model, xs, targets = cases()["RNN"]
    path = tmp_path / "page.html"

    def value(**options: Any) -> tuple[float, Any]:
        explore(model, xs, targets, path, **options)
        page = Page(path)
        terms = page.head["loss"]["terms"]
        return page.arrays[page.head["loss"]["value"]][0], None if terms is None else page.arrays[terms]

    mean, each = value()
    np.testing.assert_allclose(each.sum(), mean, rtol=1e-13)
    np.testing.assert_allclose(value(reduction="sum")[0], 20 * mean, rtol=1e-13)
    np.testing.assert_allclose(value(loss=lambda y, d: mg.square(y - d))[0], mean, rtol=1e-13)
    one, none = value(loss=lambda y, d: mg.mean(mg.square(y - d)))
    np.testing.assert_allclose(one, mean, rtol=1e-13)
    assert none is None


@pytest.mark.parametrize(("T", "most"), [(50, 3e6), (1000, 9e6)])
def test_the_size_of_a_page(T: int, most: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limits are 3 and 10 MB; the long one is made here with two of its twenty rows in the map, 0.03 MB each."""
    monkeypatch.setattr(explorer_page, "LOSS_TERMS", (2, 2) if T > 50 else explorer_page.LOSS_TERMS)
    model = ManyToMany(LSTM(8, 32, rng=0), nn.Linear(32, 4, rng=0))
    xs = series(T, 1, 8).astype("float32")
    explore(model, xs, np.zeros((T, 1), int), tmp_path / "page.html")
    assert (tmp_path / "page.html").stat().st_size < most


def test_nan_is_kept(tmp_path: Path) -> None:
    model, xs, targets = cases()["RNN"]
    xs = xs.copy()
    xs[2, 0, 1] = np.nan
    explore(model, xs, targets, tmp_path / "page.html")
    page = Page(tmp_path / "page.html")
    values = page.arrays[page.quantity("forward0", "h")["values"]]
    assert np.isfinite(values[:2]).all()
    assert np.isnan(values[2:]).all()


@pytest.mark.parametrize("text", ["</script><script>alert(1)</script>", "<b>&amp;\u2028", '"><img src=x>'])
def test_markup_in_names_is_text(text: str, tmp_path: Path) -> None:
    model, xs, targets = cases()["RNN"]
    explore(model, xs, targets, tmp_path / "plain.html", title="plain")
    explore(model, xs, targets, tmp_path / "page.html", title=text)
    page = Page(tmp_path / "page.html")
    assert page.head["title"].startswith(text[:5])
    plain = Page(tmp_path / "plain.html")
    assert page.text.count("<script") == plain.text.count("<script")
    assert page.text.count("<img") == plain.text.count("<img")


def test_bad_arguments_write_nothing(tmp_path: Path) -> None:
    model, xs, targets = cases()["RNN"]
    path = tmp_path / "page.html"
    wrong: list[tuple[type[Exception], str, tuple[Any, ...], dict[str, Any]]] = [
        (TypeError, "explore: model: got Linear, want a recurrence", (nn.Linear(3, 4), xs, targets), {}),
        (TypeError, "explore: model: got the class RNN", (RNN, xs, targets), {}),
        (
            ValueError,
            "explore: xs: got T = 2001 steps, want at most 2000; pass a part",
            (model, np.zeros((2001, 3)), 0),
            {},
        ),
        (ValueError, r"explore: xs: got shape \(3,\)", (model, np.zeros(3), targets), {}),
        (ValueError, r"explore: targets: got shape \(5, 1, 3\)", (model, xs, targets[..., :3]), {}),
        (ValueError, "explore: loss: got 'mse', want one of", (model, xs, targets), {"loss": "mse"}),
        (ValueError, "explore: loss: got shape", (model, xs, targets), {"loss": lambda y, d: y[0]}),
        (ValueError, "does not depend on the outputs", (model, xs, targets), {"loss": lambda y, d: mg.zeros(())}),
        (ValueError, "explore: reduction: got 'all'", (model, xs, targets), {"reduction": "all"}),
        (ValueError, "classes 0 to 3", (model, xs, np.full((5, 1), 4)), {}),
        (TypeError, "explore: xs: got ndarray, want the pair", (translators()["vectors"][0], xs, targets), {}),
        (
            ValueError,
            "explore: xs: got a source of shape",
            (translators()["vectors"][0], (xs, np.ones((2, 3), int)), 0),
            {},
        ),
        (ValueError, "explore: state: got one", (translators()["vectors"][0], (xs, xs), 0), {"state": 1}),
        (ValueError, "zoneout", (LSTM(3, 4, zoneout=0.1, dtype="float64"), xs, targets), {}),
    ]
    for error, message, arguments, options in wrong:
        with pytest.raises(error, match=message):
            explore(*arguments, path, **options)
    assert list(tmp_path.iterdir()) == []


def test_frozen_parameters_and_no_grad_change_nothing(tmp_path: Path) -> None:
    model, xs, targets = cases()["RNN"]
    frozen = copy.deepcopy(model).requires_grad_(False)
    explore(model, xs, targets, tmp_path / "a.html")
    with mg.no_grad():
        explore(frozen, xs, targets, tmp_path / "b.html")
    assert Page(tmp_path / "a.html").text == Page(tmp_path / "b.html").text
    assert all(p.node is None for p in frozen.parameters())


def test_too_many_values_are_refused_before_the_backward_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, xs, targets = cases()["LSTM"]  # T = 4, B = 2, four lanes of z, i, f, g, o, c, h with 40 numbers, x and Y
    nbytes = 4 * 2 * (4 * 40 + 3 + 8) * 8 * 2
    monkeypatch.setattr(explorer_page, "MOST_BYTES", nbytes)
    explore(model, xs, targets, tmp_path / "page.html")
    monkeypatch.setattr(explorer_page, "MOST_BYTES", nbytes - 1)
    with pytest.raises(ValueError, match=r"explore: xs: got values of 0 MB for B = 2 sequences.*pass fewer"):
        explore(model, xs, targets, tmp_path / "other.html")
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_a_folder_that_is_not_there_or_is_the_path(tmp_path: Path) -> None:
    model, xs, targets = cases()["RNN"]
    with pytest.raises(OSError, match="explore: path: nothing was written"):
        explore(model, xs, targets, tmp_path / "no" / "page.html")
    with pytest.raises(OSError, match="explore: path: nothing was written"):
        explore(model, xs, targets, tmp_path)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "page.html").write_text("old", encoding="utf-8")
    with pytest.raises(ValueError, match="targets"):
        explore(model, xs, targets[:2], tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == "old"


def test_a_cell_of_your_own_is_drawn_with_its_state(tmp_path: Path) -> None:
    from minigrad_rnn import Cell

    class Leaky(Cell):
        gates, state_names = 1, ("h",)

        def step(self, x: Any, state: Any, h: Any) -> Any:
            return 0.9 * state[0] + 0.1 * mg.tanh(mg.linear_sum(x, self.Wc, h, self.Wr, self.b))

    model = Recurrence(3, 4, cell_type=Leaky, rng=0, dtype="float64")
    twin = copy.deepcopy(model)
    xs, targets = series(4, 1, 3), series(4, 1, 4, seed=2)
    explore(model, xs, targets, tmp_path / "page.html")
    page = Page(tmp_path / "page.html")
    h = page.quantity("forward0", "h")
    assert (page.arrays[h["values"]] == twin(xs)[0].numpy()).all()
    assert [q["name"] for q in page.head["lanes"][1]["quantities"]] == ["h"]


def test_a_model_on_another_backend_gives_the_same_page(tmp_path: Path, xp: Any) -> None:
    model, xs, targets = cases()["LSTM"]
    explore(model, xs, targets, tmp_path / "host.html")
    explore(model.to(xp.name), xp.array(xs), xp.array(targets), tmp_path / "page.html")
    host, page = Page(tmp_path / "host.html"), Page(tmp_path / "page.html")
    assert page.head == host.head
    for number, values in host.arrays.items():
        np.testing.assert_allclose(page.arrays[number], values, rtol=1e-6, atol=1e-14)


def test_models_that_read_out_are_drawn_without_their_arguments_changing(tmp_path: Path) -> None:
    net = LSTM(3, 4, dropout=0.5, num_layers=2, batch_first=True, dtype="float64", rng=0)
    model = ManyToMany(net, nn.Linear(4, 5, dtype="float64", rng=0))
    before = copy.deepcopy(vars(net)["impl"]), net.training
    state = net.rng.bit_generator.state
    explore(model, series(2, 4, 3), np.ones((2, 4), int), tmp_path / "page.html")
    assert (net.impl, net.training) == before
    assert net.batch_first
    assert net.rng.bit_generator.state == state


def test_a_layers_name_stands_in_its_equations_as_text(tmp_path: Path) -> None:
    name = "a_layer_of_long_name"
    model = GeneralRecurrence({"x": 3, name: 4, "y": 4}, {name: ["x", f"{name}[t-1]"], "y": [name]}, dtype="float64")
    explore(model, series(3, 1, 3), series(3, 1, 4, seed=2), tmp_path / "page.html")
    math = [line["math"] for line in Page(tmp_path / "page.html").head["lanes"][1]["explained"]]
    assert f"<mi>{name}</mi><mo>(</mo><mi>t</mi>" in math[1]
    assert f"<mrow><mi>d</mi><mi>{name}</mi></mrow>" in math[2]
