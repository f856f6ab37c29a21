"""`draw`: what is in a drawing, its files, and DOT, SVG and Mermaid that stay valid for any tensor name."""

from __future__ import annotations

import copy
import os
import pickle
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

import minigrad as mg
from minigrad.debug.visualize.diagram import diagram_of
from minigrad.debug.visualize.graph_page import DEEPEST, depth_of
from minigrad_rnn import GRU, LSTM, RNN

SVG = "{http://www.w3.org/2000/svg}"
NASTY = 'W"<b>&\\`#]\nnew\x01 &lt; \\N'
graphviz = pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz: there is no program dot")


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


@graphviz
@pytest.mark.parametrize("graph", GRAPHS)
def test_svg_shows_every_box_and_arrow(graph: str) -> None:
    """Graphviz is the judge: it reads our DOT, and its SVG holds what the diagram does."""
    names, loss = GRAPHS[graph]()
    diagram = diagram_of(loss, names, True)
    root = ElementTree.fromstring(mg.draw(loss, "svg", names=names))
    kinds = Counter(g.get("class") for g in root.iter(f"{SVG}g"))
    assert (kinds["node"], kinds["edge"], kinds["cluster"]) == (
        len(diagram.boxes), len(diagram.arrows), len(diagram.groups),
    )  # fmt: skip
    texts = Counter(str(t.text).replace("\xa0", " ") for t in root.iter(f"{SVG}text"))
    shown = [t for b in diagram.boxes for t in (b.title, b.detail) if t] + [a.label for a in diagram.arrows if a.label]
    assert texts == Counter([*shown, *diagram.groups, diagram.title])


@graphviz
def test_svg_of_whatever_a_tensor_is_called() -> None:
    x = leaf(2)
    root = ElementTree.fromstring(mg.draw(mg.exp(x).sum(), "svg", names={NASTY: x}))
    texts = [t.text for t in root.iter(f"{SVG}text")]
    assert 'W"<b>&\\`#]' in texts
    assert "new? &lt; \\N" in texts


def test_svg_without_graphviz(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    path = tmp_path / "graph.svg"
    for call in (lambda: mg.draw(leaf(2).sum(), path), lambda: mg.draw(leaf(2).sum(), "dot").save(path)):
        with pytest.raises(
            RuntimeError, match=r'"svg" is drawn by Graphviz.*apt-get install graphviz.*"html", "mermaid"'
        ):
            call()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="Graphviz: a program in its place is a shell script")
