"""`draw`: SVG parses and nothing overlaps; DOT and Mermaid stay valid for any tensor name."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

import minigrad as mg
from minigrad.debug.visualize.diagram import Diagram, diagram_of
from minigrad.debug.visualize.label_placement import labels_of, on_smooth
from minigrad.debug.visualize.layering import bands_of, layers_of, repeated
from minigrad.debug.visualize.placement import HEIGHT, placement_of, spread
from minigrad_rnn import GRU, LSTM, RNN

SVG = "{http://www.w3.org/2000/svg}"
NASTY = 'W"<b>&\\`#]\nnew'


def leaf(*shape: int) -> mg.Tensor:
    return mg.tensor(np.ones(shape), requires_grad=True)


def unrolled(kind: type = RNN, T: int = 3, **options: Any) -> tuple[Any, mg.Tensor]:
    rnn = kind(2, 3, impl="graph", **options)
    hs, _ = rnn(mg.tensor(np.ones((T, 1, 2), np.float32), requires_grad=True))
    return rnn, (hs * hs).sum()


def mixed() -> mg.Tensor:
    x = leaf(2, 2)
    y = mg.exp(x)
    a, b = mg.split(x, 2)
    return (a * b + y[0] * mg.sin(mg.cos(y[1]))).sum() + (x * x * x).mean() + 2.0 * mg.logsumexp(y, axis=0).sum()


GRAPHS = {
    "mixed": lambda: (None, mixed()),
    "rnn": unrolled,
    "two layers of lstm": lambda: unrolled(LSTM, 30, num_layers=2),
    "gru in two directions": lambda: unrolled(GRU, 5, bidirectional=True),
    "a chain": lambda: (None, mg.tanh(mg.tanh(leaf(3)))),
    "a leaf": lambda: (None, leaf(3)),
}


@pytest.mark.parametrize("fold", [True, False])
@pytest.mark.parametrize("graph", GRAPHS)
def test_svg_is_xml_that_says_what_it_is(graph: str, fold: bool) -> None:
    names, loss = GRAPHS[graph]()
    drawn = mg.draw(loss, names=names, fold=fold)
    root = ElementTree.fromstring(drawn)
    assert root.tag == f"{SVG}svg"
    assert root.find(f"{SVG}title").text == f"Graph of '{loss.node.op}' {loss.shape}"
    assert "an arrow goes from a value to its use" in root.find(f"{SVG}desc").text
    picture = diagram_of(loss, names, fold)
    texts = [t.text for t in root.iter(f"{SVG}text")]
    shown = [p.box for p in placement_of(picture).places if p.box is not None]
    assert [b for b in shown if b.kind != "again"] == picture.boxes
    assert sorted(t for t in texts if t in {b.title for b in shown}) == sorted(b.title for b in shown)
    assert len(list(root.iter(f"{SVG}path"))) == len(picture.arrows) + 2  # and two heads
    assert drawn._repr_svg_() == drawn


@pytest.mark.parametrize("fold", [True, False])
@pytest.mark.parametrize("graph", GRAPHS)
def test_nothing_overlaps_and_values_flow_down(graph: str, fold: bool) -> None:
    names, loss = GRAPHS[graph]()
    picture = diagram_of(loss, names, fold)
    layout = placement_of(picture)
    boxes = [p for p in layout.places if p.box is not None]
    for p, q in combinations(boxes, 2):
        if p.y == q.y:
            assert p.right < q.left or q.right < p.left, (p.box, q.box)
    for p in boxes:
        assert p.left >= 0
        assert p.right <= layout.width
        assert 0 <= p.y - HEIGHT / 2 < p.y + HEIGHT / 2 <= layout.height
    at = {p.box.key: p for p in boxes if p.box is not None}
    for line in layout.lines:
        start, end = at[line.arrow.start], at[line.arrow.end]
        if line.arrow.kind == "plain":
            assert start.y < end.y
            ys = [y for _, y in line.points]
            assert ys == sorted(ys)
    for frame in layout.frames:
        group = picture.groups.index(frame.label) if picture.groups.count(frame.label) == 1 else None
        inside = [p for p in boxes if frame.left <= p.x <= frame.right and frame.top <= p.y <= frame.bottom]
        assert inside
        assert len({p.group for p in inside}) == 1
        assert group is None or {p.group for p in inside} == {group}
        assert all(frame.left < p.left and p.right < frame.right for p in inside)


def test_equal_steps_are_one_with_an_arrow_back() -> None:
    rnn, loss = unrolled(T=50)
    picture = diagram_of(loss, rnn, True)
    assert picture.groups == ["t = 0 … 49  (× 50)"]
    assert [b.title for b in picture.boxes if b.group == 0] == ["getitem", "linear_sum", "tanh"]
    back = [a for a in picture.arrows if a.kind == "back"]
    titles = {b.key: b.title for b in picture.boxes}
    assert [(titles[a.start], titles[a.end], a.label) for a in back] == [("tanh", "linear_sum", "t−1")]
    labels = {(titles[a.start], titles[a.end]): a.label for a in picture.arrows}
    assert labels["tanh", "stack"] == "every t (× 50)"
    assert labels["const", "linear_sum"] == "t = 0"
    assert labels["stack", "multiply"] == "× 2"
    assert len(diagram_of(loss, rnn, False).boxes) > 150


def test_the_last_step_alone() -> None:
    rnn = RNN(2, 3, impl="graph", dtype="float64")
    _, h = rnn(np.ones((9, 1, 2)))
    picture = diagram_of(h.sum(), rnn, True)
    assert "t = 8" in [a.label for a in picture.arrows]


def test_kinds_of_boxes() -> None:
    x = leaf(2)
    kinds = {b.title: b.kind for b in diagram_of((mg.exp(x) * np.ones(2)).sum(), {"x": x}, True).boxes}
    assert kinds == {"x": "leaf", "exp": "op", "multiply": "op", "const": "const", "sum": "result"}
    a, _ = mg.split(leaf(4), 2)
    assert [b.title for b in diagram_of(a, {"left": a}, True).boxes] == ["leaf", "split → left"]


def test_dot_is_what_it_was() -> None:
    x = leaf(2)
    assert mg.draw((mg.exp(x) * np.ones(2)).sum(), "dot", names={"x": x}) == (
        "digraph tape {\n"
        "  label=\"Graph of 'sum' ()\";\n"
        '  node [style=filled, fontname="Helvetica", fontsize=12];\n'
        '  edge [fontname="Helvetica", fontsize=10];\n'
        '  n1 [label="x\\n(2,)", shape=ellipse, fillcolor="#e3f3e6"];\n'
        '  n2 [label="exp\\n(2,)", shape=box, fillcolor="#ffffff"];\n'
        '  n3 [label="multiply\\n(2,)", shape=box, fillcolor="#ffffff"];\n'
        '  c3 [label="const", shape=hexagon, fillcolor="#f1f1ee"];\n'
        '  n4 [label="sum\\n()", shape=box, peripheries=2, fillcolor="#fff1d6"];\n'
        "  n1 -> n2;\n"
        "  n2 -> n3;\n"
        "  c3 -> n3;\n"
        "  n3 -> n4;\n"
        "}"
    )


def test_dot_of_folded_steps() -> None:
    rnn, loss = unrolled(T=20)
    lines = mg.draw(loss, "dot", names=rnn).splitlines()
    start = lines.index("  subgraph cluster_0 {")
    assert lines[start + 1] == '    label="t = 0 … 19  (× 20)";'
    assert [line.split("[")[1].split("\\n")[0] for line in lines[start + 2 : start + 5]] == [
        'label="getitem', 'label="linear_sum', 'label="tanh',
    ]  # fmt: skip
    assert lines[start + 5] == "  }"
    assert sum(line.endswith('[label="t−1", style=dashed, constraint=false];') for line in lines) == 1


def test_whatever_a_tensor_is_called() -> None:
    x = leaf(2)
    loss = mg.exp(x).sum()
    names = {NASTY: x}
    root = ElementTree.fromstring(mg.draw(loss, names=names))
    assert 'W"<b>&\\`#]?new' in [t.text for t in root.iter(f"{SVG}text")]
    dot = mg.draw(loss, "dot", names=names)
    assert 'n1 [label="W\\"<b>&\\\\`#]\\nnew\\n(2,)", shape=ellipse' in dot
    strings = re.findall(r'"(?:[^"\\]|\\.)*"', dot)  # every quote opens or ends a string
    assert sum(s.count('"') for s in strings) == dot.count('"')
    mermaid = mg.draw(loss, "mermaid", names=names)
    assert '    n1(["W#quot;#lt;b#gt;#amp;#92;#96;#35;]#10;new<br>(2,)"])' in mermaid.splitlines()


def test_mermaid_of_folded_steps() -> None:
    rnn, loss = unrolled(T=20)
    lines = [line.strip() for line in mg.draw(loss, "mermaid", names=rnn).splitlines()]
    assert lines[0] == "flowchart TD"
    assert 'subgraph g0["t = 0 … 19  (× 20)"]' in lines
    assert lines.count("end") == 1
    assert any(re.fullmatch(r'n\d+ -\.->\|"t−1"\| n\d+', line) for line in lines)
    for line in lines[1:]:
        assert re.fullmatch(
            r'subgraph g\d+\[".*"\]|end|[nc]\d+(\(\[|\{\{|\[\[|\[)"[^"]*"(\]\)|\}\}|\]\]|\])|'
            r'[nc]\d+ (-->|-\.->)(\|"[^"]*"\|)? n\d+',
            line,
        ), line


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
def test_graphviz_reads_dot() -> None:
    rnn, loss = unrolled(LSTM, 30, num_layers=2)
    text = mg.draw(loss, "dot", names=rnn)
    done = subprocess.run(["dot", "-Tsvg"], input=text.encode(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_saving(tmp_path: Path) -> None:
    drawn = mg.draw(mg.exp(leaf(2)).sum())
    drawn.save(tmp_path / "graph.svg")
    assert (tmp_path / "graph.svg").read_text(encoding="utf-8") == drawn
    assert mg.draw(mg.exp(leaf(2)).sum(), "dot")._repr_svg_() is None


def test_what_is_not_drawn() -> None:
    with pytest.raises(ValueError, match=r"draw: format: got 'png', want one of \['svg', 'dot', 'mermaid'\]"):
        mg.draw(mg.exp(leaf(2)), "png")
    with pytest.raises(TypeError, match="draw: result: the tensor of shape"):
        mg.draw(mg.tensor(1.0))


def test_a_long_chain_is_laid_out_in_time() -> None:
    x = leaf(1)
    for _ in range(1500):
        x = mg.tanh(x)
    assert ElementTree.fromstring(mg.draw(x.sum())).tag == f"{SVG}svg"


def chain(n: int) -> tuple[mg.Tensor, mg.Tensor]:
    x = y = leaf(3)
    for _ in range(n):
        y = mg.tanh(y) * 1.01 + x
    return x, y.sum()


class Counted(list[Any]):
    """A list that knows how often somebody went through it."""

    times = 0

    def __iter__(self) -> Iterator[Any]:
        self.times += 1
        return super().__iter__()


def test_no_box_looks_at_every_arrow() -> None:
    """It took 20,000 operations a minute and a half."""
    _, y = chain(20)
    picture = diagram_of(y, None, True)
    arrows = Counted(picture.arrows)
    layers = layers_of(picture.boxes, arrows)
    bands_of(picture.boxes, arrows, layers)
    repeated(picture.boxes, arrows, layers)
    assert arrows.times <= 5


def test_a_picture_that_nobody_would_read() -> None:
    _, y = chain(40)
    with pytest.raises(ValueError, match=r"limit: the graph has 162 boxes, more than limit=100.* mg.time_step\(t\)"):
        mg.draw(y, limit=100)
    with pytest.raises(ValueError, match=r"more than limit=100. Pass fold=True"):
        mg.draw(y, fold=False, limit=100)
    assert mg.draw(y, limit=162) == mg.draw(y, limit=None)


def test_a_chain_is_straight_and_a_leaf_used_along_it_stands_by_each_use() -> None:
    x, y = chain(50)
    picture = diagram_of(y, {"x": x}, True)
    layout = placement_of(picture)
    assert layout.width < 400  # it leant further to one side with every constant
    at = {p.box.key: p for p in layout.places if p.box is not None}
    again = [p for p in layout.places if p.box is not None and p.box.kind == "again"]
    assert [p.box.title for p in again if p.box is not None] == ["x"] * 50
    assert all(at[line.arrow.end].layer - at[line.arrow.start].layer == 1 for line in layout.lines)


def test_no_label_of_a_frame_lies_on_an_arrow_and_no_two_labels_overlap() -> None:
    for kind in (RNN, LSTM, GRU):
        rnn, loss = unrolled(kind, 5)
        layout = placement_of(diagram_of(loss, rnn, True))
        labels, corners = labels_of(layout.lines, layout.frames)
        for corner in corners:
            for line in layout.lines:
                if line.arrow.kind == "plain":
                    for a, b in pairwise(line.points):
                        assert not any(corner.holds(on_smooth(a, b, u / 50)) for u in range(51))
        for one, other in combinations([label for label in labels if label is not None] + corners, 2):
            assert not one.meets(other)


def test_spread_is_least_squares_with_gaps() -> None:
    assert spread([0.0, 10.0], [1.0, 1.0], [5.0]) == [0.0, 10.0]
    assert spread([0.0, 0.0], [1.0, 1.0], [4.0]) == [-2.0, 2.0]
    assert spread([0.0, 0.0], [1.0, 3.0], [4.0]) == [-3.0, 1.0]
    rng = np.random.default_rng(0)
    for _ in range(20):
        wanted, weights = rng.uniform(-10, 10, 6), rng.uniform(0.5, 2, 6)
        gaps = rng.uniform(1, 4, 5)
        got = np.array(spread(list(wanted), list(weights), list(gaps)))
        assert np.all(np.diff(got) >= gaps - 1e-9)
        cost = float(np.sum(weights * (got - wanted) ** 2))
        for _ in range(50):  # no allowed place nearby is better
            other = got + rng.normal(0, 0.1, 6)
            other = np.array(spread(list(other), [1.0] * 6, list(gaps)))
            assert np.sum(weights * (other - wanted) ** 2) >= cost - 1e-9


def test_an_empty_picture() -> None:
    assert placement_of(Diagram("t", "d")).places == []
