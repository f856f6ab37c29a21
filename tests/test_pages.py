"""The pages are true: each Python block runs alone, each link leads somewhere, each docstring example runs."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
import runpy
from pathlib import Path
from typing import Any

import pytest

import minigrad
import minigrad_rnn
from minigrad_rnn.native import shared_library, threads
from tests.support.native_library import require_compiler

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted(
    m.name
    for package in (minigrad, minigrad_rnn)
    for m in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    if not m.name.endswith("__main__")
)
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES += sorted(
    page for folder in ("docs", "docs/notebooks", "examples", "benchmarks") for page in (ROOT / folder).glob("*.md")
)
FENCE = re.compile(r"```(\w*)\n(.*?)```", re.DOTALL)
BLOCKS = [
    pytest.param(code, id=f"{page.relative_to(ROOT)}-{number}")
    for page in PAGES
    for number, (language, code) in enumerate(FENCE.findall(page.read_text(encoding="utf-8")))
    if language == "python"
]
PRINTED = re.compile(r"^print\(.*\)  # (True|native|[\d(\[][^a-z]*?)(?:, where .*)?$", re.MULTILINE)
"""A line that says what it prints."""


@pytest.mark.parametrize("code", BLOCKS)
def test_a_block_runs_alone_and_prints_what_it_says(
    code: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("scipy", "matplotlib", "safetensors"):
        if re.search(rf"^(from|import) {package}", code, re.MULTILINE):
            pytest.importorskip(package)
    if 'impl="native"' in code:
        require_compiler()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(threads, "_chosen", threads._chosen)  # to be put back
    exec(compile(code, "a page", "exec"), {"__name__": "__main__"})
    printed = capsys.readouterr().out
    for expected in PRINTED.findall(code):
        if expected == "native" and shared_library.refusal("float32"):
            expected = "fused (native: "
        assert expected in printed


def test_the_pages_have_blocks() -> None:
    ids = [str(block.id) for block in BLOCKS]
    assert sum("README" in name for name in ids) >= 2
    assert sum("guide" in name for name in ids) >= 20


def test_the_tables_of_connections_on_the_pages_make_networks() -> None:
    calls = [
        call for page in PAGES for call in re.findall(r"`(GeneralRecurrence\(\{[^`]+\))`", page.read_text("utf-8"))
    ]
    assert calls
    for call in calls:
        assert isinstance(eval(call, vars(minigrad_rnn).copy()), minigrad_rnn.GeneralRecurrence)


def anchors(page: Path) -> set[str]:
    """The names of a page's headings, as links refer to them."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


def broken_links(page: Path, text: str) -> list[str]:
    """The links of a page to files or headings that do not exist."""
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", text)):
        if link.startswith(("http:", "https:")):
            continue
        name, _, anchor = link.partition("#")
        target = page if not name else (page.parent / name).resolve()
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    return broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    assert broken_links(page, page.read_text(encoding="utf-8")) == []


def test_a_broken_link_is_noticed() -> None:
    page = ROOT / "README.md"
    assert broken_links(page, "[a](docs/guide.md#look-inside) [b](docs/nowhere.md) [c](docs/guide.md#no-heading)") == [
        "docs/nowhere.md",
        "docs/guide.md#no-heading",
    ]


FILE = re.compile(r"`((?:minigrad|minigrad_rnn|tests|docs|examples|benchmarks)/[\w/.]+)`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_a_page_names_are_there(page: Path) -> None:
    if page.name != "CHANGELOG.md":
        assert [name for name in FILE.findall(page.read_text(encoding="utf-8")) if not (ROOT / name).exists()] == []


def test_readmes_prose_fits_one_page() -> None:
    text = FENCE.sub("", (ROOT / "README.md").read_text(encoding="utf-8"))
    prose = [line for line in text.splitlines() if not line.startswith(("|", "    ", "!"))]
    assert len(" ".join(prose).split()) <= 700


def slides_in(text: str) -> set[int]:
    """The numbers of the slides that a text mentions."""
    numbers: set[int] = set()
    for mention in re.findall(r"[Ss]lides? (\d[\d–, and]*)", text):
        for first, last in re.findall(r"(\d+)(?:–(\d+))?", mention):
            numbers |= set(range(int(first), int(last or first) + 1))
    return numbers


def test_every_slide_that_the_code_mentions_is_in_the_lectures_table() -> None:
    table = (ROOT / "docs" / "lecture.md").read_text(encoding="utf-8")
    rows = [row.split("|")[1] for row in table.splitlines() if re.match(r"\| *\d", row)]
    listed = slides_in(" ".join(f"slides {row.strip()} ." for row in rows))
    mentioning = {
        file: slides_in(file.read_text(encoding="utf-8"))
        for package in ("minigrad", "minigrad_rnn", "examples")
        for file in (ROOT / package).rglob("*.py")
    }
    assert sum(bool(numbers) for numbers in mentioning.values()) > 15
    for file, numbers in mentioning.items():
        name = str(file.relative_to(ROOT))
        assert numbers <= listed, f"{name} mentions slides {sorted(numbers - listed)}, which docs/lecture.md lacks"
        assert not numbers or name in table, f"{name} mentions slides and docs/lecture.md does not name it"


def test_the_first_lesson_is_short_and_right(capsys: pytest.CaptureFixture[str]) -> None:
    lesson = ROOT / "examples" / "bptt_by_hand.py"
    assert len(lesson.read_text(encoding="utf-8").splitlines()) < 60
    runpy.run_path(str(lesson), run_name="__main__")
    printed = capsys.readouterr().out
    errors = [float(number) for number in re.findall(r"\d\.\de[-+]\d\d", printed)]
    assert len(errors) == 5
    assert max(errors) < 1e-12


def test_readmes_picture_is_what_the_example_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    example = runpy.run_path(str(ROOT / "examples" / "gradient_by_time_step.py"))
    example["main"](["--output", str(tmp_path / "picture.svg")])
    printed: Any = capsys.readouterr().out
    rnn, lstm, remembering = ([float(x) for x in line[20:].split()] for line in printed.splitlines()[2:5])
    assert rnn[0] < 1e-15 * rnn[-1]
    assert lstm[0] < 1e-15 * lstm[-1]
    assert remembering[0] > 1e-2 * remembering[-1]
    assert (tmp_path / "picture.svg").read_text(encoding="utf-8").startswith("<?xml")


@pytest.mark.parametrize("name", ["minigrad", "minigrad_rnn", *MODULES])
def test_docstrings_examples_run(name: str) -> None:
    failed, _ = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert not failed
