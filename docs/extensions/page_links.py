"""`page_links` makes links of the Markdown pages, which lead to files of the tree, lead to the site's pages.

The pages are read as they are in the tree too, so their links are relative paths. A page outside of docs/ stands on the
site as a stub with `---\\ntree: ../its/path.md\\n---`; a source file gets a page that shows it.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parents[1]
ROOT = DOCS.parent
STUB = re.compile(r"---\ntree: (\S+)\n---\n")
FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s#]*)(#[^)\s]*)?\)")
GLOB = re.compile(r"^(\w[\w/]*\*)\n", re.MULTILINE)
"""A pattern in a table of contents; one that fits no page yet is left out."""
SHOWN = {".py": "python", ".c": "c", ".h": "c", ".cu": "cuda", ".js": "javascript"}
SOURCES = "source"
"""The folder of the pages that show source files."""


def stubs() -> dict[Path, Path]:
    """Return the page that stands for each file outside of docs/."""
    result = {}
    for page in pages():
        if found := STUB.match(page.read_text(encoding="utf-8")):
            result[(page.parent / found[1]).resolve()] = page
    return result


def pages() -> list[Path]:
    """Return the pages and notebooks of docs/ that nobody generated."""
    return [page for kind in ("md", "ipynb") for page in DOCS.rglob(f"*.{kind}") if DOCS / SOURCES not in page.parents]


def linked_sources() -> list[Path]:
    """Return the source files that pages link to."""
    found = set()
    for page in [*pages(), *stubs()]:
        for target, _ in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
            file = (page.parent / target).resolve()
            if file.is_file() and file.suffix in SHOWN:
                found.add(file)
            elif file.is_dir() and file != ROOT and target:
                found |= set(file.glob("*.py"))
    return sorted(found)


def rewritten(text: str, page: Path, place: Path, by_file: dict[Path, Path]) -> str:
    """Return the text of a page with its links as they are from `place`, where it stands on the site."""

    def link(found: re.Match[str]) -> str:
        target, anchor = found[1], found[2] or ""
        if not target or re.match(r"\w+:", target):
            return found[0]
        file = (page.parent / target).resolve()
        if not file.exists():
            return found[0]  # the build warns
        if file.is_dir():
            file = next(iter(sorted(file.glob("*.py"))), file)
        own = by_file.get(file, file)
        if own is file and file.suffix in SHOWN:
            own = DOCS / SOURCES / f"{file.relative_to(ROOT)}.md"
        return f"]({os.path.relpath(own, place.parent)}{anchor})"

    kept: list[str] = []

    def keep(found: re.Match[str]) -> str:
        kept.append(found[0])
        return f"\0{len(kept) - 1}\0"

    text = LINK.sub(link, FENCE.sub(keep, text))
    return re.sub("\0(\\d+)\0", lambda found: kept[int(found[1])], text)


def write_sources(app: Any) -> None:
    """Write a page for each source file that a page links to."""
    wanted = {}
    for file in linked_sources():
        page = DOCS / SOURCES / f"{file.relative_to(ROOT)}.md"
        path = os.path.relpath(file, page.parent)
        wanted[page] = (
            f"---\norphan: true\n---\n# {file.relative_to(ROOT)}\n\n"
            f"```{{literalinclude}} {path}\n:language: {SHOWN[file.suffix]}\n:linenos:\n```\n"
        )
    for page in (DOCS / SOURCES).rglob("*.md"):
        if page not in wanted:
            page.unlink()
    for page, text in wanted.items():
        page.parent.mkdir(parents=True, exist_ok=True)
        if not page.exists() or page.read_text(encoding="utf-8") != text:
            page.write_text(text, encoding="utf-8")


def read(app: Any, docname: str, source: list[str]) -> None:
    """Put a stub's file in its place, and rewrite the links of a page."""
    page = place = Path(app.env.doc2path(docname))
    if page not in pages():
        return
    text = source[0]
    if found := STUB.match(text):
        page = (place.parent / found[1]).resolve()
        if not page.exists():
            raise FileNotFoundError(f"{docname}: {found[1]} is not there")
        app.env.note_dependency(str(page))
        text = page.read_text(encoding="utf-8")
    text = GLOB.sub(lambda found: found[0] if any(place.parent.glob(f"{found[1]}.*")) else "", text)
    source[0] = rewritten(text, page, place, stubs())


def setup(app: Any) -> dict[str, Any]:
    app.connect("builder-inited", write_sources)
    app.connect("source-read", read)
    return {"parallel_read_safe": True}
