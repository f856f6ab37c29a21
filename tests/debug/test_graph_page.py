"""The page of a graph in headless Chromium: it shows the whole graph without overlaps, and answers keys and pointer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.debug.visualize.diagram import Diagram, diagram_of
from minigrad_rnn import GRU, LSTM, RNN

NASTY = '</script><img src=x onerror="alert(1)">&amp;\n' + "long " * 20


def unrolled(kind: type, T: int, **options: Any) -> tuple[Any, mg.Tensor]:
    rnn = kind(2, 3, impl="graph", **options)
    hs, _ = rnn(mg.tensor(np.ones((T, 1, 2), np.float32), requires_grad=True))
    return rnn, (hs * hs).sum()


def mixed() -> tuple[Any, mg.Tensor]:
    x = mg.tensor(np.ones((2, 2)), requires_grad=True)
    y = mg.exp(x)
    a, b = mg.split(x, 2)
    return {"x": x}, (a * b + y[0] * mg.sin(mg.cos(y[1]))).sum() + 2.0 * mg.logsumexp(y, axis=0).sum()


def chain() -> tuple[Any, mg.Tensor]:
    x = y = mg.tensor(np.ones(3), requires_grad=True)
    for _ in range(8):
        y = mg.tanh(y) * 1.01 + x
    return {NASTY: x}, y.sum()


GRAPHS: dict[str, Callable[[], tuple[Any, mg.Tensor]]] = {
    "lstm, steps apart": lambda: unrolled(LSTM, 2),
    "gru in two directions": lambda: unrolled(GRU, 5, bidirectional=True),
    "mixed": mixed,
    "a chain with markup in its name": chain,
}
IN_PAGE = """() => ({
  boxes: [...document.querySelectorAll("#drawing .box")].map((g) => {
    const { x, y, width, height } = g.querySelector(".outline").getBBox();
    const texts = [...g.querySelectorAll("text")];
    return { key: Number(g.dataset.key), kind: g.classList[1], again: g.classList.contains("again"),
      texts: texts.map((t) => t.textContent), x, y, right: x + width, bottom: y + height,
      widest: Math.max(...texts.map((t) => t.getBBox().width)) };
  }),
  arrows: [...document.querySelectorAll("#drawing .arrow")].map((g) => {
    const path = g.querySelector("path");
    const points = Array.from({ length: 41 }, (_, k) => path.getPointAtLength(k / 40 * path.getTotalLength()));
    const label = g.querySelector("text");
    return { start: Number(g.dataset.start), end: Number(g.dataset.end), back: g.classList.contains("back"),
      label: label ? label.textContent : "", points: points.map((p) => [p.x, p.y]) };
  }),
  frames: [...document.querySelectorAll("#drawing .frame-label")].map((t) => t.textContent),
  area: document.getElementById("drawing").getAttribute("viewBox").split(" ").map(Number),
  ready: document.body.dataset.ready,
})"""


def check_content(shown: dict[str, Any], diagram: Diagram) -> None:
    """The page holds the boxes, arrows and labels of the diagram, each once."""
    first = [b for b in shown["boxes"] if not b["again"]]
    assert Counter((b["key"], b["kind"]) for b in first) == Counter((b.key, b.kind) for b in diagram.boxes)
    want = {b.key: [t for t in (b.title, b.detail) if t] for b in diagram.boxes}
    for box in shown["boxes"]:
        title = "".join(c if c.isprintable() else "?" for c in want[box["key"]][0])
        if len(title) > 56:
            title = f"{title[:36]} … {title[-16:]}"
        assert box["texts"] == [title, *want[box["key"]][1:]]
    assert Counter((a["start"], a["end"], a["back"], a["label"]) for a in shown["arrows"]) == Counter(
        (a.start, a.end, a.kind == "back", a.label) for a in diagram.arrows
    )
    assert sorted(shown["frames"]) == sorted(diagram.groups)


def check_places(shown: dict[str, Any]) -> None:
    """No box overlaps another or leaves the area, texts fit, values flow down, and arrows touch their boxes."""
    boxes = shown["boxes"]
    left, top, width, height = shown["area"]
    for k, p in enumerate(boxes):
        assert left <= p["x"] < p["right"] <= left + width
        assert top <= p["y"] < p["bottom"] <= top + height
        assert p["widest"] <= p["right"] - p["x"] - 8, p
        for q in boxes[k + 1 :]:
            apart = p["right"] < q["x"] or q["right"] < p["x"] or p["bottom"] < q["y"] or q["bottom"] < p["y"]
            assert apart, (p, q)

    def touched(key: int, x: float, y: float) -> bool:
        return any(
            b["x"] - 1 <= x <= b["right"] + 1 and b["y"] - 1 <= y <= b["bottom"] + 1 for b in boxes if b["key"] == key
        )

    for arrow in shown["arrows"]:
        points = arrow["points"]
        assert touched(arrow["start"], *points[0]), arrow
        assert touched(arrow["end"], *points[-1]), arrow
        ys = [y for _, y in points]
        assert ys == sorted(ys, reverse=arrow["back"]), arrow  # no loops on the way


@pytest.mark.parametrize("graph", GRAPHS)
def test_the_page_shows_the_graph(open_page: Callable[..., Any], tmp_path: Path, graph: str) -> None:
    names, loss = GRAPHS[graph]()
    fold = not graph.endswith("apart")
    mg.draw(loss, tmp_path / "graph.html", names=names, fold=fold)
    shown = open_page(tmp_path / "graph.html").evaluate(IN_PAGE)
    assert shown["ready"] == "yes"
    check_content(shown, diagram_of(loss, names, fold))
    check_places(shown)


def test_keys_pointer_and_size(open_page: Callable[..., Any], tmp_path: Path) -> None:
    rnn, loss = unrolled(RNN, 50)
    mg.draw(loss, tmp_path / "graph.html", names=rnn)
    page = open_page(tmp_path / "graph.html", color_scheme="dark")
    shown = page.evaluate(IN_PAGE)
    check_content(shown, diagram_of(loss, rnn, True))
    check_places(shown)
    check_keys_and_hover(page)
    check_size(page)
    check_outlines(page)


def test_a_notebook_shows_the_page_in_a_frame(open_page: Callable[..., Any], tmp_path: Path) -> None:
    names, loss = mixed()
    cell = mg.draw(loss, "mermaid", names=names)._repr_mimebundle_()["text/html"]
    (tmp_path / "notebook.html").write_text(f"<!doctype html><title>n</title><p>before</p>{cell}", encoding="utf-8")
    page = open_page(tmp_path / "notebook.html", width=900)
    frame = page.frame_locator("iframe")
    assert frame.locator("#drawing .box").count() == len(diagram_of(loss, names, True).boxes)
    assert frame.locator("#facts h2").inner_text() == "add"
    assert page.locator("iframe").bounding_box()["height"] == 722  # the drawing is higher: 720 and the frame's border


def check_keys_and_hover(page: Any) -> None:
    def facts() -> str:
        return " ".join(page.inner_text("#facts").split())

    assert facts().startswith("sum operation sum shape () dtype float32 bytes 4")  # the result, to begin with
    page.locator("#drawing .result").focus()
    for key, title in [("ArrowUp", "multiply"), ("ArrowUp", "stack"), ("ArrowUp", "tanh"), ("ArrowDown", "stack"),
                       ("Home", "forward0.Wc"), ("End", "sum")]:  # fmt: skip
        page.keyboard.press(key)
        assert page.inner_text("#facts h2") == page.evaluate(
            "document.activeElement.querySelector('.title').textContent"
        )
        assert page.inner_text("#facts h2") == title
    page.locator("#drawing .op", has_text="tanh").hover()
    assert "time step 0 … 49, 50 alike inputs linear_sum used by" in facts()
    assert page.locator("#drawing .arrow.near").count() == 3  # from linear_sum, back to it, and to stack
    label = page.locator("#drawing .leaf", has_text="forward0.Wr").get_attribute("aria-label")
    assert label == "forward0.Wr: name forward0.Wr, shape (3, 3), dtype float32, bytes 36"


def check_size(page: Any) -> None:
    wide = "document.getElementById('drawing').getBoundingClientRect().width"
    before = page.evaluate(wide)
    page.keyboard.press("+")
    assert page.evaluate(wide) == pytest.approx(1.25 * before, rel=1e-4)  # the browser's own units are 1/64 of a pixel
    page.click("#smaller")
    assert page.evaluate(wide) == pytest.approx(before, rel=1e-4)
    page.click("#fit")
    assert page.evaluate("(v => v.scrollHeight <= v.clientHeight)(document.getElementById('view'))")
    page.set_viewport_size({"width": 390, "height": 780})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390  # on a phone only the drawing scrolls sideways


def check_outlines(page: Any) -> None:
    """Kinds differ without colour: a pill, a hexagon, a box, a double box; an arrow back is dashed."""
    outlines = page.evaluate("""() => ["leaf", "const", "op", "result"].map((kind) => {
      const box = document.querySelector(`#drawing .${kind}`);
      const outline = box.querySelector(".outline");
      return `${box.querySelectorAll("rect, polygon").length} ${outline.tagName} ${outline.getAttribute("rx") > 6}`;
    })""")
    assert outlines == ["1 rect true", "1 polygon false", "1 rect false", "2 rect false"]
    dashes = "getComputedStyle(document.querySelector('#drawing .arrow{} path')).strokeDasharray"
    assert page.evaluate(dashes.format(":not(.back)")) == "none"
    assert page.evaluate(dashes.format(".back")) != "none"
