"""The documentation site's reference has every public name, and every page of docs/ has its place on the site."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import minigrad as mg
import minigrad_rnn as mr
from minigrad import nn, ops, optim, serialize
from minigrad_rnn import ctc, data, flow, text

DOCS = Path(__file__).resolve().parents[1] / "docs"
sys.path.append(str(DOCS / "extensions"))
reference_pages: Any = importlib.import_module("reference_pages")
docstring_text: Any = importlib.import_module("docstring_text")
page_links: Any = importlib.import_module("page_links")

DIRECTIVE = re.compile(r"^\.\. (?:auto\w+|py:\w+):: (\S+)$", re.MULTILINE)


def documented() -> list[str]:
    """The names that the reference's pages document, each once for every time."""
    return [name for page in reference_pages.contents().values() for name in DIRECTIVE.findall(page)]


def test_every_public_name_is_on_one_page() -> None:
    names = documented()
    assert len(names) == len(set(names))
    namespaces: dict[str, tuple[ModuleType, list[str]]] = {
        "minigrad": (mg, [*vars(mg)["__all__"], *vars(ops)["__all__"]]),
        "minigrad.linalg": (mg.linalg, mg.linalg.__all__),
        "minigrad.fft": (mg.fft, mg.fft.__all__),
        "minigrad_rnn": (mr, mr.__all__),
        **{m.__name__: (m, m.__all__) for m in (nn, optim, serialize, ctc, data, flow, text)},
    }
    public = {
        f"{namespace}.{name}"
        for namespace, (module, listed) in namespaces.items()
        for name in listed
        if not isinstance(getattr(module, name), ModuleType) and (module is mr or name not in mr.__all__)
    }
    assert len(public) > 540
    assert public - set(names) == set()
    assert {"minigrad.losses.mse", "minigrad.nn.init.orthogonal", "minigrad.array_api.unique_all"} <= set(names)


def test_a_new_name_appears_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    def new_one(x: Any) -> Any:
        """Nothing."""
        return x

    new_one.__module__ = "minigrad_rnn.networks.unheard_of"
    monkeypatch.setattr(mr, "new_one", new_one, raising=False)
    monkeypatch.setattr(mr, "__all__", [*mr.__all__, "new_one"])
    assert ".. autofunction:: minigrad_rnn.new_one" in reference_pages.contents()["recurrent.rst"]
    new_one.__module__ = "minigrad_rnn.unheard_of"
    with pytest.raises(LookupError, match=r"minigrad_rnn\.unheard_of defines a public name and belongs to no page"):
        reference_pages.contents()


def test_every_operation_that_numpy_has_links_to_it() -> None:
    links = {entry.name: reference_pages.numpys(entry) for entry in reference_pages.entries()}
    assert links["minigrad.linalg.norm"] == "numpy.linalg.norm"
    assert links["minigrad.abs"] == "numpy.absolute"
    assert links["minigrad.relu"] == ""
    assert sum(bool(link) for link in links.values()) > 240


def test_docstrings_become_markup() -> None:
    lines = [
        "Return `|x|` for *args and x_.", "", "Args:", "    x: `a b`s, |x| < 1.", "", "Call: `f(x)` gives y.",
        "    x: (T, B).", "        More.", "    y: 1.", "", ">>> f(|x|)", "1",
    ]  # fmt: skip
    assert docstring_text.to_markup(lines) == [
        r"Return ``|x|`` for \*args and x\_.", "", "Arguments:", r"    x: ``a b``\ s, \|x\| < 1.", "",
        ":strong:`Call:` ``f(x)`` gives y.", "", "- **x** – (T, B). More.", "- **y** – 1.", "", "", ">>> f(|x|)", "1",
    ]  # fmt: skip


def test_links_lead_to_the_sites_pages() -> None:
    stubs = page_links.stubs()
    readme = DOCS.parent / "benchmarks" / "README.md"
    assert stubs[readme] == DOCS / "pages" / "benchmarks.md"
    page = DOCS / "guide.md"
    code = "```\n[d](../benchmarks/README.md)\n```"
    links = "[a](../benchmarks/README.md#x) [b](numerics.md) [c](../minigrad/pytree.py)\n"
    rewritten = "[a](pages/benchmarks.md#x) [b](numerics.md) [c](source/minigrad/pytree.py.md)\n"
    assert page_links.rewritten(links + code, page, page, stubs) == rewritten + code
    back = page_links.rewritten("[e](../docs/guide.md#x)", readme, stubs[readme], stubs)
    assert back == "[e](../guide.md#x)"


def test_every_page_is_in_the_table_of_contents() -> None:
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    tables = re.findall(r"```\{toctree\}\n(.*?)```", index, re.DOTALL)
    listed = [line for table in tables for line in table.splitlines() if line and not line.startswith(":")]
    pages = {str(p.relative_to(DOCS).with_suffix("")) for kind in ("md", "ipynb") for p in DOCS.rglob(f"*.{kind}")}
    pages = {page for page in pages if not page.startswith(("source/", "_build/"))} - {"index"}
    found = {page for page in pages if any(Path(page).match(pattern) for pattern in listed)}
    assert pages - found == set()
    assert {pattern for pattern in listed if "*" not in pattern} - pages == {"reference/index"}


def test_the_glossary_is_in_order_and_has_the_words_of_the_code() -> None:
    sections = (DOCS / "glossary.md").read_text(encoding="utf-8").split("\n## ")[1:]
    terms = [re.findall(r"^(\S.*)\n: ", section, re.MULTILINE) for section in sections]
    assert all(section == sorted(section, key=lambda term: term.replace("`", "").lower()) for section in terms)
    words = {term for section in terms for term in section}
    wanted = (
        "tape, gradient pool, ledger, fused, native, reference BPTT, shim, divergence, lag, truncation, entry, leaf"
    )
    assert set(wanted.split(", ")) <= words
    assert len(words) == sum(map(len, terms)) > 50