def test_graphviz_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "dot"
    program.write_text("#!/bin/sh\necho 'Error: out of memory' >&2\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match=r"Graphviz .* ended with status 3 and said: Error: out of memory"):
        mg.draw(leaf(2).sum(), "svg")


def test_whatever_a_tensor_is_called() -> None:
    x = leaf(2)
    loss = mg.exp(x).sum()
    names = {NASTY: x}
    dot = mg.draw(loss, "dot", names=names)
    assert 'n1 [label="W\\"<b>&amp;\\\\`#]\\nnew? &amp;lt; \\\\N\\n(2,)", shape=ellipse' in dot
    strings = re.findall(r'"(?:[^"\\]|\\.)*"', dot)  # every quote opens or ends a string
    assert sum(s.count('"') for s in strings) == dot.count('"')
    mermaid = mg.draw(loss, "mermaid", names=names)
    assert any('["W#quot;#lt;b#gt;#amp;#92;#96;#35;]#10;new' in line for line in mermaid.splitlines())
    page = mg.draw(loss, names=names)
    assert "<b>" not in page
    assert 'W\\"\\u003cb>&\\\\`#]?new? &lt; \\\\N' in page


def test_what_is_known_about_a_box() -> None:
    rnn, loss = unrolled(T=50)
    facts = {b.title: dict(b.facts) for b in diagram_of(loss, rnn, True).boxes}
    assert facts["tanh"] == {
        "operation": "tanh", "shape": "(1, 3)", "dtype": "float32", "bytes": "12",
        "kept for its rule": "(1, 3), (1, 3): 24 bytes", "time step": "0 … 49, 50 alike",
    }  # fmt: skip
    assert facts["forward0.Wr"] == {"name": "forward0.Wr", "shape": "(3, 3)", "dtype": "float32", "bytes": "36"}
    assert facts["const"] == {}
    assert dict(diagram_of(mg.split(leaf(4), 2)[0], None, True).boxes[1].facts)["shapes"] == "(2,), (2,)"


def chain(n: int) -> tuple[mg.Tensor, mg.Tensor]:
    x = y = leaf(3)
    for _ in range(n):
        y = mg.tanh(y) * 1.01 + x
    return x, y.sum()


def test_a_picture_that_nobody_would_read() -> None:
    _, y = chain(40)
    with pytest.raises(ValueError, match=r"limit: the graph has 162 boxes, more than limit=100.* mg.time_step\(t\)"):
        mg.draw(y, limit=100)
    with pytest.raises(ValueError, match=r"more than limit=100. Pass fold=True"):
        mg.draw(y, fold=False, limit=100)
    assert mg.draw(y, limit=162) == mg.draw(y, limit=None)


def test_a_page_too_deep_to_be_laid_out() -> None:
    x = leaf(1)
    for _ in range(DEEPEST):
        x = mg.tanh(x)
    assert depth_of(diagram_of(x, None, True)) == DEEPEST + 1
    with pytest.raises(ValueError, match=r'format: 1001 boxes follow each other, more than the 1000 .*"svg", "dot" or'):
        mg.draw(x)
    drawing = mg.draw(x, "dot")
    assert drawing.count(" -> ") == DEEPEST
    assert "text/html" not in drawing._repr_mimebundle_()


@pytest.mark.parametrize(
    ("name", "start"), [("g.html", "<!doctype html>"), ("g.dot", "digraph"), ("g.mmd", "flowchart")]
)
def test_files(tmp_path: Path, name: str, start: str) -> None:
    """The ending says what is written, wherever the path stands."""
    loss = mg.exp(leaf(2)).sum()
    drawn = mg.draw(loss, tmp_path / name)
    written = (tmp_path / name).read_text(encoding="utf-8")
    assert written == drawn
    assert written.startswith(start)
    mg.draw(loss, "mermaid").save(str(tmp_path / f"again.{name}"))
    assert (tmp_path / f"again.{name}").read_text(encoding="utf-8") == written
    mg.draw(loss, "dot").save(tmp_path / "text")
    assert (tmp_path / "text").read_text(encoding="utf-8") == mg.draw(loss, "dot")


@pytest.mark.parametrize("ending", ["html", "dot", "mmd"])
def test_half_a_surrogate_pair_in_a_name(tmp_path: Path, ending: str) -> None:
    """UTF-8 cannot hold it: it becomes a question mark, and the file is whole."""
    x = leaf(2)
    mg.draw(mg.exp(x).sum(), tmp_path / f"g.{ending}", names={"a\ud800b": x})
    assert "a?b" in (tmp_path / f"g.{ending}").read_text(encoding="utf-8")


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    loss = mg.exp(leaf(2)).sum()
    with pytest.raises(FileNotFoundError, match=r"draw: format: nothing was written: No such file.*graph\.html"):
        mg.draw(loss, tmp_path / "missing" / "graph.html")
    with pytest.raises(FileNotFoundError, match=r"Drawing\.save: path: nothing was written: No such file"):
        mg.draw(loss, "dot").save(tmp_path / "missing" / "graph.dot")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("format", ["html", "dot", "mermaid"])
def test_what_a_notebook_and_a_terminal_show(format: str) -> None:
    rnn, loss = unrolled(T=20)
    drawing = mg.draw(loss, format, names=rnn)
    bundle = drawing._repr_mimebundle_(include=None, exclude=None)
    assert sorted(bundle) == ["text/html", "text/plain", "text/vnd.mermaid"]
    assert bundle["text/vnd.mermaid"] == mg.draw(loss, "mermaid", names=rnn)
    page = re.fullmatch(r'<iframe srcdoc="([^"]*)" title="[^"]*" style="[^"]*"></iframe>', bundle["text/html"])
    assert page is not None
    assert page[1].startswith("&lt;!doctype html&gt;")
    assert (
        repr(drawing)
        == bundle["text/plain"]
        == (
            f"<Drawing of 11 boxes and 11 arrows as {format}: graph of 'sum' (); 63 operations on 4 leaves; steps "
            "t = 0 … 19  (× 20). save(path) writes it, print shows its text>"
        )
    )
    for again in (copy.deepcopy(drawing), pickle.loads(pickle.dumps(drawing))):
        assert again == drawing
        assert repr(again) == repr(drawing)


@graphviz
def test_a_notebook_shows_svg_as_a_picture() -> None:
    drawing = mg.draw(mg.exp(leaf(2)).sum(), "svg")
    bundle = drawing._repr_mimebundle_()
    assert sorted(bundle) == ["image/svg+xml", "text/plain", "text/vnd.mermaid"]
    assert bundle["image/svg+xml"] == drawing


def test_what_is_not_drawn() -> None:
    want = (
        r"draw: format: got 'png', want one of \['html', 'svg', 'dot', 'mermaid'\], or the path of a file that ends in"
    )
    with pytest.raises(ValueError, match=want):
        mg.draw(mg.exp(leaf(2)), "png")
    with pytest.raises(ValueError, match=r"draw: format: got 'graph\.png', want"):
        mg.draw(mg.exp(leaf(2)), Path("graph.png"))
    with pytest.raises(TypeError, match="draw: result: the tensor of shape"):
        mg.draw(mg.tensor(1.0))
